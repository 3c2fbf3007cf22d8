"""Fixtures: a run of a transport on either event loop, and an nginx that speaks HTTP/2."""

import asyncio
import os
import socket
import subprocess
import time

import pytest
from loopback import Server, fetch_all, free_port, needs, new_transport

from spyder.settings import FetchSection


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine function with a transport for the given settings."""
    runner = pytest.importorskip("uvloop").run if request.param == "uvloop" else asyncio.run

    def run(test, **settings):
        async def main():
            transport = new_transport(FetchSection(**settings))
            try:
                return await test(transport)
            finally:
                transport.close()
        return runner(main())
    return run


@pytest.fixture
def fetch(run):
    """Fetch from a server with the given replies, once for each; the pages and bodies."""
    def fetch(*replies, path="", scheme="http", **settings):
        async def test(transport):
            async with Server(*replies) as server:
                url = f"{scheme}://127.0.0.1:{server.port}/{path}"
                return await fetch_all(transport, *[url] * len(replies))
        return run(test, **settings)
    return fetch


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Paths of a self-signed certificate for localhost and its key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run([needs("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem"], check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
  access_log off; types {{ text/html html; }} gzip on; gzip_min_length 1;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{tls} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; root {folder}; }}
  server {{ listen 127.0.0.1:{plain} http2; root {folder}; }}
}}
"""


@pytest.fixture(scope="session")
def nginx(tmp_path_factory, certificate):
    """Ports (TLS, plain) of an nginx that speaks HTTP/2."""
    program = needs("nginx")
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    (folder / "page.html").write_text("<p>page</p>" * 1000)
    tls, plain = free_port(), free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, tls=tls, plain=plain, cert=certificate[0],
                                                    key=certificate[1]) + ("user root;" if os.geteuid() == 0 else ""))
    process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", plain), 1).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.02)
        yield tls, plain
    finally:
        process.terminate()
        process.wait(10)
