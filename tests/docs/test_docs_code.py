"""The Python in README and docs runs, and prints what they say it prints."""

from __future__ import annotations

import doctest
import sys
import types
from collections.abc import Sequence
from pathlib import Path

import pytest

from opik_eval.models.local import unavailable_reason
from opik_eval.tracing import tracer

sys.path.insert(0, str(Path(__file__).parent))

from markdown import ROOT, Block, blocks, documents

REASON = unavailable_reason()
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def python_of(path: Path) -> list[Block]:
    """Return the Python blocks of a file that are run."""
    return [block for block in blocks(path) if block.language == "python" and block.is_run]


WITH_PYTHON = [path for path in documents() if python_of(path)]


def run(
    code: Sequence[Block],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run blocks one after the other in one namespace, in a folder of their own."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(tracer._process, "tracer", None)  # the next one takes this test's store
    module = types.ModuleType("documented")
    monkeypatch.setitem(sys.modules, "documented", module)
    for block in code:
        place = f"{block.path.relative_to(ROOT)}, line {block.line}"
        padded = "\n" * (block.line - 1) + block.code  # tracebacks name the line of the file
        capsys.readouterr()
        exec(compile(padded, str(block.path), "exec", dont_inherit=True), module.__dict__)
        printed = capsys.readouterr().out
        if block.output is not None:
            same = doctest.OutputChecker().check_output(block.output, printed, _FLAGS)
            assert same, f"{place} prints\n{printed}\nbut the document says\n{block.output}"


@pytest.mark.parametrize("path", WITH_PYTHON, ids=lambda path: path.stem)
def test_code_runs(
    path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every block that needs no model runs, after those above it."""
    run([b for b in python_of(path) if not b.needs_model], tmp_path, capsys, monkeypatch)


@pytest.mark.local_model
@pytest.mark.skipif(REASON is not None, reason=str(REASON))
@pytest.mark.parametrize(
    "path",
    [path for path in WITH_PYTHON if any(block.needs_model for block in python_of(path))],
    ids=lambda path: path.stem,
)
def test_code_with_the_embedded_model_runs(
    path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Blocks that need the embedded model run too, where it is installed."""
    run(python_of(path), tmp_path, capsys, monkeypatch)


def test_main_documents_have_code() -> None:
    """The documents that teach by code have some that runs."""
    names = {path.relative_to(ROOT).as_posix() for path in WITH_PYTHON}
    assert {"README.md", "docs/quickstart.md", "docs/concepts.md", "docs/models.md"} <= names


def test_blocks_are_found(tmp_path: Path) -> None:
    """Language, line, output, model and reason of a block are read as they are written."""
    path = tmp_path / "page.md"
    path.write_text(
        "# T\n\n```python\nprint(1)\n```\n\n```text\n1\n```\nwords\n```python\n"
        "# not run: needs a key of a provider\nx\n```\n\n```python\n"
        "# needs the embedded model\nx\n```\nwords\n```text\nno output\n```\n"
        "```python\n# not run:\n```\n"
    )
    first, text, second, third, _, last = blocks(path)
    assert (first.line, first.output, first.is_run) == (4, "1\n", True)
    assert text.language == "text"
    assert not second.is_run
    assert (third.needs_model, third.output) == (True, None)
    assert last.is_run, "a block without a reason is run"
