"""What a crawl shows while it runs and when it ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from spyder.cli.text import duration, megabytes
from spyder.nodes.local import CrawlReport
from spyder.nodes.status import Status, faults_in_words

#: Seconds between lines where there is no terminal to draw on.
_LINE_INTERVAL = 10.0


class Progress:
    """A live table on a terminal, a line from time to time elsewhere, nothing when quiet. Writes to standard error."""

    def __init__(self, *, is_quiet: bool, seeds: Sequence[str]) -> None:
        self._console = Console(stderr=True, quiet=is_quiet)
        self._is_live = self._console.is_terminal and not is_quiet
        self._is_quiet = is_quiet
        self._title = seeds[0] if len(seeds) == 1 else f"{seeds[0]} and {len(seeds) - 1} more"
        self._live: Live | None = None
        self._next_line = time.monotonic() + _LINE_INTERVAL

    def __enter__(self) -> Self:
        """Begin to draw."""
        if self._is_live:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()

    def show(self, status: Status) -> None:
        """Draw the figures."""
        if self._live is not None:
            self._live.update(_table(self._title, status), refresh=True)
        elif not self._is_quiet and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_INTERVAL
            self._console.print(_line(status), highlight=False, soft_wrap=True)


def _errors(counts: dict[str, int]) -> dict[str, int]:
    return {name.removeprefix("error/"): count for name, count in counts.items() if name.startswith("error/")}


def _line(status: Status) -> str:
    books = status.books
    errors = sum(_errors(status.counts).values())
    return (f"{duration(status.elapsed)}  {books.done:,} pages  {status.pages_per_second:,.0f}/s  "
            f"{books.queued - status.leased:,} queued  {status.leased:,} in flight  {errors:,} errors  "
            f"{status.active_hosts:,} hosts" + (f"  STALLED: {status.stalled}" if status.stalled else ""))


def _table(title: str, status: Status) -> Table:
    books = status.books
    table = Table.grid(padding=(0, 2))
    table.add_column(justify="right", style="bold")
    table.add_column()
    rows: list[tuple[str, str | Text]] = [
        ("spyder", Text(title, overflow="ellipsis", no_wrap=True)),
        ("pages", f"{books.done:,}   {status.pages_per_second:,.0f}/s"),
        ("queued", f"{books.queued - status.leased:,}   in flight {status.leased:,}   later {books.scheduled:,}"),
        ("errors", _join(_errors(status.counts)) or "none"),
        ("hosts", f"{status.active_hosts:,} active, {status.busy_hosts:,} busy"),
        ("elapsed", f"{duration(status.elapsed)}   {megabytes(status.counts.get('bytes', 0))}   "
                    f"workers {len(status.workers)}"),
    ]
    if faults_in_words(status.faults):
        rows.append(("faults", faults_in_words(status.faults)))
    if status.stalled:
        rows.append(("stalled", Text(status.stalled, style="bold yellow")))
    if status.reason:
        rows.append((status.state, Text(status.reason, style="yellow")))
    for name, value in rows:
        table.add_row(name, value)
    return table


def summary(report: CrawlReport) -> str:
    """The end of a crawl in a few lines."""
    status, books = report.status, report.status.books
    elapsed = max(status.elapsed, 1e-6)
    fetches = status.counts.get("fetches", 0)
    lines = [
        f"{_ending(report)}: {books.done:,} done, {books.failed:,} failed, {books.queued + books.scheduled:,} left "
        f"of {books.discovered:,} URLs",
        f"{fetches:,} fetches in {duration(elapsed)}, {fetches / elapsed:,.0f} pages/s, "
        f"{megabytes(status.counts.get('bytes', 0))}",
    ]
    if books.quarantined:
        lines.append(f"{books.quarantined:,} quarantined, since workers died on them: `spyder frontier dump "
                     f"{report.directory} --state quarantined` shows which; `spyder requeue` brings them back")
    errors = _errors(status.counts)
    if errors:
        lines.append(f"errors: {_join(errors)}")
    faults = faults_in_words(status.faults)
    if faults:
        lines.append(f"faults: {faults}")
    if not status.is_balanced:
        lines.append("THE BOOKS DO NOT BALANCE: please report this with the crawl directory")
    lines.append(f"results: {report.directory}/pages/*.jsonl")
    if books.queued + books.scheduled:
        lines.append("the same command goes on where this one stopped")
    elif not fetches and report.reason == "done":
        lines.append("nothing was left to do; --fresh begins anew")
    return "\n".join(lines)


def summary_json(report: CrawlReport) -> str:
    """The end of a crawl as one JSON object."""
    status, books = report.status, report.status.books
    data: dict[str, Any] = {
        "reason": report.reason, "directory": report.directory, "elapsed": round(status.elapsed, 3),
        "fetches": status.counts.get("fetches", 0), "bytes": status.counts.get("bytes", 0),
        "pages_per_second": round(status.counts.get("fetches", 0) / max(status.elapsed, 1e-6), 1),
        "discovered": books.discovered, "done": books.done, "failed": books.failed, "queued": books.queued,
        "scheduled": books.scheduled, "excluded": books.excluded, "quarantined": books.quarantined,
        "balanced": status.is_balanced, "errors": _errors(status.counts), "counts": status.counts,
        "faults": status.faults,
        "seeds_refused": report.seeds.refused,
    }
    return msgspec.json.format(msgspec.json.encode(data)).decode()


def _ending(report: CrawlReport) -> str:
    if not report.status.is_balanced:
        return "NOT finished"
    return {"done": "finished", "interrupted": "stopped"}.get(report.reason, f"stopped ({report.reason})")


def _join(counts: dict[str, int]) -> str:
    return "  ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
