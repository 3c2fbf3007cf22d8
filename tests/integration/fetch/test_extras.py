"""Cookies, credentials, conditions and filters against real servers: what is sent, to whom, and what stays behind."""

import asyncio
import gzip
import hashlib
import re

import msgspec
import pytest
from loopback import Server, fetch_all, new_transport, uri

from spyder.model.states import ErrorKind, Purpose
from spyder.settings import FetchSection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"
MIB = 1 << 20
ROOT = "http://127.0.0.1:{port}/"


def answer(body, *fields, status=b"200 OK", length=None):
    size = len(body) if length is None else length
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (
        status, size, b"".join(field + b"\r\n" for field in fields)) + body


def sent(request, name):
    """The values of a field of a request."""
    return re.findall(rb"(?im)^%s: ([^\r]*)\r$" % re.escape(name), request)


def fetch(replies, *leases, **settings):
    """Fetch *leases*, URLs or what else a lease has, from one server, with one transport; pages, bodies, requests.

    ``{port}`` in URLs and settings is the server's.
    """
    async def main():
        async with Server(*replies, host="0.0.0.0") as server:
            def filled(text):
                return text.replace("{port}", str(server.port))
            section = msgspec.json.decode(filled(msgspec.json.encode(settings).decode()), type=FetchSection)
            transport = new_transport(section)
            try:
                return await fetch_all(transport, *[
                    uri(filled(lease)) if isinstance(lease, str) else uri(filled(lease["url"]), **{
                        name: value for name, value in lease.items() if name != "url"}) for lease in leases
                ]), server
            finally:
                transport.close()
    return asyncio.run(main())


# --- cookies


def test_given_no_settings_then_no_cookie_is_sent():
    _, server = fetch([answer(b"", b"Set-Cookie: a=1")], ROOT, ROOT)
    assert sent(server.requests[1], b"cookie") == []


def test_given_cookies_by_host_then_they_go_back_there_and_nowhere_else():
    with_cookie = answer(b"", b"Set-Cookie: a=1", b"Set-Cookie: b=2; Path=/x", b"Set-Cookie: c=3; Max-Age=0")
    _, server = fetch([with_cookie, OK], ROOT, ROOT, f"{ROOT}x/y", "http://127.0.0.2:{port}/x/y",
                      "http://localhost:{port}/x/y", {"url": f"{ROOT}robots.txt", "purpose": Purpose.ROBOTS},
                      cookies="host", connections=1)
    assert [sent(request, b"cookie") for request in server.requests] == [[], [b"a=1"], [b"b=2; a=1"], [], [], []]


def test_given_cookies_of_redirects_and_errors_then_they_count_as_well():
    replies = [answer(b"", b"Set-Cookie: a=1", b"Location: /y", status=b"302 Found"),
               answer(b"", b"Set-Cookie: b=2", status=b"404 Not Found"), OK]
    _, server = fetch(replies, ROOT, ROOT, ROOT, cookies="project")
    assert sent(server.requests[2], b"cookie") == [b"a=1; b=2"]


def test_given_a_flood_of_cookies_then_the_limit_is_named_and_the_page_is_well():
    flood = answer(b"page", *[b"Set-Cookie: c%d=%d" % (number, number) for number in range(60)])
    [(page, body), (again, _)], server = fetch([flood, OK], ROOT, ROOT, cookies="host")
    assert (page.failure, body, page.limits, again.limits) == (None, b"page", ("fetch.max_cookies",), ())
    [field] = sent(server.requests[1], b"cookie")
    assert field.count(b"=") == 50
    assert field.endswith(b"c59=59")


# --- credentials


def digest_server(user=b"me", password=b"pw", *, nonces=(b"n1",), per_nonce=1000):
    """Replies of a server that wants digest authentication, and what it saw: (nonce, count) of what was right."""
    seen = []
    left = list(nonces)

    def reply(request):
        nonce = left[0]
        found = dict(re.findall(rb'(\w+)="?([^",]+)"?', (sent(request, b"authorization") or [b""])[0]))
        path = request.split(b" ")[1]
        right = False
        if found.get(b"nonce") == nonce:
            def hashed(text):
                return hashlib.md5(text).hexdigest().encode()
            secret = hashed(b"%s:realm:%s" % (user, password))
            expected = hashed(b":".join((secret, nonce, found[b"nc"], found[b"cnonce"], b"auth",
                                         hashed(b"GET:" + path))))
            right = found[b"response"] == expected and found[b"uri"] == path
        if right:
            seen.append((nonce, int(found[b"nc"], 16)))
            if len([one for one in seen if one[0] == nonce]) >= per_nonce and len(left) > 1:
                left.pop(0)
            return OK
        return answer(b"no", b'WWW-Authenticate: Digest realm="realm", nonce="%s", qop="auth", algorithm=MD5' % nonce,
                      status=b"401 Unauthorized")
    return reply, seen


ME = {"host": "127.0.0.1:{port}", "user": "me", "password": "pw"}
OTHERS = ("http://127.0.0.2:{port}/", "http://localhost:{port}/")


def test_given_a_server_that_wants_digest_then_it_is_asked_twice_once_and_then_counted():
    reply, seen = digest_server()
    results, server = fetch([reply], *[f"{ROOT}a?b=%20"] * 3, *OTHERS, auth=[ME], connections=1)
    assert [(page.status, page.failure, body) for page, body in results[:3]] == [(200, None, b"page")] * 3
    assert [page.status for page, _ in results[3:]] == [401, 401]
    assert seen == [(b"n1", 1), (b"n1", 2), (b"n1", 3)]
    assert len(server.requests) == 6
    assert [sent(request, b"authorization") for request in server.requests[4:]] == [[], []]
    assert not any(b"pw" in request for request in server.requests)


def test_given_a_server_that_changes_its_nonce_then_each_page_comes_nevertheless():
    reply, seen = digest_server(nonces=(b"n1", b"n2", b"n3"), per_nonce=2)
    results, server = fetch([reply], *[ROOT] * 6, auth=[ME])
    assert [page.status for page, _ in results] == [200] * 6
    assert seen == [(nonce, count) for nonce in (b"n1", b"n2", b"n3") for count in (1, 2)]
    assert len(server.requests) == 9


def test_given_a_wrong_password_then_it_is_tried_once_a_page_at_the_most():
    reply, seen = digest_server(password=b"other")
    results, server = fetch([reply], *[ROOT] * 3, auth=[ME])
    assert [page.failure.kind for page, _ in results] == [ErrorKind.HTTP_4XX] * 3
    assert (seen, len(server.requests)) == ([], 4)


def test_given_a_server_that_wants_basic_then_nobody_else_sees_it_on_the_same_handle():
    def reply(request):
        if sent(request, b"authorization") == [b"Basic bWU6cHc="]:
            return OK
        return answer(b"x" * MIB, b'WWW-Authenticate: Basic realm="r"', status=b"401 Unauthorized")
    results, server = fetch([reply], ROOT, *OTHERS, ROOT, *OTHERS, auth=[ME], connections=1, max_wire_size=1000)
    assert [page.status for page, _ in results] == [200, 401, 401, 200, 401, 401]
    assert [bool(sent(request, b"authorization")) for request in server.requests] == [
        False, True, False, False, True, False, False]
    page = results[0][0]
    assert 0 < page.first_byte <= page.elapsed


def test_given_basic_by_name_then_it_is_sent_at_once():
    _, server = fetch([OK], ROOT, auth=[{**ME, "scheme": "basic"}])
    assert [sent(request, b"authorization") for request in server.requests] == [[b"Basic bWU6cHc="]]


@pytest.mark.parametrize(("lease", "is_sent"), [
    ({"is_seed": True}, True), ({}, False), ({"is_seed": True, "redirects": ("http://other.example/",)}, False)])
def test_given_a_password_in_a_url_then_only_a_seeds_is_sent(lease, is_sent):
    def reply(request):
        return OK if sent(request, b"authorization") else answer(
            b"", b"WWW-Authenticate: Basic realm=x", status=b"401 Unauthorized")
    url = "http://J%C3%A4n:p%40@127.0.0.1:{port}/x"
    [(page, _), (after, _)], server = fetch([reply], {"url": url, **lease}, f"{ROOT}y", connections=1)
    assert (page.status, after.status) == ((200, 401) if is_sent else (401, 401))
    assert page.uri.url.startswith("http://J%C3%A4n:p%40@")
    credentials = [value for request in server.requests for value in sent(request, b"authorization")]
    assert credentials == ([b"Basic SsOkbjpwQA=="] if is_sent else [])
    assert not any(b"@" in request for request in server.requests)


# --- conditions


def test_given_validators_then_an_answer_304_is_a_good_one():
    def reply(request):
        if sent(request, b"if-none-match") == [b'"1"']:
            return b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 4\r\n\r\n"
        return OK
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    lease = {"url": ROOT, "validators": f'"1"\n{date}'}
    results, server = fetch([reply], lease, ROOT, {**lease, "validators": '"2"\n'}, lease, connections=1)
    assert [(page.status, page.failure, body) for page, body in results] == [
        (304, None, b""), (200, None, b"page"), (200, None, b"page"), (304, None, b"")]
    assert [sent(request, b"if-modified-since") for request in server.requests] == [
        [date.encode()], [], [], [date.encode()]]
    _, server = fetch([reply], lease, conditional=False)
    assert sent(server.requests[0], b"if-none-match") == []


# --- filters


@pytest.mark.parametrize(("field", "settings", "kind", "words"), [
    (b"Content-Type: image/png", {"content_types": ["text/*"]}, "content-type", "image/png (fetch.content_types)"),
    (b"Content-Type: VIDEO/mp4; x=y", {"exclude_content_types": ["video/*"]}, "content-type", "video/mp4"),
    (b"Content-Language: fr", {"languages": ["en"]}, "language", "fr (fetch.languages)"),
])
@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
def test_given_what_is_not_wanted_then_its_body_is_not_read(field, settings, kind, words, framing):
    head = {"length": b"Content-Length: 100000000\r\n", "chunked": b"Transfer-Encoding: chunked\r\n", "none": b""}
    [(page, body)], _ = fetch([[b"HTTP/1.1 200 OK\r\n%s%s\r\n\r\n" % (head[framing], field), "hang"]], ROOT,
                              timeout=9.0, **settings)
    assert (page.failure.kind, body, page.wire_size, page.status) == (kind, b"", 0, 200)
    assert words in page.failure.detail
    assert page.elapsed < 5


@pytest.mark.parametrize("reply", [
    OK, answer(b"page", b"Content-Type: text/html"), answer(b"page", b"Content-Type: image/png", status=b"404 No"),
    answer(b"page", b"Content-Type: image/png", b"Location: /", status=b"301 Moved"),
    b"HTTP/1.1 103 Early Hints\r\nContent-Type: image/png\r\n\r\n" + OK,
])
def test_given_wanted_types_then_what_is_one_or_no_page_or_says_nothing_is_read(reply):
    results, server = fetch([reply], ROOT, ROOT, content_types=["text/*"], connections=1)
    assert [body for _, body in results] == [b"page", b"page"]
    assert {page.failure and page.failure.kind for page, _ in results} <= {None, "http-4xx"}
    assert server.accepted == 1


def test_given_an_unwanted_page_without_a_body_then_it_is_not_wanted_either():
    [(page, _)], _ = fetch([answer(b"", b"Content-Type: image/png")], ROOT, content_types=["text/*"])
    assert page.failure.kind is ErrorKind.CONTENT_TYPE


# --- robots.txt


@pytest.mark.parametrize("framing", ["length", "chunked", "close", "gzip"])
def test_given_an_endless_robots_txt_then_its_beginning_is_kept_and_no_filter_asked(framing):
    text = b"Disallow: /x\n" * 100_000
    kind = b"Content-Type: image/png"
    reply = {
        "length": [answer(text, kind, length=1 << 40), "hang"],
        "chunked": [b"HTTP/1.1 200 OK\r\n%s\r\nTransfer-Encoding: chunked\r\n\r\n" % kind,
                    b"10000000\r\n" + text, "hang"],
        "close": [b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % kind + text, "hang"],
        "gzip": [answer(gzip.compress(text), kind, b"Content-Encoding: gzip", length=1 << 40), "hang"],
    }[framing]
    lease = {"url": f"{ROOT}robots.txt", "purpose": Purpose.ROBOTS}
    [(page, body), (big, _)], _ = fetch([reply], lease, ROOT, connections=1, max_wire_size=1000, max_body_size=1000,
                                        content_types=["text/*"], timeout=9.0)
    assert (page.failure, page.limits, page.status) == (None, ("robots.max_size",), 200)
    assert body == text[:524_288]
    assert page.elapsed < 5
    assert (big.failure.kind, big.limits) == ("content-type", ())


def test_given_an_error_for_robots_txt_then_the_status_counts():
    [(page, _)], _ = fetch([[answer(b"x" * MIB, status=b"503 No"), "hang"]],
                           {"url": f"{ROOT}robots.txt", "purpose": Purpose.ROBOTS})
    assert page.failure.kind is ErrorKind.HTTP_5XX


def test_given_a_short_robots_txt_then_nothing_was_cut_off():
    [(page, body)], _ = fetch([OK], {"url": f"{ROOT}robots.txt", "purpose": Purpose.ROBOTS})
    assert (page.failure, page.limits, body) == (None, (), b"page")
