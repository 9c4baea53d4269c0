"""Metrics that answer yes or no by comparing texts or values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, cast

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_text, require_texts, require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.text import fold, squad_normalise
from opik_eval.serialization import dumps, loads, to_jsonable


@dataclass
class Equals(DataclassMetric):
    """1 if output and reference are equal, else 0.

    Texts are equal if they look alike (Unicode NFC; letter case counts only if asked for; spaces
    count). Values are equal if their JSON says the same: 1 equals 1.0, and the order of keys does
    not matter. A text equals a value if it is the value's JSON or its ``str()``: "1" equals 1.

    Args:
        case_sensitive: Tell upper from lower case.

    Example:
        >>> Equals().score(output={"n": 1, "ok": True}, reference={"ok": True, "n": 1.0}).value
        1.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    case_sensitive: bool = False
    name: str = field(default="equals_metric", kw_only=True)

    def score(self, output: object, reference: object, **_ignored: object) -> ScoreResult:
        """Compare ``output`` with ``reference``, values of any kind.

        Raises:
            MetricError: One of them is ``None``.
        """
        require_value(output, "output", metric=self.name)
        require_value(reference, "reference", metric=self.name)
        return ScoreResult(self.name, float(self._equal(output, reference)))

    def _equal(self, one: object, other: object) -> bool:
        if isinstance(one, str) and isinstance(other, str):
            return self._fold(one) == self._fold(other)
        if isinstance(one, str):
            return self._text_equals(one, other)
        if isinstance(other, str):
            return self._text_equals(other, one)
        return self._canonical(one) == self._canonical(other)

    def _text_equals(self, text: str, value: object) -> bool:
        plain = to_jsonable(value)
        if self._fold(text) in (self._fold(str(value)), self._fold(str(plain))):
            return True
        try:
            return self._canonical(loads(text)) == self._canonical(plain)
        except (ValueError, RecursionError):  # the text is no JSON
            return False

    def _fold(self, text: str) -> str:
        return fold(text, case_sensitive=self.case_sensitive)

    def _canonical(self, value: object) -> bytes:
        return dumps(self._folded(to_jsonable(value)))

    def _folded(self, plain: object) -> object:
        if isinstance(plain, str):
            return self._fold(plain)
        if isinstance(plain, float) and plain.is_integer():
            return int(plain)
        if isinstance(plain, Mapping):
            # Pairs, because two keys may fold to the same text.
            pairs = [[self._fold(str(key)), self._folded(item)] for key, item in plain.items()]
            return {"object": sorted(pairs, key=dumps)}
        if isinstance(plain, list):
            return [self._folded(item) for item in cast("list[object]", plain)]
        return plain


@dataclass
class Contains(DataclassMetric):
    """1 if the output contains the reference text, else 0.

    Args:
        case_sensitive: Tell upper from lower case.
        reference: The text to look for where ``score`` is given none.

    Example:
        >>> Contains(reference="Paris").score(output="It is paris.").value
        1.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    case_sensitive: bool = False
    reference: str | None = None
    name: str = field(default="contains_metric", kw_only=True)

    def score(self, output: str, reference: str | None = None, **_ignored: object) -> ScoreResult:
        """Look for ``reference`` in ``output``.

        Raises:
            MetricError: ``output`` is no text, or there is no reference, or it is empty (an empty
                text is contained in everything, so the score would mean nothing).
        """
        text = require_text(output, "output", metric=self.name)
        chosen = self.reference if reference is None else reference
        wanted = require_text(chosen, "reference", metric=self.name)
        if not wanted:
            raise MetricError(
                f"metric {self.name!r} got an empty text as 'reference'",
                remedy="give the text to look for, in the item or as Contains(reference=...)",
            )
        found = self._fold(wanted) in self._fold(text)
        return ScoreResult(self.name, float(found))

    def _fold(self, text: str) -> str:
        return fold(text, case_sensitive=self.case_sensitive)


@dataclass
class RegexMatch(DataclassMetric):
    r"""1 if a regular expression matches anywhere in the output, else 0.

    The output is searched as it is, without Unicode normalisation.

    Args:
        regex: Python regular expression, as text or compiled (``re.compile(..., re.I)``).

    Raises:
        MetricError: The expression is not valid; raised at once, before any task runs.

    Example:
        >>> RegexMatch(r"^\d{4}$").score(output="2024").value
        1.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    regex: str | re.Pattern[str]
    name: str = field(default="regex_match_metric", kw_only=True)
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            self._pattern = re.compile(self.regex)
        except (re.error, TypeError) as error:
            raise MetricError(
                f"metric {self.name!r}: {self.regex!r} is not a regular expression: {error}",
                remedy="correct the expression, or escape a literal text with re.escape(...)",
            ) from error

    def score(self, output: str, **_ignored: object) -> ScoreResult:
        """Search ``output`` for the expression.

        Raises:
            MetricError: ``output`` is no text.
        """
        found = self._pattern.search(require_text(output, "output", metric=self.name))
        return ScoreResult(self.name, float(found is not None))


@dataclass
class ExactMatch(DataclassMetric):
    """1 if the output is one of the references after SQuAD's normalisation, else 0.

    Case, ASCII punctuation, articles and spacing do not count; see ``squad_normalise``. Two answers
    that are empty after normalisation are equal.

    Source: Rajpurkar et al. 2016, the SQuAD evaluation script.

    Example:
        >>> ExactMatch().score(
        ...     output="The Eiffel Tower.", reference=["eiffel tower", "tower"]
        ... ).value
        1.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    name: str = field(default="exact_match_metric", kw_only=True)

    def score(self, output: str, reference: str | Sequence[str], **_ignored: object) -> ScoreResult:
        """Compare ``output`` with each reference.

        Raises:
            MetricError: An argument is missing or no text.
        """
        answer = squad_normalise(require_text(output, "output", metric=self.name))
        references = require_texts(reference, "reference", metric=self.name)
        return ScoreResult(self.name, float(any(answer == squad_normalise(r) for r in references)))


__all__ = ["Contains", "Equals", "ExactMatch", "RegexMatch"]
