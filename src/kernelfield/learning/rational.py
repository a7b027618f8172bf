"""Recognition of coefficients that are integers over a divisor within their errors."""

from __future__ import annotations

import numpy as np

# Largest distance of a coefficient from an integer over the divisor, in standard errors.
_ERRORS = 5.0
# Largest accepted probability that coefficients fit a divisor by chance.
_CHANCE = 1e-4
_LARGEST = 1024
_POWERS = tuple(1 << n for n in range(11, 17))


def as_integers(kernel: np.ndarray, stderr: np.ndarray, least: float) -> tuple[np.ndarray, int] | None:
    """Return integers and the smallest divisor with ``integers / divisor == kernel`` within the errors, or None.

    Divisors up to 1024 and powers of two up to 65536 are tried. A divisor is rejected if arbitrary coefficients would
    fit it by chance.

    Parameters
    ----------
    kernel, stderr : numpy.ndarray
        Coefficients and their standard errors.
    least : float
        Rounding error of the computation, a lower limit of each error.

    Examples
    --------
    >>> import numpy as np
    >>> as_integers(np.array([[0.25001, 0.5, 0.24999]]), np.full((1, 3), 1e-5), 0.0)
    (array([[1, 2, 1]]), 4)
    """
    error = _ERRORS * np.maximum(stderr, least)
    if not np.isfinite(error).all():
        return None
    divisors = np.array((*range(1, _LARGEST + 1), *_POWERS))
    with np.errstate(divide="ignore"):
        widths = np.log(np.minimum(1.0, 2.0 * error.ravel() * divisors[:, None]))
    believed = np.cumsum(np.exp(widths.sum(axis=1))) <= _CHANCE
    for divisor in divisors[believed].tolist():
        scaled = kernel * divisor
        integers = np.rint(scaled)
        if (np.abs(scaled - integers) <= error * divisor).all():
            return integers.astype(np.int64), divisor
    return None
