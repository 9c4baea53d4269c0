"""The bundled data set: messages to an online shop and the intent of each.

300 messages in six intents, written for this project; see ``demo/README.md`` for how, and for what
they cannot show. Two prompts go with it: an instruction alone, and the same instruction with eight
demonstrations. On the test split, at temperature 0, the embedded model of 135 million parameters
gets nearly nothing right with the first, because it hardly ever names a label, and about half with
the second. That leaves an optimizer something to do.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Literal, get_args

from opik_eval.errors import DatasetError

Split = Literal["train", "validation", "test"]

INTENTS = (
    "order_status",
    "cancel_order",
    "return_item",
    "refund_status",
    "change_address",
    "damaged_item",
)
"""The labels."""

INSTRUCTION = (
    f"Classify the customer's message. The labels are: {', '.join(INTENTS)}. "
    "Reply in the form: Intent: label"
)
"""What both prompts say first, so that a model's prompt cache keeps it."""

_DEMONSTRATIONS = (
    "00000000-0000-7ed9-a34c-fe85906b8ae8",  # order_status
    "00000000-0000-7f70-af5a-b69f00afd35a",  # damaged_item
    "00000000-0000-7651-8d75-3149e8e0a175",  # change_address
    "00000000-0000-7915-8ac2-96c8eb9c0e7f",  # refund_status
    "00000000-0000-7274-9385-5aeb3c8017d2",  # return_item
    "00000000-0000-7f9e-9290-6bd7d82f7919",  # return_item
    "00000000-0000-766a-a6bd-5076001dc8c3",  # damaged_item
    "00000000-0000-7607-a464-9b6727c10918",  # cancel_order
)
_ANY_INTENT = re.compile(
    r"\b(?:" + "|".join(intent.replace("_", "[ _-]") for intent in INTENTS) + r")\b", re.IGNORECASE
)


def load_demo(split: Split = "test") -> list[dict[str, str]]:
    """Return a split of the bundled data set.

    Args:
        split: ``train`` (120 items), ``validation`` (60) or ``test`` (120). Every prefix of a
            multiple of six items holds all intents equally often.

    Returns:
        Items with ``id``, ``message`` and ``intent``, in the file's order.

    Raises:
        DatasetError: There is no such split.

    Example:
        >>> len(load_demo("validation"))
        60
        >>> sorted(load_demo()[0])
        ['id', 'intent', 'message']
    """
    if split not in get_args(Split):
        raise DatasetError(
            f"the bundled data set has no split {split!r}",
            remedy=f"use one of {', '.join(get_args(Split))}",
        )
    text = (files("opik_eval.datasets") / "demo" / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def instruction_prompt() -> list[dict[str, str]]:
    """Return the prompt that only instructs, with the placeholder ``{{message}}``.

    Example:
        >>> [message["role"] for message in instruction_prompt()]
        ['system', 'user']
    """
    return [_turn("system", INSTRUCTION), _turn("user", "{{message}}")]


def demonstration_prompt() -> list[dict[str, str]]:
    """Return the same prompt with eight messages of the train split and their answers before it.

    The demonstrations were chosen on the other items of ``train`` and ``validation``.

    Example:
        >>> len(demonstration_prompt()), demonstration_prompt()[-1]["content"]
        (18, '{{message}}')
    """
    by_id = {item["id"]: item for item in load_demo("train")}
    instruction, question = instruction_prompt()
    turns = [
        turn
        for item in (by_id[identifier] for identifier in _DEMONSTRATIONS)
        for turn in (
            _turn("user", item["message"]),
            _turn("assistant", f"Intent: {item['intent']}"),
        )
    ]
    return [instruction, *turns, question]


def parse_intent(reply: str) -> str | None:
    """Return the first label that a reply names, or ``None`` if it names none.

    Labels count in any case, and with spaces or hyphens for underscores; parts of longer words do
    not count.

    Example:
        >>> parse_intent("Intent: Refund status, not return_item")
        'refund_status'
        >>> parse_intent("I am sorry to hear that!") is None
        True
    """
    found = _ANY_INTENT.search(reply)
    return None if found is None else re.sub("[ -]", "_", found.group().lower())


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}
