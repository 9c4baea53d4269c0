"""Failure modes: what reflection models say about failures, checked against the data."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from opik_optimizer.errors import ReflectionError

if TYPE_CHECKING:
    from opik_optimizer.evaluation import Feedback
    from opik_optimizer.session import Session
    from opik_optimizer.templates import TemplateLibrary


class FailureMode(BaseModel):
    """A way of failing that some items share."""

    name: str
    description: str
    root_cause: str
    item_ids: list[str] = Field(description="The items that show it.")


class Analysis(BaseModel):
    """What the reflection model replies to ``analyse`` and ``synthesize``."""

    failure_modes: list[FailureMode]


async def find_modes(
    session: Session,
    templates: TemplateLibrary,
    failures: Sequence[Feedback],
    *,
    text: str,
    batch_size: int,
    repeat: int,
) -> list[FailureMode]:
    """Return the failure modes of some failures, those that most items show first.

    Batches are analysed at once; a batch without a usable reply is left out, and what is left of
    the modes is joined by one more question if there was more than one batch.

    Args:
        session: The run.
        templates: Texts.
        failures: What went wrong, with all columns and reasons.
        text: The prompt that failed.
        batch_size: Failures per question.
        repeat: Number of the round.

    Raises:
        ReflectionError: No batch got a usable reply.
    """
    batches = [failures[n : n + batch_size] for n in range(0, len(failures), batch_size)]
    replies = await asyncio.gather(
        *(_analyse(session, templates, batch, text, repeat) for batch in batches),
        return_exceptions=True,
    )
    found: list[FailureMode] = []
    for reply in replies:
        if isinstance(reply, BaseException):
            if not isinstance(reply, ReflectionError):
                raise reply
            continue
        found += reply.failure_modes
    if not found and isinstance(replies[-1], ReflectionError):
        raise replies[-1]
    known = [failure.item_id for failure in failures]
    modes = _checked(found, known)
    if len(batches) > 1 and len(modes) > 1:
        modes = await _joined(session, templates, modes, known, repeat)
    return sorted(modes, key=lambda mode: len(mode.item_ids), reverse=True)


async def _analyse(
    session: Session,
    templates: TemplateLibrary,
    batch: Sequence[Feedback],
    text: str,
    repeat: int,
) -> Analysis:
    records = [{"item_id": f.item_id, "text": f.to_text()} for f in batch]
    messages = templates.messages("analyse", task=session.task_context, text=text, records=records)
    return await session.ask(messages, Analysis, purpose="analyse", repeat=repeat, analysis=True)


async def _joined(
    session: Session,
    templates: TemplateLibrary,
    modes: Sequence[FailureMode],
    known: Sequence[str],
    repeat: int,
) -> list[FailureMode]:
    """Join modes of the same cause; without a usable reply they stay apart."""
    messages = templates.messages(
        "synthesize", task=session.task_context, modes=[mode.model_dump() for mode in modes]
    )
    try:
        reply = await session.ask(
            messages, Analysis, purpose="synthesize", repeat=repeat, analysis=True
        )
    except ReflectionError:  # told of by its event
        return list(modes)
    return _checked(reply.failure_modes, known) or list(modes)


def _checked(modes: Sequence[FailureMode], known: Sequence[str]) -> list[FailureMode]:
    """Keep the item ids that exist; a mode that names none is about all of them."""
    return [
        mode.model_copy(
            update={"item_ids": [i for i in dict.fromkeys(mode.item_ids) if i in known] or [*known]}
        )
        for mode in modes
    ]
