"""The packages hand names on without loading anything."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import opik_eval

LAZY = ["opik_eval", "opik_eval.datasets", "opik_eval.prompts"]
HEAVY = {
    "aiohttp",
    "datasets",
    "jinja2",
    "jsonschema",
    "litellm",
    "numpy",
    "optuna",
    "pandas",
    "pyarrow",
    "pydantic",
    "rich",
    "scipy",
    "sqlite3",
}


def modules_after(code: str) -> set[str]:
    """The modules that are loaded after some code ran in a fresh interpreter."""
    program = f"{code}\nimport json, sys\nsys.stdout.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", LAZY)
def test_importing_loads_nothing_heavy(name):
    """Importing a lazy package loads none of the libraries that some of its names need."""
    assert {module.partition(".")[0] for module in modules_after(f"import {name}")} & HEAVY == set()


def test_importing_the_package_loads_only_itself():
    """``import opik_eval`` loads nothing of ours but what loads the rest later."""
    ours = {name for name in modules_after("import opik_eval") if name.startswith("opik_eval")}
    assert ours == {"opik_eval", "opik_eval.lazy"}


def test_a_resolved_name_is_kept():
    """After first use a name is an ordinary attribute."""
    opik_eval.__dict__.pop("OpikEvalError", None)
    assert opik_eval.OpikEvalError is opik_eval.OpikEvalError
    assert "OpikEvalError" in vars(opik_eval)
    assert opik_eval.__version__.count(".") == 2
