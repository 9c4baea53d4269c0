"""The storage interface: what every backend promises.

``Storage`` is one atomic ``write`` plus six small protocols of reads, deletes and the few
operations that are more than an upsert. The docstrings here are the specification;
``opik_eval.testing.storage_contract`` checks a backend against them.

Common rules:

- **Threads and processes.** A storage object may be used from many threads at once. Backends on
  disk may be opened by several processes at once.
- **Durability.** When a writing method returns, the data survives ``kill -9`` of the process.
- **Upserts.** ``write`` is idempotent and accepts any order of arrival: a score before its trace,
  an update before its create. Fields merge one by one: of two writes that name the same field, the
  one with the newer ``last_updated_at`` wins (the later arrival if neither carries one), and
  ``None`` never erases. The result does not depend on the order of arrival. A feedback score is one
  judgement: the newest write replaces the whole of it. ``opik_eval.storage.merge`` is the rule.
- **Projects.** Names compare without regard to case, everywhere. A trace, span or thread score
  without a project belongs to the default project.
- **Reads** are snapshots that stream; there is no cap. ``find_*`` returns ``None`` for what is not
  there. Lists are ordered by id (oldest first) unless they say otherwise.
- **Errors.** ``UnavailableError`` for a locked, read-only, full or unreachable store,
  ``SchemaVersionError`` for data of a newer version, ``ConflictError`` where a name is taken,
  ``NotFoundError`` where an operation names something that must exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from opik_eval.records import (
    Attachment,
    Columns,
    Dataset,
    DatasetItem,
    DatasetVersion,
    Document,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    ScoredEntity,
    ScoreSummary,
    Span,
    Thread,
    Trace,
)
from opik_eval.storage.query import Filter

Writable = (
    Project
    | Trace
    | Span
    | FeedbackScore
    | Dataset
    | Experiment
    | ExperimentItem
    | Prompt
    | PromptVersion
    | Optimization
    | Columns[FeedbackScore]
    | Columns[ExperimentItem]
)
"""What ``write`` takes, columns too (``records.one_by_one``); not items of datasets, nor files."""


@dataclass(frozen=True, kw_only=True)
class FlushReport:
    """What became of the writes handed over so far.

    Attributes:
        delivered: Records at their destination.
        pending: Records that are safe on disk but not delivered yet.
        rejected: Records the destination refused, with its reasons.
        problem: Why the pending ones could not be delivered at the last attempt, if there was one.
    """

    delivered: int = 0
    pending: int = 0
    rejected: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def complete(self) -> bool:
        """True when nothing is pending and nothing was rejected."""
        return self.pending == 0 and not self.rejected


class TraceStore(Protocol):
    """Projects, traces, spans, feedback scores, attachments."""

    def find_project(self, name: str) -> Project | None:
        """Return the project of that name, compared without regard to case."""
        ...

    def list_projects(self) -> Iterator[Project]:
        """Yield all projects. Writing a trace or span creates the project it names."""
        ...

    def find_trace(self, trace_id: str) -> Trace | None:
        """Return the trace of that id."""
        ...

    def find_span(self, span_id: str) -> Span | None:
        """Return the span of that id."""
        ...

    def list_traces(
        self,
        *,
        project_name: str | None = None,
        where: Filter | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Trace]:
        """Yield traces by id; ``project_name=None`` means all projects, ``limit=None`` all rows."""
        ...

    def list_spans(
        self,
        *,
        project_name: str | None = None,
        trace_ids: Sequence[str] | None = None,
        where: Filter | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Span]:
        """Yield spans by id, of the given traces if ``trace_ids`` is given."""
        ...

    def list_threads(
        self, *, project_name: str | None = None, where: Filter | None = None
    ) -> Iterator[Thread]:
        """Yield the conversations of a project, ordered by project and thread id."""
        ...

    def list_feedback_scores(
        self,
        entity_type: ScoredEntity,
        entity_ids: Sequence[str] | None = None,
        *,
        project_name: str | None = None,
    ) -> Iterator[FeedbackScore]:
        """Yield scores ordered by entity id, name and author; of all entities if ids are ``None``.

        With ``project_name`` those of the project that the score names or else its entity is in.
        """
        ...

    def delete_feedback_scores(
        self,
        entity_type: ScoredEntity,
        entity_id: str,
        names: Sequence[str],
        *,
        project_name: str | None = None,
    ) -> None:
        """Delete the named scores of one entity, by every author. Unknown names are no error.

        ``project_name`` narrows the scores of threads, whose ids are unique per project only.
        """
        ...

    def delete_traces(self, trace_ids: Sequence[str]) -> None:
        """Delete traces with all that is theirs (bytes: ``UpkeepStore``). Unknown ids: no error."""
        ...

    def put_attachment(self, attachment: Attachment, content: bytes | Path) -> None:
        """Store a file.

        Raises:
            ConflictError: ``sha256`` or ``size_bytes`` does not fit the content.
        """
        ...

    def read_attachment(self, attachment_id: str) -> bytes:
        """Return the bytes of an attachment.

        Raises:
            NotFoundError: There is no such attachment.
        """
        ...

    def list_attachments(self, entity_type: str, entity_id: str) -> Iterator[Attachment]:
        """Yield the attachments of a trace or span."""
        ...


class DatasetStore(Protocol):
    """Datasets, their items and versions."""

    def find_dataset(self, name: str) -> Dataset | None:
        """Return the dataset of that exact name. ``write`` of a second one raises ConflictError."""
        ...

    def list_datasets(self) -> Iterator[Dataset]:
        """Yield all datasets."""
        ...

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete a dataset with items and versions; its experiments stay."""
        ...

    def change_items(
        self,
        dataset_id: str,
        *,
        upsert: Iterable[DatasetItem] = (),
        delete: Iterable[str] | Literal["all"] = (),
        skip_known: bool = False,
        change_description: str | None = None,
        changed_at: datetime | None = None,
        group_id: str | None = None,
        base_version: int | None = None,
    ) -> DatasetVersion | None:
        """Apply one logical change to a dataset's items; all of it or nothing.

        Deletes come first, then upserts by id in order. With ``skip_known`` an item whose content
        hash equals that of an item present at that point (other than itself) is not written; hashes
        always are those of the current content, so content that was updated away may come again.
        ``changed_at`` is the time to note for the change, now if ``None``; imports pass the old
        one.
        ``opik_eval.storage.items.plan_change`` is this rule in full.

        A change that comes in several calls gives all of them one ``group_id``: while the latest
        version is of that group, a call extends it instead of making the next one.

        Returns:
            The new or extended version, or ``None`` if nothing changed.

        Raises:
            NotFoundError: There is no such dataset.
            ConflictError: The number of the latest version (0 = none yet) is not ``base_version``.
        """
        ...

    def list_dataset_items(
        self, dataset_id: str, *, version: int | None = None, where: Filter | None = None
    ) -> Iterator[DatasetItem]:
        """Yield the items in the order of their first insertion, of the latest version if ``None``.

        Raises:
            NotFoundError: The dataset has no version of that number.
        """
        ...

    def list_dataset_versions(self, dataset_id: str) -> Iterator[DatasetVersion]:
        """Yield the versions by number, oldest first. A dataset without items ever has none."""
        ...


class ExperimentStore(Protocol):
    """Experiments and their items."""

    def find_experiment(self, experiment_id: str) -> Experiment | None:
        """Return the experiment of that id."""
        ...

    def list_experiments(
        self,
        *,
        name: str | None = None,
        dataset_name: str | None = None,
        optimization_id: str | None = None,
        newest_first: bool = False,
    ) -> Iterator[Experiment]:
        """Yield experiments with exactly these properties; ``None`` = any. Names are not unique."""
        ...

    def list_experiment_items(self, experiment_id: str) -> Iterator[ExperimentItem]:
        """Yield the items of an experiment by id."""
        ...

    def delete_experiment_items(self, item_ids: Sequence[str]) -> None:
        """Delete items of experiments; their traces stay. Unknown ids are no error."""
        ...

    def summarize_scores(self, experiment_ids: Sequence[str]) -> list[ScoreSummary]:
        """Return count, mean and failures of every score of the experiments' items.

        The values are those of the feedback scores on the items' traces, so scores that people or
        other clients add count too; failures come from the items. Ordered by experiment and name.
        """
        ...

    def delete_experiments(self, experiment_ids: Sequence[str]) -> None:
        """Delete experiments with their items; traces stay. Unknown ids are no error."""
        ...


class PromptStore(Protocol):
    """Prompts and their versions."""

    def find_prompt(self, name: str) -> Prompt | None:
        """Return the prompt of that exact name."""
        ...

    def list_prompts(self) -> Iterator[Prompt]:
        """Yield all prompts."""
        ...

    def list_prompt_versions(self, prompt_id: str) -> Iterator[PromptVersion]:
        """Yield the versions by number, oldest first."""
        ...

    def delete_prompts(self, prompt_ids: Sequence[str]) -> None:
        """Delete prompts with their versions. Unknown ids are no error."""
        ...


class OptimizationStore(Protocol):
    """Runs of optimizers."""

    def find_optimization(self, optimization_id: str) -> Optimization | None:
        """Return the optimization of that id."""
        ...

    def list_optimizations(
        self, *, name: str | None = None, dataset_name: str | None = None
    ) -> Iterator[Optimization]:
        """Yield optimizations with exactly these properties; ``None`` = any."""
        ...

    def delete_optimizations(self, optimization_ids: Sequence[str]) -> None:
        """Delete optimizations; their trials (experiments) stay. Unknown ids are no error."""
        ...


class CacheStore(Protocol):
    """Content-addressed values, such as replies of models. Not part of an export."""

    def read_cached(self, key: str) -> bytes | None:
        """Return the value of a key."""
        ...

    def write_cached(self, key: str, value: bytes) -> None:
        """Store a value durably; writing a key again replaces its value."""
        ...


@runtime_checkable
class DocumentStore(Protocol):
    """Documents: JSON objects by kind and id. Not part of ``Storage``, nor of an export.

    Backends in memory, in files and in databases have it; the one over HTTP has not.
    """

    def put_documents(self, documents: Iterable[Document]) -> None:
        """Upsert documents: all of them or none, durable on return.

        Of two writes of one (kind, id) the one with the newer ``last_updated_at`` replaces the
        whole of the other; one without counts as written when it arrives.
        """
        ...

    def find_document(self, kind: str, document_id: str) -> Document | None:
        """Return the document of that kind and id."""
        ...

    def list_documents(self, kind: str, *, name: str | None = None) -> Iterator[Document]:
        """Yield the documents of a kind by id, those of exactly that name if one is given."""
        ...

    def delete_documents(self, kind: str, document_ids: Sequence[str]) -> None:
        """Delete documents of a kind. Unknown ids are no error."""
        ...


@runtime_checkable
class Storage(
    TraceStore, DatasetStore, ExperimentStore, PromptStore, OptimizationStore, CacheStore, Protocol
):
    """A complete backend. Open one with ``opik_eval.storage.opening.open_storage``."""

    @property
    def location(self) -> str:
        """Where the data is, in the form ``open_storage`` takes, without secrets."""
        ...

    def write(self, records: Iterable[Writable]) -> None:
        """Upsert records of any types: all of them or none, durable on return.

        Raises:
            ConflictError: A dataset or prompt name is taken by another id; nothing is written.
        """
        ...

    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        """Wait until what was written has reached its destination, and tell the truth about it."""
        ...

    def close(self) -> None:
        """Release files and connections. A closed storage raises ``UnavailableError`` on use."""
        ...
