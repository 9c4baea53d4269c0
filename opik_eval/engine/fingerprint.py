"""Fingerprints: short content keys of tasks and metrics, stable from run to run.

A resumed run must recognise work it has done. A task is its source text (its byte code where there
is no source) together with the values it closes over and the arguments it is bound to; a metric is
its class and its configuration.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence

from opik_eval.metrics.base import BaseMetric
from opik_eval.serialization import content_hash

_LENGTH = 16
_PLAIN = (str, int, float, bool, bytes, type(None))


def fingerprint_of_task(task: Callable[..., object]) -> str:
    """Return the fingerprint of a task: 16 hex digits.

    Example:
        >>> fingerprint_of_task(len) == fingerprint_of_task(len)
        True
    """
    return content_hash(_describe(task, set()))[:_LENGTH]


def fingerprint_of_metrics(metrics: Sequence[object]) -> str:
    """Return the fingerprint of a list of metrics and scoring functions, order ignored."""
    return content_hash(sorted(content_hash(_describe(m, set())) for m in metrics))[:_LENGTH]


def unit_key(content: str, task: str, trial: int) -> str:
    """Return the key of one unit of work.

    Args:
        content: Content hash of the item.
        task: Fingerprint of the task.
        trial: Index of the trial.
    """
    return content_hash([content, task, trial])[: 2 * _LENGTH]


def _describe(value: object, seen: set[int]) -> object:
    if isinstance(value, _PLAIN) or id(value) in seen:
        return repr(value) if isinstance(value, _PLAIN) else "..."
    seen = seen | {id(value)}
    if isinstance(value, functools.partial):
        parts = [value.func, list(value.args), dict(value.keywords)]
        return ["partial", *(_describe(part, seen) for part in parts)]
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, types.MethodType):
        return ["method", _describe(value.__func__, seen), _describe(value.__self__, seen)]
    if isinstance(value, types.FunctionType):
        return _describe_function(value, seen)
    return _describe_object(value, seen)


def _describe_object(value: object, seen: set[int]) -> object:
    if isinstance(value, Mapping):
        return {str(key): _describe(item, seen) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_describe(item, seen) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(content_hash(_describe(item, seen)) for item in value)
    kind = value if isinstance(value, type) else type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, type):
        return ["class", name]
    return ["object", name, _source(kind), _describe_state(value, seen)]


def _describe_state(value: object, seen: set[int]) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        state = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    else:
        state = dict(getattr(value, "__dict__", {}))
    public = {k: v for k, v in state.items() if not k.startswith("_") and not _is_ambient(v)}
    if isinstance(value, BaseMetric):
        public.pop("track", None)
        public.pop("project_name", None)
    return {name: _describe(part, seen) for name, part in public.items()}


def _is_ambient(value: object) -> bool:
    """Tell whether a value is a resource (client, lock, module) rather than configuration."""
    return isinstance(value, types.ModuleType) or not (
        isinstance(value, (*_PLAIN, Mapping, list, tuple, set, frozenset, BaseMetric))
        or callable(value)
        or dataclasses.is_dataclass(value)
    )


def _describe_function(function: types.FunctionType, seen: set[int]) -> object:
    closure = [_cell(cell) for cell in function.__closure__ or ()]
    return [
        "function",
        function.__qualname__,
        _source(function) or _describe_code(function.__code__),
        [_describe(value, seen) for value in closure if not _is_ambient(value)],
        _describe(function.__defaults__ or (), seen),
        _describe(function.__kwdefaults__ or {}, seen),
    ]


def _cell(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _describe_code(code: types.CodeType) -> object:
    constants = [
        _describe_code(part) if isinstance(part, types.CodeType) else repr(part)
        for part in code.co_consts
    ]
    return [code.co_code.hex(), list(code.co_names), constants]


def _source(thing: Callable[..., object]) -> str | None:
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):  # typed at a prompt, built in, or generated
        return None
