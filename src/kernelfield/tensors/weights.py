"""Conversion of layer weights between frameworks, layouts, and cross-correlation and convolution.

PyTorch and MXNet store weights as OIHW, ``(C_out, C_in/groups, kh, kw)``; TensorFlow and JAX as HWIO,
``(kh, kw, C_in/groups, C_out)``. Every layer cross-correlates; the weights of a strict convolution are the same numbers
flipped on both axes of the kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelfield.arrays import as_numbers
from kernelfield.errors import ArgumentError
from kernelfield.tensors.adapter import ENGINE_DTYPES
from kernelfield.tensors.layouts import TO_HWIO, TO_OIHW
from kernelfield.tensors.registry import adapter_of

#: Framework -> the layout of its weights.
LAYOUTS = {"numpy": "OIHW", "torch": "OIHW", "mxnet": "OIHW", "tensorflow": "HWIO", "jax": "HWIO"}


def weights_as(
    weights: Any, framework: str, *, layout: str | None = None, strict_convolution: bool = False
) -> np.ndarray:
    """Return weights in the layout of `framework`.

    Parameters
    ----------
    weights : layer, tensor or array_like, four axes
        A layer of kernelfield, or the weights of any layer that cross-correlates.
    framework : {"numpy", "torch", "mxnet", "tensorflow", "jax"}
        The layout of the result is this framework's.
    layout : {"OIHW", "HWIO"}, optional
        Layout of `weights`. By default that of the tensor's framework; OIHW for arrays.
    strict_convolution : bool
        Flip the weights on both axes: a strict convolution with the result equals cross-correlation with `weights`.

    Returns
    -------
    numpy.ndarray
        A copy with the dtype of the weights.

    Raises
    ------
    ArgumentError
        For an unknown framework or layout, or weights without four axes.

    Examples
    --------
    >>> import numpy as np
    >>> weights_as(np.ones((8, 3, 5, 4)), "tensorflow").shape
    (5, 4, 3, 8)
    >>> weights_as(np.ones((5, 4, 3, 8)), "torch", layout="HWIO").shape
    (8, 3, 5, 4)
    >>> weights_as([[[[1, 2]]]], "torch", strict_convolution=True).tolist()
    [[[[2, 1]]]]
    """
    if framework not in LAYOUTS:
        raise ArgumentError(f"framework: expected one of {', '.join(LAYOUTS)}; received {framework!r}")
    found = _oihw(weights, layout)
    if strict_convolution:
        found = found[..., ::-1, ::-1]
    return np.array(found.transpose(TO_HWIO) if LAYOUTS[framework] == "HWIO" else found, order="C")


def load_weights(
    layer: Any, weights: Any, bias: Any = None, *, layout: str | None = None, strict_convolution: bool = False
) -> Any:
    """Set the weights of a layer to those of another layer or tensor, of any framework.

    Parameters
    ----------
    layer : layer
        The layer to change: `kernelfield.torch.Conv2d`, `keras.Conv2D`, `jax.Conv` or `mxnet.Conv2D`. If it has not
        seen an image yet, its input channels are inferred from the weights.
    weights : layer, tensor or array_like, four axes
        A layer of kernelfield, whose bias is taken too, or the weights of any layer.
    bias : tensor or array_like, shape (C_out,), optional
        By default the bias of `weights`, if that is a layer, else zeros.
    layout : {"OIHW", "HWIO"}, optional
        Layout of `weights`. By default that of the tensor's framework; OIHW for arrays.
    strict_convolution : bool
        Whether `weights` are those of a strict convolution, which are flipped.

    Returns
    -------
    layer
        `layer`.

    Raises
    ------
    ArgumentError
        If the layer has other shapes, or no bias where one is given.
    """
    if bias is None and hasattr(weights, "get_oihw"):
        bias = weights.get_oihw()[1]
    found = _oihw(weights, layout)
    if strict_convolution:
        found = found[..., ::-1, ::-1]
    layer.set_oihw(np.array(found, order="C"), None if bias is None else _array(bias, "bias").copy())
    return layer


def check_oihw(
    shape: tuple[int | None, ...], has_bias: bool, weight: Any, bias: Any = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return weights (OIHW) and bias as arrays, checked for a layer: the first step of `set_oihw`.

    `shape` is that of the layer's weights, (C_out, C_in/groups, kh, kw), with None for a size that it does not know
    yet. Without `bias`, a layer that has one gets zeros.

    Raises
    ------
    ArgumentError
        If the layer has other shapes, or no bias where one is given.
    """
    values = _array(weight, "weight")
    if values.ndim != 4 or any(n not in (None, found) for n, found in zip(shape, values.shape)):
        wanted = ", ".join("C_in/groups" if n is None else str(n) for n in shape)
        raise ArgumentError(f"weight: expected shape ({wanted}); received {values.shape}")
    if not has_bias:
        if bias is not None:
            raise ArgumentError("bias: expected none, the layer has none; received one")
        return values, None
    added = np.zeros(values.shape[0], values.dtype) if bias is None else _array(bias, "bias")
    if added.shape != values.shape[:1]:
        raise ArgumentError(f"bias: expected shape ({values.shape[0]},); received {added.shape}")
    return values, added


def _oihw(weights: Any, layout: str | None) -> np.ndarray:
    """Return weights as an array (C_out, C_in/groups, kh, kw)."""
    if layout not in (None, "OIHW", "HWIO"):
        raise ArgumentError(f"layout: expected OIHW or HWIO; received {layout!r}")
    if hasattr(weights, "get_oihw"):
        if layout is not None:
            raise ArgumentError(f"layout: expected none beside a layer, which knows its own; received {layout!r}")
        found: np.ndarray = weights.get_oihw()[0]
        return found
    values = _array(weights, "weights")
    if values.ndim != 4:
        raise ArgumentError(f"weights: expected four axes; received shape {values.shape}")
    adapter = adapter_of(weights)
    return values.transpose(TO_OIHW) if (layout or LAYOUTS[adapter.name if adapter else "numpy"]) == "HWIO" else values


def _array(value: Any, name: str) -> np.ndarray:
    """Return a tensor or numbers as an array."""
    adapter = adapter_of(value)
    if adapter is not None:
        if not adapter.is_concrete(value):
            raise ArgumentError(f"{name}: expected numbers in the memory of the CPU; move the tensor there")
        short = "float" in adapter.dtype(value) and adapter.dtype(value) not in ENGINE_DTYPES
        value = adapter.to_numpy(adapter.tensor(value, "float32", value) if short else value)
    return as_numbers(value, name)
