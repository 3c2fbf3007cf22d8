"""Takes in the links that outcomes bring: what is in scope, sound and within the limits of its host becomes a URI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from spyder.frontier.hostlimits import HostLimits
from spyder.frontier.ledger import Ledger
from spyder.frontier.seedscope import SeedScope
from spyder.frontier.transitions import Transitions
from spyder.model.clock import Clock
from spyder.model.limits import MAX_URL
from spyder.model.records import Hint, HostRow, Link, Outcome, QueuedUri
from spyder.model.scoping import embeds_after
from spyder.model.states import LinkKind, UriState
from spyder.model.url import HOST_BYTES, KEY_BYTES
from spyder.settings import TrapsSection

#: Rules whose exclusions are counted by name.
_LEFT_OUT_NAMES = 200
#: Seconds by which a listed change must be later than the last fetch: listings that are always new are common.
_NEWS = 3600.0
_NO_HINT = Hint(index=0)
_SCHEMES = ("http://", "https://")


class LinkIntake:
    """The way of links into the frontier. What it does is staged in the ledger."""

    def __init__(self, ledger: Ledger, scope: SeedScope, uris: Transitions, *, clock: Clock, traps: TrapsSection,
                 counts: Counter[str]) -> None:
        self._ledger = ledger
        self._scope = scope
        self._uris = uris
        self._clock = clock
        self._limits = HostLimits(traps)
        self._left_out_names = 0  #: names of rules in the counts
        self.counts = counts

    def take(self, uri: QueuedUri, host: HostRow, outcome: Outcome) -> None:
        """Stage the links of an outcome that settled *uri*, a page of *host*."""
        for rule, count in outcome.left_out.items():
            self._count_left_out(rule, count)
        is_page = outcome.failure is None and 200 <= outcome.status < 300 and outcome.size > 0
        if is_page and not self._limits.note_page(host, is_repeat=outcome.is_repeat):
            self._count_left_out("repeats", len(outcome.links))
        else:
            self.add(uri, outcome.links, outcome.hints)

    def add(self, parent: QueuedUri, links: Sequence[Link], hints: Sequence[Hint] = ()) -> None:
        """Stage the links of a page; *hints* are about some of them."""
        if not links:
            return
        self._ledger.hosts({link.key[:HOST_BYTES] for link in links})  # reads ahead
        said = {hint.index: hint for hint in hints}
        for index, link in enumerate(links):
            if not self._is_sound(link):
                self.counts["garbage"] += 1
                continue
            is_redirect = link.kind is LinkKind.REDIRECT
            depth = parent.depth if is_redirect else parent.depth + 1
            if is_redirect and parent.is_seed:
                self._scope.widen(link.url)  # where a seed leads is what its owner meant
            elif self._ledger.uri(link.key) is None and (rule := self._refusal(parent, link, depth)):
                self.counts["links_out_of_scope"] += 1
                self._count_left_out(rule, 1)
                continue
            embeds = embeds_after(link.kind, parent.embeds)
            if is_redirect:
                self._uris.add(link.key, link.url, depth=depth, is_seed=parent.is_seed, referrer=parent.referrer,
                               redirects=(*parent.redirects, parent.url), embeds=embeds)
                continue
            hint = said.get(index, _NO_HINT) if said else _NO_HINT
            is_new = self._uris.add(link.key, link.url, depth=depth, referrer=parent.url, embeds=embeds,
                                    hint=hint.priority)
            if hint.modified and not is_new:
                self._fetch_if_changed(link.key, hint.modified)

    def _refusal(self, parent: QueuedUri, link: Link, depth: int) -> str:
        """The rule, or the limit of its host, that keeps a link to a new URI out; empty when none does."""
        verdict = self._scope.judge(link.url, depth, embeds_after(link.kind, parent.embeds))
        if not verdict.accepted:
            return verdict.rule
        return self._limits.take_in(self._ledger.host(link.key[:HOST_BYTES]), link.url)

    def _count_left_out(self, rule: str, count: int) -> None:
        """Count links by the rule that keeps them out; of rules there are so many names at the most."""
        name = f"left_out/{rule}"
        if name not in self.counts:
            if self._left_out_names >= _LEFT_OUT_NAMES:
                name = "left_out/others"
            else:
                self._left_out_names += 1
        self.counts[name] += count

    def _fetch_if_changed(self, key: bytes, modified: float) -> None:
        """Stage that a page is fetched again which has changed (wall time) since it was fetched last."""
        row = self._ledger.uri(key)
        if row is not None and row.state is UriState.DONE and (
                row.settled_at + _NEWS < modified <= self._clock.now()):
            self._uris.requeue(key)

    def _is_sound(self, link: Link) -> bool:
        """True for a link that can be a URI of this project: what a peer sends may be anything."""
        return (len(link.key) == KEY_BYTES and link.key.startswith(self._ledger.prefix) and len(link.url) <= MAX_URL
                and link.url.startswith(_SCHEMES))
