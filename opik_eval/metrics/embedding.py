"""Similarity of meaning by embeddings, whoever makes them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from inspect import isawaitable, iscoroutinefunction
from typing import ClassVar, cast

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_text, require_texts
from opik_eval.metrics.base import DataclassMetric, ScoreResult

Vectors = Sequence[Sequence[float]]
EmbeddingFunction = Callable[[list[str]], Vectors | Awaitable[Vectors]]
"""Takes texts and returns a vector of equal length for each; plain or a coroutine function."""


def cosine_similarity(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine of the angle between two vectors, -1 to 1.

    Raises:
        ValueError: Their lengths differ, or one has no direction (zero, NaN, infinite).

    Example:
        >>> cosine_similarity([1.0, 0.0], [2.0, 2.0])
        0.7071067811865475
    """
    import numpy as np

    left, right = (np.asarray(vector, dtype=np.float64) for vector in (one, other))
    if left.ndim != 1 or left.shape != right.shape:
        raise ValueError(f"vectors of shapes {left.shape} and {right.shape}")
    lengths = [float(np.abs(vector).max(initial=0.0)) for vector in (left, right)]
    if not all(0 < length < math.inf for length in lengths):
        raise ValueError("a vector without direction: all zero, or not finite")
    left, right = left / lengths[0], right / lengths[1]  # squares must not over- or underflow
    cosine = float(left @ right) / math.sqrt(float(left @ left) * float(right @ right))
    return max(-1.0, min(1.0, cosine))


@dataclass
class EmbeddingSimilarity(DataclassMetric):
    """Cosine of the embeddings of output and reference, -1 to 1; the best of the references.

    The texts of one score are embedded together, by one call of the function. Cosines of unrelated
    texts are far above 0 with many models; compare scores of one model only.

    Args:
        function: Name of a model, called through litellm unless it is served by
            ``opik_eval.models`` itself; or a function that takes a list of texts and returns a
            vector for each. It may be a coroutine function, such as those of
            ``opik_eval.models.embedding_function``, which has more options; others run in a thread.

    Raises:
        MetricError: ``function`` is neither.

    Example:
        >>> def letters(texts):
        ...     return [[text.count(letter) for letter in "abc"] for text in texts]
        >>> EmbeddingSimilarity(letters).score(output="ab", reference=["c", "ba"]).value
        1.0
    """

    value_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)

    function: EmbeddingFunction | str = "openai/text-embedding-3-small"
    name: str = field(default="embedding_similarity_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function) and not isinstance(self.function, str):
            raise MetricError(
                f"metric {self.name!r} needs a function that embeds texts, not {self.function!r}",
                remedy="give the name of a model ('provider/model'), or a function of a list of "
                "texts that returns a list of vectors",
            )

    async def ascore(
        self, output: str, reference: str | Sequence[str], **_ignored: object
    ) -> ScoreResult:
        """Compare ``output`` with each reference.

        Raises:
            MetricError: An argument is missing or no text, or the vectors cannot be compared.
        """
        answer = require_text(output, "output", metric=self.name)
        references = require_texts(reference, "reference", metric=self.name)
        vectors = await self._embed([answer, *references])
        try:
            cosines = [cosine_similarity(vectors[0], vector) for vector in vectors[1:]]
        except ValueError as error:
            raise MetricError(
                f"metric {self.name!r}: the embedding function returned {error}",
                remedy="it must return one vector of numbers for each text, all equally long",
            ) from error
        return ScoreResult(self.name, max(cosines))

    async def _embed(self, texts: list[str]) -> Vectors:
        function = _named(self.function) if isinstance(self.function, str) else self.function
        if iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__):
            made: object = function(texts)
        else:
            made = await asyncio.to_thread(function, texts)
        vectors = cast("Vectors", await made if isawaitable(made) else made)
        if len(vectors) != len(texts):
            raise MetricError(
                f"metric {self.name!r}: the embedding function returned {len(vectors)} vectors "
                f"for {len(texts)} texts",
                remedy="it must return one vector for each text, in their order",
            )
        return vectors


@lru_cache(maxsize=64)
def _named(model: str) -> EmbeddingFunction:
    # Models are no layer below metrics: they are loaded by name, only when asked for.
    made = import_module("opik_eval.models").embedding_function(model)
    return cast("EmbeddingFunction", made)


__all__ = ["EmbeddingFunction", "EmbeddingSimilarity", "cosine_similarity"]
