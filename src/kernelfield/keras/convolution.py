"""Cross-correlation by `tf.nn.conv2d`: for graphs with known and unknown sizes, other dtypes and many channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kernelfield.geometry import Operation
from kernelfield.tensors.layouts import TO_HWIO, TO_NCHW, TO_NHWC


def _sizes(tensor: Any) -> list[Any]:
    """Return the shape, with a scalar tensor for each size that a graph does not know."""
    known = tensor.shape.as_list()
    if None not in known:
        return known
    dynamic = tf.shape(tensor)
    return [dynamic[i] if n is None else n for i, n in enumerate(known)]


def convolution(operation: Operation, image: Any, kernel: Any, channels_last: bool) -> Any:
    """Return the cross-correlation of tensors laid out as in `Adapter.correlate`."""
    if channels_last:
        return _nhwc(operation, image, kernel)
    sizes = _sizes(image)
    if len(kernel.shape) == 2:
        planes = tf.reshape(image, [-1, *sizes[-2:], 1])
        result = _nhwc(operation, planes, kernel[:, :, None, None])
        return tf.reshape(result, [*sizes[:-2], *_sizes(result)[1:3]])
    planes = tf.transpose(tf.reshape(image, [-1, *sizes[-3:]]), TO_NHWC)
    result = tf.transpose(_nhwc(operation, planes, tf.transpose(kernel, TO_HWIO)), TO_NCHW)
    return tf.reshape(result, [*sizes[:-3], *_sizes(result)[1:]])


def _nhwc(operation: Operation, image: Any, kernel: Any) -> Any:
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
    options = operation.stride, operation.dilation, operation.groups, padding
    if (operation.groups == 1 and operation.dilation == (1, 1)) or _has_all_gradients(image):
        return _conv2d(image, kernel, *options)

    @tf.custom_gradient
    def apply(image: Any, kernel: Any) -> tuple[Any, Callable[[Any], Any]]:
        def gradient(upstream: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch((image, kernel))
                result = _decomposed(image, kernel, *options)
            return tape.gradient(result, (image, kernel), output_gradients=upstream)

        return _conv2d(image, kernel, *options), gradient

    return apply(image, kernel)


def _has_all_gradients(image: Any) -> bool:
    """Return whether `tf.nn.conv2d` has gradients for groups and dilations; on a CPU it has none."""
    return "CPU" not in image.device and any(d.device_type != "CPU" for d in tf.config.list_physical_devices())


def _conv2d(image: Any, kernel: Any, stride: Any, dilation: Any, groups: int, padding: Any) -> Any:
    """Return `tf.nn.conv2d`, which infers the groups from the shapes."""
    return tf.nn.conv2d(image, kernel, stride, padding, dilations=dilation)


def _decomposed(image: Any, kernel: Any, stride: Any, dilation: Any, groups: int, padding: Any) -> Any:
    """Return the result of `_conv2d` by operations that have gradients on every device."""
    if padding != "VALID":
        image = tf.pad(image, padding)
    if dilation == (1, 1):
        return _grouped(image, kernel, stride, groups)
    size = kernel.shape[:2].as_list()
    if stride == (1, 1):
        return tf.nn.with_space_to_batch(
            image, dilation, "VALID", lambda x, *_: _grouped(x, kernel, stride, groups), filter_shape=size
        )
    # Zeros between the weights: a kernel without dilation and with the same span.
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
    """Return the indices of the rows and columns of the extended image, for every boundary but ``constant``."""
    if None not in image.shape[1:3]:
        return list(operation.indices(tuple(image.shape[1:3])))
    # `kernelfield.geometry.boundary_index` for sizes that are known only when the graph runs.
    found = []
    for n, window in zip(_sizes(image)[1:3], operation.windows):
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
