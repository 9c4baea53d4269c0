"""Evaluations: means over items, failures, parts, feedback."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.models.base import Usage
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import OptimizerError
from opik_optimizer.evaluation import Evaluation, Feedback, ItemResult
from opik_optimizer.prompt import ChatPrompt

SEED = Candidate.of(ChatPrompt(user="{q}"))
SCORES = st.none() | st.floats(-10, 10) | st.just(math.nan)


def evaluation(*results: ItemResult, **fields: object) -> Evaluation:
    return Evaluation(candidate=SEED, split="validation", results=results, **fields)  # type: ignore[arg-type]


@given(st.lists(SCORES, min_size=1, max_size=30), st.floats(-1, 1))
def test_mean_and_standard_error(scores: list[float | None], bottom: float) -> None:
    """Mean and standard error are numpy's, with failures at the failure score."""
    results = [ItemResult(item_id=str(n), score=score) for n, score in enumerate(scores)]
    found = evaluation(*results, failure_score=bottom)
    values = [bottom if s is None or math.isnan(s) else s for s in scores]
    assert found.score == pytest.approx(np.mean(values), abs=1e-12)
    assert found.failed == sum(s is None or math.isnan(s) for s in scores)
    if len(values) > 1:
        expected = np.std(values, ddof=1) / np.sqrt(len(values))
        assert found.standard_error == pytest.approx(expected, abs=1e-9)
    else:
        assert found.standard_error is None


@given(st.lists(st.tuples(st.sampled_from("abc"), SCORES), min_size=1))
def test_round_trip(rows: list[tuple[str, float | None]]) -> None:
    """An evaluation comes back from JSON types with the same scores and the same id."""
    results = [
        ItemResult(item_id=i, repeat=n, score=s, output={"a": [1]}, usage=Usage(total_tokens=n))
        for n, (i, s) in enumerate(rows)
    ]
    found = evaluation(*results)
    back = Evaluation.from_dict(found.to_dict())
    assert back.to_dict() == found.to_dict()
    assert (back.id, back.score) == (found.id, found.score)


def test_repeats_count_as_one_item() -> None:
    """Repeats of an item are averaged first, so that each item weighs the same."""
    found = evaluation(
        ItemResult(item_id="a", repeat=0, score=1),
        ItemResult(item_id="a", repeat=1, score=0),
        ItemResult(item_id="b", score=1),
    )
    assert found.scores_by_item == {"a": 0.5, "b": 1}
    assert found.score == 0.75
    assert found.item_ids == ("a", "b")


def test_parts_and_additions() -> None:
    """A part has the chosen items; results that are known are not added again."""
    found = evaluation(ItemResult(item_id="a", score=1), ItemResult(item_id="b", score=0))
    assert found.on(["b"]).score == 0
    more = found.with_results([ItemResult(item_id="b", score=9), ItemResult(item_id="c", score=1)])
    assert more.scores_by_item == {"a": 1, "b": 0, "c": 1}
    assert more.id != found.id
    assert more.result("c").score == 1
    with pytest.raises(OptimizerError, match="'z'"):
        found.result("z")
    with pytest.raises(OptimizerError, match="no item"):
        found.on(["z"])


def test_sub_scores_cost_and_time() -> None:
    """Sub-scores are averaged where they are known; one unknown cost makes the sum unknown."""
    found = evaluation(
        ItemResult(item_id="a", scores={"x": 1, "y": None}, cost_usd=0.5, seconds=1),
        ItemResult(item_id="b", scores={"x": 0, "y": math.nan}, cost_usd=0.25, seconds=3),
    )
    assert found.objectives == {"x": 0.5}
    assert found.cost_usd == 0.75
    assert found.seconds == 2
    assert found.with_results([ItemResult(item_id="c", cost_usd=None)]).cost_usd is None


def test_feedback_says_what_it_cuts() -> None:
    """Long values are cut with a note; a failure is shown as such; nothing else is dropped."""
    text = Feedback(
        item_id="1", inputs={"q": "x" * 30, "n": 3}, output={"a": 1}, reason="no answer"
    ).to_text(max_characters=10)
    assert text == (
        'q: xxxxxxxxxx [... 20 more characters]\nn: 3\noutput: {"a":1}\nscore: failed\n'
        "reason: no answer"
    )
