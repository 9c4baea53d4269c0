"""The user's task: what can be called, what it is called, what it returns."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from opik_eval import track
from opik_eval.engine.task import check_task, checked_output, is_async, name_of, output_keys
from opik_eval.errors import TaskError


def plain(item: dict) -> dict:
    return {"output": 1}


async def coroutine(item: dict) -> dict:
    return {"output": 1}


class Callable_:  # noqa: N801 - a callable object
    def __call__(self, item: dict) -> dict:
        return {"output": 1}

    async def later(self, item: dict) -> dict:
        return {"output": 1}


class AsyncCallable:
    async def __call__(self, item: dict) -> dict:
        return {"output": 1}


def two(item: dict, other: int) -> dict:
    return {"output": other}


@pytest.mark.parametrize(
    "task", [plain, coroutine, Callable_(), AsyncCallable(), dict, functools.partial(two, other=1)]
)
def test_anything_that_takes_one_item_is_a_task(task: Callable[..., object]) -> None:
    """Functions, coroutine functions, partials and callable objects are tasks."""
    assert check_task(task) is task


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("text", "a str, which cannot be called"),
        (two, "'two' cannot be called with one item"),
        (lambda: {}, "cannot be called with one item"),
    ],
)
def test_what_cannot_take_one_item_is_refused(task: object, said: str) -> None:
    """The error names what was given and what to write instead."""
    with pytest.raises(TaskError, match=said) as caught:
        check_task(task)
    assert "def task(item)" in str(caught.value)


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (plain, False),
        (coroutine, True),
        (Callable_(), False),
        (Callable_().later, True),
        (AsyncCallable(), True),
        (functools.partial(functools.partial(coroutine)), True),
        (track(coroutine), True),
        (track(plain), False),
    ],
)
def test_coroutine_functions_are_recognised(task: Callable[..., object], expected: bool) -> None:
    """Whatever form it has, a task that gives a coroutine runs on the loop."""
    assert is_async(task) is expected  # type: ignore[arg-type]


def test_names_are_readable() -> None:
    """A task is called by its function's or its class's name."""
    assert name_of(functools.partial(functools.partial(plain))) == "plain"
    assert name_of(Callable_()) == "Callable_"


def test_an_awaitable_that_is_no_coroutine_is_explained_too() -> None:
    """Something to await, without ``close``, is refused like a coroutine."""

    class Later:
        def __await__(self) -> Any:
            yield

    with pytest.raises(TaskError, match="returned a coroutine"):
        checked_output(Later(), plain)


def _both(item: dict) -> dict:
    if item:
        return {"output": 1, "score": 2}
    return {"output": 1}


def _spread(item: dict) -> dict:
    return {"output": 1, **item}


def _computed_key(item: dict) -> dict:
    return {str(item): 1}


def _number_key(item: dict) -> dict:
    return {1: 1}


def _variable(item: dict) -> dict:
    result = {"output": 1}
    return result  # noqa: RET504 - what is tested


def _mixed(item: dict) -> dict:
    if item:
        return {"output": 1}
    return dict(item)


def _nothing(item: dict) -> None:
    return


def _inner(item: dict) -> dict:
    def helper() -> dict:
        return {"inner": 1}

    class Local:
        def method(self) -> dict:
            return {"method": 1}

    chosen = lambda: {"lambda": 1}  # noqa: E731
    return {"output": (helper(), Local(), chosen)}


async def _later(item: dict) -> dict:
    return {"output": 1}


def as_output(function: Callable[[dict], str]) -> Callable[[dict], dict]:
    @functools.wraps(function)
    def inner(item: dict) -> dict:
        return {"output": function(item)}

    return inner


@as_output
def _decorated(item: dict) -> Any:
    return {"text": 1}


@track
@as_output
def _tracked_and_decorated(item: dict) -> Any:
    return {"text": 1}


@track(name="x")
def _tracked(item: dict) -> dict:
    return {"output": 1}


_lambda = lambda item: {"output": 1}  # noqa: E731
_pair = (lambda item: {"a": 1}, lambda item: {"b": 1})
exec("def _made(item): return {'output': 1}")  # a function without source


@pytest.mark.parametrize(
    ("task", "keys"),
    [
        (plain, {"output"}),
        (_both, {"output", "score"}),
        (_inner, {"output"}),
        (_later, {"output"}),
        (_lambda, {"output"}),
        (_tracked, {"output"}),
        (_spread, None),
        (_computed_key, None),
        (_number_key, None),
        (_variable, None),
        (_mixed, None),
        (_nothing, None),
        (_pair[0], None),
        (_decorated, None),
        (_tracked_and_decorated, None),
        (Callable_(), None),
        (globals()["_made"], None),
        (len, None),
    ],
)
def test_output_keys_are_known_only_where_the_source_shows_them(
    task: Callable[..., object], keys: set[str] | None
) -> None:
    """Literal dicts tell the keys; anything that could add or rename keys leaves them unknown."""
    found = output_keys(task)  # type: ignore[arg-type]
    assert found == (None if keys is None else frozenset(keys))


def test_source_that_is_no_statement_leaves_the_keys_unknown() -> None:
    """A lambda in the middle of a call cannot be parsed by itself; that is no error."""
    tasks = [
        lambda item: {
            "output": 1,
        },
        None,
    ]
    assert output_keys(tasks[0]) in (None, frozenset({"output"}))  # type: ignore[arg-type]
