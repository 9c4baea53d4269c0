"""What is stored of units: traces, experiment items, and at the end the experiment's dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import cast

from opik_eval.datasets.dataset import get_or_create_dataset
from opik_eval.datasets.items import make_item
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

    def close(self) -> str | None:
        """Wait until everything is stored; return what is wrong if not all of it is."""
        report = self.tracer.close(None)
        self.storage.close()
        if report.complete:
            return None
        rejected = "; ".join(report.rejected[:3])
        return f"{report.pending} records wait, rejected: {rejected or 'none'}; {report.problem}"

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
            run={"higher_is_better": {PASSED: True}},
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
    """

    def __init__(self, recording: Recording, trace: TraceState, data: dict[str, object]) -> None:
        self._recording = recording
        self._trace = trace
        self.data = data
        self.item_id = derived_id(recording.plan.dataset_name, content_hash(data))

    def scope(self) -> AbstractContextManager[TraceState]:
        """Return the block in which the test runs."""
        return trace_scope(self._trace)

    def abandon(self, error: BaseException) -> None:
        """End the trace of a run that says nothing of passing, such as a skipped one."""
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
        reason = None if error is None else f"{type(error).__name__}: {error}"
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


def open_recording(plan: Plan) -> Recording | None:
    """Return a recording in the store of the settings; ``None`` while tracing is switched off.

    Raises:
        OpikEvalError: The store cannot be opened.
    """
    return Recording(plan, open_storage()) if is_tracing_active() else None


def conclude(
    plan: Plan, units: Iterable[Mapping[str, object]], *, is_complete: bool
) -> EvaluationResult:
    """Add what the units are about to the dataset, end the experiment, and return its result.

    Args:
        plan: What the processes of the session agreed on.
        units: ``item_id`` and ``data`` of all units that ran.
        is_complete: Whether the session ran to its end.

    Raises:
        OpikEvalError: The store failed.
    """
    storage = open_storage()
    try:
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
            status="completed" if is_complete else "stopped",
            last_updated_at=utc_now(),
        )
        storage.write([end])
        return load_result(storage, plan.experiment_id)
    finally:
        storage.close()
