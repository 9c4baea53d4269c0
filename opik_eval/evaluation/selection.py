"""What to evaluate: the dataset, and which of its items."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from opik_eval.datasets.dataset import (
    Dataset,
    DatasetView,
    ItemSource,
    PinnedDataset,
    from_items,
    get_dataset,
)
from opik_eval.datasets.sampling import subset
from opik_eval.errors import DatasetError
from opik_eval.evaluation.options import EvaluateOptions
from opik_eval.records import DatasetItem
from opik_eval.storage.base import Storage
from opik_eval.storage.query import parse_filter
from opik_eval.storage.query_match import matches


@dataclass(frozen=True)
class Selection:
    """The items of a run.

    Attributes:
        source: Where they come from.
        items: Makes a fresh iterator over them, in the order they run.
        count: How many there are.
        item_ids: Their ids, where they are a choice that could not be made again.
    """

    source: ItemSource
    items: Callable[[], Iterator[DatasetItem]]
    count: int
    item_ids: list[str] | None = None


def resolve_dataset(dataset: object, storage: Storage) -> ItemSource:
    """Return the dataset that a user means.

    Args:
        dataset: A dataset, a version or part of one; the name of a stored dataset; or anything
            ``read_rows`` takes: a list of dicts, a path, a data frame, a Hugging Face dataset.
        storage: Where named datasets are, and where rows are stored.
    """
    if isinstance(dataset, ItemSource):
        return dataset
    if isinstance(dataset, str) and storage.find_dataset(dataset) is not None:
        return get_dataset(storage, dataset)
    if isinstance(dataset, str) and not _looks_like_source(dataset):
        return get_dataset(storage, dataset)  # raises the error that lists what is there
    return from_items(dataset, storage=storage)


def select_items(source: ItemSource, options: EvaluateOptions) -> Selection:
    """Return the items that the options choose.

    Raises:
        DatasetError: Nothing is chosen, or an id is not in the dataset.
    """
    version = source.version
    if isinstance(source, Dataset) and version is not None:
        source = PinnedDataset(source, version)  # what others insert meanwhile does not slip in
    if _is_whole(options):
        # What a part consists of is written down: its rule is not known here.
        ids = [item.id for item in source.records()] if isinstance(source, DatasetView) else None
        selection = Selection(source, source.records, len(source), ids)
    else:
        chosen = _choose(source, options)
        ids = [item.id for item in chosen]
        selection = Selection(source, lambda: iter(chosen), len(chosen), ids)
    if selection.count == 0:
        raise DatasetError(
            f"dataset {source.name!r} gives no items to evaluate",
            remedy="insert items first, or choose others with dataset_filter_string or ids",
        )
    return selection


def _looks_like_source(text: str) -> bool:
    return text.startswith("hf:") or "/" in text or "." in text


def _is_whole(options: EvaluateOptions) -> bool:
    choosers = ("nb_samples", "dataset_item_ids", "dataset_filter_string", "dataset_sampler")
    return all(options.get(name) is None for name in choosers)


def _choose(source: ItemSource, options: EvaluateOptions) -> list[DatasetItem]:
    items = source.records()
    text = options.get("dataset_filter_string")
    if text is not None:
        condition = parse_filter(text, "dataset_item")
        items = (item for item in items if matches(condition, item))
    ids = options.get("dataset_item_ids")
    if ids is not None:
        items = iter(_by_ids(list(items), list(ids), source.name))
    sampler = options.get("dataset_sampler")
    if sampler is not None:
        items = iter(_sampled(sampler.sample(list(items))))
    count, seed = options.get("nb_samples"), options.get("seed")
    if count is None:
        return list(items)
    if seed is None:
        return list(islice(items, count))
    everything = list(items)
    return subset(everything, min(count, len(everything)), seed=seed) if everything else []


def _by_ids(items: list[DatasetItem], ids: list[str], name: str) -> list[DatasetItem]:
    """Return the items of the given ids, in dataset order; a field ``id`` of the user's counts."""
    wanted = set(map(str, ids))
    named = [(item, {item.id, str(item.data.get("id", item.id))} & wanted) for item in items]
    if unknown := sorted(wanted.difference(*(names for _, names in named))):
        raise DatasetError(
            f"{len(unknown)} of {len(wanted)} dataset_item_ids are not in dataset {name!r}, "
            f"the first is {unknown[0]!r}",
            remedy="take ids from dataset.get_items()",
        )
    return [item for item, names in named if names]


def _sampled(chosen: object) -> list[DatasetItem]:
    if not isinstance(chosen, list | tuple):
        raise DatasetError(
            f"dataset_sampler.sample returned a {type(chosen).__name__}",
            remedy="return a list of the items it was given",
        )
    return list(chosen)
