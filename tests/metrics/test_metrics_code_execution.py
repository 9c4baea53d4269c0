"""Running code in child processes, and scoring it by tests."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from opik_eval.errors import MetricError
from opik_eval.metrics import CodeExecution, SubprocessRunner
from opik_eval.metrics.code_execution import extract_code
from opik_eval.metrics.code_runner import Execution
from opik_eval.statistics import reducer
from opik_eval.testing.metric_contract import MetricCase, MetricContract

DOUBLE = "def double(x):\n    return 2 * x\n"
TESTS = "assert double(3) == 6"
RIGHT, WRONG = {"output": DOUBLE, "tests": TESTS}, {"output": "x = 1", "tests": TESTS}


@dataclass
class Scripted:
    """A runner that answers as it is told."""

    execution: Execution

    def run(self, program):
        """Answer; a good ending repeats the last line that the program would print."""
        token = program.rstrip().rpartition("print('")[2].removesuffix("')")
        return Execution(
            exit_code=self.execution.exit_code,
            stdout=self.execution.stdout.replace("TOKEN", token),
            stderr=self.execution.stderr,
        )


GOOD = Execution(exit_code=0, stdout="chatter\n\nTOKEN\n")


class TestCodeExecution(MetricContract):
    """The battery, with a runner that runs nothing and with the real one."""

    @pytest.fixture(
        params=[
            MetricCase(
                lambda: CodeExecution(Scripted(GOOD)),
                RIGHT,
                "code_execution_metric",
                RIGHT,
                None,
                ("output",),
                {"output": 3, "tests": ["x"]},
            ),
            MetricCase(
                lambda: CodeExecution(trust_code=True), WRONG, "code_execution_metric", RIGHT
            ),
        ],
        ids=["scripted", "subprocess"],
    )
    def case(self, request):
        """Return one metric."""
        return request.param


@pytest.mark.parametrize("runner", [None, SubprocessRunner()])
def test_running_code_here_must_be_asked_for(runner):
    """The error says what would happen and what to do."""
    with pytest.raises(MetricError, match="with your rights") as refusal:
        CodeExecution(runner)
    assert "trust_code=True" in refusal.value.remedy


FENCES = [
    ("x = 1", "x = 1"),
    ("Text\n```python\nx = 1\n```\nmore\n```python\nx = 2\n```", "x = 1\n"),
    ("```\nplain\n```\n```py\nx = 1\n```", "x = 1\n"),
    ("```sh\npip install y\n```\n```\nx = 1\n```", "x = 1\n"),
    ("~~~~Python3 title\nx = '```'\n~~~~", "x = '```'\n"),
    ("```python\nx = 1\ny", "x = 1\ny"),
    ("```sh\nls\n```", "```sh\nls\n```"),
    ("  ```python\n  x = 1\n  ```", "  x = 1\n"),
]


@pytest.mark.parametrize(("text", "code"), FENCES)
def test_the_code_is_found_in_the_answer(text, code):
    """Python first, then no language, then everything."""
    assert extract_code(text) == code


def test_the_prefix_comes_first():
    """For outputs that are the body of a function."""
    metric = CodeExecution(trust_code=True)
    score = metric.score("    return 2 * x", TESTS, code_prefix="def double(x):\n")
    assert score.value == 1.0


ENDINGS = [
    ("def double(x: return", "SyntaxError"),
    ("import sys\nsys.exit(0)", "left before its tests were through"),
    ("import os\nos._exit(0)", "left before its tests were through"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
    ("import os\nos._exit(3)", "exit code 3"),
    ("raise ValueError('no')", "ValueError: no"),
]


@pytest.mark.parametrize(("code", "reason"), ENDINGS)
def test_every_way_to_fail_is_a_zero_with_a_reason(code, reason):
    """Leaving early with exit code 0 is no way to pass."""
    score = CodeExecution(trust_code=True).score(code, "pass")
    assert score.value == 0.0
    assert reason in score.reason


def test_running_out_of_time_is_a_zero():
    """The runner says so by an exit code of None."""
    assert CodeExecution(Scripted(Execution(exit_code=None))).score(**RIGHT).reason == (
        "it ran out of time"
    )


@pytest.mark.parametrize(
    ("tests", "what"),
    [("", "empty"), ("# nothing", "empty"), ("assert (", "not Python"), ("\x00", "not Python")],
)
def test_tests_that_test_nothing_are_an_error(tests, what):
    """An item without usable tests must not look like passing or failing code."""
    with pytest.raises(MetricError, match=f"'tests' is {what}"):
        CodeExecution(Scripted(GOOD)).score(DOUBLE, tests)


def test_pass_at_k_follows_from_the_trials():
    """The scores of an item's trials, reduced."""
    metric = CodeExecution(trust_code=True)
    values = [metric.score(code, TESTS).value for code in (DOUBLE, "x = 1")]
    assert reducer("pass@1")(values) == 0.5
    assert reducer("pass@2")(values) == 1.0


def test_programs_see_no_environment_and_their_own_folder(monkeypatch):
    """Keys stay here; files of a program are gone with it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    program = (
        "import os; open('x', 'w').write('1'); print(os.getcwd(), os.listdir());"
        "print('KEY' if 'OPENAI_API_KEY' in os.environ else 'none')"
    )
    done = SubprocessRunner().run(program)
    assert done.exit_code == 0, done.stderr
    folder = done.stdout.split()[0]
    assert "'x'" in done.stdout
    assert done.stdout.endswith("none\n")
    assert not Path(folder).exists()


def test_time_is_limited():
    """A program that sleeps for ever is ended."""
    assert SubprocessRunner(timeout_seconds=0.3).run("import time\ntime.sleep(600)") == (
        Execution(exit_code=None)
    )


def test_children_end_with_their_parent():
    """What a program leaves running is ended with it."""
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid)\n"
    )
    done = SubprocessRunner().run(program)
    states = subprocess.run(
        ["ps", "-o", "stat=", "-p", done.stdout.strip()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert states.stdout.strip()[:1] in ("", "Z")


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no limit of address space")
def test_memory_is_limited():
    """Asking for more is a MemoryError of the program."""
    done = SubprocessRunner(memory_bytes=256 << 20).run("x = bytearray(1 << 30)")
    assert done.exit_code == 1
    assert "MemoryError" in done.stderr


def test_output_is_limited():
    """A program that prints for ever is ended by the limit of files."""
    done = SubprocessRunner(output_bytes=10_000).run("while True: print('x' * 1000)")
    assert done.exit_code != 0
    assert len(done.stdout) <= 10_000


def test_the_network_is_cut_off_where_it_can_be():
    """Only the loopback device is left; where that cannot be, ``required`` refuses to run."""
    program = "import socket; print([name for _, name in socket.if_nameindex()])"
    try:
        done = SubprocessRunner(network="required").run(program)
    except MetricError as error:
        pytest.skip(f"not on this system: {error.message}")
    assert done.stdout == "['lo']\n"


def test_required_means_required(monkeypatch):
    """A system that cannot cut off a program does not run it."""
    from opik_eval.metrics import code_runner

    monkeypatch.setattr(
        code_runner,
        "_BOOTSTRAP",
        code_runner._BOOTSTRAP.replace("alone = cut_off()", "alone = False"),
    )
    with pytest.raises(MetricError, match="cut off from the network"):
        SubprocessRunner(network="required").run("print(1)")
    assert SubprocessRunner(network="blocked").run("print(1)").stdout == "1\n"


def test_other_systems_are_refused(monkeypatch):
    """Where there are no POSIX limits, nothing is run without them."""
    monkeypatch.setattr("opik_eval.metrics.code_runner.os.name", "nt")
    with pytest.raises(MetricError, match="POSIX"):
        SubprocessRunner().run("print(1)")


@pytest.mark.parametrize(
    "option", [{"network": "off"}, {"timeout_seconds": 0}, {"memory_bytes": -1}]
)
def test_impossible_limits_are_refused(option):
    """When the runner is made."""
    with pytest.raises(MetricError):
        SubprocessRunner(**option)
