"""One message of each type, and what reads it."""

from __future__ import annotations

from spyder.bus.messages import (
    PROTOCOL_VERSION,
    Ack,
    Available,
    Fetched,
    Gone,
    GreetAgain,
    LeaseBatch,
    Load,
    MasterHeartbeat,
    MasterMessage,
    OutcomeBatch,
    OutcomeMessage,
    Pause,
    Probe,
    Quit,
    QuitAck,
    Refused,
    Resume,
    Welcome,
    WorkerHeartbeat,
    WorkerMessage,
)
from spyder.model.records import CrawlUri, Failure, FetchNotice, HeldLease, Link, Outcome, Page
from spyder.model.states import ErrorKind, LinkKind

KINDS = {"worker": WorkerMessage, "master": MasterMessage, "outcomes": OutcomeMessage, "leases": LeaseBatch,
         "page": Page}
WORKER = "worker:host:12.0:0123abcd"
MASTER = "master:host:12:0123abcd"
KEY = b"k" * 18
URI = CrawlUri(lease=1 << 41, key=KEY, url="http://ä.example/", redirects=("http://b.example/",), is_seed=True)
MESSAGES = [
    ("worker", Available(protocol=PROTOCOL_VERSION, worker=WORKER, version="1", slots=3, digests={"a": "b"},
                         pids=(1, 2), at=1.5, held=(HeldLease(lease=1, key=KEY),),
                         predecessor=Gone(worker=WORKER, reason="signal 9", suspects=(KEY,)))),
    ("worker", WorkerHeartbeat(worker=WORKER, epoch=1, session=2, received=3, slots=4, load=Load(stages={"x": 0.5}))),
    ("worker", Fetched(worker=WORKER, session=1, notices=(FetchNotice(lease=1, trouble=ErrorKind.DNS),))),
    ("worker", QuitAck(worker=WORKER, unacknowledged=2)),
    ("worker", Gone(worker=WORKER, reason="signal 9", suspects=(KEY, KEY))),
    ("master", Welcome(master=MASTER, epoch=1, session=2, push="tcp://a:1", outcomes="ipc:///a/b")),
    ("master", Refused(protocol=2, reason="no")),
    ("master", MasterHeartbeat(master=MASTER, epoch=1, acks={WORKER: 5}, heard={WORKER: 1.5}, paused="why")),
    ("master", Ack(epoch=1, sequence=2)),
    ("master", GreetAgain(epoch=1)),
    ("master", Pause(reason="x")),
    ("master", Resume()),
    ("master", Quit(drain=1.5)),
    ("outcomes", Probe(worker=WORKER, session=1, sequence=0, last=7)),
    ("outcomes", OutcomeBatch(worker=WORKER, sequence=1, outcomes=(Outcome(
        lease=1, key=KEY, status=503, failure=Failure(kind=ErrorKind.HTTP_5XX, detail="x"), retry_after=1.0,
        links=(Link(url="http://a.example/", key=KEY, kind=LinkKind.REDIRECT),)),))),
    ("leases", LeaseBatch(session=1, number=2, uris=(URI,))),
    ("page", Page(uri=URI, status=200, headers=(("a", "b"),))),
]
