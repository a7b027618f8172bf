"""PyTorch: the layers `Conv2d`, `LazyConv2d` and `Filter2d`, `swap`, and the adapter of tensors."""

from __future__ import annotations

from kernelfield.torch.layers import Conv2d, Filter2d, LazyConv2d
from kernelfield.torch.swap import swap

__all__ = ["Conv2d", "Filter2d", "LazyConv2d", "swap"]
