"""The command line as a whole: help, errors, exit codes, the installed program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import opik_eval
from opik_eval.storage.opening import open_storage

COMMANDS = (
    *("compare", "demo", "doctor", "export", "import", "list", "resume", "run", "serve", "show"),
)


def test_help_names_commands_and_exit_codes(cli) -> None:
    """``--help`` lists every command with a line on what it does, and every exit code."""
    outcome = cli("--help")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    for command in COMMANDS:
        assert any(line.split()[:1] == [command] and len(line.split()) > 2 for line in lines)
    for code in ("0", "1", "2", "3", "4", "130"):
        assert any(line.split()[:1] == [code] for line in lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(cli, command: str) -> None:
    """Every command explains itself and its options, the common ones included."""
    outcome = cli(command, "--help")
    assert outcome.code == 0
    assert f"Usage: opik-eval {command}" in outcome.out
    assert "--storage TARGET" in outcome.out
    assert "--json" in outcome.out


def test_version(cli) -> None:
    """``--version`` prints the version of the package."""
    assert opik_eval.__version__ in cli("--version").out


@pytest.mark.parametrize(
    "arguments",
    [("no-such-command",), ("show",), ("list", "planets"), ("show", "x", "--failures", "-1")],
)
def test_wrong_usage(cli, arguments: tuple[str, ...]) -> None:
    """Wrong usage exits with 2 and says what would be right, on standard error."""
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert "Usage:" in outcome.err
    assert not outcome.out


@pytest.mark.parametrize(
    "arguments", [("show", "nobody"), ("compare", "nobody", "else"), ("resume", "nobody")]
)
def test_unknown_experiment(cli, arguments: tuple[str, ...]) -> None:
    """An experiment that is not there exits with 1 and tells how to find one."""
    open_storage().close()
    outcome = cli(*arguments)
    assert outcome.code == 1
    assert "'nobody'" in outcome.err
    assert "opik-eval list" in outcome.err
    assert not outcome.out


def test_wrong_store(cli) -> None:
    """A target that is no store exits with 1 and names the forms that are."""
    outcome = cli("list", "--storage", "nonsense")
    assert outcome.code == 1
    assert "file:PATH" in outcome.err


@pytest.mark.parametrize("module", ["opik_eval", "opik_eval.cli"])
def test_as_module(module: str, tmp_path: Path) -> None:
    """``python -m`` works like the installed program."""
    run = subprocess.run(
        [sys.executable, "-m", module, "list", "--storage", "memory:"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "no experiments in memory:\n", "")


def test_installed_program(tmp_path: Path) -> None:
    """The program that the package installs runs, and prints on terminals of any encoding."""
    program = Path(sys.executable).parent / "opik-eval"
    run = subprocess.run(
        [program, "show", "nobody", "--storage", "memory:"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        env={"PYTHONIOENCODING": "latin-1", "PATH": ""},
    )
    assert run.returncode == 1
    assert b"\\u2192 'opik-eval list' shows" in run.stderr  # the arrow, which Latin-1 lacks


def test_reader_that_stops_reading(tmp_path: Path) -> None:
    """Output to a pipe that is closed early, as by ``head``, ends quietly."""
    command = f"{sys.executable} -m opik_eval list --json --storage memory: | true"
    run = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert run.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    """Output to a full disk is an error on one line."""
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "opik_eval", "list", "--json", "--storage", "memory:"],
            cwd=tmp_path,
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert run.returncode == 1
    assert run.stderr.startswith("error: cannot read or write: ")
    assert run.stderr.count("\n") == 1
