"""The layer beside PyTorch's own over channels, kernels, strides, sizes: the figures of `TorchAdapter.is_faster`.

Processor time on one thread, so that other programs disturb little.

python -m benchmarks.crossover
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import torch

import kernelfield as kf
from kernelfield.tensors.layer import layer_operation
from kernelfield.torch import Conv2d
from kernelfield.torch.adapter import ADAPTER

#: Input channels, filters, groups.
CHANNELS = (
    (1, 1, 1),
    (1, 8, 1),
    (1, 32, 1),
    (3, 3, 1),
    (3, 8, 1),
    (3, 16, 1),
    (8, 7, 1),
    (32, 3, 1),
    (4, 4, 4),
    (8, 8, 2),
)
#: Kernel size, stride.
WINDOWS = ((1, 1), (3, 1), (3, 2), (7, 1), (7, 2))
SIZES = (28, 64, 112, 256)


def seconds(call: Callable[[], object]) -> float:
    """Return the least processor time of a call."""
    call()
    times = []
    for _ in range(5):
        start = time.process_time()
        call()
        call()
        times.append((time.process_time() - start) / 2)
    return min(times)


def ratio(ours: torch.nn.Module, theirs: torch.nn.Module, image: torch.Tensor, gradients: bool) -> float:
    """Return PyTorch's time over ours, of the layer or of the layer and its gradients."""

    def call(layer: torch.nn.Module) -> object:
        with torch.set_grad_enabled(gradients):
            result = layer(image)
            return torch.autograd.grad(result.sum(), (image, *layer.parameters())) if gradients else result

    other, own = (seconds(lambda layer=layer: call(layer)) for layer in (theirs, ours))
    return other / own


def main() -> None:
    torch.set_num_threads(1)
    kf.set_threads(1)
    rule = ADAPTER.is_faster
    print("channels, groups; kernel, stride; image: times faster (with gradients); * where the engine is used")
    for (inputs, filters, groups), (size, stride), pixels in itertools.product(CHANNELS, WINDOWS, SIZES):
        settings = dict(kernel_size=size, stride=stride, padding=size // 2, groups=groups)
        ours, theirs = (kind(inputs, filters, **settings) for kind in (Conv2d, torch.nn.Conv2d))
        operation = layer_operation(size, stride, groups=groups)
        found = []
        for gradients in (False, True):
            image = torch.randn(1, inputs, pixels, pixels, requires_grad=gradients)
            used = rule(operation, tuple(image.shape), tuple(ours.weight.shape), gradients)
            ADAPTER.is_faster = lambda *shapes: True  # type: ignore[method-assign]
            found.append(f"{ratio(ours, theirs, image, gradients):.2f}{'*' if used else ''}")
        print(f"{inputs} to {filters}, {groups}; {size}×{size}, {stride}; {pixels}²: {found[0]} ({found[1]})")


if __name__ == "__main__":
    main()
