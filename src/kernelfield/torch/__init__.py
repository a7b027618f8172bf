"""PyTorch: the layer `Conv2d`, and the adapter of tensors for `kernelfield.correlate`."""

from __future__ import annotations

from kernelfield.torch.layers import Conv2d

__all__ = ["Conv2d"]
