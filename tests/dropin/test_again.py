"""Drop-ins done again come from what was kept: the same numbers, whatever was kept before, and no errors are lost."""

import cv2 as opencv
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from kernelfield.dropin import cv2, ndimage, signal
from kernelfield.engine.plan import CACHE
from kernelfield.errors import ArgumentError

KERNEL = np.array([[1.0, 2.0, 1.0], [2.0, 5.0, 2.0], [1.0, 2.0, 3.0]]) / 16
NINTHS = np.full((3, 3), 1 / 9)
OPENCV = {
    "filter2D": (-1, KERNEL),
    "sepFilter2D": (-1, KERNEL[0], KERNEL[1]),
    "GaussianBlur": ((5, 5), 1.1),
    "blur": ((4, 3),),
    "boxFilter": (cv2.CV_32F, (3, 3)),
    "Sobel": (cv2.CV_32F, 1, 0),
    "Scharr": (cv2.CV_32F, 0, 1),
    "Laplacian": (cv2.CV_32F,),
}
NDIMAGE = {
    "correlate": (KERNEL,),
    "convolve": (NINTHS,),
    "correlate1d": (KERNEL[0],),
    "convolve1d": (KERNEL[0], 0),
    "gaussian_filter": (1.0,),
    "gaussian_filter1d": (1.0, 0),
    "gaussian_laplace": (1.0,),
    "gaussian_gradient_magnitude": (1.0,),
    "uniform_filter": (3,),
    "uniform_filter1d": (4,),
    "laplace": (),
    "sobel": (0,),
    "prewitt": (),
}


@pytest.fixture(autouse=True)
def forget():
    CACHE.clear()
    yield
    CACHE.clear()


def pictures(dtype, shape):
    rng = np.random.default_rng(0)
    for _ in range(4):
        yield (rng.random(shape) * 200).astype(dtype)


@pytest.mark.parametrize("shape", [(40, 50), (30, 40, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("name", OPENCV)
def test_opencv(name, dtype, shape):
    for image in pictures(dtype, shape):
        CACHE.clear()
        fresh = getattr(cv2, name)(image, *OPENCV[name])
        assert len(CACHE) == 1
        getattr(cv2, name)(255 - image, *OPENCV[name])
        found = getattr(cv2, name)(image, *OPENCV[name])
        assert len(CACHE) == 1
        np.testing.assert_array_equal(found, fresh)
        expected = getattr(opencv, name)(image, *OPENCV[name])
        assert (found.dtype, found.shape, found.flags.c_contiguous) == (expected.dtype, expected.shape, True)
        np.testing.assert_allclose(found.astype(float), expected, atol=1 if expected.dtype == np.uint8 else 1e-2)
        dst = np.zeros_like(found)
        for _ in range(2):
            assert getattr(cv2, name)(image, *OPENCV[name], dst=dst) is dst
            np.testing.assert_array_equal(dst, found)
            dst[...] = 3
    if found.dtype == image.dtype:
        for _ in range(2):
            same = image.copy()
            assert getattr(cv2, name)(same, *OPENCV[name], dst=same) is same
            np.testing.assert_array_equal(same, found)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "int64", ">f4"])
@pytest.mark.parametrize("name", NDIMAGE)
def test_ndimage(name, dtype):
    ours, theirs = getattr(ndimage, name), getattr(scipy.ndimage, name)
    for image in pictures(dtype, (40, 50)):
        expected = theirs(image.astype(image.dtype.newbyteorder("=")), *NDIMAGE[name])
        tolerance = 0 if expected.dtype.kind in "iu" else 1e-2 if expected.dtype == np.float32 else 1e-9
        for options in ({}, {"mode": "wrap"}, {}, {"mode": "wrap"}):
            wanted = expected if not options else theirs(image.astype(expected.dtype), *NDIMAGE[name], **options)
            found = ours(image, *NDIMAGE[name], **options)
            assert found.dtype == expected.dtype
            np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
        output = np.zeros(image.shape, expected.dtype)
        for _ in range(2):
            ours(image, *NDIMAGE[name], output=output)
            np.testing.assert_allclose(output, expected, rtol=0, atol=tolerance)
            output[...] = 7
        if name not in ("laplace", "gaussian_laplace", "gaussian_gradient_magnitude"):
            for _ in range(2):
                same = image.astype(expected.dtype)
                ours(same, *NDIMAGE[name], output=same)
                np.testing.assert_allclose(same, expected, rtol=0, atol=tolerance)
        for _ in range(2):
            np.testing.assert_allclose(
                ours(image, *NDIMAGE[name], output=np.float64),
                theirs(image.astype(image.dtype.newbyteorder("=")), *NDIMAGE[name], output=np.float64),
                rtol=0,
                atol=max(tolerance, 1e-2),
            )


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "float32", "float64"])
@pytest.mark.parametrize("name", ["convolve2d", "correlate2d"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_signal(name, dtype, mode):
    """Sums of small integers wrap around, as SciPy's do."""
    kernel = np.array([[1, 2], [3, -4], [5, 6]]).astype(dtype)
    for image in pictures("uint8", (30, 40)):
        for _ in range(2):
            found = getattr(signal, name)(image.astype(dtype), kernel, mode)
            expected = getattr(scipy.signal, name)(image.astype(dtype), kernel, mode)
            assert found.dtype == expected.dtype
            if found.dtype.kind == "f":
                np.testing.assert_allclose(found, expected, atol=1e-2)
            else:
                np.testing.assert_array_equal(found, expected)


def test_a_kernel_that_was_changed_is_another():
    image, kernel = next(pictures("float32", (30, 40))), KERNEL.copy()
    first = cv2.filter2D(image, -1, kernel), ndimage.correlate(image, kernel)
    kernel *= 2
    for one, two in zip(first, (cv2.filter2D(image, -1, kernel), ndimage.correlate(image, kernel))):
        np.testing.assert_allclose(two, 2 * one, rtol=1e-5)
    lines = KERNEL[0].copy(), KERNEL[1].copy()
    first = cv2.sepFilter2D(image, -1, *lines)
    lines[1][...] *= 2
    np.testing.assert_allclose(cv2.sepFilter2D(image, -1, *lines), 2 * first, rtol=1e-5)


def test_errors_come_the_second_time_too():
    image = next(pictures("uint8", (30, 40)))
    for _ in range(2):
        cv2.blur(image, (3, 3))
        with pytest.raises(ArgumentError):
            cv2.blur(image, (3, 0))
        with pytest.raises(ArgumentError):
            cv2.blur(image, (3, True))
        with pytest.raises(ArgumentError):
            cv2.blur(image, (3, 3), borderType=99)
        with pytest.raises(RuntimeError):
            ndimage.correlate(image, np.ones((3, 3, 3)))
