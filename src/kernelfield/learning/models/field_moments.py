"""The normal equations of a kernel and a background that vary over the field, exactly, from sums over cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelfield.errors import DataError
from kernelfield.learning.field_basis import Axis, Basis, coefficients
from kernelfield.learning.least_squares import Moments
from kernelfield.learning.models.field_sums import cross_products, window_products, window_sums
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.support import Support

# Numbers of the explicit windows that are held at once.
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Design:
    """The regressors of one plane: functions of the place times windows, and the background.

    Attributes
    ----------
    support : Support
    kernel, background : Basis
    before_shift, after_shift : float
        Constants that are subtracted from the pixels.
    """

    support: Support
    kernel: Basis
    background: Basis
    before_shift: float
    after_shift: float

    @property
    def weights(self) -> int:
        """The number of weights of all kernels."""
        return self.kernel.count * self.support.rows * self.support.columns


def designs_of(pair: Pair, support: Support, order: int | tuple[int, int], background: int) -> list[Design]:
    """Return the regressors of each plane of a pair."""
    functions, others = (Basis(each, pair.shapes[1]) for each in (order, background))
    # A constant taken from the before changes the background as the kernel varies, and may if that is part of it.
    free = others.holds(functions)
    unit = pair.before_unit
    return [
        Design(support, functions, others, plane.before_shift if free else -unit.centre / unit.scale, plane.after_shift)
        for plane in pair.planes
    ]


def products(plane: Plane, design: Design, weights: np.ndarray | None = None) -> tuple[np.ndarray, int]:
    """Return the products of all columns of the design and of the after, summed over the positions, and their number.

    The columns are those of the kernels, one after the other, row-major; of the background; and the after.

    Parameters
    ----------
    plane : Plane
    design : Design
    weights : numpy.ndarray, shape (H, W) of the after, optional
        Weight of each squared residual; positions of weight 0 do not count.
    """
    positions = design.support.positions(plane.before.shape, plane.after.shape)
    shape = positions[0].stop - positions[0].start, positions[1].stop - positions[1].start
    bad = plane.excluded(design.support)
    if weights is not None:
        chosen = weights[positions] > 0.0 if bad is None else (weights[positions] > 0.0) & ~bad
        return _of_windows(plane, design, chosen, weights), int(chosen.sum())
    count = shape[0] * shape[1]
    if bad is not None:
        out = int(bad.sum())
        if 2 * out > count:
            return _of_windows(plane, design, ~bad), count - out
        return _of_lags(plane, design, positions) - _of_windows(plane, design, bad), count - out
    return _of_lags(plane, design, positions), count


def _of_lags(plane: Plane, design: Design, positions: tuple[slice, slice]) -> np.ndarray:
    """Return the products from lag products of the cells."""
    p = design.support.rows * design.support.columns
    m, own, other = design.kernel.count, design.kernel, design.background
    total = np.zeros((design.weights + other.count + 1,) * 2)
    square = np.zeros((m, p, m, p))
    for cell in own.cells(positions):
        if any(part.stop - part.start < n for part, n in zip(cell, design.support.size)):
            sizes = "×".join(str(part.stop - part.start) for part in cell)
            raise DataError(
                f"varying: expected cells of at least the kernel's {design.support.rows}×{design.support.columns}; "
                f"received one of {sizes} positions; take fewer nodes, or a smaller size"
            )
        windows = plane.before[design.support.windows(cell)]
        after = plane.after[cell].astype(np.float64) - design.after_shift
        axes = Axis.over(0, after.shape[0] - 1), Axis.over(0, after.shape[1] - 1)
        size, shift = design.support.size, design.before_shift
        held = window_products(windows, size, shift, axes, 2 * own.degree)
        for i, j, shares in _shares(own, own, cell, axes):
            if i <= j:
                square[i, :, j] += np.tensordot(shares, held, 2)
        sums = window_sums(windows, size, shift, axes, own.degree + other.degree)
        for i, j, shares in _shares(own, other, cell, axes):
            total[i * p : (i + 1) * p, design.weights + j] += np.tensordot(shares, sums, 2)
        cross = cross_products(after, windows, size, shift, axes, own.degree)
        for i, _, shares in _shares(own, Basis(0, own.shape), cell, axes):
            total[i * p : (i + 1) * p, -1] += np.tensordot(shares, cross, 2)
    for i in range(m):
        for j in range(i):
            square[i, :, j] = square[j, :, i].T
    total[: design.weights, : design.weights] = square.reshape(design.weights, design.weights)
    rows, columns = (other.along(axis, np.arange(part.start, part.stop)) for axis, part in enumerate(positions))
    down, across = rows[[a for a, _ in other.terms]], columns[[b for _, b in other.terms]]
    last = slice(design.weights, -1)
    after = plane.after[positions].astype(np.float64) - design.after_shift
    total[last, last] = (down @ down.T) * (across @ across.T)
    total[last, -1] = ((down @ after) * across).sum(axis=1)
    total[-1, -1] = float((after * after).sum())
    total[design.weights :, : design.weights] = total[: design.weights, design.weights :].T
    total[-1, last] = total[last, -1]
    return total


def _shares(
    a: Basis, b: Basis, cell: tuple[slice, slice], axes: tuple[Axis, Axis]
) -> list[tuple[int, int, np.ndarray]]:
    """Return the products of two functions that are not 0 in a cell, as coefficients of polynomials in the cell."""
    along = []
    for axis, (part, own) in enumerate(zip(cell, axes)):
        places = own.nodes(a.degree + b.degree) + part.start
        along.append(coefficients(a.along(axis, places)[:, None] * b.along(axis, places)[None]))
    result = []
    for i, (down, across) in enumerate(a.terms):
        for j, (other_down, other_across) in enumerate(b.terms):
            rows, columns = along[0][down, other_down], along[1][across, other_across]
            if rows.any() and columns.any():
                result.append((i, j, np.outer(rows, columns)))
    return result


def _of_windows(plane: Plane, design: Design, chosen: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the products at the chosen positions from their explicit windows."""
    positions = design.support.positions(plane.before.shape, plane.after.shape)
    rows, columns = np.nonzero(chosen)
    rows, columns = rows + positions[0].start, columns + positions[1].start
    pixels = plane.before[design.support.windows(positions)]
    views = np.lib.stride_tricks.sliding_window_view(pixels, design.support.size)
    p = design.support.rows * design.support.columns
    width = design.weights + design.background.count + 1
    total = np.zeros((width, width))
    step = max(1, _CHUNK // width)
    own, other = (
        [basis.along(axis, np.arange(n)) for axis, n in enumerate(basis.shape)]
        for basis in (design.kernel, design.background)
    )
    for start in range(0, rows.size, step):
        i, j = rows[start : start + step], columns[start : start + step]
        x = (
            views[i - positions[0].start, j - positions[1].start].reshape(-1, p).astype(np.float64)
            - design.before_shift
        )
        table = np.empty((len(i), width))
        for term, (a, b) in enumerate(design.kernel.terms):
            np.multiply(x, (own[0][a, i] * own[1][b, j])[:, None], out=table[:, term * p : (term + 1) * p])
        for term, (a, b) in enumerate(design.background.terms):
            table[:, design.weights + term] = other[0][a, i] * other[1][b, j]
        table[:, -1] = plane.after[i, j].astype(np.float64) - design.after_shift
        if weights is not None:
            table *= np.sqrt(weights[i, j])[:, None]
        total += table.T @ table
    return total


@dataclass(frozen=True)
class Normal:
    """The normal equations of all planes: kernels that they share and a background each.

    Attributes
    ----------
    totals : list of numpy.ndarray
        See `products`, one a plane.
    weights : int
        The number of weights of the kernels.
    count : int
        Positions that count.
    """

    totals: list[np.ndarray]
    weights: int
    count: int

    @property
    def total(self) -> float:
        """The sum of the weights of the residuals, where the first function of each background is 1."""
        return float(sum(total[self.weights, self.weights] for total in self.totals))

    def moments(self, kept: np.ndarray | None = None) -> Moments:
        """Return the moments of the kernels, the backgrounds eliminated; of some of the weights if given."""
        n = self.weights
        chosen = np.arange(n) if kept is None else kept
        gram = np.zeros((chosen.size, chosen.size))
        cross, square, offsets = np.zeros(chosen.size), 0.0, 0
        for total in self.totals:
            inner = total[n:-1, n:-1]
            both = np.linalg.solve(inner, total[n:-1][:, np.r_[chosen, total.shape[0] - 1]])
            gram += total[np.ix_(chosen, chosen)] - total[chosen, n:-1] @ both[:, :-1]
            cross += total[chosen, -1] - total[chosen, n:-1] @ both[:, -1]
            square += total[-1, -1] - float(total[-1, n:-1] @ both[:, -1])
            offsets += len(inner)
        return Moments((gram + gram.T) / 2.0, cross, max(square, 0.0), self.count, offsets)

    def backgrounds(self, kernels: np.ndarray) -> list[np.ndarray]:
        """Return the coefficients of each plane's background that belong to kernels."""
        n = self.weights
        return [np.linalg.solve(t[n:-1, n:-1], t[n:-1, -1] - t[n:-1, :n] @ kernels.ravel()) for t in self.totals]

    def background_errors(self, inverse: np.ndarray, sums: list[np.ndarray]) -> list[np.ndarray]:
        """Return the diagonal of the inverse of the equations for each background, less `sums` times the kernels.

        `inverse` is that of the kernels; `sums` has shape (functions of the background, weights of the kernels).
        """
        n, result = self.weights, []
        for total, own in zip(self.totals, sums):
            inner = np.linalg.inv(total[n:-1, n:-1])
            answer = inner @ total[n:-1, :n] + own
            result.append(np.diag(inner) + np.einsum("iu,uv,iv->i", answer, inverse, answer))
        return result
