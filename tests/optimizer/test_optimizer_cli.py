"""``opik-eval optimize``: from a file to a result, and on again after any end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from opik_eval.cli import main
from opik_optimizer import OptimizationResult
from opik_optimizer.cli.optimize_file import parse_optimize_file, read_optimize_file

ROOT = Path(__file__).parents[2]
FILE = """
name: shop
dataset: items.jsonl
holdout: 0.25
prompt: "{message}"
model: fake/echo
metric: shop_metrics:Named
observe: ["shop_metrics:Long"]
optimizers:
  - FewShotBayesianOptimizer: {max_examples: 5, bootstrap_items: 0, skip_perfect_score: false}
  - ParameterOptimizer:
      skip_perfect_score: false
      search_space: {temperature: {type: float, min: 0, max: 1}}
shares: [3, 1]
references:
  helped: {prompt: "order {message}"}
  warm: {model_parameters: {temperature: 0.7}}
n_threads: 2
options: {optimize_prompts: user, max_trials: 8}
"""
METRICS = """
from dataclasses import dataclass, field
from pathlib import Path

from opik_eval.metrics.base import DataclassMetric


@dataclass
class Named(DataclassMetric):
    name: str = field(default="named", kw_only=True)

    def score(self, output: str, message: str, intent: str, **_ignored: object) -> float:
        with Path("calls").open("a") as calls:
            calls.write(f"{hash_of(output)} {message}\\n")
        return float(intent in output)


@dataclass
class Long(DataclassMetric):
    name: str = field(default="long", kw_only=True)

    def score(self, output: str, **_ignored: object) -> float:
        return float(len(output) > 40)


def hash_of(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()[:12]
"""
TOPICS = ("order", "refund", "damage", "address")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a file, its data and its metrics.

    The model repeats the user's message, and an answer is right if it names the intent: so it is
    once the message is preceded by demonstrations of that intent.
    """
    rows = [{"message": f"m {n}", "intent": TOPICS[n % 4]} for n in range(60)]
    (tmp_path / "items.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "shop.yaml").write_text(FILE)
    (tmp_path / "shop_metrics.py").write_text(METRICS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "shop_metrics", raising=False)
    return tmp_path


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command line in this process; returns exit code, standard output and errors."""

    def run(*words: str, store: str = "runs.db") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--storage", f"file:{store}"])
        captured = capsys.readouterr()
        return int(str(ended.value.code)), captured.out, captured.err

    return run


def essence(text: str) -> dict[str, Any]:
    """Return what a run prints as JSON, without what differs from run to run."""
    document: dict[str, Any] = json.loads(text)
    for name in ("optimization_id", "experiment_ids", "seconds", "storage_location"):
        del document[name]
    return document


def test_a_file_becomes_a_result(cli, folder: Path) -> None:
    """The prompt gets better, and the holdout shows it beside the references and what is noted."""
    code, out, err = cli("optimize", "shop.yaml", "--output", "best.json")
    assert code == 0
    assert "Chain: named 0.000 -> 1.000" in out
    assert "the same command goes on" in err
    assert "stage 2: ParameterOptimizer" in err
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line[:1].isalpha()}
    assert rows["holdout"] == [
        "holdout",
        "n",
        "named",
        "95",
        "%",
        "interval",
        "long",
        *rows["holdout"][-3:],
    ]
    assert {"initial", "helped", "warm", "returned"} <= {*rows}
    assert rows["returned"][1:3] == ["15", "1.000"]
    saved = OptimizationResult.load(folder / "best.json")
    assert saved.score == 1.0
    assert saved.details["optimized_parameters"] == {}
    assert len(saved.details["demonstrations"]) >= 4
    assert [stage["optimizer"] for stage in saved.details["stages"]] == [
        "FewShotBayesianOptimizer",
        "ParameterOptimizer",
    ]


def test_as_json(cli) -> None:
    """``--json`` prints one line with the result and the comparisons on the holdout."""
    code, out, _ = cli("optimize", "shop.yaml", "--json")
    assert code == 0
    document = json.loads(out)
    holdout = document["holdout"]
    assert {*holdout} == {"initial", "helped", "warm", "returned"}
    assert holdout["initial"]["named"] == 0.0
    assert holdout["initial"]["returned_is_better_by"] == 1.0
    assert holdout["initial"]["p_value"] < 0.001
    assert 0 < holdout["helped"]["named"] < holdout["returned"]["named"]
    assert (holdout["initial"]["long"], holdout["returned"]["long"]) == (0.0, 1.0)
    assert "p_value" not in holdout["returned"]
    assert document["holdout_test"]["p_value"] == holdout["initial"]["p_value"]
    assert "rounds" not in document


def test_a_finished_run_is_shown_again_for_nothing(cli, folder: Path) -> None:
    """The same command again calls nothing and prints the same; ``--anew`` runs everything."""
    _, first, _ = cli("optimize", "shop.yaml", "--json")
    calls = (folder / "calls").read_text()
    _, again, _ = cli("optimize", "shop.yaml", "--json")
    assert essence(again) == essence(first)
    assert (folder / "calls").read_text() == calls
    _, anew, _ = cli("optimize", "shop.yaml", "--json", "--anew")
    assert essence(anew) == essence(first)
    assert len((folder / "calls").read_text()) > 1.8 * len(calls)  # references are known


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        (signal.SIGINT, 130, "go on with: opik-eval optimize shop.yaml --storage file:runs.db\n"),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
@pytest.mark.parametrize("after", [30, 100])
def test_stopped_and_gone_on(
    cli, folder: Path, ending: signal.Signals, code: int, said: str, after: int
) -> None:
    """Ctrl-C exits with 130 and says how to go on, kill -9 just so; nothing stored is run again."""
    path = folder / "shop.yaml"
    path.write_text(path.read_text().replace("fake/echo", "fake/latency?seconds=0.01"))
    _, expected, _ = cli("optimize", "shop.yaml", "--json", store="whole.db")
    calls = folder / "calls"
    whole = calls.read_text().splitlines()
    calls.unlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "opik_eval", "optimize", "shop.yaml", "--storage", "file:runs.db"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    while not calls.exists() or len(calls.read_text().splitlines()) < after:
        assert process.poll() is None
    process.send_signal(ending)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert said in errors
    _, resumed, _ = cli("optimize", "shop.yaml", "--json")
    assert essence(resumed) == essence(expected)
    made = calls.read_text().splitlines()
    assert sorted({*made}) == sorted({*whole})
    assert len(made) - len(whole) <= 2 * 2  # what two workers had not stored yet


def test_mistakes_are_found_with_their_place(cli, folder: Path) -> None:
    """Unknown optimizers, arguments, keys and metrics are reported with file, line and key."""
    for old, new, said in (
        ("FewShotBayesianOptimizer:", "FewShotOptimiser:", "line 10, optimizers.0"),
        ("max_examples: 5", "max_exampels: 5", "did you mean 'max_examples'"),
        ("max_trials: 8", "max_trails: 8", "did you mean 'max_trials'"),
        ("helped: {prompt", "helped: {promt", "did you mean 'prompt'"),
        ("shop_metrics:Named", "no_such_metric", "metric"),
        ("shares: [3, 1]", "shares: [3]", "one positive number for each stage"),
        ("metric: shop_metrics:Named", "metric: {a: {}, b: {}}", "names 2 metrics"),
        ("  - FewShot", "  - X: {}\n    FewShot", "names 2 optimizers"),
        ("FewShotBayesianOptimizer:", '"shop_metrics:Nothing":', "cannot load"),
        ("FewShotBayesianOptimizer:", '"shop_metrics:Named":', "is no optimizer"),
        ("dataset: items.jsonl", "dataset: demo:everything", "no split"),
    ):
        (folder / "bad.yaml").write_text(FILE.replace(old, new, 1))
        code, _, err = cli("optimize", "bad.yaml")
        assert (code, said in err) == (1, True), err
    (folder / "bad.yaml").write_text("- a list")
    assert "is not a mapping" in cli("optimize", "bad.yaml")[2]


def test_one_optimizer_without_holdout(cli, folder: Path) -> None:
    """A single optimizer is no chain, and without a holdout nothing is compared on it."""
    start, _, rest = FILE.partition("optimizers:")
    tail = rest[rest.index("n_threads") :].replace("max_trials: 8", "n_samples: 20")
    entry = "optimizers: ['opik_optimizer:FewShotBayesianOptimizer']\nbudget: {trials: 2}\n"
    one = f"{start}{entry}{tail}"
    (folder / "one.yaml").write_text(one.replace("holdout: 0.25", "holdout: false"))
    code, out, _ = cli("optimize", "one.yaml", "--json")
    document = json.loads(out)
    assert (code, document["optimizer"], document["holdout"]) == (
        0,
        "FewShotBayesianOptimizer",
        None,
    )
    assert document["trials_charged"] == len(document["experiment_ids"]) == 1  # it is perfect


def test_failed_items_make_it_incomplete(cli, folder: Path) -> None:
    """If the metric fails on items of the returned prompt, the exit code is 3."""
    broken = METRICS.replace("return float(intent in output)", "return 1 / (message != 'm 7')")
    (folder / "shop_metrics.py").write_text(broken)
    path = folder / "shop.yaml"
    path.write_text(
        FILE.replace("holdout: 0.25", "validation_dataset: items.jsonl\nholdout: false")
    )
    assert cli("optimize", "shop.yaml")[0] == 3


def test_an_endpoint_can_be_named() -> None:
    """``api_base`` is handed to the model."""
    from opik_eval.storage.memory import MemoryStorage
    from opik_optimizer.cli.assembly import Assembly

    content = {
        "name": "x",
        "dataset": "demo:train",
        "prompt": "{message}",
        "model": "openai/mine",
        "api_base": "http://127.0.0.1:9/v1",
        "metric": "equals",
        "optimizers": ["HRPO"],
    }
    file = parse_optimize_file(content, "test")
    prompt = Assembly(file, MemoryStorage(), is_quiet=True).prompt()
    assert getattr(prompt.model, "api_base", None) == "http://127.0.0.1:9/v1"


def test_the_shipped_file_is_valid() -> None:
    """The file of the demonstration can be read, and its optimizers exist."""
    from opik_eval.storage.memory import MemoryStorage
    from opik_optimizer.cli.assembly import Assembly

    file = read_optimize_file(ROOT / "configs" / "optimize_demo.yaml")
    assembly = Assembly(file, MemoryStorage(), is_quiet=True)
    assert len(getattr(assembly.optimizer(), "stages", ())) == 2
    assert assembly.objective().observed_names == ["unparsed"]
    assert assembly.options()["optimize_prompts"] == "all"
