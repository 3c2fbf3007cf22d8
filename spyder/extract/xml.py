"""A forgiving reader of XML in chunks: tags and text, no tree, and nothing but the bytes that it is given.

It knows no DTD and no entities but XML's five and numbers, fetches nothing, includes nothing and expands nothing, so
what a hostile document could ask for is not there. What is not well-formed is read as far as it makes sense.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterable, Iterator
from enum import Enum
from html.entities import html5
from typing import Final

from spyder.contracts import Response
from spyder.extract.charset import declared_encoding, decode

CHUNK: Final = 65_536  #: bytes that are read at a time
MAX_DEPTH: Final = 128  #: elements within each other that are told apart
MAX_PREFIXES: Final = 256  #: declared at a time; what more of them stand for is not known
_MAX_MEMBERS: Final = 2000  #: of a gzip file (RFC 1952, section 2.2)
_MAX_TAG: Final = 65_536  #: characters of a tag; what is longer is text
_MAX_TEXT: Final = 20_000  #: characters of a text that is kept until its end is seen; a longer one comes in pieces
_MAX_REFERENCE: Final = 80  #: characters of a reference; what is longer is text

#: Text up to the next tag, and the tag. An attribute's value holds no ``<`` (XML 1.0, section 3.1).
_TAG: Final = re.compile(r"""([^<]*+)<(/?)([^\s<>/!?"'=]++)((?:[^<>"']++|"[^"<]*+"|'[^'<]*+')*+)>""")
_ATTRIBUTE: Final = re.compile(r"""([^\s=/"'<>]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>]+))""")
_REFERENCE: Final = re.compile(r"&(?:#([0-9]{1,8})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z_:][\w.:-]{0,64}));")
_BROKEN_TAG: Final = re.compile(r"""<(/?)([^\s<>/!?"'=]++)([^<>]*+)>""")
_COMMENT_START, _CDATA_START = "<!--", "<![CDATA["
_DOCTYPE: Final = re.compile(r"<!(?!-|\[)[^<>\[]*+([>\[])")
#: What ends a construct without tags in it.
_COMMENT, _CDATA, _INSTRUCTION, _SUBSET = (re.compile(end) for end in ("-->", r"\]\]>", r"\?>", r"\]\s*>"))
_MAX_END: Final = 64  #: characters of such an end that may lie in two chunks


class Kind(Enum):
    """What a token is."""

    START = 1
    END = 2
    TEXT = 3


START: Final = Kind.START
END: Final = Kind.END
TEXT: Final = Kind.TEXT

#: What it is; a tag's name with its prefix; a text with its references resolved, or a START's attributes as written:
#: :func:`attributes`. An element without content is a START and an END. Plain tuples: there are millions.
Token = tuple[Kind, str, str]
#: What it is; how many elements are open, a tag's own included; a tag's namespace, or its prefix if nothing declares
#: it; its local name in lower case; the text of a :data:`Token`.
Event = tuple[Kind, int, str, str, str]


class Source:
    """A document's text in chunks: inflated if it is gzip (RFC 1952), decoded, and cut to *max_size* bytes.

    The encoding is what the byte order mark, *content_type* (a header's whole value) or the XML declaration says, else
    UTF-8 (XML 1.0, section 4.3.3).
    """

    def __init__(self, body: bytes, content_type: str, *, max_size: int) -> None:
        self.is_cut = False  #: True when the document goes on beyond *max_size* bytes
        self.charset = ""  #: by its WHATWG name in lower case; known when the first chunk is
        self._body = body
        self._content_type = content_type
        self._max_size = max_size

    def chunks(self) -> Iterator[str]:
        """The text; to be called once. What can't be inflated ends it, what can't be decoded becomes U+FFFD."""
        pieces = self._cut()
        first = next(pieces, b"")
        self.charset = declared_encoding(first, self._content_type) or "utf-8"
        if self.charset in {"utf-8", "utf-16le", "utf-16be"}:
            name = {"utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}.get(self.charset, "utf-8")
            decoder = codecs.getincrementaldecoder(name)("replace")
            yield decoder.decode(first).removeprefix("\ufeff")
            for piece in pieces:
                yield decoder.decode(piece)
            yield decoder.decode(b"", final=True)
            return
        rest = first
        for piece in pieces:  # in none of the others is this byte a part of a longer character
            ready, mark, rest = rest.rpartition(b"<")
            yield decode(ready, self.charset)
            rest = mark + rest + piece
        yield decode(rest, self.charset)

    def _cut(self) -> Iterator[bytes]:
        left = self._max_size
        for piece in self._pieces():
            if len(piece) > left:
                self.is_cut = True
                yield piece[:left]
                return
            left -= len(piece)
            yield piece

    def _pieces(self) -> Iterator[bytes]:
        body = self._body
        if not body.startswith(b"\x1f\x8b"):
            yield from (body[at:at + CHUNK] for at in range(0, len(body), CHUNK))
            return
        at = 0
        for _ in range(_MAX_MEMBERS):  # one after the other
            inflater = zlib.decompressobj(wbits=31)
            while at < len(body) and not inflater.eof:
                part = body[at:at + CHUNK]
                try:
                    yield inflater.decompress(part, CHUNK)
                except zlib.error:
                    return  # as far as it can be read
                at += len(part) - len(inflater.unused_data if inflater.eof else inflater.unconsumed_tail)
            if not body.startswith(b"\x1f\x8b", at):
                return
        self.is_cut = True


def source_of(response: Response, *, max_size: int) -> Source:
    """The text of *response*; what its header says of a gzip file is not said of the text in it."""
    is_gzip = response.body.startswith(b"\x1f\x8b")
    return Source(response.body, "" if is_gzip else response.content_type, max_size=max_size)


def tokens(chunks: Iterable[str]) -> Iterator[Token]:
    """The tags and texts of a document; comments, declarations, instructions and mere white space are left out.

    A text may come in several pieces, and one that the document's end cuts off does not come. Time is linear in the
    document's length, and no more than a chunk and the longest tag is kept.
    """
    rest, inside = "", None
    for chunk in chunks:
        found: list[Token] = []
        rest, inside = _scan(rest + chunk, inside, found)
        yield from found


def events(chunks: Iterable[str]) -> Iterator[Event]:
    """The tokens of a document with their namespaces (Namespaces in XML 1.0) and their depth.

    Every START has its END: what is not closed, or not in order, is closed with the element around it. What is deeper
    than :data:`MAX_DEPTH` is left out.
    """
    path: list[tuple[str, str, str, dict[str, str]]] = []  #: name as written, namespace, local name, prefixes before
    prefixes: dict[str, str] = {}
    for kind, raw, text in tokens(chunks):
        if kind is TEXT:
            yield kind, len(path), "", "", text
        elif kind is START:
            if len(path) >= MAX_DEPTH:
                continue
            before = prefixes
            if "xmlns" in text:
                prefixes = _with_declared(prefixes, text)
            prefix, _, name = raw.rpartition(":")
            space, name = prefixes.get(prefix, prefix), name.lower()
            path.append((raw, space, name, before))
            yield kind, len(path), space, name, text
        elif path and (path[-1][0] == raw or any(raw == one[0] for one in path)):
            opened = ""
            while opened != raw:
                depth = len(path)
                opened, space, name, prefixes = path.pop()
                yield kind, depth, space, name, ""
    while path:
        _, space, name, _ = path.pop()
        yield END, len(path) + 1, space, name, ""


def _with_declared(prefixes: dict[str, str], text: str) -> dict[str, str]:
    """*prefixes* within an element with these attributes."""
    found = prefixes.copy()
    for name, value in attributes(text).items():
        if name == "xmlns" or name.startswith("xmlns:"):
            prefix = name.partition(":")[2]
            if prefix in found or len(found) < MAX_PREFIXES:
                found[prefix] = value
    return found


def attributes(text: str) -> dict[str, str]:
    """The attributes of a START by their names with prefix, their references resolved; of equal ones the first."""
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(text):
        found.setdefault(name, resolved(double or single or bare))
    return found


def resolved(text: str) -> str:
    """*text* with its references resolved: XML's, numbers, and HTML's names; any other one is left out."""
    return _REFERENCE.sub(_meaning, text) if "&" in text else text


def _meaning(reference: re.Match[str]) -> str:
    decimal, hexadecimal, name = reference.groups()
    if name:
        return html5.get(f"{name};", "")
    code = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(code) if 0 < code <= 0x10FFFF and not 0xD800 <= code < 0xE000 else "\ufffd"


def _scan(text: str, inside: re.Pattern[str] | None, found: list[Token]) -> tuple[str, re.Pattern[str] | None]:
    """Add the tokens of *text* to *found*; returns its unfinished end, and what ends the construct that it lies in."""
    at = 0
    while at < len(text):
        if inside is not None:
            end = inside.search(text, at)
            stop = end.start() if end else max(at, len(text) - _MAX_END)
            if inside is _CDATA and stop > at:
                found.append((TEXT, "", text[at:stop]))
            if end is None:
                return text[stop:], inside
            at, inside = end.end(), None
        while (tag := _TAG.match(text, at)) is not None:
            before, slash, name, rest = tag.groups()
            if before and not before.isspace():
                found.append((TEXT, "", resolved(before)))
            _add_tag(found, slash, name, rest)
            at = tag.end()
        start = text.find("<", at)
        if start < 0 and len(text) - at <= _MAX_TEXT:
            return text[at:], None  # what follows tells whether it is whole
        stop = start if start >= 0 else _whole(text, at)
        if stop > at and not (before := text[at:stop]).isspace():
            found.append((TEXT, "", resolved(before)))
        if start < 0:
            return text[stop:], None
        at, inside, tag = _opened(text, start)
        if tag is not None:
            _add_tag(found, *tag.groups())
        elif at == start:
            if len(text) - at < _MAX_TAG and text.find("<", at + 1) < 0:
                return text[at:], None
            found.append((TEXT, "", "<"))
            at += 1
    return "", inside


def _opened(text: str, at: int) -> tuple[int, re.Pattern[str] | None, re.Match[str] | None]:
    """What begins with the ``<`` at *at*: where to go on, a construct's end, a tag.

    Where to go on is *at* itself for what makes no sense yet.
    """
    for beginning, end in ((_COMMENT_START, _COMMENT), (_CDATA_START, _CDATA), ("<?", _INSTRUCTION)):
        if text.startswith(beginning, at):
            return at + len(beginning), end, None
    if (doctype := _DOCTYPE.match(text, at)) is not None:
        return doctype.end(), _SUBSET if doctype[1] == "[" else None, None
    is_whole = text.find("<", at + 1) >= 0 or len(text) - at >= _MAX_TAG  # else a quote may still be closed
    tag = _BROKEN_TAG.match(text, at) if is_whole else None
    return tag.end() if tag else at, None, tag


def _add_tag(found: list[Token], slash: str, name: str, rest: str) -> None:
    if slash:
        found.append((END, name, ""))
        return
    found.append((START, name, rest))
    if rest.endswith("/"):
        found.append((END, name, ""))


def _whole(text: str, at: int) -> int:
    """The end of *text*, or where a reference begins that may go on in the next chunk."""
    cut = text.rfind("&", max(at, len(text) - _MAX_REFERENCE))
    return len(text) if cut < 0 or ";" in text[cut:] else cut
