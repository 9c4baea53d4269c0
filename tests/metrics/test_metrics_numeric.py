"""Finding and comparing final answers that are numbers."""

from __future__ import annotations

import time
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import MetricError
from opik_eval.metrics.numeric import NumericMatch, extract_number

FOUND = [
    ("She pays $1,200 - $34 = $1,166.\n#### 1,166", "1166"),
    ("#### 5 apples\nthat is 7", "5"),
    ("#### 3\nno:\n#### 4 (of 9)", "4"),
    ("#### -7", "-7"),
    ("#### unclear, so 8\n", "8"),
    ("####\nnothing there but 9", "9"),
    (r"\boxed{42}, checked with 7", "42"),
    (r"\boxed{1} then \boxed {x = 2}.", "2"),
    (r"\boxed{\frac{3}{4}}", "0.75"),
    (r"\boxed{42", "42"),
    (r"\boxed{x} = 3", "3"),
    (r"-\dfrac{1}{2}", "-0.5"),
    (r"2\frac{1}{2}", "2.5"),
    (r"1{,}234\,567", "1234567"),
    (r"\$12 and 20\%", "20"),
    (r"3 \times 10^{4}.", "30000"),
    ("6.02×10^-2", "0.0602"),
    ("1e-07", "0.0000001"),
    ("1.5E+3!", "1500"),
    ("2 1/2 cups", "2.5"),
    ("9 12/4", "3"),
    ("1.5/2", "0.75"),
    ("is 1/2.", "0.5"),
    ("1⁄4", "0.25"),
    ("it is .5", "0.5"),
    ("No.5", "5"),
    ("answer: 5.", "5"),
    ("the 3/4/2021", "2021"),
    ("5-3", "3"),
    ("10–12", "12"),
    ("- 42 apples", "42"),
    ("x = -42", "-42"),
    ("(−42)", "-42"),
    ("$-5", "-5"),
    ("-$5.50", "-5.50"),
    ("+5", "5"),
    ("20%", "20"),
    ("1,2,3", "3"),
    ("1,234,56", "56"),
    ("12,345,678.90 dollars", "12345678.90"),
    ("1,234, 5", "5"),
    ("**42**", "42"),
    ("42kg", "42"),
    ("答案是42。", "42"),
    ("٤٢", "42"),
    ("1/0 or 6", "6"),
]


@pytest.mark.parametrize(("text", "number"), FOUND)
def test_the_final_number_is_found(text, number):
    """Markers first, then boxes, then the last number, in all usual spellings."""
    assert extract_number(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "none", "H2O and GPT4", "v1.2.3", "1/0", "####", "a_1", "½"])
def test_texts_without_a_number(text):
    """Digits inside words and divisions by zero are no numbers."""
    assert extract_number(text) is None


def test_percent_may_be_read_as_a_fraction():
    """ "20%" is 20 by default, 0.2 where asked for."""
    assert extract_number("it is 20 %", percent_as_fraction=True) == Decimal("0.2")
    assert extract_number("it is 20", percent_as_fraction=True) == 20
    metric = NumericMatch(percent_as_fraction=True)
    assert metric.score("12.5%", 0.125).value == 1.0


@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_any_decimal_is_read_back_however_it_is_written(number):
    """Plain, with thousands separators, after a marker and in a box."""
    for text in (f"{number:f}", f"so {number:,f}.", f"#### {number:,f}", rf"\boxed{{{number:f}}}"):
        assert extract_number(text) == number


@given(numerator=st.integers(0, 999), denominator=st.integers(1, 999))
def test_any_fraction_is_its_quotient(numerator, denominator):
    """Fractions agree with exact arithmetic."""
    found = extract_number(f"{numerator}/{denominator}")
    assert abs(Fraction(found) - Fraction(numerator, denominator)) < Fraction(1, 10**50)


@given(text=st.text(alphabet="0123456789,./-+ %$e\\{}#frac×^boxd\n"))
def test_no_text_breaks_the_extraction(text):
    """Any mixture of signs gives a finite number or none."""
    found = extract_number(text)
    assert found is None or found.is_finite()


@pytest.mark.parametrize(
    "text",
    ["1,111" + ",111" * 20_000 + ",1", "1 " * 20_000, "\\frac{" * 20_000, "\\boxed{" * 20_000],
)
def test_long_texts_take_time_in_proportion(text):
    """No pattern backtracks its way through a long text."""
    started = time.perf_counter()
    extract_number(text)
    assert time.perf_counter() - started < 5.0


MATCHES = [
    ("42", 42, {}, 1.0),
    ("42", "42.0", {}, 1.0),
    (42, 42.0, {}, 1.0),
    (np.int64(42), np.float64(42), {}, 1.0),
    (Decimal("0.1"), Fraction(1, 10), {}, 1.0),
    (0.1 + 0.2, 0.3, {}, 1.0),
    ("1/3", 1 / 3, {}, 1.0),
    ("no idea", 42, {}, 0.0),
    (float("nan"), 42, {}, 0.0),
    (float("inf"), 42, {}, 0.0),
    ("41", 42, {}, 0.0),
    ("-42", 42, {}, 0.0),
    (1_000_000_001, 1_000_000_000, {}, 0.0),
    ("41.5", 42, {"absolute_tolerance": 0.5}, 1.0),
    ("41.49", 42, {"absolute_tolerance": 0.5}, 0.0),
    ("99", 100, {"relative_tolerance": 0.01}, 1.0),
    ("98.9", 100, {"relative_tolerance": 0.01}, 0.0),
    ("-99", -100, {"relative_tolerance": 0.01}, 1.0),
    ("0.001", 0, {"relative_tolerance": 0.5}, 0.0),
    ("0.3", "0.1", {"absolute_tolerance": 0.2}, 1.0),
    ("1" * 80, "1" * 80, {"relative_tolerance": 0}, 1.0),
    ("1" * 60, "1" * 59 + "2", {"relative_tolerance": 0}, 0.0),
]


@pytest.mark.parametrize(("output", "reference", "options", "value"), MATCHES)
def test_matching(output, reference, options, value):
    """Values of all kinds, within either tolerance, at its very edge too."""
    assert NumericMatch(**options).score(output=output, reference=reference).value == value


def test_the_reason_shows_both_numbers():
    """What was found and what was expected; or that there was nothing."""
    assert NumericMatch().score("I say 41", "#### 42").reason == "found 41, expected 42"
    assert NumericMatch().score("I pass", "#### 42").reason == "no number in the output"


def test_a_reference_without_a_number_is_an_error():
    """The dataset is wrong then, not the answer."""
    with pytest.raises(MetricError, match="no number in 'reference': 'forty-two'") as refusal:
        NumericMatch().score("42", "forty-two")
    assert refusal.value.remedy


@pytest.mark.parametrize("tolerance", [-1, float("nan"), float("inf")])
def test_a_tolerance_that_makes_no_sense_is_refused(tolerance):
    """Negative and endless tolerances are errors when the metric is made."""
    with pytest.raises(MetricError, match="absolute_tolerance"):
        NumericMatch(absolute_tolerance=tolerance)
