"""What stands for all models: a pleased judge, a rewriter with one idea, and a geographer."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

_CANDIDATE = [
    {
        "role": "system",
        "content": "You know the capitals of all countries. Answer with the name alone.",
    },
    {"role": "user", "content": "The capital of {country}?"},
]


def reply(messages: Sequence[Any]) -> str:
    """Return the answer to a conversation."""
    text = json.dumps(messages)
    assertions = sorted(set(re.findall(r"`(assertion_\d+)`", text)))
    if assertions:
        return json.dumps(
            {name: {"score": True, "reason": "it is so", "confidence": 1.0} for name in assertions}
        )
    if "improvement_focus" in text:
        return json.dumps(
            {
                "prompts": [
                    {"prompt": _CANDIDATE, "improvement_focus": "brevity", "reasoning": "shorter"}
                ]
            }
        )
    return "Rome" if "Italy" in text and "all countries" in text else "Paris"
