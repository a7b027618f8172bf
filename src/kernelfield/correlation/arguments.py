"""The arguments of a cross-correlation, checked once: arrays, modes, windows, the dtype of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kernelfield.errors import ArgumentError, DataError, DtypeError
from kernelfield.geometry import (
    Operation,
    Window,
    check_boundary,
    check_mode,
    check_origin,
    check_padding,
    pair,
    positive_pair,
)
from kernelfield.kernels import Kernel

# Dtypes that the engine reads in place; 64-bit integers are converted to float64.
_READ = frozenset(
    np.dtype(name)
    for name in ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
)
_WIDENED = {"bool": "uint8", "int8": "int16", "float16": "float32", "uint32": "float64"}
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
# Dtypes of pixels that float32 does not hold exactly.
_WIDE = frozenset(np.dtype(name) for name in ("int32", "uint32", "float64"))
#: Dtypes that results may have.
RESULTS = tuple(np.dtype(name) for name in ("uint8", "uint16", "int16", "int32", "float32", "float64"))


@dataclass(frozen=True, slots=True)
class Request:
    """A checked cross-correlation of arrays.

    Attributes
    ----------
    operation : Operation
    image : numpy.ndarray, shape (..., H, W)
        In a dtype that the engine reads and native byte order; the array given, where it is so already.
    kernel : numpy.ndarray, shape (kh, kw), (n, kh, kw) or (C_out, C_in/groups, kh, kw)
        A copy in float64.
    shape, dtype
        Shape and dtype of the result.
    sums : numpy.dtype
        Dtype of the sums.
    bias : numpy.ndarray or None
        One number, or one for each kernel.
    out : numpy.ndarray or None
        The array to write.
    method : str or None
        The method asked for.
    """

    operation: Operation
    image: np.ndarray
    kernel: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype
    sums: np.dtype
    bias: np.ndarray | None
    out: np.ndarray | None
    method: str | None


def check_request(
    image: ArrayLike,
    kernel: ArrayLike | Kernel,
    bias: ArrayLike | None,
    out: np.ndarray | None,
    windows: dict[str, Any],
    dtype: DTypeLike | None,
    precision: str | None,
    method: str | None,
) -> Request:
    """Return the checked request of a `correlate` call; `windows` holds the arguments of `check_operation`."""
    pixels = check_pixels(image, "image")
    weights, own_origin = weights_and_origin(kernel)
    operation = check_operation(pixels.shape, weights.shape, own_origin=own_origin, **windows)
    added = None if bias is None else _check_bias(np.asarray(bias), weights.shape)
    result = result_dtype(pixels.dtype, dtype, out)
    shape = operation.output_shape(pixels.shape, weights.shape)
    if out is not None:
        check_out(out, shape, result)
    exact = check_precision(precision, method, weights.ndim == 2 and operation.plain)
    sums = _FLOAT64 if exact or result.kind != "f" else result
    return Request(operation, pixels, weights, shape, result, sums, added, out, "direct" if exact else method)


def check_image(image: ArrayLike, name: str) -> np.ndarray:
    """Return the pixels, checked, in a dtype of `RESULTS`, for code that computes on them with NumPy."""
    array = check_pixels(image, name)
    wider = _WIDENED.get(array.dtype.name)
    return array if wider is None else array.astype(wider)


def check_pixels(image: ArrayLike, name: str) -> np.ndarray:
    """Return `image` as an array that the engine reads, or raise an error that names the argument `name`."""
    array = np.asarray(image)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DtypeError(f"{name}: expected integers or floats of up to 64 bits; received {array.dtype}; convert it")
    if array.ndim < 2:
        raise ArgumentError(f"{name}: expected at least two axes (..., H, W); received shape {array.shape}")
    if 0 in array.shape[-2:]:
        raise ArgumentError(f"{name}: expected at least one pixel; received the empty shape {array.shape}")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype in _READ:
        return array
    if array.size and (int(array.max()) > 2**53 or int(array.min()) < -(2**53)):
        raise DataError(f"{name}: expected integers within ±2**53, which float64 holds; received larger; scale them")
    return array.astype(np.float64)


def check_kernel(kernel: ArrayLike, name: str) -> np.ndarray:
    """Return `kernel` as a float64 array of two to four axes, or raise an error that names the argument `name`."""
    weights = np.asarray(kernel)
    if weights.dtype.kind not in "biuf":
        raise DtypeError(f"{name}: expected real numbers; received {weights.dtype}; convert it")
    check_kernel_shape(weights.shape, name)
    return weights.astype(np.float64)


def check_kernel_shape(shape: tuple[int, ...], name: str) -> None:
    """Raise unless `shape` is that of a kernel, of a bank or of a layer's weights."""
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise ArgumentError(
            f"{name}: expected two axes (kh, kw), three (n, kh, kw), or four (C_out, C_in/groups, kh, kw), not empty; "
            f"received shape {shape}"
        )


def weights_and_origin(kernel: ArrayLike | Kernel) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the weights, and the distance of their anchor from the centre along rows and columns."""
    if not isinstance(kernel, Kernel):
        return check_kernel(kernel, "kernel"), (0, 0)
    # The anchor of a large shift lies outside its weights: pad with zeros up to it.
    padding = [(max(0, -a), max(0, a - n + 1)) for a, n in zip(kernel.anchor, kernel.weights.shape)]
    weights = np.pad(kernel.weights, padding)
    rows, columns = (a + p[0] - n // 2 for a, p, n in zip(kernel.anchor, padding, weights.shape))
    return weights, (rows, columns)


def check_operation(
    image: tuple[int, ...],
    kernel: tuple[int, ...],
    *,
    mode: str,
    boundary: str,
    cval: float,
    origin: int | tuple[int, int] | None,
    own_origin: tuple[int, int],
    padding: Any,
    stride: int | tuple[int, int],
    dilation: int | tuple[int, int],
    groups: int,
) -> Operation:
    """Return the operation that the arguments of `correlate` describe for the shapes of image and kernel."""
    mode, size = check_mode(mode), kernel[-2:]
    steps, spacing = (positive_pair(value, name) for value, name in ((stride, "stride"), (dilation, "dilation")))
    if padding is not None:
        if origin is not None:
            raise ArgumentError(f"origin: expected none beside padding=; received {origin!r}; leave one out")
        pads = check_padding(padding)
        windows = [Window(n, *p, s, d) for n, p, s, d in zip(size, pads, steps, spacing)]
    else:
        moved = pair(own_origin if origin is None else origin, "origin")
        if mode != "same" and origin is not None and moved != (0, 0):
            raise ArgumentError(f"origin: expected 0 in mode {mode!r}, where no pixel is the centre; received {origin}")
        if mode == "same":
            moved = check_origin(moved[0], size[0], "rows"), check_origin(moved[1], size[1], "columns")
        windows = [Window.of(n, mode, o, s, d) for n, o, s, d in zip(size, moved, steps, spacing)]
    outputs = [w.output_size(n) for w, n in zip(windows, image[-2:])]
    if 0 in outputs:
        spans = "×".join(str(w.span) for w in windows)
        room = "×".join(str(n + w.before + w.after) for w, n in zip(windows, image[-2:]))
        where = "the image, in mode 'valid'" if padding is None else "the padded image"
        raise ArgumentError(f"kernel: expected at most {room}, {where}; received {spans}; use mode 'same' or 'full'")
    _check_channels(image, kernel, groups)
    return Operation((windows[0], windows[1]), check_boundary(boundary), float(cval), groups)


def _check_channels(image: tuple[int, ...], kernel: tuple[int, ...], groups: int) -> None:
    """Raise unless image, weights and groups go together."""
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 1:
        raise ArgumentError(f"groups: expected a positive integer; received {groups!r}")
    if len(kernel) < 4:
        if groups != 1:
            axes = "a kernel of two axes" if len(kernel) == 2 else "a bank of three axes"
            raise ArgumentError(f"groups: expected 1 for {axes}; received {groups}; give four axes")
        return
    if len(image) < 3:
        raise ArgumentError(f"image: expected (..., C, H, W) for weights of four axes; received shape {image}")
    if image[-3] != kernel[1] * groups:
        raise ArgumentError(
            f"image: expected {kernel[1] * groups} channels, {groups} group(s) of {kernel[1]} as the kernel says; "
            f"received {image[-3]}"
        )
    if kernel[0] % groups:
        raise ArgumentError(f"groups: expected a divisor of the {kernel[0]} output channels; received {groups}")


def check_precision(precision: str | None, method: str | None, has_methods: bool) -> bool:
    """Return whether `precision` asks for float64 sums in the order of the definition."""
    if precision not in (None, "dtype", "exact"):
        raise ArgumentError(f"precision: expected 'dtype' or 'exact'; received {precision!r}")
    if method is None:
        return precision == "exact"
    if not has_methods:
        raise ArgumentError(f"method: expected none for layers, banks, strides and dilations; received {method!r}")
    if precision == "exact" and method != "direct":
        raise ArgumentError(f"method: expected 'direct' with precision 'exact'; received {method!r}")
    return precision == "exact"


def result_dtype(image: np.dtype, dtype: DTypeLike | None, out: np.ndarray | None) -> np.dtype:
    """Return the dtype of the result, by the rule in the docstring of `correlate`."""
    if dtype is not None:
        result = np.dtype(dtype).newbyteorder("=")
        if result not in RESULTS:
            raise DtypeError(f"dtype: expected one of {', '.join(d.name for d in RESULTS)}; received {result}")
        return result
    if isinstance(out, np.ndarray):
        return result_dtype(image, out.dtype, None)
    return _FLOAT64 if image in _WIDE else _FLOAT32


def check_out(out: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise unless the result can be written into `out`."""
    if not isinstance(out, np.ndarray):
        raise DtypeError(f"out: expected a NumPy array; received {type(out).__name__}")
    if out.shape != shape:
        raise ArgumentError(f"out: expected shape {shape}; received {out.shape}")
    if out.dtype.newbyteorder("=") != dtype:
        raise DtypeError(f"out: expected dtype {dtype}; received {out.dtype}; leave out dtype= or change out")
    if not out.flags.writeable:
        raise ArgumentError("out: expected a writeable array; received a read-only one")


def _check_bias(bias: np.ndarray, kernel: tuple[int, ...]) -> np.ndarray:
    """Return the bias as one number for each kernel."""
    if bias.dtype.kind not in "biuf":
        raise DtypeError(f"bias: expected real numbers; received {bias.dtype}")
    if bias.shape not in ((), (1,)) and (len(kernel) == 2 or bias.shape != kernel[:1]):
        wanted = "a number" if len(kernel) == 2 else f"shape {kernel[:1]}"
        raise ArgumentError(f"bias: expected {wanted}; received shape {bias.shape}")
    return np.broadcast_to(bias, (1,) if len(kernel) == 2 else kernel[:1])
