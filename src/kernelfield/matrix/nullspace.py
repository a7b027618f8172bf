"""The null space of an operation: the images that it maps to zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError, received
from kernelfield.matrix.condition import DENSE
from kernelfield.matrix.dense import triangle
from kernelfield.matrix.linear_map import LinearMap, check_linear_map
from kernelfield.matrix.spectrum import spectrum_of, tolerance
from kernelfield.matrix.toeplitz import matrix_of


@dataclass(frozen=True)
class NullSpace:
    """The null space of an operation: its dimension and a basis of images.

    Attributes
    ----------
    dimension : int
        Dimension of the space; 0 if the operation can be inverted.
    basis : numpy.ndarray, shape (min(dimension, most), ...)
        Orthonormal images, each of the shape of the image; waves of low frequency first if found by a transform.
    method : str
        Method of computation, in words.
    """

    dimension: int
    basis: np.ndarray
    method: str


def null_space(
    kernel: Any,
    image_shape: Sequence[int],
    *,
    most: int = 16,
    mode: str = "same",
    boundary: str = "reflect",
    origin: int | tuple[int, int] | None = None,
    padding: Any = None,
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> NullSpace:
    """Return the null space: the images that the operation maps to zero, lost when it is applied.

    Singular values up to ``max(outputs, pixels)`` times the rounding of the largest count as 0, as in
    `numpy.linalg.matrix_rank`.

    Parameters
    ----------
    kernel, image_shape, mode, boundary, origin, padding, stride, dilation, groups
        As in `as_matrix`.
    most : int
        Maximum number of basis images to return; the dimension is that of the whole space.

    Returns
    -------
    NullSpace

    Raises
    ------
    ArgumentError
        As in `as_matrix`; for more than 1500 pixels, if no transform diagonalises the matrix (see
        `condition_number`).

    Examples
    --------
    >>> import kernelfield as kf
    >>> lost = kf.null_space([[1, 1]], (1, 4), boundary="wrap")
    >>> lost.dimension, lost.basis.round(2).tolist()
    (1, [[[0.5, -0.5, 0.5, -0.5]]])
    """
    if isinstance(most, bool) or not isinstance(most, int) or most < 0:
        raise ArgumentError(f"most: expected an integer of at least 0; received {received(most)}")
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
    if found is not None:
        lost = found.values <= tolerance(linear_map.matrix_shape, float(found.values.max()))
        waves = _cosines if found.transform == "cosine" else _waves
        return NullSpace(int(lost.sum()), waves(lost, most), found.method)
    columns = linear_map.matrix_shape[1]
    if columns > DENSE:
        raise ArgumentError(
            f"image_shape: expected up to {DENSE} pixels for this kernel and boundary; received {columns}; "
            "use boundary='wrap', which is exact at any size, or a smaller image"
        )
    return _dense(linear_map, most)


def _dense(linear_map: LinearMap, most: int) -> NullSpace:
    """Return the null space from all right singular vectors of the dense matrix."""
    _, values, vectors = np.linalg.svd(triangle(matrix_of(linear_map)))
    rank = int((values > tolerance(linear_map.matrix_shape, float(values[0]))).sum())
    basis = vectors[rank:][:most].reshape(-1, *linear_map.image_shape)
    return NullSpace(len(vectors) - rank, basis, "all right singular vectors of the dense matrix")


def _slow_first(lost: np.ndarray, halves: int) -> list[tuple[int, int]]:
    """Return the lost frequencies (rows, columns), the lowest first."""
    height, width = lost.shape
    places = [(int(p), int(q)) for p, q in zip(*np.nonzero(lost))]

    def speed(place: tuple[int, int]) -> float:
        p, q = (min(k, n - k) if halves == 1 else k for k, n in zip(place, (height, width)))
        return float((p / height) ** 2 + (q / width) ** 2)

    return sorted(places, key=lambda place: (speed(place), place))


def _cosines(lost: np.ndarray, most: int) -> np.ndarray:
    """Return the lost basis images of the cosine transform, the lowest frequencies first."""
    basis = []
    for place in _slow_first(lost, 2)[:most]:
        y, x = (np.cos(np.pi * k / n * (np.arange(n) + 0.5)) for k, n in zip(place, lost.shape))
        image = np.outer(y, x)
        basis.append(image / np.linalg.norm(image))
    return np.array(basis).reshape(-1, *lost.shape)


def _waves(lost: np.ndarray, most: int) -> np.ndarray:
    """Return the lost basis images of the Fourier transform as real images: two for a wave and its negative."""
    height, width = lost.shape
    basis: list[np.ndarray] = []
    for p, q in _slow_first(lost, 1):
        negative = (-p % height, -q % width)
        if len(basis) >= most or negative < (p, q):
            continue
        turns = p * np.arange(height)[:, None] / height + q * np.arange(width) / width
        # If a frequency equals its negative, its sine is 0 on the grid.
        kinds = (np.cos,) if negative == (p, q) else (np.cos, np.sin)
        basis += [image / np.linalg.norm(image) for image in (kind(2 * np.pi * turns) for kind in kinds)]
    return np.array(basis[:most]).reshape(-1, *lost.shape)
