"""What the packages export: sorted, there, and documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pytest

import opik_eval
import opik_optimizer


def modules_with_exports() -> Iterator[str]:
    """Yield the modules that say what they export."""
    for package in (opik_eval, opik_optimizer):
        names = [
            info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        ]
        for name in (package.__name__, *names):
            if not name.endswith("__main__") and hasattr(importlib.import_module(name), "__all__"):
                yield name


EXPORTING = list(modules_with_exports())
LAZY = [name for name in EXPORTING if hasattr(importlib.import_module(name), "__getattr__")]


@pytest.mark.parametrize("name", EXPORTING)
def test_exports_are_sorted_and_resolve(name: str) -> None:
    """``__all__`` is sorted, names nothing twice and nothing that is not there."""
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(set(module.__all__), key=place)
    missing = [export for export in module.__all__ if not hasattr(module, export)]
    assert not missing


@pytest.mark.parametrize("name", LAZY)
def test_lazy_packages_show_what_they_export(name: str) -> None:
    """``dir`` lists the public names, and no other name is found."""
    package = importlib.import_module(name)
    assert dir(package) == sorted(package.__all__)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        _ = package.nothing


@pytest.mark.parametrize("name", EXPORTING)
def test_exports_are_documented(name: str) -> None:
    """Every exported class, function and public method has a docstring of its own."""
    module = importlib.import_module(name)
    silent = [
        label
        for export in module.__all__
        for label, thing in documentable(export, getattr(module, export))
        if not (inspect.getdoc(thing) or "").strip()
    ]
    assert not silent


def documentable(name: str, thing: object) -> Iterator[tuple[str, object]]:
    """Yield an export and, of a class, its public methods and properties, with their names."""
    if not (inspect.isclass(thing) or inspect.isroutine(thing)):
        return
    if not getattr(thing, "__module__", "").startswith(("opik_eval", "opik_optimizer")):
        return  # an alias of a type of Python's
    yield name, thing
    if inspect.isclass(thing):
        for label, part in vars(thing).items():
            is_member = inspect.isroutine(part) or isinstance(part, property)
            if is_member and not label.startswith("_"):
                yield f"{name}.{label}", getattr(thing, label)


def place(name: str) -> tuple[int, list[str | int]]:
    """Return what ruff sorts exports by: constants, classes, the rest; digits as numbers."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]


def test_package_is_listed_by_dir() -> None:
    """Names that are resolved on first use are listed before it."""
    assert set(opik_eval.__all__) <= set(dir(opik_eval))


def test_unknown_names_are_attribute_errors() -> None:
    """A package without a name says so in the usual way."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = opik_eval.no_such_name  # type: ignore[attr-defined]
