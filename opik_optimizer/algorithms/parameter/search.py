"""The search: the whole space first, then around the best."""

from __future__ import annotations

import math
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from opik_optimizer.algorithms.parameter.importance import importance_of
from opik_optimizer.budget import Lease, LeaseSize
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import SettingsError
from opik_optimizer.guards import Rejection
from opik_optimizer.parameter_spec import label_of
from opik_optimizer.pipeline import Failure
from opik_optimizer.racing import RaceOutcome
from opik_optimizer.space import ParameterSearchSpace
from opik_optimizer.study import SeededStudy, expected_trials

if TYPE_CHECKING:
    import optuna

    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.session import Session

Measure = Literal["cost_usd", "seconds", "tokens"]
Phase = Literal["global", "local"]

OPERATOR = "parameters"
MEASURES: Sequence[Measure] = ("cost_usd", "seconds", "tokens")
_DRAWS = 20
_LEAST_LOCAL, _LEAST_GLOBAL = 2, 8
_LEAST_SPREAD, _MOST_SPREAD = 3, 10
"""Points that cover the space evenly, before the model of it says where to look."""

DEFAULT_SPACE: Mapping[str, Mapping[str, object]] = {
    "temperature": {"type": "float", "min": 0.0, "max": 1.0},
    "top_p": {"type": "float", "min": 0.1, "max": 1.0},
}
"""What is searched where nobody said what."""


@dataclass(frozen=True, kw_only=True)
class ParameterOptions:
    """Parameters of ``ParameterOptimizer``; see there."""

    search_space: ParameterSearchSpace | Mapping[str, object] | Sequence[object] | None = None
    default_n_trials: int = 20
    local_search_ratio: float = 0.3
    local_search_scale: float = 0.2
    minimize: Sequence[Measure] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.local_search_ratio <= 1:
            raise SettingsError(f"local_search_ratio={self.local_search_ratio!r} is not in [0, 1]")
        if not 0 < self.local_search_scale <= 1:
            raise SettingsError(f"local_search_scale={self.local_search_scale!r} is not in (0, 1]")
        if self.default_n_trials < 1:
            raise SettingsError(f"default_n_trials={self.default_n_trials!r} is below 1")
        if unknown := [name for name in self.minimize if name not in MEASURES]:
            raise SettingsError(
                f"minimize names {unknown}", remedy=f"there are {', '.join(MEASURES)}"
            )
        _ = self.space

    @property
    def space(self) -> ParameterSearchSpace:
        """The search space."""
        given = self.search_space
        if isinstance(given, ParameterSearchSpace):
            return given
        return ParameterSearchSpace(DEFAULT_SPACE if given is None else given)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class _Attempt:
    trial: optuna.Trial
    values: Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class _Point:
    """A complete trial."""

    values: Mapping[str, object]
    evaluation: Evaluation


@dataclass
class ParameterSearch:
    """One search. Decisions are made at issue, on what is committed by then.

    Args:
        session: What it works on.
        options: The optimizer's parameters.
    """

    session: Session
    options: ParameterOptions
    _points: dict[str, _Point] = field(default_factory=dict, init=False)
    _seen: set[str] = field(default_factory=set, init=False)
    _attempts: dict[int, _Attempt] = field(default_factory=dict, init=False)
    _stages: list[dict[str, object]] = field(default_factory=list, init=False)

    async def run(self) -> None:
        """Search the whole space, then around the best."""
        session = self.session
        seed = session.seed_candidate
        space = self.options.space.expand_for_prompts([*seed.prompts])
        current = space.defaults(seed)
        for spec in space.specs:  # names of prompts must be right before anything is spent
            space.apply(seed, {spec.name: current[spec.name]} if spec.name in current else {})
        left = session.remaining
        trials = expected_trials((left.trials, left.metric_calls), len(session.validation_ids))
        local = self._local_trials(space, trials)
        self._seen.add(seed.id)
        self._points[seed.id] = _Point(values=current, evaluation=session.baseline)
        session.details |= {"parameter_space": space.describe()}
        session.details_of.setdefault(seed.id, {}).update(_details(seed, current))
        await self._phase("global", space, trials - local, enqueued=current, is_last=not local)
        if local and session.stop_reason is None:
            best = self._points[session.best.candidate.id].values
            narrow = space.narrow_around(best, self.options.local_search_scale)
            await self._phase("local", narrow, local, enqueued=best, is_last=True)
        session.details |= {
            "search_stages": self._stages,
            "parameter_importance": importance_of(
                space, [(p.values, p.evaluation.score) for p in self._points.values()]
            ),
        }
        if self.options.minimize:
            session.details["front"] = self._front()

    def _local_trials(self, space: ParameterSearchSpace, trials: int) -> int:
        """Return how many trials go to the surroundings of the best; if there are few, none."""
        wanted = round(self.options.local_search_ratio * trials)
        has_numbers = any(spec.is_number for spec in space.specs)
        has_room = wanted >= _LEAST_LOCAL and trials - wanted >= _LEAST_GLOBAL
        return wanted if has_numbers and has_room else 0

    async def _phase(
        self,
        name: Phase,
        space: ParameterSearchSpace,
        trials: int,
        *,
        enqueued: Mapping[str, object],
        is_last: bool,
    ) -> None:
        """Search a space, its known point first.

        Args:
            name: Name of the phase.
            space: The space.
            trials: How many there will be.
            enqueued: Values to begin with, as far as they are known.
            is_last: Go on until the budget is spent: races that end early leave some over.
        """
        session = self.session
        study = SeededStudy(
            seed=session.rng("study", name).randrange(2**32),
            trials=trials,
            minimised=len(self.options.minimize),
            is_multivariate=not any(spec.when for spec in space.specs),
        )
        study.enqueue(space.labels(enqueued))
        if name == "global":
            count = max(_LEAST_SPREAD, min(_MOST_SPREAD, trials // 2))
            for point in space.spread(count, session.rng("spread")):
                study.enqueue(space.labels(point))
        counts = {"trials": 0}

        def issue(index: int, lease: Lease) -> Coroutine[object, object, _Outcome] | None:
            _ = lease  # it pays for what the coroutine does
            if index >= trials and not is_last:
                return None
            return self._next(index, name, space, study)

        def commit(index: int, outcome: _Outcome | Failure) -> None:
            counts["trials"] += 1
            self._learn(study, self._attempts.pop(index), outcome)

        size = LeaseSize(metric_calls=len(session.validation_ids))
        await session.pipeline(issue, commit, lease=size)
        best = session.best.candidate.id
        self._stages.append(
            {"stage": name, **counts, "space": space.describe(), "best_candidate": best}
        )
        session.record_round(stage=name, best_candidate=best)

    def _next(
        self, index: int, phase: Phase, space: ParameterSearchSpace, study: SeededStudy
    ) -> Coroutine[object, object, _Outcome] | None:
        """Propose a point that was not tried; ``None`` if there seems to be none left."""
        seed = self.session.seed_candidate
        for _ in range(_DRAWS):
            trial = study.ask()
            values = space.suggest(trial)
            point = space.apply(seed, values, operator=OPERATOR)
            known = self._points.get(point.id)
            if known is not None:
                study.complete(trial, *self._told(known.evaluation))
            elif point.id in self._seen:
                study.fail(trial)
            else:
                break
        else:
            return None
        self._seen.add(point.id)
        self._attempts[index] = _Attempt(trial=trial, values=values)
        candidate = self.session.propose(
            seed, point.prompts, operator=OPERATOR, note=f"{phase}: {_in_words(values)}"
        )
        return self._run(candidate)

    async def _run(self, candidate: Candidate | Rejection) -> _Outcome:
        if isinstance(candidate, Rejection):
            return candidate
        if not self.options.minimize:
            return await self.session.race(candidate)
        # A loser in score may be on the front for its cost, so it is run to its end.
        whole = await self.session.evaluate(candidate)
        return RaceOutcome(evaluation=whole, dropped=False, p_worse=1.0, blocks=1)

    def _learn(self, study: SeededStudy, attempt: _Attempt, outcome: _Outcome | Failure) -> None:
        session = self.session
        if not isinstance(outcome, RaceOutcome):
            study.fail(attempt.trial)
            if not isinstance(outcome, Rejection):
                session.record_failure(str(outcome), operator=OPERATOR)
            return
        evaluation = outcome.evaluation
        accepted = not outcome.dropped and session.consider(evaluation)
        if outcome.dropped:
            study.prune(attempt.trial, evaluation.score, step=outcome.blocks)
            reason = f"worse after {outcome.blocks} blocks (p = {outcome.p_worse:.3f})"
        else:
            study.complete(attempt.trial, *self._told(evaluation))
            candidate = evaluation.candidate
            self._points[candidate.id] = _Point(values=attempt.values, evaluation=evaluation)
            session.details_of[candidate.id] = _details(candidate, attempt.values)
            reason = "the best so far" if accepted else "no better than the best so far"
        session.record_trial(evaluation, accepted=accepted, reason=reason)

    def _told(self, evaluation: Evaluation) -> list[float]:
        """Return what a study is told of an evaluation: score, then what is minimised."""
        measured = _measures(evaluation)
        return [evaluation.score, *(measured[name] for name in self.options.minimize)]

    def _front(self) -> list[dict[str, object]]:
        """Return the complete points that no other one beats in score and all measures."""
        names = self.options.minimize
        rows = [
            (point, [-point.evaluation.score, *(_measures(point.evaluation)[n] for n in names)])
            for point in self._points.values()
        ]
        front = [
            (point, values)
            for point, values in rows
            if not any(_dominates(other, values) for _, other in rows)
        ]
        return [
            {
                "candidate_id": point.evaluation.candidate.id,
                "parameters": {name: label_of(value) for name, value in point.values.items()},
                "score": -values[0],
                **{n: v for n, v in zip(names, values[1:], strict=True) if math.isfinite(v)},
            }
            for point, values in sorted(front, key=lambda row: row[1])
        ]


def _details(candidate: Candidate, values: Mapping[str, object]) -> dict[str, object]:
    """Return what the result says if this candidate is returned."""
    prompts = [prompt.to_dict() for prompt in candidate.prompts.values()]
    return {
        "optimized_parameters": {name: label_of(value) for name, value in values.items()},
        "optimized_model": prompts[0]["model"],
        "optimized_model_kwargs": prompts[0]["model_parameters"],
    }


def _measures(evaluation: Evaluation) -> dict[Measure, float]:
    """Return means per item; an unknown cost is infinite."""
    results = evaluation.results
    cost = evaluation.cost_usd
    return {
        "cost_usd": math.inf if cost is None else cost / len(results),
        "seconds": evaluation.seconds,
        "tokens": fmean(result.usage.total_tokens or 0 for result in results),
    }


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and list(a) != list(b)


def _in_words(values: Mapping[str, object]) -> str:
    shown = ((name, label_of(value)) for name, value in values.items())
    return ", ".join(f"{n}={v:.4g}" if isinstance(v, float) else f"{n}={v}" for n, v in shown)


_Outcome = RaceOutcome | Rejection

__all__ = ["DEFAULT_SPACE", "MEASURES", "Measure", "ParameterOptions", "ParameterSearch"]
