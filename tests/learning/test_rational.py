"""Integers over a divisor, beside the chance and the errors up to which they are believed."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.rational import as_integers

pytestmark = pytest.mark.core


@pytest.mark.parametrize(("divisor", "believed"), [(9, True), (10, True), (13, True), (14, False), (19, False)])
@pytest.mark.parametrize("vague", [False, True])
def test_divisors_are_believed_up_to_one_chance_in_ten_thousand(divisor, believed, vague):
    # With errors of 1e-7 a number fits the divisor d by a chance of 1e-6 d: the first 13 have 91e-6, 14 have 105e-6.
    kernel, stderr = np.array([[1 / divisor]]), np.array([[1e-7]])
    if vague:
        # A weight that any integer fits proves nothing, and disproves nothing.
        kernel, stderr = np.append(kernel, [[0.3]], axis=1), np.append(stderr, [[0.9]], axis=1)
    found = as_integers(kernel, stderr, 0.0)
    assert (found is not None) == believed
    if found is not None:
        assert (found[0][0, 0], found[1]) == (1, divisor)


@pytest.mark.parametrize(("divisor", "known"), [(1023, 1023), (1024, 1024), (1025, None), (2048, 2048), (4098, None)])
@pytest.mark.parametrize(("largest", "most"), [(65536, 65536), (131072, None)])
def test_the_divisors_that_are_tried(divisor, known, largest, most):
    for one, expected in ((divisor, known), (largest, most)):
        found = as_integers(np.array([[1, 3, -5]]) / one, np.full((1, 3), 1e-13), 0.0)
        assert (None if found is None else found[1]) == expected


def test_whole_weights_without_errors_have_the_divisor_1():
    integers, divisor = as_integers(np.array([[1.0, -2.0]]), np.zeros((1, 2)), 0.0)
    assert (integers.tolist(), divisor) == ([[1, -2]], 1)


@pytest.mark.parametrize(("errors", "within"), [(4.9, True), (-4.9, True), (5.1, False), (-5.1, False)])
@pytest.mark.parametrize(("stderr", "least"), [(1e-6, 0.0), (1e-9, 1e-6), (1e-6, 1e-9)])
def test_weights_lie_within_five_standard_errors(errors, within, stderr, least):
    kernel = np.array([[1 / 3 + errors * 1e-6, 2 / 3], [1 / 3, 1.0]])
    found = as_integers(kernel, np.full((2, 2), stderr), least)
    assert (found is not None) == within
    assert as_integers(kernel, np.array([[stderr, stderr], [stderr, np.inf]]), least) is None
