"""Small images by our own machine code, with nothing left to decide or to allocate but the result.

Finding out what to do with an image of 64² pixels would take longer than doing it. What depends on shapes and dtypes
alone is done once and kept.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from kernelfield.checks import check_operation, result_dtype
from kernelfield.engine.border import holds, is_small
from kernelfield.engine.choice import Engine, engine
from kernelfield.engine.x86.ends import Border
from kernelfield.engine.x86.numbers import serves
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.geometry import is_exact
from kernelfield.operation import Operation

if sys.platform == "linux":
    from kernelfield.engine.x86.call import Ready
    from kernelfield.engine.x86.calls import ready

#: The arguments of `kernelfield.correlate` that say where windows lie, in the order that `quick_for` takes them in.
WINDOWS = ("mode", "boundary", "cval", "origin", "padding", "stride", "dilation", "groups")

# Pixels of images that are not kept waiting.
_SMALL = 1 << 16
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
    return Quick(operation, image_shape, dtype, (kernel_shape[0], kernel_shape[1]), out_dtype, kernel)


def are_exact(windows: Iterable[Any]) -> bool:
    """Return whether no tuple is taken for another that is equal: (True, False) for (1, 0)."""
    return not any(type(value) is tuple and not is_exact(value) for value in windows)


def quick_for(image: Any, kernel: Any, dtype: Any, windows: tuple[Any, ...]) -> Quick | None:
    """Return what applies kernels to small images at once; None for all else, wrong arguments among it."""
    if not (type(image) is type(kernel) is np.ndarray) or image.size > _SMALL:
        return None
    flags, chosen = image.flags, engine()
    if not (flags.c_contiguous and flags.aligned and chosen.native and are_exact(windows)):
        return None
    try:
        return _known_quick(image.shape, image.dtype, kernel.shape, kernel.dtype, dtype, chosen, *windows)
    except (TypeError, ArgumentError, DtypeError):
        return None


@lru_cache(maxsize=64, typed=True)
def _known_quick(
    image: tuple[int, ...],
    pixels: np.dtype[Any],
    kernel: tuple[int, ...],
    weights: np.dtype[Any],
    dtype: Any,
    chosen: Engine,
    *windows: Any,
) -> Quick | None:
    if len(image) < 2 or len(kernel) != 2 or 0 in (*image, *kernel) or weights.kind not in "biuf":
        return None
    result = result_dtype(pixels, dtype, None)
    if result.kind != "f" or not pixels.isnative:
        return None
    operation = check_operation(image, kernel, own_origin=(0, 0), **dict(zip(WINDOWS, windows)))
    return quick(operation, image, pixels, kernel, result, chosen)


class Quick:
    """Applies kernels of one size to C-contiguous images of one shape and dtype."""

    def __init__(
        self,
        operation: Operation,
        image_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        kernel_shape: tuple[int, int],
        out_dtype: np.dtype[Any],
        kernel: np.ndarray | None,
    ) -> None:
        self._shape, self._dtype = operation.output_shape(image_shape, kernel_shape), out_dtype
        self._kernel = kernel
        count, size = math.prod(image_shape[:-2]), (image_shape[-2], image_shape[-1])
        shape = (count, 1, *self._shape[-2:])
        top, left = (w.before for w in operation.windows)
        cval = operation.cval if operation.boundary == "constant" else 0.0
        border = Border((top, left), operation.boundary, cval) if operation.pads else None
        self._ready = partial(ready, size, dtype, kernel_shape, shape, out_dtype, border)
        self._extended = None
        if self._ready() is None:
            # Rows too short for tiles between their ends: images are extended first.
            self._extended = _Extended(operation, image_shape, dtype)
            self._ready = partial(ready, self._extended.size, dtype, kernel_shape, shape, out_dtype, None)
        self._free: list[tuple[Ready, np.ndarray | None]] = []

    def __call__(self, image: np.ndarray, kernel: np.ndarray | None = None) -> np.ndarray:
        """Return the cross-correlation with a kernel, or with the only one."""
        try:
            run, extended = self._free.pop()  # one step of the interpreter: safe between threads
        except IndexError:
            run, extended = self._new()
        if kernel is not None:
            run.kernel[...] = kernel
        out = np.empty(self._shape, self._dtype)
        if self._extended is not None and extended is not None:
            self._extended.fill(extended, image)
            run(extended, out)
        else:
            run(image, out)
        self._free.append((run, extended))
        return out

    def _new(self) -> tuple[Ready, np.ndarray | None]:
        """Return memory for a call, which later ones use again."""
        run = self._ready()
        assert run is not None
        if self._kernel is not None:
            run.kernel[...] = self._kernel
        return run, None if self._extended is None else self._extended.empty()


class _Extended:
    """Extends images of one shape by what lies outside."""

    def __init__(self, operation: Operation, image_shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        rows, columns = operation.indices(image_shape)
        count = math.prod(image_shape[:-2])
        self.size = len(rows), len(columns)
        self._empty = np.full((count, *self.size), operation.cval, dtype)
        self._gathered = None
        if operation.pads and operation.boundary != "constant":
            planes = np.arange(count)[:, None, None] * (image_shape[-2] * image_shape[-1])
            self._gathered = planes + np.add.outer(rows * image_shape[-1], columns)
        top, left = (w.before for w in operation.windows)
        self._inside = np.s_[:, top : top + image_shape[-2], left : left + image_shape[-1]]

    def empty(self) -> np.ndarray:
        """Return memory for an extended image."""
        return self._empty.copy()

    def fill(self, extended: np.ndarray, image: np.ndarray) -> None:
        """Write the pixels of an image, inside and out."""
        if self._gathered is not None:
            image.take(self._gathered, None, extended, "clip")
        else:
            inside = extended[self._inside]
            inside[...] = image.reshape(inside.shape)
