"""Which links belong to the crawl: an ordered list of named rules, of which the last one that holds decides.

The model is Heritrix's DecideRuleSequence. Rules are compiled once to functions and asked from the last to the first.
What only the master knows, the seeds' hosts and the lines of list files, is unknown to a worker: when the decision
depends on it, the verdict is None and the worker passes the link on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from spyder.errors import SettingsError
from spyder.model.limits import MAX_URL
from spyder.model.scoping import HostScoping, Verdict
from spyder.model.url import host_of
from spyder.scope.conditions import Test, compile_condition, compile_expressions, compile_types, condition_words
from spyder.scope.lists import read_lines
from spyder.scope.traps import STATELESS, Traps
from spyder.settings import ScopeRule, ScopeSection, TrapsSection

Rules = Sequence[ScopeRule | Literal["limits"]]

_SCHEMES: Final = ("http://", "https://")
_ORIGIN: Final = "scope.rules"


class RuleView(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as ``spyder scope show`` shows it."""

    name: str
    decision: str  #: accept or reject
    condition: str  #: in words
    origin: str  #: the setting that it comes from


class _Pending(NamedTuple):
    """A rule of which nobody here knows whether it holds."""

    accepts: bool  #: if it does
    verdict: Verdict


#: What a link is, to the verdict of a rule that holds, or may hold; None when it does not.
_Step = Callable[[str, int, int], Verdict | _Pending | None]


class LinkScope:
    """The rules of a scope, compiled.

    *rules* stand in for those of the settings when they were edited. *lists* are the lines of list files by name, None
    at a worker, which leaves them to the master. *now* is wall time. Raises :class:`SettingsError` naming what is wrong
    in which rule.
    """

    def __init__(self, settings: ScopeSection, traps: TrapsSection | None = None, *, rules: Rules | None = None,
                 lists: Mapping[str, Sequence[str]] | None = None, now: float = 0.0) -> None:
        self._settings = settings
        self._lists = lists
        self._traps = Traps(traps or TrapsSection(), now=now)
        self._is_seeded: Callable[[str], bool] | None = None
        self._include = compile_expressions(settings.include, source="scope.include")
        self._exclude = compile_expressions(settings.exclude, source="scope.exclude")
        own = settings.rules if rules is None else rules
        self._own = {rule.name: rule for rule in own if isinstance(rule, ScopeRule)}
        self._types: list[tuple[Test, Callable[[str], bool], Verdict]] = []
        #: True when a rule asks whether a link embeds.
        self.judges_embeds = any(rule.condition.embeds is not None for rule in self._own.values())
        self._base = Verdict(settings.mode == "any", settings.mode)
        self._views: list[RuleView] = []
        self._steps: list[_Step] = []
        self._add_mode()
        self._add_expressions()
        self._add_own(own)
        self._add("scheme", "reject", f"neither {' nor '.join(_SCHEMES)}", "always",
                  lambda href, *_: not href.startswith(_SCHEMES))
        self._steps.reverse()
        has_final_limits = not own or "limits" not in own or own[-1] == "limits"
        self._length = settings.max_url_length if has_final_limits else MAX_URL
        self._depth = (1 << 62) if settings.depth is None or not has_final_limits else settings.depth
        self._is_plain = not self._own and not settings.include and not settings.exclude

    # -- verdicts ------------------------------------------------------------------------------------------------

    def bind(self, is_seeded: Callable[[str], bool]) -> None:
        """From now on *is_seeded* tells whether a URL is on a host, or domain, of a seed."""
        self._is_seeded = is_seeded

    def tell_time(self, now: float) -> None:
        """From now on it is *now*, wall time: dates in URLs are compared with it."""
        self._traps.tell_time(now)

    def judge(self, href: str, depth: int, embeds: int = 0) -> Verdict:
        """The verdict on *href*, a fetch URL, *depth* links from a seed, the last *embeds* of them embedding."""
        pending: list[_Pending] = []
        decision = self._base
        for step in self._steps:
            found = step(href, depth, embeds)
            if found is None:
                continue
            if isinstance(found, Verdict):
                decision = found
                break
            pending.append(found)
        if pending:
            return next((one.verdict for one in pending if one.accepts is not decision.accepted), decision)
        return decision

    def admits(self, href: str, depth: int) -> bool:
        """False when *href* is certainly out: the part of :meth:`judge` that costs next to nothing."""
        return len(href) <= self._length and depth <= self._depth and href.startswith(_SCHEMES)

    def refusal(self, href: str, depth: int, embeds: int = 0) -> str:
        """The rule that keeps a link out which :meth:`admits`, as far as a worker can tell; empty when none does."""
        if self._is_plain:
            return self._traps.find(href)
        verdict = self.judge(href, depth, embeds)
        return verdict.rule if verdict.accepted is False else ""

    def refused_type(self, media_type: str, href: str, depth: int, embeds: int = 0) -> str:
        """The rule that keeps a fetched page with *media_type* out; empty when none does.

        Of the rules with a content type the last one that holds decides.
        """
        for test, is_type, verdict in reversed(self._types):
            if is_type(media_type) and test(href, depth, embeds):
                return "" if verdict.accepted else verdict.rule
        return ""

    # -- for people ----------------------------------------------------------------------------------------------

    @property
    def views(self) -> tuple[RuleView, ...]:
        """All rules in order, those of other settings included."""
        return tuple(self._views)

    def words(self, rule: str, href: str, depth: int = 0) -> str:
        """Why *rule* decides on *href*, in words and with the setting's name."""
        match rule:
            case "scheme":
                return f"only {' and '.join(_SCHEMES)} are crawled"
            case "url-length":
                return (f"it has {len(href):,} characters, more than scope.max_url_length "
                        f"({self._settings.max_url_length:,})")
            case "depth":
                return f"it is {depth:,} links from a seed, more than scope.depth ({self._settings.depth:,})"
            case "exclude":
                found = next(one for one in self._settings.exclude if re.search(one, href))
                return f"it matches {found!r} of scope.exclude"
            case "include":
                return f"it matches none of scope.include: {', '.join(map(repr, self._settings.include))}"
            case "host" | "domain":
                what = "its host" if rule == "host" else "its registered domain"
                name = HostScoping(rule).name_of(host_of(href))
                return f"{what} {name} is none of the seeds' (scope.mode is {rule})"
            case "seeds":
                return f"it is on a {self._settings.mode} of the seeds (scope.mode)"
            case "any":
                return "every host is in scope (scope.mode)"
            case _ if rule in self._own:
                own = self._own[rule]
                decision = "accepts" if own.accept is not None else "rejects"
                return f"rule `{rule}` of scope.rules {decision} {condition_words(own.condition)}"
            case _:
                return self._traps.words(rule, href)

    # -- the sequence --------------------------------------------------------------------------------------------

    def _add(self, name: str, decision: str, words: str, origin: str, test: Test) -> None:
        self._views.append(RuleView(name=name, decision=decision, condition=words, origin=origin))
        self._steps.append(_step(test, Verdict(decision == "accept", name)))

    def _add_mode(self) -> None:
        """Where it begins: nothing belongs to the crawl but what the seeds brought into it; or everything does."""
        mode = self._settings.mode
        decision = "accept" if mode == "any" else "reject"
        self._views.append(RuleView(name=mode, decision=decision, condition="any", origin="scope.mode"))
        if mode != "any":
            self._add("seeds", "accept", f"{mode} of a seed", "scope.mode", self._seeded)

    def _seeded(self, href: str, depth: int, embeds: int) -> bool | None:  # noqa: ARG002  a test's arguments
        return None if self._is_seeded is None else self._is_seeded(href)

    def _add_expressions(self) -> None:
        if self._include:
            words = f"no regex of {', '.join(self._settings.include)}"
            self._add("include", "reject", words, "scope.include",
                      lambda href, *_: not any(one.search(href) for one in self._include))
        if self._exclude:
            words = f"regex {', '.join(self._settings.exclude)}"
            self._add("exclude", "reject", words, "scope.exclude",
                      lambda href, *_: any(one.search(href) for one in self._exclude))

    def _add_own(self, rules: Rules) -> None:
        for rule in rules:
            if isinstance(rule, ScopeRule):
                self._add_rule(rule)
            else:
                self._add_limits()
        if "limits" not in rules:
            self._add_limits()

    def _add_rule(self, rule: ScopeRule) -> None:
        condition = rule.condition
        decision = "reject" if rule.accept is None else "accept"
        verdict = Verdict(decision == "accept", rule.name)
        test = compile_condition(condition, source=f"{_ORIGIN}: `{rule.name}`", lists=self._lists, seeded=self._seeded)
        if condition.seeds is not None and self._settings.mode == "any":
            raise SettingsError(f"{_ORIGIN}: `{rule.name}`: `seeds` says nothing while scope.mode is any")
        if condition.content_type is None:
            self._add(rule.name, decision, condition_words(condition), _ORIGIN, test)
            return
        if condition.seeds is not None or condition.file is not None:
            raise SettingsError(f"{_ORIGIN}: `{rule.name}`: `content_type` is judged by workers, which know neither "
                                "`seeds` nor the lines of a `file`: they can't be in one rule")
        self._views.append(RuleView(name=rule.name, decision=decision, condition=condition_words(condition),
                                    origin=_ORIGIN))
        self._types.append((test, compile_types(condition.content_type), verdict))

    def _add_limits(self) -> None:
        depth = self._settings.depth
        if depth is not None:
            self._add("depth", "reject", f"depth > {depth}", "scope.depth", lambda _, at, *__: at > depth)
        length = self._settings.max_url_length
        self._add("url-length", "reject", f"more than {length:,} characters", "scope.max_url_length",
                  lambda href, *_: len(href) > length)
        self._views.extend(RuleView(name=name, decision="reject", condition=condition, origin=origin)
                           for name, condition, origin in self._traps.views())
        verdicts = {name: Verdict(accepted=False, rule=name, is_trap=True) for name in STATELESS}
        find = self._traps.find
        self._steps.append(lambda href, *_: verdicts.get(find(href)))


def read_lists(rules: Rules) -> dict[str, tuple[str, ...]]:
    """The lines of the list files that *rules* name. Raises :class:`SettingsError` naming rule and file."""
    lists = {}
    for rule in rules:
        if isinstance(rule, ScopeRule) and rule.condition.file is not None:
            try:
                lists[rule.condition.file] = read_lines(rule.condition.file)
            except SettingsError as error:
                raise SettingsError(f"{_ORIGIN}: `{rule.name}`: {error}") from None
    return lists


def _step(test: Test, verdict: Verdict) -> _Step:
    pending = _Pending(accepts=verdict.accepted is True, verdict=Verdict(None, verdict.rule))

    def step(href: str, depth: int, embeds: int) -> Verdict | _Pending | None:
        held = test(href, depth, embeds)
        return verdict if held else pending if held is None else None

    return step
