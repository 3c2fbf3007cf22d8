"""What ``docs/contributing.md`` asks of every module and no linter checks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import spyder

PACKAGE = Path(spyder.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

#: Calls of print outside the command line, by module.
PRINTS = {"nodes/worker.py": 1}  # its end by an error or a refusal, when there may be no log sink to hear of it


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_given_a_module_when_read_then_its_first_line_says_what_it_is_for(path):
    text = ast.get_docstring(tree(path))
    assert text, "no docstring"
    paragraph = text.partition("\n\n")[0]
    assert paragraph.rstrip().endswith((".", ":")), f"no sentence: {paragraph!r}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_given_a_module_when_read_then_it_has_no_bare_except(path):
    assert [node.lineno for node in ast.walk(tree(path))
            if isinstance(node, ast.ExceptHandler) and node.type is None] == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_given_an_except_for_everything_when_read_then_its_line_says_why(path):
    lines = path.read_text().splitlines()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler) and node.type is not None and {"Exception", "BaseException"} & {
                part.id for part in ast.walk(node.type) if isinstance(part, ast.Name)}:
            raises_again = any(isinstance(part, ast.Raise) and part.exc is None for part in node.body)
            assert "#" in lines[node.lineno - 1] or raises_again, f"{name_of(path)}:{node.lineno} doesn't say why"


@pytest.mark.parametrize("path", [path for path in MODULES if not name_of(path).startswith("cli/")], ids=name_of)
def test_given_a_module_beside_the_command_line_when_read_then_it_does_not_print(path):
    calls = [node.lineno for node in ast.walk(tree(path))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"]
    assert len(calls) == PRINTS.get(name_of(path), 0), calls


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_given_a_module_that_logs_when_read_then_it_has_one_logger_of_its_own_name(path):
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Attribute) and node.func.attr == "getLogger" and node.args]
    assert len(calls) <= 1
    for call in calls:
        (argument,) = call.args
        is_own = isinstance(argument, ast.Name) and argument.id == "__name__"
        is_root = isinstance(argument, ast.Constant) and str(argument.value).startswith("spyder")
        assert is_own or is_root, ast.dump(call)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_given_a_module_when_read_then_it_never_pickles_nor_evaluates(path):
    names = {alias.name.partition(".")[0] for node in ast.walk(tree(path)) if isinstance(node, ast.Import)
             for alias in node.names}
    names |= {(node.module or "").partition(".")[0] for node in ast.walk(tree(path))
              if isinstance(node, ast.ImportFrom)}
    assert not names & {"pickle", "marshal", "shelve", "dill"}
    assert [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}] == []


def test_given_the_files_of_the_repository_when_searched_then_none_has_marks_of_a_merge():
    root = PACKAGE.parent
    pages = [path for folder in ("docs", "settings") for path in (root / folder).rglob("*")
             if path.suffix in {".md", ".py", ".yaml"}]
    texts = [*MODULES, *pages, *root.glob("*.md"), *root.glob("*.toml")]
    marks = ("<" * 7 + " ", ">" * 7 + " ")
    assert [path.name for path in texts if any(
        line.startswith(marks) for line in path.read_text(encoding="utf-8").splitlines())] == []
