"""The convolutional layer for Keras on TensorFlow: images (N, H, W, C), kernel (kh, kw, C_in/groups, C_out)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kernelfield.errors import ArgumentError
from kernelfield.keras.tensorflow import ADAPTER, keras_on_tensorflow
from kernelfield.tensors.adapter import ENGINE_DTYPES
from kernelfield.tensors.layer import settings
from kernelfield.tensors.layouts import TO_HWIO, TO_OIHW
from kernelfield.tensors.weights import check_oihw

keras_on_tensorflow()


@keras.saving.register_keras_serializable(package="kernelfield")
class Conv2d(keras.layers.Layer):
    """A two-dimensional convolutional layer: cross-correlation, plus a bias for each output channel.

    Parameters
    ----------
    out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        See `kernelfield.tensors.layer.Settings`. The first image determines the input channels.
    kernel_initializer, bias_initializer
        Names or initialisers of Keras.
    kernel_regularizer, bias_regularizer, kernel_constraint, bias_constraint
        Of Keras, optional.
    **options
        Of `keras.layers.Layer`: name, dtype (a policy), trainable.

    Attributes
    ----------
    kernel : keras.Variable, shape (kh, kw, C_in/groups, C_out)
    bias : keras.Variable, shape (C_out,), or None
    """

    def __init__(
        self,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Any = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        self.settings = settings(out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        super().__init__(**options)
        self.operation = self.settings.operation()
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.kernel: Any = None
        self.bias: Any = None

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Create the variables for images of `input_shape`, (N, H, W, C)."""
        outputs, inputs, *size = self.settings.weight_shape(input_shape[-1])
        for name, shape in {"kernel": (*size, inputs, outputs), "bias": (outputs,)}.items():
            if name == "kernel" or self.settings.bias:
                how = {part: getattr(self, f"{name}_{part}") for part in ("initializer", "regularizer", "constraint")}
                setattr(self, name, self.add_weight(name=name, shape=shape, **how))

    def __call__(self, image: Any, *arguments: Any, **options: Any) -> Any:
        """Return the feature maps, after a check of the image: Keras would add lines to an error raised in `call`."""
        shape = tuple(getattr(image, "shape", None) or np.shape(image))
        if len(shape) != 4 or shape[-1] is None:
            raise ArgumentError(f"image: expected (N, H, W, C) with a known number of channels; received shape {shape}")
        sizes = [w.span if n is None else n for w, n in zip(self.operation.windows, shape[1:3])]
        self.settings.check_image((shape[-1], *sizes), self._in_channels or shape[-1])
        return super().__call__(image, *arguments, **options)

    def call(self, image: Any) -> Any:
        """Return the feature maps."""
        kernel = tf.convert_to_tensor(self.kernel)
        bias = None if self.bias is None else tf.convert_to_tensor(self.bias)
        return ADAPTER.correlate(self.operation, tf.cast(image, kernel.dtype), kernel, bias, channels_last=True)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the feature maps, with None for sizes that the image leaves open."""
        sizes = (None if n is None else w.output_size(n) for w, n in zip(self.operation.windows, input_shape[1:3]))
        return (input_shape[0], *sizes, self.settings.out_channels)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration from which `from_config` makes the same layer, without its weights."""
        own: dict[str, Any] = asdict(self.settings)
        for kind in ("initializer", "regularizer", "constraint"):
            for name in (f"kernel_{kind}", f"bias_{kind}"):
                own[name] = getattr(keras, f"{kind}s").serialize(getattr(self, name))
        return {**super().get_config(), **own}

    def get_oihw(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return copies of the weights (C_out, C_in/groups, kh, kw) and of the bias."""
        if self.kernel is None:
            raise ArgumentError("layer: expected one with weights; call it on an image or set_oihw first")
        weight, *bias = (tf.cast(v.value, v.dtype if v.dtype in ENGINE_DTYPES else "float32") for v in self.variables)
        return weight.numpy().transpose(TO_OIHW), bias[0].numpy() if bias else None

    def set_oihw(self, weight: np.ndarray, bias: np.ndarray | None = None) -> None:
        """Set the weights (C_out, C_in/groups, kh, kw) and the bias, zeros if none is given."""
        weight, bias = check_oihw(self.settings, weight, bias)
        if self.kernel is None:
            self.build((None, None, None, weight.shape[1] * self.settings.groups))
        wanted = self.settings.weight_shape(self.kernel.shape[2] * self.settings.groups)
        if weight.shape != wanted:
            raise ArgumentError(f"weight: expected shape {wanted}; received {weight.shape}")
        self.kernel.assign(weight.transpose(TO_HWIO))
        if bias is not None:
            self.bias.assign(bias)

    @property
    def _in_channels(self) -> int | None:
        return None if self.kernel is None else self.kernel.shape[2] * self.settings.groups

    def __repr__(self) -> str:
        return f"Conv2d({self.settings.describe(self._in_channels)}, name={self.name!r})"
