"""Apply a kernel to an image: `corr2d`, `correlate`, `convolve`.

The arguments are checked here, once, and the work is handed to the engine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from kernelfield.engine import plan as planner
from kernelfield.errors import ArgumentError, DataError, DtypeError
from kernelfield.geometry import Window, check_boundary, check_mode, check_origin
from kernelfield.kernels import Kernel

__all__ = ["check_image", "check_kernel", "convolve", "corr2d", "correlate"]

# What the engine reads as it is; the rest is converted to a dtype that holds every value.
_NATIVE = ("uint8", "uint16", "int16", "int32", "float32", "float64")
_WIDENED = {"bool": "uint8", "int8": "int16", "float16": "float32", "uint32": "float64"}
_OUTPUTS = ("uint8", "uint16", "int16", "int32", "float32", "float64")


def corr2d(X: ArrayLike, K: ArrayLike) -> np.ndarray:
    """Return the two-dimensional cross-correlation of `X` and `K`, where the window fits: the textbook operation.

    ``Y[i, j] = sum over a, b of K[a, b] * X[i + a, j + b]`` (Zhang, Lipton, Li and Smola, *Dive into Deep
    Learning*, section 7.2).

    Parameters
    ----------
    X : array_like, shape (H, W)
        The image.
    K : array_like, shape (kh, kw)
        The kernel, not larger than the image.

    Returns
    -------
    numpy.ndarray, shape (H - kh + 1, W - kw + 1)
        float32, or float64 where `X` is float64 or has integers of more than 16 bits (Python's numbers are).

    Raises
    ------
    ArgumentError
        If an argument is not two-dimensional, is empty, or the kernel is larger than the image.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.corr2d([[0, 1, 2], [3, 4, 5], [6, 7, 8]], [[0, 1], [2, 3]])
    array([[19., 25.],
           [37., 43.]])
    """
    image = check_image(X, "X")
    if image.ndim != 2:
        raise ArgumentError(
            f"X: expected two axes (H, W); received shape {image.shape}; use correlate for leading axes"
        )
    return correlate(image, check_kernel(K, "K"), mode="valid")


def correlate(
    image: ArrayLike,
    kernel: ArrayLike | Kernel,
    *,
    mode: str = "same",
    boundary: str = "reflect",
    cval: float = 0.0,
    origin: int | tuple[int, int] | None = None,
    out: np.ndarray | None = None,
    dtype: DTypeLike | None = None,
) -> np.ndarray:
    """Return the cross-correlation of `image` with `kernel`: the kernel slides as it is, not flipped.

    ``out[..., i, j] = sum over a, b of kernel[a, b] * image[..., i + a - r, j + b - c]``, where ``(r, c)`` is the
    element of the kernel that lies over the output pixel: ``(kh // 2, kw // 2)``, moved by `origin`. For even sizes
    that is the element behind the middle, as in scipy.ndimage.

    Parameters
    ----------
    image : array_like, shape (..., H, W)
        Integers or floats, any strides, any byte order. 64-bit integers must not exceed 2**53 in magnitude.
    kernel : array_like or Kernel, shape (kh, kw)
        The weights; real and finite or not. A `Kernel` brings its own anchor.
    mode : {"same", "valid", "full"}
        Which outputs exist: as many as the image has pixels, those whose window lies inside, all that touch it.
    boundary : {"reflect", "constant", "nearest", "mirror", "wrap"}
        What lies outside the image, with the meaning of scipy.ndimage. Not used in mode ``"valid"``.
    cval : float
        The value outside, for ``boundary="constant"``.
    origin : int or (int, int), optional
        Moves the anchor, in mode ``"same"`` only; -(k // 2) to (k - 1) // 2.
    out : numpy.ndarray, optional
        Where to write; it may overlap the image. Its dtype is the result's.
    dtype : dtype, optional
        Of the result: float32, float64, or an 8-, 16- or 32-bit integer, where results are rounded to nearest
        (halves to even) and saturated at the ends of the range; NaN becomes 0. By default float32, and float64
        where the image is float64 or holds integers of more than 16 bits, which float32 cannot hold exactly.

    Returns
    -------
    numpy.ndarray
        Shape (..., OH, OW); `out` if it was given. Sums are taken in float32 for float32 results, in float64 otherwise.

    Raises
    ------
    ArgumentError
        For a shape, mode, boundary, origin or `out` that cannot be.
    DtypeError
        For complex, object or string arrays.
    DataError
        For 64-bit integers that float64 cannot hold.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.correlate([[0.0, 0.0, 1.0, 1.0]], [[1.0, -1.0]], mode="valid")
    array([[ 0., -1.,  0.]])
    """
    pixels = check_image(image, "image")
    weights, own_origin = _weights_and_origin(kernel)
    mode = check_mode(mode)
    boundary = check_boundary(boundary)
    windows = _windows(weights.shape, mode, own_origin if origin is None else origin, origin is not None)
    if mode == "valid" and (weights.shape[0] > pixels.shape[-2] or weights.shape[1] > pixels.shape[-1]):
        raise ArgumentError(
            f"kernel: expected at most {pixels.shape[-2]}×{pixels.shape[-1]}, the image, in mode 'valid'; received "
            f"{weights.shape[0]}×{weights.shape[1]}; use mode 'same' or 'full'"
        )
    rows, columns = (w.output_size(n) for w, n in zip(windows, pixels.shape[-2:]))
    result_dtype = _result_dtype(pixels.dtype, dtype, out)
    shape = (*pixels.shape[:-2], rows, columns)
    if out is not None:
        _check_out(out, shape, result_dtype)

    count = math.prod(pixels.shape[:-2])
    batch = pixels.reshape(count, *pixels.shape[-2:])
    if not _readable(batch):
        batch = np.ascontiguousarray(batch)
    work_dtype = result_dtype if result_dtype.kind == "f" else np.dtype(np.float64)
    work = _work_array(out, (count, rows, columns), work_dtype, pixels)
    plan = planner.plan(batch.shape, weights.shape, batch.dtype, work_dtype, windows)
    planner.run(plan, batch, weights, work, windows, boundary, float(cval))
    result = work.reshape(shape)
    if result_dtype.kind != "f":
        result = _round_and_saturate(result, result_dtype)
    if out is None:
        return result
    if not np.may_share_memory(result, out):
        out[...] = result
    return out


def convolve(
    image: ArrayLike,
    kernel: ArrayLike | Kernel,
    *,
    mode: str = "same",
    boundary: str = "reflect",
    cval: float = 0.0,
    origin: int | tuple[int, int] | None = None,
    out: np.ndarray | None = None,
    dtype: DTypeLike | None = None,
) -> np.ndarray:
    """Return the strict convolution of `image` with `kernel`: cross-correlation with the kernel flipped on both axes.

    Everything else is as in `correlate`; in mode ``"same"`` the element ``k // 2 + origin`` of the kernel *as given*
    is the centre, as in scipy.ndimage.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.convolve([[0.0, 0.0, 1.0, 1.0]], [[1.0, -1.0]], mode="valid")
    array([[0., 1., 0.]])
    """
    weights, own_origin = _weights_and_origin(kernel)
    mode = check_mode(mode)
    wish = own_origin if origin is None else origin
    if mode == "same":
        checked = [check_origin(o, n, axis) for o, n, axis in zip(_pair(wish), weights.shape, ("rows", "columns"))]
        flipped: Any = tuple(-o - (n % 2 == 0) for o, n in zip(checked, weights.shape))
    else:
        flipped = origin
    return correlate(
        image,
        weights[::-1, ::-1],
        mode=mode,
        boundary=boundary,
        cval=cval,
        origin=flipped,
        out=out,
        dtype=dtype,
    )


def check_image(image: ArrayLike, name: str) -> np.ndarray:
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
    if array.dtype.name in _NATIVE:
        return array
    if array.dtype.name in _WIDENED:
        return array.astype(_WIDENED[array.dtype.name])
    if array.size and (int(array.max()) > 2**53 or int(array.min()) < -(2**53)):
        raise DataError(f"{name}: expected integers within ±2**53, which float64 holds; received larger; scale them")
    return array.astype(np.float64)


def check_kernel(kernel: ArrayLike, name: str) -> np.ndarray:
    """Return `kernel` as a float64 array (kh, kw), or raise an error that calls it `name`."""
    weights = np.asarray(kernel)
    if weights.dtype.kind not in "biuf":
        raise DtypeError(f"{name}: expected real numbers; received {weights.dtype}; convert it")
    if weights.ndim != 2 or 0 in weights.shape:
        raise ArgumentError(f"{name}: expected two axes (kh, kw), not empty; received shape {weights.shape}")
    return weights.astype(np.float64)


def _weights_and_origin(kernel: ArrayLike | Kernel) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the weights and how far their anchor lies from the centre."""
    if not isinstance(kernel, Kernel):
        return check_kernel(kernel, "kernel"), (0, 0)
    # A shift far away has its anchor outside its weights: zeros fill what lies between.
    ends = [(max(0, -a), max(0, a - n + 1)) for a, n in zip(kernel.anchor, kernel.shape)]
    weights = np.pad(kernel.weights, ends)
    rows, columns = (a + e[0] - n // 2 for a, e, n in zip(kernel.anchor, ends, weights.shape))
    return weights, (rows, columns)


def _pair(origin: int | tuple[int, int]) -> tuple[int, int]:
    """Return `origin` for both axes."""
    try:
        rows, columns = np.broadcast_to(np.asarray(origin), 2).tolist()
    except ValueError:
        raise ArgumentError(f"origin: expected an integer or two (rows, columns); received {origin!r}") from None
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise ArgumentError(f"origin: expected integers; received {origin!r}")
    return rows, columns


def _windows(shape: tuple[int, ...], mode: str, origin: int | tuple[int, int], asked: bool) -> tuple[Window, Window]:
    """Return the windows along rows and columns."""
    mode = check_mode(mode)
    rows, columns = _pair(origin)
    if mode != "same":
        if asked and (rows or columns):
            raise ArgumentError(f"origin: expected 0 in mode {mode!r}, where no pixel is the centre; received {origin}")
        return Window.of(shape[0], mode), Window.of(shape[1], mode)
    return (
        Window.of(shape[0], mode, check_origin(rows, shape[0], "rows")),
        Window.of(shape[1], mode, check_origin(columns, shape[1], "columns")),
    )


def _result_dtype(image: np.dtype, dtype: DTypeLike | None, out: np.ndarray | None) -> np.dtype:
    """Return the dtype of the result by the rule that `correlate` states."""
    if dtype is not None:
        result = np.dtype(dtype).newbyteorder("=")
        if result.name not in _OUTPUTS:
            raise DtypeError(f"dtype: expected one of {', '.join(_OUTPUTS)}; received {result}")
        return result
    if isinstance(out, np.ndarray):
        return _result_dtype(image, out.dtype, None)
    return np.dtype(np.float64 if image.name in ("float64", "int32") else np.float32)


def _check_out(out: np.ndarray, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise unless the result can be written into `out`."""
    if not isinstance(out, np.ndarray):
        raise DtypeError(f"out: expected a NumPy array; received {type(out).__name__}")
    if out.shape != shape:
        raise ArgumentError(f"out: expected shape {shape}; received {out.shape}")
    if out.dtype.newbyteorder("=") != dtype:
        raise DtypeError(f"out: expected dtype {dtype}; received {out.dtype}; leave out dtype= or change out")
    if not out.flags.writeable:
        raise ArgumentError("out: expected a writeable array; received a read-only one")


def _readable(batch: np.ndarray) -> bool:
    """Return whether the engine can read `batch` (N, H, W) where it lies."""
    inner = batch.strides[2] == batch.itemsize or batch.shape[2] == 1
    return inner and batch.flags.aligned and all(s >= 0 and s % batch.itemsize == 0 for s in batch.strides)


def _work_array(out: np.ndarray | None, shape: tuple[int, int, int], dtype: np.dtype, image: np.ndarray) -> np.ndarray:
    """Return the array (N, OH, OW) that the engine writes: `out` itself where that is safe, else a new one."""
    if out is not None and out.dtype == dtype and not np.may_share_memory(out, image):
        view = out.reshape(shape)
        if np.may_share_memory(view, out) and _readable(view):
            return view
    return np.empty(shape, dtype)


def _round_and_saturate(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return `values` rounded to nearest (halves to even) and saturated to the range of the integer `dtype`."""
    limits = np.iinfo(dtype)
    np.rint(values, out=values)
    np.clip(values, limits.min, limits.max, out=values)
    np.nan_to_num(values, copy=False, nan=0.0)
    return values.astype(dtype)
