"""Pairs that rounding reproduces, beside pairs that it nearly reproduces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage as ndi
from cases import photograph

import kernelfield as kf
from kernelfield.learning.exactness import (
    Span,
    _candidates,
    _rounding,
    _tightest_of_tile,
    centred_on_offset,
    confirm,
    corrected,
    find_whole,
    offset_within,
    outermost,
    outwards,
    reproduce,
    rounded_by,
    satisfied,
)
from kernelfield.learning.pair import Pair, prepare
from kernelfield.learning.support import Support

CAMERA = photograph("camera")[128:384, 128:384]
SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def rounded(total: np.ndarray, divisor: int, rule: str) -> np.ndarray:
    """Return the quotient in integers by a rounding rule."""
    down, left = total // divisor, total % divisor
    return {
        "nearest": lambda: (2 * total + divisor) // (2 * divisor),
        "nearest even": lambda: down + ((2 * left > divisor) | ((2 * left == divisor) & (down % 2 == 1))),
        "nearest away": lambda: np.sign(total) * ((2 * np.abs(total) + divisor) // (2 * divisor)),
        "nearest down": lambda: -((-2 * total + divisor) // (2 * divisor)),
        "truncated": lambda: down,
        "to zero": lambda: np.sign(total) * (np.abs(total) // divisor),
    }[rule]()


@pytest.mark.parametrize("offset", [0, 128])
@pytest.mark.parametrize("rule", ["nearest", "nearest even", "nearest away", "nearest down", "truncated", "to zero"])
def test_every_rule_is_told_and_applied(rule, offset):
    total = ndi.correlate(CAMERA.astype(np.int64), SOBEL, mode="mirror")
    after = (rounded(total, 4, rule) + offset).astype(np.int16)
    fit = kf.learn(CAMERA, after)
    assert (fit.verdict, fit.rounding, fit.boundary) == ("exact", rule, "mirror")
    np.testing.assert_array_equal(fit.integers * 4, SOBEL * fit.divisor)
    np.testing.assert_array_equal(fit.apply(CAMERA.astype(np.int16)), after)


def test_one_pixel_a_step_off_is_an_outlier_or_not_exact():
    after = kf.correlate(CAMERA, kf.kernels.gaussian(1.1), dtype="uint8")
    assert kf.learn(CAMERA, after).verdict == "exact"
    wrong = after.copy()
    rows, columns = np.random.default_rng(0).integers(20, 230, (2, 40))
    wrong[rows, columns] += np.uint8(1)
    assert kf.learn(CAMERA, wrong).verdict == "approximate"


def test_a_pasted_white_label_is_not_taken_for_clipped():
    after = kf.correlate(CAMERA, kf.kernels.box(3), dtype="uint8")
    after[100:120, 40:90] = 255
    fit = kf.learn(CAMERA, after)
    assert fit.name == "box"
    assert fit.outliers >= 900
    assert fit.left_out[110, 60]
    assert not fit.left_out[50, 60]


def test_few_levels_are_no_proof():
    mask = ndi.gaussian_filter(CAMERA.astype(float), 2) > 120
    fit = kf.learn(mask.astype(np.uint8), ndi.binary_dilation(mask).astype(np.uint8), max_size=7)
    assert fit.verdict != "exact"


@pytest.mark.parametrize("sigma", [0.8, 1.4])
def test_weights_that_are_no_fractions_reproduce_the_pixels(sigma):
    after = kf.correlate(CAMERA, kf.kernels.gaussian(sigma), dtype="uint8", boundary="nearest")
    fit = kf.learn(CAMERA, after)
    assert fit.verdict == "exact"
    # Border pixels are no constraints on the weights: a few lie within their error of a half.
    assert np.mean(fit.apply(CAMERA) != after) < 2e-4


# The parts by themselves, in pictures of some hundred pixels.

SMALL = np.random.default_rng(0).integers(20, 230, (26, 31))
WEIGHTS = np.array([[1, 3, 0], [2, -1, 4]])
SUPPORT = Support(0, -1, 2, 3)


def total_of(before: np.ndarray = SMALL, weights: np.ndarray = WEIGHTS) -> np.ndarray:
    """Return the sums where the windows lie inside, 0 elsewhere."""
    windows = np.lib.stride_tricks.sliding_window_view(before, weights.shape)
    total = np.zeros(before.shape, before.dtype)
    total[:-1, 1:-1] = np.einsum("ijab,ab->ij", windows, weights)
    return total


def pair_of(after: np.ndarray, **options) -> Pair:
    return prepare(SMALL.astype(np.int16), after, **{"clip": None, **options})


@pytest.mark.parametrize(
    ("low", "high", "offset", "rule"),
    [
        # Residuals of rounding to the nearest about a whole offset.
        (-0.5, 0.5, 0.0, "nearest"),
        (-0.5, 0.4, 0.0, "nearest"),
        (2.5, 3.5, 3.0, "nearest"),
        (-0.511, 0.49, -1e9, ""),
        (-0.509, 0.49, 0.0, "nearest"),
        # Of rounding down, about minus a half, and up.
        (-1.0, 0.0, -0.5, "truncated"),
        (-0.99, -0.1, -0.5, "truncated"),
        (4.0, 5.0, 4.5, "truncated"),
        (0.0, 1.0, 0.5, "up"),
        # Another offset is that in the middle.
        (-0.2, 0.8, 0.3, "truncated"),
        (-0.3, 0.7, 0.2, "nearest"),
        (-0.7, 0.3, -0.2, "nearest"),
        (-0.8, 0.2, -0.3, "truncated"),
        # More than a step, by more than two hundredths.
        (-0.5, 0.509, 0.0, "nearest"),
        (-0.5, 0.515, 0.0075, "nearest"),
        (-0.6, 0.415, -0.0925, "nearest"),
        (-0.6, 0.425, None, None),
    ],
)
@pytest.mark.parametrize("step", [1.0, 16.0, 1 / 255])
def test_the_offset_that_rounding_leaves(low, high, offset, rule, step):
    span = Span(low * step, high * step, np.inf, -np.inf)
    found = offset_within(span, step)
    if offset is None:
        assert found is None
    elif rule:
        assert found is not None
        assert found[0] == pytest.approx(offset * step, abs=1e-9 * step)
        assert found[1] == rule
    else:
        assert found[0] != 0.0


def test_values_at_the_ends_bound_the_offset_from_one_side():
    assert offset_within(Span(-0.5, 0.5, np.inf, 0.505), 1.0) == (0.0, "nearest")
    assert offset_within(Span(-0.2, 0.2, np.inf, 1.5), 1.0) is None
    assert offset_within(Span(-0.2, 0.2, -1.5, -np.inf), 1.0) is None
    assert offset_within(Span(-0.4, 0.0, -1.0, -np.inf), 1.0) == (-0.5, "truncated")
    assert offset_within(Span(0.0, 0.4, np.inf, 1.0), 1.0) == (0.5, "up")


def near(kernel, error=1e-6):
    return [(integers.tolist(), divisor) for integers, divisor in _candidates(np.array(kernel), error)]


def test_candidates_have_small_divisors_first_and_no_common_factor():
    found = near([[0.25, 0.5, 0.25]])
    assert found[0] == ([[1, 2, 1]], 4)
    # Errors of a sixth allow distances of a tenth, at most.
    wide = near([[0.26, 0.48, 0.26]], 1.0)
    assert wide[0] == ([[1, 2, 1]], 4)
    assert ([[2, 4, 2]], 8) not in wide
    assert near([[0.276, 0.448, 0.276]], 1.0)[0][1] != 4
    assert near([[0.25, 0.5, 0.25 + 1.4e-4]])[0] == ([[1, 2, 1]], 4)
    assert ([[1, 2, 1]], 4) not in near([[0.25, 0.5, 0.25 + 1.6e-4]])
    assert near([[1 / 1003, 1.0]], 1e-9)[0] == ([[1, 1003]], 1003)
    assert near([[1 / 257, 1.0]], 1e-9) == []
    for divisor in (256, 273, 289, 320, 331, 361, 441, 512, 529, 625, 729, 841, 961, 1000, 1003, 1024):
        assert ([[1, divisor]], divisor) in near([[1 / divisor, 1.0]], 1e-9)


@pytest.mark.parametrize("count", [300, 77 * 77])
def test_means_over_many_pixels_have_their_number_as_divisor(count):
    weights = np.zeros(6000)
    weights[:count] = 1.0 / count
    weights = weights.reshape(60, 100)
    assert near(weights, 1e-12)[0] == (np.rint(weights * count).astype(int).tolist(), count)


def test_products_of_whole_columns_and_rows():
    column, row = np.array([1, 3, 508]), np.array([40, 5, 257])
    kernel = np.outer(column, row) / 512**2
    found = near(kernel, 1e-9)
    assert (np.outer(column, row).tolist(), 512**2) in found
    for divisor in (7, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536):
        line = np.array([1, divisor - 1])
        assert (np.outer(line, line).tolist(), divisor**2) in near(np.outer(line, line) / divisor**2, 1e-12)
    # A fifth of a unit beside whole numbers is near enough to be tried.
    for off, tried in ((0.17, True), (0.23, False)):
        beside = np.outer(column, row + np.array([0.0, off, 0.0])) / 512**2
        assert ((np.outer(column, row).tolist(), 512**2) in near(beside, 1e-9)) == tried
    # The sum has to be a gain.
    for total, tried in ((0.12, True), (0.08, False), (-0.12, True), (-0.08, False)):
        part = np.outer([1, 511], [1, round(512 * total) - 1])
        assert ((part.tolist(), 512**2) in near(part / 512**2, 1e-12)) == tried
    mixed = kernel.copy()
    mixed[0, 0] += 0.1 * kernel.max()
    assert near(mixed, 1e-9) == []
    assert near(kernel[2:], 1e-9) == []


ROUNDINGS = {
    "nearest": lambda values: np.floor(values + 0.5),
    "nearest even": np.rint,
    "nearest away": lambda values: np.sign(values) * np.floor(np.abs(values) + 0.5),
    "nearest down": lambda values: np.ceil(values - 0.5),
    "truncated": np.floor,
    "up": np.ceil,
}


@pytest.mark.parametrize("rule", ROUNDINGS)
@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_weights_that_are_known_have_a_rule_and_an_offset(rule, offset):
    before = (SMALL - 125).astype(np.int16)
    after = (ROUNDINGS[rule](total_of(before.astype(int)) / 8) + offset).astype(np.int16)
    pair = prepare(before, after, clip=None)
    found = rounded_by(pair, WEIGHTS / 8, SUPPORT)
    assert found is not None
    # Half a step above 5 may be rounding up, or down from a half: it is called the latter.
    expected = "truncated" if (rule, offset) == ("up", 5.0) else rule
    assert found.rounding == expected
    half = {"truncated": -0.5, "up": 0.5}.get(rule, 0.0)
    assert found.offsets == (offset + half,)
    assert rounded_by(pair, WEIGHTS / 8 + 0.01, SUPPORT) is None
    whole = find_whole(pair, WEIGHTS / 8 + 1e-7, np.full((2, 3), 1e-6), SUPPORT)
    assert (whole.integers.tolist(), whole.divisor, whole.rounding) == (WEIGHTS.tolist(), 8, expected)
    assert find_whole(pair, WEIGHTS / 8 + 0.05, np.full((2, 3), 1e-6), SUPPORT) is None
    assert confirm(pair, whole, SUPPORT).offsets == found.offsets


def test_rounding_to_zero_has_a_rule_of_its_own():
    before = (SMALL - 125).astype(np.int16)
    about = total_of(before.astype(int))
    after = (np.sign(about) * (np.abs(about) // 8)).astype(np.int16)
    pair = prepare(before, after, clip=None)
    shifted = outwards(pair)
    assert rounded_by(pair, WEIGHTS / 8, SUPPORT) is None
    found = rounded_by(pair, WEIGHTS / 8, SUPPORT, to_zero=True)
    assert (found.rounding, found.offsets) == ("to zero", (0.0,))
    whole = find_whole(pair, WEIGHTS / 8 + 1e-7, np.full((2, 3), 1e-6), SUPPORT, to_zero=True)
    assert (whole.integers.tolist(), whole.rounding) == (WEIGHTS.tolist(), "to zero")
    raised = prepare(before, after + 40, clip=None)
    moved = confirm(raised, replace(whole, offsets=(40.0,)), SUPPORT)
    assert (moved.rounding, moved.offsets) == ("to zero", (40.0,))
    low, high = np.percentile(after[:-1, 1:-1], (10, 90)).astype(int).tolist()
    clipped = prepare(before, after.clip(low, high), clip=(low, high))
    assert rounded_by(clipped, WEIGHTS / 8, SUPPORT, to_zero=True).offsets == (0.0,)
    # A 0 that stands for more than a step, and any pixel a step off.
    inside = np.argwhere(np.pad(np.abs(about[:-1, 1:-1]), ((0, 1), (1, 1))) >= 8)
    up, down = next(p for p in inside if about[tuple(p)] > 16), next(p for p in inside if about[tuple(p)] < -16)
    for place, value in ((up, 0), (down, 0), (up, after[tuple(up)] + 1), (down, after[tuple(down)] - 1)):
        wrong = after.copy()
        wrong[tuple(place)] = value
        assert rounded_by(prepare(before, wrong, clip=None), WEIGHTS / 8, SUPPORT, to_zero=True) is None
    np.testing.assert_array_equal(shifted.planes[0].after, after + 0.5 * np.sign(after))
    np.testing.assert_array_equal(shifted.planes[0].bad_after, after == 0)


def test_every_channel_has_to_be_reproduced():
    good = np.floor(total_of() / 8 + 0.5).astype(np.int16)
    before = np.stack([SMALL, SMALL]).astype(np.int16)
    for second, reproduced in ((good + 7, True), (good[:, ::-1], False)):
        pair = prepare(before, np.stack([good, second]), clip=None, channel_axis=0)
        found = rounded_by(pair, WEIGHTS / 8, SUPPORT)
        assert (found is not None) == reproduced
        if found is not None:
            assert found.offsets == (0.0, 7.0)


@pytest.mark.parametrize(
    ("offsets", "rule"),
    [
        ((0.3,), "truncated"),
        ((0.2,), "nearest"),
        ((0.7,), "truncated"),
        ((0.8,), "nearest"),
        ((-0.5, 3.5), "truncated"),
        ((-0.5, 3.1), "nearest"),
        ((0.0,), "nearest"),
    ],
)
@pytest.mark.parametrize("step", [1.0, 4.0])
def test_offsets_half_a_step_off_are_those_of_rounding_down(offsets, rule, step):
    assert _rounding(tuple(offset * step for offset in offsets), step) == rule


@pytest.mark.parametrize("value", [3, -3])
def test_one_pixel_off_refuses_the_weights(value):
    after = np.floor(total_of() / 8 + 0.5).astype(np.int16)
    after[13, 9] += value
    assert rounded_by(pair_of(after), WEIGHTS / 8, SUPPORT) is None
    mask = np.ones(after.shape, bool)
    mask[13, 9] = False
    assert rounded_by(pair_of(after, mask=mask), WEIGHTS / 8, SUPPORT) is not None


@pytest.mark.parametrize(("low", "high"), [(90, 220), (100, 200)])
def test_clipped_values_are_bounds(low, high):
    after = np.floor(total_of() / 8 + 0.5).clip(low, high).astype(np.int16)
    pair = pair_of(after, clip=(low, high))
    found = rounded_by(pair, WEIGHTS / 8, SUPPORT)
    assert (found.offsets, found.rounding) == ((0.0,), "nearest")
    assert rounded_by(replace(pair, ends=None), WEIGHTS / 8, SUPPORT) is None
    # A value at an end that the sum does not reach is refused.
    for end, place in ((high, np.unravel_index(total_of()[1:-1, 1:-1].argmin(), (24, 29))), (low, (5, 5))):
        wrong = after.copy()
        row, column = place[0] + 1, place[1] + 1
        if end == low:
            row, column = np.unravel_index(total_of()[:-1, 1:-1].argmax(), (25, 29))
            column = column + 1
        wrong[row, column] = end
        assert rounded_by(pair_of(wrong, clip=(low, high)), WEIGHTS / 8, SUPPORT) is None


@pytest.mark.parametrize("most", [4, 7, 100])
def test_the_outermost_of_both_signs(most):
    rng = np.random.default_rng(0)
    residual = rng.normal(size=(9, 8)) + 0.5
    excess = np.abs(residual) - 0.5
    found = outermost(excess, residual, most)
    share = min(72, most) // 2
    flat = residual.ravel()
    expected = [*np.argsort(-flat)[:share], *np.argsort(flat)[:share]]
    if share <= min((flat > 0).sum(), (flat < 0).sum()):
        assert sorted(found.tolist()) == sorted(expected)
    assert len(found) == 2 * share
    assert outermost(excess[:1, :1], residual[:1, :1], 9).tolist() == [0, 0]


def test_points_move_to_where_bounds_are_satisfied():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 4))
    truth = rng.normal(size=4)
    value = rows @ truth
    bounds = np.stack([value - 0.5, value + 0.5], axis=1)
    bounds[:9, 0], bounds[9:18, 1] = -np.inf, np.inf
    found = satisfied(truth + rng.normal(scale=0.5, size=4), rows, bounds, np.eye(4), 1.0)
    miss = np.clip(rows @ found, *bounds.T) - rows @ found
    assert np.abs(miss).max() < 0.5e-4
    # Points that satisfy them stay.
    np.testing.assert_array_equal(satisfied(truth, rows, bounds, np.eye(4), 1.0), truth)
    # Where none does, what is missed is no more than at the first.
    narrow = np.stack([value - 0.5, value + 0.5], axis=1) + np.where(np.arange(60) % 2, 2.0, -2.0)[:, None]
    start = truth + 1.0
    ended = satisfied(start, rows, narrow, np.eye(4), 1.0)

    def cost(point):
        return float(((np.clip(rows @ point, *narrow.T) - rows @ point) ** 2).sum())

    assert cost(ended) < cost(start)


@pytest.mark.parametrize("clip", [None, (95, 215)])
def test_weights_that_are_no_fractions_are_moved_until_they_reproduce_the_pixels(clip):
    weights = np.random.default_rng(5).normal(0.2, 0.3, size=(2, 3))
    exact = np.zeros(SMALL.shape)
    exact[:-1, 1:-1] = total_of(SMALL.astype(float), weights)[:-1, 1:-1]
    after = np.floor(exact + 0.5)
    if clip:
        clip = tuple(np.percentile(after[:-1, 1:-1], (10, 90)))
        after = after.clip(*clip)
    pair = prepare(SMALL.astype(np.int16), after.astype(np.int16), None, clip)
    statistics = pair.without_clipped().statistics(SUPPORT)
    gram = statistics[0].centred()[0]
    start = weights + np.random.default_rng(1).normal(scale=2e-4, size=(2, 3))
    found = reproduce(pair, start, statistics, gram, SUPPORT)
    assert found is not None
    left = after - total_of(SMALL.astype(float), found.kernel) - found.offsets[0]
    inner = left[:-1, 1:-1]
    if clip:
        inner = np.where(after[:-1, 1:-1] <= clip[0], np.maximum(inner, 0.0), inner)
        inner = np.where(after[:-1, 1:-1] >= clip[1], np.minimum(inner, 0.0), inner)
    assert np.abs(inner).max() <= 0.5 + 1e-4 or clip
    assert (found.integers, found.divisor, found.rounding) == (None, None, "nearest")
    assert confirm(pair, found, SUPPORT) is found
    for by in (1, -1):
        off = after.copy()
        inner = (after > clip[0]) & (after < clip[1]) if clip else np.ones(after.shape, bool)
        row, column = next(p for p in np.argwhere(inner) if 3 < p[0] < 20 and 3 < p[1] < 25)
        off[row, column] += by
        assert confirm(prepare(SMALL.astype(np.int16), off.astype(np.int16), None, clip), found, SUPPORT) is None
        mask = np.ones(after.shape, bool)
        mask[row, column] = False
        assert confirm(prepare(SMALL.astype(np.int16), off.astype(np.int16), mask, clip), found, SUPPORT) is found
    assert confirm(replace(pair, ends=None), found, SUPPORT) is (None if clip else found)
    wrong = after.copy()
    wrong[10, 10] += 5
    assert (
        reproduce(prepare(SMALL.astype(np.int16), wrong.astype(np.int16), None, clip), start, statistics, gram, SUPPORT)
        is None
    )


def test_the_sum_of_rounding_errors_is_taken_from_the_fit():
    weights = np.array([[0.3, 0.2, 0.1], [0.1, 0.2, 0.1]])
    after = np.zeros(SMALL.shape)
    after[:-1, 1:-1] = np.rint(total_of(SMALL // 16.0, weights)[:-1, 1:-1])
    pair = prepare((SMALL // 16).astype(np.int16), after.astype(np.int16), clip=None)
    statistics = pair.statistics(SUPPORT)
    inverse = np.linalg.inv(statistics[0].centred()[0])
    fit = (inverse @ statistics[0].centred()[1]).reshape(2, 3)
    better = corrected(pair, fit, statistics, inverse, SUPPORT, rounds=1)
    # By the definition: the fit less that of the rounding errors of its own prediction.
    windows = np.lib.stride_tricks.sliding_window_view((SMALL // 16).astype(float), (2, 3)).reshape(-1, 6)
    predicted = windows @ fit.ravel() + statistics[0].offset(fit)
    errors = np.rint(predicted) - predicted
    about = windows - windows.mean(axis=0)
    expected = fit.ravel() - np.linalg.lstsq(about, errors - errors.mean(), rcond=None)[0]
    np.testing.assert_allclose(better.ravel(), expected, atol=1e-9)
    twice = corrected(pair, fit, statistics, inverse, SUPPORT)
    again = windows @ better.ravel() + statistics[0].offset(better)
    errors = np.rint(again) - again
    expected = fit.ravel() - np.linalg.lstsq(about, errors - errors.mean(), rcond=None)[0]
    np.testing.assert_allclose(twice.ravel(), expected, atol=1e-9)


@pytest.mark.parametrize(("offset", "zero"), [(100.2, 100.0), (99.6, 100.0), (0.4, 0.0)])
def test_afters_about_a_whole_offset(offset, zero):
    after = (SMALL - 50).astype(np.int16)
    pair = pair_of(after, clip=(-40, 150))
    moved = centred_on_offset(pair, (offset,))
    np.testing.assert_array_equal(moved.planes[0].after, after - zero)
    assert moved.planes[0].after_shift == pair.planes[0].after_shift - zero
    assert (moved.ends.low, moved.ends.high) == (-40 - zero, 150 - zero)
    assert centred_on_offset(pair, (float(after.min()),)) is None
    assert centred_on_offset(pair, (float(after.max()),)) is None
    assert centred_on_offset(pair, (float(after.max()) - 1.0,)) is not None


@pytest.mark.parametrize("rule", ["nearest", "nearest even", "nearest away", "nearest down"])
@pytest.mark.parametrize("step", [2, 4])
def test_halves_on_a_grid_of_other_steps(rule, step):
    before = (SMALL - 125).astype(np.int16)
    after = (step * (ROUNDINGS[rule](total_of(before.astype(int)) / 8) + 3.0)).astype(np.int16)
    pair = prepare(before, after, clip=None)
    assert pair.step == step
    found = rounded_by(pair, step * WEIGHTS / 8, SUPPORT)
    assert (found.rounding, found.offsets) == (rule, (3.0 * step,))


def test_whole_numbers_are_those_of_pixels_in_steps():
    before = (4 * SMALL).astype(np.int16)
    after = np.rint(total_of(before.astype(int)) / 32).astype(np.int16)
    pair = prepare(before, after, clip=None)
    assert pair.gain == 0.25
    found = find_whole(pair, WEIGHTS / 32 + 1e-8, np.full((2, 3), 1e-7), SUPPORT)
    assert (found.integers.tolist(), found.divisor) == (WEIGHTS.tolist(), 8)
    np.testing.assert_allclose(found.kernel, WEIGHTS / 32)


def test_values_at_the_ends_alone_prove_nothing():
    after = np.where(total_of() > 1000, 255, 0).astype(np.uint8)
    assert rounded_by(prepare(SMALL.astype(np.uint8), after), WEIGHTS / 8, SUPPORT) is None


def test_pixels_that_do_not_count_are_no_constraints():
    after = np.rint(total_of() / 8).astype(float)
    good = np.ones(SMALL.shape, bool)
    good[3:6, 10:20] = False
    pair = prepare(SMALL.astype(np.int16), np.where(good, after, 1e3).astype(np.int16), good, clip=None)
    sums = _tightest_of_tile(pair, WEIGHTS / 8, np.zeros(1), SUPPORT, np.zeros((1, 6)), SMALL.size)
    excluded = pair.planes[0].excluded(SUPPORT)
    assert sums.added[1] == excluded.size - excluded.sum()
    assert sums.added[0] == 0
    assert float(sums.largest[0]) <= 1e-9
