"""A cross-correlation of tensors: their arguments checked, and handed to the adapter of their framework."""

from __future__ import annotations

from typing import Any

from kernelfield.arrays.base import Adapter
from kernelfield.correlation.arguments import (
    check_kernel,
    check_kernel_shape,
    check_operation,
    check_pixels,
    weights_and_origin,
)
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.kernels import Kernel


def correlate_tensors(adapter: Adapter, image: Any, kernel: Any, bias: Any, how: dict[str, Any]) -> Any:
    """Return the result on tensors of one framework; what is not a tensor yet becomes one."""
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
    is_bank = len(shapes[1]) == 3
    if is_bank:
        shapes = [(*shapes[0][:-2], 1, *shapes[0][-2:]), (shapes[1][0], 1, *shapes[1][1:])]
    # Not from memory: compilers trace this, and do not look through what remembers.
    operation = check_operation(*shapes, own_origin=own_origin, **how)
    for value, name in ((image, "image"), (kernel, "kernel"), (bias, "bias")):
        held = adapter.dtype(value) if adapter.recognises(value) else str(getattr(value, "dtype", ""))
        if held.startswith("complex") or isinstance(value, complex):
            raise DtypeError(f"{name}: expected real numbers; received {held or 'complex'}; take its parts apart")
    dtype = _tensor_dtype(adapter, image, kernel)
    like = image if adapter.recognises(image) else kernel if adapter.recognises(kernel) else bias
    pixels, weights = adapter.tensor(image, dtype, like), adapter.tensor(kernel, dtype, like)
    if is_bank:
        pixels, weights = (adapter.reshape(t, shape) for t, shape in zip((pixels, weights), shapes))
    if bias is not None:
        bias = adapter.tensor(bias, dtype, like)
        wanted = shapes[1][:1] if len(shapes[1]) == 4 else (1,)
        if adapter.shape(bias) not in ((), (1,), wanted):
            raise ArgumentError(f"bias: expected a number or shape {wanted}; received shape {adapter.shape(bias)}")
    return adapter.correlate(operation, pixels, weights, bias)


def _tensor_dtype(adapter: Adapter, image: Any, kernel: Any) -> str:
    """Return the dtype in which tensors are computed: the image's, or the kernel's where the image holds integers."""
    found = "float32"
    for value in (kernel, image):
        if adapter.recognises(value) and "float" in adapter.dtype(value):
            found = adapter.dtype(value)
    return found
