"""SURTs: URLs whose host is written from the top-level domain down, so that a prefix means a site or a part of one.

``http://(org,example,www,)/path`` is ``http://www.example.org/path``. The form is Heritrix's, whose seed lists and
files of SURT prefixes archives have; where it reads them oddly, the difference stands at the function.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from spyder.errors import UrlError
from spyder.model.url import parse_seed

_HOSTS_REMEMBERED: Final = 8192
_IPV4: Final = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")  # as WHATWG's serializer writes one: nothing else can match
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_SURT_START: Final = re.compile(r"(?:[^:/?#(]*:)?/{0,2}\(")
_SURT: Final = re.compile(r"https?://\([^\s/]*(?:/\S*)?")
_HAS_PATH: Final = re.compile(r"(?:[^:/?#]*:[/\\]{2})?+[^/\\?#]*[/\\?]")


def surt(href: str) -> str:
    """The SURT of *href*, an http(s) URL as :class:`spyder.model.url.Url` writes it.

    Port and user follow the host: ``http://(org,example,:8080@user:word)/``. Addresses stay as they are:
    ``http://(192.168.1.5)/``, ``http://([::1]:81)/``. Scheme, and the case of path and query, are kept.
    """
    scheme, authority, rest = _split(href)
    user, at, host = authority.rpartition("@")
    return f"{scheme}://({_reversed(host)}{at}{user}){rest}"


def surt_for_match(href: str) -> str:
    """The form of *href* that :func:`surt_prefix` gives prefixes of; compare with ``startswith``.

    In lower case, https as http, without user and password, and without the dot that may end a host's name.
    """
    _, authority, rest = _split(href)
    host = authority.rpartition("@")[2]
    return f"http://({_reversed(host.removesuffix('.'))}){rest}".lower()


def surt_prefix(text: str) -> str:
    """The prefix that a line of a seed list or of a file of SURT prefixes means, for :func:`surt_for_match`.

    Written as a SURT, with or without the ``+`` of Heritrix's seed lists, it is taken as it stands, in lower case:
    ``+http://(org,example,`` means ``example.org`` and all below it. Any other text is a URL or a host:

    - without a path, the host and all hosts below it: ``example.org`` gives ``http://(org,example,``; with a port, and
      of an address, only that host (there Heritrix's prefix ``http://(10.0.0.1`` takes ``10.0.0.12`` as well);
    - with one, that host, and the folder of the path: ``http://example.org/a/b.html`` gives
      ``http://(org,example,)/a/``. A query is cut off before, not read as a path.

    A comment (``#`` at the beginning or after a space) is left out. Raises :class:`UrlError` when *text* is none of
    this.
    """
    line = _COMMENT.sub("", text).strip().removeprefix("+").strip()
    if _SURT_START.match(line):
        lower = line.lower()
        if _SURT.fullmatch(lower) is None:
            raise UrlError(f"{text[:200]!r} is no SURT prefix: expected something like http://(org,example,")
        return "http" + lower[lower.index(":"):]
    whole = surt_for_match(parse_seed(line).href)
    if _HAS_PATH.match(line):
        path = whole.partition("?")[0]
        return path[: path.rindex("/") + 1]
    authority = whole[: whole.rindex(")/")]
    return authority if authority.endswith(",") else f"{authority})"


def _split(href: str) -> tuple[str, str, str]:
    """Scheme, authority, and the rest from the path on."""
    scheme, _, after = href.partition("://")
    authority, slash, rest = after.partition("/")
    return scheme, authority, slash + rest


@lru_cache(maxsize=_HOSTS_REMEMBERED)
def _reversed(host: str) -> str:
    """*host* with its labels turned round, each followed by a comma; then its port."""
    if host.startswith("["):
        return host
    name, colon, port = host.partition(":")
    if _IPV4.fullmatch(name):
        return host
    labels = name.split(".")
    labels.reverse()
    return f"{','.join(labels)},{colon}{port}"
