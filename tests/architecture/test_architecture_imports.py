"""Importing costs next to nothing: heavy libraries load on first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "aiohttp",
    "datasets",
    "jinja2",
    "joblib",
    "jsonschema",
    "litellm",
    "numpy",
    "optuna",
    "pandas",
    "pyarrow",
    "rapidfuzz",
    "rich",
    "scipy",
    "yaml",
)


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a statement loads in a fresh interpreter."""
    program = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return set(run.stdout.split())


def test_package_alone_loads_no_dependency() -> None:
    """``import opik_eval`` loads none of its dependencies, not even pydantic."""
    assert not loaded_by("import opik_eval") & {*HEAVY, "asyncio", "orjson", "pydantic"}


@pytest.mark.parametrize(
    "statement",
    [
        "import opik_eval.evaluation",
        "import opik_eval.experiments.comparison",
        "import opik_eval.client",
        "import opik_eval.tracing.decorator, opik_eval.tracing.tracer",
        "import opik_eval.models.client",
        "import opik_eval.judges.g_eval",
        "import opik_eval.storage.opening",
        "import opik_eval.cli",
        "from opik_eval import *",
        "from opik_eval.metrics import *",
    ],
)
def test_modules_load_heavy_libraries_late(statement: str) -> None:
    """No module loads a heavy library when it is imported."""
    assert not loaded_by(statement) & set(HEAVY)


def test_importing_has_no_side_effect() -> None:
    """Importing writes nothing and starts no thread."""
    program = (
        "import os, threading\nbefore = set(os.listdir())\n"
        "from opik_eval import *\nimport opik_eval.cli, opik_eval.models.local\n"
        "print(threading.active_count(), set(os.listdir()) - before)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert run.stdout.split() == ["1", "set()"]
    assert not run.stderr
