"""The gradients of a layer of few channels, by the compiled pipelines for correlation and lag products.

Both cut the rows and columns into phases in which the stride is gone. With stride ``s`` and dilation ``d``, output
``i`` reads element ``i * s + a * d`` for tap ``a``. Let ``g = gcd(s, d)``. For the weights, outputs ``r, r + d/g, ...``
and taps ``p, p + s/g, ...`` meet elements ``r * s + p * d`` and every ``lcm(s, d)``-th after it, where they slide with
stride and dilation 1. For the image, elements ``r, r + s, ...`` get the taps with ``a * d = r`` modulo ``s``, which
slide over the gradient with stride 1 and dilation ``d/g``: no zero is multiplied, whatever the stride.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd, lcm
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield import memory
from kernelfield.engine import channels, interleaved, lags

# Up to this many numbers one padded copy costs less than five calls.
_SMALL = 128 * 128


def weight_gradient(
    image: NDArray[Any],
    gradient: NDArray[Any],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> NDArray[Any]:
    """Return the gradient of ``(gradient * forward(image, weights)).sum()`` with respect to the weights.

    Parameters
    ----------
    image : ndarray, shape (N, C_in, H, W)
        As `channels.forward` takes it.
    gradient : ndarray, shape (N, C_out, OH, OW)
        ``float32`` or ``float64``.
    kernel_size, stride, dilation : tuple of int
        Of rows and of columns.
    groups : int
        Divides both numbers of channels.

    Returns
    -------
    ndarray, shape (C_out, C_in / groups, kh, kw)
        In the type of `gradient`; float32 is summed as `lags.lag_products` does with ``single``.
    """
    filters, inputs = gradient.shape[1] // groups, image.shape[1] // groups
    out = np.zeros((groups * filters, inputs, *kernel_size))
    rows, columns = (
        list(_sliding(*axis)) for axis in zip(gradient.shape[2:], kernel_size, stride, dilation, strict=True)
    )
    for down in rows:
        for across in columns:
            left = _unit(gradient[:, :, down.outputs, across.outputs])
            right = _unit(image[:, :, down.elements, across.elements])
            for o in range(groups * filters):
                for c in range(inputs):
                    into = out[o, c, down.taps, across.taps]
                    for a, b in zip(left[:, o], right[:, o // filters * inputs + c], strict=True):
                        into += lags.lag_products(a, b, into.shape, a.shape[0], single=True)[0]
    with np.errstate(over="ignore"):
        return out.astype(gradient.dtype)


def image_gradient(
    gradient: NDArray[Any],
    weights: NDArray[Any],
    image_shape: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    before: tuple[int, int] = (0, 0),
) -> NDArray[Any]:
    """Return the gradient of ``(gradient * forward(image, weights)).sum()`` with respect to the image.

    Parameters
    ----------
    gradient : ndarray, shape (N, C_out, OH, OW)
        ``float32`` or ``float64``.
    weights : ndarray, shape (C_out, C_in / groups, kh, kw)
        Cast to the type of `gradient`.
    image_shape : tuple of int
        (N, C_in, H, W).
    stride, dilation : tuple of int
        Of rows and of columns.
    groups : int
        Divides both numbers of channels.
    before : tuple of int
        Rows and columns of constants in front of the image that `forward` was given too, as it was behind it.

    Returns
    -------
    ndarray, shape `image_shape`
        In the type of `gradient`; 0 for elements that no window reaches.
    """
    out = memory.empty(image_shape, gradient.dtype)
    gradient = _unit(gradient)
    filters, inputs, kh, kw = weights.shape
    turned = weights.reshape(groups, filters // groups, inputs, kh, kw).swapaxes(1, 2)
    turned = turned.reshape(groups * inputs, filters // groups, kh, kw)
    apart = dilation[0] // gcd(stride[0], dilation[0]), dilation[1] // gcd(stride[1], dilation[1])
    rows, columns = (
        list(_reaching(*axis))
        for axis in zip(image_shape[2:], weights.shape[2:], stride, dilation, before, strict=True)
    )
    for down in rows:
        for across in columns:
            into = out[:, :, down.elements, across.elements]
            taps = turned[:, :, down.taps, across.taps][:, :, ::-1, ::-1]
            if taps.size:
                _correlate(gradient, taps, into, (down.before, across.before), apart, groups)
            else:
                into[...] = 0
    return out


class _Sliding(NamedTuple):
    outputs: slice
    taps: slice
    elements: slice


def _sliding(outputs: int, taps: int, stride: int, dilation: int) -> Iterator[_Sliding]:
    """Yield which outputs and taps of one axis slide over which elements with stride and dilation 1."""
    common = gcd(stride, dilation)
    for first in range(min(dilation // common, outputs)):
        for tap in range(min(stride // common, taps)):
            yield _Sliding(
                slice(first, None, dilation // common),
                slice(tap, None, stride // common),
                slice(first * stride + tap * dilation, None, lcm(stride, dilation)),
            )


class _Reaching(NamedTuple):
    elements: slice
    taps: slice
    before: int


def _reaching(size: int, taps: int, stride: int, dilation: int, padding: int) -> Iterator[_Reaching]:
    """Yield elements of one axis of the image, the taps that reach them, and how far these start before output 0."""
    common = gcd(stride, dilation)
    for first in range(min(stride, size)):
        elements, place = slice(first, None, stride), first + padding
        own = [a for a in range(taps) if (a * dilation - place) % stride == 0]
        if own:
            # The last of the taps reaches this place from output `(place - own[-1] * dilation) / stride`.
            before = (own[-1] * dilation - place) // stride
            yield _Reaching(elements, slice(own[0], None, stride // common), before)
        else:
            yield _Reaching(elements, slice(0, 0), 0)


def _correlate(
    gradient: NDArray[Any],
    taps: NDArray[Any],
    out: NDArray[Any],
    before: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    """Write the correlation of a gradient surrounded by zeros: the interior on its own memory, the frame on copies."""
    rows, columns = out.shape[2:]
    spans = tuple((n - 1) * d for n, d in zip(taps.shape[2:], dilation, strict=True))
    top, left = (max(start, 0) for start in before)
    bottom, right = (
        max(0, min(start + n - span, size))
        for start, n, span, size in zip(before, gradient.shape[2:], spans, (rows, columns), strict=True)
    )

    def strip(y: tuple[int, int], x: tuple[int, int]) -> None:
        if y[0] < y[1] and x[0] < x[1]:
            reads = [(s[0] - b, s[1] - b + span) for s, b, span in zip((y, x), before, spans, strict=True)]
            part = _surrounded(gradient, *reads)
            channels.forward(part, taps, out[:, :, slice(*y), slice(*x)], (1, 1), dilation, groups)

    if rows * columns <= _SMALL or top >= bottom or left >= right:
        strip((0, rows), (0, columns))
        return
    inside = gradient[:, :, top - before[0] :, left - before[1] :]
    channels.forward(inside, taps, out[:, :, top:bottom, left:right], (1, 1), dilation, groups)
    strip((0, top), (0, columns))
    strip((bottom, rows), (0, columns))
    strip((top, bottom), (0, left))
    strip((top, bottom), (right, columns))


def _surrounded(array: NDArray[Any], rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
    """Return rows and columns of an array as if zeros lay around it."""
    inside, place = [], []
    for (start, stop), n in zip((rows, columns), array.shape[2:], strict=True):
        low, high = max(start, 0), max(min(stop, n), max(start, 0))
        inside.append(slice(low, high))
        place.append(slice(low - start, high - start))
    out = np.zeros((*array.shape[:2], rows[1] - rows[0], columns[1] - columns[0]), array.dtype)
    out[:, :, place[0], place[1]] = array[:, :, inside[0], inside[1]]
    return out


def _unit(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, or a copy of it, with unit stride on the last axis and no negative stride.

    What is broadcast, as the gradient of a sum is, is copied along the last axis only.
    """
    if array.strides[3] == array.itemsize and min(array.strides) >= 0:
        return array
    part = array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides[:3])]
    copy = np.empty(part.shape, part.dtype)
    interleaved.copy(part, copy)
    return np.broadcast_to(copy, array.shape)
