"""``run`` and ``resume``: from a run file to a stored result and an exit code."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from opik_eval.storage.opening import open_storage


def test_prompt_run(cli) -> None:
    """A run of a prompt prints its scores with intervals and stores the experiment."""
    outcome = cli("run", "echo.yaml")
    assert outcome.code == 0
    assert "echo: 6 items, completed" in outcome.out
    assert "equals_metric" in outcome.out
    assert cli("list", "--json").json[0]["scores"] == {"equals_metric": 1.0}


def test_shipped_run_file(cli) -> None:
    """The example that needs no model runs from any folder."""
    outcome = cli("run", str(Path(__file__).parents[2] / "configs" / "echo.yaml"), "--json")
    assert outcome.code == 0
    assert outcome.json["scores"]["equals_metric"]["mean"] == 1.0


def test_json_result(cli) -> None:
    """``--json`` prints one line with the figures, under keys that stay."""
    result = cli("run", "echo.yaml", "--json").json
    assert sorted(result) == [
        "experiment_id",
        "experiment_name",
        "experiment_scores",
        "pending",
        "rejected",
        "results",
        "reused_items",
        "scores",
        "status",
        "stop_reason",
        "storage",
        "task_errors",
        "total_seconds",
        "totals",
        "warnings",
    ]
    assert (result["results"], result["task_errors"], result["status"]) == (6, 0, "completed")
    assert sorted(result["scores"]["equals_metric"]) == [
        "cost_usd",
        "failed_count",
        "higher_is_better",
        "interval_high",
        "interval_low",
        "max",
        "mean",
        "method",
        "min",
        "model_calls",
        "n",
        "standard_error",
        "std",
        "total_tokens",
        "unscored_count",
    ]


def test_task_run_keeps_standard_output_clean(cli, write_run) -> None:
    """A task is found by its import path; what it prints does not get between the JSON."""
    outcome = cli("run", write_run("right", "right"), "--json")
    assert outcome.code == 0
    assert outcome.json["scores"]["equals_metric"]["mean"] == 1.0
    assert outcome.err.count("a task may print") == 6


def test_task_inside_a_class(cli, write_run) -> None:
    """A dotted name after the colon leads into classes."""
    result = cli("run", write_run("wrong", "Holder.wrong"), "--json").json
    assert result["scores"]["equals_metric"]["mean"] == 0.0


def test_import_path_is_not_kept(cli, write_run) -> None:
    """The working directory is importable for the run and not longer."""
    before = list(sys.path)
    cli("run", write_run("right", "right"))
    assert sys.path == before


def test_failed_tasks_exit_with_3(cli, write_run) -> None:
    """Failed tasks make the run incomplete: exit code 3, and how to look and go on."""
    outcome = cli("run", write_run("odd", "fails_on_odd"))
    assert outcome.code == 3
    assert "Task errors: 3 of 6" in outcome.out
    identifier = cli("list", "--json").json[0]["id"]
    assert f"opik-eval show {identifier}" in outcome.err
    assert f"opik-eval resume {identifier}" in outcome.err


def test_hints_name_a_program_that_is_there(cli, write_run, folder: Path) -> None:
    """Where no search path leads to the program, hints name it by its path."""
    program = Path(sys.executable).parent / "opik-eval"
    name = write_run("odd", "fails_on_odd")
    for place, said in ((folder, str(program)), (program.parent, program.name)):
        run = subprocess.run(
            [program, "run", folder / name, "--storage", "memory:"],
            cwd=place,
            check=False,
            capture_output=True,
            text=True,
            env={"PATH": "", "PYTHONPATH": str(folder)},
        )
        assert run.returncode == 3
        assert f"go on with: {said} resume " in run.stderr
        assert run.stderr.endswith(" --storage memory:\n")


def test_failed_scores_exit_with_3(cli, write_run) -> None:
    """A metric that fails makes the run incomplete too."""
    name = write_run("scores", "right", metrics="[equals, 'shop_tasks:broken_metric']")
    outcome = cli("run", name, "--json")
    assert outcome.code == 3
    assert outcome.json["scores"]["broken_metric"]["mean"] is None
    assert outcome.json["scores"]["broken_metric"]["failed_count"] == 6


def test_stopped_run_exits_with_3(cli, write_run) -> None:
    """A run that a limit stopped is incomplete."""
    name = write_run("odd", "fails_on_odd", extra="options: {max_errors: 0, task_threads: 1}\n")
    outcome = cli("run", name, "--json")
    assert outcome.code == 3
    assert outcome.json["status"] == "stopped"
    assert "max_errors" in outcome.json["stop_reason"]


def test_budget_of_a_run_file(cli, folder: Path) -> None:
    """A budget in the file is hard: not one request more."""
    with (folder / "echo.yaml").open("a") as file:
        file.write("budget: {max_requests: 2}\noptions: {task_threads: 1}\n")
    outcome = cli("run", "echo.yaml", "--json")
    assert outcome.code == 3
    assert outcome.json["results"] == 2
    assert outcome.json["stop_reason"] == "the budget is spent"


def test_options_of_a_run_file(cli, folder: Path) -> None:
    """Options reach the evaluation."""
    with (folder / "echo.yaml").open("a") as file:
        file.write("options: {nb_samples: 2, trial_count: 3, seed: 7, cache: read_write}\n")
    assert cli("run", "echo.yaml", "--json").json["results"] == 6


def test_dataset_beside_the_run_file(cli, folder: Path) -> None:
    """A path is looked up from the folder of the run file first."""
    inner = folder / "inner"
    inner.mkdir()
    (inner / "few.jsonl").write_text('{"message": "one"}\n')
    (inner / "echo.yaml").write_text((folder / "echo.yaml").read_text().replace("items", "few"))
    assert cli("run", "inner/echo.yaml", "--json").json["results"] == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("items.jsonl", "nothing.jsonl", "nothing.jsonl"),
        ("items.jsonl", "nothing", "there is no dataset 'nothing'"),
        ("fake/echo", "fake/parrot", "echo.yaml, line 4, model: there is no fake model"),
        ("- equals:", "- equalz:", "echo.yaml, line 7, metrics.0: there is no metric"),
        ("case_sensitive", "case_sensitiv", "echo.yaml, line 7, metrics.0: the metric 'equals'"),
        ("- equals: {", "- is_json: {}\n    equals: {", "line 7, metrics.0: names 2 metrics"),
        ("{{message}}", "{{text}}", "the prompt names ['text']"),
    ],
)
def test_what_a_run_file_names_must_exist(
    cli, folder: Path, old: str, new: str, expected: str
) -> None:
    """What is not there is reported before anything runs, with its place where it has one."""
    (folder / "echo.yaml").write_text((folder / "echo.yaml").read_text().replace(old, new))
    outcome = cli("run", "echo.yaml")
    assert outcome.code == 1
    assert expected in outcome.err
    assert cli("list").out.startswith("no experiments")


def test_argument_that_nothing_supplies(cli, folder: Path) -> None:
    """A metric whose argument is not there stops the run at the first result, with the reason."""
    text = (folder / "echo.yaml").read_text().replace("reference: message", "reference: text")
    (folder / "echo.yaml").write_text(text)
    outcome = cli("run", "echo.yaml")
    assert outcome.code == 1
    assert "metric 'equals_metric' needs 'text'" in outcome.err


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("shop_tasks", "has no 'module:function' form"),
        ("shop_tasks:nothing", "no attribute 'nothing'"),
        ("no_such_module:task", "No module named 'no_such_module'"),
        ("bad_syntax:task", "SyntaxError: "),
    ],
)
def test_task_that_cannot_be_loaded(cli, folder: Path, task: str, expected: str) -> None:
    """A task that cannot be loaded is reported with file, line and form."""
    (folder / "bad_syntax.py").write_text("def task(:\n")
    (folder / "run.yaml").write_text(f"name: n\ndataset: items.jsonl\ntask: {task}\n")
    outcome = cli("run", "run.yaml")
    assert outcome.code == 1
    assert "run.yaml, line 3, task: cannot load" in outcome.err
    assert expected in outcome.err


def test_resume_by_name_repairs_what_failed(cli, write_run, folder: Path) -> None:
    """``resume`` runs what failed and nothing else, by the file as it was stored."""
    name = write_run("odd", "fails_on_odd")
    assert cli("run", name).code == 3
    (folder / name).unlink()
    tasks = folder / "shop_tasks.py"
    tasks.write_text(tasks.read_text().replace('raise ValueError("odd")', "pass"))
    del sys.modules["shop_tasks"]
    outcome = cli("resume", "odd", "--json")
    assert outcome.code == 0
    assert (outcome.json["results"], outcome.json["task_errors"]) == (6, 0)


def test_resume_uses_the_first_dataset_version(cli, write_run, folder: Path) -> None:
    """``resume`` goes on with the stored items, whatever has become of the file."""
    cli("run", write_run("odd", "fails_on_odd"))
    (folder / "items.jsonl").unlink()
    outcome = cli("resume", "odd", "--json")
    assert (outcome.code, outcome.json["results"]) == (3, 6)
    assert outcome.json["reused_items"] == 3


def test_run_resume_goes_on_with_the_last_of_that_name(cli, write_run) -> None:
    """``run --resume`` goes on where there is something, and starts where there is nothing."""
    name = write_run("odd", "fails_on_odd")
    assert cli("run", name, "--resume", "--json").json["reused_items"] == 0
    assert cli("run", name, "--resume", "--json").json["reused_items"] == 3
    assert len(cli("list", "--json").json) == 1


def test_resume_of_a_foreign_experiment(cli, folder: Path) -> None:
    """An experiment that Python code started is not resumed by guessing; the text says how."""
    from opik_eval import evaluate

    evaluate([{"a": 1}], lambda item: item, experiment_name="mine", verbose=0)
    outcome = cli("resume", "mine")
    assert outcome.code == 1
    assert "evaluate_resume" in outcome.err


SLOW = """
import time
from pathlib import Path


def task(item):
    with Path("calls").open("a") as file:
        file.write(item["message"] + "\\n")
    if item["message"] >= "message 3" and not Path("go").exists():
        time.sleep(60)
    return {"output": item["label"]}
"""


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        (signal.SIGINT, 130, "go on with: opik-eval run slow.yaml --resume\n"),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
def test_stopped_and_resumed(
    cli, write_run, folder: Path, ending: signal.Signals, code: int, said: str
) -> None:
    """Ctrl-C exits with 130, kill -9 just so; ``resume`` runs only what was not done."""
    (folder / "slow_tasks.py").write_text(SLOW)
    name = write_run("slow", "task", extra="options: {task_threads: 1}\n")
    path = folder / name
    path.write_text(path.read_text().replace("shop_tasks", "slow_tasks"))
    process = subprocess.Popen(
        [sys.executable, "-m", "opik_eval", "run", name],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    calls = folder / "calls"
    while not (calls.exists() and "message 3" in calls.read_text()) or _stored() < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(ending)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert said in errors
    (folder / "go").touch()
    calls.unlink()
    outcome = cli("resume", "slow", "--json")
    assert outcome.code == 0, json.dumps(outcome.err)
    assert (outcome.json["results"], outcome.json["reused_items"]) == (6, 3)
    assert calls.read_text().splitlines() == ["message 3", "message 4", "message 5"]


def _stored() -> int:
    storage = open_storage()
    try:
        return sum(
            1
            for experiment in storage.list_experiments(name="slow")
            for _ in storage.list_experiment_items(experiment.id)
        )
    finally:
        storage.close()
