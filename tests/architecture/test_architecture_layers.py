"""The contracts between modules hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = "import importlinter.cli as c; c.lint_imports_command(['--no-cache'])"


def test_import_contracts() -> None:
    """Layers, boundaries of libraries and freedom from cycles, as pyproject.toml states them."""
    run = subprocess.run(
        [sys.executable, "-c", LINT_IMPORTS], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Contracts: " in run.stdout
    assert " 0 broken" in run.stdout
