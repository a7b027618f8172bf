"""What becomes of sums: a bias is added, they are scaled and stored; integers are rounded and saturated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import _halide
from kernelfield.engine.choice import engine

# Types whose limits float32 holds.
_COMPILED = ("uint8", "uint16", "int16")
# Elements of a task, and of what is left to NumPy because it is too little.
_CHUNK = 1 << 15
# Of sums that wait to be stored, where a method cannot store them itself.
_WAITING = 1 << 22


@dataclass(frozen=True)
class Finish:
    """What becomes of sums.

    Attributes
    ----------
    sums : dtype
        In which they are taken: float32 or float64.
    bias : ndarray, shape (kernels,), optional
        Added first.
    scale : float
        What integers are then multiplied by: a power of two, or what cannot bring sums to a half.
    down : bool
        Integers are then rounded down, not to nearest.
    """

    sums: np.dtype[Any]
    bias: NDArray[Any] | None = None
    scale: float = 1.0
    down: bool = False


def finished(
    method: Callable[..., None], finish: Finish, image: NDArray[Any], kernel: NDArray[Any], out: NDArray[Any]
) -> None:
    """Write what becomes of the sums of `method` with a kernel (kh, kw), by strips where they are not stored as is."""
    bias = None if finish.bias is None else finish.sums.type(finish.bias[0])
    if out.dtype == finish.sums:
        method(image, kernel, out)
        if bias is not None:
            out += bias
        return
    rows = max(1, _WAITING // max(1, out.shape[2] * finish.sums.itemsize))
    for n in range(out.shape[0]):
        for start in range(0, out.shape[1], rows):
            into = out[n, start : start + rows]
            sums = np.empty((1, *into.shape), finish.sums)
            method(image[n : n + 1, start : start + len(into) + kernel.shape[0] - 1], kernel, sums)
            if bias is not None:
                sums += bias
            into[...] = rounded(sums[0], out.dtype, finish.scale, finish.down) if out.dtype.kind != "f" else sums[0]


def rounded(values: NDArray[Any], dtype: np.dtype[Any], scale: float = 1.0, down: bool = False) -> NDArray[Any]:
    """Return ``values * scale`` as integers of `dtype`: to nearest, halves to even, saturated; NaN becomes 0.

    Parameters
    ----------
    values : ndarray
        ``float32`` or ``float64``; may be overwritten.
    dtype : dtype
        An integer type of at most 32 bits.
    scale : float
        A power of two, so that nothing is rounded twice.
    down : bool
        Round down instead.
    """
    compiled = not down and engine()[0] == "direct" and dtype.name in _COMPILED and values.flags.c_contiguous
    if not compiled or not _CHUNK <= values.size < 2**31:
        return _by_numpy(values, dtype, scale, np.floor if down else np.rint)
    out = np.empty(values.shape, dtype)
    _halide.compiled(_build, values.dtype, dtype).run(values.reshape(-1), scale, out.reshape(-1))
    return out


def _by_numpy(values: NDArray[Any], dtype: np.dtype[Any], scale: float, whole: Any) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    if scale != 1:
        values *= scale
    values = values.astype(np.float64, copy=False)  # float32 does not hold the limits of int32
    whole(values, out=values)
    np.clip(values, limits.min, limits.max, out=values)
    np.nan_to_num(values, copy=False, nan=0.0)
    return values.astype(dtype)


def _build(value_type: np.dtype[Any], out_type: np.dtype[Any]) -> _halide.Definition:
    """Define the pipeline for a type of values and a type of integers."""
    import halide as hl

    x, task = hl.vars("x task")
    number, limits = _halide.halide_type(value_type), np.iinfo(out_type)
    values = hl.ImageParam(number, 1, "values")
    scale = hl.Param(number, "scale")
    low, high = (hl.cast(number, int(limit)) for limit in (limits.min, limits.max))
    value = hl.round(hl.clamp(values[x] * scale, low, high))
    out = hl.Func("out")
    out[x] = hl.cast(_halide.halide_type(out_type), hl.select(hl.is_nan(values[x]), hl.cast(number, 0), value))
    out.split(x, task, x, _CHUNK, hl.TailStrategy.GuardWithIf).vectorize(x, _halide.lanes(out_type)).parallel(task)
    for array in (values, out.output_buffer()):
        array.dim(0).set_stride(1)
    return _halide.Definition(out, [values, scale])
