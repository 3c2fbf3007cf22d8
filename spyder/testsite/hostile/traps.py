"""Sites without an end, of the kinds that crawlers get lost in: calendars, facets, sessions, mirrors of themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from spyder.testsite.hostile.behaviour import Behaviour, Exchange, answer

#: Requests at a trap's host at the most, under the settings that the site recommends.
_MOST = 150


def _page(title: str, links: Iterable[str]) -> bytes:
    return answer(f"<!doctype html><title>{title}</title>" + "".join(f'<a href="{link}">more</a>\n' for link in links))


def _trap(name: str, does: str, write: Callable[[str], bytes], *, path: str = "/bad") -> Behaviour:
    """A page for every path, each with links to further ones."""
    async def serve(to: Exchange) -> None:
        await to.send(write(to.path))
        to.keep()
    return Behaviour(name=name, group="traps", does=does, serve=serve, path=path, ends=("done 200",), most=_MOST)


def _calendar(path: str) -> bytes:
    number = _number_at_end(path)
    months = ((number + step) for step in (-1, 1, 12))
    return _page(f"Month {number}", (
        f"/calendar/{2000 + month // 12}/{month % 12 + 1:02}?m={month}" for month in months))


def _number_at_end(path: str) -> int:
    digits = path[len(path.rstrip("0123456789")):][:9]
    sign = -1 if path[:len(path) - len(digits)].endswith("-") else 1
    return sign * int(digits) if digits else 0


def _token(path: str, salt: int = 0) -> str:
    """What looks like a session's number, other for every path."""
    return hashlib.md5(f"{salt}{path}".encode(), usedforsecurity=False).hexdigest()


def _facets(path: str) -> bytes:
    """Each page offers to add each of eight filters, in whatever order."""
    query = path.partition("?")[2]
    return _page("Shoes", (f"/bad?{query}{'&' if query else ''}filter{facet}={value}"
                           for facet in range(8) for value in range(3)))


def _growing(path: str) -> bytes:
    query = path.partition("?")[2]
    return _page("Ever longer", [f"/bad?{query}&again=1" if query else "/bad?again=1"])


def _words(path: str, count: int = 200) -> str:
    """Text that is different on every page, so that only its quantity tells the trap."""
    return " ".join(_token(path, number)[:number % 9 + 2] for number in range(count))


def _farm(path: str) -> bytes:
    """What a search for anything finds: always something, and ten more searches."""
    return answer(f"<!doctype html><title>Results</title><p>{_words(path)}</p>" + "".join(
        f'<a href="/find/{_token(path, number)}.html">x</a>' for number in range(10)))


BEHAVIOURS = (
    _trap("trap-calendar", "a calendar with a next month, for ever", _calendar),
    _trap("trap-directories", "a relative link that leads a folder deeper, for ever",
          lambda path: _page(path[-60:], ["deeper/", "other/"]), path="/bad/"),
    _trap("trap-repeating", "folders that repeat themselves: a/b/a/b ...",
          lambda path: _page(path[-60:], ["a/b/", "b/a/"]), path="/bad/"),
    _trap("trap-session-path", "a session's number in each path, another on each page",
          lambda path: _page("Session", [f"/s/{_token(path)}/page", f"/s/{_token(path, 1)}/bad"])),
    _trap("trap-session-query", "a session's number in each query, another on each page",
          lambda path: _page("Session", [f"/bad?sid={_token(path)}", f"/page?PHPSESSID={_token(path, 1)}"])),
    _trap("trap-session-matrix", "a session's number as a parameter of the path",
          lambda path: _page("Session", [f"/bad;jsessionid={_token(path)}", f"/page;jsessionid={_token(path, 1)}"])),
    _trap("trap-facets", "eight filters in every order: 8! times 3^8 pages", _facets),
    _trap("trap-query-order", "the same parameters in another order on each page", lambda path: _page(
        "List", [f"/bad?{'&'.join(f'{letter}=1' for letter in _token(path, number)[:6])}" for number in range(4)])),
    _trap("trap-growing-query", "a query that grows by a parameter with each link", _growing),
    _trap("trap-farm", "every path is a page (a soft 404), with ten links to further ones", _farm),
    _trap("trap-pages", "a list with a next page, for ever",
          lambda path: _page("List", [f"/bad?page={_number_at_end(path) + 1}"])),
    _trap("trap-counter", "each page links to the next number in its path",
          lambda path: _page("Item", [f"/item/{_number_at_end(path) + 1}"])),
    _trap("trap-capitals", "the same path in other capitals on each page", lambda path: _page("Page", [
        "/" + "".join(letter.upper() if bit in "89abcdef" else letter
                      for letter, bit in zip("capitalsandsmalls", _token(path, number), strict=False))
        for number in range(3)])),
    _trap("trap-dots", "paths with more and more dots and slashes", lambda path: _page("Page", [
        f"{path.partition('?')[0]}//x/./y/../z", f"{path.partition('?')[0]}/%2e%2e/x"])),
    _trap("trap-escapes", "paths that are escaped once more on each page", lambda path: _page("Page", [
        "/" + path.lstrip("/").replace("%", "%25") + "%2541"])),
    _trap("trap-time", "a link with the time in it, to the fraction of a second",
          lambda path: _page("Now", [f"/bad?now={_token(path)[:8]}.{_token(path, 1)[:6]}"])),
)
