"""Sending a store to another one: complete, repeatable, resumable, with new ids where needed."""

from __future__ import annotations

import hashlib
from contextlib import closing
from datetime import UTC, datetime

import pytest
from storage_fake_server import NativeServer, ServerTransport
from test_storage_http_server import running_server

from opik_eval.errors import ConflictError
from opik_eval.ids import derived_id, time_of
from opik_eval.records import (
    Attachment,
    Dataset,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Span,
    Trace,
)
from opik_eval.storage.file import FileStorage
from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection
from opik_eval.storage.http_opik import OpikDialect
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.sync import sync_store
from opik_eval.testing.storage_agreement import everything
from opik_eval.testing.storage_cases import day, item


def old(name):
    """Return an id from long ago."""
    return derived_id(name, at=day(0))


@pytest.fixture
def source(tmp_path):
    """A file with one of everything, made long ago."""
    with closing(FileStorage(tmp_path / "source.db")) as storage:
        storage.write(
            [
                Project(id=old("project"), name="P", description="d"),
                Dataset(id=old("dataset"), name="questions", created_at=day(0)),
                Prompt(id=old("prompt"), name="ask"),
                PromptVersion(
                    id=old("version"),
                    prompt_id=old("prompt"),
                    commit="0000000a",
                    number=1,
                    template="t",
                ),
                Optimization(
                    id=old("run"),
                    name="o",
                    dataset_name="questions",
                    objective_name="exact",
                    status="completed",
                ),
            ]
        )
        first = storage.change_items(
            old("dataset"), upsert=[item(old("i1"), q=1), item(old("i2"), q=2)], changed_at=day(1)
        )
        storage.change_items(
            old("dataset"), upsert=[item(old("i3"), q=3)], delete=[old("i1")], changed_at=day(2)
        )
        storage.write(
            [
                Experiment(
                    id=old("experiment"),
                    name="e",
                    dataset_id=old("dataset"),
                    dataset_name="questions",
                    dataset_version_id=first.id,
                    optimization_id=old("run"),
                    project_name="P",
                    config={"a": 1},
                    run={"seed": 2},
                    status="completed",
                    prompt_version_ids=(old("version"),),
                ),
                Trace(id=old("t"), project_name="P", start_time=day(3), input="q", output="a"),
                Span(
                    id=old("s1"), trace_id=old("t"), project_name="P", start_time=day(3), name="a"
                ),
                Span(
                    id=old("s2"),
                    trace_id=old("t"),
                    parent_span_id=old("s1"),
                    project_name="P",
                    start_time=day(3),
                    name="b",
                ),
                FeedbackScore(entity_id=old("t"), name="exact", value=1, project_name="P"),
                ExperimentItem(
                    id=old("done"),
                    experiment_id=old("experiment"),
                    dataset_item_id=old("i2"),
                    trace_id=old("t"),
                    project_name="P",
                    scores=(ItemScore(name="exact", value=1),),
                ),
            ]
        )
        storage.put_attachment(
            Attachment(
                id=old("file"),
                entity_type="trace",
                entity_id=old("t"),
                file_name="f",
                mime_type="text/plain",
                sha256=hashlib.sha256(b"text").hexdigest(),
                size_bytes=4,
            ),
            b"text",
        )
        yield storage


@pytest.fixture
def journal(tmp_path):
    """Where the sync keeps what it has done."""
    return tmp_path / "sync" / "journal.db"


def test_a_store_arrives_as_it_is(source, journal):
    """All records, versions with their ids and times, and files are the same afterwards."""
    target = MemoryStorage()
    report = sync_store(source, target, journal)
    assert everything(target) == everything(source)
    assert list(target.list_prompts()) == list(source.list_prompts())
    assert list(target.list_optimizations()) == list(source.list_optimizations())
    assert target.read_attachment(old("file")) == b"text"
    assert report.complete
    assert report.sent == {
        "project": 1,
        "dataset": 1,
        "dataset_version": 2,
        "prompt": 1,
        "prompt_version": 1,
        "optimization": 1,
        "experiment": 1,
        "trace": 1,
        "span": 2,
        "feedback_score": 1,
        "experiment_item": 1,
        "attachment": 1,
    }


def test_again_sends_what_is_new_or_changed(source, journal):
    """A second sync sends nothing, a third what was written since, `again` everything."""
    target = MemoryStorage()
    sent = sum(sync_store(source, target, journal).sent.values())
    second = sync_store(source, target, journal)
    assert (second.sent, second.skipped) == ({}, sent)
    source.write([Trace(id=old("t"), output="changed"), Trace(id=old("new"))])
    source.change_items(old("dataset"), upsert=[item(old("i4"), q=4)], changed_at=day(4))
    assert sync_store(source, target, journal).sent == {"trace": 2, "dataset_version": 1}
    assert everything(target) == everything(source)
    # Versions that the target has already are not made again.
    assert sum(sync_store(source, target, journal, again=True).sent.values()) == sent + 1 - 2
    assert everything(target) == everything(source)


def test_an_interrupted_sync_goes_on(source, journal):
    """After any number of requests the target may fail; the next run brings the rest, once."""
    server = NativeServer()
    for allowed in range(0, 60, 3):
        server.faults = [None] * allowed + [(400, {}, b"")] * 100
        connection = Connection("http://t", transport=ServerTransport(server), patience_seconds=0)
        with closing(HttpStorage(connection, journal.parent / f"{allowed}.db")) as target:
            try:
                sync_store(source, target, journal)
            except Exception:  # noqa: BLE001 - any failure is followed by another run
                continue
    server.faults = []
    connection = Connection("http://t", transport=ServerTransport(server))
    with closing(HttpStorage(connection, journal.parent / "last.db")) as target:
        assert sync_store(source, target, journal, again=True).complete
    assert everything(server.storage) == everything(source)


def test_waiting_records_stop_the_sync_and_are_reported(source, journal):
    """Where the server takes nothing, the report says so and the sync goes on another time."""
    server = NativeServer()
    connection = Connection("http://t", transport=ServerTransport(server), patience_seconds=0)
    with closing(HttpStorage(connection, journal.parent / "o.db", patience_seconds=0)) as target:
        server.faults = [None] + [(403, {}, b"")] * 3
        report = sync_store(source, target, journal)
    assert not report.complete
    assert report.flush.pending == 1
    assert report.sent == {}


def test_another_history_of_a_dataset_is_a_conflict(source, journal):
    """A dataset of the same id whose versions differ is not mixed with this one."""
    target = MemoryStorage()
    target.write([Dataset(id=old("dataset"), name="questions")])
    target.change_items(old("dataset"), upsert=[item("other")])
    with pytest.raises(ConflictError, match="another version 1"):
        sync_store(source, target, journal)


def test_names_that_the_target_has_are_continued(source, journal):
    """Datasets and prompts are matched by name; references follow; known texts are not doubled."""
    target = MemoryStorage()
    target.write([Dataset(id="D", name="questions"), Prompt(id="P", name="ask")])
    target.write([PromptVersion(id="V", prompt_id="P", commit="0000000a", number=1, template="t")])
    assert sync_store(source, target, journal).complete
    (experiment,) = target.list_experiments()
    assert (experiment.dataset_id, experiment.prompt_version_ids) == ("D", ("V",))
    assert [v.id for v in target.list_prompt_versions("P")] == ["V"]
    assert [i.data for i in target.list_dataset_items("D")] == [{"q": 2}, {"q": 3}]
    assert experiment.dataset_version_id == next(target.list_dataset_versions("D")).id


def test_ids_are_minted_anew_where_the_server_takes_no_old_ones(source, journal, tmp_path):
    """On an Opik server everything is there once, with ids of now, old times and references."""
    with running_server("memory:") as url:
        connection = Connection(f"{url}/api")
        with closing(
            HttpStorage(connection, tmp_path / "o.db", dialect=OpikDialect(connection))
        ) as target:
            assert sync_store(source, target, journal, fresh_ids=True).complete
            assert sync_store(source, target, journal, fresh_ids=True).sent == {}
            (trace,) = target.list_traces(project_name="P")
            spans = {span.name: span for span in target.list_spans(project_name="P")}
            (experiment,) = target.list_experiments()
            (done,) = target.list_experiment_items(experiment.id)
            dataset = target.find_dataset("questions")
            items = {i.id: i.data for i in target.list_dataset_items(dataset.id, version=1)}
            (run,) = target.list_optimizations()
            (score,) = target.list_feedback_scores("trace", project_name="P")
            (file,) = target.list_attachments("trace", trace.id)
    minted = (trace.id, spans["a"].id, experiment.id, done.id, done.dataset_item_id, run.id)
    now = datetime.now(UTC)
    assert all((now - time_of(identifier)).total_seconds() < 600 for identifier in minted)
    assert trace.start_time == day(3)
    assert {span.trace_id for span in spans.values()} == {trace.id}
    assert spans["b"].parent_span_id == spans["a"].id
    assert (done.trace_id, items[done.dataset_item_id]) == (trace.id, {"q": 2})
    assert (experiment.optimization_id, experiment.run) == (run.id, {"seed": 2})
    assert (score.entity_id, file.file_name) == (trace.id, "f")
