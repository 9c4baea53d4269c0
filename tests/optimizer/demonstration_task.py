"""A simulated task on which the demonstrations in a prompt decide, and nothing else.

An item has one of six topics, told in one of three manners. The agent answers right if it was shown
an item of the same topic and manner; of the same topic alone, on some items; else by luck. Some
items are misleading: shown, they spoil a part of all answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from opik_optimizer.agent import AgentCall, AgentRun, Prompts
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.testing.task import share

TOPICS = ("order", "refund", "address", "damage", "return", "cancel")
MANNERS = ("kindly please thanks", "now immediately angry", "wondering perhaps maybe")
FLOOR, SAME_TOPIC, MISLEADING, SPOILED = 0.05, 0.45, 0.3, 0.25
_TEXT = re.compile(r"^Input: (.+)\nOutput: (.+)$", re.MULTILINE)
_MESSAGE = re.compile(r"(\w+): (.+) (\d+-\d+)")


@dataclass(frozen=True)
class DemonstrationTask:
    """The task.

    Args:
        items: How many items.
        seed: Another seed, other items.
    """

    items: int = 120
    seed: int = 0

    def dataset(self) -> list[dict[str, object]]:
        """Return the items."""
        return [
            {
                "message": f"{TOPICS[n % 6]}: {MANNERS[n // 6 % 3]} {self.seed}-{n}",
                "intent": TOPICS[n % 6],
            }
            for n in range(self.items)
        ]

    def prompt(self) -> ChatPrompt:
        """Return the initial prompt, without demonstrations."""
        return ChatPrompt(system="Classify the message.", user="{message}", model="fake/echo")

    def metric(self, dataset_item: Mapping[str, object], llm_output: str) -> float:
        """Score an answer."""
        return float(llm_output == dataset_item["intent"])

    def is_right(self, shown: list[str], message: str) -> bool:
        """Tell whether a prompt with these demonstrations answers a message."""
        luck = share("luck", self.seed, message)
        if any(
            misleads(demonstration) and share("spoiled", demonstration, message) < SPOILED
            for demonstration in shown
        ):
            return luck < FLOOR
        kinds = {kind_of(demonstration) for demonstration in shown}
        topic, manner = kind_of(message)
        if (topic, manner) in kinds:
            return True
        chance = SAME_TOPIC if topic in {known for known, _ in kinds} else FLOOR
        return luck < chance

    def true_score(self, prompt: ChatPrompt) -> float:
        """Return the share of fresh items that a prompt answers."""
        shown = demonstrations_in(prompt)
        fresh = DemonstrationTask(items=360, seed=self.seed + 1000).dataset()
        return sum(self.is_right(shown, str(item["message"])) for item in fresh) / len(fresh)

    def optimum(self, count: int) -> float:
        """Return the best expected score with that many demonstrations, at least six."""
        kinds = len(TOPICS) * len(MANNERS)
        return (count + (kinds - count) * SAME_TOPIC) / kinds


@dataclass(frozen=True)
class DemonstrationAgent:
    """Answers by what the prompt shows."""

    task: DemonstrationTask

    async def run(self, call: AgentCall) -> AgentRun:
        """Answer one item."""
        (prompt,) = call.prompts.values()
        right = self.task.is_right(demonstrations_in(prompt), str(call.item["message"]))
        return AgentRun(output=str(call.item["intent"]) if right else "no idea")

    def fingerprint(self, prompts: Prompts) -> str:
        """Return the key of the task."""
        return f"demonstrations {self.task}"

    def check(self, prompts: Prompts) -> None:
        """Accept any prompt."""


def demonstrations_in(prompt: ChatPrompt) -> list[str]:
    """Return the messages that a prompt shows as demonstrations."""
    shown = [
        str(asked["content"])
        for asked, answered in zip(prompt.messages, prompt.messages[1:], strict=False)
        if (asked["role"], answered["role"]) == ("user", "assistant")
    ]
    texts = (str(m["content"]) for m in prompt.messages if m["role"] == "system")
    return shown + [found[0] for text in texts for found in _TEXT.findall(text)]


def kind_of(message: str) -> tuple[str, str]:
    """Return topic and manner of a message."""
    found = _MESSAGE.search(message)
    return (found[1], found[2]) if found else ("", "")


def misleads(message: str) -> bool:
    """Tell whether a demonstration of this message does harm."""
    return share("misleading", message) < MISLEADING
