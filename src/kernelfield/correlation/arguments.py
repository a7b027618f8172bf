"""The arguments of a cross-correlation, checked once: arrays, modes, windows, the dtype of the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kernelfield.errors import ArgumentError, DataError, DtypeError
from kernelfield.geometry import Operation, Window, check_boundary, check_mode, check_origin
from kernelfield.kernels import Kernel

# What the engine reads as it is; 64-bit integers are converted to float64.
_READ = frozenset(
    np.dtype(name)
    for name in ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64")
)
_WIDENED = {"bool": "uint8", "int8": "int16", "float16": "float32", "uint32": "float64"}
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
# Of pixels that float32 does not hold.
_WIDE = frozenset(np.dtype(name) for name in ("int32", "uint32", "float64"))
#: Dtypes that results may have.
RESULTS = tuple(np.dtype(name) for name in ("uint8", "uint16", "int16", "int32", "float32", "float64"))


@dataclass(frozen=True, slots=True)
class Request:
    """A cross-correlation of arrays, checked.

    Attributes
    ----------
    operation : Operation
    image : numpy.ndarray, shape (..., H, W)
        Of a dtype that the engine reads, in native byte order: the array that was given, if that is so of it.
    kernel : numpy.ndarray, shape (kh, kw), (n, kh, kw) or (C_out, C_in/groups, kh, kw)
        A copy in float64.
    shape, dtype
        Of the result.
    sums : numpy.dtype
        In which sums are taken.
    bias : numpy.ndarray or None
        One number, or one for each kernel.
    out : numpy.ndarray or None
        Where to write.
    method : str or None
        What was asked for.
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
    how: dict[str, Any],
    dtype: DTypeLike | None,
    precision: str | None,
    method: str | None,
) -> Request:
    """Return what the arguments of `correlate` ask for, or raise; `how` are those that `check_operation` takes."""
    pixels = check_pixels(image, "image")
    weights, own_origin = weights_and_origin(kernel)
    operation = check_operation(pixels.shape, weights.shape, own_origin=own_origin, **how)
    added = None if bias is None else _check_bias(np.asarray(bias), weights.shape)
    result = result_dtype(pixels.dtype, dtype, out)
    shape = operation.output_shape(pixels.shape, weights.shape)
    if out is not None:
        check_out(out, shape, result)
    exact = check_precision(precision, method, weights.ndim == 2 and operation.plain)
    sums = _FLOAT64 if exact or result.kind != "f" else result
    return Request(operation, pixels, weights, shape, result, sums, added, out, "direct" if exact else method)


def check_image(image: ArrayLike, name: str) -> np.ndarray:
    """Return what `check_pixels` does in a dtype that NumPy computes with: one of those that results may have."""
    array = check_pixels(image, name)
    wider = _WIDENED.get(array.dtype.name)
    return array if wider is None else array.astype(wider)


def check_pixels(image: ArrayLike, name: str) -> np.ndarray:
    """Return `image` as a native array that the engine reads, or raise an error that calls it `name`."""
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
    """Return `kernel` as a float64 array of two to four axes, or raise an error that calls it `name`."""
    weights = np.asarray(kernel)
    if weights.dtype.kind not in "biuf":
        raise DtypeError(f"{name}: expected real numbers; received {weights.dtype}; convert it")
    check_kernel_shape(weights.shape, name)
    return weights.astype(np.float64)


def check_kernel_shape(shape: tuple[int, ...], name: str) -> None:
    """Raise unless `shape` is that of a kernel or of a layer's weights."""
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise ArgumentError(
            f"{name}: expected two axes (kh, kw), three (n, kh, kw), or four (C_out, C_in/groups, kh, kw), not empty; "
            f"received shape {shape}"
        )


def weights_and_origin(kernel: ArrayLike | Kernel) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the weights and how far their anchor lies from the centre."""
    if not isinstance(kernel, Kernel):
        return check_kernel(kernel, "kernel"), (0, 0)
    # A shift far away has its anchor outside its weights: zeros fill what lies between.
    ends = [(max(0, -a), max(0, a - n + 1)) for a, n in zip(kernel.anchor, kernel.weights.shape)]
    weights = np.pad(kernel.weights, ends)
    rows, columns = (a + e[0] - n // 2 for a, e, n in zip(kernel.anchor, ends, weights.shape))
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
    """Return the operation on shapes, or raise: what every argument of `correlate` says but the numbers."""
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


def pair(value: Any, name: str) -> tuple[int, int]:
    """Return an integer or two as two, for rows and columns."""
    if type(value) is int:
        return value, value
    if type(value) is tuple and len(value) == 2 and type(value[0]) is type(value[1]) is int:
        return value[0], value[1]
    try:
        rows, columns = np.broadcast_to(np.asarray(value), 2).tolist()
    except ValueError:
        raise ArgumentError(f"{name}: expected an integer or two (rows, columns); received {value!r}") from None
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in (rows, columns)):
        raise ArgumentError(f"{name}: expected integers; received {value!r}")
    return rows, columns


def positive_pair(value: Any, name: str) -> tuple[int, int]:
    """Return an integer or two as two, at least 1 each."""
    numbers = pair(value, name)
    if min(numbers) < 1:
        raise ArgumentError(f"{name}: expected at least 1; received {value!r}")
    return numbers


def check_padding(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((top, bottom), (left, right)) from an integer, (rows, columns) or all four."""
    if type(padding) is int and padding >= 0:
        return (padding, padding), (padding, padding)
    if type(padding) is tuple and len(padding) == 2 and all(type(n) is int and n >= 0 for n in padding):
        return (padding[0], padding[0]), (padding[1], padding[1])
    try:
        numbers = np.asarray(padding)
        both = np.stack([numbers, numbers], axis=-1) if numbers.ndim == 1 else numbers
        (top, bottom), (left, right) = np.broadcast_to(both, (2, 2)).tolist()
    except ValueError:
        raise ArgumentError(
            f"padding: expected an integer, (rows, columns) or ((top, bottom), (left, right)); received {padding!r}"
        ) from None
    for number in (top, bottom, left, right):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ArgumentError(f"padding: expected integers of at least 0; received {padding!r}")
    return (top, bottom), (left, right)


def check_precision(precision: str | None, method: str | None, has_methods: bool) -> bool:
    """Return whether sums are asked for in the order of the definition and in float64, or raise."""
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
    """Return the dtype of the result by the rule that `correlate` states."""
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
    """Return a bias of all kernels, or one for each."""
    if bias.dtype.kind not in "biuf":
        raise DtypeError(f"bias: expected real numbers; received {bias.dtype}")
    if bias.shape not in ((), (1,)) and (len(kernel) == 2 or bias.shape != kernel[:1]):
        wanted = "a number" if len(kernel) == 2 else f"shape {kernel[:1]}"
        raise ArgumentError(f"bias: expected {wanted}; received shape {bias.shape}")
    return np.broadcast_to(bias, (1,) if len(kernel) == 2 else kernel[:1])
