"""The books of a session: what its tests recorded, gathered where pytest sums up.

A worker of pytest-xdist records its own units; what they and the checks came to travels with the
reports of the tests to the process that started the workers.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from opik_eval.errors import OpikEvalError
from opik_eval.pytest_plugin.plan import Plan
from opik_eval.pytest_plugin.unit import Unit, unit_of

if TYPE_CHECKING:
    from opik_eval.experiments import EvaluationResult
    from opik_eval.pytest_plugin.baseline import Baseline
    from opik_eval.pytest_plugin.recording import Recording, UnitRun
    from opik_eval.pytest_plugin.report import Check

_BASELINE = pytest.StashKey["Baseline"]()
_UNITS = pytest.StashKey[list[dict[str, object]]]()
_PLAN = "opik_eval_plan"
_PROBLEMS = "opik_eval_problems"
_SAID = "opik_eval"
_NO_VERDICT = (pytest.skip.Exception, pytest.exit.Exception, KeyboardInterrupt)


def register_baseline(item: pytest.Item, baseline: Baseline) -> Baseline:
    """Remember the baseline of a test, so that its checks are summed up."""
    item.stash[_BASELINE] = baseline
    return baseline


class Session:
    """A plug-in of one run of pytest.

    Args:
        config: Its configuration.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._recording: Recording | None = None
        self._checks: list[Check] = []
        self._units: list[Mapping[str, object]] = []
        self._problems: list[str] = []
        self._result: EvaluationResult | None = None

    @cached_property
    def _plan(self) -> Plan:
        given = getattr(self._config, "workerinput", {}).get(_PLAN)
        if given is not None:
            return Plan(**given)
        option = self._config.option
        return Plan.new(option.eval_experiment, option.eval_dataset)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of pytest-xdist the plan."""
        node.workerinput[_PLAN] = self._plan.as_dict()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Open the store before any test runs, if there are units to record.

        Raises:
            UsageError: It cannot be opened.
        """
        if self._config.option.collectonly or not any(map(_unit_of, session.items)):
            return
        from opik_eval.pytest_plugin.recording import open_recording

        try:
            self._recording = open_recording(self._plan)
        except OpikEvalError as error:
            raise pytest.UsageError(f"@llm_unit cannot record tests: {error}") from error
        if self._recording is None:
            self._problems.append("tracing is switched off: no test was recorded")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run a unit within its trace."""
        unit = _unit_of(item)
        if unit is None or self._recording is None:
            return (yield)
        run = self._recording.start(unit, item.nodeid, _values_of(item))
        try:
            with run.scope():
                result = yield
        except _NO_VERDICT as error:
            run.abandon(error)
            raise
        except BaseException as error:
            self._end(item, run, error)
            raise
        self._end(item, run, None)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send what a test recorded along with its report."""
        report = yield
        unit = _unit_of(item)
        if call.when == "setup" and report.failed and unit and self._recording and call.excinfo:
            run = self._recording.start(unit, item.nodeid, _values_of(item))
            self._end(item, run, call.excinfo.value, has_run=False)
        baseline = item.stash.get(_BASELINE, None)
        said = {
            "checks": baseline.take_checks() if baseline else [],
            "units": item.stash.get(_UNITS, []),
        }
        item.stash[_UNITS] = []
        if any(said.values()):
            from opik_eval.pytest_plugin.report import properties
            from opik_eval.serialization import dumps

            item.user_properties += properties(said["checks"])
            setattr(report, _SAID, dumps(said).decode())
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what a test recorded, in whichever process it ran."""
        said = getattr(report, _SAID, None)
        if said is None or _is_worker(self._config):
            return
        from opik_eval.pytest_plugin.report import Check

        found = json.loads(said)
        self._checks += [Check.of(report.nodeid, check) for check in found["checks"]]
        self._units += found["units"]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker could not record."""
        self._problems += getattr(node, "workeroutput", {}).get(_PROBLEMS, ())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Store what is pending; the process that sums up ends the experiment and reports."""
        if self._recording is not None:
            self._note(self._recording.close())
        if _is_worker(self._config):
            self._config.workeroutput[_PROBLEMS] = self._problems  # type: ignore[attr-defined]
            return
        if self._units:
            from opik_eval.pytest_plugin.recording import conclude

            done = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
            try:
                self._result = conclude(self._plan, self._units, is_complete=done)
            except OpikEvalError as error:
                self._note(f"the experiment could not be ended: {error}")
        path = self._config.option.eval_report
        if path is not None:
            from opik_eval.pytest_plugin.report import markdown

            text = markdown(self._checks, self._result, self._problems)
            path.write_text(text, encoding="utf-8")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show what the checks and units came to."""
        lines = list(self._summary())
        if lines:
            terminalreporter.section("evaluation")
        for line in lines:
            terminalreporter.line(line)
        for problem in self._problems:
            terminalreporter.line(f"NOT RECORDED: {problem}", red=True)

    def _summary(self) -> Iterator[str]:
        if self._checks:
            from opik_eval.pytest_plugin.report import check_lines

            yield from check_lines(self._checks)
        if self._result is not None:
            from opik_eval.experiments import result_text

            yield from result_text(self._result, ascii_only=True).splitlines()

    def _end(
        self,
        item: pytest.Item,
        run: UnitRun,
        error: BaseException | None,
        *,
        has_run: bool = True,
    ) -> None:
        try:
            run.end(error, has_run=has_run)
        except OpikEvalError as problem:
            self._note(f"{item.nodeid}: {problem}")
        item.stash.setdefault(_UNITS, []).append({"item_id": run.item_id, "data": run.data})

    def _note(self, problem: str | None) -> None:
        if problem is not None:
            self._problems.append(problem)


def _unit_of(item: pytest.Item) -> Unit | None:
    return unit_of(getattr(item, "obj", None))


def _values_of(item: pytest.Item) -> dict[str, object]:
    callspec = getattr(item, "callspec", None)
    return {**(callspec.params if callspec else {}), **(getattr(item, "funcargs", None) or {})}


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
