"""Whole weights: which methods keep sums of whole pixels exact with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine.low_rank import factors
from kernelfield.engine.plan import whole_weights


def method_of(weights: NDArray[np.float64]) -> str | None:
    """Return the method that keeps sums with whole weights exact: any for rank 1, which has whole factors.

    Weights may be whole but for a power of two.

    Examples
    --------
    >>> method_of(np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0]]) / 16), method_of(np.eye(3))
    (None, 'direct')
    """
    whole = whole_weights(weights)
    if min(weights.shape) == 1 or (whole is not None and factors(whole[0], 1, 0.0) is not None):
        return None
    return "direct"
