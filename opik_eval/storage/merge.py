"""How writes of the same record become one: field by field, in any order of arrival.

Every field remembers the time of the write it comes from: the write's ``last_updated_at`` or, if
it has none, its arrival. The merge of two states keeps, for each field, the value with the greater
(time, canonical JSON of the value). That is a maximum over a total order, so merging is
commutative, associative and idempotent, and any order of arrival of any number of partial writes
ends in the same record. A field that is ``None``, or that the writer left at its default, says
nothing and takes no part. A feedback score is one judgement, a document one statement; they merge
as a whole, by the greater (time, canonical JSON).

Most records are written once, or completed by a write that names all their fields; then one time
says it all. Only the fields that are older than the newest write have a time of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar, cast

from opik_eval.config import DEFAULT_PROJECT
from opik_eval.ids import derived_id
from opik_eval.records import Document, FeedbackScore, Project, Record, utc_now
from opik_eval.serialization import dumps, loads

R = TypeVar("R", bound=Record)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = (FeedbackScore, Document)


@dataclass(frozen=True, slots=True)
class Merged(Generic[R]):
    """What all writes of one record have said so far.

    Attributes:
        kind: Type of the record.
        values: Fields that some write named, as plain JSON values.
        written_at: Newest time of any field.
        older: Times of the fields that are older than ``written_at``.
    """

    kind: type[R]
    values: Mapping[str, object]
    written_at: datetime
    older: Mapping[str, datetime] = field(default_factory=dict)

    def time_of(self, name: str) -> datetime:
        """Return the time of the write that a field's value comes from."""
        return self.older.get(name, self.written_at)

    def record(self) -> R:
        """Return the record; its values are copies."""
        return decode(self.kind, encode_values(self.values))


def merged(record: R, arrived_at: datetime) -> Merged[R]:
    """Return the state after one write.

    Args:
        record: What was written.
        arrived_at: Counts as the time of the write if the record has no ``last_updated_at``;
            ``ArrivalClock`` makes such times.
    """
    stamp = cast("datetime | None", getattr(record, "last_updated_at", None))
    values = cast("dict[str, object]", loads(encode(record)))
    return Merged(type(record), values, stamp or arrived_at)


def merge(a: Merged[R], b: Merged[R]) -> Merged[R]:
    """Return the state after the writes of both sides.

    Example:
        >>> from opik_eval.records import Trace
        >>> day = datetime(2026, 1, 1, tzinfo=UTC)
        >>> create = merged(Trace(id="1", name="ask"), day)
        >>> update = merged(Trace(id="1", output="yes"), day + timedelta(days=1))
        >>> merge(update, create) == merge(create, update)
        True
        >>> merge(update, create).record()
        Trace(id='1', project_name=None, name='ask', ...)
    """
    first, last = sorted((a, b), key=lambda m: m.written_at)
    if (
        first.written_at < last.written_at
        and not last.older
        and first.values.keys() <= last.values.keys()
    ):
        return last
    if issubclass(a.kind, _WHOLE):
        return max(a, b, key=lambda m: (m.written_at, dumps(m.values)))
    values: dict[str, object] = {}
    times: dict[str, datetime] = {}
    for name in (*a.values, *(name for name in b.values if name not in a.values)):
        source = _newer(a, b, name)
        values[name], times[name] = source.values[name], source.time_of(name)
    newest = max(times.values())
    older = {name: time for name, time in times.items() if time != newest}
    return Merged(a.kind, values, newest, older)


def encode(record: Record, *, sort_keys: bool = False) -> bytes:
    """Return, as JSON, the fields that a record names: those set and not ``None``.

    Args:
        record: The record.
        sort_keys: Return canonical JSON, to compare; else the user's keys keep their order.
    """
    return dumps(named_fields(record), sort_keys=sort_keys)


def named_fields(record: Record) -> dict[str, object]:
    """Return the fields that a record names, by name; their values are the record's own."""
    fields = vars(record)
    return {
        name: fields[name] for name in sorted(record.model_fields_set) if fields[name] is not None
    }


def encode_values(values: Mapping[str, object]) -> bytes:
    """Return the JSON of ``Merged.values``."""
    return dumps(values, sort_keys=False)


def decode(kind: type[R], text: bytes | str) -> R:
    """Return the record that ``encode`` wrote; the inverse but for what JSON cannot hold."""
    return kind.model_validate(loads(text))


def key_of(record: Record) -> tuple[str, ...]:
    """Return what identifies a record among those of its type.

    A project is its name without regard to case. A feedback score is the entity, the name and the
    author; a thread's score also the project, since thread ids are unique within a project only.
    """
    return key_of_fields(type(record), vars(record))


def key_of_fields(kind: type[Record], fields: Mapping[str, object]) -> tuple[str, ...]:
    """Return ``key_of`` of a record by its fields; those at their default may be missing."""
    texts = cast("Mapping[str, str]", fields)
    if kind is FeedbackScore:
        entity_type, project = texts.get("entity_type") or "trace", ""
        if entity_type == "thread":
            project = project_key(texts.get("project_name"))
        return (entity_type, texts["entity_id"], texts["name"], texts.get("author") or "", project)
    if kind is Project:
        return (project_key(texts["name"]),)
    if kind is Document:
        return (texts["kind"], texts["id"])
    return (texts["id"],)


def project_key(name: str | None) -> str:
    """Return what two spellings of a project's name share; ``None`` is the default project."""
    return (name or DEFAULT_PROJECT).casefold()


def implied_project(name: str) -> Merged[Project]:
    """Return the project that a trace or span creates by naming it; older than any real write."""
    return merged(Project(id=derived_id("project", name.casefold()), name=name), _EPOCH)


class ArrivalClock:
    """Times of arrival, each later than the one before. Not thread-safe: guard it with a lock."""

    def __init__(self, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self._last = _EPOCH

    def next(self) -> datetime:
        """Return the current time, or a microsecond after the last one if that is later."""
        self._last = max(self._now(), self._last + timedelta(microseconds=1))
        return self._last


def _newer(a: Merged[R], b: Merged[R], name: str) -> Merged[R]:
    if name not in a.values or name not in b.values:
        return a if name in a.values else b
    if a.time_of(name) != b.time_of(name):
        return a if a.time_of(name) > b.time_of(name) else b
    return a if dumps(a.values[name]) >= dumps(b.values[name]) else b
