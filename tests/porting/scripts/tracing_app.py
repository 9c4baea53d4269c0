"""A script written for Opik: manual traces, contexts, scores, search."""

import asyncio

import opik
from opik import Opik, opik_context, track

client = Opik(project_name="shop")


@track(tags=["chat"], project_name="shop")
def chat(message: str, thread: str) -> str:
    opik_context.update_current_trace(thread_id=thread, metadata={"channel": "web"})
    opik_context.update_current_span(name="chat-turn")
    headers = opik_context.get_distributed_trace_headers()
    assert {"opik_trace_id", "opik_parent_span_id"} <= set(headers)
    return message.upper()


@track
async def stream():
    for word in ("a", "b"):
        yield word


async def consume() -> list[str]:
    return [word async for word in stream()]


assert chat("hello", thread="t-1") == "HELLO"
assert chat("again", thread="t-1") == "AGAIN"
assert asyncio.run(consume()) == ["a", "b"]
with (
    opik.start_as_current_trace("job", project_name="shop"),
    opik.start_as_current_span("step", type="tool") as span,
):
    span.update(output={"ok": True})
opik.flush_tracker()

manual = client.trace(name="manual", input={"q": 1}, tags=["x"])
child = manual.span(name="child", type="llm", model="m", usage={"total_tokens": 3})
child.end(output={"a": 2})
manual.log_feedback_score("quality", 0.5, reason="so so")
manual.end(output={"a": 2})
assert client.flush()

found = client.search_traces(filter_string='name = "chat"', project_name="shop")
assert len(found) == 2
assert len(client.search_threads(project_name="shop")) == 1
client.log_traces_feedback_scores([{"id": manual.id, "name": "human", "value": 1.0}])
scores = {score.name: score.value for score in client.get_feedback_scores(manual.id)}
assert scores == {"quality": 0.5, "human": 1.0}
assert client.search_traces(filter_string="feedback_scores.human >= 1", project_name="shop")
client.end()
