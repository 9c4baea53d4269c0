"""Scripts written for Opik run after their import lines say opik_eval."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest

PROPOSALS = {
    "prompts": [
        {"prompt": "Answer the question in one word.", "idea": "be brief"},
        {"prompt": "Answer the question, and say how you know.", "idea": "be thorough"},
    ]
}
"""What the model says that writes prompts in scripts that name none."""

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
_IMPORT = re.compile(r"^(\s*)(from|import) opik(?=[. \n])(.*)$", re.MULTILINE)


def ported(source: str) -> str:
    """Replace ``opik`` by ``opik_eval`` in the import lines, as a user would."""

    def line(match: re.Match[str]) -> str:
        indent, verb, rest = match.groups()
        alias = " as opik" if verb == "import" and not rest.strip() else ""
        return f"{indent}{verb} opik_eval{rest}{alias}"

    return _IMPORT.sub(line, source)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_runs_after_changing_its_imports(script: Path, tmp_path: Path) -> None:
    """The script ends without error, with nothing but its imports changed."""
    target = tmp_path / script.name
    target.write_text(ported(script.read_text()))
    environment = {
        **os.environ,
        "OPIK_EVAL_STORAGE": f"file:{tmp_path / 'ported.db'}",
        "OPIK_DEFAULT_LLM": f"fake/fixed?{urlencode({'text': json.dumps(PROPOSALS)})}",
    }
    run = subprocess.run(
        [sys.executable, "-W", "error", str(target)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr


def test_only_import_lines_change() -> None:
    """The change touches import lines and nothing else."""
    source = "import opik\nfrom opik.evaluation import evaluate\nopik.track\n"
    assert ported(source) == (
        "import opik_eval as opik\nfrom opik_eval.evaluation import evaluate\nopik.track\n"
    )
