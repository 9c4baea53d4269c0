"""A judge against people: agreement, threshold, disagreements, corrected means."""

from __future__ import annotations

import math
import random

import pytest

from opik_eval.errors import BudgetExceededError, ConfigError, MissingArgumentError
from opik_eval.judges import Usefulness, calibrate, score_items
from opik_eval.judges.calibration import Calibration
from opik_eval.metrics.base import BaseMetric, ScoreResult
from opik_eval.models.budget import Budget
from opik_eval.models.client import ChatModel
from opik_eval.models.context import use_models
from opik_eval.models.fake import FunctionTransport, LabelNoiseTransport


def noisy(n, *, share, sensitivity, specificity, seed=0):
    """Return verdicts and the truth behind them."""
    rng = random.Random(seed)
    truth = [rng.random() < share for _ in range(n)]
    verdicts = [
        rng.random() < sensitivity if is_yes else rng.random() >= specificity for is_yes in truth
    ]
    return [float(verdict) for verdict in verdicts], truth


def test_a_judge_with_a_known_error_rate_is_found_out():
    """Labels disturbed at a rate of 0.2 give that sensitivity and specificity."""
    inner = FunctionTransport(lambda request: str(int("good" in str(request.messages))))
    transport = LabelNoiseTransport(inner, ["0", "1"], error_rate=0.2, seed=3)
    model = ChatModel(name="fake/noisy", transport=transport)

    class Label(BaseMetric):
        async def ascore(self, output, **_ignored):
            return float((await model.generate(f"{output}")).text)

    items = [{"output": f"{'good' if n % 2 else 'bad'} {n}", "label": n % 2} for n in range(600)]
    found = calibrate(Label("noisy"), items)
    assert found.kind == "binary"
    assert found.confusion.sensitivity == pytest.approx(0.8, abs=0.05)
    assert found.confusion.specificity == pytest.approx(0.8, abs=0.05)
    assert found.balanced_accuracy.low < 0.8 < found.balanced_accuracy.high
    assert found.kappa.low < 0.6 < found.kappa.high
    assert found.base_rate == 0.5
    assert (found.threshold, found.threshold_source) == (0.5, "the scores are 0 and 1")


def test_a_judge_is_run_on_the_items_and_failures_are_counted(answering):
    """Items without a score are in no number; disagreements have item and reason, worst first."""
    values = {"a": 0.9, "b": 0.1, "c": 0.95, "d": 0.4}

    def reply(prompt):
        name = prompt.partition("<output>\n")[2][0]
        return {"reason": f"about {name}", "score": values[name]} if name in values else "?"

    labels = {"a": 1, "b": 0, "c": 0, "d": 1, "e": 1}
    items = [{"input": "q", "output": name, "human": label} for name, label in labels.items()]
    found = calibrate(Usefulness(answering(reply)), items, label="human", threshold=0.5)
    assert (found.n, found.n_failed, found.n_tested) == (4, 1, 4)
    assert [case.item["output"] for case in found.disagreements] == ["c", "d"]
    assert found.disagreements[0].score.reason == "about c"
    assert (found.disagreements[0].index, found.disagreements[0].label) == (2, 0)
    assert found.threshold_source == "given"
    assert found.counts == {(True, True): 1, (False, False): 1, (False, True): 1, (True, False): 1}
    assert set(found.alpha) == {"nominal", "ordinal", "interval"}
    assert "4 labelled items, 1 without score" in str(found)
    assert "threshold 0.5 (given)" in str(found)


def test_the_threshold_is_chosen_on_some_items_and_tested_on_the_others():
    """Scores without any relation to the labels do not look good by choice of the threshold."""
    rng = random.Random(5)
    gains = []
    for seed in range(60):
        scores = [rng.random() for _ in range(40)]
        labels = [rng.random() < 0.5 for _ in range(40)]
        found = calibrate(scores, labels, seed=seed)
        assert found.n_tested == 40 - round(0.4 * sum(labels)) - round(0.4 * (40 - sum(labels)))
        gains.append(found.balanced_accuracy.value - 0.5)
    assert sum(gains) / len(gains) == pytest.approx(0, abs=0.04)


def test_a_threshold_that_separates_is_found():
    """Half-way between the two groups; it can be given instead."""
    scores = [0.2 + 0.001 * n for n in range(20)] + [0.6 + 0.001 * n for n in range(20)]
    labels = [False] * 20 + [True] * 20
    found = calibrate(scores, labels)
    assert 0.219 < found.threshold < 0.6
    assert found.balanced_accuracy.value == 1.0
    assert found.disagreements == []
    assert found.threshold_source == "chosen on 16 other items"


def test_numbers_on_a_scale():
    """Weighted kappa, alpha for ranks and distances, correlations; no threshold."""
    scores = [1, 2, 3, 4, 5, 3, 2, 4]
    labels = [1, 2, 3, 4, 4, 3, 1, 5]
    found = calibrate(scores, labels)
    assert (found.kind, found.threshold, found.confusion) == ("numbers", None, None)
    assert set(found.correlations) == {"pearson", "spearman", "kendall"}
    assert found.kappa.value > 0.8
    assert found.counts[4.0, 5.0] == 1
    assert [case.index for case in found.disagreements] == [4, 6, 7]
    as_yes = calibrate(scores, labels, positive_from=4, threshold=4)
    assert (as_yes.kind, as_yes.confusion.n) == ("binary", 8)
    assert as_yes.confusion.accuracy == 1.0


def test_kappa_needs_a_common_scale():
    """For scores that take any value there is no kappa, but all the rest."""
    rng = random.Random(2)
    labels = [rng.gauss(0, 1) for _ in range(40)]
    found = calibrate([label + rng.gauss(0, 0.1) for label in labels], labels)
    assert math.isnan(found.kappa.value)
    assert found.correlations["spearman"].value > 0.95
    assert found.alpha["interval"].value > 0.95


def test_words_are_held_against_the_category():
    """Kappa, alpha and counts of words; scores without a word are counted as failed."""
    scores = [ScoreResult("tone", 1, category_name=word) for word in ["good", "bad", "good", "bad"]]
    labels = ["good", "bad", "bad", "bad", "good"]
    found = calibrate([*scores, ScoreResult("tone", None)], labels)
    assert (found.kind, found.n, found.n_failed) == ("words", 4, 1)
    assert found.kappa.value == 0.5
    assert found.counts["bad", "good"] == 1
    assert [case.index for case in found.disagreements] == [2]
    assert calibrate(["a", "b", "a"], ["a", "b", "a"]).kappa.value == 1.0
    with pytest.raises(ConfigError, match="no yes and no"):
        found.corrected_mean([1, 0], method="rogan-gladen")


@pytest.mark.parametrize(
    ("scores", "labels", "problem"),
    [
        ([0.1, 0.2], [1], "2 scores but 1"),
        ([0.1, None], [1, 0], "1 of 2 labelled items have a score"),
        ([math.nan, ScoreResult("x", None, reason="why")], [1, 0], "0 of 2"),
        ([0.1, 0.2], [1, None], "labelled item 1 has None"),
        ([0.1, 0.2], [1, math.nan], "labelled item 1 has nan"),
        ([0.1, 0.2], [1, "no"], "words and others numbers|0 of 2 scores"),
        ([0.1, 0.2, 0.3], [1, 0, 0], "cannot be chosen and tested with 1 items"),
    ],
)
def test_what_cannot_be_compared_is_refused(scores, labels, problem):
    """Each with what is wrong."""
    with pytest.raises(ConfigError, match=problem):
        calibrate(scores, labels)


def test_items_are_checked_before_anything_is_sent(answering):
    """A key that the judge needs and the items lack; and a budget that is spent."""
    judge = Usefulness(answering(lambda prompt: {"reason": "", "score": 1}))
    with pytest.raises(MissingArgumentError, match="needs 'output'"):
        calibrate(judge, [{"input": "q", "label": 1}])
    items = [{"input": "q", "output": str(n)} for n in range(5)]
    with use_models(budget=Budget(max_requests=2)), pytest.raises(BudgetExceededError):
        score_items(judge, items)
    assert score_items(judge, []) == []


def test_a_corrected_share_is_closer_to_the_truth_than_the_raw_one():
    """The judge's errors are taken out, and the interval covers the truth."""
    verdicts, truth = noisy(300, share=0.5, sensitivity=0.9, specificity=0.7, seed=1)
    found = calibrate(verdicts, truth)
    others, real = noisy(2000, share=0.2, sensitivity=0.9, specificity=0.7, seed=2)
    corrected = found.corrected_mean([*others, ScoreResult("x", None, scoring_failed=True)])
    share = sum(real) / len(real)
    assert corrected.method == "rogan-gladen"
    assert corrected.n == 2000
    assert abs(corrected.mean - share) < 0.5 * abs(corrected.raw_mean - share)
    assert corrected.low < share < corrected.high


def test_corrected_numbers_are_prediction_powered():
    """A judge that is a point too kind is corrected by that point."""
    rng = random.Random(4)
    labels = [rng.choice([1, 2, 3, 4]) for _ in range(200)]
    found = calibrate([label + 1 for label in labels], labels)
    corrected = found.corrected_mean([rng.choice([2, 3, 4, 5]) for _ in range(1000)])
    assert corrected.method == "prediction-powered"
    assert corrected.mean == pytest.approx(2.5, abs=0.1)
    binary = calibrate([1.0, 0.0, 1.0, 0.0] * 5, [1, 0, 0, 0] * 5)
    assert binary.corrected_mean([1, 0, 1], method="prediction-powered").n_labelled == 20
    assert isinstance(binary, Calibration)
