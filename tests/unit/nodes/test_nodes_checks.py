"""What is refused before anything starts: names by which nobody can call us, contacts that lead nowhere."""

from __future__ import annotations

import pytest

from spyder.errors import SettingsError
from spyder.nodes import checks
from spyder.settings import FetchSection, RobotsSection, Settings


@pytest.mark.parametrize(("section", "message"), [
    ({"user_agent": "(+https://example.org/)"}, r"`fetch\.user_agent` .* must begin with a name"),
    ({"user_agent": "/1.0"}, "must begin with a name"), ({"user_agent": "Mine/1\r\nX: y"}, "must be one line of ASCII"),
    ({"user_agent": "Spinne/1 (ä)"}, "must be one line of ASCII"),
    ({"contact": "me"}, r"`fetch\.contact` is 'me': expected a URL"), ({"contact": "me@"}, "expected a URL"),
    ({"contact": "ftp://example.org/"}, "expected a URL"), ({"contact": "a@b\nX: y"}, "expected a URL"),
    ({"contact": "https://"}, "expected a URL"), ({"contact": "a@b.example, c@d.example"}, "expected a URL")])
def test_given_an_identity_that_helps_nobody_when_checked_then_it_is_refused_in_one_line(section, message):
    with pytest.raises(SettingsError, match=message) as raised:
        checks.check(Settings(fetch=FetchSection(**section)))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("section", [{}, {"contact": "https://example.org/bot?x=1"}, {"contact": "a.b+c@example.org"},
                                     {"user_agent": "Mozilla/5.0 (compatible; Mine/1.0; +https://example.org/)"}])
def test_given_an_identity_that_is_one_when_checked_then_it_is_taken(section):
    checks.check(Settings(fetch=FetchSection(**section)))


def test_given_an_agent_for_robots_txt_that_is_no_name_when_checked_then_it_is_refused():
    with pytest.raises(SettingsError, match=r"`robots\.agent` is 'a b'"):
        checks.check(Settings(robots=RobotsSection(agent="a b")))


@pytest.mark.parametrize(("seeds", "is_beyond"), [
    ([], False), (["http://127.0.0.1:8000/", "localhost:1", "http://[::1]/", "http://x.localhost/"], False),
    (["http://127.0.0.1/", "example.org"], True), (["http://10.0.0.1/"], True), (["not a url at all"], False)])
def test_given_seeds_beyond_this_host_when_there_is_no_contact_then_the_crawl_is_anonymous(seeds, is_beyond):
    assert checks.is_anonymous(Settings(), seeds) is is_beyond
    for section in ({"contact": "a@b.example"}, {"user_agent": "Mine/1 (+https://example.org/)"},
                    {"user_agent": "Mine/1 (me@example.org)"}):
        assert not checks.is_anonymous(Settings(fetch=FetchSection(**section)), seeds)
    assert checks.is_anonymous(Settings(fetch=FetchSection(user_agent="Mine/1")), seeds) is is_beyond
