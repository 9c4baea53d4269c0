"""Scores of a whole experiment as a classifier: accuracy, precision, recall, F1, MCC, kappa."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, cast

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_choice
from opik_eval.metrics.base import ScoreResult
from opik_eval.metrics.confusion import Average, ClassMeasure, ConfusionMatrix
from opik_eval.metrics.json_values import MISSING, find_path
from opik_eval.metrics.text import fold
from opik_eval.serialization import to_jsonable

Measure = Literal["accuracy", "mcc", "kappa"] | ClassMeasure
MEASURES: tuple[Measure, ...] = ("accuracy", "precision", "recall", "f1", "mcc", "kappa")


class Case(Protocol):
    """What is read of a test case."""

    @property
    def dataset_item_id(self) -> str:
        """The item."""
        ...

    @property
    def dataset_item_content(self) -> Mapping[str, object]:
        """The item's fields."""
        ...

    @property
    def task_output(self) -> Mapping[str, object] | None:
        """What the task returned; ``None`` if it raised."""
        ...


class Result(Protocol):
    """What is read of a test result."""

    @property
    def test_case(self) -> Case:
        """The item and the task's output."""
        ...


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Scores a finished run as a classifier; for ``experiment_scoring_functions``.

    Labels are texts, numbers or booleans, compared as texts without the space around them: 1 is
    "1", true is "true". Every trial counts as a prediction of its own. Nothing is dropped in
    silence; each score's reason and metadata say

    - ``abstained``: outputs without a label (absent, null, empty, or listed in ``abstentions``).
      They are wrong answers, no class is predicted by them;
    - ``failed``: tasks that raised. They are not scored, as everywhere;
    - ``unlabelled``: items without an expected label, which cannot be scored.

    Precision, recall and F1 of a class that occurs but was never predicted (or never expected) are
    0. MCC and kappa are unscored where they are undefined, that is where only one class occurs.

    Args:
        expected: Key or path of the true label in the item.
        predicted: Key or path of the label in the task's output.
        measures: What to report.
        average: How precision, recall and F1 of the classes become one number: ``macro`` (all
            classes alike), ``weighted`` (by frequency), ``micro`` (all predictions alike; equals
            accuracy where nothing is abstained and ``labels`` is absent).
        positive: Report precision, recall and F1 of this class instead of an average.
        per_class: Report precision, recall and F1 of every class, too.
        labels: The classes to average over; those that occur if absent. Other predictions are
            wrong but no class of their own.
        abstentions: Labels that stand for no answer, such as "unknown".
        case_sensitive: Tell upper from lower case.
        prefix: Put before the names of the scores, such as "intent_".

    Returns:
        When called with a list of results: one score a measure, with the confusion matrix (rows:
        expected, columns: predicted) in the metadata.

    Raises:
        MetricError: An option is wrong; or, when called, no item has an expected label, or a label
            is neither text nor number nor boolean.

    Example:
        >>> from opik_eval.experiments.case import TestCase, TestResult
        >>> def result(intent, label):
        ...     return TestResult(TestCase(None, "1", {"label": label}, {"intent": intent}), [], 0)
        >>> results = [result("buy", "buy"), result("buy", "ask"), result("ask", "ask")]
        >>> intents = Classification(expected="intent", predicted="label", measures=("f1",))
        >>> [(score.name, round(score.value, 3)) for score in intents(results)]
        [('f1_macro', 0.667)]
    """

    __name__: ClassVar[str] = "classification"

    expected: str = "reference"
    predicted: str = "output"
    measures: Sequence[Measure] = MEASURES
    average: Average = "macro"
    positive: str | float | None = None
    per_class: bool = False
    labels: Sequence[str | float] | None = None
    abstentions: Sequence[str] = ()
    case_sensitive: bool = False
    prefix: str = ""

    def __post_init__(self) -> None:
        for measure in self.measures:
            require_choice(measure, "measures", MEASURES, metric=self.__name__)
        require_choice(
            self.average, "average", ("macro", "micro", "weighted"), metric=self.__name__
        )

    def __call__(self, results: Sequence[Result]) -> list[ScoreResult]:
        """Return the scores of a run."""
        counts = {"n": 0, "abstained": 0, "failed": 0, "unlabelled": 0}
        pairs = list(self._pairs(results, counts))
        if not pairs:
            raise MetricError(
                f"classification found no task output to compare with an expected label: {counts}",
                remedy=f"set expected= (now {self.expected!r}) to the key of the label in the item",
            )
        labels = None if self.labels is None else [self._label(label) for label in self.labels]
        matrix = ConfusionMatrix.of(pairs, labels=labels)
        counts |= {"n": len(pairs), "abstained": sum(label is None for _, label in pairs)}
        metadata = {**counts, "confusion_matrix": matrix.as_table()}
        reason = ", ".join(f"{name}={count}" for name, count in counts.items() if count)
        return [
            ScoreResult(
                self.prefix + name,
                value,
                reason=reason if value is not None else f"undefined: only one class; {reason}",
                metadata=metadata,
            )
            for name, value in self._values(matrix)
        ]

    def _pairs(
        self, results: Iterable[Result], counts: dict[str, int]
    ) -> Iterable[tuple[str, str | None]]:
        """Yield the expected and predicted labels, and count what has none."""
        abstentions = {self._label(label) for label in self.abstentions}
        for result in results:
            case = result.test_case
            truth = self._found(case.dataset_item_content, self.expected, case)
            if truth is None:
                counts["unlabelled"] += 1
            elif case.task_output is None:
                counts["failed"] += 1
            else:
                answer = self._found(case.task_output, self.predicted, case)
                yield truth, None if answer in abstentions else answer

    def _found(self, content: Mapping[str, object], path: str, case: Case) -> str | None:
        value = find_path(to_jsonable(content), path)
        if value is MISSING or value is None:
            return None
        if isinstance(value, dict | list):
            raise MetricError(
                f"classification: {path!r} of item {case.dataset_item_id} is a "
                f"{type(value).__name__}, not a label",
                remedy="name the path of a text, a number or a boolean, such as 'answer.label'",
            )
        return self._label(value) or None

    def _label(self, value: object) -> str:
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        return fold(str(value).strip(), case_sensitive=self.case_sensitive)

    def _values(self, matrix: ConfusionMatrix) -> Iterable[tuple[str, float | None]]:
        whole: dict[str, Callable[[], float | None]]
        whole = {"accuracy": matrix.accuracy, "mcc": matrix.mcc, "kappa": matrix.kappa}
        for measure in self.measures:
            if measure in whole:
                yield measure, whole[measure]()
            else:
                yield from self._class_values(matrix, cast("ClassMeasure", measure))

    def _class_values(
        self, matrix: ConfusionMatrix, measure: ClassMeasure
    ) -> Iterable[tuple[str, float | None]]:
        if self.positive is None:
            yield f"{measure}_{self.average}", matrix.averaged(measure, self.average)
        else:
            yield measure, matrix.of_class(measure, self._label(self.positive))
        for label in matrix.labels if self.per_class else ():
            yield f"{measure}_{label}", matrix.of_class(measure, label)


__all__ = ["Classification"]
