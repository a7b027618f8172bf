"""Cross-correlation by TensorFlow's own operations, in any layout of sizes that a graph knows or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kernelfield.geometry import Operation


def sizes_of(tensor: Any) -> list[Any]:
    """Return the shape, with tensors where a graph does not know it."""
    known = tensor.shape.as_list()
    if None not in known:
        return known
    dynamic = tf.shape(tensor)
    return [dynamic[i] if n is None else n for i, n in enumerate(known)]


def convolution(operation: Operation, image: Any, kernel: Any) -> Any:
    """Return the cross-correlation of (N, H, W, C) with (kh, kw, C_in/groups, C_out)."""
    padding: Any = "VALID"
    if operation.pads:
        ends = [[w.before, w.after] for w in operation.windows]
        if operation.boundary == "constant" and operation.cval == 0:
            padding = [[0, 0], *ends, [0, 0]]
        elif operation.boundary == "constant":
            value = tf.cast(operation.cval, image.dtype)
            image = tf.pad(image, [[0, 0], *ends, [0, 0]], constant_values=value)
        else:
            for axis, index, (before, after) in zip((1, 2), _indices(operation, image), ends):
                image = tf.gather(image, index, axis=axis) if before or after else image
    how = operation.stride, operation.dilation, operation.groups, padding
    if (operation.groups == 1 and operation.dilation == (1, 1)) or _has_all_gradients(image):
        return _conv2d(image, kernel, *how)

    @tf.custom_gradient
    def apply(image: Any, kernel: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(slope: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch((image, kernel))
                result = _simple(image, kernel, *how)
            return tape.gradient(result, (image, kernel), output_gradients=slope)

        return _conv2d(image, kernel, *how), gradient

    return apply(image, kernel)


def _has_all_gradients(image: Any) -> bool:
    """Return whether `tf.nn.conv2d` differentiates groups and dilations: not on CPUs, where it only computes them."""
    return "CPU" not in image.device and any(d.device_type != "CPU" for d in tf.config.list_physical_devices())


def _conv2d(image: Any, kernel: Any, stride: Any, dilation: Any, groups: int, padding: Any) -> Any:
    """Return `tf.nn.conv2d`, which reads the groups from the shapes."""
    return tf.nn.conv2d(image, kernel, stride, padding, dilations=dilation)


def _simple(image: Any, kernel: Any, stride: Any, dilation: Any, groups: int, padding: Any) -> Any:
    """Return the same by operations that have gradients everywhere."""
    if padding != "VALID":
        image = tf.pad(image, padding)
    if dilation == (1, 1):
        return _grouped(image, kernel, stride, groups)
    size = kernel.shape[:2].as_list()
    if stride == (1, 1):
        return tf.nn.with_space_to_batch(
            image, dilation, "VALID", lambda x, *_: _grouped(x, kernel, stride, groups), filter_shape=size
        )
    # Zeros between the weights: a plain kernel that reaches as far.
    ends = [[0, 0], [0, dilation[0] - 1], [0, 0], [0, dilation[1] - 1], [0, 0], [0, 0]]
    spread = tf.pad(kernel[:, None, :, None], ends)
    spread = tf.reshape(spread, [size[0] * dilation[0], size[1] * dilation[1], *kernel.shape[2:]])
    return _grouped(image, spread[: 1 - dilation[0] or None, : 1 - dilation[1] or None], stride, groups)


def _grouped(image: Any, kernel: Any, stride: Any, groups: int) -> Any:
    if groups == image.shape[-1] and stride[0] == stride[1]:
        deep = tf.reshape(kernel, [*kernel.shape[:2], groups, -1])
        return tf.nn.depthwise_conv2d(image, deep, [1, *stride, 1], "VALID")
    parts = zip(tf.split(image, groups, axis=-1), tf.split(kernel, groups, axis=-1))
    return tf.concat([tf.nn.conv2d(pixels, weights, stride, "VALID") for pixels, weights in parts], axis=-1)


def _indices(operation: Operation, image: Any) -> list[Any]:
    """Return the rows and columns that the extended image reads."""
    if None not in image.shape[1:3]:
        return list(operation.indices(tuple(image.shape[1:3])))
    # The rule of kernelfield.geometry.boundary_index once more, on sizes that are known when the graph runs.
    found = []
    for n, window in zip(sizes_of(image)[1:3], operation.windows):
        position = tf.range(-window.before, n + window.after)
        if operation.boundary == "nearest":
            found.append(tf.clip_by_value(position, 0, n - 1))
        elif operation.boundary == "wrap":
            found.append(position % n)
        else:
            last = 2 * n - 1 if operation.boundary == "reflect" else tf.maximum(1, 2 * (n - 1))
            period = 2 * n if operation.boundary == "reflect" else last
            phase = position % period
            found.append(tf.where(phase < n, phase, last - phase))
    return found
