"""The items that demonstrations are made of, and what is known of each."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from opik_eval.serialization import dumps

if TYPE_CHECKING:
    import numpy as np

Source = Literal["label", "own"]
"""Where a demonstration's answer comes from: the data, or the prompt itself, where it was right."""

_WORD = re.compile(r"\w+")
_DIMENSIONS = 2048
_DECIMALS = 9
_CLASSES = range(2, 26)
_LONGEST_CLASS = 120


@dataclass(frozen=True, kw_only=True)
class Example:
    """One item that can be shown.

    Attributes:
        item_id: Content id.
        item: Its fields.
        label: The expected answer as text; ``None`` if it has none.
        own: What the initial prompt answered, where that was right.
        difficulty: How badly the initial prompt did, 0 to 1; one half where nobody tried.
    """

    item_id: str
    item: Mapping[str, object] = field(repr=False)
    label: str | None
    own: str | None = None
    difficulty: float = 0.5

    def answer(self, source: Source) -> str:
        """Return the answer to show: of that source, or of the other one where it is missing."""
        first, second = (self.label, self.own) if source == "label" else (self.own, self.label)
        return first or second or ""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """All examples, by number, and how alike they are.

    Attributes:
        examples: The examples.
        texts: What of each is compared: the columns that the prompt shows.
    """

    examples: tuple[Example, ...]
    texts: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where answers can come from."""
        found: list[Source] = ["label"] if any(e.label for e in self.examples) else []
        return (*found, "own") if any(e.own for e in self.examples) else tuple(found)

    @cached_property
    def classes(self) -> tuple[str, ...] | None:
        """Label of each example, where labels are few, short and repeated; else ``None``."""
        labels = [example.label or "" for example in self.examples]
        distinct = Counter(labels)
        is_classification = (
            len(distinct) in _CLASSES
            and 2 * len(distinct) <= len(labels)
            and all(0 < len(label) <= _LONGEST_CLASS for label in distinct)
        )
        return tuple(labels) if is_classification else None

    @property
    def knows_difficulty(self) -> bool:
        """True if some examples are known to be harder than others."""
        return len({example.difficulty for example in self.examples}) > 1

    @cached_property
    def similarity(self) -> np.ndarray:
        """How alike each two examples are, 0 to 1: cosine of weighted words and letter triples."""
        import numpy as np

        counts = np.zeros((len(self.texts), _DIMENSIONS))
        for row, text in enumerate(self.texts):
            for gram, count in Counter(_grams(text)).items():
                counts[row, zlib.crc32(gram.encode()) % _DIMENSIONS] += count
        rarity = np.log((1 + len(counts)) / (1 + (counts > 0).sum(axis=0)))
        weighted = np.sqrt(counts) * rarity
        norms = np.linalg.norm(weighted, axis=1, keepdims=True)
        unit = weighted / np.where(norms > 0, norms, 1)
        alike: np.ndarray = np.round(unit @ unit.T, _DECIMALS)  # last bits differ by machine
        return alike

    @cached_property
    def typicality(self) -> tuple[float, ...]:
        """Rank of each example by how alike it is to all others, 0 (least) to 1."""
        means = self.similarity.mean(axis=1)
        order = sorted(range(len(self)), key=lambda i: (means[i], self.examples[i].item_id))
        last = max(1, len(self) - 1)
        ranks = {index: rank / last for rank, index in enumerate(order)}
        return tuple(ranks[index] for index in range(len(self)))


def text_of(value: object) -> str:
    """Return a value as a demonstration shows it."""
    return value if isinstance(value, str) else "" if value is None else dumps(value).decode()


def answer_column(
    items: Iterable[Mapping[str, object]], labels: Sequence[str], shown: Collection[str]
) -> str | None:
    """Return the column of expected answers: the likeliest by name, else the only one not shown.

    Args:
        items: The items.
        labels: Columns whose names say that they hold answers, likeliest first.
        shown: Columns that the prompt shows.

    Example:
        >>> answer_column([{"message": "Hi", "intent": "greeting"}], [], ["message"])
        'intent'
    """
    if labels:
        return labels[0]
    hidden = {name for item in items for name in item if name not in shown and name != "id"}
    return hidden.pop() if len(hidden) == 1 else None


def _grams(text: str) -> Iterable[str]:
    words = _WORD.findall(text.casefold())
    yield from words
    yield from (" ".join(pair) for pair in pairwise(words))
    joined = f" {' '.join(words)} "
    yield from (joined[start : start + 3] for start in range(len(joined) - 2))


__all__ = ["Example", "Pool", "Source", "answer_column", "text_of"]
