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
from kernelfield.learning.statistics import Statistics, gather, gather_parts, shift_near_mean
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
    # Float64 holds sums of these integers exactly in any order, below 2**53, and BLAS has no product of integers.
    whole = np.lib.stride_tricks.sliding_window_view(before.astype(np.float64) - 128, (5, 7)).reshape(-1, 35)
    right = after.astype(np.float64).ravel() - 120
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


def sums_of(before: np.ndarray, after: np.ndarray, size: tuple[int, int], shifts: tuple[float, float]) -> Statistics:
    """Return the statistics by their definition."""
    windows, right = windows_of(before, size) - shifts[0], after.ravel() - shifts[1]
    return Statistics(
        size,
        right.size,
        windows.T @ windows,
        right @ windows,
        windows.sum(axis=0),
        float(right.sum()),
        float(right @ right),
        *shifts,
    )


def same(a: Statistics, b: Statistics) -> None:
    assert (a.size, a.count, a.before_shift, a.after_shift) == (b.size, b.count, b.before_shift, b.after_shift)
    for name in ("gram", "cross", "total", "after_total", "after_square"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-9, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("small", [0, 1 << 40])
@pytest.mark.parametrize("shape", [(2, 30), (3, 4), (3, 30), (30, 3), (30, 4), (40, 33)])
def test_the_sums_are_those_of_the_definition(monkeypatch, small, shape):
    monkeypatch.setattr(module, "_SMALL", small)
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 99, (shape[0] + 2, shape[1] + 3)), rng.integers(0, 99, shape)
    for dtype in ("uint8", "float64"):
        got = gather(before.astype(dtype), after.astype(dtype), (3, 4), 50.0, 40.0)
        same(got, sums_of(before, after, (3, 4), (50.0, 40.0)))
        bad = rng.random(shape) < 0.7
        some = gather(before.astype(dtype), after.astype(dtype), (3, 4), 50.0, 40.0, bad)
        assert some.count == (~bad).sum()


def test_sums_about_other_shifts_and_those_of_parts_with_their_own():
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 99, (30, 21)).astype(float), rng.integers(0, 99, (29, 19)).astype(float)
    one = sums_of(before[:14], after[:13], (2, 3), (50.0, 7.0))
    same(one.shifted(20.0, -3.0), sums_of(before[:14], after[:13], (2, 3), (20.0, -3.0)))
    other = sums_of(before[13:], after[13:], (2, 3), (5.0, 60.0))
    both = one + other
    # The shifts are whole numbers near the means of all, being whole in both.
    means = windows_of(before, (2, 3)).mean(), after.mean()
    same(both, sums_of(before, after, (2, 3), (float(round(means[0])), float(round(means[1])))))
    for half in (one, other):
        rest = other if half is one else one
        mixed = half.shifted(half.before_shift + 0.5, half.after_shift - 0.25) + rest
        assert mixed.before_shift == float(np.float32(means[0]))
        assert mixed.after_shift == float(np.float32(means[1]))
    same(both - other.shifted(both.before_shift, both.after_shift), one.shifted(both.before_shift, both.after_shift))


def test_sums_about_the_same_shifts_keep_them():
    before, after = np.arange(42.0).reshape(6, 7), np.arange(42.0).reshape(6, 7) ** 2
    one, other = (sums_of(before[a : a + 3], after[a : a + 3], (1, 1), (-500.0, 1000.0)) for a in (0, 3))
    same(one + other, sums_of(before, after, (1, 1), (-500.0, 1000.0)))
    point = sums_of(before[:1, :1] + 4.0, after[:1, :1] + 6.0, (1, 1), (1.0, 2.0))
    assert (point.centred()[0].item(), point.centred()[1].item(), point.centred()[2]) == (0.0, 0.0, 0.0)
    none = Statistics((1, 1), 0, np.zeros((1, 1)), np.zeros(1), np.zeros(1), 0.0, 0.0, 7.0, 7.0)
    assert ((point + none).before_shift, (point + none).after_shift) == (4.0, 6.0)


def test_what_follows_from_the_sums():
    rng = np.random.default_rng(0)
    before, after, kernel = rng.normal(4.0, 1.0, (30, 21)), rng.normal(9.0, 2.0, (29, 19)), rng.normal(size=(2, 3))
    sums = sums_of(before, after, (2, 3), (3.0, 8.0))
    windows, right = windows_of(before, (2, 3)), after.ravel()
    left = right - windows @ kernel.ravel()
    assert sums.offset(kernel) == pytest.approx(left.mean())
    for offset in (0.0, 2.5, -7.0):
        assert sums.unexplained(kernel, offset) == pytest.approx(((left - offset) ** 2).sum())
    gram, cross, square = sums.centred()
    about, values = windows - windows.mean(axis=0), right - right.mean()
    np.testing.assert_allclose(gram, about.T @ about, atol=1e-8)
    np.testing.assert_allclose(cross, about.T @ values, atol=1e-8)
    assert square == pytest.approx(values @ values)
    exact = sums_of(before, windows_of(before, (2, 3)).sum(axis=1).reshape(29, 19), (2, 3), (3.0, 8.0))
    assert 0.0 <= exact.unexplained(np.ones((2, 3)), 0.0) < 1e-9
    none = Statistics((1, 1), 0, np.zeros((1, 1)), np.zeros(1), np.zeros(1), 0.0, 0.0, 2.0, 5.0)
    assert none.offset(np.array([[3.0]])) == -1.0
    assert none.centred()[2] == 0.0


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("shape", [(5, 7), (64, 65), (127, 128), (200, 30)])
def test_shifts_lie_near_the_mean(dtype, shape):
    image = (100.0 * np.random.default_rng(0).random(shape)).astype(dtype)
    sample = image[:: max(1, shape[0] // 64), :: max(1, shape[1] // 64)].astype(np.float64)
    mean = float(sample.mean())
    expected = float(round(mean)) if dtype == "uint8" else float(np.float32(mean))
    assert shift_near_mean(image) == expected
    bad = np.zeros(shape, bool)
    bad[: shape[0] // 2] = True
    kept = sample[~bad[:: max(1, shape[0] // 64), :: max(1, shape[1] // 64)]]
    assert shift_near_mean(image, bad) == pytest.approx(kept.mean(), abs=0.5 if dtype == "uint8" else 1e-4)


def test_shifts_of_few_pixels_that_count():
    image = np.arange(200.0 * 200).reshape(200, 200)
    bad = np.ones(image.shape, bool)
    # No pixel of the sample, every third of both axes, counts.
    bad[1::3, 1::3] = False
    few = image[~bad][::9]
    assert shift_near_mean(image, bad) == float(np.float32(few.mean()))
