"""The arguments of a cross-correlation, checked once: arrays, modes, windows, the dtype of the result."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kernelfield.arrays import MOST_CHANNELS, as_array, as_numbers, channel_axis_of, check_plain
from kernelfield.errors import ArgumentError, DataError, DtypeError, received
from kernelfield.geometry import (
    Operation,
    Window,
    check_boundary,
    check_mode,
    check_number,
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
#: The arguments that place the windows: those of `check_operation`.
WINDOWS = ("mode", "boundary", "cval", "origin", "padding", "stride", "dilation", "groups")
# Bytes that every machine has.
_SMALL = 2**26
#: Dtypes of images, as messages list them, and dtypes that results may have.
IMAGES = "bool, (u)int8, (u)int16, (u)int32, float16, float32, float64"
RESULTS = tuple(
    np.dtype(name) for name in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
)


@dataclass(frozen=True, slots=True)
class Axes:
    """The places of an image's axes: as the caller has them, and (..., H, W) as the engine has them.

    Attributes
    ----------
    inward : tuple of int
        Axes of the caller's image in the engine's order: those of rows and columns last, that of channels before them.
    outward : tuple of int
        Axes of the caller's result in the order of the engine's.
    """

    inward: tuple[int, ...]
    outward: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], channel_axis: int, kernel_axes: int) -> Axes:
        """Return the places for an image of a shape with channels, and a kernel of two, three or four axes.

        The axis of a bank stands before the rows; all others keep their order.

        Examples
        --------
        >>> Axes.of((480, 640, 3), 2, 2)
        Axes(inward=(2, 0, 1), outward=(2, 0, 1))
        >>> Axes.of((480, 640, 3), 2, 3)
        Axes(inward=(2, 0, 1), outward=(3, 0, 1, 2))
        """
        *leading, rows, columns = (axis for axis in range(len(shape)) if axis != channel_axis)
        inward = (*leading, channel_axis, rows, columns)
        if kernel_axes != 3:
            return cls(inward, inward)
        behind = [axis + (axis >= rows) for axis in inward]
        return cls(inward, (*behind[:-2], rows, *behind[-2:]))

    @property
    def back(self) -> tuple[int, ...]:
        """Axes of the engine's result in the order of the caller's."""
        return tuple(self.outward.index(axis) for axis in range(len(self.outward)))

    def outer_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the caller's result, from that of the engine's."""
        return tuple(shape[axis] for axis in self.back)


@dataclass(frozen=True, slots=True)
class Request:
    """A checked cross-correlation of arrays.

    Attributes
    ----------
    operation : Operation
    image : numpy.ndarray, shape (..., H, W)
        In a dtype that the engine reads and native byte order; the array given, or a view, where it is so already.
    axes : Axes or None
        The places of the axes of image and result, where the caller has them in another order.
    kernel : numpy.ndarray, shape (kh, kw), (n, kh, kw) or (C_out, C_in/groups, kh, kw)
        A copy in float64.
    shape, dtype
        Shape, as the engine has it, and dtype of the result.
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
    axes: Axes | None
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
    *,
    dtype: DTypeLike | None,
    precision: str | None,
    method: str | None,
    channel_axis: int | str | None,
    bank: bool | None,
    **windows: Any,
) -> Request:
    """Return the checked request of a `correlate` call; `windows` are the arguments of `check_operation`."""
    pixels = check_pixels(image, "image")
    weights, own_origin = weights_and_origin(kernel)
    axes = check_axes(pixels.shape, weights.shape, channel_axis, bank)
    if axes is not None:
        pixels = pixels.transpose(axes.inward)
        check_some_pixels(pixels.shape, "image")
    operation = check_operation(pixels.shape, weights.shape, own_origin=own_origin, **windows)
    added = None if bias is None else _check_bias(as_numbers(bias, "bias"), weights.shape)
    result = result_dtype(pixels.dtype, dtype, out)
    shape = operation.output_shape(pixels.shape, weights.shape)
    check_memory(operation, pixels.shape, shape, result)
    if out is not None:
        check_out(out, shape if axes is None else axes.outer_shape(shape), result)
    exact = check_precision(precision, method, weights.ndim == 2 and operation.plain)
    sums = _FLOAT64 if exact or result.kind != "f" else result
    return Request(operation, pixels, axes, weights, shape, result, sums, added, out, "direct" if exact else method)


def check_axes(
    image: tuple[int, ...], kernel: tuple[int, ...], channel_axis: int | str | None, bank: bool | None
) -> Axes | None:
    """Return the places of the axes, from the shapes of image and kernel; None if the caller has the engine's order.

    Raise for a kernel of three axes that may be a bank or one kernel for a volume.
    """
    if bank is not None and not isinstance(bank, (bool, np.bool_)):
        raise ArgumentError(f"bank: expected True, False or None; received {received(bank)}")
    if len(kernel) == 3 and (len(image) > 2 if bank is None else not bank):
        raise ArgumentError(
            f"kernel: expected (kh, kw), or bank=True for {kernel[0]} kernels of {kernel[1]}×{kernel[2]}; received "
            f"shape {kernel} for an image {image}; scipy.ndimage.correlate slides one kernel through a volume"
        )
    if bank and len(kernel) != 3:
        raise ArgumentError(f"bank: expected a kernel of three axes (n, kh, kw); received shape {kernel}; leave it out")
    auto = isinstance(channel_axis, str) and channel_axis == "auto"
    # Layers have their channels before the rows, as everywhere.
    if channel_axis is None or (auto and (len(image) == 2 or len(kernel) == 4)):
        return None
    place = channel_axis_of(image, channel_axis)
    if place is None or place == len(image) - 3:
        return None
    return Axes.of(image, place, len(kernel))


def check_image_shape(image_shape: Any) -> tuple[int, ...]:
    """Return the shape as a tuple of at least two positive integers."""
    try:
        shape = tuple(image_shape)
    except TypeError:
        shape = ()
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and 0 < n < 2**48 for n in shape)
    if len(shape) < 2 or not whole:
        raise ArgumentError(
            f"image_shape: expected at least two positive integers (..., H, W); received {received(image_shape)}; "
            "give image.shape"
        )
    return tuple(int(n) for n in shape)


def check_channels_first(shape: tuple[int, ...]) -> None:
    """Raise for the shape of a photograph (H, W, C), where images are (..., H, W) or (..., C, H, W)."""
    if len(shape) == 3 and shape[-1] <= MOST_CHANNELS < min(shape[:2]):
        height, width, channels = shape
        raise ArgumentError(
            f"image: expected (..., H, W) or (..., C, H, W); received {shape}, a photograph with its channels last; "
            f"move them to the front, ({channels}, {height}, {width})"
        )


def is_image_dtype(dtype: np.dtype) -> bool:
    """Return whether the engine reads images of this dtype in place."""
    return dtype in _READ


def check_some_pixels(shape: tuple[int, ...], name: str) -> None:
    """Raise unless images of this shape (..., H, W) have pixels."""
    if 0 in shape[-2:]:
        raise ArgumentError(f"{name}: expected at least one pixel; received the empty shape {shape}")


def check_memory(operation: Operation, image: tuple[int, ...], result: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise if the result, or the rows of the image that the engine extends, are larger than the free memory."""
    rows, columns = operation.windows
    # Tiles have up to 8 rows and blocks of columns; pixels that a column stride reads are kept apart by its steps.
    lines = 8 + (rows.size if rows.stride == 1 else rows.span)
    line = columns.span + columns.stride * (128 + min(result[-1], 2048))
    channels = image[-3] if len(image) > 2 else 1
    check_bytes(max(math.prod(result) * dtype.itemsize, 8 * channels * lines * line), result)


def check_index(operation: Operation, image: tuple[int, ...], result: tuple[int, ...], itemsize: int = 8) -> None:
    """Raise if a result, or the indices of the pixels that windows read, are larger than the free memory."""
    outputs = [w.output_size(n) for w, n in zip(operation.windows, image[-2:])]
    sizes = [n + w.before + w.after + m * w.size for w, n, m in zip(operation.windows, image[-2:], outputs)]
    check_bytes(max(math.prod(result) * itemsize, 8 * sum(sizes)), result)


def check_bytes(needed: int, result: tuple[int, ...]) -> None:
    """Raise if a result of some shape takes more bytes than the free memory."""
    # Asking the system takes longer than a small correlation.
    if needed > _SMALL and needed > (there := _memory()):
        raise ArgumentError(
            "image, padding, stride, dilation: expected a result and extended rows within the free memory, "
            f"{there / 2**30:.3g} GiB; received arguments that take {needed / 2**30:.3g} GiB, for a result of shape "
            f"{result}; give smaller ones"
        )


def _memory() -> int:
    """Return the bytes of memory that are free on this machine, 2**40 where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**40


def check_image(image: ArrayLike, name: str) -> np.ndarray:
    """Return the pixels, checked, in a dtype that code which computes on them with NumPy is written for."""
    array = check_pixels(image, name)
    wider = _WIDENED.get(array.dtype.name)
    return array if wider is None else array.astype(wider)


def check_pixels(image: ArrayLike, name: str) -> np.ndarray:
    """Return `image` as an array that the engine reads, or raise an error that names the argument `name`."""
    array = image if type(image) is np.ndarray else as_array(image, name)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DtypeError(f"{name}: expected integers or floats of up to 64 bits; received {array.dtype}; convert it")
    if array.ndim < 2:
        remedy = as_row_or_column(array.shape)
        raise ArgumentError(f"{name}: expected at least two axes (..., H, W); received shape {array.shape}{remedy}")
    check_some_pixels(array.shape, name)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype in _READ:
        return array
    if array.size and (int(array.max()) > 2**53 or int(array.min()) < -(2**53)):
        raise DataError(f"{name}: expected integers within ±2**53, which float64 holds; received larger; scale them")
    return array.astype(np.float64)


def check_kernel(kernel: ArrayLike, name: str) -> np.ndarray:
    """Return `kernel` as a float64 array of two to four axes, or raise an error that names the argument `name`."""
    # A plain array, as most are, enters no other file.
    weights = kernel if type(kernel) is np.ndarray else as_numbers(kernel, name)
    if weights.dtype.kind not in "biuf":
        raise DtypeError(f"{name}: expected real numbers; received {weights.dtype}; convert it")
    check_kernel_shape(weights.shape, name)
    return weights.astype(np.float64)


def check_kernel_shape(shape: tuple[int, ...], name: str) -> None:
    """Raise unless `shape` is that of a kernel, of a bank or of a layer's weights."""
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise ArgumentError(
            f"{name}: expected two axes (kh, kw), three (n, kh, kw), or four (C_out, C_in/groups, kh, kw), not empty; "
            f"received shape {shape}{as_row_or_column(shape)}"
        )


def as_row_or_column(shape: tuple[int, ...]) -> str:
    """Return the remedy for an array of one axis, as the end of a message; empty for other shapes."""
    if len(shape) != 1 or not shape[0]:
        return ""
    return f"; reshape it to (1, {shape[0]}), a row, or ({shape[0]}, 1), a column"


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
    rule, outside = check_boundary(boundary), check_number(cval, "cval")
    steps, spacing = (positive_pair(value, name) for value, name in ((stride, "stride"), (dilation, "dilation")))
    if padding is not None:
        if origin is not None:
            raise ArgumentError(f"origin: expected none beside padding=; received {received(origin)}; leave one out")
        pads = check_padding(padding)
        windows = [Window(n, *p, s, d) for n, p, s, d in zip(size, pads, steps, spacing)]
    else:
        moved = pair(own_origin if origin is None else origin, "origin")
        if mode != "same" and origin is not None and moved != (0, 0):
            raise ArgumentError(
                f"origin: expected 0 in mode {mode!r}, where no pixel is the centre; received {received(origin)}"
            )
        if mode == "same":
            moved = check_origin(moved[0], size[0], "rows"), check_origin(moved[1], size[1], "columns")
        windows = [Window.of(n, mode, o, s, d) for n, o, s, d in zip(size, moved, steps, spacing)]
    # A stride beyond the axis leaves one output, as the shortest such does.
    longest = [max(1, n + w.before + w.after) for w, n in zip(windows, image[-2:])]
    windows = [w if w.stride <= most else replace(w, stride=most) for w, most in zip(windows, longest)]
    outputs = [w.output_size(n) for w, n in zip(windows, image[-2:])]
    if 0 in outputs:
        spans = "×".join(str(w.span) for w in windows)
        room = "×".join(str(n + w.before + w.after) for w, n in zip(windows, image[-2:]))
        where = "the image, in mode 'valid'" if padding is None else "the padded image"
        raise ArgumentError(f"kernel: expected at most {room}, {where}; received {spans}; use mode 'same' or 'full'")
    _check_channels(image, kernel, groups)
    return Operation((windows[0], windows[1]), rule, outside, groups)


def _check_channels(image: tuple[int, ...], kernel: tuple[int, ...], groups: int) -> None:
    """Raise unless image, weights and groups go together."""
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 1:
        raise ArgumentError(f"groups: expected a positive integer; received {received(groups)}")
    if len(kernel) < 4:
        if groups != 1:
            axes = "a kernel of two axes" if len(kernel) == 2 else "a bank of three axes"
            raise ArgumentError(f"groups: expected 1 for {axes}; received {received(groups)}; give four axes")
        return
    if len(image) < 3:
        raise ArgumentError(f"image: expected (..., C, H, W) for weights of four axes; received shape {image}")
    if image[-3] != kernel[1] * groups:
        remedy = "; channel_axis=-1 reads them from the last axis" if image[-1] == kernel[1] * groups else ""
        raise ArgumentError(
            f"image: expected {received(kernel[1] * groups)} channels, {received(groups)} group(s) of {kernel[1]} as "
            f"the kernel says; "
            f"received {image[-3]}{remedy}"
        )
    if kernel[0] % groups:
        raise ArgumentError(
            f"groups: expected a divisor of the {kernel[0]} output channels; received {received(groups)}"
        )


def check_precision(precision: str | None, method: str | None, has_methods: bool) -> bool:
    """Return whether `precision` asks for float64 sums in the order of the definition."""
    if precision is not None and (not isinstance(precision, str) or precision not in ("dtype", "exact")):
        raise ArgumentError(f"precision: expected 'dtype' or 'exact'; received {received(precision)}")
    if method is None:
        return precision == "exact"
    if not has_methods:
        raise ArgumentError(
            f"method: expected none for layers, banks, strides and dilations; received {received(method)}"
        )
    if not isinstance(method, str):
        raise ArgumentError(f"method: expected direct, separable or spectral; received {received(method)}")
    if precision == "exact" and method != "direct":
        raise ArgumentError(f"method: expected 'direct' with precision 'exact'; received {received(method)}")
    return precision == "exact"


def result_dtype(image: np.dtype, dtype: DTypeLike | None, out: np.ndarray | None) -> np.dtype:
    """Return the dtype of the result, by the rule in the docstring of `correlate`."""
    if dtype is not None:
        result = dtype_of(dtype)
        if result is None or result not in RESULTS:
            names = ", ".join(known.name for known in RESULTS)
            raise DtypeError(f"dtype: expected one of {names}; received {result or received(dtype)}")
        return result
    if isinstance(out, np.ndarray):
        return result_dtype(image, out.dtype, None)
    return _FLOAT64 if image in _WIDE else _FLOAT32


def dtype_of(dtype: Any) -> np.dtype | None:
    """Return the dtype that NumPy knows by this name or type, in native byte order; None if there is none."""
    try:
        found: np.dtype = np.dtype(dtype).newbyteorder("=")
    except Exception:  # NumPy lets through whatever the value raises
        return None
    return found


def check_out(out: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise unless the result can be written into `out`."""
    if not isinstance(out, np.ndarray):
        raise DtypeError(f"out: expected a NumPy array; received {type(out).__name__}")
    if type(out) is not np.ndarray:
        check_plain(out, "out")
    if out.shape != shape:
        raise ArgumentError(f"out: expected shape {shape}; received {out.shape}")
    if out.dtype.newbyteorder("=") != dtype:
        raise DtypeError(f"out: expected dtype {dtype}; received {out.dtype}; leave out dtype= or change out")
    if not out.flags.writeable:
        raise ArgumentError("out: expected a writeable array; received a read-only one")


def _check_bias(bias: np.ndarray, kernel: tuple[int, ...]) -> np.ndarray:
    """Return the bias as one number for each kernel."""
    if bias.shape not in ((), (1,)) and (len(kernel) == 2 or bias.shape != kernel[:1]):
        wanted = "a number" if len(kernel) == 2 else f"shape {kernel[:1]}"
        raise ArgumentError(f"bias: expected {wanted}; received shape {bias.shape}")
    return np.broadcast_to(bias, (1,) if len(kernel) == 2 else kernel[:1])
