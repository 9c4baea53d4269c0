"""Final answers that are numbers: finding them in a text and comparing them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from numbers import Number
from typing import ClassVar

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult

_DIGITS = r"\d++(?:\.\d++)?"
_START = r"(?<![A-Za-z_\d])(?<!\d\.)"  # not inside a word such as H2O, nor inside another number
_NUMBER = re.compile(
    rf"""
    (?P<sign>(?<![\w.)\]])[-+])?   # but not the minus of "5-3"
    (?:[$€£¥]\s?(?P<late_sign>-)?)?
    (?:
        {_START}(?<!/)(?:(?P<whole>\d{{1,3}})\s)?
        (?P<numerator>{_DIGITS})\s?/\s?(?P<denominator>{_DIGITS})(?!/|\.\d)
      | {_START}(?P<decimal>{_DIGITS}|\.\d++)
        (?:[eE](?P<exponent>[-+]?\d{{1,3}})(?!\w|\.\d))?
    )
    (?P<percent>\s?%)?
    """,
    re.VERBOSE,
)
_HASHES = re.compile(r"####[ \t]*(.+)")
_COMMA_RUN = re.compile(r"(?<![\d.])\d[\d,]*(?<=\d)")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+")
_BOXED = re.compile(r"\\boxed\s*\{")
_SPELLINGS = (
    (re.compile(r"(?<=\d)\s?\\[dt]?frac\s?\{([^{}]*)\}\s?\{([^{}]*)\}"), r" \1/\2"),
    (re.compile(r"\\[dt]?frac\s?\{([^{}]*)\}\s?\{([^{}]*)\}"), r"\1/\2"),
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"(?<=\d)\\[,!;:]\s?(?=\d)"), ","),
    (re.compile(r"\\([%$])"), r"\1"),
    (re.compile(r"\s?(?:\\times|×)\s?10\s?\^\s?\{?\s?(-?\d+)\s?\}?"), r"e\1"),
    (re.compile("[−–﹣－](?=[$€£¥]?[\\d.])"), "-"),
    (re.compile("⁄"), "/"),
)  # other ways to write a number, and the plain way


def extract_number(text: str, *, percent_as_fraction: bool = False) -> Decimal | None:
    r"""Return the final answer in a text, or ``None`` if there is no number.

    Looked for in this order: the first number after the last ``####`` (GSM8K), the last one in the
    last ``\boxed{...}``, the last one of the text. Understood: signs, thousands separators
    (``1,234``), decimals, exponents, fractions and mixed numbers (``1/2``, ``\frac{1}{2}``,
    ``2 1/2``), currency signs, percent. Digits inside words (``H2O``) are no numbers.

    Args:
        text: The answer with whatever was written around it.
        percent_as_fraction: Read "20%" as 0.2 instead of 20.

    Example:
        >>> extract_number("She pays $1,200 - $34 = $1,166.\n#### 1,166")
        Decimal('1166')
    """
    marked = _HASHES.findall(text)
    if marked and (numbers := _numbers(marked[-1], percent_as_fraction)):
        return numbers[0]
    boxed = _in_box(text)
    for part in (text,) if boxed is None else (boxed, text):
        if numbers := _numbers(part, percent_as_fraction):
            return numbers[-1]
    return None


@dataclass
class NumericMatch(DataclassMetric):
    """1 if the final number of the output equals that of the reference within a tolerance, else 0.

    An output without a number is a wrong answer (0); a reference without one is an error.
    They match if they differ by at most ``absolute_tolerance`` or ``relative_tolerance`` times the
    reference's size, whichever is larger. The default relative tolerance forgives floating-point
    noise only.

    Args:
        absolute_tolerance: Largest allowed difference, in the unit of the numbers.
        relative_tolerance: Largest allowed difference as a share of the reference, 0.01 = 1 %.
        percent_as_fraction: Read "20%" as 0.2 instead of 20.

    Raises:
        MetricError: A tolerance is negative or not finite.

    Example:
        >>> NumericMatch().score(
        ...     output="So the answer is 1,166 dollars.", reference="#### 1166"
        ... ).value
        1.0
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    absolute_tolerance: float = 0.0
    relative_tolerance: float = 1e-12
    percent_as_fraction: bool = False
    name: str = field(default="numeric_match_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        for option in ("absolute_tolerance", "relative_tolerance"):
            tolerance = getattr(self, option)
            if not (math.isfinite(tolerance) and tolerance >= 0):
                raise MetricError(
                    f"metric {self.name!r}: {option} is {tolerance}",
                    remedy="give a tolerance of 0 or more",
                )

    def score(self, output: str | float, reference: str | float, **_ignored: object) -> ScoreResult:
        """Compare the final numbers of ``output`` and ``reference``, each a text or a number.

        Raises:
            MetricError: An argument is missing or of another type, or the reference has no number.
        """
        expected = self._number(reference, "reference")
        if expected is None:
            raise MetricError(
                f"metric {self.name!r} found no number in 'reference': {reference!r:.100}",
                remedy="correct the item, or map the key that holds the number to 'reference'",
            )
        found = self._number(output, "output")
        if found is None:
            return ScoreResult(self.name, 0.0, reason="no number in the output")
        return ScoreResult(
            self.name,
            float(self._close(found, expected)),
            reason=f"found {found}, expected {expected}",
        )

    def _number(self, value: object, argument: str) -> Decimal | None:
        require_value(value, argument, metric=self.name)
        if isinstance(value, str):
            return extract_number(value, percent_as_fraction=self.percent_as_fraction)
        if isinstance(value, Number) and not isinstance(value, bool | complex):
            return extract_number(str(value))
        raise MetricError(
            f"metric {self.name!r} compares numbers, but {argument!r} is a {type(value).__name__}",
            remedy="return a number or a text that ends with one",
        )

    def _close(self, found: Decimal, expected: Decimal) -> bool:
        if found == expected:
            return True
        with localcontext(prec=60):
            relative = Decimal(str(self.relative_tolerance)) * abs(expected)
            allowed = max(Decimal(str(self.absolute_tolerance)), relative)
            return abs(found - expected) <= allowed


def _in_box(text: str) -> str | None:
    starts = [match.end() for match in _BOXED.finditer(text)]
    if not starts:
        return None
    depth = 1
    for index in range(starts[-1], len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[starts[-1] : index]
    return text[starts[-1] :]


def _numbers(text: str, percent_as_fraction: bool) -> list[Decimal]:
    for pattern, plain in _SPELLINGS:
        text = pattern.sub(plain, text)
    text = _COMMA_RUN.sub(_without_thousands_separators, text)
    numbers = []
    for match in _NUMBER.finditer(text):
        size = _fraction(match) if match["numerator"] else _decimal_number(match)
        if size is None:
            continue
        if percent_as_fraction and match["percent"]:
            with localcontext(prec=60):
                size = size.scaleb(-2)
        negative = match["sign"] == "-" or match["late_sign"]
        numbers.append(size.copy_negate() if negative else size)
    return numbers


def _decimal_number(match: re.Match[str]) -> Decimal:
    digits = Decimal(match["decimal"])
    with localcontext(prec=60):
        return digits.scaleb(int(match["exponent"])) if match["exponent"] else digits


def _fraction(match: re.Match[str]) -> Decimal | None:
    numerator, denominator = Decimal(match["numerator"]), Decimal(match["denominator"])
    if denominator == 0:
        return None
    # "2 1/2" is one number; in "9 12/4" the 9 belongs to something else.
    whole = match["whole"] if match["whole"] and numerator < denominator else "0"
    with localcontext(prec=60):
        return Decimal(whole) + numerator / denominator


def _without_thousands_separators(run: re.Match[str]) -> str:
    digits = run[0]
    return digits.replace(",", "") if _THOUSANDS.fullmatch(digits) else digits


__all__ = ["NumericMatch", "extract_number"]
