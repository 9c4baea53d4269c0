"""Packages whose names are loaded when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def lazily(
    package: str, homes: Mapping[str, str | tuple[str, str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the ``__getattr__`` and ``__dir__`` of a package, so that importing it loads nothing.

    Args:
        package: Its name.
        homes: Each public name with the module below the package that has it, and the name that it
            has there, if that is another. What is called like its module is the module.

    Example:
        >>> get, names = lazily("opik_eval", {"new_id": "ids", "Utc": ("records", "UtcDatetime")})
        >>> names(), len(get("new_id")())
        (['Utc', 'new_id'], 36)
    """

    def get(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        path, original = (home, name) if isinstance(home, str) else home
        module = import_module(f"{package}.{path}")
        value: object = module if name == path else getattr(module, original)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(homes)
