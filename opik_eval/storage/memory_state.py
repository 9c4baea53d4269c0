"""State of the memory backend: its tables, its one lock, and the atomic write."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

from opik_eval.errors import ConfigError, ConflictError, UnavailableError
from opik_eval.records import (
    Attachment,
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
    one_by_one,
)
from opik_eval.storage.base import Writable
from opik_eval.storage.memory_items import MemoryItems
from opik_eval.storage.memory_tables import Key, Table
from opik_eval.storage.merge import (
    ArrivalClock,
    Merged,
    implied_project,
    key_of,
    merge,
    merged,
    project_key,
)

R = TypeVar("R", bound=Record)
_Staged = dict[tuple[type[Record], Key], Merged[Record]]


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
        arrived = one_by_one(records)
        named = {r.project_name for r in arrived if isinstance(r, Trace | Span) and r.project_name}
        states = self._states(arrived)
        with self.locked():
            staged: _Staged = {}
            for record, state in zip(arrived, states, strict=True):
                self._add(staged, key_of(record), state)
            for name in named - self._implied:
                project = cast("Merged[Record]", implied_project(name))
                self._add(staged, (project_key(name),), project)
            self._check_names(staged, self.datasets)
            self._check_names(staged, self.prompts)
            for (kind, key), state in staged.items():
                self._tables[kind].put(key, state)
            self._implied |= named
            self.written += len(arrived)

    def put_documents(self, documents: Iterable[Document]) -> None:
        """Merge documents into their table; all of them or none."""
        arrived = list(documents)
        with self.locked():
            for document in arrived:
                key, state = key_of(document), merged(document, self.clock.next())
                before = self.documents.state(key)
                self.documents.put(key, state if before is None else merge(before, state))

    def _states(self, records: Sequence[Record]) -> list[Merged[Record]]:
        """Return what each record says; the lock is free meanwhile, most of a write's time."""
        for record in records:
            if type(record) not in self._tables:
                raise ConfigError(
                    f"write does not take records of type {type(record).__name__}",
                    remedy="write items of datasets with change_items, files with put_attachment",
                )
        with self.locked():
            times = [self.clock.next() for _ in records]
        return [merged(record, time) for record, time in zip(records, times, strict=True)]

    def _add(self, staged: _Staged, key: Key, state: Merged[Record]) -> None:
        slot = (state.kind, key)
        before = staged.get(slot) or self._tables[state.kind].state(key)
        staged[slot] = state if before is None else merge(before, state)

    def _check_names(self, staged: _Staged, table: Table[Dataset] | Table[Prompt]) -> None:
        """Check that no name would belong to two records once the staged ones are in."""
        names = {
            key: str(state.values["name"])
            for (kind, key), state in staged.items()
            if kind is table.kind
        }
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
