"""A kernel that varies, at each place of its field, from its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kernelfield.errors import ArgumentError
from kernelfield.learning.varying import Varying

SHAPE = (5, 9)


def made(order: int | tuple[int, int], count: int) -> Varying:
    rng = np.random.default_rng(0)
    bank, background = rng.normal(size=(count, 2, 3)), rng.normal(size=(2, 3))
    return Varying(order, SHAPE, bank, np.abs(bank), 1, background, np.abs(background))


def at(varying: Varying, row: float, column: float) -> np.ndarray:
    y, x = row / 2.0 - 1.0, column / 4.0 - 1.0
    if varying.order == 1:
        weights = [1.0, y, x]
    else:
        weights = [
            (1 - y) / 2 * (1 - x) / 2,
            (1 - y) / 2 * (1 + x) / 2,
            (1 + y) / 2 * (1 - x) / 2,
            (1 + y) * (1 + x) / 4,
        ]
    return sum(weight * kernel for weight, kernel in zip(weights, varying.bank))


@pytest.mark.parametrize(("order", "count"), [(1, 3), ((2, 2), 4)])
def test_kernels_ratios_and_backgrounds_over_the_field(order, count):
    varying = made(order, count)
    for place in ((0, 0), (4, 8), (1, 6.5), (3.25, 2)):
        np.testing.assert_allclose(varying.kernel_at(*place), at(varying, *place), atol=1e-12)
    kernels = np.array([[at(varying, i, j) for j in range(9)] for i in range(5)])
    np.testing.assert_allclose(varying.mean, kernels.mean(axis=(0, 1)), atol=1e-12)
    np.testing.assert_allclose(varying.ratio_map(), kernels.sum(axis=(2, 3)), atol=1e-12)
    y, x = np.mgrid[-1:1:5j, -1:1:9j]
    for channel, (a, b, c) in enumerate(varying.background):
        np.testing.assert_allclose(varying.background_map(channel), a + b * y + c * x, atol=1e-12)
    np.testing.assert_array_equal(varying.background_map(), varying.background_map(0))


@pytest.mark.parametrize("place", [(-0.1, 0), (0, -0.1), (4.1, 0), (0, 8.1)])
def test_a_place_outside_is_refused(place):
    with pytest.raises(ArgumentError, match="row, column: expected a place in the field of 5×9; received"):
        made(1, 3).kernel_at(*place)


def test_errors_over_a_pixel_are_those_of_a_weighted_sum():
    """Of a kernel of draws with known covariances, against the variance of the draws themselves."""
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, 3, 2, 2)) * rng.uniform(0.5, 2.0, (3, 2, 2))
    centred = draws - draws.mean(axis=0)
    covariances = np.einsum("dnij,dmij->ijnm", centred, centred) / len(draws)
    bank, none = draws[0], np.zeros((1, 1))
    varying = Varying(1, (30, 40), bank, np.ones(bank.shape), 0, none, none, covariances)
    for row, column in ((0, 0), (29, 39), (12, 30)):
        shares = np.array([1.0, 2.0 * row / 29 - 1.0, 2.0 * column / 39 - 1.0])
        expected = np.einsum("n,dnij->dij", shares, centred).std(axis=0)
        np.testing.assert_allclose(varying.stderr_at(row, column), expected)
        np.testing.assert_allclose(varying.kernel_at(row, column), np.einsum("n,nij->ij", shares, bank))
    # Of rounding a variance may be below 0.
    below = replace(varying, covariances=-1e-20 * np.ones((2, 2, 3, 3)))
    assert below.stderr_at(29, 39).tolist() == np.zeros((2, 2)).tolist()


def test_errors_that_are_not_known_are_infinite():
    bank, none = np.ones((3, 2, 4)), np.zeros((1, 1))
    known = Varying(1, (30, 40), bank, bank, 0, none, none, np.ones((2, 4, 3, 3)))
    assert np.isfinite(known.stderr_at(3, 4)).all()
    errors = bank.copy()
    errors[1, 0, 2] = np.inf
    for varying in (replace(known, covariances=None), replace(known, stderr=errors)):
        found = varying.stderr_at(3, 4)
        assert found.shape == (2, 4)
        assert np.isinf(found).all()
