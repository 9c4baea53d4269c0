"""Whole runs of the frame, driven by the smallest optimizer."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.concurrency import run_sync
from opik_eval.errors import BudgetExceededError, ConfigError, UnavailableError
from opik_eval.models.base import Completion, Usage
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport
from opik_eval.storage.opening import open_storage
from opik_eval.tracing import track
from opik_optimizer import Budget, ChatPrompt
from opik_optimizer.agent import AgentRun
from opik_optimizer.errors import BudgetExhaustedError, OptimizerError, SettingsError
from opik_optimizer.events import (
    IncumbentChanged,
    ItemEvaluated,
    ProbeFinished,
    RunFailed,
    RunFinished,
    RunStarted,
    TrialRecorded,
    WarningRaised,
)
from opik_optimizer.ground import lay_ground
from opik_optimizer.optimizer import BaseOptimizer
from opik_optimizer.testing.optimizer_contract import essence
from opik_optimizer.testing.task import SimulatedAgent, SimulatedTask, rule, simulated_reflection
from opik_optimizer.testing.toy import ToyOptimizer


def optimize(task: SimulatedTask | None = None, *, optimizer=None, **options):
    task = task or SimulatedTask(items=40)
    chosen = {"agent": SimulatedAgent(task), "storage": "memory:", "holdout": False, **options}
    optimizer = optimizer or ToyOptimizer(verbose=0)
    return optimizer.optimize_prompt(task.prompt(), task.dataset(), task.metric, **chosen)


@settings(deadline=None, max_examples=25)
@given(limit=st.integers(20, 150), width=st.integers(1, 32), in_flight=st.integers(1, 32))
def test_metric_calls_are_exact_at_any_width(limit: int, width: int, in_flight: int) -> None:
    """Calls made, calls charged and the limit agree for every number of workers and proposals."""
    task = SimulatedTask(items=40)
    agent = SimulatedAgent(task, disorder=width)
    result = optimize(
        task,
        agent=agent,
        optimizer=ToyOptimizer(verbose=0, n_threads=width, proposals_in_flight=in_flight),
        budget=Budget(metric_calls=limit),
        holdout=None,
    )
    assert agent.total == result.metric_calls <= limit


@pytest.mark.parametrize("n_threads", [1, 5, 32])
@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"model_calls": 50}, "max_model_calls"),
        ({"tokens": 700}, "max_tokens"),
        ({"cost_usd": 0.05}, "max_cost_usd"),
    ],
)
def test_limits_on_models_are_exact(limit: dict[str, float], reason: str, n_threads: int) -> None:
    """Agent calls through models stop at the limit, and the result says what ended the run."""
    task = SimulatedTask(items=40)
    sent: list[object] = []

    def reply(request) -> Completion:
        sent.append(request)
        system, user = (m["content"] for m in request.messages)
        item = next(i for i in task.dataset() if i["question"] == user)
        text = str(item["answer"]) if task.is_right(system, item) else "no"
        return Completion(
            text=text,
            model=request.model,
            usage=Usage(prompt_tokens=8, completion_tokens=2, total_tokens=10),
            cost_usd=0.001,
        )

    model = ChatModel(name="openai/gpt-4o-mini", transport=FunctionTransport(reply))
    prompt = ChatPrompt(
        system="Answer.", user="{question}", model=model, model_parameters={"max_tokens": 5}
    )
    result = ToyOptimizer(verbose=0, n_threads=n_threads).optimize_prompt(
        prompt, task.dataset(), task.metric, storage="memory:", budget=Budget(**limit)
    )
    assert result.stop_reason == reason
    assert len(sent) <= limit.get("model_calls", 999)
    assert 10 * len(sent) <= limit.get("tokens", 99_999)
    assert 0.001 * len(sent) <= limit.get("cost_usd", 99) + 1e-9
    assert result.llm_calls == len(sent)
    assert result.tokens == 10 * len(sent)
    assert result.cost_usd == pytest.approx(0.001 * len(sent))


class SteppingClock:
    """A clock that moves on by a second whenever it is read."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        self.seconds += 1.0
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def test_a_time_limit_ends_a_run_whose_agent_calls_no_model() -> None:
    """Time is watched before every item, even if nothing else is spent."""
    task = SimulatedTask(items=40)
    limits = Budget(seconds=100)
    given = {"agent": SimulatedAgent(task), "storage": "memory:"}
    ground = lay_ground(task.prompt(), task.dataset(), task.metric, given, limits=limits, seed=1)
    ground = replace(ground, models=limits.of_models(SteppingClock()))
    result = run_sync(lambda: ToyOptimizer(verbose=0).optimize_on(ground, given))
    assert result.stop_reason == "max_seconds"
    assert 20 < sum(phase.metric_calls for phase in result.phases.values()) <= 100
    with pytest.raises(BudgetExceededError, match="seconds"):
        optimize(task, budget=Budget(seconds=0))


def test_a_budget_below_the_baseline_is_refused_before_anything_is_run() -> None:
    """The text says how much the initial prompt needs."""
    task = SimulatedTask(items=40)
    agent = SimulatedAgent(task)
    with pytest.raises(BudgetExhaustedError, match="needs 20 metric calls"):
        optimize(task, agent=agent, budget=Budget(metric_calls=7))
    assert agent.total == 0


def test_values_of_other_runs_cost_nothing() -> None:
    """A second run with another seed in the same store pays for new pairs alone."""
    task, storage = SimulatedTask(items=40), open_storage("memory:")
    items = task.dataset()
    options = {"storage": storage, "validation_dataset": items[:20], "max_trials": 8}
    optimize(task, **options)
    agent = SimulatedAgent(task)
    second = optimize(task, agent=agent, seed=7, **options)
    assert second.metric_calls == agent.total
    assert second.phases.get("baseline") is None
    alone = optimize(task, seed=7, **{**options, "storage": "memory:"})
    assert essence(second)["rounds"] != []
    assert [t.candidate_id for t in second.trials] == [t.candidate_id for t in alone.trials]
    assert second.metric_calls < alone.metric_calls


def test_a_run_that_shall_not_resume_makes_everything_anew() -> None:
    """resume=False reads nothing, and leaves the first run's replay alone."""
    task, storage = SimulatedTask(items=40), open_storage("memory:")
    first = optimize(task, storage=storage, max_trials=4)
    agent = SimulatedAgent(task)
    fresh = optimize(task, storage=storage, max_trials=4, agent=agent, resume=False)
    assert agent.total == fresh.metric_calls == first.metric_calls
    assert fresh.optimization_id != first.optimization_id


def test_a_run_can_be_resumed_with_more_budget() -> None:
    """Limits are no part of a run's identity: what was done is kept, and it goes on."""
    task, storage = SimulatedTask(items=40), open_storage("memory:")
    small = optimize(task, storage=storage, max_trials=4)
    agent = SimulatedAgent(task)
    large = optimize(task, storage=storage, max_trials=9, agent=agent)
    assert large.optimization_id == small.optimization_id
    assert agent.total == large.metric_calls - small.metric_calls
    assert essence(large) == essence(optimize(task, max_trials=9))


def test_a_prompt_that_fails_on_everything_is_an_error_that_leaves_nothing_behind() -> None:
    """The text shows the first error; the next attempt asks the agent again."""
    task, storage = SimulatedTask(items=40), open_storage("memory:")
    broken, whole = SimulatedAgent(task, errors=1.1), SimulatedAgent(task)
    whole.fingerprint = broken.fingerprint
    with pytest.raises(OptimizerError, match="the simulated agent failed"):
        optimize(task, agent=broken, storage=storage)
    assert optimize(task, agent=whole, storage=storage).initial_interval.failed == 0


def test_a_store_that_is_full_ends_the_run() -> None:
    """A result that cannot be kept is not pretended to be."""
    storage = open_storage("memory:")
    task = SimulatedTask(items=40)
    count = [0]
    write = storage.write_cached

    def limited(key: str, value: bytes) -> None:
        count[0] += 1
        if count[0] > 30:
            raise UnavailableError("the disk is full")
        write(key, value)

    storage.write_cached = limited
    with pytest.raises(UnavailableError, match="the disk is full"):
        optimize(task, storage=storage)


def test_events_come_in_order_and_tell_the_whole_story() -> None:
    """From the start to the result, with one event per item and trial."""
    seen: list[object] = []
    result = optimize(callbacks=[seen.append], max_trials=6)
    assert isinstance(seen[0], RunStarted)
    assert isinstance(seen[-1], RunFinished)
    assert seen[-1].result == result
    recorded = [e.trial for e in seen if isinstance(e, TrialRecorded)]
    assert recorded == [t for t in result.trials if t.score is not None]
    assert sum(isinstance(e, ItemEvaluated) and not e.replayed for e in seen) == result.metric_calls
    assert any(isinstance(e, IncumbentChanged) for e in seen)


def test_small_data_are_named_in_the_result() -> None:
    """Splits that overlap are a warning, not a secret."""
    seen: list[object] = []
    result = optimize(SimulatedTask(items=12), callbacks=[seen.append], max_trials=2)
    assert result.overlaps
    assert any(isinstance(event, WarningRaised) for event in seen)
    assert result.warnings


def test_finalists_meet_on_the_holdout_within_the_budget() -> None:
    """What the holdout needs is kept back before the search begins."""
    task = SimulatedTask(items=60)
    agent = SimulatedAgent(task)
    result = optimize(task, agent=agent, holdout=None, budget=Budget(metric_calls=330))
    assert result.holdout_score is not None
    assert result.holdout_test is not None
    assert result.phases["holdout"].metric_calls >= 2 * len(result.holdout_ids)
    assert agent.total == result.metric_calls <= 330
    unaffordable = optimize(task, holdout=None, budget=Budget(metric_calls=60))
    assert unaffordable.holdout_score is None
    assert "holdout" in unaffordable.warnings[-1]


def test_a_probe_measures_before_the_search_and_may_end_it() -> None:
    """Noise, headroom and expected calls are known first; what was run is charged and kept."""
    seen: list[ProbeFinished] = []

    def listen(event: object) -> None:
        if isinstance(event, ProbeFinished):
            seen.append(event)

    class Probing(ToyOptimizer):
        async def probe_candidates(self, session):
            texts = session.seed_candidate.components(["system"])
            changes = {key: f"{text} {rule(n)}" for key, text in texts.items() for n in (0, 1)}
            return [session.seed_candidate.with_components(changes, operator="probe")]

    task = SimulatedTask(items=40, null=True)
    options = {"callbacks": [listen], "max_trials": 3, "holdout": None}
    stopped = optimize(task, optimizer=Probing(verbose=0), probe="stop", **options)
    assert stopped.stop_reason == "no_headroom"
    assert stopped.metric_calls == len(stopped.validation_ids) * 3
    assert seen[0].report.noise == 0.0
    assert seen[0].report.verdict == "stop"
    assert seen[0].report.expected_metric_calls is not None
    useful = optimize(optimizer=Probing(verbose=0), probe=True, **options)
    assert useful.details["probe"]["verdict"] in ("go", "stop")
    assert useful.stop_reason == "max_trials"

    class Blind(ToyOptimizer):
        needs_reflection = False

    some = Budget(metric_calls=400)
    blind = optimize(optimizer=Blind(verbose=0), probe="stop", budget=some, callbacks=[listen])
    assert blind.details["probe"]["verdict"] == "unknown"
    assert blind.details["probe"]["expected_metric_calls"] == 400


def test_it_runs_where_a_loop_is_running() -> None:
    """Both doors work inside of a coroutine, as in a notebook."""
    task = SimulatedTask(items=40)

    async def notebook() -> tuple[object, object]:
        blocking = optimize(task, max_trials=3)
        awaited = await ToyOptimizer(verbose=0).aoptimize_prompt(
            task.prompt(),
            task.dataset(),
            task.metric,
            agent=SimulatedAgent(task),
            storage="memory:",
            holdout=False,
            max_trials=3,
        )
        return blocking, awaited

    blocking, awaited = asyncio.run(notebook())
    assert essence(blocking) == essence(awaited)


def test_an_interrupt_gives_control_back_and_keeps_everything() -> None:
    """Ctrl-C ends a run in the middle of a call; the same call goes on from there."""
    task, storage = SimulatedTask(items=40), open_storage("memory:")
    expected = essence(optimize(task, max_trials=6))
    failures: list[object] = []
    interrupted: list[bool] = []

    class Stuck(SimulatedAgent):
        async def run(self, call) -> AgentRun:
            if self.total >= 50:
                if not interrupted:
                    interrupted.append(True)
                    os.kill(os.getpid(), signal.SIGINT)
                await asyncio.Event().wait()
            return await super().run(call)

    with pytest.raises(KeyboardInterrupt) as interrupt:
        optimize(
            task,
            agent=Stuck(task),
            storage=storage,
            max_trials=6,
            callbacks=[lambda e: failures.append(e) if isinstance(e, RunFailed) else None],
        )
    assert "same call again" in interrupt.value.__notes__[0]
    assert failures[0].status == "cancelled"
    agent = SimulatedAgent(task)
    assert essence(optimize(task, agent=agent, storage=storage, max_trials=6)) == expected


SCRIPT = """
import os, signal, sys
from opik_optimizer.testing.task import SimulatedAgent, SimulatedTask
from opik_optimizer.testing.toy import ToyOptimizer

class Mortal(SimulatedAgent):
    async def run(self, call):
        if self.total == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().run(call)

task = SimulatedTask(items=40)
ToyOptimizer(verbose=0).optimize_prompt(
    task.prompt(), task.dataset(), task.metric, agent=Mortal(task), storage=sys.argv[1],
    holdout=False, max_trials=6,
)
"""


@pytest.mark.parametrize("calls", [30, 75])
def test_a_killed_process_is_resumed(calls: int, tmp_path: Path) -> None:
    """After SIGKILL the same call ends in the result of an uninterrupted run."""
    target = f"file:{tmp_path / 'runs.db'}"
    dead = subprocess.run([sys.executable, "-c", SCRIPT, target, str(calls)], check=False)
    assert dead.returncode == -signal.SIGKILL
    task = SimulatedTask(items=40)
    agent, whole = SimulatedAgent(task), SimulatedAgent(task)
    resumed = optimize(task, agent=agent, storage=target, max_trials=6)
    assert essence(resumed) == essence(optimize(task, agent=whole, max_trials=6))
    assert agent.total < whole.total
    storage = open_storage(target)
    assert len(list(storage.list_experiments(optimization_id=resumed.optimization_id))) > 3
    assert storage.find_optimization(resumed.optimization_id).status == "completed"
    storage.close()


def test_runs_in_several_threads_share_an_instance() -> None:
    """One optimizer, four threads, four equal results."""
    optimizer, results = ToyOptimizer(verbose=0), []
    threads = [
        threading.Thread(
            target=lambda: results.append(essence(optimize(optimizer=optimizer, max_trials=3)))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result == results[0] for result in results)


def test_a_metric_may_look_at_the_spans_of_the_agent() -> None:
    """A metric with task_span gets the tree of what the agent did."""
    seen: list[object] = []

    @track(name="lookup")
    def look_up(question: str) -> str:
        return question.upper()

    def agent(prompts: object, dataset_item: dict[str, object]) -> str:
        return look_up(str(dataset_item["question"]))

    def metric(dataset_item, llm_output, task_span) -> float:
        seen.append(task_span)
        return float([span.name for span in task_span.spans] == ["lookup"])

    task = SimulatedTask(items=20)
    result = ToyOptimizer(verbose=0).optimize_prompt(
        task.prompt(), task.dataset(), metric, agent=agent, storage="memory:", max_trials=0
    )
    assert result.initial_score == 1.0
    assert len(seen) == result.metric_calls


def test_a_search_that_does_nothing_returns_the_initial_prompt() -> None:
    """An algorithm without proposals completes; one without search says so."""

    class Idle(BaseOptimizer):
        async def search(self, session) -> None:
            session.details["note"] = "nothing to do"

    result = optimize(optimizer=Idle(verbose=0))
    assert (result.is_baseline, result.stop_reason) == (True, "completed")
    assert result.details == {"note": "nothing to do"}
    with pytest.raises(NotImplementedError, match="search"):
        optimize(optimizer=BaseOptimizer(verbose=0))


def test_a_reflection_model_that_never_helps_is_named() -> None:
    """A model that is too weak ends the search before the budget is gone, and is named."""

    class Reflective(ToyOptimizer):
        async def _attempt(self, session, index, parent):
            return await super()._attempt(session, 2 * index + 1, parent)

    result = optimize(
        optimizer=Reflective(model=simulated_reflection(errors=1.0), reflects=True, verbose=0)
    )
    assert result.stop_reason == "weak_reflection_model"
    assert "too weak" in result.warnings[0]
    assert result.is_baseline


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"optimize_prompts": "sytem"}, SettingsError),
        ({"n_samples_strategy": "first"}, SettingsError),
        ({"alpha": 0}, SettingsError),
        ({"budget": {"trials": 3}}, SettingsError),
        ({"max_trials": -1}, SettingsError),
        ({"n_samples_minibatch": 0}, SettingsError),
        ({"guards": "strict"}, SettingsError),
        ({"agent": 7}, SettingsError),
        ({"n_samples": 0}, ConfigError),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, error) -> None:
    """Before anything is run."""
    task = SimulatedTask(items=40)
    agent = SimulatedAgent(task)
    with pytest.raises(error):
        optimize(task, **{"agent": agent, **options})
    assert agent.total == 0


def test_a_constructor_that_is_given_nonsense_says_so() -> None:
    """Numbers are checked when the optimizer is made."""
    with pytest.raises(SettingsError, match="n_threads"):
        ToyOptimizer(n_threads=0)
    assert ToyOptimizer(model_parameters=None).options.model_parameters == {}


def test_the_loop_of_the_process_is_left_as_it_was() -> None:
    """After a run other work goes on as before."""

    async def answer() -> int:
        return 42

    optimize(max_trials=1)
    assert run_sync(answer) == 42
