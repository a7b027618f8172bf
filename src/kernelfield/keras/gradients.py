"""The engine on TensorFlow's tapes: gradients that can be differentiated again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from kernelfield.geometry import Operation
from kernelfield.keras.convolution import convolution
from kernelfield.keras.eager import from_numpy, is_concrete, is_watched, value
from kernelfield.tensors import layouts


def differentiable(operation: Operation, image: Any, kernel: Any, last: bool) -> Any:
    """Return the engine's result on concrete tensors, channels last or not; gradients only if a tape watches."""
    image, kernel = value(image), value(kernel)
    needs = is_watched(image), is_watched(kernel)
    if not any(needs):
        return _forward(operation, image, kernel, last)

    @tf.custom_gradient
    def apply(image: Any, kernel: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
        def gradient(upstream: Any) -> tuple[Any, ...]:
            return _backward(operation, image, kernel, upstream, needs, last)

        return _forward(operation, image, kernel, last), gradient

    return apply(image, kernel)


def _forward(operation: Operation, image: Any, kernel: Any, last: bool) -> Any:
    return from_numpy(layouts.forward(operation, np.asarray(image), np.asarray(kernel), None, last), image)


def _backward(
    operation: Operation, image: Any, kernel: Any, upstream: Any, needs: tuple[bool, bool], last: bool
) -> tuple[Any, ...]:
    """Return the gradients with respect to image and kernel, None for one that is not needed."""
    tensors = image, kernel, upstream
    if not is_concrete(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors[:2])
            result = convolution(operation, image, kernel, last)
        return tuple(tape.gradient(result, tensors[:2], output_gradients=upstream))

    def apply(image: Any, kernel: Any, upstream: Any) -> tuple[list[Any], Callable[..., Any]]:
        def gradient(*upstreams: Any) -> list[Any]:
            return _second(operation, tensors, upstreams, needs, last)

        found = layouts.backward(operation, np.asarray(image), np.asarray(kernel), np.asarray(upstream), needs, last)
        return [from_numpy(array, image) for array in found if array is not None], gradient

    watched = any(is_watched(tensor) for tensor in tensors)
    results = iter(tf.custom_gradient(apply)(*tensors) if watched else apply(*tensors)[0])
    return tuple(next(results) if needed else None for needed in needs)


def _second(
    operation: Operation, tensors: tuple[Any, ...], upstreams: Any, needs: tuple[bool, bool], last: bool
) -> list[Any]:
    """Return the gradients of the results of `_backward` with respect to image, kernel and upstream gradient g.

    Let C be the cross-correlation, linear in the kernel and, without `cval`, in the image, and u and v the upstream
    gradients of the gradients of image and kernel. Then they are the gradients of <g, C(u, kernel)> + <g, C(image, v)>.
    """
    image, kernel, upstream = tensors
    remaining = iter(upstreams)
    u, v = (next(remaining) if needed else None for needed in needs)
    linear = replace(operation, cval=0.0)
    to_image = to_kernel = None
    to_upstream = []
    if u is not None:
        to_kernel = _backward(linear, u, kernel, upstream, (False, True), last)[1]
        to_upstream.append(_correlate(linear, u, kernel, last))
    if v is not None:
        to_image = _backward(operation, image, v, upstream, (True, False), last)[0]
        to_upstream.append(_correlate(operation, image, v, last))
    return [to_image, to_kernel, sum(to_upstream[1:], to_upstream[0])]


def _correlate(operation: Operation, image: Any, kernel: Any, last: bool) -> Any:
    method = differentiable if is_concrete(image, kernel) else convolution
    return method(operation, image, kernel, last)
