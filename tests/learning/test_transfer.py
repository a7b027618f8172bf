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


def test_it_is_the_sum_of_waves():
    """Weights of an even size about an anchor off the middle, of a negative sum, in a direction between the axes."""
    rng = np.random.default_rng(3)
    weights = rng.random((2, 3)) - 1.0
    table = rng.normal(size=(6, 6))
    covariance = 1e-4 * table @ table.T
    fit = designed(kf.Kernel(weights, anchor=(1, 0)), "a trial")
    fit = dataclasses.replace(fit, covariance=covariance, stderr=np.sqrt(np.diag(covariance)).reshape(2, 3))
    angle = np.deg2rad(25.0)

    def value(values, f):
        return abs(
            sum(
                weight * np.exp(2j * np.pi * f * (np.sin(angle) * (i - 1) + np.cos(angle) * j))
                for (i, j), weight in np.ndenumerate(values)
            )
        ) / abs(values.sum())

    found = fit.mtf(25.0, [0.0, 0.1, 0.4])
    np.testing.assert_allclose(found.value, [value(weights, f) for f in (0.0, 0.1, 0.4)], rtol=1e-12)
    slopes = np.zeros((3, 6))
    for i in range(6):
        step = np.zeros(6)
        step[i] = 1e-6
        ends = [weights + sign * step.reshape(2, 3) for sign in (-1, 1)]
        slopes[:, i] = [(value(ends[1], f) - value(ends[0], f)) / 2e-6 for f in (0.0, 0.1, 0.4)]
    np.testing.assert_allclose(found.error, np.sqrt(np.einsum("fi,ij,fj->f", slopes, covariance, slopes)), atol=1e-7)
    assert found.error[1] > 1e-3
    assert found.angle == 25.0


@pytest.mark.parametrize(("angle", "last"), [(0, 0.5), (90, 0.5), (45, np.sqrt(0.5)), (200, 0.5 / np.cos(np.pi / 9))])
def test_frequencies_go_up_to_half_a_cycle_along_an_axis(angle, last):
    found = designed(kf.kernels.box(3), "box").mtf(angle)
    np.testing.assert_allclose(found.frequencies, np.linspace(0.0, last, 65))
    assert not found.error.any()


def test_the_error_of_the_half_is_that_of_the_value_over_its_slope():
    rng = np.random.default_rng(4)
    fit = learned(rng, kf.kernels.gaussian(1.0, 5).weights)
    found = fit.mtf(70)
    at = fit.mtf(70, [found.mtf50 - 1e-4, found.mtf50, found.mtf50 + 1e-4])
    assert at.value[1] == pytest.approx(0.5, abs=1e-9)
    assert found.mtf50_error == pytest.approx(at.error[1] / abs(at.value[2] - at.value[0]) * 2e-4, rel=1e-4)
    assert repr(found) == f"<Transfer at 70°, MTF50 {found.mtf50:.4g} ± {found.mtf50_error:.2g} cycles per pixel>"
    bare = dataclasses.replace(found, mtf50_error=None)
    assert repr(bare) == f"<Transfer at 70°, MTF50 {found.mtf50:.4g} cycles per pixel>"
    assert repr(dataclasses.replace(found, mtf50=None)) == "<Transfer at 70°, never below 0.5>"


def test_a_contrast_that_begins_below_a_half_never_crosses_it():
    """The lowest frequency is where the value falls to a half, not where it rises to it."""
    sharp = designed(kf.Kernel([[-0.4, 1.8, -0.4]]), "sharper")
    assert sharp.mtf(0).mtf50 is None
    np.testing.assert_allclose(sharp.mtf(0, [0.5]).value, 2.6)
    # Of several crossings the first: 1 + 2 cos(w) + 2 cos(2 w) is 2.5.
    twice = designed(kf.Kernel(np.full((1, 5), 0.2)), "box")
    assert twice.mtf(0).mtf50 == pytest.approx(np.arccos((np.sqrt(60) - 2) / 8) / 2 / np.pi)


def test_a_sum_of_nothing_but_rounding_is_0():
    for off, known in ((1.1e-9, True), (0.9e-9, False)):
        fit = designed(kf.Kernel([[1.0, -1.0 + 2.0 * off]]), "nearly a difference")
        if known:
            assert fit.mtf(0, [0.0]).value == pytest.approx(1.0)
        else:
            with pytest.raises(DataError, match="sum that is not 0"):
                fit.mtf()
