"""The extract stage with a port, a sink and a spool that only write down: outputs before outcomes, none forgotten."""

import pytest

from spyder.bus.messages import Ack, Codec, OutcomeBatch, OutcomeMessage, Probe, ScopeRules, Welcome
from spyder.model.records import CrawlUri, Outcome, Page
from spyder.model.states import ExitCode
from spyder.nodes.board import Board, Cell
from spyder.nodes.extractstage import ExtractStage
from spyder.nodes.pipeline import Processed
from spyder.nodes.spec import new_spec
from spyder.nodes.spool import Spool
from spyder.settings import Settings
from spyder.testing import ManualClock

CODEC: Codec[OutcomeMessage] = Codec(OutcomeMessage, limit=1 << 20)


class Sink:
    """Counts what is synced."""

    def __init__(self):
        self.error = None
        self.syncs = 0

    def open(self):
        pass

    def sync(self):
        if self.error is not None:
            raise self.error
        self.syncs += 1

    def close(self):
        pass


class Scene:
    """A stage, what it published, and its master's side of the talk."""

    def __init__(self, folder):
        self.clock = ManualClock()
        self.sink = Sink()
        self.board = Board()
        self.sent = []
        self.forgotten = 0
        self.spec = new_spec(Settings(), folder=str(folder), index=0)
        self.stage = ExtractStage(
            self.spec, port=self, pipeline=self, sink=self.sink, board=self.board, clock=self.clock,
            spool=Spool(folder / "outbox", name=self.spec.name, limit=1 << 20))
        self.stage.open()

    def connect(self, outcomes):
        pass

    def publish(self, topic, payload):
        self.sent.append(CODEC.decode(payload))
        return True

    def __call__(self, page, body, *, now):
        return Processed(outcome=Outcome(lease=page.uri.lease, key=page.uri.key, status=200), record=None)

    def forget_links(self):
        self.forgotten += 1

    def welcome(self, session=1, epoch=1):
        self.stage.hear(Welcome(master="master:1", epoch=epoch, session=session, push="", outcomes="o"))
        self.stage.work()

    def page(self, lease=1):
        self.stage.take(Page(uri=CrawlUri(lease=lease, key=bytes(18), url="http://a.example/")), b"")

    def publish_all(self):
        self.clock.advance(0.1)
        self.stage.work()

    def batches(self):
        return [message for message in self.sent if isinstance(message, OutcomeBatch)]


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def test_given_an_ack_before_the_probe_when_the_welcome_is_repeated_then_the_probe_is_sent(scene):
    scene.welcome(1)
    scene.stage.hear(Ack(epoch=1, sequence=0))
    scene.welcome(2)
    scene.stage.hear(Ack(epoch=1, sequence=0))  # of a batch before it: the way counts as open without a probe
    scene.sent.clear()
    scene.welcome(2)
    assert [message.session for message in scene.sent if isinstance(message, Probe)] == [2]


def test_given_a_disk_that_refuses_when_pages_come_then_no_outcome_is_published_until_it_takes_them(scene):
    scene.welcome()
    scene.stage.hear(Ack(epoch=1, sequence=0))
    scene.sink.error = OSError(28, "No space left on device")
    scene.page()
    scene.publish_all()
    assert scene.batches() == [] and scene.board[Cell.TROUBLE]
    scene.sink.error = None
    scene.clock.advance(1.0)
    scene.publish_all()
    assert len(scene.batches()) == 1 and not scene.board[Cell.TROUBLE]
    assert scene.sink.syncs == 1


def test_given_no_ack_when_time_passes_then_the_batch_is_sent_again_until_one_comes(scene):
    scene.welcome()
    scene.stage.hear(Ack(epoch=1, sequence=0))
    scene.page()
    scene.publish_all()
    scene.clock.advance(2.0)
    scene.stage.work()
    assert [batch.sequence for batch in scene.batches()] == [1, 1]
    assert (scene.board[Cell.OUTBOX], scene.board[Cell.RESENT]) == (1, 1)
    scene.stage.hear(Ack(epoch=2, sequence=1))  # of a master that this worker does not belong to
    assert scene.board[Cell.OUTBOX] == 1
    scene.stage.hear(Ack(epoch=1, sequence=1))
    assert scene.board[Cell.OUTBOX] == 0
    scene.clock.advance(5.0)
    scene.stage.work()
    assert len(scene.batches()) == 2


def test_given_an_end_without_a_master_when_the_next_worker_starts_there_then_it_reports_what_was_left(scene, tmp_path):
    scene.page(7)
    scene.page(8)
    scene.stage.end_by(0.0)
    scene.publish_all()
    assert scene.stage.is_done
    assert scene.stage.finish() is ExitCode.HARD_DEADLINE
    assert len(list((tmp_path / "outbox").glob("*.outcomes"))) == 1

    heir = Scene(tmp_path)
    heir.welcome()
    heir.stage.hear(Ack(epoch=1, sequence=0))
    assert [outcome.lease for batch in heir.batches() for outcome in batch.outcomes] == [7, 8]
    assert {batch.worker for batch in heir.batches()} == {heir.spec.worker}
    assert heir.board[Cell.OUTBOX] == 0, "these are no pages of its own"
    other = Scene(tmp_path)
    other.welcome()
    other.stage.hear(Ack(epoch=1, sequence=0))
    assert other.batches() == [], "one of them reports a file, not both"
    heir.stage.hear(Ack(epoch=1, sequence=1))
    assert list((tmp_path / "outbox").iterdir()) == []


def test_given_a_damaged_spool_when_a_worker_starts_then_it_is_set_aside_and_the_worker_works(tmp_path):
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / "w0-ab.outcomes").write_bytes(b"\x00\x00\x00\xffhalf")
    scene = Scene(tmp_path)
    scene.welcome()
    scene.stage.hear(Ack(epoch=1, sequence=0))
    assert scene.batches() == []
    assert [path.name for path in (tmp_path / "outbox").iterdir()] == ["w0-ab.outcomes.bad"]




def test_given_edited_rules_when_they_are_heard_then_links_are_judged_by_them_and_the_board_says_so(scene, caplog):
    used = []
    scene.use_rules = used.append
    scene.stage.hear(ScopeRules(number=7, rules='[{"name": "x", "reject": {"host": "a.example"}}]'))
    scene.stage.hear(ScopeRules(number=7, rules='[{"name": "x", "reject": {"host": "a.example"}}]'))  # repeated
    assert [[rule.name for rule in rules] for rules in used] == [["x"]]
    assert scene.board[Cell.SCOPE] == 7
    scene.stage.hear(ScopeRules(number=8, rules='[{"name": "x"}]'))
    scene.stage.hear(ScopeRules(number=9, rules="[{"))
    assert (len(used), scene.board[Cell.SCOPE]) == (1, 7)
    assert [record.levelname for record in caplog.records if "can't be used" in record.getMessage()] == ["ERROR"] * 2
    scene.stage.hear(ScopeRules(number=0))
    assert (used[1:], scene.board[Cell.SCOPE]) == ([None], 0)
