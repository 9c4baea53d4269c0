"""A command line in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from opik_eval.cli import main

ITEMS = "".join(f'{{"message": "message {n}", "label": "{n % 2}"}}\n' for n in range(6))
ECHO = """
name: echo
dataset: items.jsonl
model: fake/echo
prompt: "{{message}}"
metrics:
  - equals: {case_sensitive: true}
key_mapping:
  reference: message
"""
TASKS = '''
"""Tasks of a run file."""


def right(item):
    print("a task may print")
    return {"output": item["label"]}


def fails_on_odd(item):
    if item["label"] == "1":
        raise ValueError("odd")
    return {"output": item["label"]}


class Holder:
    @staticmethod
    def wrong(item):
        return {"output": "wrong"}


def broken_metric(dataset_item, task_outputs):
    raise RuntimeError("no score today")
'''


@dataclass
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What standard output says, which must be one line of JSON."""
        (line,) = self.out.splitlines()
        return json.loads(line)


Cli = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with six items, a run file and a module of tasks."""
    place = tmp_path / "work dir"
    place.mkdir()
    (place / "items.jsonl").write_text(ITEMS)
    (place / "echo.yaml").write_text(ECHO)
    (place / "shop_tasks.py").write_text(TASKS)
    monkeypatch.chdir(place)
    monkeypatch.delitem(__import__("sys").modules, "shop_tasks", raising=False)
    return place


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process."""

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture
def write_run(folder: Path) -> Callable[..., str]:
    """Write a run file that calls a task, and return its name."""

    def write(name: str, task: str, *, extra: str = "", metrics: str = "[equals]") -> str:
        text = (
            f"name: {name}\ndataset: items.jsonl\ntask: shop_tasks:{task}\nmetrics: {metrics}\n"
            f"key_mapping: {{reference: label}}\n{extra}"
        )
        (folder / f"{name}.yaml").write_text(text)
        return f"{name}.yaml"

    return write
