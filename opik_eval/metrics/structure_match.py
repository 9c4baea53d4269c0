"""How much of an expected JSON value the output got right."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.comparators import Comparator, check_comparator, compare
from opik_eval.metrics.json_difference import Difference, JsonComparison
from opik_eval.metrics.json_values import MISSING, find_path, json_value, leaves

_SHOWN_DIFFERENCES = 10


@dataclass
class JsonFieldMatch(DataclassMetric):
    """Share of the fields that the output has right, 0 to 1, with the wrong ones as reason.

    Output and reference are JSON texts or values. An output that is no JSON has no field right; a
    reference that is none is an error. A field that is null in the reference may also be absent
    from the output.

    Args:
        fields: The fields to look at, by path (``total``, ``customer.name``, ``items[0].price``):
            a list of paths, or a dict from path to comparator, ``None`` = the same JSON value
            (1 is 1.0, texts exactly). A comparator is a function ``f(output, reference)`` from 0 to
            1 or a metric such as ``NumericMatch()``. Without ``fields`` every leaf of the reference
            is one, compared exactly.
        extra_fields_allowed: Accept leaves that the reference does not have; if not, each counts as
            a field that is wrong.

    Example:
        >>> from opik_eval.metrics.numeric import NumericMatch
        >>> metric = JsonFieldMatch({"name": None, "total": NumericMatch(absolute_tolerance=0.01)})
        >>> metric.score(
        ...     output='{"name": "Anna", "total": 9.995}', reference={"name": "Ann", "total": 10}
        ... )
        ScoreResult(name='json_field_match_metric', value=0.5, reason='name: expected "Ann", \
found "Anna"', category_name=None, metadata={'fields': {'name': 0.0, 'total': 1.0}}, \
scoring_failed=False)
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    fields: Mapping[str, Comparator | None] | Sequence[str] | None = None
    extra_fields_allowed: bool = True
    name: str = field(default="json_field_match_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fields is not None and (not self.fields or isinstance(self.fields, str)):
            raise MetricError(
                f"metric {self.name!r} got fields={self.fields!r}",
                remedy="give a list of paths or a dict from path to comparator, or leave it out",
            )
        for path, comparator in self._comparators().items():
            if comparator is not None:
                check_comparator(comparator, path, metric=self.name)

    def score(self, output: object, reference: object, **_ignored: object) -> ScoreResult:
        """Compare the fields of ``output`` with those of ``reference``.

        Raises:
            MetricError: An argument is missing, or the reference is no JSON or lacks a field.
        """
        expected = reference_value(reference, metric=self.name)
        try:
            found = json_value(require_value(output, "output", metric=self.name))
        except ValueError as error:
            return ScoreResult(self.name, 0.0, reason=f"not JSON: {error}")
        scores = self._scores(found, expected)
        wrong = [
            Difference(path, find_path(expected, path), find_path(found, path))
            for path, worth in scores.items()
            if worth < 1
        ]
        return ScoreResult(
            self.name,
            math.fsum(scores.values()) / len(scores),
            reason=listed(wrong),
            metadata={"fields": scores},
        )

    def _comparators(self) -> Mapping[str, Comparator | None]:
        if isinstance(self.fields, Mapping):
            return self.fields
        return dict.fromkeys(self.fields or ())

    def _scores(self, found: object, expected: object) -> dict[str, float]:
        comparators = self._comparators() or dict.fromkeys(path for path, _ in leaves(expected))
        scores: dict[str, float] = {}
        for path, comparator in comparators.items():
            reference = find_path(expected, path)
            if reference is MISSING:
                raise MetricError(
                    f"metric {self.name!r} compares the field {path!r}, which 'reference' lacks",
                    remedy="correct the path, or put the field into the item's reference (null "
                    "where there is no value)",
                )
            scores[path] = compare(comparator, find_path(found, path), reference, path)
        if not self.extra_fields_allowed:
            extra = (path for path, _ in leaves(found) if find_path(expected, path) is MISSING)
            scores.update((path, 0.0) for path in extra if path not in scores)
        return scores


@dataclass
class JsonDiff(DataclassMetric):
    """Similarity of two JSON values, 1 for equal ones down to 0, with the differences as reason.

    2 · common / (leaves of the output + leaves of the reference), where leaves are texts, numbers,
    booleans, nulls and empty containers, and ``common`` counts those that both have in the same
    place: under the same keys, and in the best pairing of the elements of arrays, so that an
    inserted element costs one element. 1 equals 1.0; the order of keys does not matter. This is the
    Indel similarity of texts carried over to trees. An output that is no JSON scores 0.

    Time grows with the product of the lengths of two arrays where they differ.

    Args:
        text_credit: Texts that differ count by their Indel similarity (``LevenshteinRatio``), not
            as 0.
        relative_tolerance: Numbers are equal that differ by at most this share of the larger one.
        ordered: The order of arrays matters.

    Example:
        >>> score = JsonDiff().score(
        ...     output={"tags": ["a", "c"]}, reference={"tags": ["a", "b", "c"]}
        ... )
        >>> score.value, score.reason
        (0.8, 'tags[1]: "b" is missing')
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    text_credit: bool = True
    relative_tolerance: float = 0.0
    ordered: bool = True
    name: str = field(default="json_diff_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.relative_tolerance < 1:
            raise MetricError(
                f"metric {self.name!r}: relative_tolerance is {self.relative_tolerance}",
                remedy="give a share from 0 up to 1, for example 0.01",
            )

    def score(self, output: object, reference: object, **_ignored: object) -> ScoreResult:
        """Compare ``output`` with ``reference``, JSON texts or values.

        Raises:
            MetricError: An argument is missing, or the reference is no JSON, or one of them is
                nested too deeply.
        """
        expected = reference_value(reference, metric=self.name)
        try:
            found = json_value(require_value(output, "output", metric=self.name))
        except ValueError as error:
            return ScoreResult(self.name, 0.0, reason=f"not JSON: {error}")
        comparison = JsonComparison(
            text_credit=self.text_credit,
            relative_tolerance=self.relative_tolerance,
            ordered=self.ordered,
        )
        try:
            value = comparison.similarity(found, expected)
            differences = list(comparison.differences(found, expected))
        except RecursionError:
            raise MetricError(
                f"metric {self.name!r}: 'output' or 'reference' is nested too deeply",
                remedy="compare a part of it, with scoring_key_mapping",
            ) from None  # a thousand frames of traceback explain nothing
        return ScoreResult(self.name, value, reason=listed(differences))


def reference_value(reference: object, *, metric: str) -> object:
    """Return a reference as plain JSON types.

    Raises:
        MetricError: It is ``None`` or a text that is no JSON.
    """
    try:
        return json_value(require_value(reference, "reference", metric=metric))
    except ValueError as error:
        raise MetricError(
            f"metric {metric!r}: 'reference' is not JSON: {error}",
            remedy="correct the item, or map the key that holds the JSON to 'reference'",
        ) from error


def listed(differences: Iterable[Difference]) -> str | None:
    """Return differences as a reason, one a line; of many the first ones and their number."""
    lines = list(map(str, differences))
    more = len(lines) - _SHOWN_DIFFERENCES
    if more > 0:
        lines[_SHOWN_DIFFERENCES:] = [f"and {more} more"]
    return "\n".join(lines) or None


__all__ = ["JsonDiff", "JsonFieldMatch", "listed", "reference_value"]
