"""The public functions that apply a kernel to an image: `corr2d`, `correlate`, `convolve` and `plan`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike, DTypeLike

from kernelfield import _core
from kernelfield.arrays import as_array, is_dask, is_xarray
from kernelfield.correlation.arguments import (
    IMAGES,
    WINDOWS,
    Axes,
    Request,
    as_row_or_column,
    check_axes,
    check_image_shape,
    check_kernel_shape,
    check_memory,
    check_operation,
    check_pixels,
    check_precision,
    check_request,
    dtype_of,
    is_image_dtype,
    result_dtype,
    weights_and_origin,
)
from kernelfield.correlation.labelled import correlate_labelled
from kernelfield.correlation.lazy import correlate_lazily
from kernelfield.correlation.missing import correlate_missing
from kernelfield.correlation.tensors import correlate_tensors
from kernelfield.engine import plan as planner
from kernelfield.engine.plan import CACHE
from kernelfield.errors import ArgumentError, DtypeError, received
from kernelfield.geometry import check_mode, check_origin, pair
from kernelfield.kernels import Kernel
from kernelfield.tensors.registry import adapter_of

__all__ = ["convolve", "corr2d", "correlate", "plan"]

# Types that are not tensors of a framework.
_PLAIN = (ndarray, Kernel, list, tuple, int, float)
# The arguments of `correlate` in the order of the cache key.
_OPTIONS = (*WINDOWS, "dtype", "precision", "method", "channel_axis", "bank", "missing")


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
        try:
            shape = tuple(value.shape)
        except (AttributeError, TypeError):
            shape = as_array(value, name).shape
        if len(shape) != 2:
            remedy = as_row_or_column(shape) or ("; use correlate for more" if len(shape) > 2 else "")
            raise ArgumentError(f"{name}: expected two axes; received shape {shape}{remedy}")
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
    channel_axis: int | str | None = "auto",
    bank: bool | None = None,
    missing: str = "propagate",
) -> Any:
    """Return the cross-correlation of `image` with `kernel`: the kernel slides as it is, not flipped.

    ``out[..., i, j] = sum over a, b of kernel[a, b] * image[..., i + a - r, j + b - c]``, where ``(r, c)`` is the
    element of the kernel that lies over the output pixel: ``(kh // 2, kw // 2)``, moved by `origin`. For even sizes
    that is the element behind the middle, as in scipy.ndimage.

    Parameters
    ----------
    image : array_like, tensor, xarray.DataArray, dask.array.Array or PIL.Image.Image, shape (..., H, W) or (H, W, C)
        Integers or floats, any strides, any byte order. 64-bit integers must not exceed 2**53 in magnitude. Tensors of
        PyTorch, TensorFlow, JAX and MXNet give tensors back, differentiable. Arrays of xarray keep their coordinates,
        arrays of Dask are computed when asked for, chunk by chunk; images of Pillow give arrays. Arrays with units are
        refused. A masked array gives a masked one: see `missing`.
    kernel : array_like, tensor or Kernel, shape (kh, kw), (n, kh, kw) or (C_out, C_in/groups, kh, kw)
        The weights, real; NaN and infinities are allowed. A `Kernel` has its own anchor. Three axes are a bank of
        kernels, see `bank`. With four axes the image is ``(..., C_in, H, W)``, if `channel_axis` names no other axis,
        and the result ``(..., C_out, OH, OW)``, as in a layer.
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
        Of the result: float32, float64, or integers of 8, 16 or 32 bits, which are rounded to nearest (halves to
        even) and saturated at the ends of the range; NaN becomes 0. By default float32, and float64
        where the image is float64 or holds integers of more than 16 bits, which float32 cannot hold exactly. Tensors
        keep their dtype; those of integers take the kernel's, or float32.
    precision : {"dtype", "exact"}, optional
        ``"exact"`` sums in float64 for float32 results too, in the order of the definition; sums of integers below
        2**53 are then exact. By default sums have the dtype of the result, float64 for integers.
    method : {"direct", "separable", "spectral"}, optional
        By default the one that `plan` expects to be fastest. Not for layers, strides and dilations.
    channel_axis : "auto", int, None or str
        The axis of the channels, which are filtered one by one by a kernel or a bank, and added up by weights of four
        axes. The result has its channels on the same axis. ``"auto"`` reads an array of three axes whose last one has
        at most 4 elements, and the others more, as a photograph (H, W, C), and refuses shapes that may be either; with
        tensors and with weights of four axes it means channels before the rows. None: all axes before the last two
        hold images. A name is that of a dimension of xarray.
    bank : bool, optional
        Whether a kernel of three axes is a bank of kernels (n, kh, kw), each applied to the image: the result is
        ``(..., n, OH, OW)``, or ``(n, OH, OW, C)``. Not needed for images of two axes. For others it is refused
        without, since it may be meant to slide through a volume, which scipy.ndimage.correlate does.
    missing : {"propagate", "renormalise"}
        ``"propagate"``: outputs whose window holds a NaN are NaN, those whose window holds a masked pixel are masked.
        ``"renormalise"``: NaN and masked pixels take no part, nor do pixels outside the image with ``cval=nan``; the
        sum over the others is multiplied by the sum of all weights over that of theirs. Outputs without any are NaN,
        or masked where the image is a masked array. The weights must not add up to 0.

    Returns
    -------
    numpy.ndarray
        Shape (..., OH, OW); `out` if given. A masked array, a DataArray or an array of Dask where the image is one.

    Raises
    ------
    ArgumentError
        For an argument that is out of range, shapes that do not go together or may mean two things, units, and results
        larger than the memory.
    DtypeError
        For complex, object or string arrays.
    DataError
        For 64-bit integers that float64 cannot hold.

    Examples
    --------
    >>> import kernelfield as kf, numpy as np
    >>> kf.correlate([[0.0, 0.0, 1.0, 1.0]], [[1.0, -1.0]], mode="valid")
    array([[ 0., -1.,  0.]])
    >>> kf.correlate(np.ones((480, 640, 3), np.uint8), kf.kernels.gaussian(2.0)).shape
    (480, 640, 3)
    >>> kf.correlate([[1.0, np.nan, 4.0]], [[1.0, 1.0, 1.0]], boundary="constant", missing="renormalise")
    array([[1.5, 7.5, 6. ]])
    """
    anchor = kernel.anchor if type(kernel) is Kernel else None
    options = (
        mode, boundary, cval, origin, padding, stride, dilation, groups,
        dtype, precision, method, channel_axis, bank, missing, anchor,
    )  # fmt: skip
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
    return as_array(kernel, "kernel") if type(kernel) is list else kernel


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
    channel_axis: int | str | None = "auto",
    bank: bool | None = None,
    missing: str = "propagate",
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
    key = (
        "convolve", mode, boundary, cval, origin, padding, stride, dilation, groups,
        dtype, precision, method, channel_axis, bank, missing, anchor,
    )  # fmt: skip
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
    return _run(image, flipped, bias, out, (*key[1:4], origin, *key[5:]), _numbers(kernel), key)


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
    given = dict(zip(_OPTIONS, options))
    if not (type(image) is ndarray and type(kernel) in _PLAIN and (bias is None or type(bias) in _PLAIN)):
        adapter = adapter_of(image, kernel, bias)
        if adapter is not None:
            return correlate_tensors(adapter, image, kernel, bias, {"out": out, **given})
        if is_xarray(image) or is_dask(image):
            if out is not None:
                raise ArgumentError(f"out: expected none with {type(image).__name__}; leave it out")
            given |= {"kernel": kernel, "bias": bias}
            if is_dask(image):
                return correlate_lazily(correlate, image, given)
            return correlate_labelled(correlate, image, given, flipped=key[0] == "convolve")
    missing = given.pop("missing")
    if not (type(missing) is str and missing == "propagate") or isinstance(image, np.ma.MaskedArray):
        return correlate_missing(_computed, image, kernel, bias, out, missing, given)
    request = check_request(image, kernel, bias, out, **given)
    result, runner = _computed(request)
    keeps = type(image) is type(weights) is ndarray and planner.is_readable(image)
    if keeps and runner is not None and bias is None and (out is None or result is out):
        shape, axes = request.shape, request.axes
        if axes is not None:
            shape, runner = axes.outer_shape(shape), partial(_moved, runner, axes)
        if image.dtype != request.image.dtype:
            runner = partial(_converted, runner)
        interleaved = axes is None and _is_interleaved(request)
        CACHE.keep(image, weights, out, key, runner, shape, request.dtype, interleaved)
    if out is None or result is out:
        return result
    out[...] = result
    return out


def _computed(request: Request) -> tuple[np.ndarray, planner.Runner | None]:
    """Return the result of a request, in the array to write if that can be, and the runner that repeats it."""
    axes, result = request.axes, request.out
    if result is None or not planner.is_readable(result) or np.may_share_memory(result, request.image):
        shape = request.shape if axes is None else axes.outer_shape(request.shape)
        result = planner.new_result(shape, request.dtype, axes is None and _is_interleaved(request))
    runner = planner.forward(
        request.operation,
        request.image,
        request.kernel,
        result if axes is None else result.transpose(axes.outward),
        request.bias,
        request.method,
        request.sums,
    )
    return result, runner


def _is_interleaved(request: Request) -> bool:
    """Return whether channels of the result are to lie side by side, as those of the image do."""
    return request.kernel.ndim == 2 and planner.is_interleaved(request.image)


def _moved(runner: planner.Runner, axes: Axes, image: np.ndarray, out: np.ndarray) -> None:
    """Write the result for an image whose axes stand in the caller's order."""
    runner(image.transpose(axes.inward), out.transpose(axes.outward))


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
        channel_axis: int | str | None,
        windows: dict[str, Any],
    ) -> None:
        weights, own_origin = weights_and_origin(kernel)
        if weights.ndim != 2:
            raise ArgumentError(f"kernel: expected two axes (kh, kw); received shape {weights.shape}; use correlate")
        axes = check_axes(image_shape, weights.shape, channel_axis, None)
        shape = image_shape if axes is None else tuple(image_shape[axis] for axis in axes.inward)
        operation = check_operation(shape, weights.shape, own_origin=own_origin, **windows)
        check_precision(None, method, operation.plain)
        self._windows, self._asked, self._channel_axis = windows, method, channel_axis
        self.image_shape, self.kernel = image_shape, weights
        self.dtype, self.output_dtype = dtype, result_dtype(dtype, None, None)
        result = operation.output_shape(shape, weights.shape)
        check_memory(operation, shape, result, self.output_dtype)
        self._plan = planner.plan(operation, shape, dtype, weights, self.output_dtype, method=method)
        self._runner = planner.runner(self._plan, operation, weights)
        self._shape = result
        if axes is not None:
            self._shape, self._runner = axes.outer_shape(result), partial(_moved, self._runner, axes)
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
            again = self.image_shape, kernel, self.dtype, self._asked, self._channel_axis, self._windows
            return PlannedCorrelation(*again)(image)
        if type(image) is not np.ndarray:
            image = as_array(image, "image")
        if image.shape != self.image_shape:
            raise ArgumentError(
                f"image: expected an array of shape {self.image_shape}; received {image.shape}; plan for that"
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
    channel_axis: int | str | None = "auto",
) -> PlannedCorrelation:
    """Plan a cross-correlation: its method, cost and reason, to be printed, and to be called with images.

    Parameters
    ----------
    image_shape : tuple of int
        (..., H, W), or with channels.
    kernel : array_like or Kernel, shape (kh, kw)
        The weights; kernels of low rank cost less.
    dtype : dtype
        Dtype of the images: bool, integers of up to 32 bits, float16, float32 or float64.
    mode, boundary, cval, origin, padding, channel_axis
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
    wanted = dtype_of(dtype)
    if wanted is None or not is_image_dtype(wanted):
        raise DtypeError(f"dtype: expected one of {IMAGES}; received {wanted or received(dtype)}")
    windows = dict(
        mode=mode, boundary=boundary, cval=cval, origin=origin, padding=padding, stride=1, dilation=1, groups=1
    )  # fmt: skip
    return PlannedCorrelation(check_image_shape(image_shape), kernel, wanted, method, channel_axis, windows)
