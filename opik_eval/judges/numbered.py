"""Replies to numbered questions: one field for each, so that none is forgotten or added."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar, cast

from pydantic import BaseModel, create_model

R = TypeVar("R", bound=BaseModel)


@lru_cache(maxsize=256)
def numbered(kind: type[BaseModel], count: int) -> type[BaseModel]:
    """Return a class with the fields ``answer_1`` to ``answer_COUNT``, each of one kind.

    A list would leave the number of answers to the model; fields are what constrained decoding and
    validation can insist on.

    Example:
        >>> class Answer(BaseModel):
        ...     yes: bool
        >>> list(numbered(Answer, 2).model_fields)
        ['answer_1', 'answer_2']
    """
    fields = {f"answer_{number}": (kind, ...) for number in range(1, count + 1)}
    return cast("type[BaseModel]", create_model(f"{kind.__name__}_{count}", **fields))  # type: ignore[call-overload]


def in_order(reply: BaseModel, kind: type[R]) -> Sequence[R]:
    """Return the answers of a numbered reply, first to last."""
    answers = [getattr(reply, name) for name in type(reply).model_fields]
    return [answer for answer in answers if isinstance(answer, kind)]


__all__ = ["in_order", "numbered"]
