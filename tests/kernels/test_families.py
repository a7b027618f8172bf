"""Kernel families against other libraries: cross-correlation weights from impulse responses."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy import ndimage
from skimage import filters

from kernelfield import kernels as k
from kernelfield.kernels.gaussians import fixed_point, sampled_gaussian


def weights_of(operation, shape):
    """Return the cross-correlation weights of a filter: its flipped impulse response."""
    image = np.zeros((41, 41))
    image[20, 20] = 1
    response = operation(image)[::-1, ::-1]
    down, right = shape[0] // 2, shape[1] // 2
    return response[20 - down : 20 - down + shape[0], 20 - right : 20 - right + shape[1]]


SCIPY = [
    (k.sobel(1), lambda x: ndimage.sobel(x, 1)),
    (k.sobel(0), lambda x: ndimage.sobel(x, 0)),
    (k.prewitt(1), lambda x: ndimage.prewitt(x, 1)),
    (k.prewitt(0), lambda x: ndimage.prewitt(x, 0)),
    (k.laplacian(4), ndimage.laplace),
    (k.box((3, 5)), lambda x: ndimage.uniform_filter(x, (3, 5))),
    (k.box(4), lambda x: ndimage.uniform_filter(x, 4)),
    (k.gaussian(1.3), lambda x: ndimage.gaussian_filter(x, 1.3)),
    (k.gaussian((1, 2.2), truncate=3), lambda x: ndimage.gaussian_filter(x, (1, 2.2), truncate=3)),
    (k.log(1.5, normalise=False), lambda x: ndimage.gaussian_laplace(x, 1.5)),
    *(
        (
            k.gaussian_derivative((1.5, 1.2), order, normalise=False),
            lambda x, order=order: ndimage.gaussian_filter(x, (1.5, 1.2), order),
        )
        for order in ((0, 1), (1, 0), (1, 1), (2, 0), (0, 2), (3, 1), (0, 4))
    ),
]
OPENCV = [
    *((k.sobel(1, n), lambda x, n=n: cv2.Sobel(x, -1, 1, 0, ksize=n)) for n in (3, 5, 7)),
    *((k.sobel(0, n, 2), lambda x, n=n: cv2.Sobel(x, -1, 0, 2, ksize=n)) for n in (3, 5, 7)),
    (k.sobel(1, 5, 3), lambda x: cv2.Sobel(x, -1, 3, 0, ksize=5)),
    (k.scharr(1), lambda x: cv2.Scharr(x, -1, 1, 0)),
    (k.scharr(0), lambda x: cv2.Scharr(x, -1, 0, 1)),
    (k.laplacian(4), lambda x: cv2.Laplacian(x, -1, ksize=1)),
    *((k.sobel_laplacian(n), lambda x, n=n: cv2.Laplacian(x, -1, ksize=n)) for n in (3, 5, 7)),
    (k.gaussian(1.1, 5), lambda x: cv2.GaussianBlur(x, (5, 5), 1.1)),
    (k.gaussian((1, 2), (3, 9)), lambda x: cv2.GaussianBlur(x, (9, 3), 2, sigmaY=1)),
    (k.binomial(5), lambda x: cv2.GaussianBlur(x, (5, 5), 0)),
]
SKIMAGE = [
    (k.sobel(0, scale=1 / 4), filters.sobel_h),
    (k.scharr(1, scale=1 / 16), filters.scharr_v),
    (k.prewitt(0, scale=1 / 3), filters.prewitt_h),
    (k.unsharp(2, 1.5), lambda x: filters.unsharp_mask(x, 2, 1.5, preserve_range=True)),
]


@pytest.mark.parametrize(("kernel", "operation"), SCIPY + OPENCV + SKIMAGE)
def test_weights_are_those_of_the_library(kernel, operation):
    found = weights_of(operation, kernel.shape)
    np.testing.assert_allclose(kernel.weights, found, atol=1e-12 * np.abs(found).max())


@pytest.mark.parametrize(
    ("kernel", "operation"),
    [
        (k.roberts("main", scale=-1), filters.roberts_pos_diag),
        (k.roberts("anti", scale=-1), filters.roberts_neg_diag),
    ],
)
def test_roberts_lies_where_scikit_image_has_it(kernel, operation):
    image = np.random.default_rng(0).normal(size=(9, 9))
    mine = ndimage.correlate(image, kernel.weights, origin=(-1, -1))
    np.testing.assert_allclose(operation(image)[1:-1, 1:-1], mine[1:-1, 1:-1], atol=1e-12)


def test_emboss_is_turned_as_pillow_turns_it():
    image = np.full((7, 7), 100, np.uint8)
    image[3, 3] = 110
    out = np.asarray(Image.fromarray(image).filter(ImageFilter.EMBOSS)).astype(float) - 128
    assert np.array_equal(out[2:5, 2:5][::-1, ::-1] / 10, k.emboss().weights)


@pytest.mark.parametrize("name", ["BLUR", "DETAIL", "EDGE_ENHANCE", "FIND_EDGES", "SHARPEN", "SMOOTH", "SMOOTH_MORE"])
def test_pillow_weights(name):
    from kernelfield.kernels.pillow import PILLOW

    size, scale, offset, weights = getattr(ImageFilter, name).filterargs
    kernel, usual = next((kernel, usual) for known, kernel, usual in PILLOW if known == name)
    np.testing.assert_allclose(kernel.weights, np.reshape(weights, size)[::-1] / scale, atol=1e-15)
    assert usual == offset


@given(st.sampled_from([5, 7, 9, 13, 21]), st.integers(5, 60))
def test_fixed_point_is_what_opencv_does_to_8_bit_images(size, tenths):
    image = np.zeros((1, 101), np.uint8)
    image[0, 50] = 255
    sigma = tenths / 10 + 0.013
    found = cv2.GaussianBlur(image, (size, 1), sigma)[0, 50 - size // 2 : 51 + size // 2]
    expected = fixed_point(sampled_gaussian(sigma, size), 8) * 255
    np.testing.assert_allclose(found, expected, atol=0.5)


def test_signs_as_documented():
    columns = np.tile(np.arange(7.0), (7, 1))
    for family in (k.sobel, k.scharr, k.prewitt):
        assert (family(1).weights * columns[:3, :3]).sum() > 0
        assert (family(0).weights * columns.T[:3, :3]).sum() > 0
        assert (family(0).weights * columns[:3, :3]).sum() == 0
    assert (k.sobel(scale=1 / 8).weights * columns[:3, :3]).sum() == 1
    assert (k.scharr(scale=1 / 32).weights * columns[:3, :3]).sum() == 1
    assert (k.prewitt(scale=1 / 6).weights * columns[:3, :3]).sum() == pytest.approx(1)
    assert (k.sobel(1, 3, 2).weights * columns[:3, :3] ** 2).sum() > 0


SMOOTHING = [
    k.identity(),
    k.shift(1, 2),
    k.box((2, 7)),
    k.binomial((4, 5)),
    k.gaussian(2.5),
    k.gaussian(0.7, 6),
    k.gaussian(1.7, 9, bits=8),
    k.gaussian((0, 1)),
    k.smooth(0, 4),
    k.rings((3, 2)),
    k.sharpen(0.3, 8),
    k.unsharp(1.5, 2),
    k.unsharp(size=5, blur="box"),
]


@pytest.mark.parametrize("kernel", SMOOTHING)
def test_weights_sum_to_one(kernel):
    assert kernel.weights.sum() == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize("kernel", [k.sobel(0, 7, 4), k.laplacian(8), k.sobel_laplacian(5), k.emboss(), k.difference()])
def test_weights_sum_to_zero(kernel):
    assert kernel.weights.sum() == 0


def test_relations_between_families():
    assert k.rings((5, 1)) == k.smooth(5)
    assert k.sharpen(1, 8) == k.identity() - k.laplacian(8)
    np.testing.assert_allclose(k.unsharp(amount=0.9, size=3, blur="box").weights, k.sharpen(0.1, 8).weights, atol=1e-15)


@pytest.mark.parametrize("name", k.CATALOGUE)
def test_kernels_carry_what_made_them(name):
    kernel = k.CATALOGUE[name](1, 2) if name == "shift" else k.CATALOGUE[name]()
    assert kernel.name == name
    assert kernel.source
    again = k.CATALOGUE[name](**kernel.parameters)
    assert again == kernel
    assert dict(again.parameters) == dict(kernel.parameters)
