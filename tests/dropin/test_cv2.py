"""Our OpenCV against OpenCV's, over dtypes, channels, borders and anchors; borders it lacks against the definition."""

import subprocess
import sys

import cv2 as opencv
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

import kernelfield as kf
from kernelfield.dropin import cv2
from kernelfield.errors import ArgumentError, DtypeError

BORDERS = [cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT, cv2.BORDER_REFLECT_101]
DEPTHS = {"uint8": [-1, cv2.CV_16S, cv2.CV_32F], "uint16": [-1, cv2.CV_32F], "int16": [-1, cv2.CV_32F]}
DTYPES = ["uint8", "uint16", "int16", "float32", "float64"]


def photograph(dtype="uint8", colour=False):
    image = data.astronaut()[:90, 40:150]
    image = image if colour else np.ascontiguousarray(image[..., 1])
    return (image * {"uint16": 257.0, "int16": 120.0}.get(dtype, 1.0)).astype(dtype)


@st.composite
def images(draw, dtypes=DTYPES):
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = [draw(st.integers(3, 24)), draw(st.integers(3, 40)), *draw(st.sampled_from([(), (1,), (3,), (4,)]))]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def agree(name, image, *arguments, within=0, **options):
    expected = getattr(opencv, name)(image, *arguments, **options)
    found = getattr(cv2, name)(image, *arguments, **options)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if expected.dtype.kind == "f":
        scale = max(1.0, float(np.abs(expected).max()), float(np.abs(image.astype(float)).max()))
        exact = expected.dtype == np.float64 and image.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=0, atol=scale * (1e-13 if exact else 1e-5))
    else:
        assert np.abs(found.astype(float) - expected).max() <= within


whole = st.integers(-4, 4).map(float)


@given(images(), st.data(), st.sampled_from([1.0, 1 / 16]), st.sampled_from(BORDERS))
def test_filter2d(image, data, scale, border):
    shape = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    count = shape[0] * shape[1]
    kernel = np.reshape(data.draw(st.lists(whole, min_size=count, max_size=count)), shape) * scale
    anchor = data.draw(st.sampled_from([(-1, -1), (0, 0), (shape[1] - 1, shape[0] - 1)]))
    depth = data.draw(st.sampled_from(DEPTHS.get(image.dtype.name, [-1])))
    delta = data.draw(st.sampled_from([0, 3, -1.5]))
    within = 0 if image.dtype == np.uint8 else 1
    agree("filter2D", image, depth, kernel, anchor=anchor, delta=delta, borderType=border, within=within)


@given(images(), st.data(), st.sampled_from(BORDERS))
def test_gaussian_blur(image, data, border):
    width, height = (data.draw(st.sampled_from([1, 3, 5, 7, 9, 13])) for _ in range(2))
    sigma = data.draw(st.sampled_from([0, 0.6, 1.1, 2.3]))
    within = 0 if image.dtype == np.uint8 else 1
    agree("GaussianBlur", image, (width, height), sigma, sigmaY=sigma / 2, borderType=border, within=within)
    if sigma:
        agree("GaussianBlur", image, (0, 0), sigma, borderType=border, within=within)


@given(images(), st.data(), st.sampled_from(["Sobel", "Scharr", "Laplacian"]), st.sampled_from(BORDERS))
def test_derivatives(image, data, name, border):
    depth = data.draw(st.sampled_from(DEPTHS.get(image.dtype.name, [-1])))
    scale = data.draw(st.sampled_from([1, 2, 0.3]))
    options = {"scale": scale, "delta": data.draw(st.sampled_from([0, 5])), "borderType": border}
    arguments = [depth]
    if name != "Laplacian":
        arguments += data.draw(st.sampled_from([(1, 0), (0, 1)]))
    if name != "Scharr":
        options["ksize"] = data.draw(st.sampled_from([1, 3, 5, 7]))
    if name == "Sobel" and options["ksize"] > 1:
        arguments[1:] = data.draw(st.sampled_from([(1, 0), (1, 1), (0, 2)]))
    within = 0 if image.dtype == np.uint8 and scale != 0.3 else 1
    agree(name, image, *arguments, within=within, **options)


@given(images(), st.data(), st.sampled_from(BORDERS))
def test_boxes(image, data, border):
    size = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    anchor = data.draw(st.sampled_from([(-1, -1), (0, 0)]))
    agree("blur", image, size, anchor=anchor, borderType=border, within=1)
    agree("boxFilter", image, -1, size, anchor=anchor, borderType=border, normalize=False, within=0)


@given(images(["uint8", "float32", "float64"]), st.data(), st.sampled_from(BORDERS))
def test_separable(image, data, border):
    lines = [data.draw(st.lists(whole, min_size=1, max_size=6)) for _ in range(2)]
    agree("sepFilter2D", image, -1, *map(np.array, lines), delta=1, borderType=border)
    if image.dtype == np.uint8:
        agree("sepFilter2D", image, -1, np.array([0.2, 0.6, 0.2]), np.array([0.3, 0.4, 0.3]), within=1)


@pytest.mark.parametrize("colour", [False, True])
def test_photographs_of_8_bits_are_equal_in_every_pixel(colour):
    image = photograph(colour=colour)
    for sigma in (0.5, 0.8, 1.0, 1.5, 2.0, 3.7, 6.0):
        agree("GaussianBlur", image, (0, 0), sigma)
    agree("blur", image, (3, 3))
    agree("blur", image, (5, 5))
    agree("Laplacian", image, cv2.CV_16S, ksize=5)
    agree("filter2D", image, -1, np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]))


def test_large_photographs_stay_exact_where_the_plan_goes_by_rank():
    image = np.tile(photograph(), (8, 9))
    agree("GaussianBlur", image, (15, 15), 2.3)
    agree("filter2D", image, -1, (np.eye(5) * 3 + 1) / 64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_big_endian_is_read_rightly(dtype):
    image = photograph(dtype)
    swapped = image.astype(image.dtype.newbyteorder(">"))
    found = cv2.GaussianBlur(swapped, (5, 5), 1.1)
    np.testing.assert_array_equal(found, cv2.GaussianBlur(image, (5, 5), 1.1))
    assert found.dtype.isnative


def test_wrap_and_isolated():
    image = photograph("float64")
    kernel = np.arange(12.0).reshape(3, 4)
    expected = kf.correlate(image, kernel, boundary="wrap", method="direct")
    np.testing.assert_allclose(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_WRAP), expected, rtol=1e-13)
    agree("blur", photograph(), (3, 3), borderType=cv2.BORDER_REFLECT | cv2.BORDER_ISOLATED)


def test_the_destination_is_written_and_may_be_the_source():
    image = photograph(colour=True)
    expected = cv2.GaussianBlur(image, (5, 5), 0)
    assert cv2.GaussianBlur(image, (5, 5), 0, image) is image
    np.testing.assert_array_equal(image, expected)


def test_constants_are_opencvs():
    for name in cv2.__all__:
        if name.isupper() or name.startswith("CV_"):
            assert getattr(cv2, name) == getattr(opencv, name)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda im: cv2.filter2D(im.tolist(), -1, np.eye(3)), DtypeError, "src: expected"),
        (lambda im: cv2.filter2D(im.astype(complex), -1, np.eye(3)), DtypeError, "src: expected"),
        (lambda im: cv2.filter2D(im, 99, np.eye(3)), ArgumentError, "ddepth: expected"),
        (lambda im: cv2.filter2D(im, -1, np.eye(3), anchor=(3, 0)), ArgumentError, "anchor: expected"),
        (lambda im: cv2.filter2D(im, -1, np.eye(3), borderType=5), ArgumentError, "borderType: expected"),
        (lambda im: cv2.filter2D(im, -1, np.eye(3), np.zeros((2, 2))), ArgumentError, "dst: expected"),
        (lambda im: cv2.GaussianBlur(im, (4, 3), 1), ArgumentError, "ksize: expected"),
        (lambda im: cv2.GaussianBlur(im, (0, 0), 0), ArgumentError, "ksize: expected"),
        (lambda im: cv2.Sobel(im, -1, 0, 0), ArgumentError, "dx, dy: expected"),
        (lambda im: cv2.Laplacian(im, -1, ksize=4), ArgumentError, "ksize: expected"),
        (lambda im: cv2.blur(im, (0, 3)), ArgumentError, "ksize: expected"),
        (lambda im: cv2.Sobel(im, -1, 1, 0, delta=np.nan), ArgumentError, "delta: expected"),
        (lambda im: cv2.sepFilter2D(im, -1, np.eye(3), [1]), ArgumentError, "kernelX: expected"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call(photograph())


def test_opencv_is_not_needed():
    code = (
        "import sys; sys.modules['cv2'] = None\n"
        "import numpy as np; from kernelfield.dropin import cv2\n"
        "cv2.blur(np.ones((4, 4), np.uint8), (3, 3)); assert not hasattr(cv2, 'imread')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert cv2.imread is opencv.imread
