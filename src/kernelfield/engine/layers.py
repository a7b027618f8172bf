"""Layers of kernels and their gradients on NumPy arrays, for the adapters of the frameworks.

The gradients cut rows and columns into phases in which the stride is gone. With stride ``s`` and dilation ``d``, output
``i`` reads element ``i * s + a * d`` for tap ``a``. Let ``g = gcd(s, d)``. For the weights, outputs ``r, r + d/g, ...``
and taps ``p, p + s/g, ...`` meet elements ``r * s + p * d`` and every ``lcm(s, d)``-th after it, where they slide with
stride and dilation 1: lag products. For the image, elements ``r, r + s, ...`` get the taps with ``a * d = r`` modulo
``s``, which slide over the gradient with stride 1 and dilation ``d/g``: no zero is multiplied, whatever the stride.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from math import gcd, lcm
from typing import NamedTuple

import numpy as np

from kernelfield import _core
from kernelfield.engine import plan
from kernelfield.engine.borders import extended
from kernelfield.geometry import Operation, Window, border_rectangles

# Pixels of an image up to which it is extended as a whole: faster than border by border.
_SMALL = 128 * 128


def engine_is_better(operation: Operation, image: tuple[int, ...], kernel: tuple[int, ...]) -> bool:
    """Return whether the engine is faster than a framework's own convolution for these shapes.

    The numbers of channels decide, as measured against PyTorch: its kernels work on blocks of 8 or 16 filters, and are
    slow where blocks stay empty, whatever the size, the stride and the dilation.
    """
    if len(kernel) == 2:
        return True
    groups = operation.groups
    filters, inputs = kernel[0] // groups, kernel[1]
    return not (groups >= 16 or (filters >= 8 and inputs >= 3 and filters * inputs >= 64))


def forward(
    operation: Operation, image: np.ndarray, kernel: np.ndarray, out: np.ndarray, bias: np.ndarray | None = None
) -> None:
    """Write the cross-correlation into `out`, plus a bias of shape (C_out,) for weights of four axes, or (1,).

    Parameters
    ----------
    image : ndarray, shape (..., H, W) or (..., C_in, H, W)
    kernel : ndarray, shape (kh, kw) or (C_out, C_in/groups, kh, kw)
    out : ndarray
        The shape of ``operation.output_shape``; any strides. It must not overlap the image.
    """
    if kernel.ndim > 2 or bias is not None:
        plan.forward(operation, image, kernel, out, bias)
        return
    # What there is to find out of a kernel is kept; a layer's weights change with every step.
    asked = "layer", operation
    if plan.CACHE.run(image, kernel, out, asked) is None:
        runner = plan.forward(operation, image, kernel, out)
        if runner is not None:
            plan.CACHE.keep(image, kernel, out, asked, runner, out.shape, out.dtype)


def backward(
    operation: Operation,
    image: np.ndarray,
    kernel: np.ndarray,
    gradient: np.ndarray,
    needs: tuple[bool, bool] = (True, True),
    channels_last: bool = False,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the gradients with respect to image and kernel; None for one that is not needed.

    Parameters
    ----------
    image, kernel : ndarray
        As in `forward`, floats; without the gradient of the kernel, only the shape of the image is used.
    gradient : ndarray
        The gradient of a scalar with respect to the result.
    channels_last : bool
        Whether the gradient with respect to an image (N, C, H, W) is stored as (N, H, W, C).
    """
    pixels, weights = _four(image, kernel)
    slope = gradient.reshape(pixels.shape[0], weights.shape[0], *gradient.shape[-2:])
    to_image = to_kernel = None
    if needs[1]:
        to_kernel = weight_gradient(operation, pixels, slope, weights.shape).reshape(kernel.shape)
    if needs[0]:
        to_image = image_gradient(operation, slope, weights, pixels.shape, channels_last).reshape(image.shape)
    return to_image, to_kernel


def weight_gradient(
    operation: Operation, image: np.ndarray, gradient: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the gradient of ``(gradient * result).sum()`` with respect to weights.

    Parameters
    ----------
    image : ndarray, shape (N, C_in, H, W)
    gradient : ndarray, shape (N, C_out, OH, OW)
        ``float32`` or ``float64``, the dtype of the result. float32 is summed in strips, whose sums are float64.
    shape : tuple of int
        (C_out, C_in/groups, kh, kw).
    """
    total = np.zeros(shape)
    if gradient.size:
        for part, rows, columns in _pieces(operation, image):
            _add_products(operation, part, gradient[:, :, rows, columns], total)
    with np.errstate(over="ignore"):
        return total.astype(gradient.dtype)


def image_gradient(
    operation: Operation,
    gradient: np.ndarray,
    weights: np.ndarray,
    shape: tuple[int, ...],
    channels_last: bool = False,
) -> np.ndarray:
    """Return the gradient of ``(gradient * result).sum()`` with respect to an image.

    Parameters
    ----------
    gradient : ndarray, shape (N, C_out, OH, OW)
        ``float32`` or ``float64``, the dtype of the result.
    weights : ndarray, shape (C_out, C_in/groups, kh, kw)
    shape : tuple of int
        (N, C_in, H, W).
    """
    if operation.boundary == "constant" or not operation.pads:
        return _spread(operation, gradient, weights, shape, operation.before, channels_last)
    # The gradient of the extended image; the elements that repeat a pixel are then added to that pixel.
    reads = operation.indices(shape)
    whole = _spread(operation, gradient, weights, (*shape[:2], *map(len, reads)), (0, 0), channels_last)
    for axis, read, window in zip((2, 3), reads, operation.windows):
        whole = _folded(whole, read, window.before, shape[axis], axis)
    return whole


def _four(image: np.ndarray, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return image and kernel with the four axes of a layer."""
    if kernel.ndim == 2:
        lead = math.prod(image.shape[:-2])
        return image.reshape(lead, 1, *image.shape[-2:]), kernel[None, None]
    lead = math.prod(image.shape[:-3])
    return image.reshape(lead, *image.shape[-3:]), kernel


def _pieces(operation: Operation, image: np.ndarray) -> Iterator[tuple[np.ndarray, slice, slice]]:
    """Yield parts of the extended image (N, C, H, W), and the rows and columns of outputs that each has.

    The interior is a view of the image; the borders around it are copies, as is all of a small image.
    """
    windows, shape = operation.windows, image.shape[2:]
    whole = [(0, w.output_size(n)) for w, n in zip(windows, shape)]
    if not operation.pads:
        yield image, slice(*whole[0]), slice(*whole[1])
        return
    rectangles = border_rectangles(shape, windows)
    inside = [w.interior(n) for w, n in zip(windows, shape)]
    if shape[0] * shape[1] <= _SMALL:
        rectangles = [(whole[0], whole[1])]
    elif all(start < stop for start, stop in inside):
        # The first element that the first output of the interior reads.
        top, left = (i[0] * w.stride - w.before for i, w in zip(inside, windows))
        yield image[:, :, top:, left:], slice(*inside[0]), slice(*inside[1])
    for rows, columns in rectangles:
        part = extended(image, windows, operation.boundary, operation.cval, rows, columns)
        yield part, slice(*rows), slice(*columns)


class _Sliding(NamedTuple):
    """One phase of an axis: outputs and taps that slide over elements with stride and dilation 1."""

    outputs: slice
    taps: slice
    elements: slice


def _add_products(operation: Operation, image: np.ndarray, gradient: np.ndarray, total: np.ndarray) -> None:
    """Add the lag products of an extended image and the gradient to `total`, phase by phase."""
    filters, inputs = total.shape[0] // operation.groups, total.shape[1]
    rows, columns = (list(_sliding(n, window)) for n, window in zip(gradient.shape[2:], operation.windows))
    for down in rows:
        for across in columns:
            left = gradient[:, :, down.outputs, across.outputs]
            right = image[:, :, down.elements, across.elements]
            for o, c in np.ndindex(total.shape[:2]):
                into = total[o, c, down.taps, across.taps]
                for a, b in zip(left[:, o], right[:, o // filters * inputs + c]):
                    into += _core.lag_products(a, b, into.shape, a.shape[0], single=True)[0]


def _sliding(outputs: int, window: Window) -> Iterator[_Sliding]:
    """Yield the outputs, taps and elements of one axis that slide over each other with stride and dilation 1."""
    stride, dilation = window.stride, window.dilation
    common = gcd(stride, dilation)
    for first in range(min(dilation // common, outputs)):
        for tap in range(min(stride // common, window.size)):
            yield _Sliding(
                slice(first, None, dilation // common),
                slice(tap, None, stride // common),
                slice(first * stride + tap * dilation, None, lcm(stride, dilation)),
            )


class _Reaching(NamedTuple):
    """One phase of an axis: elements, the taps that reach them, and the outputs before the first one."""

    elements: slice
    taps: slice
    before: int


def _spread(
    operation: Operation,
    gradient: np.ndarray,
    weights: np.ndarray,
    shape: tuple[int, ...],
    before: tuple[int, int],
    channels_last: bool,
) -> np.ndarray:
    """Return the gradient of each element of an image, extended in front by constants: its sum over the windows."""
    n, channels, height, width = shape
    if channels_last:
        out = _core.empty((n, height, width, channels), gradient.dtype).transpose(0, 3, 1, 2)
    else:
        out = _core.empty(shape, gradient.dtype)
    if not gradient.size:
        out[...] = 0
        return out
    groups = operation.groups
    filters, inputs, *size = weights.shape
    turned = weights.astype(np.float64).reshape(groups, filters // groups, inputs, *size).swapaxes(1, 2)
    turned = turned.reshape(groups * inputs, filters // groups, *size)
    dilation = tuple(w.dilation // gcd(w.stride, w.dilation) for w in operation.windows)
    rows, columns = (list(_reaching(*axis)) for axis in zip(shape[2:], operation.windows, before))
    single = channels == filters == 1
    for down in rows:
        for across in columns:
            into = out[:, :, down.elements, across.elements]
            taps = turned[:, :, down.taps, across.taps][:, :, ::-1, ::-1]
            if not taps.size:
                into[...] = 0
                continue
            correlation = _core.Correlation(
                np.ascontiguousarray(taps[0, 0] if single else taps),
                before=(down.before, across.before),
                dilation=(dilation[0], dilation[1]),
                groups=groups,
                sums=gradient.dtype.name,
            )
            correlation(*(a[:, 0] for a in (gradient, into)) if single else (gradient, into))
    return out


def _reaching(size: int, window: Window, padding: int) -> Iterator[_Reaching]:
    """Yield elements of one axis of the image, the taps that reach them, and the outputs before the first one."""
    stride, dilation = window.stride, window.dilation
    common = gcd(stride, dilation)
    for first in range(min(stride, size)):
        elements, position = slice(first, None, stride), first + padding
        own = [a for a in range(window.size) if (a * dilation - position) % stride == 0]
        if own:
            # The last of the taps reaches it from output `(position - own[-1] * dilation) / stride`.
            before = (own[-1] * dilation - position) // stride
            yield _Reaching(elements, slice(own[0], None, stride // common), before)
        else:
            yield _Reaching(elements, slice(0, 0), 0)


def _folded(gradient: np.ndarray, index: np.ndarray, before: int, n: int, axis: int) -> np.ndarray:
    """Return the gradient with respect to an axis of `n` elements that ``index`` reads: a view, added to in place."""
    gradient = np.moveaxis(gradient, axis, 0)
    folded = gradient[before : before + n]
    for position in (*range(before), *range(before + n, len(index))):
        folded[index[position]] += gradient[position]
    return np.moveaxis(folded, 0, axis)
