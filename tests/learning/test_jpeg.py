"""JPEG's quantisation in the after: seen, and told from filters that are not linear."""

import cv2
import numpy as np
import pytest
from helpers.compression import jpeg as compressed
from hypothesis import given
from hypothesis import strategies as st
from scipy import fft
from scipy import ndimage as ndi
from skimage import data

import kernelfield as kf
from kernelfield.learning import jpeg
from kernelfield.learning.estimate import estimate_kernel
from kernelfield.learning.pair import Unit, prepare
from kernelfield.learning.residual import Map, residual_maps
from kernelfield.learning.support import Support, centred

FILTERS = {
    "box": lambda image: cv2.blur(image, (3, 3)),
    "gaussian": lambda image: cv2.GaussianBlur(image, (5, 5), 1.1),
    "median": lambda image: cv2.medianBlur(image, 3),
    "bilateral": lambda image: cv2.bilateralFilter(image, 7, 30, 3),
    "gamma": lambda image: np.uint8(255 * (image / 255) ** 0.8),
}
LINEAR = ("box", "gaussian")


def explained(before, after):
    pair, support = prepare(before, after, None, "auto", "auto").without_clipped(), centred((5, 5))
    estimate = estimate_kernel(pair, support)
    return jpeg.explains(pair, support, residual_maps(pair, estimate.kernel, estimate.offsets, support))


@given(st.tuples(st.integers(8, 40), st.integers(8, 40)), st.sampled_from([8, 16]), st.integers(0, 1000))
def test_blocks_are_those_without_an_excluded_pixel(shape, side, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, shape, np.uint8)
    bad = rng.random(shape) < rng.choice([0.0, 0.005, 0.05])
    row, column = rng.integers(0, 8, 2).tolist()
    inside = slice(row, None), slice(column, None)
    chosen = jpeg._usable([None, bad], shape, inside, side)
    corners = [(r, c) for r in range(row, shape[0] - side + 1, side) for c in range(column, shape[1] - side + 1, side)]
    expected = [image[r : r + side, c : c + side] for r, c in corners if not bad[r : r + side, c : c + side].any()]
    np.testing.assert_array_equal(jpeg._blocks(image[inside], chosen, side), np.array(expected).reshape(-1, side, side))


@pytest.mark.parametrize("quality", [75, 85, 92, 95])
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("photograph", ["camera", "coins"])
def test_quantisation_explains_linear_filters_alone(photograph, name, quality):
    before = getattr(data, photograph)()
    assert explained(before, compressed(FILTERS[name](before), quality)) == (name in LINEAR)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("photograph", ["camera", "coins", "brick"])
def test_pictures_that_were_not_compressed_have_no_table(photograph, name):
    before = getattr(data, photograph)()
    assert not explained(before, FILTERS[name](before))


@pytest.mark.parametrize("quality", [75, 85, 92])
def test_a_blur_of_a_picture_with_calm_parts_is_approximate(quality):
    fit = kf.learn(data.camera(), compressed(FILTERS["box"](data.camera()), quality))
    assert fit.verdict == "approximate"
    assert "JPEG" in fit.explanation + (fit.errors_note or "")


def test_colours_that_are_coded_coarsely_are_no_kernels_of_their_own():
    before = data.chelsea()[:300, :300]
    sharpened = cv2.filter2D(before, -1, np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32))
    fit = kf.learn(before, compressed(sharpened, 90))
    assert fit.verdict == "approximate"
    assert "channels disagree" not in fit.explanation
    assert "sharpen" in fit.description


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image * np.array([1.1, 1.0, 0.85]),
        lambda image: image + 0.4 * (image - (image @ np.array([0.299, 0.587, 0.114]))[..., None]),
        lambda image: np.dstack([image[..., 1], image[..., 1], image[..., 2]]),
    ],
    ids=["gains", "saturation", "a channel twice"],
)
def test_colours_that_were_changed_are_not_explained_by_their_coding(change):
    before = data.chelsea()[:300, :300]
    fit = kf.learn(before, compressed(np.clip(np.rint(change(before)), 0, 255).astype(np.uint8), 90))
    assert fit.model != "shared" or "channels" in fit.description + fit.explanation


@pytest.mark.parametrize("quality", [80, 90])
def test_quantisation_is_no_noise_in_the_before(quality):
    sharpened = cv2.filter2D(data.camera(), -1, np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32))
    fit = kf.learn(data.camera(), compressed(sharpened, quality))
    assert "noise in the before" not in str(fit)
    assert "JPEG" in fit.errors_note
    assert "nearest: sharpen" in fit.description


@pytest.mark.parametrize("quality", [90, 95])
def test_weights_around_a_kernel_by_compression_do_not_hide_its_nearest_relative(quality):
    fit = kf.learn(data.camera(), compressed(cv2.blur(data.camera(), (3, 3)), quality))
    assert "nearest: box 3×3" in fit.description


SHARPEN = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)


@pytest.mark.parametrize("corner", [(3, 5), (7, 2), (0, 1)])
@pytest.mark.parametrize("name", FILTERS)
def test_a_crop_of_a_jpeg_is_read_like_the_whole(name, corner):
    before = data.camera()[100:340, 100:340]
    after = compressed(FILTERS[name](before), 85)
    part = slice(corner[0], None), slice(corner[1], None)
    assert jpeg.corner(prepare(before[part], after[part])) == tuple(-n % 8 for n in corner)
    assert explained(before[part], after[part]) == (name in LINEAR)


def test_a_filter_is_learned_from_a_crop_of_a_jpeg():
    before = data.camera()[128:388, 128:388]
    after = compressed(cv2.blur(before, (3, 3)), 80)
    fit = kf.learn(before[3:-5, 5:-2], after[3:-5, 5:-2])
    assert fit.size == (3, 3)
    assert "JPEG" in fit.explanation
    assert "nearest: box 3×3" in fit.description


@pytest.mark.parametrize(("quality", "subsampling"), [(90, 2), (80, 2), (85, 1), (90, 0)])
def test_coarse_colours_are_no_mix_of_channels(quality, subsampling):
    before = data.astronaut()[:250, 150:400]
    after = compressed(cv2.filter2D(before, -1, SHARPEN), quality, subsampling=subsampling)
    fit = kf.learn(before, after)
    assert (fit.model, fit.verdict, fit.size) == ("shared", "approximate", (3, 3))
    assert np.linalg.norm(fit.kernel.weights - SHARPEN) < 0.07 * np.linalg.norm(SHARPEN)
    assert "nearest: sharpen" in fit.description
    assert fit.offset == (fit.offset[0],) * 3
    assert "learned from the brightness" in fit.explanation
    assert kf.correlate(before, fit.kernel.weights, channel_axis=2, dtype=float).shape == after.shape


def test_an_exact_filter_of_a_jpeg_is_exact_in_every_colour():
    before = compressed(data.astronaut()[:200, 150:350], 85)
    fit = kf.learn(before, np.roll(before, 1, axis=0))
    assert fit.verdict == "exact"
    assert "brightness" not in fit.explanation


# The parts by themselves.


def coefficients(blocks: np.ndarray) -> np.ndarray:
    return fft.dctn(blocks - 128.0, axes=(1, 2), norm="ortho")


def test_blocks_and_their_cosines():
    image = np.random.default_rng(0).integers(0, 256, (35, 26)).astype(float)
    blocks = jpeg._blocks(image, np.arange(12))
    assert blocks.shape == (12, 8, 8)
    np.testing.assert_array_equal(blocks[4], image[8:16, 8:16])
    np.testing.assert_allclose(jpeg._cosines(blocks), coefficients(blocks), atol=1e-9)
    np.testing.assert_array_equal(jpeg._blocks(image, np.array([1]), 16), [image[16:32, :16]])


def test_the_phase_on_lattices():
    values = 6.0 * np.array([-3.0, -1.0, 0.0, 1.0, 2.0]) + np.array([0.1, -0.2, 0.0, 0.3, 0.0])
    steps = np.array([2, 3, 5, 6, 13])
    phase, count = jpeg._phases(values, steps)
    for i, step in enumerate(steps):
        far = np.abs(values) > max(1.5, step / 2)
        assert count[i] == far.sum()
        assert phase[i] == pytest.approx(np.cos(2 * np.pi * values[far] / step).mean())


@pytest.mark.parametrize("step", [2, 3, 9, 40, 127])
def test_the_steps_of_a_table_are_found(step):
    rng = np.random.default_rng(0)
    table = np.full((8, 8), step)
    table[3:, 3:] = 10**6
    coded = np.rint(rng.normal(scale=3.0 * step, size=(400, 8, 8)) / table) * table
    coded += rng.normal(scale=1 / np.sqrt(12.0), size=coded.shape)
    found = jpeg._table(coded)
    # Of large steps the next has nearly the same phase.
    assert (np.abs(found[:3] - step) <= 0.03 * step).all()
    assert np.isnan(found[4:, 4:]).all()
    # No lattice, and too few blocks or frequencies.
    assert jpeg._table(rng.normal(scale=30.0, size=(400, 8, 8))) is None
    few = coded.copy()
    few[:, 1:] = 0.0
    few[:, 0, 5:] = 0.0
    assert jpeg._table(few) is None
    enough = coded.copy()
    enough[:, 1:] = 0.0
    enough[:, 0, 6:] = 0.0
    assert jpeg._table(enough) is not None


@pytest.mark.parametrize(("count", "known"), [(24, True), (23, False)])
def test_so_many_coefficients_tell_a_step(count, known):
    coded = np.zeros((100, 8, 8))
    coded[:count] = np.where(np.arange(count) % 2, 12.0, -24.0)[:, None, None]
    assert (jpeg._table(coded) is not None) == known


def test_shares_of_the_channels():
    grey = np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8)
    assert jpeg._shares(prepare(grey, grey)).tolist() == [1.0]
    assert jpeg._shares(prepare(np.dstack([grey] * 3), np.dstack([grey] * 3))).tolist() == [0.299, 0.587, 0.114]
    assert jpeg._shares(prepare(np.dstack([grey] * 2), np.dstack([grey] * 2), channel_axis=2)) is None
    assert jpeg._shares(prepare(grey, (4 * grey.astype(np.int16)))) is None


def test_blocks_with_pixels_that_do_not_count():
    bad = np.zeros((24, 32), bool)
    bad[9, 10] = True
    inside = (slice(None), slice(None))
    assert jpeg._usable([None, bad], bad.shape, inside).tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert jpeg._usable([None], bad.shape, (slice(8, None), slice(16, None))).tolist() == [0, 1, 2, 3]
    assert jpeg._usable([bad], bad.shape, (slice(2, None), slice(3, None))).tolist() == [1, 2, 3, 4, 5]


def test_many_blocks_are_sampled(monkeypatch):
    monkeypatch.setattr(jpeg, "_MOST", 5)
    inside = (slice(None), slice(None))
    assert jpeg._usable([None], (24, 32), inside).tolist() == [0, 3, 6, 9]
    assert jpeg._usable([None], (8, 40), inside).tolist() == [0, 1, 2, 3, 4]


STEP = 12.0


def quantised(seed: int = 0, side: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Return a grey picture of which all coefficients are whole steps, and these coefficients."""
    rough = ndi.gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 0.7)
    image = 128.0 + 22.0 * rough / rough.std()
    coded = np.rint(coefficients(in_blocks(image)) / STEP) * STEP
    return np.rint(whole_of(coded, side)).astype(np.uint8), coded


def in_blocks(image: np.ndarray) -> np.ndarray:
    n = image.shape[0] // 8
    return image.reshape(n, 8, n, 8).swapaxes(1, 2).reshape(-1, 8, 8)


def whole_of(coded: np.ndarray, side: int) -> np.ndarray:
    n = side // 8
    blocks = fft.idctn(coded, axes=(1, 2), norm="ortho") + 128.0
    return blocks.reshape(n, n, 8, 8).swapaxes(1, 2).reshape(side, side)


def maps_of(after: np.ndarray, predicted: np.ndarray) -> Map:
    return Map(predicted, after - predicted, np.zeros(after.shape), None)


ONE = Support(0, 0, 1, 1)


def test_the_basis_is_that_of_cosines():
    block = np.random.default_rng(0).normal(size=(8, 8))
    np.testing.assert_allclose(jpeg._basis() @ block.ravel(), fft.dctn(block, norm="ortho").ravel(), atol=1e-12)


@pytest.mark.parametrize(("share", "size", "found"), [
    (1.0, 0.95, True), (1.0, 1.05, False), (0.025, 3.0, True), (0.035, 3.0, False), (0.0, 0.0, True),
])  # fmt: skip
def test_predictions_within_half_a_step_are_explained(share, size, found):
    after, coded = quantised()
    pair = prepare(after, after)
    rng = np.random.default_rng(1)
    # Half a step, and three deviations of the rounding of two pictures.
    allowed = STEP / 2.0 + 3.0 * np.sqrt(2.0 / 12.0)
    exact = coefficients(in_blocks(after.astype(float)))
    tested = np.flatnonzero(np.abs(exact) > STEP / 2.0)
    off = np.zeros(coded.size)
    moved = tested if share == 1.0 else rng.choice(tested, round(share * tested.size), replace=False)
    off[moved] = size * allowed * rng.choice((-1.0, 1.0), moved.size)
    predicted = whole_of(exact + off.reshape(exact.shape), after.shape[0])
    if predicted.min() < 0.0 or predicted.max() > 255.0:
        pytest.fail("the prediction is clipped")
    assert jpeg.explains(pair, ONE, [maps_of(after, predicted)]) == found


@pytest.mark.parametrize("channel", [0, 2])
@pytest.mark.parametrize(("off", "found"), [(2.9, True), (-2.9, True), (3.1, False), (-3.1, False)])
def test_colours_may_be_off_by_the_half_of_a_step(channel, off, found):
    after, _ = quantised()
    pair = prepare(np.dstack([after] * 3), np.dstack([after] * 3))
    maps = [maps_of(after, after.astype(float)) for _ in range(3)]
    maps[channel] = maps_of(after, after + off)
    # Blue and red less the luminance, times 0.564 and 0.713, by 1.5.
    assert jpeg.explains(pair, ONE, maps) == found
    assert jpeg.explains(pair, ONE, maps, colours=False)


@pytest.mark.parametrize(("side", "found"), [(64, True), (56, False)])
def test_so_many_blocks_tell_a_table(side, found):
    after, _ = quantised(side=64)
    after = after[:side]
    assert jpeg.is_compressed(prepare(after, after)) == found
    assert jpeg.explains(prepare(after, after), ONE, [maps_of(after, after.astype(float))]) == found


def test_pictures_smaller_than_a_block_have_none():
    small = np.arange(49, dtype=np.uint8).reshape(7, 7)
    assert not jpeg.is_compressed(prepare(small, small))
    seen = jpeg._Seen([small], np.ones(1), Unit(), np.zeros((7, 7), bool))
    assert seen.blocks((0, 0), 5).shape == (0, 8, 8)
    assert seen.spots(5).shape == (0, 15, 15)


@pytest.mark.parametrize("corner", [(0, 0), (3, 6), (7, 1)])
def test_where_blocks_are_likely_to_begin(corner):
    after, _ = quantised()
    part = after[-corner[0] % 8 :, -corner[1] % 8 :]
    seen = jpeg._Seen([part], np.ones(1), Unit(), np.zeros(part.shape, bool))
    assert jpeg._likely_corner(seen) == corner
    spots = seen.spots(7)
    assert 4 <= len(spots) <= 7
    np.testing.assert_array_equal(spots[0], part[:15, :15])
    np.testing.assert_array_equal(seen.blocks(corner, 10**6)[0], part[corner[0] :, corner[1] :][:8, :8])
