"""The condition number of an operation: the sensitivity of its inversion to errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.matrix.dense import singular_values
from kernelfield.matrix.linear_map import LinearMap, check_linear_map
from kernelfield.matrix.spectrum import spectrum_of, tolerance
from kernelfield.matrix.toeplitz import matrix_of

# Up to this many rows or columns all singular values are computed.
DENSE = 1500
# Above this size the factors of a sparse matrix need too much memory.
_SPARSE = 50_000


@dataclass(frozen=True)
class Condition:
    """The condition number of an operation, its extreme singular values, its losses, and the method of computation.

    Attributes
    ----------
    number : float
        Largest over smallest singular value: the largest factor by which inversion amplifies a relative error.
        ``inf`` if the smallest is 0 up to rounding. Of an operation with fewer outputs than pixels it is that of the
        part of the image that the outputs hold; the rest is lost, whatever the number.
    largest, smallest : float
        Extreme singular values, of as many as the smaller of outputs and pixels.
    method : str
        Method of computation, in words.
    lost : int or None
        Dimension of the `null_space`: the image can be restored from the result only where it is 0. None if only
        the ends of the spectrum are known, and the smallest singular value is 0.
    pixels : int
        Dimension of the images.

    Examples
    --------
    >>> import kernelfield as kf
    >>> print(kf.condition_number([[1, 1]], (1, 6), mode="valid", stride=2))
    condition number 1 (singular values 1.414 to 1.414); of 6 dimensions of the image 3 are lost; all singular values
    of the dense matrix
    """

    number: float
    largest: float
    smallest: float
    method: str
    lost: int | None
    pixels: int

    def __float__(self) -> float:
        return self.number

    def __str__(self) -> str:
        if self.lost is None:
            lost = "some are lost"
        elif self.lost:
            lost = f"{self.lost:,} {'is' if self.lost == 1 else 'are'} lost"
        else:
            lost = "none is lost"
        values = f"singular values {self.largest:.4g} to {self.smallest:.4g}"
        of = f"of {self.pixels:,} dimensions of the image {lost}"
        return f"condition number {self.number:.4g} ({values}); {of}; {self.method}"


def condition_number(
    kernel: Any,
    image_shape: Sequence[int],
    *,
    mode: str = "same",
    boundary: str = "reflect",
    origin: int | tuple[int, int] | None = None,
    padding: Any = None,
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Condition:
    """Return the condition number of the operation on images of one shape.

    ``cond(A) = sigma_max / sigma_min`` in the 2-norm (Golub and Van Loan, *Matrix Computations*, 4th edition,
    section 2.6). Four methods are tried in this order; the result names the one used:

    - ``boundary="wrap"``, one channel, stride 1: the Fourier transform diagonalises the matrix. Exact, any size.
    - ``boundary="reflect"`` and a centred symmetric kernel: the cosine transform diagonalises it. Exact, any size.
    - up to 1500 outputs or pixels: all singular values of the dense matrix.
    - square matrices of up to 50,000 pixels: both ends of the spectrum, by Lanczos iterations on the sparse matrix and
      on its factors.

    Parameters
    ----------
    kernel, image_shape, mode, boundary, origin, padding, stride, dilation, groups
        As in `as_matrix`.

    Returns
    -------
    Condition

    Raises
    ------
    ArgumentError
        As in `as_matrix`, and if none of the four methods applies.

    Examples
    --------
    Three equal weights remove the wave of three pixels; unequal ones keep it:

    >>> import kernelfield as kf
    >>> kf.condition_number([[1, 1, 1]], (1, 9), boundary="wrap").number
    inf
    >>> kf.condition_number([[1, 2.5, 1]], (1, 8), boundary="wrap")
    Condition(number=9.0, largest=4.5, smallest=0.5, method='exact, by the Fourier transform', lost=0, pixels=8)
    """
    linear_map = check_linear_map(
        kernel,
        image_shape,
        mode=mode,
        boundary=boundary,
        origin=origin,
        padding=padding,
        stride=stride,
        dilation=dilation,
        groups=groups,
    )
    if not np.isfinite(linear_map.weights).all():
        raise ArgumentError("kernel: expected finite weights; received NaN or infinity; replace them")
    found = spectrum_of(linear_map)
    rows, columns = linear_map.matrix_shape
    if found is not None:
        return _of_all(found.values, linear_map, found.method)
    if min(rows, columns) <= DENSE:
        return _of_all(singular_values(matrix_of(linear_map)), linear_map, "all singular values of the dense matrix")
    if rows == columns <= _SPARSE:
        largest, smallest = _ends(linear_map)
        zero = smallest <= tolerance(linear_map.matrix_shape, largest)
        method = "both ends of the spectrum of the sparse matrix, by Lanczos iterations"
        number = math.inf if zero else largest / smallest
        return Condition(number, largest, smallest, method, None if zero else 0, columns)
    raise ArgumentError(
        f"image_shape: expected up to {DENSE} outputs or pixels, or a square matrix of up to {_SPARSE}; received "
        f"a matrix of {rows}×{columns}; use boundary='wrap', which is exact at any size, or a smaller image"
    )


def _of_all(values: np.ndarray, linear_map: LinearMap, method: str) -> Condition:
    """Return the condition from all singular values, as many as the smaller of rows and columns."""
    columns = linear_map.matrix_shape[1]
    largest, smallest = float(values.max()), float(values.min())
    held = int((values > tolerance(linear_map.matrix_shape, largest)).sum())
    number = largest / smallest if held == values.size else math.inf
    return Condition(number, largest, smallest, method, columns - held, columns)


def _ends(linear_map: LinearMap) -> tuple[float, float]:
    """Return the largest and the smallest singular value of a square matrix."""
    from scipy.sparse.linalg import LinearOperator, eigsh, splu

    matrix = matrix_of(linear_map)
    start = np.random.default_rng(0).standard_normal(matrix.shape[1])
    largest = math.sqrt(eigsh(matrix.T @ matrix, k=1, v0=start, return_eigenvectors=False)[0])
    try:
        factors = splu(matrix.tocsc())
    except RuntimeError:
        # splu raises this for a pivot of 0: the matrix is singular.
        return largest, 0.0
    inverse = LinearOperator(
        matrix.shape, matvec=lambda vector: factors.solve(factors.solve(vector, "T")), dtype=np.float64
    )
    return largest, 1.0 / math.sqrt(eigsh(inverse, k=1, v0=start, return_eigenvectors=False)[0])
