"""Pairs as the world makes them, in kinds: a user who reads the first three lines is told what is true."""

from __future__ import annotations

import re
from functools import cache

import cv2
import numpy as np
import pytest
import scipy.ndimage as ndi
import skimage.data
import skimage.filters
from cases import colour_photograph, photograph
from helpers.compression import jpeg
from learning.simulator import ROUNDINGS, Truth, bars_declared_approximate, compared, filtered, levels, rounded
from PIL import Image, ImageFilter

import kernelfield as kf
from kernelfield.errors import DataError, KernelfieldError

SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])


@cache
def camera() -> np.ndarray:
    return skimage.data.camera()[128:384, 128:384].copy()


def floats() -> np.ndarray:
    return camera().astype(np.float64)


def gaussian(size: int, sigma: float) -> np.ndarray:
    line = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * sigma**2))
    return np.outer(line, line) / line.sum() ** 2


def noise(scale: float, shape=(256, 256), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=scale, size=shape)


def assert_weights(fit, weights, *, relative=0.05, errors=5.0, anchor=None):
    """Assert weights within `relative` of their norm and within `errors` standard errors, if those are to hold."""
    weights = np.asarray(weights, float)
    place = anchor or (weights.shape[0] // 2, weights.shape[1] // 2)
    error, stderr, true = (part / np.abs(weights).max() for part in compared(fit, Truth(weights, place)))
    assert np.sqrt((error**2).sum() / (true**2).sum()) <= relative
    inside = (stderr > 0) & np.isfinite(stderr)
    small = np.abs(error[inside]) <= 2e-3 * np.abs(true).max()
    assert bars_declared_approximate(fit) or ((np.abs(error[inside]) <= errors * stderr[inside]) | small).all()


def assert_exact(fit, weights, **place):
    assert fit.verdict == "exact"
    assert_weights(fit, weights, relative=3e-3, **place)


def first_lines(fit) -> str:
    return "\n".join(str(fit).splitlines()[:3])


@pytest.mark.parametrize("rule", ROUNDINGS)
@pytest.mark.parametrize(
    ("weights", "divisor", "offset"),
    [
        ([[1, 1]], 2, 0),
        (SOBEL, 4, 128),
        (SOBEL, 2, 128),
        ([[1, 2, 1]], 4, 0),
        ([[1, 0, 1], [1, 1, 2]], 6, 0),
        ([[3]], 4, 9),
    ],
)
def test_every_rounding_rule_on_every_grid_is_exact(rule, weights, divisor, offset):
    weights = np.array(weights)
    anchor = weights.shape[0] // 2, weights.shape[1] // 2
    after = rounded(filtered(camera().astype(np.int64), weights, anchor, "mirror"), divisor, rule) + offset
    fit = kf.learn(camera(), np.clip(after, 0, 255).astype(np.uint8))
    assert_exact(fit, weights / divisor)
    assert np.array_equal(fit.integers * divisor, weights * fit.divisor)
    assert fit.boundary == (None if weights.size == 1 else "mirror")


@pytest.mark.parametrize("rule", ROUNDINGS)
def test_signed_results_by_every_rounding_rule(rule):
    after = rounded(filtered(camera().astype(np.int64), SOBEL, (1, 1), "reflect"), 4, rule).astype(np.int16)
    assert_exact(kf.learn(camera(), after), SOBEL / 4)


def test_opencv_rounds_halves_to_even():
    fit = kf.learn(camera(), cv2.filter2D(camera(), -1, SOBEL / 4, delta=128))
    assert_exact(fit, SOBEL / 4)
    assert fit.name == "sobel"
    assert fit.boundary == "mirror"


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_two_passes_that_round_between_are_linear(bits):
    unit = 2.0 ** (bits - 8)
    line = gaussian(9, 1.2).sum(axis=0)
    first = np.rint(ndi.correlate1d(floats() * unit, line, 0, mode="wrap"))
    after = levels(ndi.correlate1d(first, line, 1, mode="wrap") / unit)
    fit = kf.learn(camera(), after)
    assert fit.verdict in ("exact", "approximate")
    assert_weights(fit, gaussian(9, 1.2))
    assert "tone curve" not in str(fit)
    assert fit.boundary == "wrap"


UNRELATED = {
    "another picture": lambda a: photograph("china")[50:306, 100:356],
    "another picture, floats": lambda a: photograph("flower")[50:306, 100:356] / 3.0 + 7,
    "shuffled": lambda a: np.random.default_rng(0).permutation(a.ravel()).reshape(a.shape),
    "noise": lambda a: levels(128 + noise(30, a.shape)),
    "float noise": lambda a: noise(1.0, a.shape),
    "another picture, blurred": lambda a: levels(ndi.gaussian_filter(photograph("china")[50:306, 100:356] / 1.0, 3)),
}


@pytest.mark.parametrize("kind", UNRELATED)
def test_what_is_unrelated_is_not_a_filter(kind):
    fit = kf.learn(camera(), UNRELATED[kind](camera()))
    assert fit.verdict == "not linear"
    assert fit.name is None
    assert fit.integers is None


def test_what_is_unrelated_says_so():
    fit = kf.learn(camera(), photograph("china")[50:306, 100:356])
    assert re.search("scene|unrelated|nothing in common|another picture", first_lines(fit))


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("lr", [0.3, 3.0, 30.0])
def test_a_descent_that_diverged_is_no_fit(lr):
    before = floats()[:40, :40]
    try:
        fit = kf.descend(before, ndi.uniform_filter(before, 3), size=3, lr=lr, steps=20)
    except DataError as error:
        said = str(error)
    else:
        assert fit.verdict in ("not linear", "undetermined")
        said = first_lines(fit)
    assert re.search("diverge|descend|finite|smaller lr", said)


MORPHOLOGY = {
    "dilation": ndi.binary_dilation,
    "erosion": ndi.binary_erosion,
    "opening": ndi.binary_opening,
    "closing": ndi.binary_closing,
    "outline": lambda mask: mask ^ ndi.binary_erosion(mask),
}


@pytest.mark.parametrize("value", [1, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("kind", MORPHOLOGY)
def test_morphology_of_a_mask_is_never_exact(kind, dtype, value):
    mask = camera() > 100
    fit = kf.learn((mask * value).astype(dtype), (MORPHOLOGY[kind](mask) * value).astype(dtype), max_size=9)
    assert fit.verdict != "exact"
    assert fit.name is None
    assert fit.integers is None


def test_a_mask_that_was_moved_is_exact():
    mask = (camera() > 100).astype(np.uint8)
    assert kf.learn(mask, np.roll(mask, (2, 1), (0, 1))).name == "shift"


@pytest.mark.parametrize("constant", [1e6, 2.4e6, -1e5])
@pytest.mark.parametrize("size", [7, None])
def test_an_added_constant_changes_nothing(constant, size):
    weights = gaussian(7, 1.5)
    after = filtered(floats(), weights, (3, 3), "reflect") + noise(1.0)
    plain = kf.learn(floats(), after, size=size)
    fit = kf.learn(floats() + constant, after + constant, size=size)
    assert fit.verdict == plain.verdict == "approximate"
    assert fit.size == plain.size
    np.testing.assert_allclose(fit.kernel.weights, plain.kernel.weights, atol=1e-5)
    np.testing.assert_allclose(fit.stderr, plain.stderr, rtol=1e-3)
    assert_weights(fit, weights)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-30, 1e12, 1e39, 1e200, 1e300])
@pytest.mark.parametrize("exact", [False, True])
def test_units_change_nothing(scale, exact):
    weights = gaussian(5, 1.1)
    after = filtered(floats(), weights, (2, 2), "mirror") + (0 if exact else noise(1.0))
    fit = kf.learn(floats() * scale, after * scale, size=5)
    assert fit.verdict == ("exact" if exact else "approximate")
    assert_weights(fit, weights)
    assert_weights(kf.learn(floats() * scale, after, size=5), weights / scale)
    assert fit.boundary == "mirror"


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_a_covariance_outside_the_range_of_numbers_is_not_given(scale):
    before, after = floats(), filtered(floats(), gaussian(5, 1.1), (2, 2), "mirror") + noise(1.0)
    fit = kf.learn(before * scale, after, size=5)
    assert fit.stderr.min() > 0
    assert fit.covariance is None
    near = kf.learn(before * 1e-100, after, size=5)
    assert np.sqrt(np.diag(near.covariance)) == pytest.approx(near.stderr.ravel(), rel=1e-9)


def test_pedestals_of_sixteen_bits():
    before = (camera() + np.uint16(60_000)).astype(np.uint16)
    after = np.rint(ndi.uniform_filter(before.astype(float), 3)).astype(np.uint16)
    fit = kf.learn(before, after)
    assert_exact(fit, np.full((3, 3), 1 / 9))
    assert fit.name == "box"


@pytest.mark.parametrize("quality", [60, 75, 85, 90, 95])
@pytest.mark.parametrize("size", [5, None])
def test_errors_after_compression(quality, size):
    weights = gaussian(5, 1.0)
    fit = kf.learn(camera(), jpeg(levels(filtered(floats(), weights, (2, 2), "nearest")), quality), size=size)
    assert fit.verdict == "approximate"
    assert_weights(fit, weights, relative=0.25)
    assert fit.name in (None, "gaussian")
    assert fit.integers is None
    assert max(fit.size) <= 11


@pytest.mark.parametrize("sd", [3.0, 8.0, 15.0])
def test_noise_in_the_before_is_said_and_in_the_errors(sd):
    before = floats() + noise(sd)
    weights = gaussian(5, 1.0)
    after = filtered(floats(), weights, (2, 2), "reflect") + noise(1.0, seed=1)
    fit = kf.learn(before, after, size=5)
    assert fit.verdict in ("approximate", "not linear", "undetermined")
    assert_weights(fit, weights, relative=1.0)
    assert fit.name in (None, "gaussian")
    assert re.search("noise in the before|before is noisy|noisy before", str(fit))


def test_noise_of_known_level_in_the_before_is_corrected_for():
    weights = gaussian(5, 1.0)
    after = filtered(floats(), weights, (2, 2), "reflect") + noise(1.0, seed=1)
    fit = kf.learn(floats() + noise(15), after, size=5, noise=(15.0, 1.0))
    assert_weights(fit, weights, relative=0.1)


@pytest.mark.parametrize("kind", ["Poisson", "correlated", "unequal"])
def test_errors_of_other_noise(kind):
    weights = gaussian(5, 1.0)
    clean = filtered(floats(), weights, (2, 2), "reflect")
    covered = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        after = {
            "Poisson": lambda rng=rng: rng.poisson(clean),
            "correlated": lambda rng=rng: clean + 5 * ndi.gaussian_filter(rng.normal(size=clean.shape), 1.0),
            "unequal": lambda rng=rng: clean + rng.normal(size=clean.shape) * (0.2 + clean / 20),
        }[kind]()
        fit = kf.learn(floats(), after, size=5)
        covered.append(np.abs(fit.kernel.weights - weights) <= 1.96 * fit.stderr)
    assert np.mean(covered) >= 0.90


SPOILED = {
    "one pixel": lambda a: a.__setitem__((100, 90), a[100, 90] + 50.0),
    "hot pixels": lambda a: a.__setitem__((slice(7, 250, 16), slice(5, 250, 16)), 255.0),
    "dead row": lambda a: a.__setitem__((80, slice(None)), 0.0),
    "label": lambda a: a.__setitem__((slice(200, 220), slice(160, 220)), 255.0),
    "watermark": lambda a: a.__iadd__(np.pad(np.full((20, 90), 12.0), ((150, 86), (60, 106)))),
    "no data": lambda a: a.__setitem__((slice(0, 50), slice(190, 240)), -9999.0),
}


@pytest.mark.parametrize("kind", SPOILED)
@pytest.mark.parametrize("sd", [0.0, 1.0])
def test_what_does_not_belong_is_left_out_and_counted(kind, sd):
    weights = gaussian(5, 1.0)
    clean = filtered(floats(), weights, (2, 2), "reflect") + noise(sd)
    clean = np.rint(clean).clip(0, 255 if kind == "no data" else 200) if sd == 0 else clean
    after = clean.copy()
    SPOILED[kind](after)
    changed = int(np.count_nonzero(np.abs(after - clean)[2:-2, 2:-2] > 8))
    if sd == 0 and kind != "no data":
        before, after = camera().clip(0, 200), after.astype(np.uint8)
        inside = filtered(before.astype(float), weights, (2, 2), "reflect")
        touched = after.astype(float) != clean
        after = np.where(touched, after, levels(inside)).astype(np.uint8)
    else:
        before = floats()
    fit = kf.learn(before, after)
    assert fit.verdict in ("exact", "approximate")
    assert_weights(fit, weights, relative=0.02)
    assert fit.name in (None, "gaussian")
    assert fit.excluded >= 0.9 * changed


@pytest.mark.parametrize("which", ["before", "after", "both"])
@pytest.mark.parametrize(
    ("marker", "dtype"), [(-9999.0, "float64"), (1e20, "float32"), (-32768, "int16"), (65535, "uint16")]
)
def test_markers_of_missing_pixels_are_left_out(which, marker, dtype):
    before = (camera()[:64, :90].astype(np.float64)).astype(dtype)
    after = kf.correlate(before, [[0.0, 0.5, 0.0], [0.25, 0.0, 0.25], [0.0, 0.0, 0.0]], dtype=dtype)
    if which != "after":
        before[5:15, 5:20] = marker
    if which != "before":
        after[30:40, 30:50] = marker
    fit = kf.learn(before, after)
    assert_exact(fit, [[0.0, 0.5, 0.0], [0.25, 0.0, 0.25], [0.0, 0.0, 0.0]])
    assert fit.excluded >= {"before": 150, "after": 200, "both": 350}[which]
    assert f"pixels of {float(marker):.6g} in the" in str(fit)


def test_values_of_a_picture_are_no_markers():
    # An extreme value of four pixels, one within reach of the others, and drawings of few values.
    few, near, drawing = floats(), floats(), np.where(camera() > 200, 10_000.0, np.rint(floats() / 64))
    few.ravel()[:4] = -9999.0
    near.ravel()[:200] = -255.0 * 4.9
    for before in (few, near, drawing):
        fit = kf.learn(before, kf.correlate(before, SOBEL / 8), size=3)
        assert fit.verdict == "exact"
        assert "taken for missing" not in str(fit)


@pytest.mark.parametrize("levels_in", [4, 8])
def test_few_levels_that_are_all_taken_are_a_grid(levels_in):
    after = np.rint((gaussian_blurred() * 0.8 + 20) / levels_in) * levels_in
    fit = kf.learn(camera(), after.astype(np.uint8))
    assert fit.verdict == "exact"
    fit = kf.learn(camera(), after / 255.0)
    assert fit.verdict == "exact"


def gaussian_blurred() -> np.ndarray:
    return ndi.gaussian_filter(floats(), 0.8, mode="mirror")


def test_noise_that_grows_with_the_brightness_is_noise():
    clean = filtered(floats(), gaussian(5, 1.0), (2, 2), "reflect")
    fit = kf.learn(floats(), clean * (1 + noise(0.05)), size=5)
    assert fit.verdict == "approximate"
    assert "as noise is" in fit.explanation or "in its size alone, as shot noise" in fit.explanation
    assert_weights(fit, gaussian(5, 1.0), relative=0.1)


@pytest.mark.parametrize("follows", ["noise", "Poisson", "JPEG", "levels"])
def test_values_that_were_clipped_before_something_else(follows):
    weights = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]) * 1.0
    after = np.clip(filtered(floats(), weights, (1, 1), "nearest"), 0, 255)
    after = {
        "noise": lambda: after + noise(3.0),
        "Poisson": lambda: np.random.default_rng(0).poisson(after * 4) / 4,
        "JPEG": lambda: jpeg(levels(after), 95).astype(float),
        "levels": lambda: np.rint(after * 0.9 + 10),
    }[follows]()
    if follows == "levels":
        weights = weights * 0.9
    fit = kf.learn(camera(), after.astype(np.uint8) if follows in ("JPEG", "levels") else after, size=3)
    assert fit.verdict in ("exact", "approximate")
    assert_weights(fit, weights, relative=0.08)


@pytest.mark.parametrize("size", [(41, 41), (3, 45), (33, 33)])
def test_boxes_wider_than_31(size):
    fit = kf.learn(camera(), cv2.blur(camera(), size[::-1]))
    assert fit.size == size
    assert fit.name == "box"


@pytest.mark.parametrize("largest", [31, 63])
def test_a_search_that_ended_at_its_limit_says_so(largest):
    wide = photograph("china")
    fit = kf.learn(wide, cv2.blur(wide, (81, 81)), max_size=largest)
    assert max(fit.size) <= largest
    assert fit.verdict not in ("exact",)
    assert fit.integers is None
    assert fit.name is None
    assert re.search(f"limit|max_size|{largest}", first_lines(fit))


def test_a_wide_gaussian():
    wide = photograph("china")
    fit = kf.learn(wide, levels(ndi.gaussian_filter(wide.astype(float), 8)), max_size=127)
    assert fit.verdict in ("exact", "approximate")
    assert max(fit.size) > 40
    assert fit.name in (None, "gaussian")
    assert fit.integers is None
    assert abs(fit.kernel.weights.max() - 1 / (2 * np.pi * 64)) < 3e-4


def test_integers_are_not_claimed_by_chance():
    rng = np.random.default_rng(3)
    for seed in range(12):
        weights = rng.normal(size=(3, 3)) / 4
        after = filtered(floats(), weights, (1, 1), "reflect") + noise(1.0, seed=seed)
        fit = kf.learn(floats(), after, size=3)
        assert fit.integers is None
        assert fit.name is None


def test_integers_of_a_wide_box():
    fit = kf.learn(camera(), cv2.blur(camera(), (21, 21)))
    assert fit.verdict == "exact"
    assert (fit.size, fit.name, fit.divisor) == ((21, 21), "box", 441)
    assert (fit.integers == 1).all()


AFFINE = {
    "gain 0.8 and 10": lambda a: np.rint(a * 0.8 + 10).astype(np.uint8),
    "floats": lambda a: a / 255,
    "16 bits": lambda a: np.rint(a * 257).astype(np.uint16),
    "negative": lambda a: np.rint(255 - a).astype(np.uint8),
}


@pytest.mark.parametrize("kind", AFFINE)
@pytest.mark.parametrize(("weights", "name"), [(gaussian(9, 1.1), "gaussian"), (np.full((3, 3), 1 / 9), "box")])
def test_gain_and_offset_stand_apart_from_the_name(kind, weights, name):
    after = AFFINE[kind](filtered(floats(), weights, tuple(n // 2 for n in weights.shape), "mirror"))
    fit = kf.learn(camera(), after)
    assert fit.verdict == "exact"
    assert fit.name == name
    assert re.search("gain|times|×|scale", str(fit))


def _pillow(kind) -> np.ndarray:
    return np.asarray(Image.fromarray(camera()).filter(kind))


def test_pillow_gaussian_blur_has_a_name():
    fit = kf.learn(camera(), _pillow(ImageFilter.GaussianBlur(2)))
    assert fit.verdict in ("exact", "approximate")
    assert fit.name != "gaussian"
    assert re.search("three box|box.*three|3 box|Pillow", first_lines(fit))


@pytest.mark.parametrize("amount", [0.5, 1.5])
def test_unsharp_masks_have_a_name(amount):
    blurred = ndi.gaussian_filter(floats(), 1.5)
    fit = kf.learn(camera(), np.clip(np.rint(floats() + amount * (floats() - blurred)), 0, 255).astype(np.uint8))
    assert fit.name == "unsharp"
    assert fit.parameters["sigma"] == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("move", [(0.3, 0.0), (0.25, -0.4)])
def test_a_blur_with_a_sub_pixel_shift_is_a_gaussian(move):
    y, x = np.mgrid[-6:7, -6:7]
    weights = np.exp(-((y - move[0]) ** 2 + (x - move[1]) ** 2) / (2 * 1.4**2))
    weights /= weights.sum()
    fit = kf.learn(camera(), levels(filtered(floats(), weights, (6, 6), "mirror")))
    assert fit.verdict == "exact"
    assert_weights(fit, weights, relative=0.01)
    assert fit.name == "gaussian" or "Gaussian" in first_lines(fit)


@pytest.mark.parametrize("quality", [75, 92])
@pytest.mark.parametrize(("size", "sigma"), [(5, 1.0), (7, 1.5)])
def test_compression_does_not_widen_the_support(size, sigma, quality):
    clean = levels(filtered(floats(), gaussian(size, sigma), (size // 2, size // 2), "nearest"))
    fit = kf.learn(camera(), jpeg(clean, quality))
    assert max(abs(n - size) for n in fit.size) <= 1


def test_a_name_survives_compression_or_is_the_nearest():
    fit = kf.learn(camera(), jpeg(cv2.blur(camera(), (3, 3)), 92))
    assert fit.name in (None, "box")
    assert "box" in first_lines(fit).lower()


def test_weights_outside_dropped_and_the_rest_rescaled_is_a_rule():
    weights = gaussian(7, 1.5)
    share = filtered(np.ones((256, 256)), weights, (3, 3), "constant")
    for after in (
        filtered(floats(), weights, (3, 3), "constant") / share,
        levels(filtered(floats(), weights, (3, 3), "constant") / share),
    ):
        fit = kf.learn(camera(), after)
        assert fit.verdict == "exact"
        assert fit.boundary not in (None, "constant", "reflect", "nearest", "mirror", "wrap", "copy")
        assert re.search("renormal|rescal", str(fit))


@pytest.mark.parametrize("border", ["nearest", "mirror", "wrap", "constant"])
def test_a_size_that_is_too_large_keeps_the_border(border):
    weights = np.array([[1, 2, 0], [0, 3, 1], [2, 0, 1]]) / 10
    after = levels(filtered(floats(), weights, (1, 1), border))
    fit = kf.learn(camera(), after, size=7)
    assert_exact(fit, weights)
    # One pixel beyond the image reflect and nearest are the same.
    assert fit.boundary == ("reflect" if border == "nearest" else border)


@pytest.mark.parametrize("value", [0.0, 255.0, 128.0, 17.5])
@pytest.mark.parametrize("shape", [(2, 2), (4, 3), (5, 6)])
def test_constants_beyond_the_border(value, shape):
    weights = np.random.default_rng(0).random(shape)
    weights /= weights.sum()
    anchor = shape[0] // 2, shape[1] // 2
    fit = kf.learn(floats(), filtered(floats(), weights, anchor, "constant", value))
    assert fit.boundary == "constant"
    assert fit.cval == pytest.approx(value, abs=1e-6)


def test_windows_of_nan_do_not_hide_the_border():
    before = floats()
    before[0, 40:60] = np.nan
    before[100:110, 0] = np.nan
    weights = np.random.default_rng(1).normal(size=(5, 5))
    after = filtered(np.nan_to_num(before, nan=50.0), weights, (2, 2), "mirror")
    fit = kf.learn(before, after)
    assert fit.boundary == "mirror"


def china() -> np.ndarray:
    return colour_photograph("china")[60:300, 150:420]


def _saturated(image, amount):
    grey = image @ np.array([0.299, 0.587, 0.114])
    return levels(grey[..., None] + amount * (image - grey[..., None]))


SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])


def _chroma_blurred(image):
    bands = [np.asarray(band) for band in Image.fromarray(image).convert("YCbCr").split()]
    bands[1:] = [cv2.GaussianBlur(band, (0, 0), 3) for band in bands[1:]]
    return np.asarray(Image.merge("YCbCr", [Image.fromarray(band) for band in bands]).convert("RGB"))


MIXED = {
    "less saturation": lambda a: _saturated(a, 0.4),
    "more saturation": lambda a: _saturated(a, 1.4),
    "sepia": lambda a: levels(a @ SEPIA.T),
    "swapped": lambda a: a[..., ::-1].copy(),
    "chroma blurred": _chroma_blurred,
    "blurred and less saturation": lambda a: _saturated(cv2.blur(a, (3, 3)), 0.5),
}


@pytest.mark.parametrize("kind", MIXED)
def test_mixed_channels_are_said_to_be_mixed(kind):
    fit = kf.learn(china(), MIXED[kind](china()), max_size=11, channels="shared")
    assert fit.verdict != "exact"
    assert fit.name is None
    assert re.search("mix", first_lines(fit))
    assert "one by one" not in str(fit)


def test_channels_that_differ_are_said_to_differ():
    after = china().copy()
    after[..., 2] = cv2.blur(after[..., 2], (5, 5))
    fit = kf.learn(china(), after, max_size=11, channels="shared")
    assert fit.verdict != "exact"
    assert re.search("channel", first_lines(fit))
    assert "mix" not in first_lines(fit)


@pytest.mark.parametrize("kind", MIXED)
def test_mixed_channels_are_learned_as_mixed(kind):
    fit = kf.learn(china(), MIXED[kind](china()), max_size=11)
    assert fit.model == "mixed"
    assert (fit.verdict == "exact") == (kind in ("less saturation", "more saturation", "sepia", "swapped"))


@pytest.mark.parametrize("name", ["EMBOSS", "BLUR", "SHARPEN", "CONTOUR", "FIND_EDGES", "SMOOTH_MORE"])
def test_channels_that_share_a_kernel_do_not_disagree(name):
    fit = kf.learn(china(), np.asarray(Image.fromarray(china()).filter(getattr(ImageFilter, name))))
    assert fit.verdict == "exact"
    assert "disagree" not in str(fit)


@pytest.mark.parametrize(("rows", "columns"), [(0, 1), (1, 0), (3, 0), (0, 2)])
def test_an_after_cropped_at_one_side(rows, columns):
    after = levels(ndi.gaussian_filter(floats(), 1.2))[: 256 - rows, : 256 - columns]
    fit = kf.learn(camera(), after)
    assert fit.verdict == "exact"
    assert max(fit.size) >= 7
    assert fit.name == "gaussian"


@pytest.mark.parametrize("place", [(10, 3), (0, 40), (25, 25)])
def test_crops_off_centre(place):
    after = levels(ndi.uniform_filter(floats(), 5))[place[0] : place[0] + 190, place[1] : place[1] + 200]
    fit = kf.learn(camera(), after)
    assert fit.verdict == "exact"
    assert fit.name == "box"
    assert fit.size == (5, 5)
    assert re.search(rf"\b{place[0]}\b.*\b{place[1]}\b", str(fit))


@pytest.mark.parametrize("move", [(20, -17), (0, 45), (-60, 33)])
def test_shifts_larger_than_the_kernel(move):
    clean = levels(ndi.gaussian_filter(floats(), 1.0))
    fit = kf.learn(camera(), np.roll(clean, move, (0, 1)), max_size=15)
    assert fit.verdict == "exact"
    # Down and right are positive; the anchor lies as far outside the kernel.
    true = gaussian(9, 1.0)
    assert_weights(fit, true, relative=0.01, anchor=(4 + move[0], 4 + move[1]))


@pytest.mark.parametrize("factor", [2, 3])
def test_afters_of_a_fraction_of_the_size(factor):
    after = floats()[: 256 // factor * factor, : 256 // factor * factor]
    after = after.reshape(256 // factor, factor, -1, factor).mean(axis=(1, 3))
    fit = kf.learn(camera(), levels(after), max_size=9)
    assert (fit.verdict, fit.stride, fit.anchor) == ("exact", (factor, factor), (0, 0))
    np.testing.assert_allclose(fit.kernel.weights, np.full((factor, factor), 1 / factor**2), atol=1e-12)
    assert f"reduction by {factor}" in str(fit)


def test_floats_that_stop_at_0_and_1_off_the_grid():
    before = floats() / 255
    weights = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]) * 1.0
    fit = kf.learn(before, np.clip(filtered(before, weights, (1, 1), "reflect"), 0, 1))
    assert_exact(fit, weights)
    assert fit.excluded > 100


def test_floats_that_go_on_beyond_1_are_not_clipped():
    before = floats() / 255 * 2
    before[40:60, 40:60] = 1.0
    after = np.rint(ndi.uniform_filter(before, 3) * 255) / 255
    fit = kf.learn(before, after)
    assert fit.verdict == "exact"
    assert fit.excluded == 0


@pytest.mark.parametrize(("low", "high"), [(0, 4095), (16, 235), (-100.0, 100.0), (12.5, 180.25)])
def test_ends_are_read_from_the_data(low, high):
    scale = (high - low) / 255
    before = floats() * scale + low
    weights = gaussian(5, 0.9) * 1.4
    after = np.clip((filtered(floats(), weights, (2, 2), "reflect") - 40) * scale + low, low, high)
    fit = kf.learn(before, after)
    assert_exact(fit, weights)
    assert fit.excluded > 100


@pytest.mark.parametrize("constant", [1e8, 1e10, -3e9])
def test_the_level_of_float64(constant):
    before = floats() + constant
    fit = kf.learn(before, ndi.correlate(before, gaussian(5, 1.0), mode="mirror"))
    assert fit.size == (5, 5)
    assert_weights(fit, gaussian(5, 1.0))
    assert fit.r2 > 0.999


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e8, 1e30])
def test_the_scale_of_float32(scale):
    before = (floats() * scale).astype(np.float32)
    after = ndi.correlate(before.astype(float), gaussian(5, 1.0), mode="mirror").astype(np.float32)
    fit = kf.learn(before, after)
    assert_exact(fit, gaussian(5, 1.0))
    assert fit.boundary == "mirror"


KINDS = {
    "median": (lambda a: ndi.median_filter(a, 3), "median|order statistic|rank"),
    "maximum": (lambda a: ndi.maximum_filter(a, 3), "maximum|order statistic|dilat"),
    "bilateral": (lambda a: cv2.bilateralFilter(a, 9, 50, 5), "edge"),
    "gamma": (lambda a: levels(255 * (a / 255) ** 0.45), "tone curve|gamma|brightness"),
    "equalised": (cv2.equalizeHist, "tone curve|brightness"),
    "solarised": (lambda a: np.where(a > 128, 255 - a, a).astype(np.uint8), "tone curve|brightness"),
    "threshold": (lambda a: np.where(a > 100, 255, 0).astype(np.uint8), "threshold|two levels|tone curve"),
    "posterised": (lambda a: (a // 64 * 64).astype(np.uint8), "tone curve|brightness|levels"),
    "another scene": (lambda a: photograph("flower")[50:306, 200:456], "scene"),
    "mirrored": (lambda a: a[:, ::-1].copy(), "mirror"),
    "upside down": (lambda a: a[::-1].copy(), "mirror|upside"),
    "quarter turn": (lambda a: np.rot90(a).copy(), "rotat|turn"),
    "half turn": (lambda a: np.rot90(a, 2).copy(), "rotat|turn"),
    "rotated 5°": (lambda a: ndi.rotate(a, 5, reshape=False, order=1, mode="reflect"), "rotat|geometr|turn"),
    "zoomed": (lambda a: cv2.resize(a, None, fx=1.15, fy=1.15)[18:274, 18:274].copy(), "resiz|geometr|zoom|scal"),
    "magnitude": (lambda a: skimage.filters.sobel(a / 255.0), "not linear"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_linear_says_what_it_looks_like(kind):
    function, words = KINDS[kind]
    fit = kf.learn(camera(), function(camera()), max_size=11)
    assert fit.verdict == "not linear"
    assert fit.name is None
    assert fit.integers is None
    assert re.search(words, first_lines(fit))
    # No kernel of noise is printed.
    assert "kernel, as" not in str(fit)


# All: whatever is given, an error is one of kernelfield's, in one line.


ODD = {
    "constant before": lambda a: (np.full_like(a, 9), a),
    "constant after": lambda a: (a, np.full_like(a, 9)),
    "one row": lambda a: (a[:1], a[:1]),
    "one pixel": lambda a: (a[:1, :1], a[:1, :1]),
    "3 by 3": lambda a: (a[:3, :3], a[3:6, :3]),
    "two rows": lambda a: (a[:2], a[5:7]),
    "bool": lambda a: (a > 100, ndi.binary_erosion(a > 100)),
    "one NaN": lambda a: (np.where(np.arange(256) == 5, np.nan, a), a),
    "infinite": lambda a: (a, np.where(a > 200, np.inf, a)),
    "nearly all NaN": lambda a: (np.where(np.arange(256) > 5, np.nan, a), a / 3.0),
    "huge and tiny": lambda a: (a * 1e-300, a * 1e300),
    "subnormal": lambda a: (a * 1e-320, a * 1e-320),
    "int64 ends": lambda a: (a.astype(np.int64) + 2**62, a.astype(np.int64) - 2**62),
    "uint64": lambda a: (a.astype(np.uint64) << np.uint64(55), a),
    "float16": lambda a: (a.astype(np.float16), ndi.uniform_filter(a.astype(np.float32), 3).astype(np.float16)),
    "empty mask of levels": lambda a: (np.zeros_like(a), np.zeros_like(a)),
    "one bright pixel": lambda a: ((a * 0).astype(float), (a * 0).astype(float) + np.pad([[1.0]], 2).sum()),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("size", [None, 3])
def test_odd_pairs_have_an_answer_or_an_error_of_one_line(kind, size):
    try:
        fit = kf.learn(*ODD[kind](camera()), size=size)
    except KernelfieldError as error:
        message = str(error)
    else:
        message = ""
        assert np.isfinite(fit.kernel.weights).all()
        assert not np.isnan(fit.stderr).any()
        assert 0 <= fit.r2 <= 1
        assert str(fit)
    assert "\n" not in message
    assert len(message) < 400


LAPLACE = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])


@pytest.mark.parametrize("then", ["noise", "JPEG"])
@pytest.mark.parametrize(
    ("weights", "offset"),
    [(SOBEL, 0), (2 * LAPLACE, 0), (9 * (np.arange(9) == 4).reshape(3, 3) - 1, 0), (-2 * LAPLACE, 255)],
    ids=["sobel", "laplace", "find edges", "contour"],
)
def test_edges_of_which_most_are_clipped_are_learned_after_noise_and_jpeg(weights, offset, then):
    before = camera()[:200, :200]
    clean = levels(filtered(before.astype(np.int64), weights, (1, 1), "reflect") + offset)
    after = jpeg(clean, 88) if then == "JPEG" else levels(clean + noise(2, (200, 200)))
    fit = kf.learn(before, after)
    assert fit.verdict == "approximate"
    assert_weights(fit, weights, relative=0.04)


@pytest.mark.parametrize("scale", [1, 4])
def test_edges_of_either_sign_are_not_linear(scale):
    after = levels(np.abs(filtered(camera().astype(np.int64), SOBEL, (1, 1), "reflect")) / scale + noise(2))
    assert kf.learn(camera(), after).verdict == "not linear"
