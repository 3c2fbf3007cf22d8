"""What belongs to the crawl, as the master decides it: by the rules, and the hosts or domains that seeds brought in."""

from __future__ import annotations

from spyder.frontier.ledger import Ledger
from spyder.model.scoping import HostScoping, ScopeJudge, Verdict
from spyder.model.url import host_of, literal_address, origin_of, port_of

#: Name of the small value of a project that holds edited rules of its scope.
RULES = "scope-rules"
#: Names whose answer is kept in memory.
_REMEMBERED = 8192


class SeedScope:
    """Which names are in scope; kept in the store, so that memory does not grow with the seeds.

    Without a *judge* the seeds alone decide.
    """

    def __init__(self, ledger: Ledger, scoping: HostScoping, judge: ScopeJudge | None = None) -> None:
        self._ledger = ledger
        self._scoping = scoping
        self._judge: ScopeJudge | None = None
        if judge is not None:
            self.use(judge)
        self._lately: dict[str, bool] = {}
        self._permitted: dict[str, bool] = {}
        self.version = 0  #: grows when the scope is widened while the master runs

    @property
    def mode(self) -> str:
        """How seeds decide, which is the name of that rule, too."""
        return self._scoping.mode

    def widen(self, href: str) -> None:
        """Stage that the host (or domain) of *href* is in scope."""
        name = self._scoping.name_of(host_of(href))
        if name is not None and not self._holds(name):
            self._lately[name] = True
            self._ledger.changes.meta[self._meta(name)] = b"1"
            self.version += 1

    def use(self, judge: ScopeJudge) -> None:
        """Judge by *judge* from now on."""
        judge.bind(self.admits)
        self._judge = judge

    def judge(self, href: str, depth: int, embeds: int = 0) -> Verdict:
        """The verdict on a link to *href*, *depth* links from a seed, the last *embeds* of them embedding."""
        if self._judge is not None:
            return self._judge.judge(href, depth, embeds)
        return Verdict(self.admits(href), self._scoping.mode)

    def admits(self, href: str) -> bool:
        """True when *href* is on a host that is in scope."""
        name = self._scoping.name_of(host_of(href))
        return name is None or self._holds(name)

    def permit(self, href: str) -> None:
        """Stage that the guard lets pass the address and port of a seed that names them itself.

        That is a literal IP address, or ``localhost`` (RFC 6761, section 6.3).
        """
        origin = origin_of(href)
        name = _permit_name(origin)
        if name and not self.is_permitted(href):
            self._permitted[origin] = True
            self._ledger.changes.meta[self._permit_meta(name)] = b"1"

    def is_permitted(self, href: str) -> bool:
        """True when a seed permits the address and port of *href* to the guard."""
        origin = origin_of(href)
        known = self._permitted.get(origin)
        if known is None:
            if len(self._permitted) > _REMEMBERED:
                self._permitted.clear()
            name = _permit_name(origin)
            meta = self._permit_meta(name)
            known = self._permitted[origin] = bool(name) and (
                meta in self._ledger.changes.meta or self._ledger.store.meta(meta) is not None)
        return known

    def _permit_meta(self, name: str) -> str:
        return f"permit/{self._ledger.project}/{name}"

    def _holds(self, name: str) -> bool:
        known = self._lately.get(name)
        if known is None:
            meta = self._meta(name)
            if len(self._lately) > _REMEMBERED:
                self._lately.clear()
            known = self._lately[name] = meta in self._ledger.changes.meta or self._ledger.store.meta(meta) is not None
        return known

    def _meta(self, name: str) -> str:
        return f"scope/{self._ledger.project}/{name}"


def _permit_name(origin: str) -> str:
    """Host and port of an origin that permits itself as a seed; empty for any other."""
    host = literal_address(origin)
    if not host:
        host = origin.split("/", 3)[2].partition(":")[0].rstrip(".")
        if host != "localhost" and not host.endswith(".localhost"):
            return ""
    return f"{host} {port_of(origin)}"
