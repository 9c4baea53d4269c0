"""What pytest loads: the options, the fixture ``baseline``, and the session's bookkeeping."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opik_eval.pytest_plugin.session import Session, register_baseline

if TYPE_CHECKING:
    from opik_eval.pytest_plugin.baseline import Baseline


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("opik-eval", "evaluation (opik-eval)")
    group.addoption(
        "--update-baselines",
        action="store_true",
        help="write what tests hand to the fixture `baseline`, instead of comparing it with what "
        "is there",
    )
    group.addoption(
        "--eval-experiment",
        metavar="NAME",
        help="name of the experiment in which tests marked with @llm_unit are recorded",
    )
    group.addoption(
        "--eval-dataset",
        metavar="NAME",
        default="tests",
        help="dataset of what they are about (default: %(default)s)",
    )
    group.addoption(
        "--eval-report",
        metavar="FILE",
        type=Path,
        help="write what checks and units came to as Markdown, for a pull request",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep the books of this session.

    Raises:
        UsageError: There is no folder for the report, or it is one.
    """
    report = config.option.eval_report
    if report is not None and not report.absolute().parent.is_dir():
        raise pytest.UsageError(f"--eval-report={report}: there is no folder {report.parent}")
    if report is not None and report.is_dir():
        raise pytest.UsageError(f"--eval-report={report}: that is a folder; name a file in it")
    config.pluginmanager.register(Session(config), "opik-eval-session")


@pytest.fixture
def baseline(request: pytest.FixtureRequest) -> Baseline:
    """The baseline of this test: ``baseline.check(result, margin=0.02)``."""
    from opik_eval.pytest_plugin.baseline import Baseline

    return register_baseline(
        request.node,
        Baseline.beside(
            request.node.path,
            request.node.nodeid.partition("::")[2].replace("::", "."),
            updating=request.config.option.update_baselines,
        ),
    )
