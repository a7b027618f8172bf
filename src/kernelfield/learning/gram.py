"""The Gram matrix of all windows of an image, or of several planes, from their lag products.

``G[u, v] = sum over p of x[p + u] * x[p + v]`` depends on `u` and `v` mostly through the lag ``d = v - u``: it is
the sum of ``f_d[q] = x[q] * x[q + d]`` over the rectangle of all ``q = p + u``. These rectangles share a core and
differ in at most ``kh - 1`` rows and ``kw - 1`` columns at each side. The core is summed once for each lag, the rows
and columns of the sides one by one; every entry is the core plus the sides inside its rectangle. The result is exact,
at the cost of a few applications of the kernel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernelfield._core import lag_products


def block_rows(rows: int) -> int:
    """Return the rows per block: enough blocks for every processor core, few enough to sum at once, whole strips."""
    return max(64, -(-rows // 64 // 64) * 64)


def gram_matrix(images: Sequence[np.ndarray], size: tuple[int, int], shift: float) -> np.ndarray:
    """Return the sum over images of ``G`` of all windows of ``image - shift``, shape (kh * kw, kh * kw).

    Parameters
    ----------
    images : sequence of numpy.ndarray, shape (H, W)
        Finite, each at least ``2 * size - 1`` along each axis.
    size : (int, int)
        ``(kh, kw)``.
    shift : float
        Subtracted from every pixel.
    """
    return joint_gram([(image,) for image in images], size, (shift,))


def joint_gram(parts: Sequence[tuple[np.ndarray, ...]], size: tuple[int, int], shifts: tuple[float, ...]) -> np.ndarray:
    """Return the same of windows that go over all planes, one after another, shape (C * kh * kw, C * kh * kw).

    Parameters
    ----------
    parts : sequence of tuple of numpy.ndarray, shape (H, W)
        The C planes of each image, as in `gram_matrix`.
    shifts : tuple of float
        Of each plane.
    """
    (kh, kw), count = size, len(shifts)
    pieces = np.zeros((count, count, kh, 2 * kh - 1, 2 * kw - 1, 2 * kw - 1))
    for planes in parts:
        _add_pieces(pieces, planes, size, shifts)
    _add_corners(pieces, parts, size, shifts)
    gram = np.empty((count, kh, kw, count, kh, kw))
    u, v = np.arange(kw)[:, None], np.arange(kw)
    for dr in range(kh):
        sums = spread(spread(pieces[:, :, dr], kh, 2), kw, 3)
        values = sums[:, :, : kh - dr, u, v - u + kw - 1]
        if dr == 0:
            values = np.where(v >= u, values, values.transpose(1, 0, 2, 4, 3))
        for first in range(kh - dr):
            own = values[:, :, first]
            gram[:, first, :, :, first + dr] = own.transpose(0, 2, 1, 3)
            gram[:, first + dr, :, :, first] = own.transpose(1, 3, 0, 2)
    return gram.reshape(count * kh * kw, count * kh * kw)


def window_totals(image: np.ndarray, size: tuple[int, int], shift: float) -> np.ndarray:
    """Return ``sum over p of x[p + u] - shift``, float64, shape (kh, kw); arguments as in `gram_matrix`."""
    kh, kw = size
    bands = [(0, kh - 1), (kh - 1, image.shape[0] - kh + 1), (image.shape[0] - kh + 1, image.shape[0])]
    lines = [image[a:b].astype(np.float64) - shift for a, b in (bands[0], bands[2])]
    core = image[bands[1][0] : bands[1][1]]
    middle = np.empty((1, image.shape[1]))
    sides = np.r_[0 : kw - 1, image.shape[1] - kw + 1 : image.shape[1]]
    middle[0, sides] = core[:, sides].sum(axis=0, dtype=np.float64) - shift * core.shape[0]
    inner = core[:, kw - 1 : image.shape[1] - kw + 1]
    ones = np.broadcast_to(np.ones((1, inner.shape[1]), image.dtype), inner.shape)
    total = lag_products(ones, inner, (1, 1), block_rows(inner.shape[0]), 0.0, shift).sum()
    rows = []
    for line, inside in ((lines[0], None), (middle, total), (lines[1], None)):
        between = line[:, kw - 1 : image.shape[1] - kw + 1]
        centre = between.sum(axis=1, keepdims=True) if inside is None else np.full((1, 1), inside)
        rows.append(np.hstack([line[:, : kw - 1], centre, line[:, image.shape[1] - kw + 1 :]]))
    return spread(spread(np.vstack(rows), kh, 0), kw, 1)


def _add_pieces(
    pieces: np.ndarray, planes: tuple[np.ndarray, ...], size: tuple[int, int], shifts: tuple[float, ...]
) -> None:
    """Add the lag products of the core and of every row and column of the sides but their corners to `pieces`.

    Pixels of each plane are multiplied by those of each at the lags.

    Shape (C, C, kh, 2 kh - 1, 2 kw - 1, 2 kw - 1): the planes; the lags ``dr >= 0``; the rows and the columns of the
    first side, the core, those of the second side; the lags ``dc > -kw``.
    """
    kh, kw = size
    rows, columns = planes[0].shape[0] - kh + 1, planes[0].shape[1] - kw + 1
    parts = ((slice(0, kh - 1), (0, kh - 1)), (slice(kh, None), (rows, rows + kh - 1)))
    flanks = ((slice(0, kw - 1), (0, kw - 1)), (slice(kw, None), (columns, columns + kw - 1)))
    inner_rows, inner_columns = (kh - 1, rows), (kw - 1, columns)
    lags = kh, 2 * kw - 1

    def products(rows: tuple[int, int], columns: tuple[int, int], turned: bool, block: int) -> np.ndarray:
        """Return the products of the anchors in a rectangle: blocks, planes, planes, and the lags."""
        anchors, around = zip(*(_around(plane, rows, columns, size) for plane in planes))
        if turned:
            anchors, around = (tuple(np.ascontiguousarray(one.T) for one in each) for each in (anchors, around))
        wanted = lags[::-1] if turned else lags
        if len(planes) == 1:
            found = lag_products(anchors[0], around[0], wanted, block, shifts[0], shifts[0])
            return found[:, None, None]
        return lag_products(anchors, around, wanted, block, shifts, shifts)

    core = products(inner_rows, inner_columns, False, block_rows(rows - kh + 1))
    pieces[:, :, :, kh - 1, kw - 1] += core.sum(axis=0)
    for place, band in parts:
        if kh > 1:
            pieces[:, :, :, place, kw - 1] += np.moveaxis(products(band, inner_columns, False, 1), 0, 3)
    for place, band in flanks:
        if kw > 1:
            found = products(inner_rows, band, True, 1)
            pieces[:, :, :, kh - 1, place] += found.transpose(1, 2, 4, 0, 3)


def _add_corners(
    pieces: np.ndarray, parts: Sequence[tuple[np.ndarray, ...]], size: tuple[int, int], shifts: tuple[float, ...]
) -> None:
    """Add the lag products of the pixels in the corners of all images to `pieces`, as in `_add_pieces`."""
    kh, kw = size
    lags = kh, 2 * kw - 1
    for last in np.ndindex(2, 2) if kh > 1 and kw > 1 else ():
        cut = []
        for planes in parts:
            spans = [(n - k + 1, n) if end else (0, k - 1) for n, k, end in zip(planes[0].shape, size, last)]
            cut += [_around(plane, spans[0], spans[1], size) for plane in planes]
        less = np.array(shifts)[:, None, None]
        anchors, around = (
            np.stack(each).reshape(len(parts), len(shifts), *each[0].shape).astype(np.float64) - less
            for each in zip(*cut)
        )
        windows = np.lib.stride_tricks.sliding_window_view(around, lags, axis=(2, 3))[:, :, : kh - 1, : kw - 1]
        rows, columns = (slice(k, None) if end else slice(0, k - 1) for k, end in zip(size, last))
        pieces[:, :, :, rows, columns] += np.einsum("nirc,njrcab->ijarcb", anchors, windows)


def _around(
    plane: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the anchors ``rows`` × ``columns`` and the pixels within their lags.

    Beyond the image these are zeros, which are not used.
    """
    kh, kw = size
    first, last = columns[0] - kw + 1, columns[1] + kw - 1
    bottom = rows[1] + kh - 1
    around = plane[rows[0] : bottom, max(0, first) : last]
    if around.shape != (bottom - rows[0], last - first):
        # `np.pad` takes as long as the products of a strip.
        inside, left = around, max(0, -first)
        around = np.zeros((bottom - rows[0], last - first), plane.dtype)
        around[: inside.shape[0], left : left + inside.shape[1]] = inside
    return plane[rows[0] : rows[1], columns[0] : columns[1]], around


def spread(pieces: np.ndarray, k: int, axis: int) -> np.ndarray:
    """Return for each of `k` shifts the core plus the side lines inside the shifted rectangle."""
    pieces = np.moveaxis(pieces, axis, 0)
    sums = np.empty((k, *pieces.shape[1:]))
    sums[k - 1] = pieces[k - 1]
    # Line by line: `cumsum` along an outer axis goes through memory in steps.
    for i in range(k - 2, -1, -1):
        np.add(sums[i + 1], pieces[i], out=sums[i])
    second = np.zeros(pieces.shape[1:])
    for i in range(1, k):
        second += pieces[k - 1 + i]
        sums[i] += second
    return np.moveaxis(sums, 0, axis)
