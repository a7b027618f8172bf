"""Small images by our own machine code, with nothing left to decide or to allocate but the result.

Finding out what to do with an image of 64² pixels would take longer than doing it. What depends on shapes and dtypes
alone is done once and kept.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from kernelfield.engine.border import holds, is_small
from kernelfield.engine.choice import Engine
from kernelfield.engine.x86.numbers import serves
from kernelfield.operation import Operation

if sys.platform == "linux":
    from kernelfield.engine.x86.calls import Ready

# Multiply-adds up to which `direct` takes a tenth of a millisecond: other methods are not looked at.
_FEW = 1 << 21
_LEAST_COLUMNS = 8
# Places of extended images whose gather is kept.
_KEPT = 1 << 15


def quick(
    operation: Operation,
    image_shape: tuple[int, ...],
    dtype: np.dtype[Any],
    kernel_shape: tuple[int, ...],
    out_dtype: np.dtype[Any],
    chosen: Engine,
    kernel: np.ndarray | None = None,
) -> Quick | None:
    """Return what applies kernels (kh, kw) to images so; None where it is not for them.

    Parameters
    ----------
    out_dtype : dtype
        float32 or float64.
    kernel : ndarray, optional
        The only one that there will be.
    """
    if not (chosen.native and operation.plain and is_small(image_shape[-2:]) and serves(dtype, out_dtype, out_dtype)):
        return None
    outputs = operation.output_shape(image_shape, kernel_shape)
    extended = [n + w.before + w.after for n, w in zip(image_shape[-2:], operation.windows)]
    if not (outputs[-1] >= _LEAST_COLUMNS and is_small((extended[0], extended[1])) and holds(dtype, operation.cval)):
        return None
    if not 0 < math.prod((*outputs, *kernel_shape)) <= _FEW or math.prod((*image_shape[:-2], *extended)) > _KEPT:
        return None
    return Quick(operation, image_shape, dtype, kernel_shape, out_dtype, kernel)


class Quick:
    """Applies kernels of one size to C-contiguous images of one shape and dtype."""

    def __init__(
        self,
        operation: Operation,
        image_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        kernel_shape: tuple[int, ...],
        out_dtype: np.dtype[Any],
        kernel: np.ndarray | None,
    ) -> None:
        self._shape, self._dtype = operation.output_shape(image_shape, kernel_shape), out_dtype
        rows, columns = operation.indices(image_shape)
        count = math.prod(image_shape[:-2])
        self._extended = np.full((count, len(rows), len(columns)), operation.cval, dtype)
        self._gathered = None
        if operation.pads and operation.boundary != "constant":
            planes = np.arange(count)[:, None, None] * (image_shape[-2] * image_shape[-1])
            self._gathered = planes + np.add.outer(rows * image_shape[-1], columns)
        top, left = (w.before for w in operation.windows)
        self._inside = slice(top, top + image_shape[-2]), slice(left, left + image_shape[-1])
        self._kernel = np.zeros(kernel_shape, out_dtype) if kernel is None else kernel
        self._free: list[_State] = []

    def __call__(self, image: np.ndarray, kernel: np.ndarray | None = None) -> np.ndarray:
        """Return the cross-correlation with a kernel, or with the only one."""
        try:
            state = self._free.pop()  # one step of the interpreter: safe between threads
        except IndexError:
            state = _State(self._extended, self._inside, self._kernel, self._shape, self._dtype)
        if kernel is not None:
            state.kernel[...] = kernel
        if self._gathered is not None:
            image.take(self._gathered, None, state.extended, "clip")
        else:
            state.inside[...] = image.reshape(state.inside.shape)
        out = np.empty(self._shape, self._dtype)
        state.run(out)
        self._free.append(state)
        return out


class _State:
    """Memory of one call, which the next one uses again."""

    def __init__(
        self,
        extended: np.ndarray,
        inside: tuple[slice, slice],
        kernel: np.ndarray,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.extended = extended.copy()
        self.inside = self.extended[:, inside[0], inside[1]]
        weights = np.zeros((1, kernel.size + 1), dtype)
        self.kernel = weights[0, :-1].reshape(kernel.shape)
        self.kernel[...] = kernel
        self.run = Ready(self.extended, weights, kernel.shape, (len(extended), 1, *shape[-2:]))
