"""The rules of a scope as they are edited while a crawl runs: kept in the frontier's store, compiled, told to workers.

Edited rules stand in for ``scope.rules`` of the settings until they are reset; everything else of the settings stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from spyder.bus.messages import ScopeRules
from spyder.contracts import FrontierStore
from spyder.errors import ConflictError, SettingsError
from spyder.frontier.seedscope import RULES
from spyder.model.clock import SystemClock
from spyder.model.limits import MAX_RULES_TEXT
from spyder.model.scoping import HostScoping
from spyder.model.url import host_of, parse_seed
from spyder.nodes.inspect import open_store
from spyder.scope.rules import LinkScope, Rules, RuleView, read_lists
from spyder.settings import LIMITS, Settings, read_rules

#: Bytes of the number that names rules on the bus.
_MARK_BYTES = 6


class KeptRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the store keeps of edited rules."""

    version: int = 0  #: edits so far
    rules: tuple[Any, ...] | None = None  #: as plain values; None: those of the settings
    lists: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)  #: lines of list files, as they were read


class ScopeView(msgspec.Struct, frozen=True, kw_only=True):
    """The rules as ``spyder scope show`` shows them."""

    version: int  #: edits so far
    is_edited: bool  #: the rules are not those of the settings
    rules: tuple[Any, ...]  #: those that can be edited, as they are written in ``scope.rules``
    sequence: tuple[RuleView, ...]  #: all, in order


class UrlVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules say of one URL."""

    url: str
    accepted: bool
    rule: str
    words: str


def read_kept(store: FrontierStore, project: int) -> KeptRules:
    """The edited rules of a project; none when they were never edited."""
    data = store.meta(f"{RULES}/{project}")
    return msgspec.msgpack.decode(data, type=KeptRules) if data else KeptRules()


def compile_scope(settings: Settings, kept: KeptRules | None = None, *, now: float) -> LinkScope:
    """The scope as the master judges by it, list files included. Raises :class:`SettingsError` for what is wrong."""
    if kept is None or kept.rules is None:
        rules: Rules = settings.scope.rules
        lists = read_lists(rules)
    else:
        rules, lists = read_rules(list(kept.rules), "edited rules"), kept.lists
    return LinkScope(settings.scope, settings.traps, rules=rules, lists=lists, now=now)


def mark_of(kept: KeptRules) -> int:
    """The number by which master and workers name these rules; 0 for those of the settings."""
    if kept.rules is None:
        return 0
    return 1 + int.from_bytes(hashlib.blake2b(as_text(kept.rules).encode(), digest_size=_MARK_BYTES).digest()) // 2


def as_text(rules: Sequence[Any]) -> str:
    """Rules, as plain values, as they travel to workers."""
    return msgspec.json.encode(rules).decode()


def from_text(text: str) -> Rules | None:
    """The opposite of :func:`as_text`, None for an empty text. Raises :class:`SettingsError`."""
    if not text:
        return None
    try:
        return read_rules(msgspec.json.decode(text), "the master's rules")
    except msgspec.DecodeError as error:
        raise SettingsError(f"the master's rules are no JSON: {error}") from None


class RuleKeeper(Protocol):
    """The frontier, as far as it keeps and applies rules: :class:`spyder.frontier.frontier.Frontier`."""

    def use_rules(self, judge: LinkScope, kept: bytes) -> None:
        """Stage *kept* in the store, and judge by *judge* from now on."""


class ScopeDesk:
    """The master's rules: as they are now, and changed."""

    def __init__(self, settings: Settings, kept: KeptRules, scope: LinkScope) -> None:
        self._settings = settings
        self._kept = kept
        self._scope = scope

    @property
    def message(self) -> ScopeRules:
        """The rules as workers are told."""
        return ScopeRules(number=mark_of(self._kept), rules="" if self._kept.rules is None else as_text(
            self._kept.rules))

    @property
    def kept(self) -> KeptRules:
        """What the store keeps."""
        return self._kept

    def tell_time(self, now: float) -> None:
        """From now on it is *now*, wall time: dates in URLs are compared with it."""
        self._scope.tell_time(now)

    def view(self) -> ScopeView:
        """The rules as people see them."""
        return view_of(self._settings, self._kept, self._scope)

    def judge(self, urls: Sequence[str], *, depth: int = 1, embeds: int = 0) -> tuple[UrlVerdict, ...]:
        """What the rules say of *urls*. Raises :class:`spyder.errors.UrlError` for what is none."""
        return judge_all(self._scope, urls, depth=depth, embeds=embeds)

    def prepare(self, entries: list[Any] | None, *, version: int | None, now: float) -> tuple[KeptRules, LinkScope]:
        """Rules that are to hold from now on, checked and compiled; None: those of the settings.

        Raises :class:`SettingsError` for wrong rules, and :class:`ConflictError` when *version* is given and is not
        that of the rules as they are.
        """
        if version is not None and version != self._kept.version:
            raise ConflictError(f"the rules have changed meanwhile (version {self._kept.version}, not {version}): "
                                 "look at them again with `spyder scope show`")
        rules: tuple[Any, ...] | None = None
        lists: dict[str, tuple[str, ...]] = {}
        if entries is not None:
            _check_text(entries)
            checked = read_rules(entries, "scope.rules")
            rules, lists = tuple(msgspec.to_builtins(checked)), read_lists(checked)
            if len(as_text(rules)) > MAX_RULES_TEXT:
                raise SettingsError(f"scope.rules: {MAX_RULES_TEXT:,} characters at the most: use a list file")
        kept = KeptRules(version=self._kept.version + 1, rules=rules, lists=lists)
        return kept, compile_scope(self._settings, kept, now=now)

    def apply(self, frontier: RuleKeeper, kept: KeptRules, scope: LinkScope) -> None:
        """Have what :meth:`prepare` made hold: staged in the store."""
        frontier.use_rules(scope, msgspec.msgpack.encode(kept))
        self._kept, self._scope = kept, scope


def _check_text(entries: list[Any]) -> None:
    """Raises :class:`SettingsError` for what neither the store nor workers could be told."""
    try:
        msgspec.json.encode(entries)
    except UnicodeEncodeError as error:
        raise SettingsError("scope.rules: the half of a surrogate pair "
                            f"({error.object[error.start]!a}) is no text") from None


def view_of(settings: Settings, kept: KeptRules, scope: LinkScope) -> ScopeView:
    """The rules as people see them."""
    own = settings.scope.rules if kept.rules is None else read_rules(list(kept.rules), "edited rules")
    return ScopeView(version=kept.version, is_edited=kept.rules is not None,
                     rules=tuple(_plain(rule) for rule in own), sequence=scope.views)


def judge_all(scope: LinkScope, urls: Sequence[str], *, depth: int, embeds: int) -> tuple[UrlVerdict, ...]:
    """What *scope* says of links to *urls*. Raises :class:`spyder.errors.UrlError` for what is none."""
    verdicts = []
    for text in urls:
        href = parse_seed(text).href
        verdict = scope.judge(href, depth, embeds)
        verdicts.append(UrlVerdict(url=href, accepted=verdict.accepted is True, rule=verdict.rule,
                                   words=scope.words(verdict.rule, href, depth)))
    return tuple(verdicts)


def offline(settings: Settings) -> ScopeDesk:
    """The rules as the next master would begin with them: by the settings, and by what is left of the last one.

    Raises :class:`spyder.errors.StoreError` when there is a frontier that can't be read.
    """
    scoping = HostScoping(settings.scope.mode)
    seeded = {scoping.name_of(host_of(parse_seed(seed).href)) for seed in settings.project.seeds}
    kept = KeptRules()
    if settings.frontier.store != "memory" and settings.frontier_directory.exists():
        with open_store(settings.frontier_directory, store=settings.frontier.store) as store:
            numbers = store.metas("project/")
            number = numbers.get(f"project/{settings.project.name}") or (
                next(iter(numbers.values())) if len(numbers) == 1 else None)
            if number is not None:
                kept = read_kept(store, int(number))
                prefix = f"scope/{int(number)}/"
                seeded |= {name.removeprefix(prefix) for name in store.metas(prefix)}
    scope = compile_scope(settings, kept, now=SystemClock().now())
    scope.bind(lambda href: scoping.mode == "any" or scoping.name_of(host_of(href)) in seeded)
    return ScopeDesk(settings, kept, scope)


def _plain(rule: Any) -> Any:
    """A rule as it is written: a single text stands by itself."""
    if rule == LIMITS:
        return rule
    tree = msgspec.to_builtins(rule)
    for decision in ("accept", "reject"):
        for key, value in tree.get(decision, {}).items():
            if isinstance(value, list | tuple) and len(value) == 1:
                tree[decision][key] = value[0]
    return tree
