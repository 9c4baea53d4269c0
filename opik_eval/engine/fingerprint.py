"""Fingerprints: short content keys of tasks and metrics, stable from process to process.

A resumed run must recognise work that it has done, and must not take over what other code did. A
task is its compiled code together with the values it closes over, its defaults and the arguments it
is bound to; an object is its class and its state; a metric is its class and its configuration.
Comments, formatting and names do not count. What a function reads from its module does not count
either, since paths and counters live there too; ``surroundings.py`` watches it.

**State** is what the class itself says it is: for dataclasses the fields that are compared, for
other classes what ``__getstate__`` gives, which is all attributes unless the class leaves some out
(a cache, a counter). Locks, clients and other objects of libraries count by their type alone.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import os
import re
import sys
import types
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from opik_eval.metrics.base import BaseMetric
from opik_eval.models.client import ChatModel
from opik_eval.serialization import content_hash

_LENGTH = 16
_PLAIN = (str, int, float, complex, bool, bytes, type(None), enum.Enum)
_VALUES = (
    *(dt.date, dt.time, dt.timedelta, decimal.Decimal, fractions.Fraction, uuid.UUID),
    *(os.PathLike, range, slice, bytearray),
)
_LIBRARIES = (f"{Path(os.__file__).parent}{os.sep}", f"{Path(__file__).parents[1]}{os.sep}")
_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/]")


def fingerprint_of_task(task: Callable[..., object]) -> str:
    """Return the fingerprint of a task: 16 hex digits.

    Example:
        >>> fingerprint_of_task(lambda item: item) == fingerprint_of_task(lambda item: item)
        True
        >>> fingerprint_of_task(lambda item: item) == fingerprint_of_task(lambda item: {})
        False
    """
    return fingerprint(task)


def fingerprint_of_metrics(metrics: Sequence[object]) -> str:
    """Return the fingerprint of a list of metrics and scoring functions, order ignored."""
    return content_hash(sorted(fingerprint(metric) for metric in metrics))[:_LENGTH]


def fingerprint(value: object) -> str:
    """Return the fingerprint of any value."""
    return content_hash(_Description({}).of(value))[:_LENGTH]


def unit_key(content: str, task: str, trial: int) -> str:
    """Return the key of one unit of work.

    Args:
        content: Content hash of the item.
        task: Fingerprint of the task.
        trial: Index of the trial.
    """
    return content_hash([content, task, trial])[: 2 * _LENGTH]


def is_library(place: object) -> bool:
    """Tell whether a function or class comes from a library rather than from the user's code."""
    if isinstance(place, types.FunctionType):
        file = place.__code__.co_filename
    else:
        module = sys.modules.get(getattr(place, "__module__", None) or "builtins")
        if module is None or module.__name__ == "__main__":
            return False
        file = getattr(module, "__file__", None) or _LIBRARIES[0]  # built in
    return file.startswith(_LIBRARIES) or _INSTALLED.search(file) is not None


class _Description:
    """Describes values as JSON types. What is met again, cycles included, is named by its number.

    Args:
        numbers: Numbers of what has been met, by identity.
    """

    def __init__(self, numbers: dict[int, int]) -> None:
        self._numbers = numbers
        self._kept: list[object] = []  # identities are unique only among the living

    def of(self, value: object) -> object:
        """Return the description of a value."""
        if isinstance(value, _PLAIN):
            return repr(value)
        if id(value) in self._numbers:
            return ["again", self._numbers[id(value)]]
        self._numbers[id(value)] = len(self._numbers)
        self._kept.append(value)
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._container(value)
        if isinstance(value, type):
            return ["class", *self._classes(value)]
        return self._callable(value) if callable(value) else self._object(value)

    def _container(self, value: object) -> object:
        if isinstance(value, Mapping):
            items = {k if isinstance(k, str) else self._alone(k): v for k, v in value.items()}
            return {key: self.of(items[key]) for key in sorted(items)}
        if isinstance(value, set | frozenset):
            return ["set", *sorted(map(self._alone, value))]
        return [self.of(item) for item in cast("Sequence[object]", value)]

    def _alone(self, value: object) -> str:
        """Return the hash of a value whose place among others means nothing."""
        if isinstance(value, _PLAIN):
            return repr(value)
        return content_hash(_Description(dict(self._numbers)).of(value))

    def _callable(self, value: Callable[..., object]) -> object:
        if isinstance(value, functools.partial):
            return ["partial", *map(self.of, (value.func, value.args, value.keywords))]
        if isinstance(value, types.MethodType):
            return ["method", self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, types.BuiltinFunctionType):
            owner = value.__self__
            bound = None if isinstance(owner, types.ModuleType) else self.of(owner)
            return ["builtin", value.__module__, value.__qualname__, bound]
        if isinstance(value, types.FunctionType):
            return self._function(value, by_name=is_library(value))
        wrapped = vars(type(value)).get("__wrapped__") or getattr(value, "__wrapped__", None)
        if isinstance(wrapped, types.FunctionType):  # such as what lru_cache makes
            return ["wrapped", type(value).__qualname__, self.of(wrapped)]
        return self._object(value)

    def _function(self, function: types.FunctionType, *, by_name: bool = False) -> object:
        inner = getattr(function, "__wrapped__", None)
        if callable(inner) and str(function.__globals__.get("__name__")).startswith("opik_eval."):
            return self.of(inner)  # @track changes nothing of what a function does
        code = function.__code__
        return [
            "function",
            [function.__module__, code.co_qualname] if by_name else _code(code),
            [self.of(_content(cell)) for cell in function.__closure__ or ()],
            self.of(function.__defaults__),
            self.of(function.__kwdefaults__),
        ]

    def _object(self, value: object) -> object:
        kind = type(value)
        if isinstance(value, _VALUES):
            return repr(value)
        if isinstance(value, re.Pattern):  # its repr is cut short
            return ["pattern", value.pattern, value.flags]
        if isinstance(value, ChatModel):  # not its key, its budget, its patience
            return ["model", *map(self.of, (value.name, value.api_base, value.params))]
        is_configuration = callable(value) or dataclasses.is_dataclass(value)
        if is_library(kind) and not is_configuration and not isinstance(value, BaseMetric):
            return ["resource", f"{kind.__module__}.{kind.__qualname__}"]
        return ["object", *self._classes(kind), self.of(_state(value))]

    def _classes(self, kind: type) -> list[object]:
        """Describe a class and its bases: the user's by their code, a library's by name.

        Metrics are always described by their code, so that a corrected one scores again.
        """
        bases = [
            base
            for base in kind.__mro__
            if not is_library(base) or (issubclass(base, BaseMetric) and base is not BaseMetric)
        ]
        return [f"{kind.__module__}.{kind.__qualname__}", *map(self._members, bases)]

    def _members(self, kind: type) -> object:
        return {
            name: self._member(member)
            for name, member in sorted(vars(kind).items())
            if isinstance(member, types.FunctionType) or not name.startswith("__")
        }

    def _member(self, member: object) -> object:
        if isinstance(member, staticmethod | classmethod):
            member = member.__func__
        elif isinstance(member, property):
            member = member.fget
        elif isinstance(member, functools.cached_property):
            member = member.func
        return self._function(member) if isinstance(member, types.FunctionType) else self.of(member)


def _state(value: object) -> object:
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value) if field.compare]
        state: object = {name: getattr(value, name, None) for name in fields}
    else:
        try:
            state = value.__getstate__()
        except Exception:  # noqa: BLE001 - code of the user's class, or one that refuses pickling
            state = dict(getattr(value, "__dict__", {}))
    if isinstance(value, BaseMetric) and isinstance(state, dict):
        return {k: v for k, v in state.items() if k not in ("track", "project_name")}
    return state


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _code(code: types.CodeType) -> object:
    return [code.co_code.hex(), list(code.co_names), [_constant(c) for c in code.co_consts]]


def _constant(constant: object) -> object:
    if isinstance(constant, types.CodeType):
        return _code(constant)
    if isinstance(constant, frozenset):  # its order changes from process to process
        return sorted(map(repr, constant))
    return repr(constant)
