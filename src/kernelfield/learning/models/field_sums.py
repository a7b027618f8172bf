"""Sums over the positions of a pair, each weighted by polynomials of the place: the statistics of a varying kernel.

``T[a, c, u, v] = sum over p of P_a(row of p) P_c(column of p) x[p + u] x[p + v]`` for Legendre polynomials ``P``. With
``q = p + u`` a polynomial of the place `p` is one of `q`, shifted by `u`. All entries therefore follow from sums over
`q` of ``P_a P_c x[q] x[q + d]``, one for each lag ``d``: lag products of the image and the image times a polynomial of
the column, one row at a time, which are then weighted by the polynomials of the row. Rows and columns at the sides are
added as in `kernelfield.learning.gram`; the result is exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kernelfield._core import lag_products
from kernelfield.learning.field_basis import Axis
from kernelfield.learning.gram import spread


def window_products(
    image: np.ndarray, size: tuple[int, int], shift: float, axes: tuple[Axis, Axis], degree: int
) -> np.ndarray:
    """Return ``T``, shape (degree + 1, degree + 1, kh * kw, kh * kw).

    Parameters
    ----------
    image : numpy.ndarray, shape (M + kh - 1, N + kw - 1)
        The window of the position ``(i, j)`` starts at ``image[i, j]``. Finite; ``M >= kh`` and ``N >= kw``.
    size : (int, int)
        ``(kh, kw)``.
    shift : float
        Subtracted from every pixel.
    axes : (Axis, Axis)
        Coordinates of the positions' rows and columns.
    degree : int
        The largest degree along each axis.
    """
    kh, kw = size
    terms = degree + 1
    u, v = np.arange(kw)[:, None], np.arange(kw)
    result = np.empty((terms, terms, kh, kw, kh, kw))
    moved = axes[0].shifted(kh, degree), axes[1].shifted(kw, degree)
    for dr, sums in enumerate(_sums_by_lag(image, size, shift, axes, degree)):
        # Sums over q = p + u become sums over p: polynomials of q - u, first of the row, then of the column.
        shifted = np.einsum("uab,bcuwl->acuwl", moved[0][: kh - dr], sums[:, :, : kh - dr], optimize=True)
        both = np.einsum("wcd,aduwl->acuwl", moved[1], shifted, optimize=True)
        values = both[:, :, :, u, v - u + kw - 1]
        if dr == 0:
            values = np.where(v >= u, values, values.swapaxes(-1, -2))
        for row in range(kh - dr):
            result[:, :, row, :, row + dr] = values[:, :, row]
            result[:, :, row + dr, :, row] = values[:, :, row].swapaxes(-1, -2)
    return result.reshape(terms, terms, kh * kw, kh * kw)


def _sums_by_lag(
    image: np.ndarray, size: tuple[int, int], shift: float, axes: tuple[Axis, Axis], degree: int
) -> Iterator[np.ndarray]:
    """Yield for each row of the lag ``sum over q of P_b P_c x[q] x[q + d]``, shape (b, c, kh, kw, 2 kw - 1).

    The sum goes over the positions' ``q = p + u``, for each row and column of `u` along the last axes but one.
    """
    kh, kw = size
    rows, columns = image.shape[0] - kh + 1, image.shape[1] - kw + 1
    pixels = np.pad(image.astype(np.float64) - shift, ((0, kh - 1), (kw - 1, kw - 1)))
    anchors = pixels[: image.shape[0], kw - 1 : kw - 1 + image.shape[1]]
    down = axes[0].polynomials(np.arange(image.shape[0]), degree)
    across = axes[1].polynomials(np.arange(image.shape[1]), degree)
    lags = kh, 2 * kw - 1
    inner = slice(kw - 1, columns)
    # Of every row of the image, over the columns inside every window: (c, row, lag row, lag column).
    lines = np.stack(
        [
            lag_products(anchors[:, inner] * weight[inner], pixels[:, inner.start : inner.stop + 2 * (kw - 1)], lags, 1)
            for weight in across
        ]
    )
    # Of every column at the sides, over the rows inside every window, and its single pixels in the rows at the sides.
    core = slice(kh - 1, rows)
    edges = np.r_[0 : kh - 1, rows : image.shape[0]]
    sides = np.r_[0 : kw - 1, columns : image.shape[1]]
    flanks = np.empty((degree + 1, 2, kw - 1, kh, 2 * kw - 1))
    for side, first in enumerate((0, columns) if kw > 1 else ()):
        around = np.ascontiguousarray(pixels[core.start : core.stop + kh - 1, first : first + 3 * (kw - 1)].T)
        turned = np.ascontiguousarray(anchors[core, first : first + kw - 1].T)
        for a, weight in enumerate(down[:, core]):
            flanks[a, side] = lag_products(turned * weight, around, lags[::-1], 1).swapaxes(1, 2)
    beside = flanks.reshape(degree + 1, 2 * (kw - 1), kh, 2 * kw - 1)
    corners = np.empty((edges.size, sides.size, kh, 2 * kw - 1))
    for i, row in enumerate(edges):
        for j, column in enumerate(sides):
            corners[i, j] = anchors[row, column] * pixels[row : row + kh, column : column + 2 * kw - 1]
    middle = np.tensordot(down[:, core], lines[:, core], (1, 1))
    for dr in range(kh):
        # Rows and columns of the sides one by one, and the core as one between them: (b, c, 2 kh - 1, 2 kw - 1, lag).
        pieces = np.empty((degree + 1, degree + 1, 2 * kh - 1, 2 * kw - 1, 2 * kw - 1))
        at_rows, at_columns = (np.delete(np.arange(2 * k - 1), k - 1) for k in size)
        pieces[:, :, kh - 1, kw - 1] = middle[:, :, dr]
        pieces[:, :, at_rows, kw - 1] = down[:, None, edges, None] * lines[None, :, edges, dr]
        pieces[:, :, kh - 1, at_columns] = beside[:, None, :, dr] * across[None, :, sides, None]
        pieces[:, :, at_rows[:, None], at_columns] = (
            down[:, None, edges, None, None] * across[None, :, None, sides, None] * corners[:, :, dr]
        )
        yield spread(spread(pieces, kh, 2), kw, 3)


def window_sums(
    image: np.ndarray, size: tuple[int, int], shift: float, axes: tuple[Axis, Axis], degree: int
) -> np.ndarray:
    """Return ``sum over p of P_a P_c (x[p + u] - shift)``, shape (degree + 1, degree + 1, kh * kw); see above."""
    kh, kw = size
    rows, columns = image.shape[0] - kh + 1, image.shape[1] - kw + 1
    down = axes[0].polynomials(np.arange(rows), degree)
    across = axes[1].polynomials(np.arange(columns), degree)
    pixels = image.astype(np.float64) - shift
    lines = np.stack([down @ pixels[u : u + rows] for u in range(kh)])
    sums = np.stack([lines[:, :, v : v + columns] @ across.T for v in range(kw)])
    return sums.transpose(2, 3, 1, 0).reshape(degree + 1, degree + 1, kh * kw)


def cross_products(
    after: np.ndarray, image: np.ndarray, size: tuple[int, int], shift: float, axes: tuple[Axis, Axis], degree: int
) -> np.ndarray:
    """Return ``sum over p of P_a P_c y[p] (x[p + u] - shift)``, shape (degree + 1, degree + 1, kh * kw).

    `after` is float64, one value per position.
    """
    rows, columns = after.shape
    down = axes[0].polynomials(np.arange(rows), degree)
    across = axes[1].polynomials(np.arange(columns), degree)
    sums = [down @ lag_products(after * w, image, size, 1, 0.0, shift).reshape(rows, -1) for w in across]
    return np.stack(sums, axis=1)
