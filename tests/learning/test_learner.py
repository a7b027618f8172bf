"""Parts of the fit of a pair by themselves: what is written down of kernels, errors and frames."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from kernelfield.errors import ArgumentError
from kernelfield.learning import learner
from kernelfield.learning.alternatives import Signs
from kernelfield.learning.estimate import estimate_kernel
from kernelfield.learning.fit import designed
from kernelfield.learning.learner import _Answer, check_noise, chi_square
from kernelfield.learning.naming import Name
from kernelfield.learning.pair import few_moments, prepare
from kernelfield.learning.support import Support
from kernelfield.learning.support_search import Found
from kernelfield.learning.uncertainty import Uncertainty

pytestmark = pytest.mark.core
RNG = np.random.default_rng(0)
NOISE = Signs(0.0, 1.0, 0.0, None)


def errors_of(**changes) -> Uncertainty:
    none = Uncertainty(np.ones((1, 1)), np.ones((1, 1)), (0.0,), 1.0, False, 0.0, False, 0.0, 0.0)
    return dataclasses.replace(none, **changes)


@pytest.mark.parametrize("noise", [(0, 0.5), [2.0, 0.0], (0.0, 0.0), np.array([1.0, 9e149])])
def test_noise_is_two_numbers(noise):
    assert check_noise(noise) == tuple(float(value) for value in noise)
    assert check_noise(None) is None


@pytest.mark.parametrize(
    "noise", [(-0.1, 1.0), (1.0, -0.1), (1e150, 1.0), (1.0, 1e150), (np.nan, 1.0), (1.0,), (1.0, 2.0, 3.0), 3.0, "ab"]
)
def test_other_noise_is_refused(noise):
    with pytest.raises(ArgumentError, match="noise: expected the standard deviations of before and after"):
        check_noise(noise)


def test_chi_square_is_the_residual_over_what_noise_and_rounding_leave():
    fit = dataclasses.replace(designed(learner.Kernel([[1.0, -2.0, 0.5]]), ""), residual_sd=3.0, samples=100)
    expected = 0.5**2 + 2.0**2 * (1.0 + 4.0 + 0.25) + 1.5**2 / 12.0
    assert chi_square(fit, (2.0, 0.5), 1.5) == pytest.approx(9.0 * 100 / (100 - 3 - 1) / expected)
    colour = dataclasses.replace(fit, channels=("R", "G", "B"))
    assert chi_square(colour, (0.0, 0.5), 0.0) == pytest.approx(9.0 * 100 / (100 - 3 - 3) / 0.25)
    assert chi_square(fit, (2.0, 0.0), 0.0) == pytest.approx(9.0 * 100 / 96 / 21.0)
    assert chi_square(fit, (0.0, 0.0), 1.5) is None
    few = dataclasses.replace(fit, samples=4)
    assert chi_square(few, (0.0, 1.0), 0.0) == pytest.approx(9.0 * 4)


@pytest.mark.parametrize(
    ("integers", "divisor", "gain", "expected"),
    [
        ([[1, 2]], 3, 1.0, ([[1, 2]], 3, 1.0)),
        ([[1, 2]], 3, 2.0, ([[2, 4]], 3, 1.0)),
        ([[1, 3]], 4, 2.0, ([[1, 3]], 2, 1.0)),
        ([[2, 4]], 4, 0.25, ([[1, 2]], 8, 1.0)),
        ([[0, 0]], 5, 0.25, ([[0, 0]], 1, 1.0)),
        ([[1, 2]], 3, 1 / 255, ([[1, 2]], 765, 1.0)),
        ([[1, 2]], 3, 255.0, ([[85, 170]], 1, 1.0)),
        ([[1, 2]], 3, 1 / 256, ([[1, 2]], 768, 1.0)),
        ([[1, 2]], 3, 1 / 257, ([[1, 2]], 3, 1 / 257)),
        ([[1, 2]], 3, 2 / 3, ([[1, 2]], 3, 2 / 3)),
        ([[1, 2]], 3, 2.0 * (1 + 0.9e-12), ([[2, 4]], 3, 1.0)),
        ([[1, 2]], 3, 2.0 * (1 + 1.1e-12), ([[1, 2]], 3, 2.0 * (1 + 1.1e-12))),
        ([[1, 2]], 3, np.pi, ([[1, 2]], 3, np.pi)),
    ],
)
def test_a_simple_gain_goes_into_integers_and_divisor(integers, divisor, gain, expected):
    whole, below, left = learner._folded(np.array(integers), divisor, gain)
    assert (whole.tolist(), below, left) == expected


@pytest.mark.parametrize(
    ("integers", "rows", "columns"),
    [
        (np.pad([[5]], 1), (1, 2), (1, 2)),
        (np.pad([[5, 1], [0, 2]], 2), (2, 4), (2, 4)),
        (np.pad([[5, 0, 1]], 1), (1, 2), (1, 4)),
        # A side with a weight, or of two rows or columns, keeps the ring.
        ([[0, 0, 0], [0, 5, 1], [0, 0, 0]], (0, 3), (0, 3)),
        ([[0, 0, 0], [1, 5, 0], [0, 0, 0]], (0, 3), (0, 3)),
        ([[0, 1, 0], [0, 5, 0], [0, 0, 0]], (0, 3), (0, 3)),
        ([[0, 0, 0], [0, 5, 0], [0, 1, 0]], (0, 3), (0, 3)),
        ([[0, 0, 0], [0, 0, 0]], (0, 2), (0, 3)),
        ([[0, 0], [0, 0], [0, 0]], (0, 3), (0, 2)),
    ],
)
def test_rings_of_zeros_are_left_out(integers, rows, columns):
    integers = np.array(integers)
    kernel, stderr = RNG.normal(size=(2, *integers.shape))
    part = slice(*rows), slice(*columns)
    found = learner._without_ring(kernel, stderr, (integers, 7), Support(-1, -2, *integers.shape))
    np.testing.assert_array_equal(found[0], kernel[part])
    np.testing.assert_array_equal(found[1], stderr[part])
    np.testing.assert_array_equal(found[2][0], integers[part])
    assert found[2][1] == 7
    assert found[3] == Support(-1 + rows[0], -2 + columns[0], *integers[part].shape)


@pytest.mark.parametrize(
    ("top", "left", "size", "corner", "inside"),
    [
        (-1, -2, (3, 4), (0, 0), (3, 4)),
        (0, 0, (2, 2), (0, 0), (2, 2)),
        (2, -1, (1, 3), (2, 0), (3, 3)),
        (-3, 1, (2, 2), (0, 1), (4, 3)),
        (-1, -4, (2, 2), (0, 0), (2, 5)),
        (3, 2, (1, 1), (3, 2), (4, 3)),
    ],
)
def test_zeros_up_to_the_output_pixel(top, left, size, corner, inside):
    kernel, stderr = RNG.normal(size=(2, *size))
    support = Support(top, left, *size)
    wide, errors, place, extra = learner._including_origin(kernel, stderr, support, SimpleNamespace(same_size=True))
    part = slice(corner[0], corner[0] + size[0]), slice(corner[1], corner[1] + size[1])
    for found, given in ((wide, kernel), (errors, stderr)):
        expected = np.zeros(inside)
        expected[part] = given
        np.testing.assert_array_equal(found, expected)
    assert extra == inside[0] * inside[1] - size[0] * size[1]
    assert place == Support(min(top, 0), min(left, 0), *inside)
    same = learner._including_origin(kernel, stderr, support, SimpleNamespace(same_size=False))
    assert same[0] is kernel
    assert same[2:] == (support, 0)


@pytest.mark.parametrize(
    ("held", "support", "expected"),
    [
        ([(2, 3), (3, 1)], Support(-2, -2, 5, 5), Support(0, -1, 2, 3)),
        ([(1, 1)], Support(-2, -2, 5, 5), Support(-1, -1, 2, 2)),
        ([(4, 4)], Support(-2, -2, 5, 5), Support(0, 0, 3, 3)),
        ([(0, 0), (4, 4)], Support(-2, -2, 5, 5), Support(-2, -2, 5, 5)),
        # The output pixel outside: up to the side beside it.
        ([(1, 2)], Support(2, 1, 3, 4), Support(2, 1, 2, 3)),
        ([(1, 2)], Support(-9, -8, 3, 4), Support(-8, -6, 2, 2)),
    ],
)
def test_outer_zeros_are_trimmed_up_to_the_output_pixel(held, support, expected):
    kernel = np.zeros(support.size)
    for number, place in enumerate(held):
        kernel[place] = (-1.0) ** number * 4.0
    # Just below and above a ten millionth of the largest, which counts as none and as some.
    small = kernel.copy()
    small[kernel == 0.0] = 3.9e-7
    for table in (kernel, small):
        part, found = learner._trimmed(table, support)
        assert found == expected
        top, left = found.top - support.top, found.left - support.left
        np.testing.assert_array_equal(part, table[top : top + found.rows, left : left + found.columns])
    small[kernel == 0.0] = 4.1e-7
    assert learner._trimmed(small, support)[1] == support


def test_a_part_of_a_table():
    table = np.arange(20.0).reshape(4, 5)
    found = learner._part(table, Support(-2, -1, 4, 5), Support(-1, 1, 2, 3))
    np.testing.assert_array_equal(found, table[1:3, 2:5])


def answer_of(pair, support, **changes) -> _Answer:
    estimate = estimate_kernel(pair, support)
    none = (None,) * len(pair.planes)
    return dataclasses.replace(_Answer(pair, pair, Found(support, pair), estimate, None, False, none), **changes)


def test_directions_lie_on_the_support_with_its_zeros():
    ramp = np.add.outer(np.arange(20.0), 2.0 * np.arange(24.0))
    pair, support = prepare(ramp, ramp, clip=None), Support(1, -3, 2, 2)
    answer = answer_of(pair, support)
    wide = Support(0, -3, 3, 4)
    found = learner._directions(answer, wide, False)
    own = answer.estimate.solution.undetermined.reshape(-1, 2, 2)
    assert found.shape == (3, 3, 4)
    np.testing.assert_array_equal(found[:, 1:3, 0:2], own)
    assert np.count_nonzero(found) == np.count_nonzero(own)
    np.testing.assert_array_equal(learner._directions(answer, support, False), own)
    # Where the after has one value, nothing tells any weight.
    np.testing.assert_array_equal(learner._directions(answer, wide, True).reshape(12, 12), np.eye(12))
    rich = RNG.normal(size=(20, 24))
    assert learner._directions(answer_of(prepare(rich, rich), support), wide, False).shape == (0, 3, 4)


@pytest.mark.parametrize(
    ("crop", "support", "anchor", "frame"),
    [
        ((slice(None), slice(None)), Support(-1, -2, 3, 4), (1, 2), None),
        # The valid part: its size implies that of the kernel.
        ((slice(1, -1), slice(2, -1)), Support(0, 0, 3, 4), (1, 2), None),
        ((slice(1, -1), slice(2, -1)), Support(0, 0, 3, 3), (1, 1), (1, 1)),
        ((slice(4, -2), slice(3, -5)), Support(2, 1, 5, 6), (2, 3), (4, 4)),
    ],
)
def test_an_after_that_is_a_crop_has_a_frame(crop, support, anchor, frame):
    before = RNG.normal(size=(30, 33))
    answer = answer_of(prepare(before, before[crop], clip=None), support)
    assert learner._placed(support, answer) == (anchor, frame)


def test_the_map_of_outliers_is_that_of_any_channel():
    first, second = RNG.random((2, 5, 6)) > 0.5
    assert learner._map((None, None)) is None
    np.testing.assert_array_equal(learner._map((None, first)), first)
    np.testing.assert_array_equal(learner._map((first, second)), first | second)


def test_the_first_line():
    named = Name("gaussian", "Gaussian, sigma 1")
    for verdict in ("exact", "approximate", "undetermined"):
        assert learner._description(verdict, named, Signs(0.0, 1.0, 0.0, "a median")) == named.description
    assert learner._description("not linear", named, Signs(0.0, 1.0, 0.0, "a median")).endswith("like a median")
    for signs in (None, NOISE):
        assert learner._description("not linear", named, signs) == "no linear filter"


@pytest.mark.parametrize(
    ("errors", "limit", "signs", "above", "words"),
    [
        (None, 5, NOISE, 9.0, []),
        (errors_of(), 0, NOISE, 0.0, []),
        (errors_of(), 0, None, 9.0, []),
        (errors_of(noise=2.0, measured=True), 0, NOISE, 0.0, ["whose level is measured"]),
        (errors_of(noise=2.0), 0, NOISE, 0.0, []),
        (errors_of(), 31, NOISE, 0.0, ["beyond the limit"]),
        (errors_of(suspected=2.0), 0, NOISE, 0.0, ["of about 6 leaves"]),
        (errors_of(blocky=True, disagreement=99.0), 0, Signs(1.0, 9.0, 0.9, None), 9.0, ["JPEG's blocks"]),
        # Above rounding, what is no noise; on no grid, what is none by a milder measure.
        (errors_of(), 0, Signs(0.0, 1.2, 0.0, None), 1.21, ["follows the picture"]),
        (errors_of(), 0, Signs(0.0, 1.2, 0.0, None), 1.19, []),
        (errors_of(), 0, Signs(0.5, 1.0, 0.0, None), 0.0, ["follows the picture"]),
        (errors_of(disagreement=99.0), 0, Signs(0.5, 1.0, 0.0, None), 0.0, ["follows the picture"]),
        (errors_of(disagreement=99.0), 0, NOISE, 0.0, ["calm and busy parts disagree"]),
        (errors_of(disagreement=99.0), 0, NOISE, 1.5, ["calm and busy parts disagree"]),
        (errors_of(disagreement=99.0, noise=1.0, measured=True, suspected=1.0), 9, NOISE, 0.0,
         ["whose level is measured", "beyond the limit", "of about 3 leaves", "calm and busy parts disagree"]),
    ],
)  # fmt: skip
def test_why_errors_hold_only_approximately(errors, limit, signs, above, words):
    found = learner._errors_note(errors, limit, signs, above, 3.0)
    parts = found.split("; ") if found else []
    assert len(parts) == len(words), found
    for part, word in zip(parts, words):
        assert word in part


@pytest.mark.parametrize(
    ("curve", "texture", "correlation", "like"),
    [
        (0.0, 1.0, 0.0, True),
        (0.009, 1.14, 0.029, True),
        (0.009, 1 / 1.14, -0.029, True),
        (0.011, 1.0, 0.0, False),
        (0.0, 1.16, 0.0, False),
        (0.0, 1 / 1.16, 0.0, False),
        (0.0, 1.0, 0.031, False),
        (0.0, 1.0, -0.031, False),
    ],
)
def test_a_residual_like_noise(curve, texture, correlation, like):
    assert learner._like_noise(Signs(curve, texture, correlation, None)) == like


def test_remarks_say_what_was_done():
    before = RNG.normal(size=(30, 33))
    marked = before.copy()
    marked[3, 4:12] = -9999.0
    pair, support = prepare(marked, before, clip=None), Support(-1, -1, 3, 3)
    answer = answer_of(pair, support)
    assert learner._notes(answer, None, None) == (
        "pixels of -9999 in the before are taken for missing ones: give mask= otherwise",
    )
    plain = answer_of(prepare(before, before, clip=None), support)
    assert learner._notes(plain, None, None) == ()
    lost = [np.zeros(before.shape, bool)]
    lost[0][3, 4] = True
    [note] = learner._notes(dataclasses.replace(plain, outliers=tuple(lost)), None, None)
    assert note.startswith("1 pixel cannot come from the filter")
    lost[0][5] = True
    [note] = learner._notes(dataclasses.replace(plain, outliers=tuple(lost)), None, None)
    assert note.startswith("34 pixels cannot come from the filter")
    [note] = learner._notes(plain, None, (2, 5))
    assert note.endswith("lies over row 2, column 5 of the before")
    sampled = dataclasses.replace(plain, found=Found(support, plain.pair, sampled=1234))
    assert learner._notes(sampled, None, None) == ("the size was searched for on 1,234 pixels of the picture",)
    [note] = learner._notes(dataclasses.replace(sampled, refused=True), None, None)
    assert note.startswith(f"kernel and size are those of {28 * 31:,} pixels")
    for measured, how in ((True, "measured"), (False, "given")):
        [note] = learner._notes(plain, errors_of(noise=2.0, measured=measured), None)
        assert f"standard deviation 2 ({how})" in note
    ramp = np.add.outer(np.arange(20.0), 2.0 * np.arange(24.0))
    [note] = learner._notes(answer_of(prepare(ramp, ramp, clip=None), Support(0, 0, 2, 2)), None, None)
    assert note.startswith("3 of 4 directions of the kernel change nothing")
    tiled = np.tile(RNG.normal(size=(30, 4)), (1, 9))
    notes = learner._notes(answer_of(prepare(tiled, tiled, clip=None), Support(0, -3, 1, 6)), None, None)
    assert any("repeats after 4 columns" in note for note in notes)


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_channels_that_differ_are_apart(share):
    """R² of a kernel for each channel, against least squares of each over its windows."""
    rng = np.random.default_rng(1)
    before = rng.normal(size=(40, 44, 2))
    kernel = rng.normal(size=(2, 3))
    after = 0.3 * rng.normal(size=before.shape)
    left = spread = 0.0
    for c in range(2):
        windows = np.lib.stride_tricks.sliding_window_view(before[..., c], (2, 3)).reshape(-1, 6)
        after[1:, 1:-1, c] += (windows @ (kernel * (1.0 + share * c)).ravel()).reshape(39, 42)
        y = after[1:, 1:-1, c].ravel()
        table = np.hstack([windows, np.ones((len(windows), 1))])
        left += float(((y - table @ np.linalg.lstsq(table, y, rcond=None)[0]) ** 2).sum())
        spread += float(((y - y.mean()) ** 2).sum())
    pair = prepare(before, after, clip=None, channel_axis=2)
    found = learner._apart(pair, estimate_kernel(pair, Support(-1, -1, 2, 3)))
    assert found == (pytest.approx(1.0 - left / spread, rel=1e-6) if share else 0.0)
    one = prepare(before[..., 0], after[..., 0], clip=None)
    assert learner._apart(one, estimate_kernel(one, Support(-1, -1, 2, 3))) == 0.0


def noisy_pair(sd: float, size: tuple[int, int] = (3, 3), shape: tuple[int, int] = (120, 130), scale: float = 1.0):
    rng = np.random.default_rng(2)
    before = rng.normal(size=shape) * scale
    after = sd * rng.normal(size=shape) * scale
    windows = np.lib.stride_tricks.sliding_window_view(before, size)
    inner = tuple(slice(n // 2, n // 2 + m - n + 1) for n, m in zip(size, shape))
    after[inner] += np.einsum("ijab,ab->ij", windows, rng.normal(size=size))
    return prepare(before, after, clip=None), Support(-(size[0] // 2), -(size[1] // 2), *size)


@pytest.mark.parametrize(("size", "told"), [((3, 3), True), ((15, 20), True), ((7, 43), False)])
def test_few_positions_tell_a_residual_above_a_variance(size, told):
    """Up to 300 weights, of which eight positions a weight are asked."""
    pair, support = noisy_pair(2.0, size)
    assert learner._is_above(pair, support, 1.0) == told
    assert not learner._is_above(pair, support, 4.0)
    assert not learner._is_above(pair, dataclasses.replace(support, separable=True), 1.0)


def test_few_positions_tell_only_far_off():
    pair, support = noisy_pair(2.0, (3, 3))
    few = few_moments(pair, support, 72)
    left, error = few.unexplained(few.ridge_kernel) / few.freedom, np.sqrt(2.0 / few.freedom)
    # Six standard errors of a variance.
    assert learner._is_above(pair, support, left / (1.0 + 6.1 * error))
    assert not learner._is_above(pair, support, left / (1.0 + 5.9 * error))
    small, _ = noisy_pair(2.0, (3, 3), (7, 8))
    assert not learner._is_above(small, support, 1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_the_evidence_is_that_of_all_pixels(scale):
    pair, support = noisy_pair(0.5, scale=scale)
    plane = pair.planes[0]
    evidence = learner._evidence(answer_of(pair, support, signs=NOISE, apart=0.25))
    windows = np.lib.stride_tricks.sliding_window_view(plane.before, (3, 3)).reshape(-1, 9)
    y = plane.after[1:-1, 1:-1].ravel()
    table = np.hstack([windows, np.ones((len(windows), 1))])
    left = y - table @ np.linalg.lstsq(table, y, rcond=None)[0]
    assert evidence.r2 == pytest.approx(1.0 - (left**2).sum() / ((y - y.mean()) ** 2).sum())
    assert evidence.sd == pytest.approx(left.std() * pair.after_unit.scale, rel=1e-3)
    assert (evidence.exact, evidence.complete, evidence.count, evidence.coefficients) == (False, True, len(y), 9)
    assert (evidence.signs, evidence.channels, evidence.blank, evidence.repeats) == (NOISE, 0.25, False, "")
    # Of what rounding reproduces nothing more is asked.
    exact = learner._evidence(answer_of(pair, support, at_floor=True, apart=0.25))
    assert (exact.exact, exact.channels) == (True, 0.0)


def test_the_evidence_of_what_does_not_tell_the_kernel():
    ramp = np.add.outer(np.arange(20.0), 2.0 * np.arange(24.0))
    support = Support(-1, -1, 3, 3)
    fitted = learner._evidence(answer_of(prepare(ramp, 2.0 * ramp, clip=None), support, signs=NOISE))
    assert (fitted.complete, fitted.signs) == (False, None)
    noisy = ramp + 0.1 * np.random.default_rng(3).normal(size=ramp.shape)
    left = learner._evidence(answer_of(prepare(ramp, noisy, clip=None), support, signs=NOISE))
    assert (left.complete, left.signs) == (False, NOISE)
    blank = learner._evidence(answer_of(prepare(noisy, np.full(ramp.shape, 3.0), clip=None), support))
    assert (blank.blank, blank.r2) == (True, 1.0)


def test_floats_are_exact_where_every_pixel_is_to_rounding():
    pair, support = noisy_pair(0.0)
    estimate = estimate_kernel(pair, support)
    inner = replaced(pair, 0.0, support)
    found = learner._exactly_so(inner, inner, estimate_kernel(inner, support))
    assert found is not None
    assert (found.at_floor, found.exact) == (True, None)
    for off in (1e-9, 1e-2):
        other = replaced(pair, off, support)
        assert learner._exactly_so(other, other, estimate_kernel(other, support)) is None
    noisy, _ = noisy_pair(1e-6)
    assert learner._exactly_so(noisy, noisy, estimate_kernel(noisy, support)) is None
    assert estimate.solution.rank == 9


def replaced(pair, off: float, support: Support):
    """The pair with one pixel of the after that lies off."""
    after = pair.planes[0].after.copy()
    after[50, 60] += off
    return prepare(pair.planes[0].before, after, clip=None)
