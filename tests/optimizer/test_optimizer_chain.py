"""``Chain``: several optimizers as one search."""

from __future__ import annotations

from typing import Any

import pytest
from demonstration_task import DemonstrationAgent, DemonstrationTask, demonstrations_in

from opik_optimizer import (
    Budget,
    Chain,
    ChatPrompt,
    FewShotBayesianOptimizer,
    GepaOptimizer,
    ParameterOptimizer,
)
from opik_optimizer.errors import SettingsError
from opik_optimizer.events import Event, StageFinished, StageStarted
from opik_optimizer.optimizer import BaseOptimizer
from opik_optimizer.session import Session
from opik_optimizer.testing.optimizer_contract import OptimizerContract
from opik_optimizer.testing.task import SimulatedAgent, SimulatedTask, simulated_reflection
from opik_optimizer.testing.toy import ToyOptimizer


class TestChain(OptimizerContract):
    """The battery, with two stages, of which one asks a reflection model."""

    kill_points = 25

    def make_optimizer(self, **options: Any) -> Chain:
        """Return a chain whose options are those of its stages."""
        model = options.pop("model", None)
        unknown = {name: options.pop(name) for name in [*options] if name == "n_treads"}
        stages = [ToyOptimizer(seed=1), ToyOptimizer(model, reflects=True, seed=2)]
        return Chain(stages, **unknown, **options)


class Recorder(BaseOptimizer):
    """Notes what its stage is given, and changes nothing."""

    def __init__(self, *, log: list[dict[str, Any]], seed: int = 42) -> None:
        super().__init__(seed=seed)
        self._log = log

    def __getstate__(self) -> dict[str, object]:
        """Return what it is: the log is no part of it."""
        return {}

    async def search(self, session: Session) -> None:
        """Note it."""
        self._log.append(
            {
                "baseline": session.baseline.candidate.id,
                "best": session.best.candidate.id,
                "remaining": session.remaining,
                "draw": session.rng("draw").random(),
            }
        )


def run(chain: Chain, *, task: SimulatedTask | None = None, **options: Any) -> Any:
    """Run a chain on the simulated task."""
    task = task or SimulatedTask(items=40)
    chosen = {
        "agent": SimulatedAgent(task),
        "storage": "memory:",
        "budget": Budget(metric_calls=160),
        **options,
    }
    return chain.optimize_prompt(task.prompt(), task.dataset(), task.metric, **chosen)


def test_a_stage_begins_where_the_last_one_ended() -> None:
    """The baseline of a stage is the incumbent; stages draw differently."""
    log: list[dict[str, Any]] = []
    chain = Chain([Recorder(log=log), ToyOptimizer(), Recorder(log=log)], verbose=0)
    result = run(chain)
    first, last = log
    assert first["baseline"] != last["baseline"] == last["best"] == result.candidate_id
    assert first["draw"] != last["draw"]
    assert result.initial_score < result.score
    assert result.optimizer == "Chain"
    kept = [stage["is_kept"] for stage in result.details["stages"]]
    assert kept == [False, True, False]


def test_shares_divide_the_budget() -> None:
    """A stage may spend its share of what is left; what it leaves goes to the next one."""
    log: list[dict[str, Any]] = []
    chain = Chain([Recorder(log=log) for _ in range(3)], shares=[2, 1, 1], verbose=0)
    run(chain, budget=Budget(metric_calls=416, trials=8), holdout=False)
    left = 416 - 20
    assert [entry["remaining"].trials for entry in log] == [4, 4, 8]
    assert [entry["remaining"].metric_calls for entry in log] == [left // 2, left // 2, left]


def test_a_stage_that_is_out_of_its_share_gives_way() -> None:
    """The limit of a stage ends the stage; that of the run ends the run, and is its reason."""
    result = run(Chain([ToyOptimizer(seed=1), ToyOptimizer(seed=2)], verbose=0))
    reasons = [stage["stop_reason"] for stage in result.details["stages"]]
    assert reasons == ["max_metric_calls", "max_metric_calls"]
    assert result.stop_reason == "max_metric_calls"
    spent = [stage["metric_calls"] for stage in result.details["stages"]]
    assert result.metric_calls <= 160
    assert sum(spent) <= result.metric_calls


def test_a_plateau_ends_a_stage() -> None:
    """After ``patience`` trials without a better prompt the next stage takes over."""
    task = SimulatedTask(items=40, null=True)
    result = run(Chain([ToyOptimizer(), ToyOptimizer()], patience=3, verbose=0), task=task)
    assert [stage["stop_reason"] for stage in result.details["stages"]] == ["plateau", "plateau"]
    assert result.stop_reason == "completed"
    assert result.is_baseline


def test_perfection_ends_the_chain() -> None:
    """Once the score is perfect, no further stage begins."""
    chain = Chain([ToyOptimizer(), ToyOptimizer()], verbose=0)
    result = run(chain, budget=Budget(metric_calls=5000))
    assert result.stop_reason == "perfect_score"
    assert len(result.details["stages"]) == 1


def test_a_weak_reflection_model_ends_its_stage_alone() -> None:
    """Where a stage's model writes nothing usable, the next stage still runs."""
    weak = GepaOptimizer(simulated_reflection(errors=1.0))
    result = run(Chain([weak, ToyOptimizer()], verbose=0))
    first, second = result.details["stages"]
    assert first["stop_reason"] == "weak_reflection_model"
    assert second["is_kept"]


def test_the_limit_of_model_calls_ends_everything() -> None:
    """Limits that hold for the whole run are the chain's reason too."""
    model = simulated_reflection()
    chain = Chain(
        [ToyOptimizer(model, reflects=True), ToyOptimizer(model, reflects=True)], verbose=0
    )
    result = run(chain, budget=Budget(metric_calls=5000, model_calls=1))
    assert result.stop_reason in ("max_model_calls", "perfect_score")
    assert len(result.details["stages"]) == 1


def test_events_tell_of_stages() -> None:
    """Listeners hear of each stage's begin and end, in order."""
    heard: list[Event] = []
    chain = Chain([ToyOptimizer(seed=1), ToyOptimizer(seed=2)], verbose=0)
    run(chain, callbacks=[heard.append])
    told = [event for event in heard if isinstance(event, StageStarted | StageFinished)]
    assert [(type(event).__name__, event.index) for event in told] == [
        ("StageStarted", 0),
        ("StageFinished", 0),
        ("StageStarted", 1),
        ("StageFinished", 1),
    ]


def test_demonstrations_and_parameters_in_one_result() -> None:
    """Few-shot chained with parameters: the result has both, and says so."""
    task = DemonstrationTask()
    chain = Chain(
        [
            FewShotBayesianOptimizer(),
            ParameterOptimizer(search_space={"top_k": {"choices": [1, 2]}}),
        ],
        shares=[4, 1],
        verbose=0,
    )
    result = chain.optimize_prompt(
        task.prompt(),
        task.dataset(),
        task.metric,
        agent=DemonstrationAgent(task),
        storage="memory:",
        optimize_prompts="all",
        budget=Budget(metric_calls=900),
    )
    assert isinstance(result.prompt, ChatPrompt)
    assert len(demonstrations_in(result.prompt)) == len(result.details["demonstrations"])
    assert result.get_optimized_parameters() == {}  # no choice was better than none
    assert result.holdout_test is not None
    assert result.holdout_test.p_value < 0.01


@pytest.mark.parametrize(
    ("stages", "options"),
    [
        ([], {}),
        ([ToyOptimizer], {}),
        ([ToyOptimizer()], {"shares": [1, 2]}),
        ([ToyOptimizer()], {"shares": [0]}),
        ([ToyOptimizer()], {"patience": 0}),
    ],
)
def test_chains_that_make_no_sense_are_refused(stages: Any, options: dict[str, Any]) -> None:
    """The constructor refuses what cannot work."""
    with pytest.raises(SettingsError):
        Chain(stages, **options)


def test_a_chain_needs_a_limit_that_can_be_divided() -> None:
    """Without a limit on trials or metric calls the first stage would never end."""
    with pytest.raises(SettingsError, match="can be divided"):
        run(Chain([ToyOptimizer(), ToyOptimizer()], verbose=0), budget=Budget(model_calls=100))
