"""HTML that is deep, wide, broken, or leads its reader round."""

from __future__ import annotations

from collections.abc import Callable

from spyder.testsite.hostile.behaviour import Behaviour, Exchange, Serve, answer, answers, steps

_GOOD = "<a href=/good/3>more</a>"
_HEAD = "<!doctype html><title>bad</title>"


def _big(make: Callable[[], str | bytes]) -> Serve:
    """A page that is made when it is asked for."""
    async def serve(to: Exchange) -> None:
        await to.send(answer(make()))
    return serve


def _html(name: str, does: str, serve: Serve | str | bytes, *ends: str, title: str | None = "bad",
          also: tuple[tuple[str, tuple[str, ...]], ...] = (), most: int = 24) -> Behaviour:
    return Behaviour(name=name, group="markup", does=does, ends=ends or ("done 200",), title=title, also=also,
                     serve=steps(answer(serve)) if isinstance(serve, str | bytes) else serve, most=most)


BEHAVIOURS = (
    _html("html-deep", "100,000 nested div", _big(lambda: _HEAD + "<div>" * 100_000 + _GOOD), "done 200"),
    _html("html-deep-inline", "20,000 nested b, i and font, never closed", _big(
        lambda: _HEAD + "<b><i><font>" * 7000 + _GOOD), "done 200"),
    _html("html-deep-tables", "5,000 nested tables", _big(lambda: _HEAD + "<table><tr><td>" * 5000 + _GOOD),
          "done 200"),
    _html("html-misnested", "formatting elements closed in the wrong order, 5,000 times", _big(
        lambda: _HEAD + "<b><p></b><i></p><a>" * 5000 + _GOOD), "done 200"),
    _html("html-attributes", "an element with 150,000 attributes", _big(
        lambda: f"{_HEAD}<p {' '.join(f'a{number}=1' for number in range(150_000))}>{_GOOD}"), "done 200"),
    _html("html-long-attribute", "an attribute of 1.5 MB", _big(
        lambda: f'{_HEAD}<p title="{"x" * 1_500_000}">{_GOOD}'), "done 200"),
    _html("html-long-tag", "a tag's name of 1.5 MB", _big(lambda: f"{_HEAD}<{'x' * 1_500_000}>{_GOOD}"), "done 200"),
    _html("html-open-tag", "a tag that never ends", _HEAD + _GOOD + "<a href='" + "x" * 100_000),
    _html("html-open-comment", "a comment that never ends", _HEAD + _GOOD + "<!-- " + "x" * 100_000),
    _html("html-comments", "200,000 comments", _big(lambda: _HEAD + "<!---->" * 200_000 + _GOOD), "done 200"),
    _html("html-entities", "100,000 character references, half of them unknown", _big(
        lambda: _HEAD + "&amp;&nothing;&#99999999;&#x0;" * 25_000 + _GOOD)),
    _html("html-links", "60,000 links to one page", _big(
        lambda: _HEAD + "".join(f"<a href='/good/3#{number}'>x</a>" for number in range(60_000)))),
    _html("html-links-many", "50,000 links that differ: those beyond the limits are left out", _big(
        lambda: _HEAD + "".join(f"<a href='/many/{number}'>x</a>" for number in range(50_000))), most=150),
    _html("html-link-long", "a link of 500,000 characters", _big(
        lambda: f"{_HEAD}<a href='/{'y' * 500_000}'>x</a>{_GOOD}")),
    _html("html-link-odd", "links to every kind of thing that is no page", _HEAD + _GOOD + "".join(
        f'<a href="{link}">x</a>' for link in (
            "javascript:while(1){}", "data:text/html,<a href=x>", "file:///etc/passwd", "mailto:a@b", "tel:1",
            "about:blank", "blob:x", "view-source:x", "http://", "http://%", "http://[", "//", "///", "http:///x",
            "http://a b/", "http://\x00/", "http://user@:80/", "http://1.2.3.4.5/", "http://0x/", "\\\\", "?", "#",
            "http://256.256.256.256/", "http://xn--/", "http://%00/", "http://127.1:99999/", "ws://x/", " \t\n"))),
    _html("html-nul", "NULs between all letters of the markup", _big(
        lambda: b"\0".join(bytes([byte]) for byte in (_HEAD + _GOOD).encode()) * 3), title=None),
    _html("html-unclosed", "nothing is closed",
          "<html><head><title>bad</title><body><ul><li><a href=/good/3><li>" * 500),
    _html("html-no-tags", "1 MB of text without a tag", _big(lambda: "text " * 200_000), title=None),
    _html("html-angles", "1,000,000 times <", _big(lambda: _HEAD + _GOOD + "<" * 1_000_000), "done 200"),
    _html("html-base-script", "base href=javascript:", f"{_HEAD}<base href='javascript:alert(1)'>{_GOOD}"),
    _html("html-base-elsewhere", "a base at an address that is not allowed",
          answers("<!doctype html><title>bad</title><base href='{canary}/'><a href=secret>x</a>"),
          also=(("{canary}/secret", ("excluded address", "excluded robots-unreachable", "absent")),)),
    _html("html-base-noise", "a base that is no URL", f"{_HEAD}<base href='http://[:::'>{_GOOD}"),
    _html("html-refresh-self", "meta refresh to itself after 0 seconds",
          f"{_HEAD}<meta http-equiv=refresh content='0;url=/bad'>{_GOOD}"),
    _html("html-frames", "frames that contain themselves", f"{_HEAD}<iframe src=/bad></iframe><frame src=?>{_GOOD}"),
    _html("html-srcset", "a srcset of 20,000 candidates", _big(
        lambda: f"{_HEAD}<img srcset='{', '.join(f'/good/3 {number}w' for number in range(1, 20_000))}'>{_GOOD}")),
    _html("html-script", "1 MB of script that writes links", _big(
        lambda: _HEAD + "<script>" + "document.write('<a href=/no>');" * 30_000 + "</script>" + _GOOD),
        also=(("{here}/no", ("absent",)),)),
    _html("html-cdata", "CDATA, processing instructions and a document type with entities",
          '<?xml version="1.0"?><!DOCTYPE html [<!ENTITY x SYSTEM "file:///etc/passwd">]><![CDATA[<a href=/no>]]>'
          f"<title>bad</title>{_GOOD}&x;"),
    _html("html-select", "50,000 nested select, option and optgroup", _big(
        lambda: f"{_HEAD}{_GOOD}{'<select><option><optgroup>' * 17_000}"), "done 200"),
    _html("html-svg", "10,000 times svg in math in svg", _big(
        lambda: f"{_HEAD}{_GOOD}{'<svg><foreignObject><math><mi>' * 5000}"), "done 200"),
    _html("html-title-huge", "a title of 1 MB", _big(lambda: f"<!doctype html><title>{'x' * 1_000_000}</title>{_GOOD}"),
          title=None),
)
