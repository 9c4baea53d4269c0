"""Sampling: by seed and content, disjoint, of the promised sizes."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.datasets.items import make_item
from opik_eval.datasets.sampling import RandomDatasetSampler, shuffled, split, subset
from opik_eval.errors import DatasetError
from opik_eval.records import DatasetItem
from opik_eval.storage.items import item_hash

seeds = st.integers(0, 10)
sizes = st.integers(1, 60)
shares = st.lists(st.integers(1, 9), min_size=1, max_size=4).flatmap(
    lambda weights: st.integers(sum(weights), sum(weights) + 5).map(
        lambda total: {f"p{i}": weight / total for i, weight in enumerate(weights)}
    )
)


def items_of(count: int, *, kinds: int = 3) -> list[DatasetItem]:
    return [make_item({"n": n, "kind": n % kinds}) for n in range(count)]


def contents(items: list[DatasetItem]) -> list[object]:
    return [item.data["n"] for item in items]


@given(sizes, seeds, st.randoms(use_true_random=False))
def test_order_depends_on_seed_and_content_alone(count, seed, random):
    """However items were inserted, the same seed gives the same order, a permutation."""
    items = items_of(count)
    mixed = random.sample(items, count)
    assert contents(shuffled(items, seed=seed)) == contents(shuffled(mixed, seed=seed))
    assert sorted(contents(shuffled(items, seed=seed))) == list(range(count))


def test_another_seed_is_another_order():
    """Seeds give different orders, and none of them is that of insertion."""
    items = items_of(50)
    orders = [contents(shuffled(items, seed=seed)) for seed in range(5)]
    assert len({tuple(order) for order in orders}) == 5
    assert list(range(50)) not in orders


@given(sizes, st.data(), seeds)
def test_subset(count, data, seed):
    """A subset has the size asked for, in original order, and larger ones contain smaller ones."""
    items = items_of(count)
    size = data.draw(st.integers(1, count))
    chosen = contents(subset(items, size, seed=seed))
    assert len(chosen) == size
    assert chosen == sorted(chosen)
    assert set(contents(subset(items, max(1, size - 1), seed=seed))) <= set(chosen)


@pytest.mark.parametrize("size", [0, -1, 4])
def test_subset_of_impossible_size(size):
    """The error names the sizes that are possible."""
    with pytest.raises(DatasetError, match="from 1 to 3"):
        subset(items_of(3), size)


@given(sizes, shares, seeds, st.sampled_from([None, "kind"]), st.integers(1, 12))
def test_split_is_a_division(count, fractions, seed, stratify, kinds):
    """Parts are disjoint, in original order, and off their share by less than one item."""
    items = items_of(count, kinds=kinds)
    parts = split(items, fractions, seed=seed, stratify=stratify)
    assert list(parts) == list(fractions)
    everything = [n for part in parts.values() for n in contents(part)]
    assert len(everything) == len(set(everything))
    for name, part in parts.items():
        assert contents(part) == sorted(contents(part))
        assert abs(len(part) - fractions[name] * count) < 1
    if sum(fractions.values()) == 1:
        assert len(everything) == count


@given(sizes, shares, seeds, st.integers(1, 6))
def test_split_is_balanced_within_strata(count, fractions, seed, kinds):
    """Within each stratum a part is off its share by less than two items."""
    items = items_of(count, kinds=kinds)
    strata = Counter(item.data["kind"] for item in items)
    for name, part in split(items, fractions, seed=seed, stratify="kind").items():
        found = Counter(item.data["kind"] for item in part)
        for kind, size in strata.items():
            assert abs(found[kind] - fractions[name] * size) < 2


def test_small_strata_do_not_starve_a_part():
    """Where every stratum is a single item, the parts still get their shares."""
    parts = split(items_of(20, kinds=20), {"train": 0.6, "test": 0.4}, stratify="kind")
    assert {name: len(part) for name, part in parts.items()} == {"train": 12, "test": 8}


@given(st.integers(1, 20), seeds, st.sampled_from([None, "kind"]), st.randoms())
def test_split_is_independent_of_insertion_order(count, seed, stratify, random):
    """The same contents make the same parts, in whatever order and under whatever ids."""
    fractions = {"a": 0.5, "b": 0.3}
    items = items_of(count)
    mixed = random.sample(items_of(count), count)
    one = split(items, fractions, seed=seed, stratify=stratify)
    other = split(mixed, fractions, seed=seed, stratify=stratify)
    assert {n: set(contents(p)) for n, p in one.items()} == {
        n: set(contents(p)) for n, p in other.items()
    }


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), seeds)
def test_duplicates_land_in_one_part(numbers, seed):
    """Items of equal content are never in two parts, and none is lost."""
    items = [make_item({"n": n}) for n in numbers]
    parts = split(items, {"train": 0.5, "test": 0.5}, seed=seed)
    train, test = (set(contents(part)) for part in parts.values())
    assert train.isdisjoint(test)
    assert train | test == set(numbers)
    assert sum(map(len, parts.values())) == len(numbers)


def test_later_items_displace_few():
    """After ten more items most of a hundred are where they were."""
    before = split(items_of(100), {"train": 0.5, "test": 0.5})
    after = split(items_of(110), {"train": 0.5, "test": 0.5})
    moved = set(contents(before["train"])) & set(contents(after["test"]))
    assert len(moved) <= 10


@pytest.mark.parametrize(
    "fractions", [{}, {"a": 0}, {"a": -0.1, "b": 0.5}, {"a": 0.7, "b": 0.4}, {"a": float("nan")}]
)
def test_fractions_that_make_no_sense(fractions):
    """They must be positive numbers that sum to at most one."""
    with pytest.raises(DatasetError, match="must be positive and sum to at most 1"):
        split(items_of(3), fractions)


def test_fractions_may_round():
    """Three thirds are a whole, whatever their floats sum to."""
    parts = split(items_of(9), dict.fromkeys("abc", 1 / 3))
    assert [len(part) for part in parts.values()] == [3, 3, 3]
    assert split([], {"a": 1.0}) == {"a": []}


def test_stratifying_by_a_field_that_is_missing():
    """The error names the item and the fields that it has."""
    with pytest.raises(DatasetError, match=r"no field 'topic'.*\n.*\['kind', 'n'\]"):
        split(items_of(2), {"a": 0.5}, stratify="topic")


def test_strata_may_be_of_any_value():
    """Lists and mappings can be stratified by; equal values are one stratum."""
    items = [make_item({"n": n, "tags": [n % 2, {"a": n % 2}]}) for n in range(8)]
    parts = split(items, {"a": 0.5, "b": 0.5}, stratify="tags")
    assert [Counter(str(i.data["tags"]) for i in part) for part in parts.values()] == [
        {"[0, {'a': 0}]": 2, "[1, {'a': 1}]": 2}
    ] * 2


def test_stored_and_unstored_items_rank_alike():
    """An item is drawn alike before and after the store has noted its hash."""
    items = items_of(20)
    stored = [i.model_copy(update={"content_hash": item_hash(i)}) for i in random.sample(items, 20)]
    assert contents(shuffled(items)) == contents(shuffled(stored))


def test_sampler():
    """It takes at most so many, shuffled or in original order, the same at every call."""
    items = items_of(30)
    sampler = RandomDatasetSampler(10, shuffle=False)
    assert contents(sampler.sample(items)) == sorted(contents(sampler.sample(items)))
    assert sampler.sample(items) == subset(items, 10)
    mixed = RandomDatasetSampler(10, seed=3).sample(items)
    assert sorted(contents(mixed)) == contents(subset(items, 10, seed=3)) != contents(mixed)
    assert len(RandomDatasetSampler(50).sample(items)) == 30
    assert RandomDatasetSampler(5).sample([]) == []
    with pytest.raises(DatasetError, match="max_samples=0 would choose nothing"):
        RandomDatasetSampler(0)
