"""Mutations that need no model: what can be done to a text's sentences, and general instructions.

Each operator lists all edits that it can make of a text, so that none is tried twice and the search
knows when there is nothing left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from opik_optimizer.text_edits import join_pieces, pieces_of

INSTRUCTIONS: tuple[tuple[str, ...], ...] = (
    (
        "Give the answer alone, without any explanation.",
        "Think step by step, then give the answer on the last line.",
        "Answer in one short sentence.",
    ),
    (
        "Read all of the input before you answer.",
        "Check your answer against the input before you give it.",
    ),
    (
        "If you are not sure, give the most likely answer.",
        "If the input does not say, answer that it is not known.",
    ),
    (
        "Copy names and numbers exactly as they are written in the input.",
        "Write numbers as digits.",
    ),
    ("Put no quotation marks, labels or formatting around the answer.",),
    ("Do not repeat the input.",),
    ("Use nothing but what the input says.", "Use what you know beyond the input."),
    ("Follow each of these instructions exactly.",),
)
"""Instructions that suit many tasks; two of one group contradict or repeat each other."""

Edit = Callable[[str, Sequence[str]], Iterator[str]]
"""Yields new texts, given a text and those of other members."""


def drop(text: str, others: Sequence[str]) -> Iterator[str]:  # noqa: ARG001 - an ``Edit``
    """Leave one sentence out."""
    pieces = pieces_of(text)
    for place in range(len(pieces) if len(pieces) > 1 else 0):
        yield join_pieces(pieces[:place] + pieces[place + 1 :])


def move(text: str, others: Sequence[str]) -> Iterator[str]:  # noqa: ARG001 - an ``Edit``
    """Put one sentence first, or last."""
    pieces = pieces_of(text)
    for place, piece in enumerate(pieces):
        rest = pieces[:place] + pieces[place + 1 :]
        yield join_pieces([piece, *rest])
        yield join_pieces([*rest, piece])


def instruct(text: str, others: Sequence[str]) -> Iterator[str]:  # noqa: ARG001 - an ``Edit``
    """Add a general instruction; it takes the place of one of its group."""
    for group in INSTRUCTIONS:
        kept = [piece for piece in pieces_of(text) if piece.strip() not in group]
        for instruction in group:
            if instruction not in text:
                yield join_pieces([*kept, instruction])


def borrow(text: str, others: Sequence[str]) -> Iterator[str]:
    """Take over a sentence that another member has, behind the one it stands behind there."""
    own = pieces_of(text)
    known = {piece.strip() for piece in own}
    for other in others:
        pieces = pieces_of(other)
        for place, piece in enumerate(pieces):
            if piece.strip() in known:
                continue
            before = pieces[place - 1].strip() if place else ""
            at = next((n + 1 for n, p in enumerate(own) if p.strip() == before), len(own))
            yield join_pieces([*own[:at], piece, *own[at:]])


def replace(text: str, others: Sequence[str]) -> Iterator[str]:
    """Put a sentence of another member in the place of one that it does not have."""
    own = pieces_of(text)
    for other in others:
        theirs = pieces_of(other)
        stripped = {piece.strip() for piece in theirs}
        new = [piece for piece in theirs if piece not in own]
        for place, piece in enumerate(own):
            if piece.strip() not in stripped:
                yield from (join_pieces([*own[:place], p, *own[place + 1 :]]) for p in new)


EDITS: dict[str, Edit] = {
    "drop": drop,
    "move": move,
    "instruct": instruct,
    "borrow": borrow,
    "replace": replace,
}
"""The operators by name."""
