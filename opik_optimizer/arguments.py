"""Which arguments a metric or agent of the user's is called with: by name, or by position."""

from __future__ import annotations

from collections.abc import Mapping

from opik_eval.metrics.base import Arguments
from opik_optimizer.columns import columns_of, expected_of, inputs_of

_TELLING = frozenset(
    {"dataset_item", "llm_output", "task_outputs", "output", "reference", "expected_output"}
)


def arguments_for(
    item: Mapping[str, object], output: object, mapping: Mapping[str, str]
) -> dict[str, object]:
    """Return what a metric may take by name.

    Fields of the item; over them ``output`` (``llm_output``), or all fields of a mapping that the
    agent returned; ``dataset_item`` and ``task_outputs``; and what ``mapping`` says. ``reference``,
    ``expected_output`` and ``input`` are supplied from the columns if the item has none of them.
    """
    outputs = dict(output) if isinstance(output, Mapping) else {"output": output}
    text = outputs.get("output", output)
    available: dict[str, object] = {
        **_defaults(item),
        **item,
        **outputs,
        "output": text,
        "llm_output": text,
        "dataset_item": item,
        "task_outputs": outputs,
    }
    available |= {name: available[key] for name, key in mapping.items() if key in available}
    return available


def is_by_name(arguments: Arguments, available: Mapping[str, object]) -> bool:
    """Tell whether a function takes its arguments by name rather than item and output by position.

    It does if one of its names tells so, or if every name it requires is there.
    """
    positional = arguments.required[:2]
    if len(positional) < 2 or positional[0] in _TELLING:
        return True
    return not arguments.missing_from(available)


def _defaults(item: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    expected = expected_of(item)
    if expected is not None:
        found |= {"reference": expected, "expected_output": expected}
    inputs = inputs_of(item)
    if len(inputs) == 1 and len(columns_of([item])) > 1:
        found["input"] = next(iter(inputs.values()))
    return found


__all__ = ["arguments_for", "is_by_name"]
