"""State of the memory backend: its tables, its one lock, and the atomic write."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple, TypeVar, cast

from opik_eval.errors import ConfigError, ConflictError, UnavailableError
from opik_eval.records import (
    Attachment,
    Columns,
    Dataset,
    Document,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Record,
    Span,
    Trace,
)
from opik_eval.serialization import dumps_each
from opik_eval.storage.base import Writable
from opik_eval.storage.memory_items import MemoryItems
from opik_eval.storage.memory_tables import Key, Row, Table
from opik_eval.storage.merge import (
    ArrivalClock,
    implied_project,
    key_of_fields,
    named_fields,
    project_key,
)

R = TypeVar("R", bound=Record)
_Staged = defaultdict["Table[Record]", dict[Key, Row]]


class _Arrival(NamedTuple):
    """What one write says of one record.

    Attributes:
        kind: Type of the record.
        fields: The fields that it names; what their values hold may change, the text does not.
        text: The same as JSON.
    """

    kind: type[Record]
    fields: Mapping[str, object]
    text: bytes


class MemoryState:
    """What the parts of the memory backend share. Everything happens inside ``locked()``."""

    def __init__(self) -> None:
        self.projects = Table(Project)
        self.traces = Table(Trace, lambda v: project_key(cast("str | None", v.get("project_name"))))
        self.spans = Table(Span, lambda v: str(v["trace_id"]))
        self.scores = Table(
            FeedbackScore,
            lambda v: score_group(str(v.get("entity_type", "trace")), str(v["entity_id"])),
        )
        self.datasets = Table(Dataset, lambda v: str(v["name"]))
        self.experiments = Table(Experiment)
        self.experiment_items = Table(ExperimentItem, lambda v: str(v["experiment_id"]))
        self.prompts = Table(Prompt, lambda v: str(v["name"]))
        self.prompt_versions = Table(PromptVersion, lambda v: str(v["prompt_id"]))
        self.optimizations = Table(Optimization)
        self.documents = Table(Document, lambda v: str(v["kind"]))
        self.items: dict[str, MemoryItems] = {}
        self.attachments: dict[str, tuple[Attachment, bytes]] = {}
        self.cache: dict[str, bytes] = {}
        self.written = 0
        self.clock = ArrivalClock()
        self._lock = threading.RLock()
        self._open = True
        # Spellings whose projects exist: merging them again would change nothing.
        self._implied: set[str] = set()
        self._tables: Mapping[type[Record], Table[Record]] = {
            table.kind: cast("Table[Record]", table)
            for table in vars(self).values()
            if isinstance(table, Table) and table is not self.documents
        }

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of an open storage.

        Raises:
            UnavailableError: The storage is closed.
        """
        with self._lock:
            if not self._open:
                raise UnavailableError(
                    "this storage is closed", remedy="open it anew with open_storage"
                )
            yield

    def close(self) -> None:
        """Refuse all further use."""
        with self._lock:
            self._open = False

    def find(self, kind: type[R], identifier: str) -> R | None:
        """Return the record of an id, of a type whose key that is."""
        return cast("R | None", self._tables[kind].find((identifier,)))

    def write(self, records: Iterable[Writable]) -> None:
        """Merge records into the tables; all of them or none."""
        arrived = _arrivals(records, self._tables)
        named = _projects_of(arrived)
        with self.locked():
            staged = _Staged(dict)
            for arrival in arrived:
                self._stage(staged, self._tables[arrival.kind], arrival)
            for name in named - self._implied:
                self._stage_project(staged, name)
            self._check_names(staged, self.datasets)
            self._check_names(staged, self.prompts)
            _put(staged)
            self._implied |= named
            self.written += len(arrived)

    def put_documents(self, documents: Iterable[Document]) -> None:
        """Merge documents into their table; all of them or none."""
        arrived = _arrivals(documents, (Document,))
        with self.locked():
            staged = _Staged(dict)
            for arrival in arrived:
                self._stage(staged, cast("Table[Record]", self.documents), arrival)
            _put(staged)

    def _stage(self, staged: _Staged, table: Table[Record], arrival: _Arrival) -> None:
        _, fields, text = arrival
        stamp = cast("datetime | None", fields.get("last_updated_at")) or self.clock.next()
        row = Row(text, table.group_of(fields), stamp)
        _merge_in(staged, table, key_of_fields(table.kind, fields), row)

    def _stage_project(self, staged: _Staged, name: str) -> None:
        row = self.projects.row_of(implied_project(name))
        _merge_in(staged, cast("Table[Record]", self.projects), (project_key(name),), row)

    def _check_names(self, staged: _Staged, table: Table[Dataset] | Table[Prompt]) -> None:
        """Check that no name would belong to two records once the staged ones are in."""
        rows = staged.get(cast("Table[Record]", table), {})
        names = {key: row.group for key, row in rows.items()}
        holders: dict[str, Key] = {}
        for key, name in names.items():
            kept = (other for other in table.keys(name) if names.get(other, name) == name)
            for other in (*kept, key):
                if holders.setdefault(name, other) != other:
                    raise ConflictError(
                        f"the {table.kind.__name__.lower()} name {name!r} is taken by "
                        f"{holders[name][0]}, so {other[0]} cannot have it",
                        remedy="choose another name, or use the record that has it",
                    )


def score_group(entity_type: str, entity_id: str) -> str:
    """Return the group of an entity's scores."""
    return f"{entity_type}\x1f{entity_id}"


def _arrivals(
    records: Iterable[Writable | Document], kinds: Container[type[Record]]
) -> list[_Arrival]:
    """Return what records of some types say, encoded, so that their users may change them again.

    The lock of the store is free meanwhile, most of a write's time.
    """
    said = list[tuple[type[Record], dict[str, object]]]()
    for record in records:
        kind = record.kind if isinstance(record, Columns) else type(record)
        if kind not in kinds:
            raise ConfigError(
                f"write does not take records of type {kind.__name__}",
                remedy="write items of datasets with change_items, files with put_attachment",
            )
        rows = record.rows() if isinstance(record, Columns) else [named_fields(record)]
        said += [(kind, fields) for fields in rows]
    texts = dumps_each([fields for _, fields in said])
    return [
        _Arrival(kind, fields, text.encode())
        for (kind, fields), text in zip(said, texts, strict=True)
    ]


def _projects_of(arrived: Iterable[_Arrival]) -> set[str]:
    """Return the projects that traces and spans name."""
    found = {fields.get("project_name") for kind, fields, _ in arrived if kind in (Trace, Span)}
    return {name for name in found if isinstance(name, str) and name}


def _merge_in(staged: _Staged, table: Table[Record], key: Key, row: Row) -> None:
    before = staged[table].get(key) or table.row(key)
    staged[table][key] = row if before is None else table.merge(before, row)


def _put(staged: _Staged) -> None:
    for table, rows in staged.items():
        for key, row in rows.items():
            table.put(key, row)
