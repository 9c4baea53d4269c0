"""The dialect of a real Opik server: what is written by Opik's own routes can be read by them."""

from __future__ import annotations

import hashlib
from contextlib import closing

import pytest
from test_storage_http_server import running_server

from opik_eval.errors import ConflictError, NotFoundError
from opik_eval.ids import new_id
from opik_eval.records import (
    Attachment,
    Dataset,
    DatasetItem,
    ErrorInfo,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Span,
    SpanType,
    Trace,
)
from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection
from opik_eval.storage.http_opik import OpikDialect
from opik_eval.storage.query import parse_filter
from opik_eval.testing.storage_cases import day, ids, item


@pytest.fixture
def storage(tmp_path):
    """A storage that treats our server as if it were Opik's."""
    with running_server("memory:") as url:
        connection = Connection(f"{url}/opik/api/")
        dialect = OpikDialect(connection)
        with closing(HttpStorage(connection, tmp_path / "o.db", dialect=dialect)) as storage:
            yield storage


def whole_trace(**fields):
    """Return a trace as a tracer writes it when it ends."""
    values = {
        "id": new_id(),
        "name": "ask",
        "project_name": "P",
        "start_time": day(0),
        "end_time": day(1),
        "input": {"q": "why"},
        "output": {"a": [1, None]},
        "metadata": {"k": 1.5},
        "tags": ("x",),
        "error_info": ErrorInfo(exception_type="E", message="m", traceback="t"),
        "thread_id": "conversation",
        "ttft_seconds": 0.25,
        "source": "sdk",
        "last_updated_at": day(1),
    }
    return Trace.model_validate(values | fields)


def test_traces_and_spans_come_back_as_they_were_written(storage):
    """Complete rows survive; lists come in both directions, filtered and limited."""
    traces = [whole_trace(id=known, name=name) for known, name in zip(ids(3), "abc", strict=True)]
    span = Span(
        id=new_id(),
        trace_id=traces[0].id,
        project_name="P",
        name="llm",
        type=SpanType.LLM,
        start_time=day(0),
        end_time=day(1),
        model="m",
        provider="p",
        usage={"total_tokens": 3},
        cost_usd=0.5,
        last_updated_at=day(1),
    )
    storage.write([span, *traces])
    assert storage.find_trace(traces[0].id) == traces[0]
    assert storage.find_span(span.id) == span
    assert storage.find_trace(new_id()) is None
    assert list(storage.list_traces(project_name="p")) == traces
    assert list(storage.list_traces(newest_first=True, limit=2)) == traces[:0:-1]
    where = parse_filter('name = "b"', "trace")
    assert list(storage.list_traces(project_name="P", where=where)) == [traces[1]]
    assert list(storage.list_spans(trace_ids=[traces[0].id])) == [span]
    assert list(storage.list_traces(project_name="unknown")) == []
    (thread,) = storage.list_threads(project_name="P")
    assert (thread.id, thread.number_of_messages) == ("conversation", 3)


def test_updates_are_sent_as_whole_rows(storage):
    """A partial write is put on top of what the server has, since batches replace rows there."""
    trace = whole_trace()
    storage.write([trace])
    storage.flush(10)
    storage.write([Trace(id=trace.id, output="late", last_updated_at=day(2))])
    found = storage.find_trace(trace.id)
    assert found == trace.model_copy(update={"output": "late", "last_updated_at": day(2)})
    lone = new_id()
    storage.write([Trace(id=lone, output=1), Trace(id=lone, name="n")])
    found = storage.find_trace(lone)
    assert (found.output, found.name) == (1, "n")
    assert found.start_time is not None


def test_scores_are_written_read_and_deleted(storage):
    """Scores of traces, spans and threads go by their own routes."""
    trace = whole_trace()
    span = Span(id=new_id(), trace_id=trace.id, project_name="P", start_time=day(0))
    given = [
        FeedbackScore(entity_id=trace.id, name="a", value=1, reason="r", project_name="P"),
        FeedbackScore(entity_type="span", entity_id=span.id, name="b", value=0, project_name="P"),
        FeedbackScore(
            entity_type="thread",
            entity_id="conversation",
            name="c",
            value=0.5,
            project_name="P",
        ),
    ]
    storage.write([trace, span, *given])
    for score in given:
        (found,) = storage.list_feedback_scores(score.entity_type)
        assert (found.entity_id, found.name, found.value, found.reason) == (
            score.entity_id,
            score.name,
            score.value,
            score.reason,
        )
        (again,) = storage.list_feedback_scores(
            score.entity_type, [score.entity_id], project_name="P"
        )
        assert again == found
        storage.delete_feedback_scores(
            score.entity_type, score.entity_id, [score.name, "unknown"], project_name="P"
        )
        assert list(storage.list_feedback_scores(score.entity_type)) == []


def test_projects_prompts_and_optimizations(storage):
    """Named things are created, continued and told apart."""
    storage.write([Project(id=new_id(), name="Q", description="d")])
    storage.write([Project(id=new_id(), name="Q", description="e")])
    assert storage.find_project("q").description == "e"
    prompt = Prompt(id=new_id(), name="ask", template_structure="text", description="d")
    storage.write([prompt])
    storage.write([prompt.model_copy(update={"description": "e"})])
    with pytest.raises(ConflictError, match="another prompt"):
        storage.write([Prompt(id=new_id(), name="ask")])
    version = PromptVersion(
        id=new_id(), prompt_id=prompt.id, commit="12345678", number=1, template="{{x}}"
    )
    storage.write([version])
    found = storage.find_prompt("ask")
    assert (found.id, found.description) == (prompt.id, "e")
    (kept,) = storage.list_prompt_versions(prompt.id)
    assert (kept.template, kept.number) == ("{{x}}", 1)
    run = Optimization(
        id=new_id(),
        name="o",
        dataset_name="d",
        objective_name="score",
        status="running",
        metadata={"optimizer": "x"},
    )
    storage.write([Dataset(id=new_id(), name="d"), run])
    storage.write([Optimization(id=run.id, status="completed")])
    found = storage.find_optimization(run.id)
    assert (found.status, found.metadata, found.name) == ("completed", {"optimizer": "x"}, "o")
    assert [o.id for o in storage.list_optimizations(name="o")] == [run.id]
    storage.delete_optimizations([run.id])
    assert storage.find_optimization(run.id) is None
    storage.delete_prompts([prompt.id])
    assert storage.find_prompt("ask") is None


def test_datasets_have_one_version_a_change(storage):
    """All parts of a change make one version; known content is skipped; names are granted."""
    dataset = Dataset(id=new_id(), name="d", description="x")
    storage.write([dataset])
    storage.write([dataset.model_copy(update={"description": "y"})])
    assert storage.find_dataset("d").description == "y"
    with pytest.raises(ConflictError, match="another dataset"):
        storage.write([Dataset(id=new_id(), name="d")])
    known = ids(3)
    first = storage.change_items(dataset.id, upsert=[item(known[0], q=1), item(known[1], q=2)])
    second = storage.change_items(
        dataset.id, upsert=[item(known[2], q=2), item(known[1], q=3)], delete=[known[0]]
    )
    assert (first.number, second.number) == (1, 2)
    assert storage.change_items(dataset.id, upsert=[item(new_id(), q=2)], skip_known=True) is None
    assert [v.number for v in storage.list_dataset_versions(dataset.id)] == [1, 2]
    assert [i.data for i in storage.list_dataset_items(dataset.id)] == [{"q": 3}, {"q": 2}]
    assert [i.data for i in storage.list_dataset_items(dataset.id, version=1)] == [
        {"q": 1},
        {"q": 2},
    ]
    where = parse_filter("data.q = 3", "dataset_item")
    assert [i.id for i in storage.list_dataset_items(dataset.id, where=where)] == [known[1]]
    with pytest.raises(NotFoundError):
        list(storage.list_dataset_items(dataset.id, version=7))
    with pytest.raises(NotFoundError):
        storage.change_items(new_id(), upsert=[item(new_id())])
    assert [d.name for d in storage.list_datasets()] == ["d"]
    storage.delete_dataset(dataset.id)
    assert storage.find_dataset("d") is None


def test_an_experiment_is_read_back_with_what_opik_keeps(storage):
    """Configuration, state of the run, items, scores and summaries come back."""
    dataset = Dataset(id=new_id(), name="d")
    storage.write([dataset])
    question = DatasetItem(id=new_id(), data={"q": 1})
    storage.change_items(dataset.id, upsert=[question])
    experiment = Experiment(
        id=new_id(),
        name="e",
        dataset_name="d",
        project_name="P",
        config={"model": "m"},
        run={"seed": 1},
        status="running",
        tags=("t",),
    )
    trace = whole_trace(source="experiment")
    done = ExperimentItem(
        id=new_id(),
        experiment_id=experiment.id,
        dataset_item_id=question.id,
        trace_id=trace.id,
        project_name="P",
        scores=(ItemScore(name="exact", value=1),),
    )
    score = FeedbackScore(entity_id=trace.id, name="exact", value=1, project_name="P")
    storage.write([experiment, trace, done, score])
    storage.write([Experiment(id=experiment.id, status="completed", experiment_scores={"f": 0.5})])
    found = storage.find_experiment(experiment.id)
    assert (found.name, found.config, found.run) == ("e", {"model": "m"}, {"seed": 1})
    assert (found.status, found.experiment_scores) == ("completed", {"f": 0.5})
    assert [e.id for e in storage.list_experiments(name="e", dataset_name="d")] == [experiment.id]
    assert list(storage.list_experiments(dataset_name="unknown")) == []
    (kept,) = storage.list_experiment_items(experiment.id)
    assert (kept.id, kept.dataset_item_id, kept.trace_id) == (done.id, question.id, trace.id)
    (summary,) = storage.summarize_scores([experiment.id])
    assert (summary.name, summary.count, summary.mean) == ("exact", 1, 1)
    assert list(storage.list_experiment_items(new_id())) == []
    storage.delete_experiment_items([done.id])
    assert list(storage.list_experiment_items(experiment.id)) == []
    storage.delete_experiments([experiment.id])
    assert storage.find_experiment(experiment.id) is None
    storage.delete_traces([trace.id])
    assert storage.find_trace(trace.id) is None


def test_attachments_are_uploaded_and_fetched_by_their_links(storage):
    """A file goes up in the way that the server asks for, and is read back by its link."""
    trace = whole_trace()
    storage.write([trace])
    content = b"\x00\xff" * 500
    file = Attachment(
        id=new_id(),
        entity_type="trace",
        entity_id=trace.id,
        file_name="a.bin",
        mime_type="application/octet-stream",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )
    storage.put_attachment(file, content)
    (found,) = storage.list_attachments("trace", trace.id)
    assert (found.file_name, found.size_bytes) == ("a.bin", len(content))
    assert list(storage.list_attachments("trace", new_id())) == []
