"""Separable kernels against SciPy's least squares on all windows, and their formulas by differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from kernelfield.learning.pair import Pair, prepare
from kernelfield.learning.separable import Lines, fit_lines, leading, lines_at, tile_scores
from kernelfield.learning.support import Support

SUPPORT = Support(-1, -2, 3, 4, True)
COLUMN, ROW = np.array([0.5, 1.0, -0.2]), np.array([0.3, 1.0, 0.6, 0.1])


def made(noise: float = 1.0, bad: bool = False) -> tuple[Pair, list[np.ndarray], list[np.ndarray]]:
    """Return a pair of two planes, and their windows and afters at the positions that count."""
    rng = np.random.default_rng(0)
    shape = (38, 41)
    before = rng.normal(100.0, 20.0, (*shape, 2))
    rows, columns = SUPPORT.positions(shape, shape)
    views = np.lib.stride_tricks.sliding_window_view(before, SUPPORT.size, axis=(0, 1))
    after = np.full((*shape, 2), 50.0)
    after[rows, columns] = np.einsum("ijcab,a,b->ijc", views, COLUMN, ROW) + [3.0, -4.0]
    after += noise * rng.normal(size=after.shape)
    mask = np.ones((*shape, 2), bool)
    if bad:
        mask[..., 1] = rng.random(shape) > 0.01
    pair = prepare(before, np.ma.array(after, mask=~mask), clip=None, channel_axis=2)
    tables, values = [], []
    for c in range(2):
        good = mask[rows, columns, c].ravel()
        tables.append(views[:, :, c].reshape(-1, 12)[good])
        values.append(after[rows, columns, c].ravel()[good])
    return pair, tables, values


def residuals(parameters: np.ndarray, tables: list[np.ndarray], values: list[np.ndarray]) -> np.ndarray:
    """Return the residual of all planes, each about its mean."""
    kernel = np.outer(parameters[:3], parameters[3:]).ravel()
    left = [y - x @ kernel for x, y in zip(tables, values)]
    return np.concatenate([one - one.mean() for one in left])


@pytest.mark.parametrize("bad", [False, True])
def test_it_is_least_squares_of_a_column_and_a_row(bad):
    pair, tables, values = made(bad=bad)
    found = fit_lines(pair, SUPPORT)
    start = np.r_[COLUMN, ROW]
    expected = least_squares(residuals, start, args=(tables, values), x_scale=1.0, ftol=1e-14, xtol=1e-14, gtol=1e-14)
    kernel = np.outer(expected.x[:3], expected.x[3:])
    errors = found.stderr()
    assert (np.abs(found.kernel - kernel) < 0.02 * errors).all()
    square = 2.0 * expected.cost
    assert found.left == pytest.approx(square, rel=1e-6)
    assert found.count == sum(len(y) for y in values)
    assert found.square == pytest.approx(sum(((y - y.mean()) ** 2).sum() for y in values))
    # Of column and row the scale counts once, and each plane has an offset.
    assert found.freedom == found.count - 8
    assert found.variance == found.left / found.freedom
    offsets = [(y - x @ found.kernel.ravel()).mean() for x, y in zip(tables, values)]
    assert found.offsets == pytest.approx(offsets)
    # The errors of the products, by the derivative of each and the pseudo-inverse of the curvature.
    table = expected.jac
    spread = np.linalg.pinv(table.T @ table, rcond=1e-10) * found.variance
    slopes = np.zeros((12, 7))
    for i, j in np.ndindex(3, 4):
        slopes[4 * i + j, i], slopes[4 * i + j, 3 + j] = expected.x[3 + j], expected.x[i]
    sd = np.sqrt(np.einsum("ki,ij,kj->k", slopes, spread, slopes)).reshape(3, 4)
    np.testing.assert_allclose(errors, sd, rtol=0.02)


def test_column_and_row_have_one_norm_and_a_row_of_positive_sum():
    pair, _, _ = made()
    for start in (None, (-3.0 * COLUMN, -ROW), (np.zeros(3), ROW)):
        found = fit_lines(pair, SUPPORT, start)
        assert np.linalg.norm(found.column) == pytest.approx(np.linalg.norm(found.row))
        assert found.row.sum() > 0.0
        np.testing.assert_allclose(found.kernel, np.outer(COLUMN, ROW), atol=0.02)


def test_moments_of_one_line_have_the_other_free_but_for_its_scale():
    """What taking an element from a line costs: by the curvature, with the other line's best answer."""
    pair, _, _ = made()
    found = fit_lines(pair, SUPPORT)
    parameters = np.r_[found.column, found.row]
    for axis, n, mine in ((0, 3, slice(0, 3)), (1, 4, slice(3, 7))):
        moments = found.moments(axis)
        assert moments.gram.shape == (n, n)
        assert (moments.square, moments.count, moments.offsets) == (found.square, found.count, 2)
        own = parameters[mine]
        np.testing.assert_allclose(moments.cross, moments.gram @ own)
        other = np.setdiff1d(np.arange(7), np.arange(7)[mine])
        inner = found.curvature[np.ix_(other, other)]
        # The direction of the other line itself is held.
        direction = parameters[other] / np.linalg.norm(parameters[other])
        free = np.linalg.svd(direction[None])[2][1:].T
        cross = found.curvature[mine][:, other] @ free
        expected = found.curvature[mine, mine] - cross @ np.linalg.solve(free.T @ inner @ free, cross.T)
        np.testing.assert_allclose(moments.gram, expected, rtol=0.01, atol=1e-3 * np.abs(expected).max())


def test_the_curvature_is_that_of_the_tangents():
    pair, tables, _ = made(bad=True)
    found = fit_lines(pair, SUPPORT)
    table = 0.0
    for x in tables:
        windows = x.reshape(-1, 3, 4)
        tangents = np.hstack([windows @ found.row, np.einsum("nab,a->nb", windows, found.column)])
        tangents -= tangents.mean(axis=0)
        table = table + tangents.T @ tangents
    np.testing.assert_allclose(found.curvature, table, rtol=1e-9, atol=1e-9 * np.abs(table).max())


def test_too_few_positions_are_refused():
    pair, _, _ = made()
    bare = [np.zeros(plane.after.shape, bool) for plane in pair.planes]
    rows, columns = SUPPORT.positions(*pair.shapes)
    for keep, known in ((16, True), (15, False)):
        masks = [one.copy() for one in bare]
        for i, mask in enumerate(masks):
            inner = np.ones((rows.stop - rows.start, columns.stop - columns.start), bool).ravel()
            inner[: keep // 2 + (keep % 2) * i] = False
            mask[rows, columns] = inner.reshape(rows.stop - rows.start, -1)
        assert (fit_lines(pair.without(masks), SUPPORT) is not None) == known


def test_lines_of_given_weights():
    pair, tables, values = made()
    found = lines_at(pair, SUPPORT, COLUMN, ROW)
    left = residuals(np.r_[COLUMN, ROW], tables, values)
    assert found.left == pytest.approx(float(left @ left))
    assert not found.stderr().any()
    assert found.stderr().shape == (3, 4)


def test_scores_of_tiles_are_gradients_of_their_residuals():
    pair, tables, values = made()
    lines = lines_at(pair, SUPPORT, COLUMN, ROW)
    rows, columns = SUPPORT.positions(*pair.shapes)
    shape = rows.stop - rows.start, columns.stop - columns.start
    left = [(y - x @ lines.kernel.ravel()).reshape(shape) for x, y in zip(tables, values)]
    bands, strips = [slice(0, 20), slice(20, shape[0])], [slice(0, 9), slice(9, 25), slice(25, shape[1])]
    found = tile_scores(pair, lines, left, bands, strips)
    assert found.shape == (6, 7)
    expected = np.zeros((6, 7))
    for x, y in zip(tables, left):
        windows = x.reshape(*shape, 3, 4)
        for axes, line, place in (("ijab,b->ija", ROW, slice(0, 3)), ("ijab,a->ijb", COLUMN, slice(3, 7))):
            tangents = np.einsum(axes, windows, line)
            for t, (band, strip) in enumerate((b, s) for b in bands for s in strips):
                expected[t, place] += np.einsum("ij,ijk->k", y[band, strip], tangents[band, strip])
    # The filtered images are taken about constants, which multiply the sum of the residual in the tile.
    for t, (band, strip) in enumerate((b, s) for b in bands for s in strips):
        sums = [float(one[band, strip].sum()) for one in left]
        off = expected[t] - found[t]
        np.testing.assert_allclose(off[:3], off[0], atol=1e-6)
        np.testing.assert_allclose(off[3:], off[3], atol=1e-6)
        for value, line in ((off[0], ROW), (off[3], COLUMN)):
            assert value == pytest.approx(sum(sums) * 100.0 * line.sum(), rel=0.02, abs=30.0)


def test_the_nearest_separable_kernel():
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(4, 6))
    column, row = leading(kernel)
    left, values, right = np.linalg.svd(kernel)
    np.testing.assert_allclose(np.outer(column, row), values[0] * np.outer(left[:, 0], right[0]))
    assert np.linalg.norm(column) == pytest.approx(np.linalg.norm(row))


def test_errors_from_scores_are_those_of_the_sandwich():
    pair, _, _ = made()
    found = fit_lines(pair, SUPPORT)
    middle = found.curvature * found.variance
    np.testing.assert_allclose(found.stderr(middle), found.stderr(), rtol=1e-6)
    np.testing.assert_allclose(found.stderr(4.0 * middle), 2.0 * found.stderr(), rtol=1e-6)


def test_no_degrees_of_freedom_are_one():
    lines = Lines(SUPPORT, COLUMN, ROW, (0.0, 0.0), np.eye(7), 1.0, 3.0, 9)
    assert lines.freedom == 1
    assert Lines(SUPPORT, COLUMN, ROW, (0.0, 0.0), np.eye(7), 1.0, 3.0, 10).freedom == 2
    assert Lines(SUPPORT, COLUMN, ROW, (0.0, 0.0), np.eye(7), 1.0, 3.0, 2).variance == 3.0


def test_a_plane_without_a_pixel_that_counts_changes_nothing():
    pair, _, _ = made()
    alone = fit_lines(Pair(pair.planes[:1], pair.step, pair.epsilon, None), SUPPORT)
    nothing = np.ones(pair.shapes[1], bool)
    found = fit_lines(pair.without([None, nothing]), SUPPORT)
    np.testing.assert_allclose(found.kernel, alone.kernel, atol=1e-3)
    assert (found.square, found.count) == (pytest.approx(alone.square), alone.count)
    assert np.isfinite(found.offsets).all()


def test_a_small_unit_is_one():
    pair, _, _ = made()
    small = [replace(plane, after=1e-4 * plane.after, after_shift=1e-4 * plane.after_shift) for plane in pair.planes]
    found, plain = fit_lines(replace(pair, planes=tuple(small)), SUPPORT), fit_lines(pair, SUPPORT)
    np.testing.assert_allclose(found.kernel, 1e-4 * plain.kernel, atol=1e-7)
    assert found.square == pytest.approx(1e-8 * plain.square)
    assert found.left == pytest.approx(1e-8 * plain.left, rel=1e-4)
