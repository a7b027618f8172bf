"""How OpenCV reads images, names borders and depths, and stores results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield.correlation import correlate, correlate_to_integers
from kernelfield.dropin.exactness import method_of, whole_weights
from kernelfield.errors import ArgumentError, DtypeError

Array = NDArray[Any]

ISOLATED = 16
_BOUNDARIES = {0: "constant", 1: "nearest", 2: "reflect", 3: "wrap", 4: "mirror"}
_DEPTHS = {0: "uint8", 2: "uint16", 3: "int16", 5: "float32", 6: "float64"}
_DTYPES = frozenset(map(np.dtype, _DEPTHS.values()))


def image_of(src: Any) -> Array:
    """Return an image (H, W) or (H, W, C) in native byte order."""
    if not isinstance(src, np.ndarray):
        raise DtypeError(f"src: expected a NumPy array; received {type(src).__name__}; use numpy.asarray")
    if src.ndim not in (2, 3) or 0 in src.shape:
        raise ArgumentError(f"src: expected shape (H, W) or (H, W, C), not empty; received {src.shape}")
    dtype = src.dtype if src.dtype.isnative else src.dtype.newbyteorder("=")
    if dtype not in _DTYPES:
        raise DtypeError(f"src: expected one of {', '.join(_DEPTHS.values())}; received {src.dtype}; convert it")
    # OpenCV takes one channel for none.
    image = src[..., 0] if src.ndim == 3 and src.shape[2] == 1 else src
    return np.asarray(image, dtype)


def dtype_of(ddepth: Any, image: Array) -> np.dtype[Any]:
    """Return the dtype that a depth names; the image's for -1."""
    depth = whole("ddepth", ddepth)
    if depth == -1:
        return image.dtype
    if depth not in _DEPTHS:
        raise ArgumentError(f"ddepth: expected -1, CV_8U, CV_16U, CV_16S, CV_32F or CV_64F; received {ddepth!r}")
    return np.dtype(_DEPTHS[depth])


def boundary_of(border: Any) -> str:
    """Return the boundary that a border type names."""
    kind = whole("borderType", border)
    if kind & ~ISOLATED not in _BOUNDARIES or kind < 0:
        raise ArgumentError(
            f"borderType: expected BORDER_CONSTANT, _REPLICATE, _REFLECT, _REFLECT_101 or _WRAP; received {border!r}"
        )
    return _BOUNDARIES[kind & ~ISOLATED]


def origin_of(anchor: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the origin, along rows and columns, of an anchor (x, y)."""
    x, y = pair("anchor", anchor)
    rows, columns = shape
    row, column = rows // 2 if y == -1 else y, columns // 2 if x == -1 else x
    if not (0 <= row < rows and 0 <= column < columns):
        raise ArgumentError(
            f"anchor: expected (x, y) inside the kernel of {columns}×{rows}, or -1 for its centre; received {anchor!r}"
        )
    return row - rows // 2, column - columns // 2


def pair(name: str, value: Any) -> tuple[int, int]:
    """Return two integers: x and y, or width and height."""
    if not isinstance(value, (tuple, Sequence, np.ndarray)) or len(value) != 2:
        raise ArgumentError(f"{name}: expected two integers (x, y); received {value!r}")
    return whole(name, value[0]), whole(name, value[1])


def whole(name: str, value: Any) -> int:
    """Return an integer."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ArgumentError(f"{name}: expected an integer; received {value!r}")
    return int(value)


def number(name: str, value: Any) -> float:
    """Return a finite number."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, np.integer, np.floating))
        or not math.isfinite(value)
    ):
        raise ArgumentError(f"{name}: expected a finite number; received {value!r}")
    return float(value)


def weights_of(name: str, kernel: Any) -> NDArray[np.float64]:
    """Return a kernel of two axes as float64."""
    weights = np.asarray(kernel)
    if weights.dtype.kind not in "biuf":
        raise DtypeError(f"{name}: expected real numbers; received {weights.dtype}")
    weights = weights.reshape(-1, 1) if weights.ndim == 1 else weights
    if weights.ndim != 2 or weights.size == 0:
        raise ArgumentError(f"{name}: expected two axes, not empty; received shape {weights.shape}")
    return weights.astype(np.float64)


class Where(NamedTuple):
    """How a kernel lies over an image, and what is outside."""

    boundary: str
    origin: tuple[int, int]


def where_of(border: Any, shape: tuple[int, ...], anchor: Any = (-1, -1)) -> Where:
    """Return what a border type and an anchor say for a kernel of that shape."""
    return Where(boundary_of(border), origin_of(anchor, shape))


class _Taken(NamedTuple):
    """How sums are taken: with which weights, so many times the kernel's, in which dtype and by which method."""

    kernel: NDArray[np.float64]
    one: float
    work: np.dtype[Any]
    method: str | None


def sums(image: Array, kernel: NDArray[np.float64], where: Where, dtype: np.dtype[Any], dst: Any = None) -> Array:
    """Return the cross-correlation for each channel, planes first: in float32 where it is enough for `dtype`.

    Where `dst` is given and of the dtype of the sums they are written into it.
    """
    taken = _taken(kernel.tobytes(), kernel.shape, image.dtype, dtype)
    direct = dst is not None and dst.dtype == taken.work and taken.one == 1
    out = _planes(dst.reshape(image.shape)) if direct else None
    values = correlate(
        _planes(image),
        taken.kernel,
        boundary=where.boundary,
        origin=where.origin,
        dtype=taken.work,
        method=taken.method,
        out=out,
    )
    if taken.one != 1:
        values /= taken.one
    return np.asarray(values)


@lru_cache(maxsize=64)
def _taken(kernel: bytes, shape: tuple[int, int], image: np.dtype[Any], dtype: np.dtype[Any]) -> _Taken:
    """Return how sums with a kernel are taken for images of a dtype and results of another."""
    weights = np.frombuffer(kernel, np.float64).reshape(shape)
    if image.kind != "f" and (found := whole_weights(weights)):
        limits = np.iinfo(image)
        bound = float(np.abs(found[0]).sum()) * max(int(limits.max), -int(limits.min))
        if bound < 2**53:
            return _Taken(*found, np.dtype(np.float32 if bound < 2**24 else np.float64), method_of(found[0]))
    return _Taken(
        weights, 1.0, np.dtype(np.float32 if dtype == np.float32 and image != np.float64 else np.float64), None
    )


def rounded_sums(
    image: Array,
    kernel: NDArray[np.float64],
    where: Where,
    dtype: np.dtype[Any],
    dst: Any,
    scale: float = 1.0,
    up: bool = False,
) -> Array:
    """Return the cross-correlation in an integer `dtype`, as `stored` makes it of `sums`, but on the way.

    A scale, and halves rounded up, are what `correlate_to_integers` takes them for.
    """
    out = None if dst is None else _planes(dst.reshape(image.shape))
    result = correlate_to_integers(_planes(image), kernel, dtype, **where._asdict(), out=out, scale=scale, up=up)
    if dst is not None:
        return np.asarray(dst)
    return np.ascontiguousarray(np.moveaxis(result, 0, -1) if image.ndim == 3 else result)


@lru_cache(maxsize=64)
def divides_well(dtype: np.dtype[Any], divisor: int) -> bool:
    """Return whether sums of so many pixels, times the inverse of their number, are rounded as their quotients are.

    Powers of two divide exactly. For odd numbers no quotient is a half; the nearest is ``1 / (2 * divisor)`` away, and
    float32 errs by less below 2**22 / divisor. From 2**24 on sums are taken in float64.
    """
    if dtype.kind == "f" or divisor & (divisor - 1) == 0:
        return dtype.kind != "f"
    limits = np.iinfo(dtype)
    largest = max(-int(limits.min), int(limits.max)) * divisor
    return divisor % 2 == 1 and not 2**22 <= largest < 2**24


def _planes(image: Array) -> Array:
    return np.moveaxis(image, -1, 0) if image.ndim == 3 else image


def stored(values: Array, image: Array, dtype: np.dtype[Any], dst: Any, add: float = 0.0, scale: float = 1.0) -> Array:
    """Return ``values * scale + add`` in `dtype`, rounded to nearest (halves to even) and saturated, into `dst`."""
    if dtype != np.float32 and (scale != 1.0 or add):
        values = values.astype(np.float64, copy=False)
    if scale != 1.0:
        values = values * values.dtype.type(scale)
    if add:
        values = values + values.dtype.type(add)
    if dtype.kind != "f":
        limits = np.iinfo(dtype)
        rounded = np.clip(np.rint(values), limits.min, limits.max)
        values = np.nan_to_num(rounded, copy=False) if image.dtype.kind == "f" else rounded
    result = np.asarray(values).astype(dtype, copy=False)
    result = np.moveaxis(result, 0, -1) if image.ndim == 3 else result
    if dst is None:
        return np.ascontiguousarray(result)
    if not np.may_share_memory(result, dst):
        dst[...] = result.reshape(dst.shape)
    return np.asarray(dst)


def check_dst(dst: Any, image: Array, dtype: np.dtype[Any]) -> None:
    """Raise unless the result can be written into `dst`."""
    if dst is None:
        return
    shapes = (image.shape, (*image.shape, 1)) if image.ndim == 2 else (image.shape,)
    if not isinstance(dst, np.ndarray) or dst.shape not in shapes or dst.dtype != dtype or not dst.flags.writeable:
        received = f"{dst.dtype} {dst.shape}" if isinstance(dst, np.ndarray) else type(dst).__name__
        raise ArgumentError(f"dst: expected a writeable {dtype} array of shape {image.shape}; received {received}")
