"""The layers for Keras on TensorFlow: Keras' `Conv2D` on the engine, and `Filter2D`, a fixed kernel."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kernelfield.correlation.filter import FixedFilter
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Operation
from kernelfield.keras.tensorflow import ADAPTER, keras_on_tensorflow
from kernelfield.tensors.adapter import ENGINE_DTYPES
from kernelfield.tensors.layer import check_padding_mode, layer_operation, with_padding_mode
from kernelfield.tensors.layouts import TO_HWIO, TO_NCHW, TO_NHWC, TO_OIHW
from kernelfield.tensors.weights import check_oihw

keras_on_tensorflow()


@keras.saving.register_keras_serializable(package="kernelfield")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, computed by kernelfield's engine where that is faster: eager float tensors, few channels.

    Arguments, variables, configuration and errors are those of `keras.layers.Conv2D`, and so is the computation
    wherever the engine does not take part: graphs, another device, another dtype. One argument is added:

    Parameters
    ----------
    *arguments, **options
        Those of `keras.layers.Conv2D`: filters, kernel_size, strides, padding, data_format, dilation_rate, groups,
        activation, use_bias, and so on.
    padding_mode : {"zeros", "reflect", "replicate", "circular", "symmetric"}
        The pixels outside the image for ``padding="same"``, as in `kernelfield.torch.Conv2d`.

    Examples
    --------
    >>> import keras
    >>> Conv2D(8, 3, padding="same", activation="relu")(keras.ops.zeros((2, 16, 16, 3))).shape
    TensorShape([2, 16, 16, 8])
    """

    @with_padding_mode(keras.layers.Conv2D.__init__)
    def __init__(self, *arguments: Any, padding_mode: str = "zeros", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.padding_mode = check_padding_mode(padding_mode)
        # Numbers out of range end TensorFlow's process.
        layer_operation(self.kernel_size, self.strides, "valid", self.dilation_rate)

    def call(self, inputs: Any) -> Any:
        """Return the feature maps."""
        operation = self._operation(inputs)
        if operation is None:
            return super().call(inputs)
        last = self.data_format == "channels_last"
        kernel = tf.convert_to_tensor(self.kernel)
        weights = kernel if last else tf.transpose(kernel, TO_OIHW)
        bias = tf.convert_to_tensor(self.bias) if self.use_bias else None
        result = ADAPTER.layer(operation, inputs, weights, bias, last)
        if result is None and self.padding_mode == "zeros":
            return super().call(inputs)
        if result is None:
            result = ADAPTER.native_with_bias(operation, inputs, weights, bias, last)
        return result if self.activation is None else self.activation(result)

    def _operation(self, image: Any) -> Operation | None:
        """Return the operation for an image; None where Keras computes or refuses."""
        shape = getattr(image, "shape", ())
        symbolic = isinstance(image, keras.KerasTensor) and self.padding_mode == "zeros"
        if len(shape) != 4 or symbolic:
            return None
        sizes = tuple(shape[1:3] if self.data_format == "channels_last" else shape[2:])
        if None in sizes and self.padding_mode == "zeros":
            return None
        return layer_operation(
            self.kernel_size, self.strides, self.padding, self.dilation_rate, self.groups, self.padding_mode, sizes
        )

    def get_config(self) -> dict[str, Any]:
        """Return the configuration from which `from_config` makes the same layer, without its weights."""
        return {**super().get_config(), "padding_mode": self.padding_mode}

    def get_oihw(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return copies of the weights (C_out, C_in/groups, kh, kw) and of the bias."""
        if not self.built:
            raise ArgumentError("layer: expected one with weights; call it on an image or set_oihw first")
        variables = [self.kernel, self.bias] if self.use_bias else [self.kernel]
        weight, *bias = (tf.cast(v, v.dtype if v.dtype in ENGINE_DTYPES else "float32") for v in variables)
        return weight.numpy().transpose(TO_OIHW), bias[0].numpy() if bias else None

    def set_oihw(self, weight: Any, bias: Any = None) -> None:
        """Set the weights (C_out, C_in/groups, kh, kw) and the bias, zeros if none is given."""
        inputs = self.kernel.shape[2] if self.built else None
        values, added = check_oihw((self.filters, inputs, *self.kernel_size), self.use_bias, weight, bias)
        if not self.built:
            shape = [None, None, None, values.shape[1] * self.groups]
            self.build(tuple(shape if self.data_format == "channels_last" else [shape[i] for i in TO_NCHW]))
        self.kernel.assign(values.transpose(TO_HWIO))
        if added is not None:
            self.bias.assign(added)


@keras.saving.register_keras_serializable(package="kernelfield")
class Filter2D(keras.layers.Layer):
    """A fixed kernel, applied to every channel of images; differentiable with respect to the image.

    The kernel is a variable that is not trainable: it is saved, and no optimiser changes it.

    Parameters
    ----------
    kernel : array_like or Kernel, shape (kh, kw) or (n, kh, kw)
        A `Kernel` has its own anchor. A bank gives n channels for each of the image's, as a depthwise convolution.
    mode, boundary, cval, origin, padding, stride, dilation
        As in `kernelfield.correlate`.
    data_format : {"channels_last", "channels_first"}, optional
        By default that of Keras.
    **options
        Of `keras.layers.Layer`: name, dtype.

    Examples
    --------
    >>> import keras
    >>> import kernelfield as kf
    >>> Filter2D(kf.kernels.sobel())(keras.ops.zeros((2, 16, 16, 3))).shape
    TensorShape([2, 16, 16, 3])
    """

    def __init__(
        self,
        kernel: Any,
        mode: str = "same",
        boundary: str = "reflect",
        cval: float = 0.0,
        origin: int | tuple[int, int] | None = None,
        padding: Any = None,
        stride: int | tuple[int, int] = 1,
        dilation: int | tuple[int, int] = 1,
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.filter = FixedFilter.of(kernel, mode, boundary, cval, origin, padding, stride, dilation)
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_last", "channels_first"):
            raise ArgumentError(f"data_format: expected channels_last or channels_first; received {data_format!r}")
        weights = self.filter.weights
        self.kernel = self.add_weight(name="kernel", shape=weights.shape, initializer="zeros", trainable=False)
        self.kernel.assign(weights)

    def call(self, image: Any) -> Any:
        """Return the filtered image; C·n channels for a bank of n kernels."""
        last = self.data_format == "channels_last"
        planes = tf.transpose(image, TO_NCHW) if last else tf.convert_to_tensor(image)
        kernel = tf.convert_to_tensor(self.kernel)
        if None in planes.shape[2:]:
            planes = planes if planes.dtype.is_floating else tf.cast(planes, kernel.dtype)
            bank = tf.cast(tf.reshape(kernel, (-1, 1, *kernel.shape[-2:])), planes.dtype)
            result = ADAPTER.native(self.filter.operation(), planes[:, :, None], bank)
            result = tf.reshape(result, (-1, planes.shape[1] * bank.shape[0], *tf.unstack(tf.shape(result))[3:]))
        else:
            result = self.filter.apply(ADAPTER, planes, kernel)
        return tf.transpose(result, TO_NHWC) if last else result

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the filtered image, with None for sizes that the image leaves open."""
        last = self.data_format == "channels_last"
        n, channels, *sizes = (input_shape[i] for i in TO_NCHW) if last else input_shape
        windows, bank = self.filter.operation().windows, self.filter.weights.shape[:-2]
        shape = [n, channels * bank[0] if bank and channels is not None else channels]
        shape += [None if size is None else w.output_size(size) for w, size in zip(windows, sizes)]
        return tuple(shape[i] for i in TO_NHWC) if last else tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration from which `from_config` makes the same layer."""
        own = {"kernel": self.filter.weights.tolist(), "data_format": self.data_format}
        return {**super().get_config(), **own, **self.filter.options}
