"""The layout holds: imports point down, siblings never import each other, and each library has one owner."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import spyder

PACKAGE = Path(spyder.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

LEVEL_0 = {"model"}
LEVEL_1 = {"contracts", "settings", "settings_text", "plugins", "errors", "bounds"}
#: Stages: no imports between them.
LEVEL_2 = {"bus", "frontier", "stores", "fetch", "extract", "scope", "output", "projects", "runtime"}

#: What each part may import beside itself and ``spyder`` (for ``__version__``).
MAY_IMPORT = {
    "model": {"errors"},
    **dict.fromkeys(LEVEL_1 | LEVEL_2, LEVEL_0 | LEVEL_1),
    "nodes": LEVEL_0 | LEVEL_1 | LEVEL_2 - {"projects"},
    "web": LEVEL_0 | LEVEL_1 | {"bus", "runtime"},
    "testsite": LEVEL_0 | LEVEL_1 | {"runtime"},
    "testing": LEVEL_0 | LEVEL_1 | {"stores", "bus", "nodes", "testsite"},
    "cli": LEVEL_0 | LEVEL_1 | {"nodes", "web", "runtime", "testing", "testsite"},
    "__main__": {"cli"},
    "__init__": set(),
}

#: Imports that the table forbids, each with its reason. One that is not there any more fails the test.
EXCEPTIONS = {
    ("testing.py", "extract"): "make_page reads a page as a worker does",
}

#: The owner of each library: a folder or a module. Nobody else may import it.
OWNERS = {
    "zmq": "bus/", "pycurl": "fetch/", "certifi": "fetch/", "brotli": "fetch/", "backports": "fetch/",
    "can_ada": "model/url.py", "ada_url": "model/url.py", "publicsuffixlist": "model/domain.py",
    "turbohtml": "extract/", "tinycss2": "extract/css.py", "pypdf": "extract/pdf.py",
    "rocksdict": "stores/rocksdb.py", "yaml": "settings.py", "uvloop": "runtime.py",
    "tornado": "web/", "requests": "web/client.py", "rich": "cli/", "click": "cli/", "parsel": "nodes/pageview.py",
    "dns": "fetch/nameservers.py",
}
#: Libraries with more owners than one.
SHARED = {"lxml": ("extract/", "nodes/pageview.py"), "msgspec": ("",),
          "xxhash": ("model/url.py", "extract/nearduplicate.py")}

#: Functions that read the machine's clocks: only the clock does.
CLOCKS = {"time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
                   "thread_time", "localtime", "gmtime"},
          "datetime": {"now", "utcnow", "today"}, "date": {"today"}}
#: Who else may look at a clock, each with its reason.
CLOCK_READERS = {
    "cli/progress.py": "how often a terminal is redrawn; nothing is decided or stored by it",
    "web/client.py": "how long a command waits for an answer; nothing is stored by it",
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a module imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ["spyder", *path.relative_to(PACKAGE).parts[:-1]]
                base = ".".join([*package[:len(package) - node.level + 1], *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def own_imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and part of ``spyder`` of all own modules that a module imports."""
    parts = {part_of(other) for other in MODULES}
    for line, name in imports(path):
        head, *rest = name.split(".")
        if head == "spyder" and rest and rest[0] in parts:
            yield line, rest[0]


def test_given_the_table_when_compared_with_the_folders_then_every_part_has_its_place():
    assert {part_of(path) for path in MODULES} - MAY_IMPORT.keys() == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_given_a_module_when_parsed_then_it_imports_only_what_is_below_it(path):
    part = part_of(path)
    wrong = [f"{name_of(path)}:{line} imports spyder.{other}" for line, other in own_imports(path)
             if other != part and other not in MAY_IMPORT[part] and (name_of(path), other) not in EXCEPTIONS]
    assert wrong == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_given_a_module_when_parsed_then_it_imports_no_library_of_another_owner(path):
    name = name_of(path)
    wrong = []
    for line, imported in imports(path):
        library = imported.partition(".")[0]
        owners = SHARED.get(library, (OWNERS.get(library, ""),))
        if not name.startswith(owners):
            wrong.append(f"{name}:{line} imports {library}, which belongs to {' and '.join(owners)}")
    assert wrong == []


def clock_reads(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every look at a clock of the machine."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            base = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in CLOCKS.get(base, ()):
                yield node.lineno, f"{base}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from ((node.lineno, f"time.{alias.name}") for alias in node.names if alias.name in CLOCKS["time"])


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path) != "model/clock.py"], ids=name_of)
def test_given_a_module_when_parsed_then_it_takes_time_from_a_clock_that_it_was_given(path):
    wrong = [f"{name_of(path)}:{line} reads {what}" for line, what in clock_reads(path)]
    assert wrong == [] or name_of(path) in CLOCK_READERS, wrong


def test_given_the_exceptions_when_compared_with_the_modules_then_each_is_still_needed():
    used = {(name_of(path), other) for path in MODULES for _, other in own_imports(path)}
    assert EXCEPTIONS.keys() - used == set()
    assert {name for name in CLOCK_READERS if not list(clock_reads(PACKAGE / name))} == set()


@pytest.mark.parametrize(("code", "expected"), [
    ("import zmq.asyncio", ["zmq.asyncio"]), ("def f():\n    from zmq import PUB", ["zmq.PUB"]),
    ("from spyder import plugins", ["spyder.plugins"]), ("from . import hosts", ["spyder.frontier.hosts"]),
    ("from ..bus import sockets", ["spyder.bus.sockets"]), ("from ..errors import X", ["spyder.errors.X"])])
def test_given_every_form_of_import_when_parsed_then_the_rule_sees_it(monkeypatch, code, expected):
    path = PACKAGE / "frontier" / "made_up.py"
    monkeypatch.setattr(Path, "read_text", lambda self: code)
    assert [name for _, name in imports(path)] == expected


@pytest.mark.parametrize("code", ["import time\nx = time.time()", "from time import monotonic", "datetime.now(UTC)",
                                  "datetime.datetime.utcnow()", "f = time.perf_counter"])
def test_given_every_look_at_a_clock_when_parsed_then_the_rule_sees_it(monkeypatch, code):
    monkeypatch.setattr(Path, "read_text", lambda self: code)
    assert len(list(clock_reads(PACKAGE / "made_up.py"))) == 1
