"""All behaviours of the hostile site, where each is found, and the table of them for the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spyder.testsite.hostile import (
    bodies,
    charsets,
    codings,
    heads,
    http2,
    markup,
    redirects,
    robots,
    sitemaps,
    statuses,
    tls,
    traps,
)
from spyder.testsite.hostile.behaviour import Behaviour

#: All of them, group by group.
BEHAVIOURS: tuple[Behaviour, ...] = (
    *bodies.BEHAVIOURS, *heads.BEHAVIOURS, *statuses.BEHAVIOURS, *codings.BEHAVIOURS, *redirects.BEHAVIOURS,
    *robots.BEHAVIOURS, *traps.BEHAVIOURS, *charsets.BEHAVIOURS, *markup.BEHAVIOURS, *sitemaps.BEHAVIOURS,
    *tls.BEHAVIOURS, *http2.BEHAVIOURS)
#: The network of all hosts that may be fetched from: what ``guard.allow_private`` must name.
NETWORK = "127.40.0.0/16"
#: Address of this machine that lies outside of it, and that nobody may connect to.
CANARY = "127.66.6.6"
#: Further addresses that mean this machine, and that nobody may connect to either.
MORE_CANARIES = ("127.0.0.1", "::1")
#: Names that resolve to the canary: what ``dns.hosts`` must map.
CANARY_NAMES = ("inside.hostile.test", "also.inside.hostile.test")
#: A host that does nothing bad; others send crawlers there.
BYSTANDER = "127.40.255.1"

_PER_NET = 250
_GROUPS = {
    "bodies": "Bodies", "heads": "Heads of answers", "doors": "Connections", "statuses": "Statuses",
    "codings": "Content codings", "redirects": "Redirects", "addresses": "Forbidden addresses",
    "robots": "robots.txt", "traps": "Traps", "charsets": "Character encodings", "markup": "HTML",
    "sitemaps": "Sitemaps", "tls": "TLS", "http2": "HTTP/2"}


def groups() -> tuple[str, ...]:
    """The names of all groups."""
    return tuple(_GROUPS)


def chosen(wanted: Iterable[str] = ()) -> tuple[Behaviour, ...]:
    """The behaviours of the groups in *wanted*, or with these names; all when it is empty.

    Raises :class:`ValueError` for a word that is neither.
    """
    words = set(wanted)
    unknown = words - _GROUPS.keys() - {behaviour.name for behaviour in BEHAVIOURS}
    if unknown:
        raise ValueError(f"no group or behaviour: {', '.join(sorted(unknown))}; groups: {', '.join(_GROUPS)}")
    return tuple(one for one in BEHAVIOURS if not words or one.name in words or one.group in words)


def address_of(behaviour: Behaviour) -> str:
    """The loopback address of *behaviour*'s host, always the same for one catalogue."""
    number = _NUMBERS[behaviour.name]
    return f"127.40.{number // _PER_NET}.{number % _PER_NET + 1}"


def places(behaviour: Behaviour, *, port: int, door: int) -> Mapping[str, str]:
    """What stands for the places in a behaviour's URLs: *port* is that of all hosts, *door* that of its door or 0."""
    address = address_of(behaviour)
    octets = [int(octet) for octet in CANARY.split(".")]
    number = int.from_bytes(bytes(octets), "big")
    scheme = behaviour.door.scheme if behaviour.door is not None else "http"
    return {
        "here": f"http://{address}:{port}", "here_host": f"{address}:{port}", "door": f"{scheme}://{address}:{door}",
        "other": f"http://{BYSTANDER}:{port}", "canary": f"http://{CANARY}:{port}", "canary_host": f"{CANARY}:{port}",
        "canary_port": str(port), "canary_number": str(number), "canary_0x": f"0x{octets[0]:x}.0x{number & 0xFFFFFF:x}",
        "canary_octal": f"0{octets[0]:o}.0{octets[1]:o}.0{number & 0xFFFF:o}",
        "canary_hex": f"{number >> 16:x}:{number & 0xFFFF:x}",
        "canary_wide": CANARY.translate({48 + digit: 0xFF10 + digit for digit in range(10)})}


def table() -> str:
    """The catalogue as Markdown: a table for each group."""
    parts = []
    for group, title in _GROUPS.items():
        rows = "".join(f"| `{one.name}` | {_cell(one.does)} | {_ends(one)} |\n" for one in BEHAVIOURS
                       if one.group == group)
        parts.append(f"## {title}\n\n| behaviour | what the server does | how it ends |\n|---|---|---|\n{rows}")
    return "\n".join(parts)


def _ends(behaviour: Behaviour) -> str:
    text = " or ".join(behaviour.ends)
    if behaviour.title is not None:
        text += f", title “{behaviour.title}”"
    if behaviour.pause:
        text += f", {behaviour.pause:g} s between fetches"
    if behaviour.group == "traps":
        text += f", at most {behaviour.most} requests"
    for url, ends in behaviour.also:
        text += f"; `{url if len(url) < 60 else url[:20] + '…'}`: {' or '.join(ends)}"
    return _cell(text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


_NUMBERS = {behaviour.name: number for number, behaviour in enumerate(BEHAVIOURS)}
