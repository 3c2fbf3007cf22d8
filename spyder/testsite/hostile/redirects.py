"""Redirects that lead round, for ever, nowhere, and to where no crawler must go."""

from __future__ import annotations

from spyder.testsite.hostile.behaviour import Behaviour, Exchange, Serve, answer, answers, by_path, endless, head, steps

_NEVER = ("excluded address", "excluded robots-unreachable", "absent")


def to(location: str, status: str = "302 Found") -> Serve:
    """A redirect to *location*, in which places are filled in."""
    return answers("<title>moved</title>", f"Location: {location}", status=status)


def _redirect(name: str, does: str, serve: Serve, *ends: str, also: tuple[tuple[str, tuple[str, ...]], ...] = (),
              most: int = 24) -> Behaviour:
    return Behaviour(name=name, group="redirects", does=does, serve=serve, ends=ends or ("done 302",), also=also,
                     most=most)


def _forbidden(name: str, does: str, target: str) -> Behaviour:
    """A redirect to an address of this machine that the settings do not allow."""
    return Behaviour(name=f"redirect-{name}", group="addresses", does=f"redirects to {does}",
                     serve=to(target + "secret"), ends=("done 302",), also=((target + "secret", _NEVER),))


def _link(name: str, does: str, target: str) -> Behaviour:
    """A link there."""
    return Behaviour(name=f"link-{name}", group="addresses", does=f"links to {does}",
                     serve=answers(f'<title>bad</title><a href="{target}secret">x</a>'), ends=("done 200",),
                     also=((target + "secret", _NEVER),))


async def _onward(exchange: Exchange) -> None:
    """One step of a chain that has a thousand."""
    number = exchange.path.rpartition("-")[2]
    step = int(number) if number.isdecimal() else 0
    if step == 1000:
        await exchange.send(answer(b"<title>the end</title>"))
    else:
        await to(f"/step-{step + 1}")(exchange)


async def _further(exchange: Exchange) -> None:
    """A chain without end, by its query."""
    await to(f"/bad?n={len(exchange.path)}&{exchange.path.partition('?')[2]}")(exchange)


BEHAVIOURS = (
    _redirect("redirect-self", "redirects to itself", to("/bad", "301 Moved Permanently"), "done 301"),
    _redirect("redirect-loop", "two pages that redirect to each other",
              by_path({"/bad": to("/other"), "/other": to("/bad")}), also=(("{here}/other", ("done 302",)),)),
    _redirect("redirect-chain", "a chain of 1,000 redirects", _onward,
              also=(("{here}/step-5", ("failed redirect-limit",)), ("{here}/step-6", ("absent",)))),
    _redirect("redirect-growing", "redirects to an ever longer query", _further),
    _redirect("redirect-cookie", "redirects to itself and sets a cookie, until the cookie comes back", steps(answer(
        b"<title>moved</title>", "Location: /bad", "Set-Cookie: seen=1", status="302 Found"))),
    _redirect("redirect-file", "to file:///etc/passwd", to("file:///etc/passwd"),
              also=(("file:///etc/passwd", ("absent",)),)),
    _redirect("redirect-javascript", "to javascript:", to("javascript:alert(1)")),
    _redirect("redirect-data", "to data:", to("data:text/html,<title>x</title>")),
    _redirect("redirect-gopher", "to gopher:", to("gopher://{canary_host}/secret")),
    _redirect("redirect-ftp", "to ftp:", to("ftp://{canary_host}/secret")),
    _redirect("redirect-dict", "to dict:, as attackers do who want to speak with a memory cache",
              to("dict://{canary_host}/stats")),
    _redirect("redirect-empty", "with an empty Location", to("")),
    _redirect("redirect-blank", "without a Location", steps(answer(status="301 Moved Permanently")), "done 301"),
    _redirect("redirect-noise", "to what is no URL", to("http://[:::%%zz]:99999999/\x01")),
    _redirect("redirect-no-host", "to http:///, which has no host", to("http:///")),
    _redirect("redirect-port", "to port 99999", to("http://127.0.0.1:99999/")),
    _redirect("redirect-long", "to a URL of 30,000 characters", to("/" + "x" * 30_000),
              also=(("{here}/" + "x" * 30_000, ("absent",)),)),
    _redirect("redirect-two", "with two Location fields", steps(answer(
        b"<title>moved</title>", "Location: /good/1", "Location: /good/2", status="302 Found")),
        "failed protocol"),
    _redirect("redirect-dots", "to ../../../../good/3", to("../../../../good/3")),
    _redirect("redirect-blanks", "with blanks around the URL", to("  /good/3  ")),
    _redirect("redirect-backslashes", "with backslashes instead of slashes", to("\\good\\3")),
    _redirect("redirect-fragment", "to a fragment of itself", to("/bad#there")),
    _redirect("redirect-user", "with a name and a password in the URL", to("http://user:word@{here_host}/good/3")),
    _redirect("redirect-body-endless", "with a body without end", endless(
        head("302 Found", "Location: /good/3"), b"x" * 10_000), "failed body-limit"),
    _redirect("redirect-300", "300 without a Location", steps(answer(status="300 Multiple Choices")), "done 300"),
    _redirect("redirect-305", "305 Use Proxy, to somebody else's proxy", to("{canary}/", "305 Use Proxy"), "done 305",
              also=(("{canary}/", _NEVER),)),
    _redirect("redirect-399", "the unknown status 399 with a Location", to("/good/3", "399 What"), "done 399"),
    _redirect("refresh-self", "Refresh to itself after 0 seconds", steps(answer(
        b"<title>bad</title>", "Refresh: 0; url=/bad")), "done 200"),
    _redirect("refresh-noise", "Refresh with a number that is none", steps(answer(
        b"<title>bad</title>", "Refresh: -1e999;url=", "Refresh: ;;;=\"")), "done 200"),
    _redirect("link-field-flood", "100 Link fields of 50 links each, all the same", steps(answer(
        b"<title>bad</title>", *[f"Link: {', '.join(['</good/3>; rel=next'] * 20)}"] * 100)), "done 200"),
    _forbidden("private", "another loopback address", "{canary}/"),
    _forbidden("mapped", "that address as IPv4-mapped IPv6", "http://[::ffff:{canary_hex}]:{canary_port}/"),
    _forbidden("decimal", "that address as one number", "http://{canary_number}:{canary_port}/"),
    _forbidden("hex", "that address in hexadecimal", "http://{canary_0x}:{canary_port}/"),
    _forbidden("octal", "that address in octal, shortened", "http://{canary_octal}:{canary_port}/"),
    _forbidden("zero", "0.0.0.0", "http://0.0.0.0:{canary_port}/"),
    _forbidden("six-zero", "[::]", "http://[::]:{canary_port}/"),
    _forbidden("six-loopback", "[::1]", "http://[::1]:{canary_port}/"),
    _forbidden("name", "a name that resolves to that address", "http://inside.hostile.test:{canary_port}/"),
    _forbidden("six-to-four", "that address within a 6to4 address", "http://[2002:{canary_hex}::1]:{canary_port}/"),
    _forbidden("metadata", "the address of clouds' metadata", "http://169.254.169.254/"),
    _link("private", "another loopback address", "{canary}/"),
    _link("name", "a name that resolves to that address", "http://also.inside.hostile.test:{canary_port}/"),
    _link("full-width", "that address in full-width digits", "http://{canary_wide}:{canary_port}/"),
)
