"""Directional detectors: exact slopes of ramps, and the largest response to the feature detected."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfield import kernels as k

parts = st.floats(-5, 5).map(lambda x: round(x, 3))
directions = st.tuples(parts, parts).filter(any)


@given(directions, st.sampled_from([3, 5, 7, 15]), parts, parts, parts)
def test_edges_give_the_slope_of_every_ramp(direction, size, down, right, level):
    kernel = k.edge(direction, size)
    rows, columns = np.indices((size, size)) - size // 2
    found = float((kernel.weights * (level + down * rows + right * columns)).sum())
    expected = (direction[0] * down + direction[1] * right) / np.hypot(*direction)
    assert found == pytest.approx(expected, abs=1e-12)
    assert kernel == k.edge([2 * part for part in direction], size)


@pytest.mark.parametrize("size", [3, 5, 7])
def test_edges_are_sums_of_sobel_kernels(size):
    across = [k.sobel(axis, size).weights for axis in (0, 1)]
    unit = k.edge((0, 1), size).weights.max() / across[1].max()
    expected = (3 * across[0] - 4 * across[1]) * unit / 5
    np.testing.assert_allclose(k.edge((3, -4), size).weights, expected, atol=1e-15)


def test_an_edge_answers_most_to_edges_orthogonal_to_its_direction():
    rows, columns = np.indices((5, 5)) - 2.0
    angles = np.radians(np.arange(0, 360, 5))
    steps = [np.tanh(np.sin(a) * rows + np.cos(a) * columns) for a in angles]
    answers = [(k.edge((1, 1)).weights * step).sum() for step in steps]
    assert np.degrees(angles[np.argmax(answers)]) == 45
    assert answers[np.argmin(np.abs(np.degrees(angles) - 135))] == pytest.approx(0, abs=1e-12)


def test_lines_and_corners_answer_most_to_what_they_are():
    patterns = np.array(list(product([0, 1], repeat=9))).reshape(-1, 3, 3)
    for direction in product((1, -1), (1, -1)):
        weights = k.corner(direction).weights
        best = patterns[np.argmax((patterns * weights).sum(axis=(1, 2)))]
        middle, (down, right) = np.zeros((3, 3)), direction
        middle[1:, 1:] = 1
        assert np.array_equal(best, middle[::down, ::right])
        assert weights.sum() == 0
    rows, columns = np.indices((3, 3)) - 1
    for angle, line in ((0, rows == 0), (90, columns == 0), (45, rows == columns), (135, rows == -columns)):
        answers = {other: (k.line(other).weights * line).sum() for other in (0, 45, 90, 135)}
        assert max(answers, key=answers.get) == angle
        assert answers[angle] == 6
        assert k.line(angle).weights.sum() == 0


def test_diagonals_as_published():
    # Gonzalez and Woods, the Prewitt and Sobel masks for diagonal edges.
    assert k.diagonal((-1, 1)).weights.tolist() == [[0, 1, 2], [-1, 0, 1], [-2, -1, 0]]
    assert k.diagonal((1, 1)).weights.tolist() == [[-2, -1, 0], [-1, 0, 1], [0, 1, 2]]
    assert k.diagonal((-1, 1), "prewitt").weights.tolist() == [[0, 1, 1], [-1, 0, 1], [-1, -1, 0]]
    assert k.line(0).weights.tolist() == [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]]
    assert k.line(135).weights.tolist() == [[-1, -1, 2], [-1, 2, -1], [2, -1, -1]]
