"""Power: against statsmodels, by simulation of our own tests, and by properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import TTestPower

from opik_eval.errors import ConfigError
from opik_eval.statistics import (
    PairedBinary,
    PairedNumeric,
    compare_paired,
    design_of,
    minimum_detectable_effect,
    needed_pairs,
)


@pytest.mark.parametrize("n", [5, 30, 150])
@pytest.mark.parametrize("effect", [0.05, 0.2])
def test_numeric_power_equals_statsmodels(n, effect):
    """The power of numbers is that of the paired t test."""
    expected = TTestPower().power(effect / 0.4, n, 0.05)
    assert PairedNumeric(0.4).power(n, effect, 0.05) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("effect", [0.2, 20.0])
def test_numeric_power_ends_at_one(effect):
    """Where a tail is too small for a float the power is 1, not NaN."""
    assert PairedNumeric(0.4).power(400, effect, 0.05) == pytest.approx(1.0)


def test_numeric_power_is_attained_by_our_test():
    """In simulation the sign-flip test finds the effect as often as promised."""
    rng = np.random.default_rng(31)
    b = (0.5 + rng.normal(0.25, 0.4, (400, 30))).tolist()
    found = sum(compare_paired([0.5] * 30, row).p_value <= 0.05 for row in b) / 400
    assert found == pytest.approx(PairedNumeric(0.4).power(30, 0.25, 0.05), abs=0.05)


@pytest.mark.parametrize(("n", "share", "effect"), [(80, 0.3, 0.15), (40, 0.5, 0.3), (9, 1.0, 0.8)])
def test_binary_power_is_attained_by_our_test(n, share, effect):
    """In simulation exact McNemar finds the effect as often as promised."""
    rng = np.random.default_rng(32)
    probabilities = [1 - share, (share - effect) / 2, (share + effect) / 2]
    signs = rng.choice([0, -1, 1], p=probabilities, size=(1_500, n))
    found = sum(
        compare_paired(
            (row == -1).astype(float).tolist(), (row == 1).astype(float).tolist()
        ).p_value
        <= 0.05
        for row in signs
    )
    assert found / 1_500 == pytest.approx(PairedBinary(share).power(n, effect, 0.05), abs=0.03)


@pytest.mark.parametrize("design", [PairedBinary(0.25), PairedNumeric(0.3)])
@pytest.mark.parametrize("n", [60, 300])
def test_detectable_effect_has_the_power_and_no_smaller_one_has(design, n):
    """The minimum detectable effect is where the power crosses its target."""
    effect = minimum_detectable_effect(design, n)
    assert design.power(n, effect, 0.05) >= 0.8
    assert design.power(n, effect * 0.99, 0.05) < 0.8


@pytest.mark.parametrize("design", [PairedBinary(0.25), PairedNumeric(0.3)])
@pytest.mark.parametrize("effect", [0.05, -0.1])
def test_needed_pairs_have_the_power_and_clearly_fewer_do_not(design, effect):
    """The needed number is where the power crosses its target, whatever the effect's sign."""
    n = needed_pairs(design, effect)
    assert design.power(n, effect, 0.05) >= 0.8
    assert design.power(int(n * 0.95), effect, 0.05) < 0.8


def test_too_few_pairs_detect_nothing():
    """Five pairs can never be significant with McNemar at 5 %."""
    assert minimum_detectable_effect(PairedBinary(1.0), 5) == math.inf
    assert minimum_detectable_effect(PairedNumeric(1.0), 0) == math.inf
    assert PairedNumeric(1.0).power(1, 5.0, 0.05) == 0.0


@settings(deadline=None, max_examples=25)
@given(st.integers(6, 500), st.floats(0.05, 1), st.floats(0, 1), st.floats(0.01, 0.2))
def test_binary_power_is_a_chance_that_grows_with_alpha(n, share, part, alpha):
    """Power lies in 0 .. 1, grows with alpha, and is at most alpha without effect."""
    design = PairedBinary(share)
    power = design.power(n, share * part, alpha)
    assert 0 <= power <= 1 + 1e-9
    assert design.power(n, share * part, alpha * 1.5) >= power - 1e-9
    assert design.power(n, 0.0, alpha) <= alpha + 1e-9


def test_design_of_a_pilot():
    """A pilot tells the share of discordant pairs, or the spread of the differences."""
    assert design_of([0, 1, 0, 1], [1, 1, 0, 1]) == PairedBinary(0.25)
    design = design_of([0.1, 0.5, 0.2], [0.2, 0.4, 0.6])
    assert isinstance(design, PairedNumeric)
    assert design.sd_difference == pytest.approx(np.std([0.1, -0.1, 0.4], ddof=1))


@pytest.mark.parametrize(
    "call",
    [
        lambda: PairedBinary(0.0),
        lambda: PairedBinary(1.2),
        lambda: PairedNumeric(0.0),
        lambda: PairedNumeric(math.nan),
        lambda: design_of([0.5], [0.7]),
        lambda: design_of([1, 1], [1, 1]),
        lambda: needed_pairs(PairedBinary(0.2), 0.3),
        lambda: needed_pairs(PairedNumeric(1.0), 0.0),
        lambda: needed_pairs(PairedNumeric(1.0), 1e-5),
        lambda: minimum_detectable_effect(PairedNumeric(1.0), 10, alpha=0.0),
        lambda: minimum_detectable_effect(PairedNumeric(1.0), 10, power=1.0),
    ],
)
def test_impossible_plans_are_refused(call):
    """A plan that cannot be made raises."""
    with pytest.raises(ConfigError):
        call()
