"""Metrics of ragas as metrics of this package."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, SupportsFloat, runtime_checkable

from opik_eval.errors import MetricError, MissingArgumentError
from opik_eval.metrics.base import Arguments, DataclassMetric, ScoreResult, arguments_of
from opik_eval.metrics.extras import load_extra

ALIASES = {
    "user_input": ("input",),
    "response": ("output",),
    "retrieved_contexts": ("context",),
    "reference": ("expected_output",),
}
"""Names of this package that stand for those of ragas where the latter are absent."""


@runtime_checkable
class SingleTurn(Protocol):
    """What is used of ragas' ``SingleTurnMetric``."""

    name: str
    required_columns: Mapping[str, set[str]]

    async def single_turn_ascore(self, sample: object) -> float:
        """Return the score of a sample."""
        ...


@runtime_checkable
class Collected(Protocol):
    """What is used of the metrics in ``ragas.metrics.collections``."""

    name: str

    def ascore(self, **values: object) -> Awaitable[object]:
        """Return the result for the values that its signature names."""
        ...


@dataclass
class RagasMetricWrapper(DataclassMetric):
    """A metric of ragas: a ``SingleTurnMetric``, or one of ``ragas.metrics.collections``.

    Arguments have the names that ragas uses; where one is absent, this package's name stands for
    it: ``input`` for ``user_input``, ``output`` for ``response``, ``context`` for
    ``retrieved_contexts``, ``expected_output`` for ``reference``. ragas comes with the extra
    ``ragas``. Its model calls go through its own client: they are neither traced nor budgeted here.

    Args:
        ragas_metric: The metric, ready to score.
        name: Name of the score; that of the ragas metric if absent.

    Raises:
        MetricError: It is no such metric.

    Example::

        from ragas.metrics import RougeScore

        metric = RagasMetricWrapper(RougeScore())
        metric.score(output="Paris", reference="Paris")
    """

    ragas_metric: SingleTurn | Collected
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.ragas_metric, type) or not isinstance(
            self.ragas_metric, SingleTurn | Collected
        ):
            raise MetricError(
                f"{self.ragas_metric!r} is no metric of ragas for single turns",
                remedy="pass an object of a SingleTurnMetric or of ragas.metrics.collections",
            )
        self.name = self.name or self.ragas_metric.name

    def score_arguments(self) -> Arguments:
        """Return that it takes all there is; aliases are resolved in ``score``."""
        return Arguments(required=(), optional=(), takes_all=True)

    async def ascore(self, **values: object) -> ScoreResult:
        """Score with the values that the ragas metric takes.

        Raises:
            MissingArgumentError: A required value is absent.
            MetricError: ragas is missing, or its result is no number.
        """
        if isinstance(self.ragas_metric, SingleTurn):
            required = sorted(self.ragas_metric.required_columns.get("SINGLE_TURN", ()))
            sample_kind = load_extra("ragas.dataset_schema", extra="ragas", metric=self.name)
            taken = self._taken(values, required, sorted(sample_kind.SingleTurnSample.model_fields))
            sample = sample_kind.SingleTurnSample(**taken)
            return self._result(await self.ragas_metric.single_turn_ascore(sample))
        arguments = arguments_of(self.ragas_metric.ascore)
        taken = self._taken(values, arguments.required, arguments.optional)
        return self._result(await self.ragas_metric.ascore(**taken))

    def _taken(
        self, values: Mapping[str, object], required: Sequence[str], optional: Sequence[str]
    ) -> dict[str, object]:
        taken = {
            name: values[source]
            for name in (*required, *optional)
            for source in (name, *ALIASES.get(name, ()))[::-1]
            if values.get(source) is not None
        }
        missing = [name for name in required if name not in taken]
        if missing:
            raise MissingArgumentError(self.name, missing, list(values))
        return taken

    def _result(self, returned: object) -> ScoreResult:
        value = getattr(returned, "value", returned)  # of ragas' MetricResult
        reason = getattr(returned, "reason", None)
        if isinstance(value, str):
            return ScoreResult(self.name, None, reason=reason, category_name=value)
        if not isinstance(value, SupportsFloat):
            raise MetricError(
                f"metric {self.name!r} got {value!r} from ragas, which is no score",
                remedy="wrap a metric whose result is a number or a label",
            )
        return ScoreResult(self.name, float(value), reason=reason)


__all__ = ["ALIASES", "Collected", "RagasMetricWrapper", "SingleTurn"]
