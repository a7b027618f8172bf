"""Adapter of TensorFlow: the engine for eager tensors, `tf.nn.conv2d` inside a graph and elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kernelfield.errors import ArgumentError
from kernelfield.geometry import Operation
from kernelfield.keras import eager, gradients
from kernelfield.keras.convolution import convolution
from kernelfield.tensors.adapter import ENGINE_DTYPES, Adapter

try:
    # AutoGraph would rewrite every function below `kf.correlate`, which takes two seconds at the first trace.
    from tensorflow.python.autograph.core import config as _autograph

    _autograph.CONVERSION_RULES = (_autograph.DoNotConvert("kernelfield"), *_autograph.CONVERSION_RULES)
except (ImportError, AttributeError):  # pragma: no cover
    pass

_TENSORS = (tf.Tensor, tf.Variable, tf.__internal__.types.Tensor)  # the last includes Keras variables


class TensorFlowAdapter(Adapter):
    """Eager tensors, variables of TensorFlow and of Keras, and the symbolic tensors of a graph."""

    name = "tensorflow"

    def recognises(self, value: Any) -> bool:
        return isinstance(value, _TENSORS)

    def shape(self, tensor: Any) -> tuple[int, ...]:
        """Return the shape, with -1 for leading axes that a graph does not know."""
        shape = tensor.shape
        if isinstance(tensor, eager.EAGER):
            return tuple(shape)
        sizes = None if getattr(shape, "rank", 0) is None else tuple(shape)
        if sizes is None or None in sizes[-2:]:
            raise ArgumentError(
                f"shape: expected a known height and width; received {shape}; give the tf.function an input_signature "
                "that has them, or use set_shape"
            )
        return tuple(-1 if n is None else n for n in sizes)

    def dtype(self, tensor: Any) -> str:
        dtype = tensor.dtype if isinstance(tensor, eager.EAGER) else tf.as_dtype(tensor.dtype)
        return str(dtype.name)

    def tensor(self, value: Any, dtype: str, like: Any) -> Any:
        """Return `value` as a tensor of `dtype`; a variable is read, which its tapes record."""
        if isinstance(value, eager.EAGER) and value.dtype.name == dtype:
            return value
        if self.recognises(value):
            return tf.cast(eager.value(value), dtype)
        array = np.asarray(value)
        array = array.astype(dtype if dtype in ENGINE_DTYPES else np.float32, copy=False)
        with tf.device(like.device if isinstance(like, eager.EAGER) else None):
            return tf.cast(tf.convert_to_tensor(array), dtype)

    def is_concrete(self, *tensors: Any) -> bool:
        return eager.is_concrete(*tensors)

    def to_numpy(self, tensor: Any) -> np.ndarray:
        return np.asarray(eager.value(tensor))

    def from_numpy(self, array: np.ndarray, like: Any) -> Any:
        return eager.from_numpy(array, like)

    def is_differentiated(self, *tensors: Any) -> bool:
        """Return whether a tape watches one of them."""
        return any(eager.is_watched(eager.value(tensor)) for tensor in tensors)

    def differentiable(self, operation: Operation, image: Any, kernel: Any) -> Any:
        return gradients.differentiable(operation, image, kernel, False)

    def differentiable_channels_last(self, operation: Operation, image: Any, kernel: Any) -> Any:
        return gradients.differentiable(operation, image, kernel, True)

    def native(self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False) -> Any:
        return convolution(operation, image, kernel, channels_last)

    def transpose(self, tensor: Any, axes: tuple[int, ...]) -> Any:
        return tf.transpose(tensor, axes)

    def reshape(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        return tf.reshape(tensor, shape)

    def flip(self, tensor: Any) -> Any:
        return tf.reverse(tensor, (-2, -1))

    def descend(
        self,
        operations: Sequence[Operation],
        image: np.ndarray,
        target: np.ndarray,
        kernels: Sequence[np.ndarray],
        optimiser: str,
        lr: float,
        momentum: float,
    ) -> Iterator[tuple[float, list[np.ndarray]]]:
        keras = keras_on_tensorflow()
        pixels, expected = tf.constant(image), tf.constant(target, dtype=image.dtype)
        weights = [keras.Variable(kernel, dtype=image.dtype.name) for kernel in kernels]
        rule = keras.optimizers.Adam(lr) if optimiser == "adam" else keras.optimizers.SGD(lr, momentum=momentum)
        while True:
            with tf.GradientTape() as tape:
                result = pixels
                for operation, kernel in zip(operations, weights):
                    result = self.correlate(operation, result, tf.convert_to_tensor(kernel))
                loss = tf.reduce_sum(tf.square(result - expected))
            rule.apply(tape.gradient(loss, [kernel.value for kernel in weights]), weights)
            yield float(loss), [kernel.value.numpy() for kernel in weights]


def keras_on_tensorflow() -> Any:
    """Return the module keras, or raise ArgumentError if its backend is another framework."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ArgumentError(
            f"framework: expected Keras with the backend tensorflow; received {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow before Keras is imported"
        )
    return keras


ADAPTER = TensorFlowAdapter()
