from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.learning.filtering import apply
from kernelfield.learning.fit import designed

SOBEL = designed(kf.kernels.sobel(), "Sobel")
SHIFTED = designed(kf.Kernel([[1.0, 0.0, 0.0]]), "a shift")
RNG = np.random.default_rng(7)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "float32", "float64"])
@pytest.mark.parametrize("source", ["uint8", "int16", "float32"])
def test_dtype(source, dtype):
    image = (RNG.random((30, 40)) * 200).astype(source)
    exact = ndimage.sobel(image.astype(float), 1)
    done = apply(SOBEL, image, dtype=dtype)
    assert done.pixels.dtype == dtype
    np.testing.assert_array_equal(done.pixels, SOBEL.apply(image, dtype=dtype))
    if np.dtype(dtype).kind == "f":
        np.testing.assert_allclose(done.pixels, exact, atol=1e-3)
        assert not done.saturated.any()
        return
    limits = np.iinfo(dtype)
    rounded = np.floor(exact + 0.5)
    np.testing.assert_array_equal(done.saturated, (rounded < limits.min) | (rounded > limits.max))
    np.testing.assert_allclose(done.pixels, np.clip(exact, limits.min, limits.max), atol=0.501)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_the_ends_of_64_bits(dtype):
    limits = np.iinfo(dtype)
    image = np.full((4, 5), 1e30)
    image[:, :2] = -1e30
    done = apply(SHIFTED, image, dtype=dtype)
    assert done.saturated.all()
    assert set(done.pixels.ravel().tolist()) == {limits.min, limits.max}


def test_a_pixel_counts_once_for_all_channels():
    image = RNG.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    beyond = [(np.abs(ndimage.sobel(plane.astype(float), 1) - 127.5) > 127.99) for plane in np.moveaxis(image, 2, 0)]
    np.testing.assert_array_equal(apply(SOBEL, image).saturated, np.any(beyond, axis=0))


def test_floats_beyond_float32():
    done = apply(SHIFTED, np.array([[1e300, 1.0, 2.0, 3.0]]), dtype="float32")
    assert done.saturated.tolist() == [[True, True, False, False]]


def test_copied_borders_keep_their_values():
    image = RNG.integers(0, 255, (12, 13)).astype(np.uint8)
    result = SOBEL.apply(image, boundary="copy", dtype="float32")
    np.testing.assert_array_equal(result[0], image[0].astype(np.float32))
    np.testing.assert_allclose(result[1:-1, 1:-1], ndimage.sobel(image.astype(float), 1)[1:-1, 1:-1])


@pytest.mark.parametrize("dtype", ["junk", "complex64", "U3", object, "bool", 3, [1]])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ArgumentError, match="dtype: expected a type of integers or floats"):
        SOBEL.apply(np.ones((5, 5)), dtype=dtype)


def test_nan_has_no_integer():
    image = np.ones((9, 9))
    image[4, 4] = np.nan
    with pytest.raises(ArgumentError, match="since 9 results are NaN"):
        SOBEL.apply(image, dtype="uint8")


def test_renormalised_needs_a_sum():
    with pytest.raises(ArgumentError, match="renormalised"):
        SOBEL.apply(np.ones((9, 9)), boundary="renormalised")
