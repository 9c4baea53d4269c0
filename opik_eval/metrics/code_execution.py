"""Does code written by a model pass its tests?"""

from __future__ import annotations

import ast
import re
import secrets
from dataclasses import dataclass, field
from typing import ClassVar

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_text
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.code_runner import CodeRunner, Execution, SubprocessRunner

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*\1|\Z)", re.M | re.S)
_PYTHON = ("python", "py", "python3")


def extract_code(text: str) -> str:
    r"""Return the code in an answer.

    That is the first Markdown block marked as Python, else the first block without a language, else
    the whole text. A block that is cut off before its end counts.

    Example:
        >>> extract_code("Here it is:\n```python\nx = 1\n```\nDone.")
        'x = 1\n'
    """
    blocks = [(match[2].lower(), match[3]) for match in _FENCE.finditer(text)]
    for languages in (_PYTHON, ("",)):
        for language, code in blocks:
            if language in languages:
                return code
    return text


@dataclass
class CodeExecution(DataclassMetric):
    r"""1 if the Python code in the output passes its tests, else 0, with the last error as reason.

    The code is taken out of its Markdown block, the tests are put after it, and the program must
    run to its end: leaving early, crashing and running out of time or memory all are 0. For pass@k
    run k or more trials and reduce them: ``evaluate(..., trial_count=5)`` and
    ``statistics.reducer("pass@1")``.

    **Running code that a model wrote is dangerous.** The built-in runner (a child process with
    limits, see ``SubprocessRunner``) is no security boundary, and is used only if you say
    ``trust_code=True``. For code you do not trust give a runner that runs it in a container or a
    virtual machine.

    Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code".

    Args:
        runner: Runs the program; ``SubprocessRunner()`` if absent.
        trust_code: Let a runner that is no security boundary run the code on this machine.

    Raises:
        MetricError: There is neither a runner nor trust.

    Example:
        >>> metric = CodeExecution(trust_code=True)
        >>> answer = "```python\ndef double(x):\n    return x + 2\n```"
        >>> metric.score(output=answer, tests="assert double(3) == 6").reason
        'AssertionError'
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    runner: CodeRunner | None = None
    trust_code: bool = field(default=False, kw_only=True)
    name: str = field(default="code_execution_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        is_unsafe = self.runner is None or isinstance(self.runner, SubprocessRunner)
        if is_unsafe and not self.trust_code:
            raise MetricError(
                f"metric {self.name!r} would run code written by a model on this machine, with "
                "your rights",
                remedy="give a runner that runs it in a container, or say that you accept the "
                "risk: CodeExecution(trust_code=True)",
            )

    def score(
        self, output: str, tests: str, code_prefix: str = "", **_ignored: object
    ) -> ScoreResult:
        """Run the code in ``output`` with ``tests``.

        Args:
            output: Code, or an answer with code in it.
            tests: Python statements that raise where the code is wrong, such as ``assert``.
            code_prefix: Code to put before the output's, such as imports or the head of a function
                whose body is the output.

        Raises:
            MetricError: An argument is missing or no text, or the tests are not Python, or the
                runner does not work.
        """
        code = extract_code(require_text(output, "output", metric=self.name))
        self._check(require_text(tests, "tests", metric=self.name))
        prefix = require_text(code_prefix, "code_prefix", metric=self.name)
        # Only the end of the program prints this, so a program that leaves early has not passed.
        token = secrets.token_hex(16)
        program = f"{prefix}{code}\n\n{tests}\n\nprint()\nprint({token!r})\n"
        execution = (self.runner or SubprocessRunner()).run(program)
        passed = execution.exit_code == 0 and token in execution.stdout
        return ScoreResult(self.name, float(passed), reason=None if passed else _why(execution))

    def _check(self, tests: str) -> None:
        try:
            is_empty = not ast.parse(tests).body
            error: Exception | None = None
        except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
            is_empty, error = False, problem
        if is_empty or error:
            raise MetricError(
                f"metric {self.name!r}: 'tests' is {'empty' if is_empty else 'not Python'}"
                + (f": {error}" if error else ""),
                remedy="give Python statements that raise where the code is wrong",
            ) from error


def _why(execution: Execution) -> str:
    if execution.exit_code is None:
        return "it ran out of time"
    complaint = execution.stderr.strip().splitlines()
    if execution.exit_code < 0:
        return f"it was ended by signal {-execution.exit_code}"
    if execution.exit_code == 0:
        return "it left before its tests were through"
    return complaint[-1][:500] if complaint else f"it left with exit code {execution.exit_code}"


__all__ = ["CodeExecution", "extract_code"]
