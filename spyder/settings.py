"""Settings: one typed section per part, read once from YAML and the environment; wrong ones are refused in one line.

The defaults, the comments and the units stand here only: ``settings/default.yaml`` and ``docs/settings.md`` are
written from them (:mod:`spyder.settings_text`), and a test holds them equal.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import math
import os
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
import yaml
from msgspec import Meta

from spyder.errors import SettingsError
from spyder.model.limits import MAX_LEASES, MAX_LINKS, MAX_REDIRECTS, MAX_URL, MAX_WORKERS, MIN_MESSAGE
from spyder.model.states import ErrorKind

#: A variable SPYDER_SECTION__KEY sets ``section.key``; its value is read as YAML.
ENVIRONMENT_PREFIX = "SPYDER_"

Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
CountOrNone = Annotated[int, Meta(ge=0)] | None
Bytes = Annotated[int, Meta(ge=1)]
BytesOrNone = Annotated[int, Meta(ge=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all sections."""


def doc(text: str) -> Meta:
    """The description of a key: it becomes the comment in ``settings/default.yaml``."""
    return Meta(description=text)


class ProjectSection(Section, frozen=True):
    """The crawl: its name and where it begins."""

    name: Annotated[str, doc("name of the project; every key in the frontier carries it")] = "default"
    seeds: Annotated[tuple[str, ...], doc("URLs that the crawl begins with; more can be added while it runs")] = ()


class ScopeSection(Section, frozen=True):
    """Which links belong to the crawl. Seeds always do."""

    mode: Annotated[
        Literal["host", "domain", "any"],
        doc("host: the seeds' hosts and ports; domain: the seeds' registered domains; any: the whole web"),
    ] = "host"
    include: Annotated[
        tuple[str, ...], doc("regular expressions; when there are any, a link must match one (searched in the URL)")
    ] = ()
    exclude: Annotated[tuple[str, ...], doc("regular expressions; a link that matches one is left out")] = ()
    depth: Annotated[CountOrNone, doc("links from a seed at the most; null: no limit")] = None
    max_url_length: Annotated[Count, Meta(le=MAX_URL), doc("characters; longer links are left out")] = 2083
    max_links: Annotated[
        Count, Meta(le=MAX_LINKS), doc("distinct links taken from one page; the rest is left out")
    ] = 6000


class RobotsSection(Section, frozen=True):
    """What hosts and pages ask of crawlers: robots.txt (RFC 9309), and marks in pages."""

    policy: Annotated[
        Literal["obey", "ignore"], doc("obey: each host's robots.txt is fetched first and holds; ignore: nobody asks")
    ] = "obey"
    agent: Annotated[
        str, doc("product token that groups are chosen by; empty: the first word of fetch.user_agent")
    ] = ""
    max_size: Annotated[
        Annotated[int, Meta(ge=512_000, le=8_388_608)], doc("bytes of a robots.txt that are read; the rest is left out")
    ] = 524_288
    validity: Annotated[Seconds, doc("seconds after which it is fetched again")] = 86_400.0
    max_crawl_delay: Annotated[
        Seconds, doc("seconds; a longer Crawl-delay or Request-rate is cut to this; 0: they are ignored")
    ] = 300.0
    sitemaps: Annotated[bool, doc("the sitemaps that it names belong to the crawl")] = True
    meta: Annotated[bool, doc("`nofollow` in a page's robots meta element is obeyed")] = True
    header: Annotated[bool, doc("`nofollow` in the X-Robots-Tag header is obeyed")] = True
    rel_nofollow: Annotated[bool, doc("links with rel=nofollow (ugc, sponsored) are not followed")] = True


class LimitsSection(Section, frozen=True):
    """When the whole crawl ends although work is left."""

    pages: Annotated[CountOrNone, doc("URIs settled, after which no more are fetched; null: no limit")] = None
    time: Annotated[
        Seconds | None, doc("seconds that a crawl runs which ends by itself (crawl, --until-done); null: no limit")
    ] = None


class FrontierSection(Section, frozen=True):
    """The master's memory of every URI."""

    store: Annotated[str, doc("rocksdb (on disk), memory (tests), or module:Class of a FrontierStore")] = "rocksdb"
    directory: Annotated[str | None, doc("folder of the store; null: `frontier` in output.directory")] = None
    canonical: Annotated[
        Literal["plain", "standard"], doc("which spellings of a URL are the same page: docs/urls.md; kept in the store")
    ] = "standard"
    assignment: Annotated[str, doc("which URIs share a queue and its politeness: host, domain, or module:function")] = (
        "host"
    )
    active_queues: Annotated[Count, doc("hosts in memory at the same time; the others wait on disk")] = 1000
    queue_budget: Annotated[Count, doc("pages from one host before another that waits gets its place")] = 1000
    error_cost: Annotated[Count, doc("what a server error takes from that budget; a page takes 1")] = 5
    page_in: Annotated[Count, doc("URIs of one queue read into memory at a time")] = 128
    cache: Annotated[Bytes, doc("bytes of memory for the store's blocks")] = 33_554_432
    priority: Annotated[str, doc("prioritizer: fifo (first come, first served), or module:Class")] = "fifo"
    reserve: Annotated[
        BytesOrNone, doc("bytes of the store's disk that stay free: with less nothing more is fetched; 0: none")
    ] = 67_108_864


class PolitenessSection(Section, frozen=True):
    """How a host is treated: decided by the master alone."""

    per_host: Annotated[Count, doc("connections to one host at the same time")] = 2
    delay: Annotated[Seconds, doc("seconds between the end of a fetch and the next to the same host, at the least")] = (
        1.0
    )
    delay_factor: Annotated[
        Annotated[float, Meta(ge=0)], doc("times the duration of the last fetch, if that is longer")
    ] = 1.0
    per_ip: Annotated[
        Count, doc("connections to one IP address at the same time, whatever the hosts; at least per_host")
    ] = 8
    ip_delay: Annotated[
        Seconds, doc("seconds between fetches from one IP address, whatever the hosts; never more than delay")
    ] = 0.1
    max_delay: Annotated[Seconds, doc("seconds; what delay_factor asks for is cut to this")] = 30.0
    backoff: Annotated[
        Seconds, doc("seconds that a host rests after a first trouble (no connection, 429, 5xx ...); doubles")
    ] = 1.0
    max_backoff: Annotated[Seconds, doc("seconds that a host rests at the most")] = 300.0
    max_retry_after: Annotated[Seconds, doc("seconds; a longer Retry-After is cut to this")] = 3600.0
    slowdown: Annotated[
        Seconds, doc("seconds added to a host's delay at a 429 or 503: doubled by the next, less after good answers")
    ] = 1.0
    max_slowdown: Annotated[Seconds, doc("seconds added at the most")] = 60.0
    park_after: Annotated[Count, doc("failed connections in a row after which a host is parked")] = 4
    park_delay: Annotated[
        Seconds, doc("seconds to the first look at a parked host; the next ones wait park_factor times longer each")
    ] = 30.0
    park_factor: Annotated[Annotated[float, Meta(ge=1)], doc("see park_delay")] = 4.0
    max_park_delay: Annotated[Seconds, doc("seconds between two looks at the most")] = 86_400.0
    park_looks: Annotated[
        CountOrNone, doc("looks in vain after which a parked host is given up: its URIs fail unfetched; null: never")
    ] = 3
    given_up_for: Annotated[Seconds, doc("seconds after which a host that was given up is looked at again")] = 86_400.0


class RetrySection(Section, frozen=True):
    """How often a URI is tried again, and when."""

    attempts: Annotated[
        dict[str, Annotated[int, Meta(ge=0)]],
        doc("retries by class of error; a class that is not named is not retried"),
    ] = msgspec.field(
        default_factory=lambda: {
            "dns": 2,
            "connect": 3,
            "tls": 1,
            "timeout": 2,
            "reset": 3,
            "truncated": 2,
            "proxy": 3,
            "http-429": 5,
            "http-5xx": 3,
        }
    )
    delay: Annotated[dict[str, Seconds], doc("seconds before the first retry, by class of error")] = msgspec.field(
        default_factory=lambda: {
            "dns": 60.0,
            "connect": 30.0,
            "tls": 60.0,
            "timeout": 30.0,
            "reset": 5.0,
            "truncated": 5.0,
            "proxy": 30.0,
            "http-429": 30.0,
            "http-5xx": 30.0,
            "worker-died": 5.0,
        }
    )
    quarantine_after: Annotated[
        Count, doc("times that a worker died, hung or ran out of memory on a URI before it is quarantined")
    ] = 3
    factor: Annotated[Annotated[float, Meta(ge=1)], doc("each further retry waits this many times longer")] = 4.0
    max_delay: Annotated[Seconds, doc("seconds before a retry at the most")] = 86_400.0

    def retries(self, kind: ErrorKind) -> int:
        """How many retries an error of *kind* is worth."""
        return self.attempts.get(kind.value, 0)


class FetchSection(Section, frozen=True):
    """The HTTP client of a worker."""

    user_agent: Annotated[str, doc("who we are: a name, a version and an address for complaints")] = (
        "Spyder/0.1 (+https://spyder.invalid/)"
    )
    connections: Annotated[Count, doc("connections of one worker at the same time, to all hosts")] = 32
    connect_timeout: Annotated[Seconds, doc("seconds to a connection, TLS included")] = 10.0
    first_byte_timeout: Annotated[Seconds, doc("seconds from the request to the first byte of the answer")] = 30.0
    timeout: Annotated[Seconds, doc("seconds for one fetch in all")] = 120.0
    min_speed: Annotated[
        Annotated[int, Meta(ge=0)], doc("bytes per second; slower for min_speed_time is a timeout; 0: off")
    ] = 100
    min_speed_time: Annotated[Count, doc("seconds")] = 20
    max_wire_size: Annotated[Bytes, doc("bytes of a body as sent")] = 33_554_432
    max_body_size: Annotated[Bytes, doc("bytes of a body after decompression")] = 33_554_432
    max_header_size: Annotated[Bytes, doc("bytes of all header fields of one answer")] = 262_144
    max_header_count: Annotated[Count, doc("header fields of one answer")] = 512
    max_redirects: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_REDIRECTS)],
        doc("redirects in a chain; each is a URI of its own in the frontier"),
    ] = 10
    http_version: Annotated[
        Literal["1.1", "2", "2-prior-knowledge"],
        doc("2: HTTP/2 where TLS negotiates it; 2-prior-knowledge: also without TLS"),
    ] = "2"
    verify_tls: Annotated[bool, doc("certificates must be valid")] = True
    ca_file: Annotated[str | None, doc("file of certificates to trust (PEM); null: the certifi bundle")] = None
    contact: Annotated[
        str, doc("URL or e-mail address for complaints: part of the default user agent, and From if it is an address")
    ] = ""
    accept: Annotated[str, doc("the Accept header")] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    accept_language: Annotated[str, doc("the Accept-Language header; empty: none")] = "en,*;q=0.5"
    buffer_size: Annotated[
        Bytes, doc("bytes of pages that may wait between fetcher and extractor before no more is fetched")
    ] = 67_108_864


class DnsSection(Section, frozen=True):
    """Names to addresses."""

    hosts: Annotated[dict[str, str], doc("name, or *.name for all below it, to IP addresses; before DNS")] = (
        msgspec.field(default_factory=dict)
    )
    servers: Annotated[tuple[str, ...], doc("IP addresses (with :port) of resolvers; empty: the system's")] = ()
    timeout: Annotated[Annotated[float, Meta(gt=0)], doc("seconds for one look-up in all")] = 10.0
    min_ttl: Annotated[Seconds, doc("seconds that an answer holds at the least")] = 60.0
    max_ttl: Annotated[Seconds, doc("seconds that an answer holds at the most")] = 86_400.0
    negative_ttl: Annotated[Seconds, doc("seconds that the answer that there is no address holds")] = 60.0
    cache: Annotated[Count, doc("names that a worker remembers")] = 10_000


class GuardSection(Section, frozen=True):
    """Which addresses may be connected to: by default only public ones."""

    policy: Annotated[
        Literal["public", "off"], doc("public: addresses that are not public are refused; off: any is good")
    ] = "public"
    allow_private: Annotated[
        tuple[str, ...],
        doc("networks and addresses, with a port or without, that are allowed: 10.0.0.0/8, 127.0.0.1:80, [::1]:80"),
    ] = ()


class TrapsSection(Section, frozen=True):
    """Limits against hosts that go on for ever."""


class ExtractSection(Section, frozen=True):
    """What is read from a page."""

    max_parse_size: Annotated[Bytes, doc("bytes of a body that are parsed for links; the rest is ignored")] = 16_777_216
    content_types: Annotated[tuple[str, ...], doc("media types that are parsed as HTML")] = (
        "text/html",
        "application/xhtml+xml",
    )
    seen_links: Annotated[
        Count, doc("links that a worker remembers having reported, so that they don't travel again")
    ] = 400_000


class ProcessorSection(Section, frozen=True):
    """One processor: a class or function of yours."""

    use: Annotated[str, doc("module:Class or module:function")] = ""
    settings: Annotated[dict[str, Any], doc("keyword arguments for the class")] = msgspec.field(default_factory=dict)
    timeout: Annotated[Seconds, doc("seconds for one page; longer fails the page")] = 5.0


class OutputSection(Section, frozen=True):
    """Where results go."""

    directory: Annotated[str, doc("the crawl directory: frontier/, pages/, logs/")] = "spyder-crawl"
    sync_pages: Annotated[
        Count, Meta(le=MAX_LEASES), doc("pages that are made durable and reported together at the most")
    ] = 256
    sync_interval: Annotated[Seconds, doc("seconds that a finished page waits for others at the most")] = 0.1
    rotate_size: Annotated[Bytes, doc("bytes after which pages/*.jsonl goes on in a new file")] = 1_073_741_824
    reserve: Annotated[
        BytesOrNone, doc("bytes of the outputs' disk that stay free: with less the worker fetches no more; 0: none")
    ] = 67_108_864


class BusSection(Section, frozen=True):
    """ZeroMQ: addresses and intervals. Only the master and the log sink bind."""

    mgmt_master: Annotated[str, doc("address of the master's PUB: WELCOME, HEARTBEAT, ACK, PAUSE, QUIT")] = (
        "tcp://127.0.0.1:7701"
    )
    mgmt_worker: Annotated[str, doc("address of the master's SUB: AVAILABLE, HEARTBEAT, FETCHED, QUIT_ACK")] = (
        "tcp://127.0.0.1:7702"
    )
    outcomes: Annotated[str, doc("address of the master's SUB for outcomes; workers learn it from WELCOME")] = (
        "tcp://127.0.0.1:7703"
    )
    logging: Annotated[str, doc("address of the log sink's SUB")] = "tcp://127.0.0.1:7704"
    push: Annotated[
        str, doc("the master's PUSH sockets, one per worker: tcp://interface:first-last, or a folder as ipc://folder")
    ] = "tcp://127.0.0.1:7710-7799"
    stage: Annotated[str, doc("between fetcher and extractor: ipc:// (two processes) or inproc:// (one)")] = "ipc://"
    insecure: Annotated[
        bool, doc("allow addresses beyond this host although nothing is authenticated or encrypted")
    ] = False
    heartbeat: Annotated[Annotated[float, Meta(gt=0)], doc("seconds between heartbeats, both ways")] = 1.0
    missed: Annotated[Count, doc("heartbeats missed after which a peer counts as lost")] = 3
    max_workers: Annotated[Count, Meta(le=MAX_WORKERS), doc("workers that a master welcomes at the most")] = 1000
    master_timeout: Annotated[Seconds, doc("seconds without a master after which a worker ends by itself")] = 300.0
    high_water_mark: Annotated[Count, doc("messages in a socket's pipe")] = 10_000
    max_message: Annotated[
        Annotated[int, Meta(ge=MIN_MESSAGE)],
        doc("bytes of one frame of a message; who sends a larger one is disconnected"),
    ] = 67_108_864
    linger: Annotated[Seconds, doc("seconds that a closing socket may still send")] = 2.0


class WorkerSection(Section, frozen=True):
    """Workers on this host."""

    processes: Annotated[Count, doc("workers; each is a fetcher and an extractor process")] = 1
    slots: Annotated[
        Count,
        Meta(le=MAX_LEASES),
        doc("leases that a worker holds at the most: what may be fetched again after a crash"),
    ] = 512
    drain: Annotated[Seconds, doc("seconds to finish what is under way when stopping")] = 10.0
    restart_delay: Annotated[
        Seconds, doc("seconds before a dead worker is started anew; doubles up to restart_max")
    ] = 0.5
    restart_max: Annotated[Seconds, doc("seconds")] = 30.0
    hang_timeout: Annotated[
        Annotated[float, Meta(gt=0)],
        doc("seconds without progress after which a worker is killed and started anew; more than a processor's limit"),
    ] = 60.0
    memory_soft: Annotated[
        Bytes | None, doc("bytes of one process; a worker beyond it drains and is replaced; null: no limit")
    ] = None
    memory_hard: Annotated[
        Bytes | None, doc("bytes of one process; a worker beyond it is killed and replaced; null: no limit")
    ] = None
    max_pages: Annotated[Count | None, doc("pages after which a worker drains and is replaced; null: never")] = None


class MasterSection(Section, frozen=True):
    """The master's watch over the crawl."""

    watchdog: Annotated[
        Annotated[float, Meta(gt=0)],
        doc("seconds with work and free slots in which nothing is settled, after which the log and status say why"),
    ] = 30.0


class ApiSection(Section, frozen=True):
    """The master's HTTP API, for `spyder seed`, `status` and `stop`."""

    address: Annotated[str, doc("interface; beyond loopback a token is needed")] = "127.0.0.1"
    port: Annotated[Annotated[int, Meta(ge=0, le=65535)], doc("TCP port; 0: any free one, written to run/api.json")] = (
        7700
    )
    token: Annotated[str, doc("sent by clients as `Authorization: Bearer ...`; empty: none")] = ""


class LogSection(Section, frozen=True):
    """Log records: every process sends them to the log sink."""

    level: Annotated[Literal["debug", "info", "warning", "error"], doc("the least that is recorded")] = "info"
    directory: Annotated[str | None, doc("folder of the log sink's files; null: `logs` in output.directory")] = None
    rotate_size: Annotated[Bytes, doc("bytes after which a log file is rotated")] = 50_000_000
    keep: Annotated[Count, doc("rotated log files kept")] = 10


class Settings(Section, frozen=True):
    """All sections."""

    project: ProjectSection = ProjectSection()
    scope: ScopeSection = ScopeSection()
    robots: RobotsSection = RobotsSection()
    traps: TrapsSection = TrapsSection()
    limits: LimitsSection = LimitsSection()
    frontier: FrontierSection = FrontierSection()
    politeness: PolitenessSection = PolitenessSection()
    retry: RetrySection = msgspec.field(default_factory=RetrySection)
    fetch: FetchSection = FetchSection()
    dns: DnsSection = msgspec.field(default_factory=DnsSection)
    guard: GuardSection = GuardSection()
    extract: ExtractSection = ExtractSection()
    processors: tuple[ProcessorSection, ...] = ()
    output: OutputSection = OutputSection()
    bus: BusSection = BusSection()
    worker: WorkerSection = WorkerSection()
    master: MasterSection = MasterSection()
    api: ApiSection = ApiSection()
    log: LogSection = LogSection()

    @property
    def crawl_directory(self) -> Path:
        """The crawl directory."""
        return Path(self.output.directory)

    @property
    def frontier_directory(self) -> Path:
        """The folder of the frontier's store."""
        return Path(self.frontier.directory) if self.frontier.directory else self.crawl_directory / "frontier"

    @property
    def log_directory(self) -> Path:
        """The folder of the log sink's files."""
        return Path(self.log.directory) if self.log.directory else self.crawl_directory / "logs"


#: Sections on which master and workers must agree; the handshake compares a digest of each.
SHARED_SECTIONS = ("project", "scope", "robots", "traps", "frontier", "retry", "guard", "extract")


def load(
    path: str | Path | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings: defaults, then the file at *path*, then the environment, then *overrides* (``{"a.b": value}``).

    Raises :class:`SettingsError` naming the source, the key and the nearest known key.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        _merge(tree, _read(Path(path)), str(path))
    for name, text in (os.environ if environ is None else environ).items():
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            dotted = name[len(ENVIRONMENT_PREFIX) :].lower().replace("__", ".")
            _merge(tree, _nest(dotted, _yaml(text, f"environment variable {name}")), f"environment variable {name}")
    for dotted, value in (overrides or {}).items():
        if value is not None:
            _merge(tree, _nest(dotted, value), "command line")
    return _convert(tree, str(path) if path is not None else "settings")


def digests(settings: Settings) -> dict[str, str]:
    """A short digest of each section that master and workers must share."""
    return {
        name: hashlib.blake2b(msgspec.json.encode(_shared(settings, name), order="sorted"), digest_size=8).hexdigest()
        for name in SHARED_SECTIONS
    }


def _shared(settings: Settings, name: str) -> Any:
    section = getattr(settings, name)
    match section:
        case ProjectSection():
            return section.name
        case FrontierSection():
            return [section.canonical, section.assignment]
        case ExtractSection():
            return [section.max_parse_size, section.content_types]
        case _:
            return section


def to_tree(settings: Settings) -> dict[str, Any]:
    """Settings as plain values: what a child process is given."""
    tree: dict[str, Any] = msgspec.to_builtins(settings)
    return tree


def from_tree(tree: Mapping[str, Any]) -> Settings:
    """The opposite of :func:`to_tree`."""
    return _convert(dict(tree), "settings")


def check_api_address(settings: ApiSection) -> None:
    """Refuse an address of the API beyond loopback without a token. Raises :class:`SettingsError`."""
    if settings.token or settings.address == "localhost":
        return
    try:
        is_loopback = ipaddress.ip_address(settings.address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise SettingsError(
            f"`api.address` {settings.address} can be reached from other hosts: set `api.token`, or use 127.0.0.1"
        )


def host_name() -> str:
    """The name of the host that we run on, as identities and file names carry it."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname().split(".")[0])[:63] or "localhost"


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text") from None
    tree = _yaml(text, str(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{path}: expected sections like `fetch:`, got {type(tree).__name__}")
    return tree


def _yaml(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise SettingsError(f"{source}{place}: is no YAML: {problem}") from None


def _nest(dotted: str, value: Any) -> dict[str, Any]:
    tree: Any = value
    for part in reversed(dotted.split(".")):
        tree = {part: tree}
    nested: dict[str, Any] = tree
    return nested


def _merge(into: dict[str, Any], tree: Mapping[str, Any], source: str) -> None:
    """Lay *tree* over *into*, refusing unknown sections and keys with the source that names them."""
    for name, section in tree.items():
        if name not in Settings.__struct_fields__:
            raise SettingsError(f"{source}: unknown section `{name}`{_nearest(str(name), Settings.__struct_fields__)}")
        if name == "processors":
            into[name] = _processors(section, source)
            continue
        if section is None:
            continue
        if not isinstance(section, dict):
            raise SettingsError(f"{source}: `{name}` must be a section of keys, got {section!r}")
        fields = type(getattr(Settings(), name)).__struct_fields__
        for key, value in section.items():
            if key not in fields:
                raise SettingsError(f"{source}: unknown key `{name}.{key}`{_nearest(str(key), fields, name)}")
            _check(name, key, value, source)
            into.setdefault(name, {})[key] = value


def _processors(entries: Any, source: str) -> list[dict[str, Any]]:
    if not isinstance(entries, list):
        raise SettingsError(f"{source}: `processors` must be a list, got {entries!r}")
    result = []
    for given in entries:
        entry = {"use": given} if isinstance(given, str) else given
        if not isinstance(entry, dict) or not isinstance(entry.get("use"), str):
            raise SettingsError(
                f"{source}: a processor is `module:Class`, or `use: module:Class` with its settings; got {entry!r}"
            )
        for key in entry:
            if key not in ProcessorSection.__struct_fields__:
                raise SettingsError(
                    f"{source}: unknown key `processors.{key}`{_nearest(str(key), ProcessorSection.__struct_fields__)}"
                )
        result.append(entry)
    return result


def _check(section: str, key: str, value: Any, source: str) -> None:
    """Refuse a value of the wrong type where its source is still known."""
    kind = get_type_hints(type(getattr(Settings(), section)), include_extras=True)[key]
    try:
        checked = msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{source}: `{section}.{key}`: {_plain(str(error))}; got {value!r}") from None
    if any(not math.isfinite(number) for number in _numbers(checked)):
        raise SettingsError(f"{source}: `{section}.{key}`: expected a finite number; got {value!r}")
    if section == "retry" and isinstance(checked, dict):
        known = [kind.value for kind in ErrorKind if kind.is_transient or kind is ErrorKind.WORKER_DIED]
        for name in checked:
            if name not in known:
                raise SettingsError(f"{source}: unknown class of error `retry.{key}.{name}`{_nearest(name, known)}")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        yield from (number for number in value.values() if isinstance(number, float))


def _convert(tree: dict[str, Any], source: str) -> Settings:
    try:
        return msgspec.convert(tree, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{source}: {_plain(str(error))}") from None


def _plain(message: str) -> str:
    text = message.split(" - at ", maxsplit=1)[0]
    return (
        text.replace("`str`", "text")
        .replace("`int`", "a whole number")
        .replace("`float`", "a number")
        .replace("`bool`", "true or false")
        .replace("`array`", "a list")
        .replace("`object`", "a mapping")
        .replace("`null`", "null")
    )


def _nearest(name: str, known: tuple[str, ...] | list[str], section: str = "") -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    prefix = f"{section}." if section else ""
    return f"; did you mean `{prefix}{near[0]}`?" if near else f"; known: {', '.join(known)}"


def fields(section: type[Section]) -> Iterator[tuple[str, Any, str]]:
    """Name, default and description of each key of a section, in order."""
    hints = get_type_hints(section, include_extras=True)
    sample = section()
    for name in section.__struct_fields__:
        yield name, getattr(sample, name), _description(hints[name])


def _description(kind: Any) -> str:
    texts = [meta.description for meta in getattr(kind, "__metadata__", ()) if getattr(meta, "description", None)]
    return texts[-1] if texts else ""
