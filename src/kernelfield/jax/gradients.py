"""The engine as primitives of JAX, for grad, jvp, hessian and vmap of any order.

The correlation and its two gradients are bilinear, but for a constant boundary, and are each other's transposes: three
primitives with their rules are enough. `jax.custom_vjp` would forbid jvp, and costs more. Evaluated, a primitive runs
the engine; lowered, in a jit trace or for another device, it is JAX's own convolution.
"""

from __future__ import annotations

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

from kernelfield.geometry import Operation
from kernelfield.jax.convolution import convolution
from kernelfield.tensors import layouts

# Bytes up to which a copy costs less than sharing the memory.
_SMALL = 1 << 16

_copied = jax.jit(lambda array: array)


def is_variable(value: Any) -> bool:
    """Return whether `value` wraps an array, as parameters of Flax do."""
    return callable(getattr(type(value), "__jax_array__", None))


def untransformed(value: Any) -> Any:
    """Return the array inside the tracers of grad, jvp and vmap; no array in the trace of a jit."""
    if is_variable(value):
        value = value.__jax_array__()
    while isinstance(value, Tracer):
        value = getattr(value, "primal", getattr(value, "val", None))
    return value


def in_memory(value: Any) -> bool:
    """Return whether `value` is an array on a single device, the CPU."""
    if not isinstance(value, jax.Array):
        return hasattr(value, "__array__")  # a NumPy array passed to a transformation
    if isinstance(value, Tracer):
        return False
    devices = value.sharding.device_set
    return len(devices) == 1 and next(iter(devices)).platform == "cpu" and value.is_fully_addressable


def from_numpy(array: np.ndarray, like: Any) -> Any:
    """Return a JAX array on the device of `like`; it shares the memory of `array` if that is aligned and not small."""
    committed = getattr(like, "committed", False) and len(like.sharding.device_set) == 1
    if array.nbytes <= _SMALL and not committed:
        with jax.transfer_guard_host_to_device("allow"):  # a copy within the CPU's memory
            return _copied(array)
    return jax.device_put(array, like.sharding if committed else None)


def _linear(operation: Operation) -> Operation:
    """Return the operation with zeros outside, which is linear in the image."""
    return replace(operation, cval=0.0) if operation.cval else operation


def _run_correlation(image: np.ndarray, kernel: np.ndarray, operation: Operation, channels_last: bool) -> np.ndarray:
    return layouts.forward(operation, image, kernel, None, channels_last)


def _run_image_gradient(
    cotangent: np.ndarray, kernel: np.ndarray, operation: Operation, channels_last: bool, shape: tuple[int, ...]
) -> Any:
    image = np.broadcast_to(cotangent.dtype.type(0), shape)  # only its shape is read
    return layouts.backward(operation, image, kernel, cotangent, (True, False), channels_last)[0]


def _run_kernel_gradient(
    image: np.ndarray, cotangent: np.ndarray, operation: Operation, channels_last: bool, shape: tuple[int, ...]
) -> Any:
    kernel = np.broadcast_to(cotangent.dtype.type(0), shape)
    return layouts.backward(operation, image, kernel, cotangent, (False, True), channels_last)[1]


def _own_image_gradient(
    cotangent: Any, kernel: Any, operation: Operation, channels_last: bool, shape: tuple[int, ...]
) -> Any:
    def forward(image: Any) -> Any:
        return convolution(image, kernel, _linear(operation), channels_last)

    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, cotangent.dtype))(cotangent)[0]


def _own_kernel_gradient(
    image: Any, cotangent: Any, operation: Operation, channels_last: bool, shape: tuple[int, ...]
) -> Any:
    def forward(kernel: Any) -> Any:
        return convolution(image, kernel, operation, channels_last)

    return jax.linear_transpose(forward, jax.ShapeDtypeStruct(shape, cotangent.dtype))(cotangent)[0]


def _primitive(name: str, run: Callable[..., Any], own: Callable[..., Any]) -> Primitive:
    """Return a primitive: `run` evaluates it by the engine, `own` lowers it to JAX's own convolution."""
    primitive = Primitive(f"kernelfield_{name}")

    def evaluated(*arrays: Any, **options: Any) -> Any:
        arrays = tuple(array if isinstance(array, jax.Array) else jnp.asarray(array) for array in arrays)
        placed = [array for array in arrays if array.committed] or arrays[:1]
        if not all(map(in_memory, arrays)) or placed[0].sharding != placed[-1].sharding:
            return own(*arrays, **options)
        return from_numpy(run(*map(np.asarray, arrays), **options), placed[0])

    def shaped(first: Any, second: Any, operation: Operation, channels_last: bool, shape: Any = None) -> Any:
        if shape is None and channels_last:
            sides = ((first.shape, layouts.TO_NCHW), (second.shape, layouts.TO_OIHW))
            pixels, weights = ([s[i] for i in axes] for s, axes in sides)
            n, filters, rows, columns = operation.output_shape(tuple(pixels), tuple(weights))
            shape = n, rows, columns, filters
        elif shape is None:
            shape = operation.output_shape(first.shape, second.shape)
        return ShapedArray(shape, first.dtype)

    def batched(arrays: Any, axes: Any, **options: Any) -> tuple[Any, int]:
        # For images that share the kernel, the second argument, a batch is one more leading axis.
        shared = axes[1] is None and own is not _own_kernel_gradient and not options["channels_last"]
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


correlation = _primitive("correlation", _run_correlation, convolution)
_image_gradient = _primitive("image_gradient", _run_image_gradient, _own_image_gradient)
_kernel_gradient = _primitive("kernel_gradient", _run_kernel_gradient, _own_kernel_gradient)


def _correlate(image: Any, kernel: Any, operation: Operation, channels_last: bool, **_: Any) -> Any:
    return correlation.bind(image, kernel, operation=operation, channels_last=channels_last)


def _to_image(cotangent: Any, kernel: Any, like: Any, operation: Operation, channels_last: bool, **_: Any) -> Any:
    options = dict(operation=_linear(operation), channels_last=channels_last, shape=like.aval.shape)
    return _image_gradient.bind(cotangent, kernel, **options)


def _to_kernel(image: Any, cotangent: Any, like: Any, operation: Operation, channels_last: bool, **_: Any) -> Any:
    options = dict(operation=operation, channels_last=channels_last, shape=like.aval.shape)
    return _kernel_gradient.bind(image, cotangent, **options)


# Each is linear in its first and in its second argument; its transpose has the cotangent in the argument's place.
ad.defbilinear(
    correlation,
    lambda cotangent, image, kernel, **o: _to_image(cotangent, kernel, image, **o),
    lambda cotangent, image, kernel, **o: _to_kernel(image, cotangent, kernel, **o),
)
ad.defbilinear(
    _image_gradient,
    lambda image, cotangent, kernel, **o: _correlate(image, kernel, **o),
    lambda image, cotangent, kernel, **o: _to_kernel(image, cotangent, kernel, **o),
)
ad.defbilinear(
    _kernel_gradient,
    lambda kernel, image, cotangent, **o: _to_image(cotangent, kernel, image, **o),
    lambda kernel, image, cotangent, **o: _correlate(image, kernel, **o),
)


def _jvp_of_image(primitive: Primitive, tangent: Any, _: Any, other: Any, operation: Operation, **options: Any) -> Any:
    return primitive.bind(tangent, other, operation=_linear(operation), **options)


def _jvp_of_other(primitive: Primitive, tangent: Any, image: Any, _: Any, **options: Any) -> Any:
    return primitive.bind(image, tangent, **options)


# Where the image is the first argument, its tangent is zero outside the image, where the image is `cval`.
for _each in (correlation, _kernel_gradient):
    ad.defjvp(_each, partial(_jvp_of_image, _each), partial(_jvp_of_other, _each))
