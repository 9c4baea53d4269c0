"""The data of a run: read once, divided once into what teaches, what selects and what judges.

Items are known by the hash of their content, so the same items give the same division in every
process and order. Items that say the same (up to case, spaces and punctuation of what the prompt
may show) stay together.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING

from opik_eval.serialization import dumps
from opik_optimizer.columns import inputs_of
from opik_optimizer.errors import SettingsError
from opik_optimizer.items import Item, ItemSet, content_id, read_items

if TYPE_CHECKING:
    from opik_eval.storage.base import Storage

SampleSize = int | float | str | None
"""A count, a share in (0, 1], a text such as ``"10%"``; ``"all"`` and ``None`` are everything."""

SMALLEST_TO_DIVIDE = 20
"""With fewer items, all of them teach and select, and none is held out."""

HOLDOUT_SHARE = 0.2
_SMALLEST_HOLDOUT = 5
_SMALLEST_POOL = 4
_SAYS_NOTHING = re.compile(r"[\s.,;:!?'\"]+")


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Items that two splits share, so that the score on one is not independent of the other."""

    first: str
    second: str
    items: int
    reason: str

    def __str__(self) -> str:
        return f"{self.first} and {self.second} share {self.items} items: {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The division of a run's data.

    Attributes:
        items: All items by content id.
        train: Items that feedback and demonstrations come from.
        validation: Items that candidates are compared on: the same for all of them.
        holdout: Items that nothing is learnt from and nothing chosen by; may be empty.
        overlaps: What is shared between splits, and why.
        notes: What was done otherwise than asked for.
        sources: What the items were read from.
    """

    items: Mapping[str, Item] = field(repr=False)
    train: tuple[str, ...]
    validation: tuple[str, ...]
    holdout: tuple[str, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    notes: tuple[str, ...] = ()
    sources: tuple[ItemSet, ...] = field(default=(), repr=False)

    def ids(self, split: str) -> tuple[str, ...]:
        """Return the ids of a split by its name."""
        return {"train": self.train, "validation": self.validation, "holdout": self.holdout}[split]


def sample_size(wanted: SampleSize, available: int, *, name: str = "n_samples") -> int:
    """Return how many of the available items are meant.

    Args:
        wanted: What the user said.
        available: How many there are; more than that gives all.
        name: Name of the argument, for messages.

    Raises:
        SettingsError: It is zero, negative, above 100 % or no number at all.

    Example:
        >>> sample_size("10%", 50), sample_size(0.5, 9), sample_size(None, 7), sample_size(99, 7)
        (5, 5, 7, 7)
    """
    share = _share(wanted, name)
    if share is None:
        return available
    if isinstance(share, int):
        return min(share, available)
    return max(1, min(available, math.ceil(share * available - 1e-9)))


def make_splits(
    dataset: object,
    *,
    validation_dataset: object = None,
    holdout: object = None,
    n_samples: SampleSize = None,
    seed: int = 42,
    storage: Storage | None = None,
) -> Splits:
    """Divide the data of a run.

    Without further word, a fifth is held out, and of the rest one half selects and the other half
    teaches. ``n_samples`` says how many items select. With fewer than ``SMALLEST_TO_DIVIDE`` items
    all of them teach and select; ``overlaps`` says so.

    Args:
        dataset: What ``read_items`` takes.
        validation_dataset: Items to select by, taken whole; then all of ``dataset`` teaches.
        holdout: Size of the part of ``dataset`` to hold out; or the items to hold out; ``False``
            or 0 for none.
        n_samples: How many items select.
        seed: Another seed, another division.
        storage: Where names of datasets are looked up.

    Raises:
        DatasetError: A source cannot be read, or is empty.
        SettingsError: A size makes no sense, or leaves nothing to work with.

    Example:
        >>> splits = make_splits([{"q": str(n)} for n in range(50)])
        >>> len(splits.train), len(splits.validation), len(splits.holdout)
        (20, 20, 10)
    """
    given = read_items(dataset, storage=storage)
    _share(n_samples, "n_samples")  # refuse what makes no sense before reading further
    division = _Division(seed=seed, n_samples=n_samples, sources=[given], items=dict(given.items))
    held_out = division.hold_out(given, holdout, storage)
    apart = frozenset(held_out)
    if validation_dataset is None:
        train, validation = division.divide([i for i in given.items if i not in apart])
    else:
        selecting = division.add(read_items(validation_dataset, storage=storage))
        train, validation = division.take_both(given, selecting, apart)
    splits = Splits(
        items=division.items,
        train=tuple(train),
        validation=tuple(validation),
        holdout=held_out,
        notes=tuple(division.notes),
        sources=tuple(division.sources),
    )
    return replace(splits, overlaps=tuple(_overlaps(splits, division.is_small)))


@dataclass
class _Division:
    """A division while it is made."""

    seed: int
    n_samples: SampleSize
    sources: list[ItemSet]
    items: dict[str, Item]
    notes: list[str] = field(default_factory=list)
    is_small: bool = False
    carved: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.sources[0].duplicates:
            self.notes.append(f"{self.sources[0].duplicates} duplicate items were left out")

    def add(self, source: ItemSet) -> ItemSet:
        self.sources.append(source)
        self.items |= source.items
        return source

    def hold_out(self, given: ItemSet, holdout: object, storage: Storage | None) -> tuple[str, ...]:
        """Return the ids to hold out: items of the user's, or a part of what is given."""
        wanted = _number_in(holdout) if isinstance(holdout, str) else holdout
        if isinstance(wanted, int | float) and wanted == 0:  # False too
            return ()
        is_size = isinstance(holdout, int | float) or _is_size_text(holdout)
        if not (holdout is None or holdout is True or is_size):
            return tuple(self.add(read_items(holdout, storage=storage)).items)
        total = len(given)
        if holdout is None or holdout is True:
            if total < SMALLEST_TO_DIVIDE:
                return ()
            count = max(_SMALLEST_HOLDOUT, round(HOLDOUT_SHARE * total))
        else:
            count = sample_size(holdout, total, name="holdout")  # type: ignore[arg-type]  # a size
            if count >= total:
                raise SettingsError(
                    f"holdout={holdout!r} of {total} items leaves nothing to learn from",
                    remedy="hold out less, or pass the items to hold out",
                )
        chosen, _ = self._cut(list(given.items), count)
        self.carved = frozenset(chosen)
        return tuple(chosen)

    def divide(self, pool: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        """Divide what is not held out into train and validation."""
        if not pool:
            raise SettingsError(
                "all items are held out", remedy="hold out less, or pass validation_dataset"
            )
        if len(self.sources[0]) < SMALLEST_TO_DIVIDE or len(pool) < _SMALLEST_POOL:
            self.is_small = True
            return pool, self._sample(pool)
        share, size = _share(self.n_samples, "n_samples"), len(pool) // 2
        if isinstance(share, int):
            size = min(share, len(pool) - max(1, len(pool) // 5))
            if size < share:
                self.notes.append(
                    f"n_samples={share}, but {size} of {len(pool)} items select: the others teach"
                )
        elif share is not None:
            size = sample_size(share, size)
        validation, train = self._cut(pool, size)
        return train, validation

    def take_both(
        self, given: ItemSet, selecting: ItemSet, held_out: Collection[str]
    ) -> tuple[Sequence[str], Sequence[str]]:
        """Return all of both but what is held out; the user's own holdout may overlap selection."""
        groups = {self._group(item_id) for item_id in self.carved}
        train, validation = (
            [i for i in source.items if not groups or self._group(i) not in groups]
            for source in (given, selecting)
        )
        train = [item_id for item_id in train if item_id not in held_out]
        if not train or not validation:
            raise SettingsError("all items are held out", remedy="pass holdout=False, or a size")
        return train, self._sample(validation)

    def _sample(self, pool: Sequence[str]) -> Sequence[str]:
        share = _share(self.n_samples, "n_samples")
        if isinstance(share, int) and share > len(pool):
            self.notes.append(f"n_samples={share}, but there are only {len(pool)} items to select")
        size = sample_size(self.n_samples, len(pool))
        chosen = {*sorted(pool, key=self._digest)[:size]}
        return [item_id for item_id in pool if item_id in chosen]

    def _cut(self, pool: Sequence[str], size: int) -> tuple[list[str], list[str]]:
        """Cut ``size`` items off, as near as can be without parting items that say the same."""
        groups: dict[str, list[str]] = {}
        for item_id in pool:
            groups.setdefault(self._group(item_id), []).append(item_id)
        chosen: set[str] = set()
        for key in sorted(groups, key=self._digest):
            members = groups[key]
            if len(chosen) + len(members) <= size:
                chosen.update(members)
        if not chosen:  # all groups are larger than that
            chosen.update(sorted(groups.values(), key=len)[0])
        if len(chosen) == len(pool):
            raise SettingsError(
                f"{len(pool)} items cannot be divided: too many of them say the same",
                remedy="pass validation_dataset and holdout=False",
            )
        return [i for i in pool if i in chosen], [i for i in pool if i not in chosen]

    def _group(self, item_id: str) -> str:
        """Return the key of all items that say the same as this one."""
        item = self.items[item_id]
        text = dumps(inputs_of(item) or item).decode()
        return _SAYS_NOTHING.sub(" ", text.casefold()).strip() or item_id

    def _digest(self, key: str) -> bytes:
        return hashlib.sha256(f"{self.seed}:{key}".encode("utf-8", "surrogatepass")).digest()


def _overlaps(splits: Splits, is_small: bool) -> Iterator[Overlap]:
    for first, second in combinations(("train", "validation", "holdout"), 2):
        shared = len({*splits.ids(first)} & {*splits.ids(second)})
        if shared:
            reason = (
                f"fewer than {SMALLEST_TO_DIVIDE} items are too few to divide, so the score is "
                "optimistic"
                if is_small and second == "validation"
                else "the datasets that were passed share them, so the score is optimistic"
            )
            yield Overlap(first=first, second=second, items=shared, reason=reason)


def _share(wanted: SampleSize, name: str) -> int | float | None:
    """Return a size as a count, as a share, or ``None`` for everything."""
    if wanted is None or wanted in ("all", "full"):
        return None
    number: object = wanted
    if isinstance(wanted, str):
        number = _number_in(wanted)
    if isinstance(number, bool) or not isinstance(number, int | float) or not number > 0:
        number = None
    if isinstance(number, float) and not number <= 1:
        number = None
    if number is None:
        raise SettingsError(
            f"{name}={wanted!r} is no size of a sample",
            remedy='pass a count of at least 1, a share such as 0.1 or "10%", or "all"',
        )
    return number


def _number_in(text: str) -> int | float | None:
    try:
        if text.strip().endswith("%"):
            return float(text.strip()[:-1]) / 100
        return int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        return None


def _is_size_text(value: object) -> bool:
    return isinstance(value, str) and (value in ("all", "full") or _number_in(value) is not None)


__all__ = [
    "HOLDOUT_SHARE",
    "SMALLEST_TO_DIVIDE",
    "Item",
    "ItemSet",
    "Overlap",
    "SampleSize",
    "Splits",
    "content_id",
    "make_splits",
    "read_items",
    "sample_size",
]
