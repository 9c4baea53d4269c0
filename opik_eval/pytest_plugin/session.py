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
from opik_eval.pytest_plugin.running import Runner, take_units, unit_of_item

if TYPE_CHECKING:
    from opik_eval.experiments import EvaluationResult
    from opik_eval.pytest_plugin.baseline import Baseline
    from opik_eval.pytest_plugin.report import Check

_BASELINE = pytest.StashKey["Baseline"]()
_PLAN = "opik_eval_plan"
_PROBLEMS = "opik_eval_problems"
_SAID = "opik_eval"


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
        self._runner: Runner | None = None
        self._checks: list[Check] = []
        self._units: list[Mapping[str, object]] = []
        self._problems: list[str] = []
        self._crashed: list[str] = []
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
        if self._config.option.collectonly or not any(map(unit_of_item, session.items)):
            return
        from opik_eval.pytest_plugin.recording import open_recording

        try:
            recording = open_recording(self._plan, is_shared=_is_worker(self._config))
        except OpikEvalError as error:
            refusal = f"@llm_unit cannot record tests: {error}"
            if not _is_worker(self._config):
                raise pytest.UsageError(refusal) from error
            session.shouldstop = refusal  # how pytest-xdist learns of it; see pytest_runtestloop
            return
        if recording is None:
            self._note("tracing is switched off: no test was recorded")
        else:
            self._runner = Runner(recording, self._note)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run nothing in a worker that cannot record what it would run."""
        return True if session.shouldstop and _is_worker(self._config) else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Run a unit within its trace."""
        if self._runner is None:
            return (yield)
        with self._runner.running(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Send what a test recorded along with its report."""
        baseline = item.stash.get(_BASELINE, None)
        checks = baseline.take_checks() if baseline else []
        if checks:
            from opik_eval.pytest_plugin.report import properties

            item.user_properties += properties(checks)
        report = yield
        if self._runner is not None:
            self._runner.judge(item, call, report)
        said = {"checks": checks, "units": take_units(item)}
        if any(said.values()):
            from opik_eval.serialization import dumps

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
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        """Remember the test in whose midst a worker died: it has nothing to say of itself."""
        self._crashed.append(crashitem)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what a worker could not record."""
        for problem in getattr(node, "workeroutput", {}).get(_PROBLEMS, ()):
            self._note(problem)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Store what is pending; the process that sums up ends the experiment and reports."""
        try:
            if self._runner is not None:
                self._note(self._runner.recording.finish())
            if _is_worker(self._config):
                self._config.workeroutput[_PROBLEMS] = self._problems  # type: ignore[attr-defined]
                return
            if self._units:
                self._conclude(_stop_reason(session, exitstatus))
            self._report()
        finally:
            if self._runner is not None:
                self._runner.recording.close()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show what the checks and units came to."""
        lines = list(self._summary())
        if lines or self._problems:
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

    def _conclude(self, stop_reason: str | None) -> None:
        from opik_eval.pytest_plugin.recording import conclude

        for test in dict.fromkeys(self._crashed):
            stop_reason = f"a worker crashed while it ran {test}"
            self._note(f"{test}: its worker crashed")
        storage = self._runner.recording.storage if self._runner is not None else None
        try:
            self._result = conclude(
                self._plan, self._units, storage=storage, stop_reason=stop_reason
            )
        except OpikEvalError as error:
            self._note(f"the experiment could not be ended: {error}")

    def _report(self) -> None:
        path = self._config.option.eval_report
        if path is None:
            return
        from opik_eval.pytest_plugin.report import markdown

        text = markdown(self._checks, self._result, self._problems)
        try:
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            self._note(f"the report {path} could not be written: {error.strerror}")

    def _note(self, problem: str | None) -> None:
        if problem is not None and problem not in self._problems:
            self._problems.append(problem)


def _stop_reason(session: pytest.Session, exitstatus: int) -> str | None:
    """Return why a session did not run all of its tests; ``None`` = it did."""
    for reason in (session.shouldfail, session.shouldstop):
        if reason:
            return str(reason)
    if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return None
    return "interrupted" if exitstatus == pytest.ExitCode.INTERRUPTED else f"exit {exitstatus}"


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
