"""An Optuna study as the optimizers use one: asked at issue, told at commit, equal for equal seeds.

Asking and telling in a fixed order is all that a study's history depends on; it lives in memory,
and a resumed run makes it anew by going the same way again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import optuna

_MOST_STARTUP = 10
_LEAST_STARTUP = 3


@dataclass
class SeededStudy:
    """A study that maximises, with TPE; see the top of this module.

    Args:
        seed: Seed of its sampler.
        trials: How many trials there may be; a part of them, never all, is drawn at random first.
        minimised: How many further values of each trial are minimised beside the first one.
        is_multivariate: Model the parameters together; needs parameters that always exist.

    Example:
        >>> study = SeededStudy(seed=1, trials=20)
        >>> trial = study.ask()
        >>> 0 <= trial.suggest_float("x", 0, 1) <= 1
        True
        >>> study.complete(trial, 0.5)
    """

    seed: int
    trials: int
    minimised: int = 0
    is_multivariate: bool = True
    _study: optuna.Study = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import optuna

        directions: list[Literal["maximize", "minimize"]] = ["maximize"]
        directions += ["minimize"] * self.minimised
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study
        try:
            self._study = optuna.create_study(
                directions=directions,
                sampler=optuna.samplers.TPESampler(
                    seed=self.seed,
                    n_startup_trials=startup_trials(self.trials),
                    multivariate=self.is_multivariate,
                    constant_liar=True,
                ),
            )
        finally:
            optuna.logging.set_verbosity(verbosity)

    def enqueue(self, values: Mapping[str, object]) -> None:
        """Make the next trial that is asked for have these values; what they lack is sampled."""
        self._study.enqueue_trial(dict(values))

    def ask(self) -> optuna.Trial:
        """Return a new trial."""
        return self._study.ask()

    def complete(self, trial: optuna.Trial, *values: float) -> None:
        """Tell what a trial came to; a value that is no number makes it a failed one."""
        if all(map(math.isfinite, values)):
            self._study.tell(trial, list(values))
        else:
            self.fail(trial)

    def prune(self, trial: optuna.Trial, value: float, *, step: int) -> None:
        """Tell that a trial was given up after ``step`` blocks, and how it stood by then."""
        from optuna.trial import TrialState

        trial.report(value, step)
        self._study.tell(trial, state=TrialState.PRUNED)

    def fail(self, trial: optuna.Trial) -> None:
        """Tell that nothing came of a trial."""
        from optuna.trial import TrialState

        self._study.tell(trial, state=TrialState.FAIL)


def startup_trials(trials: int) -> int:
    """Return how many trials are drawn at random before the model takes over.

    Example:
        >>> startup_trials(10), startup_trials(100), startup_trials(2)
        (3, 10, 1)
    """
    wanted = min(_MOST_STARTUP, max(_LEAST_STARTUP, trials // 4))
    return max(1, min(wanted, trials - 1))


def expected_trials(remaining: Sequence[int | None], validation_items: int) -> int:
    """Return how many full trials the rest of a budget pays for; 100 if it has no limit.

    Args:
        remaining: Trials and metric calls that are left; ``None`` = no limit.
        validation_items: Metric calls of a full trial.

    Example:
        >>> expected_trials((None, 400), 40), expected_trials((5, 400), 40)
        (10, 5)
    """
    trials, calls = remaining
    limits = [trials] if trials is not None else []
    limits += [calls // validation_items] if calls is not None else []
    return max(1, min(limits, default=100))


__all__ = ["SeededStudy", "expected_trials", "startup_trials"]
