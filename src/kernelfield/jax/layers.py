"""The layers for Flax: `Conv` of NNX and `LinenConv` of Linen on the engine, and `Filter`, a fixed kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from kernelfield.correlation.filter import FixedFilter
from kernelfield.engine.layers import engine_is_better
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Operation
from kernelfield.jax.adapter import ADAPTER
from kernelfield.tensors.adapter import ENGINE_DTYPES
from kernelfield.tensors.layer import layer_operation
from kernelfield.tensors.layouts import TO_HWIO, TO_NCHW, TO_NHWC, TO_OIHW
from kernelfield.tensors.weights import check_oihw

#: Flax' paddings that extend the image by its own pixels, and two more -> the padding mode of PyTorch.
_PADDINGS = {"CIRCULAR": "circular", "REFLECT": "reflect", "REPLICATE": "replicate", "SYMMETRIC": "symmetric"}


class Conv(nnx.Conv):
    """`flax.nnx.Conv`, computed by kernelfield's engine where that is faster: 2-D, outside of jit, few channels.

    Arguments, parameters, state and errors are those of `flax.nnx.Conv`, and so is the computation wherever the engine
    does not take part: `jax.jit`, another device, another dtype, one or three dimensions, `input_dilation`, a
    convolution function or a result dtype that is asked for. `padding` may also be ``"REPLICATE"``, the edge pixel
    repeated, or ``"SYMMETRIC"``, mirrored with the edge pixel twice, for kernels of two dimensions.

    Examples
    --------
    >>> layer = Conv(3, 8, (3, 3), rngs=nnx.Rngs(0))
    >>> layer(jnp.zeros((2, 16, 16, 3))).shape
    (2, 16, 16, 8)
    """

    def __call__(self, inputs: Any, out_sharding: Any = None) -> Any:
        """Return the feature map (..., OH, OW, C_out)."""
        operation = self._operation(inputs) if out_sharding is None else None
        own_padding = self.padding in ("REPLICATE", "SYMMETRIC") if isinstance(self.padding, str) else False
        if operation is not None and (own_padding or self._is_for_the_engine(operation, inputs)):
            kernel, bias = self.kernel[...], None if self.bias is None else self.bias[...]
            if self.mask is not None:
                kernel = kernel * self.mask
            image, kernel, bias = self.promote_dtype((inputs, kernel, bias), dtype=self.dtype)
            lead = image.shape[:-3]
            if len(lead) != 1:
                image = jnp.reshape(image, (math.prod(lead), *image.shape[-3:]))
            result = ADAPTER.layer(operation, image, kernel, bias, channels_last=True)
            if result is None and own_padding:
                result = ADAPTER.native_with_bias(operation, image, kernel, bias, channels_last=True)
            if result is not None:
                return result if len(lead) == 1 else jnp.reshape(result, (*lead, *result.shape[1:]))
        return super().__call__(inputs, out_sharding)

    def _is_for_the_engine(self, operation: Operation, image: Any) -> bool:
        """Return whether the engine may compute; asked before dtypes are promoted, which Flax' own layer does too."""
        size = tuple(self.kernel.shape[i] for i in TO_OIHW)
        return engine_is_better(operation, (), size) and ADAPTER.is_concrete(image, self.kernel)

    def _operation(self, image: Any) -> Operation | None:
        """Return the operation for an image; None where Flax computes or refuses."""
        settings = self.strides, self.kernel_dilation, self.input_dilation
        strides, dilation, spread = (1 if v is None else v if isinstance(v, int) else tuple(v) for v in settings)
        shape = getattr(image, "shape", ())
        wanted = self.mask is None or self.mask.shape == self.kernel_shape
        if len(self.kernel_size) != 2 or len(shape) < 3 or spread not in (1, (1, 1)) or not wanted:
            return None
        if self.preferred_element_type is not None or self.conv_general_dilated is not jax.lax.conv_general_dilated:
            return None
        size = tuple(shape[-3:-1])
        return _operation(self.kernel_size, strides, self.padding, dilation, self.feature_group_count, size)

    def get_oihw(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Return copies of the weights (C_out, C_in/groups, kh, kw) and of the bias."""
        parameters = (None if p is None else np.array(p[...]) for p in (self.kernel, self.bias))
        weight, bias = (p if p is None or p.dtype.name in ENGINE_DTYPES else p.astype("float32") for p in parameters)
        assert weight is not None
        return weight.transpose(TO_OIHW), bias

    def set_oihw(self, weight: Any, bias: Any = None) -> None:
        """Set the weights (C_out, C_in/groups, kh, kw) and the bias, zeros if none is given."""
        shape = tuple(self.kernel.shape[i] for i in TO_OIHW)
        values, added = check_oihw(shape, self.bias is not None, weight, bias)
        for parameter, array in ((self.kernel, values.transpose(TO_HWIO)), (self.bias, added)):
            if parameter is not None:
                like = parameter[...]
                parameter.set_value(jax.device_put(jnp.array(array, like.dtype), like.sharding))


def _operation(size: Any, stride: Any, padding: Any, dilation: Any, groups: int, image: Any) -> Operation | None:
    """Return the operation of a layer of Flax, None for settings that are left to Flax."""
    mode = _PADDINGS.get(padding, "zeros") if isinstance(padding, str) else "zeros"
    try:
        if mode != "zeros":
            padding = "same"
        elif padding in ("SAME", "VALID"):
            padding = padding.lower()
        elif isinstance(padding, str):
            return None
        elif not isinstance(padding, int):
            rows, columns = ((p, p) if isinstance(p, int) else p for p in padding)
            padding = rows, columns
        return layer_operation(size, stride, padding, dilation, groups, mode, image)
    except (ValueError, TypeError):  # for Flax to refuse
        return None


def _conv_general_dilated(
    lhs: Any,
    rhs: Any,
    window_strides: Any,
    padding: Any,
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    precision: Any = None,
) -> Any:
    """Return `jax.lax.conv_general_dilated` of (N, H, W, C), by the engine where that is faster."""
    operation = None
    if lhs.ndim == 4 and tuple(lhs_dilation or (1, 1)) == (1, 1):
        size, image = tuple(rhs.shape[:2]), tuple(lhs.shape[1:3])
        operation = _operation(size, window_strides, padding, tuple(rhs_dilation or (1, 1)), feature_group_count, image)
    result = None if operation is None else ADAPTER.layer(operation, lhs, rhs, None, channels_last=True)
    if result is not None:
        return result
    return jax.lax.conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count,
        precision=precision,
    )  # fmt: skip


def _engine_convolution() -> Callable[..., Any]:
    return _conv_general_dilated


class LinenConv(linen.Conv):
    """`flax.linen.Conv`, computed by kernelfield's engine where that is faster, as in `Conv`.

    Examples
    --------
    >>> layer = LinenConv(8, (3, 3))
    >>> variables = layer.init(jax.random.key(0), jnp.zeros((2, 16, 16, 3)))
    >>> layer.apply(variables, jnp.zeros((2, 16, 16, 3))).shape
    (2, 16, 16, 8)
    """

    conv_general_dilated_cls: Any = _engine_convolution


class Constant(nnx.Variable[Any]):
    """A variable of NNX that is part of the state and that no optimiser of `flax.nnx.Param` changes."""


class Filter(nnx.Module):
    """A fixed kernel, applied to every channel of images (..., H, W, C); differentiable with respect to the image.

    The kernel is a `Constant`, not a `flax.nnx.Param`: it is part of the state, and no optimiser of parameters changes
    it.

    Parameters
    ----------
    kernel : array_like or Kernel, shape (kh, kw) or (n, kh, kw)
        A `Kernel` has its own anchor. A bank gives n channels for each of the image's, as a depthwise convolution.
    mode, boundary, cval, origin, padding, stride, dilation
        As in `kernelfield.correlate`.
    param_dtype : dtype
        Of the kernel. Images of another dtype are filtered in theirs; those of integers in the kernel's.

    Examples
    --------
    >>> import kernelfield as kf
    >>> Filter(kf.kernels.sobel())(jnp.zeros((2, 16, 16, 3))).shape
    (2, 16, 16, 3)
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
        *,
        param_dtype: Any = jnp.float32,
    ) -> None:
        self.filter = nnx.static(FixedFilter.of(kernel, mode, boundary, cval, origin, padding, stride, dilation))
        self.kernel = Constant(jnp.asarray(self.filter.weights, param_dtype))

    def __call__(self, image: Any) -> Any:
        """Return the filtered image (..., OH, OW, C), or (..., OH, OW, C·n) for a bank of n kernels."""
        pixels = jnp.asarray(image)
        if pixels.ndim < 3:
            raise ArgumentError(f"image: expected (N, H, W, C) or (H, W, C); received shape {pixels.shape}")
        lead = pixels.shape[:-3]
        planes = jnp.transpose(jnp.reshape(pixels, (math.prod(lead), *pixels.shape[-3:])), TO_NCHW)
        result = jnp.transpose(self.filter.apply(ADAPTER, planes, self.kernel[...]), TO_NHWC)
        return jnp.reshape(result, (*lead, *result.shape[1:]))
