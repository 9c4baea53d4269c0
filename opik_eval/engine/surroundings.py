"""What a task reads from its module: watched, so that a resumed run can say what changed.

The text of a prompt or the name of a model often stands in a module-level constant, but so do
paths, counters and switches. A change of one of them does not make the task another one (a resumed
run would pay again for what is done); it is reported instead.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Callable, Iterator, Mapping

from opik_eval.engine.fingerprint import fingerprint, is_library

_CONFIGURATION = (str, int, float, bool, bytes, tuple, list, dict, set, frozenset)


def surroundings_of(task: Callable[..., object]) -> dict[str, str]:
    """Return fingerprints of the module-level names that a task reads, by name.

    Constants, containers, and the user's own functions (whose names are followed), classes and
    objects; not what comes from libraries, and not what the task assigns itself.

    Example:
        >>> LIMIT = 3
        >>> list(surroundings_of(lambda item: {"output": item["text"][:LIMIT]}))
        ['LIMIT']
    """
    found: dict[str, str] = {}
    _collect(_function_of(task), found)
    return dict(sorted(found.items()))


def changed(before: Mapping[str, object], now: Mapping[str, str]) -> list[str]:
    """Return the names that both know and whose values differ."""
    return [name for name, value in now.items() if before.get(name, value) != value]


def _collect(function: types.FunctionType | None, found: dict[str, str]) -> None:
    if function is None or is_library(function):
        return
    for name in _names(function.__code__):
        value = function.__globals__.get(name)
        if value is not None and name not in found and _is_watched(value):
            found[name] = fingerprint(value)
            _collect(_function_of(value), found)


def _is_watched(value: object) -> bool:
    if isinstance(value, _CONFIGURATION):
        return True
    place = value if isinstance(value, type) else _function_of(value) or type(value)
    return not is_library(place)


def _names(code: types.CodeType) -> Iterator[str]:
    used = [(step.opname, str(step.argval)) for part in _codes(code) for step in _steps(part)]
    assigned = {name for operation, name in used if operation == "STORE_GLOBAL"}
    read = (name for operation, name in used if operation == "LOAD_GLOBAL")
    return (name for name in dict.fromkeys(read) if name not in assigned)


def _steps(code: types.CodeType) -> Iterator[dis.Instruction]:
    return dis.get_instructions(code)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _function_of(task: object) -> types.FunctionType | None:
    """Return the function that is behind a callable; of an object its ``__call__``."""
    for name in ("func", "__func__", "__wrapped__"):  # partial, method, decorated
        inner = getattr(task, name, None)
        if callable(inner):
            return _function_of(inner)
    if isinstance(task, types.FunctionType):
        return task
    call = vars(type(task)).get("__call__")
    return call if isinstance(call, types.FunctionType) else None
