"""Rules of Keras' layers, by the name of the class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernelfield.receptive.builder import Value
from kernelfield.receptive.frontends.keras.resizing import center_crop, pad, resizing, upsampling
from kernelfield.receptive.frontends.keras.sequences import attention, multi_head, recurrent
from kernelfield.receptive.frontends.keras.walk import Call, Result
from kernelfield.receptive.frontends.keras.windows import (
    adaptive_pooling,
    convolution,
    layout,
    pooling,
    transposed_convolution,
)

# Activations that work on one position at a time.
_PLACE_BY_PLACE = (
    "linear relu relu6 leaky_relu elu selu celu gelu silu swish sigmoid hard_sigmoid hard_silu hard_swish hard_tanh "
    "tanh tanh_shrink hard_shrink soft_shrink softplus softsign exponential log_sigmoid mish squareplus sparse_plus "
    "sparse_sigmoid threshold"
)
_POINTWISE = frozenset(_PLACE_BY_PLACE.split())

# Layers that do nothing in inference, or work element-wise.
_IDENTITIES = (
    "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout GaussianDropout GaussianNoise "
    "ActivityRegularization Identity Masking ReLU LeakyReLU PReLU ELU BatchNormalization Rescaling Normalization "
    "RandomFlip RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness RandomColorDegeneration "
    "RandomColorJitter RandomElasticTransform RandomErasing RandomGaussianBlur RandomGrayscale RandomHue "
    "RandomInvert RandomPerspective RandomPosterization RandomSaturation RandomSharpness RandomShear CutMix MixUp "
    "AugMix RandAugment Solarization"
)


def _identity(call: Call) -> Result:
    return call.builder.elementwise(call.name, _words(type(call.operation).__name__), call.x)


def _words(name: str) -> str:
    return "normalisation" if name == "BatchNormalization" else name.lower()


def _activated(call: Call, y: Value, activation: Any) -> Result:
    """Return the value after a layer's activation; an activation of single positions gets no node of its own."""
    if activation is None:
        return y
    name = getattr(activation, "__name__", "")
    if getattr(activation, "__module__", "").startswith("keras.src.activations"):
        if name in _POINTWISE:
            return y
        if name in ("softmax", "log_softmax", "sparsemax"):
            return y if y.axes[-1] is None else call.builder.softmax(f"{call.name}/{name}", y, axis=-1)
    if hasattr(activation, "compute_output_spec"):
        return call.walker.apply(activation, f"{call.name}/{activation.name}", (y,), {})
    written = call.walker.written_out(activation, f"{call.name}/activation", (y,), {})
    return written if written is not None else call.unknown()


def _activation(call: Call) -> Result:
    y = call.builder.elementwise(call.name, getattr(call.operation.activation, "__name__", "activation"), call.x)
    return _activated(call, y, call.operation.activation)


def _convolution(call: Call) -> Result:
    layer = call.operation
    separable = type(layer).__name__.startswith("Separable")
    y = convolution(
        call,
        call.x,
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        dilation=layer.dilation_rate,
        data_format=layer.data_format,
        channels_out=layer.filters,
        groups=1 if separable else layer.groups,
    )
    return _activated(call, y, layer.activation)


def _depthwise(call: Call) -> Result:
    layer = call.operation
    channels = call.x.shape[layout(layer.data_format, call.x.ndim)[0]]
    y = convolution(
        call,
        call.x,
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        dilation=layer.dilation_rate,
        data_format=layer.data_format,
        channels_out=channels * layer.depth_multiplier,
        groups=channels,
    )
    return _activated(call, y, layer.activation)


def _transposed(call: Call) -> Result:
    layer = call.operation
    y = transposed_convolution(
        call,
        call.x,
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        output_padding=layer.output_padding,
        dilation=layer.dilation_rate,
        data_format=layer.data_format,
        channels_out=layer.filters,
    )
    return _activated(call, y, layer.activation)


def _pooling(kind: str) -> Callable[[Call], Result]:
    def rule(call: Call) -> Result:
        layer = call.operation
        return pooling(
            call,
            kind,
            size=layer.pool_size,
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
        )

    return rule


def _global(operation: str) -> Callable[[Call], Result]:
    def rule(call: Call) -> Result:
        layer = call.operation
        _, spatial = layout(layer.data_format, call.x.ndim)
        return call.builder.reduce(call.name, call.x, axes=spatial, keepdims=layer.keepdims, operation=operation)

    return rule


def _adaptive(kind: str) -> Callable[[Call], Result]:
    return lambda call: adaptive_pooling(call, kind, call.operation.output_size, call.operation.data_format)


def _flatten(call: Call) -> Result:
    x = call.x
    if call.operation.data_format == "channels_first" and x.ndim > 2:
        order = [0, *range(2, x.ndim), 1]
        x = call.builder.transpose(f"{call.name}/transpose", x, permutation=order)
    return call.builder.reshape(call.name, x, shape=(x.shape[0], -1))


def _merge(operation: str) -> Callable[[Call], Result]:
    def rule(call: Call) -> Result:
        values = call.values
        rank = max(v.ndim for v in values)
        # Keras inserts missing axes after the batch.
        wide = [
            v
            if v.ndim == rank
            else call.builder.reshape(f"{call.name}/axes", v, shape=(v.shape[0], *[1] * (rank - v.ndim), *v.shape[1:]))
            for v in values
        ]
        return call.builder.elementwise(call.name, operation, *wide)

    return rule


def _concatenate(call: Call) -> Result:
    return call.builder.concatenate(call.name, call.values, axis=call.operation.axis % call.x.ndim)


def _normalisation(call: Call) -> Result:
    axes = call.operation.axis
    axes = axes if isinstance(axes, list | tuple) else [axes]
    return call.builder.normalisation(call.name, call.x, axes=list(axes))


def _group_normalisation(call: Call) -> Result:
    layer, x = call.operation, call.x
    channel = layer.axis % x.ndim
    groups = x.shape[channel] if layer.groups == -1 else layer.groups
    return call.builder.normalisation(
        call.name, x, axes=list(range(1, x.ndim)), channel_axis=channel, channel_groups=groups
    )


def _dense(call: Call) -> Result:
    layer, x = call.operation, call.x
    weights = call.builder.constant((x.shape[-1], layer.units))
    return _activated(call, call.builder.matmul(call.name, x, weights), layer.activation)


def _einsum_dense(call: Call) -> Result:
    layer = call.operation
    weights = call.constant(layer.kernel)
    return _activated(call, call.builder.einsum(call.name, layer.equation, call.x, weights), layer.activation)


def _time_distributed(call: Call) -> Result:
    """Return the layer applied to every time step: the time axis becomes the batch, and is restored."""
    x = call.x
    steps = call.builder.reshape(f"{call.name}/steps", x, shape=x.shape[1:])
    outputs = call.walker.apply(call.operation.layer, call.name, (steps,), {})
    return [call.builder.reshape(f"{call.name}/time", y, shape=(1, *y.shape)) for y in outputs]


def _wrapped(call: Call) -> Result:
    return call.walker.apply(call.operation.layer, call.name, call.args, {})


def _pipeline(call: Call) -> Result:
    values: Any = call.args
    for layer in call.operation.layers:
        values = tuple(call.walker.apply(layer, f"{call.name}/{layer.name}", values, {}))
    return list(values)


LAYERS: dict[str, Callable[[Call], Any]] = {
    **dict.fromkeys(_IDENTITIES.split(), _identity),
    "Activation": _activation,
    "Softmax": lambda call: (
        call.builder.softmax(call.name, call.x, axis=call.operation.axis)
        if isinstance(call.operation.axis, int)
        else call.unknown()
    ),
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D"), _convolution),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _transposed),
    **{f"MaxPooling{d}D": _pooling("max") for d in (1, 2, 3)},
    **{f"AveragePooling{d}D": _pooling("average") for d in (1, 2, 3)},
    **{f"GlobalMaxPooling{d}D": _global("max") for d in (1, 2, 3)},
    **{f"GlobalAveragePooling{d}D": _global("mean") for d in (1, 2, 3)},
    **{f"AdaptiveMaxPooling{d}D": _adaptive("max") for d in (1, 2, 3)},
    **{f"AdaptiveAveragePooling{d}D": _adaptive("average") for d in (1, 2, 3)},
    **{f"UpSampling{d}D": upsampling for d in (1, 2, 3)},
    **{f"ZeroPadding{d}D": pad(1) for d in (1, 2, 3)},
    **{f"Cropping{d}D": pad(-1) for d in (1, 2, 3)},
    "Resizing": resizing,
    "CenterCrop": center_crop,
    "Flatten": _flatten,
    "Reshape": lambda call: call.builder.reshape(
        call.name, call.x, shape=(call.x.shape[0], *call.operation.target_shape)
    ),
    "Permute": lambda call: call.builder.transpose(call.name, call.x, permutation=(0, *call.operation.dims)),
    "RepeatVector": lambda call: call.builder.expand(
        call.name,
        call.builder.reshape(f"{call.name}/axis", call.x, shape=(call.x.shape[0], 1, call.x.shape[1])),
        shape=(call.x.shape[0], call.operation.n, call.x.shape[1]),
    ),
    **{name: _merge(name.lower()) for name in ("Add", "Subtract", "Multiply", "Maximum", "Minimum")},
    "Average": _merge("add"),
    "Concatenate": _concatenate,
    **dict.fromkeys(("LayerNormalization", "RMSNormalization", "UnitNormalization"), _normalisation),
    "GroupNormalization": _group_normalisation,
    "Dense": _dense,
    "EinsumDense": _einsum_dense,
    **dict.fromkeys(("Attention", "AdditiveAttention"), attention),
    **dict.fromkeys(("MultiHeadAttention", "GroupedQueryAttention"), multi_head),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), recurrent),
    "TimeDistributed": _time_distributed,
    "SpectralNormalization": _wrapped,
    "Pipeline": _pipeline,
}
