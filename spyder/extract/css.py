"""What a style sheet embeds: other style sheets, images, fonts (CSS Syntax, CSS Cascade section 2, CSS Values)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from spyder.contracts import Extraction, Response
from spyder.errors import PluginError
from spyder.extract.charset import decode, encoding_of_label, header_charset
from spyder.extract.html import without_fragment
from spyder.model.states import LinkKind
from spyder.model.url import Resolver
from spyder.settings import Settings

_CHARSET: Final = re.compile(rb'@charset "([^"]{1,100})";')  # CSS Syntax, section 3.2
#: Functions whose strings are URLs.
_OF_URLS: Final = frozenset({"url", "src", "image-set", "-webkit-image-set", "image"})


class Css:
    """``url()`` and ``@import`` of style sheets. Raises :class:`PluginError` without its library, or without use."""

    media_types = frozenset({"text/css"})

    def __init__(self, settings: Settings) -> None:
        self._urls = style_urls()
        self._has_embeds = settings.extract.embeds
        self._max_links = settings.scope.max_links
        self._max_size = settings.extract.max_parse_size
        self._resolver = Resolver()

    def __call__(self, response: Response) -> Extraction | None:
        """What the style sheet embeds."""
        if not self._has_embeds:
            return None
        body = response.body[:self._max_size]
        charset = _encoding(body, response.content_type)
        references = dict.fromkeys(map(without_fragment, self._urls(decode(body, charset))))
        references.pop("", None)
        found = list(self._resolver.resolve_all(response.url, references, self._max_links + 1))
        limits = (*(("extract.max_parse_size",) if len(response.body) > self._max_size else ()),
                  *(("scope.max_links",) if len(found) > self._max_links else ()))
        return Extraction(links=dict.fromkeys(found[:self._max_links], LinkKind.EMBED), charset=charset, limits=limits)


def style_urls() -> Callable[[str], Iterable[str]]:
    """A function that gives the URLs in the text of a style sheet, or of a ``style`` attribute, as written.

    Raises :class:`PluginError` without the library.
    """
    try:
        import tinycss2
    except ImportError:
        raise PluginError("extractor `css` needs the library tinycss2: pip install 'spyder-crawler[css]'") from None
    return lambda text: _urls(tinycss2.parse_component_value_list(text, skip_comments=True))


def _encoding(body: bytes, content_type: str) -> str:
    """CSS Syntax, section 3.2: byte order mark, header, ``@charset``, UTF-8."""
    for mark, name in ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le")):
        if body.startswith(mark):
            return name
    if (named := header_charset(content_type)) is not None:
        return named
    declared = _CHARSET.match(body)
    named = encoding_of_label(declared[1].decode("latin-1")) if declared else None
    return "utf-8" if named is None or named.startswith("utf-16") else named


def _urls(values: Iterable[Any]) -> Iterator[str]:
    """The URLs in a list of component values, as written; those that only name a namespace are left out."""
    stack = [(iter(values), False)]
    rule = ""  #: the at-rule whose prelude is being read
    while stack:
        values, is_of_urls = stack[-1]
        value = next(values, None)
        if value is None:
            stack.pop()
            continue
        match value.type:
            case "at-keyword":
                rule = value.lower_value
            case "literal" if value.value == ";":
                rule = ""
            case "url" if rule != "namespace":
                yield value.value
            case "string" if is_of_urls or (rule == "import" and len(stack) == 1):
                rule = "" if rule == "import" else rule
                if rule != "namespace":
                    yield value.value
            case "function":
                stack.append((iter(value.arguments), value.lower_name in _OF_URLS))
            case "() block" | "[] block" | "{} block":
                rule = "" if value.type == "{} block" else rule
                stack.append((iter(value.content), False))
            case _:
                pass
