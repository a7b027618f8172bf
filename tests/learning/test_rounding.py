"""The rules of rounding against those of Python's decimal numbers."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np
import pytest

from kernelfield.learning.rounding import HALVES, RULES

pytestmark = pytest.mark.core

VALUES = [n / 8 for n in range(-25, 26)]


def half_up(value: Decimal) -> Decimal:
    return (value + Decimal("0.5")).to_integral_value(ROUND_FLOOR)


ORACLES = {
    "nearest": half_up,
    "nearest even": lambda value: value.to_integral_value(ROUND_HALF_EVEN),
    "nearest away": lambda value: value.to_integral_value(ROUND_HALF_UP),
    "nearest down": lambda value: -half_up(-value),
    "to zero": lambda value: value.to_integral_value(ROUND_DOWN),
    "truncated": half_up,
    "up": lambda value: -half_up(-value),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule(rule):
    expected = [float(ORACLES[rule](Decimal(value))) for value in VALUES]
    np.testing.assert_array_equal(RULES[rule](np.array(VALUES)), expected)


@pytest.mark.parametrize("rule", ["nearest", "nearest away", "nearest down"])
@pytest.mark.parametrize("value", [0.5, 1.5, -0.5, -2.5])
@pytest.mark.parametrize("off", [-2e-6, -1.5e-6, -7e-7, 7e-7, 1.5e-6, 2e-6])
def test_sums_a_millionth_beside_a_half_are_halves(rule, value, off):
    near = abs(off) < 1e-6
    expected = ORACLES[rule](Decimal(value) if near else Decimal(value + off))
    assert RULES[rule](np.array([value + off]))[0] == float(expected)


@pytest.mark.parametrize(("value", "whole"), [(1 - 7e-7, 1), (-1 + 7e-7, -1), (1 - 1.5e-6, 0), (-1 + 1.5e-6, 0)])
def test_sums_a_millionth_below_a_whole_are_whole(value, whole):
    assert RULES["to zero"](np.array([value]))[0] == whole


def test_the_rules_of_halves_differ_in_halves_alone():
    others = np.array([value for value in VALUES if value % 1 != 0.5])
    assert len(HALVES) == 4
    for rule in HALVES:
        np.testing.assert_array_equal(RULES[rule](others), np.rint(others))
