"""A real site: the PostgreSQL manual behind nginx; what Spyder fetches is what wget2 fetches."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.support import by_url, crawl, free_ports, wait_until

MANUAL = Path("/usr/share/doc/postgresql-doc-15/html")


class Nginx:
    """An nginx of our own over a folder, with its access log."""

    def __init__(self, folder: Path, work: Path) -> None:
        self.port = free_ports(1)[0]
        self.log = work / "access.log"
        (work / "nginx.conf").write_text(f"""
            worker_processes 1; daemon off; master_process off; pid {work}/pid; error_log {work}/error.log;
            events {{ worker_connections 1024; }}
            http {{
              include /etc/nginx/mime.types;
              log_format paths '$status $request_method $request_uri';
              access_log {self.log} paths;
              client_body_temp_path {work}; proxy_temp_path {work}; fastcgi_temp_path {work};
              uwsgi_temp_path {work}; scgi_temp_path {work};
              keepalive_requests 100000;
              server {{ listen 127.0.0.1:{self.port}; root {folder}; charset utf-8; }}
            }}""")
        self.process = subprocess.Popen(["nginx", "-c", str(work / "nginx.conf")])
        wait_until((work / "pid").exists, "nginx")

    def pages(self) -> Counter[str]:
        """How often each page was served so far."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return Counter(path for status, method, path in lines if status == "200" and path.endswith((".html", "/")))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def manual(tmp_path: Path) -> Iterator[Nginx]:
    missing = [tool for tool in ("nginx", "wget2") if shutil.which(tool) is None]
    if not MANUAL.is_dir():
        missing.append("postgresql-doc-15")
    if missing:
        if os.environ.get("CI"):
            pytest.fail(f"needs {', '.join(missing)}")
        pytest.skip(f"needs {', '.join(missing)}")
    work = tmp_path / "nginx"
    work.mkdir()
    os.chmod(work, 0o777)
    server = Nginx(MANUAL, work)
    yield server
    server.close()


def test_the_manual_is_crawled_as_wget2_crawls_it_each_page_once(tmp_path: Path, manual: Nginx) -> None:
    start = f"http://127.0.0.1:{manual.port}/index.html"
    summary = crawl(start, "--per-host", "16", output=tmp_path / "c")
    ours = manual.pages()
    subprocess.run(["wget2", "-q", "-r", "-l", "inf", "--no-robots", "--max-threads=16", "-P", str(tmp_path / "wget"),
                    start], check=False, timeout=60)
    both = manual.pages()
    theirs = {path for path, count in both.items() if count > ours[path]}
    assert len(ours) > 1000
    assert set(ours.values()) == {1}, "every page exactly once"
    assert set(ours) == theirs
    assert summary["balanced"] is True
    assert {url.partition(str(manual.port))[2] for url in by_url(tmp_path / "c")} >= set(ours)
