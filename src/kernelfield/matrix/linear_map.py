"""The operation as a linear map: kernel, image shape and options, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.correlation.arguments import (
    check_channels_first,
    check_image_shape,
    check_operation,
    weights_and_origin,
)
from kernelfield.errors import ArgumentError, received
from kernelfield.geometry import Operation
from kernelfield.tensors.registry import adapter_of


@dataclass(frozen=True)
class LinearMap:
    """A checked operation that maps images of one shape linearly to results of another."""

    operation: Operation
    weights: np.ndarray
    image_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """Rows (elements of the result) and columns (pixels) of the matrix."""
        return math.prod(self.output_shape), math.prod(self.image_shape)


def check_linear_map(kernel: Any, image_shape: Sequence[int], *, cval: float = 0.0, **how: Any) -> LinearMap:
    """Return the checked linear map; `how` holds the other arguments of `correlate`."""
    shape = check_image_shape(image_shape)
    check_channels_first(shape)
    adapter = adapter_of(kernel)
    if adapter is not None:
        if not adapter.is_concrete(kernel):
            raise ArgumentError(
                "kernel: expected numbers; received a tensor on a device or in a trace; copy it to the CPU"
            )
        kernel = adapter.to_numpy(kernel)
    weights, own_origin = weights_and_origin(kernel)
    if weights.ndim == 3:
        raise ArgumentError(
            f"kernel: expected two axes (kh, kw) or four (C_out, C_in/groups, kh, kw); received shape {weights.shape}; "
            "give kernel[:, None] and an image_shape with one channel"
        )
    operation = check_operation(shape, weights.shape, own_origin=own_origin, cval=cval, **how)
    if operation.boundary == "constant" and operation.pads and operation.cval != 0:
        raise ArgumentError(
            f"cval: expected 0, which makes the operation linear; received {received(cval)}; "
            "add the result of correlate for an image of zeros with this cval to the product"
        )
    return LinearMap(operation, weights, shape, operation.output_shape(shape, weights.shape))
