"""Run files: what they may say, and that every mistake is reported with its place."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.cli.run_file import OptionsPart, parse_run, read_run_file
from opik_eval.cli.yaml_lines import Origin, read_yaml
from opik_eval.errors import ConfigError
from opik_eval.evaluation.options import EvaluateOptions

ROOT = Path(__file__).parents[2]
HEAD = "name: n\ndataset: d.jsonl\n"


def error_of(tmp_path: Path, text: str) -> str:
    """Return what is said of a run file."""
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as found:
        read_run_file(path)
    return str(found.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "run.yaml is not a mapping"),
        ("- a\n", "run.yaml is not a mapping"),
        ("name: [1\n", "run.yaml, line 2: not YAML"),
        ("name: a\nname: b\n", "run.yaml, line 2: key 'name' is already on line 1"),
        ("name: n\nday: 2024-13-45\n", "run.yaml: not YAML (month must be"),
        (f"{HEAD}prompt: p\nmetric: [equals]\n", "line 4, metric: unknown key; did you mean 'metr"),
        (f"{HEAD}prompt: p\nzzz: 1\n", "line 4, zzz: unknown key; there are name, dataset"),
        (
            f"{HEAD}prompt: p\noptions:\n  task_thread: 3\n",
            "line 5, options.task_thread: unknown key; did you mean 'task_threads'?",
        ),
        (f"{HEAD}prompt: p\noptions:\n  trial_count: 0\n", "line 5, options.trial_count: Input"),
        (f"{HEAD}prompt: p\noptions:\n  trial_count: '3'\n", "line 5, options.trial_count: Input"),
        (f"{HEAD}prompt: p\nbudget:\n  max_usd: 3\n", "line 5, budget.max_usd: unknown key"),
        (f"{HEAD}prompt: p\nmetrics:\n  - equals\n  - 7\n", "line 6, metrics.1: Input should be"),
        ("dataset: d\nprompt: p\n", "run.yaml, name: missing"),
        ("name: 2024\ndataset: d\nprompt: p\n", "line 1, name: Input should be a valid string"),
        (HEAD, "run.yaml: give either 'prompt' (with 'model') or 'task'"),
        (f"{HEAD}prompt: p\ntask: a:b\n", "run.yaml: give either 'prompt'"),
        (f"{HEAD}task: a:b\nmodel: fake/echo\n", "run.yaml: 'model' belongs to 'prompt'"),
        (f"{HEAD}prompt: p\ntemplate_type: erb\n", "line 4, template_type: Input should be 'must"),
    ],
)
def test_mistakes_are_reported_with_their_place(tmp_path: Path, text: str, expected: str) -> None:
    """A mistake is reported with file, line and key."""
    message = error_of(tmp_path, text)
    assert expected in message
    assert str(tmp_path / "run.yaml") in message


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    """Each mistake has a line of its own."""
    message = error_of(tmp_path, "name: 1\ndatasets: d\nprompt: p\n")
    for expected in ("line 1, name: Input", "line 2, datasets: unknown key", "dataset: missing"):
        assert expected in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and a file that is no text are reported as such."""
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, expected in (
        ("missing.yaml", "No such file"),
        (".", "Is a directory"),
        ("binary.yaml", "decode"),
    ):
        with pytest.raises(ConfigError, match=expected):
            read_run_file(tmp_path / name)


RUN_FILES = [p for p in sorted((ROOT / "configs").glob("*.yaml")) if "optimize" not in p.name]


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda p: p.name)
def test_shipped_run_files_are_valid(path: Path) -> None:
    """Every run file in configs/ can be read, and survives being stored with an experiment."""
    run = read_run_file(path)
    stored = run.model_dump(mode="json", exclude_defaults=True)
    assert parse_run(stored, "stored").model_dump() == run.model_dump()


def test_options_are_those_of_evaluate() -> None:
    """Every option of a run file is one of ``evaluate``."""
    assert set(OptionsPart.model_fields) <= set(get_type_hints(EvaluateOptions, localns=_Names()))


class _Names(dict[str, object]):
    """Stands for names that are imported for type checkers only."""

    def __missing__(self, name: str) -> object:
        if name in dir(__builtins__) or name in ("Sequence", "Mapping", "Callable", "Literal"):
            raise KeyError(name)
        return object


def test_places_without_a_line() -> None:
    """A key that is not in the file has the line of the nearest key above it, if there is one."""
    origin = Origin("run.yaml", {("a",): 3, ("a", "b"): 4})
    assert origin.at("a", "b") == "run.yaml, line 4, a.b"
    assert origin.at("a", "c", 0) == "run.yaml, line 3, a.c.0"
    assert origin.at("z") == "run.yaml, z"
    assert origin.at() == "run.yaml"


@given(
    st.dictionaries(
        st.text(st.characters(codec="ascii", categories=["L"]), min_size=1),
        st.recursive(
            st.integers() | st.text(st.characters(codec="utf-8", categories=["L", "N"])),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=8,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_lines_point_at_their_keys(content: dict[str, object]) -> None:
    """Reading gives the content of the YAML, and the line of a key holds the key."""
    text = yaml.safe_dump(content, allow_unicode=True, sort_keys=False)
    with _file(text) as path:
        found, origin = read_yaml(path)
    assert found == content
    lines = text.splitlines()
    for (key, *rest), line in origin.lines.items():
        if not rest:
            assert lines[line - 1].lstrip("?'\" ").startswith(str(key))


def _file(text: str):
    """Return a temporary file: hypothesis shares fixtures between examples."""
    import contextlib
    import tempfile

    @contextlib.contextmanager
    def opened():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "content.yaml"
            path.write_text(text, encoding="utf-8")
            yield path

    return opened()


def test_anchors_and_merged_keys(tmp_path: Path) -> None:
    """YAML's anchors and merge keys work."""
    (tmp_path / "a.yaml").write_text("base: &b {x: 1}\nmore:\n  <<: *b\n  y: 2\n")
    content, origin = read_yaml(tmp_path / "a.yaml")
    assert content == {"base": {"x": 1}, "more": {"x": 1, "y": 2}}
    assert origin.at("more", "y").endswith("line 4, more.y")


def test_anchor_that_contains_itself(tmp_path: Path) -> None:
    """A value that contains itself is refused like any other that does not fit."""
    message = error_of(tmp_path, f"name: &n [*n]\n{HEAD.partition(chr(10))[2]}prompt: p\n")
    assert "line 1, name: Input should be a valid string" in message


def test_aliases_that_multiply(tmp_path: Path) -> None:
    """Aliases of aliases cost no more than what is written down."""
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 40))
    (tmp_path / "a.yaml").write_text(f"l0: &l0 [x]\n{levels}")
    _, origin = read_yaml(tmp_path / "a.yaml")
    assert origin.at("l39").endswith("line 40, l39")
    assert len(origin.lines) < 1000
