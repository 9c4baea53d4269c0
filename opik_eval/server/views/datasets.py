"""Datasets and their items as clients read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from opik_eval.records import Dataset, DatasetItem, Experiment
from opik_eval.server.context import RequestContext
from opik_eval.server.datasets import Versions
from opik_eval.server.projects import Projects
from opik_eval.storage.wire import dataset_item_to_wire, dataset_to_wire, wire_time

View = dict[str, object]
_TYPES: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    dict: "object",
    list: "array",
    type(None): "null",
}


def dataset_view(context: RequestContext, dataset: Dataset) -> View:
    """Return a dataset with what its items and experiments add up to."""
    versions = Versions(context, dataset.id)
    latest = versions.latest
    experiments = list(context.storage.list_experiments(dataset_name=dataset.name))
    times = [e.created_at for e in experiments if e.created_at is not None]
    newest = wire_time(max(times)) if times else None
    return {
        "type": "dataset",
        "visibility": "private",
        **dataset_to_wire(dataset),
        "project_id": Projects(context).id_of(dataset.project_name),
        "dataset_items_count": 0 if latest is None else latest.items_total,
        "experiment_count": len(experiments),
        "optimization_count": _optimizations(experiments),
        "most_recent_experiment_at": newest,
        "last_created_experiment_at": newest,
        "latest_version": None if latest is None else versions.summary(latest),
    }


def item_view(item: DatasetItem, dataset_id: str) -> View:
    """Return a dataset item."""
    return {"source": item.source, **dataset_item_to_wire(item), "dataset_id": dataset_id}


def columns_of(items: Iterable[DatasetItem]) -> list[View]:
    """Return the names and types of the fields that items have."""
    found: dict[str, set[str]] = {}
    for item in items:
        for name, value in item.data.items():
            found.setdefault(name, set()).add(_TYPES.get(type(value), "object"))
    return [
        {"id": f"data.{name}", "name": name, "types": sorted(types), "filter_field_prefix": "data"}
        for name, types in sorted(found.items())
    ]


def _optimizations(experiments: Sequence[Experiment]) -> int:
    return len({e.optimization_id for e in experiments if e.optimization_id})
