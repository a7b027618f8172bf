"""A kernel for each channel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import kernelfield as kf
from kernelfield.errors import DataError

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


@pytest.mark.parametrize("given", [{}, {"size": 3}])
@pytest.mark.parametrize("depth", ["uint8", "float64"])
@pytest.mark.parametrize("shape", [(12, 12), (12, 30), (16, 16), (24, 9)])
def test_a_shared_kernel_of_a_tiny_picture_stays_one(shape, depth, given):
    """Of few pixels kernels that mix explain much, and one for all everything."""
    before = data.coffee()[110 : 110 + shape[0], 130 : 130 + shape[1]]
    after = ndimage.correlate(before.astype(float), np.ones((3, 3, 1)) / 9, mode="nearest")
    after = np.rint(after).astype(depth) if depth == "uint8" else after
    fit = kf.learn(before, after, **given)
    assert (fit.model, fit.verdict, fit.name) == ("shared", "exact", "box")


@pytest.mark.parametrize("n", [6, 7, 8, 9, 10])
def test_channels_of_a_few_pixels_are_answered_or_refused(n):
    for picture in (data.astronaut()[110 : 110 + n, 130 : 130 + n], data.coffee()[110 : 110 + n, 130 : 130 + n]):
        after = np.rint(ndimage.correlate(picture.astype(float), np.ones((3, 3, 1)) / 9, mode="nearest"))
        try:
            fit = kf.learn(picture, after.astype(np.uint8))
        except DataError:
            continue
        np.testing.assert_allclose(fit.apply(picture)[1:-1, 1:-1], after[1:-1, 1:-1], atol=12.0)
