"""Kernels that are the product of a column and a row, fitted without a Gram matrix of their weights.

A kernel of 255×255 weights has a Gram matrix of 34 GB; its column and row have 510 weights. The model is linear in each
of them: Gauss and Newton's steps, with the curvature from a sample of the positions and the gradient from all of them,
lead to the least squares of all. The first step begins at the quotient of the images' spectra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kernelfield._core import lag_products
from kernelfield.correlation import correlate
from kernelfield.learning.least_squares import Moments
from kernelfield.learning.pair import Pair
from kernelfield.learning.support import Support
from kernelfield.learning.views import View, quotient

# Positions of the sample for the curvature, for each parameter and at least; steps at most, and the decrease, in
# variances of the residual, below which they end.
_PER_PARAMETER, _FEWEST, _STEPS, _DECREASE = 30, 10_000, 60, 0.02


@dataclass(frozen=True)
class Lines:
    """A separable kernel, ``outer(column, row)``, with its errors.

    Attributes
    ----------
    support : Support
    column, row : numpy.ndarray, shapes (kh,) and (kw,)
    offsets : tuple of float
        One a plane.
    curvature : numpy.ndarray, shape (kh + kw, kh + kw)
        Of half the sum of squares, in column and row.
    square : float
        The sum of squares of the after about its mean.
    left : float
        The sum of squares of the residual.
    count : int
        Positions.
    """

    support: Support
    column: np.ndarray
    row: np.ndarray
    offsets: tuple[float, ...]
    curvature: np.ndarray
    square: float
    left: float
    count: int

    @property
    def kernel(self) -> np.ndarray:
        """The weights, shape (kh, kw)."""
        product: np.ndarray = np.outer(self.column, self.row)
        return product

    @property
    def freedom(self) -> int:
        """Degrees of freedom: positions minus parameters, of which the scale counts once, and offsets."""
        return max(1, self.count - self.column.size - self.row.size + 1 - len(self.offsets))

    @property
    def variance(self) -> float:
        """Variance of the residual."""
        return self.left / self.freedom

    def stderr(self, middle: np.ndarray | None = None) -> np.ndarray:
        """Return the standard errors of the weights, shape (kh, kw).

        Parameters
        ----------
        middle : numpy.ndarray, shape (kh + kw, kh + kw), optional
            Covariance of the gradient, as of scores summed over tiles; by default that of independent residuals.
        """
        if not self.curvature.any():
            return np.zeros((self.column.size, self.row.size))
        held = self.curvature + _held(self.column, self.row, self.curvature)
        inverse = np.linalg.pinv(held, len(held) * np.finfo(np.float64).eps, hermitian=True)
        covariance = inverse * self.variance if middle is None else inverse @ middle @ inverse
        n = self.column.size
        across = np.multiply.outer(np.diag(covariance)[:n], self.row**2)
        down = np.multiply.outer(self.column**2, np.diag(covariance)[n:])
        both = 2.0 * np.outer(self.column, self.row) * covariance[:n, n:]
        errors: np.ndarray = np.sqrt(np.maximum(across + down + both, 0.0))
        return errors

    def moments(self, axis: int) -> Moments:
        """Return the moments of the column (axis 0) or the row (axis 1), with the other free but for its scale."""
        n = self.column.size
        mine, other = (slice(0, n), slice(n, None)) if axis == 0 else (slice(n, None), slice(0, n))
        values, fixed = (self.column, self.row) if axis == 0 else (self.row, self.column)
        inner = self.curvature[other, other]
        scale = float(np.trace(inner)) / max(1, len(inner))
        inner = inner + np.outer(fixed, fixed) * (1e3 * scale / max(float(fixed @ fixed), 1e-300))
        inner[np.diag_indices_from(inner)] += 1e-10 * scale
        cross = self.curvature[mine, other]
        gram = self.curvature[mine, mine] - cross @ np.linalg.solve(inner, cross.T)
        gram = (gram + gram.T) / 2.0
        return Moments(gram, gram @ values, self.square, self.count, len(self.offsets))


def fit_lines(
    pair: Pair, support: Support, start: tuple[np.ndarray, np.ndarray] | None = None, most: int | None = None
) -> Lines | None:
    """Return the separable kernel of least squares; None if too few positions are left.

    Parameters
    ----------
    pair : Pair
    support : Support
    start : (numpy.ndarray, numpy.ndarray), optional
        Column and row to begin with; by default those of the quotient of spectra.
    most : int, optional
        Number of positions of a band in the middle of the pair to use; by default all.
    """
    views = [View.of(plane, support, most) for plane in pair.planes]
    parameters = support.rows + support.columns
    if sum(view.count for view in views) < 2 * parameters + len(views) or min(min(view.y.shape) for view in views) < 1:
        return None
    column, row = _balanced(*(start or leading(quotient(views[0], support))))
    at = _evaluated(views, column, row)
    curvature = _curvature(views, column, row)
    damping, accepted, fresh = 1e-5, 0, True
    for _ in range(_STEPS):
        diagonal = np.diag(curvature)
        system = curvature + np.diag(damping * diagonal + 1e-13 * diagonal.max())
        change = np.linalg.solve(system, at.gradient)
        foreseen = float(change @ at.gradient)
        least = _DECREASE * at.left / max(1, at.count - parameters)
        trial = _balanced(column + change[: support.rows], row + change[support.rows :])
        found = _evaluated(views, *trial)
        gained = at.left - found.left
        if gained > 0.0:
            (column, row), at = trial, found
            damping, accepted = max(damping / 3.0, 1e-9), accepted + 1
            if gained < least:
                break
        elif foreseen < least or damping > 1e3:
            break
        else:
            damping = max(30.0 * damping, 1e-6)
        # The first steps change much; later ones hardly bend the surface.
        fresh = accepted in (1, 3) or (gained < 0.2 * foreseen and not fresh)
        if fresh:
            curvature = _curvature(views, column, row)
    curvature = _curvature(views, column, row)
    return Lines(support, column, row, at.offsets, curvature, at.square, at.left, at.count)


def lines_at(pair: Pair, support: Support, column: np.ndarray, row: np.ndarray) -> Lines:
    """Return a separable kernel of given weights, without errors."""
    at = _evaluated([View.of(plane, support, None) for plane in pair.planes], column, row)
    none = np.zeros((column.size + row.size,) * 2)
    return Lines(support, column, row, at.offsets, none, at.square, at.left, at.count)


def tile_scores(
    pair: Pair, lines: Lines, residuals: Sequence[np.ndarray], rows: Sequence[slice], columns: Sequence[slice]
) -> np.ndarray:
    """Return the gradient of each tile, shape (tiles, kh + kw); `residuals` are 0 where they do not count."""
    n, support = lines.column.size, lines.support
    scores = np.zeros((len(rows), len(columns), n + lines.row.size))
    for plane, residual in zip(pair.planes, residuals):
        x = plane.before[support.windows(support.positions(plane.before.shape, plane.after.shape))]
        x = x.astype(np.float64) - plane.before_shift
        across = correlate(x, lines.row[None], mode="valid", dtype=np.float64)
        down = correlate(x, lines.column[:, None], mode="valid", dtype=np.float64)
        across -= across.mean()
        down -= down.mean()
        for i, band in enumerate(rows):
            for j, strip in enumerate(columns):
                inner = np.ascontiguousarray(residual[band, strip], np.float64)
                above = across[band.start : band.stop + n - 1, strip]
                beside = down[band, strip.start : strip.stop + lines.row.size - 1]
                scores[i, j, :n] += lag_products(inner, above, (n, 1), len(inner))[0].ravel()
                scores[i, j, n:] += lag_products(inner, beside, (1, lines.row.size), len(inner))[0].ravel()
    return scores.reshape(len(rows) * len(columns), -1)


def leading(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the column and row of the nearest separable kernel."""
    left, values, right = np.linalg.svd(kernel, full_matrices=False)
    root = float(np.sqrt(values[0]))
    return left[:, 0] * root, right[0] * root


def _balanced(column: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return column and row of one norm and the sign that makes the row's sum positive."""
    a, b = float(np.linalg.norm(column)), float(np.linalg.norm(row))
    if not (a > 0.0 and b > 0.0):
        return np.full_like(column, 1.0 / column.size), np.full_like(row, 1.0 / row.size)
    ratio = np.sqrt(b / a) * (-1.0 if row.sum() < 0.0 else 1.0)
    return column * ratio, row / ratio


def _held(column: np.ndarray, row: np.ndarray, curvature: np.ndarray) -> np.ndarray:
    """Return a matrix that holds the scale between column and row, which changes nothing."""
    direction = np.append(column, -row)
    scaled: np.ndarray = np.outer(direction, direction) * (float(np.trace(curvature)) / float(direction @ direction))
    return scaled


@dataclass(frozen=True)
class _Point:
    """A column and a row evaluated: sums of squares, the gradient of half the residual's, offsets and positions."""

    left: float
    square: float
    gradient: np.ndarray
    offsets: tuple[float, ...]
    count: int


def _evaluated(views: Sequence[View], column: np.ndarray, row: np.ndarray) -> _Point:
    """Return the residual's sum of squares, with the best offsets, and its gradient."""
    left, square, count, offsets = 0.0, 0.0, 0, []
    gradient = np.zeros(column.size + row.size)
    n, total = column.size, float(column.sum() * row.sum())
    for view in views:
        sums, own, own_square, own_total, own_left = np.zeros(gradient.size), 0, 0.0, 0.0, 0.0
        slope, missed, about = np.zeros(gradient.size), 0.0, None
        for x, y, good in view.blocks(n):
            across = correlate(x, row[None], mode="valid", dtype=np.float64)
            down = correlate(x, column[:, None], mode="valid", dtype=np.float64)
            residual = y - correlate(across, column[:, None], mode="valid", dtype=np.float64)
            counts = np.ones(y.shape) if good is None else good.astype(np.float64)
            if about is None:
                # A constant near the mean: squares of large offsets would hide a small residual.
                about = float(residual.mean())
            residual -= about
            residual *= counts
            own += int(counts.sum())
            own_square += float((y * y * counts).sum())
            own_total += float((y * counts).sum())
            own_left += float((residual * residual).sum())
            missed += float(residual.sum())
            for which, weights in ((slope, residual), (sums, counts)):
                which[:n] += lag_products(weights, across, (n, 1), len(weights))[0].ravel()
                which[n:] += lag_products(weights, down, (1, row.size), len(weights))[0].ravel()
        mean = missed / max(1, own)
        offsets.append((about or 0.0) + mean + view.after_shift - view.before_shift * total)
        left += max(own_left - mean * missed, 0.0)
        square += max(own_square - own_total**2 / max(1, own), 0.0)
        gradient += slope - mean * sums
        count += own
    return _Point(left, square, gradient, tuple(offsets), count)


def _curvature(views: Sequence[View], column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the curvature of half the sum of squares from a sample of the positions, Gauss and Newton's part."""
    parameters = column.size + row.size
    total = np.zeros((parameters, parameters))
    rng = np.random.default_rng(0)
    most = max(_FEWEST, _PER_PARAMETER * parameters) // len(views)
    for view in views:
        places = np.flatnonzero(view.good) if view.good is not None else np.arange(view.y.size)
        if not places.size:
            continue
        chosen = places if places.size <= most else np.sort(rng.choice(places, most, replace=False))
        where = np.unravel_index(chosen, view.y.shape)
        x = view.x.astype(np.float64) - view.before_shift
        across = correlate(x, row[None], mode="valid", dtype=np.float64)
        down = correlate(x, column[:, None], mode="valid", dtype=np.float64)
        tangents = np.hstack(
            [
                np.lib.stride_tricks.sliding_window_view(across, column.size, axis=0)[where],
                np.lib.stride_tricks.sliding_window_view(down, row.size, axis=1)[where],
            ]
        )
        tangents -= tangents.mean(axis=0)
        total += tangents.T @ tangents * (view.count / chosen.size)
    return total
