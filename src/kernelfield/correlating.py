"""What `correlate` does: arguments are checked, once, and handed to the engine or to the adapter of a framework."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from kernelfield import recent
from kernelfield.arrays.select import adapter_of
from kernelfield.checks import (
    check_image,
    check_operation,
    check_out,
    check_precision,
    result_dtype,
    weights_and_origin,
    whole_sums,
)
from kernelfield.engine.choice import engine
from kernelfield.engine.rounding import rounded
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.operation import Operation, is_interleaved, is_readable
from kernelfield.quick import WINDOWS, are_exact
from kernelfield.tensors import correlate_tensors


def run(
    image: Any,
    kernel: Any,
    bias: Any,
    out: np.ndarray | None,
    asked: tuple[Any, ...],
    windows: tuple[Any, ...],
    scale: float = 1.0,
    up: bool = False,
) -> Any:
    """Do what `correlate` says, and what `correlate_to_integers` says."""
    dtype, precision, method = asked
    key = None if bias is not None else recent.key_of(image, kernel, out, (*asked, scale, up), windows)
    repeat = None if key is None else recent.known(key)
    if repeat is not None and not (out is not None and np.may_share_memory(out, image)):
        return repeat(image, out)
    how = dict(zip(WINDOWS, windows))
    adapter = adapter_of(image, kernel, bias)
    if adapter is not None:
        given = {"out": out, "dtype": dtype, "precision": precision, "method": method}
        for name, value in given.items():
            if value is not None:
                raise ArgumentError(f"{name}: expected none with tensors of {adapter.name}; leave it out")
        return correlate_tensors(adapter, image, kernel, bias, how)
    pixels = check_image(image, "image")
    weights, own_origin = weights_and_origin(kernel)
    if weights.ndim == 3:
        pixels, weights = pixels[..., None, :, :], weights[:, None]
    operation = _operation(pixels.shape, weights.shape, own_origin, how)
    added = None if bias is None else _check_bias(np.asarray(bias), weights.shape)
    dtype_out = result_dtype(pixels.dtype, dtype, out)
    shape = operation.output_shape(pixels.shape, weights.shape)
    if out is not None:
        check_out(out, shape, dtype_out)
    exact = check_precision(precision, method, weights.ndim == 2 and operation.plain)
    # Not before: compilers of frameworks trace what comes first.
    chosen = engine()
    native = chosen.native
    single = operation.is_single(weights.shape, native)
    side_by_side = single and native and weights.ndim == 2 and is_interleaved(pixels)
    sums, one = dtype_out, 1.0
    if exact or dtype_out.kind != "f":
        sums, method = np.dtype(np.float64), "direct" if exact else method
        # Factors of whole weights may not be whole.
        whole = not exact and method in (None, "direct") and added is None
        found = whole_sums(pixels.dtype, weights, operation, up / 2) if whole else None
        if found is not None:
            sums, weights, one = found
    if up:
        added = np.array([one / 2])
    work = _work_array(out, shape, dtype_out if single else sums, pixels, side_by_side)
    again = operation.forward(pixels, weights, work, method, added, sums if single else None, scale / one, chosen, up)
    if key is not None and again is not None and pixels is image and (out is None or work is out):
        recent.keep(key, recent.Repeat(again, shape, dtype_out, side_by_side))
    result = work
    if not single:
        result = (
            rounded(work, dtype_out, scale / one, up) if dtype_out.kind != "f" else work.astype(dtype_out, copy=False)
        )
    if out is None:
        return result
    if not np.may_share_memory(result, out):
        out[...] = result
    return out


def _operation(
    image: tuple[int, ...], kernel: tuple[int, ...], own_origin: tuple[int, int], how: dict[str, Any]
) -> Operation:
    """Return what `check_operation` does, from memory where the same was asked before: small images wait for it."""
    try:
        if are_exact(how.values()):
            return _known_operation(image, kernel, own_origin=own_origin, **how)
    except TypeError:  # a list cannot be remembered
        pass
    return check_operation(image, kernel, own_origin=own_origin, **how)


_known_operation = lru_cache(maxsize=512, typed=True)(check_operation)


def _check_bias(bias: np.ndarray, kernel: tuple[int, ...]) -> np.ndarray:
    """Return a bias for each output channel."""
    if bias.dtype.kind not in "biuf":
        raise DtypeError(f"bias: expected real numbers; received {bias.dtype}")
    if bias.shape not in ((), (1,)) and (len(kernel) == 2 or bias.shape != kernel[:1]):
        wanted = "a number" if len(kernel) == 2 else f"shape {kernel[:1]}"
        raise ArgumentError(f"bias: expected {wanted}; received shape {bias.shape}")
    return np.broadcast_to(bias, kernel[:1] if len(kernel) == 4 else (1,))


def _work_array(
    out: np.ndarray | None, shape: tuple[int, ...], dtype: np.dtype, image: np.ndarray, interleaved: bool
) -> np.ndarray:
    """Return the array that the engine writes: `out` where that is safe, else a new one, laid out as the image."""
    if out is not None and out.dtype == dtype and not np.may_share_memory(out, image):
        if interleaved and is_interleaved(out):
            return out
        if not interleaved and is_readable(out):
            flat = out.reshape(-1, *out.shape[-2:]) if out.size else out
            if np.may_share_memory(flat, out):
                return out
    return recent.results(shape, dtype, interleaved)
