"""Credentials go to their host alone, in the form that RFC 7617 and RFC 7616 give them."""

import pytest

from spyder.errors import SettingsError
from spyder.fetch.auth import Accounts, Challenge, basic_field, challenges, digest_field
from spyder.fetch.parts import HostPattern, parts_of, without_userinfo
from spyder.settings import AuthSection

#: RFC 7616, section 3.9.1.
MUFASA = {"realm": "http-auth@example.org", "qop": "auth, auth-int",
          "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
          "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"}


def accounts(*entries, environ=None):
    return Accounts([AuthSection(**entry) for entry in entries], environ=environ or {}, cnonce=lambda: "c")


def account(scheme="any", **more):
    entry = {"host": "h.example", "user": "me", "password": "pw", "scheme": scheme, **more}
    return accounts(entry).find(parts_of("http://h.example/"))


@pytest.mark.parametrize(("algorithm", "response"), [
    ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
    ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
])
def test_given_the_example_of_the_standard_then_the_answer_is_the_standards(algorithm, response):
    field = digest_field({**MUFASA, "algorithm": algorithm}, user="Mufasa", password="Circle of Life",
                         target="/dir/index.html", count=1, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    assert f'response="{response}"' in field
    assert f"algorithm={algorithm}, " in field
    assert "qop=auth, nc=00000001, " in field


def test_given_userhash_and_sha_512_256_then_the_answer_is_the_standards():
    """RFC 7616, section 3.9.2, with the answer of erratum 4897."""
    field = digest_field({"realm": "api@example.org", "qop": "auth", "algorithm": "SHA-512-256",
                          "nonce": "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
                          "opaque": "HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", "charset": "UTF-8",
                          "userhash": "true"},
                         user="J\xe4s\xf8n Doe", password="Secret, or not?", target="/doe.json", count=1,
                         cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v")
    assert 'username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"' in field
    assert 'response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"' in field


def test_given_a_server_of_the_last_century_then_the_answer_is_that_of_rfc_2069():
    """RFC 2617, section 3.2.2.1: without qop there is no count."""
    field = digest_field({"realm": "r", "nonce": "n"}, user="u", password="p", target="/", count=3, cnonce="c")
    assert "nc=" not in field
    assert "cnonce" not in field


def test_given_sessions_and_names_beyond_ascii_then_they_are_said():
    field = digest_field({"realm": 'q"\\', "nonce": "n", "qop": "auth-int", "algorithm": "MD5-sess"}, user="J\xe4n",
                         password="p", target='/"', count=17, cnonce="c")
    assert "username*=UTF-8''%4A%C3%A4%6E, " in field
    assert 'realm="q\\"\\\\", ' in field
    assert "qop=auth-int, nc=00000011, " in field


def test_given_a_name_beyond_ascii_then_basic_is_utf_8():
    assert basic_field("J\xe4n", "p:w") == "Basic SsOkbjpwOnc="


@pytest.mark.parametrize(("values", "expected"), [
    (['Basic realm="x"'], [("basic", {"realm": "x"})]),
    (['Digest realm="a, b", nonce=abc, qop="auth,auth-int" , Basic realm=x'],
     [("digest", {"realm": "a, b", "nonce": "abc", "qop": "auth,auth-int"}), ("basic", {"realm": "x"})]),
    (["Negotiate", "NTLM TlRM==, Basic realm=\"q\\\"\""],
     [("negotiate", {}), ("ntlm", {}), ("basic", {"realm": 'q"'})]),
    (["", " , ", "\x00\x01"], []),
    (['Digest nonce="never ends'], [("digest", {}), ]),
    (["Basic realm = \"x\" , charset=\"UTF-8\""], [("basic", {"realm": "x", "charset": "UTF-8"})]),
])
def test_given_fields_of_challenges_then_each_is_read(values, expected):
    assert challenges(values)[:len(expected) or None] == [Challenge(*item) for item in expected]


def test_given_a_long_field_of_garbage_then_it_is_read_in_no_time():
    assert challenges(["a" * 1_000_000, '"' * 1_000_000, "a=" * 500_000, "a ," * 300_000, 'a b="\\' + '\\"' * 500_000])


def test_given_an_account_for_any_scheme_then_nothing_is_sent_before_the_server_asks():
    me = account()
    assert me.field("/") == ""
    assert me.challenged(['Basic realm="x"'], "")
    assert me.field("/") == "Basic bWU6cHc="


def test_given_an_account_for_any_scheme_then_digest_is_taken_before_basic():
    me = account()
    assert me.challenged(['Basic realm="x", Digest realm="x", nonce="1", algorithm=SHA-256, qop="auth"'], "")
    assert me.field("/").startswith('Digest username="me", ')
    assert "nc=00000002" in me.field("/")


def test_given_an_account_for_digest_then_the_password_is_never_sent_in_the_clear():
    me = account("digest")
    assert not me.challenged(['Basic realm="x"'], "")
    assert not me.challenged(['Digest realm="x", nonce="1", algorithm=UNKNOWN'], "")
    assert not me.challenged(['Digest realm="x"'], "")
    assert me.field("/") == ""


def test_given_an_account_for_basic_then_it_is_sent_at_once_and_once():
    me = account("basic")
    assert me.field("/") == "Basic bWU6cHc="
    assert not me.challenged(['Basic realm="x"', 'Digest realm="x", nonce="1"'], "Basic bWU6cHc=")


def test_given_a_wrong_password_then_a_new_nonce_is_no_reason_to_try_again():
    me = account()
    assert me.challenged(['Digest realm="x", nonce="1"'], "")
    assert not me.challenged(['Digest realm="x", nonce="2"'], me.field("/"))
    assert me.challenged(['Digest realm="x", nonce="3", stale=true'], me.field("/"))
    assert 'nonce="3"' in me.field("/")


def test_given_a_right_password_then_a_new_nonce_is_one_without_a_word_of_being_stale():
    me = account()
    assert me.challenged(['Digest realm="x", nonce="1"'], "")
    me.accepted()
    assert me.challenged(['Digest realm="x", nonce="2"'], me.field("/"))


@pytest.mark.parametrize(("host", "urls", "others"), [
    ("Example.org", ["http://example.org/", "https://example.org/x"],
     ["http://www.example.org/", "http://example.org:8080/", "https://example.org:80/", "http://example.org.evil/"]),
    ("example.org:8080", ["http://example.org:8080/", "https://example.org:8080/"], ["http://example.org/"]),
    ("https://example.org", ["https://example.org/"], ["http://example.org/", "https://example.org:8443/",
                                                      "http://example.org:443/"]),
    ("http://example.org:80/", ["http://example.org/"], ["https://example.org/", "https://example.org:80/"]),
    ("example.org:80", ["http://example.org/", "https://example.org:80/"], ["https://example.org/"]),
    ("b\xfccher.example", ["http://xn--bcher-kva.example/"], ["http://bcher.example/"]),
    ("[::1]:81", ["http://[::1]:81/"], ["http://[::1]/"]), ("[::1]", ["http://[::1]/"], ["http://[::1]:81/"]),
])
def test_given_a_host_in_the_settings_then_it_means_that_host_and_port_alone(host, urls, others):
    pattern = HostPattern(host, "fetch.auth[0].host")
    assert [pattern.matches(parts_of(url)) for url in urls] == [True] * len(urls)
    assert [pattern.matches(parts_of(url)) for url in others] == [False] * len(others)


@pytest.mark.parametrize("host", ["", "ftp://example.org", "example.org/x", "me@example.org", "a b", "http://", "*"])
def test_given_no_host_in_the_settings_then_it_is_refused(host):
    with pytest.raises(SettingsError, match=r"`fetch\.auth\[0\]\.host` .* is no host: expected example\.org"):
        accounts({"host": host, "user": "me", "password": "pw"})


def test_given_a_password_of_the_environment_then_it_is_taken_from_there():
    entry = {"host": "h.example", "user": "me", "password": "${SECRET}", "scheme": "basic"}
    found = accounts(entry, environ={"SECRET": "pw"}).find(parts_of("http://h.example/"))
    assert found.field("/") == "Basic bWU6cHc="
    with pytest.raises(SettingsError, match=r"`fetch\.auth\[0\]\.password`: .* SECRET is not set"):
        accounts(entry)


@pytest.mark.parametrize("user", ["", "a:b", "a\nb"])
def test_given_a_user_that_no_field_can_carry_then_it_is_refused_without_the_password(user):
    with pytest.raises(SettingsError, match=r"`fetch\.auth\[0\]\.user`") as refusal:
        accounts({"host": "h.example", "user": user, "password": "secret"})
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(("url", "bare"), [
    ("http://u:p@h.example/x@y", "http://h.example/x@y"), ("http://h.example/x@y", "http://h.example/x@y"),
    ("http://u@h.example?q=@", "http://h.example?q=@"), ("http://u:p@[::1]:81/", "http://[::1]:81/"),
])
def test_given_a_url_with_a_user_then_it_can_be_left_out(url, bare):
    assert without_userinfo(url) == bare
