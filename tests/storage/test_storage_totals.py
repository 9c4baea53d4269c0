"""Totals of scores stay what counting everything anew gives, whatever happens."""

from __future__ import annotations

import itertools
import math
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.records import ExperimentItem, FeedbackScore, ItemScore
from opik_eval.storage.file import FileStorage
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.sql_totals import Total

_numbers = itertools.count()
_ids = st.sampled_from(["1", "2", "3", "\ud800"])
_experiments = st.sampled_from(["e", "f"])
_values = st.floats(allow_nan=True, allow_infinity=False, width=64)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("score"), _ids, st.sampled_from("ab"), _values, st.sampled_from("xy")),
        st.tuples(st.just("item"), _ids, _experiments, _ids, st.booleans()),
        st.tuples(st.just("unscore"), _ids, st.sampled_from("ab")),
        st.tuples(st.just("delete trace"), _ids),
        st.tuples(st.just("delete item"), _ids),
        st.tuples(st.just("delete experiment"), _experiments),
    ),
    max_size=14,
)


def act(storage, step):
    """Do one step of a history."""
    kind, *rest = step
    if kind == "score":
        entity_id, name, value, author = rest
        storage.write([FeedbackScore(entity_id=entity_id, name=name, value=value, author=author)])
    elif kind == "item":
        item_id, experiment, trace_id, failed = rest
        scores = (ItemScore(name="a", scoring_failed=failed), ItemScore(name="b", value=1))
        storage.write(
            [
                ExperimentItem(
                    id=item_id,
                    experiment_id=experiment,
                    dataset_item_id="d",
                    trace_id=trace_id,
                    scores=scores,
                )
            ]
        )
    elif kind == "unscore":
        storage.delete_feedback_scores("trace", rest[0], [rest[1]])
    elif kind == "delete trace":
        storage.delete_traces(rest)
    elif kind == "delete item":
        storage.delete_experiment_items(rest)
    else:
        storage.delete_experiments(rest)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("totals")


@settings(max_examples=60)
@given(steps=_steps)
def test_totals_are_what_counting_anew_gives(folder, steps):
    """After any history the summaries of the file are those of the memory backend."""
    memory = MemoryStorage()
    with closing(FileStorage(folder / f"{next(_numbers)}.db")) as stored:
        for step in steps:
            act(memory, step)
            act(stored, step)
        found, expected = (s.summarize_scores(["e", "f"]) for s in (stored, memory))
    assert repr(found) == repr(expected)


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, max_value=1e290, min_value=-1e290))
)
def test_sums_are_exact(values):
    """The mean is that of the exact sum, and taking values away leaves no trace."""
    total, other = Total(), Total()
    for value in values:
        total.add_value(value)
        other.add_value(value)
    stored = Total.stored(total.items, total.text(), total.failed)
    assert stored == total
    if values:
        assert total.mean() == math.fsum(values) / len(values)
    total.add(other, -1)
    assert total == Total()


def test_values_that_are_not_finite():
    """NaN makes the mean NaN, infinities of one sign make it infinite, and they can go again."""
    total = Total()
    total.add_value(math.inf)
    assert total.mean() == math.inf
    other = Total()
    other.add_value(-math.inf)
    assert other.mean() == -math.inf
    total.add(other)
    assert math.isnan(total.mean())
    total.add(other, -1)
    total.add_value(math.nan)
    assert math.isnan(total.mean())
    assert Total.stored(2, total.text(), 0) == total
    assert Total().mean() is None
