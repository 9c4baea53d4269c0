"""Datasets, experiments, prompts and optimizations of a real Opik server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast
from urllib.parse import quote

from opik_eval.errors import NotFoundError
from opik_eval.records import (
    Dataset,
    DatasetVersion,
    Experiment,
    ExperimentItem,
    Record,
    ScoreSummary,
)
from opik_eval.serialization import dumps
from opik_eval.storage.http_opik_rows import PRIVATE, Arguments, OpikRows, id_of
from opik_eval.storage.http_pages import pages
from opik_eval.storage.query import Filter, to_opik
from opik_eval.storage.scores import summarize_items
from opik_eval.storage.wire import Payload


class OpikTables:
    """Lists what is kept in pages.

    Args:
        rows: Rows of the server.
    """

    def __init__(self, rows: OpikRows) -> None:
        self._rows = rows

    def items(self, given: Arguments) -> Iterator[Record]:
        """Yield the items of a version of a dataset by id."""
        path = f"{PRIVATE}/datasets/{quote(cast('str', given['dataset_id']), safe='')}/items"
        params: dict[str, str] = {}
        if "version" in given:
            params["version"] = self._version_hash(given)
        if "where" in given:
            params["filters"] = dumps(to_opik(cast("Filter", given["where"]))).decode()
        rows = pages(self._rows.connection, path, params)
        yield from sorted((self._rows.record("dataset_item", row) for row in rows), key=id_of)

    def _version_rows(self, given: Arguments) -> Iterator[Payload]:
        path = f"{PRIVATE}/datasets/{quote(cast('str', given['dataset_id']), safe='')}/versions"
        return pages(self._rows.connection, path, {})

    def _version_hash(self, given: Arguments) -> str:
        name = f"v{given['version']}"
        for row in self._version_rows(given):
            if row.get("version_name") == name:
                return str(row["version_hash"])
        raise NotFoundError(f"dataset {given['dataset_id']!r} has no version {name}")

    def versions(self, given: Arguments) -> Iterator[Record]:
        """Yield the versions of a dataset by number."""
        found = [self._rows.record("dataset_version", row) for row in self._version_rows(given)]
        yield from sorted(found, key=lambda version: cast("DatasetVersion", version).number)

    def experiments(self, given: Arguments) -> Iterator[Record]:
        """Yield experiments by id."""
        params = {name: str(given[name]) for name in ("name", "optimization_id") if name in given}
        if "dataset_name" in given:
            dataset = self._rows.find("dataset", cast("str", given["dataset_name"]))
            if dataset is None:
                return
            params["datasetId"] = cast("Dataset", dataset).id
        name = given.get("name")
        found = [
            experiment
            for experiment in self._rows.pages_of("experiment", params)
            if name in (None, cast("Experiment", experiment).name)
        ]
        yield from sorted(found, key=id_of, reverse=bool(given.get("newest_first")))

    def experiment_items(self, given: Arguments) -> Iterator[Record]:
        """Yield the items of an experiment by id."""
        experiment_id = cast("str", given["experiment_id"])
        experiment = cast("Experiment | None", self._rows.find("experiment", experiment_id))
        if experiment is None or experiment.dataset_id is None:
            return
        path = f"{PRIVATE}/datasets/{experiment.dataset_id}/items/experiments/items"
        params = {"experiment_ids": dumps([experiment_id]).decode()}
        found = [
            self._rows.record("experiment_item", item)
            for row in pages(self._rows.connection, path, params)
            for item in cast("list[Payload]", row.get("experiment_items") or [])
        ]
        yield from sorted(found, key=id_of)

    def prompt_versions(self, given: Arguments) -> Iterator[Record]:
        """Yield the versions of a prompt by number."""
        prompt_id = quote(cast("str", given["prompt_id"]), safe="")
        rows = pages(self._rows.connection, f"{PRIVATE}/prompts/{prompt_id}/versions", {})
        found = [
            self._rows.record("prompt_version", {"prompt_id": prompt_id, **row}) for row in rows
        ]
        yield from sorted(found, key=lambda version: getattr(version, "number", 0))

    def optimizations(self, given: Arguments) -> Iterator[Record]:
        """Yield optimizations by id."""
        params = {name: str(value) for name, value in given.items()}
        for record in sorted(self._rows.pages_of("optimization", params), key=id_of):
            if all(getattr(record, name) == value for name, value in given.items()):
                yield record

    def summaries(self, given: Arguments) -> Iterator[ScoreSummary]:
        """Yield count and mean of the scores of experiments."""
        items: list[ExperimentItem] = []
        for experiment_id in dict.fromkeys(cast("Sequence[str]", given["experiment_ids"])):
            items += cast(
                "Iterator[ExperimentItem]", self.experiment_items({"experiment_id": experiment_id})
            )
        values: dict[str, dict[str, list[float]]] = {}
        for item in items:
            by_name = values.setdefault(item.trace_id or "", {})
            for score in item.scores or ():
                if score.value is not None:
                    by_name.setdefault(score.name, [score.value])
        yield from summarize_items(items, values)
