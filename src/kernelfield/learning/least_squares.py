"""Least squares from the statistics of a pair: the kernel, its covariance, and its undetermined directions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kernelfield.learning.factors import inverted, solved
from kernelfield.learning.statistics import Statistics

# Coefficients from which on a factorisation without eigenvalues is tried first.
_LARGE = 64
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Moments:
    """Centred sums, with the offset eliminated; moments of channels that share a kernel add.

    Attributes
    ----------
    gram : numpy.ndarray, shape (p, p)
    cross : numpy.ndarray, shape (p,)
    square : float
        The sum of squares of the after about its mean.
    count : int
        Positions.
    offsets : int
        Offsets eliminated, one per channel.
    """

    gram: np.ndarray
    cross: np.ndarray
    square: float
    count: int
    offsets: int = 1

    @classmethod
    def of(cls, statistics: Statistics) -> Moments:
        """Return the moments of one channel."""
        return cls(*statistics.centred(), statistics.count)

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both channels, each about its own mean."""
        return Moments(
            self.gram + other.gram,
            self.cross + other.cross,
            self.square + other.square,
            self.count + other.count,
            self.offsets + other.offsets,
        )

    @cached_property
    def _ridge_factor(self) -> np.ndarray:
        """The Cholesky factor of the Gram matrix with a ridge at the edge of float64.

        Directions that the pair does not determine get a huge variance and a negligible weight.
        """
        p = self.cross.size
        ridge = max(float(np.trace(self.gram)) / p, 0.0) * 64 * p * _EPSILON or 1.0
        while True:
            matrix = self.gram.copy()
            matrix[np.diag_indices(p)] += ridge
            try:
                factor: np.ndarray = np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:
                ridge *= 100.0
                continue
            return factor

    @cached_property
    def ridge_kernel(self) -> np.ndarray:
        """The solution with a ridge at the edge of float64."""
        return self.ridge_solution(self.cross)

    @cached_property
    def ridge_inverse(self) -> np.ndarray:
        """The inverse of the Gram matrix with a ridge at the edge of float64."""
        return self.ridge_solution(np.eye(self.cross.size))

    def ridge_solution(self, cross: np.ndarray) -> np.ndarray:
        """Return the solutions for products with other afters, shape (p,) or (p, n), with the same ridge."""
        return solved(self._ridge_factor, cross)

    def unexplained(self, kernel: np.ndarray) -> float:
        """Return the residual sum of squares of the coefficients `kernel`, at least the resolution of float64."""
        k = kernel.ravel()
        left = self.square - 2.0 * float(k @ self.cross) + float(k @ self.gram @ k)
        return max(left, self.square * _EPSILON)

    @property
    def freedom(self) -> int:
        """Degrees of freedom: positions minus coefficients and offsets, at least 1."""
        return max(1, self.count - self.cross.size - self.offsets)


@dataclass(frozen=True)
class Solution:
    """The least-squares kernel of minimum norm.

    Attributes
    ----------
    kernel : numpy.ndarray, shape (p,)
    inverse : numpy.ndarray, shape (p, p)
        Pseudo-inverse of the Gram matrix; times the variance of the residual it is the covariance.
    rank : int
        Number of directions that the pair determines.
    undetermined : numpy.ndarray, shape (p - rank, p)
        Orthonormal directions that can be added to the kernel without changing the residual; none of a kernel
        without Gram matrix.
    """

    kernel: np.ndarray
    inverse: np.ndarray
    rank: int
    undetermined: np.ndarray


def _well_conditioned(moments: Moments) -> Solution | None:
    """Return the solution by Cholesky's factorisation, three times as fast, where no direction is in doubt."""
    p = moments.cross.size
    try:
        factor = np.linalg.cholesky(moments.gram)
    except np.linalg.LinAlgError:
        return None
    pivots = np.diag(factor) ** 2
    if not pivots.min() > 1e-9 * pivots.max():
        return None
    half = inverted(factor)
    return Solution(solved(factor, moments.cross), half.T @ half, p, np.zeros((0, p)))


def solve(moments: Moments) -> Solution:
    """Return the least-squares kernel, of minimum norm if the pair does not determine it.

    The eigenvalues of the Gram matrix below ``8 p`` units of rounding of the largest count as zero (after
    Golub and Van Loan, *Matrix Computations*, 4th ed., section 5.5.8, for products accumulated in float64).
    """
    p = moments.cross.size
    if p > _LARGE:
        quick = _well_conditioned(moments)
        if quick is not None:
            return quick
    values, vectors = np.linalg.eigh(moments.gram)
    largest = float(values[-1])
    kept = values > max(largest, 0.0) * max(p, 8) * 8 * _EPSILON
    basis = vectors[:, kept]
    inverse = (basis / values[kept]) @ basis.T
    kernel = basis @ ((basis.T @ moments.cross) / values[kept])
    return Solution(kernel, inverse, int(kept.sum()), vectors[:, ~kept].T)
