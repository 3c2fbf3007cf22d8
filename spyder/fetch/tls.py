"""TLS: what is wrong with a server's certificate, in words; and the certificates that we show ourselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from spyder.errors import SettingsError
from spyder.fetch.auth import expand
from spyder.fetch.parts import HostPattern, UrlParts
from spyder.settings import CertificateSection

#: What libcurl and OpenSSL say (X509_verify_cert_error_string(3), SSL alerts of RFC 8446, section 6), and our words.
_WORDS = tuple((re.compile(pattern, re.IGNORECASE), words) for pattern, words in (
    ("certificate has expired", "the certificate has expired"),
    ("certificate is not yet valid", "the certificate is not yet valid"),
    ("self[- ]signed certificate in certificate chain", "the certificate's issuer is not trusted"),
    ("self[- ]signed", "the certificate is self-signed"),
    ("no alternative certificate subject name|subject name .* does not match|hostname mismatch|"
     "ip address mismatch", "the certificate is for another host"),
    ("unable to get (?:local )?issuer|unable to verify the first|no issuer|partial.chain",
     "the certificate's issuer is not known"),
    ("certificate revoked|has been revoked", "the certificate is revoked"),
    ("invalid ca certificate|path length|unsuitable certificate purpose|unsupported certificate purpose",
     "the certificate may not be used for this"),
    ("key too (?:small|weak)|md too weak|signature digest algorithm too weak|dh key too small",
     "the certificate or key is too weak"),
    ("certificate signature failure", "the certificate's signature is wrong"),
    ("protocol version|unsupported protocol|wrong ssl version", "the server speaks too old a version of TLS"),
    ("certificate required|bad certificate|handshake failure.*certificate", "the server wants a client certificate"),
    ("wrong version number|packet length too long|http request", "the server speaks no TLS at this port"),
    ("handshake failure|no shared cipher|no ciphers|insufficient security",
     "the server refuses the handshake, for want of a common cipher or of a certificate of ours"),
    ("unrecognized name", "the server does not know the host"),
    ("legacy renegotiation|unexpected eof|connection reset|syscall", "the handshake broke off"),
))


def in_words(message: str) -> str:
    """*message* of libcurl about TLS with its meaning first; as it is when we don't know better."""
    for pattern, words in _WORDS:
        if pattern.search(message):
            return f"{words}: {message}"
    return message


class ClientCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """Files of a certificate that we show."""

    certificate: str
    key: str
    password: str


class ClientCertificates:
    """The certificates of ``fetch.client_certificates``.

    Raises :class:`SettingsError` when a file isn't there. A password ``${NAME}`` is that environment variable.
    """

    def __init__(self, entries: Sequence[CertificateSection], *, environ: Mapping[str, str]) -> None:
        self._entries: list[tuple[HostPattern, ClientCertificate]] = []
        for index, entry in enumerate(entries):
            key = f"fetch.client_certificates[{index}]"
            for name, path in (("certificate", entry.certificate), ("key", entry.key or entry.certificate)):
                if not Path(path).is_file():
                    raise SettingsError(f"`{key}.{name}`: there is no file {path}")
            self._entries.append((HostPattern(entry.host, f"{key}.host"), ClientCertificate(
                certificate=entry.certificate, key=entry.key or entry.certificate,
                password=expand(entry.password, f"{key}.password", environ))))

    def __bool__(self) -> bool:
        return bool(self._entries)

    def find(self, target: UrlParts) -> ClientCertificate | None:
        """What we show to *target*, if anything."""
        if target.scheme != "https":
            return None
        return next((certificate for pattern, certificate in self._entries if pattern.matches(target)), None)
