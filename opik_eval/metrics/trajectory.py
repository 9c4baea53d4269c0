"""Did an agent call the right tools, with the right arguments, in the right order?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_choice
from opik_eval.metrics.base import Arguments, DataclassMetric, ScoreResult, arguments_of
from opik_eval.metrics.comparators import Comparator
from opik_eval.metrics.matching import Pair, best_alignment, best_pairs
from opik_eval.metrics.spans import require_span
from opik_eval.metrics.tool_calls import ArgumentMatch, Call, CallComparison, calls_in, read_calls


@dataclass
class ToolMetric(DataclassMetric):
    """Base of metrics that compare the calls of tools with expected ones.

    Args:
        arguments: How the arguments of a call are compared; see ``CallComparison``.
        comparators: How single arguments are compared; see ``CallComparison``.
        source: Where the calls are: ``output``: the task returns them as ``tool_calls``;
            ``task_span``: the spans of type ``tool`` that its run recorded.
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    arguments: ArgumentMatch = "exact"
    comparators: Mapping[str, Comparator] = field(default_factory=dict)
    source: Literal["output", "task_span"] = field(default="output", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self.source, "source", ("output", "task_span"), metric=self.name)
        self._comparison().check(metric=self.name)

    def score_arguments(self) -> Arguments:
        """Return the arguments of ``score``: the calls come from the output or from the spans."""
        wanted = "tool_calls" if self.source == "output" else "task_span"
        return replace(
            arguments_of(self.score), required=("expected_tool_calls", wanted), optional=()
        )

    def score(
        self,
        tool_calls: object = None,
        expected_tool_calls: object = None,
        task_span: object = None,
        **_ignored: object,
    ) -> ScoreResult:
        """Compare the calls that were made with the expected ones.

        Args:
            tool_calls: What the task says it called: a list of names, of
                ``{"name": ..., "arguments": ...}``, of OpenAI's tool calls, or of messages.
                Required unless ``source`` is ``task_span``.
            expected_tool_calls: What it should call, written in the same ways; an expected call
                without arguments takes any.
            task_span: The run of the task, supplied by the engine; its spans of type ``tool`` are
                the calls. Required if ``source`` is ``task_span``.

        Raises:
            MetricError: An argument is missing or is no list of calls.
        """
        expected = read_calls(expected_tool_calls, "expected_tool_calls", metric=self.name)
        if self.source == "output":
            made = read_calls(tool_calls, "tool_calls", metric=self.name)
        else:
            made = calls_in(require_span(task_span, metric=self.name))
        return self.compared_calls(made, expected)

    def _comparison(self) -> CallComparison:
        return CallComparison(arguments=self.arguments, comparators=self.comparators)

    def _worths(self, made: Sequence[Call], expected: Sequence[Call]) -> list[list[float]]:
        comparison = self._comparison()
        return [[comparison.worth(call, wanted) for wanted in expected] for call in made]

    def compared_calls(self, made: Sequence[Call], expected: Sequence[Call]) -> ScoreResult:
        """Return the score of the calls that were made."""
        raise NotImplementedError


@dataclass
class ToolCallCorrectness(ToolMetric):
    """Agreement of an agent's tool calls with the expected ones, 0 to 1, in whatever order.

    Each call is paired with one expected call of the same tool, so that the pairs are worth most
    together. A pair is worth as much as its worst argument: 1 or 0, or what a comparator says.
    With m calls made and n expected: precision = worth / m, recall = worth / n, F1 = 2 · worth /
    (m + n). No call where none is expected is 1.

    Args:
        arguments: ``exact``: the same arguments; ``subset``: some of the expected ones and no
            others; ``superset``: all expected ones and maybe others (such as defaults); ``ignore``:
            names of tools alone.
        comparators: How arguments are compared, by argument (``query``) or by tool and argument
            (``search.query``): functions ``f(output, reference)`` from 0 to 1 or metrics such as
            ``TokenF1()``. Others must be the same JSON value.
        measure: ``f1``, ``recall`` (extra calls cost nothing) or ``precision`` (missing ones).
        source: Where the calls are: ``output``: the task returns them as ``tool_calls``;
            ``task_span``: the spans of type ``tool`` that its run recorded.

    Raises:
        MetricError: An option is wrong.

    Example:
        >>> made = [{"name": "search", "arguments": {"query": "cats"}}, {"name": "stop"}]
        >>> score = ToolCallCorrectness().score(tool_calls=made, expected_tool_calls=made[:1])
        >>> round(score.value, 3), score.reason
        (0.667, 'not expected: stop()')
    """

    measure: Literal["f1", "recall", "precision"] = "f1"
    name: str = field(default="tool_call_correctness_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self.measure, "measure", ("f1", "recall", "precision"), metric=self.name)

    def compared_calls(self, made: Sequence[Call], expected: Sequence[Call]) -> ScoreResult:
        """Return the score of the calls that were made."""
        pairs = best_pairs(self._worths(made, expected))
        worth = sum(pair.worth for pair in pairs)
        measures = {
            "precision": _share(worth, len(made), len(expected)),
            "recall": _share(worth, len(expected), len(made)),
            "f1": _share(2 * worth, len(made) + len(expected), 0),
        }
        return ScoreResult(
            self.name,
            measures[self.measure],
            reason=_differences(made, expected, pairs),
            metadata=dict(measures),
        )


@dataclass
class TrajectoryMatch(ToolMetric):
    """1 if an agent's tool calls are the expected ones, else 0, with what differs as reason.

    Args:
        arguments: ``exact``: the same arguments; ``subset``: some of the expected ones and no
            others; ``superset``: all expected ones and maybe others (such as defaults); ``ignore``:
            names of tools alone.
        comparators: How arguments are compared, by argument (``query``) or by tool and argument
            (``search.query``): functions ``f(output, reference)`` from 0 to 1 or metrics such as
            ``TokenF1()``. Others must be the same JSON value.
        mode: ``strict``: the same calls in the same order; ``in_order``: the expected calls in
            their order, maybe with others between; ``unordered``: the same calls in any order;
            ``superset``: all expected calls and maybe others; ``subset``: some of the expected
            calls and no others.
        threshold: How well a call must fit to count, above 0 and up to 1, for comparators that say
            more than yes and no.
        source: Where the calls are: ``output``: the task returns them as ``tool_calls``;
            ``task_span``: the spans of type ``tool`` that its run recorded.

    Raises:
        MetricError: An option is wrong.

    Example:
        >>> metric = TrajectoryMatch(mode="in_order")
        >>> score = metric.score(tool_calls=["search", "stop"], expected_tool_calls=["stop"])
        >>> score.value
        1.0
    """

    mode: Literal["strict", "in_order", "unordered", "superset", "subset"] = "strict"
    threshold: float = 1.0
    name: str = field(default="trajectory_match_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        modes = ("strict", "in_order", "unordered", "superset", "subset")
        require_choice(self.mode, "mode", modes, metric=self.name)
        if not 0 < self.threshold <= 1:
            raise MetricError(
                f"metric {self.name!r}: threshold is {self.threshold}",
                remedy="give a threshold above 0 and up to 1",
            )

    def compared_calls(self, made: Sequence[Call], expected: Sequence[Call]) -> ScoreResult:
        """Return the score of the calls that were made."""
        worths = [
            [float(worth >= self.threshold) for worth in row]
            for row in self._worths(made, expected)
        ]
        in_order = self.mode in ("strict", "in_order")
        pairs = (best_alignment if in_order else best_pairs)(worths)
        complete = self.mode == "subset" or len(pairs) == len(expected)
        nothing_else = self.mode in ("superset", "in_order") or len(pairs) == len(made)
        is_match = complete and nothing_else
        reason = None if is_match else _differences(made, expected, pairs)
        return ScoreResult(self.name, float(is_match), reason=reason)


def _share(worth: float, count: int, other_count: int) -> float:
    return worth / count if count else float(other_count == 0)


def _differences(
    made: Sequence[Call], expected: Sequence[Call], pairs: Sequence[Pair]
) -> str | None:
    worths = {pair.row: pair.worth for pair in pairs}
    wanted = {pair.column for pair in pairs}
    lines = [f"missing: {call}" for i, call in enumerate(expected) if i not in wanted]
    lines += [f"not expected: {call}" for i, call in enumerate(made) if i not in worths]
    lines += [f"fits by {worths[i]:.3g}: {made[i]}" for i in worths if worths[i] < 1]
    return "\n".join(lines) or None


__all__ = ["ToolCallCorrectness", "TrajectoryMatch"]
