"""Similarity by embeddings."""

from __future__ import annotations

import asyncio
import threading
from inspect import iscoroutinefunction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity as oracle

from opik_eval.errors import MetricError
from opik_eval.metrics import EmbeddingSimilarity, embedding
from opik_eval.metrics.embedding import cosine_similarity
from opik_eval.models import local
from opik_eval.testing.metric_contract import MetricCase, MetricContract


def letters(texts):
    """Embed texts by their letters; no vector is zero."""
    return [[1.0, *(float(text.count(letter)) for letter in "abc")] for text in texts]


async def async_letters(texts):
    """Do the same, asynchronously."""
    return np.array(letters(texts))


class Client:
    """An object that embeds when it is called."""

    async def __call__(self, texts):
        return letters(texts)


def lazily(texts):
    """Return a coroutine from a plain function."""
    return async_letters(texts)


PAIR = {"output": "abba", "reference": "cab"}
SAME = {"output": "abc", "reference": ["x", "cab"]}
TEXTS = ("output", "reference")
WRONG = {"output": 3, "reference": ["a", None]}


class TestEmbeddingSimilarity(MetricContract):
    """The battery."""

    @pytest.fixture(params=[letters, async_letters])
    def case(self, request):
        """Return the metric with a plain or an asynchronous function."""
        return MetricCase(
            lambda: EmbeddingSimilarity(request.param),
            PAIR,
            "embedding_similarity_metric",
            SAME,
            TEXTS,
            TEXTS,
            WRONG,
        )


vectors = st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3).filter(
    lambda vector: sum(map(abs, vector)) > 1e-3
)


@given(one=vectors, other=vectors)
def test_cosine_agrees_with_scikit_learn(one, other):
    """For vectors of ordinary size."""
    assert cosine_similarity(one, other) == pytest.approx(oracle([one], [other])[0, 0], abs=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_cosine_of_huge_and_tiny_vectors(scale):
    """Squares neither over- nor underflow."""
    assert cosine_similarity([scale, scale], [scale, 0.0]) == pytest.approx(0.5**0.5)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([0, 0], [1, 0]),
        ([1], [1, 2]),
        ([float("nan")], [1]),
        ([1], [float("inf")]),
        ([], []),
        ([[1]], [[1]]),
    ],
)
def test_vectors_without_direction_are_refused(one, other):
    """Zero, empty, not finite, of different length, not flat."""
    with pytest.raises(ValueError, match="vector"):
        cosine_similarity(one, other)


@pytest.mark.parametrize("function", [letters, async_letters, Client(), lazily])
def test_any_kind_of_function_will_do(function):
    """Plain, asynchronous, an object, a plain one that returns an awaitable."""
    assert EmbeddingSimilarity(function).score("ab", "ba").value == pytest.approx(1.0)


def test_plain_functions_do_not_block_the_loop():
    """They run in another thread; all texts of a score go in one call."""
    calls = []

    def embed(texts):
        calls.append((threading.current_thread(), texts))
        return letters(texts)

    score = asyncio.run(EmbeddingSimilarity(embed).ascore("a", ["b", "aa"]))
    [(thread, texts)] = calls
    assert texts == ["a", "b", "aa"]
    assert thread is not threading.current_thread()
    assert score.value == pytest.approx(3 / 10**0.5)


def test_the_wrong_number_of_vectors_is_refused():
    """A missing vector must not shift the others."""
    with pytest.raises(MetricError, match="returned 1 vectors for 2 texts"):
        EmbeddingSimilarity(lambda _texts: [[1.0]]).score("a", "b")


def test_a_vector_without_direction_is_an_error_not_a_zero():
    """The provider failed; the answer is not wrong."""
    with pytest.raises(MetricError, match="without direction"):
        EmbeddingSimilarity(lambda texts: [[0.0]] * len(texts)).score("a", "b")


def test_a_model_is_called_by_name():
    """By default OpenAI's, through litellm; making the metric loads nothing."""
    assert EmbeddingSimilarity().function == "openai/text-embedding-3-small"
    made = embedding._named("voyage/voyage-3")
    assert made.name == "voyage/voyage-3"
    assert iscoroutinefunction(type(made).__call__)


@pytest.mark.local_model
@pytest.mark.skipif(local.unavailable_reason() is not None, reason="no embedded model")
def test_the_embedded_model_embeds_too():
    """By its name, without key or network."""
    metric = EmbeddingSimilarity(local.EMBEDDED_MODEL)
    same = metric.score("The cat sat on the mat.", "The cat sat on the mat.").value
    other = metric.score("The cat sat on the mat.", "17 + 4 = 21").value
    assert other < same == pytest.approx(1.0, abs=1e-6)


def test_what_is_neither_name_nor_function_is_refused_with_the_way_out():
    """The remedy says what to give."""
    with pytest.raises(MetricError, match="not 3") as refusal:
        EmbeddingSimilarity(3)
    assert "'provider/model'" in refusal.value.remedy
