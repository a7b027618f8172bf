"""The method that keeps sums of whole pixels exact for a kernel of whole weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine.low_rank import factors
from kernelfield.engine.plan import whole_weights


def exact_method(weights: NDArray[np.float64]) -> str | None:
    """Return the method whose sums are exact for whole weights: None, any, for rank 1, which has whole factors.

    The weights may be whole numbers times a power of two.

    Examples
    --------
    >>> exact_method(np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0]]) / 16), exact_method(np.eye(3))
    (None, 'direct')
    """
    whole = whole_weights(weights)
    if min(weights.shape) == 1 or (whole is not None and factors(whole[0], 1, 0.0) is not None):
        return None
    return "direct"
