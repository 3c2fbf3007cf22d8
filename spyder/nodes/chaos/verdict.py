"""Whether a crawl under faults kept its promise: the site's pages, its own log, the outputs and the books, compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from spyder.nodes import inspect
from spyder.nodes.inspect import FrontierView
from spyder.settings import Settings

#: Examples that a check shows at the most.
_EXAMPLES = 5
#: What a worker's end by itself looks like in the supervisors' log: an exit code, or a signal.
_DEATH = re.compile(r"worker (\S+) died: its (\w+) (?:ended with code (\d+)|was ended by signal (\d+))")
#: The signal of a kill -9.
_SIGKILL = 9


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that must hold."""

    name: str
    is_met: bool
    detail: str


class Outputs(msgspec.Struct, frozen=True, kw_only=True):
    """All records of a crawl."""

    files: int
    records: int
    pages: dict[str, int]  #: records with status 200 and without an error, by URL
    others: int  #: records of other kinds
    unreadable: tuple[str, ...]  #: lines that are no records, as ``file:line``

    @property
    def twice(self) -> int:
        """Records beyond the first of their page."""
        return sum(self.pages.values()) - len(self.pages)


class _Line(msgspec.Struct):
    """What is read of a record."""

    url: str
    status: int = 0
    error: str = ""


def read_outputs(folder: Path) -> Outputs:
    """Every line of every file of records in *folder*; one that is torn, or does not parse, is told of."""
    decode = msgspec.json.Decoder(_Line).decode
    pages: Counter[str] = Counter()
    unreadable: list[str] = []
    files = records = others = 0
    for path in sorted(folder.glob("*.jsonl")):
        files += 1
        with path.open("rb") as file:
            for number, row in enumerate(file, 1):
                try:
                    line = decode(row)
                except msgspec.DecodeError:
                    unreadable.append(f"{path.name}:{number}")
                    continue
                if not row.endswith(b"\n"):
                    unreadable.append(f"{path.name}:{number}")
                records += 1
                if line.status == 200 and not line.error:
                    pages[line.url] += 1
                else:
                    others += 1
    return Outputs(files=files, records=records, pages=dict(pages), others=others, unreadable=tuple(unreadable))


def check_pages(expected: set[str], outputs: Outputs) -> Check:
    """The pages that have a record with status 200 are the pages of the site."""
    missing, strange = expected - outputs.pages.keys(), outputs.pages.keys() - expected
    is_met = not missing and not strange and not outputs.others
    return Check(name="pages", is_met=is_met, detail=(
        f"all {len(expected):,} pages of the site have a record with status 200, and nothing else has one" if is_met
        else f"{len(missing):,} pages without a record{_some(missing)}; {len(strange):,} records of pages that are "
             f"none{_some(strange)}; {outputs.others:,} records of failures"))


def check_outputs(outputs: Outputs) -> Check:
    """Every file parses to its last record."""
    return Check(name="outputs", is_met=not outputs.unreadable and outputs.files > 0, detail=(
        f"{outputs.files:,} files, {outputs.records:,} records, {outputs.twice:,} of them stand twice; "
        + (f"{len(outputs.unreadable):,} lines are no records{_some(outputs.unreadable)}" if outputs.unreadable
           else "every line of every file is a record")))


def check_fetches(hits: Mapping[str, int], expected: set[str], *, page_bound: int, total_bound: int) -> Check:
    """By the site's own log each page was served, and no page more often than the faults explain."""
    unserved = expected - hits.keys()
    again = {url: count - 1 for url, count in hits.items() if count > 1}
    most, total = max(again.values(), default=0), sum(again.values())
    is_met = not unserved and most <= page_bound and total <= total_bound
    return Check(name="fetches", is_met=is_met, detail=(
        f"{len(again):,} pages served more than once, {most + bool(hits):,} times at the most (faults explain "
        f"{page_bound + 1:,}); {total:,} fetches more than pages (faults explain {total_bound:,})"
        + (f"; {len(unserved):,} pages never served{_some(unserved)}" if unserved else "")))


def check_books(settings: Settings, expected: int) -> Check:
    """The books balance, and say what counting every row of the frontier says; all is done."""
    with inspect.open_for_reading(settings.crawl_directory) as view:
        return books_of(view, settings.project.name, expected)


def books_of(view: FrontierView, project: str, expected: int) -> Check:
    """:func:`check_books` for a frontier that is open."""
    books = view.books()[project]
    counted = Counter(uri.state for uri in view.uris())
    kept = {name: getattr(books, name) for name in inspect.STATES}
    waiting = sum(host.queued for host in view.hosts())
    is_same = all(kept[name] == counted[name] for name in inspect.STATES)
    is_met = books.is_balanced and is_same and counted["done"] == expected == books.discovered and not waiting
    return Check(name="books", is_met=is_met, detail=(
        f"{books.discovered:,} discovered = {_sum(kept)}: {'they balance' if books.is_balanced else 'NO BALANCE'}; "
        f"counted row by row: {_sum(counted)}; {waiting:,} in the hosts' queues"))


def check_logs(paths: Iterable[Path]) -> Check:
    """No process reported an error of the program, and none of a worker's processes ended but by a kill."""
    tracebacks: list[str] = []
    deaths: list[str] = []
    lines = 0
    for path in sorted(paths):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            lines += 1
            if line.startswith("Traceback (most recent call last)"):
                tracebacks.append(f"{path.name}:{number}")
            death = _DEATH.search(line)
            if death is not None and (death[3] is not None or int(death[4]) != _SIGKILL):
                deaths.append(f"{path.name}:{number}: {death[0]}")
    return Check(name="logs", is_met=not tracebacks and not deaths, detail=(
        f"{lines:,} lines, {len(tracebacks):,} tracebacks{_some(tracebacks)}, {len(deaths):,} workers that ended by "
        f"themselves{_some(deaths)}"))


def _sum(counts: Mapping[str, int]) -> str:
    return " + ".join(f"{counts.get(name, 0):,} {name}" for name in inspect.STATES)


def _some(names: Iterable[str]) -> str:
    """A few of *names*, in brackets; empty for none."""
    listed = sorted(names)
    more = " ..." if len(listed) > _EXAMPLES else ""
    return f" ({', '.join(listed[:_EXAMPLES])}{more})" if listed else ""
