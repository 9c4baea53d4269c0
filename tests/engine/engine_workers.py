"""Tasks and metrics that other processes import."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

from opik_eval import track
from opik_eval.engine.trial import current_trial
from opik_eval.metrics import BaseMetric


@track(type="tool")
def look_up(text: object) -> object:
    return text


def troubled(item: dict[str, Any]) -> dict[str, object]:
    """Do what the item asks for."""
    kind = item.get("kind")
    if kind == "raises":
        raise ValueError("as asked")
    if kind == "cancelled":
        raise asyncio.CancelledError
    if kind == "unpicklable":
        return {"output": (character for character in "abc")}
    if kind == "stuck":
        threading.Event().wait(3)
    return {"output": look_up(item["n"]), "process": os.getpid(), "trial": current_trial()}


async def troubled_later(item: dict[str, Any]) -> dict[str, object]:
    await asyncio.sleep(0)
    return troubled(item)


def interrupts(item: dict[str, Any]) -> dict[str, object]:
    raise KeyboardInterrupt


def dies(item: dict[str, Any]) -> dict[str, object]:
    if item["n"] == 30:
        os._exit(3)
    return {"output": 1}


def slow(item: dict[str, Any]) -> dict[str, object]:
    time.sleep(0.05)
    return {"output": 1}


class Later(BaseMetric):
    async def ascore(self, output: float, **ignored: object) -> float:
        await asyncio.sleep(0)
        return float(output)


class Now(BaseMetric):
    def score(self, output: float, **ignored: object) -> float:
        if output == 1:
            raise RuntimeError("no score for 1")
        return float(output)
