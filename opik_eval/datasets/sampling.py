"""Seeded sampling that depends on what the items say, not on where they stand.

Items are ranked by a hash of seed and content. The same items give the same sample in every process
and in whatever order they were inserted, and items that are added later displace few others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from opik_eval.errors import DatasetError
from opik_eval.records import DatasetItem
from opik_eval.serialization import dumps


class Sampler(Protocol):
    """Chooses items; any object with this method can be passed as ``dataset_sampler``."""

    def sample(self, dataset_items: Sequence[DatasetItem]) -> Sequence[DatasetItem]:
        """Return the chosen items in the order they shall run."""
        ...


def shuffled(items: Sequence[DatasetItem], *, seed: int = 0) -> list[DatasetItem]:
    """Return the items in an order that seed and content decide."""
    return sorted(items, key=lambda item: _rank(item, seed))


def subset(items: Sequence[DatasetItem], count: int, *, seed: int = 0) -> list[DatasetItem]:
    """Return ``count`` items, kept in their original order.

    Raises:
        DatasetError: There are fewer items than that.
    """
    if not 0 < count <= len(items):
        raise DatasetError(
            f"a subset of {count} items cannot be taken from {len(items)}",
            remedy=f"choose a count from 1 to {len(items)}",
        )
    chosen = {item.id for item in shuffled(items, seed=seed)[:count]}
    return [item for item in items if item.id in chosen]


def split(
    items: Sequence[DatasetItem],
    fractions: Mapping[str, float],
    *,
    seed: int = 0,
    stratify: str | None = None,
) -> dict[str, list[DatasetItem]]:
    """Divide items into disjoint named parts. Items of equal content land in one part.

    Args:
        items: What to divide.
        fractions: Share of each part; together at most 1.
        seed: Another seed, another division.
        stratify: Field whose values shall be spread evenly over the parts.

    Raises:
        DatasetError: The fractions make no sense, or ``stratify`` names a field that is missing.
    """
    total = sum(fractions.values())
    if not fractions or min(fractions.values()) <= 0 or total > 1 + 1e-9:
        raise DatasetError(
            f"the fractions {dict(fractions)} must be positive and sum to at most 1",
            remedy="for example {'train': 0.6, 'validation': 0.2, 'test': 0.2}",
        )
    parts: dict[str, set[str]] = {name: set() for name in fractions}
    for stratum in _strata(items, stratify):
        _deal(stratum, fractions, parts, seed)
    return {name: [item for item in items if item.id in ids] for name, ids in parts.items()}


def _deal(
    stratum: Sequence[DatasetItem],
    fractions: Mapping[str, float],
    parts: dict[str, set[str]],
    seed: int,
) -> None:
    groups: dict[bytes, list[DatasetItem]] = {}
    for item in shuffled(stratum, seed=seed):
        groups.setdefault(_rank(item, seed), []).append(item)
    ordered = list(groups.values())
    start, share = 0, 0.0
    for name, fraction in fractions.items():
        share += fraction
        end = round(share * len(ordered))
        parts[name].update(item.id for group in ordered[start:end] for item in group)
        start = end


def _strata(items: Sequence[DatasetItem], stratify: str | None) -> list[list[DatasetItem]]:
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
    return list(strata.values())


def _rank(item: DatasetItem, seed: int) -> bytes:
    content = item.content_hash or dumps(item.data).decode("utf-8", "replace")
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
        count = min(self.max_samples, len(dataset_items))
        chosen = subset(dataset_items, count, seed=self.seed) if count else []
        return shuffled(chosen, seed=self.seed) if self.shuffle else chosen
