"""Kernels of a known form near estimates, part by part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage as ndi

from kernelfield.learning import forms
from kernelfield.learning.estimate import estimate_kernel
from kernelfield.learning.pair import prepare
from kernelfield.learning.support import Support

pytestmark = pytest.mark.core


@pytest.mark.parametrize("size", [9, 12])
@pytest.mark.parametrize("sigma", [0.7, 2.4])
def test_lines_and_their_slopes(size, sigma):
    line, slope = forms._line(size, sigma)
    places = np.arange(size) - size // 2
    expected = np.exp(-(places**2) / (2.0 * sigma**2))
    np.testing.assert_allclose(line, expected / expected.sum(), rtol=1e-12)
    ends = [forms._line(size, sigma + sign * 1e-5)[0] for sign in (1, -1)]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-5, atol=1e-8)


@pytest.mark.parametrize("sigma", [1.2, 3.0])
@pytest.mark.parametrize("middle", [6, 8])
def test_the_shape_of_a_bell(sigma, middle):
    line = 2.5 * np.exp(-((np.arange(15) - middle) ** 2) / (2.0 * sigma**2))
    found = forms._Shape.of(line, -4)
    assert found.sigma == pytest.approx(sigma, rel=1e-6 if sigma < 2 else 0.02)
    assert found.middle == middle - 4
    # Single weights scatter, ends are lost.
    rough = np.where(line > 0.05, line + 1e-3 * (-1.0) ** np.arange(15), 0.0)
    assert forms._Shape.of(rough, -4).sigma == pytest.approx(sigma, rel=0.02)


def test_what_is_no_bell():
    places = np.arange(15.0)
    bell = np.exp(-((places - 7) ** 2) / 8.0)
    assert forms._Shape.of(bell[:8], 0) is None
    assert forms._Shape.of(bell[3:12], 0) is not None
    for dent, held in ((0.09, True), (0.11, False)):
        low = bell.copy()
        low[0] = -dent
        assert (forms._Shape.of(low, 0) is not None) == held
    for place, held in ((7.15, True), (7.25, False)):
        off = np.exp(-((places - place) ** 2) / 8.0)
        assert (forms._Shape.of(off, 0) is not None) == held
    assert forms._Shape.of(1.0 + np.abs(places - 7.0), 0) is None


@pytest.mark.parametrize(
    ("values", "errors", "tidied"),
    [
        # One sigma for both, of few digits, and a total of one.
        ((2.004, 1.997, 1.0004), 1e-3, (2.0, 2.0, 1.0)),
        ((2.02, 1.98, 1.006), 1e-3, (2.02, 1.98, 1.006)),
        ((2.0493, 2.0493, 1.0), 5e-5, (2.0493, 2.0493, 1.0)),
        ((2.05004, 2.04996, 1.0), 1e-4, (2.05, 2.05, 1.0)),
        ((1.0, 3.0, 0.9996), 1e-4, (1.0, 3.0, 1.0)),
        ((1.0, 3.0, 0.9994), 1e-4, (1.0, 3.0, 0.9994)),
    ],
)
def test_numbers_of_few_digits_are_meant(values, errors, tidied):
    found = forms._tidied(np.array(values), np.full(3, errors), 1.0)
    np.testing.assert_allclose(found, tidied, atol=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(9, 15), (12, 20)])
def test_boxes_over_level_weights(rows, columns):
    rng = np.random.default_rng(0)
    before = rng.normal(size=(80, 90))
    column = np.pad(np.full(rows, 1.0 / rows), (2, 3)) + 0.02 / rows * rng.normal(size=rows + 5)
    row = np.pad(np.full(columns, 1.0 / columns), (1, 2)) + 0.02 / columns * rng.normal(size=columns + 3)
    support = Support(-5, -7, rows + 5, columns + 3, separable=True)
    pair = prepare(before, before, clip=None)
    lines = forms.lines_at(pair, support, column, row)
    (found,) = forms._boxes(pair, lines, float(column.sum() * row.sum()))
    assert found.support == Support(-3, -6, rows, columns, separable=True)
    np.testing.assert_allclose(found.kernel, 1.0 / (rows * columns), rtol=1e-9)
    (twice,) = forms._boxes(pair, lines, 2.0)
    np.testing.assert_allclose(twice.kernel, 2.0 / (rows * columns), rtol=1e-9)
    hollow = column.copy()
    hollow[4:6] = 0.0
    assert list(forms._boxes(pair, forms.lines_at(pair, support, hollow, row), 1.0)) == []


@pytest.mark.parametrize("values", [(2.0, 2.0, 1.0), (1.5, 2.25, 1.7)])
def test_gaussians_of_least_squares(values):
    rng = np.random.default_rng(0)
    before = rng.normal(size=(70, 76))
    support = Support(-9, -10, 19, 21, separable=True)
    kernel = values[2] * np.outer(forms._line(19, values[0])[0], forms._line(21, values[1])[0])
    after = np.zeros(before.shape)
    windows = np.lib.stride_tricks.sliding_window_view(before, (19, 21))
    after[9:-9, 10:-10] = np.einsum("ijab,ab->ij", windows, kernel) + 3.0
    after += 1e-3 * rng.normal(size=after.shape)
    found = list(forms._gaussians(prepare(before, after, clip=None), support, np.array(values) * [1.1, 0.92, 1.05]))
    tidy = found[0]
    np.testing.assert_allclose(tidy.kernel, kernel, atol=2e-4)
    assert tidy.offsets[0] == pytest.approx(3.0, abs=1e-2)
    if values[2] == 1.0:
        np.testing.assert_allclose(tidy.kernel, kernel, atol=1e-12)
    # A guess that is far off is given up.
    assert list(forms._gaussians(prepare(before, after, clip=None), support, np.array([9.0, 0.31, 1.0]))) == []


def blurred(sigmas, total: float = 1.0, noise: float = 0.0, rounded: bool = True):
    """A pair with a Gaussian of 21×23 weights and what a fit of lines would have found of it."""
    rng = np.random.default_rng(0)
    before = rng.integers(0, 256, (90, 97)).astype(float)
    column, row = (forms._line(n, sigma)[0] for n, sigma in zip((21, 23), sigmas))
    after = total * ndi.correlate1d(ndi.correlate1d(before, column, 0), row, 1)
    after = after + noise * rng.normal(size=after.shape)
    pair = prepare(before, np.rint(after) if rounded else after, clip=None)
    rough = [line + 1e-6 * rng.normal(size=line.size) for line in (total * column, row)]
    return pair, forms.lines_at(pair, Support(-10, -11, 21, 23, separable=True), *rough)


@pytest.mark.parametrize("total", [1.0, 0.7])
def test_gaussians_are_tried_with_the_ends_of_programs(total):
    pair, lines = blurred((2.0, 2.6), total)
    found = list(forms.known_forms(pair, forms.of_lines(pair, lines)))
    sizes = [Support(-8, -10, 17, 21, True), Support(-6, -8, 13, 17, True)]
    assert sorted({one.support for one in found}, key=lambda one: -one.rows) == sizes
    for one in found:
        expected = np.outer(forms._line(one.support.rows, 2.0)[0], forms._line(one.support.columns, 2.6)[0])
        np.testing.assert_allclose(one.kernel, total * expected, atol=1e-2 * expected.max())


def test_forms_are_tried_where_rounding_explains_what_is_left():
    # Four times the variance of rounding, 1 / 12, of which rounding itself is one.
    for noise, tried in ((0.47, True), (0.53, False)):
        pair, lines = blurred((2.0, 2.6), 1.0, noise)
        assert (lines.variance < 4.0 / 12.0) == tried
        assert bool(list(forms.known_forms(pair, forms.of_lines(pair, lines)))) == tried
    # Of numbers that are not rounded, a ten thousandth of the after's variance.
    square = float(np.var(blurred((2.0, 2.6), rounded=False)[0].planes[0].after[10:-10, 11:-11]))
    for share, tried in ((0.9e-4, True), (1.15e-4, False)):
        pair, lines = blurred((2.0, 2.6), 1.0, np.sqrt(share * square), rounded=False)
        assert bool(list(forms.known_forms(pair, forms.of_lines(pair, lines)))) == tried


def test_only_a_column_and_a_row_that_are_bells_are_a_gaussian():
    pair, lines = blurred((2.0, 2.6))
    flat = replace(lines, row=np.full(23, 1 / 23.0))
    valley = replace(lines, row=(0.5 + np.abs(np.arange(23) - 11.0)) / 150.0)
    for other in (flat, valley):
        found = forms.known_forms(pair, forms.of_lines(pair, other))
        # A box over the level ones is tried all the same.
        assert [np.ptp(one.kernel) > 1e-6 for one in found] in ([], [False])


@pytest.mark.parametrize("shape", [(18, 18), (2, 150), (150, 2)])
def test_many_weights_are_compared_with_lines(shape):
    rng = np.random.default_rng(0)
    before = rng.normal(size=(max(60, 2 * shape[0]), max(60, 2 * shape[1])))
    column, row = (rng.uniform(0.5, 1.0, n) for n in shape)
    support = Support(-(shape[0] // 2), -(shape[1] // 2), *shape)
    after = np.zeros(before.shape)
    rows, columns = support.positions(before.shape, before.shape)
    windows = np.lib.stride_tricks.sliding_window_view(before, shape)
    after[rows, columns] = np.einsum("ijab,a,b->ij", windows, column, row)
    pair = prepare(before, after, clip=None)
    small = estimate_kernel(pair, Support(0, 0, 1, 1))
    weights, stderr = np.outer(column, row), np.full(shape, 1e-3)
    lines = forms._as_lines(pair, replace(small, support=support, kernel=weights, stderr=stderr))
    np.testing.assert_allclose(lines.kernel, weights, rtol=1e-6)
    assert forms._as_lines(pair, replace(small, support=support, kernel=weights, stderr=0.0 * stderr)) is not None
    # Three times the root of the longer side of errors is what noise leaves beside the largest value.
    right, left = (np.where(np.arange(n) % 2, 1.0, -1.0) / np.sqrt(n) for n in shape[::-1])
    beside = np.outer(left - left @ column * column / (column @ column), right - right @ row * row / (row @ row))
    beside /= np.linalg.norm(beside)
    for size, near in ((0.9, True), (1.2, False)):
        other = weights + size * 3e-3 * np.sqrt(max(shape)) * beside
        found = forms._as_lines(pair, replace(small, support=support, kernel=other, stderr=stderr))
        assert (found is not None) == near
    few = replace(small, support=Support(0, 0, 2, 149), kernel=np.ones((2, 149)), stderr=np.ones((2, 149)))
    assert forms._as_lines(pair, few) is None


def test_errors_of_a_gaussian_are_those_of_least_squares():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(24, 26))
    support = Support(-4, -5, 9, 11, separable=True)
    truth = np.array([1.3, 1.6, 1.1])
    windows = np.lib.stride_tricks.sliding_window_view(before, (9, 11))

    def kernel_of(values):
        return values[2] * np.outer(forms._line(9, values[0])[0], forms._line(11, values[1])[0])

    after = np.zeros(before.shape)
    after[4:-4, 5:-5] = np.einsum("ijab,ab->ij", windows, kernel_of(truth)) + 2.0
    after += 0.05 * rng.normal(size=after.shape)
    found = list(forms._gaussians(prepare(before, after, clip=None), support, truth))[-1]
    places = np.arange(9) - 4, np.arange(11) - 5
    energy = found.kernel.sum(axis=1), found.kernel.sum(axis=0)
    # The values are read off the kernel: a Gaussian's neighbours have the ratio exp(-1 / (2 sigma^2)).
    sigmas = [float(np.sqrt(0.5 / np.log(e[p == 0] / e[p == 1]))[0]) for e, p in zip(energy, places)]
    values = np.array([*sigmas, found.kernel.sum()])
    slopes = []
    for i in range(3):
        step = np.zeros(3)
        step[i] = 1e-5
        slopes.append((kernel_of(values + step) - kernel_of(values - step)) / 2e-5)
    design = np.stack([np.einsum("ijab,ab->ij", windows, slope).ravel() for slope in slopes] + [np.ones(16 * 16)])
    y = after[4:-4, 5:-5].ravel() - np.einsum("ijab,ab->ij", windows, kernel_of(values)).ravel()
    y -= y.mean()
    covariance = np.linalg.inv(design @ design.T)[:3, :3] * float(y @ y) / (y.size - 4)
    expected = np.sqrt(np.einsum("iab,ij,jab->ab", np.array(slopes), covariance, np.array(slopes)))
    np.testing.assert_allclose(found.stderr, expected, rtol=1e-3)


def test_the_slope_of_a_bell_is_read_above_a_tenth_of_its_peak():
    places = np.abs(np.arange(15.0) - 7)
    bell = np.exp(-(places**2) / 8.0)
    bell[places == 5] = 0.09
    assert forms._Shape.of(bell, 0).sigma == pytest.approx(2.0, rel=1e-6)
    bell[places == 5] = 0.12
    assert forms._Shape.of(bell, 0).sigma > 2.02


@pytest.mark.parametrize(("beside", "inside", "found"), [
    (0.0, 1.0, True), (0.0, 0.4, False), (0.3, 1.0, True), (0.45, 1.0, False),
])  # fmt: skip
def test_boxes_are_level_up_to_their_ends(beside, inside, found):
    before = np.random.default_rng(0).normal(size=(60, 66))
    column = np.ones(9)
    column[4] = inside
    column = np.r_[beside, beside if beside > 0.4 else 0.0, column, beside]
    pair = prepare(before, before, clip=None)
    lines = forms.lines_at(pair, Support(-6, -4, 12, 9, separable=True), column / column.sum(), np.full(9, 1 / 9.0))
    assert bool(list(forms._boxes(pair, lines, 1.0))) == found
