"""The confidence ellipse against the closed form of χ² of two degrees, -2 log(1 - level)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.ellipse import Ellipse
from kernelfield.learning.fit import designed

TURN = np.array([[0.6, -0.8], [0.8, 0.6]])
COVARIANCE = TURN @ np.diag([0.09, 4.0]) @ TURN.T


@pytest.mark.parametrize("level", [0.01, 0.5, 0.95, 0.99])
def test_axes_points_and_inside(level):
    radius = np.sqrt(-2.0 * np.log(1.0 - level))
    found = Ellipse((1.0, -2.0), COVARIANCE, level)
    assert found.radius == pytest.approx(radius)
    assert found.semi_axes == pytest.approx((2.0 * radius, 0.3 * radius))
    points = found.points(9)
    assert points.shape == (9, 2)
    assert found.points().shape == (100, 2)
    np.testing.assert_allclose(points[0], points[-1])
    off = (points - [1.0, -2.0]) @ TURN
    np.testing.assert_allclose((off[:, 0] / 0.3) ** 2 + (off[:, 1] / 2.0) ** 2, radius**2)
    # Eighths of a turn, each once.
    assert len(np.unique(np.round(points, 9), axis=0)) == 8
    assert all(found.holds((1.0 + 0.999 * x, -2.0 + 0.999 * y)) for x, y in points - [1.0, -2.0])
    assert not any(found.holds((1.0 + 1.001 * x, -2.0 + 1.001 * y)) for x, y in points - [1.0, -2.0])


def test_a_weight_without_an_error_is_a_line():
    found = Ellipse((0.0, 0.0), np.diag([1.0, 0.0]), 0.95)
    assert found.semi_axes == (pytest.approx(found.radius), 0.0)
    assert np.ptp(found.points()[:, 1]) == 0.0


def test_the_weights_are_those_that_are_named():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(6, 6))
    kernel = kf.Kernel(rng.normal(size=(2, 3)), anchor=(0, 1))
    fit = dataclasses.replace(designed(kernel, "a trial"), covariance=table @ table.T, stderr=np.ones((2, 3)))
    found = fit.confidence_ellipse((0, 2), (1, 0), 0.5)
    assert found.centre == (kernel.weights[0, 2], kernel.weights[1, 0])
    np.testing.assert_array_equal(found.covariance, fit.covariance[np.ix_([2, 3], [2, 3])])
    assert found.level == 0.5
    for level in (0.001, 0.999):
        assert fit.confidence_ellipse((0, 0), (0, 1), level).level == level
    for level in (0.0, 1.0, 0, 1, "0.5", None):
        with pytest.raises(ArgumentError, match="level: expected a share between 0 and 1"):
            fit.confidence_ellipse((0, 0), (0, 1), level)
    for place in ((2, 0), (0, 3), (-1, 0), 1, (0, 1, 2), "ab"):
        with pytest.raises(ArgumentError, match="second: expected row and column in a kernel of 2×3"):
            fit.confidence_ellipse((0, 0), place)


def test_without_a_covariance_there_is_none():
    fit = dataclasses.replace(designed(kf.kernels.box(3), "box"), stderr=np.full((3, 3), 0.1))
    with pytest.raises(DataError, match="fit: expected a kernel with a covariance"):
        fit.confidence_ellipse((0, 0), (0, 1))
    # Weights without errors are known: a point.
    exact = designed(kf.kernels.box(3), "box").confidence_ellipse((0, 0), (0, 1))
    assert exact.semi_axes == (0.0, 0.0)
