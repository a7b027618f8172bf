"""Lag products: sums over positions of ``a[p] * b[p + lag]``, for a window of lags.

They are the gradient of a kernel, and all that least squares needs to learn one. They are summed in float64,
for 8-bit images exactly in integers.

A task packs a strip of both images, converted and shifted, into scratch memory that stays in the cache, and
then goes over it once for each tile of lags. Every lag of the tile has a register of partial sums; a register of
`b` is loaded once for all the lags and the `GROUP` rows of `a` that meet it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import _halide

GROUP = 4  # rows of `a` taken together
STRIP_ROWS, STRIP_COLUMNS = 32, 4096

#: Rows and columns of a tile of lags -> what one multiply-add costs there, from measurements.
TILES = {(7, 2): 1.0, (5, 3): 1.05, (3, 3): 1.3, (1, 1): 3.0}


def lag_products(
    a: NDArray[Any],
    b: NDArray[Any],
    lags: tuple[int, int],
    block_rows: int,
    a_shift: float = 0.0,
    b_shift: float = 0.0,
    single: bool = False,
) -> NDArray[np.float64]:
    """Return ``out[i, r, c] = sum over y, x of (a[y, x] - a_shift) * (b[y + r, x + c] - b_shift)``.

    Parameters
    ----------
    a : ndarray, shape (M, N)
        Anchors. One of `kernelfield.engine._halide.INPUT_TYPES` in native byte order, with unit stride on the
        last axis and no negative stride. May be read-only.
    b : ndarray, shape (at least M + lags[0] - 1, at least N + lags[1] - 1)
        The other factor, of any of these types. It may share memory with `a`.
    lags : tuple of int
        How many lags ``r`` and ``c`` there are, from 0 on.
    block_rows : int
        Rows ``y`` of `a` that are summed into one entry ``i``: those of
        ``i * block_rows <= y < (i + 1) * block_rows``.
    a_shift, b_shift : float
        Subtracted in float64 before the product.
    single : bool
        Sum products of two ``float32`` images in float32 over strips of `STRIP_ROWS`, which is twice as fast; the
        sums of strips are added in float64. Shifts must be 0.

    Returns
    -------
    ndarray of float64, shape (ceil(M / block_rows), *lags)
        Exact for two ``uint8`` images and whole shifts from 0 to 255; otherwise float64 sums.

    Notes
    -----
    NaN and infinities reach exactly the sums that hold them.
    """
    height, width = a.shape
    blocks = -(-height // block_rows)
    out = np.zeros((blocks, *lags))
    if out.size == 0 or width == 0:
        return out
    a, b = _addressable(a), _addressable(b[: height + lags[0] - 1, : width + lags[1] - 1])
    exact = a.dtype == b.dtype == np.uint8 and _small(a_shift) and _small(b_shift)
    number = "int32" if exact else "float32" if single and a.dtype == b.dtype == np.float32 else "float64"
    tile = _tile(*lags)
    pipeline = _halide.compiled(_build, a.dtype, b.dtype, number, *tile)

    block_rows = min(block_rows, height)
    strip_rows, strip_columns = min(block_rows, STRIP_ROWS), min(width + -width % 64, STRIP_COLUMNS)
    strips = -(-block_rows // strip_rows)
    macs = lags[0] * lags[1] * width * strip_rows
    per_task = _halide.items_per_task(strips, macs)
    splits = -(-strips // per_task)
    grid = -(-lags[0] // tile[0]), -(-lags[1] // tile[1])
    sums = np.empty((blocks * splits, *grid, *tile))
    shift = int if exact else float
    pipeline.run(
        a, b, *lags, block_rows, splits, per_task, strip_rows, strip_columns, shift(a_shift), shift(b_shift), sums
    )
    sums = sums.reshape(blocks, splits, *sums.shape[1:]).sum(axis=1)
    for i in range(grid[0]):
        for j in range(grid[1]):
            r, c = min(i * tile[0], lags[0] - tile[0]), min(j * tile[1], lags[1] - tile[1])
            out[:, r : r + tile[0], c : c + tile[1]] = sums[:, i, j]
    return out


def _addressable(array: NDArray[Any]) -> NDArray[Any]:
    return array if _halide.addressable(array) else np.ascontiguousarray(array)


def _small(shift: float) -> bool:
    """Tell whether 8-bit values less the shift are whole and within 255.

    Then int32 holds the sums of a strip, on the narrowest registers too, of 4 lanes:
    255 * 255 * STRIP_ROWS * STRIP_COLUMNS / 4 < 2**31.
    """
    return float(shift).is_integer() and 0 <= shift <= 255


def _tile(rows: int, columns: int) -> tuple[int, int]:
    """Choose the tile that fits and wastes least: the last one of a row or column is moved inwards."""

    def cost(tile: tuple[int, int]) -> float:
        down, across = -(-rows // tile[0]), -(-columns // tile[1])
        return down * tile[0] * across * tile[1] * TILES[tile]

    return min((t for t in TILES if t[0] <= rows and t[1] <= columns), key=cost)


def _build(
    a_type: np.dtype[Any], b_type: np.dtype[Any], number: str, tile_rows: int, tile_columns: int
) -> _halide.Definition:
    """Define the pipeline for two types of images, the number summed in, and one shape of the tiles of lags."""
    import halide as hl

    # What the scratch memory holds, and what products are summed in. In integers a lane adds up the products
    # of two neighbouring columns, the twins: processors have one instruction for that.
    exact = number == "int32"
    total = _halide.halide_type(number)
    value, twins = (hl.Int(16), 2) if exact else (total, 1)
    lanes = _halide.lanes(number)
    step = lanes * twins
    zero = hl.cast(total, 0)

    a = hl.ImageParam(_halide.halide_type(a_type), 2, "a")
    b = hl.ImageParam(_halide.halide_type(b_type), 2, "b")
    names = ("lag_rows", "lag_columns", "block_rows", "splits", "strips", "strip_rows", "strip_columns")
    sizes = [hl.Param(hl.Int(32), name) for name in names]
    lag_rows, lag_columns, block_rows, splits, strips, strip_rows, strip_columns = sizes
    a_shift, b_shift = hl.Param(value, "a_shift"), hl.Param(value, "b_shift")

    x, y, lane, c, r = hl.vars("x y lane c r")
    tile_c, tile_r, chunk, strip, task = hl.vars("tile_c tile_r chunk strip task")
    place = (chunk, strip, task)
    height, width = a.dim(1).extent(), a.dim(0).extent()
    x0 = chunk * strip_columns
    y0 = task // splits * block_rows + (task % splits * strips + strip) * strip_rows
    columns = hl.min(strip_columns, width - x0)
    rows = hl.clamp(hl.min(height, (task // splits + 1) * block_rows) - y0, 0, strip_rows)

    # Scratch memory is filled to whole registers and groups of rows, from inside the images.
    def pack(image: Any, shift: Any) -> Any:
        column = hl.min(hl.likely(x0 + x), image.dim(0).extent() - 1)
        row = hl.min(y0 + y, image.dim(1).extent() - 1)
        return hl.cast(value, image[column, row]) - shift

    packed_a, packed_b = hl.Func("packed_a"), hl.Func("packed_b")
    inside = pack(a, a_shift)
    packed_a[(x, y, *place)] = hl.select(x < columns, inside, hl.cast(value, 0)) if exact else inside
    packed_b[(x, y, *place)] = pack(b, b_shift)

    # sums[lane, c, r, ...]: the partial sums of a tile of lags over one strip.
    sums = hl.Func("sums")
    sums[(lane, c, r, tile_c, tile_r, *place)] = zero
    c0 = hl.min(tile_c * tile_columns, lag_columns - tile_columns)
    r0 = hl.min(tile_r * tile_rows, lag_rows - tile_rows)

    def product(x: Any, y: Any, r: Any) -> Any:
        left, right = packed_a[(x, y, *place)], packed_b[(x + c0 + c, y + r0 + r, *place)]
        return hl.cast(total, left) * hl.cast(total, right)

    # Whole groups of rows. Row `q` of `b` meets the rows `q - r` of `a`: in this order of the loops the
    # compiler holds one register of `b` at a time.
    groups = rows // GROUP
    registers = (columns + step - 1) // step if exact else columns // step
    across = (0, strip_columns // step)
    main = hl.RDom([(0, twins), (0, GROUP), (0, GROUP + tile_rows - 1), across, (0, strip_rows // GROUP)])
    twin, dy, q, i, group = (main[k] for k in range(5))
    for condition in (group < groups, i < registers, q - dy >= 0, q - dy < tile_rows):
        main.where(condition)
    lag = hl.clamp(q - dy, 0, tile_rows - 1)
    column = step * i + twins * lane + twin
    sums[(lane, c, lag, tile_c, tile_r, *place)] += product(column, group * GROUP + dy, lag)

    # The rows that are left.
    rest = hl.RDom([(0, twins), across, (0, GROUP - 1)])
    rest.where(rest.z < rows % GROUP)
    rest.where(rest.y < registers)
    column = step * rest.y + twins * lane + rest.x
    sums[(lane, c, r, tile_c, tile_r, *place)] += product(column, groups * GROUP + rest.z, r)

    # The columns that are left: masked, since a zero would not cancel NaN. (In integers `packed_a` has zeros.)
    edge = hl.RDom([(0, strip_rows)])
    if not exact:
        edge.where(edge.x < rows)
        edge.where(columns % step > 0)
        column = registers * step + lane
        term = hl.strict_float(hl.select(column < columns, product(column, edge.x, r), zero))
        sums[(lane, c, r, tile_c, tile_r, *place)] += term

    out = hl.Func("out")
    out[c, r, tile_c, tile_r, task] = hl.f64(0)
    over = hl.RDom([(0, (width + strip_columns - 1) // strip_columns), (0, strips)])
    here = (c, r, tile_c, tile_r, over.x, over.y, task)
    parts = [hl.cast(hl.Float(64), sums[(k, *here)]) for k in range(lanes)]
    out[c, r, tile_c, tile_r, task] += sum(parts[1:], parts[0])

    # The schedule: a task at a time, a strip at a time, a tile of lags at a time.
    out.bound(c, 0, tile_columns).bound(r, 0, tile_rows)
    out.update().reorder(c, r, tile_c, tile_r, over.x, over.y, task).parallel(task)
    for packed in (packed_a, packed_b):
        packed.compute_at(out, over.x).vectorize(x, lanes, hl.TailStrategy.RoundUp)
    sums.compute_at(out, tile_c).vectorize(lane).unroll(c).unroll(r)
    sums.bound(lane, 0, lanes).bound(c, 0, tile_columns).bound(r, 0, tile_rows)
    for variable in (tile_c, tile_r, *place):
        sums.bound_extent(variable, 1)
    stages = [
        (sums.update(0).reorder(twin, lane, dy, c, q, i, group).unroll(dy).unroll(c).unroll(q), twin),
        (sums.update(1).reorder(rest.x, lane, c, r, rest.y, rest.z).unroll(c).unroll(r), rest.x),
    ]
    for stage, pair in stages:
        if exact:
            stage.atomic().vectorize(pair)
        stage.vectorize(lane)
    if not exact:
        sums.update(2).reorder(lane, c, r, edge.x).unroll(c).unroll(r).vectorize(lane)
    for array in (a, b):
        array.dim(0).set_stride(1)
    return _halide.Definition(out, [a, b, *sizes, a_shift, b_shift])
