"""Which character encoding a document is in, as browsers decide it, and its text (WHATWG Encoding and HTML)."""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from typing import Final

import turbohtml
import turbohtml.detect  # registers the decoders "whatwg-<name>": Python's own differ in what they accept

PRESCAN_BYTES: Final = 1024  #: how much of a document is searched for a declaration (HTML, section 13.2.3.2)
DETECT_BYTES: Final = 65_536  #: of a document that declares nothing are judged, from the first one beyond ASCII on
ENOUGH: Final = 4  #: bytes beyond ASCII; fewer prove nothing

_ASCII_WHITESPACE: Final = "\t\n\f\r "
_BYTE_ORDER_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\0\0", "utf-32le"), (b"\0\0\xfe\xff", "utf-32be"),
                            (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))
_MARKS_BEGIN: Final = frozenset(mark[0] for mark, _ in _BYTE_ORDER_MARKS)
_XML_IN_UTF_16: Final = ((b"<\0?\0x\0", "utf-16le"), (b"\0<\0?\0x", "utf-16be"))
_ASCII_ONLY: Final = bytes(octet if octet < 0x80 else ord("?") for octet in range(256))
_XML_ENCODING: Final = re.compile(rb"""<\?xml[^>]*?encoding[\0-\x20]*=[\0-\x20]*(?:"([^">]*)"|'([^'>]*)')""")
_BROKEN_META: Final = re.compile(
    rb"""<[\0-\x20]+meta[\0-\x20][^>]*?charset[\0-\x20]*=[\0-\x20"']*([^\0-\x20"'>;]+)""", re.IGNORECASE)
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")
_BEYOND_ASCII: Final = bytes(range(0x80, 0x100))
_DEFAULT: Final = "windows-1252"
_MEMBER: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+', re.DOTALL)
_PARAMETER: Final = re.compile(r';[ \t\r\n]*([^;=]*)(?:=("(?:[^"\\]|\\.)*"?[^;]*|[^;]*))?', re.DOTALL)
_MEDIA_TYPE: Final = re.compile(r"[-!#$%&'*+.^_`|~0-9a-z]+/[-!#$%&'*+.^_`|~0-9a-z]+")  # HTTP tokens, in lower case
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)', re.DOTALL)

#: WHATWG names whose encoder Python knows by another name, or best matches with another one.
_ENCODERS: Final = {"big5": "big5hkscs", "euc-kr": "cp949", "ibm866": "cp866",
                    "iso-8859-8-i": "iso-8859-8", "macintosh": "mac_roman", "shift_jis": "cp932",
                    "windows-874": "cp874", "x-mac-cyrillic": "mac_cyrillic", "x-user-defined": "ascii"}
_UTF_8_QUERIES: Final = frozenset({"utf-8", "utf-16le", "utf-16be", "utf-32le", "utf-32be", "replacement"})
#: Encodings that browsers don't know any more. Here they count where a document's bytes agree.
_UTF_32: Final = frozenset({"utf-32", "utf-32le", "utf-32be"})
#: Encodings that no declaration within a document can name, as it couldn't be read; and Python's names for them.
_UNICODE: Final = {"utf-16le": "utf-16-le", "utf-16be": "utf-16-be", "utf-32le": "utf-32-le", "utf-32be": "utf-32-be"}
_XHTML: Final = "application/xhtml+xml"


@lru_cache(maxsize=1024)
def encoding_of_label(label: str) -> str | None:
    """The encoding, by its WHATWG name in lower case, that *label* means; None when it means none.

    "Get an encoding", WHATWG Encoding section 4.2: ``latin1`` gives ``windows-1252``. ``utf-32`` is known as well.
    """
    label = label.strip(_ASCII_WHITESPACE)
    try:
        name = turbohtml.parse(b"", encoding=label).encoding
    except LookupError:
        return label.lower() if label.lower() in _UTF_32 else None
    return name.lower() if name else None


@lru_cache(maxsize=4096)
def header_charset(content_type: str) -> str | None:
    """The encoding that a Content-Type header names, by its WHATWG name in lower case; None when there is none.

    Parameters are read as WHATWG MIME Sniffing section 4.4 says. Of several values joined by commas (Fetch, "extract
    a MIME type") those of the first one's media type count, as only these describe the page; the last charset wins.
    """
    found: str | None = None
    first: str | None = None
    for member in _MEMBER.findall(content_type):
        essence, semicolon, parameters = member.partition(";")
        essence = essence.strip(_ASCII_WHITESPACE).lower()
        first = essence if first is None else first
        if essence == first:
            found = _charset_parameter(semicolon + parameters) or found
    return found


def media_types(content_type: str) -> list[str]:
    """The media types in a Content-Type header, in order, in lower case and without parameters.

    What is none is left out (WHATWG MIME Sniffing, section 4.4).
    """
    found = (member.partition(";")[0].strip(_ASCII_WHITESPACE).lower() for member in _MEMBER.findall(content_type))
    return [essence for essence in found if _MEDIA_TYPE.fullmatch(essence)]


def _charset_parameter(parameters: str) -> str | None:
    for name, value in _PARAMETER.findall(parameters):
        if name.lower() == "charset" and value:
            return encoding_of_label(_unquoted(value))
    return None


def _unquoted(value: str) -> str:
    quoted = _QUOTED.match(value)
    return re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL) if quoted else value.rstrip(_ASCII_WHITESPACE)


def declared_encoding(body: bytes, content_type: str) -> str | None:
    """The encoding that the document or its transport declares; None when neither does.

    In this order (HTML, section 13.2.3.2, "encoding sniffing algorithm"): byte order mark, Content-Type header, a
    ``meta`` element within the first :data:`PRESCAN_BYTES` bytes, an XML declaration; XHTML has it first. Beyond the
    standard: UTF-32 where the bytes agree, and the byte order of UTF-16 without a mark where they show it.
    """
    if body and body[0] in _MARKS_BEGIN:
        for mark, name in _BYTE_ORDER_MARKS:
            if body.startswith(mark):
                return name
    declared = _agreeing(header_charset(content_type), body)
    if declared is not None:
        return declared
    head = body[:PRESCAN_BYTES]
    if is_xhtml(content_type):
        return _xml_encoding(head) or _meta_encoding(head)
    return _prescan(head)


def is_xhtml(content_type: str) -> bool:
    """True when a Content-Type header says that the page is XHTML."""
    return content_type[:len(_XHTML)].lower() == _XHTML


def sniff(body: bytes, content_type: str) -> str:
    """The encoding of a document, by its WHATWG name in lower case.

    What nobody declares in its head is declared further down or in a broken ``meta`` tag, or UTF-8 when it is valid as
    such and not pure ASCII, or what the frequency of its characters says; else windows-1252, the web's default. XHTML
    is UTF-8 by default (XML 1.0, section 4.3.3).
    """
    return declared_encoding(body, content_type) or _undeclared_encoding(body, is_xhtml(content_type))


def _undeclared_encoding(body: bytes, is_xml: bool) -> str:
    if b"charset" in body.lower() and not is_xml:
        document = turbohtml.parse(body, positions=False)
        if document.encoding_confidence == "certain":
            return str(document.encoding).lower()
        broken = _BROKEN_META.search(body[:PRESCAN_BYTES])
        declared = encoding_of_label(broken[1].decode("latin-1")) if broken else None
        if declared is not None and declared not in _UNICODE and declared not in _UTF_32:
            return declared
    if body.isascii():
        return "utf-8" if is_xml else _DEFAULT
    return "utf-8" if _is_utf_8(body) else _guess(body)


def _guess(body: bytes) -> str:
    """The encoding by the frequency of characters, for what is neither declared nor UTF-8."""
    first = _NOT_ASCII.search(body)
    sample = body[first.start():first.start() + DETECT_BYTES] if first else b""
    if len(sample) - len(sample.translate(None, _BEYOND_ASCII)) < ENOUGH:
        return _DEFAULT
    found = turbohtml.detect.detect(sample).encoding
    return _DEFAULT if found is None else encoding_of_label(found) or _DEFAULT


def _agreeing(declared: str | None, body: bytes) -> str | None:
    """What a header declares, with the byte order that the document's first character shows."""
    if declared in _UTF_32:
        if body.startswith(b"\0\0\0"):
            return "utf-32be"
        return "utf-32le" if body[1:4] == b"\0\0\0" else None
    if declared == "utf-16le" and body[:1] == b"\0" and body[1:2] != b"\0":
        return "utf-16be"
    return declared


def decode(body: bytes, encoding: str) -> str:
    """The text of *body* without its byte order mark; what can't be decoded becomes U+FFFD.

    *encoding* is a WHATWG label (WHATWG Encoding, section 6, "decode"); an unknown one raises :class:`LookupError`.
    """
    name = encoding if encoding == "utf-8" else encoding_of_label(encoding)
    if name is None:
        raise LookupError(f"{encoding!r} is no label of an encoding")
    if name == "utf-8":
        return str(body[3:] if body.startswith(codecs.BOM_UTF8) else body, "utf-8", "replace")
    if name in _UNICODE:
        text = str(body, _UNICODE[name], "replace")
        return text[1:] if text.startswith("\ufeff") else text
    return str(body, f"whatwg-{name}", "replace")


def encode_query(reference: str, encoding: str) -> str:
    """*reference*, a URL without a fragment, with its query percent-encoded in the document's *encoding*.

    WHATWG URL, "percent-encode after encoding": characters that the encoding lacks become ``%26%23<number>%3B``. The
    rest of a URL is always UTF-8, and so is the query of a document in UTF-8 or UTF-16.
    """
    if reference.isascii() or encoding in _UTF_8_QUERIES:
        return reference
    path, mark, query = reference.partition("?")
    octets = query.encode(_ENCODERS.get(encoding, encoding), "spyder.url")
    return path + mark + "".join(chr(octet) if octet < 0x80 and octet != 0x23 else f"%{octet:02X}" for octet in octets)


def _as_reference(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(f"%26%23{ord(char)}%3B" for char in error.object[error.start:error.end]), error.end


codecs.register_error("spyder.url", _as_reference)


def _prescan(head: bytes) -> str | None:
    for start, name in _XML_IN_UTF_16:
        if head.startswith(start):
            return name
    return _meta_encoding(head) or _xml_encoding(head)


def _meta_encoding(head: bytes) -> str | None:
    if b"charset" not in head.lower():
        return None
    document = turbohtml.parse(head.translate(_ASCII_ONLY), positions=False)  # ASCII alone is windows-1252
    if document.encoding_confidence == "certain" or document.encoding != _DEFAULT:
        return str(document.encoding).lower()
    return None


def _xml_encoding(head: bytes) -> str | None:
    for start, name in _XML_IN_UTF_16:
        if head.startswith(start):
            return name
    declaration = _XML_ENCODING.match(head)
    if declaration is None:
        return None
    declared = encoding_of_label((declaration[1] or declaration[2] or b"").decode("latin-1"))
    return "utf-8" if declared in _UNICODE or declared in _UTF_32 else declared


def _is_utf_8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
