"""Judges that follow a decision tree: small questions instead of one big one.

A tree is made of four kinds of node. ``Extract`` notes down things that later questions are shown;
``Decide`` asks a yes-or-no question and ``Choose`` one with several answers; ``Leaf`` ends with a
score. Several answers may lead to the same node, so a tree may well be a graph; it cannot have a
cycle, because a node is made from those it leads to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal, cast

from pydantic import BaseModel, Field, create_model

from opik_eval.errors import MetricError
from opik_eval.judges.base import MaterialJudge, Reason, Verdict
from opik_eval.judges.hearing import Hearing
from opik_eval.judges.numbered import in_order, numbered
from opik_eval.models.base import Model


@dataclass(frozen=True)
class Leaf:
    """An end of the tree.

    Args:
        value: The score; ``None`` = no score.
        label: A word for it, kept as ``category_name``.
    """

    value: float | None
    label: str | None = None


@dataclass(frozen=True)
class Decide:
    """A question with yes or no for an answer.

    Args:
        question: What is asked about the output.
        yes: Where yes leads.
        no: Where no leads.
    """

    question: str
    yes: Node
    no: Node


@dataclass(frozen=True)
class Choose:
    """A question with several answers.

    Args:
        question: What is asked about the output.
        answers: Where each answer leads; at least two.
    """

    question: str
    answers: Mapping[str, Node]


@dataclass(frozen=True)
class Extract:
    """Something to note down before the next question; one call for all notes of a node.

    Args:
        notes: Name of each note and what it is to hold.
        then: Where to go on.
    """

    notes: Mapping[str, str]
    then: Node


Node = Leaf | Decide | Choose | Extract
"""A node of a tree."""


class Note(BaseModel):
    """One note."""

    text: str = Field(
        json_schema_extra={"maxLength": 2000}, description="What was asked for; empty if absent."
    )


@dataclass
class DecisionTreeJudge(MaterialJudge):
    """What a decision tree leads to.

    Each question on the way is a call of its own, with nothing else to think about, which is what
    small models need. ``metadata["path"]`` has questions and answers in order,
    ``metadata["notes"]`` what was noted down. The judge's ``value_range`` is that of its leaves.

    Args:
        root: Where to start.

    Raises:
        MetricError: A node has no answers or no notes, or no leaf has a value.

    Example:
        >>> tree = Decide(
        ...     "Does the reply apologise?",
        ...     yes=Decide("Does it offer a solution?", yes=Leaf(1.0), no=Leaf(0.5)),
        ...     no=Leaf(0.0),
        ... )
        >>> DecisionTreeJudge(tree, model="openai/gpt-5-nano").value_range
        (0.0, 1.0)
    """

    prompt: ClassVar[str] = "tree_question"

    root: Node
    model: str | Model | None = field(default=None, kw_only=True)
    name: str = field(default="decision_tree_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        values = sorted(leaf.value for leaf in self._leaves() if leaf.value is not None)
        if not values:
            raise MetricError(f"no leaf of metric {self.name!r} has a value")
        vars(self)["value_range"] = (float(values[0]), float(values[-1]))

    async def consider(self, hearing: Hearing, material: Mapping[str, object]) -> Verdict:
        """Return the score at the leaf that the answers lead to."""
        notes: dict[str, str] = {}
        path: list[dict[str, str]] = []
        node = self.root
        while not isinstance(node, Leaf):
            values = {**material, "notes": notes}
            if isinstance(node, Extract):
                notes |= await _take_notes(hearing, node, values)
                node = node.then
                continue
            branches = _branches(node)
            values |= {"question": node.question, "answers": list(branches)}
            reply = await hearing.ask(self.prompt, _answer_of(tuple(branches)), values)
            answer, reason = str(getattr(reply, "answer", "")), str(getattr(reply, "reason", ""))
            path.append({"question": node.question, "answer": answer, "reason": reason})
            node = branches[answer]
        return Verdict(
            value=node.value,
            reason="\n".join(
                f"{step['question']} {step['answer']}: {step['reason']}" for step in path
            ),
            category_name=node.label,
            metadata={"path": path, "notes": notes},
        )

    def _leaves(self) -> list[Leaf]:
        found: list[Leaf] = []
        waiting: list[Node] = [self.root]
        seen: set[int] = set()  # shared nodes are looked at once
        while waiting:
            node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, Leaf):
                found.append(node)
                continue
            following = [node.then] if isinstance(node, Extract) else [*_branches(node).values()]
            if len(following) < 2 and not (isinstance(node, Extract) and node.notes):
                raise MetricError(
                    f"metric {self.name!r} has a node that leads nowhere: {node!r:.80}",
                    remedy="give Choose two answers or more, and Extract at least one note",
                )
            waiting += following
        return found


def _branches(node: Decide | Choose) -> Mapping[str, Node]:
    return node.answers if isinstance(node, Choose) else {"yes": node.yes, "no": node.no}


async def _take_notes(
    hearing: Hearing, node: Extract, values: Mapping[str, object]
) -> dict[str, str]:
    wanted = {**values, "wanted": list(node.notes.values())}
    reply = await hearing.ask("tree_notes", numbered(Note, len(node.notes)), wanted)
    found = in_order(reply, Note)
    return {name: note.text for name, note in zip(node.notes, found, strict=True)}


@lru_cache(maxsize=256)
def _answer_of(answers: tuple[str, ...]) -> type[BaseModel]:
    """Return the class of replies whose answer is one of those possible."""
    reason = (Reason, Field(description="What decides it, in one sentence."))
    fields = {"reason": reason, "answer": (Literal[answers], Field(description="The answer."))}
    return cast("type[BaseModel]", create_model("TreeAnswer", **fields))  # type: ignore[call-overload]


__all__ = ["Choose", "Decide", "DecisionTreeJudge", "Extract", "Leaf", "Node"]
