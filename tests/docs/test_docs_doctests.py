"""The examples in the docstrings run, in every module of the package."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import opik_eval

ROOT = Path(opik_eval.__file__).parent


def modules() -> list[str]:
    """All modules but the contract batteries, which are tests themselves."""
    found = pkgutil.walk_packages([str(ROOT)], prefix="opik_eval.")
    names = [module.name for module in found]
    return ["opik_eval", *(name for name in names if not is_of_testing(name) and not is_main(name))]


def is_of_testing(name: str) -> bool:
    return name.startswith("opik_eval.testing")


def is_main(name: str) -> bool:
    """A ``__main__`` runs the program when it is imported."""
    return name.endswith(".__main__")


@pytest.mark.parametrize("name", modules())
def test_examples(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example gives what its docstring says, in an empty folder and without network."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS, report=True)
    assert result.failed == 0


def test_no_module_is_left_out() -> None:
    """Every file of the package is among the modules, but for what Alembic loads by its path."""
    files = {
        "opik_eval." + ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in ROOT.rglob("*.py")
        if not {"__pycache__", "versions"} & set(path.parts)
    }
    expected = {name.removesuffix(".__init__") for name in files}
    expected = {name for name in expected if not is_of_testing(name) and not is_main(name)}
    assert expected == set(modules())
