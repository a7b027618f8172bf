"""The condition number of an operation: the sensitivity of its inversion to errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.matrix.linear_map import LinearMap, check_linear_map
from kernelfield.matrix.spectrum import spectrum_of, tolerance
from kernelfield.matrix.toeplitz import matrix_of

# Up to this many rows or columns all singular values are computed.
DENSE = 1500
# Above this size the factors of a sparse matrix need too much memory.
_SPARSE = 50_000


@dataclass(frozen=True)
class Condition:
    """The condition number of an operation, its extreme singular values, and the method of computation.

    Attributes
    ----------
    number : float
        Largest over smallest singular value: the largest factor by which inversion amplifies a relative error.
        ``inf`` if the smallest is 0 up to rounding: the operation has a `null_space`.
    largest, smallest : float
        Extreme singular values.
    method : str
        Method of computation, in words.
    """

    number: float
    largest: float
    smallest: float
    method: str

    def __float__(self) -> float:
        return self.number


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
    - square matrices of up to 50 000 pixels: both ends of the spectrum, by Lanczos iterations on the sparse matrix and
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
    Condition(number=9.0, largest=4.5, smallest=0.5, method='exact, by the Fourier transform')
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
        largest, smallest, method = float(found.values.max()), float(found.values.min()), found.method
    elif min(rows, columns) <= DENSE:
        values = np.linalg.svd(matrix_of(linear_map).toarray(), compute_uv=False)
        largest, smallest, method = float(values[0]), float(values[-1]), "all singular values of the dense matrix"
    elif rows == columns <= _SPARSE:
        largest, smallest = _ends(linear_map)
        method = "both ends of the spectrum of the sparse matrix, by Lanczos iterations"
    else:
        raise ArgumentError(
            f"image_shape: expected up to {DENSE} outputs or pixels, or a square matrix of up to {_SPARSE}; received "
            f"a matrix of {rows}×{columns}; use boundary='wrap', which is exact at any size, or a smaller image"
        )
    lost = smallest <= tolerance(linear_map.matrix_shape, largest)
    return Condition(math.inf if lost else largest / smallest, largest, smallest, method)


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
