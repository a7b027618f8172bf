"""Layers of kernels by sliding products: few channels, groups, strides, dilations.

One pipeline, as in `direct`, takes channels, groups, kernel sizes, the stride of rows and the dilation of columns
at run time. Only the stride of columns changes the code, because it changes how a register is loaded: 1, 2 and the
rest are compiled apart. A stride ``s`` of rows cuts the image into ``s`` phases, rows ``p, p + s, p + 2 s, ...``;
in one phase the rows of the kernel that meet it slide with stride 1. A dilation of rows needs nothing compiled: outputs
that are a dilation apart see rows that are a dilation apart, which is a view.

An output is the sum over channels and phases of sums over rows and columns of the kernel, always in this order:
its bits do not depend on tiles, threads, the batch or the place in the image.
"""

from __future__ import annotations

import sys
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import _halide, direct, interleaved
from kernelfield.engine.choice import engine
from kernelfield.engine.x86.numbers import serves

if sys.platform == "linux":
    from kernelfield.engine.x86 import calls

ROWS = 3
VECTORS = 4
_PAD = ROWS - 1  # rows around the weights that Halide's bounds include; no output uses them


def forward(
    image: NDArray[Any],
    weights: NDArray[Any],
    out: NDArray[Any],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    bias: NDArray[Any] | None = None,
) -> None:
    """Write the cross-correlation of a layer of kernels.

    ``out[n, o, i, j] = sum over c, a, b of weights[o, c, a, b] * image[n, g + c, i * sh + a * dh, j * sw + b * dw]``,
    where ``g`` is the first channel of the group of ``o``; plus ``bias[o]``, added last.

    Parameters
    ----------
    image : ndarray, shape (N, C_in, H, W)
        One of `kernelfield.engine._halide.INPUT_TYPES` in native byte order. May be read-only.
    weights : ndarray, shape (C_out, C_in / groups, kh, kw)
        Cast to the type of `out`.
    out : ndarray, shape (N, C_out, OH, OW)
        ``float32`` or ``float64``; sums are accumulated in its type. It must not overlap `image`.
    stride, dilation : tuple of int
        Of rows and of columns.
    groups : int
        Divides both numbers of channels.
    bias : ndarray, shape (C_out,), optional
        Cast to the type of `out`.

    Notes
    -----
    NaN and infinities reach exactly the outputs whose window holds them.
    """
    if out.size == 0:
        return
    one = image.shape[1] == groups == 1 and stride == (1, 1)
    if one and engine().native and serves(image.dtype, out.dtype, out.dtype) and _plain(out):
        image = _readable(image, 0)
        for first in range(min(dilation[0], out.shape[2])):
            rows = slice(first, None, dilation[0])
            calls.sliding(image[:, 0, rows], weights[:, 0], out[:, :, rows], out.dtype, bias, step=dilation[1])
        return
    if image.shape[1] == weights.shape[0] == 1 and stride == (1, 1) and dilation[1] == 1 and _plain(out):
        image = _readable(image, 0)
        for first in range(min(dilation[0], out.shape[2])):
            rows = slice(first, None, dilation[0])
            direct.correlate(image[:, 0, rows], weights[0, 0], out[:, 0, rows], 0.0 if bias is None else float(bias[0]))
        return
    added = np.zeros(weights.shape[0], out.dtype) if bias is None else np.ascontiguousarray(bias, out.dtype)
    pipeline = _halide.compiled(_build, image.dtype, out.dtype, min(stride[1], 3))
    wide = max(out.shape[3], pipeline.width)
    image = _readable(image, (wide - 1) * stride[1] + (weights.shape[3] - 1) * dilation[1] + 1)
    result = out
    if wide > out.shape[3] or not _plain(out):
        result = np.empty((*out.shape[:3], wide), out.dtype)
    _run(pipeline, image, weights, added, result, stride, dilation, groups)
    if result is not out:
        interleaved.copy(result[..., : out.shape[3]], out)


def _plain(array: NDArray[Any]) -> bool:
    return array.strides[3] == array.itemsize and min(array.strides) >= 0 and _halide.addressable(array)


def _readable(image: NDArray[Any], width: int) -> NDArray[Any]:
    """Return the image, or a copy of it that a buffer can describe and that has at least `width` columns."""
    if image.shape[3] >= width and _plain(image):
        return image
    copy = np.empty((*image.shape[:3], max(width, image.shape[3])), image.dtype)
    copy[..., image.shape[3] :] = 0
    interleaved.copy(image, copy[..., : image.shape[3]])
    return copy


def _run(
    pipeline: _halide.Pipeline,
    image: NDArray[Any],
    weights: NDArray[Any],
    bias: NDArray[Any],
    out: NDArray[Any],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> None:
    common = gcd(stride[0], dilation[0])
    step, apart = stride[0] // common, dilation[0] // common
    filters, channels, kh, kw = weights.shape
    count = -(-kh // step)
    padded = np.zeros((filters, channels, step, count + 2 * _PAD, kw), out.dtype)
    heights = np.zeros(step, np.int32)
    for phase in range(step):
        part = weights[:, :, phase::step]
        heights[phase] = part.shape[2]
        padded[:, :, phase, _PAD : _PAD + part.shape[2]] = part
    packed = padded.reshape(groups, filters // groups, *padded.shape[1:])
    # Output i = apart * t + first reads row dilation * (step * t + tap) + stride * first.
    for first in range(min(apart, out.shape[2])):
        rows = out[:, :, first::apart]
        inputs = image[:, :, stride[0] * first :: dilation[0] if apart > 1 or common > 1 else 1]
        macs = ROWS * rows.shape[3] * weights.size // groups
        strip = _halide.items_per_task(-(-rows.shape[2] // ROWS), macs)
        pipeline.run(
            _grouped(inputs, groups), packed, bias.reshape(groups, -1), heights, stride[1], dilation[1], strip,
            _grouped(rows, groups),
        )  # fmt: skip


def _grouped(array: NDArray[Any], groups: int) -> NDArray[Any]:
    """Return the view (N, groups, channels, H, W) of an array (N, C, H, W)."""
    count, channels, height, width = array.shape
    batch, channel, row, column = array.strides
    each = channels // groups
    return np.lib.stride_tricks.as_strided(
        array, (count, groups, each, height, width), (batch, channel * each, channel, row, column)
    )


def _build(image_type: np.dtype[Any], out_type: np.dtype[Any], column_stride: int) -> _halide.Definition:
    """Define the pipeline for two types and a stride of columns: 1, 2, or 3 for all others."""
    import halide as hl

    x, y, o, g, n, p, c, b = hl.vars("x y o g n p c b")
    tile, row, strip, block, column, task = hl.vars("tile row strip block column task")
    image = hl.ImageParam(_halide.halide_type(image_type), 5, "image")
    weights = hl.ImageParam(_halide.halide_type(out_type), 6, "weights")
    bias = hl.ImageParam(_halide.halide_type(out_type), 2, "bias")
    heights = hl.ImageParam(hl.Int(32), 1, "heights")  # rows of the kernel in every phase
    sizes = [hl.Param(hl.Int(32), name) for name in ("column_stride", "column_dilation", "tiles_per_task")]
    any_stride, dilation, tiles_per_task = sizes
    stride = any_stride if column_stride > 2 else column_stride
    number = _halide.halide_type(out_type)
    kw = weights.dim(0).extent()
    kh = weights.dim(1).extent() - 2 * _PAD  # of the longest phase
    phases, channels = weights.dim(2).extent(), weights.dim(3).extent()
    last_row = image.dim(1).extent() - 1
    own_kh = hl.clamp(heights[p], 0, kh)

    place = (p, c, tile, o, g, n)
    # The last tile may hang over the output: rows beyond it read the last image row and are not stored.
    pixels = hl.Func("pixels")
    source = hl.min((tile * ROWS + row) * phases + p, last_row)
    pixels[(x, b, row, *place)] = hl.cast(number, image[x * stride + b * dilation, source, c, g, n])

    # acc: what one phase of one channel gives to a tile of outputs.
    acc = hl.Func("acc")
    acc[(x, row, *place)] = hl.cast(number, 0)
    stages: list[tuple[Any, Any]] = []

    def add(y: Any, b: Any, r: Any, domain: Any) -> None:
        acc[(x, y, *place)] += weights[b, r - y + _PAD, p, c, o, g] * pixels[(x, b, r, *place)]
        stages.append((acc.update(len(stages)), domain))

    for r in range(ROWS - 1):  # the first image rows feed the outputs above them
        d = hl.RDom([(0, r + 1), (0, kw)])
        d.where(r < own_kh)
        add(d.x, d.y, r, d)
    d = hl.RDom([(0, ROWS), (0, kw), (ROWS - 1, hl.max(kh - ROWS + 1, 0))])
    d.where(d.z < own_kh)
    add(d.x, d.y, d.z, d)
    for r in range(ROWS - 1):  # the last ones feed the outputs whose window has not ended
        d = hl.RDom([(r + 1, ROWS - 1 - r), (0, kw)])
        d.where(d.x <= own_kh + r)
        add(d.x, d.y, own_kh + r, d)

    total = hl.Func("total")
    total[x, row, tile, o, g, n] = hl.cast(number, 0)
    over = hl.RDom([(0, phases), (0, channels)])
    total[x, row, tile, o, g, n] += acc[x, row, over.x, over.y, tile, o, g, n]

    out = hl.Func("out")
    out[x, y, o, g, n] = total[x, y % ROWS, y // ROWS, o, g, n] + bias[o, g]

    vector = _halide.lanes(out_type)
    width = VECTORS * vector
    guard = hl.TailStrategy.GuardWithIf
    out.split(y, tile, row, ROWS, guard).split(tile, strip, tile, tiles_per_task, guard)
    out.split(x, block, column, width, hl.TailStrategy.ShiftInwards)
    out.reorder(column, row, o, block, tile, strip, g, n).vectorize(column, vector).unroll(column).unroll(row)
    out.fuse(g, n, n).fuse(strip, n, task).parallel(task)
    total.compute_at(out, o).bound_extent(tile, 1).bound_extent(row, ROWS)
    total.vectorize(x, vector).unroll(x).unroll(row)
    total.update().reorder(x, row, over.x, over.y).vectorize(x, vector).unroll(x).unroll(row)
    acc.compute_at(total, over.x).bound_extent(tile, 1).bound_extent(row, ROWS)
    acc.vectorize(x, vector).unroll(x).unroll(row)
    if column_stride > 2:
        pixels.compute_at(total, over.x)
    for stage, d in stages:
        stage.reorder(x, *(d[i] for i in range(d.dimensions()))).vectorize(x, vector).unroll(x).unroll(d.x)
    for array in (image, weights, bias, out.output_buffer()):
        array.dim(0).set_stride(1)
    return _halide.Definition(out, [image, weights, bias, heights, *sizes], width)  # no output may be narrower
