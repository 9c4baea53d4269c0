"""Datasets: named, versioned collections of items, and where items come from.

Names are resolved on first use, so that importing this package loads none of its modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

if TYPE_CHECKING:
    from opik_eval.datasets.dataset import (
        Dataset,
        create_dataset,
        from_items,
        get_dataset,
        get_or_create_dataset,
    )
    from opik_eval.datasets.demo import load_demo
    from opik_eval.datasets.items import as_row
    from opik_eval.datasets.loaders import read_rows
    from opik_eval.datasets.sampling import RandomDatasetSampler, Sampler
    from opik_eval.datasets.source import DatasetView, ItemSource, PinnedDataset

_HOME = {
    "Dataset": "dataset",
    "DatasetView": "source",
    "ItemSource": "source",
    "PinnedDataset": "source",
    "RandomDatasetSampler": "sampling",
    "Sampler": "sampling",
    "as_row": "items",
    "create_dataset": "dataset",
    "from_items": "dataset",
    "get_dataset": "dataset",
    "get_or_create_dataset": "dataset",
    "load_demo": "demo",
    "read_rows": "loaders",
}

__getattr__, __dir__ = lazily(__name__, _HOME)


__all__ = [
    "Dataset",
    "DatasetView",
    "ItemSource",
    "PinnedDataset",
    "RandomDatasetSampler",
    "Sampler",
    "as_row",
    "create_dataset",
    "from_items",
    "get_dataset",
    "get_or_create_dataset",
    "load_demo",
    "read_rows",
]
