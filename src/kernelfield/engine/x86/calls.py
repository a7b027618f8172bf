"""Choose the code that correlates these arrays, and run it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import tuning
from kernelfield.engine.low_rank import Factors
from kernelfield.engine.x86.call import Bound, Call, Ready, weights_before
from kernelfield.engine.x86.converted import AT_ONCE, Converted
from kernelfield.engine.x86.doubt import certain_factors, certain_kernels
from kernelfield.engine.x86.ends import Border, chunks, tiles
from kernelfield.engine.x86.ends import rows as rows_of
from kernelfield.engine.x86.function import function
from kernelfield.engine.x86.passes import TILE as PASSES
from kernelfield.engine.x86.passes import Passes
from kernelfield.engine.x86.sliding import Sliding
from kernelfield.engine.x86.tile import HIGHEST, WRITTEN_OUT, Shape

# Columns of kernels from which on rows are converted first, by bytes of a sum.
_COLUMNS = {4: 4, 8: 2}
# Pixels of a narrow image that are copied at a time.
_COPIED = 1 << 20


def sliding(
    image: NDArray[Any],
    kernels: NDArray[Any],
    out: NDArray[Any],
    sums: np.dtype[Any],
    bias: NDArray[Any] | None = None,
    scale: float = 1.0,
    step: int = 1,
    border: Border | None = None,
    down: bool = False,
) -> Bound | bool:
    """Write the cross-correlations of images with kernels.

    ``out[n, o, i, j] = (sum over a, b of kernels[o, a, b] * image[n, i + a, j + step * b] + bias[o]) * scale``.

    Parameters
    ----------
    image : ndarray, shape (N, H, W)
        Native, with unit stride on the last axis.
    kernels : ndarray, shape (C_out, kh, kw)
        Cast to `sums`.
    out : ndarray, shape (N, C_out, OH, OW)
        Native, with unit stride on the last axis; integers are rounded and saturated, NaN becomes 0. It must not
        overlap `image`.
    sums : dtype
        float32 or float64. For images and results of integers float32 says that sums are exact: kernels whose rows are
        symmetric or antisymmetric fold then.
    bias : ndarray, shape (C_out,), optional
        Cast to `sums`.
    scale : float
        For integers only.
    step : int
        Channels that are interleaved along the last axis of `image` and `out`.
    border : Border, optional
        The image is extended so.
    down : bool
        Integers are rounded down, not to nearest.

    Returns
    -------
    Bound or bool
        What does the same again; True if there is no such thing. False if nothing was done, because the image is too
        small for that border.
    """
    if border is None and out.shape[3] < 32 // sums.itemsize:
        for part, result, wide in _widened(image, out, kernels.shape[1:], 32 // sums.itemsize, step):
            sliding(part, kernels, wide, sums, bias, scale, step, down=down)
            result[...] = wide[..., : out.shape[3]]
        return True
    count, kh, kw = kernels.shape
    added = np.zeros(count) if bias is None else bias
    integers = {image.dtype.kind, out.dtype.kind} <= {"i", "u"}
    fold, certain = _parity(kernels) if integers else 0, None
    if sums == np.float64:
        if integers and not down and _is_power_of_two(scale):
            kernels, added, scale = kernels.astype(np.float64) * scale, added * scale, 1.0
            certain = certain_kernels(kernels, added, image, out, fold)
        sums, fold = (np.dtype(np.float32), fold) if certain else (sums, 0)
    written = (kh, kw), 0, image.shape[1:], image.dtype, out.shape, out.dtype, sums, scale, step, border, down, fold
    call = _call(Sliding, *written, bool(certain))
    if call is None or (border is not None and border.boundary == "constant" and len(image) > 1):
        return False
    return call(image, _weights(kernels.reshape(count, -1), added, sums, certain), out)


def passes(
    image: NDArray[Any],
    factors: Factors,
    out: NDArray[Any],
    sums: np.dtype[Any],
    bias: NDArray[Any] | None = None,
    scale: float = 1.0,
    step: int = 1,
    border: Border | None = None,
    down: bool = False,
) -> Bound | bool:
    """Do what `sliding` does with the sum of the products of columns and rows; `out` is (N, OH, OW)."""
    terms, kh = factors.columns.shape
    kw = factors.rows.shape[1]
    if border is None and out.shape[2] < 32 // sums.itemsize:
        for part, result, wide in _widened(image, out[:, None], (kh, kw), 32 // sums.itemsize, step):
            passes(part, factors, wide[:, 0], sums, bias, scale, step, down=down)
            result[...] = wide[..., : out.shape[2]]
        return True
    into = out[:, None]
    added = np.zeros(1) if bias is None else bias
    integers = {image.dtype.kind, out.dtype.kind} <= {"i", "u"}
    certain = None
    if integers and sums == np.float64 and not down and _is_power_of_two(scale):
        factors, added, scale = Factors(factors.columns, factors.rows * scale), added * scale, 1.0
        certain = certain_factors(factors, float(added[0]), image, into)
        sums = np.dtype(np.float32) if certain else sums
    written = (kh, kw), terms, image.shape[1:], image.dtype, into.shape, out.dtype, sums, scale, step, border, down
    call = _call(Passes, *written, 0, bool(certain))
    if call is None or (border is not None and border.boundary == "constant" and (len(image) > 1 or border.cval)):
        return False
    weights = np.concatenate([factors.columns.reshape(1, -1), factors.rows.reshape(1, -1)], axis=1)
    return call(image, _weights(weights, added, sums, certain), into)


def _is_power_of_two(number: float) -> bool:
    return math.frexp(number)[0] == 0.5


def _weights(weights: NDArray[Any], bias: NDArray[Any], sums: np.dtype[Any], certain: float | None) -> NDArray[Any]:
    """Return weights (kernels, n) and biases as the code takes them: where `certain` is given, in both types."""
    both = np.concatenate([weights, np.reshape(bias, (-1, 1))], axis=1)
    if certain is None:
        return both.astype(sums)
    single = np.zeros((len(both), weights_before(weights.shape[1])), np.float32)
    single[:, : both.shape[1]] = both
    single[:, both.shape[1]] = certain
    return np.concatenate([single.view(np.uint8), both.astype(np.float64).view(np.uint8)], axis=1)


def _widened(
    image: NDArray[Any], out: NDArray[Any], kernel: tuple[int, ...], lanes: int, step: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Yield blocks of an image copied to wider rows, where their results go, and arrays for results as wide."""
    reach = (kernel[1] - 1) * step
    rows = max(1, _COPIED // (lanes + reach))
    for n in range(out.shape[0]):
        for y in range(0, out.shape[2], rows):
            result = out[n : n + 1, :, y : y + rows]
            high = result.shape[2] + kernel[0] - 1
            part = np.zeros((1, high, lanes + reach), image.dtype)
            source = image[n : n + 1, y : y + high, : out.shape[3] + reach]
            part[:, :, : source.shape[2]] = source
            yield part, result, np.empty((*result.shape[:3], lanes), out.dtype)


def _parity(kernels: NDArray[Any]) -> int:
    """Return 1 where the rows of one kernel are the same from both ends, -1 where they are opposite, else 0."""
    if len(kernels) > 1 or kernels.shape[2] > WRITTEN_OUT:
        return 0
    mirrored = kernels[..., ::-1]
    return int((kernels == mirrored).all()) or -int((kernels == -mirrored).all())


def _tile(writer: Any, out: tuple[int, ...], lanes: int, kernel: tuple[int, int]) -> tuple[int, int]:
    """Return rows and registers of a tile that suits a kernel and wastes little of the last tile of a row."""
    rows, most = PASSES if writer is Passes else tuning.current(True).tile(kernel[0])
    fitting = [v for v in range(1, most + 1) if v * lanes <= out[3]]
    # A tile of fewer registers is loaded with as many weights: it costs more than its share.
    best = min(fitting, default=1, key=lambda v: -(-out[3] // (v * lanes)) * (v + 0.6))
    return min(rows, out[2]), best


@lru_cache(maxsize=512)
def _call(
    writer: Any,
    kernel: tuple[int, int],
    terms: int,
    size: tuple[int, int],
    image: np.dtype[Any],
    shape: tuple[int, ...],
    out: np.dtype[Any],
    sums: np.dtype[Any],
    scale: float,
    step: int,
    border: Border | None,
    down: bool,
    fold: int = 0,
    sure: bool = False,
) -> Call | None:
    """Return the call for these; None where rows are too short for the border."""
    around = border or Border()
    lanes, reach = 32 // sums.itemsize, (kernel[1] - 1) * step

    def call(writer: Any, rows: int, vectors: int) -> Call | None:
        row = size[1], shape[3], vectors * lanes, reach, step
        written = Shape(kernel, step, image.name, sums.name, out.name, rows, vectors, down=down, sure=sure)
        if writer is Passes:
            found = chunks(*row, sums.itemsize, around, function(Passes, written).zero)
        elif writer is Converted:
            written = written._replace(fold=fold)
            found = rows_of(*row, (image.itemsize, sums.itemsize), around, AT_ONCE * lanes)
        else:
            found = tiles(*row, image.itemsize, around)
        if found is None:
            return None
        code = function(writer, written._replace(edge=found.edge))
        return Call(code, size, shape, terms, scale, around, found)

    rows, most = _tile(writer, shape, lanes, kernel)
    rows = min(rows, HIGHEST) if sure else rows
    if writer is Sliding and image != sums and kernel[1] >= _COLUMNS[sums.itemsize]:
        made = call(Converted, rows, most)
        if made is not None and made.is_modest:
            return made
    # Narrower tiles may be higher.
    highest = HIGHEST if sure else 12
    shapes = [(rows, most), *((min(shape[2], max(rows, min(12 // v, highest))), v) for v in range(most - 1, 0, -1))]
    return next(filter(None, (call(writer, *tile) for tile in shapes)), None)


tuning.on_change(_call.cache_clear)


def ready(
    size: tuple[int, int],
    image: np.dtype[Any],
    kernel: tuple[int, int],
    shape: tuple[int, ...],
    out: np.dtype[Any],
    border: Border | None,
) -> Ready | None:
    """Return what does the work of `sliding` with other kernels again and again; None where that cannot be.

    Parameters
    ----------
    size : (int, int)
        Of images (N, H, W), C-contiguous.
    image, out : dtype
        Of images, and of results and sums.
    kernel : (int, int)
        Rows and columns of it.
    shape : tuple of int
        Of results (N, 1, OH, OW), C-contiguous.
    border : Border, optional
    """
    if border is not None and border.boundary == "constant" and shape[0] > 1:
        return None
    call = _call(Sliding, kernel, 0, size, image, shape, out, out, 1.0, 1, border, False)
    return None if call is None else Ready(call, size, image, kernel, shape, out)
