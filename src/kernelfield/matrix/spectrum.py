"""Singular values of operations that the Fourier or the cosine transform diagonalises."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernelfield.correlation.arguments import check_bytes
from kernelfield.matrix.linear_map import LinearMap


@dataclass(frozen=True)
class Spectrum:
    """The singular values of an operation, by the transform that diagonalises it.

    Attributes
    ----------
    transform : {"Fourier", "cosine"}
        The transform; the operation multiplies each of its basis images by one number.
    values : numpy.ndarray, shape (H, W)
        The magnitudes of these numbers, by frequency along rows and columns: the singular values.
    """

    transform: str
    values: np.ndarray

    @property
    def method(self) -> str:
        """The method of computation, in words."""
        return f"exact, by the {self.transform} transform"


def spectrum_of(linear_map: LinearMap) -> Spectrum | None:
    """Return the spectrum, or None if neither transform diagonalises the operation."""
    operation = linear_map.operation
    square = linear_map.output_shape == linear_map.image_shape and operation.stride == (1, 1)
    if len(linear_map.image_shape) != 2 or linear_map.weights.ndim != 2 or not square:
        return None
    if operation.boundary == "wrap" or not operation.pads:
        return Spectrum("Fourier", np.abs(_transformed(linear_map, 1)))
    flipped = linear_map.weights[::-1], linear_map.weights[:, ::-1]
    even = all(np.array_equal(linear_map.weights, other) for other in flipped)
    if operation.boundary == "reflect" and even and all(w.before == w.after for w in operation.windows):
        # Half-sample symmetry at both ends: cos(pi p (y + 1/2) / H) are the eigenvectors (DCT-II; Strang, SIAM Review
        # 41(1), 1999, "The discrete cosine transform").
        return Spectrum("cosine", np.abs(_transformed(linear_map, 2).real))
    return None


def tolerance(shape: tuple[int, int], largest: float) -> float:
    """Return the limit below which a singular value counts as 0, as in `numpy.linalg.matrix_rank`."""
    return largest * max(shape) * float(np.finfo(np.float64).eps)


def _transformed(linear_map: LinearMap, halves: int) -> np.ndarray:
    """Return the frequency response at the frequencies k / (halves * n), k = 0 … n - 1, of both axes."""
    turned = sum(n * k for n, k in zip(linear_map.image_shape, linear_map.weights.shape))
    check_bytes(16 * max(math.prod(linear_map.image_shape), turned), linear_map.image_shape)
    waves = []
    for window, n in zip(linear_map.operation.windows, linear_map.image_shape):
        place = np.arange(window.size) * window.dilation - window.before
        # Whole turns are removed in integer arithmetic, without rounding.
        turns = np.arange(n)[:, None] * place % (halves * n)
        waves.append(np.exp(2j * np.pi / (halves * n) * turns))
    return np.asarray(waves[0] @ linear_map.weights @ waves[1].T)
