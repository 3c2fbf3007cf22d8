"""Other projects' cases, judged: one verdict for each row of ``../shared/cases`` that the adapter can answer."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from spyder.errors import UrlError
from spyder.extract.charset import encoding_of_label
from spyder.model.url import parse

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT.parent / "shared" / "cases"

Row = dict[str, Any]

_NOWHERE = "http://example.org/"  #: the URL of pages in cases that have none
_PATIENCE = 20.0  #: seconds for an input that makes bad code run for hours; good code takes a fraction of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one row. *grade* ``must`` stands also for rows that a standard alone decides."""

    file: str
    id: str
    grade: str
    is_right: bool
    what: str  #: input, what was expected and what came: for whoever reads a failure


def load_adapter() -> Any:
    """The adapter, as the cases' own runner loads it."""
    spec = importlib.util.spec_from_file_location("spyder_conformance_adapter", Path(__file__).with_name("adapter.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


adapter = load_adapter()


@cache
def rows(name: str) -> tuple[Row, ...]:
    path = CASES / name
    content = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    return tuple(json.loads(line) for line in content.splitlines())


def body_of(row: Row, name: str = "html") -> bytes:
    """The bytes of a text that a row carries, in base64 when it is not UTF-8."""
    coded = row.get(f"{name}_b64")
    return base64.b64decode(coded) if coded is not None else row[name].encode("utf-8", "surrogatepass")


def _verdict(file: str, row: Row, grade: str, is_right: bool, *what: object) -> Verdict:
    return Verdict(file=file, id=row["id"], grade=grade, is_right=is_right, what=" | ".join(repr(one) for one in what))


def _can(*names: str) -> bool:
    return all(hasattr(adapter, name) for name in names)


def _call(name: str, *arguments: object, **options: object) -> Any:
    """What the adapter answers; an exception is an answer too, and a wrong one unless the row wants an error."""
    try:
        return getattr(adapter, name)(*arguments, **options)
    except Exception as error:
        return error


# -- robots.txt ---------------------------------------------------------------------------------------------------


def robots() -> Iterator[Verdict]:
    """``robots_allowed(robots: bytes, agent: str, url: str) -> bool``."""
    if not _can("robots_allowed"):
        return
    for row in rows("robots.jsonl"):
        got = _call("robots_allowed", body_of(row, "robots_txt"), row["user_agent"], row["url"])
        yield _verdict("robots.jsonl", row, row["grade"], got == row["allowed"], body_of(row, "robots_txt")[:300],
                       row["user_agent"], row["url"], row["allowed"], got)


def robots_real() -> Iterator[Verdict]:
    """As :func:`robots`; a site is right when all its verdicts are."""
    if not _can("robots_allowed"):
        return
    for row in rows("robots_real.jsonl.gz"):
        text = row["robots_txt"].encode()
        wrong = [(agent, url, allowed) for agent, url, allowed in row["cases"]
                 if _call("robots_allowed", text, agent, url) != allowed]
        yield _verdict("robots_real.jsonl.gz", row | {"id": row["host"]}, "must", not wrong, wrong[:5])


def robots_extract() -> Iterator[Verdict]:
    """``robots_extract(robots: bytes, agent: str | None, kind: str, robots_url: str)``: by kind ``crawl_delay`` the
    seconds, ``request_rate`` the seconds for each request, ``sitemaps`` their URLs.
    """
    if not _can("robots_extract"):
        return
    for row in rows("robots_extract.jsonl"):
        if isinstance(row["user_agent"], list):
            continue
        got = _call("robots_extract", body_of(row, "robots_txt"), row["user_agent"], row["kind"],
                    row.get("robots_url") or "http://domain.com/robots.txt")
        expected = row["expected"]
        if row["kind"] == "request_rate" and expected is not None:
            expected = expected[1] / expected[0]
        is_right = got == expected or (isinstance(got, list) and isinstance(expected, list)
                                       and sorted(map(str, got)) == sorted(map(str, expected)))
        yield _verdict("robots_extract.jsonl", row, "should", is_right, row["kind"], body_of(row, "robots_txt")[:300],
                       row["user_agent"], expected, got)


def robots_status() -> Iterator[Verdict]:
    """``robots_status(status: int) -> str``: ``allow_all`` or ``disallow_all_defer``."""
    if not _can("robots_status"):
        return
    for row in rows("robots_status.jsonl"):
        expected = "disallow_all_defer" if row["expected"] == "error" else row["expected"]
        got = _call("robots_status", row["status"])
        yield _verdict("robots_status.jsonl", row, "should", got == expected, row["status"], expected, got)


# -- URLs ---------------------------------------------------------------------------------------------------------


def urls_resolve() -> Iterator[Verdict]:
    """``resolve(base: str | None, href: str) -> str | None``."""
    for row in rows("urls_resolve.jsonl"):
        expected = None if row["failure"] else row["expected_href"].split("#")[0]
        got = _call("resolve", row["base"], row["input"])
        yield _verdict("urls_resolve.jsonl", row, "must", got == expected, row["input"], row["base"], expected, got)


def urls_equiv() -> Iterator[Verdict]:
    """``dedup_key(url: str) -> str | None``."""
    for row in rows("urls_equiv.jsonl"):
        one, other = _call("dedup_key", row["a"]), _call("dedup_key", row["b"])
        is_same = isinstance(one, str) and one == other
        yield _verdict("urls_equiv.jsonl", row, row["grade"], is_same == row["same"], row["a"], row["b"], row["same"],
                       one, other)


# -- pages --------------------------------------------------------------------------------------------------------


def _normal(url: str) -> str:
    try:
        return parse(url).href
    except UrlError:
        return url.split("#")[0]


def links() -> Iterator[Verdict]:
    """``links(body: bytes, content_type: str, base_url: str) -> list[str]``, and ``all_links`` with what is embedded.

    Rows with options of another project's extractor, and of kinds that are no page's links, are left out.
    """
    for row in rows("links.jsonl"):
        name = {"navigation": "links", "all": "all_links"}.get(row["kind"], "")
        if row.get("options") or not name or not _can(name):
            continue
        answer = _call(name, body_of(row), row["content_type"], row["base_url"])
        if isinstance(answer, Exception):
            yield _verdict("links.jsonl", row, row["grade"], False, row["test"], answer)
            continue
        got, expected = {_normal(url) for url in answer}, {_normal(url) for url in row["expected_links"]}
        is_exact = row["mode"] == "exact" and name == "links"
        forbidden = got & {_normal(url) for url in row.get("forbidden_links", [])}
        yield _verdict("links.jsonl", row, row["grade"],
                       not forbidden and (got == expected if is_exact else got >= expected), row["test"],
                       sorted(expected - got)[:5], sorted(got - expected)[:5])


def base_refresh() -> Iterator[Verdict]:
    """``meta_refresh(content: str) -> (seconds, url) | None``;
    ``base_url(body: bytes, encoding: str, url: str) -> str``;
    ``page_refresh(body: bytes, encoding: str, url: str) -> str | None``, where a page leads by itself;
    ``srcset(text: str) -> list[str]``, the URLs in it as they stand there.
    """
    file = "links_base_refresh.jsonl"
    for row in rows(file):
        match row["kind"]:
            case "meta_refresh_content":
                got = _call("meta_refresh", row["content"])
                got = list(got) if isinstance(got, tuple) else got
                yield _verdict(file, row, "must", got == row["expected"], row["content"], row["expected"], got)
            case "srcset" if _can("srcset"):
                got = _call("srcset", row["srcset"])
                wanted = row["must_contain"]
                is_right = isinstance(got, list) and (
                    not got if row["no_valid_candidate"] else set(got) >= {wanted} if isinstance(wanted, str)
                    else set(got) >= set(wanted or ()))
                yield _verdict(file, row, "should", is_right, row["srcset"], wanted, row["no_valid_candidate"], got)
            case "get_base_url" if _can("base_url"):
                url = row["base_url"] or _NOWHERE
                got = _call("base_url", body_of(row), row["encoding"], url)
                yield _verdict(file, row, "should", got == _normal(row["expected"] or url), row.get("html"), url,
                               row["expected"], got)
            case "get_meta_refresh" if _can("page_refresh"):
                got = _call("page_refresh", body_of(row), row["encoding"], row["base_url"] or _NOWHERE)
                url = row["expected"][1]
                expected = None if url is None else _normal(url)
                yield _verdict(file, row, "should", got == expected, row.get("html"), expected, got)
            case _:
                pass


def links_perf() -> Iterator[Verdict]:
    """``links`` of inputs that cost some parsers hours."""
    for row in rows("links_perf.jsonl"):
        prefix, unit = row["html_prefix"], row["unit"]
        html = (prefix + unit * (row["html_len"] // len(unit) + 1))[:row["html_len"]]
        began = time.perf_counter()
        answer = _call("links", html.encode(), "text/html", "http://example.org/")
        took = time.perf_counter() - began
        yield _verdict("links_perf.jsonl", row, "must", isinstance(answer, list) and took < _PATIENCE, prefix[:60],
                       round(took, 1), answer)


# -- character encodings ------------------------------------------------------------------------------------------


def _same_encoding(one: str | None, other: str | None) -> bool:
    def name(label: str | None) -> str | None:
        found = None if label is None else encoding_of_label(label.replace("utf-16-", "utf-16")) or label
        return "gbk" if found == "gb18030" else found  # one decoder, WHATWG Encoding, section 10.1.1

    return name(one) == name(other)


def charset() -> Iterator[Verdict]:
    """``header_charset(content_type: str) -> str | None``;
    ``decode(content_type: str | None, body: bytes) -> (encoding, text)``.
    """
    for row in rows("charset.jsonl"):
        grade = "must" if row["grade"] == "whatwg" else row["grade"]
        expected = row["expected_whatwg"]
        if row["kind"] == "content_type_header":
            got = _call("header_charset", row["content_type"])
            is_right = not isinstance(got, Exception) and _same_encoding(got, expected)
            yield _verdict("charset.jsonl", row, grade, is_right, row["content_type"], expected, got)
        elif row["kind"] in {"http_body", "sniff_html"} or (
                row["kind"] == "body_declared" and row["expected_encoding"] is not None):
            got = _call("decode", row["content_type"], base64.b64decode(row["body_b64"]))
            is_right = not isinstance(got, Exception) and (
                _same_encoding(got[0], expected) or (got[1] is not None and got[1] == row.get("expected_text")))
            yield _verdict("charset.jsonl", row, grade, is_right, row["test"], row["content_type"], expected, got)


def charset_labels() -> Iterator[Verdict]:
    """Every label of the Encoding standard."""
    for row in rows("charset_labels.jsonl"):
        got = encoding_of_label(row["label"])
        yield _verdict("charset_labels.jsonl", row | {"id": row["label"]}, "must", got == row["encoding"], got)


# -- sitemaps -----------------------------------------------------------------------------------------------------


def sitemaps() -> Iterator[Verdict]:
    """``sitemap(body: bytes, content_type: str | None, url: str, location: str) -> list[str]``: an exception or
    nothing for an error; *location* is ``path`` where the row asks for the strict rule of sitemaps.org, else ``any``.
    """
    if not _can("sitemap"):
        return
    for row in rows("sitemaps.jsonl"):
        if row["kind"] == "robots":
            continue
        is_strict = (row.get("options") or {}).get("strict_location", False)
        got = _call("sitemap", base64.b64decode(row["body_b64"]), row["content_type"], row["url"],
                    "path" if is_strict else "any")
        if row["kind"] == "error":
            is_right = isinstance(got, Exception) or got == []
        else:
            is_right = isinstance(got, list) and sorted(map(_normal, got)) == sorted(map(_normal, row["expected_urls"]))
        yield _verdict("sitemaps.jsonl", row, row["grade"], is_right, row["test"], row["url"], row["expected_urls"][:5],
                       got[:5] if isinstance(got, list) else got)


#: By file, what judges it. HTTP needs a server: see ``replay.py``.
JUDGES: dict[str, Callable[[], Iterator[Verdict]]] = {
    "robots.jsonl": robots, "robots_real.jsonl.gz": robots_real, "robots_extract.jsonl": robots_extract,
    "robots_status.jsonl": robots_status, "urls_resolve.jsonl": urls_resolve, "urls_equiv.jsonl": urls_equiv,
    "links.jsonl": links, "links_base_refresh.jsonl": base_refresh, "links_perf.jsonl": links_perf,
    "charset.jsonl": charset, "charset_labels.jsonl": charset_labels, "sitemaps.jsonl": sitemaps,
}


@cache
def verdicts_of(file: str) -> tuple[Verdict, ...]:
    """All verdicts of a file."""
    return tuple(JUDGES[file]())
