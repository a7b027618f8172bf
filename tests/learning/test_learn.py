"""`learn` from its public face: sizes, shifts, excluded pixels, undetermined kernels, errors."""

from __future__ import annotations

import numpy as np
import pytest
from cases import colour_photograph, photograph
from PIL import Image, ImageFilter

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError, DtypeError, FileError

RANDOM = np.random.default_rng(7).normal(size=(3, 3))


def edges() -> np.ndarray:
    """Return the textbook's image: columns of ones and zeros."""
    image = np.ones((6, 8))
    image[:, 2:6] = 0
    return image


def sharpened(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.SHARPEN))


def test_the_textbook_pair_of_valid_size():
    fit = kf.learn(edges(), kf.corr2d(edges(), [[1, -1]]))
    assert fit.verdict == "exact"
    assert fit.size == (1, 2)
    np.testing.assert_allclose(fit.kernel.weights, [[1, -1]], atol=1e-12)
    assert fit.rank == 2
    assert fit.boundary is None
    assert fit.name == "difference"


def test_the_textbook_pair_cannot_tell_a_three_by_three_kernel():
    after = kf.correlate(edges(), [[1, -1]])
    fit = kf.learn(edges(), after, size=3)
    assert fit.verdict == "undetermined"
    assert fit.rank == 3
    assert fit.undetermined.shape == (6, 3, 3)
    np.testing.assert_allclose(fit.kernel.weights, np.tile([1 / 3, -1 / 3, 0], (3, 1)), atol=1e-9)
    assert np.isinf(fit.stderr).all()
    assert fit.name is None
    assert fit.integers is None
    assert "6 of 9 directions" in fit.notes[0]
    interior = kf.correlate(edges(), fit.undetermined[0], mode="valid")
    np.testing.assert_allclose(interior, 0, atol=1e-12)


def test_without_a_size_the_textbook_pair_is_not_answered_with_confidence():
    fit = kf.learn(edges(), kf.correlate(edges(), [[1, -1]]))
    assert fit.verdict == "undetermined"


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_a_constant_image_tells_nothing(dtype):
    image = np.full((40, 40), 7, dtype)
    fit = kf.learn(image, image)
    assert fit.verdict == "undetermined"
    assert fit.rank == 0
    assert not fit.kernel.weights.any()
    assert fit.offset == 7


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("value", [0, 7, 255])
@pytest.mark.parametrize("size", [None, 3])
def test_a_constant_after_tells_nothing(dtype, value, size):
    before = np.random.default_rng(0).integers(0, 256, (40, 50)).astype(dtype)
    fit = kf.learn(before, np.full((40, 50), value, dtype), size=size)
    assert fit.verdict == "undetermined"
    assert "a single value" in fit.explanation
    assert (fit.rank, fit.name, fit.integers) == (0, None, None)
    assert np.isinf(fit.stderr).all()
    assert np.linalg.matrix_rank(fit.undetermined.reshape(-1, fit.kernel.weights.size)) == fit.kernel.weights.size
    assert fit.offset == value


def test_channels_of_one_value_each_tell_nothing():
    before = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    after = np.broadcast_to(np.array([1, 2, 3], np.uint8), before.shape)
    fit = kf.learn(before, after)
    assert (fit.verdict, fit.offset) == ("undetermined", (1.0, 2.0, 3.0))


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
@pytest.mark.parametrize("kernel", [np.ones((3, 1)) / 3, np.array([[1.0, -1.0]]), np.ones((3, 3)) / 9])
def test_a_filter_across_what_does_not_change_is_not_answered_with_confidence(dtype, kernel):
    columns = np.tile(np.random.default_rng(0).integers(0, 255, 60), (50, 1)).astype(dtype)
    fit = kf.learn(columns, kf.correlate(columns, kernel, dtype=dtype))
    assert fit.verdict == "undetermined"
    assert fit.name is None


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (2, -3), (-7, 5), (11, 0), (-12, -13)])
def test_shifts_and_shifted_kernels_are_found(rows, columns):
    before = photograph("camera")
    after = np.roll(before, (rows, columns), (0, 1))
    fit = kf.learn(before, after)
    assert fit.verdict == "exact"
    assert (fit.name == "identity") if (rows, columns) == (0, 0) else (fit.name == "shift")
    if rows or columns:
        assert (fit.parameters["rows"], fit.parameters["columns"]) == (rows, columns)
        assert fit.boundary == "wrap"
    assert np.array_equal(fit.apply(before, boundary="wrap"), after)


def test_size_and_place_of_a_kernel_off_centre():
    before = photograph("astronaut").astype(np.float64)
    weights = np.random.default_rng(3).normal(size=(4, 6))
    after = kf.correlate(before, weights, origin=(-2, 2))
    fit = kf.learn(before, after)
    assert fit.size == (4, 6)
    assert fit.anchor == (0, 5)
    np.testing.assert_allclose(fit.kernel.weights, weights, atol=1e-12)
    assert fit.boundary == "reflect"


@pytest.mark.parametrize("size", [(9, 9), (21, 5), (1, 27)])
def test_large_kernels_are_found(size):
    before = photograph("flower").astype(np.float32)
    weights = np.random.default_rng(4).normal(size=size)
    fit = kf.learn(before, kf.correlate(before, weights, boundary="wrap", dtype="float64"))
    assert fit.size == size
    np.testing.assert_allclose(fit.kernel.weights, weights, atol=1e-6)
    assert fit.boundary == "wrap"


def test_both_readings():
    before = photograph("camera").astype(float)
    fit = kf.learn(before, kf.convolve(before, RANDOM), size=3)
    np.testing.assert_allclose(fit.kernel.flipped().weights, RANDOM, atol=1e-10)
    np.testing.assert_allclose(fit.kernel.weights, RANDOM[::-1, ::-1], atol=1e-10)


def test_standard_errors_are_those_of_the_noise():
    rng = np.random.default_rng(5)
    before = photograph("camera").astype(np.float64) / 255
    clean = kf.correlate(before, RANDOM)
    errors = []
    for _ in range(20):
        fit = kf.learn(before, clean + rng.normal(scale=0.02, size=clean.shape), size=3)
        assert fit.verdict == "approximate"
        assert fit.residual_sd == pytest.approx(0.02, rel=0.02)
        errors.append((fit.kernel.weights - RANDOM) / fit.stderr)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(1.0, abs=0.15)


def test_a_noisy_blur_keeps_its_size_and_name():
    before = photograph("camera").astype(np.float64)
    noise = np.random.default_rng(6).normal(scale=0.5, size=before.shape)
    fit = kf.learn(before, kf.correlate(before, kf.kernels.box(5)) + noise)
    assert fit.size == (5, 5)
    assert fit.name == "box"
    assert fit.verdict == "approximate"
    assert "as noise is" in fit.explanation


@pytest.mark.parametrize("where", ["before", "after", "both"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_are_left_out_exactly(where, value):
    before = photograph("camera").astype(np.float64)
    after = kf.correlate(before, RANDOM)
    rng = np.random.default_rng(8)
    if where != "after":
        before.flat[rng.choice(before.size, 300, replace=False)] = value
    if where != "before":
        after.flat[rng.choice(after.size, 300, replace=False)] = value
    fit = kf.learn(before, after)
    assert fit.verdict == "exact"
    assert fit.size == (3, 3)
    np.testing.assert_allclose(fit.kernel.weights, RANDOM, atol=1e-11)
    assert 250 < fit.excluded < 6000


def test_masked_pixels_are_left_out_exactly_however_bad():
    before = photograph("camera").astype(np.float64)
    after = kf.correlate(before, RANDOM, boundary="mirror")
    mask = np.ones(before.shape, bool)
    mask[100:180, 40:300] = False
    spoilt_before, spoilt_after = before.copy(), after.copy()
    spoilt_before[~mask] = 1e30
    spoilt_after[~mask] = -1e30
    fit = kf.learn(spoilt_before, spoilt_after, mask=mask)
    assert fit.verdict == "exact"
    np.testing.assert_allclose(fit.kernel.weights, RANDOM, atol=1e-11)
    assert fit.excluded == 82 * 262
    assert fit.boundary == "mirror"


def test_clipped_values_are_left_out():
    before = photograph("camera")
    weights = 3.0 * np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]) / 8
    after = kf.correlate(before, weights, dtype="uint8")
    clipped = np.mean((after == 0) | (after == 255))
    assert clipped > 0.4
    fit = kf.learn(before, after)
    assert fit.verdict == "exact"
    np.testing.assert_allclose(fit.kernel.weights, weights, atol=1e-12)
    plain = kf.learn(before, after, size=3, clip=None)
    assert np.abs(plain.kernel.weights - weights).max() > 0.3
    assert plain.verdict != "exact"


def test_clipping_at_other_ends_and_on_grids_of_floats():
    before = photograph("camera").astype(np.uint16) * 16
    after = np.minimum(kf.correlate(before, 2 * RANDOM, dtype="uint16"), 4095)
    fit = kf.learn(before, after, clip=(0, 4095))
    np.testing.assert_allclose(fit.kernel.weights, 2 * RANDOM, atol=1e-3)
    assert fit.verdict == "exact"
    sharp = sharpened(photograph("camera"))
    fit = kf.learn((photograph("camera") / 255).astype(np.float32), (sharp / 255).astype(np.float32))
    assert fit.verdict == "exact"
    assert fit.divisor == 8
    assert fit.excluded > 1000


def test_a_drawing_in_black_and_white_is_not_taken_for_clipped():
    before = np.where(np.random.default_rng(0).random((60, 60)) > 0.5, 255, 0).astype(np.uint8)
    fit = kf.learn(before, np.roll(before, 1, 1))
    assert fit.verdict == "exact"
    assert fit.parameters == {"rows": 0, "columns": 1}


def test_truncation_is_told_from_rounding():
    before = photograph("camera")
    blurred = kf.correlate(before, kf.kernels.box(3), dtype="float64")
    rounded = kf.learn(before, np.rint(blurred).astype(np.uint8))
    truncated = kf.learn(before, np.floor(blurred + 1e-9).astype(np.uint8))
    assert (rounded.rounding[:7], rounded.offset) == ("nearest", 0.0)
    assert (truncated.rounding, truncated.offset) == ("truncated", -0.5)
    assert rounded.verdict == truncated.verdict == "exact"
    assert np.array_equal(truncated.apply(before), np.floor(blurred + 1e-9).astype(np.uint8))


def test_channels_share_a_kernel_and_have_offsets_of_their_own():
    before = colour_photograph("china")
    planes = [np.asarray(Image.fromarray(before[..., c]).filter(ImageFilter.BLUR)) for c in range(3)]
    after = np.stack(planes, axis=2).astype(np.int16) + np.array([0, 10, -20], np.int16)
    fit = kf.learn(before, after)
    assert fit.verdict == "exact"
    assert fit.offset == (0.0, 10.0, -20.0)
    assert fit.divisor == 16
    assert not fit.notes
    assert len(fit.channels) == 3
    inside = slice(2, -2), slice(2, -2)
    np.testing.assert_array_equal(fit.apply(before.astype(np.int16))[inside], after[inside])


def test_channels_that_disagree_are_told():
    before = colour_photograph("flower").astype(float)
    after = np.stack([kf.correlate(before[..., c], RANDOM * (1 + 0.1 * c)) for c in range(3)], axis=2)
    fit = kf.learn(before, after, size=3, channels="shared")
    assert fit.verdict != "exact"
    assert "channels disagree" in fit.explanation


def test_every_instruction_set_finds_the_same(engine):
    before = np.tile(photograph("camera"), (2, 2))
    fit = kf.learn(before, sharpened(before))
    assert (fit.verdict, fit.size, fit.divisor, fit.boundary) == ("exact", (3, 3), 8, "copy")


@pytest.mark.parametrize(
    ("before", "after", "options", "error", "message"),
    [
        ((9, 9), (10, 9), {}, ArgumentError, "after: expected at most before's 9×9; received 10×9"),
        ((90, 90), (20, 90), {}, ArgumentError, "after: expected at most 62 rows and columns less"),
        (
            (9, 9, 3),
            (9, 9),
            {"channels": "shared"},
            ArgumentError,
            r"after: expected 3 channel\(s\) like before",
        ),
        ((9, 9, 7), (9, 9, 7), {}, ArgumentError, "before: expected .* up to 4 channels"),
        ((9, 9), (9, 9), {"size": 9}, DataError, "size: expected at least 82 positions"),
        ((9, 9), (9, 9), {"size": 0}, ArgumentError, "size: expected one or two integers from 1 to 255"),
        ((9, 9), (9, 9), {"size": 2.5}, ArgumentError, "size: expected one or two integers"),
        ((9, 9), (9, 9), {"size": (3, 3, 3)}, ArgumentError, "size: expected one or two integers"),
        ((9, 9), (7, 7), {"size": 5}, ArgumentError, "size: expected 3×3, as an after of 7×7"),
        ((9, 9), (9, 9), {"max_size": 0}, ArgumentError, "max_size: expected an integer from 1 to 255"),
        ((9, 9), (9, 9), {"mask": np.ones((3, 3), bool)}, ArgumentError, "mask: expected the shape of before"),
        ((9, 9), (9, 9), {"mask": np.ones((9, 9))}, DtypeError, "mask: expected bool"),
        ((9, 9), (9, 9), {"clip": (3, 1)}, ArgumentError, "clip: expected low < high"),
        ((9, 9), (9, 9), {"clip": "maybe"}, ArgumentError, 'clip: expected "auto"'),
        ((1, 1), (1, 1), {}, DataError, "before, after: expected at least"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(before, after, options, error, message):
    rng = np.random.default_rng(0)
    with pytest.raises(error, match=message) as caught:
        kf.learn(rng.random(before), rng.random(after), **options)
    assert "\n" not in str(caught.value)


def test_nothing_but_nan_is_refused():
    with pytest.raises(DataError, match="after: expected usable pixels; received only NaN"):
        kf.learn(np.ones((9, 9)), np.full((9, 9), np.nan))


def test_a_fit_prints_what_matters():
    text = str(kf.learn(photograph("camera"), sharpened(photograph("camera"))))
    for part in ("exact", "Pillow's SHARPEN", "over 8", "copy", "9 of 9", "cross-correlation", "16"):
        assert part in text


def test_masked_arrays_count_in_before_after_and_mask():
    before = photograph("camera").astype(np.float64)
    after = kf.correlate(before, RANDOM)
    hidden = np.zeros(before.shape, bool)
    hidden[60:90, 40:80] = True
    spoilt = np.where(hidden, 1e6, after)
    for pair, mask in (
        ((np.ma.array(np.where(hidden, -9999.0, before), mask=hidden), after), None),
        ((before, np.ma.array(spoilt, mask=hidden)), None),
        ((before, spoilt), np.ma.array(np.ones(before.shape, bool), mask=hidden)),
    ):
        fit = kf.learn(*pair, size=3, mask=mask)
        assert fit.verdict == "exact"
        np.testing.assert_allclose(fit.kernel.weights, RANDOM, atol=1e-11)
        assert fit.excluded >= 1200
    colour = np.stack([before] * 3, axis=2)
    filtered = np.ma.array(np.stack([after, spoilt, after], axis=2), mask=False)
    filtered[hidden, 1] = np.ma.masked
    fit = kf.learn(colour, filtered, size=3)
    assert (fit.verdict, fit.excluded) == ("exact", 1200)


def test_pillow_images_and_files_are_images(tmp_path):
    before = photograph("camera")
    pictures = Image.fromarray(before), Image.fromarray(sharpened(before))
    names = tmp_path / "a.png", str(tmp_path / "b.png")
    for picture, name in zip(pictures, names):
        picture.save(name)
    for pair in (pictures, names):
        assert kf.learn(*pair).name == "sharpen"
    palette = [picture.convert("RGB").convert("P") for picture in pictures]
    assert len(kf.learn(*palette, size=3).channels) == 3
    with pytest.raises(FileError, match="no such file"):
        kf.learn("missing.png", "b.png")


def test_a_channel_axis_of_none_takes_no_colour():
    with pytest.raises(ArgumentError, match=r"expected \(H, W\) with channel_axis=None"):
        kf.learn(np.ones((9, 9, 3)), np.ones((9, 9, 3)), channel_axis=None)
