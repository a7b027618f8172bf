"""Cross-correlation of tensors: the arguments are checked, and the adapter of the framework computes."""

from __future__ import annotations

from typing import Any

from kernelfield.correlation.arguments import (
    WINDOWS,
    check_axes,
    check_kernel,
    check_kernel_shape,
    check_operation,
    check_pixels,
    weights_and_origin,
)
from kernelfield.correlation.missing import check_missing
from kernelfield.errors import ArgumentError, DtypeError, received
from kernelfield.kernels import Kernel
from kernelfield.tensors.adapter import Adapter


def correlate_tensors(adapter: Adapter, image: Any, kernel: Any, bias: Any, given: dict[str, Any]) -> Any:
    """Return `correlate` of tensors of one framework; arrays and numbers among them are converted to tensors.

    `given` are the other arguments of `correlate`.
    """
    for name in ("out", "dtype", "precision", "method"):
        if given[name] is not None:
            raise ArgumentError(f"{name}: expected none with tensors of {adapter.name}; leave it out")
    if check_missing(given["missing"]) != "propagate":
        raise ArgumentError(
            f"missing: expected 'propagate' with tensors of {adapter.name}; received {received(given['missing'])}; "
            "give an array"
        )
    own_origin = (0, 0)
    if isinstance(kernel, Kernel):
        kernel, own_origin = weights_and_origin(kernel)
    shapes = []
    for value, check in ((image, check_pixels), (kernel, check_kernel)):
        name = "image" if check is check_pixels else "kernel"
        shapes.append(adapter.shape(value) if adapter.recognises(value) else check(value, name).shape)
    if len(shapes[0]) < 2 or 0 in shapes[0][-2:]:
        raise ArgumentError(f"image: expected at least one pixel (..., H, W); received shape {shapes[0]}")
    check_kernel_shape(shapes[1], "kernel")
    # Tensors have their channels first unless an axis is named.
    named = given["channel_axis"]
    channel_axis = None if isinstance(named, str) and named == "auto" else named
    axes = check_axes(shapes[0], shapes[1], channel_axis, given["bank"])
    if axes is not None:
        shapes[0] = tuple(shapes[0][axis] for axis in axes.inward)
    is_bank = len(shapes[1]) == 3
    if is_bank:
        shapes = [(*shapes[0][:-2], 1, *shapes[0][-2:]), (shapes[1][0], 1, *shapes[1][1:])]
    # Without a cache: torch.compile traces this function, and cannot trace a cached one.
    operation = check_operation(*shapes, own_origin=own_origin, **{name: given[name] for name in WINDOWS})
    for value, name in ((image, "image"), (kernel, "kernel"), (bias, "bias")):
        dtype = adapter.dtype(value) if adapter.recognises(value) else str(getattr(value, "dtype", ""))
        if dtype.startswith("complex") or isinstance(value, complex):
            raise DtypeError(
                f"{name}: expected real numbers; received {dtype or 'complex'}; filter real and imaginary part"
            )
    dtype = _tensor_dtype(adapter, image, kernel)
    like = image if adapter.recognises(image) else kernel if adapter.recognises(kernel) else bias
    pixels, weights = adapter.tensor(image, dtype, like), adapter.tensor(kernel, dtype, like)
    if axes is not None:
        pixels = adapter.transpose(pixels, axes.inward)
    if is_bank:
        pixels, weights = (adapter.reshape(t, shape) for t, shape in zip((pixels, weights), shapes))
    if bias is not None:
        bias = adapter.tensor(bias, dtype, like)
        expected = shapes[1][:1] if len(shapes[1]) == 4 else (1,)
        if adapter.shape(bias) not in ((), (1,), expected):
            raise ArgumentError(f"bias: expected a number or shape {expected}; received shape {adapter.shape(bias)}")
    result = adapter.correlate(operation, pixels, weights, bias)
    return result if axes is None else adapter.transpose(result, axes.back)


def _tensor_dtype(adapter: Adapter, image: Any, kernel: Any) -> str:
    """Return the dtype of the computation: the image's, the kernel's if the image has integers, else float32."""
    found = "float32"
    for value in (kernel, image):
        if adapter.recognises(value) and "float" in adapter.dtype(value):
            found = adapter.dtype(value)
    return found
