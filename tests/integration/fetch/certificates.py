"""Certificates made for the tests, with the openssl command: good ones, and one for each thing that can be wrong."""

import ssl
import subprocess
from pathlib import Path

from loopback import needs

CA_CONFIG = """
[ca]
default_ca = own
[own]
database = {folder}/index
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""


class Certificates:
    """A certificate authority in *folder*: :meth:`issue` signs, :meth:`context` makes a server of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "index").write_text("")
        (folder / "serial").write_text("01")
        (folder / "ca.conf").write_text(CA_CONFIG.format(folder=folder))
        self._openssl("req", "-x509", *self._new_key("ca"), "-days", "30", "-subj", "/CN=Test CA", "-out", "ca.pem",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self.ca_file = str(folder / "ca.pem")

    def issue(self, name, *, host="DNS:localhost", key=("ec", "ec_paramgen_curve:prime256v1"), digest="sha256",
              usage="serverAuth", start="20200101000000Z", end="20990101000000Z"):
        """Sign a certificate; the stem of its files."""
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={host}\nextendedKeyUsage={usage}\n")
        self._openssl("req", *self._new_key(name, *key), "-subj", f"/CN={name}", "-out", f"{name}.csr")
        self._openssl("ca", "-batch", "-notext", "-config", "ca.conf", "-cert", "ca.pem", "-keyfile", "ca.key",
                      "-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", f"{name}.ext", "-md", digest,
                      "-startdate", start, "-enddate", end)
        return self.folder / name

    def self_signed(self, name):
        """A certificate that nobody vouches for."""
        self._openssl("req", "-x509", *self._new_key(name), "-days", "30", "-subj", "/CN=localhost",
                      "-addext", "subjectAltName=DNS:localhost", "-out", f"{name}.pem")
        return self.folder / name

    def encrypted(self, name, password):
        """Protect the key of *name* by a password."""
        self._openssl("pkey", "-in", f"{name}.key", "-aes256", "-passout", f"pass:{password}", "-out", f"{name}.locked")
        return self.folder / f"{name}.locked"

    def _new_key(self, name, kind="ec", option="ec_paramgen_curve:prime256v1"):
        return ["-newkey", kind, *(["-pkeyopt", option] if option else []), "-nodes", "-keyout", f"{name}.key"]

    def _openssl(self, *arguments):
        subprocess.run([needs("openssl"), *arguments], check=True, capture_output=True, cwd=self.folder)


def context(stem, *, newest=None, client_ca=None):
    """A server's context with the certificate *stem*."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("ALL:@SECLEVEL=0")
    made.load_cert_chain(f"{stem}.pem", f"{stem}.key")
    if newest is not None:
        made.minimum_version = made.maximum_version = newest
    if client_ca:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(client_ca)
    return made
