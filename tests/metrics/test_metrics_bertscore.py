"""BERTScore around its package, which is replaced by what is used of it."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from opik_eval.errors import MetricError
from opik_eval.metrics import BERTScore, bertscore


@pytest.fixture
def package(monkeypatch):
    """Put a stand-in for bert-score in its place, which tells how it was called."""
    module = ModuleType("bert_score")
    module.__file__ = "/packages/bert_score/__init__.py"
    module.utils = SimpleNamespace(model2layers={"roberta-large": 17})
    module.made, module.calls = [], []

    class Scorer:
        def __init__(self, **options):
            module.made.append(options)

        def score(self, outputs, references):
            module.calls.append((outputs, references))
            return [0.9], [0.8], [1.0000001]

    module.BERTScorer = Scorer
    monkeypatch.setitem(sys.modules, "bert_score", module)
    bertscore._loaded.cache_clear()
    yield module
    bertscore._loaded.cache_clear()


def test_a_model_in_a_folder_is_loaded_once(package, tmp_path):
    """Rounding above 1 is cut off."""
    metrics = [BERTScore(model_type=str(tmp_path), num_layers=9) for _ in range(2)]
    for metric in metrics:
        score = metric.score(output="a", reference=["b", " "])
        assert (score.value, score.metadata) == (1.0, {"precision": 0.9, "recall": 0.8})
    (options,) = package.made
    assert (options["model_type"], options["num_layers"]) == (str(tmp_path), 9)
    assert package.calls == [(["a"], [["b"]])] * 2


def test_a_model_in_the_cache_is_loaded_from_there(package, monkeypatch):
    """With bert-score's layer and baseline for its name; the network is not asked."""
    asked = []

    def snapshot_download(model, *, local_files_only):
        asked.append((model, local_files_only))
        return "/cache/snapshot"

    hub = ModuleType("huggingface_hub")
    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    metric = BERTScore(model_type="roberta-large", rescale_with_baseline=True, device="cpu")
    metric.score(output="a", reference="b")
    assert asked == [("roberta-large", True)]
    assert package.made == [
        {
            "model_type": "/cache/snapshot",
            "num_layers": 17,
            "lang": "en",
            "device": "cpu",
            "rescale_with_baseline": True,
            "baseline_path": "/packages/bert_score/rescale_baseline/en/roberta-large.tsv",
            "batch_size": 64,
            "nthreads": 4,
            "use_fast_tokenizer": False,
        }
    ]


def test_a_model_that_is_not_there_is_not_fetched(package, monkeypatch, tmp_path):
    """The real cache is empty, and the error says how to fill it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    metric = BERTScore(model_type="roberta-large")
    with pytest.raises(MetricError, match="not on this machine") as refusal:
        metric.score(output="a", reference="b")
    assert "hf download roberta-large" in refusal.value.remedy
    assert package.made == []


def test_the_layer_of_an_unknown_model_must_be_given(package):
    """Each model has another that fits best."""
    with pytest.raises(MetricError, match="which layer") as refusal:
        BERTScore(model_type="my/model").score(output="a", reference="b")
    assert refusal.value.remedy == "give num_layers"


def test_the_package_must_be_there(monkeypatch):
    """The remedy is its extra."""
    monkeypatch.setitem(sys.modules, "bert_score", None)
    with pytest.raises(MetricError, match="'bert_score'") as refusal:
        BERTScore().score(output="a", reference="b")
    assert refusal.value.remedy == 'pip install "opik-eval[bertscore]"'


@pytest.mark.parametrize(
    ("output", "reference", "expected"),
    [
        ("a b", "a b", 1.0),
        ("a", ["b", "a"], 1.0),
        ("", "", 1.0),
        (" ", ["", "a"], 1.0),
        ("", "a", 0.0),
        ("a", ["", " "], 0.0),
    ],
)
def test_equal_and_empty_texts_need_no_model(output, reference, expected):
    """A scorer that must not be called proves it."""
    metric = BERTScore(lambda outputs, references: pytest.fail("called"))
    assert metric.score(output=output, reference=reference).value == expected
