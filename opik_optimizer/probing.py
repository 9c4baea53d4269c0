"""Runs the probe before a search: a few items, with the initial prompt and a candidate or two."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import ReflectionError
from opik_optimizer.probe import ProbeReport, judge_headroom, repeat_noise
from opik_optimizer.templates import TemplateLibrary

if TYPE_CHECKING:
    from opik_optimizer.evaluation import Evaluation
    from opik_optimizer.ground import Ground
    from opik_optimizer.session import Session

ITEMS = 40
"""Validation items that candidates are tried on, at most."""

TRAIN_ITEMS = 24
"""Train items whose failures a candidate is made of, at most."""

REPEATED_ITEMS = 20
REPEATS = 2
STEPS = 6
_FAILURES_SHOWN = 8

Scores = Mapping[str, float]


class ProbeText(BaseModel):
    """What the reflection model replies."""

    prompt: str = Field(description="The new text, complete and ready to use.")


def metric_calls_of_probe(session: Session) -> int:
    """Return the largest number of metric calls that a probe with one candidate takes."""
    items, train = len(session.validation_ids), len(session.train_ids)
    return min(ITEMS, items) + REPEATS * min(REPEATED_ITEMS, items) + min(TRAIN_ITEMS, train)


async def reflected_candidates(session: Session) -> list[Candidate] | None:
    """Return the candidate that the reflection model makes of the initial prompt's failures.

    It writes several times, each time on top of what it wrote before and shown other failures: a
    rough sketch of what a search may reach. It is one candidate, so that one test judges it.

    Args:
        session: The session, before its search.

    Returns:
        One candidate; none if nothing failed or nothing new was written; ``None`` if no reply could
        be used.

    Raises:
        WeakReflectionError: The model is too weak.
        BudgetExceededError: The train items do not fit the budget.
    """
    templates = TemplateLibrary.of_package("opik_optimizer")
    settings, seed = session.settings, session.seed_candidate
    seen = await session.evaluate(seed, session.train_ids[:TRAIN_ITEMS], split="train")
    perfect = settings.perfect_score
    failing = [r.item_id for r in seen.results if not r.is_scored or (r.score or 0) < perfect]
    current, has_failed = seed, False
    for step in range(STEPS if failing else 0):
        first = step * _FAILURES_SHOWN
        shown = (failing[(first + n) % len(failing)] for n in range(_FAILURES_SHOWN))
        group = list(dict.fromkeys(shown))
        records = [entry.to_text() for entry in session.feedback(seen, group)]
        for name in seed.components(settings.roles, tools=settings.tools):
            texts = current.components(tools=settings.tools)
            messages = templates.messages(
                "probe",
                component=name,
                text=texts[name],
                others="\n\n".join(text for other, text in texts.items() if other != name),
                task=session.task_context,
                records=records,
            )
            try:
                reply = await session.ask(messages, ProbeText, purpose="probe", repeat=step)
            except ReflectionError:  # told of by its event
                has_failed = True
                continue
            child = session.propose(current, {name: reply.prompt.strip()}, operator="probe")
            current = child if isinstance(child, Candidate) else current
    if current is seed:
        return None if has_failed else []
    return [current]


async def run_probe(
    session: Session,
    ground: Ground,
    candidates: Callable[[Session], Awaitable[Sequence[Candidate] | None]],
) -> ProbeReport:
    """Measure noise and headroom; what is run counts and is kept like everything else.

    Args:
        session: The session, before its search.
        ground: Data and budget.
        candidates: Makes what to try, if the algorithm has something to try.

    Raises:
        BudgetExceededError: The probe does not fit the budget.
    """
    before = ground.account.metric_calls
    ids = session.validation_ids[:ITEMS]
    runs = await _repeated(session, ids[:REPEATED_ITEMS])
    made = await candidates(session)
    tried = [await session.evaluate(candidate, ids) for candidate in made or ()]
    scores = [evaluation.scores_by_item for evaluation in tried]
    steady = {item: fmean(run[item] for run in runs if item in run) for item in ids}
    best_possible = session.best_possible
    verdict, reason, gain = judge_headroom(
        steady, None if made is None else scores, best_possible=best_possible
    )
    for evaluation in tried:
        is_better = session.is_complete(evaluation) and session.consider(evaluation)
        session.record_trial(evaluation, accepted=is_better, reason=f"probe: {reason}")
    noise = repeat_noise(runs)
    calls = _expected_calls(ground)
    return ProbeReport(
        verdict=verdict,
        reason=reason,
        noise=noise,
        baseline=fmean(steady.values()),
        headroom=best_possible - fmean(steady.values()),
        best_gain=gain,
        detectable_gain=_detectable(steady, scores, noise or 0.0, len(session.validation_ids)),
        metric_calls=ground.account.metric_calls - before,
        expected_metric_calls=calls,
        expected_cost_usd=_expected_cost(session.baseline, calls),
    )


async def _repeated(session: Session, ids: Sequence[str]) -> list[Scores]:
    """Run the initial prompt again; where nothing comes out otherwise, once is enough."""
    runs: list[Scores] = [session.baseline.scores_by_item]
    for repeat in range(1, 1 + REPEATS):
        again = await session.evaluate(session.seed_candidate, ids, repeat=repeat)
        runs.append(again.scores_by_item)
        if all(runs[0][item] == score for item, score in runs[-1].items()):
            break
    return runs


def _detectable(steady: Scores, scores: Sequence[Scores], noise: float, n: int) -> float:
    """Return the smallest gain that ``n`` pairs tell from noise, by what was seen of pairs."""
    from opik_eval.statistics import PairedNumeric, minimum_detectable_effect

    spreads = [stdev(run[i] - steady[i] for i in steady) for run in scores if len(steady) > 1]
    if not spreads and len(steady) > 1:
        spreads = [stdev(steady.values())]  # as if a candidate changed every answer that it can
    spread = max([math.sqrt(2) * noise, *spreads])
    return minimum_detectable_effect(PairedNumeric(spread), n) if spread > 0 else 0.0


def _expected_calls(ground: Ground) -> int | None:
    limits, splits = ground.limits, ground.splits
    if limits.metric_calls is not None:
        return limits.metric_calls
    if limits.trials is None:
        return None
    return (1 + limits.trials) * len(splits.validation) + 2 * len(splits.holdout)


def _expected_cost(baseline: Evaluation, calls: int | None) -> float | None:
    cost = baseline.cost_usd
    return None if cost is None or calls is None else calls * cost / len(baseline.results)


__all__ = ["metric_calls_of_probe", "reflected_candidates", "run_probe"]
