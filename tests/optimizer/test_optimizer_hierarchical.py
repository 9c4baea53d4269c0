"""HierarchicalReflectiveOptimizer: the battery, and what is particular to it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from opik_eval.models.base import ModelRequest
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport
from opik_optimizer import HRPO, Budget, HierarchicalReflectiveOptimizer
from opik_optimizer.errors import SettingsError
from opik_optimizer.result import OptimizationResult
from opik_optimizer.testing.optimizer_contract import OptimizerContract
from opik_optimizer.testing.task import SimulatedAgent, SimulatedTask, simulated_reflection


class TestHierarchicalReflectiveOptimizer(OptimizerContract):
    """The battery, with rounds small enough for its budgets."""

    kill_points = 10
    metric_calls = 140

    def make_optimizer(self, **options: Any) -> HierarchicalReflectiveOptimizer:
        given = {"analysed_items": 8, "modes_per_round": 2, "mode_items": 4, **options}
        return HierarchicalReflectiveOptimizer(**given)


class Analyst:
    """A reflection model that groups failures by the rule that their reasons name."""

    def __init__(self, *, invents_ids: bool = False, breaks_on: str | None = None) -> None:
        self.seen: list[str] = []
        self.invents_ids = invents_ids
        self.breaks_on = breaks_on

    def model(self) -> ChatModel:
        return ChatModel(name="fake/analyst", transport=FunctionTransport(self.reply))

    def reply(self, request: ModelRequest) -> str:
        text = "\n".join(str(message["content"]) for message in request.messages)
        self.seen.append(text)
        if self.breaks_on is not None and self.breaks_on in text:
            return "no"
        if "Group them by the cause" in text or "Join the groups" in text:
            return json.dumps({"failure_modes": self.modes(text)})
        present = text.split("<present>", 1)[1].split("</present>", 1)[0].strip()
        weakness = text.split("<weakness>", 1)[1].split("</weakness>", 1)[0]
        rules = re.findall(r"Always mention the \w+\.", weakness)
        return json.dumps({"prompt": " ".join(dict.fromkeys([present, *rules]))})

    def modes(self, text: str) -> list[dict[str, object]]:
        ids = re.findall(r'item_id="([^"]+)"', text)
        if self.invents_ids:
            ids = ["item-of-my-dreams"]
        return [
            {"name": rule, "description": f"lacks: {rule}", "root_cause": rule, "item_ids": ids}
            for rule in dict.fromkeys(re.findall(r"Always mention the \w+\.", text))
        ]


def optimize(
    optimizer: HierarchicalReflectiveOptimizer, task: SimulatedTask | None = None, **options: Any
) -> OptimizationResult:
    task = task or SimulatedTask(items=60, hints=1.0)
    return optimizer.optimize_prompt(
        task.prompt(),
        task.dataset(),
        task.metric,
        **{"storage": "memory:", "agent": SimulatedAgent(task), "alpha": 1.0, **options},
    )


def test_several_modes_are_mended_for_one_validation() -> None:
    """Edits that help their own items are joined, and the joint prompt is validated once."""
    optimizer = HierarchicalReflectiveOptimizer(Analyst().model(), verbose=0, proposals_in_flight=1)
    result = optimize(optimizer, budget=Budget(metric_calls=200))
    first = result.rounds[0]
    assert sum(trial.split == "validation" for trial in first.trials) == 1
    assert sum("on its" in trial.reason for trial in first.trials) >= 1
    assert result.score > result.initial_score
    assert first.details["failure_modes"]


def test_analysts_see_inputs_outputs_expected_answers_and_reasons() -> None:
    """Nothing that the metric said is kept from the analysis."""
    analyst = Analyst()
    optimize(HierarchicalReflectiveOptimizer(analyst.model(), verbose=0), max_trials=2)
    analysis = next(text for text in analyst.seen if "Group them by the cause" in text)
    for part in ("question:", "output:", "score: 0", "reason:", "item_id="):
        assert part in analysis


def test_invented_item_ids_are_not_believed() -> None:
    """A mode that names no real item is about all failures, and the run goes on."""
    optimizer = HierarchicalReflectiveOptimizer(Analyst(invents_ids=True).model(), verbose=0)
    result = optimize(optimizer, budget=Budget(metric_calls=160))
    modes = result.rounds[0].details["failure_modes"]
    assert isinstance(modes, list)
    assert all("item-of-my-dreams" not in mode["item_ids"] for mode in modes)
    assert result.score > result.initial_score


def test_without_a_usable_join_the_modes_stay_apart() -> None:
    """A failed synthesis costs the joining alone."""
    analyst = Analyst(breaks_on="Join the groups")
    optimizer = HierarchicalReflectiveOptimizer(analyst.model(), verbose=0, batch_size=4)
    result = optimize(optimizer, budget=Budget(metric_calls=160))
    assert any("Join the groups" in text for text in analyst.seen)
    assert result.score > result.initial_score


def test_without_any_usable_analysis_the_run_says_so() -> None:
    """A model that cannot analyse is named as too weak, and the initial prompt comes back."""
    analyst = Analyst(breaks_on="Group them by the cause")
    optimizer = HierarchicalReflectiveOptimizer(analyst.model(), verbose=0)
    result = optimize(optimizer, budget=Budget(metric_calls=400))
    assert result.is_baseline
    assert result.stop_reason == "weak_reflection_model"


def test_edits_that_did_not_help_are_shown_again_as_such() -> None:
    """The memory of failed edits reaches the next attempt."""
    seen: list[str] = []

    def reply(request: ModelRequest) -> str:
        text = "\n".join(str(message["content"]) for message in request.messages)
        seen.append(text)
        if "Group them by the cause" in text or "Join the groups" in text:
            mode = {"name": "m", "description": "d", "root_cause": "c", "item_ids": []}
            return json.dumps({"failure_modes": [mode]})
        return json.dumps({"prompt": f"Useless edit number {len(seen)}."})

    model = ChatModel(name="fake/useless", transport=FunctionTransport(reply))
    optimizer = HierarchicalReflectiveOptimizer(model, verbose=0, proposals_in_flight=1)
    result = optimize(optimizer, budget=Budget(metric_calls=300))
    assert result.is_baseline
    assert any("<tried>" in text and "Useless edit number" in text for text in seen)


def test_a_search_without_progress_converges() -> None:
    """Rounds without a new best end the search under that reason."""
    optimizer = HierarchicalReflectiveOptimizer(
        simulated_reflection(), verbose=0, convergence_rounds=2
    )
    result = optimize(optimizer, SimulatedTask(items=60, null=True), max_trials=None)
    assert result.stop_reason == "no_improvement"


def test_the_short_name_is_the_same_class() -> None:
    """``HRPO`` is an alias."""
    assert HRPO is HierarchicalReflectiveOptimizer


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"max_retries": -1}, {"mode_items": 1.5}])
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """The error names the parameter and its least value."""
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        HierarchicalReflectiveOptimizer("fake/echo", **wrong)


def test_the_reasoning_model_analyses_and_the_other_one_writes() -> None:
    """Failures go to ``reasoning_model`` where there is one; edits come from ``model``."""
    thinker, writer = Analyst(), Analyst()
    optimizer = HierarchicalReflectiveOptimizer(
        writer.model(), reasoning_model=thinker.model(), verbose=0
    )
    result = optimize(optimizer, budget=Budget(metric_calls=160))
    asks_for_edit = [
        ["Group them" not in t and "Join the" not in t for t in a.seen] for a in (thinker, writer)
    ]
    assert thinker.seen
    assert not any(asks_for_edit[0])
    assert all(asks_for_edit[1])
    assert result.score > result.initial_score
