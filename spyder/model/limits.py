"""Bounds of what may come from a peer: beyond them it is no message of the protocol."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

MAX_URL = 16_384  #: characters of a URL
MAX_REDIRECTS = 1000  #: URLs in a chain of redirects
MAX_LINKS = 100_000  #: links that one outcome brings
MAX_LINK_BYTES = 16_777_216  #: of the links that one outcome brings
MAX_DETAIL = 1000  #: characters of why something failed
MAX_HOST = 253  #: characters of a host's name (RFC 1035, section 2.3.4, without the last dot)
MAX_RULES = 50_000  #: lines of a robots.txt that count for us
MAX_SCOPE_RULES = 1000  #: named rules of a scope
MAX_RULES_TEXT = 4_194_304  #: characters of edited rules of a scope
MAX_SITEMAPS = 1000  #: sitemaps that a robots.txt names
MAX_CUTS = 16  #: settings whose limit cut something off one page
MAX_VALIDATORS = 1024  #: characters of an ETag and a date
MIN_MESSAGE = 2 * MAX_LINK_BYTES  #: bytes that a message must be allowed to have, so that every outcome fits into one
MAX_LEASES = 65_536  #: leases of one worker, and so outcomes, notices and held leases in one message
MAX_WORKERS = 10_000  #: workers of one master
MAX_TEXT = 10_000  #: characters of a line for people
MAX_NAME = 200  #: characters of an identity, a version, or a digest
_MAX_NUMBER = 1 << 48  #: of a count: tens of thousands of them added up are a number that MessagePack can carry
_MAX_SECONDS = 1e12

#: A count or a number that grows, 0 or more.
Natural = Annotated[int, Meta(ge=0, le=_MAX_NUMBER)]
#: Number of a lease: the master's epoch, and a count (:mod:`spyder.frontier.leases`).
LeaseNumber = Annotated[int, Meta(ge=0, le=1 << 62)]
#: Seconds, 0 or more. A bound on both sides also keeps out what is no number (IEEE 754 NaN).
Seconds = Annotated[float, Meta(ge=0, le=_MAX_SECONDS)]
UrlText = Annotated[str, Meta(max_length=MAX_URL)]
Line = Annotated[str, Meta(max_length=MAX_TEXT)]
Name = Annotated[str, Meta(max_length=MAX_NAME)]
#: Identity of a worker, as :func:`spyder.nodes.spec.new_spec` makes it. Its form matters: it is a topic, and a topic
#: reaches all who subscribed to a beginning of it, so no identity may be the beginning of another one, or be "all".
WorkerName = Annotated[str, Meta(max_length=MAX_NAME, pattern=r"\Aworker:[!-9;-~]+:[0-9]+\.[0-9]+:[0-9a-f]{8}\Z")]
#: Identity of a master.
MasterName = Annotated[str, Meta(max_length=MAX_NAME, pattern=r"\Amaster:[!-9;-~]+:[0-9]+:[0-9a-f]{8}\Z")]
#: Address of a socket.
Address = Annotated[str, Meta(max_length=MAX_NAME, pattern=r"\A(?:tcp|ipc|inproc)://[!-~]+\Z")]
