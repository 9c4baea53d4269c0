"""How ``opik-eval demo`` scores replies: is an intent named, and is it the right one?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from opik_eval.datasets.demo import parse_intent
from opik_eval.metrics.base import DataclassMetric


@dataclass
class Accuracy(DataclassMetric):
    """1 if the reply names the right intent, else 0; a reply that names none is wrong.

    Example:
        >>> Accuracy().score(output="Intent: return_item", intent="return_item")
        1.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    name: str = field(default="accuracy", kw_only=True)

    def score(self, output: str, intent: str, **_ignored: object) -> float:
        """Compare the intent that ``output`` names with ``intent``."""
        return float(parse_intent(output) == intent)


@dataclass
class Unparsed(DataclassMetric):
    """1 if the reply names no intent, else 0; its mean is the share of such replies.

    Example:
        >>> Unparsed().score(output="Dear customer, thank you for your message!")
        1.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    higher_is_better: ClassVar[bool | None] = False

    name: str = field(default="unparsed", kw_only=True)

    def score(self, output: str, **_ignored: object) -> float:
        """Look for an intent in ``output``."""
        return float(parse_intent(output) is None)
