"""The chooser for layers of kernels and their gradients: shapes in, a printable plan out, and the plan executed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernelfield.engine import channels, gradients, portable
from kernelfield.engine.choice import engine


@dataclass(frozen=True)
class LayerPlan:
    """How a layer of kernels, or one of its gradients, will be computed.

    Attributes
    ----------
    operation : str
        ``"forward"``, ``"weight_gradient"`` or ``"image_gradient"``.
    method : str
        ``"halide"`` (sliding products, lag products) or ``"portable"`` (matrix products in NumPy's BLAS).
    image_shape, weights_shape, output_shape : tuple of int
        Shapes (N, C_in, H, W), (C_out, C_in / groups, kh, kw) and (N, C_out, OH, OW).
    stride, dilation : tuple of int
        Of rows and of columns.
    groups : int
        Of channels.
    cost : int
        Multiply-adds.
    reason : str
        Why this method.
    """

    operation: str
    method: str
    image_shape: tuple[int, ...]
    weights_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    cost: int
    reason: str

    def __str__(self) -> str:
        image, weights, output = (
            "×".join(map(str, s)) for s in (self.image_shape, self.weights_shape, self.output_shape)
        )
        return (
            f"{self.operation} by {self.method}: {image} with {weights} -> {output}, "
            f"{self.cost:,} multiply-adds ({self.reason})"
        )


def plan_layer(
    operation: str,
    image_shape: tuple[int, ...],
    weights_shape: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> LayerPlan:
    """Return the plan for a layer or one of its gradients; no pixel is read.

    Without compiled code, matrix products. With it, what two models of the time say, fitted to measurements: compiled
    code does few channels and wide rows well, matrix products many channels.
    """
    rows, columns = (
        (n - (k - 1) * d - 1) // s + 1
        for n, k, s, d in zip(image_shape[2:], weights_shape[2:], stride, dilation, strict=True)
    )
    output = (image_shape[0], weights_shape[0], rows, columns)
    cost = math.prod(output) * math.prod(weights_shape[1:])
    method, reason, _ = engine()
    if method == "direct":
        compiled, matrix = _nanoseconds(operation, image_shape, weights_shape, output, stride, dilation, groups)
        method = "halide" if compiled <= matrix else "portable"
        reason = f"about {compiled / 1e6:.2g} ms compiled, {matrix / 1e6:.2g} ms as matrix products"
    return LayerPlan(
        operation, method, tuple(image_shape), tuple(weights_shape), output, stride, dilation, groups, cost, reason
    )


def _nanoseconds(
    operation: str,
    image_shape: tuple[int, ...],
    weights_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> tuple[float, float]:
    """Return models of the time of compiled code and of matrix products, for two cores."""
    cost = math.prod(output_shape) * math.prod(weights_shape[1:])
    taps = weights_shape[2] * weights_shape[3]
    filters = weights_shape[0] // groups
    blocks = 15e3 + 10e3 * image_shape[0] * groups
    if operation == "weight_gradient":
        common = [math.gcd(s, d) for s, d in zip(stride, dilation, strict=True)]
        phases = math.prod(stride) * math.prod(dilation) // math.prod(common) ** 2
        calls = phases * image_shape[0] * weights_shape[0] * weights_shape[1]
        copied = math.prod(image_shape) + math.prod(output_shape) if stride[1] > 1 or dilation[1] > 1 else 0
        compiled = 30e3 * calls + cost * (0.03 + 0.3 * phases / taps) + 1.2 * copied
        return compiled, blocks + cost * (0.015 + (0.25 if stride[1] == 1 else 0.6) / filters)
    if operation == "image_gradient":
        phases = stride[0] * stride[1]
        waste = _waste(image_shape[3] / stride[1])
        copied = math.prod(image_shape) if stride[1] > 1 else 0
        compiled = 40e3 * phases + cost * (0.02 + 0.15 * phases / taps) * waste + 1.5 * copied
        return compiled, blocks + cost * (0.015 + 1.2 / filters)
    if image_shape[1] == groups == 1 and stride == (1, 1) and (filters == 1 or engine().native):
        return 0.03 * cost, blocks + 0.4 * cost / filters
    slower = {1: 1.0, 2: 1.7}.get(stride[1], 10.0)
    compiled = 40e3 * dilation[0] + cost * (0.02 + 0.15 / taps) * slower * _waste(output_shape[3])
    return compiled, blocks + cost * (0.018 + (0.4 if stride[1] == 1 else 0.7) / filters)


def _waste(columns: float) -> float:
    """Return by what factor rows of outputs are computed too wide, for narrow ones."""
    return max(1.0, 64 / max(columns, 1))


def is_many_channels(
    image_shape: tuple[int, ...],
    weights_shape: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> bool:
    """Return whether a framework's own convolution is better than this engine's at this layer.

    The numbers of channels decide. Measured against PyTorch: its kernels work on blocks of 8 or 16 filters, and are
    slow where those stay empty, whatever the size, the stride and the dilation.
    """
    filters, inputs = weights_shape[0] // groups, weights_shape[1]
    return groups >= 16 or (filters >= 8 and inputs >= 3 and filters * inputs >= 64)


def forward(
    image: np.ndarray,
    weights: np.ndarray,
    out: np.ndarray,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    bias: np.ndarray | None = None,
) -> None:
    """Write the cross-correlation of a layer into `out`; `channels.forward` says what it is."""
    if out.size:
        plan = plan_layer("forward", image.shape, weights.shape, stride, dilation, groups)
        method = channels.forward if plan.method == "halide" else portable.forward
        method(image, weights, out, stride, dilation, groups, bias)


def weight_gradient(
    image: np.ndarray,
    gradient: np.ndarray,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> np.ndarray:
    """Return the gradient of a layer with respect to its weights (C_out, C_in / groups, kh, kw)."""
    weights_shape = (gradient.shape[1], image.shape[1] // groups, *kernel_size)
    if not gradient.size:
        return np.zeros(weights_shape, gradient.dtype)
    plan = plan_layer("weight_gradient", image.shape, weights_shape, stride, dilation, groups)
    method = gradients.weight_gradient if plan.method == "halide" else portable.weight_gradient
    return method(image, gradient, kernel_size, stride, dilation, groups)


def image_gradient(
    gradient: np.ndarray,
    weights: np.ndarray,
    image_shape: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    before: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Return the gradient of a layer with respect to its image (N, C_in, H, W), extended by `before` in front."""
    if not gradient.size:
        return np.zeros(image_shape, gradient.dtype)
    read = [
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(gradient.shape[2:], stride, weights.shape[2:], dilation, strict=True)
    ]
    plan = plan_layer("image_gradient", (*image_shape[:2], *read), weights.shape, stride, dilation, groups)
    method = gradients.image_gradient if plan.method == "halide" else portable.image_gradient
    return method(gradient, weights, image_shape, stride, dilation, groups, before)
