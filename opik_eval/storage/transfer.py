"""Exporting a whole store to a folder, and importing it again.

The folder holds one file per type of record, ``attachments/`` with the files by content hash, and
``manifest.json``, which is written last: a folder without one is not a finished export. Datasets
are kept as the history of their changes, so that all versions come back, with their ids and times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeVar, cast, get_args

from opik_eval.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    SchemaVersionError,
    StorageError,
    UnavailableError,
)
from opik_eval.records import (
    Attachment,
    Dataset,
    DatasetItem,
    DatasetVersion,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Record,
    ScoredEntity,
    Span,
    Trace,
)
from opik_eval.serialization import content_hash, dumps, loads
from opik_eval.storage.base import Storage, Writable
from opik_eval.storage.merge import encode
from opik_eval.storage.record_files import read_records, to_frame, write_records

__all__ = [
    "SCHEMA_VERSION",
    "ExportFormat",
    "Manifest",
    "export_store",
    "import_store",
    "read_records",
    "to_frame",
    "write_records",
]

SCHEMA_VERSION = 1
"""Version of the folder's layout; newer ones are refused."""

ExportFormat = Literal["jsonl", "csv", "parquet"]
T = TypeVar("T")

_MANIFEST = "manifest.json"
_ATTACHMENTS = "attachments"
_PRODUCT = "opik-eval export"
_BATCH = 1000


class ItemChangeLine(Record):
    """One item that a version of a dataset deleted, added or modified; deleted ones come first."""

    dataset_id: str
    version: int
    deleted: str | None = None
    item: DatasetItem | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an export holds.

    Attributes:
        format: Format of the record files.
        counts: Lines of each file.
    """

    format: ExportFormat
    counts: Mapping[str, int]


_WRITABLE: Mapping[str, type[Record]] = MappingProxyType(
    {
        "projects": Project,
        "traces": Trace,
        "spans": Span,
        "feedback_scores": FeedbackScore,
        "datasets": Dataset,
        "experiments": Experiment,
        "experiment_items": ExperimentItem,
        "prompts": Prompt,
        "prompt_versions": PromptVersion,
        "optimizations": Optimization,
    }
)
_FILES: Mapping[str, type[Record]] = MappingProxyType(
    {
        **_WRITABLE,
        "dataset_versions": DatasetVersion,
        "dataset_changes": ItemChangeLine,
        "attachments": Attachment,
    }
)


def export_store(storage: Storage, folder: Path, *, format: ExportFormat = "jsonl") -> Manifest:
    """Write everything in a storage, but for cached values, to a folder.

    Records stream; memory holds at most the ids of one dataset's items and one attachment. What
    others write meanwhile may be in the export or not. Items of experiments and versions of prompts
    are found through their experiment and prompt, attachments through their trace and span.

    Args:
        storage: What to export.
        folder: Where to; must be empty or not exist.
        format: ``jsonl`` keeps one JSON object a line; ``csv`` and ``parquet`` keep tables.

    Raises:
        ConflictError: The folder holds something.
        UnavailableError: The folder cannot be written.
    """
    if format not in get_args(ExportFormat):
        raise ConfigError(f"unknown format {format!r}", remedy="use jsonl, csv or parquet")
    _prepare(folder)
    sources = _sources(storage)
    counts = {
        name: write_records(
            _path(folder, format, name), kind, cast("Iterable[Record]", sources[name]())
        )
        for name, kind in _FILES.items()
    }
    _export_contents(storage, folder, format)
    manifest = Manifest(format=format, counts=counts)
    content = {"product": _PRODUCT, "schema_version": SCHEMA_VERSION, **vars(manifest)}
    (folder / _MANIFEST).write_bytes(dumps(content) + b"\n")
    return manifest


def import_store(storage: Storage, folder: Path) -> Manifest:
    """Bring everything from an exported folder into a storage.

    All files are checked before anything is written. Importing again changes nothing; importing
    into a storage that holds something merges record by record, as ``Storage.write`` does, and
    continues datasets whose history the export extends. Memory holds at most the items of one
    version's change.

    Raises:
        NotFoundError: The folder is no finished export.
        SchemaVersionError: A newer version of this package wrote it.
        StorageError: A line is broken or lines are missing; the message says where.
        ConflictError: A name belongs to another record, or a dataset has another history.
    """
    manifest = _read_manifest(folder)
    for name, count in manifest.counts.items():
        found = sum(1 for _ in _read(folder, manifest, name))
        if found != count:
            raise StorageError(
                f"{_path(folder, manifest.format, name)} has {found} records, but "
                f"{_MANIFEST} counts {count}",
                remedy="export again, or copy the file again",
            )
    for name in _WRITABLE:
        for batch in batches(_read(folder, manifest, name)):
            storage.write(cast("list[Writable]", batch))
    _import_datasets(storage, folder, manifest)
    for attachment in cast("Iterator[Attachment]", _read(folder, manifest, "attachments")):
        storage.put_attachment(attachment, folder / _ATTACHMENTS / attachment.sha256)
    return manifest


def _sources(storage: Storage) -> dict[str, Callable[[], Iterable[object]]]:
    entities: tuple[ScoredEntity, ...] = get_args(ScoredEntity)
    return {
        "projects": storage.list_projects,
        "traces": storage.list_traces,
        "spans": storage.list_spans,
        "feedback_scores": lambda: (s for e in entities for s in storage.list_feedback_scores(e)),
        "datasets": storage.list_datasets,
        "dataset_versions": lambda: (
            v for d in storage.list_datasets() for v in storage.list_dataset_versions(d.id)
        ),
        "dataset_changes": lambda: (
            line for d in storage.list_datasets() for line in dataset_changes(storage, d.id)
        ),
        "experiments": storage.list_experiments,
        "experiment_items": lambda: (
            i for e in storage.list_experiments() for i in storage.list_experiment_items(e.id)
        ),
        "prompts": storage.list_prompts,
        "prompt_versions": lambda: (
            v for p in storage.list_prompts() for v in storage.list_prompt_versions(p.id)
        ),
        "optimizations": storage.list_optimizations,
        "attachments": lambda: all_attachments(storage),
    }


def all_attachments(storage: Storage) -> Iterator[Attachment]:
    """Yield the attachments of all traces and spans."""
    for trace in storage.list_traces():
        yield from storage.list_attachments("trace", trace.id)
    for span in storage.list_spans():
        yield from storage.list_attachments("span", span.id)


def dataset_changes(storage: Storage, dataset_id: str) -> Iterator[ItemChangeLine]:
    """Yield, version by version, what changed in a dataset."""
    before: dict[str, str] = {}
    for version in storage.list_dataset_versions(dataset_id):
        now: dict[str, str] = {}
        changed: list[str] = []
        for item in storage.list_dataset_items(dataset_id, version=version.number):
            now[item.id] = content_hash(encode(item, sort_keys=True))
            if now[item.id] != before.get(item.id):
                changed.append(item.id)
        # A modified item is replaced as a whole: an upsert over it would keep what it lost.
        for item_id in sorted(before.keys() - (now.keys() - set(changed))):
            yield ItemChangeLine(dataset_id=dataset_id, version=version.number, deleted=item_id)
        wanted = set(changed)
        for item in storage.list_dataset_items(dataset_id, version=version.number):
            if item.id in wanted:
                yield ItemChangeLine(dataset_id=dataset_id, version=version.number, item=item)
        before = now


def _export_contents(storage: Storage, folder: Path, format: ExportFormat) -> None:
    target = folder / _ATTACHMENTS
    for attachment in read_records(_path(folder, format, "attachments"), Attachment):
        target.mkdir(exist_ok=True)
        path = target / attachment.sha256
        if not path.exists():
            path.write_bytes(storage.read_attachment(attachment.id))


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = any(folder.iterdir())
    except OSError as error:
        raise UnavailableError(f"cannot write to {folder}: {error.strerror}") from error
    if occupied:
        raise ConflictError(f"{folder} is not empty", remedy="export to a new or empty folder")


def _read_manifest(folder: Path) -> Manifest:
    path = folder / _MANIFEST
    try:
        content = loads(path.read_bytes())
    except OSError as error:
        raise NotFoundError(
            f"{folder} is not a finished export: it has no readable {_MANIFEST}",
            remedy="give the folder that export_store wrote",
        ) from error
    except ValueError as error:
        raise StorageError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("product") != _PRODUCT:
        raise StorageError(f"{path} does not describe an export of this package")
    if content["schema_version"] > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{folder} has schema version {content['schema_version']}, but this version of the "
            f"package reads up to {SCHEMA_VERSION}",
            remedy="update opik-eval to import it",
        )
    return Manifest(format=content["format"], counts=content["counts"])


def _read(folder: Path, manifest: Manifest, name: str) -> Iterator[Record]:
    return read_records(_path(folder, manifest.format, name), _FILES[name])


def _path(folder: Path, format: ExportFormat, name: str) -> Path:
    return folder / f"{name}.{format}"


def batches(records: Iterator[T]) -> Iterator[list[T]]:
    """Yield records in lists of up to 1000."""
    while batch := list(islice(records, _BATCH)):
        yield batch


def _import_datasets(storage: Storage, folder: Path, manifest: Manifest) -> None:
    versions: dict[tuple[str, int], DatasetVersion] = {}
    for version in cast("Iterator[DatasetVersion]", _read(folder, manifest, "dataset_versions")):
        versions[version.dataset_id, version.number] = version
    known = {
        dataset_id: common_history(storage, dataset_id, versions)
        for dataset_id in {dataset_id for dataset_id, _ in versions}
    }
    lines = cast("Iterator[ItemChangeLine]", _read(folder, manifest, "dataset_changes"))
    for key, group in groupby(lines, key=lambda line: (line.dataset_id, line.version)):
        if key not in versions:
            raise StorageError(
                f"{folder}: dataset_changes holds version {key[1]} of dataset {key[0]}, but "
                "dataset_versions does not",
                remedy="export again, or copy the files again",
            )
        if key[1] > known[key[0]]:
            _replay(storage, versions[key], list(group))


def common_history(
    storage: Storage, dataset_id: str, versions: Mapping[tuple[str, int], DatasetVersion]
) -> int:
    """Return how many versions the storage already has.

    Raises:
        ConflictError: Some of them are not those of the export.
    """
    present = list(storage.list_dataset_versions(dataset_id))
    for version in present:
        exported = versions.get((dataset_id, version.number))
        if exported is not None and exported.id != version.id:
            raise ConflictError(
                f"dataset {dataset_id} has another version {version.number} than the export",
                remedy="delete the dataset first, or import into an empty storage",
            )
    return len(present)


def _replay(storage: Storage, version: DatasetVersion, lines: list[ItemChangeLine]) -> None:
    made = storage.change_items(
        version.dataset_id,
        delete=[line.deleted for line in lines if line.deleted is not None],
        upsert=[line.item for line in lines if line.item is not None],
        change_description=version.change_description,
        changed_at=version.created_at,
    )
    if made != version:
        raise StorageError(
            f"dataset {version.dataset_id} did not come back as it was at version {version.number}",
            remedy="the export's dataset_changes and dataset_versions do not fit; export again",
        )
