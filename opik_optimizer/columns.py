"""Columns of a dataset: which hold the expected answer, and which may be shown to a prompt."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

_WORDS = (
    "answers?|answer_?key|labels?|references?|targets?|gold|golden|ground[_ ]?truth|solutions?|"
    "completions?|correct|expected|truth|highlights|choices_correct"
)
_LABEL = re.compile(
    rf"(?:{_WORDS})|(?:expected|correct|gold|golden|reference|target|ideal|best|true|right)_\w+|"
    rf"\w+_(?:{_WORDS})",
    re.IGNORECASE,
)
_PREFERRED = ("expected_output", "reference", "answer", "label", "target")


def label_columns(columns: Sequence[str], shown: Collection[str] = ()) -> tuple[str, ...]:
    """Return the columns that hold expected answers, by their names; likeliest first.

    Args:
        columns: All columns.
        shown: Columns that the prompt shows already: no answers, whatever they are called.

    Example:
        >>> label_columns(["question", "context", "answer", "gold_passage"])
        ('answer', 'gold_passage')
    """
    found = [name for name in columns if name not in shown and _is_label(name)]
    ranks = {name: rank for rank, name in enumerate(_PREFERRED)}
    return tuple(sorted(found, key=lambda name: ranks.get(name.lower(), len(ranks))))


@lru_cache(maxsize=1024)
def _is_label(name: str) -> bool:
    return _LABEL.fullmatch(name) is not None


def columns_of(items: Collection[Mapping[str, object]]) -> tuple[str, ...]:
    """Return the columns of items, each once, in the order of appearance, without ``id``."""
    return tuple(dict.fromkeys(key for item in items for key in item if key != "id"))


def expected_of(item: Mapping[str, object], shown: Collection[str] = ()) -> object:
    """Return the expected answer of an item, or ``None`` if no column looks like one."""
    labels = label_columns(columns_of([item]), shown)
    return item[labels[0]] if labels else None


def inputs_of(item: Mapping[str, object], shown: Collection[str] = ()) -> dict[str, object]:
    """Return all columns of an item but those of expected answers."""
    columns = columns_of([item])
    labels = label_columns(columns, shown)
    return {name: item[name] for name in columns if name not in labels}


__all__ = ["columns_of", "expected_of", "inputs_of", "label_columns"]
