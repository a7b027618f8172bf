"""Errors that hold: coverage under noise of several kinds, and words where they do not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph
from helpers.compression import jpeg

import kernelfield as kf
from kernelfield.errors import ArgumentError

CAMERA = photograph("camera")[128:384, 128:384].astype(float)
KERNEL = kf.kernels.gaussian(1.0, 5)
CLEAN = kf.correlate(CAMERA, KERNEL)


def covered(afters) -> float:
    """Return the share of 95 % intervals that hold the weight."""
    hits = []
    for after in afters:
        fit = kf.learn(CAMERA, after, size=5)
        hits.append(np.abs(fit.kernel.weights - KERNEL.weights) <= 1.96 * fit.stderr)
    return float(np.mean(hits))


def test_correlated_and_unequal_noise_is_covered():
    rng = np.random.default_rng(1)
    unequal = [CLEAN + rng.normal(size=CLEAN.shape) * (0.2 + CLEAN / 20) for _ in range(8)]
    smooth = [CLEAN + 5 * ndi.gaussian_filter(rng.normal(size=CLEAN.shape), 1.0) for _ in range(8)]
    assert covered(unequal) > 0.88
    assert covered(smooth) > 0.88


@pytest.mark.parametrize("sd", [4.0, 15.0])
def test_noise_in_the_before_is_measured_or_corrected_where_given(sd):
    rng = np.random.default_rng(2)
    before, after = CAMERA + rng.normal(scale=sd, size=CAMERA.shape), CLEAN + rng.normal(size=CLEAN.shape)
    given = kf.learn(before, after, size=5, noise=(sd, 1.0))
    measured = kf.learn(before, after, size=5)
    plain = np.abs(np.linalg.lstsq(*_design(before, after), rcond=None)[0][:25] - KERNEL.weights.ravel()).max()
    for fit in (given, measured):
        assert np.abs(fit.kernel.weights - KERNEL.weights).max() < 0.5 * plain
        assert "noise in the before" in str(fit)


def _design(before, after):
    windows = np.lib.stride_tricks.sliding_window_view(before, (5, 5)).reshape(-1, 25)
    return np.c_[windows, np.ones(len(windows))], after[2:-2, 2:-2].ravel()


def test_compression_is_named():
    fit = kf.learn(CAMERA.astype(np.uint8), jpeg(np.rint(CLEAN).astype(np.uint8), 75), size=5)
    assert "may be off" in fit.errors_note
    assert fit.name is None


@pytest.mark.parametrize("noise", [3.0, (1.0, -1.0), (1.0, np.inf), ("a", "b"), (1.0, 2.0, 3.0)])
def test_noise_that_cannot_be_is_refused(noise):
    with pytest.raises(ArgumentError, match="noise: expected the standard deviations of before and after"):
        kf.learn(CAMERA, CLEAN, size=5, noise=noise)


def test_a_mask_with_flat_tiles_has_errors():
    mask = ndi.gaussian_filter(CAMERA, 2) > 120
    outline = mask ^ ndi.binary_erosion(mask, np.ones((3, 3)))
    fit = kf.learn(mask.astype(float), outline.astype(float), size=3)
    assert fit.verdict != "exact"
    assert np.isfinite(fit.stderr).all()
