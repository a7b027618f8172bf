"""Names: gain and shift stand apart, three boxes are no Gaussian, and what is near is said to be near."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph
from PIL import Image, ImageFilter

import kernelfield as kf
from kernelfield.kernels import match
from kernelfield.learning import naming

CAMERA = photograph("camera")[128:384, 128:384]


@pytest.mark.parametrize(
    ("gain", "offset", "dtype"), [(0.8, 10.0, "uint8"), (1 / 255, 0.0, "float64"), (257.0, 0.0, "uint16")]
)
def test_gain_and_offset_stand_apart(gain, offset, dtype):
    after = kf.correlate(CAMERA.astype(float), kf.kernels.box(3)) * gain + offset
    fit = kf.learn(CAMERA, np.rint(after).astype(dtype) if dtype != "float64" else after)
    assert (fit.verdict, fit.name) == ("exact", "box")
    assert fit.scale == pytest.approx(gain, rel=1e-4)
    assert "times" in fit.description
    if fit.integers is not None:
        np.testing.assert_allclose(fit.gain * fit.integers / fit.divisor, fit.kernel.weights, rtol=1e-9)


@pytest.mark.parametrize("gain", [2.0, -0.5])
def test_sharpening_has_a_gain_though_its_sum_is_small(gain):
    after = kf.correlate(CAMERA / 255.0, gain * kf.kernels.sharpen(1.0))
    fit = kf.learn(CAMERA / 255.0, after)
    assert (fit.verdict, fit.name) == ("exact", "sharpen")
    assert fit.scale == pytest.approx(gain)
    assert fit.description.endswith(f"times {gain:g}")


def test_pillows_blur_is_three_boxes():
    fit = kf.learn(CAMERA, np.asarray(Image.fromarray(CAMERA).filter(ImageFilter.GaussianBlur(2))))
    assert fit.name is None
    assert fit.description == "three boxes in a row, as Pillow's GaussianBlur(2)"


def test_a_blur_between_the_pixels_is_a_gaussian():
    places = np.arange(-6, 7)
    down, right = np.exp(-((places - 0.3) ** 2) / 3.92), np.exp(-(places**2) / 3.92)
    weights = np.outer(down, right) / (down.sum() * right.sum())
    fit = kf.learn(CAMERA, kf.correlate(CAMERA, weights, dtype="uint8"))
    assert (fit.verdict, fit.name) == ("exact", "gaussian")
    assert "shifted 0.30 pixels up" in fit.description


def test_few_weights_are_no_gabor_filter():
    emboss = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    after = kf.correlate(CAMERA.astype(float), emboss).clip(0, 255)
    fit = kf.learn(CAMERA, np.rint(after).astype(np.uint8))
    assert fit.verdict == "exact"
    assert "Gabor" not in fit.description


def test_the_nearest_is_simple_and_said_once():
    weights = np.zeros((5, 5))
    weights[2, 2], weights[2, 3], weights[1, 2] = 1.0, 0.05, -0.04
    rng = np.random.default_rng(0)
    fit = kf.learn(CAMERA, kf.correlate(CAMERA.astype(float), weights) + rng.normal(0, 2, CAMERA.shape), size=5)
    assert "nearest: identity" in fit.description
    assert "1×1" not in fit.description
    moved = np.zeros((5, 5))
    moved[2, 0], moved[2, 1], moved[1, 0] = 1.0, 0.05, -0.04
    fit = kf.learn(CAMERA, kf.correlate(CAMERA.astype(float), moved) + rng.normal(0, 2, CAMERA.shape), size=5)
    assert "nearest: shift by 2 columns" in fit.description


def test_a_filter_that_leaves_the_picture_in_its_residual_has_no_name():
    # Flat parts: total variation leaves the flats and rounds the edges, nearly as a narrow blur does.
    steps = np.kron(np.random.default_rng(0).integers(0, 5, (12, 12)) * 50.0, np.ones((12, 12)))
    after = ndi.gaussian_filter(steps, 0.6)
    after = after + 0.02 * np.hypot(ndi.sobel(after, 0), ndi.sobel(after, 1))
    fit = kf.learn(steps, after)
    assert fit.name is None


def test_the_nearest_is_no_claim():
    weights = kf.kernels.gaussian(1.0, 5).weights.copy()
    weights[0, 1] += 0.01
    fit = kf.learn(CAMERA, kf.correlate(CAMERA.astype(float), weights))
    assert fit.name is None
    assert "nearest: " in fit.description
    assert "% away" in fit.description


# The parts by themselves.


@pytest.mark.parametrize("values", [(0.8, 1.7, 0.3, -0.6), (3.0, 0.4, -1.2, 0.0)])
def test_gaussians_and_their_slopes(values):
    rows, columns = np.arange(-3, 4), np.arange(-2, 6)
    surface, slopes = naming._gaussian_at(np.array(values), rows, columns)
    down = np.exp(-((rows - values[2]) ** 2) / (2 * values[0] ** 2))
    right = np.exp(-((columns - values[3]) ** 2) / (2 * values[1] ** 2))
    np.testing.assert_allclose(surface, np.outer(down, right) / (down.sum() * right.sum()), atol=1e-12)
    for i in range(4):
        step = np.zeros(4)
        step[i] = 1e-5
        ends = [naming._gaussian_at(np.array(values) + sign * step, rows, columns)[0] for sign in (1, -1)]
        np.testing.assert_allclose(slopes[i], ((ends[0] - ends[1]) / 2e-5).ravel(), atol=1e-8)


@pytest.mark.parametrize("values", [(0.8, 1.7, 0.3, -0.6), (2.5, 2.5, 0.0, 0.0), (0.5, 0.5, -1.1, 1.4)])
@pytest.mark.parametrize("anchor", [(3, 2), (0, 5)])
def test_the_nearest_gaussian_is_found(values, anchor):
    rows, columns = np.arange(7) - anchor[0], np.arange(8) - anchor[1]
    moved = np.array(values) + [0, 0, 3 - anchor[0], 3 - anchor[1]]
    kernel = naming._gaussian_at(moved, rows, columns)[0]
    found, weights = naming._gaussian(kernel, anchor)
    np.testing.assert_allclose(found, moved, atol=1e-5)
    np.testing.assert_allclose(weights, kernel, atol=1e-8)
    # Of weights that are none, the least squares one.
    noisy = kernel + np.random.default_rng(0).normal(scale=0.003, size=kernel.shape)
    best = ((noisy - naming._gaussian(noisy, anchor)[1]) ** 2).sum()
    for step in np.vstack([np.eye(4), -np.eye(4)]) * 0.02:
        other = naming._gaussian_at(naming._gaussian(noisy, anchor)[0] + step, rows, columns)[0]
        assert ((noisy - other) ** 2).sum() > best
    assert naming._gaussian(-np.ones((3, 3)), (1, 1)) is None


@pytest.mark.parametrize("radius", [1.0, 1.4, 2.35])
def test_three_boxes_in_a_row(radius):
    whole = int(radius)
    box = np.r_[radius - whole, np.ones(2 * whole + 1), radius - whole]
    line = np.convolve(np.convolve(box, box), box)
    kernel = np.outer(line, line) / line.sum() ** 2
    found, weights = naming._three_boxes(kernel)
    assert found == pytest.approx(radius, abs=0.01)
    np.testing.assert_allclose(weights, kernel, atol=2e-3 * kernel.max() * 3)
    # Of the sides the middle is kept.
    wide = np.pad(kernel, ((1, 1), (2, 2)))
    assert naming._three_boxes(wide)[0] == pytest.approx(radius, abs=0.01)
    np.testing.assert_allclose(naming._three_boxes(wide)[1][1:-1, 2:-2], weights, atol=1e-9)
    sigma = np.sqrt(3 * ((box / box.sum()) @ np.arange(-whole - 1, whole + 2) ** 2))
    assert naming._boxes_text(radius) == f"three boxes in a row, as Pillow's GaussianBlur({sigma:.3g})"
    assert naming._three_boxes(np.pad(np.ones((1, 1)), 2)) is None
    off = (np.pad(kernel, ((0, 1), (0, 0))) + np.pad(kernel, ((1, 0), (0, 0)))) / 2
    assert naming._three_boxes(off) is None


@pytest.mark.parametrize("square", [4, 5, 9])
def test_flat_disks(square):
    places = np.arange(-3, 4)
    held = places[:, None] ** 2 + places**2 <= square
    kernel = held / held.sum()
    allowed = np.full(kernel.shape, 1e-3 / held.sum())
    text = naming._flat_disk(kernel, (3, 3), allowed)
    assert text == f"flat disk of radius {np.sqrt(square):.4g}, the mean of {held.sum()} pixels"
    assert naming._flat_disk(kernel, (3, 2), allowed) is None
    bent = kernel.copy()
    bent[3, 3] += 1.2e-3 / held.sum()
    assert naming._flat_disk(bent, (3, 3), allowed) is None
    bent[3, 3] -= 0.4e-3 / held.sum()
    assert naming._flat_disk(bent, (3, 3), allowed) == text
    hole = kernel.copy()
    hole[3, 3] = 0.0
    assert naming._flat_disk(hole, (3, 3), allowed) is None
    for size in (3, 5):
        box, half = np.full((size, size), size**-2.0), size // 2
        assert naming._flat_disk(box, (half, half), np.full(box.shape, 1e-4)) is None
    cross = np.zeros((3, 3))
    cross[1], cross[:, 1] = 0.2, 0.2
    assert naming._flat_disk(cross, (1, 1), np.full((3, 3), 1e-3)) is None


def named(kernel, stderr=1e-9, certain=True, claims=True, offset=0.0):
    kernel = np.asarray(kernel, float)
    anchor = (kernel.shape[0] // 2, kernel.shape[1] // 2)
    return naming.name_kernel(kernel, anchor, np.full(kernel.shape, stderr), offset, certain, claims)


def test_names_with_and_without_a_gain():
    box = np.full((3, 3), 1 / 9)
    assert (named(box).name, named(box).scale) == ("box", 1.0)
    for gain in (0.5, 2.0, -3.0):
        assert (named(gain * box).name, named(gain * box).scale) == ("box", pytest.approx(gain))
        assert named(gain * box).description.endswith(f", times {gain:g}")
    assert named(1.0005 * box, 1e-3).scale == 1.0
    assert named(np.zeros((3, 3))).description == "nothing: all weights are 0"
    # Errors that do not hold claim nothing.
    nearest = named(box, claims=False)
    assert nearest.name is None
    assert nearest.description.startswith("no known filter; nearest: box 3×3 (0 % away")
    far = np.random.default_rng(0).normal(size=(3, 3))
    assert named(far).name is None


@pytest.mark.parametrize(("errors", "name"), [(4.5, "box"), (5.5, None)])
def test_weights_agree_within_five_errors(errors, name):
    box = np.full((5, 5), 1 / 25)
    box[1, 1] += errors * 2e-4
    box[3, 3] -= errors * 2e-4
    assert named(box, 2e-4).name == name


@pytest.mark.parametrize(("factor", "rival"), [(0.98, False), (1.02, True)])
def test_a_gaussian_is_the_rival_of_a_binomial_kernel(factor, rival):
    line = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    kernel = np.outer(line, line)
    known = match(kernel, (2, 2), np.full((5, 5), 1e-6), 0.0)
    assert known.name == "binomial"
    # The nearest Gaussian is worse by 9 in squares of the errors.
    gap = np.linalg.norm(kernel - naming._gaussian(kernel, (2, 2))[1])
    assert naming._has_rival(known, kernel, (2, 2), np.full((5, 5), factor * gap / 3.0)) == rival
    assert not naming._has_rival(known, kernel, (2, 2), np.full((5, 5), np.inf))
    box = match(np.full((3, 3), 1 / 9), (1, 1), np.full((3, 3), 1e-6), 0.0)
    assert not naming._has_rival(box, np.full((3, 3), 1 / 9), (1, 1), np.full((3, 3), 1.0))
    assert named(kernel, 5e-4, certain=False).name == "binomial"


def test_gaussians_between_pixels_are_named_with_their_shift():
    for place, words in (((0.3, 0.0), "0.30 pixels up"), ((-0.25, 0.4), "0.25 pixels down and 0.40 pixels left")):
        kernel = naming._gaussian_at(np.array([1.2, 1.2, *place]), np.arange(-5, 6), np.arange(-5, 6))[0]
        found = named(kernel)
        assert (found.name, found.parameters["shift"]) == ("gaussian", pytest.approx((-place[0], -place[1]), abs=1e-4))
        assert found.description == f"Gaussian blur, sigma 1.2, shifted {words}"
        twice = named(2.0 * kernel)
        assert (twice.name, twice.scale) == ("gaussian", pytest.approx(2.0))
    wide = naming._gaussian_at(np.array([1.2, 1.5, 0.3, 0.0]), np.arange(-5, 6), np.arange(-5, 6))[0]
    assert "sigma 1.2 down, 1.5 across" in named(wide).description


def test_disks_boxes_in_a_row_and_sharpening_are_named():
    places = np.arange(-3, 4)
    held = places[:, None] ** 2 + places**2 <= 5
    assert named(held / held.sum()).description == "flat disk of radius 2.236, the mean of 21 pixels"
    assert named(3.0 * held / held.sum()).description.endswith("21 pixels, times 3")
    box = np.array([0.4, 1.0, 1.0, 1.0, 0.4])
    line = np.convolve(np.convolve(box, box), box) / box.sum() ** 3
    assert named(np.outer(line, line)).description.startswith("three boxes in a row, as Pillow's GaussianBlur(")
    sharper = np.array([[0.0, -1.0, 0.0], [-1.0, 5.0, -1.0], [0.0, -1.0, 0.0]])
    found = named(0.3 * sharper)
    assert (found.name, found.scale) == ("sharpen", pytest.approx(0.3))


def test_the_nearest_are_two_and_said_once():
    box = np.full((3, 3), 1 / 9)
    box[0, 0] += 0.02
    found = named(box)
    assert found.name is None
    assert found.description.count("% away") == 1
    assert found.description.count("; then ") <= 1
    point = np.zeros((3, 3))
    point[1, 1], point[0, 1], point[1, 0] = 1.0, 0.05, -0.03
    assert "nearest: identity" in named(point).description
    assert "box 1×1" not in named(point).description
    assert "times 2" in named(2.0 * box).description


def test_a_gaussian_is_no_three_boxes_though_errors_allow_them():
    line = np.exp(-(np.arange(-4, 5) ** 2) / (2 * 1.4**2))
    kernel = np.outer(line, line) / line.sum() ** 2
    assert named(kernel, 5e-4, certain=False).name == "gaussian"


def test_a_rival_differs_somewhere():
    line = np.array([1.0, 6.0, 15.0, 20.0, 15.0, 6.0, 1.0]) / 64
    kernel = np.outer(line, line)
    known = match(kernel, (3, 3), np.full((7, 7), 1e-6), 0.0)
    assert naming._has_rival(known, kernel, (3, 3), np.full((7, 7), 1e-2))


@pytest.mark.parametrize(("share", "found"), [(0.049, True), (0.051, False)])
def test_vague_weights_are_nothing_special(share, found):
    places = np.arange(-3, 4)
    held = (places[:, None] ** 2 + places**2 <= 5) / 21.0
    assert (naming._special(held, (3, 3), np.full(held.shape, share / 21.0)) is not None) == found


@pytest.mark.parametrize(
    ("place", "words"), [(0.004, "0.30 pixels up"), (0.007, "0.30 pixels up and 0.01 pixels left")]
)
def test_shifts_below_half_a_hundredth_are_not_said(place, words):
    kernel = naming._gaussian_at(np.array([1.2, 1.2, 0.3, place]), np.arange(-5, 6), np.arange(-5, 6))[0]
    assert named(kernel).description.endswith(f"shifted {words}")


@pytest.mark.parametrize(("radius", "found"), [(0.04, False), (0.07, True)])
def test_narrow_boxes_in_a_row_are_nothing(radius, found):
    line = np.convolve(np.convolve([radius, 1.0, radius], [radius, 1.0, radius]), [radius, 1.0, radius])
    line /= line.sum()
    variance = float(line @ np.arange(-3, 4) ** 2)
    assert (variance > 0.3) == found
    assert (naming._three_boxes(np.outer(line, line)) is not None) == found


@pytest.mark.parametrize(("before", "after"), [(1e100, 1.0), (1.0, 1e-60), (2.0**400, 3.0), (1e100, 1e100)])
def test_gains_and_scales_are_those_of_the_images_whatever_their_units(before, after):
    picture, unit = CAMERA[:96, :96].astype(float), after / before
    fits = {
        name: kf.learn(picture * before, kf.correlate(picture, weights) * after)
        for name, weights in (("box", kf.kernels.box(3)), ("sobel", kf.kernels.sobel(1)), ("identity", [[1.0]]))
    }
    for name, fit in fits.items():
        assert (fit.verdict, fit.name) == ("exact", name)
        own = getattr(kf.kernels, name)(**{k: v for k, v in fit.parameters.items() if k != "shift"}).weights
        size = float(np.abs(fit.kernel.weights).max())
        np.testing.assert_allclose(fit.scale * own, fit.kernel.weights, rtol=1e-9, atol=1e-9 * size)
        if fit.integers is not None:
            np.testing.assert_allclose(
                fit.gain * fit.integers / fit.divisor, fit.kernel.weights, rtol=1e-9, atol=1e-9 * size
            )
    told = "" if unit == 1.0 else f", times {unit:.6g}"
    assert fits["box"].description == f"box 3×3{told}"
    assert fits["identity"].description == f"identity{told}"


@pytest.mark.parametrize(
    ("radius", "words"), [(1, "triangle 3×3, two boxes of 2×2"), (2, "triangle 5×5, two boxes of 3×3")]
)
def test_a_stack_blur_is_two_boxes_and_no_reduction(radius, words):
    line = np.r_[1 : radius + 2, radius:0:-1] / (radius + 1.0) ** 2
    found = named(np.outer(line, line))
    assert found.description.startswith(words) or found.name == "binomial"
    assert "reduction" not in found.description
