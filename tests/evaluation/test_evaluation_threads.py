"""evaluate_threads: stored conversations, their scores, and what can go wrong with them."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from opik_eval import Opik
from opik_eval.errors import (
    ConfigError,
    MissingArgumentError,
    NotFoundError,
    UnavailableError,
)
from opik_eval.evaluation import (
    ThreadsEvaluationResult,
    evaluate_optimization_trial,
    evaluate_threads,
)
from opik_eval.judges import ConversationalCoherenceMetric
from opik_eval.metrics import BaseMetric, Equals
from opik_eval.metrics.base import ScoreResult
from opik_eval.models import ChatModel, FunctionTransport
from opik_eval.records import FeedbackScore, SpanType
from opik_eval.storage.base import Storage


class Turns(BaseMetric):
    """Counts answers, and keeps what it saw."""

    def __init__(self) -> None:
        super().__init__(name="turns")
        self.seen: list[Any] = []

    def score(self, conversation: Any, **ignored: object) -> ScoreResult:
        self.seen.append(conversation)
        answers = [m for m in conversation if m["role"] == "assistant"]
        return ScoreResult(self.name, float(len(answers)), reason=f"{len(answers)} answers")


Start = Callable[..., None]


@pytest.fixture
def client(storage: Storage) -> Iterator[Opik]:
    """A client of the project ``chat``."""
    made = Opik(storage=storage, project_name="chat")
    yield made
    made.end()


@pytest.fixture
def say(client: Opik) -> Start:
    """Store one turn of a conversation."""

    def turn(thread: str, asked: str, answered: str | None, **fields: Any) -> None:
        trace = client.trace(thread_id=thread, input={"q": asked}, **fields)
        trace.end(output=None if answered is None else {"a": answered})
        assert client.flush()

    return turn


def evaluated(storage: Storage, *metrics: object, **options: Any) -> ThreadsEvaluationResult:
    given: dict[str, Any] = {
        "project_name": "chat",
        "filter_string": None,
        "eval_project_name": "judging",
        "metrics": metrics,
        "trace_input_transform": lambda payload: payload["q"],
        "trace_output_transform": lambda payload: payload["a"],
        "storage": storage,
        "verbose": 0,
        **options,
    }
    return evaluate_threads(**given)


def thread_scores(storage: Storage, project: str = "chat") -> dict[str, FeedbackScore]:
    return {s.entity_id: s for s in storage.list_feedback_scores("thread", project_name=project)}


def test_conversations_are_scored_and_the_scores_are_stored(storage: Storage, say: Start) -> None:
    """One result for each, by id; the score is on the thread, the evaluation in its own project."""
    say("t1", "Hi", "Hello")
    say("t2", "One", "1")
    say("t1", "Bye", "Goodbye")
    metric = Turns()
    result = evaluated(storage, metric)
    assert [(r.thread_id, r.scores[0].value) for r in result.results] == [("t1", 2.0), ("t2", 1.0)]
    assert [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "Goodbye"},
    ] in metric.seen
    stored = thread_scores(storage)
    assert {key: (s.name, s.value, s.reason) for key, s in stored.items()} == {
        "t1": ("turns", 2.0, "2 answers"),
        "t2": ("turns", 1.0, "1 answers"),
    }
    assert len(list(storage.list_traces(project_name="chat"))) == 3
    assert len(list(storage.list_traces(project_name="judging"))) == 2


def test_statistics_and_table(storage: Storage, say: Start) -> None:
    """Conversations are the units of the statistics."""
    for n in range(4):
        say(f"t{n}", "Hi", "Hello")
    result = evaluated(storage, Turns())
    turns = result.aggregate_evaluation_scores()["turns"]
    assert (turns.n, turns.mean) == (4, 1.0)
    table = result.to_pandas()
    assert list(table.columns) == ["thread_id", "score.turns", "reason.turns", "error"]
    assert list(table["thread_id"]) == ["t0", "t1", "t2", "t3"]


def test_a_filter_chooses(storage: Storage, say: Start) -> None:
    """The filter language of threads; without a match nothing runs."""
    say("short", "Hi", "Hello")
    say("long", "Hi", "Hello")
    say("long", "And?", "Nothing")
    chosen = evaluated(storage, Turns(), filter_string="number_of_messages > 2")
    assert [r.thread_id for r in chosen.results] == ["long"]
    with pytest.raises(NotFoundError, match="no conversation that matches 'number_of_messages > 9"):
        evaluated(storage, Turns(), filter_string="number_of_messages > 9")
    with pytest.raises(NotFoundError, match="has no conversation"):
        evaluated(storage, Turns(), project_name="elsewhere")
    with pytest.raises(ConfigError, match="no_such_field"):
        evaluated(storage, Turns(), filter_string="no_such_field = 1")


def test_threads_of_other_projects_and_other_cases_stay_apart(storage: Storage, say: Start) -> None:
    """Ids are compared to the letter, within the project."""
    say("a", "Hi", "Hello")
    say("A", "Hi", "Hello")
    say('quo"te', "Hi", "Hello")
    other = Opik(storage=storage, project_name="other")
    other.trace(thread_id="a", input={"q": "x"}).end(output={"a": "y"})
    other.end()
    result = evaluated(storage, Turns())
    assert {r.thread_id: r.scores[0].value for r in result.results} == {
        "a": 1.0,
        "A": 1.0,
        'quo"te': 1.0,
    }
    assert thread_scores(storage, "other") == {}


def test_turns_come_in_order_of_time(storage: Storage, client: Opik) -> None:
    """Not in the order in which they were stored."""
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    for hour in (2, 0, 1):
        moment = start + dt.timedelta(hours=hour)
        trace = client.trace(thread_id="t", input={"q": f"q{hour}"}, start_time=moment)
        trace.end(output={"a": f"a{hour}"}, end_time=moment)
    assert client.flush()
    metric = Turns()
    evaluated(storage, metric)
    assert [m["content"] for m in metric.seen[0]] == ["q0", "a0", "q1", "a1", "q2", "a2"]


def test_open_ends_contexts_and_silence(storage: Storage, say: Start) -> None:
    """A trace without output is a question; transforms may leave messages out, or add contexts."""
    say("t", "Hi", "Hello", metadata={"documents": ["d1", "d2"]})
    say("t", "skip", "this")
    say("t", "Still there?", None)
    metric = Turns()
    evaluated(
        storage,
        metric,
        trace_input_transform=lambda payload: None if payload["q"] == "skip" else payload["q"],
        trace_output_transform=lambda payload: None if payload["a"] == "this" else payload["a"],
        trace_context_transform=lambda metadata: (metadata or {}).get("documents"),
    )
    assert metric.seen == [
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello", "context": ["d1", "d2"]},
            {"role": "user", "content": "Still there?"},
        ]
    ]


@pytest.mark.parametrize(
    ("transform", "error"),
    [
        (lambda payload: payload["nope"], "KeyError"),
        (lambda payload: payload, "TaskError"),
    ],
)
def test_a_conversation_that_cannot_be_read_costs_itself(
    storage: Storage, say: Start, transform: Any, error: str
) -> None:
    """It has an error and no score; the others are scored."""
    say("bad", "Hi", "Hello")
    say("good", "Hi", "Hello")

    def of_input(payload: dict[str, str]) -> str:
        return transform(payload) if calls.pop() else payload["q"]  # type: ignore[no-any-return]

    calls = [False, True]
    result = evaluated(storage, Turns(), trace_input_transform=of_input, num_workers=1)
    assert [r.error and r.error.exception_type for r in result.results] == [error, None]
    assert [len(r.scores) for r in result.results] == [0, 1]
    assert list(thread_scores(storage)) == ["good"]
    assert error in str(result.to_pandas()["error"][0])


@pytest.mark.parametrize("name", ["input", "output", "context"])
def test_transforms_are_plain_functions(storage: Storage, say: Start, name: str) -> None:
    """Anything else would fail for every conversation, so it is refused before any is read."""
    say("t", "Hi", "Hello")

    async def later(payload: Any) -> str:
        return str(payload)

    metric, transform = Turns(), f"trace_{name}_transform"
    for wrong, kind in ((later, "a coroutine function"), ("q", "str")):
        with pytest.raises(ConfigError, match=f"{transform} is {kind}"):
            evaluated(storage, metric, **{transform: wrong})
    assert metric.seen == []


def test_a_context_is_a_list_of_texts(storage: Storage, say: Start) -> None:
    """One text is not taken for its letters."""
    say("t", "Hi", "Hello", metadata={"document": "d1"})
    result = evaluated(storage, Turns(), trace_context_transform=lambda kept: kept["document"])
    (error,) = (row.error for row in result.results)
    assert error is not None
    assert "trace_context_transform returned a str" in (error.message or "")


def test_a_conversation_without_messages_is_not_scored(storage: Storage, say: Start) -> None:
    """Transforms that look in the wrong place do not pass for a silent user."""
    say("t", "Hi", "Hello")
    metric = Turns()
    result = evaluated(
        storage,
        metric,
        trace_input_transform=lambda payload: payload.get("question"),
        trace_output_transform=lambda payload: payload.get("answer"),
    )
    (error,) = (row.error for row in result.results)
    assert error is not None
    assert "made no message of any trace" in (error.message or "")
    assert metric.seen == []


def test_an_interrupted_run_keeps_its_scores(storage: Storage, say: Start) -> None:
    """Conversations that are done have their scores, also after Ctrl-C."""
    for n in range(3):
        say(f"t{n}", f"q{n}", "Hello")

    def of_input(payload: dict[str, str]) -> str:
        if payload["q"] == "q2":
            raise KeyboardInterrupt
        return payload["q"]

    with pytest.raises(KeyboardInterrupt):
        evaluated(storage, Turns(), trace_input_transform=of_input, num_workers=1)
    assert sorted(thread_scores(storage)) == ["t0", "t1"]


def test_a_metric_that_fails_gives_no_score(storage: Storage, say: Start) -> None:
    """It is counted as failed, and not stored as a number."""

    class Breaks(BaseMetric):
        def score(self, conversation: Any, **ignored: object) -> float:
            raise ValueError("no idea")

    say("t", "Hi", "Hello")
    result = evaluated(storage, Breaks(name="breaks"), Turns())
    breaks, turns = result.results[0].scores
    assert (breaks.scoring_failed, turns.value) == (True, 1.0)
    assert {s.name for s in storage.list_feedback_scores("thread")} == {"turns"}


def test_long_conversations_are_read_whole_unless_told_otherwise(
    storage: Storage, say: Start, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit is said when it cuts."""
    for n in range(5):
        say("t", f"q{n}", f"a{n}")
    assert evaluated(storage, Turns()).results[0].scores[0].value == 5.0
    with caplog.at_level(logging.WARNING, "opik_eval.evaluation"):
        cut = evaluated(storage, Turns(), max_traces_per_thread=2)
    assert cut.results[0].scores[0].value == 2.0
    assert "the first 2 of 5 traces were read" in caplog.text


def test_scores_that_cannot_be_stored_are_not_lost(
    storage: Storage, say: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error has the result."""
    say("t", "Hi", "Hello")
    write = storage.write

    def refuses(records: Any) -> Any:
        records = list(records)
        if any(getattr(r, "entity_type", None) == "thread" for r in records):
            raise UnavailableError("the disk is full", remedy="make room")
        return write(records)

    monkeypatch.setattr(storage, "write", refuses)
    with pytest.raises(UnavailableError, match="disk is full") as refusal:
        evaluated(storage, Turns())
    result = refusal.value.partial_result  # type: ignore[attr-defined]
    assert result.results[0].scores[0].value == 1.0


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"metrics": []}, ConfigError, "metrics is empty"),
        ({"max_traces_per_thread": 0}, ConfigError, "reads nothing"),
        ({"num_workers": 0}, ConfigError, "task_threads=0"),
        ({"nb_samples": 3}, TypeError, "unexpected keyword argument 'nb_samples'"),
        ({"experiment_name": "x"}, TypeError, "unexpected keyword argument"),
        ({"verbos": 1}, TypeError, "did you mean 'verbose'"),
    ],
)
def test_wrong_arguments(
    storage: Storage, say: Start, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    """They are refused before anything runs."""
    say("t", "Hi", "Hello")
    metric = Turns()
    with pytest.raises(error, match=text):
        evaluated(storage, metric, **options)
    assert metric.seen == []


def test_a_metric_that_takes_something_else_is_found_at_once(storage: Storage, say: Start) -> None:
    """The error names what a conversation's metric is given."""
    say("t", "Hi", "Hello")
    with pytest.raises(MissingArgumentError, match="conversation"):
        evaluated(storage, Equals())


def test_judges_of_conversations(storage: Storage, say: Start) -> None:
    """A judge reads the conversation; its calls are traced in the evaluation's project."""
    say("t", "Hi", "Hello")
    reply = '{"reason": "a greeting", "answer": true}'
    model = ChatModel(name="fake/judge", transport=FunctionTransport(lambda request: reply))
    result = evaluated(storage, ConversationalCoherenceMetric(model))
    (score,) = result.results[0].scores
    assert score.value == 1.0
    assert thread_scores(storage)["t"].name == score.name
    kinds = [span.type for span in storage.list_spans(project_name="judging")]
    assert SpanType.LLM in kinds


def test_trials_of_an_optimization(storage: Storage, client: Opik) -> None:
    """They are experiments of the type ``trial`` that name it; one that is not there is refused."""
    items = [{"word": "a", "reference": "a"}]
    started = client.create_optimization("words", "equals_metric")

    def task(item: dict[str, str]) -> dict[str, str]:
        return {"output": item["word"]}

    result = evaluate_optimization_trial(
        started.id, items, task, [Equals()], storage=storage, verbose=0
    )
    record = storage.find_experiment(result.experiment_id)
    assert record is not None
    assert (record.type, record.optimization_id) == ("trial", started.id)
    with pytest.raises(NotFoundError, match="no optimization 'nowhere'"):
        evaluate_optimization_trial("nowhere", items, task, storage=storage)
    with pytest.raises(TypeError, match="did you mean 'verbose'"):
        evaluate_optimization_trial(started.id, items, task, storage=storage, verbos=0)
