"""Tensors of TensorFlow: eager ones go through our engine, with its gradients; those of a graph take `tf.nn.conv2d`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from kernelfield import _core
from kernelfield.arrays.base import ENGINE_DTYPES, Adapter
from kernelfield.arrays.tensorflow_native import convolution, sizes_of
from kernelfield.engine import layers
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Operation

try:
    # Says which tensors somebody differentiates; without it every call pays for a gradient that nobody may ask for.
    from tensorflow.python.pywrap_tfe import TFE_Py_TapeSetPossibleGradientTypes as _gradient_types
except ImportError:  # pragma: no cover

    def _gradient_types(tensors: list[Any]) -> int:
        return 1


try:
    # AutoGraph would rewrite every function that is called below `kf.correlate`: two seconds at the first trace.
    from tensorflow.python.autograph.core import config as _autograph

    _autograph.CONVERSION_RULES = (_autograph.DoNotConvert("kernelfield"), *_autograph.CONVERSION_RULES)
except (ImportError, AttributeError):  # pragma: no cover
    pass

_EAGER = tf.__internal__.EagerTensor
_TENSORS = (tf.Tensor, tf.Variable, tf.__internal__.types.Tensor)  # the last one holds Keras variables


_TO_PLANES = (0, 3, 1, 2)


class TensorFlowAdapter(Adapter):
    """Eager tensors, variables of TensorFlow and of Keras, and the symbolic tensors of a graph."""

    name = "tensorflow"

    def recognises(self, value: Any) -> bool:
        """Return whether `value` is a dense tensor or a variable."""
        return isinstance(value, _TENSORS)

    def shape(self, tensor: Any) -> tuple[int, ...]:
        """Return the shape, with -1 for leading axes that a graph does not know."""
        shape = tensor.shape
        if isinstance(tensor, _EAGER):
            return tuple(shape)
        sizes = None if getattr(shape, "rank", 0) is None else tuple(shape)
        if sizes is None or None in sizes[-2:]:
            raise ArgumentError(
                f"shape: expected a known height and width; received {shape}; give the tf.function an input_signature "
                "that has them, or use set_shape"
            )
        return tuple(-1 if n is None else n for n in sizes)

    def dtype(self, tensor: Any) -> str:
        """Return the name of the dtype."""
        dtype = tensor.dtype if isinstance(tensor, _EAGER) else tf.as_dtype(tensor.dtype)
        return str(dtype.name)

    def tensor(self, value: Any, dtype: str, like: Any) -> Any:
        """Return `value` as a tensor of `dtype`; variables are read, so that tapes see it."""
        if isinstance(value, _EAGER) and value.dtype.name == dtype:
            return value
        if self.recognises(value):
            return tf.cast(_value(value), dtype)
        array = np.asarray(value)
        array = array.astype(dtype if dtype in ENGINE_DTYPES else np.float32, copy=False)
        with tf.device(like.device if isinstance(like, _EAGER) else None):
            return tf.cast(tf.convert_to_tensor(array), dtype)

    def is_concrete(self, *tensors: Any) -> bool:
        """Return whether all are eager tensors of the CPU, outside a `tf.function`."""
        values = map(_value, tensors)
        return all(isinstance(v, _EAGER) and _on_cpu(v) for v in values) and tf.executing_eagerly()

    def to_numpy(self, tensor: Any) -> np.ndarray:
        """Return a read-only view of the tensor's memory."""
        return np.asarray(_value(tensor))

    def from_numpy(self, array: np.ndarray, like: Any) -> Any:
        """Return a tensor: in the memory of `array` where that is aligned as TensorFlow needs it, else in a copy."""
        if array.dtype.name not in ENGINE_DTYPES or not array.size:
            result = tf.convert_to_tensor(array)
        else:
            if not (array.flags.c_contiguous and array.flags.writeable and _is_aligned(array)):
                # TensorFlow's operations end the process on memory that is not aligned.
                values, array = array, _core.empty(array.shape, array.dtype)
                array[...] = values
            result = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
        if isinstance(like, _EAGER) and not _on_cpu(like):
            with tf.device(like.device):
                return tf.identity(result)
        return result

    def is_differentiated(self, *tensors: Any) -> bool:
        """Return whether a tape watches one of them."""
        return any(_is_watched(_value(tensor)) for tensor in tensors)

    def differentiable(self, operation: Operation, image: Any, kernel: Any) -> Any:
        """Return the engine's result; its gradients are the engine's too, and can be differentiated again."""
        return self._differentiable(operation, image, kernel, False)

    def differentiable_channels_last(self, operation: Operation, image: Any, kernel: Any) -> Any:
        """Return the same for (N, H, W, C); the engine sees the other layout as a view."""
        return self._differentiable(operation, image, kernel, True)

    def _differentiable(self, operation: Operation, image: Any, kernel: Any, last: bool) -> Any:
        image, kernel = _value(image), _value(kernel)
        needs = _is_watched(image), _is_watched(kernel)
        if not any(needs):
            return self._forward(operation, image, kernel, last)

        @tf.custom_gradient
        def apply(image: Any, kernel: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
            def gradient(slope: Any) -> tuple[Any, ...]:
                return self._backward(operation, image, kernel, slope, needs, last)

            return self._forward(operation, image, kernel, last), gradient

        return apply(image, kernel)

    def native(self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False) -> Any:
        """Return the result of `tf.nn.conv2d`."""
        if channels_last:
            return convolution(operation, image, kernel)
        sizes = sizes_of(image)
        if len(kernel.shape) == 2:
            planes = tf.reshape(image, [-1, *sizes[-2:], 1])
            result = convolution(operation, planes, kernel[:, :, None, None])
            return tf.reshape(result, [*sizes[:-2], *sizes_of(result)[1:3]])
        planes = tf.transpose(tf.reshape(image, [-1, *sizes[-3:]]), (0, 2, 3, 1))
        result = tf.transpose(convolution(operation, planes, tf.transpose(kernel, (2, 3, 1, 0))), (0, 3, 1, 2))
        return tf.reshape(result, [*sizes[:-3], *sizes_of(result)[1:]])

    def transpose(self, tensor: Any, axes: tuple[int, ...]) -> Any:
        """Return the tensor with its axes in another order."""
        return tf.transpose(tensor, axes)

    def reshape(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        """Return the tensor in another shape."""
        return tf.reshape(tensor, shape)

    def flip(self, tensor: Any) -> Any:
        """Return the tensor reversed along its last two axes."""
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
        """Yield losses and kernels of a `tf.GradientTape` and an optimiser of Keras."""
        keras = keras_on_tensorflow()
        pixels, wanted = tf.constant(image), tf.constant(target, dtype=image.dtype)
        weights = [keras.Variable(kernel, dtype=image.dtype.name) for kernel in kernels]
        rule = keras.optimizers.Adam(lr) if optimiser == "adam" else keras.optimizers.SGD(lr, momentum=momentum)
        while True:
            with tf.GradientTape() as tape:
                seen = pixels
                for operation, kernel in zip(operations, weights):
                    seen = self.correlate(operation, seen, tf.convert_to_tensor(kernel))
                loss = tf.reduce_sum(tf.square(seen - wanted))
            rule.apply(tape.gradient(loss, [kernel.value for kernel in weights]), weights)
            yield float(loss), [kernel.value.numpy() for kernel in weights]

    def _forward(self, operation: Operation, image: Any, kernel: Any, last: bool) -> Any:
        return self.from_numpy(self.run(operation, image, kernel, None, last), image)

    def _backward(
        self, operation: Operation, image: Any, kernel: Any, slope: Any, needs: tuple[bool, bool], last: bool
    ) -> tuple[Any, ...]:
        """Return the gradients that are needed, None for others: a function that can be differentiated again."""
        tensors = image, kernel, slope
        if not self.is_concrete(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors[:2])
                result = self.native(operation, image, kernel, last)
            return tuple(tape.gradient(result, tensors[:2], output_gradients=slope))

        def apply(image: Any, kernel: Any, slope: Any) -> tuple[list[Any], Callable[..., Any]]:
            def again(*slopes: Any) -> list[Any]:
                return self._second(operation, tensors, slopes, needs, last)

            pixels, weights, slopes_of = _planes(last, image, kernel, slope)
            found = layers.backward(operation, pixels, weights, slopes_of, needs, last)
            if last:
                to_image, to_kernel = found
                found = (
                    None if to_image is None else to_image.transpose(0, 2, 3, 1),
                    None if to_kernel is None else to_kernel.transpose(2, 3, 1, 0),
                )
            return [self.from_numpy(gradient, image) for gradient in found if gradient is not None], again

        watched = any(_is_watched(tensor) for tensor in tensors)
        results = iter(tf.custom_gradient(apply)(*tensors) if watched else apply(*tensors)[0])
        return tuple(next(results) if needed else None for needed in needs)

    def _second(
        self, operation: Operation, tensors: tuple[Any, ...], slopes: Any, needs: tuple[bool, bool], last: bool
    ) -> list[Any]:
        """Return the gradients of what `_backward` returns with respect to image, kernel and slope.

        With C for the cross-correlation, linear in the kernel and, but for `cval`, in the image, and u and v for the
        slopes of the gradients of image and kernel, they are those of <slope, C(u, kernel)> + <slope, C(image, v)>.
        """
        image, kernel, slope = tensors
        remaining = iter(slopes)
        u, v = (next(remaining) if needed else None for needed in needs)
        linear = replace(operation, cval=0.0)
        to_image = to_kernel = None
        to_slope = []
        if u is not None:
            to_kernel = self._backward(linear, u, kernel, slope, (False, True), last)[1]
            to_slope.append(self.correlate(linear, u, kernel, channels_last=last))
        if v is not None:
            to_image = self._backward(operation, image, v, slope, (True, False), last)[0]
            to_slope.append(self.correlate(operation, image, v, channels_last=last))
        return [to_image, to_kernel, sum(to_slope[1:], to_slope[0])]


def keras_on_tensorflow() -> Any:
    """Return the module keras, or raise ArgumentError if it computes with another framework."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ArgumentError(
            f"framework: expected Keras with the backend tensorflow; received {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow before Keras is imported"
        )
    return keras


def _planes(last: bool, image: Any, kernel: Any, slope: Any = None) -> list[np.ndarray]:
    """Return tensors as arrays with their channels before rows and columns: views, where they come last."""
    arrays = [np.asarray(tensor) for tensor in (image, kernel, slope) if tensor is not None]
    orders = (_TO_PLANES, (3, 2, 0, 1), _TO_PLANES)
    return [array.transpose(order) for array, order in zip(arrays, orders)] if last else arrays


def _value(tensor: Any) -> Any:
    """Return a tensor as it is, and what a variable holds."""
    return tensor if isinstance(tensor, tf.Tensor) else tf.convert_to_tensor(tensor)


def _is_aligned(array: np.ndarray) -> bool:
    """Return whether TensorFlow takes the memory of an array over."""
    return bool(array.__array_interface__["data"][0] % 64 == 0)


def _on_cpu(tensor: Any) -> bool:
    return "CPU" in tensor.device


def _is_watched(tensor: Any) -> bool:
    return bool(_gradient_types([tensor]))


ADAPTER = TensorFlowAdapter()
