"""The modulation transfer function of a fit, with the errors that its weights give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.optimize
from numpy.typing import ArrayLike

from kernelfield.arrays import as_numbers
from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.kernels.arguments import number
from kernelfield.learning.filtering import check_plain

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

# Frequencies at which the first crossing of a half is looked for.
_STEPS = 512


@dataclass(frozen=True, eq=False)
class Transfer:
    """The contrast that a filter leaves of a sine, by its frequency, relative to a uniform picture.

    Attributes
    ----------
    frequencies : numpy.ndarray, shape (n,)
        In cycles per pixel, along the direction.
    value : numpy.ndarray, shape (n,)
        ``abs(H(f)) / abs(H(0))`` of the response H of the kernel.
    error : numpy.ndarray, shape (n,), or None
        Standard errors, by the covariance of the weights; None where that is not known.
    angle : float
        The direction in which the sine varies: degrees, clockwise from the right.
    mtf50 : float or None
        The lowest frequency of value 0.5; None if there is none up to half a cycle per row or column.
    mtf50_error : float or None
        Its standard error.
    """

    frequencies: np.ndarray
    value: np.ndarray
    error: np.ndarray | None
    angle: float
    mtf50: float | None
    mtf50_error: float | None

    def __repr__(self) -> str:
        if self.mtf50 is None:
            return f"<Transfer at {self.angle:g}°, never below 0.5>"
        error = "" if self.mtf50_error is None else f" ± {self.mtf50_error:.2g}"
        return f"<Transfer at {self.angle:g}°, MTF50 {self.mtf50:.4g}{error} cycles per pixel>"

    def plot(self) -> Any:
        """Return a matplotlib figure of the value with its band of 95 %."""
        from kernelfield.learning.plot import plot_transfer

        return plot_transfer([self])


def transfer(fit: Fit, angle: float, frequencies: ArrayLike | None) -> Transfer:
    """Return the modulation transfer function; arguments as in `Fit.mtf`."""
    direction = np.deg2rad(number("angle", angle))
    down, right = np.sin(direction), np.cos(direction)
    limit = 0.5 / max(abs(down), abs(right))
    given = (
        np.linspace(0.0, limit, 65)
        if frequencies is None
        else as_numbers(frequencies, "frequencies").astype(np.float64)
    )
    if given.ndim != 1 or not np.isfinite(given).all():
        raise ArgumentError(f"frequencies: expected a list of finite numbers; received {received(frequencies)}")
    check_plain(fit, "fit", strided=True)
    weights = fit.kernel.weights.ravel()
    total = float(weights.sum())
    if abs(total) <= 1e-9 * float(np.abs(weights).sum()):
        raise DataError("fit: expected weights with a sum that is not 0, to which contrast is relative; received 0")
    places = np.indices(fit.size).reshape(2, -1) - np.array(fit.anchor)[:, None]
    along = down * places[0] + right * places[1]
    covariance = known_covariance(fit)

    def value(f: Any) -> Any:
        return np.abs(np.exp(-2j * np.pi * np.multiply.outer(f, along)) @ weights) / abs(total)

    def error(f: np.ndarray) -> np.ndarray | None:
        if covariance is None:
            return None
        # The derivative of abs(H(f)) / abs(H(0)) by each weight.
        waves = np.exp(-2j * np.pi * np.multiply.outer(f, along))
        response = waves @ weights
        size = np.maximum(np.abs(response), 1e-300)
        slope = (np.conj(response)[:, None] * waves).real / (size * abs(total))[:, None]
        slope -= (np.abs(response) / (abs(total) * total))[:, None]
        variance: np.ndarray = np.einsum("fi,ij,fj->f", slope, covariance, slope)
        sd: np.ndarray = np.sqrt(np.maximum(variance, 0.0))
        return sd

    half, half_error = _half(value, error, limit)
    return Transfer(given, value(given), error(given), float(angle), half, half_error)


def _half(value: Any, error: Any, limit: float) -> tuple[float | None, float | None]:
    """Return the lowest frequency of value 0.5 and its error, or None."""
    grid = np.linspace(0.0, limit, _STEPS)
    below = np.flatnonzero(value(grid) < 0.5)
    if not below.size or not below[0]:
        return None, None
    low, high = grid[below[0] - 1], grid[below[0]]
    half = float(scipy.optimize.brentq(lambda f: value(f) - 0.5, low, high, xtol=1e-12))
    found = error(np.array([half]))
    step = 1e-5 * limit
    slope = float(value(half + step) - value(half - step)) / (2.0 * step)
    return half, None if found is None else float(found[0] / abs(slope))


def known_covariance(fit: Fit) -> np.ndarray | None:
    """Return the covariance of the weights: zeros where there are no errors, None where it is not known."""
    if fit.covariance is not None:
        return fit.covariance
    return None if fit.stderr.any() else np.zeros((fit.stderr.size,) * 2)
