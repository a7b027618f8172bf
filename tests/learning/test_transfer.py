"""Modulation transfer function, confidence ellipse and covariance: against formulas, trials and least squares."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from helpers.fits import least_squares

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.fit import designed


def learned(rng, kernel, scale=0.1, shape=(26, 28), smooth=False):
    before = rng.normal(size=shape)
    before = kf.correlate(before, np.ones((2, 2)) / 2) if smooth else before
    after = kf.correlate(before, kernel, boundary="wrap") + rng.normal(scale=scale, size=shape)
    return least_squares(before, after, np.shape(kernel))


@pytest.mark.parametrize("angle", [0, 30, 45, 90, -60, 180])
@pytest.mark.parametrize("sigma", [1.0, 1.5, 3.0])
def test_a_gaussian_has_the_gaussian_that_analysis_says(angle, sigma):
    fit = designed(kf.kernels.gaussian(sigma, 41), "a blur")
    frequencies = np.linspace(0, 0.3, 20)
    # Sampling folds the tails of the spectrum back, which matters for narrow Gaussians near half a cycle.
    found = fit.mtf(angle, frequencies)
    np.testing.assert_allclose(found.value, np.exp(-2 * (np.pi * sigma * frequencies) ** 2), atol=2e-3)
    assert found.mtf50 == pytest.approx(np.sqrt(np.log(2) / 2) / np.pi / sigma, rel=5e-3)
    assert not found.error.any()
    assert found.mtf50_error == 0


def test_the_direction_is_clockwise_from_the_right():
    fit = designed(kf.Kernel([[0.25, 0.5, 0.25]]), "along rows")
    assert fit.mtf(0).value[-1] == pytest.approx(0, abs=1e-12)
    assert fit.mtf(0).mtf50 == pytest.approx(0.25)
    np.testing.assert_allclose(fit.mtf(90).value, 1)
    assert fit.mtf(90).mtf50 is None
    diagonal = designed(kf.Kernel(np.eye(3) / 3), "down and to the right")
    assert diagonal.mtf(45, [0.2]).value < 0.9
    assert diagonal.mtf(-45, [0.2]).value == pytest.approx(1)


def test_errors_are_those_of_trials():
    rng = np.random.default_rng(0)
    kernel = kf.kernels.gaussian(1.0, 5).weights
    trials = [learned(rng, kernel, smooth=True).mtf(20, [0.05, 0.15, 0.3]) for _ in range(300)]
    spread = np.std([one.value for one in trials], axis=0)
    np.testing.assert_allclose(np.mean([one.error for one in trials], axis=0), spread, rtol=0.12)
    half = np.std([one.mtf50 for one in trials])
    assert np.mean([one.mtf50_error for one in trials]) == pytest.approx(half, rel=0.12)


def test_ellipses_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    kernel = np.array([[0.1, 0.3, -0.2], [0.2, 0.5, 0.1]])
    for level in (0.95, 0.5):
        held = [
            learned(rng, kernel, smooth=True).confidence_ellipse((0, 1), (1, 1), level).holds((0.3, 0.5))
            for _ in range(600)
        ]
        assert abs(np.mean(held) - level) < 4 * np.sqrt(level * (1 - level) / len(held))


def test_the_covariance_is_that_of_least_squares_for_equal_noise():
    rng = np.random.default_rng(2)
    before = kf.correlate(rng.normal(size=(60, 61)), np.ones((2, 2)) / 2)
    after = kf.correlate(before, [[1.0, 2.0, -1.0]], boundary="wrap") + rng.normal(scale=0.3, size=before.shape)
    fit = kf.learn(before, after, size=(1, 3))
    views = np.lib.stride_tricks.sliding_window_view(before, (1, 3)).reshape(-1, 3)
    x = views - views.mean(axis=0)
    inverse = np.linalg.inv(x.T @ x)
    sd = np.sqrt(np.diag(inverse))
    spread = np.sqrt(np.diag(fit.covariance))
    np.testing.assert_allclose(spread, fit.stderr.ravel(), rtol=1e-12)
    np.testing.assert_allclose(fit.covariance / np.outer(spread, spread), inverse / np.outer(sd, sd), atol=1e-9)
    assert fit.confidence_ellipse((0, 0), (0, 1)).semi_axes[0] > spread.max()
    around = fit.confidence_ellipse((0, 0), (0, 1)).points(50)
    off = around - fit.kernel.weights[0, :2]
    squares = np.einsum("ni,ij,nj->n", off, np.linalg.inv(fit.covariance[:2, :2]), off)
    np.testing.assert_allclose(squares, -2 * np.log(0.05), rtol=1e-9)


def test_the_covariance_covers_the_zeros_up_to_the_output_pixel(tmp_path):
    before = np.random.default_rng(3).normal(size=(60, 60))
    after = np.roll(before, (0, 4), (0, 1)) + 0.5 * np.roll(before, (0, 5), (0, 1))
    after += np.random.default_rng(4).normal(scale=0.1, size=before.shape)
    fit = kf.learn(before, after)
    assert fit.covariance.shape == (fit.kernel.weights.size,) * 2
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)), fit.stderr.ravel(), atol=1e-15)
    fit.save(tmp_path / "fit.json")
    again = kf.Fit.load(tmp_path / "fit.json")
    np.testing.assert_allclose(again.covariance, fit.covariance, rtol=1e-8)


def test_what_is_not_known_is_said_or_refused():
    box = designed(kf.kernels.box(3), "box")
    unknown = dataclasses.replace(box, stderr=np.ones((3, 3)))
    assert unknown.mtf().error is None
    assert unknown.mtf().mtf50_error is None
    with pytest.raises(DataError, match="covariance"):
        unknown.confidence_ellipse((0, 0), (0, 1))
    with pytest.raises(ArgumentError, match="first: expected row and column"):
        box.confidence_ellipse((3, 0), (0, 1))
    with pytest.raises(ArgumentError, match="level"):
        box.confidence_ellipse((0, 0), (0, 1), 95)
    with pytest.raises(ArgumentError, match="angle"):
        box.mtf("left")
    with pytest.raises(ArgumentError, match="frequencies"):
        box.mtf(0, [[0.1]])
    with pytest.raises(DataError, match="sum that is not 0"):
        designed(kf.kernels.sobel(), "sobel").mtf()


def test_a_figure_of_it_is_drawn():
    assert len(designed(kf.kernels.box(3), "box").mtf().plot().axes) == 1
