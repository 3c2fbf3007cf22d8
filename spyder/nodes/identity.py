"""By what the frontier's keys are made: from the settings, and from what a store says that it was made with."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from spyder import plugins
from spyder.contracts import FrontierStore
from spyder.errors import StoreError
from spyder.model.url import UriIdentity
from spyder.scope.canonical import refined
from spyder.settings import CANONICAL_VERSIONS, FrontierSection

_DEFAULT = FrontierSection()
_FLAGS = {
    "sort_query": {"sort_query": True}, "keep_query_order": {"sort_query": False},
    "drop_session_ids": {"drop_session_ids": True}, "drop_tracking": {"drop_tracking": True},
    "default_documents": {"default_documents": True}}


def uri_identity(section: FrontierSection) -> UriIdentity:
    """What turns URLs into keys, as *section* has it. Raises :class:`spyder.errors.PluginError`."""
    policy = refined(plugins.find("canonical", section.canonical), section)
    return UriIdentity(policy, plugins.find("assignment", section.assignment), folds_hosts=policy.folds_hosts)


def made_with(store: FrontierStore) -> FrontierSection:
    """What the keys in *store* were made with; the defaults when nobody has made any. Raises :class:`StoreError`."""
    kept = store.meta("identity")
    return _DEFAULT if kept is None else section_of(kept.decode())


def section_of(identity: str, section: FrontierSection = _DEFAULT) -> FrontierSection:
    """*section* with what makes keys as *identity* says (:attr:`FrontierSection.identity`).

    Raises :class:`StoreError` when no settings of this version of Spyder make such keys.
    """
    policy, _, assignment = identity.partition("/")
    name, *options = policy.split(",")
    changes: dict[str, object] = {
        "canonical": name.partition("-")[0], "assignment": assignment, "sort_query": None, "drop_session_ids": False,
        "drop_tracking": False, "default_documents": False,
        "drop_query_params": tuple(unquote(option[5:]) for option in options if option.startswith("drop="))}
    for option in options:
        changes |= _FLAGS.get(option, {})
    made = msgspec.structs.replace(section, **changes)
    if made.canonical not in CANONICAL_VERSIONS or made.identity != identity:
        raise StoreError(f"the frontier was built by another version of Spyder, with keys by `{identity}`: use that "
                         "version, or begin anew with --fresh")
    return made
