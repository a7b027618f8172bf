"""A kernel for each channel."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage import data

import kernelfield as kf

PICTURE = data.astronaut()[::2, ::2]
KERNELS = ([[0.0, 1.0, 0.0]], [[1.0, 2.0, 1.0]] * 2, [[-1.0, 0.0, 1.0]])


def each(before: np.ndarray) -> np.ndarray:
    planes = [
        ndimage.correlate(before[..., i].astype(float), np.array(k), mode="reflect") for i, k in enumerate(KERNELS)
    ]
    return np.stack(planes, axis=2)


def test_channels_that_differ_are_learned_one_by_one():
    after = each(PICTURE)
    fit = kf.learn(PICTURE.astype(float), after)
    assert (fit.model, fit.verdict, fit.boundary) == ("separate", "exact", "reflect")
    assert fit.bank.shape == (3, 1, 2, 3)
    assert fit.description.count("channel") == 3
    np.testing.assert_allclose(fit.apply(PICTURE.astype(float)), after, atol=1e-9)
    np.testing.assert_allclose(fit.kernel.weights, fit.bank[:, 0].mean(axis=0))


def test_each_is_what_it_is_alone():
    rng = np.random.default_rng(0)
    after = each(PICTURE) + rng.normal(size=PICTURE.shape)
    fit = kf.learn(PICTURE, after, channels="separate", size=3)
    for i in range(3):
        alone = kf.learn(PICTURE[..., i], after[..., i], size=3)
        np.testing.assert_array_equal(fit.bank[i, 0], alone.kernel.weights)
        np.testing.assert_array_equal(fit.bank_stderr[i, 0], alone.stderr)
        assert fit.offset[i] == alone.offset


def test_a_shared_kernel_stays_one():
    after = ndimage.correlate(PICTURE, np.array([[[1], [2], [1]]]), mode="mirror", output=float)
    rounded = np.clip(np.floor(after / 4 + 0.5), 0, 255).astype(np.uint8)
    fit = kf.learn(PICTURE, rounded)
    assert (fit.model, fit.bank, fit.verdict, fit.divisor) == ("shared", None, "exact", 4)


def test_a_single_channel_has_one_kernel():
    grey = PICTURE[..., 0]
    fit = kf.learn(grey, grey, channels="separate")
    assert (fit.model, fit.name) == ("shared", "identity")
