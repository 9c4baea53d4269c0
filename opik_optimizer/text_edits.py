"""Edits of texts without a model: cut into sentences, merge two edits, cross two texts.

A *piece* is a sentence or a line with the white space behind it. What is done to texts here keeps
pieces whole, so a placeholder is never cut in two.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

_PIECE = re.compile(r"[^\n]*?(?:[.!?]+(?=\s|\Z)|\n|\Z)\s*")


def pieces_of(text: str) -> list[str]:
    """Cut a text into sentences and lines, each with the white space behind it.

    Example:
        >>> pieces_of("Be brief. Round to 0.5 at most!")
        ['Be brief. ', 'Round to 0.5 at most!']
    """
    return [piece for piece in _PIECE.findall(text) if piece]


def join_pieces(pieces: Sequence[str]) -> str:
    """Join pieces, each once, with a space where one lacks the white space behind it.

    Example:
        >>> join_pieces(["Two.", "One. ", "Two. "])
        'Two. One.'
    """
    once = {piece.strip(): piece for piece in reversed(pieces)}
    ordered = [piece for piece in dict.fromkeys(p.strip() for p in pieces) if piece]
    spaced = (once[piece] if once[piece] != piece else f"{piece} " for piece in ordered)
    return "".join(spaced).strip()


def merge_texts(base: str, first: str, second: str) -> str | None:
    """Merge two edits of a text, sentence by sentence; ``None`` where they touch the same place.

    Example:
        >>> merge_texts("One. Two.", "One. Two. Three.", "Zero. One. Two.")
        'Zero. One. Two. Three.'
        >>> merge_texts("Be brief. Be kind.", "Be brief. Be fair.", "Be brief. Be firm.") is None
        True
    """
    old, mine, yours = (pieces_of(text) for text in (base, first, second))
    ours = _edits(old, mine)
    added = {piece.strip() for _, _, replacement in ours for piece in replacement}
    theirs = [
        (start, end, [piece for piece in replacement if piece.strip() not in added])
        for start, end, replacement in _edits(old, yours)
        if (start, end, replacement) not in ours
    ]
    merged: list[str] = []
    position = 0
    for start, end, replacement in sorted([*ours, *theirs], key=lambda edit: edit[:2]):
        if start < position:
            return None
        merged += old[position:start] + replacement
        position = end
    merged += old[position:]
    # A piece may end one of the texts and stand within another: only there has it its white space.
    whole = {p.strip(): p for text in (yours, mine, old) for p in text if p != p.rstrip()}
    spaced = (p if p != p.rstrip() else whole.get(p.strip(), f"{p} ") for p in merged)
    return "".join(spaced).strip()


def cross_texts(first: str, second: str, take_second: Callable[[], bool]) -> str:
    """Keep what two texts share; where they differ, take the one or the other.

    Args:
        first: A text.
        second: Another one.
        take_second: Asked at each difference, in order: take it from the second?

    Example:
        >>> answers = iter([True, False])
        >>> cross_texts("A. Be kind. Z.", "B. Be kind. Y.", lambda: next(answers))
        'B. Be kind. Z.'
    """
    pieces, others = pieces_of(first), pieces_of(second)
    crossed: list[str] = []
    position = 0
    for start, end, replacement in _edits(pieces, others):
        crossed += pieces[position:start]
        crossed += replacement if take_second() else pieces[start:end]
        position = end
    return join_pieces([*crossed, *pieces[position:]])


def _edits(base: Sequence[str], changed: Sequence[str]) -> list[tuple[int, int, list[str]]]:
    """Return what turns one list of pieces into another: from, to, and what comes there."""
    old, new = ([piece.strip() for piece in pieces] for pieces in (base, changed))
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    return [
        (start, end, list(changed[a:b]))
        for tag, start, end, a, b in matcher.get_opcodes()
        if tag != "equal"
    ]


__all__ = ["cross_texts", "join_pieces", "merge_texts", "pieces_of"]
