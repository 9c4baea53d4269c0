"""Sending what a store holds to another one, later and as often as one likes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, cast, get_args

from opik_eval.errors import ConfigError
from opik_eval.ids import time_of
from opik_eval.records import (
    Attachment,
    Dataset,
    DatasetItem,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    Optimization,
    Prompt,
    PromptVersion,
    Record,
    ScoredEntity,
    Span,
    Trace,
    utc_now,
)
from opik_eval.serialization import content_hash
from opik_eval.storage.base import FlushReport, Storage, Writable
from opik_eval.storage.experiment_uploads import ExperimentUploads, FinishedItem
from opik_eval.storage.merge import encode, key_of
from opik_eval.storage.sync_items import FinishedItems
from opik_eval.storage.sync_journal import Journal, joined
from opik_eval.storage.transfer import (
    all_attachments,
    batches,
    common_history,
    dataset_changes,
)
from opik_eval.storage.wire import kind_of

R = TypeVar("R", bound=Record)
_OLDEST = timedelta(hours=12)

_REFERENCES: Mapping[type[Record], Mapping[str, str]] = MappingProxyType(
    {
        Trace: {"id": "trace"},
        Span: {"id": "span", "trace_id": "trace", "parent_span_id": "span"},
        Dataset: {"id": "dataset"},
        DatasetItem: {"id": "dataset_item", "trace_id": "trace", "span_id": "span"},
        Experiment: {
            "id": "experiment",
            "dataset_id": "dataset",
            "dataset_version_id": "dataset_version",
            "optimization_id": "optimization",
        },
        ExperimentItem: {
            "id": "experiment_item",
            "experiment_id": "experiment",
            "dataset_item_id": "dataset_item",
            "trace_id": "trace",
        },
        Prompt: {"id": "prompt"},
        PromptVersion: {"id": "prompt_version", "prompt_id": "prompt"},
        Optimization: {"id": "optimization"},
        Attachment: {"id": "attachment"},
    }
)
"""Fields that hold ids, and of what."""

_MINTED = frozenset(
    {"trace", "span", "dataset_item", "experiment", "experiment_item", "optimization"}
)
"""Records whose ids a server may want fresh; others are matched by name or given out by it."""


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What a sync did.

    Attributes:
        sent: Records that were sent, by kind; versions of datasets count as ``dataset_version``.
        skipped: Records that had arrived before.
        flush: What became of those that were sent.
    """

    sent: Mapping[str, int]
    skipped: int
    flush: FlushReport

    @property
    def complete(self) -> bool:
        """True when everything has arrived."""
        return self.flush.complete


def sync_store(
    source: Storage,
    target: Storage,
    journal: Path,
    *,
    fresh_ids: bool = False,
    again: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> SyncReport:
    """Send everything in a store but cached values to another one.

    The journal keeps what has arrived. A sync that was interrupted goes on where it stopped, one
    that is repeated sends what is new or changed, and times stay as they were. A dataset or prompt
    that the target has under the same name is continued.

    Args:
        source: What to send.
        target: Where to.
        journal: File that belongs to this pair of stores.
        fresh_ids: Replace ids that are no UUIDv7 or older than twelve hours, for servers that take
            only ids of now. References follow, but for ids inside user data.
        again: Send also what has arrived before.
        now: Clock that tells the age of ids.

    Raises:
        ConflictError: A dataset has another history at the target.
        UnavailableError: A store cannot be reached.
    """
    with closing(Journal(journal)) as opened:
        if again:
            opened.forget_done()
        oldest = now() - _OLDEST if fresh_ids else None
        return _Sync(source, target, opened, oldest).run()


class _Sync:
    def __init__(
        self, source: Storage, target: Storage, journal: Journal, oldest: datetime | None
    ) -> None:
        self._source = source
        self._target = target
        self._journal = journal
        self._oldest = oldest
        self._uploads = FinishedItems(source, journal)
        self._sent: Counter[str] = Counter()
        self._skipped = 0

    def run(self) -> SyncReport:
        """Send everything, what others refer to first, until something does not arrive."""
        source, entities = self._source, cast("tuple[ScoredEntity, ...]", get_args(ScoredEntity))
        steps: list[Callable[[], bool]] = [
            lambda: self._records(source.list_projects()),
            self._datasets,
            self._prompts,
            lambda: self._records(source.list_optimizations()),
            lambda: self._records(source.list_experiments()),
            self._finished_experiments,
            lambda: self._records(source.list_traces()),
            lambda: self._records(source.list_spans()),
            lambda: self._records(s for e in entities for s in source.list_feedback_scores(e)),
            lambda: self._records(
                item
                for experiment in source.list_experiments()
                for item in source.list_experiment_items(experiment.id)
                if not self._uploads.has(item)
            ),
            self._attachments,
        ]
        for step in steps:
            if not step():
                break
        return SyncReport(sent=dict(self._sent), skipped=self._skipped, flush=self._target.flush())

    def _records(self, records: Iterable[Record]) -> bool:
        """Send records; tell whether none of them is left waiting."""
        for batch in batches(iter(records)):
            hashes = {_key(record): _hash(record) for record in batch}
            undone = {*self._journal.undone(hashes)}
            news = [record for record in batch if _key(record) in undone]
            self._skipped += len(batch) - len(news)
            if not news:
                continue
            translated = [self._translated(record) for record in news]
            self._target.write(cast("list[Writable]", translated))
            if self._target.flush().pending:
                return False
            self._sent.update(kind_of(record) for record in news)
            self._journal.mark_done({key: hashes[key] for key in undone})
        return True

    def _finished_experiments(self) -> bool:
        """Send what never was sent of experiments as a whole, if the target has a way for that."""
        if not (isinstance(self._target, ExperimentUploads) and self._target.takes_experiments):
            return True
        for experiment in self._source.list_experiments():
            originals: dict[str, FinishedItem] = {}
            translated = self._translated_items(self._uploads.unsent(experiment), originals)
            moved = self._translated(experiment)
            for uploaded in self._target.upload_experiment(moved, translated):
                sent = [originals.pop(item.item.id) for item in uploaded.sent]
                known = [originals.pop(item.item.id) for item in uploaded.present]
                self._uploads.mark(item.item for item in (*sent, *known))
                self._arrived([record for item in sent for record in item.records])
        return True

    def _translated_items(
        self, items: Iterable[FinishedItem], originals: dict[str, FinishedItem]
    ) -> Iterator[FinishedItem]:
        """Yield items as the target gets them; note by their new ids what they were."""
        for item in items:
            moved = FinishedItem(
                self._translated(item.item),
                self._translated(item.trace),
                [self._translated(span) for span in item.spans],
                [self._translated(score) for score in item.scores],
            )
            originals[moved.item.id] = item
            yield moved

    def _arrived(self, records: Sequence[Record]) -> None:
        self._journal.mark_done({_key(record): _hash(record) for record in records})
        self._sent.update(map(kind_of, records))

    def _datasets(self) -> bool:
        for dataset in self._source.list_datasets():
            present = self._target.find_dataset(dataset.name)
            if present is not None:
                self._journal.set_new_id("dataset", dataset.id, present.id)
            if not (self._records([dataset]) and self._versions(dataset.id)):
                return False
        return True

    def _versions(self, dataset_id: str) -> bool:
        versions = {v.number: v for v in self._source.list_dataset_versions(dataset_id)}
        target_id = self._id("dataset", dataset_id)
        known = {(dataset_id, number): version for number, version in versions.items()}
        present = 0
        if target_id == dataset_id and self._oldest is None:
            present = common_history(self._target, dataset_id, known)
        lines = dataset_changes(self._source, dataset_id)
        for number, group in groupby(lines, key=lambda line: line.version):
            version, changes = versions[number], list(group)
            hashes = {joined(("dataset_version", version.id)): version.id}
            if number <= present or not self._journal.undone(hashes):
                self._skipped += 1
                continue
            made = self._target.change_items(
                target_id,
                delete=[self._id("dataset_item", c.deleted) for c in changes if c.deleted],
                upsert=[self._translated(c.item) for c in changes if c.item is not None],
                change_description=version.change_description,
                changed_at=version.created_at,
            )
            if made is not None:
                self._journal.set_new_id("dataset_version", version.id, made.id)
            self._journal.mark_done(hashes)
            self._sent["dataset_version"] += 1
        return True

    def _prompts(self) -> bool:
        for prompt in self._source.list_prompts():
            present = self._target.find_prompt(prompt.name)
            if present is not None:
                self._journal.set_new_id("prompt", prompt.id, present.id)
            texts = {
                version.commit: version.id
                for version in self._target.list_prompt_versions(self._id("prompt", prompt.id))
            }
            versions = list(self._source.list_prompt_versions(prompt.id))
            for version in versions:
                if version.commit in texts:
                    self._journal.set_new_id("prompt_version", version.id, texts[version.commit])
            if not self._records([prompt, *versions]):
                return False
        return True

    def _attachments(self) -> bool:
        for attachment in all_attachments(self._source):
            hashes = {_key(attachment): attachment.sha256}
            if not self._journal.undone(hashes):
                self._skipped += 1
                continue
            content = self._source.read_attachment(attachment.id)
            owner = self._id(attachment.entity_type, attachment.entity_id)
            moved = self._translated(attachment).model_copy(update={"entity_id": owner})
            self._target.put_attachment(moved, content)
            if self._target.flush().pending:
                return False
            self._journal.mark_done(hashes)
            self._sent["attachment"] += 1
        return True

    def _translated(self, record: R) -> R:
        """Return a record with the ids that it has at the target."""
        references = _REFERENCES.get(type(record), {})
        if isinstance(record, FeedbackScore):
            references = {"entity_id": record.entity_type}
        changes: dict[str, object] = {}
        for field, kind in references.items():
            old = getattr(record, field)
            if old is not None and (new := self._id(kind, old)) != old:
                changes[field] = new
        if isinstance(record, Experiment) and record.prompt_version_ids:
            changes["prompt_version_ids"] = tuple(
                self._id("prompt_version", old) for old in record.prompt_version_ids
            )
        return record.model_copy(update=changes) if changes else record

    def _id(self, kind: str, old: str) -> str:
        found = self._journal.find_new_id(kind, old)
        if found is not None:
            return found
        if self._oldest is None or kind not in _MINTED or _is_younger(old, self._oldest):
            return old
        return self._journal.new_id_of(kind, old)


def _key(record: Record) -> str:
    return joined((kind_of(record), *key_of(record)))


def _hash(record: Record) -> str:
    return content_hash(encode(record, sort_keys=True))


def _is_younger(identifier: str, oldest: datetime) -> bool:
    try:
        return time_of(identifier) > oldest
    except ConfigError:
        return False
