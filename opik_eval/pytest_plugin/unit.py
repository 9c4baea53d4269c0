"""``llm_unit``: a test that is recorded as a unit of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

Test = TypeVar("Test", bound=Callable[..., object])

_MARK = "__opik_eval_unit__"


@dataclass(frozen=True, slots=True)
class Unit:
    """Which arguments of a test say what it is about.

    Attributes:
        arguments: Name of the argument by what it is: ``input``, ``expected_output``, ``metadata``.
    """

    arguments: Mapping[str, str]

    def content(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return what is there, by what it is."""
        return {
            field: values[name]
            for field, name in self.arguments.items()
            if values.get(name) is not None
        }


def llm_unit(
    expected_output_key: str = "expected_output",
    input_key: str = "input",
    metadata_key: str = "metadata",
) -> Callable[[Test], Test]:
    """Record every run of a test as an item of the session's experiment.

    The test itself stays as it is. Its run becomes a trace (with the spans of what it calls), and
    whether it passed becomes the score ``Passed``. Inside, ``opik_context.update_current_trace``
    adds the output, more scores and whatever else is worth keeping. Above a class it marks all
    tests of the class.

    Args:
        expected_output_key: The test's argument (fixture or parameter) with the expected output.
        input_key: The argument with the input.
        metadata_key: The argument with anything else worth remembering.

    Raises:
        TypeError: It is used without parentheses.

    Example:
        >>> import pytest
        >>> @llm_unit(input_key="question", expected_output_key="answer")
        ... @pytest.mark.parametrize(("question", "answer"), [("2 + 2", "4")])
        ... def test_sums(question: str, answer: str) -> None:
        ...     assert str(sum(map(int, question.split("+")))) == answer
    """
    names = {"input": input_key, "expected_output": expected_output_key, "metadata": metadata_key}
    for parameter, name in names.items():
        if not isinstance(name, str):
            raise TypeError(
                f"llm_unit got {name!r} as {parameter}_key; it takes names of arguments: "
                "write @llm_unit() with parentheses"
            )

    def mark(test: Test) -> Test:
        # What pytest sees of a static or class method is the function within.
        setattr(getattr(test, "__func__", test), _MARK, Unit(names))
        return test

    return mark


def unit_of(test: object) -> Unit | None:
    """Return what ``llm_unit`` said of a test function or method; ``None`` = nothing."""
    found = getattr(test, _MARK, None)
    return found if isinstance(found, Unit) else None
