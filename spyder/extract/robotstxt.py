"""Reads robots.txt files: of all groups the rules that are ours (RFC 9309), and what else they say to crawlers."""

from __future__ import annotations

import codecs
import re
from typing import Final

from spyder.errors import UrlError
from spyder.model.limits import MAX_RULES, MAX_SITEMAPS, MAX_URL
from spyder.model.records import RobotsRules
from spyder.model.robots import normal_pattern
from spyder.model.url import Url, parse

#: What a key is called, in lower case and without spaces, hyphens and underscores; mistakes among them that are common.
_KEYS: Final = {
    "useragent": "agent",
    "allow": "allow",
    **dict.fromkeys(("disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"), "disallow"),
    "sitemap": "sitemap", "crawldelay": "delay", "requestrate": "rate",
}
_FILLERS: Final = str.maketrans("", "", " \t-_")
#: What may stand around keys and values.
_BLANK: Final = " \t\v\f\0"

#: A line whose colon was forgotten.
_NO_COLON: Final = re.compile(
    r"(user[ _-]?agent|diss?all?ow|allow|site[ _-]?map|crawl[ _-]?delay|request[ _-]?rate)\s+(.+)", re.IGNORECASE)
_LINE: Final = re.compile(r"[^\r\n]+")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+|\*(?![A-Za-z0-9_-])")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?|\.\d+", re.ASCII)
_RATE: Final = re.compile(r"(\d+)\s*/\s*(\d+(?:\.\d+)?)\s*([smhd]?)", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}

_MARKS: Final = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def parse_robots(body: bytes, agent: str, *, max_size: int, max_crawl_delay: float, url: str = "") -> RobotsRules:
    """What the robots.txt *body* says to *agent*, a product token; it never raises, whatever *body* is.

    The groups of *agent* count, merged, and those for ``*`` only when there is none (RFC 9309, section 2.2.1). Lines
    that are no rules don't end a group (section 2.2.4). Of *body* at most *max_size* bytes are read, and no line in
    part: one that is just as long is taken for the beginning of a longer one. Delays are in seconds, at most
    *max_crawl_delay*; 0 ignores them. Sitemaps are resolved against *url*, from which the file came.
    """
    ours, others = _Group(), _Group()
    reader = _Reader(agent.lower(), ours, others)
    for match in _LINE.finditer(_text(body, max_size)):
        reader.take(match[0])
    group = ours if ours.is_named else others
    return RobotsRules(
        allow=tuple(group.allow), disallow=tuple(path for path in group.disallow if path not in group.allow),
        crawl_delay=min(group.delay, max_crawl_delay), sitemaps=_resolved(reader.sitemaps, url))


def _text(body: bytes, max_size: int) -> str:
    """The bytes that count, read as Latin-1, so that each character is one of them."""
    if len(body) >= max_size:  # just as long: it may have been cut before it came here
        end = max(body.rfind(b"\n", 0, max_size + 1), body.rfind(b"\r", 0, max_size + 1))
        body = body[: max(end, 0)]
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            body = body[len(mark) :].decode(encoding, "replace").encode()
    return body.removeprefix(codecs.BOM_UTF8).decode("latin-1")


class _Group:
    """What is said to one agent, in all of its groups. Paths are in order and distinct."""

    def __init__(self) -> None:
        self.is_named = False
        self.allow: dict[str, None] = {}
        self.disallow: dict[str, None] = {}
        self.delay = 0.0


class _Reader:
    """Takes line by line, and keeps what is said to *agent* in *ours*, what is said to ``*`` in *others*."""

    def __init__(self, agent: str, ours: _Group, others: _Group) -> None:
        self._agent = agent
        self._ours = ours
        self._others = others
        self._named: list[_Group] = []  #: groups that the rules which follow are for
        self._has_rules = False  #: the next agent begins a new group
        self._delayed: list[_Group] = []  #: of these, those that the delays which follow are for
        self._has_delay = False  #: the delays behind the next agent are for that one only
        self.sitemaps: dict[str, None] = {}

    def take(self, line: str) -> None:
        """Take a line without its end."""
        line = line.partition("#")[0].strip(_BLANK)
        key, colon, value = line.partition(":")
        if not colon:
            match = _NO_COLON.match(line)
            if match is None:
                return
            key, value = match[1], match[2]
        value = value.strip(_BLANK)
        match _KEYS.get(key.translate(_FILLERS).lower()):
            case "agent":
                self._take_agent(value)
            case "allow":
                self._has_rules = True
                for group in self._named:
                    _add_path(group.allow, value)
                    _add_path(group.allow, _folder_of_index(value))
            case "disallow":
                self._has_rules = True
                for group in self._named:
                    _add_path(group.disallow, value)
            case "sitemap":
                if len(self.sitemaps) < MAX_SITEMAPS:
                    self.sitemaps[value] = None
            case "delay":
                self._take_delay(_seconds(value))
            case "rate":
                self._take_delay(_seconds_of_rate(value))
            case _:
                pass

    def _take_agent(self, value: str) -> None:
        if self._has_rules or self._has_delay:
            self._delayed, self._has_delay = [], False
        if self._has_rules:
            self._named, self._has_rules = [], False
        token = _TOKEN.match(value)
        if token is None:
            return
        group = self._others if token[0] == "*" else self._ours if token[0].lower() == self._agent else None
        if group is not None:
            group.is_named = True
            self._named.append(group)
            self._delayed.append(group)

    def _take_delay(self, seconds: float) -> None:
        self._has_delay = True
        for group in self._delayed:
            group.delay = max(group.delay, seconds)


def _add_path(paths: dict[str, None], path: str) -> None:
    """Keep a path; an empty one says nothing. What is longer than any URL is cut."""
    if path and len(paths) < MAX_RULES:
        paths[normal_pattern(path[:MAX_URL])[:MAX_URL]] = None


def _folder_of_index(path: str) -> str:
    """The folder that is allowed with its index page, empty when *path* is none: every parser reads it so."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}/$" if slash and name.startswith("index.htm") else ""


def _seconds(value: str) -> float:
    match = _NUMBER.match(value)
    return float(match[0]) if match else 0.0


def _seconds_of_rate(value: str) -> float:
    """Seconds between two requests of a Request-rate such as ``1/10``, ``30/5m`` or ``1/10s 0600-0845``."""
    match = _RATE.match(value)
    if match is None or not int(match[1][:18]):
        return 0.0
    return float(match[2]) * _UNITS[match[3].lower()] / int(match[1][:18])


def _resolved(sitemaps: dict[str, None], url: str) -> tuple[str, ...]:
    """The URLs that *sitemaps* mean: http or https, distinct, in order."""
    try:
        base: Url | None = parse(url)
    except UrlError:
        base = None
    found: dict[str, None] = {}
    for written in sitemaps:
        try:
            text = written.encode("latin-1").decode()
        except UnicodeDecodeError:
            text = written
        try:
            sitemap = base.join(text) if base is not None else parse(text)
        except UrlError:
            continue
        if sitemap is not None and sitemap.is_fetchable and len(sitemap.href) <= MAX_URL:
            found[sitemap.href] = None
    return tuple(found)
