"""Pages that lie about their character encoding, or break it."""

from __future__ import annotations

from spyder.testsite.hostile.behaviour import Behaviour, answer, steps

_TITLE = "Größe"


def _page(encoding: str, declared: str = "", *, title: str = _TITLE) -> bytes:
    meta = f'<meta charset="{declared}">' if declared else ""
    return f"<!doctype html>{meta}<title>{title}</title><a href=/good/3>more</a>".encode(encoding)


def _charset(name: str, does: str, body: bytes, header: str = "", *, title: str | None = None) -> Behaviour:
    kind = f"text/html; charset={header}" if header else "text/html"
    return Behaviour(name=name, group="charsets", does=does, serve=steps(answer(body, kind=kind)), ends=("done 200",),
                     title=title)


BEHAVIOURS = (
    _charset("charset-utf-8-is-latin-1", "says UTF-8 and is Latin-1", _page("latin-1"), "utf-8",
             title="Gr\ufffd\ufffde"),
    _charset("charset-latin-1-is-utf-8", "says Latin-1 and is UTF-8: as browsers show it", _page("utf-8"),
             "iso-8859-1", title="GrÃ¶ÃŸe"),
    _charset("charset-header-wins", "the header says UTF-8, the page says Latin-1: the header counts",
             _page("utf-8", "iso-8859-1"), "utf-8", title=_TITLE),
    _charset("charset-mark-wins", "a byte order mark, and a header that says otherwise: the mark counts",
             b"\xef\xbb\xbf" + _page("utf-8"), "windows-1252", title=_TITLE),
    _charset("charset-meta-only", "only the page says it: Latin-1", _page("latin-1", "latin1"), title=_TITLE),
    _charset("charset-utf-16-mark", "UTF-16 behind a byte order mark", _page("utf-16"), title=_TITLE),
    _charset("charset-utf-16-bare", "UTF-16 that nobody announces", _page("utf-16-le")),
    _charset("charset-utf-16-meta", "the page says UTF-16 in ASCII: that is UTF-8", _page("utf-8", "utf-16"),
             title=_TITLE),
    _charset("charset-utf-7", "UTF-7, with a script hidden in it", b"<title>+ADw-script+AD4-</title>", "utf-7",
             title="+ADw-script+AD4-"),
    _charset("charset-utf-32", "UTF-32, which browsers do not read", _page("utf-32"), "utf-32"),
    _charset("charset-unknown", "an encoding that does not exist", _page("utf-8", "no-such-thing"), "no-such-thing"),
    _charset("charset-invalid", "UTF-8 with overlong, surrogate and cut sequences", (
        b"<title>bad \xc0\xaf \xed\xa0\x80 \xf8\x88\x80\x80\x80 \xe2\x82</title><a href=/good/3>more</a>"), "utf-8"),
    _charset("charset-replacement", "ISO-2022-KR, which browsers refuse to read", _page("ascii", title="x"),
             "iso-2022-kr"),
    _charset("charset-shift-jis", "Shift_JIS, with a lead byte at the end of the title", b"<title>\x83e\x83X\x83g\x81"
             b"</title><a href=/good/3>more</a>", "shift_jis"),
    _charset("charset-late", "a meta element behind 5,000 bytes", b"<!doctype html>" + b"<!-- x -->" * 500
             + _page("latin-1", "latin1")),
)
