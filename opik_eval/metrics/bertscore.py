"""Similarity of meanings, word by word: BERTScore."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import ClassVar

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_text, require_texts
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.extras import load_extra

Scores = Sequence[float]
Scorer = Callable[[list[str], list[list[str]]], tuple[Scores, Scores, Scores]]
"""Returns precision, recall and F of outputs with lists of references, as bert_score.score does."""


@dataclass
class BERTScore(DataclassMetric):
    """F-measure of the similarity of contextual word vectors; the best of the references, up to 1.

    Computed by the package bert-score (extra ``bertscore``) with a model that is on this machine
    already: a folder, or a model in the cache of Hugging Face. Nothing is downloaded, and a model
    is loaded once per process. Equal texts get 1 without any model; so do two empty ones, and one
    empty text gets 0. Precision and recall are in the metadata.

    Args:
        scorer_fn: A function like ``bert_score.score`` to use instead.
        model_type: Name of a model, or folder of one (then with ``num_layers``).
        lang: Language of the baseline.
        rescale_with_baseline: Stretch the scale so that unrelated texts are near 0; below is
            possible.
        device: Such as ``cpu`` or ``cuda``; chosen by bert-score if absent.
        num_layers: Layer whose vectors are compared; bert-score's choice for the model if absent.
        batch_size: Texts that go through the model at once.
        nthreads: Threads of bert-score's bookkeeping.
        use_fast_tokenizer: Use the tokenizer written in Rust, where the model has one.
        baseline_path: File with the baseline of the model, if not bert-score's own. (Opik also
            hands on ``idf``, which is undefined for a single reference: all weights are 0.)

    Source: Zhang et al. 2020, "BERTScore: Evaluating Text Generation with BERT".

    Example:
        >>> def equal_letters(outputs, references):
        ...     return [0.5], [1.0], [2 / 3]
        >>> metric = BERTScore(scorer_fn=equal_letters)
        >>> round(metric.score(output="one", reference="two").value, 4)
        0.6667
    """

    value_range: ClassVar[tuple[float, float]] = (-math.inf, 1.0)

    scorer_fn: Scorer | None = None
    model_type: str = "bert-base-uncased"
    lang: str = "en"
    rescale_with_baseline: bool = False
    device: str | None = None
    num_layers: int | None = None
    batch_size: int = 64
    nthreads: int = 4
    use_fast_tokenizer: bool = False
    baseline_path: str | None = None
    name: str = field(default="bertscore_metric", kw_only=True)

    def score(self, output: str, reference: str | Sequence[str], **_ignored: object) -> ScoreResult:
        """Compare ``output`` with one reference or several.

        Raises:
            MetricError: An argument is missing or no text, or bert-score or its model is missing.
        """
        text = _nfc(require_text(output, "output", metric=self.name))
        references = [_nfc(t) for t in require_texts(reference, "reference", metric=self.name)]
        if text in references:
            return self._result(1.0, 1.0, 1.0)
        telling = [truth for truth in references if truth.strip()]
        if not text.strip() or not telling:
            empty = float(not text.strip() and len(telling) < len(references))
            return self._result(empty, empty, empty)
        precision, recall, f_measure = self._scorer()([text], [telling])
        return self._result(float(precision[0]), float(recall[0]), float(f_measure[0]))

    def _result(self, precision: float, recall: float, f_measure: float) -> ScoreResult:
        metadata: dict[str, object] = {"precision": precision, "recall": recall}
        return ScoreResult(self.name, min(1.0, f_measure), metadata=metadata)

    def _scorer(self) -> Scorer:
        if self.scorer_fn is not None:
            return self.scorer_fn
        package = load_extra("bert_score", extra="bertscore", metric=self.name)
        layers = self.num_layers or package.utils.model2layers.get(self.model_type)
        if layers is None:
            raise MetricError(
                f"metric {self.name!r} does not know which layer of {self.model_type!r} to compare",
                remedy="give num_layers",
            )
        options = {
            "model_type": _folder(self.model_type, self.name),
            "num_layers": layers,
            "lang": self.lang,
            "device": self.device,
            "rescale_with_baseline": self.rescale_with_baseline,
            "baseline_path": self.baseline_path or self._baseline(package),
            "batch_size": self.batch_size,
            "nthreads": self.nthreads,
            "use_fast_tokenizer": self.use_fast_tokenizer,
        }
        return _loaded(package, tuple(options.items()))

    def _baseline(self, package: ModuleType) -> str | None:
        # bert-score would look for it by the name of the model's folder.
        if not self.rescale_with_baseline:
            return None
        folder = Path(str(package.__file__)).parent / "rescale_baseline" / self.lang
        return str(folder / f"{self.model_type}.tsv")


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _folder(model: str, metric: str) -> str:
    if Path(model).is_dir():
        return model
    hub = load_extra("huggingface_hub", extra="bertscore", metric=metric)
    try:
        return str(hub.snapshot_download(model, local_files_only=True))
    except (OSError, ValueError) as error:
        raise MetricError(
            f"metric {metric!r} needs the model {model!r}, which is not on this machine",
            remedy=f"fetch it once with `hf download {model}`, or give the folder of a model",
        ) from error


@lru_cache(maxsize=2)
def _loaded(package: ModuleType, options: tuple[tuple[str, object], ...]) -> Scorer:
    chosen: Mapping[str, object] = dict(options)
    scorer: Scorer = package.BERTScorer(**chosen).score
    return scorer


__all__ = ["BERTScore", "Scorer"]
