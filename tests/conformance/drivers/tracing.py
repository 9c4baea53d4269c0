"""Tracing in all its forms."""

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime

import opik
from driving import drive
from opik import opik_context

traces = {}


def here(name):
    """Note the ids of where the program is."""
    traces[name] = {
        "trace": opik_context.get_current_trace_data().id,
        "span": opik_context.get_current_span_data().id,
    }


@opik.track(name="leaf", type="tool", tags=["leaf"], metadata={"depth": 2})
def leaf(number):
    here("leaf")
    return {"doubled": number * 2}


@opik.track
def nested(number):
    here("nested")
    opik_context.update_current_trace(
        tags=["nested"], metadata={"kind": "nested"}, thread_id="thread-1"
    )
    opik_context.update_current_span(
        model="gpt-4o-mini",
        provider="openai",
        usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    )
    return leaf(number)["doubled"] + 1


@opik.track
def counting(most):
    here("counting")
    yield from range(most)


@opik.track
async def waiting(text):
    here("waiting")
    await asyncio.sleep(0)
    return await answered(text)


@opik.track
async def answered(text):
    return text[::-1]


@opik.track
async def streaming(text):
    here("streaming")
    for letter in text:
        yield letter


@opik.track
def failing(text):
    here("failing")
    raise ValueError(f"no {text}")


@opik.track
def odd(value):
    here("odd")
    return value


@opik.track
def threaded(number):
    here(f"threaded {number}")
    return number


async def concurrently():
    await asyncio.gather(*(waiting(text) for text in ("one", "two", "three")))
    return [letter async for letter in streaming("stream")]


def by_hand(client):
    start = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    end = datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
    trace = client.trace(
        name="by hand",
        start_time=start,
        input={"q": "Grüße, 世界 \x00?"},
        metadata={"a": {"b": [1, 2.5, None]}},
        tags=["t"],
    )
    span = trace.span(
        name="model",
        type="llm",
        start_time=start,
        input={"messages": []},
        model="m",
        provider="p",
        total_cost=0.125,
    )
    inner = span.span(name="inner", start_time=start)
    inner.end(end_time=end, output={"inner": True})
    span.update(
        output={"text": "reply"},
        usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    )
    span.end(end_time=end)
    trace.update(tags=["t", "u"])
    trace.end(end_time=end, output={"a": "reply"}, thread_id="thread-2")
    traces["by hand"] = {"trace": trace.id, "span": span.id}


def flow(client):
    assert nested(20) == 41
    assert list(counting(5)) == [0, 1, 2, 3, 4]
    assert asyncio.run(concurrently()) == list("stream")
    with suppress(ValueError):
        failing("luck")
    odd(
        {
            "nan": float("nan"),
            "bytes": b"\x00\xff",
            "set": {1},
            "when": datetime(2026, 1, 1, tzinfo=UTC),
        }
    )
    odd({"large": "x" * 300_000, "deep": {"a": {"b": {"c": [[], {}, None]}}}})
    workers = [threading.Thread(target=threaded, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with opik.start_as_current_trace("block", input={"in": 1}) as trace:
        trace.output = {"out": 1}
        with opik.start_as_current_span("inside", type="general") as span:
            span.metadata = {"inside": True}
        traces["block"] = {"trace": trace.id, "span": span.id}
    by_hand(client)
    return traces


if __name__ == "__main__":
    drive(flow)
