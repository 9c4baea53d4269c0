"""One run, prepared: its identity in the store, its listeners, and all parts wired together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar, cast

from opik_eval.engine.threads import DaemonThreads
from opik_eval.ids import new_id
from opik_eval.serialization import content_hash, dumps, loads
from opik_optimizer.errors import SettingsError
from opik_optimizer.evaluator import ITEM_CODEC, Evaluator
from opik_optimizer.events import Callback, EventStream, WarningRaised
from opik_optimizer.ground import Ground
from opik_optimizer.guards import Guards, GuardSettings
from opik_optimizer.history import History
from opik_optimizer.ledger import Codec, Ledger, ledger_key
from opik_optimizer.logbook import Logbook
from opik_optimizer.pipeline import StopSwitch
from opik_optimizer.recording import StoreRecorder
from opik_optimizer.reflection import REPLY_CODEC, Reflector, StoredReply
from opik_optimizer.reporting import ConsoleReporter
from opik_optimizer.rewriter import Rewriter
from opik_optimizer.session import Workshop
from opik_optimizer.settings import OptimizeOptions, Settings

if TYPE_CHECKING:
    from opik_optimizer.optimizer import BaseOptimizer

T = TypeVar("T")

_RUN_PREFIX = "optimizer-run/1/"


@dataclass(kw_only=True)
class Job:
    """One run, ready to go.

    Attributes:
        ground: What it stands on.
        settings: Its settings.
        given: The user's options.
        workshop: Its parts, wired together.
        threads: Threads of synchronous agents and metrics.
        resumed: An earlier attempt of it is known.
        started: When it was prepared, by the ground's clock.
        switch: Ends the search.
        warnings: What the user should know.
    """

    optimizer: BaseOptimizer
    ground: Ground
    settings: Settings
    given: OptimizeOptions
    workshop: Workshop
    history: History
    threads: DaemonThreads
    resumed: bool
    started: float
    switch: StopSwitch = field(default_factory=StopSwitch)
    warnings: list[str] = field(default_factory=list)

    @property
    def optimization_id(self) -> str:
        """Its id: that of the attempt it resumes, if there was one."""
        return self.workshop.optimization_id

    @property
    def events(self) -> EventStream:
        """Where to tell what happens."""
        return self.workshop.events

    @property
    def evaluator(self) -> Evaluator:
        """What runs candidates."""
        return self.workshop.evaluator

    def warn(self, message: str) -> None:
        """Tell the user something, now and in the result."""
        self.warnings.append(message)
        self.events.emit(WarningRaised(optimization_id=self.optimization_id, message=message))

    async def flush(self) -> None:
        """Wait until everything that was paid for is stored."""
        await self.evaluator.ledger.flush()
        await self.workshop.reflector.ledger.flush()


def prepare(
    optimizer: BaseOptimizer, ground: Ground, settings: Settings, given: OptimizeOptions
) -> Job:
    """Wire a run together. Nothing is run yet."""
    resume = given.get("resume", True)
    agent_key = ground.agent.fingerprint(ground.seed_candidate.prompts)
    identity = search_identity(optimizer, ground, settings, agent_key)
    optimization_id, resumed = _identify(ground, identity, given, resume=resume)
    events = EventStream(cast("Sequence[Callback]", given.get("callbacks") or ()))
    _add_listeners(events, optimizer, ground, given, optimization_id)
    threads = DaemonThreads(settings.n_threads, name="opik-optimizer")
    history = History()

    def ledger(codec: Codec[T]) -> Ledger[T]:
        return Ledger(ground.storage, optimization_id, codec, resume=resume, is_new=not resumed)

    evaluator = Evaluator(
        agent=ground.agent,
        objective=ground.objective,
        ledger=ledger(ITEM_CODEC),
        items=ground.splits.items,
        run_key=ledger_key(
            "item", agent_key, ground.objective.fingerprint, settings.allow_tool_use
        ),
        events=events,
        optimization_id=optimization_id,
        executor=threads,
        models=ground.models,
        n_threads=settings.n_threads,
        allow_tool_use=settings.allow_tool_use,
        failure_score=ground.failure_score,
    )
    workshop = Workshop(
        optimization_id=optimization_id,
        evaluator=evaluator,
        reflector=_reflector(optimizer, evaluator, ledger(REPLY_CODEC)),
        guards=_guards(ground, settings, given),
        events=events,
        logbook=Logbook(optimization_id, history, events, ground.account),
        watch=optimizer.watch(),
    )
    return Job(
        optimizer=optimizer,
        ground=ground,
        settings=settings,
        given=given,
        workshop=workshop,
        history=history,
        threads=threads,
        resumed=resumed,
        started=ground.clock.now(),
    )


def _reflector(
    optimizer: BaseOptimizer, evaluator: Evaluator, ledger: Ledger[StoredReply]
) -> Reflector:
    return Reflector(
        rewriter=Rewriter.of(optimizer.options),
        analyst=Rewriter.of(optimizer.options, analysis=True),
        ledger=ledger,
        events=evaluator.events,
        optimization_id=evaluator.optimization_id,
        usage=evaluator.usage,
    )


def search_identity(
    optimizer: BaseOptimizer, ground: Ground, settings: Settings, agent_key: str
) -> str:
    """Return the key of a search: equal for runs that would go the same way.

    Limits, threads and display are no part of it, so that a run can be resumed with more budget.
    """
    from opik_eval.engine.fingerprint import fingerprint

    own = {name: _shown(v) for name, v in vars(optimizer).items() if name != "options"}
    options = {name: _shown(v) for name, v in vars(optimizer.options).items()}
    for name in ("verbose", "n_threads", "name"):
        del options[name]
    chosen = {name: getattr(settings, name) for name in vars(settings)}
    for name in ("budget", "n_threads"):
        del chosen[name]
    splits = ground.splits
    return content_hash(
        [
            type(optimizer).__qualname__,
            fingerprint([own, options, chosen]),
            ground.seed_candidate.id,
            [splits.train, splits.validation, splits.holdout],
            ground.objective.fingerprint,
            agent_key,
            ground.failure_score,
        ]
    )


def _identify(
    ground: Ground, identity: str, given: OptimizeOptions, *, resume: bool
) -> tuple[str, bool]:
    """Return the run's id, and whether an earlier attempt had it."""
    place = f"{_RUN_PREFIX}{identity}"
    wanted = given.get("optimization_id")
    stored = ground.storage.read_cached(place) if resume else None
    known = str(loads(stored)) if stored is not None else None
    if known is not None and wanted in (None, known):
        return known, True
    chosen = wanted or new_id()
    ground.storage.write_cached(place, dumps(chosen))
    return chosen, False


def _add_listeners(
    events: EventStream,
    optimizer: BaseOptimizer,
    ground: Ground,
    given: OptimizeOptions,
    optimization_id: str,
) -> None:
    if optimizer.options.verbose:
        events.add(ConsoleReporter())
    if not ground.is_volatile:  # else nobody could ever read it
        recorder = _recorder(optimizer, ground, given, optimization_id)
        events.add(recorder.behind(), essential=True)


def _recorder(
    optimizer: BaseOptimizer, ground: Ground, given: OptimizeOptions, optimization_id: str
) -> StoreRecorder:
    splits = ground.splits
    source = splits.sources[0] if splits.sources else None
    stored_ids: dict[str, str] = {}
    for part in splits.sources:
        stored_ids |= part.stored_ids
    return StoreRecorder(
        storage=ground.storage,
        optimization_id=optimization_id,
        optimizer=type(optimizer).__name__,
        metric_name=ground.objective.name,
        name=optimizer.options.name,
        dataset_name=source.name if source is not None else None,
        project_name=given.get("project_name"),
        dataset_item_ids=stored_ids,
        inputs=splits.items,
        experiment_config=given.get("experiment_config") or {},
        metadata={"seed": optimizer.options.seed, "limits": ground.limits.limits()},
    )


def _guards(ground: Ground, settings: Settings, given: OptimizeOptions) -> Guards:
    wanted = given.get("guards")
    if wanted is not None and not isinstance(wanted, GuardSettings):
        raise SettingsError(
            f"guards is a {type(wanted).__name__}", remedy="pass GuardSettings(...)"
        )
    tools = settings.tools if isinstance(settings.tools, bool) else frozenset(settings.tools)
    allowed = replace(wanted or GuardSettings(), roles=frozenset(settings.roles), tools=tools)
    items = list(ground.splits.items.values())
    return Guards(ground.seed_candidate, items=items, settings=allowed)


def _shown(value: object) -> object:
    """Return what a value contributes to a run's identity: of models the name alone."""
    return getattr(value, "name", value) if hasattr(value, "generate") else value


__all__ = ["Job", "prepare", "search_identity"]
