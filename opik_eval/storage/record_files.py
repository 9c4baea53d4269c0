"""Records in files: JSON lines, CSV and Parquet; and records as a table in memory.

All three hold the fields that a record names and give them back exactly; reading and writing
stream. A line of JSON is ``merge.encode``. In tables every field is a column and an absent value
means "not named"; fields other than texts, numbers and times are JSON text. In CSV a text that is
empty or begins with a quotation mark is written as JSON, so that it differs from an absent one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from opik_eval.errors import ConfigError, StorageError, UnavailableError
from opik_eval.records import Record
from opik_eval.serialization import dumps, loads
from opik_eval.storage.merge import decode, encode
from opik_eval.storage.record_columns import ColumnKind, Columns

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

R = TypeVar("R", bound=Record)

_BATCH = 1000
_LARGEST_CELL = 2**31 - 1


def write_records(path: Path, kind: type[R], records: Iterable[R]) -> int:
    """Write records of one type to a file and return their number.

    Args:
        path: Ends in ``.jsonl``, ``.csv`` or ``.parquet``, which names the format; replaced if it
            is there.
        kind: Type of the records.
        records: The records; read as they are written.

    Raises:
        ConfigError: The ending names no format.
        UnavailableError: The file cannot be written.
    """
    codec = _codec(path, kind)
    with _explained(path, "write"):
        return codec.write(path, records)


def read_records(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the records of a file that ``write_records`` wrote, or that is formed like one.

    Args:
        path: Ends in ``.jsonl``, ``.csv`` or ``.parquet``.
        kind: Type of the records.

    Raises:
        ConfigError: The ending names no format.
        UnavailableError: The file cannot be read.
        StorageError: A line or row is no record of this type; the message says which and why.
    """
    return _parsed(path, _codec(path, kind))


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Return records of one type as a table: a column per field, a row per record.

    Times are columns of type ``datetime64[us, UTC]``; dictionaries and lists stay objects. Without
    records the table has no columns.

    Raises:
        ConfigError: The records are of several types.

    Example:
        >>> from opik_eval.records import Trace
        >>> to_frame([Trace(id="1", name="ask")])[["id", "name"]].to_dict("records")
        [{'id': '1', 'name': 'ask'}]
    """
    import pandas as pd

    listed = list(records)
    types = {type(record) for record in listed}
    if len(types) > 1:
        names = ", ".join(sorted(kind.__name__ for kind in types))
        raise ConfigError(f"one table cannot hold {names}", remedy="make a table of each")
    rows = [record.model_dump() for record in listed]
    kinds = {
        name: kind for record_type in types for name, kind in Columns(record_type).kinds.items()
    }
    return pd.DataFrame(
        {
            name: pd.Series(
                [row[name] for row in rows],
                dtype="datetime64[us, UTC]" if kind == "time" else None,
            )
            for name, kind in kinds.items()
        }
    )


class _JsonLines(Generic[R]):
    unit = "line"

    def __init__(self, kind: type[R]) -> None:
        self._kind = kind

    def write(self, path: Path, records: Iterable[R]) -> int:
        count = 0
        with path.open("wb") as file:
            for record in records:
                file.write(encode(record) + b"\n")
                count += 1
        return count

    def read(self, path: Path) -> Iterator[tuple[int, bytes]]:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line

    def parse(self, line: bytes) -> R:
        return decode(self._kind, line)


class _Csv(Generic[R]):
    unit = "line"

    def __init__(self, kind: type[R]) -> None:
        self._columns = Columns(kind)

    def write(self, path: Path, records: Iterable[R]) -> int:
        count = 0
        kinds = self._columns.kinds
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(kinds)
            for record in records:
                cells = self._columns.cells(record)
                writer.writerow(_to_csv(kinds[name], cell) for name, cell in cells.items())
                count += 1
        return count

    def read(self, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
        # The standard limit of 128 KB per cell is below what one trace may hold.
        csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            for row in reader:
                if len(row) > len(header):
                    raise csv.Error(f"{len(row)} cells, but the header has {len(header)}")
                yield reader.line_num, dict(zip(header, row, strict=False))

    def parse(self, row: dict[str, str]) -> R:
        kinds = self._columns.kinds
        return self._columns.record(
            {name: _from_csv(kinds.get(name), cell) for name, cell in row.items()}
        )


class _Parquet(Generic[R]):
    unit = "row"

    def __init__(self, kind: type[R]) -> None:
        self._columns = Columns(kind)

    def write(self, path: Path, records: Iterable[R]) -> int:
        import pyarrow as pa
        import pyarrow.parquet

        count, schema = 0, self._schema()
        remaining = iter(records)
        with pyarrow.parquet.ParquetWriter(path, schema) as writer:
            while batch := [self._columns.cells(record) for record in islice(remaining, _BATCH)]:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                count += len(batch)
        return count

    def read(self, path: Path) -> Iterator[tuple[int, dict[str, object]]]:
        import pyarrow as pa
        import pyarrow.parquet

        try:
            with path.open("rb") as file:
                batches = pyarrow.parquet.ParquetFile(file).iter_batches(_BATCH)
                rows = (row for batch in batches for row in batch.to_pylist())
                yield from enumerate(rows, start=1)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error

    def parse(self, row: dict[str, object]) -> R:
        return self._columns.record(row)

    def _schema(self) -> pa.Schema:
        import pyarrow as pa

        types = {
            "text": pa.string(),
            "json": pa.string(),
            "integer": pa.int64(),
            "number": pa.float64(),
            "flag": pa.bool_(),
            "time": pa.timestamp("us", tz="UTC"),
        }
        return pa.schema([(name, types[kind]) for name, kind in self._columns.kinds.items()])


_CODECS = {".jsonl": _JsonLines, ".csv": _Csv, ".parquet": _Parquet}


def _codec(path: Path, kind: type[R]) -> _JsonLines[R] | _Csv[R] | _Parquet[R]:
    codec = _CODECS.get(path.suffix.lower())
    if codec is None:
        raise ConfigError(
            f"{path} does not say its format", remedy="name it *.jsonl, *.csv or *.parquet"
        )
    return cast("_JsonLines[R]", codec(kind))


def _parsed(path: Path, codec: _JsonLines[R] | _Csv[R] | _Parquet[R]) -> Iterator[R]:
    parse = cast("Callable[[object], R]", codec.parse)
    last = 0
    with _explained(path, "read"):
        try:
            for number, row in codec.read(path):
                try:
                    yield parse(row)
                except ValueError as error:  # pydantic's errors are ValueErrors
                    raise _broken(f"{path}, {codec.unit} {number}", error) from error
                last = number
        except (ValueError, csv.Error) as error:
            raise _broken(f"{path}, after {codec.unit} {last}", error) from error


def _broken(where: str, error: Exception) -> StorageError:
    return StorageError(f"{where}: {_reason(error)}", remedy="correct or remove it")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def _to_csv(kind: ColumnKind, cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.isoformat()
    text = str(cell)
    quoted = kind == "text" and (not text or text.startswith('"'))
    return dumps(text).decode() if quoted else text


def _from_csv(kind: ColumnKind | None, cell: str) -> object:
    if not cell:
        return None
    return loads(cell) if kind == "text" and cell.startswith('"') else cell


@contextmanager
def _explained(path: Path, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"cannot {verb} {path}: {error.strerror or error}") from error
