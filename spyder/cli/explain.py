"""``spyder explain``: why a URL or a host is where it is, from a running master or from what one left."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from spyder.cli.options import PATH, settings_option
from spyder.cli.text import page, terminal_width
from spyder.errors import ApiError, StoreError
from spyder.nodes.explain import explain_offline, read_subject
from spyder.nodes.watchdog import span
from spyder.settings import load
from spyder.web.client import NoMasterError, find_master

#: Seconds from now that are now.
_NOW = 0.05


@click.command()
@click.argument("subject", metavar="URL|HOST")
@settings_option
@click.option("--output", type=PATH, metavar="DIR", help="The crawl directory of a crawl, running or not.")
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")
def explain(subject: str, settings_file: Path | None, output: Path | None, as_json: bool) -> None:
    """Tell why a URL or a host is where it is: its state, its history, what it waits for, and when it is next.

    Of a URL that is not in the frontier it tells which rule keeps it out. Asks the running master; without one it reads
    what the last commit left, and says so.
    """
    read_subject(subject)
    answer = _answer(subject, settings_file, output)
    click.echo(json.dumps(answer, indent=2) if as_json else answer_page(answer, terminal_width()))


def _answer(subject: str, settings_file: Path | None, output: Path | None) -> dict[str, Any]:
    settings = load(settings_file, overrides={"output.directory": None if output is None else str(output)})
    try:
        return find_master(settings, needs_file=output is not None).explain(subject)
    except NoMasterError as error:
        nobody = error
    try:
        answer: dict[str, Any] = msgspec.to_builtins(explain_offline(subject, settings, output))
    except StoreError as error:
        raise ApiError(f"{nobody}; and {error}") from None
    return answer


def answer_page(answer: dict[str, Any], width: int | None) -> str:
    """The answer as a page of text, *width* columns wide: first the URL, then its host."""
    at, uri, host = answer["at"], answer["uri"], answer["host"]
    parts = []
    if uri is not None:
        parts.append([*_uri_rows(uri, at), ("project", answer["project"])])
    if host is not None:
        parts.append(list(_host_rows(host, at, is_whole=uri is None)))
    if answer["notes"]:
        parts.append([("note" if index == 0 else "", note) for index, note in enumerate(answer["notes"])])
    return "\n\n".join(page(rows, width=width, marked=("waits", "do")) for rows in parts)


def _uri_rows(uri: dict[str, Any], at: str) -> Iterator[tuple[str, str]]:
    yield "url", uri["url"]
    yield "state", f"{uri['state']}: {uri['summary']}"
    if uri["depth"] >= 0:
        yield "found", _found(uri)
    if uri["last_at"]:
        yield "history", _history(uri, at)
    if uri["strikes"]:
        yield "strikes", f"{uri['strikes']} of {uri['strikes_limit']}: workers died, hung or ran out of memory on it"
    yield from _waits(uri["waits"], at)
    if uri["next_at"]:
        yield "next", f"not before {_when(uri['next_at'], at)}"
    if uri["advice"]:
        yield "do", uri["advice"]
    if uri["key"]:
        yield "key", uri["key"]


def _found(uri: dict[str, Any]) -> str:
    links = "1 link" if uri["depth"] == 1 else f"{uri['depth']:,} links"
    found = "a seed" if uri["is_seed"] else f"{links} from a seed" if uri["depth"] else "a seed, or where one redirects"
    if uri["referrer"]:
        found = f"{found}, on {uri['referrer']}"
    return f"{found}, redirected from {uri['redirects'][-1]}" if uri["redirects"] else found


def _history(uri: dict[str, Any], at: str) -> str:
    """What came of the attempts so far."""
    tries = f"{uri['attempt']:,} earlier {'try' if uri['attempt'] == 1 else 'tries'} failed; " if uri["attempt"] else ""
    outcome = ", ".join(filter(None, (
        f"status {uri['status']}" if uri["status"] else "",
        f"`{uri['reason']}`: {uri['reason_words']}" if uri["reason"] != uri["reason_words"] else uri["reason"])))
    return (f"{tries}last outcome {_when(uri['last_at'], at)}{': ' if outcome else ''}{outcome}"
            + (f"; by {uri['worker']}" if uri["worker"] else ""))


def _host_rows(host: dict[str, Any], at: str, *, is_whole: bool) -> Iterator[tuple[str, str]]:
    yield "host", host["host"]
    yield "urls", (f"{host['queued']:,} queued, {host['leased']:,} leased, {host['scheduled']:,} to be retried later, "
                   f"{host['settled']:,} settled, {host['failed']:,} of them failed")
    if host["leases"]:
        yield "leases", ", ".join(f"{worker} {count:,}" for worker, count in sorted(host["leases"].items()))
    if host["queued"] or host["leased"]:
        yield "place", "in memory" if host["is_active"] else "on disk, until it is its turn"
        yield "budget", f"{host['spent']:,} of {host['budget']:,} pages spent"
    yield "errors", f"{host['errors']:,} in a row, the last one `{host['last_error']}`" if host["errors"] else "none"
    if is_whole:
        yield from _waits(host["waits"], at)
        if host["next_url"]:
            yield "next", host["next_url"] + (f", not before {_when(host['next_at'], at)}" if host["next_at"] else "")


def _waits(causes: Iterable[dict[str, Any]], at: str) -> Iterator[tuple[str, str]]:
    name = "waits"
    for cause in causes:
        yield name, cause["text"] + (f", until {_when(cause['until'], at)}" if cause["until"] else "")
        name = ""


def _when(time: str, at: str) -> str:
    """A time, and how far it is from *at*; both are RFC 3339."""
    seconds = (datetime.fromisoformat(time) - datetime.fromisoformat(at)).total_seconds()
    distance = "now" if abs(seconds) < _NOW else f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"
    return f"{time[:19].replace('T', ' ')} UTC ({distance})"
