"""Border rules told by pixels that NumPy's `pad` extends, beside what noise, weights and outliers leave in doubt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kernelfield.learning import boundary as module
from kernelfield.learning.boundary import BoundaryRule, find_boundary
from kernelfield.learning.pair import prepare
from kernelfield.learning.support import Support

pytestmark = pytest.mark.core

PAD = {"reflect": "symmetric", "mirror": "reflect", "nearest": "edge", "wrap": "wrap", "constant": "constant"}
KERNEL = np.random.default_rng(7).normal(size=(4, 6)) + 0.3
# Two rows above and one below, one column left and four right of the output pixel.
SUPPORT = Support(-2, -1, 4, 6)
ROOM = ((2, 1), (1, 4))
BEFORE = np.random.default_rng(8).normal(50.0, 9.0, size=(21, 26))
BORDER = np.ones(BEFORE.shape, bool)
BORDER[2:-1, 1:-4] = False
COUNT = int(BORDER.sum())


def filtered(rule: str, before: np.ndarray = BEFORE, kernel: np.ndarray = KERNEL, room=ROOM, cval: float = 0.0):
    more = {"constant_values": cval} if rule == "constant" else {}
    padded = np.pad(before.astype(float), room, mode=PAD[rule], **more)
    return np.einsum("ijab,ab->ij", np.lib.stride_tricks.sliding_window_view(padded, kernel.shape), kernel)


def found(after: np.ndarray, variance: float = 1e-6, before: np.ndarray = BEFORE, mask=None, **more) -> BoundaryRule:
    pair = prepare(before, after, mask, clip=None)
    return find_boundary(pair, KERNEL, SUPPORT, (0.0,), variance, **more)


@pytest.mark.parametrize("rule", ["reflect", "mirror", "nearest", "wrap"])
def test_each_rule_is_told(rule):
    seen = found(filtered(rule))
    assert (seen.name, seen.cval, seen.candidates) == (rule, 0.0, (rule,))
    assert seen.reason == "from the border pixels"


@pytest.mark.parametrize("value", [0.0, 3.0, -7.0, 17.013, 40.37])
def test_the_constant_is_told(value):
    seen = found(filtered("constant", cval=value))
    assert (seen.name, seen.candidates) == ("constant", ("constant",))
    assert seen.cval == pytest.approx(value, abs=1e-9)


def test_pixels_that_were_copied_and_weights_that_were_rescaled():
    inside = filtered("constant")
    copied = np.where(BORDER, BEFORE, inside)
    assert found(copied).name == "copy"
    ones = filtered("constant", np.ones(BEFORE.shape))
    seen = found(inside * KERNEL.sum() / ones)
    assert (seen.name, seen.cval) == ("renormalised", 0.0)


def test_no_rule_rescales_weights_that_have_no_sum():
    # Beyond the last column the weights that are left sum to 0.
    kernel = np.zeros((1, 3))
    kernel[0] = 1.0, -1.0, 2.0
    after = filtered("reflect", kernel=kernel, room=((0, 0), (1, 1)))
    seen = find_boundary(prepare(BEFORE, after, clip=None), kernel, Support(0, -1, 1, 3), (0.0,), 1e-6)
    assert "renormalised" not in seen.candidates
    # At a reach of one pixel both rules read the same.
    assert (seen.name, seen.candidates) == ("reflect", ("reflect", "nearest"))
    assert seen.reason == "from the border pixels; the same result with nearest"


@pytest.mark.parametrize(("factor", "name"), [(0.98, "wrap"), (1.02, None)])
@pytest.mark.parametrize("variance", [1e-2, 1.0])
def test_the_border_may_leave_twice_the_residual_and_chance(factor, name, variance):
    after = filtered("wrap")
    after[BORDER] += np.sqrt(factor * variance * (2.0 + 12.0 / np.sqrt(COUNT)))
    seen = found(after, variance)
    assert seen.name == name
    if name is None:
        assert seen == BoundaryRule(None, 0.0, (), "no known rule explains the border pixels")


@pytest.mark.parametrize(("error", "name"), [(1.02, "wrap"), (0.98, None)])
def test_errors_of_the_weights_are_multiplied_by_the_before(error, name):
    square = prepare(BEFORE, BEFORE, clip=None).planes[0].before_square
    after = filtered("wrap")
    after[BORDER] += 5.0
    needed = 25.0 / (2.0 + 12.0 / np.sqrt(COUNT)) - 1.0
    assert found(after, 1.0, error=error * needed / square).name == name


@pytest.mark.parametrize(("error", "name"), [(1.03, "constant"), (0.97, None)])
def test_errors_of_the_weights_are_multiplied_by_the_constant(error, name):
    after = filtered("constant", cval=200.0)
    # An error that no constant explains.
    signs = np.where(np.indices(after.shape).sum(axis=0) % 2, 5.0, -5.0)
    after[BORDER] += signs[BORDER]
    own = np.ones(after.shape) * KERNEL.sum() - filtered("constant", np.ones(after.shape))
    slope, miss = own[BORDER], signs[BORDER]
    left = float(miss @ miss - (slope @ miss) ** 2 / (slope @ slope))
    cval = 200.0 + float(slope @ miss) / float(slope @ slope)
    needed = left / (2.0 * COUNT + 12.0 * np.sqrt(COUNT)) - 1.0
    assert found(after, 1.0, error=error * needed / cval**2).name == name


@pytest.mark.parametrize(("factor", "alone"), [(1.05, True), (0.95, False)])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_rules_that_explain_the_border_as_well_are_candidates(factor, alone, noise):
    # Wrap and mirror differ by a small d everywhere: half of the sum of d² is between them, and the rest in common.
    about = np.zeros(BEFORE.shape)
    about[0, 3] += 1.0
    one, other = filtered("wrap", about), filtered("mirror", about)
    variance = 1e-4
    gap = float(((one - other)[BORDER] ** 2).sum())
    common = noise * variance * COUNT
    scale = np.sqrt(factor * (25.0 * variance + 0.02 * common) / gap)
    before = about * scale
    after = filtered("wrap", before)
    if noise:
        # Noise that is orthogonal to what tells the two apart.
        rng = np.random.default_rng(0)
        extra = rng.normal(size=COUNT)
        apart = (filtered("mirror", before) - after)[BORDER]
        extra -= apart * (apart @ extra) / (apart @ apart)
        after[BORDER] += extra * np.sqrt(common / (extra @ extra))
    seen = find_boundary(prepare(before, after, clip=None), KERNEL, SUPPORT, (0.0,), variance)
    assert ("mirror" in seen.candidates) != alone
    assert "wrap" in seen.candidates


def test_rules_that_cannot_be_told_apart_are_named():
    flat = np.full(BEFORE.shape, 30.0)
    seen = found(filtered("wrap", flat), before=flat)
    assert (seen.name, seen.cval) == (None, 0.0)
    assert set(seen.candidates) >= {"reflect", "nearest", "mirror", "wrap", "renormalised"}
    assert seen.reason.startswith("unknown: reflect, nearest, mirror, wrap, constant, renormalised explain the border")


def test_rules_that_differ_along_one_axis_are_not_the_same():
    before = np.tile(np.linspace(1.0, 9.0, 14)[:, None], (1, 30)) ** 2
    before[:, 12:16] += np.arange(4.0)
    kernel = np.arange(1.0, 6.0)[None]
    after = filtered("mirror", before, kernel, ((0, 0), (2, 2)))
    seen = find_boundary(prepare(before, after, clip=None), kernel, Support(0, -2, 1, 5), (0.0,), 1e-6)
    assert seen.name is None
    assert seen.candidates == ("reflect", "nearest", "mirror", "wrap", "renormalised")
    seen = find_boundary(prepare(before.T, after.T, clip=None), kernel.T, Support(-2, 0, 5, 1), (0.0,), 1e-6)
    assert seen.name is None


@pytest.mark.parametrize(("left", "usable"), [(1.1e-3, True), (0.9e-3, False)])
def test_weights_are_rescaled_where_enough_is_left(left, usable):
    # Beside the last column two weights are left, which sum to a share of the magnitudes.
    kernel = np.array([[1.0, -1.0, 2.0]])
    kernel[0, 1] += left * 4.0
    inside = filtered("constant", kernel=kernel, room=((0, 0), (1, 1)))
    held = filtered("constant", np.ones(BEFORE.shape), kernel, ((0, 0), (1, 1)))
    pair = prepare(BEFORE, inside * (kernel.sum() / held), clip=None)
    seen = find_boundary(pair, kernel, Support(0, -1, 1, 3), (0.0,), 1e-6)
    assert seen.name == ("renormalised" if usable else None)


@pytest.mark.parametrize(("factor", "name"), [(0.997, "mirror"), (1.003, None)])
def test_the_border_of_exact_pairs_may_leave_what_sums_round(factor, name):
    pair = prepare(BEFORE, filtered("mirror"), clip=None)
    allowed = 1e-12 * (pair.planes[0].before_square - pair.planes[0].before_mean ** 2)
    after = filtered("mirror")
    after[BORDER] += np.sqrt(factor * allowed * (2.0 + 12.0 / np.sqrt(COUNT)))
    assert found(after, 0.0).name == name


@pytest.mark.parametrize("which", ["before", "after", "mask"])
def test_what_reads_pixels_that_do_not_count_is_no_evidence(which):
    before, after, mask = BEFORE.copy(), filtered("mirror"), None
    if which == "before":
        before[1, 4] = np.nan
        before[-1, -2] = np.inf
    if which == "after":
        after[0, 5:9], after[7, 0] = np.nan, np.inf
    if which == "mask":
        mask = np.ones(after.shape, bool)
        mask[0, 3:9] = False
        after[0, 3:9] = 1e6
    assert found(after, before=before, mask=mask).name == "mirror"


def test_no_border_pixel_is_no_evidence():
    mask = ~BORDER
    seen = found(filtered("mirror"), mask=mask)
    assert seen == BoundaryRule(None, 0.0, (), "unknown: no border pixel is used")


def test_pairs_that_need_no_rule():
    smaller = find_boundary(prepare(BEFORE, BEFORE[1:, 2:], clip=None), KERNEL, SUPPORT, (0.0,), 1.0)
    assert (smaller.name, smaller.cval, smaller.candidates) == (None, 0.0, ())
    assert smaller.reason.startswith("not needed")
    point = find_boundary(prepare(BEFORE, BEFORE, clip=None), np.ones((1, 1)), Support(0, 0, 1, 1), (0.0,), 1.0)
    assert (point.name, point.cval, len(point.candidates)) == (None, 0.0, 5)
    assert "does not reach" in point.reason


def test_values_beyond_the_range_are_clipped_before_they_are_compared():
    before = np.round(BEFORE)
    kernel = np.rint(8.0 * KERNEL) / 8.0
    inner = filtered("mirror", before, kernel)
    low, high = np.percentile(inner, (20, 80))
    after = np.clip(inner, low, high)
    pair = prepare(before, after, clip=(float(low), float(high)))
    seen = find_boundary(pair, kernel, SUPPORT, (0.0,), 1e-6)
    assert seen.name == "mirror"
    constant = np.clip(filtered("constant", before, kernel, cval=61.5), low, high)
    pair = prepare(before, constant, clip=(float(low), float(high)))
    seen = find_boundary(pair, kernel, SUPPORT, (0.0,), 1e-6)
    assert (seen.name, seen.cval) == ("constant", pytest.approx(61.5))


def test_pixels_that_were_copied_are_not_clipped():
    after = np.where(BORDER, BEFORE, np.clip(filtered("mirror"), 45.0, 55.0))
    pair = prepare(BEFORE, after, clip=(45.0, 55.0))
    assert find_boundary(pair, KERNEL, SUPPORT, (0.0,), 1e-6).name == "copy"


def test_channels_have_offsets_and_one_rule():
    before = np.stack([BEFORE, BEFORE[::-1]])
    after = np.stack([filtered("nearest", before[0]) + 3.0, filtered("nearest", before[1]) - 8.0])
    pair = prepare(before, after, clip=None, channel_axis=0)
    assert find_boundary(pair, KERNEL, SUPPORT, (3.0, -8.0), 1e-6).name == "nearest"
    assert find_boundary(pair, KERNEL, SUPPORT, (3.0, 8.0), 1e-6).name is None
    # The errors of the weights are multiplied by the largest of the befores.
    scaled = prepare(before * np.array([1.0, 0.1])[:, None, None], after, clip=None, channel_axis=0)
    dim = replace(pair, planes=(pair.planes[0], scaled.planes[1]))
    off = np.stack([filtered("nearest", plane.before) for plane in dim.planes])
    off[:, BORDER] += 5.0
    dim = replace(dim, planes=tuple(replace(plane, after=one) for plane, one in zip(dim.planes, off)))
    needed = 25.0 / (2.0 + 12.0 / np.sqrt(2.0 * COUNT)) - 1.0
    error = needed / max(plane.before_square for plane in dim.planes)
    assert find_boundary(dim, KERNEL, SUPPORT, (0.0, 0.0), 1.0, 1.02 * error).name == "nearest"
    assert find_boundary(dim, KERNEL, SUPPORT, (0.0, 0.0), 1.0, 0.98 * error).name is None
    copied = np.where(BORDER, before, after)
    pair = prepare(before, copied, clip=None, channel_axis=0)
    assert find_boundary(pair, KERNEL, SUPPORT, (3.0, -8.0), 1e-6).name == "copy"


def test_several_images_may_make_the_after():
    other, second = BEFORE[::-1, ::-1].copy(), KERNEL[::-1] * 2.0
    after = filtered("wrap") + filtered("wrap", other, second)
    pair = prepare(BEFORE, after, clip=None)
    seen = find_boundary(pair, KERNEL, SUPPORT, (0.0,), 1e-6, parts=[[(BEFORE, KERNEL), (other, second)]])
    assert seen.name == "wrap"


@pytest.mark.parametrize("longest", [3, 5])
def test_part_of_a_long_border_is_enough(monkeypatch, longest):
    monkeypatch.setattr(module, "_LONGEST", longest)
    after = filtered("mirror")
    # What is beyond the part is not looked at.
    for beyond in (np.s_[:2, longest:], np.s_[2 + longest : -1, 0], np.s_[-1, longest:], np.s_[2 + longest : -1, -4:]):
        after[beyond] += np.random.default_rng(0).normal(scale=1e3, size=after[beyond].shape)
    assert found(after).name == "mirror"
    after[0, longest - 1] += 1e3
    assert found(after).name is None


@pytest.mark.parametrize(("off", "tidy"), [(0.9, True), (1.1, False)])
def test_a_constant_is_whole_where_that_explains_the_border_as_well(off, tidy):
    # A gap of 25 allowed variances, and 1 % of what is left.
    pair = replace(prepare(BEFORE, BEFORE, clip=None), step=2.0)
    slope = np.full(100, 3.0)
    miss = np.where(np.arange(100) % 2, 5.0, -5.0)
    allowed = 25.0 * pair.exact_variance(0.0, 1) * 1.01 + 0.01 * float(miss @ miss)
    distance = np.sqrt(off * allowed / float(slope @ slope))
    for nearest in (0.0, 6.0, -4.0):
        cval = nearest + distance
        assert module._tidy(cval, pair, cval * slope + miss, slope) == (nearest if tidy else cval)
    # Without a grid whole numbers are tried.
    bare = replace(pair, step=0.0)
    for cval, expected in ((3.0 + 1e-9, 3.0), (3.5 + 1e-9, 3.5 + 1e-9), (-5.0 - 1e-9, -5.0)):
        assert module._tidy(cval, bare, cval * slope + miss, slope) == expected
