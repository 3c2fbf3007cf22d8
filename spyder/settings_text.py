"""Writes ``settings/default.yaml`` and ``docs/settings.md`` from the sections in :mod:`spyder.settings`."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from spyder.settings import ENVIRONMENT_PREFIX, ProcessorSection, ScopeRule, Section, Settings, fields

_HEAD = f"""\
# Spyder's settings: every key with its default. Written by `spyder settings`; nothing here needs to be repeated in a
# file of yours: what it leaves out has the default.
#
# An environment variable {ENVIRONMENT_PREFIX}SECTION__KEY overrides a key: {ENVIRONMENT_PREFIX}FETCH__CONNECTIONS=8.
# `spyder settings --check FILE` says whether a file is right.
"""

_INTRODUCTION = f"""\
# Settings

Written from the code by `spyder settings --docs`; a test keeps them equal. `settings/default.yaml` is the same as YAML.

A settings file is YAML with the sections below. What it leaves out has its default. Laid over one another, later ones
win: the defaults, the file given by `--settings`, environment variables, options on the command line. The environment
variable `{ENVIRONMENT_PREFIX}SECTION__KEY` sets one key, its value read as YAML:
`{ENVIRONMENT_PREFIX}FETCH__CONNECTIONS=8`, `{ENVIRONMENT_PREFIX}SCOPE__EXCLUDE='["/private/"]'`.

A wrong section, key, type or value is refused at start, in one line that names the file, the key and the nearest known
one; `spyder settings --check FILE` does nothing else. Master and workers must have the same `scope`, `robots`,
`traps`, `guard`, `retry`,
`project.name`, `frontier.canonical` with its options, `frontier.assignment`, `extract.max_parse_size` and
`extract.content_types`: a worker with others is refused by the master.
"""

#: Text that YAML reads as text without quotes.
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[A-Za-z][A-Za-z0-9_-]*", re.IGNORECASE)
_TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null",
          Any: "any value", ScopeRule: "rule"}
_BOUNDS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
_PROCESSORS_EXAMPLE = """\
# processors:
#   - use: processors:Headings
#     settings: {levels: [1, 2]}
#     timeout: 2
"""


def default_yaml() -> str:
    """``settings/default.yaml``."""
    return "\n".join([_HEAD, *_yaml_sections()])


def settings_markdown() -> str:
    """``docs/settings.md``."""
    return "\n".join([_INTRODUCTION, *_markdown_sections()])


def _sections() -> Iterator[tuple[str, type[Section]]]:
    sample = Settings()
    for name in Settings.__struct_fields__:
        yield name, ProcessorSection if name == "processors" else type(getattr(sample, name))


def _yaml_sections() -> Iterator[str]:
    for name, section in _sections():
        lines = [f"# {_summary(section)}"]
        if name == "processors":
            lines += ["# A list; of each entry:", *(f"#   {key}: {text} (default {_value(default)})"
                                                    for key, default, text in fields(section))]
            yield "\n".join([*lines, _PROCESSORS_EXAMPLE + "processors: []", ""])
            continue
        lines.append(f"{name}:")
        for key, default, text in fields(section):
            lines += [f"  # {text}", f"  {key}:{_block(default)}"]
        yield "\n".join([*lines, ""])


def _markdown_sections() -> Iterator[str]:
    for name, section in _sections():
        hints = get_type_hints(section, include_extras=True)
        lines = [f"## {name}", "", _summary(section), ""]
        if name == "processors":
            lines += ["A list, called in order; an entry is `module:Class` alone, or a mapping of these keys:", ""]
        lines += ["| key | default | type | |", "|---|---|---|---|"]
        for key, default, text in fields(section):
            kind = _kind(hints[key]).replace("|", "\\|")
            lines.append(f"| `{key}` | `{_flow(default)}` | {kind} | {text.replace('|', chr(92) + '|')} |")
        yield "\n".join([*lines, ""])


def _summary(section: type[Section]) -> str:
    return " ".join((section.__doc__ or "").split())


def _block(value: Any) -> str:
    """*value* as it stands behind a key: a filled mapping goes to lines of its own."""
    if isinstance(value, Mapping) and value:
        return "".join(f"\n    {key}: {_value(item)}" for key, item in value.items())
    return f" {_value(value)}"


def _value(value: Any) -> str:
    """*value* on one line of YAML: JSON, with plain words unquoted."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_value(item) for item in value)}]"
    return msgspec.json.encode(value).decode()


def _flow(value: Any) -> str:
    """*value* on one line, mappings too."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_value(item)}' for key, item in value.items())}}}"
    return _value(value)


def _kind(hint: Any) -> str:
    """A type in words: ``whole number ≥ 1 or null``."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = [f"{sign} {limit:g}" for meta in arguments[1:] if isinstance(meta, Meta)
                  for name, sign in _BOUNDS if (limit := getattr(meta, name)) is not None]
        return " ".join([_kind(arguments[0]), ", ".join(bounds)]).strip()
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    if origin is dict:
        return f"mapping to {_kind(arguments[1])}"
    if isinstance(hint, type) and issubclass(hint, Section):
        return f"mapping of {', '.join(f'`{key}`' for key in hint.__struct_fields__)}"
    if origin is types.UnionType or arguments:
        return " or ".join(_kind(argument) for argument in arguments)
    return _TYPES[hint]
