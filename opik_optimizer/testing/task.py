"""A simulated task with a known optimum: for tests of optimizers, without any model.

An item needs one of a few rules. The agent answers right if the prompt states that rule, and by
luck of the item else; nothing is drawn at run time, so every answer depends on prompt and item
alone, in every process. The metric's reason names the missing rule now and then, and the simulated
reflection model writes prompts out of the rules it is shown.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from opik_eval.metrics.base import ScoreResult
from opik_eval.models.base import Model, ModelRequest
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport
from opik_eval.serialization import content_hash
from opik_optimizer.agent import AgentCall, AgentRun, Prompts
from opik_optimizer.errors import AgentError
from opik_optimizer.prompt import ChatPrompt, content_id

_RULE = re.compile(r"Always mention the \w+\.")
_NAMES = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heron")
_TEXT_FIELDS = ("prompt", "instruction", "text", "content", "improved", "new")


def rule(index: int) -> str:
    """Return the sentence of a rule."""
    return f"Always mention the {_NAMES[index % len(_NAMES)]}."


def share(*parts: object) -> float:
    """Return a number in 0 .. 1 that depends on the parts alone."""
    return int(content_hash(parts)[:13], 16) / 16**13


async def dawdle(disorder: int | None, *parts: object) -> None:
    """Let others go first, for a while that depends on the arguments alone."""
    if disorder is not None:
        for _ in range(int(60 * share("dawdle", disorder, *parts) ** 3)):
            await asyncio.sleep(0)


@dataclass
class SimulatedTask:
    """The task.

    Args:
        rules: How many rules there are.
        items: How many items.
        floor: Share of items answered right without the rule.
        hints: Share of wrong answers whose reason names the rule.
        null: Nothing helps: rules make no difference.
        seed: Which items need which rule.

    Example:
        >>> task = SimulatedTask(items=8)
        >>> task.true_score(task.prompt()) < task.true_score(task.best_prompt()) == 1.0
        True
    """

    rules: int = 4
    items: int = 60
    floor: float = 0.3
    hints: float = 0.8
    null: bool = False
    seed: int = 0

    def dataset(self) -> list[dict[str, object]]:
        """Return the items."""
        return [
            {"question": f"Question {self.seed}-{n}?", "answer": f"a{n}", "rule": n % self.rules}
            for n in range(self.items)
        ]

    def prompt(self) -> ChatPrompt:
        """Return the initial prompt, which states no rule."""
        return ChatPrompt(system="Answer the question.", user="{question}", model="fake/echo")

    def best_prompt(self) -> ChatPrompt:
        """Return the best possible prompt."""
        rules = " ".join(rule(n) for n in range(self.rules))
        return ChatPrompt(system=f"Answer. {rules}", user="{question}", model="fake/echo")

    def is_right(self, text: str, item: Mapping[str, object]) -> bool:
        """Tell whether a prompt of that text answers an item."""
        needed = rule(int(cast("int", item["rule"])))
        if needed in text and not self.null:
            return True
        return share("luck", self.seed, item["question"]) < self.floor

    def true_score(self, prompt: ChatPrompt) -> float:
        """Return the share of all items that a prompt answers."""
        text = "\n".join(str(m["content"]) for m in prompt.messages)
        return sum(self.is_right(text, item) for item in self.dataset()) / self.items

    def metric(self, dataset_item: Mapping[str, object], llm_output: str) -> ScoreResult:
        """Score an answer; the reason of a wrong one may name the missing rule."""
        if llm_output == dataset_item["answer"]:
            return ScoreResult("right", 1.0, reason="correct")
        hinted = share("hint", dataset_item["question"]) < self.hints
        missing = rule(int(cast("int", dataset_item["rule"])))
        return ScoreResult("right", 0.0, reason=missing if hinted else "wrong")


@dataclass
class SimulatedAgent:
    """Runs prompts on the task, and counts what is asked of it.

    Attributes:
        task: The task.
        errors: Share of prompt-item pairs on which it fails.
        disorder: Another number, another order in which concurrent calls end.
        calls: How often each pair of prompt and item was run.
    """

    task: SimulatedTask
    errors: float = 0.0
    disorder: int | None = field(default=None, compare=False)
    calls: Counter[str] = field(default_factory=Counter, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)

    @property
    def total(self) -> int:
        """How many calls there were."""
        return sum(self.calls.values())

    async def run(self, call: AgentCall) -> AgentRun:
        """Answer one item."""
        text = "\n".join(
            str(m["content"]) for prompt in call.prompts.values() for m in prompt.messages
        )
        self.count(content_id(call.prompts), call.item, call.repeat)
        await dawdle(self.disorder, text, call.item["question"])
        if share("error", text, call.item["question"]) < self.errors:
            raise AgentError("the simulated agent failed")
        right = self.task.is_right(text, call.item)
        return AgentRun(output=str(call.item["answer"]) if right else "no idea")

    def count(self, candidate_id: str, item: Mapping[str, object], repeat: int) -> None:
        """Count a call."""
        with self._lock:
            self.calls[content_hash([candidate_id, item["question"], repeat])] += 1

    def fingerprint(self, prompts: Prompts) -> str:  # noqa: ARG002 - the agent is the same for all
        """Return the key of its configuration."""
        return content_hash(["simulated agent", vars(self.task), self.errors])[:16]

    def check(self, prompts: Prompts) -> None:
        """Accept any prompts."""


def simulated_reflection(
    *, absorb: float = 0.8, errors: float = 0.0, disorder: int | None = None
) -> Model:
    """Return a reflection model that writes prompts out of the rules it is shown.

    Its replies depend on the request alone. It fills whatever schema it is asked for: texts with a
    prompt, numbers with 0.5, lists with one entry.

    Args:
        absorb: Share of the rules it is shown that it takes over.
        errors: Share of requests that it answers with no JSON at all.
        disorder: Another number, another order in which concurrent replies come.
    """

    async def reply(request: ModelRequest) -> str:
        question = json.dumps(list(request.messages), sort_keys=True)
        await dawdle(disorder, question)
        if share("failure", question) < errors:
            return "I would rather not."
        shown = sorted(set(_RULE.findall(question)))
        kept = [text for text in shown if share("absorb", text, question) < absorb]
        written = " ".join(["Answer the question.", *kept])
        schema = cast("Mapping[str, object]", request.json_schema or {})
        return json.dumps(_filled(schema, schema, written, ""))

    transport = FunctionTransport(reply, features=frozenset({"json_schema", "seed"}))
    return ChatModel(name="fake/reflection", transport=transport)


def _filled(
    schema: Mapping[str, object], root: Mapping[str, object], text: str, name: str
) -> object:
    """Return a value that fits a JSON schema."""
    if "$ref" in schema:
        target: object = root
        for step in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = cast("Mapping[str, object]", target)[step]
        return _filled(cast("Mapping[str, object]", target), root, text, name)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            options = cast("list[Mapping[str, object]]", schema[choice])
            return _filled(options[0], root, text, name)
    if "enum" in schema or "const" in schema:
        values = cast("list[object]", schema.get("enum") or [schema["const"]])
        return "system" if "system" in values else values[0]
    return _by_type(schema, root, text, name)


def _by_type(
    schema: Mapping[str, object], root: Mapping[str, object], text: str, name: str
) -> object:
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        fields = cast("Mapping[str, Mapping[str, object]]", schema.get("properties") or {})
        return {key: _filled(part, root, text, key) for key, part in fields.items()}
    if kind == "array":
        items = cast("Mapping[str, object]", schema.get("items") or {})
        count = max(1, cast("int", schema.get("minItems", 1)))
        return [_filled(items, root, text, name) for _ in range(count)]
    if kind in ("number", "integer"):
        return schema.get("minimum", 0 if kind == "integer" else 0.5)
    if kind == "boolean":
        return True
    if name == "role":
        return "system"
    return text if name.startswith(_TEXT_FIELDS) else f"{name or 'text'}: {text}"
