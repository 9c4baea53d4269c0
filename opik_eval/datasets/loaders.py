"""Reading items from wherever they are: lists, files, data frames, Hugging Face datasets."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

from opik_eval.datasets.hugging_face import PREFIX, load_hugging_face
from opik_eval.errors import DatasetError
from opik_eval.serialization import loads

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, object]
_MAX_CELL_CHARACTERS = 1 << 30


@runtime_checkable
class _HuggingFace(Protocol):
    """What is used of a Hugging Face dataset."""

    @property
    def features(self) -> object: ...

    def __iter__(self) -> Iterator[Mapping[str, object]]: ...


def read_rows(source: object) -> Iterator[Row]:
    """Yield the rows of a source, each a dict of the user's fields.

    Args:
        source: A list (or any iterable) of mappings; a path to ``.jsonl``, ``.json``, ``.csv`` or
            ``.parquet``; a pandas data frame; a Hugging Face dataset; or ``hf:NAME[:SPLIT]`` to
            load one by name (needs the network).

    Raises:
        DatasetError: The source cannot be read; the text names file and line.

    Example:
        >>> list(read_rows([{"question": "2+2", "answer": "4"}]))
        [{'question': '2+2', 'answer': '4'}]
    """
    if isinstance(source, str) and source.startswith(PREFIX):
        return _rows_of_mappings(load_hugging_face(source), source)
    if isinstance(source, str | os.PathLike):
        return read_file(Path(source))
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return rows_of_frame(cast("pd.DataFrame", source))
    if isinstance(source, _HuggingFace):
        return _rows_of_mappings(source, "the Hugging Face dataset")
    if isinstance(source, Mapping):
        raise DatasetError(
            "a dataset is a list of items, and this is one mapping",
            remedy="pass [item], or a Hugging Face split such as dataset['train']",
        )
    if isinstance(source, Iterable):
        return _rows_of_mappings(source, "the list")
    raise DatasetError(
        f"cannot read items from a value of type {type(source).__name__}",
        remedy="pass a list of dicts, a path, a DataFrame, a Hugging Face dataset or a Dataset",
    )


def read_file(path: Path, *, ending: str | None = None) -> Iterator[Row]:
    """Yield the rows of a file.

    Args:
        path: The file.
        ending: Its format, ``.jsonl``, ``.json``, ``.csv`` or ``.parquet``; else the path tells.

    Raises:
        DatasetError: The file is missing, empty, of unknown format or broken at some line.
    """
    reader = _READERS.get((ending or path.suffix).lower())
    if reader is None:
        raise DatasetError(
            f"{path} has the ending {path.suffix!r}, which is no known format",
            remedy=f"use one of {', '.join(sorted(_READERS))}",
        )
    if not path.is_file():
        raise DatasetError(f"there is no file {path}", remedy="check the path")
    return _checked(reader(path), path)


def read_json(text: str | bytes, where: str) -> Iterator[Row]:
    """Yield the objects of a JSON list.

    Raises:
        DatasetError: The text is not a JSON list of objects; the error names ``where``.
    """
    try:
        value = loads(text)
    except ValueError as error:
        raise DatasetError(
            f"{where}: not JSON ({error})", remedy="write a list of objects, or use .jsonl"
        ) from error
    if not isinstance(value, list):
        raise DatasetError(f"{where}: not a JSON list", remedy="write a list of objects")
    return _rows_of_mappings(value, where)


def rows_of_frame(frame: pd.DataFrame) -> Iterator[Row]:
    """Yield the rows of a data frame: missing cells are left out, numpy scalars become Python's.

    Raises:
        DatasetError: Two columns have the same name.
    """
    import pandas as pd

    columns = [str(column) for column in frame.columns]
    if len(set(columns)) < len(columns):
        raise DatasetError(f"two columns of {columns} have the same name", remedy="rename one")
    for values in frame.itertuples(index=False, name=None):
        row: Row = {}
        for column, value in zip(columns, values, strict=True):
            is_missing = pd.isna(value) if pd.api.types.is_scalar(value) else False
            if not is_missing:
                item = getattr(value, "item", None)
                row[column] = item() if callable(item) else value
        yield row


def _rows_of_mappings(source: Iterable[object], where: str) -> Iterator[Row]:
    for index, item in enumerate(source):
        if not isinstance(item, Mapping):
            raise DatasetError(
                f"item {index} of {where} is of type {type(item).__name__}, not a mapping",
                remedy="make every item a dict, for example {'input': ..., 'expected_output': ...}",
            )
        yield {str(key): value for key, value in item.items()}


def _checked(rows: Iterator[Row], path: Path) -> Iterator[Row]:
    """Yield rows; what goes wrong with the file itself becomes a ``DatasetError``."""
    is_empty = True
    try:
        for row in rows:
            is_empty = False
            yield row
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path}, line {_line_that_is_no_utf8(path)}: not UTF-8", remedy="save it as UTF-8"
        ) from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error}", remedy="check the file") from error
    if is_empty:
        raise DatasetError(f"{path} holds no items", remedy="check that it is the right file")


def _line_that_is_no_utf8(path: Path) -> int:
    """Return the first such line; the decoder itself knows only its place in some block."""
    with path.open("rb") as lines:
        numbered = enumerate(lines, start=1)
        return next(n for n, line in numbered if line.decode("utf-8", "ignore").encode() != line)


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _parse_object(line, f"{path}, line {number}")


def _parse_object(text: str, where: str) -> Row:
    try:
        value = loads(text)
    except ValueError as error:
        raise DatasetError(
            f"{where}: not JSON ({error})", remedy="write one JSON object on each line"
        ) from error
    if not isinstance(value, dict):
        raise DatasetError(
            f"{where}: a JSON {type(value).__name__}, not an object",
            remedy="write one JSON object on each line",
        )
    return cast("Row", value)


def _read_json(path: Path) -> Iterator[Row]:
    yield from read_json(path.read_text(encoding="utf-8-sig"), str(path))


def _read_csv(path: Path) -> Iterator[Row]:
    # Python's limit of 128 KiB a cell is below what contexts hold; it is one for the process.
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL_CHARACTERS))
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        try:
            header = next(reader, [])
            if len(set(header)) < len(header):
                raise DatasetError(f"{path}: two columns of {header} have the same name")
            for cells in reader:
                if cells:  # a blank line is none
                    yield _csv_row(header, cells, f"{path}, line {reader.line_num}")
        except csv.Error as error:
            raise DatasetError(
                f"{path}, line {reader.line_num}: {error}", remedy="check quotes and separators"
            ) from error


def _csv_row(header: list[str], cells: list[str], where: str) -> Row:
    if len(cells) != len(header):
        raise DatasetError(
            f"{where}: {len(cells)} cells under {len(header)} column names",
            remedy="quote cells that contain commas or line breaks",
        )
    return dict(zip(header, cells, strict=True))


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise DatasetError(
            f"{path}: not a Parquet file ({error})", remedy="check that it is the right file"
        ) from error


_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
