"""Singular values that are known without a matrix: of kernels that a Fourier or a cosine transform diagonalises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelfield.matrix.request import Request


@dataclass(frozen=True)
class Spectrum:
    """What a transform makes of the matrix.

    Attributes
    ----------
    transform : {"Fourier", "cosine"}
        Whose basis images the operation multiplies, each by one number.
    values : numpy.ndarray, shape (H, W)
        The magnitudes of these numbers, by frequency along rows and columns: the singular values.
    """

    transform: str
    values: np.ndarray

    @property
    def method(self) -> str:
        """In words."""
        return f"exact, by the {self.transform} transform"


def spectrum_of(request: Request) -> Spectrum | None:
    """Return the spectrum, or None where the basis images are not known beforehand."""
    operation = request.operation
    square = request.output_shape == request.image_shape and operation.stride == (1, 1)
    if len(request.image_shape) != 2 or request.weights.ndim != 2 or not square:
        return None
    if operation.boundary == "wrap" or not operation.pads:
        return Spectrum("Fourier", np.abs(_transformed(request, 1)))
    flipped = request.weights[::-1], request.weights[:, ::-1]
    even = all(np.array_equal(request.weights, other) for other in flipped)
    if operation.boundary == "reflect" and even and all(w.before == w.after for w in operation.windows):
        # Half-sample symmetry at both ends: the images cos(pi p (y + 1/2) / H) are kept (DCT-II; Strang, SIAM Review
        # 41(1), 1999, "The discrete cosine transform").
        return Spectrum("cosine", np.abs(_transformed(request, 2).real))
    return None


def tolerance(shape: tuple[int, int], largest: float) -> float:
    """Return up to where a singular value counts as 0: the rule of `numpy.linalg.matrix_rank`."""
    return largest * max(shape) * float(np.finfo(np.float64).eps)


def _transformed(request: Request, halves: int) -> np.ndarray:
    """Return the frequency response at the frequencies k / (halves * n), k below n, of both axes."""
    waves = []
    for window, n in zip(request.operation.windows, request.image_shape):
        place = np.arange(window.size) * window.dilation - window.before
        # Whole turns are taken out in integers, where nothing is lost.
        turns = np.arange(n)[:, None] * place % (halves * n)
        waves.append(np.exp(2j * np.pi / (halves * n) * turns))
    return np.asarray(waves[0] @ request.weights @ waves[1].T)
