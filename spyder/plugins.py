"""From a name to an object: built-in parts by a short name, users' parts by ``module:attribute``."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spyder.errors import PluginError

#: Built-in parts by kind and name. The modules are imported when first asked for, so that nothing unused costs time.
BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "store": {"memory": "spyder.stores.memory:MemoryStore", "rocksdb": "spyder.stores.rocksdb:RocksdbStore"},
    "canonical": {"plain": "spyder.scope.canonical:PLAIN", "standard": "spyder.scope.canonical:STANDARD",
                  "archive": "spyder.scope.canonical:ARCHIVE"},
    "assignment": {"host": "spyder.frontier.assignment:by_host", "domain": "spyder.frontier.assignment:by_domain"},
    "extractor": {"html": "spyder.extract.builtin:Html", "headers": "spyder.extract.builtin:read_headers",
                  "sitemap": "spyder.extract.sitemap:Sitemap", "feed": "spyder.extract.feed:Feed",
                  "css": "spyder.extract.css:Css", "pdf": "spyder.extract.pdf:Pdf"},
    "prioritizer": {"fifo": "spyder.frontier.prioritizer:FirstComeFirstServed"},
}


def find(kind: str, name: str) -> Any:
    """The object called *name* among the parts of *kind*: a built-in name or ``module:attribute``.

    Raises :class:`PluginError` saying which step failed and the nearest known name.
    """
    built_in = BUILT_IN.get(kind, {})
    target = built_in.get(name, name)
    if ":" not in target:
        near = difflib.get_close_matches(name, built_in, n=1)
        known = ", ".join([*built_in, "or `module:attribute`"])
        hint = f"did you mean `{near[0]}`?" if near else f"known: {known}"
        raise PluginError(f"{kind} `{name}` is unknown; {hint}")
    return load(target, kind=kind)


def load(target: str, *, kind: str = "plug-in") -> Any:
    """The object at ``module:attribute``; the working directory is on the path, so that a project's modules are found.

    Raises :class:`PluginError` when the module, or the attribute in it, is missing or fails to import.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise PluginError(f"{kind} `{target}`: expected `module:attribute`")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        value: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise PluginError(f"{kind} `{target}`: there is no module `{error.name}`") from None
    except Exception as error:  # a user's module may raise anything while it is imported
        raise PluginError(f"{kind} `{target}`: module `{module_name}` fails to import: "
                          f"{type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(value, part):
            near = difflib.get_close_matches(part, [name for name in dir(value) if not name.startswith("_")], n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise PluginError(f"{kind} `{target}`: module `{module_name}` has no `{part}`{hint}")
        value = getattr(value, part)
    return value


def build(target: str, settings: Mapping[str, Any], *, kind: str) -> Any:
    """The callable at *target*, ready for use: a class is built with *settings* as keyword arguments, a function is
    taken as it is.

    Raises :class:`PluginError` when it can't be found or built, or is not callable.
    """
    part = load(target, kind=kind)
    if isinstance(part, type):
        try:
            part = part(**settings)
        except Exception as error:  # a user's constructor may raise anything
            raise PluginError(f"{kind} `{target}`: can't be built with {dict(settings)!r}: "
                              f"{type(error).__name__}: {error}") from error
    elif settings:
        raise PluginError(f"{kind} `{target}` is a function and takes no settings, got {dict(settings)!r}")
    if not callable(part):
        raise PluginError(f"{kind} `{target}` can't be called: a {kind} is a function, or a class with `__call__`")
    return part
