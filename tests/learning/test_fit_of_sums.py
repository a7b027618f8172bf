"""The fit that sums alone tell, against explicit least squares over all windows."""

from __future__ import annotations

import numpy as np
import pytest

import kernelfield as kf

pytestmark = pytest.mark.core


def design_of(before: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The windows of a plane, flat, of positions whose window lies inside."""
    return np.lib.stride_tricks.sliding_window_view(before, size).reshape(-1, size[0] * size[1])


def inner(size: tuple[int, int], shape: tuple[int, int]) -> tuple[slice, slice]:
    """The pixels of the after that those windows give, whose element ``size // 2`` lies over them."""
    return tuple(slice(n // 2, n // 2 + m - n + 1) for n, m in zip(size, shape))


@pytest.mark.parametrize("size", [(2, 3), (3, 4), (1, 5)])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_fit_is_that_of_least_squares(size, channels):
    rng = np.random.default_rng(0)
    before = rng.normal(size=(20, 23, channels)) + 50.0
    kernel = rng.normal(size=size)
    after = rng.normal(size=before.shape) * 0.3
    where = inner(size, before.shape[:2])
    design, right = [], []
    for c in range(channels):
        windows = design_of(before[..., c], size)
        after[(*where, c)] += (windows @ kernel.ravel() + 7.0 * (c + 1)).reshape(after[(*where, c)].shape)
        design.append(np.hstack([windows, np.tile(np.eye(channels)[c], (len(windows), 1))]))
        right.append(after[(*where, c)].ravel())
    table, y = np.vstack(design), np.concatenate(right)
    best = np.linalg.lstsq(table, y, rcond=None)[0]
    left = float(((y - table @ best) ** 2).sum())
    spread = sum(float(((one - one.mean()) ** 2).sum()) for one in right)
    pair = (before, after) if channels > 1 else (before[..., 0], after[..., 0])
    fit = kf.KernelLearner(size).partial_fit(*pair).fit_
    p = size[0] * size[1]
    np.testing.assert_allclose(fit.kernel.weights.ravel(), best[:p], atol=1e-8)
    np.testing.assert_allclose(fit.offset, best[p:] if channels > 1 else best[p], rtol=1e-8)
    assert fit.residual_sd == pytest.approx(np.sqrt(left / len(y)), rel=1e-6)
    assert fit.r2 == pytest.approx(1.0 - left / spread, rel=1e-9)
    assert (fit.samples, fit.excluded, fit.rank, fit.anchor) == (len(y), 0, p, (size[0] // 2, size[1] // 2))
    inverse = np.linalg.inv(table.T @ table)[:p, :p] * left / (len(y) - p - channels)
    np.testing.assert_allclose(fit.covariance, inverse, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(fit.stderr.ravel(), np.sqrt(np.diag(inverse)), rtol=1e-5)
    assert fit.channels == (("0", "1") if channels > 1 else ("grey",))
    assert (fit.verdict, fit.boundary, fit.cval, fit.rounding, fit.outliers) == ("approximate", None, 0.0, None, 0)
    assert (fit.name, fit.integers, fit.divisor, fit.boundary_candidates) == (None, None, None, ())
    assert fit.undetermined.shape == (0, *size)
    assert "calm and busy" not in fit.explanation
    assert "another filter" not in fit.explanation
    assert "kf.learn of one pair tells" in fit.notes[0]
    assert "independent and equal" in fit.errors_note


@pytest.mark.parametrize("share", [0.02, 0.49, 0.51, 0.9])
def test_of_what_explains_less_than_half_sums_do_not_tell_the_rest(share):
    """Noise without any part along the windows: R² is what was asked for."""
    rng = np.random.default_rng(1)
    before = rng.normal(size=(40, 44))
    windows = np.hstack([design_of(before, (3, 3)), np.ones((38 * 42, 1))])
    signal = windows[:, :9] @ rng.normal(size=9)
    signal -= signal.mean()
    noise = rng.normal(size=len(signal))
    noise -= windows @ np.linalg.lstsq(windows, noise, rcond=None)[0]
    after = np.zeros(before.shape)
    total = np.sqrt(share) * signal / signal.std() + np.sqrt(1.0 - share) * noise / noise.std()
    after[1:-1, 1:-1] = total.reshape(38, 42)
    fit = kf.KernelLearner(3).partial_fit(before, after).fit_
    assert fit.r2 == pytest.approx(share, abs=1e-9)
    assert fit.verdict == "approximate"
    assert ("sums do not tell whether the rest is noise or another filter" in fit.explanation) == (share < 0.5)


@pytest.mark.parametrize("noise", [1e-3, 1e-2])
def test_a_kernel_within_its_errors_is_named(noise):
    rng = np.random.default_rng(2)
    before = rng.normal(size=(60, 64)) * 5.0
    after = 3.0 * kf.correlate(before, kf.kernels.gaussian(0.7, 5)) + noise * rng.normal(size=before.shape)
    fit = kf.KernelLearner(5).partial_fit(before, after).fit_
    assert fit.name == fit.kernel.name == "gaussian"
    assert fit.parameters["sigma"] == pytest.approx(0.7, abs=noise)
    assert dict(fit.kernel.parameters) == dict(fit.parameters)
    assert fit.scale == pytest.approx(3.0, abs=0.1 * noise)
    assert "Gaussian" in fit.description


def test_whole_numbers_over_a_divisor():
    rng = np.random.default_rng(3)
    before = rng.integers(0, 256, (60, 64)).astype(np.uint8)
    weights = np.array([[1, 2, 3], [2, 5, 1]])
    after = np.floor(kf.correlate(before, weights / 8.0) * 0.5 + 0.5).astype(np.uint8)
    fit = kf.KernelLearner((2, 3)).partial_fit(before, after).fit_
    assert (fit.integers.tolist(), fit.divisor) == (weights.tolist(), 16)
    noisy = kf.KernelLearner((2, 3)).partial_fit(before, after + 40.0 * rng.normal(size=after.shape)).fit_
    assert (noisy.integers, noisy.divisor) == (None, None)


def test_a_single_value_tells_nothing():
    before = np.random.default_rng(4).normal(size=(20, 24))
    fit = kf.KernelLearner((2, 3)).partial_fit(before, np.full(before.shape, 4.0)).fit_
    assert (fit.verdict, fit.rank, fit.r2, fit.residual_sd) == ("undetermined", 0, 1.0, 0.0)
    assert np.isinf(fit.stderr).all()
    assert fit.offset == pytest.approx(4.0)


def test_what_a_ramp_does_not_tell():
    ramp = np.add.outer(3.0 * np.arange(30.0), np.arange(30.0))
    fit = kf.KernelLearner((2, 2)).partial_fit(ramp, 2.0 * ramp).fit_
    assert (fit.verdict, fit.rank) == ("undetermined", 1)
    assert fit.undetermined.shape == (3, 2, 2)
    # Weights that sum to 0 add a constant to a ramp.
    np.testing.assert_allclose(fit.undetermined.sum(axis=(1, 2)), 0.0, atol=1e-8)
    assert (fit.name, fit.integers) == (None, None)
    assert fit.kernel.weights.sum() == pytest.approx(2.0)


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_units_change_nothing_but_units(unit):
    rng = np.random.default_rng(5)
    before = rng.normal(size=(20, 24))
    after = kf.correlate(before, [[1.0, 2.0, -1.0]]) + 0.5 * rng.normal(size=before.shape)
    fit, other = (kf.KernelLearner((1, 3)).partial_fit(s * before, s * after).fit_ for s in (1.0, unit))
    assert (other.r2, other.verdict) == (pytest.approx(fit.r2), fit.verdict)
    assert other.residual_sd == pytest.approx(unit * fit.residual_sd)
    np.testing.assert_allclose(other.stderr, fit.stderr)


@pytest.mark.parametrize(("off", "whole"), [(0.0, True), (0.7e-9, True), (1e-6, False)])
@pytest.mark.parametrize("unit", [1.0, 32.0])
def test_integers_are_claimed_to_a_thousandth_of_a_millionth(off, whole, unit):
    before = np.random.default_rng(6).normal(size=(40, 44))
    weights = np.array([[1.0, 2.0, 3.0], [2.0, 5.0, 1.0]]) / 16.0 * unit
    weights[0, 0] += off * weights.max()
    fit = kf.KernelLearner((2, 3)).partial_fit(before, kf.correlate(before, weights)).fit_
    assert (fit.integers is not None) == whole
