"""The least-squares estimate of a kernel over a known support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelfield.errors import DataError
from kernelfield.learning.least_squares import Moments, Solution, solve
from kernelfield.learning.pair import Pair
from kernelfield.learning.residual import measure
from kernelfield.learning.statistics import Statistics
from kernelfield.learning.support import Support


@dataclass(frozen=True)
class Estimate:
    """A kernel with its errors, and the statistics behind it.

    Attributes
    ----------
    support : Support
    statistics : list of Statistics
        One a plane.
    moments : Moments
    solution : Solution
    kernel, stderr : numpy.ndarray, shape (kh, kw)
    offsets : tuple of float
        One a plane.
    variance : float
        Of the residual.
    """

    support: Support
    statistics: list[Statistics]
    moments: Moments
    solution: Solution
    kernel: np.ndarray
    stderr: np.ndarray
    offsets: tuple[float, ...]
    variance: float


def estimate_kernel(pair: Pair, support: Support) -> Estimate:
    """Return the least-squares kernel over `support`, refined by its residual where float64 sums are not enough.

    Raises
    ------
    DataError
        If there are fewer usable pixels than coefficients and offsets.
    """
    statistics = pair.statistics(support)
    moments = sum((Moments.of(s) for s in statistics[1:]), start=Moments.of(statistics[0]))
    p = support.rows * support.columns
    if moments.count < p + moments.offsets:
        raise DataError(
            f"before, after: expected at least {p + moments.offsets} usable pixels for "
            f"{support.rows}×{support.columns} coefficients and an offset; received {moments.count}; take a smaller "
            "size, a larger image, or exclude less"
        )
    solution = solve(moments)
    kernel = solution.kernel.reshape(support.size)
    variance = moments.unexplained(kernel) / moments.freedom
    energy = float((kernel**2).sum())
    if pair.step == 0.0 and variance <= pair.exact_variance(moments.square, moments.count, energy):
        for _ in range(2):
            offsets = tuple(s.offset(kernel) for s in statistics)
            residual = measure(pair, kernel, offsets, support, gradient=True)
            variance = residual.sd**2 * moments.count / moments.freedom
            kernel = kernel + (solution.inverse @ residual.gradient).reshape(support.size)
    stderr = np.sqrt(np.maximum(np.diag(solution.inverse), 0.0) * variance)
    # The producer rounded its weights and sums: no weight is known to better than half a unit in the last place.
    stderr = np.hypot(stderr, pair.epsilon * np.abs(kernel).max() / np.sqrt(3.0))
    if solution.undetermined.size:
        stderr[(solution.undetermined**2).sum(axis=0) > 1e-9] = np.inf
    offsets = tuple(s.offset(kernel) for s in statistics)
    stderr = stderr.reshape(support.size)
    return Estimate(support, statistics, moments, solution, kernel, stderr, offsets, variance)
