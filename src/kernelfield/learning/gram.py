"""The Gram matrix of all windows of an image, from its lag products.

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
    """Return the rows per block: enough blocks for every processor core, few enough to sum at once."""
    return max(16, -(-rows // 64))


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
    kh, kw = size
    pieces = np.zeros((kh, 2 * kh - 1, 2 * kw - 1, 2 * kw - 1))
    for image in images:
        _add_pieces(pieces, image, image, size, (shift, shift))
    _add_corners(pieces, images, images, size, (shift, shift))
    gram = np.empty((kh, kw, kh, kw))
    u, v = np.arange(kw)[:, None], np.arange(kw)
    for dr in range(kh):
        sums = spread(spread(pieces[dr], kh, 0), kw, 1)
        values = sums[: kh - dr, u, v - u + kw - 1]
        if dr == 0:
            values = np.where(v >= u, values, values.transpose(0, 2, 1))
        above, below = np.arange(kh - dr), np.arange(dr, kh)
        gram[above, :, below] = values
        gram[below, :, above] = values.transpose(0, 2, 1)
    return gram.reshape(kh * kw, kh * kw)


def cross_gram(a: np.ndarray, b: np.ndarray, size: tuple[int, int], a_shift: float, b_shift: float) -> np.ndarray:
    """Return ``sum over p of a[p + u] * b[p + v]`` for two images of one shape, shape (kh * kw, kh * kw).

    Other arguments as in `gram_matrix`; the shifts are subtracted from the pixels of each.
    """
    kh, kw = size
    gram = np.empty((kh, kw, kh, kw))
    u, v = np.arange(kw)[:, None], np.arange(kw)
    for first, second, shifts, forward in ((a, b, (a_shift, b_shift), True), (b, a, (b_shift, a_shift), False)):
        pieces = np.zeros((kh, 2 * kh - 1, 2 * kw - 1, 2 * kw - 1))
        _add_pieces(pieces, first, second, size, shifts)
        _add_corners(pieces, [first], [second], size, shifts)
        for dr in range(0 if forward else 1, kh):
            sums = spread(spread(pieces[dr], kh, 0), kw, 1)
            values = sums[: kh - dr, u, v - u + kw - 1]
            above, below = np.arange(kh - dr), np.arange(dr, kh)
            if forward:
                gram[above, :, below] = values
            else:
                gram[below, :, above] = values.transpose(0, 2, 1)
    return gram.reshape(kh * kw, kh * kw)


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
    pieces: np.ndarray, image: np.ndarray, other: np.ndarray, size: tuple[int, int], shifts: tuple[float, float]
) -> None:
    """Add the lag products of the core and of every row and column of the sides but their corners to `pieces`.

    Pixels of `image` are multiplied by those of `other` at the lags.

    Shape (kh, 2 kh - 1, 2 kw - 1, 2 kw - 1): the lags ``dr >= 0``; the rows and the columns of the first side, the
    core, those of the second side; the lags ``dc > -kw``.
    """
    kh, kw = size
    rows, columns = image.shape[0] - kh + 1, image.shape[1] - kw + 1
    parts = ((slice(0, kh - 1), (0, kh - 1)), (slice(kh, None), (rows, rows + kh - 1)))
    flanks = ((slice(0, kw - 1), (0, kw - 1)), (slice(kw, None), (columns, columns + kw - 1)))
    inner_rows, inner_columns = (kh - 1, rows), (kw - 1, columns)

    anchors, around = _around(image, other, inner_rows, inner_columns, size)
    lags = kh, 2 * kw - 1
    core = lag_products(anchors, around, lags, block_rows(anchors.shape[0]), *shifts)
    pieces[:, kh - 1, kw - 1] += core.sum(axis=0)
    for place, band in parts:
        if kh > 1:
            anchors, around = _around(image, other, band, inner_columns, size)
            pieces[:, place, kw - 1] += lag_products(anchors, around, lags, 1, *shifts).transpose(1, 0, 2)
    for place, band in flanks:
        if kw > 1:
            anchors, around = _around(image, other, inner_rows, band, size)
            turned = np.ascontiguousarray(anchors.T), np.ascontiguousarray(around.T)
            products = lag_products(*turned, lags[::-1], 1, *shifts)
            pieces[:, kh - 1, place] += products.transpose(2, 0, 1)


def _add_corners(
    pieces: np.ndarray,
    images: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    size: tuple[int, int],
    shifts: tuple[float, float],
) -> None:
    """Add the lag products of the pixels in the corners of all images to `pieces`, as in `_add_pieces`."""
    kh, kw = size
    lags = kh, 2 * kw - 1
    for last in np.ndindex(2, 2) if kh > 1 and kw > 1 else ():
        parts = []
        for image, other in zip(images, others):
            spans = [(n - k + 1, n) if end else (0, k - 1) for n, k, end in zip(image.shape, size, last)]
            parts.append(_around(image, other, spans[0], spans[1], size))
        anchors, around = (np.stack(each).astype(np.float64) - shift for each, shift in zip(zip(*parts), shifts))
        windows = np.lib.stride_tricks.sliding_window_view(around, lags, axis=(1, 2))[:, : kh - 1, : kw - 1]
        rows, columns = (slice(k, None) if end else slice(0, k - 1) for k, end in zip(size, last))
        pieces[:, rows, columns] += np.einsum("irc,ircab->arcb", anchors, windows)


def _around(
    image: np.ndarray, other: np.ndarray, rows: tuple[int, int], columns: tuple[int, int], size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the anchors ``rows`` × ``columns``, and the pixels of `other` within their lags.

    Beyond the image these are zeros, which are not used.
    """
    kh, kw = size
    first, last = columns[0] - kw + 1, columns[1] + kw - 1
    bottom = rows[1] + kh - 1
    around = other[rows[0] : bottom, max(0, first) : last]
    missing = (max(0, bottom - image.shape[0]), max(0, -first), max(0, last - image.shape[1]))
    if any(missing):
        around = np.pad(around, ((0, missing[0]), missing[1:]))
    return image[rows[0] : rows[1], columns[0] : columns[1]], around


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
