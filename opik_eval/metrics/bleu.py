"""Runs of words that an output shares with its references: BLEU and Google's GLEU."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, cast

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_choice, require_text, require_texts, require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.bleu_smoothing import SMOOTHING_METHODS, NgramMatches
from opik_eval.metrics.extras import load_extra
from opik_eval.metrics.words import Tokenizer, common_count, lowercase_split, ngrams

_SACREBLEU_TOKENIZERS = {
    "13a": "Tokenizer13a",
    "char": "TokenizerChar",
    "intl": "TokenizerV14International",
    "zh": "TokenizerZh",
}


@dataclass
class _BLEU(DataclassMetric):
    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    n_grams: int = 4
    smoothing_method: str = "method1"
    weights: Sequence[float] | None = None
    tokenizer: str | Tokenizer | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.n_grams, bool) or not isinstance(self.n_grams, int) or self.n_grams < 1:
            raise MetricError(
                f"metric {self.name!r} got n_grams={self.n_grams!r}",
                remedy="give the longest run of words to compare, a whole number of 1 or more",
            )
        require_choice(
            self.smoothing_method, "smoothing_method", tuple(SMOOTHING_METHODS), metric=self.name
        )
        if isinstance(self.tokenizer, str):
            require_choice(
                self.tokenizer, "tokenizer", tuple(_SACREBLEU_TOKENIZERS), metric=self.name
            )
        if self.weights is not None:
            self._check_weights(self.weights)

    def _check_weights(self, weights: Sequence[float]) -> None:
        fits = len(weights) == self.n_grams and all(weight >= 0 for weight in weights)
        if not fits or not math.isclose(math.fsum(weights), 1.0, abs_tol=1e-6):
            raise MetricError(
                f"metric {self.name!r} got weights={list(weights)}",
                remedy=f"give n_grams={self.n_grams} weights of 0 or more that sum to 1",
            )

    def _tokens(self, text: str) -> Sequence[str]:
        if self.tokenizer is None:
            return lowercase_split(text)
        if isinstance(self.tokenizer, str):
            cut = _sacrebleu_tokenizer(self.tokenizer, self.name)
            return cut(unicodedata.normalize("NFC", text)).split()
        return self.tokenizer(text)

    def _bleu(self, pairs: Sequence[tuple[str, Sequence[str]]]) -> float:
        """Return the BLEU of outputs with their references, as one corpus."""
        tokens = [
            (self._tokens(output), [self._tokens(text) for text in references])
            for output, references in pairs
        ]
        longest = max(len(output) for output, _ in tokens)
        if longest == 0:
            return float(all([] in map(list, references) for _, references in tokens))
        order = min(self.n_grams, longest)
        counts = NgramMatches.of_corpus(tokens, order)
        if counts.matches[0] == 0:
            return 0.0
        precisions = SMOOTHING_METHODS[self.smoothing_method](counts)
        weighted = zip(self._weights(order), precisions, strict=True)
        used = [(weight, precision) for weight, precision in weighted if weight > 0]
        if any(precision <= 0 for _, precision in used):
            return 0.0
        mean = math.exp(math.fsum(weight * math.log(precision) for weight, precision in used))
        return min(1.0, counts.brevity_penalty * mean)

    def _weights(self, order: int) -> Sequence[float]:
        chosen = list(self.weights or [1.0] * order)[:order]
        total = math.fsum(chosen)
        return [weight / total for weight in chosen] if total > 0 else [1.0 / order] * order


@dataclass
class SentenceBLEU(_BLEU):
    """BLEU of one output: how many of its runs of 1 to 4 words stand in a reference, 0 to 1.

    Runs longer than the output do not count, so that an output equal to its reference scores 1
    however short it is. Two texts without words are equal; one without words scores 0. For a whole
    system, prefer one ``CorpusBLEU`` to the mean of sentence scores: they differ.

    Args:
        n_grams: Longest run of words.
        smoothing_method: What to do about runs that never match: ``method0`` (nothing: the score is
            0) to ``method7`` of Chen and Cherry, under the names that NLTK uses. ``method1`` is
            also known as floor(0.1), ``method2`` as add-k, ``method3`` as exp. NLTK's ``method5``
            to ``method7`` can pass 1; here they are capped. Unknown names are refused.
        weights: Weight of each length, summing to 1; equal ones if absent.
        tokenizer: A function that cuts a text into words, or the name of one of sacrebleu's:
            ``13a``, ``intl``, ``zh``, ``char`` (extra ``text``; case counts). By default, what
            stands between spaces in lower case, as in Opik.

    Raises:
        MetricError: An option has no such value.

    Source: Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation";
        Chen and Cherry 2014, "A Systematic Comparison of Smoothing Techniques for Sentence-Level
        BLEU".

    Example:
        >>> metric = SentenceBLEU()
        >>> round(metric.score(output="the cat sat", reference="the cat sat down").value, 4)
        0.7165
        >>> metric.score(output="yes", reference=["no", "yes"]).value
        1.0
    """

    name: str = field(default="sentence_bleu_metric", kw_only=True)

    def score(self, output: str, reference: str | Sequence[str], **_ignored: object) -> ScoreResult:
        """Compare ``output`` with one reference or several.

        Raises:
            MetricError: An argument is missing or no text.
        """
        text = require_text(output, "output", metric=self.name)
        references = require_texts(reference, "reference", metric=self.name)
        return ScoreResult(self.name, self._bleu([(text, references)]))


@dataclass
class CorpusBLEU(_BLEU):
    """BLEU of many outputs as one corpus, 0 to 1.

    Matches are counted over all outputs before they are divided, so long outputs weigh more. As in
    sacrebleu, an output shorter than a run has none of that length; NLTK, and so Opik, counts one
    that failed. Smoothing sees the whole corpus; NLTK's ``method5`` to ``method7`` see one pair.

    Args:
        n_grams: Longest run of words.
        smoothing_method: See ``SentenceBLEU``.
        weights: See ``SentenceBLEU``.
        tokenizer: See ``SentenceBLEU``.

    Raises:
        MetricError: An option has no such value.

    Source: Papineni et al. 2002, "BLEU: a Method for Automatic Evaluation of Machine Translation".

    Example:
        >>> CorpusBLEU().score(
        ...     output=["a b c d", "yes"], reference=["a b c d", ["no", "yes"]]
        ... ).value
        1.0
    """

    name: str = field(default="corpus_bleu_metric", kw_only=True)

    def score(
        self, output: Sequence[str], reference: Sequence[str | Sequence[str]], **_ignored: object
    ) -> ScoreResult:
        """Compare each output with its references.

        Args:
            output: One text per sample.
            reference: For each output, one text or several.

        Raises:
            MetricError: An argument is missing, no list of texts, or of another length.
        """
        texts = require_texts(output, "output", metric=self.name)
        require_value(reference, "reference", metric=self.name)
        groups = [reference] if isinstance(reference, str) else list(reference)
        if len(groups) != len(texts):
            raise MetricError(
                f"metric {self.name!r} got {len(texts)} texts as 'output' but {len(groups)} as "
                "'reference'",
                remedy="give one reference, or one list of references, for each output",
            )
        pairs = [
            (text, require_texts(group, f"reference[{index}]", metric=self.name))
            for index, (text, group) in enumerate(zip(texts, groups, strict=True))
        ]
        return ScoreResult(self.name, self._bleu(pairs))


@dataclass
class GLEU(DataclassMetric):
    """Google's GLEU: the smaller of precision and recall of runs of words; the best reference.

    Words are what stands between spaces; case counts, as in Opik. It is neither the GLEU of
    grammar correction nor GLUE.

    Args:
        gleu_fn: A function of the references' words and the output's words to use instead.
        min_len: Shortest run of words.
        max_len: Longest run of words.

    Raises:
        MetricError: The lengths are no range of 1 or more.

    Source: Wu et al. 2016, "Google's Neural Machine Translation System".

    Example:
        >>> GLEU().score(output="the cat sat", reference="the cat sat down").value
        0.6
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    gleu_fn: Callable[[Sequence[Sequence[str]], Sequence[str]], float] | None = None
    min_len: int = 1
    max_len: int = 4
    name: str = field(default="gleu_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.min_len <= self.max_len:
            raise MetricError(
                f"metric {self.name!r} got min_len={self.min_len!r}, max_len={self.max_len!r}",
                remedy="give 1 <= min_len <= max_len",
            )

    def score(self, output: str, reference: str | Sequence[str], **_ignored: object) -> ScoreResult:
        """Compare ``output`` with one reference or several.

        Raises:
            MetricError: An argument is missing or no text.
        """
        answer = _split(require_text(output, "output", metric=self.name))
        truths = [_split(t) for t in require_texts(reference, "reference", metric=self.name)]
        if self.gleu_fn is not None:
            return ScoreResult(self.name, float(self.gleu_fn(truths, answer)))
        if answer in truths:
            return ScoreResult(self.name, 1.0)  # perhaps too short for any run
        runs = ngrams(answer, self.min_len, self.max_len)
        return ScoreResult(
            self.name,
            max(_gleu(runs, ngrams(truth, self.min_len, self.max_len)) for truth in truths),
        )


def _gleu(answer: Counter[tuple[str, ...]], truth: Counter[tuple[str, ...]]) -> float:
    return common_count(answer, truth) / max(1, answer.total(), truth.total())


def _split(text: str) -> list[str]:
    return unicodedata.normalize("NFC", text).split()


@cache
def _sacrebleu_tokenizer(name: str, metric: str) -> Callable[[str], str]:
    module = load_extra(f"sacrebleu.tokenizers.tokenizer_{name}", extra="text", metric=metric)
    return cast("Callable[[str], str]", getattr(module, _SACREBLEU_TOKENIZERS[name])())


__all__ = ["GLEU", "CorpusBLEU", "SentenceBLEU"]
