"""Kernels of a known form near estimates, part by part."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning import forms
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
