"""The least-squares estimate of a kernel over a known support."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kernelfield.correlation import correlate
from kernelfield.errors import DataError
from kernelfield.learning.free import Free, fit_free
from kernelfield.learning.least_squares import Moments, Solution, solve
from kernelfield.learning.pair import Pair
from kernelfield.learning.residual import measure
from kernelfield.learning.separable import Lines, fit_lines
from kernelfield.learning.statistics import Statistics
from kernelfield.learning.support import Support
from kernelfield.learning.views import View

#: Weights up to which a Gram matrix of all of them is made.
LARGEST_GRAM = 1100


@dataclass(frozen=True)
class Estimate:
    """A kernel with its errors, and the statistics behind it.

    Attributes
    ----------
    support : Support
    statistics : list of Statistics
        One a plane; empty for a kernel without Gram matrix.
    moments : Moments
        Of a wide kernel without Gram matrix.
    solution : Solution
        Of a wide kernel without inverse.
    kernel, stderr : numpy.ndarray, shape (kh, kw)
    offsets : tuple of float
        One a plane.
    variance : float
        Of the residual.
    lines : Lines or None
        Column and row of a separable kernel.
    """

    support: Support
    statistics: list[Statistics]
    moments: Moments
    solution: Solution
    kernel: np.ndarray
    stderr: np.ndarray
    offsets: tuple[float, ...]
    variance: float
    lines: Lines | None = None

    def covariance(self, stderr: np.ndarray, support: Support) -> np.ndarray | None:
        """Return the covariance of weights with other errors and support, with the correlations of least squares.

        Weights outside the estimate's support do not vary. None where some weight is not determined, there is no Gram
        matrix, or float64 does not hold the squares of the errors.
        """
        if not self.whole or not np.isfinite(stderr).all():
            return None
        sd = np.sqrt(np.maximum(np.diag(self.solution.inverse), 0.0))
        sd[sd == 0.0] = 1.0
        rows, columns = np.indices(support.size).reshape(2, -1)
        rows, columns = rows + support.top - self.support.top, columns + support.left - self.support.left
        inside = (rows >= 0) & (rows < self.support.rows) & (columns >= 0) & (columns < self.support.columns)
        places = rows[inside] * self.support.columns + columns[inside]
        scale = np.where(inside, stderr.ravel(), 0.0)
        found = np.zeros((scale.size, scale.size))
        inverse = self.solution.inverse[np.ix_(places, places)]
        found[np.ix_(inside, inside)] = inverse / np.outer(sd[places], sd[places])
        with np.errstate(over="ignore", under="ignore"):
            squares = np.outer(scale, scale)
        if not np.isfinite(squares).all() or (np.diag(squares)[scale > 0.0] < np.finfo(float).tiny).any():
            return None
        found *= squares
        return found

    @property
    def whole(self) -> bool:
        """Whether there is a Gram matrix of all weights: wide and separable kernels have none."""
        return bool(self.statistics)


def estimate_kernel(pair: Pair, support: Support, near: Estimate | None = None) -> Estimate:
    """Return the least-squares kernel over `support`, refined by its residual where float64 sums are not enough.

    A separable kernel is found from one `near` it, where that is known.

    Raises
    ------
    DataError
        If there are fewer usable pixels than coefficients and offsets.
    """
    if support.separable:
        lines = fit_lines(pair.sample, support, _start(support, near))
        if lines is None:
            raise _too_few(support, 2 * support.parameters + len(pair.planes))
        return of_lines(pair, lines)
    if support.parameters > LARGEST_GRAM:
        free = fit_free(pair.sample, support)
        if free is None:
            raise _too_few(support, support.parameters + len(pair.planes))
        return _reduced(pair, free, np.full(support.size, free.error), free.rank)
    estimate = of_statistics(pair.statistics(support), support, pair.epsilon)
    moments, kernel, variance = estimate.moments, estimate.kernel, estimate.variance
    if pair.step == 0.0 and variance <= pair.exact_variance(moments.square, moments.count, float((kernel**2).sum())):
        for _ in range(2):
            offsets = tuple(s.offset(kernel) for s in estimate.statistics)
            residual = measure(pair, kernel, offsets, support, gradient=True)
            variance = residual.sd**2 * moments.count / moments.freedom
            kernel = kernel + (estimate.solution.inverse @ residual.gradient).reshape(support.size)
        estimate = _with_errors(estimate, kernel, variance, pair.epsilon)
    return estimate


def of_statistics(statistics: list[Statistics], support: Support, epsilon: float) -> Estimate:
    """Return the least-squares kernel from the statistics of each plane; `epsilon` is the rounding error of a value.

    Raises
    ------
    DataError
        If there are fewer positions than coefficients and offsets.
    """
    moments = sum((Moments.of(s) for s in statistics[1:]), start=Moments.of(statistics[0]))
    p = support.rows * support.columns
    if moments.count < p + moments.offsets:
        raise _too_few(support, p + moments.offsets, moments.count)
    solution = solve(moments)
    kernel = solution.kernel.reshape(support.size)
    found = Estimate(support, statistics, moments, solution, kernel, kernel, (), 0.0)
    return _with_errors(found, kernel, moments.unexplained(kernel) / moments.freedom, epsilon)


def _with_errors(estimate: Estimate, kernel: np.ndarray, variance: float, epsilon: float) -> Estimate:
    """Return an estimate with a kernel, the variance of its residual, and the errors and offsets that follow."""
    solution = estimate.solution
    stderr = np.sqrt(np.maximum(np.diag(solution.inverse), 0.0) * variance)
    # The producer rounded its weights and sums: no weight is known to better than half a unit in the last place.
    stderr = np.hypot(stderr, epsilon * np.abs(kernel).max() / np.sqrt(3.0))
    if solution.undetermined.size:
        stderr[(solution.undetermined**2).sum(axis=0) > 1e-9] = np.inf
    offsets = tuple(s.offset(kernel) for s in estimate.statistics)
    stderr = stderr.reshape(kernel.shape)
    return replace(estimate, kernel=kernel, stderr=stderr, offsets=offsets, variance=variance)


def _start(support: Support, near: Estimate | None) -> tuple[np.ndarray, np.ndarray] | None:
    """Return column and row of an estimate over another support."""
    if near is None or near.lines is None:
        return None
    result = []
    for line, first, own, n in (
        (near.lines.column, near.support.top, support.top, support.rows),
        (near.lines.row, near.support.left, support.left, support.columns),
    ):
        places = np.arange(own, own + n) - first
        inside = (places >= 0) & (places < line.size)
        result.append(np.where(inside, line[np.clip(places, 0, line.size - 1)], 0.0))
    return result[0], result[1]


def of_lines(pair: Pair, lines: Lines) -> Estimate:
    """Return the estimate of a separable kernel."""
    return replace(_reduced(pair, lines, lines.stderr(), lines.kernel.size), lines=lines)


def of_weights(pair: Pair, support: Support, kernel: np.ndarray, error: float) -> Estimate:
    """Return the estimate that is a kernel of known weights, with their standard error."""
    views = [View.of(plane, support, None) for plane in pair.planes]
    offsets, square, left = [], 0.0, 0.0
    for view in views:
        good = np.ones(view.y.shape, bool) if view.good is None else view.good
        values = view.y[good].astype(np.float64)
        residual = values - correlate(view.x, kernel, mode="valid", dtype=np.float64)[good]
        offsets.append(float(residual.mean()))
        square += float(((values - values.mean()) ** 2).sum())
        left += float(((residual - residual.mean()) ** 2).sum())
    count = sum(view.count for view in views)
    found = Free(support, kernel, error, tuple(offsets), square, left, count, kernel.size)
    return _reduced(pair, found, np.full(support.size, error), kernel.size)


def _reduced(pair: Pair, found: Lines | Free, stderr: np.ndarray, rank: int) -> Estimate:
    """Return an estimate without Gram matrix."""
    support, kernel = found.support, found.kernel
    offsets = support.parameters + len(found.offsets)
    moments = Moments(np.zeros((0, 0)), np.zeros(0), found.square, found.count, offsets)
    solution = Solution(kernel.ravel(), np.zeros((0, 0)), rank, np.zeros((0, kernel.size)))
    stderr = np.hypot(stderr, pair.epsilon * np.abs(kernel).max() / np.sqrt(3.0))
    return Estimate(support, [], moments, solution, kernel, stderr, found.offsets, found.variance)


def _too_few(support: Support, needed: int, received: int | None = None) -> DataError:
    seen = "" if received is None else f"received {received}; "
    return DataError(
        f"before, after: expected at least {needed} usable pixels for {support.rows}×{support.columns} coefficients "
        f"and an offset; {seen}take a smaller size, a larger image, or exclude less"
    )
