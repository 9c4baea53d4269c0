"""Traces and spans while they run: the current one, their fields, their records."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval import opik_context
from opik_eval.errors import TracingError
from opik_eval.records import ErrorInfo, SpanType
from opik_eval.tracing import (
    current_span,
    current_trace,
    project_context,
    set_tracing_active,
    start_as_current_span,
    start_as_current_trace,
)
from opik_eval.tracing.capture import flat_usage, looks_secret, redact, snapshot
from opik_eval.tracing.context import CollectingSink, trace_scope
from opik_eval.tracing.sink import Upload
from opik_eval.tracing.state import SpanState, TraceState


def test_spans_nest_and_carry_trace_and_project(got):
    """A span knows the span and trace it lies in, and its project is the trace's."""
    with start_as_current_trace("job", project_name="mine") as trace:
        with start_as_current_span("outer") as outer, start_as_current_span("inner") as inner:
            assert current_span() is inner
            assert current_trace() is trace
        assert current_span() is None
    assert got.span("inner").parent_span_id == outer.id
    assert got.span("outer").parent_span_id is None
    assert {span.trace_id for span in got.spans} == {trace.id}
    assert {span.project_name for span in got.spans} == {"mine"}
    assert got.traces[0].project_name == "mine"
    assert current_trace() is None


def test_span_without_trace_starts_one(got):
    """A span outside any trace gets a trace with its name, input, output and times."""
    with start_as_current_span("alone", input={"q": 1}) as span:
        span.update(output={"a": 2})
    (trace,) = got.traces
    assert (trace.name, trace.input, trace.output) == ("alone", {"q": 1}, {"a": 2})
    assert trace.end_time == got.spans[0].end_time
    assert trace.project_name == "tests"


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, asyncio.CancelledError])
def test_whatever_ends_a_block_is_recorded_and_passes_on(got, kind):
    """Exceptions, Ctrl-C and cancellation are recorded with their traceback and raised again."""
    with pytest.raises(kind), start_as_current_span("work"):
        raise kind("why")
    info = got.spans[0].error_info
    assert info.exception_type == kind.__name__
    assert info.message == "why"
    assert "raise kind" in info.traceback
    assert got.traces[0].error_info == info


def test_trace_scope_neither_starts_nor_ends(sink):
    """``trace_scope`` only makes a trace current; its owner ends it, once."""
    state = TraceState(sink, "task", project_name="p")
    with trace_scope(state):
        assert current_trace() is state
    assert sink.traces == []
    state.end()
    state.end()
    assert len(sink.traces) == 1


def test_update_merges_mappings_and_tags_and_replaces_the_rest(sink):
    """Nested mappings merge, tags unite in order, other values replace, ``None`` says nothing."""
    trace = TraceState(sink, "t", metadata={"a": {"x": 1}, "b": 1}, tags=["one"])
    trace.update(metadata={"a": {"y": 2}}, tags=["two", "one"], thread_id=7, name="new")
    trace.update(metadata=None, tags=None, name=None)
    record = trace.record()
    assert record.metadata == {"a": {"x": 1, "y": 2}, "b": 1}
    assert record.tags == ("one", "two")
    assert (record.thread_id, record.name) == ("7", "new")


def test_error_whose_text_cannot_be_shown(got):
    """An exception with a broken ``__str__`` is recorded all the same."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    with pytest.raises(MuteError), start_as_current_span("s"):
        raise MuteError
    assert got.spans[0].error_info.message == "<message cannot be shown>"


def test_update_after_the_end_is_emitted_again(sink):
    """What is said of a span or trace after its end reaches the sink too."""
    trace = TraceState(sink, "t")
    span = SpanState(trace, "s")
    span.end()
    trace.end()
    span.update(output="late")
    trace.update(tags=["late"])
    trace.score("late", 1)
    assert [record.output for record in sink.spans] == [None, "late"]
    assert [score.name for score in sink.scores] == ["late"]
    assert sink.traces[-1].tags == ("late",)


def test_every_field_of_a_span_reaches_its_record(sink):
    """Type, model, provider, usage, cost, first token, error and environment are recorded."""
    trace = TraceState(sink, "t", environment="staging", source="experiment")
    span = SpanState(trace, "s", type="llm", model="m", provider="p")
    span.update(
        usage={"total_tokens": 3, "details": {"cached": 1}},
        cost_usd=1,
        ttft_seconds=0.5,
        error_info={"exception_type": "E", "traceback": "tb"},
    )
    record = span.record()
    assert record.type is SpanType.LLM
    assert record.usage == {"total_tokens": 3, "details.cached": 1}
    assert (record.cost_usd, record.ttft_seconds) == (1.0, 0.5)
    assert record.error_info == ErrorInfo(exception_type="E", traceback="tb")
    assert (record.environment, record.source) == ("staging", "experiment")


def test_unknown_fields_are_refused(sink):
    """A misspelt field is a TypeError, and so is a span's field on a trace."""
    with pytest.raises(TypeError, match="no field 'ouput'"):
        SpanState(TraceState(sink), "s", ouput=1)
    with pytest.raises(TypeError, match="trace has no field 'usage'"):
        TraceState(sink, usage={"total_tokens": 1})
    with pytest.raises(TypeError, match="must be a mapping"):
        TraceState(sink, metadata="text")


def test_scores_follow_their_entity(sink):
    """Feedback scores are emitted after the span or trace they belong to, with its project."""
    trace = TraceState(sink, "t", project_name="p")
    span = SpanState(trace, "s")
    span.score("good", 1, reason="yes")
    trace.update(feedback_scores=[{"name": "ok", "value": True, "category_name": "c"}])
    span.end()
    trace.end()
    of_span, of_trace = sink.scores
    assert (of_span.entity_type, of_span.entity_id, of_span.value) == ("span", span.id, 1.0)
    assert (of_trace.entity_type, of_trace.entity_id, of_trace.category_name) == (
        "trace",
        trace.id,
        "c",
    )
    assert of_span.project_name == of_trace.project_name == "p"


@pytest.mark.parametrize("score", [{"name": "x"}, {"name": "x", "value": 1, "valeu": 2}])
def test_malformed_scores_are_refused(sink, score):
    """A score without a value, or with an unknown key, is an error that says so."""
    with pytest.raises(TracingError, match="malformed"):
        TraceState(sink, "t").update(feedback_scores=[score])


def test_nothing_ends_before_it_starts(sink):
    """When the clock is set back, the end is the start."""
    future = datetime.now(UTC) + timedelta(days=1)
    span = SpanState(TraceState(sink), "s", start_time=future)
    span.end()
    assert sink.spans[0].end_time == future


def test_switched_off_nothing_is_recorded(got):
    """While tracing is off blocks run as usual and yield states that nobody hears of."""
    set_tracing_active(False)
    with start_as_current_span("s", input=1) as span, start_as_current_trace("t") as trace:
        span.update(output=2)
        trace.update(tags=["x"])
        assert current_span() is None
        opik_context.update_current_span(metadata={"ignored": True})
        opik_context.update_current_trace(metadata={"ignored": True})
        opik_context.update_current_trace(metadata={"ignored": True})
    opik_context.update_current_trace(metadata={"ignored": True})
    with pytest.raises(ZeroDivisionError), start_as_current_span("s"):
        _ = 1 / 0
    assert (got.spans, got.traces) == ([], [])


def test_flush_option_of_blocks_waits_for_the_store(store):
    """With ``flush=True`` spans and traces are stored when the block is left."""
    with start_as_current_trace("t", flush=True), start_as_current_span("s", flush=True) as span:
        pass
    assert store.find_span(span.id).name == "s"
    assert store.find_trace(span.trace.id).name == "t"


def test_project_context_names_the_project_of_new_traces(got):
    """Traces that start inside ``project_context`` go there, unless they name a project."""
    with project_context("there"):
        with start_as_current_span("a"):
            pass
        with start_as_current_span("b", project_name="own"):
            pass
    with start_as_current_span("c"):
        pass
    assert [trace.project_name for trace in got.traces] == ["there", "own", "tests"]


def test_scope_left_in_another_context_does_not_fail(got):
    """A block that is entered in one context and left in another still ends its span."""

    def leave_elsewhere() -> None:
        block = start_as_current_span("left by a stranger")
        block.__enter__()
        contextvars.copy_context().run(block.__exit__, None, None, None)

    def enter_elsewhere() -> None:
        block = start_as_current_span("entered by a stranger")
        contextvars.copy_context().run(block.__enter__)
        block.__exit__(None, None, None)
        assert current_span() is None

    def inherit() -> None:
        block = start_as_current_span("inherited")
        block.__enter__()

        def leave() -> None:
            block.__exit__(None, None, None)
            assert current_span() is None

        contextvars.copy_context().run(leave)

    for case in (leave_elsewhere, enter_elsewhere, inherit):
        contextvars.copy_context().run(case)
    assert len(got.spans) == 3


def test_concurrent_tasks_do_not_see_each_other(got):
    """Each asyncio task has its own current span below the common one."""

    async def work(number: int) -> None:
        with start_as_current_span(f"task {number}"):
            await asyncio.sleep(0)
            with start_as_current_span(f"step {number}"):
                await asyncio.sleep(0)

    async def main() -> None:
        with start_as_current_span("all"):
            await asyncio.gather(*(work(number) for number in range(5)))

    asyncio.run(main())
    for number in range(5):
        task, step = got.span(f"task {number}"), got.span(f"step {number}")
        assert step.parent_span_id == task.id
        assert task.parent_span_id == got.span("all").id
    assert len(got.traces) == 1


def test_concurrent_updates_of_one_trace_are_all_kept(sink):
    """Metadata written from many threads at once merge without loss."""
    trace = TraceState(sink, "t")
    start = threading.Barrier(8)

    def update(number: int) -> None:
        start.wait()
        for step in range(50):
            trace.update(metadata={f"{number}.{step}": step})

    threads = [threading.Thread(target=update, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(trace.record().metadata) == 400


def test_collecting_sink_hands_over_once_and_then_passes_through(sink):
    """What comes before ``take`` is returned by it, what comes later goes to the fallback."""
    collecting = CollectingSink(sink)
    trace = TraceState(collecting, "t")
    SpanState(trace, "early").end()
    upload = Upload(
        id="1", entity_type="trace", entity_id="2", file_name="f", mime_type="m", content=b""
    )
    collecting.emit(upload)
    taken = collecting.take()
    SpanState(trace, "late").end()
    assert [record.name for record in taken] == ["early"]
    assert [span.name for span in sink.spans] == ["late"]
    assert sink.uploads == [upload]
    assert collecting.take() == []


def test_collecting_sink_loses_nothing_between_threads(sink):
    """Records emitted while another thread takes are either taken or passed on, never both."""
    collecting = CollectingSink(sink)
    trace = TraceState(collecting, "t")
    start = threading.Barrier(5)

    def emit() -> None:
        start.wait()
        for _ in range(200):
            SpanState(trace, "s").end()

    threads = [threading.Thread(target=emit) for _ in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    taken = collecting.take()
    for thread in threads:
        thread.join()
    ids = [record.id for record in (*taken, *sink.spans)]
    assert len(ids) == len(set(ids)) == 800


def test_current_data_are_copies(got):
    """Data from ``opik_context`` can be changed without changing the span or trace."""
    with start_as_current_span("s", metadata={"a": {}}, input={"q": []}):
        opik_context.get_current_span_data().metadata["a"]["x"] = 1
        opik_context.get_current_trace_data()
        opik_context.update_current_span(total_cost=0.5, name="renamed", output="done")
        opik_context.update_current_trace(thread_id="chat-1", tags=["t"])
    assert got.span("renamed").metadata == {"a": {}}
    assert got.span("renamed").cost_usd == 0.5
    assert (got.traces[0].thread_id, got.traces[0].tags) == ("chat-1", ("t",))


def test_context_functions_need_something_running(got):
    """Outside of any trace the getters return ``None`` and the updates raise TracingError."""
    assert opik_context.get_current_span_data() is None
    assert opik_context.get_current_trace_data() is None
    with pytest.raises(TracingError, match="no span is running"):
        opik_context.update_current_span(name="x")
    with pytest.raises(TracingError, match="no trace is running"):
        opik_context.update_current_trace(name="x")
    with opik_context.trace_context("t", thread_id="x") as trace:
        assert opik_context.get_current_trace_data().id == trace.id


class _Stubborn:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_snapshot_shares_nothing_and_never_fails():
    """A snapshot is made of new containers; what cannot be recorded is named by its type."""
    inner = [1]
    shot = snapshot({"a": inner, 2: (inner,)})
    inner.append(2)
    assert shot == {"a": [1], "2": [[1]]}
    assert snapshot(_Stubborn()) == "<_Stubborn whose text raises RuntimeError>"


@dataclass
class _Node:
    parent: _Node | None = None
    children: list[_Node] = field(default_factory=list)


def test_snapshot_of_objects_that_contain_themselves():
    """Parents that know children that know their parents are recorded, at once."""
    root = _Node()
    root.children = [_Node(root), _Node(root)]
    child = {"parent": "<_Node that contains itself>", "children": []}
    assert snapshot(root) == {"parent": None, "children": [child, child]}


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("api_key", True),
        ("apikey", True),
        ("apiKey", True),
        ("OPENAI_API_KEY", True),
        ("x-api-key", True),
        ("Authorization", True),
        ("aws_secret_access_key", True),
        ("azure_ad_token", True),
        ("hf_token", True),
        ("client_secret", True),
        ("db_password", True),
        ("vertex_credentials", True),
        ("max_tokens", False),
        ("token", False),
        ("eos_token", False),
        ("key", False),
        ("monkey", False),
        ("secretary", False),
        ("tokenizer", False),
    ],
)
def test_which_keys_look_secret(key, expected):
    """Credentials are recognised in the usual spellings; counts and tokens of text are not."""
    assert looks_secret(key) is expected


def test_redaction_reaches_any_depth_and_keeps_the_rest():
    """Secret values are replaced inside lists and mappings; absent ones stay absent."""
    value = {"api_key": "k", "secret": None, "m": [{"headers": {"X-Api-Key": "k", "n": 1}}, "t"]}
    assert redact(value) == {
        "api_key": "[redacted]",
        "secret": None,
        "m": [{"headers": {"X-Api-Key": "[redacted]", "n": 1}}, "t"],
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_snapshot_of_json_is_equal(value):
    """What is JSON already is recorded unchanged."""
    assert snapshot(value) == value


@given(st.dictionaries(st.text(min_size=1), json_values, max_size=5))
def test_flat_usage_has_only_integers(value):
    """Whatever a provider calls usage, the record holds integers by name."""
    assert all(type(count) is int for count in flat_usage(value).values())


def test_usage_that_is_no_mapping_is_empty():
    """A usage that is no mapping says nothing."""
    assert flat_usage(7) == {}
