"""Who servers are told that we are."""

from __future__ import annotations

import pytest

from spyder import __version__
from spyder.fetch.identity import identity, robots_agent
from spyder.settings import FetchSection, RobotsSection, Settings


@pytest.mark.parametrize(("settings", "user_agent", "sender"), [
    ({}, f"Spyder/{__version__}", ""),
    ({"contact": "https://example.org/bot"}, f"Spyder/{__version__} (+https://example.org/bot)", ""),
    ({"contact": "bot@example.org"}, f"Spyder/{__version__} (+bot@example.org)", "bot@example.org"),
    ({"contact": "bot@example.org", "user_agent": "Mine/1"}, "Mine/1", "bot@example.org")])
def test_given_settings_when_servers_are_told_who_we_are_then_the_contact_is_in_it(settings, user_agent, sender):
    assert identity(FetchSection(**settings)) == (user_agent, sender)


def test_given_settings_when_robots_txt_files_are_read_then_our_name_there_is_the_product_token():
    assert robots_agent(Settings()) == "Spyder"
    assert robots_agent(Settings(fetch=FetchSection(user_agent="Mine/1 (+https://example.org/)"))) == "Mine"
    assert robots_agent(Settings(robots=RobotsSection(agent="other"))) == "other"
