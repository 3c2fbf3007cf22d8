"""Holds how a crawl ended against what the catalogue says: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from spyder.errors import UrlError
from spyder.model.url import parse
from spyder.testsite.hostile.behaviour import Behaviour, filled

#: Seconds by which a server may see two requests closer together than the crawler sent them.
_TOLERANCE = 0.005
_GOOD = tuple(f"/good/{number}" for number in (1, 2, 3))


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a URL ended in the crawl."""

    state: str  #: ``done``, ``failed``, ``excluded`` ..., or whatever the crawler calls it
    status: int = 0
    reason: str = ""  #: kind of error, or of rule
    title: str | None = None  #: None when nobody knows
    elapsed: float | None = None  #: seconds of the last fetch; None when nobody knows

    @property
    def text(self) -> str:
        """As the catalogue writes it."""
        return f"done {self.status}" if self.state == "done" else f"{self.state} {self.reason}"


def complaints(behaviour: Behaviour, places: Mapping[str, str], endings: Mapping[str, Ending],
               requests: Sequence[tuple[str, float]]) -> list[str]:
    """What is wrong with *behaviour*, a line each.

    *endings* are of all URLs of the crawl, *requests* the paths and times (seconds) of what its host was asked for.
    """
    found = []
    url = behaviour.path if "{" in behaviour.path else "{here}" + behaviour.path
    for one, ends in ((url, behaviour.ends), *behaviour.also):
        ending = _ending(filled(one, places), endings)
        text = "absent" if ending is None else ending.text
        if text not in ends:
            found.append(f"{filled(one, places)[:120]} ended as `{text}`, not as {_either(ends)}")
    ending = _ending(filled(url, places), endings)
    if ending is not None:
        if ending.elapsed is not None and ending.elapsed > behaviour.within:
            found.append(f"took {ending.elapsed:.1f} s, more than {behaviour.within:g}")
        if behaviour.title is not None and ending.title is not None and ending.title != behaviour.title:
            found.append(f"has the title {ending.title[:80]!r}, not {behaviour.title!r}")
    if behaviour.has_good:
        found += [f"the good page {path} ended as `{text}`" for path in _GOOD
                  if (text := _text(endings.get(places["here"] + path))) != "done 200"]
    return [f"{behaviour.name}: {line}" for line in (*found, *_too_much(behaviour, requests))]


def _too_much(behaviour: Behaviour, requests: Sequence[tuple[str, float]]) -> list[str]:
    """Requests that are too many, or too close together."""
    expected = {"/robots.txt", *_GOOD, *(() if behaviour.path == "/" else ("/",))}
    others = [path for path, _ in requests if path not in expected]
    found = []
    if len(others) > behaviour.most:
        found.append(f"{len(others)} requests, more than {behaviour.most}; the last one for {others[-1][:80]}")
    if not any(ends.startswith(("done", "failed")) for ends in behaviour.ends) and behaviour.path in others:
        found.append(f"{behaviour.path} was asked for")
    times = sorted(at for path, at in requests if path != "/robots.txt")
    found += [f"two requests within {later - earlier:.3f} s, less than {behaviour.pause:g}"
              for earlier, later in pairwise(times)
              if later - earlier < behaviour.pause - _TOLERANCE]
    return found


def _ending(url: str, endings: Mapping[str, Ending]) -> Ending | None:
    try:
        return endings.get(parse(url).href)
    except UrlError:
        return None


def _text(ending: Ending | None) -> str:
    return "absent" if ending is None else ending.text


def _either(ends: tuple[str, ...]) -> str:
    return " or ".join(f"`{end}`" for end in ends)
