"""Cross-correlation of Dask arrays: lazy, chunk by chunk, each with the pixels around it that its windows read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from kernelfield.arrays import is_masked
from kernelfield.correlation.arguments import (
    WINDOWS,
    check_axes,
    check_operation,
    check_pixels,
    result_dtype,
    weights_and_origin,
)
from kernelfield.engine import plan as planner
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Operation, Window, positions_read

# Most pixels in front of an axis and behind it.
_LARGEST_BORDER = 2**26


def correlate_lazily(compute: Callable[..., Any], image: Any, given: dict[str, Any]) -> Any:
    """Return `correlate` of a Dask array as a Dask array: nothing is computed, chunks are kept.

    Parameters
    ----------
    compute : callable
        `correlate`, which is called for each chunk.
    image : dask.array.Array
        With known chunks; those of rows and columns may be smaller than the kernel.
    given : dict
        The other arguments of `correlate`.
    """
    if not all(size == size for size in image.shape):
        raise ArgumentError("image: expected chunks of known sizes; call image.compute_chunk_sizes() first")
    weights, own_origin = weights_and_origin(given["kernel"])
    pixel = check_pixels(np.zeros((1,) * image.ndim, image.dtype), "image").dtype
    axes = check_axes(image.shape, weights.shape, given["channel_axis"], given["bank"])
    planes = image if axes is None else image.transpose(axes.inward)
    windows = {name: given[name] for name in WINDOWS}
    operation = check_operation(planes.shape, weights.shape, own_origin=own_origin, **windows)
    if any(w.before + w.after > _LARGEST_BORDER for w in operation.windows):
        raise ArgumentError("padding, dilation: expected at most 2**26 pixels around a Dask array; give smaller ones")
    dtype = result_dtype(pixel, given["dtype"], None)
    options = {name: given[name] for name in ("groups", "bias", "precision", "method", "missing")}
    options |= {"mode": "valid", "stride": operation.stride, "dilation": operation.dilation, "dtype": dtype}
    options |= {"channel_axis": None, "bank": weights.ndim == 3 or None}
    if options["method"] is None and options["precision"] is None and weights.ndim == 2 and operation.plain:
        # One method for all chunks: the bits are those of the whole image, whatever its chunks.
        options["method"] = planner.plan(operation, planes.shape, pixel, weights, dtype).method
    # One window, computed now, raises for the other arguments and tells the type of results.
    one = (1,) * (planes.ndim - 2) if weights.ndim < 4 else (*(1,) * (planes.ndim - 3), planes.shape[-3])
    zeros = np.zeros((*one, *(w.span for w in operation.windows)), image.dtype)
    sample = _of_chunk(np.ma.MaskedArray(zeros) if is_masked(image) else zeros, compute, weights, options)
    if weights.ndim == 4:
        planes = planes.rechunk({planes.ndim - 3: -1})
    if operation.boundary == "constant" and operation.pads and not holds(image.dtype, operation.cval, dtype):
        planes = planes.map_blocks(_as_float64, meta=planes._meta.astype(np.float64))
    wanted, merged = [], []
    for axis, window in zip((planes.ndim - 2, planes.ndim - 1), operation.windows):
        chunks = _output_chunks(planes.chunks[axis], window)
        planes = _extended(planes, axis, window, operation)
        wanted.append(chunks)
        merged.append(_merged(chunks, window))
        planes = planes.rechunk({axis: _read_chunks(merged[-1], window, planes.shape[axis])})
    halo = {
        axis: (0, max(0, w.span - w.stride)) for axis, w in zip((-2 % planes.ndim, -1 % planes.ndim), operation.windows)
    }
    overlap = sys.modules["dask.array"].overlap.overlap
    blocks = overlap(planes, halo, dict.fromkeys(halo, "none"), allow_rechunk=False)
    leading = planes.chunks[:-2] if weights.ndim < 4 else planes.chunks[:-3]
    between = () if weights.ndim == 2 else ((len(weights),),)
    result = blocks.map_blocks(
        _of_chunk,
        compute,
        weights,
        options,
        dtype=dtype,
        chunks=(*leading, *between, *merged),
        new_axis=[planes.ndim - 2] if weights.ndim == 3 else None,
        meta=sample[(slice(0, 0),) * sample.ndim],
    ).rechunk((*leading, *between, *wanted))
    return result if axes is None else result.transpose(axes.back)


def _of_chunk(chunk: Any, compute: Callable[..., Any], weights: np.ndarray, options: dict[str, Any]) -> Any:
    """Return the outputs whose windows lie inside a chunk."""
    return compute(chunk, weights, **options)


def _as_float64(chunk: Any) -> Any:
    """Return a chunk in float64; raise for 64-bit integers that it does not hold."""
    if isinstance(chunk, np.ma.MaskedArray):
        return np.ma.MaskedArray(_as_float64(chunk.filled(0)), chunk.mask)
    return check_pixels(chunk, "image").astype(np.float64)


def holds(pixel: np.dtype, value: float, result: np.dtype) -> bool:
    """Return whether chunks of a dtype can hold the constant outside, as exactly as the sums see it."""
    if pixel.kind == "f":
        return pixel == result or float(pixel.type(value)) == value or value != value
    low, high = (0, 1) if pixel.kind == "b" else (np.iinfo(pixel).min, np.iinfo(pixel).max)
    return float(value).is_integer() and low <= value <= high


def _extended(image: Any, axis: int, window: Window, operation: Operation) -> Any:
    """Return the pixels that the windows read along an axis, those outside the image by the boundary rule."""
    n = image.shape[axis]
    first, last = -window.before, (window.output_size(n) - 1) * window.stride + window.span - window.before
    inside = image[(slice(None),) * axis + (slice(0, max(0, last)),)]
    parts = [_outside(image, axis, range(first, min(0, last)), operation), inside]
    parts.append(_outside(image, axis, range(n, max(n, last)), operation))
    parts = [part for part in parts if part.shape[axis]]
    return parts[0] if len(parts) == 1 else sys.modules["dask.array"].concatenate(parts, axis)


def _outside(image: Any, axis: int, positions: range, operation: Operation) -> Any:
    """Return the pixels at positions outside an axis."""
    da, boundary = sys.modules["dask.array"], operation.boundary
    if boundary == "constant":
        chunks = (*image.chunks[:axis], (len(positions),), *image.chunks[axis + 1 :])
        filled = da.full(tuple(map(sum, chunks)), operation.cval, dtype=image.dtype, chunks=chunks)
        return da.ma.masked_invalid(filled) if operation.cval != operation.cval and is_masked(image) else filled
    return da.take(image, positions_read(np.array(positions, np.int64), image.shape[axis], boundary), axis)


def _output_chunks(chunks: tuple[int, ...], window: Window) -> tuple[int, ...]:
    """Return the chunks of the outputs: an output belongs to the chunk that holds the pixel at its place."""
    outputs = window.output_size(sum(chunks))
    ends = [min(-(-int(end) // window.stride), outputs) for end in np.cumsum(chunks)[:-1]]
    edges = sorted({0, *ends, outputs})
    return tuple(stop - start for start, stop in pairwise(edges))


def _merged(chunks: tuple[int, ...], window: Window) -> tuple[int, ...]:
    """Return chunks of outputs put together until each reads at least the halo of the one before."""
    found, least = [0], window.span - window.stride
    for size in chunks:
        if found[-1] and found[-1] * window.stride >= least:
            found.append(0)
        found[-1] += size
    return tuple(found)


def _read_chunks(chunks: tuple[int, ...], window: Window, total: int) -> tuple[int, ...]:
    """Return the chunks of the extended axis that outputs begin in."""
    sizes = [size * window.stride for size in chunks]
    return (*sizes[:-1], total - sum(sizes[:-1]))
