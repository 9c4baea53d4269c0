"""The outbox and its sender: nothing that was acknowledged is lost, doubled or reordered."""

from __future__ import annotations

import random
import sqlite3
import threading
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_fake_server import NativeServer, ServerTransport

from opik_eval.errors import SchemaVersionError, StorageError, UnavailableError
from opik_eval.records import Trace
from opik_eval.serialization import loads
from opik_eval.storage import outbox as outbox_module
from opik_eval.storage import outbox_sender
from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection, Reply, Unreachable
from opik_eval.storage.outbox import Entry, Outbox
from opik_eval.storage.outbox_sender import Sender, next_batch


@pytest.fixture
def outbox(tmp_path):
    """An empty outbox."""
    with closing(Outbox(tmp_path / "box" / "out.db", owner="me")) as opened:
        yield opened


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Destination:
    """Takes batches, and answers with what it was told to answer."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.got = []
        self.bad = set()
        self.lock = threading.Lock()

    def __call__(self, batch):
        with self.lock:
            reply = self.replies.pop(0) if self.replies else Reply(204)
            if isinstance(reply, Exception):
                raise reply
            if reply.is_success and self.bad & {entry.key for entry in batch}:
                return Reply(400, b'{"errors": ["bad record"]}')
            if reply.is_success:
                self.got += [entry.key for entry in batch]
            return reply


def entries(*keys):
    """Return small entries of these keys."""
    return [Entry("trace", key, b'{"id":"%b"}' % key.encode()) for key in keys]


def sender_of(outbox, destination, clock=None):
    """Return a sender with a clock of its own."""
    return Sender(outbox, destination, destination="http://test", now=clock or Clock())


def test_entries_leave_in_their_order_and_once(outbox):
    """What is put in arrives in order; the line is empty afterwards."""
    outbox.put(entries(*"abc"))
    outbox.put(entries(*"de"))
    destination = Destination()
    assert sender_of(outbox, destination).pump() is None
    assert destination.got == list("abcde")
    assert outbox.count_waiting() == 0


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (Reply(429, headers={"retry-after": "7"}), 7),
        (Reply(429, headers={"ratelimit-reset": "3"}), 3),
        (Reply(429), 0.5),
        (Reply(503), 0.5),
        (Reply(500), 0.5),
        (Unreachable("no"), 0.5),
        (Reply(401), 60),
        (Reply(404), 60),
    ],
)
def test_what_cannot_be_taken_now_waits(outbox, reply, seconds):
    """After such an answer the entries stay, for as long as the server asks or patience says."""
    outbox.put(entries("a"))
    destination = Destination(reply)
    sender = sender_of(outbox, destination)
    assert sender.pump() == seconds
    assert (outbox.count_waiting(), destination.got) == (1, [])
    assert sender.problem
    assert sender.pump() is None
    assert (outbox.count_waiting(), destination.got, sender.problem) == (0, ["a"], None)


def test_waits_grow_from_failure_to_failure(outbox):
    """Without advice the wait doubles up to a minute, and starts anew after a success."""
    outbox.put(entries("a"))
    sender = sender_of(outbox, Destination(*[Reply(503)] * 9))
    assert [sender.pump() for _ in range(10)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, None]
    outbox.put(entries("b"))
    sender._deliver = Destination(Reply(503))
    assert sender.pump() == 0.5


def test_a_bad_record_is_set_aside_and_the_others_arrive(outbox):
    """A refused batch is halved until the culprits are alone; they are kept with the reason."""
    destination = Destination()
    destination.bad = {"c", "x"}
    outbox.put(entries(*"abcde", "x", "y"))
    assert sender_of(outbox, destination).pump() is None
    assert sorted(destination.got) == ["a", "b", "d", "e", "y"]
    assert outbox.rejections() == [
        ("trace", "c", "400: bad record"),
        ("trace", "x", "400: bad record"),
    ]
    assert outbox.rejections(own=True) == outbox.rejections()


def test_only_the_holder_of_the_lease_sends(outbox):
    """While another holds the lease, nothing is sent; afterwards it is."""
    outbox.put(entries("a"))
    with closing(Outbox(outbox.path, owner="other")) as other, other.lease() as is_held:
        assert is_held
        destination = Destination()
        assert sender_of(outbox, destination).pump() == pytest.approx(0.1)
        assert destination.got == []
    assert sender_of(outbox, destination).pump() is None
    assert destination.got == ["a"]


def test_whoever_opens_the_file_later_sees_what_was_left(outbox):
    """Entries belong to the file; each owner counts its own too."""
    outbox.put(entries(*"ab"))
    with closing(Outbox(outbox.path, owner="other")) as other:
        other.put(entries("c"))
        assert (other.count_waiting(), other.count_waiting(own=True)) == (3, 1)
        assert [entry.key for entry in other.head(2, 10**6)] == ["a", "b"]
        assert other.count_waiting(up_to=2) == 2
        assert [entry.key for entry in other.head(9, 1)] == ["a"]


def test_a_newer_outbox_is_refused_and_a_closed_one_too(outbox):
    """A file of a later version is left alone; a closed outbox says so."""
    outbox.close()
    with pytest.raises(UnavailableError, match="closed"):
        outbox.put(entries("a"))
    connection = sqlite3.connect(outbox.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SchemaVersionError, match="newer version"):
        Outbox(outbox.path, owner="me")


def test_an_outbox_needs_a_folder(tmp_path):
    """Where no folder can be made, the error says so."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot make"):
        Outbox(tmp_path / "file" / "out.db", owner="me")


WAITING = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(0, 40), st.booleans()), max_size=40
).map(
    lambda rows: [
        Entry("trace", key, b"x" * size, b"file" if is_file and size > 35 else None, seq)
        for seq, (key, size, is_file) in enumerate(rows)
    ]
)


@settings(max_examples=200)
@given(line=WAITING, busy=st.sets(st.sampled_from("abcdef"), max_size=2))
def test_a_batch_never_overtakes(line, busy):
    """A batch is the head of the line; it has no key that is under way; it keeps its limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outbox_sender, "BATCH_RECORDS", 4)
        patch.setattr(outbox_sender, "BATCH_BYTES", 100)
        batch = next_batch(line, busy)
        if batch and len(batch) < len(line) and line[len(batch)].key not in busy:
            assert next_batch(line[: len(batch) + 1], set()) == batch
    assert batch == line[: len(batch)]
    assert bool(batch) == bool(line and line[0].key not in busy)
    assert busy.isdisjoint(entry.key for entry in batch)
    assert len(batch) <= 4
    assert len(batch) <= 1 or sum(entry.size for entry in batch) <= 100
    assert len(batch) <= 1 or all(entry.content is None for entry in batch)


@pytest.mark.parametrize("seed", range(10))
def test_any_faults_end_with_everything_there_once(outbox, seed):
    """Random refusals, losses and bad records: each entry arrives or is rejected, in order."""
    dice = random.Random(seed)
    faults = [Reply(429), Reply(503), Unreachable("cut"), Reply(204), Reply(413), Reply(401)]
    keys = [f"{n % 7}-{n}" if n % 7 else "same" for n in range(200)]
    outbox.put(entries(*keys))
    destination = Destination(*dice.choices(faults, k=60))
    sender = sender_of(outbox, destination)
    while outbox.count_waiting():
        sender.pump()
    gone = [key for _, key, _ in outbox.rejections()]
    assert sorted(destination.got + gone) == sorted(keys)


def test_waiting_ends_by_patience_timeout_or_block(outbox):
    """Waiting for the line to empty gives up when told, and at once if the server refuses us."""
    clock = Clock()
    sender = sender_of(outbox, Destination(), clock)
    last = outbox.put(entries("a"))
    assert not sender.wait(last, timeout_seconds=0, patience_seconds=30)
    assert not sender.wait(last, timeout_seconds=None, patience_seconds=-1)
    sender._deliver = Destination(Reply(403))
    sender.pump()
    assert not sender.wait(last, timeout_seconds=None, patience_seconds=10**9)
    sender.pump()
    assert sender.wait(last, timeout_seconds=None, patience_seconds=0)


def test_a_background_sender_goes_on_after_the_outbox_fails(outbox, caplog):
    """An error of the outbox's file ends the attempt, not the thread."""
    outbox.put(entries("a"))
    tried = threading.Event()

    def deliver(batch):
        tried.set()
        raise StorageError("disk on fire")

    sender = sender_of(outbox, deliver)
    sender.start()
    assert tried.wait(10)
    assert not sender.wait(10**9, timeout_seconds=None, patience_seconds=10**9)
    assert sender.problem == "disk on fire"
    sender.stop(10)
    assert "disk on fire" in caplog.text


def test_waiting_does_not_follow_a_server_that_asks_for_ever(outbox):
    """Waiting ends at once if a 429 asks for longer than patience; answers are no progress."""
    clock = Clock()
    sender = sender_of(outbox, Destination(Reply(429, headers={"retry-after": "60"})), clock)
    last = outbox.put(entries("a"))
    sender.pump()
    assert not sender.wait(last, timeout_seconds=None, patience_seconds=30)
    assert not sender.wait(last, timeout_seconds=0, patience_seconds=30)
    sender._deliver = Destination(*[Reply(429, headers={"retry-after": "20"})] * 2)
    clock.now += 60
    sender.pump()
    clock.now += 20
    sender.pump()
    assert not sender.wait(last, timeout_seconds=None, patience_seconds=-1)


def many(*keys):
    """Return one entry for several small records."""
    return Entry.of_many([("trace", key) for key in keys], [{"id": key} for key in keys])


def test_records_that_share_a_row_leave_it_one_by_one(outbox):
    """Whatever part of a row has left is gone; the rest keeps its order, places and number."""
    last = outbox.put([many(*"abcd"), *entries("e")])
    other = outbox.put([many("f", "g")])
    assert (last, other, outbox.count_waiting(), outbox.count_waiting(up_to=last)) == (5, 7, 7, 5)
    row, *_ = outbox.head(9, 10**6)
    assert [part.seq for part in row.parts()] == [1, 2, 3, 4]
    outbox.delivered(row.parts()[1:3])
    assert outbox.count_waiting(up_to=last) == 3
    a, d, e, *_ = outbox.head(9, 10**6)
    assert [(entry.key, entry.seq) for entry in (a, d, e)] == [("a", 1), ("d", 4), ("e", 5)]
    outbox.rejected(d, "odd")
    outbox.delivered([a])
    assert [entry.key for entry in outbox.head(1, 10**6)] == ["e"]
    outbox.delivered([e, *outbox.head(9, 10**6)[1:]])
    assert (outbox.count_waiting(), outbox.head(9, 10**6)) == (0, [])
    assert outbox.rejections() == [("trace", "d", "odd")]


@pytest.mark.parametrize("seed", range(10))
def test_any_faults_end_with_all_records_of_all_rows_there_once(outbox, seed):
    """Rows of several records: each record arrives or is rejected, and none is left."""
    dice = random.Random(seed)
    faults = [Reply(429), Reply(503), Unreachable("cut"), Reply(204), Reply(413), Reply(400)]
    keys = [f"{n}" for n in range(60)]
    rows = [keys[start : start + 7] for start in range(0, 60, 7)]
    outbox.put([many(*row) for row in rows])
    got = []
    replies = dice.choices(faults, k=30)

    def deliver(batch):
        reply = replies.pop(0) if replies else Reply(204)
        if isinstance(reply, Exception):
            raise reply
        if reply.is_success:
            got.extend(part.key for entry in batch for part in entry.parts())
        return reply

    sender = sender_of(outbox, deliver)
    while outbox.count_waiting():
        sender.pump()
    gone = [key for _, key, _ in outbox.rejections()]
    assert sorted(got + gone, key=int) == keys


def test_a_file_of_the_first_version_is_sent(tmp_path):
    """What an older version of this package left is delivered like the rest."""
    path = tmp_path / "out.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript("""
            CREATE TABLE waiting (
                seq INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, kind TEXT NOT NULL,
                key TEXT NOT NULL, payload BLOB NOT NULL, content BLOB);
            CREATE INDEX waiting_by_owner ON waiting (owner, seq);
            INSERT INTO waiting VALUES (1, 'x', 'trace', 'a', '{"id":"a"}', NULL);
            INSERT INTO waiting VALUES (2, 'x', 'trace', 'b', '{"id":"b"}', NULL);
            PRAGMA user_version = 1;
        """)
    with closing(Outbox(path, owner="me")) as outbox:
        outbox.put(entries("c"))
        destination = Destination()
        assert sender_of(outbox, destination).pump() is None
        assert (destination.got, outbox.count_waiting()) == (list("abc"), 0)


def test_a_group_leaves_the_line_like_its_records(outbox):
    """Records of one type share a row in the form they are sent in; each may leave by itself."""
    traces = [Trace(id=key, name=key * 2) for key in "abcd"]
    outbox.put([Entry.of_group(traces), *entries("e")])
    group, last = outbox.head(9, 10**6)
    assert (group.kind, group.keys(), group.records, last.seq) == ("trace[]", list("abcd"), 4, 5)
    assert [part.kind for part in group.parts()] == ["trace"] * 4
    assert loads(group.ungrouped().parts()[1].payload) == {"kind": "trace", "id": "b", "name": "bb"}
    assert last.ungrouped() == last
    outbox.rejected(group.parts()[1], "odd")
    assert outbox.rejections() == [("trace", "b", "odd")]
    outbox.delivered([group.parts()[0]])
    assert [entry.key for entry in outbox.head(9, 10**6)] == ["c", "d", "e"]
    assert (outbox.count_waiting(), outbox.is_waiting(2), outbox.is_waiting(4)) == (3, False, True)
    outbox.delivered(outbox.head(9, 10**6))
    assert (outbox.count_waiting(), outbox.is_waiting(9)) == (0, False)


@pytest.mark.parametrize("wire_version", [1, 2])
def test_older_servers_get_records_one_by_one(tmp_path, wire_version):
    """A server that knows no groups is sent none."""
    server = NativeServer(wire_version=wire_version)
    traces = [Trace(id=str(n), name="ask") for n in range(20)]
    connection = Connection("http://localhost/api", transport=ServerTransport(server))
    with closing(HttpStorage(connection, tmp_path / "out.db")) as storage:
        storage.write(traces)
        assert storage.flush().delivered == 20
    assert sorted(server.storage.list_traces(), key=lambda t: int(t.id)) == traces
    bodies = [body for _, path, _, body in server.requests if path.endswith("records")]
    assert ("columns" in str(bodies)) is (wire_version == 2)


def test_places_go_on_where_an_older_file_left_off(tmp_path):
    """Bringing a file to the current form forgets no place, also of an empty line."""
    path = tmp_path / "out.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(outbox_module._STEPS[1] + outbox_module._STEPS[2])
        old.executescript("""
            INSERT INTO waiting (seq, owner, kind, key, payload) VALUES (7, 'x', 't', 'a', '{}');
            DELETE FROM waiting;
            PRAGMA user_version = 2;
        """)
    with closing(Outbox(path, owner="me")) as outbox:
        assert outbox.put(entries("b")) == 8


def test_batches_are_under_way_at_the_same_time(outbox, monkeypatch):
    """As many batches as may be are sent at once, without waiting for each other."""
    monkeypatch.setattr(outbox_sender, "BATCH_RECORDS", 2)
    outbox.put(entries(*"abcdefgh"))
    together = threading.Barrier(outbox_sender.PARALLEL, timeout=30)

    def deliver(batch):
        together.wait()
        return Reply(204)

    assert sender_of(outbox, deliver).pump() is None
    assert outbox.count_waiting() == 0


@pytest.mark.parametrize("seed", range(10))
def test_writes_of_one_key_never_overtake_each_other(outbox, monkeypatch, seed):
    """Whatever fails meanwhile, batches that share a key arrive one after the other."""
    monkeypatch.setattr(outbox_sender, "BATCH_RECORDS", 3)
    dice = random.Random(seed)
    keys = dice.choices("abcdefghijklmnop", k=120)
    outbox.put([Entry("trace", key, b"%d" % place) for place, key in enumerate(keys)])
    faults = dice.choices([Reply(503), Unreachable("cut"), Reply(204), Reply(204)], k=40)
    got, lock = [], threading.Lock()

    def deliver(batch):
        with lock:
            reply = faults.pop() if faults else Reply(204)
            if isinstance(reply, Exception):
                raise reply
            if reply.is_success:
                got.extend((entry.key, int(entry.payload)) for entry in batch)
            return reply

    sender = sender_of(outbox, deliver)
    while outbox.count_waiting():
        sender.pump()
    assert sorted(place for _, place in got) == [*range(120)]
    for key in {*keys}:
        places = [place for own, place in got if own == key]
        assert places == sorted(places)
