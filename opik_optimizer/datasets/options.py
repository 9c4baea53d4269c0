"""What a loader of a benchmark data set can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from opik_eval.errors import DatasetError

if TYPE_CHECKING:
    from opik_eval.storage.base import Storage

_ALIASES = {"val": "validation", "valid": "validation", "dev": "validation"}


class LoadKeywords(TypedDict, total=False):
    """Keywords of every loader; see ``LoadOptions``."""

    split: str | None
    count: int | None
    start: int | None
    dataset_name: str | None
    test_mode: bool
    seed: int | None
    test_mode_count: int | None
    filter_by: Mapping[str, object] | None
    path: str | Path | None
    storage: Storage | str | None


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What to load, and where to put it.

    Attributes:
        split: ``train``, ``validation`` or ``test``; ``train`` if absent.
        count: How many items; the number in the table of data sets if absent.
        start: How many items of the split to pass over.
        dataset_name: Name of the dataset; made from the rest if absent.
        test_mode: Take the few rows that come with the package, which need no network. They were
            made up in the form of the source, are the same in all splits, and measure nothing.
        seed: Shuffle the items of the split by this seed before ``start`` and ``count``; ``None`` =
            the order of the source.
        test_mode_count: How many of those rows; 5 if absent.
        filter_by: Keep the items whose columns have these values: a value, a list, tuple or set of
            values, or a function of the value that says yes or no.
        path: A file with the rows of the source, or a folder of such files:
            ``NAME/SPLIT.jsonl`` (or ``.json``, ``.csv``, ``.parquet``), by the source's splits.
        storage: Where the dataset is put; the default store if absent.
    """

    split: str | None = None
    count: int | None = None
    start: int | None = None
    dataset_name: str | None = None
    test_mode: bool = False
    seed: int | None = None
    test_mode_count: int | None = None
    filter_by: Mapping[str, object] | None = field(default=None)
    path: str | Path | None = None
    storage: Storage | str | None = None

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("test_mode_count", 1), ("start", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise DatasetError(f"{name}={value} must be at least {least}")

    @property
    def named_split(self) -> str:
        """The split by its one name."""
        split = (self.split or "train").lower()
        return _ALIASES.get(split, split)

    def keeps(self, item: Mapping[str, object]) -> bool:
        """Tell whether ``filter_by`` keeps an item.

        Example:
            >>> LoadOptions(filter_by={"level": ["easy", "medium"]}).keeps({"level": "hard"})
            False
        """
        return all(_fits(item.get(key), wanted) for key, wanted in (self.filter_by or {}).items())


def _fits(value: object, wanted: object) -> bool:
    if isinstance(wanted, list | tuple | set | frozenset):
        return value in wanted
    return bool(wanted(value)) if callable(wanted) else value == wanted


__all__ = ["LoadKeywords", "LoadOptions"]
