"""Robots.txt that hangs, never ends, is no robots.txt, or asks for what it may ask."""

from __future__ import annotations

import gzip

from spyder.testsite.hostile.behaviour import Behaviour, Serve, answer, by_path, by_turn, endless, head, steps
from spyder.testsite.hostile.redirects import to

_RULES = b"User-agent: *\nDisallow: /bad\n"
_FORBIDDEN = "excluded robots"
_UNREACHABLE = "excluded robots-unreachable"
_PAGE = steps(answer())


def _plain(body: bytes, *fields: str) -> Serve:
    return steps(answer(body, *fields, kind="text/plain"))


def _robots(name: str, does: str, robots: Serve, *ends: str, serve: Serve = _PAGE, path: str = "/bad",
            pause: float = 0.0, has_good: bool = True) -> Behaviour:
    return Behaviour(name=name, group="robots", does=does, robots=robots, serve=serve, ends=ends, path=path,
                     pause=pause, has_good=has_good)


def _out_of_reach(name: str, does: str, robots: Serve, end: str = _UNREACHABLE) -> Behaviour:
    """Nothing of the host may be fetched while its robots.txt can't be had (RFC 9309, section 2.3.1.4)."""
    return Behaviour(name=name, group="robots", does=does, robots=robots, serve=_PAGE, path="/", has_good=False, most=0,
                     ends=(end,))


BEHAVIOURS = (
    _robots("robots-endless", "lines without end, the rule first", endless(head(kind="text/plain") + _RULES,
                                                                           b"# and so on\n" * 1000), _FORBIDDEN),
    _robots("robots-10-mb", "10 MB, the rule first", _plain(_RULES + b"# and so on\n" * 870_000), _FORBIDDEN),
    _robots("robots-one-line", "the rule, and a line of 2 MB", _plain(_RULES + b"Disallow: /" + b"x" * 2_000_000),
            _FORBIDDEN),
    _robots("robots-many-rules", "20,000 rules", _plain(_RULES + b"".join(
        b"Disallow: /no-%d\n" % number for number in range(20_000))), _FORBIDDEN),
    _robots("robots-stars", "rules that take exponential time when matched naively", _plain(
        _RULES + b"".join(b"Disallow: /%s%c\n" % (b"*o" * 60, 65 + number) for number in range(26))), _FORBIDDEN),
    _robots("robots-bomb", "12 MB in gzip, the rule first", _plain(gzip.compress(
        _RULES + b"# and so on\n" * 1_000_000, mtime=0), "Content-Encoding: gzip"), _FORBIDDEN),
    _robots("robots-binary", "binary noise", _plain(bytes(range(256)) * 100), "done 200"),
    _robots("robots-html", "an HTML page with 200, as many sites do", steps(answer(
        "<!doctype html><title>Welcome</title><p>Disallow: /")), "done 200"),
    _robots("robots-html-type", "rules that are called HTML", steps(answer(_RULES)), _FORBIDDEN),
    _robots("robots-utf-16", "the rules in UTF-16", _plain(_RULES.decode().encode("utf-16")), _FORBIDDEN),
    _robots("robots-bom", "the rules behind a byte order mark", _plain(b"\xef\xbb\xbf" + _RULES), _FORBIDDEN),
    _robots("robots-latin-1", "a path that is not UTF-8, and the rule", _plain(
        b"User-agent: *\nDisallow: /\xe4\xf6\nDisallow: /bad\n"), _FORBIDDEN),
    _robots("robots-cr", "lines that end in CR only", _plain(_RULES.replace(b"\n", b"\r")), _FORBIDDEN),
    _robots("robots-nul", "NULs between the lines", _plain(b"\0\n\0".join(_RULES.splitlines()) + b"\n"), _FORBIDDEN),
    _robots("robots-empty", "an empty file", _plain(b""), "done 200"),
    _robots("robots-401", "401 Unauthorized: no rules (RFC 9309, section 2.3.1.3)", steps(answer(
        _RULES, status="401 Unauthorized")), "done 200"),
    _robots("robots-403", "403 Forbidden: no rules", steps(answer(_RULES, status="403 Forbidden")), "done 200"),
    _robots("robots-410", "410 Gone: no rules", steps(answer(_RULES, status="410 Gone")), "done 200"),
    _robots("robots-204", "204 No Content", steps(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
            "done 200"),
    _robots("robots-5xx-twice", "503 twice, then the rules", by_turn(
        steps(answer(status="503 Busy")), steps(answer(status="503 Busy")), _plain(_RULES)), _FORBIDDEN),
    _robots("robots-reset-once", "resets the connection once, then the rules", by_turn(
        steps("reset"), _plain(_RULES)), _FORBIDDEN),
    _robots("robots-redirects", "three redirects, then the rules", to("/r1"), _FORBIDDEN, serve=by_path({
        "/r1": to("/r2"), "/r2": to("/r3"), "/r3": _plain(_RULES), "/bad": _PAGE})),
    _robots("robots-elsewhere", "redirects to another host, whose rules then hold here", to("{other}/rules.txt"),
            _FORBIDDEN),
    _robots("robots-loop", "redirects to itself: as if there were none (RFC 9309, section 2.3.1.2)", to("/robots.txt"),
            "done 200"),
    _robots("robots-chain", "redirects without end", to("/r"), "done 200",
            serve=by_path({"/r": to("/r?more"), "/bad": _PAGE})),
    _out_of_reach("robots-inside", "redirects to an address that is not allowed", to("{canary}/robots.txt")),
    _out_of_reach("robots-scheme", "redirects to file:///etc/passwd", to("file:///etc/passwd")),
    _robots("robots-delay", "asks for 1 second between fetches", _plain(b"User-agent: *\nCrawl-delay: 1\n"),
            "done 200", pause=1.0),
    _robots("robots-delay-noise", "asks for delays that are none", _plain(
        b"User-agent: *\nCrawl-delay: -1\nCrawl-delay: NaN\nCrawl-delay: 1e999\nCrawl-delay: soon\n"), "done 200"),
    _robots("robots-groups", "the rule in a second group for all", _plain(
        b"User-agent: *\nDisallow: /x\n\nUser-agent: other\nDisallow: /good\n\nUser-agent: *\nDisallow: /bad\n"),
        _FORBIDDEN),
    _out_of_reach("robots-cut", "fewer bytes than announced: there may have been more rules", steps(
        head(length=1000, kind="text/plain") + _RULES)),
    Behaviour(name="robots-all", group="robots", does="forbids everything", robots=_plain(
        b"User-agent: *\nDisallow: /\n"), serve=_PAGE, path="/", ends=(_FORBIDDEN,), has_good=False, most=0),
    _out_of_reach("robots-5xx", "503 for ever", steps(answer(status="503 Busy"))),
    _out_of_reach("robots-hangs", "takes the request and says nothing", steps("silence"), "failed timeout"),
    _out_of_reach("robots-drips", "a byte every 0.2 s", endless(head(kind="text/plain"), b"#", pause=0.2)),
    _out_of_reach("robots-resets", "resets the connection, always", steps("reset"), "failed reset"),
    _out_of_reach("robots-no-http", "answers as an SSH server", steps(b"SSH-2.0-OpenSSH_9.6\r\n", 0.2)),
)
