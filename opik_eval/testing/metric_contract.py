"""The battery that every metric passes, for the built-in ones and for yours.

Subclass ``MetricContract`` in a test module and name your metrics as cases::

    CASES = [MetricCase(lambda: Politeness(), {"output": "Please."}, name="politeness")]


    class TestMyMetrics(MetricContract):
        @pytest.fixture(params=CASES, ids=str)
        def case(self, request):
            return request.param
"""

from __future__ import annotations

import asyncio
import builtins
import math
import pickle
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from typing import cast

import pytest

from opik_eval.errors import MetricError
from opik_eval.metrics.base import BaseMetric, ScoreResult, describe, normalise, required_arguments

UNUSUAL_TEXTS = ("", " ", "é", "e\u0301", "\x00", "\ud800", "日本語", "👩‍👩‍👧", "a" * 5000)
"""Texts that any metric of texts must survive."""


@dataclass(frozen=True)
class MetricCase:
    """A metric and what its battery needs to know about it.

    Args:
        make: Makes a fresh metric.
        arguments: A valid call of ``score``.
        name: The metric's default name.
        perfect: A call that must get the best possible score.
        symmetric: Two arguments that may change places without changing the score.
        texts: Arguments that take any text; each is tried with unusual ones.
        wrong: Values of a wrong type by argument; each must be refused.
        asymmetric: Two arguments that, in the valid call, may not change places: declared to
            matter, and then they must.
        ladder: Calls from the worst to the best answer.
        reordered: The valid call with the same things in another order.
        order_matters: Whether that order makes a difference; declared, and then it must.
    """

    make: Callable[[], BaseMetric]
    arguments: Mapping[str, object]
    name: str = ""
    perfect: Mapping[str, object] | None = None
    symmetric: tuple[str, str] | None = None
    texts: tuple[str, ...] = ()
    wrong: Mapping[str, object] = field(default_factory=dict)
    asymmetric: tuple[str, str] | None = None
    ladder: Sequence[Mapping[str, object]] = ()
    reordered: Mapping[str, object] | None = None
    order_matters: bool = False

    def __str__(self) -> str:
        return self.name or self.make().name


class MetricContract:
    """What holds for every metric; see the module's documentation for how to use it."""

    @pytest.fixture
    def case(self) -> MetricCase:
        """Return the metric under test; override this fixture."""
        raise NotImplementedError("override the fixture 'case'")

    def test_the_constructor_does_no_io(
        self, case: MetricCase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Making a metric opens neither sockets nor files."""

        def refuse(*args: object, **_kwargs: object) -> object:
            raise AssertionError(f"the constructor of {case} does I/O: {args}")

        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", refuse)
            patch.setattr(builtins, "open", refuse)
            case.make()

    def test_the_default_name_is_the_documented_one(self, case: MetricCase) -> None:
        """A metric that is given no name has its own."""
        assert case.make().name == case.name

    def test_the_score_carries_the_name_that_was_given(self, case: MetricCase) -> None:
        """Renaming a metric renames its scores."""
        metric = case.make()
        metric.name = "renamed"
        assert [score.name for score in _scores(metric, case.arguments)] == ["renamed"]

    def test_scores_are_within_the_declared_range(self, case: MetricCase) -> None:
        """A valid call gives a finite score inside ``value_range``."""
        metric = case.make()
        lowest, highest = metric.value_range
        for score in _scores(metric, case.arguments):
            assert score.value is not None
            assert math.isfinite(score.value)
            assert lowest <= score.value <= highest

    def test_a_perfect_answer_gets_the_best_score(self, case: MetricCase) -> None:
        """The best end of the range is reached where it must be."""
        if case.perfect is None:
            pytest.skip("no perfect answer declared")
        metric = case.make()
        best = metric.value_range[1 if metric.higher_is_better else 0]
        assert [score.value for score in _scores(metric, case.perfect)] == [best]

    def test_symmetric_arguments_can_change_places(self, case: MetricCase) -> None:
        """Swapping the two gives the same score; where it is declared to matter, another one."""
        places = case.symmetric or case.asymmetric
        if places is None:
            pytest.skip("no arguments that could change places are declared")
        one, other = places
        swapped = {
            **case.arguments,
            one: case.arguments[other],
            other: case.arguments[one],
        }
        metric = case.make()
        is_same = _values(metric, swapped) == _values(metric, case.arguments)
        assert is_same is (case.symmetric is not None)

    def test_better_answers_do_not_score_worse(self, case: MetricCase) -> None:
        """Along the ladder scores only get better, and the last is better than the first."""
        if not case.ladder:
            pytest.skip("no ladder of answers declared")
        metric = case.make()
        worst, *others = [value for call in case.ladder for value in _values(metric, call)]
        assert None not in (worst, *others)
        scores = [cast("float", value) for value in (worst, *others)]
        ordered = sorted(scores, reverse=metric.higher_is_better is False)
        assert scores == ordered
        assert scores[0] != scores[-1]

    def test_order_counts_only_where_it_is_declared_to(self, case: MetricCase) -> None:
        """The same things in another order score the same, or must not."""
        if case.reordered is None:
            pytest.skip("no other order declared")
        metric = case.make()
        pairs = zip(_values(metric, case.reordered), _values(metric, case.arguments), strict=True)
        is_same = all(value == pytest.approx(known, abs=1e-12) for value, known in pairs)
        assert is_same is not case.order_matters

    def test_equal_calls_give_equal_scores(self, case: MetricCase) -> None:
        """A metric keeps no state from one score to the next."""
        metric = case.make()
        assert _values(metric, case.arguments) == _values(metric, case.arguments)

    def test_score_and_ascore_agree(self, case: MetricCase) -> None:
        """Both ways to call a metric give the same score."""
        metric = case.make()
        awaited = normalise(asyncio.run(metric.ascore(**case.arguments)), name=metric.name)
        assert [score.value for score in awaited] == _values(metric, case.arguments)

    def test_a_pickled_copy_scores_the_same(self, case: MetricCase) -> None:
        """Metrics travel to worker processes."""
        metric = case.make()
        copy = pickle.loads(pickle.dumps(metric))
        assert copy.name == metric.name
        assert _values(copy, case.arguments) == _values(metric, case.arguments)

    def test_dataclasses_are_equal_if_their_configurations_are(self, case: MetricCase) -> None:
        """Two metrics made alike are equal and show the same repr."""
        one, other = case.make(), case.make()
        if not is_dataclass(type(one)):
            pytest.skip("not a dataclass")
        assert one == other
        assert repr(one) == repr(other)

    def test_arguments_it_does_not_know_are_ignored(self, case: MetricCase) -> None:
        """The engine may hand over all it has."""
        metric = case.make()
        more = {**case.arguments, "an_argument_nobody_knows": object()}
        assert _values(metric, more) == _values(metric, case.arguments)

    def test_required_arguments_are_part_of_a_valid_call(self, case: MetricCase) -> None:
        """What the signature requires is what the case supplies, and the card says so."""
        metric = case.make()
        required = required_arguments(metric)
        assert set(required) <= set(case.arguments)
        card = describe(metric)
        assert (card.name, card.required) == (case.name, required)
        assert card.summary.endswith(".")

    def test_none_is_refused_by_name(self, case: MetricCase) -> None:
        """``None`` for a required argument is an error that names metric, argument and remedy."""
        metric = case.make()
        for argument in required_arguments(metric):
            _assert_refused(metric, {**case.arguments, argument: None}, argument)

    def test_values_of_a_wrong_type_are_refused_by_name(self, case: MetricCase) -> None:
        """So is a value of a type the metric cannot use."""
        metric = case.make()
        for argument, value in case.wrong.items():
            _assert_refused(metric, {**case.arguments, argument: value}, argument)

    def test_unusual_texts_are_scored(self, case: MetricCase) -> None:
        """Empty, combining, invalid and long texts get a score inside the range."""
        metric = case.make()
        lowest, highest = metric.value_range
        for argument in case.texts:
            for text in UNUSUAL_TEXTS:
                for value in _values(metric, {**case.arguments, argument: text}):
                    assert value is not None
                    assert lowest <= value <= highest


def _scores(metric: BaseMetric, arguments: Mapping[str, object]) -> list[ScoreResult]:
    return normalise(metric.score(**arguments), name=metric.name)


def _values(metric: BaseMetric, arguments: Mapping[str, object]) -> list[float | None]:
    return [score.value for score in _scores(metric, arguments)]


def _assert_refused(metric: BaseMetric, arguments: Mapping[str, object], argument: str) -> None:
    with pytest.raises(MetricError) as refusal:
        metric.score(**arguments)
    assert metric.name in refusal.value.message
    assert f"'{argument}" in refusal.value.message
    assert refusal.value.remedy


__all__ = ["UNUSUAL_TEXTS", "MetricCase", "MetricContract"]
