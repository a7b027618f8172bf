"""How OpenCV reads images, names borders and depths, and stores results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core
from kernelfield.dropin.exactness import method_of
from kernelfield.engine import plan as planner
from kernelfield.engine.low_rank import Factors
from kernelfield.engine.plan import CACHE, whole_weights
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.geometry import Boundary, Operation, Window

Array = NDArray[Any]

#: A kernel, or a column and a row that it is the outer product of.
Weights = NDArray[np.float64] | tuple[NDArray[np.float64], NDArray[np.float64]]

ISOLATED = 16
_BOUNDARIES: dict[int, Boundary] = {0: "constant", 1: "nearest", 2: "reflect", 3: "wrap", 4: "mirror"}
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


def boundary_of(border: Any) -> Boundary:
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


class Call(NamedTuple):
    """A call as it was made: what `CACHE` keeps it by."""

    src: Any
    kernel: Any
    dst: Any
    options: tuple[Any, ...]


class Where(NamedTuple):
    """How a kernel lies over an image, and what is outside."""

    boundary: Boundary
    origin: tuple[int, int]


def where_of(border: Any, shape: tuple[int, ...], anchor: Any = (-1, -1)) -> Where:
    """Return what a border type and an anchor say for a kernel of that shape."""
    return Where(boundary_of(border), origin_of(anchor, shape))


def filtered(
    call: Call,
    image: Array,
    weights: Weights,
    where: Where,
    dtype: np.dtype[Any],
    added: float = 0.0,
    divisor: int = 1,
    up: bool = False,
) -> Array:
    """Return the cross-correlation of each channel, divided or moved, in `dtype`, and keep how it was done.

    Parameters
    ----------
    image : ndarray, shape (H, W) or (H, W, C)
        As `image_of` returns it.
    weights : ndarray, or two
        A kernel, or a column and a row that it is the outer product of.
    added : float
        To the sums; not with a divisor.
    divisor : int
        Of the sums.
    up : bool
        Integers: halves are rounded up, not to even.
    """
    rest, scale = 1, 1.0
    dst: Array | None = call.dst
    column, row = weights if isinstance(weights, tuple) else (None, weights)
    if divisor != 1 and image.dtype.kind == "f":
        row = row / divisor
    elif divisor != 1 and dtype.kind != "f" and divides_well(image.dtype, divisor):
        scale = 1 / divisor
    else:
        rest = divisor
    kernel = row if column is None else np.outer(column, row)
    lines = None if column is None or min(kernel.shape) == 1 else Factors(column[None], row[None])
    sums, method = _sums_of(kernel, image.dtype, dtype)
    rows, columns = (Window.of(n, "same", o) for n, o in zip(kernel.shape, where.origin))
    operation = Operation((rows, columns), where.boundary, 0.0)
    bias = np.array([added]) if added else None
    work = sums if rest != 1 else dtype
    planes = _planes(image)
    plan = planner.plan(operation, planes.shape, image.dtype, kernel, work, sums, method, False, lines)
    correlation = planner.runner(plan, operation, kernel, bias, scale, up)

    def divided(image: Array, out: Array) -> None:
        values = _core.empty(out.shape, work)
        correlation(_planes(image), _planes(values))
        if dtype.kind == "f":
            np.multiply(values, work.type(1 / rest), out=out, casting="same_kind")
        else:
            limits = np.iinfo(dtype)
            out[...] = np.clip(np.rint(values.astype(np.float64) * (1 / rest)), limits.min, limits.max)

    def in_colour(image: Array, out: Array) -> None:
        correlation(image.transpose(2, 0, 1), out.transpose(2, 0, 1))

    runner = divided if rest != 1 else in_colour if image.ndim == 3 else correlation
    pixels = image if image.flags.aligned else image.copy()
    result = dst
    if result is None or not planner.is_readable(result) or np.may_share_memory(result, image):
        result = _core.empty(image.shape, dtype)
    runner(pixels, result.reshape(image.shape) if result.shape != image.shape else result)
    if pixels is call.src and (dst is None or (result is dst and dst.shape == image.shape)):
        CACHE.keep(call.src, call.kernel, dst, call.options, runner, image.shape, dtype)
    if dst is None or result is dst:
        return result
    dst[...] = result.reshape(dst.shape)
    return dst


def _sums_of(
    kernel: NDArray[np.float64], image: np.dtype[Any], dtype: np.dtype[Any]
) -> tuple[np.dtype[Any], str | None]:
    """Return in which dtype sums are taken, and by which method: such that those of whole numbers are exact."""
    single = dtype == np.float32 and image != np.float64
    if image.kind != "f" and (found := whole_weights(kernel)):
        limits = np.iinfo(image)
        bound = float(np.abs(found[0]).sum()) * max(int(limits.max), -int(limits.min))
        if bound < 2**53:
            return np.dtype(np.float32 if single and bound < 2**24 else np.float64), method_of(kernel)
    return np.dtype(np.float32 if single else np.float64), None


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
    return image.transpose(2, 0, 1) if image.ndim == 3 else image


def check_dst(dst: Any, image: Array, dtype: np.dtype[Any]) -> None:
    """Raise unless the result can be written into `dst`."""
    if dst is None:
        return
    shapes = (image.shape, (*image.shape, 1)) if image.ndim == 2 else (image.shape,)
    if not isinstance(dst, np.ndarray) or dst.shape not in shapes or dst.dtype != dtype or not dst.flags.writeable:
        received = f"{dst.dtype} {dst.shape}" if isinstance(dst, np.ndarray) else type(dst).__name__
        raise ArgumentError(f"dst: expected a writeable {dtype} array of shape {image.shape}; received {received}")
