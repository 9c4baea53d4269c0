"""The battery that every optimizer passes, for the built-in ones and for yours.

Subclass ``OptimizerContract`` in a test module and say how an optimizer is made::

    class TestMyOptimizer(OptimizerContract):
        def make_optimizer(self, **options):
            return MyOptimizer(population_size=4, **options)

The options hold ``model``, a simulated reflection model, beside others of the constructor.
Everything runs on ``SimulatedTask``, so the battery needs neither a model nor a network.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from opik_eval.storage.base import Storage
from opik_optimizer.budget import STOP_REASONS, Budget
from opik_optimizer.items import content_id
from opik_optimizer.optimizer import BaseOptimizer
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.result import OptimizationResult
from opik_optimizer.testing.mortal_storage import Killed, MortalStorage
from opik_optimizer.testing.task import SimulatedAgent, SimulatedTask, simulated_reflection

KNOWN_STOP_REASONS = frozenset(
    {
        *STOP_REASONS.values(),
        "completed",
        "perfect_score",
        "no_improvement",
        "no_usable_proposals",
        "weak_reflection_model",
        "no_reflection_model",
        "no_headroom",
    }
)
"""What may have ended a search. An algorithm may add its own: ``own_stop_reasons``."""

_OF_ONE_RUN = ("optimization_id", "experiment_ids", "seconds", "storage_location")


def essence(result: OptimizationResult) -> dict[str, object]:
    """Return all of a result that must be equal for equal searches: all but ids and times."""
    document = result.model_dump(mode="json")
    for name in _OF_ONE_RUN:
        del document[name]
    for entry in document["rounds"]:
        for trial in entry["trials"]:
            del trial["experiment_id"]
    return cast("dict[str, object]", document)


class OptimizerBattery:
    """What the parts of the battery share.

    Attributes:
        metric_calls: Budget of most runs; enough for a handful of candidates.
        kill_points: At how many writes a run is killed.
        options: Further keywords of ``optimize_prompt`` for every run.
        own_stop_reasons: Stop reasons that the algorithm adds.
    """

    metric_calls: ClassVar[int] = 100
    kill_points: ClassVar[int] = 50
    options: ClassVar[Mapping[str, Any]] = {}
    own_stop_reasons: ClassVar[frozenset[str]] = frozenset()

    def make_optimizer(self, **options: Any) -> BaseOptimizer:
        """Return a new optimizer with these options; override this method."""
        raise NotImplementedError("override make_optimizer")

    def make_task(self, **options: Any) -> SimulatedTask:
        """Return the task of most runs."""
        return SimulatedTask(**{"items": 40, **options})

    def run(
        self,
        *,
        task: SimulatedTask | None = None,
        agent: SimulatedAgent | None = None,
        optimizer: BaseOptimizer | None = None,
        constructor: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> OptimizationResult:
        """Run an optimizer on a task."""
        task = task or self.make_task()
        given = {"verbose": 0, "model": simulated_reflection(), **(constructor or {})}
        optimizer = optimizer or self.make_optimizer(**given)
        chosen = {
            "storage": "memory:",
            "agent": agent or SimulatedAgent(task),
            "budget": Budget(metric_calls=self.metric_calls),
            **self.options,
            **options,
        }
        metric = chosen.pop("metric", task.metric)
        return optimizer.optimize_prompt(task.prompt(), task.dataset(), metric, **chosen)


class ScoreContract(OptimizerBattery):
    """What may be relied on in a result."""

    @pytest.mark.parametrize("seed", range(4))
    def test_the_result_is_never_worse_than_the_baseline(self, seed: int) -> None:
        """On the items that it was selected on, the returned prompt has at least equal score."""
        result = self.run(task=self.make_task(seed=seed), seed=seed)
        assert result.score >= result.initial_score
        assert result.is_baseline == (result.prompts == result.initial_prompts)
        assert result.stop_reason in KNOWN_STOP_REASONS | self.own_stop_reasons

    def test_the_score_belongs_to_the_prompt(self) -> None:
        """Evaluating the returned prompt on the stored ids again gives the stored score."""
        task = self.make_task()
        result = self.run(task=task, alpha=1.0)
        by_id = {content_id(item): item for item in task.dataset()}
        for prompt, score in (
            (result.prompt, result.score),
            (result.initial_prompt, result.initial_score),
        ):
            text = "\n".join(str(m["content"]) for m in cast("ChatPrompt", prompt).messages)
            rights = [task.is_right(text, by_id[item_id]) for item_id in result.validation_ids]
            assert sum(rights) / len(rights) == pytest.approx(score)

    def test_the_result_survives_saving_and_loading(self, tmp_path: Path) -> None:
        """A saved result is read back equal."""
        result = self.run()
        assert OptimizationResult.load(result.save(tmp_path / "result.json")) == result

    def test_where_nothing_helps_the_initial_prompt_is_returned(self) -> None:
        """On a task that no prompt improves, the baseline comes back."""
        result = self.run(task=self.make_task(null=True))
        assert result.is_baseline
        assert result.score == result.initial_score

    def test_all_candidates_are_scored_on_the_same_items(self) -> None:
        """Every trial of the history keeps to the train or the validation items of the run."""
        result = self.run()
        allowed = {"train": {*result.train_ids}, "validation": {*result.validation_ids}}
        for trial in result.trials:
            if trial.split is not None:
                assert {*trial.item_scores} <= allowed[trial.split]

    def test_guards_hold_for_everything_that_was_evaluated(self) -> None:
        """Placeholders stay, labels stay out, and roles that may not change do not."""
        task = self.make_task()
        result = self.run(task=task)
        for trial in result.trials:
            if trial.score is None:
                continue
            for document in trial.prompts.values():
                prompt = ChatPrompt.from_dict(document)
                assert "question" in prompt.placeholders()
                assert "answer" not in prompt.placeholders(["answer", "question"])
                if "roles" not in self.options and "optimize_prompts" not in self.options:
                    users = [m for m in prompt.messages if m["role"] == "user"]
                    assert users[-1]["content"] == task.prompt().user


class BudgetContract(OptimizerBattery):
    """No limit is passed by even one call."""

    @pytest.mark.parametrize("n_threads", [1, 7, 32])
    @pytest.mark.parametrize("limit", [37, 64, 111])
    def test_metric_calls_are_exact(self, limit: int, n_threads: int) -> None:
        """As many metric calls are made as are charged, and no more than the limit."""
        task = self.make_task()
        agent = SimulatedAgent(task, disorder=limit)
        result = self.run(
            task=task,
            agent=agent,
            constructor={"n_threads": n_threads},
            budget=Budget(metric_calls=limit),
        )
        assert agent.total == result.metric_calls <= limit
        assert max(agent.calls.values()) == 1

    @pytest.mark.parametrize("max_trials", [0, 1, 3, 10])
    def test_trials_are_exact(self, max_trials: int) -> None:
        """No more candidates are evaluated than ``max_trials``."""
        task = self.make_task()
        agent = SimulatedAgent(task)
        result = self.run(task=task, agent=agent, max_trials=max_trials, budget=None)
        evaluated = {t.candidate_id for t in result.trials if t.score is not None}
        assert len(evaluated - {_seed_id(result)}) <= result.trials_charged <= max_trials
        assert result.metric_calls == agent.total

    def test_a_perfect_initial_prompt_costs_its_own_score(self) -> None:
        """If nothing can be gained, nothing is spent beyond the baseline."""
        task = self.make_task(floor=1.0)
        result = self.run(task=task)
        assert result.stop_reason == "perfect_score"
        assert result.metric_calls == len(result.validation_ids)
        assert result.trials == ()


class RepeatContract(OptimizerBattery):
    """Equal searches are equal, however they run."""

    def test_equal_seeds_give_equal_histories(self) -> None:
        """Workers and the order in which calls end make no difference."""
        task = self.make_task()
        results = [
            self.run(
                task=task,
                agent=SimulatedAgent(task, disorder=disorder),
                constructor={
                    "n_threads": n_threads,
                    "model": simulated_reflection(disorder=disorder),
                },
                budget=Budget(metric_calls=5 * self.metric_calls),
            )
            for n_threads, disorder in ((1, None), (8, 1), (32, 2), (32, 3))
        ]
        first, *others = map(essence, results)
        for other in others:
            assert other == first

    def test_two_runs_of_one_instance_are_independent(self) -> None:
        """What an instance did before makes no difference to what it does now."""
        optimizer = self.make_optimizer(verbose=0, model=simulated_reflection())
        self.run(optimizer=optimizer, task=self.make_task(seed=9))
        again = self.run(optimizer=optimizer)
        assert essence(again) == essence(self.run())

    def test_it_runs_in_a_worker_thread(self) -> None:
        """No main thread is needed."""
        found: list[OptimizationResult] = []
        thread = threading.Thread(target=lambda: found.append(self.run()))
        thread.start()
        thread.join()
        assert essence(found[0]) == essence(self.run())

    def test_unknown_keywords_are_refused(self) -> None:
        """A typo is an error that names the right word, in the constructor and in the call."""
        with pytest.raises(TypeError, match="did you mean 'max_trials'"):
            self.run(max_trails=3)
        with pytest.raises(TypeError, match="n_treads"):
            self.make_optimizer(n_treads=3)


class ResumeContract(OptimizerBattery):
    """A run that died goes on where it was."""

    def test_a_killed_run_resumes_without_repeating_a_call(self) -> None:
        """Killed at any write, the run ends in the same result and pays for nothing twice."""
        task = self.make_task()
        whole, reference = MortalStorage(), SimulatedAgent(task)
        expected = essence(self.run(task=task, agent=reference, storage=whole))
        points = sorted({1 + whole.writes * n // self.kill_points for n in range(self.kill_points)})
        for point in points:
            storage = MortalStorage()
            storage.dies_at = point
            with pytest.raises(Killed):
                self.run(task=task, storage=cast("Storage", storage))
            stored = sum(b'"item_id"' in storage.value(key) for key in storage.ledger_writes)
            storage = storage.revived()
            agent = SimulatedAgent(task)
            resumed = self.run(task=task, agent=agent, storage=cast("Storage", storage))
            assert essence(resumed) == expected
            assert agent.total == reference.total - stored
            assert set(storage.ledger_writes.values()) == {1}

    def test_a_finished_run_is_replayed_for_nothing(self) -> None:
        """The same call again makes no call and gives the same result."""
        task, storage = self.make_task(), MortalStorage()
        first = self.run(task=task, storage=storage)
        agent = SimulatedAgent(task)
        again = self.run(task=task, agent=agent, storage=storage)
        assert agent.total == 0
        assert essence(again) == essence(first)
        assert again.optimization_id == first.optimization_id


class FailureContract(OptimizerBattery):
    """What fails costs an item or a proposal, never the run."""

    def test_a_failing_agent_costs_items(self) -> None:
        """Items on which the agent fails count as failures, and the search goes on."""
        task = self.make_task()
        result = self.run(task=task, agent=SimulatedAgent(task, errors=0.3))
        assert result.initial_interval.failed > 0
        assert result.score >= result.initial_score

    def test_a_failing_reflection_model_costs_proposals(self) -> None:
        """A model that answers with no JSON now and then, or always, is survived."""
        for errors in (0.4, 1.0):
            result = self.run(constructor={"model": simulated_reflection(errors=errors)})
            assert result.score >= result.initial_score

    def test_a_failing_metric_costs_items(self) -> None:
        """Items on which the metric raises count as failures, and the search goes on."""
        task = self.make_task()

        def fragile(dataset_item: dict[str, object], llm_output: str) -> object:
            if str(dataset_item["question"]).endswith("3?"):
                raise ValueError("this item is beyond me")
            return task.metric(dataset_item, llm_output)

        result = self.run(task=task, metric=fragile)
        assert result.initial_interval.failed > 0
        assert result.score >= result.initial_score


class OptimizerContract(
    ScoreContract, BudgetContract, RepeatContract, ResumeContract, FailureContract
):
    """All of the battery; see the module's documentation for how to use it."""


def _seed_id(result: OptimizationResult) -> str | None:
    return result.candidate_id if result.is_baseline else None


__all__ = [
    "KNOWN_STOP_REASONS",
    "BudgetContract",
    "FailureContract",
    "OptimizerBattery",
    "OptimizerContract",
    "RepeatContract",
    "ResumeContract",
    "ScoreContract",
    "essence",
]
