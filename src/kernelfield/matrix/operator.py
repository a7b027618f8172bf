"""The operation as a matrix-free operator of scipy.sparse.linalg, with its exact adjoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from kernelfield.arrays import as_array, check_plain
from kernelfield.correlation.arguments import dtype_of
from kernelfield.engine import layers
from kernelfield.errors import DtypeError, received
from kernelfield.matrix.linear_map import LinearMap, check_linear_map

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator


def as_operator(
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
    dtype: DTypeLike = np.float64,
) -> LinearOperator:
    """Return the operation as a linear operator on flattened images, for the solvers of SciPy.

    ``as_operator(kernel, image.shape) @ image.ravel()`` runs the engine of `correlate`; ``.H @ result`` runs the
    adjoint, which is exact: inner products agree up to rounding. Only the kernel is stored.

    Parameters
    ----------
    kernel, image_shape, mode, boundary, cval, origin, padding, stride, dilation, groups
        As in `as_matrix`.
    dtype : {float64, float32}
        Precision of the sums.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator, shape (outputs, pixels)
        Products with a matrix (pixels, n) process all `n` images in one call.

    Raises
    ------
    ArgumentError
        As in `as_matrix`.
    DtypeError
        For any other dtype.

    See Also
    --------
    as_matrix : The same as a sparse matrix.

    Examples
    --------
    Undo a blur by least squares:

    >>> import kernelfield as kf, numpy as np
    >>> from scipy.sparse.linalg import lsqr
    >>> image = np.arange(30.0).reshape(5, 6)
    >>> blur = kf.as_operator([[0.25, 0.5, 0.25]], image.shape)
    >>> np.allclose(lsqr(blur, blur @ image.ravel(), atol=1e-12, btol=1e-12)[0], image.ravel())
    True
    """
    number = dtype_of(dtype)
    if number is None or number not in (np.dtype(np.float64), np.dtype(np.float32)):
        raise DtypeError(f"dtype: expected float64 or float32; received {number or received(dtype)}")
    linear_map = check_linear_map(
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
    return operator_of(linear_map, number)


def operator_of(linear_map: LinearMap, dtype: np.dtype[Any]) -> LinearOperator:
    """Return the operator of a checked linear map."""
    from scipy.sparse.linalg import LinearOperator

    def forward(vectors: np.ndarray) -> np.ndarray:
        images = _stacked(vectors, linear_map.image_shape, dtype)
        out = np.empty((len(images), *linear_map.output_shape), dtype)
        layers.forward(linear_map.operation, images, linear_map.weights, out)
        return out.reshape(len(images), -1).T.reshape(-1, *vectors.shape[1:])

    def adjoint(vectors: np.ndarray) -> np.ndarray:
        slopes = _stacked(vectors, linear_map.output_shape, dtype)
        # Only the shape and dtype of the image are used.
        image = np.empty((len(slopes), *linear_map.image_shape), dtype)
        found, _ = layers.backward(linear_map.operation, image, linear_map.weights.astype(dtype), slopes, (True, False))
        return np.asarray(found).reshape(len(slopes), -1).T.reshape(-1, *vectors.shape[1:])

    class Operator(LinearOperator):  # type: ignore[misc]
        """SciPy's operator, which takes the numbers of masked arrays as they lie; this one refuses them."""

        def __init__(self, shape: tuple[int, int], own: Any, transposed: Any) -> None:
            super().__init__(dtype, shape)
            self._own, self._transposed = own, transposed

        def dot(self, x: Any) -> Any:
            check_plain(x, "x")
            return super().dot(x)

        def _matmat(self, X: Any) -> Any:
            return _by_parts(self._own, as_array(X, "x"))

        def _matvec(self, x: Any) -> Any:
            return self._matmat(x)

        def _rmatmat(self, X: Any) -> Any:
            return _by_parts(self._transposed, as_array(X, "x"))

        def _rmatvec(self, x: Any) -> Any:
            return self._rmatmat(x)

        def _adjoint(self) -> Operator:
            return Operator(self.shape[::-1], self._transposed, self._own)

        _transpose = _adjoint

    return Operator(linear_map.matrix_shape, forward, adjoint)


def _by_parts(real: Callable[[np.ndarray], np.ndarray], vectors: np.ndarray) -> np.ndarray:
    """Return the product of a real map with real vectors, or with the parts of complex ones."""
    if np.iscomplexobj(vectors):
        return real(vectors.real) + 1j * real(vectors.imag)
    return real(vectors)


def _stacked(vectors: np.ndarray, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """Return the columns of `vectors`, or one vector, as a stack of images."""
    columns = vectors.reshape(len(vectors), -1)
    return np.ascontiguousarray(columns.T, dtype=dtype).reshape(-1, *shape)
