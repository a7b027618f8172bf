"""Measures of sparseness of responses: kurtosis, relative response of the strongest, and Hoyer's measure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernelfield.arrays import as_array
from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.kernels.arguments import number


def kurtosis(responses: ArrayLike) -> float:
    """Return the excess kurtosis: 0 for Gaussian responses, 3 for Laplacian ones, larger for sparser ones.

    ``mean((r - mean(r))**4) / mean((r - mean(r))**2)**2 - 3``: the measure of sparseness of Field 1994, "What is the
    goal of sensory coding?", Neural Computation 6(4), 559-601.

    Parameters
    ----------
    responses : array_like
        Real numbers, at least two of them different.

    Raises
    ------
    DataError
        If all are equal.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.coding.kurtosis([-1, 1, -1, 1])
    -2.0
    """
    values = _checked(responses)
    centred = values - values.mean()
    peak = float(np.abs(centred).max())
    if not peak > 0:
        raise DataError("responses: expected different values; received equal ones; give an image with contrast")
    squares = (centred / peak) ** 2
    return float(np.mean(squares**2) / np.mean(squares) ** 2) - 3.0


def relative_response(responses: ArrayLike, fraction: float = 0.1) -> float:
    """Return the mean magnitude of the strongest `fraction` of responses divided by that of all.

    For a fraction of 0.1 it is 2.6 for Gaussian responses and 3.3 for Laplacian ones. Field (1987) argues that a good
    code concentrates the response in few sensors, which then stand out from noise; the strongest tenth is a choice made
    here.

    Parameters
    ----------
    responses : array_like
        Real numbers.
    fraction : float
        Above 0, at most 1; at least one response is taken.

    Raises
    ------
    DataError
        If all are 0.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.coding.relative_response([0, 0, 0, 0, 0, 0, 0, 0, 0, -5])
    10.0
    """
    values = np.abs(_checked(responses))
    part = number("fraction", fraction, above=0)
    if part > 1:
        raise ArgumentError(f"fraction: expected at most 1, received {received(fraction)}")
    average = float(values.mean())
    if not average > 0:
        raise DataError("responses: expected values other than 0; received only 0; give an image with contrast")
    count = max(1, round(part * values.size))
    return float(np.partition(values, values.size - count)[values.size - count :].mean()) / average


def sparseness(responses: ArrayLike) -> float:
    """Return Hoyer's sparseness: 0 for equal magnitudes, 1 for a single response.

    ``(sqrt(n) - L1 / L2) / (sqrt(n) - 1)``: Hoyer 2004, "Non-negative matrix factorization with sparseness
    constraints", Journal of Machine Learning Research 5, 1457-1469.

    Parameters
    ----------
    responses : array_like
        Real numbers, at least two.

    Raises
    ------
    DataError
        If all are 0.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.coding.sparseness([0, 0, 0, 7]), kf.coding.sparseness([1, -1, 1, 1])
    (1.0, 0.0)
    """
    values = np.abs(_checked(responses))
    if not values.any():
        raise DataError("responses: expected values other than 0; received only 0; give an image with contrast")
    root = math.sqrt(values.size)
    return float((root - values.sum() / np.linalg.norm(values)) / (root - 1))


def _checked(responses: ArrayLike) -> NDArray[np.float64]:
    """Return the responses as a flat float64 array, checked to be real and finite."""
    values = as_array(responses, "responses")
    if values.dtype.kind not in "biuf" or values.size < 2:
        raise ArgumentError(
            f"responses: expected at least two real numbers; received {values.size} of type {values.dtype}"
        )
    flat = values.astype(np.float64).ravel()
    if not np.isfinite(flat).all():
        raise DataError("responses: expected finite numbers; received NaN or infinity; leave them out")
    return flat
