"""Whom servers may write to: asked once on a terminal, and kept for all crawls of the person."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TextIO

import click
import msgspec

from spyder.errors import SettingsError
from spyder.nodes.checks import check_contact, has_contact, is_anonymous
from spyder.settings import Settings, identity_file, keep_contact

_QUESTION = ("Whom may the owners of sites write to about your crawls? A URL or an e-mail address, sent with every "
             "request (empty: nobody)")


def ask_once(settings: Settings) -> Settings:
    """Settings with a contact, if there was none and a person has just given one; never asked again.

    Nobody is asked where no person would answer: without a terminal, or in CI.
    """
    path = identity_file()
    if has_contact(settings.fetch) or path is None or path.exists() or not _is_somebody_there():
        return settings
    contact = _ask()
    try:
        keep_contact(path, contact)
    except OSError as error:
        click.echo(f"spyder: {path} can't be written: {error.strerror}; set `fetch.contact`", err=True)
    else:
        click.echo(f"kept in {path} as `fetch.contact`", err=True)
    return msgspec.structs.replace(settings, fetch=msgspec.structs.replace(settings.fetch, contact=contact))


def warn(settings: Settings, seeds: Iterable[str]) -> None:
    """Say in a line that nobody can be written to, where servers of others are asked."""
    if is_anonymous(settings, seeds):
        click.echo("spyder: warning: servers are not told whom to write to about this crawl: set `fetch.contact` or "
                   "--contact to a URL or an e-mail address", err=True)


def _ask() -> str:
    while True:
        contact: str = click.prompt(_QUESTION, default="", show_default=False, err=True).strip()
        try:
            check_contact(contact)
        except SettingsError as error:
            click.echo(f"spyder: {error}", err=True)
        else:
            return contact


def _is_somebody_there() -> bool:
    return _is_terminal(sys.stdin) and _is_terminal(sys.stderr) and _is_in_foreground(sys.stdin) and (
        not os.environ.get("CI"))


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()  # None: it was closed from the start


def _is_in_foreground(terminal: TextIO) -> bool:
    """False for a job in the background: reading would stop it."""
    try:
        return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # a terminal that controls no jobs
        return True
