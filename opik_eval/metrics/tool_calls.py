"""Calls of tools: reading them from what tasks return and record, and comparing two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_choice, require_value
from opik_eval.metrics.comparators import Comparator, check_comparator, compare
from opik_eval.metrics.json_values import MISSING, json_value, shown
from opik_eval.metrics.spans import TaskSpan, walk

ArgumentMatch = Literal["exact", "subset", "superset", "ignore"]
ARGUMENT_MATCHES: tuple[ArgumentMatch, ...] = ("exact", "subset", "superset", "ignore")


@dataclass(frozen=True)
class Call:
    """One call of a tool.

    Attributes:
        name: The tool.
        arguments: By name; ``None`` = not said.
    """

    name: str
    arguments: Mapping[str, object] | None = None

    def __str__(self) -> str:
        given = self.arguments or {}
        return f"{self.name}({', '.join(f'{name}={shown(given[name])}' for name in given)})"


def read_calls(value: object, argument: str, *, metric: str) -> list[Call]:
    """Return the calls that a list describes.

    Understood, alone or mixed: names of tools; ``{"name": ..., "arguments": {...}}`` (also
    ``args``, ``input`` or ``parameters``, also as JSON text); OpenAI's ``{"function": {...}}``;
    messages with ``tool_calls`` (OpenAI) or with ``tool_use`` blocks as content (Anthropic). Other
    messages and blocks hold no calls.

    Args:
        value: A list, possibly empty.
        argument: Name of the metric's argument, for errors.
        metric: Name of the metric, for errors.

    Raises:
        MetricError: It is no list, or holds something else.

    Example:
        >>> call = {"function": {"name": "search", "arguments": '{"query": "cats"}'}}
        >>> print(*read_calls([call, "stop"], "tool_calls", metric="m"))
        search(query="cats") stop()
    """
    require_value(value, argument, metric=metric)
    try:
        if isinstance(value, Sequence) and not isinstance(value, str | bytes):
            return [call for entry in value for call in _read(entry)]
        raise ValueError(f"{value!r:.60}")
    except ValueError as error:
        raise MetricError(
            f"metric {metric!r} takes a list of tool calls as {argument!r}, got {error}",
            remedy='write a call as {"name": "search", "arguments": {"query": "cats"}}',
        ) from error


def calls_in(span: TaskSpan) -> list[Call]:
    """Return the calls that a task's spans of type ``tool`` recorded, in order of start.

    The input of such a span is the call's arguments, defaults of the function included.
    """
    return [
        Call(each.name or "", cast("Mapping[str, object] | None", json_value(each.input) or {}))
        for each in walk(span)
        if each.type == "tool"
    ]


@dataclass(frozen=True, kw_only=True)
class CallComparison:
    """How two calls are compared.

    Attributes:
        arguments: ``exact``: the same arguments; ``subset``: some of the expected ones and no
            others; ``superset``: all expected ones and maybe others; ``ignore``: names of tools
            alone.
        comparators: By argument (``query``) or by tool and argument (``search.query``), which goes
            first; arguments without one must be the same JSON value.
    """

    arguments: ArgumentMatch = "exact"
    comparators: Mapping[str, Comparator] = field(default_factory=dict)

    def check(self, *, metric: str) -> None:
        """Check the options.

        Raises:
            MetricError: One of them is wrong.
        """
        require_choice(self.arguments, "arguments", ARGUMENT_MATCHES, metric=metric)
        for name, comparator in self.comparators.items():
            check_comparator(comparator, name, metric=metric)

    def worth(self, call: Call, expected: Call) -> float:
        """Return how well a call fits an expected one, 0 to 1: as well as its worst argument."""
        if call.name != expected.name:
            return 0.0
        if self.arguments == "ignore" or expected.arguments is None:
            return 1.0
        given, wanted = call.arguments or {}, expected.arguments
        names = {
            "exact": given.keys() | wanted.keys(),
            "subset": given.keys(),
            "superset": wanted.keys(),
        }[self.arguments]
        return min((self._compared(call.name, name, given, wanted) for name in names), default=1.0)

    def _compared(
        self, tool: str, name: str, given: Mapping[str, object], wanted: Mapping[str, object]
    ) -> float:
        part = f"{tool}.{name}"
        comparator = self.comparators.get(part) or self.comparators.get(name)
        return compare(comparator, given.get(name, MISSING), wanted.get(name, MISSING), part)


def _read(entry: object) -> list[Call]:
    if isinstance(entry, str):
        return [Call(entry)]
    plain = json_value(entry)
    if not isinstance(plain, dict):
        raise ValueError(f"{entry!r:.60}")
    if "role" in plain:
        content = plain.get("content")
        blocks = content if isinstance(content, list) else []
        parts = [*(plain.get("tool_calls") or []), *filter(_is_tool_use, blocks)]
        return [_call(part) for part in parts]
    return [_call(plain)]


def _is_tool_use(block: object) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_use"


def _call(plain: object) -> Call:
    described = plain.get("function", plain) if isinstance(plain, dict) else plain
    if not isinstance(described, dict) or not isinstance(described.get("name"), str):
        raise ValueError(shown(plain))
    keys = ("arguments", "args", "input", "parameters")
    raw = next((described[key] for key in keys if key in described), None)
    arguments = json_value(raw)
    if arguments is not None and not isinstance(arguments, dict):
        raise ValueError(f"arguments that are no object: {shown(plain)}")
    return Call(described["name"], arguments)


__all__ = ["ArgumentMatch", "Call", "CallComparison", "calls_in", "read_calls"]
