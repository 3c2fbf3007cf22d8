"""The command line without a process: what its helpers say, and that wrong arguments become one line."""

import pytest
from click.testing import CliRunner

from spyder.cli import _COMMANDS, main
from spyder.cli.text import duration, table


@pytest.mark.parametrize(("seconds", "text"), [(0, "0.0 s"), (59.94, "59.9 s"), (61.5, "1:01.5"), (3723, "1:02:03")])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_table_aligns_names_left_and_figures_right():
    assert table(("name", "n"), [("a", "1"), ("longer", "1,000")]) == "name        n\na           1\nlonger  1,000"


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize("arguments", [
    ["crawl"], ["crawl", "h", "--depth", "-1"], ["crawl", "h", "--workers", "0"], ["crawl", "h", "--delay", "nan"],
    ["crawl", "h", "--delay", "-1"], ["crawl", "h", "--max-time", "inf"], ["crawl", "h", "--max-pages", "x"],
    ["crawl", "h", "--per-host", "0"], ["crawl", "h", "--concurrency", "0"], ["crawl", "h", "--scope", "all"],
    ["crawl", "h", "--nope"], ["crawl", "h", "--include", "("], ["crawl", "h", "--exclude", "["],
    ["crawl", "ftp://h/"], ["crawl", "http://["], ["crawl", "mailto:a@b"], ["crawl", "ftp://a/", "ftp://b/"],
    ["crawl", "--settings", "nope.yaml"], ["crawl", "h", "--output", "file"], ["crawl", "h", "--output", "file/in"],
    ["crawl", "h", "--output", "/proc/nope"], ["crawl", "h", "--settings", "wrong.yaml"],
    ["crawl", "h", "--settings", "misspelt.yaml"], ["start", "master", "--settings", "wrong.yaml"],
    ["start", "worker", "--settings", "misspelt.yaml"], ["start", "worker", "--processes", "0"],
    ["start", "all", "--settings", "misspelt.yaml"], ["start", "worker", "--settings", "address.yaml"],
    ["start", "master", "--settings", "open.yaml"], ["start", "nobody"], ["nonsense"],
    ["seed"], ["seed", "--file", "nope"], ["seed", "--file", "bytes"], ["seed", "--file", "."],
    ["settings", "--check", "wrong.yaml"], ["settings", "--check", "misspelt.yaml"],
    ["explain"], ["explain", "http://["], ["explain", "a b"], ["explain", "h", "i"],
    ["frontier", "dump", ".", "--state", "leased"], ["frontier", "check"], ["checkpoint"],
    ["requeue"], ["requeue", "--state", "failed"], ["requeue", "h", "--state", "done"], ["requeue", "--output", "."],
], ids=" ".join)
def test_mistakes_get_one_line_and_exit_2(arguments, mistakes):
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("spyder: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [
    ["status", "--output", "nope"], ["stop", "--output", "nope"], ["seed", "h", "--output", "nope"],
    ["frontier", "ls", "nope"], ["frontier", "ls", "file"], ["frontier", "dump", "."], ["frontier", "show", ".", "h"],
    ["explain", "h", "--output", "nope"], ["explain", "h", "--output", "file"], ["explain", "h", "--output", "."],
    ["explain", "h", "--settings", "dead.yaml"],
    ["init", "file"], ["status", "--settings", "dead.yaml"], ["status", "--settings", "nohost.yaml"],
    ["frontier", "check", "nope"], ["checkpoint", "x", "--output", "nope"],
    ["checkpoint", "x", "--settings", "dead.yaml"],
    ["requeue", "h", "--output", "nope"], ["requeue", "--all", "--output", "file"],
    ["requeue", "h", "--settings", "dead.yaml"], ["crawl", "--from", "nope"], ["crawl", "h", "--from", "file"],
    ["crawl", "--from", ".", "--fresh"],
], ids=" ".join)
def test_what_is_not_there_gets_one_line_and_exit_1(arguments, mistakes):
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("spyder: ")
    assert result.stderr.count("\n") == 1


@pytest.fixture
def mistakes(tmp_path, monkeypatch):
    """A working directory of files that are wrong."""
    for name, text in {
            "file": "", "wrong.yaml": "fetch: {conections: 3}\n", "misspelt.yaml": "processors: [mymod:Exampel]\n",
            "mymod.py": "class Example:\n    def __call__(self, page): pass\n",
            "address.yaml": "bus: {mgmt_master: nonsense}\n", "open.yaml": "api: {address: 0.0.0.0}\n",
            "dead.yaml": "api: {port: 1}\n", "nohost.yaml": "api: {address: 'no host'}\n"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    monkeypatch.chdir(tmp_path)


def test_misspelt_names_come_with_the_nearest(mistakes):
    for name, nearest in (("wrong.yaml", "fetch.connections"), ("misspelt.yaml", "Example")):
        assert f"did you mean `{nearest}`?" in CliRunner().invoke(main, ["crawl", "h", "--settings", name]).stderr


def test_settings_writes_defaults_and_documentation():
    assert CliRunner().invoke(main, ["settings"]).stdout.startswith("# Spyder's settings")
    assert CliRunner().invoke(main, ["settings", "--docs"]).stdout.startswith("# Settings\n")


def test_settings_check_takes_what_is_right(tmp_path):
    (tmp_path / "s.yaml").write_text("fetch: {connections: 3}\n")
    result = CliRunner().invoke(main, ["settings", "--check", str(tmp_path / "s.yaml")])
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 's.yaml'}: good\n")


def test_init_refuses_to_overwrite(tmp_path):
    (tmp_path / "processors.py").write_text("mine")
    result = CliRunner().invoke(main, ["init", str(tmp_path)])
    assert result.exit_code == 1
    assert "processors.py already" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["processors.py"]
