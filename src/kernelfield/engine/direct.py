"""Valid cross-correlation by sliding products: our own machine code and, where that does not run, a Halide pipeline.

Both give the same bits. This is the pipeline; `kernelfield.engine.x86.sliding` is the other.

One pipeline serves every kernel shape: it is compiled once for a pair of types, and takes the extents of the
kernel at run time. An output is ``acc = kernel[a, b] * image[i + a, j + b] + acc`` over the kernel in row-major
order, each step one fused multiply-add where the processor has it. No loop body holds two terms of one output:
no compiler reorders a sum, and the bits do not depend on tiles, threads, the batch or the place in the image.

The speed comes from going through rows of the *image*. A tile of outputs, `ROWS` rows of `VECTORS` registers,
stays in registers. Each image row that it needs is loaded once for a kernel column, and feeds every output row
``y`` with ``0 <= r - y < kh``: some of them for the first and last ``ROWS - 1`` image rows, all in between.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import _halide
from kernelfield.engine.choice import engine
from kernelfield.engine.x86.numbers import serves

if sys.platform == "linux":
    from kernelfield.engine.x86 import calls

ROWS = 4
VECTORS = 2
_PAD = ROWS - 1  # rows around the weights that Halide's bounds include; no output uses them
_COPY_BYTES = 1 << 22


def correlate(image: NDArray[Any], kernel: NDArray[Any], out: NDArray[Any], bias: float = 0.0) -> None:
    """Write ``out[n, i, j] = sum over a, b of kernel[a, b] * image[n, i + a, j + b] + bias``.

    Parameters
    ----------
    image : ndarray, shape (N, H, W)
        One of `kernelfield.engine._halide.INPUT_TYPES` in native byte order, with unit stride on the last
        axis and no negative stride. May be read-only.
    kernel : ndarray, shape (kh, kw)
        Weights; cast to the type of `out`.
    out : ndarray, shape (N, H - kh + 1, W - kw + 1)
        ``float32`` or ``float64``, with unit stride on the last axis. Sums are accumulated in its type. It
        must not overlap `image`.
    bias : float
        Added last, in the type of `out`.

    Notes
    -----
    NaN and infinities reach exactly the outputs whose window holds them.
    """
    if out.size == 0:
        return
    if engine().native and serves(image.dtype, out.dtype, out.dtype):
        calls.sliding(image, kernel[None], out[:, None], out.dtype, np.array([bias]))
        return
    pipeline = _halide.compiled(_build, image.dtype, out.dtype)
    kh, kw = kernel.shape
    weights = np.zeros((kh + 2 * _PAD, kw), out.dtype)
    weights[_PAD : _PAD + kh] = kernel
    if out.shape[2] >= pipeline.width and _halide.addressable(image) and _halide.addressable(out):
        _run(pipeline, image, weights, out, bias)
    else:
        _run_on_copies(pipeline, image, weights, out, bias)


def _run(
    pipeline: _halide.Pipeline, image: NDArray[Any], weights: NDArray[Any], out: NDArray[Any], bias: float
) -> None:
    tiles = -(-out.shape[1] // ROWS)
    macs = ROWS * out.shape[2] * weights.size
    strip = _halide.items_per_task(tiles, macs)
    pipeline.run(image, weights, strip, bias, out)


def _run_on_copies(
    pipeline: _halide.Pipeline, image: NDArray[Any], weights: NDArray[Any], out: NDArray[Any], bias: float
) -> None:
    """Run on blocks of the image copied to rows that are wide enough; the columns added reach no result."""
    kh, kw = weights.shape[0] - 2 * _PAD, weights.shape[1]
    wide = max(out.shape[2], pipeline.width)
    for batch, rows in _blocks(out.shape, wide * max(image.itemsize, out.itemsize), kh):
        part = image[batch, rows.start : rows.stop + kh - 1]
        padded = np.zeros((*part.shape[:2], wide + kw - 1), image.dtype)
        padded[:, :, : part.shape[2]] = part
        result = np.empty((part.shape[0], part.shape[1] - kh + 1, wide), out.dtype)
        _run(pipeline, padded, weights, result, bias)
        out[batch, rows] = result[:, :, : out.shape[2]]


def _blocks(shape: tuple[int, ...], row_bytes: int, kh: int) -> Iterator[tuple[slice, slice]]:
    """Cut a batch into blocks of whole images, or of rows of one image, of about `_COPY_BYTES`."""
    images, height = shape[:2]
    rows = min(height, max(_COPY_BYTES // row_bytes, 4 * kh))
    batch = max(1, _COPY_BYTES // (row_bytes * (height + kh))) if rows == height else 1
    for n in range(0, images, batch):
        for y in range(0, height, rows):
            yield slice(n, min(n + batch, images)), slice(y, min(y + rows, height))


def _build(image_type: np.dtype[Any], out_type: np.dtype[Any]) -> _halide.Definition:
    """Define the pipeline for a type of images and a type of results."""
    import halide as hl

    x, y, n, tile, row, strip, block, column, task = hl.vars("x y n tile row strip block column task")
    image = hl.ImageParam(_halide.halide_type(image_type), 3, "image")
    weights = hl.ImageParam(_halide.halide_type(out_type), 2, "weights")
    tiles_per_task = hl.Param(hl.Int(32), "tiles_per_task")
    number = _halide.halide_type(out_type)
    bias = hl.Param(number, "bias")
    kh = weights.dim(1).extent() - 2 * _PAD
    kw = weights.dim(0).extent()
    last_row = image.dim(1).extent() - 1

    acc = hl.Func("acc")
    acc[x, row, tile, n] = hl.cast(number, 0)
    stages: list[tuple[Any, Any]] = []

    def add(y: Any, b: Any, r: Any, domain: Any) -> None:
        # The last tile may hang over the output: rows beyond it read the last image row and are not stored.
        pixel = hl.cast(number, image[x + b, hl.min(tile * ROWS + r, last_row), n])
        acc[x, y, tile, n] += weights[b, r - y + _PAD] * pixel
        stages.append((acc.update(len(stages)), domain))

    for r in range(ROWS - 1):  # the first image rows feed the outputs above them
        d = hl.RDom([(0, r + 1), (0, hl.select(r < kh, kw, 0))])
        add(d.x, d.y, r, d)
    d = hl.RDom([(0, ROWS), (0, kw), (ROWS - 1, hl.max(kh - ROWS + 1, 0))])
    add(d.x, d.y, d.z, d)
    for r in range(ROWS - 1):  # the last ones feed the outputs whose window has not ended
        d = hl.RDom([(r + 1, ROWS - 1 - r), (0, kw)])
        d.where(d.x <= kh + r)
        add(d.x, d.y, kh + r, d)

    out = hl.Func("out")
    out[x, y, n] = acc[x, y % ROWS, y // ROWS, n] + bias

    vector = _halide.lanes(out_type)
    width = VECTORS * vector
    guard = hl.TailStrategy.GuardWithIf
    out.split(y, tile, row, ROWS, guard).split(tile, strip, tile, tiles_per_task, guard)
    out.split(x, block, column, width, hl.TailStrategy.ShiftInwards)
    out.reorder(column, row, block, tile, strip, n).vectorize(column, vector).unroll(column).unroll(row)
    out.fuse(strip, n, task).parallel(task)
    acc.compute_at(out, block).bound_extent(tile, 1).bound_extent(row, ROWS)
    acc.vectorize(x, vector).unroll(x).unroll(row)
    for stage, d in stages:
        stage.reorder(x, *(d[i] for i in range(d.dimensions()))).vectorize(x, vector).unroll(x).unroll(d.x)
    for array in (image, weights, out.output_buffer()):
        array.dim(0).set_stride(1)
    return _halide.Definition(out, [image, weights, tiles_per_task, bias], width)  # no output may be narrower
