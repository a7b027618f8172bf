"""The operation as a sparse matrix: doubly blocked Toeplitz for zero boundaries, circulant for wrap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kernelfield.correlation.arguments import check_index
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Boundary, Window, boundary_index
from kernelfield.matrix.linear_map import LinearMap, check_linear_map

if TYPE_CHECKING:
    from scipy.sparse import csr_array

# Assembly takes 40 bytes per stored number; above this number use as_operator.
_MOST = 200_000_000


def as_matrix(
    kernel: Any,
    image_shape: Sequence[int],
    *,
    mode: str = "same",
    boundary: str = "reflect",
    cval: float = 0.0,
    origin: int | tuple[int, int] | None = None,
    padding: Any = None,
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> csr_array:
    """Return the sparse matrix equivalent to `correlate` on flattened images.

    ``as_matrix(kernel, image.shape) @ image.ravel()`` equals ``correlate(image, kernel).ravel()``. For one channel in
    mode ``"full"`` with ``boundary="constant"`` it is the doubly blocked Toeplitz matrix of the flipped kernel: blocks
    constant along block diagonals, each a Toeplitz matrix (Golub and Van Loan, *Matrix Computations*, 4th edition,
    section 4.7, for Toeplitz matrices). With ``boundary="wrap"`` it is doubly blocked circulant. Its transpose is
    transposed convolution: ``ConvTranspose`` in the frameworks, and the gradient with respect to the image.

    Parameters
    ----------
    kernel : array_like, tensor or Kernel, shape (kh, kw) or (C_out, C_in/groups, kh, kw)
        The weights, as in `correlate`. Weights that are 0 are not stored.
    image_shape : sequence of int
        ``(..., H, W)``, or ``(..., C_in, H, W)`` for weights of four axes. Leading axes give one block per image.
    mode, boundary, cval, origin, padding, stride, dilation, groups
        As in `correlate`, with its defaults. The operation must be linear in the image: ``cval`` is 0.

    Returns
    -------
    scipy.sparse.csr_array, float64, shape (outputs, pixels)
        Both flattened in C order.

    Raises
    ------
    ArgumentError
        As in `correlate`; for a `cval` other than 0 if it is used; for more than 200 million stored numbers.

    See Also
    --------
    as_operator : The same without storing a matrix.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.as_matrix([[1, -1]], (1, 4), mode="valid").toarray()
    array([[ 1., -1.,  0.,  0.],
           [ 0.,  1., -1.,  0.],
           [ 0.,  0.,  1., -1.]])
    """
    return matrix_of(
        check_linear_map(
            kernel,
            image_shape,
            mode=mode,
            boundary=boundary,
            cval=cval,
            origin=origin,
            padding=padding,
            stride=stride,
            dilation=dilation,
            groups=groups,
        )
    )


def matrix_of(linear_map: LinearMap) -> csr_array:
    """Return the matrix of a checked linear map."""
    from scipy import sparse

    weights = linear_map.weights.reshape(-1, *linear_map.weights.shape[-3:]) if linear_map.weights.ndim == 4 else None
    four = linear_map.weights[None, None] if weights is None else weights
    axes = linear_map.image_shape[-2:] if weights is None else linear_map.image_shape[-3:]
    copies = math.prod(linear_map.image_shape) // math.prod(axes)
    outputs = math.prod(linear_map.output_shape) // copies
    stored = copies * np.count_nonzero(four) * math.prod(linear_map.output_shape[-2:])
    if stored > _MOST:
        raise ArgumentError(
            f"image_shape: expected at most {_MOST:,} numbers to store; received {stored:,}; use as_operator"
        )
    check_index(linear_map.operation, axes, (outputs, math.prod(axes)), 0)
    rows, columns, values = _entries(four, axes[-2:], linear_map)
    one = sparse.csr_array((values, (rows, columns)), shape=(outputs, math.prod(axes)))
    return one if copies == 1 else sparse.csr_array(sparse.kron(sparse.identity(copies), one, format="csr"))


def read_index(window: Window, n: int, boundary: Boundary) -> np.ndarray:
    """Return the index (outputs, size) that each output reads on an axis of `n` for each element of the kernel."""
    extended = boundary_index(n, window.before, window.after, boundary)
    places = np.arange(window.output_size(n))[:, None] * window.stride + np.arange(window.size) * window.dilation
    return np.asarray(extended[places])


def _entries(
    weights: np.ndarray, size: tuple[int, ...], linear_map: LinearMap
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows, columns and values of the matrix of one image; duplicate entries are summed."""
    operation = linear_map.operation
    down, across = (read_index(w, n, operation.boundary) for w, n in zip(operation.windows, size))
    grid = np.arange(len(down) * len(across)).reshape(len(down), len(across))
    per_group = weights.shape[0] // operation.groups
    rows, columns, values = [], [], []
    for o, c, a, b in zip(*np.nonzero(weights)):
        i, j = (np.flatnonzero(index >= 0) for index in (down[:, a], across[:, b]))
        channel = o // per_group * weights.shape[1] + c
        read = (channel * size[0] + down[i, a][:, None]) * size[1] + across[j, b]
        rows.append((o * grid.size + grid[np.ix_(i, j)]).ravel())
        columns.append(read.ravel())
        values.append(np.full(read.size, weights[o, c, a, b]))
    if not rows:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
