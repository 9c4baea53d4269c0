"""Whether a text is in the language it should be in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType
from typing import ClassVar, Protocol

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_text
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.extras import load_extra

Detector = Callable[[str], tuple[str, float]]
"""Returns the code of a text's language, such as ``en``, and a confidence from 0 to 1."""

_UNSURE = 0.5


class _FastText(Protocol):
    def predict(self, text: str) -> tuple[Sequence[str], Sequence[float]]: ...


@dataclass
class LanguageAdherenceMetric(DataclassMetric):
    """1 if a text is in the expected language, else 0.

    The language is that of the package py3langid (extra ``language``): 97 languages, always the
    same answer, nothing downloaded. Texts of one or two words are hard to tell; the confidence is
    in the metadata, and the reason warns where it is low. An empty text is in no language: 0. A
    text of digits or signs alone cannot be judged.

    Args:
        expected_language: ISO 639-1 code such as ``en``; a region (``en-US``) is not looked at.
        model_path: A fastText model of languages to use instead (needs the package fasttext).
        detector: A function of the text to use instead.

    Raises:
        MetricError: No language is given.

    Example:
        >>> metric = LanguageAdherenceMetric("fr")
        >>> metric.score(output="Où se trouve la gare, s'il vous plaît ?").value
        1.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    expected_language: str
    model_path: str | None = None
    detector: Detector | None = None
    name: str = field(default="language_adherence_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.expected_language, str) or not _code(self.expected_language):
            raise MetricError(
                f"metric {self.name!r} got expected_language={self.expected_language!r}",
                remedy="give a code such as 'en', 'de' or 'ja'",
            )

    def score(self, output: str, **_ignored: object) -> ScoreResult:
        """Detect the language of ``output``.

        Raises:
            MetricError: ``output`` is no text, or one without letters, or a package is missing.
        """
        text = require_text(output, "output", metric=self.name)
        if not text.strip():
            return ScoreResult(self.name, 0.0, reason="the output is empty")
        if not any(map(str.isalpha, text)):
            raise MetricError(
                f"metric {self.name!r} cannot tell the language: 'output' has no letters",
                remedy="use this metric for items whose answer is in words",
            )
        detected, confidence = self._detector()(text)
        adheres = _code(detected) == _code(self.expected_language)
        doubt = "" if confidence >= _UNSURE else "; too little text to be sure"
        return ScoreResult(
            self.name,
            float(adheres),
            reason=f"detected {detected!r} with confidence {confidence:.2f}{doubt}",
            metadata={
                "detected_language": detected,
                "confidence": confidence,
                "expected_language": self.expected_language,
            },
        )

    def _detector(self) -> Detector:
        if self.detector is not None:
            return self.detector
        if self.model_path is not None:
            load = load_extra("fasttext", extra="language", metric=self.name).load_model
            return _fasttext(load, self.model_path)
        return _langid(load_extra("py3langid.langid", extra="language", metric=self.name))


@lru_cache(maxsize=256)
def _code(language: str) -> str:
    return language.strip().lower().replace("_", "-").partition("-")[0]


@lru_cache(maxsize=1)
def _langid(module: ModuleType) -> Detector:
    kind = module.LanguageIdentifier
    classify: Detector = kind.from_model_file(module.MODEL_FILE, norm_probs=True).classify
    return classify


@lru_cache(maxsize=4)
def _fasttext(load: Callable[[str], _FastText], path: str) -> Detector:
    model = load(path)

    def detect(text: str) -> tuple[str, float]:
        labels, confidences = model.predict(" ".join(text.split()))
        return labels[0].removeprefix("__label__"), float(confidences[0])

    return detect


__all__ = ["Detector", "LanguageAdherenceMetric"]
