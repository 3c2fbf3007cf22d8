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
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import quote

import msgspec
import yaml
from msgspec import Meta

from spyder.errors import SettingsError
from spyder.model.limits import (
    MAX_LEASES,
    MAX_LINKS,
    MAX_REDIRECTS,
    MAX_SCOPE_RULES,
    MAX_URL,
    MAX_WORKERS,
    MIN_MESSAGE,
)
from spyder.model.robots import product_token
from spyder.model.states import ErrorKind

#: A variable SPYDER_SECTION__KEY sets ``section.key``; its value is read as YAML.
ENVIRONMENT_PREFIX = "SPYDER_"

#: Keys whose values may hold passwords: no message shows them.
_SECRETS = frozenset({"auth", "client_certificates", "proxies", "token"})
#: Names of the rules against traps.
TRAP_RULES = ("path-depth", "repeating-segments", "calendar", "session-id", "query-permutations", "nested-escapes",
              "host-uris", "path-queries", "session-variants", "repeats")
#: What a rule of the scope may be called.
RULE_NAME = r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"

Seconds = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
CountOrNone = Annotated[int, Meta(ge=0)] | None
CountOrZero = Annotated[int, Meta(ge=0)]
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


Text = Annotated[str, Meta(min_length=1)]
#: Regular expressions, hosts and the like of one condition: it holds when one of them does.
Texts = Annotated[tuple[Text, ...], Meta(min_length=1)]
#: A condition that is there or not.
Yes = Literal[True]


class RuleCondition(Section, frozen=True, omit_defaults=True):
    """When a rule of the scope holds: all that is given must. ``docs/scope.md`` tells each."""

    regex: Annotated[Texts | None, doc("regular expressions, searched in the URL")] = None
    host: Annotated[Texts | None, doc("hosts; `*` stands for any characters; without a port, any")] = None
    domain: Annotated[Texts | None, doc("domains, with all hosts below them")] = None
    surt: Annotated[Texts | None, doc("SURT prefixes, or URLs and hosts that are read as such")] = None
    scheme: Annotated[Texts | None, doc("http, https")] = None
    content_type: Annotated[Texts | None, doc("media types, judged once a page is there; `*` as in host")] = None
    file: Annotated[Text | None, doc("a list file of hosts, SURT prefixes and expressions")] = None
    path_depth: Annotated[CountOrNone, doc("more segments in the path")] = None
    depth: Annotated[CountOrNone, doc("more links from a seed")] = None
    embeds: Annotated[Count | None, doc("embedded (images, styles ...), over so many hops at the most")] = None
    query_length: Annotated[CountOrNone, doc("more characters in the query")] = None
    url_length: Annotated[CountOrNone, doc("more characters")] = None
    seeds: Annotated[Yes | None, doc("on a host or domain of a seed, by scope.mode")] = None
    any: Annotated[Yes | None, doc("always")] = None


class ScopeRule(Section, frozen=True, omit_defaults=True):
    """One named rule: it accepts or rejects what its condition holds for."""

    name: Annotated[str, Meta(pattern=RULE_NAME)]
    accept: RuleCondition | None = None
    reject: RuleCondition | None = None

    @property
    def condition(self) -> RuleCondition:
        """When it holds."""
        condition = self.accept if self.accept is not None else self.reject
        assert condition is not None, "read_rules lets no rule without a condition pass"
        return condition


#: Names of the rules that come from settings of their own, in their order.
BUILTIN_RULES = ("seeds", "host", "domain", "any", "include", "exclude", "depth", "url-length", "scheme", "limits",
                 *TRAP_RULES)
#: In a list of rules: here depth, length and traps are judged.
LIMITS: Literal["limits"] = "limits"
ScopeRules = Annotated[tuple[ScopeRule | Literal["limits"], ...], Meta(max_length=MAX_SCOPE_RULES)]


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
    rules: Annotated[
        ScopeRules, doc("named rules after the keys above, in order, the last one that holds decides: docs/scope.md")
    ] = ()


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


#: Of each canonicalisation policy; raised whenever any URL's canonical form changes.
CANONICAL_VERSIONS: Mapping[str, int] = {"plain": 1, "standard": 2, "archive": 1}


class FrontierSection(Section, frozen=True):
    """The master's memory of every URI."""

    store: Annotated[str, doc("rocksdb (on disk), memory (tests), or module:Class of a FrontierStore")] = "rocksdb"
    directory: Annotated[str | None, doc("folder of the store; null: `frontier` in output.directory")] = None
    canonical: Annotated[
        Literal["plain", "standard", "archive"],
        doc("which spellings of a URL are the same page: docs/urls.md; kept in the store, as are the next five"),
    ] = "standard"
    sort_query: Annotated[
        bool | None, doc("the order of a query's parameters makes no other page; null: not in plain, in the others")
    ] = None
    drop_session_ids: Annotated[
        bool, doc("jsessionid, PHPSESSID and their like make no other page; always so in archive")
    ] = False
    drop_tracking: Annotated[bool, doc("utm_source, gclid, fbclid and their like make no other page")] = False
    default_documents: Annotated[bool, doc("index.html, default.aspx and their like are the page of their folder")] = (
        False
    )
    drop_query_params: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...],
        doc("names of parameters that make no other page; * and ? as in a shell"),
    ] = ()
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

    @property
    def sorts_query(self) -> bool:
        """What :attr:`sort_query` means with this policy."""
        return self.canonical != "plain" if self.sort_query is None else self.sort_query

    @property
    def canonical_options(self) -> tuple[str, ...]:
        """The options that change the policy, as :attr:`identity` carries them."""
        options = []
        if self.sorts_query != (self.canonical != "plain"):
            options.append("sort_query" if self.sorts_query else "keep_query_order")
        if self.drop_session_ids and self.canonical != "archive":
            options.append("drop_session_ids")
        options += [name for name in ("drop_tracking", "default_documents") if getattr(self, name)]
        names = sorted({quote(name, safe="*?[]!") for name in self.drop_query_params})
        return (*options, *(f"drop={name}" for name in names))

    @property
    def identity(self) -> str:
        """By what the frontier's keys are made: policy, its version beyond the first, options, and assignment.

        The store keeps it, and is refused with another: ``standard-2,drop_tracking,drop=ref/host``.
        """
        version = CANONICAL_VERSIONS[self.canonical]
        policy = self.canonical if version == 1 else f"{self.canonical}-{version}"
        return f"{','.join((policy, *self.canonical_options))}/{self.assignment}"


class PolitenessSection(Section, frozen=True):
    """How a host is treated: decided by the master alone."""

    per_host: Annotated[Count, doc("connections to one host at the same time")] = 2
    delay: Annotated[
        Seconds,
        doc("seconds from the end of a fetch to the next one of its host; with per_host > 1 between beginnings, too"),
    ] = 1.0
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
            "http-408": 2,
            "http-429": 5,
            "http-500": 2,
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
            "http-408": 5.0,
            "http-429": 30.0,
            "http-500": 60.0,
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


class AuthSection(Section, frozen=True):
    """Credentials for one host."""

    host: Annotated[str, doc("example.org, example.org:8080 or https://example.org: sent there and nowhere else")]
    user: Annotated[str, doc("name of the user")]
    password: Annotated[str, doc("password, or ${NAME}: that environment variable")]
    scheme: Annotated[Literal["basic", "digest", "any"], doc("any: what the server asks for, digest if it can")] = "any"


class CertificateSection(Section, frozen=True):
    """A client certificate for one host."""

    host: Annotated[str, doc("example.org or example.org:8443")]
    certificate: Annotated[str, doc("file with the certificate and its chain (PEM)")]
    key: Annotated[str, doc("file with its key (PEM); empty: it is in the file of the certificate")] = ""
    password: Annotated[str, doc("of the key, or ${NAME}: that environment variable")] = ""


class FetchSection(Section, frozen=True):
    """The HTTP client of a worker."""

    user_agent: Annotated[
        str, doc("who we are: a name, a version and an address for complaints; empty: Spyder, our version, and contact")
    ] = ""
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
    max_ratio: Annotated[
        Count, doc("times that a body may grow when it is decompressed; judged from 1 MiB decoded on")
    ] = 200
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
    tls_min_version: Annotated[
        Literal["1.0", "1.1", "1.2", "1.3"], doc("oldest version of TLS that is spoken; 1.0 and 1.1 are broken")
    ] = "1.2"
    client_certificates: Annotated[
        tuple[CertificateSection, ...], doc("certificates that we show, each to one host: docs/fetching.md")
    ] = ()
    auth: Annotated[tuple[AuthSection, ...], doc("credentials, each for one host: docs/fetching.md")] = ()
    cookies: Annotated[
        Literal["off", "host", "project"],
        doc("off: none are kept; host: each host's for itself; project: as browsers do, over all hosts"),
    ] = "off"
    max_cookies: Annotated[Count, doc("cookies of one host (project: of one registered domain)")] = 50
    max_cookies_in_all: Annotated[Count, doc("cookies that a worker keeps")] = 5000
    max_cookie_size: Annotated[Bytes, doc("bytes of a cookie's name and value")] = 4096
    proxies: Annotated[
        tuple[str, ...], doc("http://, https://, socks5:// or socks5h://, with user:password@ if need be; empty: none")
    ] = ()
    proxy_rotation: Annotated[
        Literal["host", "fetch"], doc("host: a host stays with one proxy; fetch: each fetch takes the next one")
    ] = "host"
    no_proxy: Annotated[
        tuple[str, ...], doc("fetched directly: hosts, .domains with all below them, networks such as 10.0.0.0/8")
    ] = ("localhost", "127.0.0.0/8", "::1")
    proxy_rest: Annotated[
        Annotated[float, Meta(gt=0)], doc("seconds that a proxy rests after an error of its own; doubles each time")
    ] = 30.0
    max_proxy_rest: Annotated[Seconds, doc("seconds that a proxy rests at the most")] = 3600.0
    conditional: Annotated[
        bool, doc("pages that were fetched before are asked for only if they have changed (ETag, Last-Modified)")
    ] = True
    content_types: Annotated[
        tuple[str, ...], doc("media types that are wanted, such as text/*; the body of others isn't read; empty: all")
    ] = ()
    exclude_content_types: Annotated[tuple[str, ...], doc("media types that are not wanted, such as video/*")] = ()
    languages: Annotated[
        tuple[str, ...], doc("languages that are wanted, such as en, by Content-Language; empty: all")
    ] = ()
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
    """Rules and limits against hosts that go on for ever; null switches one off. docs/scope.md has the reasons."""

    path_depth: Annotated[CountOrNone, doc("segments of a path at the most")] = 20
    segment_repeats: Annotated[
        Count | None, doc("times that one segment may stand in a path; numbers of up to four digits don't count")
    ] = 3
    sequence_repeats: Annotated[
        Count | None, doc("times in a row that the same two or more segments may follow one another")
    ] = 2
    calendar_years: Annotated[CountOrNone, doc("years from now that a date in a URL may lie in the future")] = 5
    calendar_from: Annotated[CountOrNone, doc("earliest year of a date in a URL of a calendar")] = 1900
    session_ids: Annotated[Count | None, doc("session ids in one URL at the most")] = 1
    parameters: Annotated[Count | None, doc("parameters of a query at the most")] = 40
    parameter_repeats: Annotated[Count | None, doc("times that a query may say the same `name=value`")] = 3
    escapes: Annotated[Count | None, doc("times that a URL may be escaped within another one")] = 3
    host_uris: Annotated[Count | None, doc("URIs of one host that are taken in at the most")] = 1_000_000
    path_queries: Annotated[
        Count | None, doc("queries of three or more parameters for one path of a host at the most")
    ] = 5000
    session_variants: Annotated[Count | None, doc("URLs at the most that differ in nothing but a session id")] = 100
    max_repeats: Annotated[
        Count | None, doc("near-duplicates in a row, after which such pages of that host are not followed")
    ] = 100

    near_duplicates: Annotated[
        Literal["off", "mark", "damp"],
        doc("pages that nearly repeat others of their host. mark: records say so; damp: max_repeats holds, too"),
    ] = "mark"
    near_pages: Annotated[
        Literal["alike", "all"],
        doc("whose texts are compared: alike: with a title, or a size and number of links, seen before; all: costly"),
    ] = "alike"
    near_distance: Annotated[
        Annotated[int, Meta(ge=0, le=16)], doc("bits of 64 in which the fingerprints of near-duplicates may differ")
    ] = 6
    near_min_text: Annotated[
        Count, doc("bytes of visible text, white space left out; pages with less don't count")
    ] = 200


class ExtractSection(Section, frozen=True):
    """What is read from a page."""

    extractors: Annotated[
        tuple[str, ...],
        doc("who reads responses, in order: html, headers, sitemap, feed, css, pdf, or module:Class of an Extractor"),
    ] = ("html", "headers", "sitemap", "feed")
    embeds: Annotated[bool, doc("what pages, styles, sitemaps and feeds embed (images, scripts ...) is followed")] = (
        False
    )
    link_elements: Annotated[
        bool, doc("`link` elements that lead to pages (next, alternate, canonical ...) are followed; embeds include it")
    ] = False
    max_parse_size: Annotated[Bytes, doc("bytes of a body that are parsed for links; the rest is ignored")] = 4_194_304
    max_parse_memory: Annotated[
        BytesOrNone, doc("bytes that reading one body may take; a larger page has no links; 0: no limit")
    ] = 536_870_912
    max_parse_time: Annotated[
        Seconds, doc("CPU seconds for one sitemap, feed, style sheet or PDF; what comes after is left out; 0: no limit")
    ] = 10.0
    max_sitemap_size: Annotated[Bytes, doc("bytes of a sitemap or feed, decompressed; the rest is ignored")] = (
        52_428_800
    )
    max_sitemap_entries: Annotated[
        Count, Meta(le=MAX_LINKS), doc("entries of a sitemap or feed; the rest is left out")
    ] = 50_000
    max_sitemap_depth: Annotated[
        CountOrZero, doc("sitemap indexes in a chain; what the last one names is left out; 0: none is followed")
    ] = 4
    sitemap_location: Annotated[
        Literal["any", "host", "path"],
        doc("which pages a sitemap may list: any (scope decides); its host's, or that of the robots.txt which named it;"
            " those below its own folder (sitemaps.org)"),
    ] = "any"
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
    """The settings: defaults, then who the person is (:func:`identity_file`), then the file at *path*, then the
    environment, then *overrides* (``{"a.b": value}``).

    Raises :class:`SettingsError` naming the source, the key and the nearest known key.
    """
    environ = os.environ if environ is None else environ
    tree: dict[str, Any] = {}
    _merge_identity(tree, identity_file(environ))
    if path is not None:
        _merge(tree, _read(Path(path)), str(path))
    for name, text in environ.items():
        if name.startswith(ENVIRONMENT_PREFIX) and "__" in name:
            dotted = name[len(ENVIRONMENT_PREFIX) :].lower().replace("__", ".")
            _merge(tree, _nest(dotted, _yaml(text, f"environment variable {name}")), f"environment variable {name}")
    for dotted, value in (overrides or {}).items():
        if value is not None:
            _merge(tree, _nest(dotted, value), "command line")
    return _convert(tree, str(path) if path is not None else "settings")


def identity_file(environ: Mapping[str, str] | None = None) -> Path | None:
    """Where a person's answer to who they are is kept, for all of their crawls; None where there is no such place.

    It is ``spyder/identity.yaml`` in ``$XDG_CONFIG_HOME``, or in ``~/.config`` (XDG Base Directory Specification).
    """
    environ = os.environ if environ is None else environ
    folder, home = Path(environ.get("XDG_CONFIG_HOME", "")), Path(environ.get("HOME", ""))
    if not folder.is_absolute():  # the specification: others are to be ignored
        folder = home / ".config"
    return folder / "spyder" / "identity.yaml" if folder.is_absolute() else None


def keep_contact(path: Path, contact: str) -> None:
    """Write *contact* to the identity file *path*. Raises :class:`OSError` when that can't be done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"fetch": {"contact": contact}})
    path.write_text(f"# Who Spyder's crawls say that they are of, where their settings don't say it.\n{text}",
                    encoding="utf-8")


def _merge_identity(tree: dict[str, Any], path: Path | None) -> None:
    """Lay the identity file over *tree*; it may say who the person is, and nothing else."""
    try:
        if path is None or not path.exists():
            return
    except OSError:  # a home that is not ours
        return
    given = _read(path)
    for section, keys in given.items():
        for key in keys if isinstance(keys, dict) else (None,):
            if (section, key) not in {("fetch", "contact"), ("fetch", "user_agent")}:
                name = section if key is None else f"{section}.{key}"
                raise SettingsError(f"{path}: `{name}` does not belong here: only `fetch.contact` and "
                                    "`fetch.user_agent` do")
    _merge(tree, given, str(path))


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
            return section.identity
        case RobotsSection():
            return [section, product_token(settings.fetch.user_agent or "Spyder")]
        case ExtractSection():
            return [getattr(section, name) for name in section.__struct_fields__ if name != "seen_links"]
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
            checked = _rule_trees(value, f"{source}: `scope.rules`") if (name, key) == ("scope", "rules") else value
            into.setdefault(name, {})[key] = _check(name, key, checked, source)


def load_rules(path: str | Path) -> list[Any]:
    """The rules of a scope in a YAML file, as plain values: a list of them, or settings with ``scope.rules``.

    Raises :class:`SettingsError` in one line.
    """
    try:
        tree = _yaml(Path(path).read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text") from None
    if isinstance(tree, dict):
        section = tree.get("scope", tree)
        tree = section.get("rules") if isinstance(section, dict) else None
        if tree is None:
            raise SettingsError(f"{path}: expected a list of rules, or `scope:` with `rules:`")
    return _rule_trees(tree, str(path))


def read_condition(text: str) -> Any:
    """The condition of a rule as it is written on a command line: ``host: bad.example``, or ``any``.

    Raises :class:`SettingsError` when it is no YAML.
    """
    return _yaml(text, f"the condition {text!r}")


def read_rules(entries: Any, source: str) -> tuple[ScopeRule | Literal["limits"], ...]:
    """The rules of a scope that *entries*, plain values, are; raises :class:`SettingsError` in one line."""
    return msgspec.convert(_rule_trees(entries, source), ScopeRules)


def _rule_trees(entries: Any, source: str) -> list[Any]:
    """Rules as plain values, each of them checked, single texts as lists."""
    if not isinstance(entries, list):
        raise SettingsError(f"{source}: expected a list of rules, got {entries!r}")
    if len(entries) > MAX_SCOPE_RULES:
        raise SettingsError(f"{source}: {len(entries):,} rules are more than {MAX_SCOPE_RULES:,}: use a list file")
    trees: list[Any] = []
    names: set[str] = set()
    for index, entry in enumerate(entries, 1):
        tree: Any
        if entry == LIMITS:
            tree = name = str(LIMITS)
        else:
            tree = _rule_tree(entry, f"{source}: rule {index}")
            name = tree["name"]
        if name in names:
            raise SettingsError(f"{source}: there are two rules called `{name}`")
        names.add(name)
        trees.append(tree)
    return trees


def _rule_tree(entry: Any, source: str) -> dict[str, Any]:
    example = '{name: no-shop, reject: {host: "shop.example.org"}}'
    if not isinstance(entry, dict):
        raise SettingsError(f"{source}: expected {example} or `{LIMITS}`, got {entry!r}")
    name = entry.get("name")
    if not isinstance(name, str) or not re.match(RULE_NAME, name):
        raise SettingsError(f"{source}: needs a `name` of letters, digits, dots, dashes (64 at the most), got {name!r}")
    if name in BUILTIN_RULES:
        raise SettingsError(f"{source}: `{name}` is the name of a rule of Spyder's own: choose another")
    source = f"{source} (`{name}`)"
    for key in entry:
        if key not in ScopeRule.__struct_fields__:
            raise SettingsError(f"{source}: unknown key `{key}`{_nearest(str(key), ScopeRule.__struct_fields__)}")
    decisions = [key for key in ("accept", "reject") if key in entry]
    if len(decisions) != 1:
        raise SettingsError(f"{source}: needs either `accept` or `reject` with a condition, as {example}")
    conditions = entry[decisions[0]]
    if conditions == "any":
        conditions = {"any": True}
    if not isinstance(conditions, dict) or not conditions:
        raise SettingsError(f"{source}: `{decisions[0]}` needs a condition, as {example}; got {conditions!r}")
    return {"name": name, decisions[0]: {key: _condition(str(key), value, f"{source}: `{decisions[0]}.{key}`")
                                         for key, value in conditions.items()}}


def _condition(key: str, value: Any, source: str) -> Any:
    known = RuleCondition.__struct_fields__
    if key not in known:
        raise SettingsError(f"{source}: there is no such condition{_nearest(key, known)}")
    kind = get_args(get_type_hints(RuleCondition, include_extras=True)[key])[0]
    kind = get_args(kind)[0]  # without its `| None`
    if kind is Yes and value is not True:
        raise SettingsError(f"{source}: expected true, got {value!r}")
    if isinstance(value, str) and kind is Texts:
        value = [value]
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{source}: {_plain(str(error))}; got {value!r}") from None
    return value


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


def _check(section: str, key: str, value: Any, source: str) -> Any:
    """*value*, or a refusal of one of the wrong type where its source is still known."""
    kind = get_type_hints(type(getattr(Settings(), section)), include_extras=True)[key]
    if value is False and "off" in get_args(get_args(kind)[0] if get_origin(kind) is Annotated else kind):
        value = "off"  # as YAML reads the bare word
    try:
        checked = msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        got = "" if key in _SECRETS else f"; got {value!r}"
        raise SettingsError(f"{source}: `{section}.{key}`: {_plain(str(error))}{got}") from None
    if any(not math.isfinite(number) for number in _numbers(checked)):
        raise SettingsError(f"{source}: `{section}.{key}`: expected a finite number; got {value!r}")
    if section == "retry" and isinstance(checked, dict):
        known = [kind.value for kind in ErrorKind if kind.is_transient or kind is ErrorKind.WORKER_DIED]
        for name in checked:
            if name not in known:
                raise SettingsError(f"{source}: unknown class of error `retry.{key}.{name}`{_nearest(name, known)}")
    return value


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
