"""What a rule of the scope asks of a link: conditions compiled to functions, and told in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from spyder.errors import SettingsError, UrlError
from spyder.model.glob import Globs
from spyder.model.url import host_of
from spyder.scope.lists import Hosts, ListFile, Prefixes, either
from spyder.scope.traps import segments
from spyder.settings import RuleCondition

#: A fetch URL, its depth and its transclusion hops, to whether a condition holds; None: only the master knows.
Test = Callable[[str, int, int], bool | None]
#: The lines of list files by name.
Lists = Mapping[str, Sequence[str]]

_SCHEMES: Final = ("http", "https")


def compile_condition(condition: RuleCondition, *, source: str, lists: Lists | None, seeded: Test) -> Test:
    """The test whether all that *condition* asks of a link holds; of a content type see :func:`compile_types`.

    *seeded* stands for the hosts of seeds. Raises :class:`SettingsError` beginning with *source*.
    """
    tests = list(_cheap_tests(condition))
    if condition.scheme is not None:
        tests.append(_scheme(condition.scheme, source))
    if condition.host is not None or condition.domain is not None:
        tests.extend(_host_tests(condition, source))
    if condition.surt is not None:
        tests.append(_surt(condition.surt, source))
    if condition.regex is not None:
        tests.append(_regex(condition.regex, source))
    if condition.file is not None:
        tests.append(_listed(condition.file, source, lists))
    if condition.seeds is not None:
        tests.append(seeded)
    return tests[0] if len(tests) == 1 else _all_of(tests)


def compile_expressions(expressions: Sequence[str], *, source: str) -> tuple[re.Pattern[str], ...]:
    """Patterns of which one must be found. Raises :class:`SettingsError` naming the expression that is none."""
    for expression in expressions:
        try:
            re.compile(expression)
        except (re.error, OverflowError, RecursionError) as error:
            raise SettingsError(f"{source}: {expression!r} is no regular expression: {error}") from None
    return either(expressions)


def compile_types(patterns: Sequence[str]) -> Callable[[str], bool]:
    """The test whether a media type is one of *patterns*, with `*` for any characters."""
    return Globs(pattern.strip().lower() for pattern in patterns).match


def condition_words(condition: RuleCondition) -> str:
    """What *condition* asks, in words: ``host *.example.org, more than 3 links from a seed``."""
    return ", ".join(_words(key, value) for key in condition.__struct_fields__
                     if (value := getattr(condition, key)) is not None)


def _words(key: str, value: object) -> str:
    match key:
        case "path_depth":
            return f"more than {value} path segments"
        case "depth":
            return f"more than {value} links from a seed"
        case "embeds":
            return f"embedded over {value} hops at the most"
        case "query_length":
            return f"more than {value} characters in the query"
        case "url_length":
            return f"more than {value} characters"
        case "content_type":
            return f"media type {' | '.join(value) if isinstance(value, tuple) else value}, once fetched"
        case "seeds":
            return "host of a seed"
        case "any":
            return "any"
        case _:
            values = " | ".join(value) if isinstance(value, tuple) else value
            return f"{key.replace('_', ' ')} {values}"


def _all_of(tests: Sequence[Test]) -> Test:
    """The test whether all hold: false when one does not, whatever is unknown of the others."""

    def test(href: str, depth: int, embeds: int) -> bool | None:
        is_known = True
        for one in tests:
            held = one(href, depth, embeds)
            if held is False:
                return False
            is_known = is_known and held is not None
        return True if is_known else None

    return test


def _cheap_tests(condition: RuleCondition) -> list[Test]:
    """The tests that compare numbers."""
    tests: list[Test] = []
    if condition.depth is not None:
        tests.append(_more_links(condition.depth))
    if condition.embeds is not None:
        tests.append(_embedded(condition.embeds))
    if condition.url_length is not None:
        tests.append(_longer(condition.url_length))
    if condition.query_length is not None:
        tests.append(_longer_query(condition.query_length))
    if condition.path_depth is not None:
        tests.append(_deeper_path(condition.path_depth))
    return tests


def _more_links(most: int) -> Test:
    return lambda _, depth, __: depth > most


def _embedded(most: int) -> Test:
    return lambda _, __, embeds: 0 < embeds <= most


def _longer(most: int) -> Test:
    return lambda href, _, __: len(href) > most


def _longer_query(most: int) -> Test:
    return lambda href, _, __: len(href.partition("?")[2]) > most


def _deeper_path(most: int) -> Test:
    return lambda href, _, __: len(segments(href)) > most


def _scheme(schemes: Sequence[str], source: str) -> Test:
    for scheme in schemes:
        if scheme not in _SCHEMES:
            raise SettingsError(f"{source}: `scheme` {scheme!r}: only {' and '.join(_SCHEMES)} are crawled")
    starts = tuple(f"{scheme}://" for scheme in schemes)
    return lambda href, _, __: href.startswith(starts)


def _host_tests(condition: RuleCondition, source: str) -> list[Test]:
    tests: list[Test] = []
    for key, patterns in (("host", condition.host), ("domain", condition.domain)):
        if patterns is None:
            continue
        hosts = Hosts()
        for pattern in patterns:
            try:
                if key == "host":
                    hosts.add(pattern)
                else:
                    hosts.add_domain(pattern)
            except UrlError as error:
                raise SettingsError(f"{source}: `{key}`: {error}") from None
        tests.append(_on_host(hosts))
    return tests


def _on_host(hosts: Hosts) -> Test:
    return lambda href, _, __: hosts.holds(host_of(href))


def _surt(patterns: Sequence[str], source: str) -> Test:
    prefixes = Prefixes()
    for pattern in patterns:
        try:
            prefixes.add(pattern)
        except UrlError as error:
            raise SettingsError(f"{source}: `surt`: {error}") from None
    return lambda href, _, __: prefixes.holds(href)


def _regex(expressions: Sequence[str], source: str) -> Test:
    patterns = compile_expressions(expressions, source=f"{source}: `regex`")
    if len(patterns) == 1:
        search = patterns[0].search
        return lambda href, _, __: search(href) is not None
    return lambda href, _, __: any(pattern.search(href) for pattern in patterns)


def _listed(name: str, source: str, lists: Lists | None) -> Test:
    if lists is None:
        return lambda _, __, ___: None
    listed = ListFile(lists.get(name, ()), source=f"{source}: {name}")
    return lambda href, _, __: listed.holds(href)
