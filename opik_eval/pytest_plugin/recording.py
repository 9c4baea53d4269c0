"""What is stored of units: traces, experiment items, and at the end the experiment's dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import cast

from opik_eval.datasets.dataset import get_or_create_dataset
from opik_eval.datasets.items import make_item
from opik_eval.errors import ConfigError
from opik_eval.experiments import EvaluationResult, load_result
from opik_eval.ids import derived_id
from opik_eval.pytest_plugin.plan import Plan
from opik_eval.pytest_plugin.unit import Unit
from opik_eval.records import Experiment, ExperimentItem, ItemScore, utc_now
from opik_eval.serialization import content_hash
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage
from opik_eval.tracing import TraceState, is_tracing_active, trace_scope
from opik_eval.tracing.capture import error_info_of, snapshot
from opik_eval.tracing.tracer import Tracer

PASSED = "Passed"
_RUN: dict[str, object] = {"higher_is_better": {PASSED: True}}


class Recording:
    """Records the units that run in this process; others may add to the same experiment.

    Args:
        plan: What all processes of the session agree on.
        storage: Where to; closed with the recording.
    """

    def __init__(self, plan: Plan, storage: Storage) -> None:
        self.plan = plan
        self.storage = storage
        self.tracer = Tracer(storage)
        self._is_begun = False

    def start(self, unit: Unit, test: str, values: Mapping[str, object]) -> UnitRun:
        """Start the trace of a unit.

        Args:
            unit: Which values say what the test is about.
            test: The test's id.
            values: Its arguments by name.
        """
        content = cast("dict[str, object]", snapshot(unit.content(values)))
        trace = TraceState(
            self.tracer,
            test,
            project_name=self.tracer.project_name,
            environment=self.tracer.environment,
            input=content,
            metadata={"experiment_id": self.plan.experiment_id},
        )
        return UnitRun(self, trace, {"test": test, **content})

    def add(self, item: ExperimentItem) -> None:
        """Store an item of the experiment; the first brings the experiment itself.

        Raises:
            StorageError: The store failed.
        """
        if not self._is_begun:
            self._begin()
            self._is_begun = True
        self.storage.write([item])

    def finish(self) -> str | None:
        """Wait until everything is stored; return what is wrong if not all of it is."""
        report = self.tracer.close(None)
        if report.complete:
            return None
        rejected = "; ".join(report.rejected[:3])
        return f"{report.pending} records wait, rejected: {rejected or 'none'}; {report.problem}"

    def close(self) -> None:
        """Close the store."""
        self.storage.close()

    def _begin(self) -> None:
        dataset = get_or_create_dataset(self.storage, self.plan.dataset_name)
        now = utc_now()
        experiment = Experiment(
            id=self.plan.experiment_id,
            name=self.plan.experiment_name,
            dataset_id=dataset.id,
            dataset_name=self.plan.dataset_name,
            project_name=self.tracer.project_name,
            type="regular",
            status="running",
            evaluation_method="dataset",
            run=_RUN,
            created_at=now,
            last_updated_at=now,
        )
        self.storage.write([experiment])


class UnitRun:
    """One run of a unit.

    Args:
        recording: Where it is recorded.
        trace: Its trace.
        data: What the test is about.

    Attributes:
        data: What the test is about.
        item_id: The dataset item of that content, the same in every session.
        is_over: The test has ended; what is reported before are parts of it, such as subtests.
        failed_part: What the first part that failed raised.
    """

    def __init__(self, recording: Recording, trace: TraceState, data: dict[str, object]) -> None:
        self._recording = recording
        self._trace = trace
        self.data = data
        self.is_over = False
        self.failed_part: BaseException | None = None
        self.item_id = derived_id(recording.plan.dataset_name, content_hash(data))

    def scope(self) -> AbstractContextManager[TraceState]:
        """Return the block in which the test runs."""
        return trace_scope(self._trace)

    def abandon(self, error: BaseException | None) -> None:
        """End the trace of a run that says nothing of passing, such as a skipped one."""
        if error is not None:
            self._trace.fail(error)
        self._trace.end()

    def end(self, error: BaseException | None, *, has_run: bool = True) -> None:
        """Record how the test ended.

        Args:
            error: What it raised.
            has_run: Whether it ran at all. If its fixtures failed, the item has an error and no
                score.

        Raises:
            StorageError: The store failed.
        """
        reason = None if error is None else _reason_of(error)
        passed = ItemScore(name=PASSED, value=float(error is None), reason=reason)
        trace, plan = self._trace, self._recording.plan
        if has_run:
            trace.score(PASSED, float(error is None), reason=reason)
        if error is not None:
            trace.fail(error)
        trace.end()
        self._recording.add(
            ExperimentItem(
                id=derived_id(plan.experiment_id, self.item_id, trace.id),
                experiment_id=plan.experiment_id,
                dataset_item_id=self.item_id,
                trace_id=trace.id,
                project_name=trace.project_name,
                input=self.data,
                output=({} if trace.output is None else trace.output) if has_run else None,
                error_info=None if has_run or error is None else error_info_of(error),
                scores=(passed,) if has_run else (),
                created_at=trace.start_time,
                last_updated_at=utc_now(),
            )
        )


def open_recording(plan: Plan, *, is_shared: bool) -> Recording | None:
    """Return a recording in the store of the settings; ``None`` while tracing is switched off.

    Args:
        plan: What all processes of the session agree on.
        is_shared: Whether other processes record as well.

    Raises:
        OpikEvalError: The store cannot be opened, does not answer, or is this process's alone.
    """
    if not is_tracing_active():
        return None
    storage = open_storage()
    try:
        if is_shared and storage.location == "memory:":
            raise ConfigError(
                "each worker of pytest-xdist would have a store memory: of its own",
                remedy="record in a file or on a server: OPIK_EVAL_STORAGE=file:PATH; or leave "
                "out -n",
            )
        storage.find_dataset(plan.dataset_name)  # a server is asked for the first time
    except BaseException:
        storage.close()
        raise
    return Recording(plan, storage)


def conclude(
    plan: Plan,
    units: Iterable[Mapping[str, object]],
    *,
    storage: Storage | None,
    stop_reason: str | None = None,
) -> EvaluationResult:
    """Add what the units are about to the dataset, end the experiment, and return its result.

    Args:
        plan: What the processes of the session agreed on.
        units: ``item_id`` and ``data`` of all units that ran.
        storage: Where they are; opened and closed here if absent.
        stop_reason: Why the session did not run to its end.

    Raises:
        OpikEvalError: The store failed.
    """
    if storage is not None:
        return _concluded(storage, plan, units, stop_reason)
    opened = open_storage()
    try:
        return _concluded(opened, plan, units, stop_reason)
    finally:
        opened.close()


def _concluded(
    storage: Storage,
    plan: Plan,
    units: Iterable[Mapping[str, object]],
    stop_reason: str | None,
) -> EvaluationResult:
    dataset = get_or_create_dataset(storage, plan.dataset_name)
    known = {item.id for item in dataset.records()}
    contents = {str(u["item_id"]): cast("Mapping[str, object]", u["data"]) for u in units}
    new = [make_item(data, item_id=key) for key, data in contents.items() if key not in known]
    if new:
        storage.change_items(dataset.id, upsert=new)
    version = dataset.version
    end = Experiment(
        id=plan.experiment_id,
        dataset_version_id=version.id if version else None,
        status="completed" if stop_reason is None else "stopped",
        run={**_RUN, "stop_reason": stop_reason},
        last_updated_at=utc_now(),
    )
    storage.write([end])
    return load_result(storage, plan.experiment_id)


def _reason_of(error: BaseException) -> str:
    info = error_info_of(error)
    return f"{info.exception_type}: {info.message}"
