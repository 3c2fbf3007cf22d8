"""Queues settled URIs again while no master runs: the frontier is opened for writing, and closed again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from spyder.errors import SettingsError
from spyder.frontier.requeue import RequeueReport, Requeuing
from spyder.model.clock import Clock
from spyder.nodes.identity import section_of
from spyder.nodes.inspect import open_for_reading
from spyder.nodes.master import open_frontier
from spyder.settings import Settings


def requeue_offline(settings: Settings, clock: Clock, *, urls: Sequence[str] = (), states: Sequence[str] = (),
                    host: str = "", reason: str = "") -> RequeueReport:
    """Do what :class:`Requeuing` says in the frontier of the settings, durably, for the next start.

    Raises :class:`spyder.errors.StoreError` when there is no frontier, or a master writes it.
    """
    frontier = open_frontier(_as_it_was_made(settings), clock)
    try:
        for worker, sequence in frontier.take_positions().items():
            frontier.note_position(worker, sequence)  # the next master must know how far the last one was
        work = Requeuing(frontier, urls=urls, states=states, host=host, reason=reason)
        goes_on = True
        while goes_on:
            goes_on = work.step()
            frontier.commit()
    except BaseException:  # what is staged can't be trusted
        frontier.abandon()
        raise
    frontier.close()
    return work.report


def _as_it_was_made(settings: Settings) -> Settings:
    """The settings with what belongs to the frontier for good: whoever asks needs no settings file for that."""
    with open_for_reading(settings.frontier_directory, store=settings.frontier.store) as view:
        frontier, projects = section_of(view.made_with.identity, settings.frontier), list(view.books())
    name = settings.project.name
    if name not in projects:
        if len(projects) != 1:
            raise SettingsError(f"{settings.frontier_directory} has no project `{name}`, but "
                                f"{', '.join(f'`{project}`' for project in projects) or 'none'}: set `project.name`")
        [name] = projects
    return msgspec.structs.replace(
        settings, project=msgspec.structs.replace(settings.project, name=name),
        frontier=frontier)
