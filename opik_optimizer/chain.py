"""``Chain``: optimizers one after the other, as one search with one result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Unpack

from typing_extensions import override

from opik_optimizer.errors import SettingsError
from opik_optimizer.optimizer import BaseOptimizer, OptimizerKeywords
from opik_optimizer.stage import StageSession

if TYPE_CHECKING:
    from opik_optimizer.session import Session

_OF_A_SHARE = frozenset({"max_trials", "max_metric_calls"})
_ENDS_ALL = frozenset(
    {"perfect_score", "max_model_calls", "max_tokens", "max_cost_usd", "max_seconds"}
)


class Chain(BaseOptimizer):
    """Runs optimizers one after the other, each from the best prompt so far.

    It is one search: one division of the data, one budget, one ledger, one history, and one
    holdout, which is used once, at the end. A stage that finds nothing better changes nothing.
    Limits on trials and metric calls are divided: each stage may spend its share of what is left,
    and what it leaves goes to the next ones.

    Args:
        optimizers: The stages, in order. Seed, reflection model, ``proposals_in_flight`` and
            ``perfect_score`` of each are its own; the number of threads is the chain's.
        shares: Weight of each stage in the budget; equal if absent.
        patience: Trials without a better prompt after which a stage gives way to the next one.
        **options: See ``OptimizerOptions``.

    Raises:
        SettingsError: There are no stages, or a value makes no sense.

    Example:
        >>> from opik_optimizer.testing.toy import ToyOptimizer
        >>> chain = Chain([ToyOptimizer(seed=1), ToyOptimizer(seed=2)], shares=[3, 1])
        >>> len(chain.stages)
        2
    """

    def __init__(
        self,
        optimizers: Sequence[BaseOptimizer],
        *,
        shares: Sequence[float] | None = None,
        patience: int | None = None,
        **options: Unpack[OptimizerKeywords],
    ) -> None:
        super().__init__(None, **options)
        self.stages = tuple(optimizers)
        self.shares = tuple(shares) if shares is not None else (1.0,) * len(self.stages)
        self.patience = patience
        if not self.stages or not all(isinstance(each, BaseOptimizer) for each in self.stages):
            raise SettingsError("a chain needs optimizers", remedy="pass a list of at least one")
        if len(self.shares) != len(self.stages) or not all(share > 0 for share in self.shares):
            raise SettingsError(
                f"there are {len(self.stages)} stages, and shares is {list(self.shares)}",
                remedy="give one positive number for each stage",
            )
        if patience is not None and patience < 1:
            raise SettingsError(f"patience={patience!r} must be at least 1, or None")

    @override
    async def search(self, session: Session) -> None:
        left = session.remaining
        if len(self.stages) > 1 and left.trials is None and left.metric_calls is None:
            raise SettingsError(
                "the first stage of a chain could spend everything",
                remedy="limit the trials or the metric calls, which can be divided",
            )
        reports: list[dict[str, object]] = []
        for index, optimizer in enumerate(self.stages):
            stage = StageSession(session, optimizer, index=index, patience=self.patience)
            report = await stage.run(self.shares[index] / sum(self.shares[index:]))
            reports.append(asdict(report))
            session.details["stages"] = reports
            is_last = index == len(self.stages) - 1
            if report.stop_reason in _ENDS_ALL or (is_last and report.stop_reason in _OF_A_SHARE):
                session.stop(report.stop_reason)
                return


__all__ = ["Chain"]
