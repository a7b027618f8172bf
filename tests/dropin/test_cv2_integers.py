"""Integer results with every instruction set, against Python's whole numbers of any size."""

import numpy as np
import pytest

from kernelfield import _core
from kernelfield.dropin import cv2
from kernelfield.dropin.opencv_kernels import gaussian_lines

BOXES = [(1, 3), (2, 2), (3, 3), (4, 4), (5, 5), (6, 5), (7, 9), (15, 15), (63, 1), (65, 1), (31, 9), (255, 1)]


def windows(image, width, height):
    """Return the sums of boxes over an image that goes on as its edge, exactly."""
    ends = [(n // 2, n - 1 - n // 2) for n in (height, width)]
    wide = np.pad(image.astype(np.int64), ends, mode="edge")
    return np.lib.stride_tricks.sliding_window_view(wide, (height, width))


def near_the_limits(dtype, shape):
    """Return an image whose lower half is as bright as can be: sums are largest there."""
    rng, limits = np.random.default_rng(0), np.iinfo(dtype)
    image = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    image[shape[0] // 2 :] = rng.integers(limits.max - 20, limits.max, image[shape[0] // 2 :].shape, dtype)
    return image


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("box", BOXES, ids=str)
def test_means_are_rounded_to_nearest_and_halves_to_even(engine, dtype, box):
    image = near_the_limits(dtype, (60, 300))
    area = box[0] * box[1]
    quotient, rest = np.divmod(windows(image, *box).sum((-1, -2)), area)
    expected = quotient + ((2 * rest > area) | ((2 * rest == area) & (quotient % 2 == 1)))
    got = cv2.blur(image, box, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_array_equal(got, expected.astype(dtype), strict=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("sigma", [0.7, 1.1, 2.0])
def test_gaussians_round_halves_up(engine, dtype, sigma):
    bits = 8 * np.dtype(dtype).itemsize
    image = near_the_limits(dtype, (50, 160))
    whole = (np.outer(*gaussian_lines(9, 9, sigma, sigma, np.dtype(dtype))) * 4.0**bits).astype(int).astype(object)
    assert whole.sum() == 4**bits
    sums = np.einsum("ijab,ab->ij", windows(image, 9, 9).astype(object), whole)
    expected = (2 * sums + 4**bits) // (2 * 4**bits)
    got = cv2.GaussianBlur(image, (9, 9), sigma, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_array_equal(got, expected.astype(dtype), strict=True)


@pytest.mark.parametrize("size", [(3, 3), (15, 15), (13, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "int16"])
def test_halves_are_met_and_go_up_or_to_even(engine, size, dtype):
    image = (np.arange(40 * 300) % 256).reshape(40, 300).astype(dtype)
    if dtype == "int16":
        image -= 128
    kernel = np.zeros(size)
    kernel[size[0] // 2, size[1] // 2] = 0.5
    before = size[0] // 2, size[1] // 2
    for up, round_half in ((True, lambda values: np.floor(values + 0.5)), (False, np.rint)):
        found = np.empty_like(image)
        _core.Correlation(kernel, before=before, boundary="nearest", up=up)(image, found)
        np.testing.assert_array_equal(found, round_half(image / 2).astype(dtype), strict=True)


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_sums_that_float32_does_not_hold_are_rounded_once(engine, dtype):
    """Whole sums from 2**24 to 2**26: those of float32 would be several units off."""
    rng = np.random.default_rng(0)
    image, kernel = near_the_limits(dtype, (40, 200)), rng.integers(1, 30, (5, 7))
    sums = np.einsum("ijab,ab->ij", windows(image, 7, 5), kernel)
    assert 2**24 < abs(sums).max() < 2**26
    got = cv2.filter2D(image, cv2.CV_32F, kernel.astype(float), borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_array_equal(got, sums.astype(np.float32), strict=True)
