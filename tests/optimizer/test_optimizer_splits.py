"""The data of a run: read from anywhere, divided without overlap, the same every time."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.datasets import from_items
from opik_eval.errors import DatasetError, NotFoundError
from opik_eval.storage.base import Storage
from opik_optimizer.columns import columns_of, expected_of, inputs_of, label_columns
from opik_optimizer.errors import SettingsError
from opik_optimizer.items import content_id, read_items
from opik_optimizer.splits import make_splits, sample_size

SIZES = st.none() | st.integers(1, 60) | st.floats(0.01, 1) | st.sampled_from(["10%", "all", "0.3"])


def items(count: int, start: int = 0) -> list[dict[str, object]]:
    return [{"question": f"What is {n}?", "answer": str(n)} for n in range(start, start + count)]


@given(st.integers(1, 80), SIZES, st.integers(0, 5), st.booleans())
def test_splits_are_disjoint_and_lose_nothing(
    count: int, n_samples: int | float | str | None, seed: int, hold: bool
) -> None:
    """From 20 items on the splits are disjoint; below, all teach and select, and that is said."""
    splits = make_splits(
        items(count), n_samples=n_samples, seed=seed, holdout=None if hold else False
    )
    parts = [set(splits.ids(name)) for name in ("train", "validation", "holdout")]
    assert parts[0]
    assert parts[1]
    assert parts[0] | parts[1] | parts[2] <= set(splits.items)
    if count < 20:
        assert parts[0] == set(splits.items)
        assert parts[2] == set()
        assert [(o.first, o.second, o.items) for o in splits.overlaps] == [
            ("train", "validation", len(parts[1]))
        ]
    else:
        assert splits.overlaps == ()
        assert sum(map(len, parts)) == count
        assert bool(parts[2]) is hold


@given(st.integers(20, 60), st.integers(0, 9), st.randoms(use_true_random=False))
def test_the_division_depends_on_content_alone(count: int, seed: int, rng: random.Random) -> None:
    """Another order of the items, or ids of the store, change no split."""
    rows = items(count)
    shuffled = [{**row, "id": f"00000000-0000-7000-8000-{n:012d}"} for n, row in enumerate(rows)]
    rng.shuffle(shuffled)
    first, second = make_splits(rows, seed=seed), make_splits(shuffled, seed=seed)
    for name in ("train", "validation", "holdout"):
        assert set(first.ids(name)) == set(second.ids(name))


def test_another_seed_is_another_division() -> None:
    """The seed decides which items go where, not how many."""
    first, second = (make_splits(items(50), seed=seed) for seed in (1, 2))
    assert set(first.validation) != set(second.validation)
    assert len(first.validation) == len(second.validation) == 20


@given(st.integers(25, 60), st.integers(0, 9))
def test_items_that_say_the_same_stay_together(count: int, seed: int) -> None:
    """Items that differ in case, spaces, punctuation or label alone never straddle splits."""
    rows = items(count)
    rows += [{"question": f"  what IS {n} ", "answer": f"{n}."} for n in range(10)]
    splits = make_splits(rows, seed=seed)
    where = {
        (name, str(splits.items[i]["question"]).strip(" ?").lower())
        for name in ("train", "validation", "holdout")
        for i in splits.ids(name)
    }
    assert len(where) == count


def test_equal_items_count_once() -> None:
    """Duplicates are left out, and the notes say how many."""
    splits = make_splits([*items(30), *items(5)])
    assert len(splits.items) == 30
    assert splits.notes == ("5 duplicate items were left out",)


def test_a_validation_dataset_is_taken_whole() -> None:
    """It selects, all of the dataset but the holdout teaches, and what they share is reported."""
    splits = make_splits(items(20), validation_dataset=items(10, start=100))
    assert (len(splits.train), len(splits.validation), len(splits.holdout)) == (15, 10, 5)
    assert splits.overlaps == ()
    same = make_splits(items(20), validation_dataset=items(20), holdout=False)
    assert [str(overlap) for overlap in same.overlaps] == [
        "train and validation share 20 items: the datasets that were passed share them, so the "
        "score is optimistic"
    ]
    carved = make_splits(items(20), validation_dataset=items(20))
    assert not set(carved.holdout) & {*carved.train, *carved.validation}


def test_a_holdout_of_ones_own() -> None:
    """Items to hold out may be passed; what is divided then is the rest of the dataset."""
    splits = make_splits(items(30), holdout=items(10))
    assert len(splits.holdout) == 10
    assert splits.overlaps == ()
    assert len(splits.train) + len(splits.validation) == 20
    shared = make_splits(items(30), validation_dataset=items(10), holdout=items(10))
    assert [(o.first, o.second) for o in shared.overlaps] == [("validation", "holdout")]


def test_the_size_of_the_holdout() -> None:
    """A count or a share of the dataset can be held out, small datasets included."""
    assert len(make_splits(items(40), holdout=4).holdout) == 4
    assert len(make_splits(items(40), holdout="25%").holdout) == 10
    assert len(make_splits(items(40), holdout=True).holdout) == 8
    assert len(make_splits(items(10), holdout=3).holdout) == 3
    with pytest.raises(SettingsError, match="leaves nothing"):
        make_splits(items(10), holdout="all")
    with pytest.raises(SettingsError, match="all items are held out"):
        make_splits(items(10), holdout=items(10))
    with pytest.raises(SettingsError, match="all items are held out"):
        make_splits(items(10), validation_dataset=items(3), holdout=items(10))


@pytest.mark.parametrize("nothing", [0, 0.0, False, "0", "0%"])
def test_a_holdout_of_nothing(nothing: object) -> None:
    """Zero in any spelling holds nothing out."""
    splits = make_splits(items(40), holdout=nothing)
    assert splits.holdout == ()
    assert len(splits.train) + len(splits.validation) == 40


def test_n_samples_is_what_selects() -> None:
    """A count is met as far as enough is left to teach; what is not met is said."""
    assert len(make_splits(items(100), n_samples=60).validation) == 60
    assert len(make_splits(items(100), n_samples=10).train) == 70
    much = make_splits(items(100), n_samples=90)
    assert len(much.validation) == 64
    assert "n_samples=90" in much.notes[0]
    few = make_splits(items(5), n_samples=9)
    assert "only 5" in few.notes[0]


@pytest.mark.parametrize("wanted", [0, -1, True, False, 0.0, 1.5, "0", "150%", "x", "%", "nan"])
def test_sizes_that_make_no_sense_are_refused(wanted: object) -> None:
    """Nought, negatives, booleans and more than everything are errors, not guesses."""
    with pytest.raises(SettingsError, match="no size"):
        sample_size(wanted, 10)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="n_samples"):
        make_splits(items(30), n_samples=wanted)  # type: ignore[arg-type]


@given(SIZES, st.integers(1, 100))
def test_a_sample_has_at_least_one_and_at_most_all(
    wanted: int | float | str | None, n: int
) -> None:
    """Every valid size gives something."""
    assert 1 <= sample_size(wanted, n) <= n


def test_items_that_cannot_be_told_apart_cannot_be_divided() -> None:
    """If all inputs say the same, no division is independent."""
    rows = [{"question": "same", "answer": str(n)} for n in range(30)]
    with pytest.raises(SettingsError, match="say the same"):
        make_splits(rows)


def test_large_groups_are_cut_as_near_as_can_be() -> None:
    """Where every group is larger than the part, the smallest is taken."""
    rows = [{"question": f"q{n // 11}", "answer": str(n)} for n in range(33)]
    assert len(make_splits(rows, holdout=2).holdout) == 11


def test_items_come_from_anywhere(storage: Storage, tmp_path: Path) -> None:
    """Lists, frames, files, datasets, their names, and other libraries' give the same items."""
    rows = items(5)
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stored = from_items(rows, storage=storage, name="numbers")

    class Foreign:
        def get_items(self) -> list[dict[str, object]]:
            return stored.get_items()

    sources = [rows, pd.DataFrame(rows), path, str(path), stored, "numbers", Foreign()]
    sets = [read_items(source, storage=storage) for source in sources]
    assert all(found.items == sets[0].items for found in sets)
    assert sets[4].name == "numbers"
    assert set(sets[4].stored_ids.values()) == {row["id"] for row in stored.get_items()}
    assert read_items(sets[0]) is sets[0]
    with pytest.raises(NotFoundError, match="numbers"):
        read_items("letters", storage=storage)
    with pytest.raises(DatasetError, match="no items"):
        read_items([])
    with pytest.raises(DatasetError, match="hf:"):
        read_items("hf:")


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4))
def test_content_ids_follow_content(row: dict[str, object]) -> None:
    """Order of keys and ids of the store do not count; everything else does."""
    row.pop("id", None)
    backwards = dict(reversed(row.items()))
    assert content_id(row) == content_id(backwards)
    assert content_id(row) == content_id({**row, "id": "00000000-0000-7000-8000-000000000001"})
    assert content_id(row) != content_id({**row, "id": "mine"})


def test_columns_of_answers() -> None:
    """Columns are told by their names, unless the prompt shows them; the usual names come first."""
    row = {"id": "x", "question": "q", "gold_passage": "g", "expected_output": "e", "labels": []}
    assert label_columns(columns_of([row])) == ("expected_output", "gold_passage", "labels")
    assert label_columns(["answer"], shown=["answer"]) == ()
    assert expected_of(row) == "e"
    assert expected_of({"question": "q"}) is None
    assert inputs_of(row) == {"question": "q"}
