"""List files of a scope: hosts, domains, SURT prefixes and regular expressions, one a line; quick however long."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from spyder.errors import SettingsError, UrlError
from spyder.model.glob import Globs
from spyder.model.surt import surt_for_match, surt_prefix
from spyder.model.url import host_of, parse

#: Bytes of a list file at the most.
_MAX_FILE: Final = 256 * 1024 * 1024
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")


class Hosts:
    """Hosts by name, with `*` for any characters; a pattern without a port holds for every port."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._domains: set[str] = set()
        self._globs = Globs()

    def add(self, pattern: str) -> None:
        """Add a host. Raises :class:`UrlError` when *pattern* is none."""
        name = host_name(pattern)
        if "*" in name:
            self._globs.add(name)
        else:
            self._names.add(name)

    def add_domain(self, domain: str) -> None:
        """Add a domain with all hosts below it. Raises :class:`UrlError` when *domain* is none."""
        name = host_name(domain)
        if "*" in name or without_port(name) != name:
            raise UrlError(f"{domain!r} is no domain: expected something like example.org")
        self._domains.add(name)

    def holds(self, host: str) -> bool:
        """True when *host*, with or without a port, is one of them."""
        name = without_port(host)
        if host in self._names or name in self._names:
            return True
        if self._globs.match(host) or self._globs.match(name):
            return True
        return bool(self._domains) and self._is_below(name)

    def _is_below(self, name: str) -> bool:
        domains = self._domains
        while name not in domains:
            dot = name.find(".")
            if dot < 0:
                return False
            name = name[dot + 1:]
        return True


class Prefixes:
    """SURT prefixes."""

    def __init__(self) -> None:
        self._prefixes: list[str] = []
        self._is_sorted = True

    def add(self, text: str) -> None:
        """Add a prefix. Raises :class:`UrlError` when *text* means none."""
        self._prefixes.append(surt_prefix(text))
        self._is_sorted = False

    def holds(self, href: str) -> bool:
        """True when the SURT of *href* begins with one of them."""
        if not self._is_sorted:
            self._sort()
        form = surt_for_match(href)
        index = bisect_right(self._prefixes, form)
        return index > 0 and form.startswith(self._prefixes[index - 1])

    def _sort(self) -> None:
        """In order, and none that begins with another one: so the last one before a text is the only one to look at."""
        kept: list[str] = []
        for prefix in sorted(set(self._prefixes)):
            if not kept or not prefix.startswith(kept[-1]):
                kept.append(prefix)
        self._prefixes, self._is_sorted = kept, True

    def __len__(self) -> int:
        """How many there are."""
        return len(self._prefixes)


class ListFile:
    """The lines of a list file; *source* names it in errors.

    A line is a host (`www.example.org`, `*.example.org`), a domain with all below it (`.example.org`), a SURT prefix or
    a URL that is read as one (`+http://(org,example,`, `https://example.org/docs/`), or a regular expression behind
    `~`. Raises :class:`SettingsError` naming the line that is none of this.
    """

    def __init__(self, lines: Iterable[str], *, source: str) -> None:
        self._hosts = Hosts()
        self._prefixes = Prefixes()
        expressions = []
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            try:
                if text.startswith("~"):
                    expressions.append(text[1:].strip())
                    re.compile(expressions[-1])
                    continue
                text = _COMMENT.sub("", text).strip()
                if text.startswith("."):
                    self._hosts.add_domain(text[1:])
                elif text.startswith("+") or "/" in text or "(" in text:
                    self._prefixes.add(text)
                else:
                    self._hosts.add(text)
            except UrlError as error:
                raise SettingsError(f"{source}, line {number}: {error}") from None
            except re.error as error:
                raise SettingsError(f"{source}, line {number}: {text!r} is no regular expression: {error}") from None
        self._expressions = either(expressions)

    def holds(self, href: str) -> bool:
        """True when a line holds for *href*, a fetch URL."""
        return (self._hosts.holds(host_of(href)) or (len(self._prefixes) > 0 and self._prefixes.holds(href))
                or any(expression.search(href) for expression in self._expressions))


def read_lines(path: str) -> tuple[str, ...]:
    """The lines of a list file. Raises :class:`SettingsError` when it can't be read."""
    try:
        if Path(path).stat().st_size > _MAX_FILE:
            raise SettingsError(f"{path}: is larger than a list file may be ({_MAX_FILE:,} bytes)")
        return tuple(Path(path).read_bytes().decode("utf-8-sig").splitlines())
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text") from None
    except ValueError:  # a NUL, or the half of a surrogate pair
        raise SettingsError(f"{path!r}: is no name of a file") from None


def either(expressions: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    """*expressions* compiled, as one where that changes nothing: none has groups to refer to, or flags of its own.

    Raises :class:`re.error`.
    """
    compiled = [re.compile(expression) for expression in dict.fromkeys(expressions)]
    plain = [one for one in compiled if not one.groups and one.flags == re.UNICODE]
    others = [one for one in compiled if one.groups or one.flags != re.UNICODE]
    if len(plain) > 1:
        plain = [re.compile("|".join(f"(?:{one.pattern})" for one in plain))]
    return (*plain, *others)


def host_name(pattern: str) -> str:
    """A host as URLs have it (lower case, IDNA), with its port if it has one; `*` is left as it is.

    Raises :class:`UrlError` when *pattern* is none.
    """
    text = pattern.strip()
    if text and not set(text) & set("/?#@\\ \t"):
        try:
            return parse(f"http://{text}/").host
        except UrlError:
            if "*" in text and re.fullmatch(r"[a-z0-9.*:-]+", text.lower()):  # 10.*.*.1 is no address
                return text.lower()
    raise UrlError(f"{pattern[:200]!r} is no host: expected something like www.example.org or *.example.org")


def without_port(host: str) -> str:
    """*host* without its port."""
    return host if host.endswith("]") else host.rpartition(":")[0] or host
