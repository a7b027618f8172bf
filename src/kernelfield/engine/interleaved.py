"""Copies between interleaved channels (N, H, W, C), as photographs have them, and planes (N, C, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import _halide

#: Numbers of channels that are compiled; more are copied by NumPy, whose inner loop is long enough then.
CHANNELS = (2, 3, 4)
# Elements below which NumPy's copy is done before a call has begun.
_SMALL = 1 << 14


def copy(source: NDArray[Any], target: NDArray[Any]) -> None:
    """Write `source` into `target`, arrays (N, C, H, W) of one dtype, whichever of them is a view of (N, H, W, C)."""
    pipeline_of = _split if _is_interleaved(source) and _is_planar(target) else None
    if pipeline_of is None and _is_planar(source) and _is_interleaved(target):
        pipeline_of = _merge
    if pipeline_of is None or source.size < _SMALL or source.dtype != target.dtype:
        target[...] = source
        return
    pipeline = _halide.compiled(pipeline_of, source.dtype, source.shape[1])
    if source.shape[3] < pipeline.width:
        target[...] = source
        return
    rows = _halide.items_per_task(source.shape[2], source.shape[1] * source.shape[3])
    if pipeline_of is _split:
        pipeline.run(source.transpose(0, 2, 3, 1), rows, target)
    else:
        pipeline.run(source, rows, target.transpose(0, 2, 3, 1))


def _is_interleaved(array: NDArray[Any]) -> bool:
    channels, item = array.shape[1], array.itemsize
    channel, column = array.strides[1], array.strides[3]
    return channels in CHANNELS and channel == item and column == channels * item and _fits(array)


def _is_planar(array: NDArray[Any]) -> bool:
    return array.strides[3] == array.itemsize and _fits(array)


def _fits(array: NDArray[Any]) -> bool:
    return min(array.strides) >= 0 and array.dtype in _halide.INPUT_TYPES and _halide.addressable(array)


def _split(dtype: np.dtype[Any], channels: int) -> _halide.Definition:
    """Define the copy of interleaved channels to planes."""
    import halide as hl

    x, y, c, n, strip, block, task = hl.vars("x y c n strip block task")
    source = hl.ImageParam(_halide.halide_type(dtype), 4, "source")
    rows = hl.Param(hl.Int(32), "rows")
    out = hl.Func("out")
    out[x, y, c, n] = source[c, x, y, n]
    source.dim(0).set_bounds(0, channels).set_stride(1)
    source.dim(1).set_stride(channels)
    target = out.output_buffer()
    target.dim(0).set_stride(1)
    target.dim(2).set_bounds(0, channels)
    width = _scheduled(out, x, y, c, n, strip, block, task, rows, channels, dtype)
    return _halide.Definition(out, [source, rows], width)


def _merge(dtype: np.dtype[Any], channels: int) -> _halide.Definition:
    """Define the copy of planes to interleaved channels."""
    import halide as hl

    x, y, c, n, strip, block, task = hl.vars("x y c n strip block task")
    source = hl.ImageParam(_halide.halide_type(dtype), 4, "source")
    rows = hl.Param(hl.Int(32), "rows")
    out = hl.Func("out")
    out[c, x, y, n] = source[x, y, c, n]
    source.dim(0).set_stride(1)
    source.dim(2).set_bounds(0, channels)
    target = out.output_buffer()
    target.dim(0).set_bounds(0, channels).set_stride(1)
    target.dim(1).set_stride(channels)
    width = _scheduled(out, x, y, c, n, strip, block, task, rows, channels, dtype)
    return _halide.Definition(out, [source, rows], width)


def _scheduled(
    out: Any, x: Any, y: Any, c: Any, n: Any, strip: Any, block: Any, task: Any, rows: Any, channels: int, dtype: Any
) -> int:
    """Let threads share rows, and each take all channels of a register of columns; return what fits it."""
    import halide as hl

    width = _halide.lanes(dtype)
    out.split(y, strip, y, rows, hl.TailStrategy.GuardWithIf)
    out.split(x, block, x, width, hl.TailStrategy.ShiftInwards)
    out.reorder(c, x, block, y, strip, n).bound(c, 0, channels).unroll(c).vectorize(x)
    out.fuse(strip, n, task).parallel(task)
    return width
