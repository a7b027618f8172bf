"""The rules by which programs round sums to whole numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Sums of ninths and hundredths fall a little beside the exact half, and the exact whole.
_SLACK = 1e-6


def _up(values: np.ndarray) -> np.ndarray:
    """Return the nearest integers, halves up."""
    nearest: np.ndarray = np.floor(values + (0.5 + _SLACK))
    return nearest


def _down(values: np.ndarray) -> np.ndarray:
    """Return the nearest integers, halves down."""
    nearest: np.ndarray = np.ceil(values - (0.5 + _SLACK))
    return nearest


#: Rules by name, of values about the offset in steps of the grid. Rounding down and up are in the offset, half a step
#: off: "truncated" and "up" are the nearest integers of values with that offset.
RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nearest": _up,
    "nearest even": np.rint,
    "nearest away": lambda values: np.sign(values) * np.floor(np.abs(values) + (0.5 + _SLACK)),
    "nearest down": _down,
    "to zero": lambda values: np.sign(values) * np.floor(np.abs(values) + _SLACK),
    "truncated": _up,
    "up": _down,
}

#: The rules that differ in exact halves alone.
HALVES = ("nearest", "nearest even", "nearest away", "nearest down")
