"""Certificates for the hostile site, made by the ``openssl`` command: one good, the others each wrong in one way."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""
#: Times of validity, as ``openssl ca`` writes them: two digits of the year are enough for this century.
_NOW, _PAST, _FUTURE = ("20240101000000Z", "20490101000000Z"), ("20200101000000Z", "20200201000000Z"), (
    "20480101000000Z", "20490101000000Z")
#: Seconds that one command may take.
_PATIENCE = 30


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """Files of a certificate and of its key (PEM)."""

    chain: str
    key: str


def make(folder: Path, addresses: Iterable[str]) -> dict[str, Certificate]:
    """Certificates by name, for hosts at *addresses*; ``folder/authority.pem`` is what a client must trust.

    Raises :class:`OSError` when there is no ``openssl`` command, or when it fails.
    """
    if shutil.which("openssl") is None:
        raise OSError("the hostile site needs the command openssl for its TLS behaviours; install it, or leave the "
                      "groups tls and http2 out")
    names = ",".join(f"IP:{address}" for address in addresses)
    (folder / "own.cnf").write_text(_CONFIG.format(folder=folder), encoding="utf-8")
    (folder / "index.txt").touch()
    (folder / "serial").write_text("01", encoding="utf-8")
    for authority in ("authority", "stranger"):
        _openssl(folder, "req", "-x509", *_CURVE, "-days", "3650", "-subj", f"/CN={authority}", "-keyout",
                 f"{authority}.key", "-out", f"{authority}.pem")
    _openssl(folder, "req", *_CURVE, "-subj", "/CN=hostile", "-keyout", "host.key", "-out", "host.csr")
    _openssl(folder, "req", "-x509", "-key", "host.key", "-days", "3650", "-subj", "/CN=hostile", "-addext",
             f"subjectAltName={names}", "-out", "self-signed.pem")
    _sign(folder, "good", names, _NOW)
    _sign(folder, "expired", names, _PAST)
    _sign(folder, "not-yet", names, _FUTURE)
    _sign(folder, "other-host", "DNS:elsewhere.hostile.test", _NOW)
    _sign(folder, "foreign", names, _NOW, authority="stranger")
    return {name: Certificate(chain=str(folder / f"{name}.pem"), key=str(folder / "host.key"))
            for name in ("good", "expired", "not-yet", "other-host", "foreign", "self-signed")}


def _sign(folder: Path, name: str, names: str, valid: tuple[str, str], *, authority: str = "authority") -> None:
    (folder / f"{name}.cnf").write_text(f"subjectAltName={names}\n", encoding="utf-8")
    _openssl(folder, "ca", "-batch", "-config", "own.cnf", "-cert", f"{authority}.pem", "-keyfile", f"{authority}.key",
             "-startdate", valid[0], "-enddate", valid[1], "-in", "host.csr", "-extfile", f"{name}.cnf", "-notext",
             "-out", f"{name}.pem")


def _openssl(folder: Path, *arguments: str) -> None:
    try:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=_PATIENCE)
    except subprocess.SubprocessError as error:
        said = getattr(error, "stderr", None) or b""
        raise OSError(f"openssl {arguments[0]} failed: {said.decode(errors='replace').strip() or error}") from None
