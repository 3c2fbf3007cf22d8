"""The rules of a scope as they are edited: checked, kept, told to workers, and applied to what is queued."""

from __future__ import annotations

import asyncio

import pytest

from spyder.bus.sockets import Sockets
from spyder.errors import ConflictError, SettingsError, StoreError
from spyder.model.records import Outcome
from spyder.model.states import Purpose, UriState
from spyder.nodes import scopedesk
from spyder.nodes.explain import explain
from spyder.nodes.master import Master, _open
from spyder.nodes.scopedesk import compile_scope, from_text, read_kept
from spyder.settings import Settings, load
from spyder.stores.memory import MemoryStore
from spyder.testing import ManualClock

BAN = {"name": "ban", "reject": {"host": "b.example"}}


class Scene:
    """A frontier and the desk with its rules, on a store that outlives them."""

    def __init__(self, monkeypatch, **overrides) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.settings = load(environ={}, overrides={
            "scope.mode": "any", "politeness.delay": 0.0, "robots.policy": "ignore", "guard.policy": "off",
            "frontier.store": "memory", **overrides})
        monkeypatch.setattr(MemoryStore, "open", classmethod(lambda *_, **__: self.store))
        monkeypatch.setattr(MemoryStore, "close", lambda _: None)
        self.start()

    def start(self) -> None:
        self.frontier, self.desk = _open(self.settings, self.clock)

    def edit(self, *rules, version=None) -> None:
        kept, scope = self.desk.prepare(list(rules) if rules != (None,) else None, version=version,
                                        now=self.clock.now())
        self.desk.apply(self.frontier, kept, scope)
        self.frontier.commit()

    def judge(self, href):
        verdict = self.frontier.judge(href, 1)
        return verdict.accepted, verdict.rule


@pytest.fixture
def scene(monkeypatch):
    return Scene(monkeypatch)


def test_given_edited_rules_when_a_master_is_restarted_then_they_hold_until_they_are_reset(scene):
    assert (scene.desk.message.number, scene.desk.view().is_edited) == (0, False)
    scene.edit(BAN)
    number = scene.desk.message.number
    assert number > 0 and scene.desk.view().version == 1
    assert scene.judge("http://b.example/") == (False, "ban")
    scene.start()
    assert scene.judge("http://b.example/") == (False, "ban")
    assert (scene.desk.message.number, scene.desk.view().rules) == (number, (BAN,))
    scene.edit(None)
    assert scene.judge("http://b.example/") == (True, "any")
    assert (scene.desk.message.number, scene.desk.message.rules, scene.desk.view().version) == (0, "", 2)


def test_given_rules_when_they_travel_then_workers_judge_alike_and_equal_rules_have_equal_numbers(scene):
    scene.edit(BAN, "limits")
    first = scene.desk.message
    rules = from_text(first.rules)
    assert rules is not None and [getattr(rule, "name", rule) for rule in rules] == ["ban", "limits"]
    scene.edit("limits")
    assert scene.desk.message.number != first.number
    scene.edit(BAN, "limits")
    assert scene.desk.message == first
    assert from_text("") is None
    with pytest.raises(SettingsError, match="no JSON"):
        from_text("[")


def test_given_an_older_version_when_rules_are_edited_then_nothing_is_overwritten(scene):
    scene.edit(BAN)
    with pytest.raises(ConflictError, match=r"version 1, not 0.*spyder scope show"):
        scene.edit(version=0)
    assert scene.judge("http://b.example/") == (False, "ban")


@pytest.mark.parametrize(("rule", "words"), [
    ({"name": "x", "reject": {"regex": "("}}, "`x`: `regex`"), ({"name": "x"}, "needs either `accept` or `reject`"),
    ({"name": "seeds", "reject": "any"}, "a rule of Spyder's own"), ("nothing", "expected {name"),
    ({"name": "x", "reject": {"file": "/nowhere"}}, "/nowhere: can't be read"),
    ({"name": "x", "reject": {"file": "a\0b"}}, "'a\\x00b': is no name of a file"),
    ({"name": "x", "reject": {"regex": "\ud800"}}, "('\\ud800') is no text"),
    ({"name": "x", "reject": {"file": "\udcff"}}, "('\\udcff') is no text"), ({"\ud800": 1}, "is no text")])
def test_given_wrong_rules_when_they_are_to_hold_then_they_are_refused_and_the_old_ones_stay(scene, rule, words):
    scene.edit(BAN)
    with pytest.raises(SettingsError) as caught:
        scene.edit(rule)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert scene.judge("http://b.example/") == (False, "ban")


def test_given_a_list_file_when_it_is_gone_at_the_restart_then_its_lines_still_hold(scene, tmp_path):
    path = tmp_path / "list"
    path.write_text(".bad.example\n")
    scene.edit({"name": "listed", "reject": {"file": str(path)}})
    path.unlink()
    scene.start()
    assert scene.judge("http://x.bad.example/") == (False, "listed")
    assert ".bad.example" not in scene.desk.message.rules


def test_given_rules_that_travel_when_they_are_too_long_then_a_list_file_is_advised(scene, monkeypatch):
    monkeypatch.setattr(scopedesk, "MAX_RULES_TEXT", 10)
    with pytest.raises(SettingsError, match="use a list file"):
        scene.edit(BAN)


def test_given_uris_in_a_queue_when_edited_rules_reject_them_then_they_are_excluded_when_their_turn_comes(scene):
    parents = ["http://a.example/", "http://b.example/"]
    scene.frontier.add_seeds(parents)
    key = scene.frontier.key("http://b.example/link")
    scene.frontier._uris.add(key, "http://b.example/link", depth=1)
    scene.frontier.commit()
    scene.edit(BAN)
    answer = explain("http://b.example/link", store=scene.store, settings=scene.settings, now=scene.clock.now())
    assert answer.uri.summary == ("waits for its turn; it is excluded then: "
                                  "rule `ban` of scope.rules rejects host b.example")
    worker = "worker:h:1.0:0123abcd"
    leased = []
    for _ in range(4):
        for grant in scene.frontier.lease({worker: 8}):
            leased.append(grant.uri.url if grant.uri.purpose is Purpose.PAGE else "")
            scene.frontier.settle(worker, [Outcome(lease=grant.uri.lease, key=grant.uri.key, status=200,
                                                   ip="192.0.2.1", address_ttl=3600.0)])
        scene.clock.advance(60)
        scene.frontier.maintain()
        scene.frontier.commit()
    row = scene.frontier.uri(key)
    assert (row.state, row.reason) == (UriState.EXCLUDED, "scope: ban")
    assert {"http://a.example/", "http://b.example/"} <= set(leased)
    assert "http://b.example/link" not in leased
    answer = explain("http://b.example/link", store=scene.store, settings=scene.settings, now=scene.clock.now())
    assert answer.uri.summary == "a rule keeps it out: rule `ban` of scope.rules rejects host b.example"


def test_given_nothing_but_settings_when_rules_are_asked_for_then_their_seeds_are_in_scope(tmp_path):
    settings = load(environ={}, overrides={"project.seeds": ["http://a.example/"],
                                           "output.directory": str(tmp_path / "none")})
    found = scopedesk.offline(settings).judge(["http://a.example/x", "http://b.example/"])
    assert [(verdict.accepted, verdict.rule) for verdict in found] == [(True, "seeds"), (False, "host")]
    assert found[1].words == "its host b.example is none of the seeds' (scope.mode is host)"


def test_given_no_edit_when_the_store_is_read_then_the_rules_are_those_of_the_settings():
    kept = read_kept(MemoryStore(), 1)
    assert (kept.version, kept.rules) == (0, None)
    assert compile_scope(Settings(), kept, now=0.0).judge("http://h/", 1).accepted is None


def test_given_a_full_disk_when_rules_are_edited_then_all_judge_by_them_and_it_is_said(scene, monkeypatch):
    def refuse(*_):
        raise StoreError("no space left")

    async def edit():
        sockets = Sockets(scene.settings.bus)
        master = Master(scene.settings, sockets=sockets, clock=scene.clock)
        told = []
        monkeypatch.setattr(master, "say", lambda *_: None)  # no socket is open
        monkeypatch.setattr(master._core, "use_rules", told.append)
        with monkeypatch.context() as full:
            full.setattr(MemoryStore, "commit", refuse)
            with pytest.raises(StoreError, match="no space left; links are judged by the new rules"):
                master.edit_scope([BAN])
            with pytest.raises(StoreError, match="can't be changed now"):
                master.edit_scope([])
        assert [message.number for message in told] == [master._desk.message.number]
        assert master.frontier.judge("http://b.example/", 1).rule == "ban"
        master.frontier.commit()
        master.close()
        sockets.close_all()

    asyncio.run(edit())
    assert read_kept(scene.store, 1).rules == (BAN | {"reject": {"host": ["b.example"]}},)
