"""A kernel that varies, at each place of its field, from its definition."""

from __future__ import annotations

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
