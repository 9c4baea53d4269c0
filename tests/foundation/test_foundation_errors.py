"""The tree of errors: as drawn, and whole after crossing a process border."""

from __future__ import annotations

import copy
import pickle
import re

import pytest

from opik_eval import errors
from opik_eval.errors import (
    BudgetExceededError,
    MissingArgumentError,
    ModelError,
    OpikEvalError,
    ParseError,
    PayloadError,
    RateLimitedError,
)

ARGUMENTS = {
    MissingArgumentError: lambda kind: kind("equals", ["reference"], {"output", "input"}),
    ParseError: lambda kind: kind("no JSON", reply="Sure!", remedy="ask again"),
    PayloadError: lambda kind: kind("trace", [("id", "is missing")]),
    BudgetExceededError: lambda kind: kind("cost_usd", allowed=1.0, used=0.99),
}


def tree(kind: type[OpikEvalError]) -> dict[str, dict]:
    return {child.__name__: tree(child) for child in kind.__subclasses__() if is_ours(child)}


def is_ours(kind: type) -> bool:
    return kind.__module__ == errors.__name__


def drawn() -> dict[str, dict]:
    """The tree in the module's docstring."""
    stack: list[tuple[int, dict]] = [(-1, {})]
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^([│├└─ ]*)([A-Z]\w+Error)\b", line)
        if match:
            depth = len(match[1])
            while stack[-1][0] >= depth:
                stack.pop()
            children: dict = {}
            stack[-1][1][match[2]] = children
            stack.append((depth, children))
    return stack[0][1]


def every_class(kind: type[OpikEvalError] = OpikEvalError) -> list[type[OpikEvalError]]:
    return [
        kind,
        *(c for child in kind.__subclasses__() if is_ours(child) for c in every_class(child)),
    ]


def make(kind: type[OpikEvalError]) -> OpikEvalError:
    if kind in ARGUMENTS:
        return ARGUMENTS[kind](kind)
    if issubclass(kind, ModelError):
        return kind("it failed", remedy="wait", retry_after_seconds=2.5, status=429)
    return kind("it failed", remedy="do better")


def test_the_tree_is_as_drawn():
    """The drawing at the top of the module is the real tree, in the order of definition."""
    assert drawn() == {"OpikEvalError": tree(OpikEvalError)}
    assert list(drawn()["OpikEvalError"]) == [
        k.__name__ for k in OpikEvalError.__subclasses__() if is_ours(k)
    ]


@pytest.mark.parametrize("kind", every_class(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "clone", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy]
)
def test_errors_cross_borders_whole(kind, clone):
    """A pickled or copied error is of the same class and carries all that the original does."""
    error = make(kind)
    error.add_note("item 3")
    twin = clone(error)
    assert type(twin) is kind
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)
    assert twin.args == error.args
    assert twin.__notes__ == ["item 3"]


def test_an_error_of_the_user_crosses_too():
    """A subclass with a signature of its own is restored without calling it."""
    error = CustomError(3)
    assert pickle.loads(pickle.dumps(error)).number == 3


class CustomError(OpikEvalError):
    def __init__(self, number: int) -> None:
        super().__init__(f"number {number}")
        self.number = number


def test_the_remedy_stands_on_a_line_of_its_own():
    """What to do follows what is wrong; without a remedy there is only the message."""
    assert str(OpikEvalError("broken", remedy="mend it")) == "broken\n  → mend it"
    assert str(OpikEvalError("broken")) == "broken"


def test_only_passing_failures_are_retryable():
    """The classes that say (retryable) in the drawing are, the others are not."""
    marked = set(re.findall(r"(\w+Error)\b[^\n]*\(retryable\)", errors.__doc__ or ""))
    retryable = {kind.__name__ for kind in every_class(ModelError) if kind.retryable}
    assert retryable == marked
    assert RateLimitedError("slow down").retryable


def test_texts_of_the_errors_that_write_their_own():
    """They name what is missing or spent, and what to do about it."""
    missing = str(make(MissingArgumentError))
    assert "metric 'equals' needs 'reference'" in missing
    assert "['input', 'output']" in missing
    assert "scoring_key_mapping={'reference': 'expected_output'}" in missing
    budget = str(make(BudgetExceededError))
    assert "cost_usd is limited to 1 and 0.99 is spent" in budget
    assert "'reference'" in str(MissingArgumentError("m", [], []))
