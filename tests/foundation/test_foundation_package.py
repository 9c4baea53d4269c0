"""The packages hand names on: sorted, complete, and without loading anything."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import opik_eval

LAZY = ["opik_eval", "opik_eval.datasets", "opik_eval.prompts"]
PACKAGES = [*LAZY, "opik_eval.client", "opik_eval.records"]
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


@pytest.mark.parametrize("name", PACKAGES)
def test_names_resolve_and_are_sorted(name):
    """Every public name is there, named once, and in the order of ``sorted``."""
    package = importlib.import_module(name)
    assert list(package.__all__) == sorted(set(package.__all__))
    for public in package.__all__:
        assert getattr(package, public) is not None
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("name", LAZY)
def test_homes_are_those_of_public_names(name):
    """The table from which names are resolved has public names only, in order."""
    package = importlib.import_module(name)
    homes = getattr(package, "_HOMES", None) or package._HOME
    assert set(homes) <= set(package.__all__)
    assert list(homes) == sorted(homes)


@pytest.mark.parametrize("name", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(name):
    """A typo is reported as Python does it."""
    package = importlib.import_module(name)
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'"):
        _ = package.nonsense


@pytest.mark.parametrize("name", LAZY)
def test_importing_loads_nothing_heavy(name):
    """Importing a lazy package loads none of the libraries that some of its names need."""
    assert {module.partition(".")[0] for module in modules_after(f"import {name}")} & HEAVY == set()


def test_importing_the_package_loads_only_itself():
    """``import opik_eval`` loads one module of ours."""
    ours = {name for name in modules_after("import opik_eval") if name.startswith("opik_eval")}
    assert ours == {"opik_eval"}


def test_a_resolved_name_is_kept():
    """After first use a name is an ordinary attribute."""
    opik_eval.__dict__.pop("OpikEvalError", None)
    assert opik_eval.OpikEvalError is opik_eval.OpikEvalError
    assert "OpikEvalError" in vars(opik_eval)
    assert opik_eval.__version__.count(".") == 2
