"""Filters of Pillow, OpenCV and SciPy, learned back from real photographs."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph
from learning import producers as other
from learning.producers import PLACES, SMALL, before, extended_box, judged, producers, three_boxes
from learning.simulator import filtered
from PIL import Image, ImageFilter

import kernelfield as kf

PHOTOGRAPHS = ("china", "flower", "camera")
BORDERS = {
    "nearest": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT,
    "mirror": cv2.BORDER_REFLECT_101,
    "constant": cv2.BORDER_CONSTANT,
}
PILLOW = {
    "BLUR": "rings",
    "CONTOUR": "laplacian",
    "DETAIL": "sharpen",
    "EDGE_ENHANCE": "sharpen",
    "EDGE_ENHANCE_MORE": "sharpen",
    "EMBOSS": "emboss",
    "FIND_EDGES": "laplacian",
    "SHARPEN": "sharpen",
    "SMOOTH": "smooth",
    "SMOOTH_MORE": "rings",
}


def assert_found(fit, truth, name, verdict="exact"):
    """Assert size, coefficients within 5 standard errors and 2e-3, verdict and name."""
    assert fit.size == truth.shape
    error = np.abs(fit.kernel.weights - truth)
    assert error.max() <= 2e-3
    assert (error <= 5 * fit.stderr + 1e-12).all()
    assert fit.verdict == verdict
    assert fit.name == name
    assert fit.rank == truth.size


def assert_border(fit, border):
    """Assert that exactly the rules are left that give the same pixels: reflect and nearest, one pixel beyond."""
    same = border in ("reflect", "nearest") and max(fit.size) <= 3
    assert fit.boundary_candidates == (("reflect", "nearest") if same else (border,))
    assert fit.boundary == fit.boundary_candidates[0]


@cache
def impulse_response(function) -> np.ndarray:
    """Return the correlation weights of a linear SciPy filter, without zeros around them."""
    impulse = np.zeros((41, 41))
    impulse[20, 20] = 1
    weights = function(impulse)[::-1, ::-1]
    rows, columns = (np.flatnonzero(np.abs(weights).max(axis=a) > 1e-13) for a in (1, 0))
    return weights[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.mark.parametrize("photo", PHOTOGRAPHS)
@pytest.mark.parametrize("filter_name", sorted(PILLOW))
def test_pillow(photo, filter_name):
    before = photograph(photo)
    kind = getattr(ImageFilter, filter_name)
    after = np.asarray(Image.fromarray(before).filter(kind))
    size, divisor, offset, weights = kind.filterargs
    # Pillow's first row of weights goes to the bottom row.
    truth = np.array(weights).reshape(size)[::-1] / divisor
    fit = kf.learn(before, after)
    assert_found(fit, truth, PILLOW[filter_name])
    assert fit.boundary == "copy"
    assert fit.offset == offset
    assert (fit.integers == np.rint(truth * fit.divisor)).all()
    assert f"Pillow's {filter_name}" in fit.description
    again = fit.apply(before).astype(int)
    # Where a result is a half, Pillow's float32 sums of sixths and hundredths fall to either side.
    ties = {"DETAIL": 0.12, "SMOOTH_MORE": 0.01}.get(filter_name, 0.0)
    assert np.abs(again - after).max() <= (1 if ties else 0)
    assert np.mean(again != after) <= ties


@pytest.mark.parametrize("border", sorted(BORDERS))
@pytest.mark.parametrize("photo", PHOTOGRAPHS)
def test_opencv_blurs(photo, border):
    before = photograph(photo)
    code = BORDERS[border]
    line = np.array([18, 63, 94, 63, 18]) / 256
    fit = kf.learn(before, cv2.GaussianBlur(before, (5, 5), 1.1, borderType=code))
    assert_found(fit, np.outer(line, line), "gaussian")
    assert fit.boundary == border
    assert fit.divisor == 65536
    assert fit.parameters["sigma"] == pytest.approx(1.1, abs=0.02)
    for size in ((3, 3), (5, 5), (7, 3)):
        fit = kf.learn(before, cv2.blur(before, size[::-1], borderType=code))
        assert_found(fit, np.full(size, 1 / (size[0] * size[1])), "box")
        assert_border(fit, border)


@pytest.mark.parametrize("border", sorted(BORDERS))
@pytest.mark.parametrize("photo", PHOTOGRAPHS)
@pytest.mark.parametrize("shape", [(3, 3), (5, 4), (1, 3)])
def test_opencv_filter2d_with_kernels_that_have_no_name(photo, border, shape):
    before = photograph(photo)
    weights = np.random.default_rng(sum(shape)).normal(size=shape)
    weights /= np.abs(weights).sum()
    weights[0, 0] += 0.3
    after = cv2.filter2D(before, -1, weights, borderType=BORDERS[border])
    fit = kf.learn(before, after)
    assert_found(fit, weights, None)
    assert fit.anchor == (shape[0] // 2, shape[1] // 2)
    assert fit.description == "no known filter"
    assert_border(fit, border)
    # Halves that float32 decides and errors of the coefficients leave a step here and there.
    assert np.abs(fit.apply(before, boundary=border).astype(int) - after).max() <= 1


@pytest.mark.parametrize("photo", PHOTOGRAPHS)
def test_opencv_derivatives(photo):
    before = photograph(photo)
    for depth, size, (dx, dy) in ((cv2.CV_16S, 3, (1, 0)), (cv2.CV_16S, 3, (0, 1)), (cv2.CV_16S, 5, (1, 0))):
        column, row = cv2.getDerivKernels(dy, dx, size)[0], cv2.getDerivKernels(dx, dy, size)[0]
        fit = kf.learn(before, cv2.Sobel(before, depth, dx, dy, ksize=size))
        assert_found(fit, np.outer(column if dy else cv2.getDerivKernels(0, dx, size)[0], row), "sobel")
        assert fit.boundary == "mirror"
        assert fit.divisor == 1
    for size, name in ((1, "laplacian"), (3, "sobel_laplacian")):
        for depth in (cv2.CV_16S, cv2.CV_8U):
            fit = kf.learn(before, cv2.Laplacian(before, depth, ksize=size))
            truth = [[0, 1, 0], [1, -4, 1], [0, 1, 0]] if size == 1 else [[2, 0, 2], [0, -8, 0], [2, 0, 2]]
            assert_found(fit, np.array(truth, float), name)
            assert fit.boundary == "mirror"
            if depth == cv2.CV_8U:
                assert fit.excluded > 1000


SCIPY = {
    "gaussian 1": (lambda a: ndi.gaussian_filter(a, 1.0), "gaussian"),
    "gaussian 2": (lambda a: ndi.gaussian_filter(a, 2.0), "gaussian"),
    "gaussian 1 × 2": (lambda a: ndi.gaussian_filter(a, (1.0, 2.0)), "gaussian"),
    "uniform": (lambda a: ndi.uniform_filter(a, 5), "box"),
    "sobel": (lambda a: ndi.sobel(a, 0), "sobel"),
    "prewitt": (lambda a: ndi.prewitt(a, 1), "prewitt"),
    "laplace": (ndi.laplace, "laplacian"),
    "gaussian_laplace": (lambda a: ndi.gaussian_laplace(a, 1.0), "log"),
}


@pytest.mark.parametrize("name", sorted(SCIPY))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("photo", PHOTOGRAPHS)
def test_scipy(photo, dtype, name):
    function, known = SCIPY[name]
    before = (photograph(photo) / 255).astype(dtype)
    fit = kf.learn(before, function(before))
    truth = impulse_response(function)
    assert_found(fit, truth, known)
    assert np.abs(fit.kernel.weights - truth).max() < (1e-7 if dtype == "float32" else 1e-13)
    assert fit.boundary == "reflect"
    np.testing.assert_allclose(fit.apply(before), function(before), atol=1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("boundary", ["constant", "nearest", "reflect", "mirror", "wrap"])
def test_every_boundary_of_scipy_is_told(boundary):
    before = photograph("camera").astype(float)
    weights = np.random.default_rng(0).normal(size=(5, 5))
    fit = kf.learn(before, ndi.correlate(before, weights, mode=boundary, cval=17.0))
    assert fit.boundary == boundary
    if boundary == "constant":
        assert fit.cval == pytest.approx(17.0)


def test_pillow_gaussian_is_three_boxes_and_not_called_a_gaussian():
    picture = photograph("china")
    fit = kf.learn(picture, np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(2))))
    assert fit.name != "gaussian"
    assert fit.kernel.weights.sum() == pytest.approx(1.0, abs=1e-3)


TABLE = {f"{each.program} {each.command}": each for each in producers(*SMALL)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TABLE)
def test_no_answer_on_other_programs_is_wrong_and_confident(name):
    # The table of docs/compared/producers.md takes both pictures; here they take turns.
    place = tuple(PLACES)[len(name) % len(PLACES)]
    _, _, result = judged(TABLE[name], place, kf.learn)
    assert result.grade != "wrong", result.why


@pytest.mark.parametrize("name", [name for name, each in TABLE.items() if each.kind is None and each.border])
def test_the_table_of_programs_has_true_kernels_and_borders(name):
    each = TABLE[name]
    truth, image = each.truth(), before("camera")
    if each.border == "renormalised":
        share = filtered(np.ones(image.shape), truth.weights, truth.anchor, "constant")
        made = filtered(image.astype(float), truth.weights, truth.anchor, "constant") / share
    else:
        made = filtered(image.astype(float), truth.weights, truth.anchor, each.border)
    if each.border == "copy":
        inside = tuple(slice(a, n - (k - 1 - a)) for a, k, n in zip(truth.anchor, truth.weights.shape, image.shape))
        made = np.where(_frame(image.shape, inside), image, made)
    after = each.run(image).astype(float)
    if each.program == "scikit-image" and after.dtype.kind == "f" and "rank" not in each.command:
        made = made / 255
    scale = 1.0 if after.max() > 2 else 1 / 255
    kept = (after > 0) & (after < 255) if after.min() >= 0 and after.max() <= 255 else np.ones(after.shape, bool)
    residual = (after - made)[kept]
    residual -= np.median(residual)
    assert np.sqrt(np.mean(residual**2)) < 0.7 * scale
    frame = _frame(image.shape, tuple(slice(4, n - 4) for n in image.shape))[kept]
    assert np.sqrt(np.mean(residual[frame] ** 2)) < 0.75 * scale


def _frame(shape, inside) -> np.ndarray:
    frame = np.ones(shape, bool)
    frame[inside] = False
    return frame


def test_boxes_of_pillow_from_its_formula():
    assert extended_box(1.5) == pytest.approx(np.array([0.5, 1, 1, 1, 0.5]) / 4)
    line = three_boxes(2).sum(axis=0)
    assert line.sum() == pytest.approx(1)
    assert ((np.arange(line.size) - line.size // 2) ** 2 * line).sum() == pytest.approx(4)


def test_an_impulse_gives_weights_and_anchor():
    weights = np.array([[0.5, 0.0, 0.25], [0.1, 0.05, 0.1]])
    for dtype in (np.float64, np.uint16):
        run = lambda a, dtype=dtype: np.rint(ndi.correlate(a.astype(float), weights) * 2**30) / 2**30  # noqa: E731
        found, anchor = other.impulse_response(run, dtype)
        assert found == pytest.approx(weights, abs=1e-4)
        assert anchor == (1, 1)


def test_integers_of_a_fixed_point_blur():
    line = np.array([18, 63, 94, 63, 18])
    found = other.fixed_point(lambda a: cv2.GaussianBlur(a, (5, 5), 1.1))
    assert np.array_equal(found * 65536, np.outer(line, line))
