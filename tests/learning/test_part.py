"""Large pairs, of which a part is searched and judged: what lies elsewhere is seen all the same."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph

import kernelfield as kf
from kernelfield.learning.pair import prepare
from kernelfield.learning.part import part_of

SIDE = 1500
BOX = np.ones((3, 3)) / 9


def large(side: int = SIDE) -> np.ndarray:
    """Return a picture of 8 bits so large that a part of it is searched, none of it clipped."""
    camera = photograph("camera")
    whole = np.pad(camera, [(0, side - n) for n in camera.shape], "symmetric")
    noise = np.random.default_rng(0).normal(scale=2.0, size=whole.shape)
    return np.clip(np.rint(0.7 * whole + 30.0 + noise), 0, 255).astype(np.uint8)


BEFORE = large()
BLURRED = kf.correlate(BEFORE, BOX, dtype="uint8")


def spread_places(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return places in all parts of the picture."""
    rng = np.random.default_rng(1)
    places = rng.integers(20, SIDE - 20, (2, count))
    return places[0], places[1]


def test_a_part_has_the_usual_detail_and_small_pairs_have_none():
    pair = prepare(BEFORE, BLURRED)
    part = part_of(pair)
    assert part is not None
    assert part.same_size
    assert 0.9 * 2**20 < part.planes[0].after.size <= 2**20
    assert part_of(prepare(BEFORE[:1000], BLURRED[:1000])) is None
    assert part_of(prepare(BEFORE, BLURRED[1:-1, 1:-1])) is None
    flat = np.full((3000, 1500), 7, np.uint8)
    flat[2000:] = BEFORE[:1000]
    found = part_of(prepare(flat, flat))
    assert found is not None
    assert found.planes[0].before.std() > 10


@pytest.mark.parametrize("count", [1, 7])
def test_a_few_outliers_in_a_large_exact_picture_are_counted(count):
    after = BLURRED.copy()
    after[spread_places(count)] = 0
    fit = kf.learn(BEFORE, after)
    assert (fit.verdict, fit.name, fit.outliers, fit.boundary) == ("exact", "box", count, "reflect")
    assert fit.left_out is not None
    assert fit.left_out[spread_places(count)].all()


def test_a_few_outliers_in_a_large_noisy_picture_are_counted_and_not_in_the_fit():
    rng = np.random.default_rng(2)
    before = BEFORE.astype(np.float32)
    after = kf.correlate(before, BOX) + rng.normal(scale=0.5, size=before.shape).astype(np.float32)
    after[spread_places(9)] += 1e3
    fit = kf.learn(before, after)
    assert (fit.size, fit.verdict, fit.outliers) == ((3, 3), "approximate", 9)
    # All pixels are in the fit; its errors are those of the part that was judged.
    assert fit.samples == (SIDE - 2) ** 2 - 9
    np.testing.assert_allclose(fit.kernel.weights, BOX, atol=4.0 * float(fit.stderr.max()))


def test_one_step_off_anywhere_is_not_exact():
    after = BLURRED.copy()
    after[spread_places(40)] += np.uint8(1)
    assert kf.learn(BEFORE, after, size=3).verdict == "approximate"


def test_a_picture_of_two_filters_is_not_called_exact():
    after = BLURRED.copy()
    after[: SIDE // 3] = BEFORE[: SIDE // 3]
    fit = kf.learn(BEFORE, after)
    assert fit.verdict != "exact"
    assert fit.residual_sd > 0.5


def test_real_weights_are_confirmed_on_all_pixels():
    gaussian = kf.kernels.gaussian(1.1)
    after = kf.correlate(BEFORE, gaussian, dtype="uint8")
    fit = kf.learn(BEFORE, after)
    assert (fit.verdict, fit.name) == ("exact", "gaussian")
    inner = slice(8, -8), slice(8, -8)
    # Producers may round what lies next to a half either way.
    assert np.mean(fit.apply(BEFORE)[inner] != after[inner]) < 1e-4
    after[12, 700] += np.uint8(60)
    fit = kf.learn(BEFORE, after)
    assert (fit.verdict, fit.outliers) == ("exact", 1)


def test_floats_are_exact_but_for_one_pixel():
    before = BEFORE / np.float64(3.0)
    after = kf.correlate(before, BOX)
    assert kf.learn(before, after).verdict == "exact"
    after[SIDE - 30, 25] += 1.0
    fit = kf.learn(before, after)
    assert (fit.verdict, fit.outliers) == ("exact", 1)


def test_clipped_highlights_and_noise_leave_no_bias_and_no_outliers():
    rng = np.random.default_rng(3)
    bright = np.clip(2.2 * BEFORE.astype(float) - 60.0, 0, 255).astype(np.uint8)
    blurred = kf.correlate(bright, [[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype="float64") / 16
    after = np.clip(np.rint(blurred + rng.normal(scale=2.0, size=blurred.shape)), 0, 255).astype(np.uint8)
    fit = kf.learn(bright, after)
    assert (fit.size, fit.name) == ((3, 3), "binomial")
    assert fit.outliers <= 3


def test_a_median_is_named_from_a_part():
    fit = kf.learn(BEFORE, ndi.median_filter(BEFORE, 3))
    assert fit.verdict == "not linear"
    assert "median of 3×3" in fit.explanation
    # Nothing but the residual is of all pixels, and the fit says so.
    assert fit.samples < 2**20
    assert any("the residual is that of all" in note for note in fit.notes)
    assert fit.boundary is None
    residual = ndi.median_filter(BEFORE, 3) - ndi.correlate(BEFORE.astype(float), fit.kernel.weights) - fit.offset
    inner = residual[8:-8, 8:-8]
    assert fit.residual_sd == pytest.approx(np.sqrt(np.mean(inner**2)), rel=0.02)
    assert fit.r2 == pytest.approx(1 - np.mean(inner**2) / BEFORE.var(), abs=0.02)


def test_a_median_of_a_part_alone_is_not_that_of_the_picture():
    # The part that is judged has the detail: elsewhere the picture is shuffled.
    after = ndi.median_filter(BEFORE, 3)
    part = part_of(prepare(BEFORE, after))
    assert part is not None
    inside = part.planes[0].after
    where = np.argwhere((after == inside[0, 0]) & (np.roll(after, -1, 1) == inside[0, 1]))
    top, left = next(
        (r, c) for r, c in where.tolist() if np.array_equal(after[r : r + len(inside), c : c + inside.shape[1]], inside)
    )
    other = np.random.default_rng(0).permuted(after)
    other[top : top + len(inside), left : left + inside.shape[1]] = inside
    fit = kf.learn(BEFORE, other)
    assert fit.verdict == "not linear"
    assert fit.samples > 2**20


def test_what_turns_the_whole_picture_is_seen():
    before = np.rint(ndi.zoom(photograph("camera").astype(float), 3, order=1)).astype(np.uint8)[:SIDE, :SIDE]
    fit = kf.learn(before, before[:, ::-1].copy())
    assert fit.verdict == "not linear"
    assert "mirrored" in fit.explanation
