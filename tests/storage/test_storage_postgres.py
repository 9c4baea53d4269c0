"""The PostgreSQL backend on a server of the tests' own: the contract, and what is its own."""

from __future__ import annotations

import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from random import Random
from threading import Barrier
from threading import Thread as Worker

import pytest

from opik_eval.errors import ConfigError, ConflictError, StorageError, UnavailableError
from opik_eval.records import (
    Attachment,
    Dataset,
    DatasetItem,
    ExperimentItem,
    FeedbackScore,
    Trace,
)
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage
from opik_eval.storage.query import Condition, join_key
from opik_eval.storage.sql_filter import compile_filter
from opik_eval.testing.storage_contract import StorageContract
from opik_eval.testing.storage_documents import DocumentContract

psycopg = pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")

from opik_eval.storage.postgres import PostgresStorage  # noqa: E402 - needs the driver
from opik_eval.storage.postgres_database import spelled  # noqa: E402
from opik_eval.storage.postgres_dialect import PostgresDialect  # noqa: E402

_schemas = (f"test_{number}" for number in itertools.count())


class TestPostgresContract(StorageContract, DocumentContract):
    """The battery on a schema of its own for each test."""

    @pytest.fixture
    def storage(self, postgres_url):
        self.url, self.schema = postgres_url, next(_schemas)
        self.opened = [PostgresStorage(postgres_url, self.schema)]
        yield self.opened[0]
        for storage in self.opened:
            storage.close()
        drop(postgres_url, self.schema)

    def reopen(self, storage: Storage) -> Storage:
        self.opened.append(PostgresStorage(self.url, self.schema))
        return self.opened[-1]


def drop(url, schema):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


def test_the_location_hides_the_password(postgres_url):
    """The location names the server and the database, but no user and no password."""
    with closing(PostgresStorage(postgres_url, "located")) as storage:
        assert storage.location.startswith("postgresql://")
        assert "not-a-secret" not in storage.location
    drop(postgres_url, "located")


@pytest.mark.parametrize("url", ["postgresql://u:pw@127.0.0.1:9/x", "postgresql://u:pw@h:x:y/?bad"])
def test_a_server_that_is_not_there_is_reported(url):
    """The error names the server, says what to check, and holds no password."""
    with pytest.raises((UnavailableError, ConfigError)) as caught:
        open_storage(url)
    assert ":pw@" not in str(caught.value)
    assert caught.value.remedy


def test_texts_that_postgres_cannot_hold_survive(fresh):
    """NUL, lone surrogates and the escape's own mark come back as they were, and merge."""
    for number, odd in enumerate(("a\x00", "a\ud800", '\ufdd0json:"x"', "\ufdd0json:")):
        fresh.write([Trace(id=f"{number}{odd}", name=odd, input={odd: odd}, metadata={odd: odd})])
        fresh.write([Trace(id=f"{number}{odd}", thread_id=odd)])
        found = fresh.find_trace(f"{number}{odd}")
        assert (found.name, found.input, found.thread_id) == (odd, {odd: odd}, odd)
        where = Condition("metadata", "=", odd, join_key([odd]))
        assert [t.name for t in fresh.list_traces(where=where)] == [odd]
        where = Condition("name", "=", odd.upper())
        assert [t.name for t in fresh.list_traces(where=where)] == [odd]
        fresh.write([FeedbackScore(entity_id=f"{number}{odd}", name=odd, value=1)])
        fresh.delete_traces([f"{number}{odd}"])
        assert list(fresh.list_traces()) == []
        assert list(fresh.list_feedback_scores("trace")) == []


def test_several_servers_write_one_database(fresh):
    """Writers with pools of their own merge the same records and lose nothing, in any order."""
    others = [fresh, *(fresh.beside() for _ in range(3))]
    failures = list[BaseException]()
    fields = ("name", "input", "output", "environment")
    fresh.write([Dataset(id="d", name="d")])

    def work(storage, number):
        try:
            random = Random(number)
            for step in range(15):
                traces = [
                    Trace.model_validate({"id": f"{i}", fields[number]: f"{number}"})
                    for i in range(30)
                ]
                random.shuffle(traces)
                scores = [
                    FeedbackScore(entity_id=t.id, name=f"s{number}", value=step) for t in traces
                ]
                items = [
                    ExperimentItem(
                        id=f"i{i}", experiment_id="e", dataset_item_id="x", trace_id=f"{i}"
                    )
                    for i in range(30)
                ]
                storage.write([*traces, *scores, *items])
                storage.change_items(
                    "d", upsert=[DatasetItem(id=f"{number}-{step}", data={"n": step})]
                )
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failures.append(error)

    workers = [Worker(target=work, args=(s, n)) for n, s in enumerate(others)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for storage in others[1:]:
        storage.close()
    assert not failures
    for trace in fresh.list_traces():
        assert [getattr(trace, field) for field in fields] == ["0", "1", "2", "3"]
    assert [(s.name, s.count, s.mean) for s in fresh.summarize_scores(["e"])] == [
        (f"s{n}", 30, 14.0) for n in range(4)
    ]
    assert [v.number for v in fresh.list_dataset_versions("d")] == list(range(1, 61))


def test_long_reads_keep_their_snapshot(fresh):
    """Rows deleted and added while a list is read do not change what it yields."""
    fresh.write([Trace(id=f"{n:04}") for n in range(1200)])
    reading = fresh.list_traces()
    first = next(reading)
    fresh.delete_traces([f"{n:04}" for n in range(600)])
    assert [first.id, *(t.id for t in reading)] == [f"{n:04}" for n in range(1200)]
    dropped = fresh.list_traces()
    next(dropped)
    del dropped
    assert len(list(fresh.list_traces())) == 600


def test_a_list_is_not_read_on_after_closing(fresh):
    """A read that is under way when the storage is closed ends with an error."""
    fresh.write([Trace(id=f"{n:04}") for n in range(1200)])
    reading = fresh.list_traces()
    next(reading)
    fresh.close()
    with pytest.raises(UnavailableError, match="closed"):
        list(reading)


def test_values_that_are_too_large_are_reported(fresh):
    """An integer beyond 64 bits in a column is an error that says so; nothing is written."""
    run = {"id": "i", "experiment_id": "e", "dataset_item_id": "d", "unpriced_calls": 2**70}
    with pytest.raises(StorageError, match="cannot hold"):
        fresh.write([ExperimentItem.model_validate(run), Trace(id="t")])
    assert fresh.find_trace("t") is None


def test_lost_connections_are_replaced(fresh, postgres_url):
    """After the server ended its connections, reading and writing go on."""
    fresh.write([Trace(id="1")])
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        ours = "FROM pg_stat_activity WHERE application_name = 'opik-eval'"
        raw.execute(f"SELECT pg_terminate_backend(pid, 10000) {ours}")
        while raw.execute(f"SELECT count(*) {ours}").fetchone() != (0,):
            pass
    assert fresh.find_trace("1") is not None
    fresh.write([Trace(id="2")])


def test_attachments_live_in_the_database(fresh, tmp_path):
    """Bytes and files can be stored, and come back to another server."""
    (tmp_path / "f").write_bytes(b"file")
    for name, content in (("a", b"bytes"), ("b", tmp_path / "f")):
        data = content if isinstance(content, bytes) else content.read_bytes()
        record = Attachment(
            id=name, entity_type="trace", entity_id="t", file_name="f", mime_type="t",
            sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data),
        )  # fmt: skip
        fresh.put_attachment(record, content)
        assert fresh.read_attachment(name) == data
        with pytest.raises(ConflictError):
            fresh.put_attachment(record.model_copy(update={"size_bytes": 1}), content)
    with pytest.raises(UnavailableError):
        fresh.put_attachment(record, tmp_path / "missing")


def test_metadata_are_found_by_their_index(fresh):
    """The condition on a metadata field is one that PostgreSQL has an index for."""
    compiled = compile_filter(Condition("metadata", "=", "x", "k"), "trace", PostgresDialect())
    with fresh._pool.lease(fresh._database.schema) as connection:
        connection.execute("SET enable_seqscan TO off")
        plan = connection.execute(
            f"EXPLAIN SELECT id FROM traces WHERE {spelled(compiled.sql)} ORDER BY id DESC",
            compiled.parameters,
        ).fetchall()
        connection.execute("RESET enable_seqscan")
    assert "traces_by_terms" in str(plan)


@pytest.fixture
def fresh(postgres_url):
    """A storage in a schema of its own; ``beside`` opens another one there."""
    schema = next(_schemas)

    class Fresh(PostgresStorage):
        def beside(self):
            return PostgresStorage(postgres_url, schema)

    with closing(Fresh(postgres_url, schema)) as storage:
        yield storage
    drop(postgres_url, schema)


# -- exclusive work


@pytest.fixture
def pair(postgres_url):
    """Two storages on one schema, as two servers have them."""
    with (
        closing(PostgresStorage(postgres_url, "exclusive")) as one,
        closing(PostgresStorage(postgres_url, "exclusive")) as other,
    ):
        yield one, other
    drop(postgres_url, "exclusive")


def test_one_holder_at_a_time(pair):
    """Threads of two servers that count together lose nothing, also when they hold it twice."""
    counted = []

    def count(number):
        with pair[number % 2].exclusive, pair[number % 2].exclusive:
            before = len(counted)
            pair[1 - number % 2].find_trace("none")  # whoever holds it may use the storage
            counted.append(before)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(count, range(40)))
    assert counted == [*range(40)]


def test_who_dies_lets_go(pair, postgres_url):
    """When the connection that holds it is lost the next one gets it, and the loser may go on."""
    ends = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    with pair[0].exclusive:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute(ends)
        with pair[1].exclusive:
            pair[1].find_trace("none")
    with pair[0].exclusive:
        pair[0].find_trace("none")


def test_nobody_waits_for_ever(pair):
    """Who waits for a holder that does not end gives up, and may try again."""
    impatient = pair[1]._pool.extra()
    impatient.execute("SET lock_timeout = '10ms'")
    pair[1]._pool.put_aside(impatient)
    with pair[0].exclusive, pytest.raises(UnavailableError, match="lock timeout"):
        pair[1].exclusive.__enter__()
    with pair[1].exclusive:
        pass


def test_servers_that_start_together_share_the_tables(postgres_url):
    """Of several that find an empty database at the same moment one makes the tables."""
    gate = Barrier(4)

    def start(schema):
        gate.wait()
        PostgresStorage(postgres_url, schema).close()

    with ThreadPoolExecutor(4) as servers:
        for _ in range(5):
            schema = next(_schemas)
            assert list(servers.map(start, [schema] * 4)) == [None] * 4
            drop(postgres_url, schema)
