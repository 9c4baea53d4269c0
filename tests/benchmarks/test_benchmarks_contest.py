"""The comparison: jobs in processes of their own, measured by the task, shown as tables."""

from __future__ import annotations

import json
import statistics

import pytest

from benchmarks.optimizers.__main__ import main
from benchmarks.optimizers.contest import Claim, Job, Outcome, run_job
from benchmarks.optimizers.pool import ContestantError, run_jobs
from benchmarks.optimizers.report import comparison, mean_and_error, summary


def job(seed: int = 0, contestant: str = "plain:greedy", budget: int = 300) -> Job:
    """Return a short job."""
    return Job(contestant=contestant, task="rules", budget=budget, seed=seed)


def test_outcome_is_measured_by_the_task():
    """Ratio, optimism, calls and overshoot come from the task, whatever is claimed."""

    def boastful(job, task):
        for item in task.train[:12]:
            task.answer(task.seed_prompt, item)
        return Claim(prompts=task.best_prompts, score=1.0)

    outcome = run_job(job(budget=10), boastful)
    assert outcome.ratio == pytest.approx(1.0)
    assert outcome.optimism == pytest.approx(1.0 - 0.95)
    assert (outcome.calls, outcome.overshoot, outcome.is_baseline) == (12, 2, False)


def test_jobs_run_in_processes_and_come_back_in_order():
    """Outcomes are in the order of the jobs and equal those of another number of processes."""
    jobs = [job(seed) for seed in range(4)] + [job(contestant="plain:seed")]
    one, two = (run_jobs(jobs, pythons={}, processes=number) for number in (1, 2))
    assert [outcome.job for outcome in one] == jobs
    assert [o.ratio for o in one] == [o.ratio for o in two]
    assert one[-1].is_baseline
    assert one[-1].ratio == 0.0
    assert max(o.overshoot for o in one) == 0
    assert statistics.fmean(o.ratio for o in one[:4]) > 0.1


def test_our_optimizer_runs_end_to_end_within_the_budget():
    """Our own optimizer runs through its public API, on one prompt and on a bundle of two."""
    jobs = [
        Job(contestant="ours:gepa+alpha=1+proposals_in_flight=2", task=task, budget=200, seed=0)
        for task in ("easy", "two")
    ]
    for outcome in run_jobs(jobs, pythons={}):
        assert 0 < outcome.calls <= 200
        assert outcome.reflections > 0


def test_failures_name_the_job():
    """A contestant that fails, or has no interpreter, ends the comparison and says why."""
    with pytest.raises(ContestantError, match="no-such-task"):
        run_jobs([Job(contestant="plain:seed", task="no-such-task", budget=1, seed=0)], pythons={})
    with pytest.raises(ContestantError, match="--peer-python gepa=PATH"):
        run_jobs([job(contestant="gepa:pareto")], pythons={})


def test_command_line(tmp_path, capsys):
    """The commands print tables and write every outcome; a failure is an exit code."""
    out = tmp_path / "out.json"
    few = ["--optimizers", "plain:greedy", "--budgets", "100", "--seeds", "2", "--json", str(out)]
    assert main(["compare", *few, "--tasks", "easy,two"]) == 0
    table = capsys.readouterr().out
    assert "| plain:greedy | easy | 100 |" in table
    assert "| plain:greedy | mean | 100 |" in table
    saved = json.loads(out.read_text())
    assert [Outcome.from_json(o).job.task for o in saved["outcomes"]] == ["easy"] * 2 + ["two"] * 2
    assert main(["null", *few]) == 0
    assert "| plain:greedy | 100 | 2 |" in capsys.readouterr().out
    assert main(["walltime", *few]) == 0
    assert "| plain:greedy | rules | 100 | 32 |" in capsys.readouterr().out
    assert main(["compare", "--optimizers", "gepa:pareto", "--seeds", "1"]) == 1


def test_tables_by_hand():
    """Means, errors and the mean over tasks are what one computes by hand."""

    def outcome(task: str, seed: int, ratio: float) -> Outcome:
        return Outcome(
            job=Job(contestant="gepa:pareto", task=task, budget=300, seed=seed),
            ratio=ratio,
            true_score=0.5,
            optimism=0.1,
            calls=310,
            reflections=3,
            is_baseline=False,
            seconds=1.0,
            cpu_seconds=0.5,
        )

    rows = [outcome("easy", 0, 0.2), outcome("easy", 1, 0.4), outcome("two", 0, 0.1)]
    rows.append(outcome("two", 1, 0.5))
    easy = summary(rows)[0]
    assert easy["ratio"] == pytest.approx(0.3)
    assert easy["ratio_standard_error"] == pytest.approx(0.1)
    assert easy["overshoot_max"] == 10
    last = comparison(rows).splitlines()[-1]
    error = (0.1**2 + 0.2**2) ** 0.5 / 2
    assert f"| mean | 300 | 0.300 ±{error:.3f} | 0.34 | +0.100 | 10 (max 10) |" in last
    assert mean_and_error([1.0])[0] == 1.0
