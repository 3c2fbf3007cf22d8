"""``spyder init``: the project that it makes works as it is."""

import os
import subprocess
import sys

from commands import PATIENCE, records


def test_project_passes_its_tests_and_crawls(spyder, site):
    """Given a fresh project, then its tests pass, and with a seed its processor's findings are in the records."""
    assert spyder.run("init", "mine")[0] == 0
    folder = spyder.folder / "mine"
    assert {path.name for path in folder.iterdir()} == {
        "spyder.yaml", "processors.py", "test_processors.py", "README.md"}
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"], cwd=folder,
                           capture_output=True, text=True, timeout=PATIENCE, check=False,
                           env={key: value for key, value in os.environ.items() if not key.startswith("PYTEST")})
    assert tests.returncode == 0, tests.stdout
    assert "3 passed" in tests.stdout

    settings = folder / "spyder.yaml"
    text = settings.read_text().replace("https://example.org/", site.url, 1)
    settings.write_text(text.replace("delay: 1.0", "delay: 0"))
    spyder.folder = folder
    assert spyder.run("settings", "--check", "spyder.yaml")[:2] == (0, "spyder.yaml: good\n")
    code, _, err = spyder.run("crawl", "--settings", "spyder.yaml", "--quiet")
    assert (code, err) == (0, "")
    found = {record["url"]: record.get("data") for record in records(folder / "crawl")}
    assert found[f"{site.url}7"] == {"headings": ["Heading 7"]}


def test_every_command_of_its_readme_exists(spyder):
    spyder.run("init", "mine")
    readme = (spyder.folder / "mine/README.md").read_text()
    lines = [line.strip().partition("#")[0].split() for line in readme.splitlines() if line.startswith("    spyder ")]
    assert lines
    for _, *arguments in lines:
        assert spyder.run(arguments[0], "--help")[0] == 0


def test_project_with_a_misspelt_class_is_refused(spyder):
    spyder.run("init", "mine")
    spyder.folder /= "mine"
    settings = spyder.folder / "spyder.yaml"
    settings.write_text(settings.read_text().replace("processors:Outline", "processors:Outlin"))
    code, out, err = spyder.run("crawl", "--settings", "spyder.yaml")
    assert (code, out) == (2, "")
    assert err == ("spyder: processor `processors:Outlin`: module `processors` has no `Outlin`; "
                   "did you mean `Outline`?\n")
    assert not (spyder.folder / "crawl").exists()


def test_init_refuses_a_folder_that_has_one(spyder):
    assert spyder.run("init", "mine")[0] == 0
    code, out, err = spyder.run("init", "mine")
    assert (code, out, err.count("\n")) == (1, "", 1)
