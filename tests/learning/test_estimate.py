"""Estimates against dense least squares: errors, degrees of freedom, and what is not determined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kernelfield.errors import DataError
from kernelfield.learning import estimate as module
from kernelfield.learning.estimate import _start, estimate_kernel, of_statistics, of_weights
from kernelfield.learning.pair import prepare
from kernelfield.learning.separable import Lines
from kernelfield.learning.statistics import Statistics
from kernelfield.learning.support import Support

pytestmark = pytest.mark.core
SUPPORT = Support(-1, 0, 2, 3)
KERNEL = np.array([[0.5, -0.25, 1.0], [2.0, 0.125, -1.0]])


def noisy(channels: int = 1, noise: float = 0.3, shape=(11, 12), seed: int = 0):
    """Return a pair of a kernel with an offset a channel, and the dense system of its windows."""
    rng = np.random.default_rng(seed)
    before = 5.0 + rng.normal(size=(channels, *shape))
    after = np.zeros_like(before)
    rows, design, right = (shape[0] - 1) * (shape[1] - 2), [], []
    for c in range(channels):
        windows = np.lib.stride_tricks.sliding_window_view(before[c], (2, 3))
        values = np.einsum("ijab,ab->ij", windows, KERNEL) + 10.0 * c + noise * rng.normal(size=windows.shape[:2])
        after[c, 1:, : shape[1] - 2] = values
        design.append(np.hstack([windows.reshape(rows, 6), np.tile(np.eye(channels)[c], (rows, 1))]))
        right.append(values.ravel())
    pair = (
        prepare(before, after, clip=None, channel_axis=0) if channels > 1 else prepare(before[0], after[0], clip=None)
    )
    return pair, np.vstack(design), np.concatenate(right)


@pytest.mark.parametrize("channels", [1, 2])
def test_weights_errors_and_offsets_are_those_of_dense_least_squares(channels):
    pair, design, right = noisy(channels)
    found = estimate_kernel(pair, SUPPORT)
    expected, (left,), _, _ = np.linalg.lstsq(design, right, rcond=None)
    np.testing.assert_allclose(found.kernel.ravel(), expected[:6], atol=1e-9)
    np.testing.assert_allclose(found.offsets, expected[6:], atol=1e-8)
    variance = left / (len(right) - 6 - channels)
    assert found.variance == pytest.approx(variance, rel=1e-9)
    covariance = np.linalg.inv(design.T @ design)[:6, :6] * variance
    np.testing.assert_allclose(found.stderr.ravel(), np.sqrt(np.diag(covariance)), rtol=1e-7)
    assert found.whole
    own = found.covariance(found.stderr, SUPPORT)
    np.testing.assert_allclose(own, covariance, rtol=1e-6, atol=1e-12)


def test_the_covariance_over_another_support():
    pair, design, _ = noisy()
    found = estimate_kernel(pair, SUPPORT)
    # A row more above and a column less: rows -2 to 0, columns 1 to 2.
    other = Support(-2, 1, 3, 2)
    stderr = np.arange(1.0, 7.0).reshape(3, 2)
    own = found.covariance(stderr, other)
    inverse = np.linalg.inv(design.T @ design)[:6, :6]
    places = [None, None, 1, 2, 4, 5]
    expected = np.zeros((6, 6))
    for i, a in enumerate(places):
        for j, b in enumerate(places):
            if a is not None and b is not None:
                alike = inverse[a, b] / np.sqrt(inverse[a, a] * inverse[b, b])
                expected[i, j] = alike * stderr.flat[i] * stderr.flat[j]
    np.testing.assert_allclose(own, expected, rtol=1e-6, atol=1e-12)
    for support in (Support(-1, 3, 2, 3), Support(-1, -3, 2, 3), Support(1, 0, 2, 3), Support(-3, 0, 2, 3)):
        assert not found.covariance(np.ones((2, 3)), support).any()
    assert found.covariance(np.array([[1, 1, 1], [1, np.inf, 1]]), SUPPORT) is None
    assert found.covariance(np.array([[1, 1, 1], [1, 1, np.inf]]), Support(-1, 1, 2, 3)) is None
    assert found.covariance(np.full((2, 3), 1e-155), SUPPORT) is None
    assert found.covariance(np.full((2, 3), 1e-153), SUPPORT) is not None
    assert found.covariance(np.full((2, 3), 1e155), SUPPORT) is None
    assert found.covariance(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]), SUPPORT) is not None


@pytest.mark.parametrize(("columns", "enough"), [(9, True), (8, False)])
def test_as_many_pixels_as_numbers_are_enough(columns, enough):
    # One row of positions: 7 or 6 of them, for 6 weights and an offset.
    pair = noisy(shape=(2, columns))[0]
    if enough:
        assert np.isfinite(estimate_kernel(pair, SUPPORT).kernel).all()
        return
    with pytest.raises(DataError, match=r"expected at least 7 usable pixels for 2×3 .*; received 6; take a smaller"):
        estimate_kernel(pair, SUPPORT)


def test_weights_that_are_not_determined_have_no_error():
    pair = noisy()[0]
    # The columns of the windows are alike: of each row the sum alone is known.
    striped = np.repeat(np.random.default_rng(1).normal(size=(30, 1)), 12, axis=1)
    after = np.random.default_rng(2).normal(size=striped.shape)
    found = estimate_kernel(prepare(striped, after, clip=None), SUPPORT)
    assert found.solution.rank == 2
    assert np.isinf(found.stderr).all()
    assert np.isfinite(estimate_kernel(pair, SUPPORT).stderr).all()


@pytest.mark.parametrize("epsilon", [0.0, 1e-3])
def test_no_weight_is_known_beyond_the_rounding_of_values(epsilon):
    pair = noisy()[0]
    statistics = pair.statistics(SUPPORT)
    plain, rounded = of_statistics(statistics, SUPPORT, 0.0), of_statistics(statistics, SUPPORT, epsilon)
    more = epsilon * np.abs(plain.kernel).max() / np.sqrt(3.0)
    np.testing.assert_allclose(rounded.stderr, np.hypot(plain.stderr, more), rtol=1e-12)


@pytest.mark.parametrize("level", [0.0, 1e5])
def test_exact_pairs_are_refined_to_the_last_places(level):
    rng = np.random.default_rng(5)
    before = level + rng.normal(size=(30, 31)) * np.linspace(1, 1e-4, 31)
    after = np.zeros_like(before)
    windows = np.lib.stride_tricks.sliding_window_view(before - level, (2, 3))
    after[1:, :29] = np.einsum("ijab,ab->ij", windows, KERNEL) + level * KERNEL.sum()
    found = estimate_kernel(prepare(before, after, clip=None), SUPPORT)
    np.testing.assert_allclose(found.kernel, KERNEL, atol=1e-14 if not level else 1e-9)
    assert (np.abs(found.kernel - KERNEL) <= 8.0 * found.stderr).all()
    if not level:
        left = after[1:, :29] - np.einsum("ijab,ab->ij", windows, found.kernel) - found.offsets[0]
        # Both are those of the order in which products are added.
        assert 1e-4 < found.variance / max(float((left**2).mean()), 1e-300) < 1e4


def test_known_weights_have_the_offset_that_fits_them():
    pair, design, right = noisy(2)
    found = of_weights(pair, SUPPORT, KERNEL, 0.01)
    left = (right - design[:, :6] @ KERNEL.ravel()).reshape(2, -1)
    np.testing.assert_allclose(found.offsets, left.mean(axis=1), rtol=1e-9)
    after = right.reshape(2, -1)
    assert found.moments.square == pytest.approx(((after - after.mean(axis=1, keepdims=True)) ** 2).sum())
    assert found.moments.count == right.size
    assert found.moments.freedom == right.size - 8
    unexplained = ((left - left.mean(axis=1, keepdims=True)) ** 2).sum()
    assert found.variance == pytest.approx(unexplained / (right.size - 8))
    assert (found.solution.rank, found.whole) == (6, False)
    np.testing.assert_allclose(found.stderr, np.hypot(0.01, pair.epsilon * 2.0 / np.sqrt(3.0)))
    assert found.covariance(found.stderr, SUPPORT) is None
    assert (found.moments.gram.size, found.moments.cross.size, found.solution.inverse.size) == (0, 0, 0)
    assert found.solution.undetermined.shape == (0, 6)
    certain = of_weights(pair, SUPPORT, KERNEL, 0.0)
    np.testing.assert_allclose(certain.stderr, pair.epsilon * 2.0 / np.sqrt(3.0))
    masked = replace(pair, planes=tuple(p.without(p.after > np.median(p.after)) for p in pair.planes))
    some = of_weights(masked, SUPPORT, KERNEL, 0.01)
    kept = [left[c][after[c] <= np.median(pair.planes[c].after)] for c in range(2)]
    np.testing.assert_allclose(some.offsets, [part.mean() for part in kept], rtol=1e-9)
    assert some.moments.count == sum(part.size for part in kept)


def test_the_start_of_a_separable_kernel_is_that_of_the_last():
    lines = Lines.__new__(Lines)
    object.__setattr__(lines, "column", np.array([1.0, 2.0, 3.0]))
    object.__setattr__(lines, "row", np.array([4.0, 5.0]))
    near = replace(estimate_kernel(noisy()[0], SUPPORT), support=Support(-1, -1, 3, 2), lines=lines)
    column, row = _start(Support(-2, 0, 4, 3, separable=True), near)
    assert column.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert row.tolist() == [5.0, 0.0, 0.0]
    column, row = _start(Support(0, -3, 4, 3, separable=True), near)
    assert column.tolist() == [2.0, 3.0, 0.0, 0.0]
    assert row.tolist() == [0.0, 0.0, 4.0]
    assert _start(Support(0, 0, 4, 3), None) is None
    assert _start(Support(0, 0, 4, 3), replace(near, lines=None)) is None


@pytest.mark.parametrize(("largest", "whole"), [(6, True), (5, False)])
def test_kernels_of_many_weights_have_no_gram_matrix(monkeypatch, largest, whole):
    monkeypatch.setattr(module, "LARGEST_GRAM", largest)
    found = estimate_kernel(noisy(shape=(40, 40), noise=0.01)[0], SUPPORT)
    assert found.whole == whole
    np.testing.assert_allclose(found.kernel, KERNEL, atol=5e-3)
    with pytest.raises(DataError, match="expected at least 7 usable pixels"):
        estimate_kernel(noisy(shape=(2, 8))[0], SUPPORT)


def test_too_few_pixels_of_kernels_without_gram_matrix(monkeypatch):
    separable = replace(SUPPORT, separable=True)
    with pytest.raises(DataError, match="at least 9 usable pixels for 2×3 coefficients and an offset; take a smaller"):
        estimate_kernel(noisy(shape=(2, 5))[0], separable)
    monkeypatch.setattr(module, "LARGEST_GRAM", 5)
    with pytest.raises(DataError, match="at least 7 usable pixels for 2×3 coefficients and an offset; take a smaller"):
        estimate_kernel(noisy(shape=(2, 5))[0], SUPPORT)


@pytest.mark.parametrize(("share", "known"), [(1.2e-9, False), (0.8e-9, True)])
def test_a_weight_is_not_determined_by_its_share_of_the_directions(share, known):
    # Two directions of four are free; the first weight has a small share of one of them.
    first = np.array([np.sqrt(share), np.sqrt(1.0 - share), 0.0, 0.0])
    gram = 100.0 * (np.eye(4) - np.outer(first, first) - np.diag([0.0, 0.0, 1.0, 0.0]))
    zeros = np.zeros(4)
    statistics = Statistics((1, 4), 100, gram, zeros, zeros, 0.0, 1.0, 0.0, 0.0)
    stderr = of_statistics([statistics], Support(0, 0, 1, 4), 0.0).stderr[0]
    assert np.isfinite(stderr).tolist() == [known, False, False, True]
