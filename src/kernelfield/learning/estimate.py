"""The least-squares estimate of a kernel over a known support, and its correction for rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kernelfield.errors import DataError
from kernelfield.learning.least_squares import Moments, Solution, solve
from kernelfield.learning.pair import Pair
from kernelfield.learning.quantisation import corrected, find_whole
from kernelfield.learning.residual import measure
from kernelfield.learning.statistics import Statistics
from kernelfield.learning.support import Support


@dataclass(frozen=True)
class Estimate:
    """A kernel with its errors, and the statistics behind it.

    Attributes
    ----------
    support : Support
    censor : bool
        Whether clipped values were excluded.
    statistics : list of Statistics
        One a plane.
    moments : Moments
    solution : Solution
    kernel, stderr : numpy.ndarray, shape (kh, kw)
    offsets : tuple of float
        One a plane.
    variance : float
        Of the residual.
    whole : (numpy.ndarray, int) or None
        Integers and divisor that reproduce every pixel.
    rounding : str or None
        How the producer rounds, as in `kernelfield.learning.fit.Fit`.
    """

    support: Support
    censor: bool
    statistics: list[Statistics]
    moments: Moments
    solution: Solution
    kernel: np.ndarray
    stderr: np.ndarray
    offsets: tuple[float, ...]
    variance: float
    whole: tuple[np.ndarray, int] | None = None
    rounding: str | None = None


def estimate_kernel(pair: Pair, support: Support, censor: bool) -> Estimate:
    """Return the least-squares kernel over `support`, refined by its residual where float64 sums are not enough.

    Raises
    ------
    DataError
        If there are fewer usable pixels than coefficients and offsets.
    """
    statistics = pair.statistics(support, censor)
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
            residual = measure(pair, kernel, offsets, support, censor, gradient=True)
            variance = residual.sd**2 * moments.count / moments.freedom
            kernel = kernel + (solution.inverse @ residual.gradient).reshape(support.size)
    stderr = np.sqrt(np.maximum(np.diag(solution.inverse), 0.0) * variance)
    # The producer rounded its weights and sums: no weight is known to better than half a unit in the last place.
    stderr = np.hypot(stderr, pair.epsilon * np.abs(kernel).max() / np.sqrt(3.0))
    if solution.undetermined.size:
        stderr[(solution.undetermined**2).sum(axis=0) > 1e-9] = np.inf
    offsets = tuple(s.offset(kernel) for s in statistics)
    stderr = stderr.reshape(support.size)
    return Estimate(support, censor, statistics, moments, solution, kernel, stderr, offsets, variance)


def polish(pair: Pair, estimate: Estimate) -> Estimate:
    """Return the estimate corrected for the rounding of the after; see `quantisation`."""
    kernel, stderr, support, censor = estimate.kernel, estimate.stderr, estimate.support, estimate.censor
    found = find_whole(pair, kernel, stderr, support, censor)
    if not found:
        better = corrected(pair, kernel, estimate.statistics, estimate.solution.inverse, support, censor)
        stderr = np.hypot(stderr, np.abs(better - kernel) / 2.0)
        kernel = better
        found = find_whole(pair, kernel, stderr, support, censor)
    if found:
        return replace(
            estimate,
            kernel=found.integers / found.divisor,
            stderr=stderr,
            offsets=found.offsets,
            whole=(found.integers, found.divisor),
            rounding=found.rounding,
        )
    offsets = tuple(s.offset(kernel) for s in estimate.statistics)
    return replace(estimate, kernel=kernel, stderr=stderr, offsets=offsets, rounding=_rounding(offsets, pair.step))


def _rounding(offsets: tuple[float, ...], step: float) -> str:
    """Return the rounding mode of the producer: truncation leaves offsets half a step low."""
    fractions = [offset / step - np.floor(offset / step) for offset in offsets]
    return "truncated" if all(0.25 < fraction < 0.75 for fraction in fractions) else "nearest"
