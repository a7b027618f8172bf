"""Apply a kernel to an image: `corr2d`, `correlate`, `convolve`.

Small images that were met before are done at once; all else is `kernelfield.correlating`'s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from kernelfield import correlating
from kernelfield.arrays.select import adapter_of
from kernelfield.checks import check_kernel_shape, pair, weights_and_origin
from kernelfield.errors import ArgumentError
from kernelfield.geometry import check_mode, check_origin
from kernelfield.quick import quick_for

__all__ = ["convolve", "corr2d", "correlate"]


def corr2d(X: Any, K: Any) -> Any:
    """Return the two-dimensional cross-correlation of `X` and `K`, where the window fits: the textbook operation.

    ``Y[i, j] = sum over a, b of K[a, b] * X[i + a, j + b]`` (Zhang, Lipton, Li and Smola, *Dive into Deep
    Learning*, section 7.2).

    Parameters
    ----------
    X : array_like or tensor, shape (H, W)
        The image.
    K : array_like or tensor, shape (kh, kw)
        The kernel, not larger than the image.

    Returns
    -------
    numpy.ndarray or tensor, shape (H - kh + 1, W - kw + 1)
        A tensor of the framework that `X` or `K` belongs to, differentiable; else an array: float32, or float64 where
        `X` is float64 or has integers of more than 16 bits (Python's numbers are).

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
    for value, name in ((X, "X"), (K, "K")):
        shape = tuple(getattr(value, "shape", None) or np.shape(value))
        if len(shape) != 2:
            raise ArgumentError(f"{name}: expected two axes; received shape {shape}; use correlate for more")
    return correlate(X, K, mode="valid")


def correlate(
    image: Any,
    kernel: Any,
    *,
    mode: str = "same",
    boundary: str = "reflect",
    cval: float = 0.0,
    origin: int | tuple[int, int] | None = None,
    padding: Any = None,
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    bias: Any = None,
    out: np.ndarray | None = None,
    dtype: DTypeLike | None = None,
    precision: str | None = None,
    method: str | None = None,
) -> Any:
    """Return the cross-correlation of `image` with `kernel`: the kernel slides as it is, not flipped.

    ``out[..., i, j] = sum over a, b of kernel[a, b] * image[..., i + a - r, j + b - c]``, where ``(r, c)`` is the
    element of the kernel that lies over the output pixel: ``(kh // 2, kw // 2)``, moved by `origin`. For even sizes
    that is the element behind the middle, as in scipy.ndimage.

    Parameters
    ----------
    image : array_like or tensor, shape (..., H, W)
        Integers or floats, any strides, any byte order. 64-bit integers must not exceed 2**53 in magnitude. Tensors of
        PyTorch, TensorFlow, JAX and MXNet give tensors back, differentiable. A photograph (H, W, 3) goes in as
        ``photograph.transpose(2, 0, 1)``: it is read where it lies, and the result is laid out alike.
    kernel : array_like, tensor or Kernel, shape (kh, kw), (n, kh, kw) or (C_out, C_in/groups, kh, kw)
        The weights; real and finite or not. A `Kernel` brings its own anchor. Three axes are a bank of kernels, each
        applied to the image: the result is ``(..., n, OH, OW)``. With four axes the image is ``(..., C_in, H, W)`` and
        the result ``(..., C_out, OH, OW)``, as in a layer.
    mode : {"same", "valid", "full"}
        Which outputs exist: as many as the image has pixels, those whose window lies inside, all that touch it.
    boundary : {"reflect", "constant", "nearest", "mirror", "wrap"}
        What lies outside the image, with the meaning of scipy.ndimage. Not used in mode ``"valid"``.
    cval : float
        The value outside, for ``boundary="constant"``.
    origin : int or (int, int), optional
        Moves the anchor, in mode ``"same"`` only; -(k // 2) to (k - 1) // 2.
    padding : int, (int, int) or ((int, int), (int, int)), optional
        Pixels that the image is extended by, instead of what `mode` says: everywhere, along rows and columns, or
        ``((top, bottom), (left, right))``; what stands there is `boundary`'s.
    stride, dilation : int or (int, int)
        Steps of the window, and distance of the kernel's elements in the image, along rows and columns. In mode
        ``"same"`` a stride keeps every so-many-th output, from the first.
    groups : int
        Groups of channels that do not mix.
    bias : array_like or tensor, shape (C_out,) or a number, optional
        Added to each output channel.
    out : numpy.ndarray, optional
        Where to write; it may overlap the image. Its dtype is the result's.
    dtype : dtype, optional
        Of the result: float32, float64, or an 8-, 16- or 32-bit integer, where results are rounded to nearest
        (halves to even) and saturated at the ends of the range; NaN becomes 0. By default float32, and float64
        where the image is float64 or holds integers of more than 16 bits, which float32 cannot hold exactly. Tensors
        keep their dtype; those of integers take the kernel's, or float32.
    precision : {"dtype", "exact"}, optional
        ``"exact"`` takes sums in float64 for float32 results too, in the order of the definition; sums of integers
        below 2**53 are exact then. By default sums are taken in the dtype of the result, float64 for integers.
    method : {"direct", "separable", "spectral"}, optional
        How; by default what `plan` finds fastest. Not for layers, strides and dilations.

    Returns
    -------
    numpy.ndarray
        Shape (..., OH, OW); `out` if it was given.

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
    windows = mode, boundary, cval, origin, padding, stride, dilation, groups
    if bias is None and out is None and precision is None and (method is None or method == "direct"):
        known = quick_for(image, kernel, dtype, windows)
        if known is not None:
            return known(image, kernel)
    return correlating.run(image, kernel, bias, out, (dtype, precision, method), windows)


def correlate_to_integers(
    image: np.ndarray,
    kernel: np.ndarray,
    dtype: np.dtype[Any],
    *,
    boundary: str,
    origin: tuple[int, int],
    out: np.ndarray | None = None,
    scale: float = 1.0,
    up: bool = False,
) -> np.ndarray:
    """Return ``correlate(image, kernel) * scale`` in integers of `dtype`, as other libraries round it.

    Parameters
    ----------
    scale : float
        A power of two, or a number that brings no sum to a half: that would be rounded either way.
    up : bool
        Round halves up, not to even; not with a scale.
    """
    windows = "same", boundary, 0.0, origin, None, 1, 1, 1
    result: np.ndarray = correlating.run(image, kernel, None, out, (dtype, None, None), windows, scale, up)
    return result


def convolve(
    image: Any,
    kernel: Any,
    *,
    mode: str = "same",
    boundary: str = "reflect",
    cval: float = 0.0,
    origin: int | tuple[int, int] | None = None,
    padding: Any = None,
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    bias: Any = None,
    out: np.ndarray | None = None,
    dtype: DTypeLike | None = None,
    precision: str | None = None,
    method: str | None = None,
) -> Any:
    """Return the strict convolution of `image` with `kernel`: cross-correlation with the kernel flipped on both axes.

    Everything else is as in `correlate`; in mode ``"same"`` the element ``k // 2 + origin`` of the kernel *as given*
    is the centre, as in scipy.ndimage.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.convolve([[0.0, 0.0, 1.0, 1.0]], [[1.0, -1.0]], mode="valid")
    array([[0., 1., 0.]])
    """
    options = dict(
        boundary=boundary,
        cval=cval,
        padding=padding,
        stride=stride,
        dilation=dilation,
        groups=groups,
        bias=bias,
        out=out,
        dtype=dtype,
        precision=precision,
        method=method,
    )
    adapter = adapter_of(kernel)
    if adapter is not None:
        size, own_origin = adapter.shape(kernel), (0, 0)
        check_kernel_shape(size, "kernel")
        flipped = adapter.flip(kernel)
    else:
        weights, own_origin = weights_and_origin(kernel)
        size, flipped = weights.shape, weights[..., ::-1, ::-1]
    if check_mode(mode) == "same" and padding is None:
        wish = pair(own_origin if origin is None else origin, "origin")
        checked = [check_origin(o, n, axis) for o, n, axis in zip(wish, size[-2:], ("rows", "columns"))]
        origin = (-checked[0] - (size[-2] % 2 == 0), -checked[1] - (size[-1] % 2 == 0))
    return correlate(image, flipped, mode=mode, origin=origin, **options)
