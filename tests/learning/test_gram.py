"""Gram matrices of windows by lags, against the windows written out."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.gram import block_rows, gram_matrix, joint_gram, spread, window_totals

pytestmark = pytest.mark.core

SIZES = [(1, 1), (1, 4), (3, 1), (2, 2), (2, 5), (4, 3)]


def windows_of(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(image.astype(float), size).reshape(-1, size[0] * size[1])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("extra", [(0, 0), (1, 0), (0, 1), (9, 4), (70, 2)])
def test_sums_of_windows(size, extra):
    shape = 2 * size[0] - 1 + extra[0], 2 * size[1] - 1 + extra[1]
    a, b = np.random.default_rng(0).integers(0, 255, (2, *shape)).astype(np.uint8)
    for image in (a, a.astype(np.float64)):
        mine = windows_of(image, size) - 100.0
        np.testing.assert_array_equal(gram_matrix([image], size, 100.0), mine.T @ mine)
        np.testing.assert_array_equal(window_totals(image, size, 100.0), mine.sum(axis=0).reshape(size))
    other = windows_of(b, size) - 7.0
    joined = np.hstack([mine, other])
    np.testing.assert_array_equal(joint_gram([(a, b)], size, (100.0, 7.0)), joined.T @ joined)
    both = gram_matrix([a, b], size, 7.0)
    np.testing.assert_array_equal(both, gram_matrix([a], size, 7.0) + other.T @ other)


def test_the_side_lines_inside_shifted_rectangles():
    # Of 2 k - 1 lines the middle is the core; the rectangle moved by i has those from i to i + k - 1.
    pieces = np.arange(5.0) ** 3 + 1.0
    expected = [pieces[i : i + 3].sum() for i in range(3)]
    np.testing.assert_array_equal(spread(pieces[:, None], 3, 0)[:, 0], expected)
    table = np.arange(15.0).reshape(3, 5) ** 2
    columns = [table[:, i : i + 3].sum(axis=1) for i in range(3)]
    np.testing.assert_array_equal(spread(table, 3, 1), np.stack(columns, axis=1))


@pytest.mark.parametrize(("rows", "expected"), [(1, 64), (4096, 64), (4097, 128), (8192, 128), (8193, 192)])
def test_no_more_than_64_blocks_of_whole_strips(rows, expected):
    assert block_rows(rows) == expected
