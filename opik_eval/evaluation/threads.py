"""``evaluate_threads``: score whole conversations that are already stored."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict, Unpack, cast

from opik_eval.engine.scoring import KeyMapping
from opik_eval.errors import ConfigError, NotFoundError, StorageError, TaskError
from opik_eval.evaluation.job import storage_for
from opik_eval.evaluation.on_items import run_on_items
from opik_eval.evaluation.options import (
    CacheMode,
    ErrorTolerance,
    EvaluateOptions,
    resolve,
)
from opik_eval.experiments.aggregate import ScoreStatistics, score_statistics
from opik_eval.experiments.case import TestResult
from opik_eval.metrics.base import ScoreResult
from opik_eval.models.budget import Budget
from opik_eval.prompts.messages import Message
from opik_eval.records import ErrorInfo, FeedbackScore, Trace, utc_now
from opik_eval.storage.base import Storage
from opik_eval.storage.query import Condition, parse_filter

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("opik_eval.evaluation")

_ALIASES = {"num_workers": "task_threads"}

Transform = Callable[[Any], str | None]
"""What of a trace's payload belongs into the conversation; ``None`` = nothing."""


class ThreadOptions(TypedDict, total=False):
    """Keywords of ``evaluate_threads``.

    Attributes:
        num_workers: Conversations at once, at most; 8 if absent.
        verbose: 0 = silent, 1 = progress and results.
        storage: Where the conversations are; default: what the settings say.
        scoring_key_mapping: See ``EvaluateOptions``, as for all below.
        budget: Hard limit on the judges' calls.
        cache: Reuse of their replies.
        error_tolerance: What may fail.
        max_errors: Conversations that cannot be read after which the run stops.
        timeout_seconds: Limit for reading one.
    """

    num_workers: int
    verbose: int
    storage: Storage | str | None
    scoring_key_mapping: KeyMapping | None
    budget: Budget | None
    cache: CacheMode
    error_tolerance: ErrorTolerance | int
    max_errors: int | None
    timeout_seconds: float | None


_WITHOUT = tuple(
    {*EvaluateOptions.__annotations__} - {*ThreadOptions.__annotations__, "task_threads"}
)


@dataclass(frozen=True, slots=True)
class ThreadEvaluationResult:
    """The scores of one conversation.

    Attributes:
        thread_id: The conversation.
        scores: Scores of all metrics, failed ones included.
        error: Why the conversation could not be read; then there are no scores.
    """

    thread_id: str
    scores: list[ScoreResult]
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True)
class ThreadsEvaluationResult:
    """The scores of conversations, ordered by thread id.

    Attributes:
        results: One for each conversation.
        higher_is_better: Direction by metric.
    """

    results: list[ThreadEvaluationResult]
    higher_is_better: dict[str, bool | None] = field(default_factory=dict, repr=False)

    def aggregate_evaluation_scores(self) -> dict[str, ScoreStatistics]:
        """Return the statistics of every metric over the conversations, by name."""
        return score_statistics(
            ((result.thread_id, result.scores) for result in self.results),
            higher_is_better=self.higher_is_better,
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each conversation: ``thread_id``, ``score.*``, ``reason.*``, error."""
        import pandas as pd

        return pd.DataFrame([_row(result) for result in self.results])


def evaluate_threads(
    project_name: str,
    filter_string: str | None,
    eval_project_name: str | None,
    metrics: Sequence[object],
    trace_input_transform: Transform,
    trace_output_transform: Transform,
    trace_context_transform: Callable[[Any], Sequence[str] | None] | None = None,
    *,
    max_traces_per_thread: int | None = None,
    **options: Unpack[ThreadOptions],
) -> ThreadsEvaluationResult:
    """Score conversations that were traced with a ``thread_id``, and put the scores on them.

    The traces of a conversation, in order of time, make its messages: what the user said from the
    input of each, what was answered from the output. Scores are stored as they come.

    Args:
        project_name: Project of the conversations.
        filter_string: Which of them, such as ``number_of_messages > 4``; all of them if empty.
        eval_project_name: Project for the traces of this evaluation, with the calls of its judges.
        metrics: Metrics that take ``conversation``; see ``opik_eval.judges``.
        trace_input_transform: Makes the user's message of a trace's input.
        trace_output_transform: Makes the assistant's message of a trace's output.
        trace_context_transform: Makes of a trace's metadata what the answer rests on.
        max_traces_per_thread: Read at most that many of the first traces of each; all if absent.
        **options: See ``ThreadOptions``.

    Raises:
        ConfigError: ``metrics`` is empty, a transform is no plain function, an option makes no
            sense, or the filter cannot be read.
        NotFoundError: No conversation matches.
        StorageError: Scores could not be stored; ``partial_result`` has them.

    Example:
        >>> from opik_eval import Opik
        >>> from opik_eval.metrics import BaseMetric
        >>> class Turns(BaseMetric):
        ...     def score(self, conversation, **ignored):
        ...         return len(conversation) / 2
        >>> client = Opik(storage="memory:", project_name="chat")
        >>> for question, answer in [("Hi", "Hello"), ("Bye", "Goodbye")]:
        ...     trace = client.trace(thread_id="t1", input={"q": question})
        ...     trace.end(output={"a": answer})
        >>> _ = client.flush()
        >>> result = evaluate_threads(
        ...     "chat",
        ...     None,
        ...     "judging",
        ...     [Turns(name="turns")],
        ...     lambda input: input["q"],
        ...     lambda output: output["a"],
        ...     storage=client.storage,
        ...     verbose=0,
        ... )
        >>> result.results[0].thread_id, result.results[0].scores[0].value
        ('t1', 2.0)
    """
    if not metrics:
        raise ConfigError("metrics is empty", remedy="pass at least one metric")
    if max_traces_per_thread is not None and max_traces_per_thread < 1:
        raise ConfigError(
            f"max_traces_per_thread={max_traces_per_thread} reads nothing", remedy="pass 1 or more"
        )
    _check_transforms(
        trace_input_transform=trace_input_transform,
        trace_output_transform=trace_output_transform,
        trace_context_transform=trace_context_transform,
    )
    given = cast("EvaluateOptions", {"num_workers": 8, **options})
    resolved = resolve(given, function="evaluate_threads", without=_WITHOUT, aliases=_ALIASES)
    if eval_project_name is not None:
        resolved["project_name"] = eval_project_name
    with storage_for(resolved) as storage:
        threads = _threads(storage, project_name, filter_string)
        reader = _Reader(
            _traces_by_thread(storage, project_name, threads),
            trace_input_transform,
            trace_output_transform,
            trace_context_transform,
            max_traces_per_thread,
        )
        scores = _ThreadScores(storage, project_name)
        items = [{"thread_id": thread_id} for thread_id in threads]
        run = run_on_items(storage, items, reader, metrics, resolved, listeners=(scores,))
    result = ThreadsEvaluationResult(
        [_result_of(row) for row in run.test_results], run.higher_is_better
    )
    if scores.problem is not None:
        scores.problem.partial_result = result  # type: ignore[attr-defined]
        raise scores.problem
    return result


def _check_transforms(**transforms: object) -> None:
    for name, transform in transforms.items():
        if name == "trace_context_transform" and transform is None:
            continue
        if not callable(transform) or inspect.iscoroutinefunction(transform):
            kind = "a coroutine function" if callable(transform) else type(transform).__name__
            raise ConfigError(
                f"{name} is {kind}; it is called for every trace and returns at once",
                remedy="pass a plain function of one argument",
            )


def _threads(storage: Storage, project_name: str, text: str | None) -> list[str]:
    where = parse_filter(text, "thread") if text else None
    found = storage.list_threads(project_name=project_name, where=where)
    ids = [thread.id for thread in found]
    if not ids:
        which = f" that matches {text!r}" if text else ""
        raise NotFoundError(
            f"project {project_name!r} in {storage.location} has no conversation{which}",
            remedy="traces belong to one if they have a thread_id; check project and filter",
        )
    return ids


def _traces_by_thread(
    storage: Storage, project_name: str, threads: Sequence[str]
) -> dict[str, list[Trace]]:
    """Return the traces of some threads, read in one pass: for each alone it would be one, too."""
    traces: dict[str, list[Trace]] = {thread_id: [] for thread_id in threads}
    where = Condition("thread_id", "is_not_empty")
    for trace in storage.list_traces(project_name=project_name, where=where):
        if trace.thread_id in traces:
            traces[trace.thread_id].append(trace)
    return traces


@dataclass(frozen=True)
class _Reader:
    """Reads a conversation: the task of the evaluation."""

    traces: dict[str, list[Trace]]
    of_input: Transform
    of_output: Transform
    of_context: Callable[[Any], Sequence[str] | None] | None
    most: int | None

    def __call__(self, item: Mapping[str, object]) -> dict[str, object]:
        thread_id = str(item["thread_id"])
        conversation: list[Message] = []
        for trace in self._traces(thread_id):
            conversation += self._messages(trace)
        if not conversation:  # most likely the transforms look in the wrong place
            raise TaskError(
                "the transforms made no message of any trace of this conversation",
                remedy="check where they look for the texts in input and output",
            )
        return {"conversation": conversation}

    def _traces(self, thread_id: str) -> list[Trace]:
        found = self.traces.pop(thread_id)  # what has been read need not be kept
        found.sort(key=lambda trace: (trace.start_time is None, trace.start_time, trace.id))
        if self.most is not None and len(found) > self.most:
            logger.warning(
                "conversation %s: the first %s of %s traces were read",
                thread_id,
                self.most,
                len(found),
            )
        return found[: self.most]

    def _messages(self, trace: Trace) -> list[Message]:
        asked = _text_of(self.of_input, trace.input, "trace_input_transform")
        answered = _text_of(self.of_output, trace.output, "trace_output_transform")
        messages: list[Message] = []
        if asked is not None:
            messages.append({"role": "user", "content": asked})
        if answered is not None:
            context = self._context(trace)
            rests_on = {} if context is None else {"context": context}
            messages.append({"role": "assistant", "content": answered, **rests_on})
        return messages

    def _context(self, trace: Trace) -> list[str] | None:
        found = self.of_context and self.of_context(trace.metadata)
        if found is None:
            return None
        if isinstance(found, str):  # would be taken for its letters
            raise TaskError(
                "trace_context_transform returned a str",
                remedy="return a list of texts, or None for nothing",
            )
        return list(found)


def _text_of(transform: Transform, payload: object, name: str) -> str | None:
    if payload is None:  # the trace has not ended, or said nothing
        return None
    text = transform(payload)
    if text is not None and not isinstance(text, str):
        raise TaskError(
            f"{name} returned a {type(text).__name__}", remedy="return a text, or None for nothing"
        )
    return text


@dataclass
class _ThreadScores:
    """Puts the scores of each conversation on it as soon as they are there."""

    storage: Storage
    project_name: str
    problem: StorageError | None = None

    def finished(self, results: Sequence[TestResult]) -> None:
        try:
            self.storage.write([score for result in results for score in self._scores(result)])
        except StorageError as error:
            self.problem = self.problem or error

    def _scores(self, result: TestResult) -> list[FeedbackScore]:
        return [
            FeedbackScore(
                entity_type="thread",
                entity_id=_thread_of(result),
                name=score.name,
                value=float(score.value),
                reason=score.reason,
                category_name=score.category_name,
                project_name=self.project_name,
                last_updated_at=utc_now(),
            )
            for score in result.score_results
            if score.is_scored and score.value is not None
        ]


def _thread_of(result: TestResult) -> str:
    return str(result.test_case.dataset_item_content["thread_id"])


def _result_of(result: TestResult) -> ThreadEvaluationResult:
    return ThreadEvaluationResult(_thread_of(result), result.score_results, result.error)


def _row(result: ThreadEvaluationResult) -> dict[str, object]:
    row: dict[str, object] = {"thread_id": result.thread_id}
    for score in result.scores:
        row[f"score.{score.name}"] = score.value if score.is_scored else None
        row[f"reason.{score.name}"] = score.reason
    row["error"] = result.error and f"{result.error.exception_type}: {result.error.message or ''}"
    return row
