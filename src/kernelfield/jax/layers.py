"""The convolutional layers for Flax: images and feature maps (N, H, W, C), kernel (kh, kw, C_in/groups, C_out).

`Conv2d` is a module of NNX, the interface that Flax recommends: it holds its parameters, as layers of the other
frameworks do. `LinenConv2d` is the same layer for Linen, with `init` and `apply`.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from flax.errors import TraceContextError

from kernelfield.errors import ArgumentError
from kernelfield.jax.adapter import ADAPTER
from kernelfield.tensors.adapter import ENGINE_DTYPES
from kernelfield.tensors.layer import Settings, settings
from kernelfield.tensors.layouts import TO_HWIO, TO_OIHW
from kernelfield.tensors.weights import check_oihw

_KERNEL_INIT = linen.initializers.lecun_normal()
_BIAS_INIT = linen.initializers.zeros_init()


class Conv2d(nnx.Module):
    """Cross-correlate images (..., H, W, C) with learned kernels.

    The parameters are created for the channels of the first image, or at once for `in_channels`. Gradients, optimisers
    and `jax.jit` need a layer that has its parameters.

    Parameters
    ----------
    out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        See `kernelfield.tensors.layer.Settings`.
    in_channels : int, optional
        Create the parameters at once.
    dtype : dtype, optional
        In which the layer computes; by default that which image and parameters are promoted to.
    param_dtype : dtype
    kernel_init, bias_init : callable
        Initialisers of Flax.
    rngs : flax.nnx.Rngs, optional
        By default ``nnx.Rngs(0)``.

    Attributes
    ----------
    kernel : flax.nnx.Param, shape (kh, kw, C_in/groups, C_out)
    bias : flax.nnx.Param, shape (C_out,), or None
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
        *,
        in_channels: int | None = None,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        kernel_init: Any = _KERNEL_INIT,
        bias_init: Any = _BIAS_INIT,
        rngs: nnx.Rngs | None = None,
    ) -> None:
        self.settings = settings(out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode)
        self.dtype, self.param_dtype = dtype, param_dtype
        self.kernel_init, self.bias_init = kernel_init, bias_init
        rngs = nnx.Rngs(0) if rngs is None else rngs
        self.keys = nnx.data((rngs.params(), rngs.params()))
        self.kernel, self.bias = nnx.data(None), nnx.data(None)
        if in_channels is not None:
            self.init_parameters(in_channels)

    def init_parameters(self, in_channels: int) -> None:
        """Draw the parameters for images with `in_channels` channels."""
        self.kernel = nnx.Param(self.kernel_init(self.keys[0], _hwio(self.settings, in_channels), self.param_dtype))
        if self.settings.bias:
            shape = (self.settings.out_channels,)
            self.bias = nnx.Param(self.bias_init(self.keys[1], shape, self.param_dtype))
        self.keys = nnx.data(None)

    def __call__(self, image: Any) -> Any:
        """Return the feature map (..., OH, OW, C_out)."""
        if self.kernel is None:
            _check_axes(image)
            try:
                self.init_parameters(image.shape[-1])
            except TraceContextError as error:
                raise ArgumentError(
                    "layer: expected one with parameters inside a transformation; pass in_channels, or call it "
                    "on an image first"
                ) from error
        bias = None if self.bias is None else self.bias[...]
        return _feature_map(self.settings, image, self.kernel[...], bias, self.dtype)

    def get_oihw(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return copies of the weights (C_out, C_in/groups, kh, kw) and of the bias."""
        if self.kernel is None:
            raise ArgumentError("layer: expected one with weights; call it on an image or set_oihw first")
        return _oihw(self.kernel[...], None if self.bias is None else self.bias[...])

    def set_oihw(self, weight: Any, bias: Any = None) -> None:
        """Set the weights (C_out, C_in/groups, kh, kw) and the bias, zeros if none is given."""
        values, added = check_oihw(self.settings, weight, bias)
        if self.kernel is None:
            self.init_parameters(values.shape[1] * self.settings.groups)
        wanted = tuple(self.kernel.shape[i] for i in TO_OIHW)
        if values.shape != wanted:
            raise ArgumentError(f"weight: expected shape {wanted}; received {values.shape}")
        for parameter, array in ((self.kernel, values.transpose(TO_HWIO)), (self.bias, added)):
            if parameter is not None:
                like = parameter[...]
                parameter.set_value(jax.device_put(jnp.array(array, like.dtype), like.sharding))

    def __repr__(self) -> str:
        known = None if self.kernel is None else self.kernel.shape[2] * self.settings.groups
        return f"{type(self).__name__}({self.settings.describe(known)})"


class LinenConv2d(linen.Module):
    """Cross-correlate images (..., H, W, C) with learned kernels, for `init` and `apply`.

    The parameters are called ``kernel`` and ``bias`` and have the layout of `flax.linen.Conv`. `get_oihw` and
    `set_oihw` are for bound layers; `set_oihw` needs ``bind(variables, mutable=["params"])``.

    Attributes
    ----------
    out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        See `kernelfield.tensors.layer.Settings`.
    dtype, param_dtype, kernel_init, bias_init
        As in `Conv2d`.
    """

    out_channels: int
    kernel_size: int | tuple[int, int]
    stride: int | tuple[int, int] = 1
    padding: Any = 0
    dilation: int | tuple[int, int] = 1
    groups: int = 1
    bias: bool = True
    padding_mode: str = "zeros"
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: Any = _KERNEL_INIT
    bias_init: Any = _BIAS_INIT

    def __post_init__(self) -> None:
        self.settings  # noqa: B018 - checks the arguments
        super().__post_init__()

    @property
    def settings(self) -> Settings:
        """The settings, checked."""
        return settings(
            self.out_channels, self.kernel_size, self.stride, self.padding, self.dilation, self.groups, self.bias,
            self.padding_mode,
        )  # fmt: skip

    @linen.compact
    def __call__(self, image: Any) -> Any:
        """Return the feature map (..., OH, OW, C_out)."""
        _check_axes(image)
        options = self.settings
        kernel = self.param("kernel", self.kernel_init, _hwio(options, image.shape[-1]), self.param_dtype)
        bias = self.param("bias", self.bias_init, (options.out_channels,), self.param_dtype) if options.bias else None
        return _feature_map(options, image, kernel, bias, self.dtype)

    def get_oihw(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return copies of the weights (C_out, C_in/groups, kh, kw) and of the bias."""
        parameters = self.variables.get("params", {}) if self.scope is not None else {}
        if "kernel" not in parameters:
            raise ArgumentError("layer: expected one with weights; bind it to variables, or call set_oihw first")
        return _oihw(parameters["kernel"], parameters.get("bias"))

    def set_oihw(self, weight: Any, bias: Any = None) -> None:
        """Set the weights (C_out, C_in/groups, kh, kw) and the bias, zeros if none is given, in the bound variables."""
        values, added = check_oihw(self.settings, weight, bias)
        self.put_variable("params", "kernel", jnp.array(values.transpose(TO_HWIO), self.param_dtype))
        if added is not None:
            self.put_variable("params", "bias", jnp.array(added, self.param_dtype))


def _hwio(options: Settings, in_channels: int) -> tuple[int, int, int, int]:
    filters, each, rows, columns = options.weight_shape(in_channels)
    return rows, columns, each, filters


def _check_axes(image: Any) -> None:
    if image.ndim < 3:
        raise ArgumentError(f"image: expected (N, H, W, C) or (H, W, C); received shape {image.shape}")


def _feature_map(options: Settings, image: Any, kernel: Any, bias: Any, dtype: Any) -> Any:
    image, kernel, bias = linen.dtypes.promote_dtype(image, kernel, bias, dtype=dtype)
    _check_axes(image)
    *batch, rows, columns, channels = image.shape
    options.check_image((channels, rows, columns), kernel.shape[2] * options.groups)
    if len(batch) != 1:
        image = jnp.reshape(image, (math.prod(batch), rows, columns, channels))
    result = ADAPTER.correlate(options.operation(), image, kernel, bias, channels_last=True)
    return result if len(batch) == 1 else jnp.reshape(result, (*batch, *result.shape[1:]))


def _oihw(kernel: Any, bias: Any) -> tuple[np.ndarray, np.ndarray | None]:
    arrays = [None if p is None else np.array(p) for p in (kernel, bias)]
    weight, added = (a if a is None or a.dtype.name in ENGINE_DTYPES else a.astype(np.float32) for a in arrays)
    assert weight is not None
    return weight.transpose(TO_OIHW), added
