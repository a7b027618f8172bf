"""Supports shrunk where the windows are independent: there each weight is known by itself, and so is what it loses."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.least_squares import Moments
from kernelfield.learning.shrinking import _outline, _part_of, core_of, shrink
from kernelfield.learning.support import Support, centred

pytestmark = pytest.mark.core
COUNT = 10_000


def moments_of(kernel: np.ndarray, noise: float = 1.0) -> Moments:
    """Return the moments of independent pixels of variance 1: a row of weights w loses COUNT * sum(w**2)."""
    flat = kernel.ravel()
    square = COUNT * (float(flat @ flat) + noise)
    return Moments(COUNT * np.eye(flat.size), COUNT * flat, square, COUNT)


def significant(line: int, noise: float = 1.0) -> float:
    """Return the weight, the same in a line, whose Wald statistic is just what chance gives."""
    return float(np.sqrt(noise * (line + 3.0 * np.sqrt(2.0 * line) + 4.0) / (COUNT * line)))


@pytest.mark.parametrize("noise", [1.0, 0.01])
@pytest.mark.parametrize(("factor", "kept"), [(1.01, True), (0.99, False)])
@pytest.mark.parametrize("side", ["top", "bottom", "left", "right"])
def test_outer_lines_beside_their_significance(noise, factor, kept, side):
    kernel = np.zeros((5, 7))
    kernel[2, 3] = 100.0
    where = {"top": np.s_[0], "bottom": np.s_[-1], "left": np.s_[:, 0], "right": np.s_[:, -1]}[side]
    # The line is whole: columns are dropped first, being insignificant, and leave the middle of a row.
    kernel[where] = 0.0
    place = {"top": (0, 3), "bottom": (4, 3), "left": (2, 0), "right": (2, 6)}[side]
    kernel[place] = factor * significant(1, noise)
    found = shrink(moments_of(kernel, noise), centred((5, 7)), noise, 0.0, 0.0)
    expected = {
        "top": Support(-2, 0, 3, 1),
        "bottom": Support(0, 0, 3, 1),
        "left": Support(0, -3, 1, 4),
        "right": Support(0, 0, 1, 4),
    }[side]
    assert found == (expected if kept else Support(0, 0, 1, 1))


@pytest.mark.parametrize(("factor", "kept"), [(1.01, True), (0.99, False)])
def test_a_line_of_many_weights_has_more_chances(factor, kept):
    kernel = np.full((2, 5), 50.0)
    kernel[0] = factor * significant(5)
    found = shrink(moments_of(kernel), Support(-1, -2, 2, 5), 1.0, 0.0, 0.0)
    assert found == (Support(-1, -2, 2, 5) if kept else Support(0, -2, 1, 5))


@pytest.mark.parametrize(
    ("tolerance", "share", "dropped"), [(1.01e-2, 0.011, True), (0.99e-2, 0.011, False), (1.01e-2, 0.009, False)]
)
def test_lines_that_are_significant_but_negligible(tolerance, share, dropped):
    # It loses 10,000 * 1e-2 = 100, and the noise of 1 leaves 10,000; it is 1 % of the largest.
    kernel = np.array([[0.1, 10.0, 8.0]])
    found = shrink(moments_of(kernel), Support(0, -1, 1, 3), 1.0, tolerance, share)
    assert found == (Support(0, 0, 1, 2) if dropped else Support(0, -1, 1, 3))


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ((-2, -3), (0, 0, 1, 1)),
        ((0, 0), (0, 0, 3, 4)),
        ((-4, -6), (-2, -3, 3, 4)),
        ((1, 0), (3, 0, 1, 4)),
        ((0, 1), (0, 4, 3, 1)),
        ((1, -9), (3, -6, 1, 1)),
        ((-5, 0), (-3, 0, 1, 4)),
    ],
)
def test_the_output_pixel_stays_inside_where_it_can(hold, first, expected):
    # One weight in the middle of 5 × 7; the output pixel is there, at the corner or outside.
    kernel = np.zeros((5, 7))
    kernel[2, 3] = 1.0
    found = shrink(moments_of(kernel), Support(*first, 5, 7), 1.0, 0.0, 0.0, hold)
    own = Support(first[0] + 2, first[1] + 3, 1, 1)
    assert found == (Support(*expected) if hold else own)


@pytest.mark.parametrize("first", [(0, -1), (-2, -3), (-4, -6)])
def test_nothing_in_it_leaves_the_output_pixel(first):
    found = shrink(moments_of(np.zeros((5, 7))), Support(*first, 5, 7), 1.0, 0.0, 0.0)
    assert found == Support(0, 0, 1, 1)
    assert shrink(moments_of(np.zeros((5, 7))), Support(2, 2, 5, 7), 1.0, 0.0, 0.0).size == (1, 1)


def test_lines_far_from_the_output_pixel_go_first():
    # All are as insignificant: what is left lies about the output pixel, at (1, 1) of 4 × 4.
    kernel = np.full((4, 4), 0.5 * significant(16) / 4)
    kernel[1:3, 1:3] = 50.0
    assert shrink(moments_of(kernel), Support(-1, -1, 4, 4), 1.0, 0.0, 0.0) == Support(0, 0, 2, 2)


@pytest.mark.parametrize(("ratio", "size"), [(0.045, (3, 2)), (0.055, (2, 2))])
@pytest.mark.parametrize("down", [1, -1])
@pytest.mark.parametrize("right", [1, -1])
@pytest.mark.parametrize("turned", [False, True])
def test_lines_that_lose_next_to_nothing_go_before_farther_ones(ratio, size, down, right, turned):
    # A row that is no more than chance of 3 weights, but more than chance of 2, and a column that is less.
    of_three, of_two = 7.0 + 3.0 * np.sqrt(6.0), 12.0
    kernel = np.array([[(of_three + of_two) / 2, 0, 0], [1e6, 1e6, ratio * of_three], [1e6, 1e6, 0]])
    kernel, anchor = np.sqrt(kernel / COUNT)[::down, ::right], (2 if down > 0 else 0, 1)
    if turned:
        kernel, anchor, size = kernel.T, anchor[::-1], size[::-1]
    found = shrink(moments_of(kernel), Support(-anchor[0], -anchor[1], 3, 3), 1.0, 0.0, 0.0)
    assert found.size == size


@pytest.mark.parametrize("seed", range(20))
def test_no_line_that_is_left_is_chance_by_a_new_fit(seed):
    rng = np.random.default_rng(seed)
    mixing = np.eye(20) + 0.7 * rng.normal(size=(20, 20)) / np.sqrt(20.0)
    gram = COUNT * mixing.T @ mixing
    weights = 0.05 * rng.normal(size=20)
    moments = Moments(gram, gram @ weights, 2.0 * COUNT, COUNT)

    def explained(box: np.ndarray) -> float:
        chosen = box.ravel()
        cross = moments.cross[chosen]
        return float(cross @ np.linalg.solve(gram[np.ix_(chosen, chosen)], cross))

    places = np.arange(20).reshape(4, 5)
    found = shrink(moments, Support(-1, -2, 4, 5), 1.0, 0.0, 0.0, hold=False)
    box = places[found.top + 1 :, found.left + 2 :][: found.rows, : found.columns]
    for part, line in ((box[1:], box[0]), (box[:-1], box[-1]), (box[:, 1:], box[:, 0]), (box[:, :-1], box[:, -1])):
        m = line.size
        if part.size:
            assert explained(box) - explained(part) > m + 3.0 * np.sqrt(2.0 * m) + 4.0


def test_a_line_is_as_negligible_as_its_largest_weight():
    kernel = np.array([[0.0, 0.2], [10.0, 8.0]])
    for share, size in ((0.011, (2, 2)), (0.021, (1, 2))):
        assert shrink(moments_of(kernel), Support(-1, 0, 2, 2), 1.0, 0.05, share).size == size


def test_no_square_is_larger_than_the_support():
    kernel = np.ones((7, 8))
    kernel[:, 0] = 0.0
    assert core_of(moments_of(kernel), Support(-3, -4, 7, 8), 1.0 + 1e-6) is None


def test_what_is_dropped_moves_to_correlated_neighbours():
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(COUNT, 12)) @ (np.eye(12) + 0.4 * np.eye(12, k=1) + 0.2 * np.eye(12, k=5))
    after = windows.reshape(-1, 3, 4)[:, 1:, :2].sum(axis=(1, 2)) + rng.normal(size=COUNT)
    moments = Moments(windows.T @ windows, windows.T @ after, float(after @ after), COUNT)
    assert shrink(moments, Support(-1, 0, 3, 4), 1.0, 0.0, 0.0) == Support(0, 0, 2, 2)
    part = _part_of(moments, Support(-1, 0, 3, 4), Support(0, 1, 2, 2))
    chosen = windows.reshape(-1, 3, 4)[:, 1:3, 1:3].reshape(COUNT, 4)
    np.testing.assert_allclose(part.gram, chosen.T @ chosen)
    np.testing.assert_allclose(part.cross, chosen.T @ after)


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_outline_of_many_weights(hold, share):
    kernel = np.zeros((25, 26))
    kernel[9:13, 14:17] = 1.0
    kernel[10, 15] = 2.5
    support = Support(-5, -15, 25, 26)
    # A row and a column more on each side; the output pixel is at row 5, column 15.
    top = 4 if hold else (8 if share == 0.0 else 9)
    bottom, left, right = (14, 13, 18) if share == 0.0 else (12, 14, 17)
    found = _outline(moments_of(kernel), support, 1.0, share, hold)
    assert found == Support(-5 + top, -15 + left, bottom - top, right - left)
    if not share:
        rows = 8 if hold else 4
        whole = shrink(moments_of(kernel), support, 1.0, 0.0, 0.0, hold)
        assert whole == Support(8 - rows, -1, rows, 3)


@pytest.mark.parametrize(("factor", "kept"), [(1.02, True), (0.98, False)])
def test_the_outline_beside_the_significance_of_a_line(factor, kept):
    kernel = np.zeros((25, 25))
    kernel[12, 12] = 1.0
    # A row of 25 weights.
    kernel[3, 5] = np.sqrt(25.0) * factor * significant(25)
    found = _outline(moments_of(kernel), centred((25, 25)), 1.0, 0.0, True)
    assert (found.top, found.left) == ((-10, -8) if kept else (-1, -1))


def test_the_core_leaves_as_little_as_is_allowed():
    kernel = np.zeros((7, 8))
    kernel[2:5, 3:6] = 1.0
    kernel[1, 3] = 0.5
    support = Support(-3, -4, 7, 8)
    moments = moments_of(kernel)
    # The middle 3 × 3 leaves 1.25 times the noise.
    for share, size in ((1.26, 3), (1.24, 5), (9.1, 3), (9.3, 1)):
        found = core_of(moments, support, share)
        assert found is not None
        assert found[0] == centred((size, size))
        half = size // 2
        np.testing.assert_allclose(found[1], kernel[3 - half : 4 + half, 4 - half : 5 + half], atol=1e-9)
    assert core_of(moments, support, 1.0 - 1e-6) is None


@pytest.mark.parametrize("first", [(-1, -3), (-5, -3), (-3, -1), (-3, -5)])
def test_no_core_reaches_outside_the_support(first):
    kernel = np.full((7, 7), 1.0)
    moments = moments_of(kernel)
    assert core_of(moments, Support(*first, 7, 7), 1.1) is None
    # Nor is a part of one that does taken for it: 20 of 25 weights would leave 30.
    assert core_of(moments, Support(*first, 7, 7), 31.0) is None
    # A square of 3 about the output pixel lies inside.
    found = core_of(moments, Support(*first, 7, 7), 41.5)
    assert found is not None
    assert found[0] == centred((3, 3))
