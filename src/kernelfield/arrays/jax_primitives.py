"""Our engine as primitives of JAX, so that every transformation finds its way through it.

The correlation and its two gradients are bilinear (up to a constant boundary) and are each other's transposes. As three
primitives they give jvp, grad, hessian and vmap of any order; `jax.custom_vjp` would forbid jvp, and it costs more.
Evaluated, a primitive runs the engine; lowered, in a jit trace or for another device, it is JAX's own convolution.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray, Tracer
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from kernelfield import _core
from kernelfield.engine import layers
from kernelfield.geometry import Operation

# Up to this many bytes a copy costs less than taking memory over.
_SMALL = 1 << 16

_TO_NCHW = (0, 3, 1, 2)
_TO_NHWC = (0, 2, 3, 1)
_TO_OIHW = (3, 2, 0, 1)

_copied = jax.jit(lambda array: array)


def is_variable(value: Any) -> bool:
    """Return whether `value` holds an array, as parameters of Flax do."""
    return callable(getattr(type(value), "__jax_array__", None))


def untransformed(value: Any) -> Any:
    """Return the array below the tracers of grad, jvp and vmap; something else in the trace of a jit."""
    if is_variable(value):
        value = value.__jax_array__()
    while isinstance(value, Tracer):
        value = getattr(value, "primal", getattr(value, "val", None))
    return value


def in_memory(value: Any) -> bool:
    """Return whether `value` is an array that lies, whole, on one device, which is the CPU."""
    if not isinstance(value, jax.Array):
        return hasattr(value, "__array__")  # NumPy's, that a transformation was called with
    if isinstance(value, Tracer):
        return False
    devices = value.sharding.device_set
    return len(devices) == 1 and next(iter(devices)).platform == "cpu" and value.is_fully_addressable


def from_numpy(array: np.ndarray, like: Any) -> Any:
    """Return an array of JAX where `like` is, with the memory of `array` if that is aligned and not small."""
    committed = getattr(like, "committed", False) and len(like.sharding.device_set) == 1
    if array.nbytes <= _SMALL and not committed:
        with jax.transfer_guard_host_to_device("allow"):  # a copy inside of one memory
            return _copied(array)
    return jax.device_put(array, like.sharding if committed else None)


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def native(image: Any, kernel: Any, operation: Operation, channels_last: bool) -> Any:
    """Return the cross-correlation by JAX's own convolution."""
    shape, rows = image.shape, 1 if channels_last else 2
    if not channels_last:
        channels = shape[-3:-2] if kernel.ndim == 4 else (1,)
        image = jnp.reshape(image, (math.prod(shape) // math.prod((*channels, *shape[-2:])), *channels, *shape[-2:]))
    indices = operation.indices(image.shape[rows : rows + 2])
    padding = [_constants(index) for index in indices]
    if operation.cval and padding != [(0, 0), (0, 0)]:
        around = [(0, 0), *padding, (0, 0)] if channels_last else [(0, 0), (0, 0), *padding]
        image, padding = jnp.pad(image, around, constant_values=operation.cval), [(0, 0), (0, 0)]
    for axis, index in enumerate(indices, start=rows):
        if index.min() >= 0:
            image = _gathered(image, index, axis)
    result = jax.lax.conv_general_dilated(
        image,
        kernel if kernel.ndim == 4 else kernel[None, None],
        operation.stride,
        padding,
        rhs_dilation=operation.dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC") if channels_last else ("NCHW", "OIHW", "NCHW"),
        feature_group_count=operation.groups,
    )
    return result if channels_last else jnp.reshape(result, operation.output_shape(shape, kernel.shape))


def _constants(index: np.ndarray) -> tuple[int, int]:
    """Return how many constants stand before and behind the axis."""
    inside = np.flatnonzero(index >= 0)
    return int(inside[0]), len(index) - 1 - int(inside[-1])


def _gathered(image: Any, index: np.ndarray, axis: int) -> Any:
    """Return the image with the elements `index` of an axis; the axis itself, which is among them, is not gathered."""
    n = image.shape[axis]
    if len(index) == n:
        return image
    start = next(i for i in np.flatnonzero(index == 0) if np.array_equal(index[i : i + n], np.arange(n)))
    around = [jnp.take(image, part, axis=axis, mode="clip") for part in (index[:start], index[start + n :])]
    parts = [part for part in (around[0], image, around[1]) if part.shape[axis]]
    return jnp.concatenate(parts, axis=axis)


def _linear(operation: Operation) -> Operation:
    """Return the operation on differences of images, which have no constant outside."""
    return replace(operation, cval=0.0) if operation.cval else operation


def _run_correlation(pixels: np.ndarray, weights: np.ndarray, operation: Operation, channels_last: bool) -> Any:
    if not channels_last:
        out = _core.empty(operation.output_shape(pixels.shape, weights.shape), pixels.dtype)
        layers.forward(operation, pixels, weights, out)
        return out
    pixels, weights = pixels.transpose(_TO_NCHW), weights.transpose(_TO_OIHW)
    n, filters, rows, columns = operation.output_shape(pixels.shape, weights.shape)
    out = _core.empty((n, rows, columns, filters), pixels.dtype)
    layers.forward(operation, pixels, weights, out.transpose(_TO_NCHW))
    return out


def _run_image_gradient(
    slope: np.ndarray, weights: np.ndarray, operation: Operation, channels_last: bool, shape: tuple[int, ...]
) -> Any:
    pixels = np.broadcast_to(slope.dtype.type(0), shape)  # only its shape is read
    if not channels_last:
        return layers.backward(operation, pixels, weights, slope, (True, False))[0]
    turned = pixels.transpose(_TO_NCHW), weights.transpose(_TO_OIHW), slope.transpose(_TO_NCHW)
    gradient: Any = layers.backward(operation, *turned, (True, False), channels_last=True)[0]
    return gradient.transpose(_TO_NHWC)


def _run_kernel_gradient(
    pixels: np.ndarray, slope: np.ndarray, operation: Operation, channels_last: bool, shape: tuple[int, ...]
) -> Any:
    weights = np.broadcast_to(slope.dtype.type(0), shape)
    if not channels_last:
        return layers.backward(operation, pixels, weights, slope, (False, True))[1]
    turned = pixels.transpose(_TO_NCHW), weights.transpose(_TO_OIHW), slope.transpose(_TO_NCHW)
    gradient: Any = layers.backward(operation, *turned, (False, True))[1]
    return gradient.transpose(2, 3, 1, 0)


def _native_image_gradient(
    slope: Any, kernel: Any, operation: Operation, channels_last: bool, shape: tuple[int, ...]
) -> Any:
    forward = lambda image: native(image, kernel, _linear(operation), channels_last)  # noqa: E731
    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, slope.dtype))(slope)[0]


def _native_kernel_gradient(
    image: Any, slope: Any, operation: Operation, channels_last: bool, shape: tuple[int, ...]
) -> Any:
    forward = lambda kernel: native(image, kernel, operation, channels_last)  # noqa: E731
    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, slope.dtype))(slope)[0]


def _primitive(name: str, run: Callable[..., Any], own: Callable[..., Any]) -> Primitive:
    """Return a primitive that the engine evaluates, and for which JAX's own convolution stands everywhere else."""
    primitive = Primitive(f"kernelfield_{name}")

    def evaluated(*arrays: Any, **options: Any) -> Any:
        arrays = tuple(array if isinstance(array, jax.Array) else jnp.asarray(array) for array in arrays)
        placed = [array for array in arrays if array.committed] or arrays[:1]
        if not all(map(in_memory, arrays)) or placed[0].sharding != placed[-1].sharding:
            return own(*arrays, **options)
        return from_numpy(run(*map(np.asarray, arrays), **options), placed[0])

    def shaped(first: Any, second: Any, operation: Operation, channels_last: bool, shape: Any = None) -> Any:
        if shape is None and channels_last:
            pixels, weights = ([s[i] for i in axes] for s, axes in ((first.shape, _TO_NCHW), (second.shape, _TO_OIHW)))
            n, filters, rows, columns = operation.output_shape(tuple(pixels), tuple(weights))
            shape = n, rows, columns, filters
        elif shape is None:
            shape = operation.output_shape(first.shape, second.shape)
        return ShapedArray(shape, first.dtype)

    def batched(arrays: Any, axes: Any, **options: Any) -> tuple[Any, int]:
        # A batch of images is one more leading axis, as long as they share the kernel, which comes second.
        shared = axes[1] is None and own is not _native_kernel_gradient and not options["channels_last"]
        if not shared or not all(in_memory(untransformed(array)) for array in arrays):
            return jax.vmap(partial(own, **options), axes)(*arrays), 0
        if "shape" in options:
            options["shape"] = (arrays[0].shape[axes[0]], *options["shape"])
        return primitive.bind(jnp.moveaxis(arrays[0], axes[0], 0), arrays[1], **options), 0

    primitive.def_impl(evaluated)
    primitive.def_abstract_eval(shaped)
    batching.primitive_batchers[primitive] = batched
    mlir.register_lowering(primitive, mlir.lower_fun(own, multiple_results=False))
    return primitive


correlation = _primitive("correlation", _run_correlation, native)
_image_gradient = _primitive("image_gradient", _run_image_gradient, _native_image_gradient)
_kernel_gradient = _primitive("kernel_gradient", _run_kernel_gradient, _native_kernel_gradient)


def _correlate(image: Any, kernel: Any, operation: Operation, channels_last: bool, **_: Any) -> Any:
    return correlation.bind(image, kernel, operation=operation, channels_last=channels_last)


def _to_image(slope: Any, kernel: Any, like: Any, operation: Operation, channels_last: bool, **_: Any) -> Any:
    options = dict(operation=_linear(operation), channels_last=channels_last, shape=like.aval.shape)
    return _image_gradient.bind(slope, kernel, **options)


def _to_kernel(image: Any, slope: Any, like: Any, operation: Operation, channels_last: bool, **_: Any) -> Any:
    options = dict(operation=operation, channels_last=channels_last, shape=like.aval.shape)
    return _kernel_gradient.bind(image, slope, **options)


# Each is linear in its first and in its second argument; a transpose takes the slope for the argument it replaces.
ad.defbilinear(
    correlation,
    lambda slope, image, kernel, **o: _to_image(slope, kernel, image, **o),
    lambda slope, image, kernel, **o: _to_kernel(image, slope, kernel, **o),
)
ad.defbilinear(
    _image_gradient,
    lambda image, slope, kernel, **o: _correlate(image, kernel, **o),
    lambda image, slope, kernel, **o: _to_kernel(image, slope, kernel, **o),
)
ad.defbilinear(
    _kernel_gradient,
    lambda kernel, image, slope, **o: _to_image(slope, kernel, image, **o),
    lambda kernel, image, slope, **o: _correlate(image, kernel, **o),
)


def _moved_image(primitive: Primitive, change: Any, _: Any, other: Any, operation: Operation, **options: Any) -> Any:
    return primitive.bind(change, other, operation=_linear(operation), **options)


def _moved_other(primitive: Primitive, change: Any, image: Any, _: Any, **options: Any) -> Any:
    return primitive.bind(image, change, **options)


# Where the image comes first the constant outside it does not move with it.
for _each in (correlation, _kernel_gradient):
    ad.defjvp(_each, partial(_moved_image, _each), partial(_moved_other, _each))
