"""Names for estimated weights: right for filters of real producers, None for weights that nobody designed."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy import ndimage
from skimage import filters

from kernelfield import kernels as k
from kernelfield.errors import ArgumentError
from kernelfield.kernels.gaussians import fixed_point

TOLERANCE = 5e-5


def noisy(weights, anchor, margin=0, seed=0):
    """Return a simulated estimate: noise of a fifth of the tolerance, and a margin of rows and columns near 0."""
    padded = np.pad(weights, margin)
    noise = np.clip(np.random.default_rng(seed).normal(size=padded.shape), -4, 4) * TOLERANCE / 5
    return padded + noise, (anchor[0] + margin, anchor[1] + margin)


def named(weights, anchor=None, offset=None):
    """Return the match of the estimate, the same with and without margins."""
    weights = np.asarray(weights, float)
    anchor = anchor or (weights.shape[0] // 2, weights.shape[1] // 2)
    found = [k.match(*noisy(weights, anchor, margin), TOLERANCE, offset) for margin in (0, 1)]
    assert [m and m.name for m in found] == [found[0] and found[0].name] * 2
    return found[0]


def estimate(operation, dtype=float):
    """Return the cross-correlation weights and anchor of a filter, from its impulse response."""
    image = np.zeros((61, 61), dtype)
    image[30, 30] = 1
    response = operation(image)[::-1, ::-1]
    rows, columns = np.nonzero(np.abs(response) > 1e-12)
    top, left = rows.min(), columns.min()
    return response[top : rows.max() + 1, left : columns.max() + 1], (30 - top, 30 - left)


PILLOW = {
    "BLUR": ("rings", {"weights": (0, 0, 1)}),
    "CONTOUR": ("laplacian", {"neighbours": 8, "scale": -1}),
    "DETAIL": ("sharpen", {"amount": 1 / 6, "neighbours": 4}),
    "EDGE_ENHANCE": ("sharpen", {"amount": 1 / 2, "neighbours": 8}),
    "EDGE_ENHANCE_MORE": ("sharpen", {"amount": 1, "neighbours": 8}),
    "EMBOSS": ("emboss", {"direction": (1, -1)}),
    "FIND_EDGES": ("laplacian", {"neighbours": 8, "scale": -1}),
    "SHARPEN": ("sharpen", {"amount": 1 / 8, "neighbours": 8}),
    "SMOOTH": ("smooth", {"centre": 5, "neighbours": 8}),
    "SMOOTH_MORE": ("rings", {"weights": (44, 5, 1)}),
}


@pytest.mark.parametrize("name", PILLOW)
def test_every_pillow_filter(name):
    size, scale, offset, weights = getattr(ImageFilter, name).filterargs
    # Pillow prints the bottom row first.
    found = named(np.reshape(weights, size)[::-1] / scale, offset=offset)
    assert (found.name, dict(found.parameters)) == PILLOW[name]
    assert found.alias == f"Pillow {name}"
    assert found.description.endswith(f"(Pillow's {name})")


def test_pillow_names_depend_on_the_offset_where_only_that_differs():
    weights = k.laplacian(8, -1).weights
    assert k.match(weights).alias == "Pillow FIND_EDGES"
    assert k.match(weights, offset=-0.5).alias == "Pillow FIND_EDGES"
    assert k.match(weights, offset=255).alias == "Pillow CONTOUR"
    assert k.match(weights, offset=40).alias is None
    assert k.match(k.sharpen(0.1251, 8).weights).alias is None


def axis_sobel(axis, size, order):
    return "sobel", {"axis": axis, "size": size, "order": order, "scale": 1}


def central(axis, order, scale):
    parameters = {
        "order": order,
        "accuracy": 2,
        "axis": axis,
        "spacing": 1,
        "scheme": "central",
        "scale": scale,
    }
    return "derivative", parameters


PRODUCERS = {
    "cv2.blur": (lambda x: cv2.blur(x, (5, 3)), ("box", {"size": (3, 5)})),
    "cv2.blur even": (lambda x: cv2.blur(x, (4, 4)), ("box", {"size": (4, 4)})),
    "cv2.GaussianBlur 1.1": (
        lambda x: cv2.GaussianBlur(x, (5, 5), 1.1),
        ("gaussian", {"sigma": 1.1, "size": (5, 5)}),
    ),
    "cv2.GaussianBlur 1": (
        lambda x: cv2.GaussianBlur(x, (5, 5), 1),
        ("gaussian", {"sigma": 1, "size": (5, 5)}),
    ),
    "cv2.GaussianBlur 5": (
        lambda x: cv2.GaussianBlur(x, (31, 31), 5),
        ("gaussian", {"sigma": 5, "size": (31, 31)}),
    ),
    "cv2.GaussianBlur pair": (
        lambda x: cv2.GaussianBlur(x, (9, 5), 2, sigmaY=1),
        ("gaussian", {"sigma": (1, 2), "size": (5, 9)}),
    ),
    "cv2.GaussianBlur one axis": (
        lambda x: cv2.GaussianBlur(x, (9, 1), 2),
        ("gaussian", {"sigma": (0, 2), "size": (1, 9)}),
    ),
    "cv2.GaussianBlur by size": (lambda x: cv2.GaussianBlur(x, (5, 5), 0), ("binomial", {"size": (5, 5)})),
    "cv2.Sobel 1": (lambda x: cv2.Sobel(x, -1, 1, 0, ksize=1), central(1, 1, 2)),
    "cv2.Sobel 1 dyy": (lambda x: cv2.Sobel(x, -1, 0, 2, ksize=1), central(0, 2, 1)),
    **{f"cv2.Sobel {n}": (lambda x, n=n: cv2.Sobel(x, -1, 1, 0, ksize=n), axis_sobel(1, n, 1)) for n in (3, 5, 7)},
    **{f"cv2.Sobel {n} dyy": (lambda x, n=n: cv2.Sobel(x, -1, 0, 2, ksize=n), axis_sobel(0, n, 2)) for n in (3, 5, 7)},
    "cv2.Scharr": (lambda x: cv2.Scharr(x, -1, 0, 1, scale=1 / 32), ("scharr", {"axis": 0, "scale": 1 / 32})),
    "cv2.Laplacian 1": (
        lambda x: cv2.Laplacian(x, -1, ksize=1),
        ("laplacian", {"neighbours": 4, "scale": 1}),
    ),
    **{
        f"cv2.Laplacian {n}": (
            lambda x, n=n: cv2.Laplacian(x, -1, ksize=n),
            ("sobel_laplacian", {"size": n, "scale": 1}),
        )
        for n in (3, 5, 7)
    },
    "ndimage.sobel": (lambda x: ndimage.sobel(x, 0), axis_sobel(0, 3, 1)),
    "ndimage.prewitt": (lambda x: ndimage.prewitt(x, 1), ("prewitt", {"axis": 1, "scale": 1})),
    "ndimage.laplace": (ndimage.laplace, ("laplacian", {"neighbours": 4, "scale": 1})),
    "ndimage.uniform_filter": (lambda x: ndimage.uniform_filter(x, 5), ("box", {"size": (5, 5)})),
    "ndimage.gaussian_filter": (
        lambda x: ndimage.gaussian_filter(x, (2, 3)),
        ("gaussian", {"sigma": (2, 3), "size": (17, 25)}),
    ),
    "ndimage.gaussian_laplace": (
        lambda x: ndimage.gaussian_laplace(x, 2),
        ("log", {"sigma": 2, "size": (17, 17), "scale": 1, "normalise": False}),
    ),
    "ndimage Gaussian derivative": (
        lambda x: ndimage.gaussian_filter(x, 1.5, order=(0, 1)),
        ("gaussian_derivative", {"sigma": 1.5, "order": (0, 1), "size": (13, 13), "scale": 1}),
    ),
    "ndimage.shift": (lambda x: ndimage.shift(x, (2, -3), order=0), ("shift", {"rows": 2, "columns": -3})),
    "ndimage identity": (lambda x: ndimage.uniform_filter(x, 1), ("identity", {})),
    "skimage.unsharp_mask": (
        lambda x: filters.unsharp_mask(x, 2, 1.5, preserve_range=True),
        ("unsharp", {"sigma": 2, "amount": 1.5, "size": (17, 17), "blur": "gaussian"}),
    ),
    "skimage.roberts": (filters.roberts_pos_diag, ("roberts", {"diagonal": "main", "scale": -1})),
    "skimage.sobel_h": (filters.sobel_h, ("sobel", {"axis": 0, "size": 3, "order": 1, "scale": 1 / 4})),
}


@pytest.mark.parametrize("producer", PRODUCERS)
def test_real_producers(producer):
    operation, expected = PRODUCERS[producer]
    found = named(*estimate(operation))
    assert (found.name, dict(found.parameters)) == expected
    assert found.deviation < 4 * TOLERANCE
    assert k.CATALOGUE[found.name](**found.parameters) == found.kernel


@pytest.mark.parametrize(("size", "sigma"), [(5, 1.1), (7, 1.5), (9, 2.0), (13, 2.0), (31, 5.0)])
def test_opencv_gaussian_of_8_bit_images(size, sigma):
    row = fixed_point(cv2.getGaussianKernel(size, sigma)[:, 0], 8)
    found = named(np.outer(row, row))
    assert found.name == "gaussian"
    assert found.parameters["size"] == (size, size)
    assert found.parameters["sigma"] == pytest.approx(sigma, rel=0.01)
    assert found.deviation < TOLERANCE


def test_ffmpeg_unsharp():
    found = named(2 * np.pad([[1]], 2) - k.binomial(5).weights)
    assert dict(found.parameters) == {"amount": 1, "size": (5, 5), "blur": "binomial"}


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_pillow_gaussian_blur_is_three_boxes_and_not_named_gaussian(radius):
    # One bright line in floating point is beyond Pillow, so 8 bits of a column are averaged by scale.
    image = np.zeros((61, 61), np.uint8)
    image[:, 30] = 255
    row = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))[30].astype(float)
    support = np.flatnonzero(row)
    row = row[support[0] : support[-1] + 1] / row.sum()
    assert k.match(np.outer(row, row), tolerance=TOLERANCE) is None
    # A Gaussian with the same support and variance has its name.
    sigma = np.sqrt(row @ (np.arange(row.size) - row.size // 2) ** 2)
    assert k.match(k.gaussian(sigma, row.size).weights, tolerance=TOLERANCE).name == "gaussian"


def test_three_boxes_are_no_gaussian():
    box = np.full(5, 1 / 5)
    row = np.convolve(np.convolve(box, box), box)
    assert named(np.outer(row, row)) is None


def test_descriptions():
    phrases = {
        "Sobel, horizontal derivative, scale 1/8": k.sobel(scale=1 / 8),
        "Gaussian blur, sigma 1.10 (5×5)": k.gaussian(1.1, 5),
        "sharpen, amount 0.125, 8 neighbours (Pillow's SHARPEN)": k.sharpen(1 / 8, 8),
        "shift by 2 rows down, 3 columns right": k.shift(2, 3),
        "shift by 1 row up": k.shift(-1, 0),
        "box 3×5": k.box((3, 5)),
        "8-neighbour Laplacian × −1 (Pillow's FIND_EDGES)": k.laplacian(8, -1),
        "box 3×3, shifted 1 row down, 2 columns right": k.box(3).shifted(1, 2),
        "difference [1, −1], horizontal": k.difference(),
        "Sobel 5×5, vertical second derivative, scale 1/16": k.sobel(0, 5, 2, 1 / 16),
    }
    for phrase, kernel in phrases.items():
        assert k.match(kernel.weights, kernel.anchor, 1e-6).description == phrase


sizes = st.integers(1, 7)
odd = st.sampled_from([3, 5, 7])
scales = st.floats(0.01, 10).flatmap(lambda x: st.sampled_from([x, -x]))
designed = st.one_of(
    st.builds(k.identity),
    st.builds(k.shift, st.integers(-4, 4), st.integers(-4, 4)),
    st.builds(k.box, st.tuples(sizes, sizes)),
    st.builds(k.binomial, st.tuples(sizes, sizes)),
    st.builds(k.gaussian, st.floats(0.5, 3), odd),
    st.builds(k.smooth, st.floats(0, 20), st.sampled_from([4, 8])),
    st.builds(k.derivative, st.integers(1, 3), st.sampled_from([2, 4]), st.sampled_from([0, 1]), scale=scales),
    st.builds(k.sobel, st.sampled_from([0, 1]), odd, st.sampled_from([1, 2]), scales),
    st.builds(k.scharr, st.sampled_from([0, 1]), scales),
    st.builds(k.prewitt, st.sampled_from([0, 1]), scales),
    st.builds(k.laplacian, st.sampled_from([4, 8]), scales),
    st.builds(k.roberts, st.sampled_from(["main", "anti"]), scales),
    st.builds(k.emboss, st.sampled_from([(1, 1), (1, -1), (-1, 1), (-1, -1)])),
    st.builds(k.sharpen, st.floats(0.05, 3), st.sampled_from([4, 8])),
    st.builds(k.unsharp, st.floats(0.7, 2), st.floats(0.2, 3), odd),
    st.builds(k.log, st.floats(0.8, 2), scale=scales),
    st.builds(k.gaussian_derivative, st.floats(0.8, 2), st.sampled_from([(0, 1), (1, 0), (1, 1)])),
)


@settings(max_examples=150, deadline=None)
@given(designed, st.integers(0, 2), st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 99))
def test_every_designed_kernel_is_recognised_wherever_it_lies(kernel, margin, rows, columns, seed):
    """The name may be a simpler one for the same weights; the kernel that it names must be this one."""
    moved = kernel.shifted(rows, columns)
    peak = np.abs(kernel.weights).max()
    weights, anchor = noisy(moved.weights / peak, moved.anchor, margin, seed)
    found = k.match(weights * peak, anchor, TOLERANCE * peak)
    assert found is not None
    assert np.abs((found.kernel - moved).weights).max() < 0.02 * peak
    parameters = dict(found.parameters)
    down, right = parameters.pop("shift", (0, 0))
    assert k.CATALOGUE[found.name](**parameters).shifted(down, right) == found.kernel


@settings(max_examples=120, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(2, 7), st.integers(2, 7)).filter(lambda shape: max(shape) > 2),
    st.sampled_from([1e-9, 1e-5, 1e-3, 1e-2, 4e-2]),
    st.sampled_from(["any", "positive", "symmetric", "separable"]),
)
def test_no_name_is_forced_on_random_kernels(seed, shape, tolerance, kind):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=shape)
    if kind == "positive":
        weights = np.abs(weights) / np.abs(weights).sum()
    elif kind == "symmetric" and min(shape) > 3:
        weights = weights + weights[::-1]
        weights = weights + weights[:, ::-1]
    elif kind == "separable" and min(shape) > 2:
        weights = np.outer(weights[:, 0], weights[0])
    assert k.match(weights, tolerance=tolerance * np.abs(weights).max()) is None


@settings(max_examples=50, deadline=None)
@given(designed.filter(lambda kernel: kernel.weights.size >= 9), st.integers(0, 2**32 - 1))
def test_a_kernel_with_one_weight_off_has_no_name(kernel, seed):
    rng = np.random.default_rng(seed)
    weights = np.array(kernel.weights)
    weights.flat[rng.integers(weights.size)] += 0.2 * np.abs(weights).max()
    assert k.match(kernel.weights, kernel.anchor, 1e-6) is not None
    assert k.match(weights, kernel.anchor, 1e-6) is None


def test_a_gaussian_is_told_from_a_binomial():
    assert k.match(k.binomial(5).weights, tolerance=TOLERANCE).name == "binomial"
    assert k.match(k.gaussian(1, 5).weights, tolerance=TOLERANCE).name == "gaussian"


@pytest.mark.parametrize("kernel", [k.sobel(), k.gaussian(1, 5), k.sharpen(1 / 8, 8), k.identity(), k.box(3)])
def test_a_wide_tolerance_gives_no_answer(kernel):
    peak = np.abs(kernel.weights).max()
    assert k.match(kernel.weights, kernel.anchor, 0.06 * peak) is None
    assert k.match(kernel.weights, kernel.anchor, np.inf) is None
    assert k.match(kernel.weights, kernel.anchor, np.nan) is None


def test_names_that_the_tolerance_cannot_tell_apart_are_not_given():
    flat = k.gaussian(5, 3).weights
    peak = flat.max()
    assert k.match(flat, tolerance=1e-3 * peak).name == "gaussian"
    assert k.match(flat, tolerance=0.03 * peak) is None
    blurred = k.unsharp(2, 0.5, 5).weights
    assert k.match(blurred, tolerance=0.03) is None


def test_tolerance_by_element_and_bad_arguments():
    weights = k.sobel().weights + np.eye(3) * 0.04
    assert k.match(weights) is None
    assert k.match(weights, tolerance=np.eye(3) * 0.05).name == "sobel"
    assert k.match(np.zeros((3, 3))) is None
    for bad in (-1.0, np.ones(3), np.ones((2, 2))):
        with pytest.raises(ArgumentError, match="tolerance"):
            k.match(weights, tolerance=bad)
    with pytest.raises(ArgumentError, match="weights"):
        k.match([[np.nan]])


@pytest.mark.parametrize("size", [3, 5])
def test_levels_both_ways_are_a_binomial_with_a_gain_not_a_texture_mask(size):
    assert named(0.8 * k.binomial(size).weights) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "weights",
    [
        np.outer([1, 2, 3, 4, 3, 2, 1], [1, 2, 3, 4, 3, 2, 1]) / 256,
        np.outer([0.3, 0.7], [0.4, 0.6]),
        np.array([[-2, 3, 6, 7, 6, 3, -2]]) / 21,
    ],
    ids=["linear B-spline", "linear shift", "Savitzky-Golay"],
)
def test_families_with_numbers_to_fit_name_no_weights_that_differ_by_2_percent(weights, seed):
    assert k.match(weights, tolerance=1e-4 * weights.max()) is not None
    change = np.random.default_rng(seed).choice([-0.02, 0.02], weights.shape) * weights.max()
    other = weights + change - change.mean()
    assert k.match(other, tolerance=1e-4 * weights.max()) is None


@pytest.mark.parametrize("place", [(1.0, 0.0), (0.0, -1.0), (1.0, 1.0), (-1.0, 0.5)])
@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_noise_at_the_end_of_the_range_of_an_offset_is_no_error(place, factor, seed):
    for kernel in (k.mitchell(factor, 0.4, 0.3, place), k.bspline(2, factor, place)):
        weights, anchor = kernel.weights, kernel.anchor
        scatter = 2e-3 * np.abs(weights).max() * np.random.default_rng(seed).normal(size=weights.shape)
        found = k.match((weights + scatter) / (weights + scatter).sum(), anchor, 1e-2 * np.abs(weights).max())
        assert found is None or np.max(np.abs(found.kernel.parameters.get("offset", 0.0))) <= 1.0


@pytest.mark.parametrize("tolerance", [1e-9, 1e-4, 5e-3])
@pytest.mark.parametrize("sign", [1, -1])
def test_few_weights_that_are_odd_or_sum_to_zero_have_no_name_for_having_parameters(sign, tolerance):
    # A family with as many numbers as the weights have ratios would give any of them.
    rng = np.random.default_rng(0)
    named = 0
    for _ in range(20):
        half = rng.normal(size=2)
        line = np.r_[sign * half[::-1], 0.0, half]
        line[2] = -line.sum() if sign > 0 else 0.0
        found = k.match(line[None], None, tolerance * np.abs(line).max())
        assert found is None or found.name not in ("gaussian_derivative", "dog")
        named += found is not None
    # By chance differences of four and five pixels.
    assert named <= 2


def test_a_derivative_of_a_gaussian_of_few_weights_is_known_by_a_sigma_of_two_decimals():
    for sigma, name in ((0.8, "gaussian_derivative"), (0.8123, None)):
        kernel = k.gaussian_derivative(sigma, (0, 1), (1, 5)).weights
        found = k.match(kernel, None, 1e-9)
        assert (found and found.name) == name
        # In weights of 8 bits any sigma lies within the errors.
        assert k.match(kernel, None, 1e-3) is None
