"""Cases that Spyder answers otherwise on purpose: the reason of each, by the case's id.

``docs/conformance.md`` is written from here. An entry whose case passes fails the tests: take it out.
"""

from __future__ import annotations

from collections.abc import Iterable


def _all(reason: str, ids: str) -> dict[str, str]:
    return dict.fromkeys(ids.split(), reason)


def _merged(parts: Iterable[dict[str, str]]) -> dict[str, str]:
    whole: dict[str, str] = {}
    for part in parts:
        assert not whole.keys() & part.keys(), f"explained twice: {whole.keys() & part.keys()}"
        whole |= part
    return whole


ROBOTS = {
    **_all("/robots.txt itself is always allowed (RFC 9309, section 2.2.2)", "robots-0216 robots-0222"),
    **_all("a status of 401 or 403 allows all, as every 4xx but 429 does (RFC 9309, section 2.3.1.3)", "rs-30 rs-31"),
}

URLS = {
    **_all("a session id is a part of the URL, unless `frontier.drop_session_ids` says otherwise (`archive` does)",
           "eq-0134 eq-0135 eq-0136 eq-0297 eq-0299 eq-0307 eq-0308 eq-0356 eq-0360 eq-0361 eq-0362 eq-0364 eq-0365 "
           "eq-0366 eq-0367 eq-0368 eq-0369 eq-0370"),
    **_all("`www.`, http beside https, user and password, the case of a path, empty segments and a final slash may "
           "lead to other resources: equal with `frontier.canonical: archive` only",
           "eq-0088 eq-0090 eq-0091 eq-0132 eq-0191 eq-0192 eq-0199 eq-0200 eq-0207 eq-0237 eq-0266 eq-0269 eq-0275 "
           "eq-0288 eq-0289 eq-0290 eq-0291 eq-0292 eq-0293 eq-0294 eq-0296 eq-0300 eq-0301 eq-0303 eq-0304 eq-0312 "
           "eq-0315 eq-0374 eq-0375 eq-0376 eq-0377"),
    **_all("one of the two is no URL to the WHATWG standard: a link with it is dropped",
           "eq-0093 eq-0094 eq-0168 eq-0197 eq-0198 eq-0318"),
    **_all("a host of dots alone is a name to the WHATWG standard, not the address 0.0.0.0",
           "eq-0169 eq-0170 eq-0171 eq-0174 eq-0175 eq-0176 eq-0180 eq-0182 eq-0185 eq-0186 eq-0187"),
    **_all("a reserved character and its triplet may mean different things (RFC 3986, section 2.2)",
           "eq-0007 eq-0202 eq-0203 eq-0204"),
    **_all("what is decoded once is not decoded again: `%2561` is the text `%61`",
           "eq-0241 eq-0242 eq-0244 eq-0251 eq-0252 eq-0254 eq-0255"),
    **_all("the input is text whose bytes were read as Latin-1; a URL is text, encoded as UTF-8",
           "eq-0212 eq-0214 eq-0215 eq-0219 eq-0235 eq-0285"),
    **_all("parameters are sorted by name; those of one name are a list, whose order may matter", "eq-0004 eq-0208"),
    **_all("a parameter without `=` may be another than an empty one", "eq-0006 eq-0116"),
    **_all("`+` is a space only where a query is read as a form", "eq-0010"),
    **_all("a parameter without a name is one", "eq-0123"),
}

LINKS = {
    **_all("what a page says to those without scripts is said to a crawler", "br-039"),
    **_all("a picture with an unknown descriptor is left out, as the HTML standard says", "br-149"),
    **_all("an extension says nothing of what is behind it: the content type and `scope.exclude` decide", "link-0025"),
    **_all("the extractor gives all links; whether `nofollow` holds is decided behind it, by `robots.meta` and "
           "`robots.rel_nofollow`", "link-0066 link-0093"),
}

CHARSETS = {
    **_all("a quote that nothing closes is read to its end, as MIME sniffing does", "cs-098 cs-104"),
}

SITEMAPS = {
    **_all("an unknown namespace keeps nobody from reading a sitemap: many have one", "sm-037"),
}

HTTP = {
    **_all("HTTP/0.9 is refused, as in browsers: any bytes would be a page", "curl-66 curl-1164"),
    **_all("the case asks curl not to undo transfer codings; this one nobody can undo", "curl-319"),
    **_all("the answer announces more bytes than `fetch.max_wire_size`", "curl-395"),
    **_all("gzip members may follow each other (RFC 1952, section 2.2)", "curl-2305"),
    **_all("a length that is no number is refused (RFC 9112, section 6.3): where the body ends would be a guess",
           "http-018 http-019 http-020 http-021 http-024"),
    **_all("two lengths are equal when the numbers are", "http-027"),
    **_all("a status has three digits (RFC 9112, section 4)", "http-031 http-032"),
    **_all("a line may end in LF alone (RFC 9112, section 2.2): here the fields end, and what follows is the body",
           "http-054"),
}

EXPLAINED = _merged((ROBOTS, URLS, LINKS, CHARSETS, SITEMAPS, HTTP))
