"""Sorting and bins against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.ordering import bin_means, bin_starts, order_of

pytestmark = pytest.mark.core


@pytest.mark.parametrize("scale", [1e-40, 1e-3, 1.0, 1e30])
def test_the_order_is_that_of_a_stable_sort(scale):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=3000), rng.integers(-9, 9, 3000), [np.inf, -np.inf, 1e300, -1e300]])
    values = values[rng.permutation(values.size)]
    with np.errstate(over="ignore"):
        single = (values * scale).astype(np.float32) + np.float32(0)
    np.testing.assert_array_equal(order_of(single), np.argsort(single, kind="stable"))


@pytest.mark.parametrize(("count", "bins"), [(7, 7), (10, 4), (11, 4), (12, 4), (1000, 64)])
def test_bins_are_those_of_array_split(count, bins):
    values = np.random.default_rng(count).normal(size=count)
    starts = bin_starts(count, bins)
    parts = np.array_split(values, bins)
    assert [part.size for part in np.split(values, starts[1:])] == [part.size for part in parts]
    np.testing.assert_allclose(bin_means(values, starts), [part.mean() for part in parts])
    assert bin_means(values.astype(np.float32), starts).dtype == np.float64
