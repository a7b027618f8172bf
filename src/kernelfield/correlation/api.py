"""The public functions that apply a kernel to an image: `corr2d`, `correlate`, `convolve` and `plan`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike, DTypeLike

from kernelfield import _core
from kernelfield.correlation.arguments import (
    RESULTS,
    check_kernel_shape,
    check_operation,
    check_pixels,
    check_precision,
    check_request,
    result_dtype,
    weights_and_origin,
)
from kernelfield.correlation.tensors import correlate_tensors
from kernelfield.engine import plan as planner
from kernelfield.engine.plan import CACHE
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.geometry import check_mode, check_origin, pair
from kernelfield.kernels import Kernel
from kernelfield.tensors.registry import adapter_of

__all__ = ["convolve", "corr2d", "correlate", "plan"]

# Types that are not tensors of a framework.
_PLAIN = (ndarray, Kernel, list, tuple, int, float)
# The arguments of `correlate` that place the windows, in the order of the cache key.
_WINDOWS = ("mode", "boundary", "cval", "origin", "padding", "stride", "dilation", "groups")


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
        `X` is float64 or has integers of more than 16 bits, as Python's are.

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
        ``photograph.transpose(2, 0, 1)``: it is read in place, and the result has the same layout.
    kernel : array_like, tensor or Kernel, shape (kh, kw), (n, kh, kw) or (C_out, C_in/groups, kh, kw)
        The weights, real; NaN and infinities are allowed. A `Kernel` has its own anchor. Three axes are a bank of
        kernels, each applied to the image: the result is ``(..., n, OH, OW)``. With four axes the image is
        ``(..., C_in, H, W)`` and the result ``(..., C_out, OH, OW)``, as in a layer.
    mode : {"same", "valid", "full"}
        The outputs: one for each pixel, those whose window lies inside the image, all whose window touches it.
    boundary : {"reflect", "constant", "nearest", "mirror", "wrap"}
        The rule for pixels outside the image, with the meaning of scipy.ndimage. Not used in mode ``"valid"``.
    cval : float
        The value outside the image, for ``boundary="constant"``.
    origin : int or (int, int), optional
        Moves the anchor, in mode ``"same"`` only; -(k // 2) to (k - 1) // 2.
    padding : int, (int, int) or ((int, int), (int, int)), optional
        Pixels by which the image is extended, instead of by `mode`: on all sides, along rows and columns, or
        ``((top, bottom), (left, right))``. Their values follow `boundary`.
    stride, dilation : int or (int, int)
        Steps of the window, and distance of the kernel's elements in the image, along rows and columns. In mode
        ``"same"`` a stride of n keeps every n-th output, from the first.
    groups : int
        Groups of channels that do not mix.
    bias : array_like or tensor, shape (C_out,) or a number, optional
        Added to each output channel.
    out : numpy.ndarray, optional
        The array to write; it may overlap the image. The result has its dtype.
    dtype : dtype, optional
        Of the result: float32, float64, uint8, uint16, int16 or int32; integer results are rounded to nearest
        (halves to even) and saturated at the ends of the range; NaN becomes 0. By default float32, and float64
        where the image is float64 or holds integers of more than 16 bits, which float32 cannot hold exactly. Tensors
        keep their dtype; those of integers take the kernel's, or float32.
    precision : {"dtype", "exact"}, optional
        ``"exact"`` sums in float64 for float32 results too, in the order of the definition; sums of integers below
        2**53 are then exact. By default sums have the dtype of the result, float64 for integers.
    method : {"direct", "separable", "spectral"}, optional
        By default the one that `plan` expects to be fastest. Not for layers, strides and dilations.

    Returns
    -------
    numpy.ndarray
        Shape (..., OH, OW); `out` if given.

    Raises
    ------
    ArgumentError
        For an invalid shape, mode, boundary, origin or `out`.
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
    anchor = kernel.anchor if type(kernel) is Kernel else None
    options = mode, boundary, cval, origin, padding, stride, dilation, groups, dtype, precision, method, anchor
    # Only arrays come to the cache: compilers of frameworks trace this function with tensors.
    if type(image) is ndarray and bias is None:
        found = CACHE.run(image, kernel if type(kernel) is ndarray else _numbers(kernel), out, options)
        if found is not None:
            return found
    return _run(image, kernel, bias, out, options, _numbers(kernel), options)


def _numbers(kernel: Any) -> Any:
    """Return the weights that identify a kernel in `CACHE`."""
    if type(kernel) is Kernel:
        return kernel.weights
    return np.asarray(kernel) if type(kernel) is list else kernel


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

    All arguments are those of `correlate`; in mode ``"same"`` the element ``k // 2 + origin`` of the kernel *as given*
    is the centre, as in scipy.ndimage.

    Examples
    --------
    >>> import kernelfield as kf
    >>> kf.convolve([[0.0, 0.0, 1.0, 1.0]], [[1.0, -1.0]], mode="valid")
    array([[0., 1., 0.]])
    """
    anchor = kernel.anchor if type(kernel) is Kernel else None
    options = mode, boundary, cval, origin, padding, stride, dilation, groups, dtype, precision, method
    key = "convolve", *options, anchor
    if type(image) is ndarray and bias is None:
        found = CACHE.run(image, kernel if type(kernel) is ndarray else _numbers(kernel), out, key)
        if found is not None:
            return found
    adapter = None if type(kernel) in _PLAIN else adapter_of(kernel)
    if adapter is not None:
        size, own_origin = adapter.shape(kernel), (0, 0)
        check_kernel_shape(size, "kernel")
        flipped = adapter.flip(kernel)
    else:
        weights, own_origin = weights_and_origin(kernel)
        size, flipped = weights.shape, weights[..., ::-1, ::-1]
    if check_mode(mode) == "same" and padding is None:
        moved = pair(own_origin if origin is None else origin, "origin")
        checked = [check_origin(o, n, axis) for o, n, axis in zip(moved, size[-2:], ("rows", "columns"))]
        origin = (-checked[0] - (size[-2] % 2 == 0), -checked[1] - (size[-1] % 2 == 0))
    options = mode, boundary, cval, origin, padding, stride, dilation, groups, dtype, precision, method
    return _run(image, flipped, bias, out, options, _numbers(kernel), key)


def _run(
    image: Any,
    kernel: Any,
    bias: Any,
    out: np.ndarray | None,
    options: tuple[Any, ...],
    weights: Any,
    key: tuple[Any, ...],
) -> Any:
    """Check the arguments, compute the result, and cache the runner by weights and key."""
    windows, (dtype, precision, method) = dict(zip(_WINDOWS, options)), options[8:11]
    if not (type(image) is ndarray and type(kernel) in _PLAIN and (bias is None or type(bias) in _PLAIN)):
        adapter = adapter_of(image, kernel, bias)
        if adapter is not None:
            given = {"out": out, "dtype": dtype, "precision": precision, "method": method}
            for name, value in given.items():
                if value is not None:
                    raise ArgumentError(f"{name}: expected none with tensors of {adapter.name}; leave it out")
            return correlate_tensors(adapter, image, kernel, bias, windows)
    request = check_request(image, kernel, bias, out, windows, dtype, precision, method)
    interleaved = request.kernel.ndim == 2 and planner.is_interleaved(request.image)
    result = out
    if result is None or not planner.is_readable(result) or np.may_share_memory(result, request.image):
        result = planner.new_result(request.shape, request.dtype, interleaved)
    runner = planner.forward(
        request.operation,
        request.image,
        request.kernel,
        result,
        request.bias,
        request.method,
        request.sums,
    )
    keeps = type(image) is type(weights) is ndarray and planner.is_readable(image)
    if keeps and runner is not None and bias is None and (out is None or result is out):
        if request.image is not image:
            runner = partial(_converted, runner)
        CACHE.keep(image, weights, out, key, runner, request.shape, request.dtype, interleaved)
    if out is None or result is out:
        return result
    out[...] = result
    return out


def _converted(runner: planner.Runner, image: np.ndarray, out: np.ndarray) -> None:
    """Write the result for 64-bit integers, which are looked at each time."""
    runner(check_pixels(image, "image"), out)


class PlannedCorrelation:
    """A correlation planned for images of one shape: print it to see the method, call it to compute.

    Attributes
    ----------
    image_shape : tuple of int
        Shape of the images, (..., H, W).
    dtype, output_dtype : numpy.dtype
        Dtypes of the images and of the results.
    kernel : numpy.ndarray
        The weights, read-only.
    method, reason : str
        The method, and why it was chosen.
    cost : int
        Multiply-adds of the definition.
    """

    def __init__(
        self,
        image_shape: tuple[int, ...],
        kernel: ArrayLike | Kernel,
        dtype: np.dtype,
        method: str | None,
        windows: dict[str, Any],
    ) -> None:
        weights, own_origin = weights_and_origin(kernel)
        if weights.ndim != 2:
            raise ArgumentError(f"kernel: expected two axes (kh, kw); received shape {weights.shape}; use correlate")
        operation = check_operation(image_shape, weights.shape, own_origin=own_origin, **windows)
        check_precision(None, method, operation.plain)
        self._windows, self._asked = windows, method
        self.image_shape, self.kernel = image_shape, weights
        self.dtype, self.output_dtype = dtype, result_dtype(dtype, None, None)
        self._shape = operation.output_shape(image_shape, weights.shape)
        self._plan = planner.plan(operation, image_shape, dtype, weights, self.output_dtype, method=method)
        self._runner = planner.runner(self._plan, operation, weights)
        weights.flags.writeable = False
        self.method, self.reason, self.cost = self._plan.method, self._plan.reason, self._plan.cost

    def __call__(self, image: np.ndarray, kernel: ArrayLike | Kernel | None = None) -> np.ndarray:
        """Return the cross-correlation of an image.

        Parameters
        ----------
        image : numpy.ndarray
            An image of the planned shape and dtype.
        kernel : array_like or Kernel, optional
            Other weights than the planned ones: they are planned anew.

        Raises
        ------
        ArgumentError, DtypeError
            For an image of another shape or dtype.
        """
        if kernel is not None and kernel is not self.kernel:
            return PlannedCorrelation(self.image_shape, kernel, self.dtype, self._asked, self._windows)(image)
        if not isinstance(image, np.ndarray) or image.shape != self.image_shape:
            raise ArgumentError(
                f"image: expected an array of shape {self.image_shape}; received {np.shape(image)}; plan for that"
            )
        if image.dtype != self.dtype:
            raise DtypeError(f"image: expected {self.dtype}; received {image.dtype}; convert it, or plan for that")
        out = _core.empty(self._shape, self.output_dtype)
        if out.size:
            self._runner(image if image.flags.aligned else image.copy(), out)
        return out

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the results."""
        return self._shape

    def __repr__(self) -> str:
        return str(self._plan)

    def _repr_html_(self) -> str:
        from kernelfield.correlation.html import plan_html

        return plan_html(self)


def plan(
    image_shape: tuple[int, ...],
    kernel: ArrayLike | Kernel,
    *,
    dtype: DTypeLike = np.float32,
    mode: str = "same",
    boundary: str = "reflect",
    cval: float = 0.0,
    origin: int | tuple[int, int] | None = None,
    padding: Any = None,
    method: str | None = None,
) -> PlannedCorrelation:
    """Plan a cross-correlation: its method, cost and reason, to be printed, and to be called with images.

    Parameters
    ----------
    image_shape : tuple of int
        (..., H, W).
    kernel : array_like or Kernel, shape (kh, kw)
        The weights; kernels of low rank cost less.
    dtype : dtype
        Dtype of the images: uint8, uint16, int16, int32, float32 or float64.
    mode, boundary, cval, origin, padding
        As in `kernelfield.correlate`.
    method : {"direct", "separable", "spectral"}, optional
        By default the one that the cost model expects to be fastest.

    Returns
    -------
    PlannedCorrelation
        Printable; call it with an image.

    Raises
    ------
    ArgumentError, DtypeError
        As `kernelfield.correlate` does.

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfield as kf
    >>> planned = kf.plan((6, 8), [[1.0, -1.0]], mode="valid")
    >>> planned.cost
    84
    >>> planned(np.eye(6, 8, dtype=np.float32)).shape
    (6, 7)
    """
    wanted = np.dtype(dtype)
    if wanted not in RESULTS:
        raise DtypeError(f"dtype: expected uint8, uint16, int16, int32, float32 or float64; received {wanted}")
    windows = dict(
        mode=mode, boundary=boundary, cval=cval, origin=origin, padding=padding, stride=1, dilation=1, groups=1
    )  # fmt: skip
    return PlannedCorrelation(tuple(image_shape), kernel, wanted, method, windows)
