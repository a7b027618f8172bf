"""Valid cross-correlation with kernels of low rank: a sum of products of a column and a row, in fused passes.

A tile of output rows is first correlated down, with every column of weights, into rows that stay in the cache, and then
along: by our own machine code (`kernelfield.engine.x86.passes`) and, where that does not run, by this Halide pipeline.
The order in which Halide's code adds terms is the compiler's; the bits do not depend on threads or the batch.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import _halide, direct
from kernelfield.engine.choice import engine
from kernelfield.engine.low_rank import Factors
from kernelfield.engine.x86.numbers import serves

if sys.platform == "linux":
    from kernelfield.engine.x86 import calls

ROWS = 4
VECTORS = 4
COLUMNS = 2048  # of a chunk of rows that stays in the cache between the passes
_PAD = ROWS - 1  # rows around the weights that Halide's bounds include; no output uses them


def correlate(factors: Factors, image: NDArray[Any], kernel: NDArray[Any], out: NDArray[Any]) -> None:
    """Write ``out[n, i, j] = sum over a, b of kernel[a, b] * image[n, i + a, j + b]``.

    Parameters
    ----------
    factors : Factors
        Columns and rows whose outer products add up to `kernel`; cast to the type of `out`.
    image : ndarray, shape (N, H, W)
        As `direct.correlate` takes it.
    kernel : ndarray, shape (kh, kw)
        For what is too narrow or lies in memory so that `direct` must copy it.
    out : ndarray, shape (N, H - kh + 1, W - kw + 1)
        ``float32`` or ``float64``, with unit stride on the last axis. It must not overlap `image`.
    """
    if out.size == 0:
        return
    if engine().native and serves(image.dtype, out.dtype, out.dtype):
        calls.passes(image, factors, out, out.dtype)
        return
    pipeline = _halide.compiled(_build, image.dtype, out.dtype)
    if out.shape[2] < pipeline.width or not (_halide.addressable(image) and _halide.addressable(out)):
        direct.correlate(image, kernel, out)
        return
    terms, kh = factors.columns.shape
    down = np.zeros((terms, kh + 2 * _PAD), out.dtype)
    down[:, _PAD : _PAD + kh] = factors.columns
    along = np.ascontiguousarray(factors.rows, out.dtype)
    tiles = -(-out.shape[1] // ROWS)
    strip = _halide.items_per_task(tiles, ROWS * out.shape[2] * (down.size + along.size))
    chunks = max(1, round(out.shape[2] / COLUMNS))
    pipeline.run(image, down, along, strip, -(-out.shape[2] // chunks), out)


def _build(image_type: np.dtype[Any], out_type: np.dtype[Any]) -> _halide.Definition:
    """Define the pipeline for a type of images and a type of results."""
    import halide as hl

    x, y, n, t, tile, row, strip, chunk, block, column, task = hl.vars("x y n t tile row strip chunk block column task")
    image = hl.ImageParam(_halide.halide_type(image_type), 3, "image")
    down = hl.ImageParam(_halide.halide_type(out_type), 2, "down")
    along = hl.ImageParam(_halide.halide_type(out_type), 2, "along")
    tiles_per_task, columns = hl.Param(hl.Int(32), "tiles_per_task"), hl.Param(hl.Int(32), "columns")
    number = _halide.halide_type(out_type)
    kh, kw = down.dim(0).extent() - 2 * _PAD, along.dim(0).extent()
    terms = along.dim(1).extent()
    last_row = image.dim(1).extent() - 1

    first = hl.Func("first")
    first[x, row, t, tile, n] = hl.cast(number, 0)
    stages: list[tuple[Any, Any]] = []

    def add(y: Any, r: Any, domain: Any) -> None:
        # The last tile may hang over the output: rows beyond it read the last image row and are not stored.
        pixel = hl.cast(number, image[x, hl.min(tile * ROWS + r, last_row), n])
        first[x, y, t, tile, n] += down[r - y + _PAD, t] * pixel
        stages.append((first.update(len(stages)), domain))

    for r in range(ROWS - 1):  # the first image rows feed the outputs above them
        d = hl.RDom([(0, r + 1), (0, hl.select(r < kh, 1, 0))])
        add(d.x, r, d)
    d = hl.RDom([(0, ROWS), (ROWS - 1, hl.max(kh - ROWS + 1, 0))])
    add(d.x, d.y, d)
    for r in range(ROWS - 1):  # the last ones feed the outputs whose window has not ended
        d = hl.RDom([(r + 1, ROWS - 1 - r), (0, 1)])
        d.where(d.x <= kh + r)
        add(d.x, kh + r, d)

    mid = hl.Func("mid")
    mid[x, row, t, tile, n] = first[x, row, t, tile, n]

    acc = hl.Func("acc")
    acc[x, row, tile, n] = hl.cast(number, 0)
    over = hl.RDom([(0, kw), (0, terms)])
    acc[x, row, tile, n] += along[over.x, over.y] * mid[x + over.x, row, over.y, tile, n]

    out = hl.Func("out")
    out[x, y, n] = acc[x, y % ROWS, y // ROWS, n]

    vector = _halide.lanes(out_type)
    width = VECTORS * vector
    guard, inwards = hl.TailStrategy.GuardWithIf, hl.TailStrategy.ShiftInwards
    out.split(y, tile, row, ROWS, guard).split(tile, strip, tile, tiles_per_task, guard)
    out.split(x, chunk, x, columns, guard).split(x, block, column, width, inwards)
    out.reorder(column, row, block, chunk, tile, strip, n).vectorize(column, vector).unroll(column).unroll(row)
    out.fuse(strip, n, task).parallel(task)
    acc.compute_at(out, block).bound_extent(tile, 1).bound_extent(row, ROWS)
    acc.vectorize(x, vector).unroll(x).unroll(row)
    acc.update().reorder(x, row, over.x, over.y).vectorize(x, vector).unroll(x).unroll(row)
    mid.compute_at(out, chunk).bound_extent(tile, 1).bound_extent(row, ROWS)
    mid.split(x, block, column, width, inwards).reorder(column, row, block, t)
    mid.vectorize(column, vector).unroll(column).unroll(row)
    first.compute_at(mid, block).bound_extent(tile, 1).bound_extent(row, ROWS).bound_extent(t, 1)
    first.vectorize(x, vector).unroll(x).unroll(row)
    for stage, d in stages:
        stage.reorder(x, *(d[i] for i in range(d.dimensions()))).vectorize(x, vector).unroll(x).unroll(d.x)
    for array in (image, down, along, out.output_buffer()):
        array.dim(0).set_stride(1)
    return _halide.Definition(out, [image, down, along, tiles_per_task, columns], width)
