"""Arithmetic on kernel weights: rational form, rank-1 factors, common grids, composition, frequency response."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]

# Rounding error of a few sums and one division, relative to the largest weight.
ULPS = 8 * float(np.finfo(np.float64).eps)


def over_divisor(weights: Weights, max_divisor: int) -> tuple[NDArray[np.int64], int] | None:
    """Return the weights as integers and their smallest common divisor, or None if it exceeds `max_divisor`."""
    divisor = 1
    slack = ULPS * float(np.abs(weights).max())
    for weight in np.unique(np.abs(weights)).tolist():
        # Such fractions are far apart: at most one lies within the rounding error.
        nearest = Fraction(weight).limit_denominator(max_divisor)
        if abs(float(nearest) - weight) > slack or (nearest == 0) != (weight == 0):
            return None
        divisor = math.lcm(divisor, nearest.denominator)
        if divisor > max_divisor:
            return None
    scaled = np.rint(weights * divisor)
    if np.abs(scaled).max() > 2**53:
        return None
    return scaled.astype(np.int64), divisor


def factors(weights: Weights, integral: tuple[NDArray[np.int64], int] | None) -> tuple[Weights, Weights]:
    """Return a column and a row whose outer product is `weights`, of rank 1; the column of integers where possible."""
    i, j = np.unravel_index(int(np.abs(weights).argmax()), weights.shape)
    peak = float(weights[i, j])
    if integral is not None:
        unit = float(np.gcd.reduce(integral[0][:, j])) / integral[1] * math.copysign(1, peak)
    else:
        unit = math.copysign(math.sqrt(abs(peak)), peak)
    column = weights[:, j] / unit
    return (np.rint(column) if integral is not None else column), weights[i] * (unit / peak)


def common_grid(*parts: tuple[Weights, tuple[int, int]]) -> tuple[list[Weights], tuple[int, int]]:
    """Return the arrays zero-padded to one shape with their anchors on the same element, and that element."""
    above, left = (max(anchor[axis] for _, anchor in parts) for axis in (0, 1))
    below, right = (max(w.shape[axis] - anchor[axis] for w, anchor in parts) for axis in (0, 1))
    grids = []
    for weights, anchor in parts:
        top, start = above - anchor[0], left - anchor[1]
        grid = np.zeros((above + below, left + right))
        grid[top : top + weights.shape[0], start : start + weights.shape[1]] = weights
        grids.append(grid)
    return grids, (above, left)


def composed(first: Weights, second: Weights) -> Weights:
    """Return the full convolution of two arrays: the kernel equivalent to applying one after the other."""
    if first.size < second.size:
        first, second = second, first
    out = np.zeros(tuple(a + b - 1 for a, b in zip(first.shape, second.shape)))
    # Direct sums keep integers exact; an FFT would not.
    for i, j in zip(*np.nonzero(second)):
        out[i : i + first.shape[0], j : j + first.shape[1]] += second[i, j] * first
    return out


def response(weights: Weights, anchor: tuple[int, int], rows: Weights, columns: Weights) -> NDArray[np.complex128]:
    """Return the factor by which cross-correlation multiplies a wave of each pair of frequencies."""
    down, right = (
        np.exp(2j * np.pi * np.outer(frequencies, np.arange(n) - a))
        for frequencies, n, a in zip((rows, columns), weights.shape, anchor)
    )
    return np.asarray(down @ weights @ right.T)
