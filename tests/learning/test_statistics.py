"""Statistics and least squares against definitions that share no code with them."""

from __future__ import annotations

import numpy as np
import pytest
from cases import DTYPES, image, laid_out, photograph
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.learning import statistics as module
from kernelfield.learning.gram import gram_matrix, window_totals
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.pair import grid_step, prepare
from kernelfield.learning.rational import as_integers
from kernelfield.learning.statistics import Statistics, gather, gather_parts
from kernelfield.learning.support import Support, centred

pytestmark = pytest.mark.core


def windows_of(before: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return all windows as rows, by the definition."""
    rows, columns = before.shape[0] - size[0] + 1, before.shape[1] - size[1] + 1
    return np.array(
        [before[i : i + size[0], j : j + size[1]].astype(float).ravel() for i in range(rows) for j in range(columns)]
    )


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(0, 12), st.integers(0, 12)),
    st.sampled_from(DTYPES),
    st.integers(0, 1000),
)
def test_gram_matrix_is_that_of_the_windows(size, extra, dtype, seed):
    pixels = image(dtype, (2 * size[0] - 1 + extra[0], 2 * size[1] - 1 + extra[1]), seed)
    shift = float(np.round(pixels.mean())) if pixels.dtype.kind != "f" else 0.25
    windows = windows_of(pixels, size) - shift
    expected = windows.T @ windows
    np.testing.assert_allclose(gram_matrix([pixels], size, shift), expected, rtol=0, atol=1e-13 * np.trace(expected))
    totals = windows.sum(axis=0).reshape(size)
    np.testing.assert_allclose(window_totals(pixels, size, shift), totals, rtol=0, atol=1e-13 * np.abs(windows).sum())


def test_eight_bit_sums_are_exact_integers(engine, monkeypatch):
    monkeypatch.setattr(module, "_SMALL", 0)
    before = photograph("camera")
    after = np.roll(before, 3)[4:, 6:]
    got = gather(before, after, (5, 7), 128.0, 120.0)
    whole = np.lib.stride_tricks.sliding_window_view(before.astype(np.int64) - 128, (5, 7)).reshape(-1, 35)
    right = after.astype(np.int64).ravel() - 120
    for sums, expected in (
        (got.gram, whole.T @ whole),
        (got.cross, whole.T @ right),
        (got.total, whole.sum(axis=0)),
        (got.after_total, right.sum()),
        (got.after_square, right @ right),
    ):
        np.testing.assert_allclose(sums, expected, rtol=0, atol=0)


@given(st.lists(st.sampled_from([0.0, 0.001, 0.02, 0.3, 0.9]), min_size=2, max_size=5), st.integers(0, 100))
def test_sums_that_are_updated_are_those_of_the_pixels_that_count(shares, seed):
    before = image("uint8", (40, 37), seed)
    after = np.roll(before, 1)
    pair = prepare(before, after, clip=None)
    plane = pair.planes[0]
    windows = windows_of(before, (3, 5)) - plane.before_shift
    right = after[1:-1, 2:-2].ravel() - plane.after_shift
    scattered = np.random.default_rng(seed).random(after.shape)
    for share in shares:
        # Masks that grow, shrink and move.
        bad = np.roll(scattered, round(100 * share), axis=0) < share
        (found,) = pair.without([bad]).statistics(centred((3, 5)))
        chosen = ~bad[1:-1, 2:-2].ravel()
        # Sums of whole numbers are exact, whatever was added and taken away before.
        np.testing.assert_array_equal(found.gram, windows[chosen].T @ windows[chosen])
        np.testing.assert_array_equal(found.cross, right[chosen] @ windows[chosen])
        assert found.count == chosen.sum()


@pytest.mark.parametrize("small", [0, 1 << 40])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.9])
def test_excluded_positions_leave_no_trace(monkeypatch, small, share):
    monkeypatch.setattr(module, "_SMALL", small)
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=(30, 41)), rng.normal(size=(28, 38))
    excluded = rng.random(after.shape) < share
    got = gather(before, after, (3, 4), 0.5, -0.25, excluded)
    windows = windows_of(before, (3, 4))[~excluded.ravel()] - 0.5
    right = after[~excluded] + 0.25
    assert got.count == right.size
    np.testing.assert_allclose(got.gram, windows.T @ windows, atol=1e-9)
    np.testing.assert_allclose(got.cross, windows.T @ right, atol=1e-9)
    np.testing.assert_allclose(got.total, windows.sum(axis=0), atol=1e-9)


@pytest.mark.parametrize("small", [0, 1 << 40])
def test_statistics_of_blocks_add(monkeypatch, small):
    monkeypatch.setattr(module, "_SMALL", small)
    rng = np.random.default_rng(2)
    before, after = rng.normal(size=(60, 41)), rng.normal(size=(58, 38))
    whole = gather(before, after, (3, 4), 0.0, 0.0)
    parts = [gather(before[a : b + 2], after[a:b], (3, 4), 0.0, 0.0) for a, b in ((0, 17), (17, 40), (40, 58))]
    merged = parts[0] + parts[1] + parts[2]
    assert merged.count == whole.count
    np.testing.assert_allclose(merged.gram, whole.gram)
    np.testing.assert_allclose((merged - parts[1]).cross, (parts[0] + parts[2]).cross)
    apart = gather_parts([(before[:19], after[:17]), (before[17:], after[17:])], (3, 4), 0.0, 0.0)
    np.testing.assert_allclose(apart.gram, whole.gram)
    np.testing.assert_allclose(apart.cross, whole.cross)
    assert (apart.count, apart.after_total) == (whole.count, pytest.approx(whole.after_total))
    elsewhere = gather(before, after, (3, 4), 1.0, 0.5)
    twice = (whole + elsewhere).shifted(0.0, 0.0)
    np.testing.assert_allclose(twice.gram, 2 * whole.gram, atol=1e-9)
    np.testing.assert_allclose(twice.cross, 2 * whole.cross, atol=1e-9)
    with pytest.raises(ValueError, match="same size and shifts"):
        whole - elsewhere
    with pytest.raises(ValueError, match="same size and shifts"):
        whole + gather(before, after[:, :-1], (3, 5), 0.0, 0.0)


@given(st.integers(0, 10_000), st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_the_solution_is_that_of_lstsq(seed, size):
    rng = np.random.default_rng(seed)
    before = rng.normal(3.0, 2.0, size=(14, 15))
    after = rng.normal(-1.0, 5.0, size=(15 - size[0], 16 - size[1]))
    statistics = gather(before, after, size, 3.0, -1.0)
    solution = solve(Moments.of(statistics))
    design = np.c_[windows_of(before, size), np.ones(after.size)]
    expected, *_ = np.linalg.lstsq(design, after.ravel(), rcond=None)
    np.testing.assert_allclose(solution.kernel, expected[:-1], atol=1e-9)
    np.testing.assert_allclose(statistics.offset(solution.kernel), expected[-1], atol=1e-8)
    left = ((after.ravel() - design @ expected) ** 2).sum()
    np.testing.assert_allclose(Moments.of(statistics).unexplained(solution.kernel), left, rtol=1e-9)


def test_undetermined_directions_are_the_null_space_and_the_answer_has_the_least_norm():
    before = np.outer(np.ones(12), np.arange(14.0) ** 2)
    after = np.random.default_rng(3).normal(size=(10, 12))
    statistics = gather(before, after, (3, 3), 0.0, 0.0)
    solution = solve(Moments.of(statistics))
    windows = windows_of(before, (3, 3))
    centred_windows = windows - windows.mean(axis=0)
    assert solution.rank == np.linalg.matrix_rank(centred_windows)
    np.testing.assert_allclose(centred_windows @ solution.undetermined.T, 0, atol=1e-9)
    expected = np.linalg.pinv(centred_windows) @ (after.ravel() - after.mean())
    np.testing.assert_allclose(solution.kernel, expected, atol=1e-9)


@pytest.mark.parametrize("layout", ["fortran", "strided", "reversed", "read-only", "big-endian"])
def test_learning_does_not_care_how_pixels_lie_in_memory(layout):
    import kernelfield as kf

    before, weights = photograph("camera").astype(np.float32), np.arange(9.0).reshape(3, 3)
    after = kf.correlate(before, weights)
    fit = kf.learn(laid_out(before, layout), laid_out(after, layout))
    np.testing.assert_allclose(fit.kernel.weights, weights, atol=1e-5)


def test_positions_of_a_support():
    support = Support(-1, 0, 2, 4)
    rows, columns = support.positions((10, 12), (10, 12))
    assert (rows.start, rows.stop, columns.start, columns.stop) == (1, 10, 0, 9)
    within = support.windows((rows, columns))
    assert [(s.start, s.stop) for s in within] == [(0, 10), (0, 12)]
    assert support.anchor == (1, 0)
    rows, columns = centred((5, 5)).positions((3, 20), (3, 20))
    assert rows.stop == rows.start
    rows, columns = Support(0, 0, 3, 3).positions((10, 12), (8, 10))
    assert (rows.start, rows.stop, columns.stop) == (0, 8, 10)


@pytest.mark.parametrize(
    ("values", "step"),
    [
        (np.arange(256, dtype=np.uint8), 1.0),
        (np.arange(0, 4096, dtype=np.uint16) * 16, 16.0),
        (np.array([0, 255] * 50, np.uint8), 1.0),
        (np.repeat(np.arange(0, 4096, dtype=np.uint16) * 16, [9000] + 4095 * [1]), 16.0),
        (np.repeat(np.array([0, 3, 4], np.uint8), [9000, 1, 1]), 1.0),
        (np.arange(256) / 255, 1 / 255),
        ((np.arange(256) / 255).astype(np.float32), 1 / 255),
        ((np.arange(0, 65536, 7) / 65535).astype(np.float32), pytest.approx(7 / 65535, rel=1e-6)),
        (np.arange(0, 65536) / 65535, 1 / 65535),
        (np.arange(100.0), 1.0),
        (np.random.default_rng(0).random(1000), 0.0),
        (np.array([0.0, 1.0] * 50), 0.0),
    ],
)
def test_the_grid_of_the_values_is_recognised(values, step):
    assert grid_step(values.reshape(1, -1)) == step


def test_integers_are_not_seen_where_errors_would_allow_any():
    kernel = np.array([[0.1234, -0.3345], [0.77, 0.91]])
    assert as_integers(kernel, np.full((2, 2), 1e-3), 0.0) is None
    integers, divisor = as_integers(np.array([[-2, 3], [7, 13]]) / 17 + 1e-6, np.full((2, 2), 1e-6), 0.0)
    assert divisor == 17
    assert integers.tolist() == [[-2, 3], [7, 13]]
    rng = np.random.default_rng(4)
    assert all(as_integers(rng.normal(size=(3, 3)), np.full((3, 3), 1e-5), 0.0) is None for _ in range(200))


def test_statistics_are_plain_data():
    statistics = gather(np.ones((4, 4)), np.ones((3, 3)), (2, 2), 1.0, 1.0)
    assert isinstance(statistics, Statistics)
    assert not statistics.gram.any()
