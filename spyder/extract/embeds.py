"""What a page embeds: images, styles, scripts, media. Which element says so in which attribute, and ``srcset``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

import msgspec
import turbohtml

#: Relations of ``link`` elements, and of Link header fields, whose target is a part of the page (HTML, section 4.6.7).
RESOURCES: Final = frozenset({
    "apple-touch-icon", "apple-touch-icon-precomposed", "apple-touch-startup-image", "compression-dictionary", "icon",
    "image_src", "manifest", "mask-icon", "modulepreload", "prefetch", "preload", "shortcut", "stylesheet"})
#: Relations that lead to a service or to nothing that could be fetched.
SERVICES: Final = frozenset({
    "dns-prefetch", "edituri", "expect", "pingback", "preconnect", "search", "webmention", "wlwmanifest"})

#: Attributes with one URL each, by element.
_ATTRIBUTES: Final[dict[str, tuple[str, ...]]] = {
    "img": ("src", "lowsrc", "dynsrc"), "image": ("href", "xlink:href", "src"), "source": ("src",),
    "script": ("src", "href", "xlink:href"), "video": ("src", "poster"), "audio": ("src",), "track": ("src",),
    "embed": ("src",), "object": ("data",), "bgsound": ("src",), "use": ("href", "xlink:href"),
    "feImage": ("href", "xlink:href"), "body": ("background",),
    "table": ("background",), "tr": ("background",), "td": ("background",), "th": ("background",),
    "amp-img": ("src",), "amp-anim": ("src",), "amp-video": ("src", "poster"), "amp-audio": ("src",)}
#: Elements that may have ``srcset``, and whose URLs scripts often put in place later.
_PICTURES: Final = frozenset({"img", "source", "amp-img", "amp-anim"})
#: Elements to look at.
TAGS: Final = (*_ATTRIBUTES, "input", "link")

#: Attributes in which scripts that load pictures late keep the URLs: one, or several as in ``srcset``.
_LATE: Final = re.compile(r"data-(?:lazy-?)?(?:src|original|bg|background)(?:-?set|-?image)?"
                          r"(?:-(?:x?small|medium|x?large|mobile|tablet|desktop|retina|webp|hd|xs|sm|md|lg|xl|[0-9]+[wx]?))?\Z")
#: Names of ``meta`` elements whose content is the URL of a picture or of a video.
_META: Final = frozenset({
    "og:image", "og:image:url", "og:image:secure_url", "og:video", "og:video:url", "og:video:secure_url", "og:audio",
    "og:audio:url", "og:audio:secure_url", "twitter:image", "twitter:image:src", "msapplication-tileimage"})

#: Pictures that are taken from one ``srcset``.
_MAX_CANDIDATES: Final = 1000

_SPACE: Final = "\t\n\f\r "
_BETWEEN: Final = re.compile(r"[\t\n\f\r ,]*")
_URL: Final = re.compile(r"[^\t\n\f\r ]+")
_DESCRIPTORS: Final = re.compile(r"(?:[^,(]|\([^)]*(?:\)|\Z))*")
_DESCRIPTOR: Final = re.compile(r"(?:[^\t\n\f\r (]|\([^)]*(?:\)|\Z))+")
_INTEGER: Final = re.compile(r"[0-9]+\Z")
_NUMBER: Final = re.compile(r"-?(?:[0-9]+|[0-9]*\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """One of the pictures of a ``srcset``."""

    url: str  #: as written
    is_valid: bool  #: False when its descriptors make browsers leave it out


def srcset_candidates(text: str) -> Iterator[Candidate]:
    """The pictures of a ``srcset`` attribute (WHATWG HTML, "parse a srcset attribute"), in time linear to its length.

    Those that browsers leave out, because of descriptors that they can't read, come as well, marked.
    """
    at = _past(_BETWEEN, text, 0)
    while (found := _URL.match(text, at)) is not None:
        url, at = found[0], found.end()
        if url.endswith(","):
            yield Candidate(url.rstrip(","), True)
        else:
            start, at = at, _past(_DESCRIPTORS, text, at)
            yield Candidate(url, _are_valid(_DESCRIPTOR.findall(text, start, at)))
        at = _past(_BETWEEN, text, at)


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where what *pattern* matches at *at* ends."""
    found = pattern.match(text, at)
    return found.end() if found else at


def _are_valid(descriptors: list[str]) -> bool:
    seen: set[str] = set()
    for descriptor in descriptors:
        number, unit = descriptor[:-1], descriptor[-1]
        match unit:
            case "w" | "h":
                clash = {unit, "x"}
                fits = _INTEGER.match(number) is not None and number.strip("0") != ""
            case "x":
                clash = {"w", "x", "h"}
                fits = _NUMBER.match(number) is not None and (number[0] != "-" or float(number) == 0)
            case _:
                return False
        if not fits or seen & clash:
            return False
        seen.add(unit)
    return "h" not in seen or "w" in seen


def embedded(element: turbohtml.Element, tag: str) -> Iterator[str]:
    """The URLs of what *element*, one of :data:`TAGS` but not a ``link``, embeds, as written."""
    if tag == "input":
        if (element.attr("type") or "").lower() == "image":
            yield element.attr("src") or ""
        return
    for name in _ATTRIBUTES[tag]:
        if url := element.attr(name):
            yield url
    if tag in _PICTURES:
        yield from _pictures(element)


def _pictures(element: turbohtml.Element) -> Iterator[str]:
    for name, value in element.attrs.items():
        if not isinstance(value, str):
            continue
        if name == "srcset" or (_LATE.match(name) and ("set" in name or ", " in value)):
            yield from _urls(value)
        elif _LATE.match(name):
            yield value


def _urls(srcset: str) -> Iterator[str]:
    """Of the valid candidates and the others: which ones a browser takes depends on its screen and its version."""
    return (candidate.url for candidate in islice(srcset_candidates(srcset), _MAX_CANDIDATES))


def link_embeds(element: turbohtml.Element) -> Iterator[str]:
    """The URLs of a ``link`` element whose relation is one of :data:`RESOURCES`."""
    if url := element.attr("href"):
        yield url
    if pictures := element.attr("imagesrcset"):
        yield from _urls(pictures)


def meta_embed(element: turbohtml.Element) -> str | None:
    """The URL of a picture or a video that a ``meta`` element names (Open Graph and its like)."""
    name = element.attr("property") or element.attr("name") or element.attr("itemprop") or ""
    return element.attr("content") if name.strip(_SPACE).lower() in _META else None
