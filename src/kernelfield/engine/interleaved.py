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
    splits = _is_interleaved(source) and _is_planar(target)
    joins = _is_planar(source) and _is_interleaved(target)
    if source.size < _SMALL or source.dtype != target.dtype or not (splits or joins):
        target[...] = source
        return
    pipeline = _halide.compiled(_build, source.dtype, source.shape[1], splits)
    if source.shape[3] < pipeline.width:
        target[...] = source
        return
    rows = _halide.items_per_task(source.shape[2], source.shape[1] * source.shape[3])
    last = (0, 2, 3, 1)
    pipeline.run(source.transpose(last) if splits else source, rows, target if splits else target.transpose(last))


def _is_interleaved(array: NDArray[Any]) -> bool:
    channels, item = array.shape[1], array.itemsize
    channel, column = array.strides[1], array.strides[3]
    return channels in CHANNELS and channel == item and column == channels * item and _fits(array)


def _is_planar(array: NDArray[Any]) -> bool:
    return array.strides[3] == array.itemsize and _fits(array)


def _fits(array: NDArray[Any]) -> bool:
    return min(array.strides) >= 0 and array.dtype in _halide.INPUT_TYPES and _halide.addressable(array)


def _build(dtype: np.dtype[Any], channels: int, splits: bool) -> _halide.Definition:
    """Define the copy of interleaved channels to planes, or of planes to interleaved channels."""
    import halide as hl

    x, y, c, n, strip, block, task = hl.vars("x y c n strip block task")
    source = hl.ImageParam(_halide.halide_type(dtype), 4, "source")
    rows = hl.Param(hl.Int(32), "rows")
    out = hl.Func("out")
    planes, together = (x, y, c, n), (c, x, y, n)
    out[planes if splits else together] = source[together if splits else planes]
    interleaved, planar = (source, out.output_buffer()) if splits else (out.output_buffer(), source)
    interleaved.dim(0).set_bounds(0, channels).set_stride(1)
    interleaved.dim(1).set_stride(channels)
    planar.dim(0).set_stride(1)
    planar.dim(2).set_bounds(0, channels)

    # Threads share rows; each takes all channels of a register of columns.
    width = _halide.lanes(dtype)
    out.split(y, strip, y, rows, hl.TailStrategy.GuardWithIf)
    out.split(x, block, x, width, hl.TailStrategy.ShiftInwards)
    out.reorder(c, x, block, y, strip, n).bound(c, 0, channels).unroll(c).vectorize(x)
    out.fuse(strip, n, task).parallel(task)
    return _halide.Definition(out, [source, rows], width)


def lines(*arrays: NDArray[Any]) -> tuple[int, NDArray[Any], NDArray[Any]]:
    """Return the number of interleaved channels, and image and result with rows of all of them."""
    image, out = arrays
    if image.ndim < 4:
        return 1, image, out
    lines = (
        np.lib.stride_tricks.as_strided(
            a, (*a.shape[:2], a.shape[2] * a.shape[3]), (*a.strides[:2], a.itemsize), subok=False
        )
        for a in arrays
    )
    return image.shape[3], *lines
