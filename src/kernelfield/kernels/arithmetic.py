"""What kernels do to each other and to waves: arrays with anchors in, arrays out."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]

# Rounding that a few sums and one division leave, relative to the largest weight.
ULPS = 8 * float(np.finfo(np.float64).eps)


def over_divisor(weights: Weights, max_divisor: int) -> tuple[NDArray[np.int64], int] | None:
    """Return the weights as integers over their smallest common divisor, None if they are not that."""
    divisor = 1
    slack = ULPS * float(np.abs(weights).max())
    for weight in np.unique(np.abs(weights)).tolist():
        # Fractions this coarse are far apart, so the nearest one is the only one in reach.
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
    """Return a column and a row whose outer product is `weights` of rank 1, the column of integers if it can be."""
    i, j = np.unravel_index(int(np.abs(weights).argmax()), weights.shape)
    peak = float(weights[i, j])
    if integral is not None:
        unit = float(np.gcd.reduce(integral[0][:, j])) / integral[1] * math.copysign(1, peak)
    else:
        unit = math.copysign(math.sqrt(abs(peak)), peak)
    column = weights[:, j] / unit
    return (np.rint(column) if integral is not None else column), weights[i] * (unit / peak)


def common_grid(*parts: tuple[Weights, tuple[int, int]]) -> tuple[list[Weights], tuple[int, int]]:
    """Return arrays of one shape with their anchors on the same element, zero where a part has none."""
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
    """Return the weights that do in one pass what `first` and `second` do in a row: their full convolution."""
    if first.size < second.size:
        first, second = second, first
    out = np.zeros(tuple(a + b - 1 for a, b in zip(first.shape, second.shape)))
    # A sum in this order keeps integers exact.
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
