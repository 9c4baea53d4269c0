"""Seeded sampling that depends on what the items say, not on where they stand.

Items are ranked by a hash of seed and content. The same items give the same sample in every process
and in whatever order they were inserted, and items that are added later displace few others.
"""

from __future__ import annotations

import hashlib
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, count, groupby, islice
from typing import Protocol

from opik_eval.errors import DatasetError
from opik_eval.records import DatasetItem
from opik_eval.serialization import dumps
from opik_eval.storage.items import item_hash

_ROUNDING = 1e-9


class Sampler(Protocol):
    """Chooses items; any object with this method can be passed as ``dataset_sampler``."""

    def sample(self, dataset_items: Sequence[DatasetItem]) -> Sequence[DatasetItem]:
        """Return the chosen items in the order they shall run."""
        ...


def shuffled(items: Sequence[DatasetItem], *, seed: int = 0) -> list[DatasetItem]:
    """Return the items in an order that seed and content decide."""
    return sorted(items, key=lambda item: _rank(item, seed))


def subset(items: Sequence[DatasetItem], size: int, *, seed: int = 0) -> list[DatasetItem]:
    """Return ``size`` items, kept in their original order.

    Raises:
        DatasetError: There are fewer items than that.
    """
    if not 0 < size <= len(items):
        raise DatasetError(
            f"a subset of {size} items cannot be taken from {len(items)}",
            remedy=f"choose a size from 1 to {len(items)}",
        )
    chosen = {item.id for item in shuffled(items, seed=seed)[:size]}
    return [item for item in items if item.id in chosen]


def split(
    items: Sequence[DatasetItem],
    fractions: Mapping[str, float],
    *,
    seed: int = 0,
    stratify: str | None = None,
) -> dict[str, list[DatasetItem]]:
    """Divide items into disjoint named parts. Items of equal content land in one part.

    Without duplicates the size of a part differs from its exact share by less than one item, over
    all strata together, and by less than two within each. Duplicates stay together, which may cost
    exactness.

    Args:
        items: What to divide.
        fractions: Share of each part, in 0 to 1; together at most 1. What is left over is in none.
        seed: Another seed, another division.
        stratify: Field whose values shall be spread evenly over the parts.

    Raises:
        DatasetError: The fractions make no sense, or ``stratify`` names a field that is missing.
    """
    total = sum(fractions.values())
    if not fractions or not min(fractions.values()) > 0 or not total <= 1 + _ROUNDING:
        raise DatasetError(
            f"the fractions {dict(fractions)} must be positive and sum to at most 1",
            remedy="for example {'train': 0.6, 'validation': 0.2, 'test': 0.2}",
        )
    shares = [*fractions.values(), max(0.0, 1 - total)]
    strata = _strata(items, stratify)
    parts: list[set[str]] = [set() for _ in shares]
    for stratum, sizes in zip(strata, _sizes([*map(len, strata)], shares), strict=True):
        _deal(shuffled(stratum, seed=seed), sizes, parts, seed)
    return {
        name: [item for item in items if item.id in ids]
        for name, ids in zip(fractions, parts, strict=False)  # the last one is what is left over
    }


def _deal(
    ranked: Sequence[DatasetItem], sizes: Sequence[int], parts: Sequence[set[str]], seed: int
) -> None:
    """Cut ranked items into pieces of about these sizes, without parting duplicates."""
    ends, position = list(accumulate(sizes)), 0
    for _, group in groupby(ranked, key=lambda item: _rank(item, seed)):
        ids = [item.id for item in group]
        middle = position + (len(ids) - 1) // 2
        parts[bisect(ends, middle)].update(ids)
        position += len(ids)


def _sizes(strata: Sequence[int], shares: Sequence[float]) -> Iterator[list[int]]:
    """Yield how many items of each stratum go to each part.

    Items are numbered through all strata. Each goes to the part that is in most need: of those
    that may get one without running ahead of their share, the one that would first fall behind.
    Then no part is ever a whole item ahead or behind.

    Source: R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980).
    """
    slack = 1 - 1 / (2 * len(shares) - 2)
    given, numbers = [0] * len(shares), count(1)
    for size in strata:
        before = list(given)
        for number in islice(numbers, size):
            needs = [share * number - done for share, done in zip(shares, given, strict=True)]
            given[_neediest(needs, shares, slack)] += 1
        yield [after - earlier for after, earlier in zip(given, before, strict=True)]


def _neediest(needs: Sequence[float], shares: Sequence[float], slack: float) -> int:
    ready = [
        index
        for index, (need, share) in enumerate(zip(needs, shares, strict=True))
        if share > 0 and need >= 1 - slack - _ROUNDING
    ]
    return min(ready, key=lambda index: (slack - needs[index]) / shares[index])


def _strata(items: Sequence[DatasetItem], stratify: str | None) -> list[list[DatasetItem]]:
    """Return the items by the value of a field, in the order of the values' JSON."""
    if stratify is None:
        return [list(items)]
    strata: dict[bytes, list[DatasetItem]] = {}
    for item in items:
        if stratify not in item.data:
            raise DatasetError(
                f"item {item.id} has no field {stratify!r} to stratify by",
                remedy=f"its fields are {sorted(item.data)}",
            )
        strata.setdefault(dumps(item.data[stratify]), []).append(item)
    return [strata[value] for value in sorted(strata)]


def _rank(item: DatasetItem, seed: int) -> bytes:
    content = item.content_hash or item_hash(item)
    return hashlib.sha256(f"{seed}:{content}".encode()).digest()


class RandomDatasetSampler:
    """Chooses at random, by seed and content (Opik's class of that name).

    Args:
        max_samples: How many items; all if there are fewer.
        shuffle: Run them in random order too.
        seed: Another seed, another sample; 0 if absent, so that runs can be repeated.
    """

    def __init__(self, max_samples: int, shuffle: bool = True, seed: int | None = None) -> None:
        if max_samples < 1:
            raise DatasetError(
                f"max_samples={max_samples} would choose nothing", remedy="choose at least 1"
            )
        self.max_samples = max_samples
        self.shuffle = shuffle
        self.seed = seed or 0

    def sample(self, dataset_items: Sequence[DatasetItem]) -> list[DatasetItem]:
        """Return the chosen items."""
        size = min(self.max_samples, len(dataset_items))
        chosen = subset(dataset_items, size, seed=self.seed) if size else []
        return shuffled(chosen, seed=self.seed) if self.shuffle else chosen
