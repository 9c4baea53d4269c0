"""Traces across threads and processes."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from opik_eval.errors import TracingError
from opik_eval.tracing import (
    TracedThreadPool,
    current_span,
    current_trace,
    distributed_headers,
    get_distributed_trace_headers,
    set_tracing_active,
    start_as_current_span,
    start_as_current_trace,
    with_context,
)
from opik_eval.tracing import tracer as tracer_module

UUID = "0190c7e0-0000-7000-8000-000000000001"


def _name_of_current(_: object = None) -> str | None:
    span = current_span()
    return span and span.name


def test_plain_threads_do_not_inherit_and_with_context_does(got):
    """Work in a plain pool is outside of the trace; bound to the context it is inside."""
    with ThreadPoolExecutor(2) as pool, start_as_current_span("s"):
        assert pool.submit(_name_of_current).result() is None
        assert list(pool.map(with_context(_name_of_current), range(8))) == ["s"] * 8


def test_with_context_keeps_the_moment_it_was_made(got):
    """The binding holds after the span has ended, and calls do not disturb each other."""
    with start_as_current_span("parent") as parent:

        def work(name: str) -> None:
            with start_as_current_span(name):
                assert current_span().name == name

        bound = with_context(work)
    threads = [threading.Thread(target=bound, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(got.span(f"w{n}").parent_span_id == parent.id for n in range(4))


def test_traced_thread_pool_inherits_at_submission(got):
    """Each piece of work belongs to the span that was running when it was submitted."""
    with TracedThreadPool(2) as pool:
        with start_as_current_span("one"):
            first = pool.submit(_name_of_current)
        with start_as_current_span("two"):
            second = list(pool.map(_name_of_current, range(2)))
        third = pool.submit(_name_of_current)
        assert (first.result(), second, third.result()) == ("one", ["two", "two"], None)


def test_headers_carry_trace_span_and_project(got):
    """Headers are plain ASCII texts, whatever the project is called."""
    with start_as_current_span("s", project_name="Größe") as span:
        headers = get_distributed_trace_headers()
    assert headers == {
        "opik_trace_id": span.trace.id,
        "opik_parent_span_id": span.id,
        "opik_project_name": "Gr%C3%B6%C3%9Fe",
    }
    with start_as_current_trace("t"):
        assert "opik_parent_span_id" not in get_distributed_trace_headers()


def test_headers_without_a_trace_are_an_error(got):
    """There is nothing to propagate outside of any trace."""
    with pytest.raises(TracingError, match="no trace to propagate"):
        get_distributed_trace_headers()


def test_spans_continue_the_remote_trace(got):
    """Inside the block spans belong to the remote span, and no trace of our own is emitted."""
    headers = {"Opik-Trace-Id": UUID, "OPIK_PARENT_SPAN_ID": UUID, "opik_project_name": "Gr%C3%B6"}
    with distributed_headers(headers):
        assert get_distributed_trace_headers()["opik_parent_span_id"] == UUID
        with start_as_current_span("here"):
            pass
    span = got.span("here")
    assert (span.trace_id, span.parent_span_id, span.project_name) == (UUID, UUID, "Grö")
    assert got.traces == []
    assert current_trace() is None


def test_updates_of_a_remote_trace_are_partial_and_immediate(got):
    """What is said of a trace that another process ends touches only what was said."""
    with distributed_headers({"opik_trace_id": UUID}):
        current_trace().update(tags=["seen"])
        current_trace().end()
    (trace,) = got.traces
    assert trace.tags == ("seen",)
    unsaid = (trace.name, trace.start_time, trace.end_time, trace.source, trace.input)
    assert unsaid == (None,) * 5


@pytest.mark.parametrize("headers", [None, {}, {"other": "x"}, {"opik_trace_id": ""}])
def test_without_headers_the_block_is_local(got, headers):
    """Requests without trace headers are traced on their own."""
    with distributed_headers(headers), start_as_current_span("s"):
        pass
    assert len(got.traces) == 1


@pytest.mark.parametrize(
    "headers",
    [{"opik_trace_id": "x"}, {"opik_trace_id": UUID, "opik_parent_span_id": "'; drop"}],
)
def test_malformed_headers_are_ignored_with_a_warning(got, headers, caplog):
    """A stranger's broken header neither fails the request nor reaches the store."""
    caplog.set_level(logging.WARNING)
    with distributed_headers(headers), start_as_current_span("s"):
        pass
    assert len(got.traces) == 1
    assert "malformed" in caplog.text


def test_headers_are_ignored_while_tracing_is_off(got):
    """With tracing off nothing becomes current."""
    set_tracing_active(False)
    with distributed_headers({"opik_trace_id": UUID}):
        assert current_trace() is None


def test_remote_trace_is_in_the_default_project_if_none_is_named(got):
    """Headers of Opik's own client name no project."""
    with distributed_headers({"opik_trace_id": UUID}), start_as_current_span("s"):
        pass
    assert got.span("s").project_name == tracer_module.process_tracer().project_name
