"""Where items come from: every format, and what is said of files that are not what they seem."""

from __future__ import annotations

import csv
import io
import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.datasets import from_items
from opik_eval.datasets.loaders import read_file, read_rows, rows_of_frame
from opik_eval.errors import DatasetError
from opik_eval.serialization import dumps

ROWS = [{"question": "2+2", "answer": "4"}, {"question": "1,\n5", "answer": 'a "b"'}]
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)


def rows_of(path: Path) -> list[dict[str, object]]:
    return list(read_rows(path))


def make(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_list_of_mappings():
    """Rows are copies with text keys; the user's mappings stay his."""
    mine = {"a": 1, 2: "b"}
    (row,) = read_rows([mine])
    assert row == {"a": 1, "2": "b"}
    row["a"] = 5
    assert mine["a"] == 1
    assert list(read_rows(iter(ROWS))) == ROWS


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"a": 1}, "a list of items, and this is one mapping"),
        ([{"a": 1}, "b"], "item 1 of the list is of type str, not a mapping"),
        ([None], "item 0 of the list is of type NoneType"),
        (5, "cannot read items from a value of type int"),
        (b"ab", "item 0 of the list is of type int"),
        ("nothing.txt", "ending '.txt', which is no known format"),
        ("no ending", "ending '', which is no known format"),
        ("nowhere.csv", "there is no file nowhere.csv"),
    ],
)
def test_sources_that_are_none(source, problem):
    """The error says what was given, and what could be."""
    with pytest.raises(DatasetError, match=problem) as caught:
        list(read_rows(source))
    assert caught.value.remedy


def test_jsonl(tmp_path):
    """One object a line; blank lines, a BOM and Windows line ends do not matter."""
    text = "\ufeff" + "\r\n\n".join(json.dumps(row) for row in ROWS) + "\n\n"
    assert rows_of(make(tmp_path, "a.jsonl", text)) == ROWS
    assert rows_of(make(tmp_path, "a.JSONL", text)) == ROWS
    assert list(read_file(make(tmp_path, "a.txt", text), ending=".jsonl")) == ROWS


def test_json(tmp_path):
    """A list of objects, with or without a BOM."""
    for start in ("", "\ufeff"):
        assert rows_of(make(tmp_path, "a.json", start + json.dumps(ROWS, indent=1))) == ROWS


def test_csv(tmp_path):
    """Cells are texts; quotes, line breaks in cells, a BOM and blank lines are understood."""
    text = '\ufeffquestion,answer\r\n2+2,4\r\n\r\n"1,\n5","a ""b"""\r\n\r\n'
    assert rows_of(make(tmp_path, "a.csv", text)) == ROWS


def test_csv_cells_may_be_long(tmp_path):
    """Contexts of more than 128 KiB are read."""
    long = "x" * 500_000
    assert rows_of(make(tmp_path, "a.csv", f"text\n{long}\n")) == [{"text": long}]


def test_parquet(tmp_path):
    """Columns keep their types; nested values too."""
    rows = [{"n": 1, "tags": ["a"], "who": {"x": 1.5}}, {"n": None, "tags": [], "who": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet") == rows


@given(st.lists(st.dictionaries(st.sampled_from("abc"), cells, min_size=3, max_size=3), min_size=1))
def test_csv_round_trip(rows):
    """What Python's own writer writes is read back, whatever the cells hold."""
    with pytest.MonkeyPatch.context() as patch:
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, ["a", "b", "c"])
        writer.writeheader()
        writer.writerows(rows)
        patch.setattr(Path, "is_file", lambda self: True)
        patch.setattr(Path, "open", lambda self, **_: io.StringIO(buffer.getvalue(), newline=""))
        assert rows_of(Path("a.csv")) == rows


@given(st.lists(st.dictionaries(cells, cells | st.none() | st.integers(), max_size=3), min_size=1))
def test_jsonl_round_trip(tmp_path_factory, rows):
    """What ``dumps`` writes line by line is read back."""
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    path.write_bytes(b"\n".join(map(dumps, rows)))
    assert rows_of(path) == rows


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", "", "holds no items"),
        ("a.jsonl", "\n \n", "holds no items"),
        ("a.json", "", r"a\.json: not JSON"),
        ("a.json", "[]", "holds no items"),
        ("a.csv", "", "holds no items"),
        ("a.csv", "a,b\n", "holds no items"),
        ("a.jsonl", '{"a":1}\n\n{"a":\n', r"a\.jsonl, line 3: not JSON"),
        ("a.jsonl", '{"a":NaN}\n', r"line 1: not JSON \(NaN is not JSON\)"),
        ("a.jsonl", '{"a":1}\n[1]\n', "line 2: a JSON list, not an object"),
        ("a.jsonl", '{"a":1}\n' * 5000 + '{"a":"\xe9"}\n', None),
        ("a.jsonl", b'{"a":1}\n' * 5000 + b'{"a":"\xe9"}\n', "line 5001: not UTF-8"),
        ("a.csv", b"a\n1\n\xe9\n", "line 3: not UTF-8"),
        ("a.json", b'[{"a":\n"\xe9"}]', "line 2: not UTF-8"),
        ("a.json", '{"a":1}', "not a JSON list"),
        ("a.json", '[{"a":1}, 2]', r"item 1 of .*a\.json is of type int, not a mapping"),
        ("a.json", '[{"a":1},\n{"a":}]', r"not JSON \(.*line 2"),
        ("a.csv", "a,b\n1,2\n\n3\n", "line 4: 1 cells under 2 column names"),
        ("a.csv", "a,b\n1,2,3\n", "line 2: 3 cells under 2 column names"),
        ("a.csv", 'a\n"x"y\n', r"a\.csv, line 2: "),
        ("a.csv", 'a\n"x\n', r"a\.csv, line 2: "),
        ("a.csv", "a,b,a\n1,2,3\n", "have the same name"),
        ("a.parquet", "PAR1 not at all", "not a Parquet file"),
        ("a.parquet", "", "not a Parquet file"),
    ],
)
def test_files_that_are_broken(tmp_path, name, content, problem):
    """The error names the file, and the line where there are lines."""
    path = make(tmp_path, name, content)
    if problem is None:
        assert len(rows_of(path)) == 5001
        return
    with pytest.raises(DatasetError, match=problem) as caught:
        rows_of(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_opened(tmp_path, monkeypatch):
    """Errors of the operating system become ones that name the file."""
    path = make(tmp_path, "a.csv", "a\n1\n")

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DatasetError, match=r"cannot read .*a\.csv: .*Permission denied"):
        rows_of(path)


def test_a_folder_is_no_file(tmp_path):
    """A folder with the right ending is not read."""
    (tmp_path / "a.json").mkdir()
    with pytest.raises(DatasetError, match="there is no file"):
        rows_of(tmp_path / "a.json")


def test_data_frame():
    """Missing cells are left out, numpy scalars become Python's, column names text."""
    frame = pd.DataFrame(
        {
            "n": np.array([1, 2], dtype="int64"),
            "x": [0.5, np.nan],
            "when": [pd.Timestamp("2020-01-01"), pd.NaT],
            "list": [["a"], []],
            7: pd.array([True, None], dtype="boolean"),
        }
    )
    first, second = read_rows(frame)
    assert first == {
        "n": 1,
        "x": 0.5,
        "when": pd.Timestamp("2020-01-01"),
        "list": ["a"],
        "7": True,
    }
    assert second == {"n": 2, "list": []}
    assert [type(first[name]) for name in ("n", "x", "7")] == [int, float, bool]


def test_numpy_scalars_in_objects():
    """Scalars of numpy in a column of objects become Python's as well."""
    frame = pd.DataFrame({"n": pd.Series([np.int64(1), np.float32(0.5)], dtype=object)})
    assert [type(row["n"]) for row in rows_of_frame(frame)] == [int, float]


def test_data_frame_with_equal_columns():
    """Two columns of one name would hide one another."""
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(DatasetError, match="have the same name"):
        list(read_rows(frame))


@pytest.mark.slow
def test_hugging_face_objects():
    """A split in memory is read row by row; a dict of splits is refused with a hint."""
    datasets = import_module("datasets")
    split = datasets.Dataset.from_list([{"q": "a", "n": 1}, {"q": "b", "n": 2}])
    assert list(read_rows(split)) == [{"q": "a", "n": 1}, {"q": "b", "n": 2}]
    assert list(read_rows(split.to_iterable_dataset())) == [{"q": "a", "n": 1}, {"q": "b", "n": 2}]
    with pytest.raises(DatasetError, match=r"dataset\['train'\]"):
        list(read_rows(datasets.DatasetDict({"train": split})))


def test_rows_of_every_source_can_be_stored(storage, tmp_path):
    """What a data frame holds becomes an item that reads back as plain JSON."""
    frame = pd.DataFrame({"when": [pd.Timestamp("2020-01-01")], "n": [np.int64(3)]})
    (item,) = from_items(frame, storage=storage).get_items()
    assert item | {"id": ""} == {"id": "", "when": "2020-01-01T00:00:00", "n": 3}
