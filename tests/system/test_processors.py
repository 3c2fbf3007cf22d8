"""Users' processors in a real crawl: what they add, and what they can't break."""

from __future__ import annotations

from pathlib import Path

import pytest

from spyder.testing import LocalSite
from system.support import crawl, records, running

MODULE = '''
import time


class Good:
    def __init__(self, prefix=""):
        self.prefix = prefix

    def __call__(self, page):
        page.data["heading"] = self.prefix + page.tree.findtext(".//title")


def raises(page):
    if page.depth == 1:
        raise ValueError("no such price")


def sleeps(page):
    if page.depth == 0:
        return
    if not hasattr(sleeps, "done"):
        sleeps.done = True
        time.sleep(10)


def junk(page):
    page.data["when"] = object()
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "my_processors.py").write_text(MODULE)
    return tmp_path


def _settings(project: Path, processors: str) -> list[str]:
    path = project / "spyder.yaml"
    path.write_text(f"processors:\n{processors}\n")
    return ["--settings", str(path)]


def test_a_processor_adds_to_the_records(project: Path) -> None:
    options = _settings(project, "  - use: my_processors:Good\n    settings: {prefix: 'title: '}")
    with LocalSite(pages=20, hosts=1) as site:
        crawl(site.seeds[0], *options, output=project / "c", cwd=project)
    found = records(project / "c")
    assert len(found) == 20
    assert all(record["data"]["heading"] == f"title: {record['title']}" for record in found)


def test_a_processor_that_raises_fails_its_page_and_no_other(project: Path) -> None:
    with LocalSite(pages=60, hosts=1, links=6) as site:
        summary = crawl(site.seeds[0], *_settings(project, "  - my_processors:raises"), output=project / "c",
                        cwd=project)
        assert site.hits() == dict.fromkeys(site.urls(), 1)
    failed = [record for record in records(project / "c") if record.get("error")]
    assert {record["error"] for record in failed} == {"processor"}
    assert {record["depth"] for record in failed} == {1}
    assert all(record["error_detail"] == "my_processors:raises: ValueError: no such price" for record in failed)
    assert summary["failed"] == len(failed) > 0 and summary["done"] == 60 - len(failed)


def test_a_processor_that_sleeps_fails_its_page_while_fetching_goes_on(project: Path) -> None:
    options = _settings(project, "  - use: my_processors:sleeps\n    timeout: 1.5")
    with LocalSite(pages=60, hosts=1, links=6) as site:
        summary = crawl(site.seeds[0], *options, output=project / "c", cwd=project)
        assert site.hits() == dict.fromkeys(site.urls(), 1)
    failed = [record for record in records(project / "c") if record.get("error")]
    assert [record["error"] for record in failed] == ["processor-timeout"]
    assert failed[0]["error_detail"] == "my_processors:sleeps: more than 1.5 s"
    assert summary["done"] == 59 and summary["elapsed"] < 9


def test_data_that_is_no_json_fails_the_page_with_the_reason(project: Path) -> None:
    with LocalSite(pages=5, hosts=1, links=3) as site:
        summary = crawl(site.seeds[0], *_settings(project, "  - my_processors:junk"), output=project / "c", cwd=project)
    assert summary["failed"] == 5
    assert all(record["error"] == "processor" and "data" in record["error_detail"] for record in records(project / "c"))


@pytest.mark.parametrize(("name", "hint"), [
    ("my_processors:Godo", "did you mean `Good`?"),
    ("my_procesors:Good", "there is no module `my_procesors`"),
    ("my_processors", "expected `module:attribute`"),
    ("my_processors:MODULE_CONSTANT", "has no `MODULE_CONSTANT`"),
])
def test_a_misspelt_processor_is_refused_at_start_in_one_line(project: Path, name: str, hint: str) -> None:
    options = _settings(project, f"  - {name}")
    with running("crawl", "http://127.0.0.1:9/", *options, "--output", str(project / "c"), cwd=project) as command:
        lines = command.wait(20).splitlines()
    assert command.process.returncode not in {0, None}
    assert len(lines) == 1 and hint in lines[0]
    assert not (project / "c" / "frontier").exists(), "nothing was started"
