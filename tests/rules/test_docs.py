"""What the documentation says is what the program does: names, links, examples, and the commands that it shows."""

from __future__ import annotations

import ast
import contextlib
import functools
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import click
import msgspec
import pytest

import spyder.bus.logpipe
import spyder.bus.messages
import spyder.contracts
import spyder.model.records
from spyder.cli import main
from spyder.model.states import ErrorKind, ExitCode, LinkKind, UriState
from spyder.nodes.status import FAULTS, Status
from spyder.settings import RetrySection, Settings
from spyder.testing import make_page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
MANUAL = "/usr/share/doc/postgresql-doc-15/html"
#: Records that travel within messages, and so belong into the protocol's description.
TRAVELLING = ("CrawlUri", "Page", "Outcome", "Link", "Failure", "FetchNotice")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(name):
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(path, *languages):
    return [text for language, text in _FENCE.findall(path.read_text(encoding="utf-8")) if language in languages]


def section(text, heading):
    """What stands under *heading*, up to the next one of its level."""
    level = heading.partition(" ")[0]
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    return found[1]


def table(text):
    """The rows of all tables in *text*, cells stripped, rulers left out."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not set(line) <= set("|-: ")]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]


def first_words(rows):
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row[0])}


# -- names ---------------------------------------------------------------------------------------------------------


def test_states_are_those_of_the_code():
    rows = {row[0]: row[1] for row in table(section(read("states.md"), "## The states"))}
    for state in UriState:
        assert rows[f"`{state.name}`"] == str(state.value)


def test_error_kinds_their_retries_and_troubles_are_those_of_the_code():
    rows = {row[0].strip("`"): row for row in table(section(read("states.md"), "## Errors")) if row[0].startswith("`")}
    retry = RetrySection()
    assert set(rows) == {kind.value for kind in ErrorKind}
    for kind in ErrorKind:
        delay = f"{retry.delay[kind.value]:g} s" if retry.retries(kind) else ""
        assert rows[kind.value][2:] == [str(retry.retries(kind)), delay, "yes" if kind.is_host_trouble else "no"]
        assert bool(retry.retries(kind)) == kind.is_transient


def test_limits_of_fetching_have_the_defaults_of_the_code():
    rows = [row[:2] for row in table(section(read("fetching.md"), "## Limits"))[1:]]
    settings = Settings()
    for name, default in rows:
        part, key = name.strip("`").split(".")
        assert default == str(getattr(getattr(settings, part), key)), name
    caps = {key for key in settings.fetch.__struct_fields__ if key.startswith("max_") and key != "max_proxy_rest"}
    assert caps <= {name.strip("`").removeprefix("fetch.") for name, _ in rows}


def test_kinds_of_links_are_those_of_the_code():
    rows = {row[0]: row[1] for row in table(section(read("states.md"), "## How a link was found"))}
    for kind in LinkKind:
        assert rows[f"`{kind.name}`"] == str(kind.value)


def test_exit_codes_are_those_of_the_code():
    rows = [row[:2] for row in table(section(read("operations.md"), "### Exit codes"))[1:]]
    assert rows == [[str(code.value), f"`{code.name}`"] for code in ExitCode]


def test_fields_of_records_are_described():
    named = first_words(table(section(read("operations.md"), "### Records")))
    assert named == set(spyder.model.records.PageRecord.__struct_fields__)


def test_fields_of_the_status_are_described():
    named = first_words(table(section(read("operations.md"), "## Status")))
    assert named == set(Status.__struct_fields__)


def test_faults_are_described():
    named = [row[0] for row in table(section(read("operations.md"), "## Faults"))[1:]]
    assert named == [f"`{name}`" for name in FAULTS]


def test_contracts_are_described():
    text = read("processors.md")
    missing = [name for name in spyder.contracts.__all__ if f"`{name}`" not in text]
    assert missing == []


def test_what_a_page_offers_is_described():
    named = {word.removeprefix("page.").partition("(")[0] for word in first_words(table(section(
        read("processors.md"), "## The page")))}
    offered = {name for name in vars(spyder.contracts.PageView) if not name.startswith("_")}
    assert named == offered


def messages():
    own = [kind for kind in vars(spyder.bus.messages).values() if isinstance(kind, type)
           and issubclass(kind, msgspec.Struct) and kind.__module__ == spyder.bus.messages.__name__]
    return [*own, spyder.bus.logpipe.LogMessage, *(getattr(spyder.model.records, name) for name in TRAVELLING)]


@pytest.mark.parametrize("kind", messages(), ids=lambda kind: kind.__name__)
def test_messages_and_their_fields_are_described(kind):
    text = read("protocol.md")
    tag = kind.__struct_config__.tag
    start = re.search(rf"^\*\*`{kind.__name__}`\*\*.*$", text, re.MULTILINE)
    if start is None:  # a small one that is described where it is used
        assert f"`{kind.__name__}`" in text
        part = text
    else:
        assert tag is None or f"`{tag}`" in start[0]
        part = re.split(r"^(?:\*\*`(?!Resume)|#)", text[start.start() + 3:], maxsplit=1, flags=re.MULTILINE)[0]
    if kind.__name__ == "Resume":
        part = text
    missing = [name for name in kind.__struct_fields__ if f"`{name}`" not in part]
    assert missing == []


def test_version_of_the_protocol_is_named():
    assert f"`PROTOCOL_VERSION` is {spyder.bus.messages.PROTOCOL_VERSION}." in read("protocol.md")


def test_functions_on_a_pages_way_exist():
    text = read("architecture.md")
    where = {path.name: path for path in (ROOT / "spyder").rglob("*.py") if path.parent.name not in {"cli", "skeleton"}}
    for file, name in re.findall(r"`(?:[a-z_]+/)*([a-z_]+\.py):([A-Za-z_.]+)`", text):
        names = {node.name for node in ast.walk(ast.parse(where[file].read_text(encoding="utf-8")))
                 if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)}
        assert set(name.split(".")) <= names, f"{file} has no {name}"


def test_modules_of_the_nodes_are_described():
    part = section(read("architecture.md"), "## Rooms and owners")
    missing = [path.stem for path in (ROOT / "spyder/nodes").glob("[a-z]*.py") if f"`{path.stem}`" not in part]
    assert missing == []


# -- links ---------------------------------------------------------------------------------------------------------


def anchors(path):
    """The anchors of a page's headings, as code hosts make them."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


def test_every_page_is_in_the_index():
    index = read("index.md")
    missing = [page.name for page in DOCS.glob("*.md") if page.name != "index.md" and f"({page.name})" not in index]
    assert missing == []


# -- commands ------------------------------------------------------------------------------------------------------


def commands(group, path=()):
    """All commands with their names, as ``("start", "worker")``."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL_COMMANDS = dict(commands(main))


@pytest.mark.parametrize("name", ALL_COMMANDS, ids=" ".join)
def test_commands_are_described(name):
    part = section(read("operations.md"), "## Commands")
    shown = re.findall(r"`([^`]+)`", part)
    assert any(text.removeprefix("spyder ").startswith((" ".join(name), name[-1])) for text in shown)
    command = ALL_COMMANDS[name]
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{' '.join(name)} {option.opts}"


def shown_commands():
    """Each ``spyder …`` line of a shell block, with the page it is on."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.splitlines():
                line = line.partition(" #")[0].strip().removesuffix("&").strip()
                for part in line.split("&&"):
                    if part.strip().startswith("spyder "):
                        yield page, part.strip()
    for page in PAGES:
        text = _FENCE.sub("", page.read_text(encoding="utf-8"))
        for span in re.findall(r"`(spyder [a-z][^`]*)`", text):
            if "…" not in span and "|" not in span and span.upper() != span:
                yield page, span


def parsed(words):
    """Parse a command line as click would, without running it."""
    command, context = main, click.Context(main, info_name="spyder")
    while isinstance(command, click.Group):
        assert words, "a command is missing"
        name, *words = words
        command = command.get_command(context, name)
        assert command is not None, f"there is no command {name}"
        context = click.Context(command, info_name=name, parent=context)
        if not words and isinstance(command, click.Group):
            return  # `spyder frontier`, as a name
    if words and "--help" not in words:
        command.make_context(command.name, list(words))


@pytest.mark.parametrize(("page", "line"), sorted(set(shown_commands())),
                         ids=lambda value: value.name if isinstance(value, Path) else value)
def test_commands_that_are_shown_parse(page, line):
    if line == "spyder start":
        return
    parsed([word for word in shlex.split(line)[1:] if word != ">"][:_redirect(line)])


def _redirect(line):
    words = shlex.split(line)[1:]
    return words.index(">") if ">" in words else None


# -- what runs -----------------------------------------------------------------------------------------------------


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def served(folder):
    """A folder on loopback; yields its URL."""
    handler = functools.partial(_Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def run(line, folder, *, timeout=120):
    """Run a ``spyder`` command line in *folder*; what it wrote to standard output."""
    words = shlex.split(line)
    assert words[0] == "spyder"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SPYDER_")}
    done = subprocess.run([sys.executable, "-m", "spyder", *words[1:]], cwd=folder, timeout=timeout, text=True,
                          capture_output=True, env=environment)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def records(folder):
    files = sorted((folder / "pages").glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def site(tmp_path):
    """A small site on loopback; its URL."""
    folder = tmp_path / "site"
    folder.mkdir()
    for number in range(4):
        text = f"<!doctype html><title>Page {number}</title><h1>Page {number}</h1>"
        (folder / f"{number}.html").write_text(f"{text}<a href='{(number + 1) % 4}.html'>next</a>")
    (folder / "0.html").rename(folder / "index.html")
    (folder / "3.html").write_text("<title>Page 3</title><a href='/'>first</a>")
    with served(folder) as url:
        yield url


def test_first_commands_of_the_readme_crawl(site, tmp_path):
    setup, tests = (text.strip() for text in blocks(ROOT / "README.md", "sh")[:2])
    assert tests.endswith("pip install tox && tox")
    command = setup.rpartition("&& ")[2].replace("https://example.org/", site)
    out = run(f"{command} --delay 0", tmp_path)
    assert "finished: 4 done" in out
    assert {record["title"] for record in records(tmp_path / "127.0.0.1.crawl")} == {f"Page {n}" for n in range(4)}


def test_bench_of_the_readme_runs(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    command = re.search(r"`(spyder bench [^`]*)`", text)[1]
    assert "each page of the site once" in run(command, tmp_path)


def test_first_project_of_the_readme_works(site, tmp_path):
    readme = ROOT / "README.md"
    run("spyder init news", tmp_path)
    project = tmp_path / "news"
    (project / "processors.py").write_text(blocks(readme, "python")[0])
    (project / "spyder.yaml").write_text(blocks(readme, "yaml")[0].replace("https://example.org/", site))
    for line in next(block for block in blocks(readme, "sh") if "--check" in block).splitlines():
        run(f"{line} --delay 0" if "crawl --" in line else line, project)
    found = {record["title"]: record["data"] for record in records(project / "crawl")}
    assert found["Page 1"] == {"headings": ["Page 1"]}


def test_quickstart_reads_a_crawl(site, tmp_path):
    page = DOCS / "quickstart.md"
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    host = site.split("/")[2]
    for line in lines:
        if line.startswith("spyder crawl https") or line.startswith("spyder frontier"):
            line = line.replace("https://example.org/", site).replace("example.org.crawl", "127.0.0.1.crawl")
            run(f"{line} --delay 0" if line.startswith("spyder crawl") else line, tmp_path)
    assert host in run("spyder frontier ls 127.0.0.1.crawl", tmp_path)
    reader = next(line for line in lines if line.startswith("python3 -c"))
    words = shlex.split(reader.replace("example.org.crawl", "127.0.0.1.crawl"))
    shown = subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, check=True, text=True,
                           capture_output=True).stdout
    assert sorted(shown.split()[::2]) == ["200"] * 4


def test_examples_in_the_text_are_the_files():
    text = read("processors.md")
    included = re.findall(r"<!-- include: (\S+) -->\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert {name for name, _ in included} == {f"examples/{path.name}" for path in (DOCS / "examples").iterdir()
                                              if path.is_file()}
    for name, block in included:
        assert block == (DOCS / name).read_text(encoding="utf-8")


def test_processor_of_the_text_and_its_test_run():
    contract, _, testing = blocks(DOCS / "processors.md", "python")
    names = {}
    exec(contract, names)
    exec(testing, names)
    names["test_price"]()
    assert names["make_page"] is make_page


def test_example_takes_the_commands_out_of_a_real_manual(need, tmp_path):
    manual = need(MANUAL)
    folder = tmp_path / "examples"
    shutil.copytree(DOCS / "examples", folder, ignore=shutil.ignore_patterns("__pycache__", "*.crawl"))
    line = next(line for block in blocks(DOCS / "processors.md", "sh") for line in block.splitlines()
                if line.startswith("spyder crawl"))
    with served(manual) as url:
        run(line.replace("http://127.0.0.1:8000/", url), folder)
    found = {record["url"].rpartition("/")[2]: record for record in records(folder / "manual.crawl")}
    pages = {path.name for path in Path(manual).glob("sql-*.html")}
    assert {name for name in found if name in pages} >= {"sql-select.html", "sql-truncate.html"}
    assert {record["error_detail"] for record in found.values() if "error" in record} == set()
    assert found["sql-truncate.html"]["data"]["command"] == "TRUNCATE"
    assert found["sql-truncate.html"]["data"]["purpose"] == "empty a table or set of tables"
    assert found["sql-truncate.html"]["data"]["synopsis"].startswith("TRUNCATE [ TABLE ]")
    commands_found = [record for record in found.values() if "command" in record.get("data", {})]
    assert len(commands_found) > 150
    assert all(record["data"]["words"] > 50 for record in commands_found)
