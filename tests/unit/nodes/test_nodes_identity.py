"""By what keys are made: what a store says of it, and what the settings make of that."""

from __future__ import annotations

import pytest

from spyder.errors import StoreError
from spyder.model.url import HOST_BYTES
from spyder.nodes.identity import made_with, section_of, uri_identity
from spyder.settings import FrontierSection
from spyder.stores.memory import MemoryStore

SECTIONS = {
    "plain/host": FrontierSection(canonical="plain"),
    "plain,sort_query/domain": FrontierSection(canonical="plain", sort_query=True, assignment="domain"),
    "standard-2/host": FrontierSection(),
    "standard-2,keep_query_order/host": FrontierSection(sort_query=False),
    "standard-2,drop_session_ids,drop_tracking,default_documents/host": FrontierSection(
        drop_session_ids=True, drop_tracking=True, default_documents=True),
    "archive/host": FrontierSection(canonical="archive"),
    "archive,drop=%2F,drop=a%2Cb,drop=x*/host": FrontierSection(
        canonical="archive", drop_query_params=("x*", "a,b", "/", "x*")),
}


@pytest.mark.parametrize("identity", SECTIONS)
def test_given_settings_when_kept_as_text_then_they_come_back(identity):
    assert SECTIONS[identity].identity == identity
    back = section_of(identity, FrontierSection(canonical="archive", drop_tracking=True, queue_budget=7))
    assert back.identity == identity
    assert back.queue_budget == 7
    key = uri_identity(back).key(1, "https://www.h.example/A?b&utm_x&a,b&x1")
    assert key == uri_identity(SECTIONS[identity]).key(1, "https://www.h.example/A?b&utm_x&a,b&x1")


@pytest.mark.parametrize("identity", [
    "standard/host", "standard-3/host", "plain,unheard/host", "unheard/host", "", "archive-/host"])
def test_given_keys_of_another_version_when_asked_for_settings_then_it_is_refused(identity):
    with pytest.raises(StoreError, match="built by another version of Spyder"):
        section_of(identity)


def test_given_a_store_when_asked_then_it_says_with_what_its_keys_were_made(tmp_path):
    store = MemoryStore.open(tmp_path, cache=1)
    assert made_with(store) == FrontierSection()


def test_given_settings_that_mean_the_same_when_compared_then_nothing_has_changed():
    assert FrontierSection(canonical="archive", drop_session_ids=True, sort_query=True).identity == "archive/host"
    one, other = FrontierSection(drop_query_params=("b", "a")), FrontierSection(drop_query_params=("a", "b", "a"))
    assert one.identity == other.identity


def test_given_archive_when_hosts_are_one_then_they_share_key_and_queue():
    identity = uri_identity(FrontierSection(canonical="archive"))
    assert identity.key(1, "https://www.h.example/A") == identity.key(1, "http://h.example/a")
    assert identity.queue_of("https://www.h.example/A") == identity.queue_of_host("www7.h.example") == "h.example"
    assert uri_identity(FrontierSection()).queue_of_host("www.h.example") == "www.h.example"
    assert identity.key(1, "http://h.example/a")[:HOST_BYTES] == identity.key(1, "http://www.h.example/b")[:HOST_BYTES]
