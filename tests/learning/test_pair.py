"""The numbers of a pair as they are found: grids, units, markers, ends, and what is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning import pair as module
from kernelfield.learning.pair import Unit, find_ends, grid_step, in_unit, is_marker, possible_marker, prepare, unit_of
from kernelfield.learning.support import Support

pytestmark = pytest.mark.core


@pytest.mark.parametrize(
    ("levels", "last", "step"),
    [(64, 900, 4.0), (63, 900, 1.0), (16, 30, 4.0), (16, 32, 1.0), (16, 31, 4.0), (15, 15, 1.0)],
)
def test_the_step_of_integers_that_are_a_scale(levels, last, step):
    # Levels of multiples of 4: at least 64, or at least 16 and half of those between the ends.
    values = np.append(np.arange(levels - 1), last)
    assert grid_step((4 * values + 3).astype(np.int32)[None]) == step


@pytest.mark.parametrize("step", [1 / 255, 1 / 65535, 0.5, 3.0, 0.1, 7.3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("level", [0.0, 10.0])
def test_the_step_of_floats(step, dtype, level):
    rng = np.random.default_rng(0)
    whole = np.unique(rng.integers(0, 200, 400))
    found = grid_step((level * step + whole * step).astype(dtype)[None])
    assert found == pytest.approx(step, rel=1e-6 if dtype == "float32" else 1e-12)
    assert grid_step((whole * step + rng.random(whole.size) * step).astype(dtype)[None]) == 0.0
    assert grid_step(np.append(whole * step, np.nan).astype(dtype)[None]) == found or level
    assert grid_step((whole[:15] * step).astype(dtype)[None]) == 0.0


def test_common_steps():
    assert module._common_step(np.array([4.0, 6.0, 10.0]), 1e-9) == pytest.approx(2.0)
    assert module._common_step(np.array([4.0, 4.0 + 1e-10]), 1e-9) == 4.0
    assert module._common_step(np.array([3.9e-9, 1.0]), 1e-9) == 0.0
    assert module._common_step(np.array([1.0, np.pi]), 1e-2) == 0.0


@pytest.mark.parametrize(
    ("low", "high", "step", "unit"),
    [
        (0.0, 1.0, 0.0, Unit()),
        (56.0, 57.0, 0.0, Unit()),
        (57.0, 58.0, 0.0, Unit(57.5)),
        (70.0, 71.0, 0.0, Unit(70.5)),
        (-71.0, -70.0, 0.0, Unit(-70.5)),
        (70.0, 71.0, 0.04, Unit(70.48)),
        (0.0, 1e21, 0.0, Unit(0.0, 2.0**70)),
        (0.0, 0.9e20, 0.0, Unit()),
        (0.0, 1e-22, 0.0, Unit(0.0, 2.0**-73)),
        (0.0, 2e-20, 0.0, Unit()),
    ],
)
def test_units_of_floats(low, high, step, unit):
    image = np.linspace(low, high, 1001)[None]
    found = unit_of(image, step)
    assert found.centre == pytest.approx(unit.centre, abs=1e-9 * max(abs(high), 1e-30))
    assert found.scale == pytest.approx(unit.scale, rel=0.45)
    assert np.log2(found.scale) % 1.0 == 0.0
    back = in_unit(image, found) * found.scale + found.centre
    np.testing.assert_allclose(back, image, rtol=1e-12, atol=1e-300)
    assert unit_of((image * 0).astype(np.int64) + 10**9, 1.0) == Unit()
    assert unit_of(np.full((2, 2), np.nan), 0.0) == Unit()


@pytest.mark.parametrize(("end", "marked", "found"), [
    (-51.0, 5, True), (-49.0, 5, False), (-51.0, 4, False), (61.0, 5, True), (59.0, 5, False),
])  # fmt: skip
def test_what_marks_missing_pixels(end, marked, found):
    # The others are from 0 to 10: five ranges off, and five pixels.
    assert is_marker(end, marked, 0.0, 10.0) == found
    assert not is_marker(end, marked, 3.0, 3.0)


def test_ends_that_may_mark_missing_pixels():
    values = np.arange(16.0)
    assert possible_marker(-9999.0, 15.0, np.append(values, -9999.0)) == -9999.0
    assert possible_marker(0.0, 9999.0, np.append(values, 9999.0)) == 9999.0
    assert possible_marker(-9999.0, 15.0, np.append(values[1:], -9999.0)) is None
    # The middle is 7.5: five times as far to the one side as to the other.
    assert possible_marker(-30.5, 15.0, values) == -30.5
    assert possible_marker(-29.5, 15.0, values) is None
    assert possible_marker(0.0, 1.0, np.zeros(0)) is None


def pair_of(after: np.ndarray, **options):
    return prepare(np.random.default_rng(9).integers(0, 200, after.shape).astype(after.dtype), after, **options)


@pytest.mark.parametrize(("count", "piled"), [(9, True), (8, False)])
@pytest.mark.parametrize("side", [-1, 1])
def test_values_pile_up_at_an_end(count, piled, side):
    # 96 others, one of each level: within eight steps of the end there is one of each.
    after = np.tile(np.arange(40, 136), (2, 1)).astype(np.int16)
    after[1] = 88
    end = 135 if side > 0 else 40
    after[1, : count - 1] = end
    ends = pair_of(after).ends
    assert (ends.low, ends.high) == (40.0, 135.0)
    assert (ends.high_piled if side > 0 else ends.low_piled) == piled
    assert not (ends.low_piled if side > 0 else ends.high_piled)


@pytest.mark.parametrize(("count", "piled"), [(5, True), (4, False)])
def test_floats_without_a_grid_pile_up(count, piled):
    after = np.random.default_rng(0).random((20, 20))
    after.ravel()[:count] = 1.25
    after.ravel()[50:58] = -0.5
    ends = prepare(after[::-1], after).ends
    assert ends.low == -0.5
    assert ends.low_piled
    assert (ends.high, ends.high_piled) == ((1.25, True) if piled else (np.inf, False))


def test_ends_that_are_given_and_those_of_bytes():
    after = np.random.default_rng(0).integers(10, 250, (20, 20)).astype(np.uint8)
    after[3, 4], after[5, 6] = 255, 0
    found = pair_of(after)
    assert (found.ends.low, found.ends.high, found.ends.low_piled, found.ends.high_piled) == (0.0, 255.0, True, True)
    assert np.argwhere(found.planes[0].clipped).tolist() == [[3, 4], [5, 6]]
    assert pair_of(after, clip=None).ends is None
    given = pair_of(after, clip=(20, 200)).ends
    assert (given.low, given.high, given.low_piled, given.high_piled) == (20.0, 200.0, True, True)
    for clip in ((3, 3), (4, 3), "no", 5, (1, 2, 3)):
        with pytest.raises(ArgumentError, match="clip: expected"):
            pair_of(after, clip=clip)
    shifted = replace(found, after_unit=Unit(100.0, 2.0))
    assert (find_ends(shifted, after.dtype, (20, 200)).low, find_ends(shifted, after.dtype, (20, 200)).high) == (
        -40,
        50,
    )


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 1)])
def test_windows_that_hold_a_pixel_left_out(size):
    bad = np.random.default_rng(0).random((17, 19)) < 0.05
    expected = np.lib.stride_tricks.sliding_window_view(bad, size).any(axis=(2, 3))
    np.testing.assert_array_equal(module._any_in_window(bad, size), expected)


def test_pixels_of_both_that_are_left_out():
    before, after = np.random.default_rng(0).random((2, 12, 14))
    before[3, 4], after[7, 8] = np.nan, np.inf
    mask = np.ones((12, 14), bool)
    mask[0, 0] = False
    pair = prepare(before, after, mask, clip=None)
    support = Support(-1, 0, 2, 3)
    excluded = pair.planes[0].excluded(support)
    expected = np.zeros((12, 14), bool)
    expected[[0, 7], [0, 8]] = True
    for row, column in ((3, 4), (0, 0)):
        # Windows from a row above to the row itself, and from the column itself to the second right of it.
        expected[row : row + 2, max(0, column - 2) : column + 1] = True
    np.testing.assert_array_equal(excluded, expected[1:, :12])
    assert pair.planes[0].before[3, 4] == pair.planes[0].before_shift
    assert pair.planes[0].after[7, 8] == pair.planes[0].after_shift
    assert prepare(np.ones((4, 4)), np.ones((4, 4)), clip=None).planes[0].excluded(support) is None
    with pytest.raises(DataError, match="before: expected usable pixels"):
        prepare(np.full((4, 4), np.nan), np.ones((4, 4)), clip=None)


def test_variances_that_rounding_explains():
    rng = np.random.default_rng(0)
    before, after = rng.normal(3.0, 2.0, (30, 30)), rng.normal(-7.0, 1.0, (30, 30))
    pair = prepare(before, after, clip=None)
    spread = float(before.var())
    assert pair.spread(2.5) == pytest.approx(2.5 * spread)
    eps = 2.0**-53
    floor = (4.0 * eps) ** 2 * (10.0 / 5 + 2.5 * spread + pair.planes[0].after_shift ** 2 + 2.5 * before.mean() ** 2)
    assert pair.floor(10.0, 5, 2.5) == pytest.approx(floor)
    assert pair.exact_variance(10.0, 5, 2.5) == pytest.approx(1e-12 * (2.0 + 2.5 * spread))
    assert replace(pair, step=3.0).exact_variance(10.0, 5, 2.5) == pytest.approx(1.05 * 9.0 / 12.0)
    far = replace(pair, before_unit=Unit(1e9, 2.0), after_unit=Unit(-1e8, 4.0), epsilon=2.0**-24)
    level = (pair.planes[0].after_shift - 0.25e8) ** 2 + 2.5 * (before.mean() + 0.5e9) ** 2
    assert far.exact_variance(10.0, 5, 2.5) == pytest.approx((4.0 * 2.0**-24) ** 2 * (2.0 + 2.5 * spread + level))
    assert far.weight_unit == 2.0
    for scale in (1e-306, 1e306):
        with pytest.raises(DataError, match="quotient float64 holds"):
            _ = replace(pair, after_unit=Unit(0.0, scale)).weight_unit
    assert replace(pair, step=2.0, before_step=4.0).gain == 0.5
    assert replace(pair, step=0.0, before_step=4.0).gain == 1.0
    assert replace(pair, step=2.0, before_step=0.0).gain == 1.0


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_parts_without_an_excluded_position(monkeypatch, share):
    monkeypatch.setattr(module, "_CLEAR", 8)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(61, 72)), rng.normal(size=(60, 70))
    bad = np.zeros(y.shape, bool)
    bad[:, : round(70 * share)] = rng.random((60, round(70 * share))) < 0.5
    found = module._of_clear_parts(x, y, Support(0, 0, 2, 3), (0.5, -0.5), bad, 1 << 30)
    # Nothing that is left out is in the sums, and enough of the rest.
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 3))[~bad].reshape(-1, 6) - 0.5
    assert 240 < found.count <= len(windows)
    whole = windows.T @ windows
    assert found.gram[0, 0] == pytest.approx(whole[0, 0] * found.count / len(windows), rel=0.1)
    assert np.linalg.eigvalsh(whole - found.gram).min() > -1e-6


def test_few_positions_are_spread_over_the_picture():
    rng = np.random.default_rng(0)
    y = np.arange(3000.0).reshape(50, 60)
    x = rng.normal(size=(51, 62))
    good = np.ones(y.shape, bool)
    good[:, ::2] = False
    found = module._scattered(x, y, Support(0, 0, 2, 3), (0.0, 0.0), good, 100)
    assert found.count == 100
    # One in each of a hundred parts of the 1500.
    assert found.after_total == pytest.approx(y[good].sum() / 15, rel=0.02)
    assert module._scattered(x, y, Support(0, 0, 2, 3), (0.0, 0.0), good, 10_000).count == 1500


@pytest.mark.parametrize("share", [2, 4])
@pytest.mark.parametrize("holes", [False, True])
def test_sums_of_bands_stand_for_the_whole(share, holes):
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 400, 30))
    pair = prepare(before, after, clip=None)
    support = Support(-1, 0, 2, 3)
    bad = rng.random(after.shape) < 0.1
    plane = pair.planes[0].without(bad) if holes else pair.planes[0]
    pair = replace(pair, planes=(plane,))
    size = 399 * 28
    (found,) = pair.statistics(support, -(-size * 18 // share))
    height = 399 // (8 * share)
    windows = np.lib.stride_tricks.sliding_window_view(before, (2, 3)) - plane.before_shift
    rows = np.concatenate([start + np.arange(height) for start in np.linspace(0, 399 - height, 8).astype(int)])
    good = np.ones((rows.size, 28), bool) if not holes else ~bad[1:, :28][rows]
    chosen = windows[rows][good].reshape(-1, 6)
    assert found.count == good.sum()
    np.testing.assert_allclose(found.gram, chosen.T @ chosen, atol=1e-8)
    np.testing.assert_allclose(found.cross, (after[1:, :28][rows][good] - plane.after_shift) @ chosen, atol=1e-8)
    # All of them where that is cheap enough.
    assert pair.statistics(support, size * 18)[0].count == (size if not holes else (~bad[1:, :28]).sum())


def test_sums_that_are_known_are_updated():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 40, 41))
    pair = prepare(before, after, clip=None)
    support = Support(0, -1, 2, 3)
    windows = np.lib.stride_tricks.sliding_window_view(before, (2, 3)) - pair.planes[0].before_shift
    one, other = rng.random((2, 40, 41)) < 0.05
    for bad in (one, one | other, other, None, one):
        plane = pair.planes[0].without(bad)
        found = replace(pair, planes=(plane,)).statistics(support)[0]
        good = np.ones((39, 39), bool) if bad is None else ~bad[:39, 1:40]
        chosen = windows[good].reshape(-1, 6)
        assert found.count == good.sum()
        np.testing.assert_allclose(found.gram, chosen.T @ chosen, atol=1e-8)
    assert len(pair.planes[0].memory.sums) == 1
    for size in range(1, 7):
        pair.statistics(Support(0, 0, size, 1))
    assert len(pair.planes[0].memory.sums) == 4


def test_masks_of_which_some_are_none():
    one, other = np.array([True, True, False]), np.array([False, True, True])
    assert module._only(None, one) is None
    assert module._only(one, None).tolist() == [True, True, False]
    assert module._only(one, other).tolist() == [True, False, False]
    assert module._only(one, np.ones(3, bool)) is None
    assert module.number_of((None, one, other)) == 4
    assert module.both(None, one) is one
    assert module.both(other, one).tolist() == [False, True, False]


@pytest.mark.parametrize("shape", [(1, 1, 6, 7), (1, 6, 7, 1)])
def test_batches_of_one_and_masked_arrays_are_images(shape):
    values = np.arange(42.0).reshape(6, 7)
    found, good = module.as_image(values.reshape(shape), "before")
    np.testing.assert_array_equal(found, values)
    assert good is None
    masked = np.ma.masked_array(values, values % 5 == 0)
    found, good = module.as_image(masked.reshape(shape), "before")
    np.testing.assert_array_equal(good, values % 5 != 0)
    found, good = module.as_image(masked, "before")
    np.testing.assert_array_equal(good, values % 5 != 0)


def test_supports_of_tiles():
    pair = replace(prepare(np.eye(9), np.eye(9), clip=None), corner=(2, -3))
    assert pair.local(Support(1, 1, 2, 3)) == Support(3, -2, 2, 3)
    both = prepare(np.ones((2, 5, 6)), np.ones((2, 5, 6)), clip=None, channel_axis=0)
    assert len(both.planes) == 2
    assert both.moments(Support(0, 0, 1, 1)).offsets == 2
    assert both.moments(Support(0, 0, 1, 1)).count == 60


@pytest.mark.parametrize("step", [1 / 255, 1 / 65535, 2.0, 0.25])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_usual_steps_are_meant(step, dtype):
    whole = np.unique(np.random.default_rng(0).integers(0, 250, 400))
    assert grid_step((whole * step).astype(dtype)[None]) == step
    assert grid_step((whole * (step * 1.001)).astype(dtype)[None]) != step


def test_masks_of_the_before_or_of_a_smaller_after():
    before, after = np.random.default_rng(0).random((12, 14)), np.random.default_rng(1).random((10, 13))
    for shape in ((12, 14), (10, 13)):
        mask = np.ones(shape, bool)
        mask[4, 5] = False
        plane = prepare(before, after, mask, clip=None).planes[0]
        bad = plane.bad_before if shape == before.shape else plane.bad_after
        other = plane.bad_after if shape == before.shape else plane.bad_before
        assert np.argwhere(bad).tolist() == [[4, 5]]
        assert other is None
    # A masked element of a mask is no pixel to use.
    hidden = np.ma.masked_array(np.ones((12, 14), bool), np.zeros((12, 14), bool))
    hidden[2, 3] = np.ma.masked
    assert np.argwhere(prepare(before, before, hidden, clip=None).planes[0].bad_before).tolist() == [[2, 3]]


def test_rectangles_without_an_excluded_position_are_enough(monkeypatch):
    monkeypatch.setattr(module, "_CLEAR", 8)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(65, 74)), rng.normal(size=(64, 72))
    bad = np.zeros(y.shape, bool)
    bad[:, :8] = rng.random((64, 8)) < 0.5
    bad[8:16, 40] = True
    found = module._of_clear_parts(x, y, Support(0, 0, 2, 3), (0.5, -0.5), bad, 1)
    clear = np.ones(y.shape, bool)
    clear[:, :8] = False
    clear[8:16, 40:48] = False
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 3))[clear].reshape(-1, 6) - 0.5
    assert found.count == clear.sum()
    np.testing.assert_allclose(found.gram, windows.T @ windows, atol=1e-8)
    np.testing.assert_allclose(found.cross, windows.T @ (y[clear] + 0.5), atol=1e-8)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.79e308), (-1.79e308, 1.79e308), (-1e308, 1.0)])
def test_numbers_at_the_end_of_float64_have_a_unit(low, high):
    image = np.random.default_rng(0).uniform(low / 2.0, high / 2.0, (40, 40)) * 2.0
    assert grid_step(image) == 0.0
    unit = unit_of(image, 0.0)
    assert np.isfinite(unit.scale)
    assert np.abs(in_unit(image, unit)).max() <= 64.0


def test_steps_that_are_nearly_usual_are_none():
    whole = np.unique(np.random.default_rng(0).integers(0, 250, 400))
    near = (whole * (1.00002 / 255)).astype(np.float32)[None]
    assert grid_step(near) == pytest.approx(1.00002 / 255, rel=1e-6)
    assert grid_step(near) != 1 / 255


def test_missing_pixels_are_marked_beside_others_without_a_number():
    before = np.random.default_rng(0).uniform(0.0, 10.0, (20, 20))
    before[3, 4:10], before[:, 12] = -9999.0, np.nan
    pair = prepare(before, before, clip=None)
    assert pair.markers == (-9999.0, -9999.0)
    assert pair.planes[0].bad_before.sum() == 26


def test_the_floor_is_that_of_the_numbers_as_they_were():
    after = np.random.default_rng(0).normal(-7.0, 1.0, (30, 30))
    pair = replace(prepare(after, after, clip=None), after_unit=Unit(40.0, 4.0), before_unit=Unit(-12.0, 2.0))
    shift, mean = pair.planes[0].after_shift + 10.0, pair.planes[0].before_mean - 6.0
    expected = (4.0 * 2.0**-53) ** 2 * (2.0 + 3.0 * after.var() + shift**2 + 3.0 * mean**2)
    assert pair.floor(10.0, 5, 3.0) == pytest.approx(expected)
