"""Records as rows: which table a record lives in and how its fields become columns.

A column is named like its field. ``None``, and a field that the writer left at its default, is
NULL; a NULL is left out when the record is read, so that the default applies again. Structured
values are JSON, times microseconds since 1970, an enum is its value. How odd texts and NaN are kept
is for the database's dialect to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from types import NoneType
from typing import Any, Generic, TypeVar, cast

from pydantic import ValidationError

from opik_eval.errors import StorageError
from opik_eval.records import (
    Attachment,
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
    Record,
    Span,
    Trace,
)
from opik_eval.serialization import dumps, dumps_each, loads_each
from opik_eval.storage.merge import project_key
from opik_eval.storage.metadata_terms import terms_of
from opik_eval.storage.microseconds import from_microseconds, read_times, write_times
from opik_eval.storage.row_pages import ReadColumn, records_of_rows
from opik_eval.storage.sql_dialect import Column, Dialect, Row, Statements
from opik_eval.storage.sql_payloads import Payloads, read_payload

R = TypeVar("R", bound=Record)
_TIMES = frozenset({"start_time", "end_time", "created_at", "last_updated_at"})
_REALS = frozenset({"value", "cost_usd", "ttft_seconds", "task_seconds", "scoring_seconds"})
_INTEGERS = frozenset(
    {
        *("number", "items_total", "items_added", "items_modified", "items_deleted", "trial_id"),
        *("unpriced_calls", "size_bytes"),
    }
)
_TEXTS = frozenset({str, NoneType})
_ROWS_AT_ONCE = 100
_NESTED = frozenset({"scores", "error_info"})
STRUCTURED = _NESTED | frozenset(
    {
        *("input", "output", "metadata", "tags", "usage", "data", "evaluators", "config", "run"),
        *("execution_policy", "prompt_version_ids", "experiment_scores", "environments"),
        "body",
    }
)
"""Fields that are stored as JSON."""


@dataclass(frozen=True)
class Table(Generic[R]):
    """Where the records of one type live.

    Attributes:
        name: The table.
        kind: Type of the records.
        key: Columns that identify a record.
        computed: Columns beside the fields, each with the fields it depends on and what makes it of
            their columns. An update that does not name the first of these keeps the old cell.
        own: Columns that the owner of the table fills in, after all others.
        merges_whole: Of two writes of a record the newer replaces the other, field for field.
    """

    name: str
    kind: type[R]
    key: tuple[str, ...] = ("id",)
    computed: Mapping[str, tuple[tuple[str, ...], Callable[..., Column]]] = field(
        default_factory=dict
    )
    own: tuple[str, ...] = ("written_at", "older")
    merges_whole: bool = False


class RowCodec(Generic[R]):
    """Turns records of one table into rows and back.

    Args:
        table: The table.
        dialect: How the database keeps values.
        payloads: Where large payloads go; ``None`` = into the row, like all others.

    Attributes:
        name: Name of the table.
        key: The columns that identify a row.
        statements: The statements that write rows.
        fields: The columns of fields, which come first.
        columns: All columns, in the order of a row.
        sources: For each column of a field or computed one, the place of the field it depends on.
        key_of: Returns the key in a row; a tuple if it has several columns.
    """

    def __init__(self, table: Table[R], dialect: Dialect, payloads: Payloads | None = None) -> None:
        self.table = table
        self.name, self.key = table.name, table.key
        self._dialect = dialect
        self._payloads = payloads
        self.fields = tuple(table.kind.model_fields)
        self.columns = (*self.fields, *table.computed, *table.own)
        self.key_of = itemgetter(*(self.columns.index(column) for column in table.key))
        self._values_of = itemgetter(*self.fields)
        self.sources = [
            *range(len(self.fields)),
            *(self.fields.index(sources[0]) for sources, _ in table.computed.values()),
        ]
        self._computed = [
            (compute, [self.fields.index(source) for source in sources])
            for sources, compute in table.computed.values()
        ]
        self._nested = [index for index, name in enumerate(self.fields) if name in _NESTED]
        self._writers = [
            (index, write)
            for index, name in enumerate((*self.fields, *table.computed))
            if (write := self._writer(name)) is not None
        ]
        self._readers = [
            (name, read) for name in self.fields if (read := self._reader(name)) is not None
        ]
        self._column_readers = {
            name: self._column_reader(name, read) for name, read in self._readers
        }
        self._defaults = [
            (index, name)
            for index, name in enumerate(self.fields)
            if table.kind.model_fields[name].default is not None and name not in table.key
        ]

        self.statements = Statements(self)

    @property
    def selection(self) -> str:
        """The columns as SQL, qualified with the table, in the order of a row."""
        return ", ".join(f'{self.table.name}."{column}"' for column in self.columns)

    def encode(self, records: Sequence[R], *own: Sequence[object]) -> list[Row]:
        """Return the rows of records.

        It works column by column, which costs half of what row by row does.

        Args:
            records: At least one.
            *own: The values of the table's ``own`` columns, one column after the other.
        """
        columns: list[Column] = self.columns_of(records)
        return list(zip(*columns, *own, strict=True))

    def columns_of(self, records: Sequence[R]) -> list[Column]:
        """Return the columns of fields and the computed ones; ``own`` ones are missing."""
        columns: list[Column | None] = [
            *zip(*(self._values_of(vars(record)) for record in records), strict=True)
        ]
        for index in self._nested:
            columns[index] = [_as_dicts(getattr(record, self.fields[index])) for record in records]
        for index, name in self._defaults:
            columns[index] = [
                getattr(record, name) if name in record.model_fields_set else None
                for record in records
            ]
        return self.columns_of_values(columns, len(records))

    def columns_of_values(self, values: Sequence[Column | None], count: int) -> list[Column]:
        """Return the same columns of records whose fields have these values.

        Args:
            values: A column for each field, ``None`` where no record names it; in the columns
                ``None`` where a record names nothing. Times may be microseconds since 1970;
                records inside records are dictionaries.
            count: Number of records.
        """
        nothing = [None] * count
        columns = [
            nothing if column is None or column.count(None) == count else column
            for column in values
        ]
        for compute, places in self._computed:
            columns.append(compute(*(columns[place] for place in places)))
        for index, write in self._writers:
            if columns[index] is not nothing:
                columns[index] = write(columns[index])
        return columns

    def decode(self, row: Sequence[object]) -> R:
        """Return the record in a row."""
        # A row is longer than the fields: computed and own columns follow.
        named = {
            name: value for name, value in zip(self.fields, row, strict=False) if value is not None
        }
        for name, read in self._readers:
            if name in named:
                named[name] = read(named[name])
        try:
            return self.table.kind.model_validate(named)
        except ValidationError:
            return self._decode_texts(named)

    def decode_many(self, rows: Sequence[Row]) -> Iterator[R]:
        """Yield the records in rows."""
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[start : start + _ROWS_AT_ONCE]
            found = records_of_rows(self.table.kind, some, self._column_readers)
            yield from map(self.decode, some) if found is None else found

    def _decode_texts(self, named: Mapping[str, object]) -> R:
        texts = {name: self._dialect.text(value) for name, value in named.items()}
        try:
            return self.table.kind.model_validate(texts)
        except ValidationError as error:
            raise StorageError(
                f"a row of {self.table.name} is no {self.table.kind.__name__}: {error}",
                remedy="the file was changed by another program: restore it from a backup",
            ) from error

    def _writer(self, name: str) -> Callable[[Column], Column] | None:
        if name in STRUCTURED:
            return self._write_payloads
        if name in _TIMES:
            return write_times
        if name in _REALS:
            return self._dialect.reals
        if name == "metadata_terms":
            return self._write_terms
        if name in _INTEGERS or name == "failed_scores":
            return None
        return self._write_type if name == "type" else self._dialect.texts

    def _reader(self, name: str) -> Callable[[object], object] | None:
        if name in _TIMES:
            return cast("Callable[[object], object]", from_microseconds)
        if name in STRUCTURED:
            return partial(read_payload, None if self._payloads is None else self._payloads.blobs)
        return None if name in _REALS | _INTEGERS else self._dialect.read_text

    def _column_reader(self, name: str, read: Callable[[object], object]) -> ReadColumn:
        if name in _TIMES:
            return read_times
        return _read_payloads if name in STRUCTURED else lambda cells: [*map(read, cells)]

    def _write_type(self, column: Column) -> Column:
        if {*map(type, column)} <= _TEXTS:
            return self._dialect.texts(column)
        return self._dialect.texts([None if value is None else str(value) for value in column])

    def _write_terms(self, column: Column) -> Column:
        return [*map(self._dialect.terms, column)]

    def _write_payloads(self, column: Column) -> Column:
        given = [value for value in column if value is not None]
        cells: Column = dumps_each(given)
        if self._payloads is not None:
            cells = self._payloads.shortened(cells)
        if len(given) == len(column):
            return cells
        each = iter(cells)
        return [None if value is None else next(each) for value in column]


def _read_payloads(cells: Column) -> Column:
    if {*map(type, cells)} != {str}:
        raise ValueError("some are outside the row")
    return loads_each(cells)


def _as_dicts(value: object) -> object:
    """Return a record, or a tuple of them, as dictionaries of what is not ``None``."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return [_as_dicts(member) for member in value]
    return {name: field for name, field in vars(value).items() if field is not None}


def _project_keys(names: Column) -> Column:
    keys = {name: project_key(name) for name in {*names}}
    return [keys[name] for name in names]


def _metadata_terms(column: Column) -> Column:
    if {*map(type, column)} == {NoneType}:
        return column
    return [None if metadata is None else terms_of(metadata) for metadata in column]


def _author_keys(authors: Column) -> Column:
    return [author or "" for author in authors]


def _score_project_keys(names: Column, entity_types: Column) -> Column:
    keys = zip(_project_keys(names), entity_types, strict=True)
    return [key if entity_type == "thread" else "" for key, entity_type in keys]


def _failed_scores(column: Column) -> Column:
    return [_names_of_failed(scores) if scores else None for scores in column]


def _names_of_failed(scores: Sequence[Mapping[str, object]]) -> str | None:
    names = [s["name"] for s in scores if s.get("scoring_failed") or s.get("value") is None]
    return dumps(names).decode() if names else None


PROJECTS = Table(
    "projects",
    Project,
    key=("project_key",),
    computed={"project_key": (("name",), lambda names: [*map(project_key, names)])},
)
_TRACED: Mapping[str, tuple[tuple[str, ...], Callable[..., Column]]] = {
    "project_key": (("project_name",), _project_keys),
    "metadata_terms": (("metadata",), _metadata_terms),
}
TRACES = Table("traces", Trace, computed=_TRACED)
SPANS = Table("spans", Span, computed=_TRACED)
FEEDBACK_SCORES = Table(
    "feedback_scores",
    FeedbackScore,
    key=("entity_type", "entity_id", "name", "author_key", "project_key"),
    computed={
        "author_key": (("author",), _author_keys),
        "project_key": (("project_name", "entity_type"), _score_project_keys),
    },
    merges_whole=True,
)
ATTACHMENTS = Table("attachments", Attachment, own=())
DATASETS = Table("datasets", Dataset)
DATASET_ITEMS = Table(
    "dataset_items",
    DatasetItem,
    own=("dataset_id", "position", "start_version", "end_version"),
)
DATASET_VERSIONS = Table("dataset_versions", DatasetVersion, own=())
EXPERIMENTS = Table("experiments", Experiment)
EXPERIMENT_ITEMS = Table(
    "experiment_items", ExperimentItem, computed={"failed_scores": (("scores",), _failed_scores)}
)
PROMPTS = Table("prompts", Prompt)
PROMPT_VERSIONS = Table("prompt_versions", PromptVersion)
OPTIMIZATIONS = Table("optimizations", Optimization)
DOCUMENTS = Table("documents", Document, key=("kind", "id"), merges_whole=True)
TABLES: tuple[Table[Any], ...] = (
    PROJECTS,
    TRACES,
    SPANS,
    FEEDBACK_SCORES,
    ATTACHMENTS,
    DATASETS,
    DATASET_ITEMS,
    DATASET_VERSIONS,
    EXPERIMENTS,
    EXPERIMENT_ITEMS,
    PROMPTS,
    PROMPT_VERSIONS,
    OPTIMIZATIONS,
    DOCUMENTS,
)
"""All tables of records."""
