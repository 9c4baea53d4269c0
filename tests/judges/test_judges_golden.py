"""Figures that are published for public data with labels by people, recomputed without a model.

The data are not part of the project; ``OPIK_EVAL_DATA_DIR`` says where they are.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from opik_eval.judges import Calibration, calibrate, win_rate
from opik_eval.metrics import ROUGE, ChrF, ExactMatch, ScoreResult, TokenF1
from opik_eval.metrics.porter import stem
from opik_eval.metrics.text import squad_normalise
from opik_eval.statistics import Game, bradley_terry, correlate

FOLDER = os.environ.get("OPIK_EVAL_DATA_DIR")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="OPIK_EVAL_DATA_DIR does not name the folder with the public data sets"
)

Row = Mapping[str, object]


def load(name: str) -> list[Row]:
    path = Path(FOLDER or "") / "meta" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"there is no meta/{name}.json in OPIK_EVAL_DATA_DIR")
    return json.loads(path.read_text("utf-8"))


def correlations(found: Calibration) -> list[float]:
    return [round(found.correlations[m].value, 3) for m in ("pearson", "spearman", "kendall")]


@pytest.mark.parametrize(
    ("name", "figures"),
    [("qags_cnndm", [0.682, 0.662, 0.532]), ("qags_xsum", [0.461, 0.488, 0.399])],
)
def test_qags(name, figures):
    """UniEval's consistency against people: Pearson, Spearman, Kendall as in its paper."""
    rows = load(f"{name}_unieval")
    scores = [row["predict_scores"]["consistency"] for row in rows]
    found = calibrate(scores, rows_with(rows, "consistency"))
    assert correlations(found) == figures
    for value in found.correlations.values():
        assert value.low < value.value < value.high


def rows_with(rows: Sequence[Row], dimension: str) -> list[float]:
    return [row["scores"][dimension] for row in rows]


def ascii_stems(text: str) -> list[str]:
    """Return the tokens of the package rouge-score, with its stemmer."""
    tokens = re.findall(r"[a-z0-9]+", text.lower())
    return [stem(token) if len(token) > 3 else token for token in tokens]


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("qags_cnndm", [0.437, 0.617, 0.436, 0.353]),
        ("qags_xsum", [0.317, 0.203, 0.245, -0.049]),
    ],
)
def test_qags_by_words(name, figures):
    """What a judge must beat: precision of ROUGE-1, -2 and -L, and chrF, against the source."""
    rows = load(name)
    pairs = [{"output": row["system_output"], "reference": row["source"]} for row in rows]
    columns = [
        [metric.score(**pair).metadata["precision"] for pair in pairs]
        for metric in (
            ROUGE(kind, tokenizer=ascii_stems) for kind in ("rouge1", "rouge2", "rougeL")
        )
    ]
    columns.append([ChrF().score(**pair).value for pair in pairs])
    labels = rows_with(rows, "consistency")
    assert [round(correlate(column, labels).value, 3) for column in columns] == figures


@pytest.mark.parametrize(
    ("dimension", "rho"),
    [
        ("understandability", 0.468),
        ("naturalness", 0.514),
        ("coherence", 0.613),
        ("engagingness", 0.605),
        ("groundedness", 0.575),
        ("overall", 0.663),
    ],
)
def test_topical_chat(dimension, rho):
    """UniEval's dimensions of dialogue against people, over the whole data set."""
    rows = load("topical_chat_unieval")
    scores = [row["predict_scores"][dimension] for row in rows]
    found = calibrate(scores, rows_with(rows, dimension), positive_from=None)
    assert round(found.correlations["spearman"].value, 3) == rho


def verdicts(row: Row) -> tuple[int, int]:
    """Return the final verdicts of both orders; the last round counts where there are several."""
    last = row["results"][-1]
    return int(last["swap = False"]["winner"]), int(last["swap = True"]["winner"])


@pytest.mark.parametrize(
    ("name", "accuracy", "same"),
    [("llmbar_natural_gpt4_vanilla", 0.955, 0.95), ("llmbar_natural_gpt4_swap", 0.945, 0.97)],
)
def test_llmbar(name, accuracy, same):
    """GPT-4's pairwise verdicts: accuracy over both orders, and how often both agree."""
    rows = load(name)
    pairs = [(row["label"], verdict) for row in rows for verdict in verdicts(row)]
    found = calibrate([float(v == 1) for _, v in pairs], [label == 1 for label, _ in pairs])
    assert found.confusion.accuracy == pytest.approx(accuracy, abs=5e-4)
    assert found.kappa.value > 0.85
    rate = win_rate([as_score(row) for row in rows])
    assert 1 - rate.flip_rate == pytest.approx(same, abs=5e-4)
    gold = sum(row["label"] == 1 for row in rows) / len(rows)
    assert rate.estimate.low < gold < rate.estimate.high
    assert 0.4 < rate.first_rate < 0.6


def as_score(row: Row) -> ScoreResult:
    """Return logged verdicts in the form that a pairwise judge gives them."""
    straight, swapped = verdicts(row)
    facts = {
        "flipped": straight != swapped,
        "winners": ["A" if straight == 1 else "B", "B" if swapped == 1 else "A"],
        "length_difference": len(row["output_1"]) - len(row["output_2"]),
    }
    value = float(straight == 1) if straight == swapped else 0.5
    return ScoreResult("pairwise_metric", value, metadata=facts)


SYSTEMS = ("fid", "gpt35", "chatgpt", "gpt4", "newbing")


@pytest.fixture(scope="module")
def answers() -> dict[str, list[tuple[str, list[str], bool]]]:
    """Return answer, right answers and the people's label, by system."""
    rows = [row for row in load("evouna_nq") if not row["improper"]]
    return {
        system: [
            (row[f"answer_{system}"] or "", row["golden_answer"].split("/"), row[f"judge_{system}"])
            for row in rows
            if row[f"judge_{system}"] is not None
        ]
        for system in SYSTEMS
    }


def agreement(cases, score) -> Calibration:
    return calibrate(
        [float(score(answer, right)) for answer, right, _ in cases],
        [label for _, _, label in cases],
    )


def contains(answer: str, right: Sequence[str]) -> bool:
    return any(squad_normalise(one) in squad_normalise(answer) for one in right)


def test_evouna_exact_match_collapses_on_chat(answers):
    """Exact match agrees with people on short answers, and hardly on sentences; so does F1."""

    def exact(answer, right):
        return ExactMatch().score(output=answer, reference=right).value

    def f1(answer, right):
        return TokenF1("f1").score(output=answer, reference=right).value >= 0.5

    by_exact = {s: agreement(cases, exact).confusion.accuracy for s, cases in answers.items()}
    by_f1 = {s: agreement(cases, f1).confusion.accuracy for s, cases in answers.items()}
    assert round(by_exact["fid"], 2) == 0.87
    assert round(by_f1["fid"], 2) == 0.93
    assert max(by_exact[s] for s in SYSTEMS[1:]) < 0.45
    assert max(by_f1[s] for s in SYSTEMS[1:]) < 0.54


def test_evouna_recall_and_containment_hold(answers):
    """Token recall agrees with people for all systems: the floor for a judge of correctness."""

    def recall(answer, right):
        return TokenF1("recall").score(output=answer, reference=right).value >= 0.5

    by_recall = [agreement(cases, recall).confusion.accuracy for cases in answers.values()]
    assert [round(min(by_recall), 2), round(max(by_recall), 2)] == [0.83, 0.93]
    found = [agreement(cases, contains) for cases in answers.values()]
    assert round(min(one.confusion.accuracy for one in found), 2) >= 0.80
    assert round(max(one.confusion.accuracy for one in found), 2) <= 0.92
    kappas = [one.kappa.value for one in found]
    assert 0.57 <= round(min(kappas), 2) <= round(max(kappas), 2) <= 0.80
    for one in found:
        assert one.n > 2_500
        assert one.kappa.high - one.kappa.low < 0.1


@pytest.mark.parametrize("method", ["rogan-gladen", "prediction-powered"])
def test_evouna_corrected_means_recover_what_people_say(answers, method):
    """With a tenth of the labels: intervals cover, and the mean is nearer to the people's."""
    hits, errors, raw_errors = [], [], []
    for cases in answers.values():
        scored = [(float(contains(answer, right)), label) for answer, right, label in cases]
        for part in range(10):
            few = scored[part::10]
            rest = [case for number, case in enumerate(scored) if number % 10 != part]
            found = calibrate([score for score, _ in few], [label for _, label in few])
            corrected = found.corrected_mean([score for score, _ in rest], method=method)
            truth = sum(label for _, label in rest) / len(rest)
            hits.append(corrected.low <= truth <= corrected.high)
            errors.append(abs(corrected.mean - truth))
            raw_errors.append(abs(corrected.raw_mean - truth))
    assert sum(hits) / len(hits) >= 0.9
    assert sum(errors) < 0.4 * sum(raw_errors)


def test_evouna_systems_are_ranked_as_people_rank_them(answers):
    """Pairs of labels as comparisons give the order of the shares of right answers."""
    count = min(len(cases) for cases in answers.values())
    games = [
        Game(a, b, (1 + answers[a][n][2] - answers[b][n][2]) / 2, n)
        for i, a in enumerate(SYSTEMS)
        for b in SYSTEMS[:i]
        for n in range(count)
    ]
    shares = {s: sum(label for _, _, label in answers[s][:count]) for s in SYSTEMS}
    ranking = [one.name for one in bradley_terry(games)]
    assert ranking == sorted(SYSTEMS, key=lambda system: -shares[system])
