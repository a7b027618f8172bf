"""Floats to the integers of a picture: scaled, rounded to nearest (halves to even), saturated; NaN becomes 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import _halide
from kernelfield.engine.choice import engine

# Types whose limits float32 holds.
_COMPILED = ("uint8", "uint16", "int16")
# Elements of a task, and of what is left to NumPy because it is too little.
_CHUNK = 1 << 15


def rounded(values: NDArray[Any], dtype: np.dtype[Any], scale: float = 1.0) -> NDArray[Any]:
    """Return ``values * scale`` as integers of `dtype`; `values` may be overwritten.

    Parameters
    ----------
    values : ndarray
        ``float32`` or ``float64``.
    dtype : dtype
        An integer type of at most 32 bits.
    scale : float
        A power of two, so that nothing is rounded twice.
    """
    compiled = engine()[0] == "direct" and dtype.name in _COMPILED and values.flags.c_contiguous
    if not compiled or not _CHUNK <= values.size < 2**31:
        return _by_numpy(values, dtype, scale)
    out = np.empty(values.shape, dtype)
    _halide.compiled(_build, values.dtype, dtype).run(values.reshape(-1), scale, out.reshape(-1))
    return out


def _by_numpy(values: NDArray[Any], dtype: np.dtype[Any], scale: float) -> NDArray[Any]:
    limits = np.iinfo(dtype)
    if scale != 1:
        values *= scale
    values = values.astype(np.float64, copy=False)  # float32 does not hold the limits of int32
    np.rint(values, out=values)
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
