"""``@track``: what it records of calls, and what it leaves alone."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
import pickle

import pytest

from opik_eval import opik_context
from opik_eval.records import SpanType
from opik_eval.tracing import (
    current_span,
    set_tracing_active,
    start_as_current_span,
    start_as_current_trace,
    track,
)
from opik_eval.tracing import generators as generators_module


@track
def shout(text: str, times: int = 1) -> str:
    """Repeat a text."""
    return text.upper() * times


def test_bare_decorator_records_arguments_and_result(got):
    """Arguments appear under their names with defaults; a plain result becomes ``output``."""
    assert shout("a") == "A"
    span = got.span("shout")
    assert span.input == {"text": "a", "times": 1}
    assert span.output == {"output": "A"}
    assert got.traces[0].name == "shout"
    assert got.traces[0].input == span.input
    assert span.type is SpanType.GENERAL


def test_options_reach_span_and_trace(got):
    """Name, type, tags, metadata, project, source and environment are recorded."""

    @track(
        "search",
        type="tool",
        tags=["a"],
        metadata={"k": 1},
        project_name="mine",
        source="playground",
        environment="prod",
    )
    def function() -> dict[str, int]:
        return {"hits": 3}

    function()
    span, trace = got.span("search"), got.traces[0]
    assert (span.type, span.tags, span.metadata) == (SpanType.TOOL, ("a",), {"k": 1})
    assert (trace.tags, trace.metadata, trace.source) == (("a",), {"k": 1}, "playground")
    assert span.project_name == trace.project_name == "mine"
    assert span.environment == "prod"
    assert span.output == {"hits": 3}


def test_unknown_options_and_types_are_refused_at_once():
    """A typo fails where the decorator is written, not when the function is called."""
    with pytest.raises(TypeError, match="no option 'tag'"):
        track(tag=["x"])
    with pytest.raises(ValueError, match="nonsense"):
        track(type="nonsense")(shout)


def test_function_keeps_its_face():
    """Name, docstring, signature and kind of the function are preserved; it is marked."""
    assert shout.__name__ == "shout"
    assert shout.__doc__ == "Repeat a text."
    assert str(inspect.signature(shout)) == "(text: 'str', times: 'int' = 1) -> 'str'"
    assert shout.opik_tracked is True
    assert inspect.iscoroutinefunction(track(_later))


async def _later(value: int) -> int:
    await asyncio.sleep(0)
    if value < 0:
        raise ValueError("negative")
    return value


def test_decorated_functions_can_be_pickled():
    """A decorated module-level function is pickled by reference, as workers need it."""
    assert pickle.loads(pickle.dumps(shout)) is shout


def test_decorated_function_of_main_survives_cloudpickle(got):
    """A decorated function that has no module to be imported from can be sent by value."""
    cloudpickle = pytest.importorskip("cloudpickle")
    scope = {"track": track, "__name__": "__main__"}
    code = "@track(name='sent', tags=['t'])\ndef function(a, b: int = 2):\n    return a + b\n"
    exec(code, scope)
    function = pickle.loads(cloudpickle.dumps(scope["function"]))
    assert function(1) == 3
    assert got.span("sent").input == {"a": 1, "b": 2}


def test_nested_calls_form_one_trace(got):
    """A tracked function called by another is its child; only the outer one starts a trace."""

    @track
    def outer(x: int) -> str:
        return shout(str(x))

    outer(1)
    outer_span, inner_span = got.span("outer"), got.span("shout")
    assert inner_span.parent_span_id == outer_span.id
    assert len(got.traces) == 1


def test_input_is_a_snapshot_of_the_call(got):
    """Changing an argument during or after the call does not change the record."""

    @track
    def function(items: list[int]) -> list[int]:
        items.append(2)
        return items

    given = [1]
    result = function(given)
    result.append(3)
    span = got.span("function")
    assert span.input == {"items": [1]}
    assert span.output == {"output": [1, 2]}


def test_capture_can_be_switched_off_or_narrowed(got):
    """Input, single arguments and output can be left out."""

    @track(capture_input=False, capture_output=False)
    def silent(x: int) -> int:
        return x

    @track(ignore_arguments=["big"])
    def narrow(x: int, big: object) -> int:
        return x

    silent(1)
    narrow(1, object())
    assert (got.span("silent").input, got.span("silent").output) == (None, None)
    assert got.span("narrow").input == {"x": 1}


def test_secrets_are_redacted(got):
    """Arguments that look like credentials never are recorded, nested ones in model calls."""

    @track(type="llm")
    def call(messages: list[str], api_key: str, params: dict[str, str]) -> str:
        return "ok"

    call(["hi"], "sk-1", {"api_key": "sk-2", "max_tokens": "5"})
    assert got.span("call").input == {
        "messages": ["hi"],
        "api_key": "[redacted]",
        "params": {"api_key": "[redacted]", "max_tokens": "5"},
    }


@pytest.mark.parametrize(
    ("make", "args", "kwargs", "expected"),
    [
        (lambda: lambda a, *rest, **more: 0, (1, 2), {"z": 3}, [1, [2], {"z": 3}]),
        (lambda: lambda a, /, b=2, *, c=3: 0, (1,), {"c": 4}, [1, 2, 4]),
        (lambda: lambda a, *, b: 0, (1,), {"b": 2}, [1, 2]),
    ],
)
def test_every_kind_of_parameter_is_captured(got, make, args, kwargs, expected):
    """Positional-only, variadic and keyword-only parameters appear under their names."""
    function = make()
    track("f")(function)(*args, **kwargs)
    assert list(got.span("f").input.values()) == expected


def test_wrong_arguments_fail_as_they_would_without_us(got):
    """A call that does not fit raises its own TypeError, recorded with what was passed."""
    with pytest.raises(TypeError, match="shout"):
        shout("a", 1, 2)
    with pytest.raises(TypeError, match="missing"):
        shout(times=1)
    with pytest.raises(TypeError, match="unexpected"):
        shout("a", tmes=1)
    assert got.spans[0].input == {"args": ["a", 1, 2], "kwargs": {}}
    assert got.spans[1].input == {"times": 1}
    assert got.spans[2].error_info.exception_type == "TypeError"


def test_builtins_and_callable_objects_can_be_tracked(got):
    """What has no signature or no name of its own is tracked too."""

    class Adder:
        def __call__(self, x: int) -> int:
            return x + 1

    track("text")(str)(5)
    track(Adder())(1)
    track("p")(functools.partial(shout, times=2))("a")
    assert got.spans[0].output == {"output": "5"}
    assert got.span("Adder").input == {"x": 1}
    assert got.span("p").output == {"output": "AA"}


def test_methods_of_every_kind(got):
    """``self`` and ``cls`` are not recorded; class and static methods stay what they are."""

    class Service:
        @track
        def plain(self, x: int) -> int:
            return x

        @track
        @classmethod
        def of_class(cls, x: int) -> type:
            return cls

        @staticmethod
        @track
        def inner_static(x: int) -> int:
            return x

        @track
        @staticmethod
        def outer_static(x: int) -> int:
            return x

    assert Service().plain(1) == 1
    assert Service.of_class(2) is Service
    assert (Service.inner_static(3), Service().outer_static(4)) == (3, 4)
    assert [span.input for span in got.spans] == [{"x": 1}, {"x": 2}, {"x": 3}, {"x": 4}]


def test_what_the_function_says_wins_over_what_is_captured(got):
    """An output set through ``opik_context`` is merged over the captured one."""

    @track
    def merged() -> dict[str, int]:
        opik_context.update_current_span(output={"a": 1, "extra": True}, metadata={"m": 1})
        return {"a": 2, "b": 2}

    @track
    def replaced() -> int:
        opik_context.update_current_span(output="said")
        return 1

    merged()
    replaced()
    assert got.span("merged").output == {"a": 1, "b": 2, "extra": True}
    assert got.span("merged").metadata == {"m": 1}
    assert got.span("replaced").output == "said"


def test_async_function(got):
    """The span of a coroutine lasts until it has returned; its error is recorded."""

    async def main() -> None:
        tracked = track(_later)
        assert await tracked(3) == 3
        with pytest.raises(ValueError, match="negative"):
            await tracked(-1)

    asyncio.run(main())
    good, bad = got.spans
    assert good.output == {"output": 3}
    assert bad.error_info.exception_type == "ValueError"
    assert bad.output is None


def test_cancelled_coroutine_leaves_a_finished_span(got):
    """Cancellation ends the span with the error and still cancels."""

    @track
    async def hang() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(hang())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert got.span("hang").error_info.exception_type == "CancelledError"
    assert got.span("hang").end_time is not None


def test_root_without_duplicate_span(got):
    """Without a duplicate root span a root call is a trace alone, a nested one a span."""

    @track(create_duplicate_root_span=False, tags=["t"], metadata={"m": 1})
    def root(x: int) -> str:
        assert (current_span() is None) == (x == 1)
        opik_context.update_current_trace(thread_id="chat")
        return shout(str(x))

    root(1)
    (trace,) = got.traces
    assert (trace.input, trace.output, trace.tags) == ({"x": 1}, {"output": "1"}, ("t",))
    assert (trace.thread_id, trace.metadata) == ("chat", {"m": 1})
    assert [span.name for span in got.spans] == ["shout"]
    root(1, opik_args={"span": {"tags": ["extra"]}})
    assert got.traces[1].tags == ("t", "extra")
    with start_as_current_trace("around"):
        root(2)
    assert got.span("root").output == {"output": "2"}


def test_opik_args_add_to_span_and_trace(got):
    """``opik_args`` is taken out of the call and adds tags, metadata, thread and trace id."""
    args = {
        "span": {"tags": ["s"], "metadata": {"a": 1}},
        "trace": {"id": "0190c7e0-0000-7000-8000-000000000001", "thread_id": "chat", "tags": ["t"]},
    }
    assert shout("a", opik_args=args) == "A"
    span, trace = got.span("shout"), got.traces[0]
    assert (span.tags, span.metadata) == (("s",), {"a": 1})
    assert trace.id == span.trace_id == "0190c7e0-0000-7000-8000-000000000001"
    assert (trace.thread_id, trace.tags) == ("chat", ("t",))
    with pytest.raises(TypeError, match="no field 'colour'"):
        shout("a", opik_args={"span": {"colour": 1}})


def test_own_opik_args_stay_with_the_function(got):
    """A function that has an ``opik_args`` parameter itself receives it."""

    @track
    def function(opik_args: object = None) -> object:
        return opik_args

    assert function(opik_args=5) == 5


def test_headers_continue_a_trace_of_another_process(got):
    """With distributed headers the call is a child of the remote span and starts no trace."""
    with start_as_current_span("client", project_name="theirs") as client:
        headers = opik_context.get_distributed_trace_headers()
    shout("a", opik_distributed_trace_headers=headers)
    span = got.span("shout")
    assert (span.trace_id, span.parent_span_id) == (client.trace.id, client.id)
    assert span.project_name == "theirs"
    assert len(got.traces) == 1


def test_switched_off_functions_just_run(got):
    """While tracing is off nothing is recorded, and our keywords are still taken out."""
    set_tracing_active(False)
    assert shout("a", opik_args={"span": {}}, opik_distributed_trace_headers={}) == "A"
    assert asyncio.run(track(_later)(1)) == 1
    assert list(track(_count)(2)) == [0, 1]

    async def collect() -> list[int]:
        return [item async for item in track(_acount)(2)]

    assert asyncio.run(collect()) == [0, 1]
    assert got.spans == []


def _count(n: int):
    for number in range(n):
        with start_as_current_span(f"step {number}"):
            pass
        yield number
    return "done"


async def _acount(n: int):
    for number in range(n):
        await asyncio.sleep(0)
        yield number


def test_generator_span_lasts_until_exhaustion(got):
    """Yielded values are the output; spans inside belong to it; between steps it is not current."""

    @track
    def outer() -> list[int]:
        items = []
        for item in track(_count)(2):
            assert current_span().name == "outer"
            items.append(item)
        return items

    assert outer() == [0, 1]
    span = got.span("_count")
    assert span.output == {"output": [0, 1]}
    assert got.span("step 1").parent_span_id == span.id
    assert span.parent_span_id == got.span("outer").id


def test_generator_belongs_to_its_caller_wherever_it_is_consumed(got):
    """A stream that a tracked function returns is that function's child, consumed after its end."""

    @track
    def answer() -> object:
        return track(_count)(1)

    assert list(answer()) == [0]
    assert got.span("_count").parent_span_id == got.span("answer").id
    assert len(got.traces) == 1


def test_generator_protocol_is_transparent(got):
    """``send``, ``throw`` and the return value pass through."""

    @track
    def echo():
        heard = yield "ready"
        try:
            yield heard
        except KeyError:
            yield "caught"
        return "bye"

    stream = echo()
    assert next(stream) == "ready"
    assert stream.send("hello") == "hello"
    assert stream.throw(KeyError()) == "caught"
    with pytest.raises(StopIteration) as stop:
        next(stream)
    assert stop.value.value == "bye"
    assert got.span("echo").output == {"output": "readyhellocaught"}
    assert got.span("echo").error_info is None


@pytest.mark.parametrize("ending", ["close", "collect"])
def test_abandoned_generator_ends_its_span(got, ending):
    """Closing or dropping a generator closes the inner one and ends the span without an error."""
    cleaned = []

    @track
    def stream():
        try:
            yield "a"
            yield "b"
        finally:
            cleaned.append(True)

    items = stream()
    next(items)
    if ending == "close":
        items.close()
    del items
    gc.collect()
    assert cleaned == [True]
    span = got.span("stream")
    assert (span.output, span.error_info) == ({"output": "a"}, None)


def test_failing_generator_records_error_and_what_it_yielded(got):
    """An exception inside ends the span with both."""

    @track
    def stream():
        yield 1
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(stream())
    span = got.span("stream")
    assert span.output == {"output": [1]}
    assert span.error_info.exception_type == "RuntimeError"


def test_generator_that_never_starts_leaves_no_span(got):
    """Making a generator runs nothing, so there is nothing to record."""
    track(_count)(1)
    gc.collect()
    assert got.spans == []


def test_aggregator_gets_everything(got, caplog):
    """An aggregator sees all yielded values; one that fails costs the stream nothing."""

    def broken(items: list[object]) -> object:
        raise RuntimeError("aggregator")

    @track("sum", generations_aggregator=sum)
    def numbers():
        yield from range(5)

    assert list(numbers()) == [0, 1, 2, 3, 4]
    assert got.span("sum").output == {"output": 10}
    with caplog.at_level(logging.WARNING):
        assert list(track("broken", generations_aggregator=broken)(_plain)()) == [0, 1]
    assert got.span("broken").output == {"output": [0, 1]}
    assert "aggregator" in caplog.text


def _plain():
    yield from range(2)


def test_memory_of_a_long_stream_is_bounded(got, monkeypatch):
    """Without an aggregator only so many items are kept, and the rest is counted."""
    monkeypatch.setattr(generators_module, "MAX_YIELDED", 3)
    assert len(list(track("long")(_long)())) == 10
    assert got.span("long").output == {"output": [0, 1, 2]}
    assert got.span("long").metadata == {"yielded_items_not_recorded": 7}
    list(track("silent", capture_output=False)(_long)())
    assert got.span("silent").output is None
    assert got.span("silent").metadata is None


def _long():
    yield from range(10)


def test_streams_of_models_know_their_first_token(got):
    """The first item of a model's stream sets the time to the first token."""
    list(track("llm", type="llm")(_plain)())
    list(track("general")(_plain)())
    assert got.span("llm").ttft_seconds >= 0
    assert got.span("general").ttft_seconds is None


def test_async_generator(got):
    """Asynchronous generators are recorded alike: exhausted, closed early, failing, thrown into."""

    @track
    async def stream(n: int):
        for number in range(n):
            try:
                heard = yield f"{number}"
            except KeyError:
                yield "caught"
            else:
                if heard == "fail":
                    raise RuntimeError("told so")

    async def main() -> None:
        assert [item async for item in stream(2)] == ["0", "1"]
        closed = stream(5)
        await anext(closed)
        await closed.aclose()
        thrown = stream(1)
        await anext(thrown)
        assert await thrown.athrow(KeyError()) == "caught"
        await thrown.aclose()
        failing = stream(5)
        await anext(failing)
        with pytest.raises(RuntimeError, match="told so"):
            await failing.asend("fail")

    asyncio.run(main())
    outputs = [span.output["output"] for span in got.spans]
    assert outputs == ["01", "0", "0caught", "0"]
    assert [span.error_info is not None for span in got.spans] == [False, False, False, True]


def test_abandoned_async_generator_ends_with_its_loop(got):
    """An asynchronous generator that nobody closes ends its span when the loop does."""

    kept = []

    async def main() -> None:
        kept.append(track(_acount)(5))
        await anext(kept[0])

    asyncio.run(main())
    assert got.span("_acount").output == {"output": [0]}


def test_flush_option_waits_for_the_store(store):
    """With ``flush=True`` the span is stored when the call returns."""
    track("now", flush=True)(shout)("a")
    assert [span.name for span in store.list_spans()] == ["shout", "now"][::-1]


def test_traces_reach_the_store(store):
    """Everything recorded through ``@track`` can be read back from the store."""
    from opik_eval.tracing import flush_tracker

    shout("a", opik_args={"trace": {"feedback_scores": [{"name": "good", "value": 1}]}})
    assert flush_tracker().complete
    (trace,) = store.list_traces(project_name="tests")
    (span,) = store.list_spans(trace_ids=[trace.id])
    (score,) = store.list_feedback_scores("trace", [trace.id])
    assert (span.name, score.value) == ("shout", 1.0)
