"""Arguments of OpenCV's functions, checked and converted: images, depths, border types, anchors, kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield.arrays import as_numbers, check_plain
from kernelfield.errors import ArgumentError, DtypeError, received
from kernelfield.geometry import Boundary

Array = NDArray[Any]

ISOLATED = 16
_BOUNDARIES: dict[int, Boundary] = {0: "constant", 1: "nearest", 2: "reflect", 3: "wrap", 4: "mirror"}
_DEPTHS = {0: "uint8", 2: "uint16", 3: "int16", 5: "float32", 6: "float64"}
_DTYPES = frozenset(map(np.dtype, _DEPTHS.values()))


def image_of(src: Any) -> Array:
    """Return an image (H, W) or (H, W, C) in native byte order."""
    if not isinstance(src, np.ndarray):
        raise DtypeError(f"src: expected a NumPy array; received {type(src).__name__}; use numpy.asarray")
    check_plain(src, "src")
    if src.ndim not in (2, 3) or 0 in src.shape:
        raise ArgumentError(f"src: expected shape (H, W) or (H, W, C), not empty; received {src.shape}")
    dtype = src.dtype if src.dtype.isnative else src.dtype.newbyteorder("=")
    if dtype not in _DTYPES:
        raise DtypeError(f"src: expected one of {', '.join(_DEPTHS.values())}; received {src.dtype}; convert it")
    # OpenCV treats an image of one channel as (H, W).
    image = src[..., 0] if src.ndim == 3 and src.shape[2] == 1 else src
    return np.asarray(image, dtype)


def dtype_of(ddepth: Any, image: Array) -> np.dtype[Any]:
    """Return the dtype that a depth names; the image's for -1."""
    depth = integer("ddepth", ddepth)
    if depth == -1:
        return image.dtype
    if depth not in _DEPTHS:
        raise ArgumentError(
            f"ddepth: expected -1, CV_8U, CV_16U, CV_16S, CV_32F or CV_64F; received {received(ddepth)}"
        )
    return np.dtype(_DEPTHS[depth])


def boundary_of(border: Any) -> Boundary:
    """Return the boundary that a border type names."""
    kind = integer("borderType", border)
    if kind & ~ISOLATED not in _BOUNDARIES or kind < 0:
        raise ArgumentError(
            "borderType: expected BORDER_CONSTANT, _REPLICATE, _REFLECT, _REFLECT_101 or _WRAP; "
            f"received {received(border)}"
        )
    return _BOUNDARIES[kind & ~ISOLATED]


def origin_of(anchor: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the origin, along rows and columns, of an anchor (x, y)."""
    x, y = pair("anchor", anchor)
    rows, columns = shape
    row, column = rows // 2 if y == -1 else y, columns // 2 if x == -1 else x
    if not (0 <= row < rows and 0 <= column < columns):
        raise ArgumentError(
            f"anchor: expected (x, y) inside the kernel of {columns}×{rows}, or -1 for its centre; "
            f"received {received(anchor)}"
        )
    return row - rows // 2, column - columns // 2


def pair(name: str, value: Any) -> tuple[int, int]:
    """Return two integers: x and y, or width and height."""
    if not isinstance(value, (tuple, Sequence, np.ndarray)) or len(value) != 2:
        raise ArgumentError(f"{name}: expected two integers (x, y); received {received(value)}")
    return integer(name, value[0]), integer(name, value[1])


def integer(name: str, value: Any) -> int:
    """Return an integer."""
    if type(value) is int:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ArgumentError(f"{name}: expected an integer; received {received(value)}")
    return int(value)


def number(name: str, value: Any) -> float:
    """Return a finite number."""
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float, np.integer, np.floating))
        or not math.isfinite(value)
    ):
        raise ArgumentError(f"{name}: expected a finite number; received {received(value)}")
    return float(value)


def weights_of(name: str, kernel: Any) -> NDArray[np.float64]:
    """Return a kernel of two axes as float64."""
    weights = as_numbers(kernel, name)
    weights = weights.reshape(-1, 1) if weights.ndim == 1 else weights
    if weights.ndim != 2 or weights.size == 0:
        raise ArgumentError(f"{name}: expected two axes, not empty; received shape {weights.shape}")
    return weights.astype(np.float64)


class Placement(NamedTuple):
    """The boundary rule, and the origin of the kernel along rows and columns."""

    boundary: Boundary
    origin: tuple[int, int]


def placement_of(border: Any, shape: tuple[int, ...], anchor: Any = (-1, -1)) -> Placement:
    """Return the placement that a border type and an anchor give a kernel of a shape."""
    return Placement(boundary_of(border), origin_of(anchor, shape))


def check_dst(dst: Any, image: Array, dtype: np.dtype[Any]) -> None:
    """Raise unless the result can be written into `dst`."""
    if dst is None:
        return
    check_plain(dst, "dst")
    shapes = (image.shape, (*image.shape, 1)) if image.ndim == 2 else (image.shape,)
    if not isinstance(dst, np.ndarray) or dst.shape not in shapes or dst.dtype != dtype or not dst.flags.writeable:
        received = f"{dst.dtype} {dst.shape}" if isinstance(dst, np.ndarray) else type(dst).__name__
        raise ArgumentError(f"dst: expected a writeable {dtype} array of shape {image.shape}; received {received}")
