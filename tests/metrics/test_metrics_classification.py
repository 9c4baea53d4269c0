"""Experiment-level scores of classifiers, against scikit-learn."""

from __future__ import annotations

import pickle
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from opik_eval.errors import MetricError
from opik_eval.evaluation import evaluate
from opik_eval.experiments.case import TestCase, TestResult
from opik_eval.metrics import Classification
from opik_eval.metrics.confusion import ConfusionMatrix
from opik_eval.records import ErrorInfo


def results_of(*pairs):
    """Make results from pairs of true label and prediction."""
    return [
        TestResult(TestCase(None, str(i), {"output": guess}, {"reference": truth}), [], 0)
        for i, (truth, guess) in enumerate(pairs)
    ]


def values(scores):
    """Return the values by name."""
    return {score.name: score.value for score in scores}


def failed(truth):
    """Make the result of a task that raised."""
    error = ErrorInfo(exception_type="ValueError", message="no", traceback="")
    return TestResult(TestCase(None, "f", None, {"reference": truth}), [], 0, error=error)


labels = st.sampled_from("abcd")
runs = st.lists(st.tuples(labels, labels), min_size=1, max_size=40)


@given(pairs=runs, average=st.sampled_from(["macro", "micro", "weighted"]))
def test_everything_agrees_with_scikit_learn(pairs, average):
    """Averages, MCC and kappa; where scikit-learn invents a value, ours is None."""
    truths, guesses = zip(*pairs, strict=True)
    found = values(Classification(average=average)(results_of(*pairs)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, _ = oracle.precision_recall_fscore_support(
            truths, guesses, average=average, zero_division=0
        )
        mcc = oracle.matthews_corrcoef(truths, guesses)
        kappa = oracle.cohen_kappa_score(truths, guesses)
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(truths, guesses))
    assert found[f"precision_{average}"] == pytest.approx(precision)
    assert found[f"recall_{average}"] == pytest.approx(recall)
    assert found[f"f1_{average}"] == pytest.approx(f1)
    if len(set(truths)) == 1 or len(set(guesses)) == 1:
        assert found["mcc"] is None
    else:
        assert found["mcc"] == pytest.approx(mcc)
    if len({*truths, *guesses}) == 1:
        assert found["kappa"] is None
    else:
        assert found["kappa"] == pytest.approx(kappa)


@given(pairs=st.lists(st.tuples(labels, labels | st.none()), min_size=1, max_size=30))
def test_abstentions_are_wrong_answers_without_a_class(pairs):
    """As in scikit-learn with one more label that no average counts."""
    truths = [truth for truth, _ in pairs]
    guesses = [guess or "NONE" for _, guess in pairs]
    occurring = sorted({*truths, *guesses} - {"NONE"})
    found = values(Classification()(results_of(*pairs)))
    _, recall, f1, _ = oracle.precision_recall_fscore_support(
        truths, guesses, labels=occurring, average="macro", zero_division=0
    )
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(truths, guesses))
    assert (found["recall_macro"], found["f1_macro"]) == pytest.approx((recall, f1))
    if found["mcc"] is not None:
        assert found["mcc"] == pytest.approx(oracle.matthews_corrcoef(truths, guesses))
    assert found["kappa"] == (
        None
        if len({*truths, *guesses}) == 1
        else pytest.approx(oracle.cohen_kappa_score(truths, guesses))
    )


@given(pairs=runs)
def test_the_matrix_is_that_of_scikit_learn(pairs):
    """Rows are expected, columns predicted."""
    truths, guesses = zip(*pairs, strict=True)
    table = ConfusionMatrix.of(pairs).as_table()
    labels = sorted({*truths, *guesses})
    expected = [[pairs.count((truth, guess)) for guess in labels] for truth in labels]
    if len(labels) > 1:  # scikit-learn warns of a single one
        assert oracle.confusion_matrix(truths, guesses).tolist() == expected
    assert table == {"labels": labels, "columns": labels, "counts": expected}


def test_nothing_is_dropped_in_silence():
    """Abstentions, failures and items without label are counted in reason and metadata."""
    pairs = [("a", "a"), ("a", "unknown"), ("b", ""), ("b", None), (None, "a"), ("b", "B ")]
    classification = Classification(measures=["accuracy"], abstentions=["Unknown"])
    score = classification([*results_of(*pairs), failed("a"), failed(None)])[0]
    assert score.value == 2 / 5
    assert score.reason == "n=5, abstained=3, failed=1, unlabelled=2"
    assert score.metadata["confusion_matrix"] == {
        "labels": ["a", "b"],
        "columns": ["a", "b", None],
        "counts": [[1, 0, 1], [0, 1, 2]],
    }


def test_the_average_is_over_the_labels_that_are_asked_for():
    """Other predictions are wrong, and shown in the matrix; absent classes are left out."""
    pairs = [("a", "a"), ("b", "zzz"), ("a", "b")]
    classification = Classification(labels=["b", "a", "never"], measures=["f1"], per_class=True)
    scores = classification(results_of(*pairs))
    assert values(scores) == {
        "f1_macro": pytest.approx(1 / 3),
        "f1_b": 0.0,
        "f1_a": pytest.approx(2 / 3),
        "f1_never": 0.0,
    }
    assert scores[0].metadata["confusion_matrix"]["labels"] == ["b", "a", "never", "zzz"]
    assert values(Classification(labels=["never"], measures=["f1"])(results_of(*pairs))) == {
        "f1_macro": None
    }


@pytest.mark.parametrize("measure", ["precision", "recall", "f1"])
def test_one_class_can_be_reported(measure):
    """The positive class, as in binary classification."""
    pairs = [(1, True), (True, "true"), ("true", "false"), ("false", "true"), (0.0, "0")]
    results = results_of(*((truth, guess) for truth, guess in pairs[1:]))
    expected = {"precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2}[measure]
    found = Classification(positive=True, measures=[measure], prefix="spam_")(results)
    assert values(found) == {f"spam_{measure}": expected}


def test_labels_are_found_by_path_and_compared_by_their_text():
    """Paths lead into items and outputs; letter case counts if it is asked to."""
    case = TestCase(None, "1", {"answer": {"label": "Yes"}}, {"truth": {"label": "yes"}})
    by_path = {"expected": "truth.label", "predicted": "answer.label", "measures": ["accuracy"]}
    results = [TestResult(case, [], 0)]
    assert Classification(**by_path)(results)[0].value == 1.0
    assert Classification(**by_path, case_sensitive=True)(results)[0].value == 0.0


def test_a_value_that_is_no_label_is_refused_by_path_and_item():
    """A list is no label."""
    with pytest.raises(MetricError, match="'output' of item 0 is a list"):
        Classification()(results_of(("a", ["a"])))


def test_a_run_without_labels_is_refused():
    """The error says which key was looked for."""
    with pytest.raises(MetricError, match="'unlabelled': 1") as refusal:
        Classification(expected="intent")(results_of(("a", "a")))
    assert "expected= (now 'intent')" in refusal.value.remedy


@pytest.mark.parametrize("option", [{"measures": ["f2"]}, {"average": "binary"}])
def test_an_unknown_option_is_refused(option):
    """When it is made, before any task runs."""
    with pytest.raises(MetricError, match="choose one of"):
        Classification(**option)


def test_it_is_a_scoring_function_of_experiments(storage):
    """``evaluate`` calls it with all results, failed tasks included, and keeps its scores."""

    def task(item):
        if item["text"] == "boom":
            raise ValueError("boom")
        return {"label": "buy"}

    items = [{"text": "x", "intent": "buy"}, {"text": "boom", "intent": "ask"}]
    intents = Classification(expected="intent", predicted="label", measures=["accuracy", "mcc"])
    result = evaluate(
        items,
        task,
        storage=storage,
        verbose=0,
        experiment_scoring_functions=[pickle.loads(pickle.dumps(intents))],
    )
    accuracy, mcc = result.experiment_scores
    assert (accuracy.name, accuracy.value, accuracy.reason) == ("accuracy", 1.0, "n=1, failed=1")
    assert (mcc.value, mcc.reason) == (None, "undefined: only one class; n=1, failed=1")
    assert storage.find_experiment(result.experiment_id).experiment_scores == {"accuracy": 1.0}
