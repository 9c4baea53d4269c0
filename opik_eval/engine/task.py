"""Calling the user's task, whatever it is, and checking what comes back."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from opik_eval.errors import TaskError

Task = Callable[[dict[str, object]], object]
"""A function, a coroutine function or an object with ``__call__``: item in, mapping out."""


def check_task(task: object) -> Task:
    """Return ``task`` if it can be called with one item.

    Raises:
        TaskError: It cannot; the text says what to write instead.
    """
    if not callable(task):
        raise TaskError(
            f"the task is a {type(task).__name__}, which cannot be called",
            remedy="pass a function: def task(item): return {'output': ...}",
        )
    try:
        inspect.signature(task).bind({})
    except TypeError as error:
        raise TaskError(
            f"the task {name_of(task)!r} cannot be called with one item: {error}",
            remedy="give it exactly one required argument: def task(item): ...",
        ) from error
    except ValueError:  # built-ins without a signature
        pass
    return task


def is_async(task: Task) -> bool:
    """Tell whether calling the task gives a coroutine."""
    while isinstance(task, functools.partial):
        task = task.func
    return inspect.iscoroutinefunction(task) or inspect.iscoroutinefunction(
        getattr(task, "__call__", None)  # noqa: B004 - the bound method is wanted, not a test
    )


def name_of(task: object) -> str:
    """Return a readable name of a task."""
    while isinstance(task, functools.partial):
        task = task.func
    return str(getattr(task, "__name__", None) or type(task).__name__)


def checked_output(returned: object, task: Task) -> Mapping[str, object]:
    """Return what a task returned, if it is a mapping.

    Raises:
        TaskError: It is something else; the text names the type and shows the right form.
    """
    if isinstance(returned, Mapping):
        return cast("Mapping[str, object]", returned)
    if inspect.isawaitable(returned):
        _close(returned)
        raise TaskError(
            f"the task {name_of(task)!r} returned a coroutine",
            remedy="define it with 'async def', or await the coroutine inside the task",
        )
    shown = "None" if returned is None else f"a {type(returned).__name__}"
    raise TaskError(
        f"the task {name_of(task)!r} returned {shown}; metrics need a mapping",
        remedy="return a dict, for example {'output': answer}",
    )


def output_keys(task: Task) -> frozenset[str] | None:
    """Return the keys of a task's output if its source shows them, else ``None``.

    Known when every ``return`` of the task gives a dict display with literal keys. It lets a
    missing metric argument be found before the first task runs. Decorators other than ``@track``
    may change what the function returns, so nothing is known of what they decorate.
    """
    function: object = task
    while str(getattr(function, "__globals__", {}).get("__name__")).startswith("opik_eval."):
        function = getattr(function, "__wrapped__", None)
    if not inspect.isfunction(function) or hasattr(function, "__wrapped__"):
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    return _keys_in(tree, function.__name__)


def _keys_in(tree: ast.Module, name: str) -> frozenset[str] | None:
    nodes = [node for node in ast.walk(tree) if _defines(node, name)]
    if len(nodes) != 1:
        return None
    node = nodes[0]
    if isinstance(node, ast.Lambda):
        return _literal_keys(node.body)
    found = [_literal_keys(part.value) for part in _returns(node) if part.value is not None]
    if not found or any(keys is None for keys in found):
        return None
    return frozenset().union(*(keys for keys in found if keys is not None))


def _defines(node: ast.AST, name: str) -> bool:
    if name == "<lambda>":
        return isinstance(node, ast.Lambda)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name


def _returns(node: ast.AST) -> list[ast.Return]:
    found: list[ast.Return] = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Return):
            found.append(child)
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found.extend(_returns(child))
    return found


def _literal_keys(value: ast.expr) -> frozenset[str] | None:
    if not isinstance(value, ast.Dict):
        return None
    keys = [key.value for key in value.keys if isinstance(key, ast.Constant)]
    if len(keys) != len(value.keys) or not all(isinstance(key, str) for key in keys):
        return None
    return frozenset(cast("list[str]", keys))


def _close(awaitable: Awaitable[object]) -> None:
    close = getattr(awaitable, "close", None)
    if callable(close):
        close()  # a coroutine nobody awaits would warn when it is collected
