"""Credentials by host: basic (RFC 7617) and digest (RFC 7616) authentication, sent to nobody else.

The header field is made here and not by libcurl, whose handles would keep what they learned for the next host.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from spyder.errors import SettingsError
from spyder.fetch.parts import HostPattern, UrlParts
from spyder.settings import AuthSection

_MAX_CHALLENGE = 8_192  #: characters of a WWW-Authenticate field that are read
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'[ \t,]*({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))', re.DOTALL)
_SCHEME = re.compile(rf"[ \t,]*({_WORD})(?:[ \t]+|(?=[ \t]*(?:,|$)))")
_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|$)")
_HASHES = {"md5": "md5", "sha-256": "sha256", "sha-512-256": "sha512_256"}  # RFC 7616, section 3.3


class Challenge(msgspec.Struct, frozen=True):
    """What a server asks for."""

    scheme: str  #: lower case
    parameters: dict[str, str]  #: names in lower case


def challenges(values: Iterable[str]) -> list[Challenge]:
    """All challenges of an answer, from its WWW-Authenticate fields (RFC 9110, 11.6.1); garbage ends a field."""
    found = []
    for value in values:
        text = value[:_MAX_CHALLENGE]
        at = 0
        while match := _SCHEME.match(text, at):
            at = match.end()
            parameters: dict[str, str] = {}
            if token := _TOKEN68.match(text, at):
                at = token.end()
            while parameter := _PARAMETER.match(text, at):
                at = parameter.end()
                quoted = parameter[2]
                parameters.setdefault(parameter[1].lower(),
                                      parameter[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
            found.append(Challenge(match[1].lower(), parameters))
    return found


class Account:
    """A user at one host, and what its server has asked for so far."""

    def __init__(self, user: str, password: str, scheme: str, cnonce: Callable[[], str]) -> None:
        self._user = user
        self._password = password
        self._scheme = scheme  # basic, digest or any
        self._cnonce = cnonce
        self._is_basic = scheme == "basic"
        self._digest: Challenge | None = None
        self._count = 0  # of requests with the server's nonce
        self._is_right = False  # the server took it

    def field(self, request_target: str) -> str:
        """The Authorization field's value for a GET of *request_target*; empty while the server has not asked."""
        if self._digest is not None:
            self._count += 1
            return digest_field(self._digest.parameters, user=self._user, password=self._password,
                                target=request_target, count=self._count, cnonce=self._cnonce())
        if self._is_basic:
            return basic_field(self._user, self._password)
        return ""

    def accepted(self) -> None:
        """An answer other than 401 came to a request with credentials: they are right."""
        self._is_right = True

    def challenged(self, values: Iterable[str], sent: str) -> bool:
        """Learn from an answer 401 to a request with the field *sent*; True when another try may do better."""
        asked = challenges(values)
        digest = next((challenge for challenge in asked if _can_digest(challenge)), None)
        if self._scheme != "basic" and digest is not None:
            self._digest, self._count = digest, 0
            # a new nonce doesn't help a wrong password
            return not sent or self._is_right or digest.parameters.get("stale", "").lower() == "true"
        if self._scheme == "any" and not sent and any(challenge.scheme == "basic" for challenge in asked):
            self._is_basic = True
            return True
        return False


class Accounts:
    """The accounts of ``fetch.auth``. Raises :class:`SettingsError` for entries that can't be used.

    A password ``${NAME}`` is the environment variable of that name. *cnonce* makes numbers that nobody can guess.
    """

    def __init__(self, entries: Sequence[AuthSection], *, environ: Mapping[str, str],
                 cnonce: Callable[[], str]) -> None:
        self._cnonce = cnonce
        self._accounts: dict[str, list[tuple[HostPattern, Account]]] = {}
        for index, entry in enumerate(entries):
            key = f"fetch.auth[{index}]"
            pattern = HostPattern(entry.host, f"{key}.host")
            password = expand(entry.password, f"{key}.password", environ)
            if not entry.user or ":" in entry.user or _CONTROL.search(entry.user + password):
                raise SettingsError(f"`{key}.user` must be a name without colons and control characters")
            account = Account(entry.user, password, entry.scheme, cnonce)
            self._accounts.setdefault(pattern.host, []).append((pattern, account))

    def __bool__(self) -> bool:
        return bool(self._accounts)

    def find(self, target: UrlParts) -> Account | None:
        """The account for *target*, the first one that is named for it."""
        return next((account for pattern, account in self._accounts.get(target.host, ()) if pattern.matches(target)),
                    None)


def expand(text: str, key: str, environ: Mapping[str, str]) -> str:
    """*text*, or the value of the environment variable when it is ``${NAME}``. Raises :class:`SettingsError`."""
    match = _VARIABLE.fullmatch(text)
    if match is None:
        return text
    if match[1] not in environ:
        raise SettingsError(f"`{key}`: the environment variable {match[1]} is not set where the worker runs")
    return environ[match[1]]


def basic_field(user: str, password: str) -> str:
    """The Authorization field's value by RFC 7617, in UTF-8."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def digest_field(asked: Mapping[str, str], *, user: str, password: str, target: str, count: int, cnonce: str) -> str:
    """The Authorization field's value for a GET of *target* by RFC 7616, section 3.4.

    *asked* are the challenge's parameters; *count* is the number of the request with this nonce, from 1.
    """
    algorithm = asked.get("algorithm", "MD5")
    name, _, variant = algorithm.lower().partition("-sess")
    is_session = algorithm.lower().endswith("-sess")
    assert not variant

    def hashed(text: str) -> str:
        return hashlib.new(_HASHES[name], text.encode(), usedforsecurity=False).hexdigest()

    realm, nonce = asked.get("realm", ""), asked["nonce"]
    offered = [word.strip().lower() for word in asked.get("qop", "").split(",")]
    qop = next((word for word in ("auth", "auth-int") if word in offered), "")
    secret = hashed(f"{user}:{realm}:{password}")
    if is_session:
        secret = hashed(f"{secret}:{nonce}:{cnonce}")
    request = hashed(f"GET:{target}:{hashed('')}" if qop == "auth-int" else f"GET:{target}")
    middle = f"{nonce}:{count:08x}:{cnonce}:{qop}" if qop else nonce
    has_userhash = asked.get("userhash", "").lower() == "true"
    shown = hashed(f"{user}:{realm}") if has_userhash else user
    fields = []
    if has_userhash or shown.isascii():
        fields.append(f'username="{_quoted(shown)}"')
    else:  # RFC 7616, section 3.4.4, and RFC 8187
        escaped = "".join(f"%{byte:02X}" for byte in shown.encode())
        fields.append(f"username*=UTF-8''{escaped}")
    fields += [f'realm="{_quoted(realm)}"', f'nonce="{_quoted(nonce)}"', f'uri="{_quoted(target)}"',
               f'response="{hashed(f"{secret}:{middle}:{request}")}"']
    if "algorithm" in asked:
        fields.append(f"algorithm={algorithm}")
    if "opaque" in asked:
        fields.append(f'opaque="{_quoted(asked["opaque"])}"')
    if qop:
        fields += [f"qop={qop}", f"nc={count:08x}", f'cnonce="{_quoted(cnonce)}"']
    if has_userhash:
        fields.append("userhash=true")
    return f"Digest {', '.join(fields)}"


def _can_digest(challenge: Challenge) -> bool:
    algorithm = challenge.parameters.get("algorithm", "MD5").lower().removesuffix("-sess")
    return (challenge.scheme == "digest" and bool(challenge.parameters.get("nonce")) and algorithm in _HASHES
            and _HASHES[algorithm] in hashlib.algorithms_available)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
