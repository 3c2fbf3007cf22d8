"""URLs that only a trap would make: rules that need nothing but the URL, each with a name; reasons in docs/scope.md."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Final

from spyder.model.sessions import count_sessions, may_have_session
from spyder.settings import TRAP_RULES, TrapsSection

#: The rules here; those of :data:`spyder.settings.TRAP_RULES` beyond them are limits that only the master counts.
STATELESS: Final = TRAP_RULES[:6]
#: Slashes of a URL before its path.
_AUTHORITY: Final = 3
#: Segments that count and shelve: ``/000/000/000/012/`` is no trap.
_NUMBER: Final = re.compile(r"[0-9]{0,4}")
#: What stands for a session or an object rather than for a place: UUIDs and long hexadecimal numbers, with a digit.
_TOKEN: Final = re.compile(
    r"(?=[^/]*[0-9])(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{16,})|\([a-z]\([^/]*\)\)", re.IGNORECASE)
_TOKEN_START: Final = re.compile(r"/(?:[0-9a-fA-F]{8}|\()")
#: A day or a month: with dashes, or a year, a month and a day as segments.
_DATE: Final = re.compile(
    r"(?<![0-9A-Za-z])([0-9]{4})-(?:1[0-2]|0?[1-9])(?:-(?:3[01]|[12][0-9]|0?[1-9]))?(?![0-9A-Za-z-])"
    r"|/([0-9]{4})/(?:1[0-2]|0?[1-9])/(?:3[01]|[12][0-9]|0?[1-9])(?=[/?#]|$)")
#: The same in a calendar's URL, where a month needs no day, and no dashes.
_CALENDAR_DATE: Final = re.compile(
    r"(?<![0-9A-Za-z])([0-9]{4})[-/_.]?(?:1[0-2]|0?[1-9])(?:[-/_.]?(?:3[01]|[12][0-9]|0?[1-9]))?(?![0-9A-Za-z])")
#: A year among a query's parameters, and a month, week or day beside it.
_YEAR: Final = re.compile(r"[?&;](?:year|yr|y|jahr|annee|ano|anno)=([0-9]{4})(?=[&;#]|$)", re.IGNORECASE)
_STEP: Final = re.compile(r"[?&;](?:month|mon|m|week|w|day|d|monat|woche|tag|mois|mes|mese)=[0-9]{1,3}(?=[&;#]|$)",
                          re.IGNORECASE)
#: Seconds since 1970 where a time is meant.
_SECONDS: Final = re.compile(
    r"[?&;](?:date|time|timestamp|day|week|month|start|from|cal[a-z_]*)=([0-9]{10})(?=[&;#]|$)", re.IGNORECASE)
_CALENDAR: Final = re.compile(
    r"(?<![a-z])(?:calend[a-z]*|kalend[a-z]*|ical|agenda|termine|month|week|monat|woche|cal)(?![a-z])", re.IGNORECASE)
_DIGITS: Final = re.compile(r"[0-9]{4,10}")
#: Digits of a time in seconds since 1970, until the year 2286.
_SECONDS_DIGITS: Final = 10
#: Escapes of an escape that no URL has room for.
_MANY_ESCAPES: Final = 10_000
#: Seconds of a year.
_YEAR_SECONDS: Final = 31_556_952
#: A block of segments is looked for up to this length.
_LONGEST_SEQUENCE: Final = 10


class Traps:
    """The rules that the settings leave switched on. Cheap for a URL without anything odd."""

    def __init__(self, settings: TrapsSection, *, now: float = 0.0) -> None:
        """*now*, wall time, is what dates are compared with; :meth:`tell_time` tells a later one. 0: no dates."""
        self._settings = settings
        self._last_year: int | None = None
        self._last_seconds = 0.0
        self._first_year = settings.calendar_from or 0
        self._slashes = _AUTHORITY + min(  # a URL with fewer has too few segments for any of the rules
            _or_never(settings.path_depth), _or_never(settings.segment_repeats),
            2 * (_or_never(settings.sequence_repeats) + 1) - 1)
        self._many_slashes = _AUTHORITY + min(  # here tokens may repeat that differ, or the path be too deep
            _or_never(settings.path_depth), 2 * (_or_never(settings.sequence_repeats) + 1) - 1)
        self._escaped = "%" + "25" * (_MANY_ESCAPES if settings.escapes is None else settings.escapes)
        self._year = 0
        if now:
            self.tell_time(now)

    def tell_time(self, now: float) -> None:
        """From now on it is *now*, wall time."""
        year = _year(now)
        if year != self._year and self._settings.calendar_years is not None:
            self._year = year
            self._last_year = year + self._settings.calendar_years
            self._last_seconds = now + (self._settings.calendar_years + 1) * _YEAR_SECONDS

    def find(self, href: str) -> str:
        """The rule that *href*, a fetch URL, breaks; empty when it breaks none."""
        # every new link comes here: what tells that a rule can't hold, for next to nothing, stands before it
        parts = href.split("/")
        if len(parts) > self._slashes and (
                len(parts) > self._many_slashes or len(set(parts)) < len(parts)) and (rule := self._path(href)):
            return rule
        has_query = "?" in href
        if has_query and self._permutations(href):
            return "query-permutations"
        if self._escaped in href:
            return "nested-escapes"
        if (has_query or ";" in href or "/(" in href) and self._has_sessions(href):
            return "session-id"
        if _DIGITS.search(href, len(parts[0]) + len(parts[2]) + 3) is not None and self._date(href):
            return "calendar"
        return ""

    def views(self) -> list[tuple[str, str, str]]:
        """Name, condition in words, and settings of each rule that is switched on."""
        section = self._settings
        rows = (
            ("path-depth", section.path_depth, f"more than {section.path_depth} path segments", "traps.path_depth"),
            ("repeating-segments", section.segment_repeats or section.sequence_repeats,
             f"a segment more than {section.segment_repeats} times, or a sequence more than "
             f"{section.sequence_repeats} times in a row", "traps.segment_repeats, traps.sequence_repeats"),
            ("calendar", section.calendar_years, f"a date more than {section.calendar_years} years from now, or before "
             f"{section.calendar_from} in a calendar", "traps.calendar_years, traps.calendar_from"),
            ("session-id", section.session_ids, f"more than {section.session_ids} session ids", "traps.session_ids"),
            ("query-permutations", section.parameters or section.parameter_repeats,
             f"more than {section.parameters} parameters, or one of them more than {section.parameter_repeats} times",
             "traps.parameters, traps.parameter_repeats"),
            ("nested-escapes", section.escapes, f"escaped more than {section.escapes} times over", "traps.escapes"))
        return [(name, words, origin) for name, value, words, origin in rows if value is not None]

    def words(self, rule: str, href: str) -> str:
        """Why *href* breaks *rule*, with the setting's name."""
        section = self._settings
        match rule:
            case "path-depth":
                count = len(segments(href))
                return f"its path has {count:,} segments, more than traps.path_depth ({section.path_depth})"
            case "repeating-segments":
                return ("its path repeats itself, more than traps.segment_repeats "
                        f"({section.segment_repeats}) or traps.sequence_repeats ({section.sequence_repeats}) allow")
            case "query-permutations":
                return (f"its query has more parameters than traps.parameters ({section.parameters}), or says one more "
                        f"often than traps.parameter_repeats ({section.parameter_repeats})")
            case "nested-escapes":
                return f"a URL is escaped in it more than traps.escapes ({section.escapes}) times over"
            case "session-id":
                return f"it has more session ids than traps.session_ids ({section.session_ids}), or repeats their place"
            case _:
                return (f"it has a date of {self._date(href)}, beyond traps.calendar_years ({section.calendar_years}) "
                        f"or before traps.calendar_from ({section.calendar_from})")

    def _path(self, href: str) -> str:
        section = self._settings
        parts = segments(href)
        if section.path_depth is not None and len(parts) > section.path_depth:
            return "path-depth"
        if len(set(parts)) < len(parts) and self._repeats(parts):
            return "repeating-segments"
        if section.session_ids is not None and _TOKEN_START.search(href) and self._repeats(
                ["0" if _TOKEN.fullmatch(part) else part for part in parts]):
            return "session-id"
        return ""

    def _repeats(self, parts: list[str]) -> bool:
        section = self._settings
        if section.segment_repeats is not None:
            most = Counter(part for part in parts if not part or not _NUMBER.fullmatch(part))
            if most and max(most.values()) > section.segment_repeats:
                return True
        times = section.sequence_repeats
        return times is not None and any(
            _follows_itself(parts, length, times + 1)
            for length in range(2, min(_LONGEST_SEQUENCE, len(parts) // (times + 1)) + 1))

    def _has_sessions(self, href: str) -> bool:
        most = self._settings.session_ids
        if most is None or href.count("=") + href.count("(") <= most:
            return False
        return may_have_session(href) and count_sessions(href) > most

    def _permutations(self, href: str) -> bool:
        section = self._settings
        count = href.count("&")
        if count < min(_or_never(section.parameters), _or_never(section.parameter_repeats)):
            return False
        query = href[href.index("?") + 1:]
        parameters = [parameter for parameter in query.split("&") if parameter]
        if section.parameters is not None and len(parameters) > section.parameters:
            return True
        return (section.parameter_repeats is not None and bool(parameters)
                and max(Counter(parameters).values()) > section.parameter_repeats)

    def _date(self, href: str) -> str:
        """The date in *href* that no calendar needs, as a year; empty when all are well."""
        text = href[href.find("/", href.index("//") + 2):]  # a port is no year
        if self._last_year is None or not self._has_odd_number(text):
            return ""
        years = [year for groups in _DATE.findall(text) for year in groups if year]
        if _STEP.search(text):
            years += _YEAR.findall(text)
        is_calendar = _CALENDAR.search(href) is not None
        if is_calendar:
            years += _CALENDAR_DATE.findall(text)
        for year in years:
            if int(year) > self._last_year or (is_calendar and int(year) < self._first_year):
                return str(year)
        for seconds in _SECONDS.findall(text):
            if int(seconds) > self._last_seconds:
                return str(_year(int(seconds)))
        return ""

    def _has_odd_number(self, text: str) -> bool:
        """True when a number in *text* could be a date that is out of bounds."""
        first, last = self._first_year, self._last_year
        return any(int(number) > self._last_seconds if len(number) == _SECONDS_DIGITS
                   else not first <= int(number[:4]) <= (last or 0) for number in _DIGITS.findall(text))


def segments(href: str) -> list[str]:
    """The segments of a fetch URL's path, without the empty one behind a last slash."""
    path = href.partition("?")[0]
    parts = path.split("/")[_AUTHORITY:]
    if parts and not parts[-1]:
        parts.pop()
    return parts


def _follows_itself(parts: list[str], length: int, times: int) -> bool:
    """True when some *length* segments, not all of them equal, come *times* times in a row."""
    run = 0  # positions in a row at which the segment is that of one block before
    for index in range(length, len(parts)):
        run = run + 1 if parts[index] == parts[index - length] else 0
        if run >= length * (times - 1) and len(set(parts[index - length + 1:index + 1])) > 1:
            return True
    return False


def _year(at: float) -> int:
    return datetime.fromtimestamp(at, UTC).year


def _or_never(limit: int | None) -> int:
    return 1 << 30 if limit is None else limit
