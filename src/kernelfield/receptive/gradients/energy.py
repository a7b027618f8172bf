"""Energy of a unit's gradient for one image, at a scale where nothing underflows and above what rounding leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kernelfield.errors import DataError
from kernelfield.receptive.gradients.pullback import Pullback

# By dtype: a gradient smaller than the first number is computed again from a seed multiplied by the second. The factor
# is a power of two: gradients that cancel exactly at one scale do so at the other.
_LIMITS = {"float64": (1e-200, 2.0**830), "float32": (1e-25, 2.0**100)}
_UNIT_ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
# Number of backward passes with random signs that show how large the gradients of the channels are. A sum of channels
# with random signs vanishes in at most half of the passes if any channel has a gradient (Littlewood and Offord).
_REFERENCES = 8
# Unit roundoffs that the gradient of a channel may have lost before it is added to the others.
_LOST = 12


class _Total(NamedTuple):
    """Energies of some backward passes, divided by the square of the largest gradient, and that gradient."""

    energy: np.ndarray
    largest: float


def unit_energy(
    pullback: Pullback, unit: tuple[Any, ...], spatial: tuple[int, ...], *, channels: str, probes: int, seed: int
) -> np.ndarray:
    """Return the gradient energy of a unit for one image, scaled to sum 1; zeros where only rounding is left.

    Parameters
    ----------
    pullback : Pullback
    unit : tuple
        Index of the unit's channels in the output.
    spatial : tuple of int
        The spatial axes of the image.
    channels, probes, seed
        As in `kernelfield.receptive.effective.effective`.
    """
    count = np.empty(pullback.shape)[unit].size

    def energies(weights: np.ndarray) -> _Total:
        return _energies(pullback, unit, weights, spatial)

    weights = _channel_weights(count, channels, probes, seed)
    (energy, largest), scale = _scaled(energies, weights, pullback.dtype)
    if not largest:
        return energy
    if len(weights) < min(count, _REFERENCES):
        # Each pass is a sum of channels, and so few are made that all may have cancelled.
        signs = _channel_weights(count, "random", _REFERENCES, seed)
        (_, reference), other = _scaled(energies, signs, pullback.dtype)
        roundoff = _UNIT_ROUNDOFF.get(pullback.dtype, 0.0)
        if largest <= (count + _LOST) * roundoff * reference * (scale / other):
            return np.zeros_like(energy)
    energy /= energy.sum()
    return energy


def _channel_weights(count: int, channels: str, probes: int, seed: int) -> np.ndarray:
    """Return the weights of the channels, a row for each backward pass.

    The energies of the passes sum to that of the channels, up to a factor.
    """
    if channels == "sum":
        return np.ones((1, count))
    if channels == "each" or count <= probes:
        return np.eye(count)
    return np.random.default_rng(seed).choice((-1.0, 1.0), (probes, count))


def _scaled(energies: Callable[[np.ndarray], _Total], weights: np.ndarray, dtype: str) -> tuple[_Total, float]:
    """Return the energies, and the scale of the weights at which they neither vanish nor overflow."""
    tiny, large = _LIMITS.get(dtype, (0.0, 1.0))
    scale, total = 1.0, energies(weights)
    if total.largest < tiny:
        larger = energies(weights * large)
        if larger.largest < np.inf:
            scale, total = large, larger
    elif total.largest == np.inf:
        scale = 1 / large
        total = energies(weights * scale)
    if total.largest == np.inf:
        raise DataError(
            "images: expected ones with a finite gradient; received one whose gradient is NaN or infinite; check the "
            "weights, or take another image"
        )
    return total, scale


def _energies(pullback: Pullback, unit: tuple[Any, ...], weights: np.ndarray, spatial: tuple[int, ...]) -> _Total:
    """Return the summed energies of the backward passes; a largest gradient of infinity if one is not finite."""
    total, peak = np.zeros(()), 0.0
    for row in weights:
        seed = np.zeros(pullback.shape)
        seed[unit] = row.reshape(seed[unit].shape)
        gradient = pullback.back(seed)
        largest = float(np.abs(gradient).max())
        if not np.isfinite(largest):
            return _Total(total, np.inf)
        # Relative to the largest so far, squares neither overflow nor vanish.
        common = max(peak, largest) or 1.0
        others = tuple(axis for axis in range(gradient.ndim) if axis not in spatial)
        total = total * (peak / common) ** 2 + ((gradient / common) ** 2).sum(axis=others)
        peak = max(peak, largest)
    return _Total(total, peak)
