"""``spyder scope``: shows, tests and edits the rules that say which links belong to a crawl."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from spyder.cli.control import master_settings, running_master, which_master
from spyder.cli.options import COUNT_OR_NONE, PATH
from spyder.cli.text import table
from spyder.errors import SettingsError
from spyder.settings import BUILTIN_RULES, LIMITS, Settings, load_rules, read_condition
from spyder.web.client import MasterClient, NoMasterError, find_master


@click.group()
def scope() -> None:
    """Show, test and edit the rules that say which links belong to the crawl."""


@scope.command()
@click.option("--json", "as_json", is_flag=True, help="The rules as JSON.")
@which_master
def show(as_json: bool, settings_file: Path | None, output: Path | None) -> None:
    """Show all rules in order: the last one that holds decides.

    Asks the running master; without one it shows those that the next one would begin with.
    """
    settings = master_settings(settings_file, output)
    try:
        view = find_master(settings, needs_file=output is not None).scope()
        note = ""
    except NoMasterError:
        view = _offline_view(settings)
        note = "no master answers: these are the rules that it would begin with"
    if as_json:
        click.echo(json.dumps(view, indent=2))
        return
    rows = [(str(number), rule["name"], rule["decision"], rule["origin"], rule["condition"])
            for number, rule in enumerate(view["sequence"], 1)]
    click.echo(table(("", "rule", "decision", "setting", "what it holds for"), rows, left=5))
    click.echo(f"edited {view['version']:,} times; " + (
        "the rules of the settings don't hold: `spyder scope reset` brings them back" if view["is_edited"] else
        "scope.rules of the settings hold"))
    if note:
        click.echo(note)


@scope.command()
@click.argument("urls", nargs=-1, required=True, metavar="URL...")
@click.option("--depth", type=COUNT_OR_NONE, default=1, help="Links from a seed (default 1).")
@click.option("--embeds", type=COUNT_OR_NONE, default=0, help="The last so many of them embed (default 0).")
@click.option("--json", "as_json", is_flag=True, help="The verdicts as JSON.")
@which_master
def test(*, urls: tuple[str, ...], depth: int, embeds: int, as_json: bool, settings_file: Path | None,
         output: Path | None) -> None:
    """Say of links to URLs whether they belong to the crawl, and which rule decides.

    Asks the running master; without one it judges by the settings and what the last master left.
    """
    settings = master_settings(settings_file, output)
    try:
        verdicts = find_master(settings, needs_file=output is not None).judge(urls, depth=depth, embeds=embeds)
    except NoMasterError:
        verdicts = _offline_verdicts(settings, urls, depth, embeds)
    if as_json:
        click.echo(json.dumps(verdicts, indent=2))
        return
    for verdict in verdicts:
        decision = "accepted" if verdict["accepted"] else "rejected"
        click.echo(f"{decision} by `{verdict['rule']}`: {verdict['url']}: {verdict['words']}")


@scope.command("set")
@click.argument("file", type=PATH, metavar="FILE.yaml")
@which_master
def set_rules(file: Path, settings_file: Path | None, output: Path | None) -> None:
    """Replace scope.rules of a running master by those in FILE.yaml; durable when this returns."""
    rules = load_rules(file)
    _say(running_master(settings_file, output).edit_scope(rules))


@scope.command()
@click.option("--name", required=True, help="Name of the new rule.")
@click.option("--accept", "accepted", metavar="CONDITION", help="What it accepts, as 'domain: example.org'.")
@click.option("--reject", "rejected", metavar="CONDITION", help="What it rejects, as 'host: shop.example.org'.")
@click.option("--before", metavar="NAME", help="Put it before this rule, or before `limits` (default: at the end;"
              " a rule that accepts: before `limits`).")
@which_master
def add(*, name: str, accepted: str | None, rejected: str | None, before: str | None, settings_file: Path | None,
        output: Path | None) -> None:
    """Add a rule to those of a running master; durable when this returns."""
    if (accepted is None) == (rejected is None):
        raise click.UsageError("give either --accept or --reject")
    condition = read_condition(accepted if accepted is not None else rejected or "")
    rule = {"name": name, "accept" if accepted is not None else "reject": condition}
    client = running_master(settings_file, output)
    view = client.scope()
    rules = view["rules"]
    before = LIMITS if before is None and accepted is not None else before
    at = len(rules) if before is None or (before == LIMITS and LIMITS not in rules) else _index(rules, before)
    _say(client.edit_scope([*rules[:at], rule, *rules[at:]], version=view["version"]))


@scope.command()
@click.argument("name")
@which_master
def remove(name: str, settings_file: Path | None, output: Path | None) -> None:
    """Remove a rule from those of a running master; durable when this returns."""
    client = running_master(settings_file, output)
    view = client.scope()
    at = _index(view["rules"], name)
    _say(client.edit_scope([*view["rules"][:at], *view["rules"][at + 1:]], version=view["version"]))


@scope.command()
@which_master
def reset(settings_file: Path | None, output: Path | None) -> None:
    """Have scope.rules of the settings hold again at a running master; durable when this returns."""
    client: MasterClient = running_master(settings_file, output)
    _say(client.edit_scope(None))


def _index(rules: list[Any], name: str) -> int:
    """Where the rule *name* stands. Raises :class:`SettingsError` when there is none that can be edited."""
    names = [rule if isinstance(rule, str) else rule["name"] for rule in rules]
    if name in names:
        return names.index(name)
    if name in BUILTIN_RULES:
        raise SettingsError(f"`{name}` is a rule of Spyder's own: the settings switch it on and off; a rule that comes "
                            "later decides otherwise")
    raise SettingsError(f"there is no rule `{name}`; known: {', '.join(names) or 'none'}")


def _say(view: dict[str, Any]) -> None:
    names = [rule if isinstance(rule, str) else rule["name"] for rule in view["rules"]]
    kind = "edited" if view["is_edited"] else "those of the settings"
    click.echo(f"rules of the scope, version {view['version']:,}, {kind}: {', '.join(names) or 'none'}")


def _offline_view(settings: Settings) -> dict[str, Any]:
    from spyder.nodes.scopedesk import offline  # takes a while to import

    view: dict[str, Any] = msgspec.to_builtins(offline(settings).view())
    return view


def _offline_verdicts(settings: Settings, urls: tuple[str, ...], depth: int, embeds: int) -> list[dict[str, Any]]:
    from spyder.nodes.scopedesk import offline

    return [msgspec.to_builtins(verdict) for verdict in offline(settings).judge(urls, depth=depth, embeds=embeds)]
