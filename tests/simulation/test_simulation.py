"""Simulated users and their conversations with applications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from opik_eval import Opik, SimulatedUser, evaluate, run_simulation, track
from opik_eval.errors import ConfigError, ModelError, TaskError
from opik_eval.evaluation import evaluate_threads
from opik_eval.metrics import BaseMetric
from opik_eval.models import ChatModel, FunctionTransport, RetryPolicy
from opik_eval.models.base import ModelRequest
from opik_eval.storage.base import Storage
from opik_eval.tracing import configure_tracing, flush_tracker


@pytest.fixture
def traced(storage: Storage) -> Iterator[Storage]:
    """A store that traces go to."""
    tracer = configure_tracing(storage=storage)
    yield storage
    tracer.close()
    configure_tracing()


def echo(message: str) -> str:
    return f"re: {message}"


def contents(simulation: Any) -> list[str]:
    return [str(message["content"]) for message in simulation["conversation_history"]]


def test_turns_alternate_and_are_traced(traced: Storage) -> None:
    """Each turn is a trace of the thread, in its project, with the spans of the application."""

    @track
    def app(message: str, thread_id: str, mood: str) -> dict[str, str]:
        return {"role": "assistant", "content": f"{mood}: {message}"}

    simulation = run_simulation(
        app,
        SimulatedUser("p", fixed_responses=["a", "b"]),
        max_turns=3,
        project_name="chat",
        mood="calm",
    )
    assert contents(simulation) == ["a", "calm: a", "b", "calm: b", "a", "calm: a"]
    assert [m["role"] for m in simulation["conversation_history"]] == ["user", "assistant"] * 3
    assert simulation["stop_reason"] == "max_turns"
    flush_tracker()
    traces = list(traced.list_traces(project_name="chat"))
    assert [t.thread_id for t in traces] == [simulation["thread_id"]] * 3
    assert (traces[0].input, traces[0].output) == ({"message": "a"}, {"message": "calm: a"})
    assert [s.name for s in traced.list_spans(trace_ids=[traces[0].id])] == ["app"]


def test_the_first_message_and_the_thread_may_be_given(traced: Storage) -> None:
    """Then the simulated user answers from the second turn on."""
    user = SimulatedUser("p", fixed_responses=["next"])
    simulation = run_simulation(echo, user, "Hello", 2, "t-1")
    assert contents(simulation) == ["Hello", "re: Hello", "next", "re: next"]
    assert simulation["thread_id"] == "t-1"


def test_a_conversation_may_end_early(traced: Storage) -> None:
    """A function of the messages decides after each turn."""
    simulation = run_simulation(
        echo,
        SimulatedUser("p", fixed_responses=["hm", "thanks", "more"]),
        stop_when=lambda messages: "thanks" in str(messages[-1]["content"]),
    )
    assert contents(simulation)[-1] == "re: thanks"
    assert len(contents(simulation)) == 4
    assert simulation["stop_reason"] == "stop_when"


def test_coroutine_functions_and_any_keywords(traced: Storage) -> None:
    """An application may be asynchronous; one with ``**kwargs`` gets the thread."""
    seen: list[dict[str, object]] = []

    async def app(message: str, **kwargs: object) -> str:
        seen.append(kwargs)
        return message

    user = SimulatedUser("p", fixed_responses=["a"])
    simulation = run_simulation(app, user, max_turns=1, thread_id="t", extra=1)
    assert contents(simulation) == ["a", "a"]
    assert seen == [{"thread_id": "t", "extra": 1}]


def test_the_model_sees_the_conversation_from_the_users_side(traced: Storage) -> None:
    """Its role is the persona; what the application said are its user's messages."""
    asked: list[list[Any]] = []

    def reply(request: ModelRequest) -> str:
        asked.append(list(request.messages))
        return f" said {len(asked)} "

    model = ChatModel(name="fake/user", transport=FunctionTransport(reply))
    simulation = run_simulation(echo, SimulatedUser("An angry customer.", model), max_turns=2)
    assert contents(simulation) == ["said 1", "re: said 1", "said 2", "re: said 2"]
    first, second = asked
    assert "An angry customer." in first[0]["content"]
    assert [m["role"] for m in first] == ["system", "user"]
    assert [(m["role"], m["content"]) for m in second[2:]] == [
        ("assistant", "said 1"),
        ("user", "re: said 1"),
    ]


def test_messages_without_text_are_not_shown_to_the_model() -> None:
    """Such as calls of tools."""
    asked: list[Any] = []
    transport = FunctionTransport(lambda request: str(asked.extend(request.messages)))
    user = SimulatedUser("p {with} braces", ChatModel(name="fake/user", transport=transport))
    user.generate_response(
        [
            {"role": "system", "content": "rules"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "tool_calls": []},
            {"role": "tool", "content": "42"},
        ]
    )
    assert "p {with} braces" in asked[0]["content"]
    assert [m["content"] for m in asked[2:]] == ["hi"]


def test_a_failing_application_ends_the_conversation_and_loses_nothing(traced: Storage) -> None:
    """The error names the turn and has the messages so far; the trace has the error."""

    def app(message: str) -> str:
        if message == "b":
            raise ValueError("no idea")
        return message

    with pytest.raises(TaskError, match=r"failed in turn 2: ValueError: no idea") as failure:
        run_simulation(app, SimulatedUser("p", fixed_responses=["a", "b"]), project_name="chat")
    partial = failure.value.partial_result  # type: ignore[attr-defined]
    assert contents(partial) == ["a", "a", "b"]
    assert partial["stop_reason"] == "error"
    flush_tracker()
    errors = [t.error_info is not None for t in traced.list_traces(project_name="chat")]
    assert errors == [False, True]


@pytest.mark.parametrize("returned", [None, 42, ["x"], {"role": "assistant"}, {"content": None}])
def test_what_is_no_message_is_refused(traced: Storage, returned: object) -> None:
    """The error says what to return."""
    with pytest.raises(TaskError, match="return a text, or a message"):
        run_simulation(lambda message: returned, SimulatedUser("p", fixed_responses=["a"]))


def test_a_model_that_says_nothing_is_an_error(traced: Storage) -> None:
    """Its silence, or its error, does not become the user's words."""
    transport = FunctionTransport(lambda request: "  ")
    silent = ChatModel(name="fake/silent", transport=transport, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(ModelError, match="fake/silent: the reply has neither text") as failure:
        run_simulation(echo, SimulatedUser("p", silent), "Hello")
    partial = failure.value.partial_result  # type: ignore[attr-defined]
    assert contents(partial) == ["Hello", "re: Hello"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"persona": " "}, "persona is empty"),
        ({"persona": "p", "fixed_responses": []}, "fixed_responses is empty"),
        ({"persona": "p", "fixed_responses": "abc"}, "fixed_responses is empty or no list"),
    ],
)
def test_users_that_make_no_sense(arguments: dict[str, Any], text: str) -> None:
    """They are refused when they are made."""
    with pytest.raises(ConfigError, match=text):
        SimulatedUser(**arguments)


def test_no_turns_are_an_error() -> None:
    """As elsewhere, nothing to do is not done in silence."""
    with pytest.raises(ConfigError, match="max_turns=0 makes no turn"):
        run_simulation(echo, SimulatedUser("p", fixed_responses=["a"]), max_turns=0)


class Turns(BaseMetric):
    def score(self, conversation: Any, **ignored: object) -> float:
        return len(conversation) / 2


def test_simulations_are_evaluated(traced: Storage) -> None:
    """As the task of an evaluation, or afterwards as stored conversations."""

    def task(item: dict[str, Any]) -> dict[str, object]:
        user = SimulatedUser("p", fixed_responses=["a"])
        return dict(run_simulation(echo, user, max_turns=item["turns"], project_name="simulated"))

    result = evaluate(
        [{"turns": n} for n in (1, 2, 3)],
        task,
        [Turns(name="turns")],
        scoring_key_mapping={"conversation": "conversation_history"},
        storage=traced,
        verbose=0,
    )
    assert [r.score_results[0].value for r in result.test_results] == [1.0, 2.0, 3.0]
    flush_tracker()
    threads = evaluate_threads(
        "simulated",
        None,
        "judging",
        [Turns(name="turns")],
        lambda payload: payload["message"],
        lambda payload: payload["message"],
        storage=traced,
        verbose=0,
    )
    assert sorted(r.scores[0].value or 0 for r in threads.results) == [1.0, 2.0, 3.0]
    client = Opik(storage=traced)
    assert len(client.search_threads("simulated")) == 3
    client.end()
