"""Weights that are whole multiples of a power of two: sums of whole pixels are exact with them, in any order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine.low_rank import factors

Weights = NDArray[np.float64]


def whole_weights(weights: Weights) -> tuple[Weights, float] | None:
    """Return whole weights and the power of two that they were multiplied by; None if it is beyond 2**32.

    Examples
    --------
    >>> whole_weights(np.array([[0.25, 0.5]]))
    (array([[ 64., 128.]]), 256.0)
    >>> whole_weights(np.array([[0.1]])) is None
    True
    """
    for places in (0, 8, 16, 24, 32):
        one = 2.0**places
        scaled = weights * one
        if (scaled == np.rint(scaled)).all():
            return scaled, one
    return None


def method_of(weights: Weights) -> str | None:
    """Return the method that keeps sums with whole weights exact: any for rank 1, which has whole factors."""
    if min(weights.shape) == 1 or factors(weights, 1) is not None:
        return None
    return "direct"
