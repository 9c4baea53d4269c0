"""Units while they run: the trace reaches the test, and how it ended is read from pytest."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from opik_eval.errors import OpikEvalError
from opik_eval.pytest_plugin.unit import Unit, unit_of

if TYPE_CHECKING:
    from opik_eval.pytest_plugin.recording import Recording, UnitRun

_RUN = pytest.StashKey["UnitRun"]()
_ENDED = pytest.StashKey[list[dict[str, object]]]()
_NO_REPORT = (pytest.exit.Exception, KeyboardInterrupt)


class Runner:
    """Runs the units of this process.

    Args:
        recording: Where they are recorded; closed by its owner.
        note: Takes what could not be recorded.
    """

    def __init__(self, recording: Recording, note: Callable[[str], None]) -> None:
        self.recording = recording
        self._note = note

    @contextmanager
    def running(self, item: pytest.Item) -> Iterator[None]:
        """Run a test within its trace if it is a unit."""
        unit = unit_of_item(item)
        if unit is None:
            yield
            return
        run = item.stash[_RUN] = self.recording.start(unit, item.nodeid, _values_of(item))
        try:
            with run.scope(), _carried(item, run):
                yield
        except _NO_REPORT as error:
            del item.stash[_RUN]
            run.abandon(error)
            raise
        finally:
            run.is_over = True

    def judge(
        self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        """Record how a unit ended, as its report says it."""
        if call.when == "setup":
            self._judge_setup(item, call, report)
            return
        run = item.stash.get(_RUN, None)
        if call.when != "call" or run is None:
            return
        error = _error_of(call, report)
        if not run.is_over:  # the report is about a part of it, such as a subtest
            if report.failed:
                run.failed_part = run.failed_part or error
            return
        del item.stash[_RUN]
        is_skipped = report.skipped and not hasattr(report, "wasxfail")
        if is_skipped and run.failed_part is None:
            run.abandon(error)
        else:
            self._end(item, run, run.failed_part or error)

    def _judge_setup(
        self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> None:
        unit, error = unit_of_item(item), _error_of(call, report)
        if unit is not None and error is not None and report.failed:
            run = self.recording.start(unit, item.nodeid, _values_of(item))
            self._end(item, run, error, has_run=False)

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
        item.stash.setdefault(_ENDED, []).append({"item_id": run.item_id, "data": run.data})


def unit_of_item(item: pytest.Item) -> Unit | None:
    """Return what ``llm_unit`` said of a test or its class; ``None`` = nothing."""
    return unit_of(getattr(item, "obj", None)) or unit_of(getattr(item, "cls", None))


def take_units(item: pytest.Item) -> list[dict[str, object]]:
    """Return ``item_id`` and ``data`` of the units that a test was since the last call."""
    taken = item.stash.get(_ENDED, [])
    item.stash[_ENDED] = []
    return taken


@contextmanager
def _carried(item: Any, run: UnitRun) -> Iterator[None]:
    """Let a coroutine enter the trace itself: its plug-in may run it in a task that is older."""
    test = getattr(item, "obj", None)
    if not inspect.iscoroutinefunction(test):
        yield
        return

    @functools.wraps(test)
    async def within(*arguments: object, **named: object) -> object:
        with run.scope():
            return await test(*arguments, **named)

    # unittest looks up coroutines of a TestCase by name.
    case = item.instance if hasattr(item, "addSubTest") else None
    item.obj = within
    if case is not None:
        setattr(case, item.name, within)
    try:
        yield
    finally:
        item.obj = test
        if case is not None:
            delattr(case, item.name)


def _values_of(item: pytest.Item) -> dict[str, object]:
    callspec = getattr(item, "callspec", None)
    return {**(callspec.params if callspec else {}), **(getattr(item, "funcargs", None) or {})}


def _error_of(call: pytest.CallInfo[None], report: pytest.TestReport) -> BaseException | None:
    """Return why a test has not passed; ``None`` if it has.

    What it raised, or else what pytest made of it: a test that was expected to fail, strictly, and
    did not.
    """
    if call.excinfo is not None:
        return call.excinfo.value
    return AssertionError(report.longreprtext) if report.failed else None
