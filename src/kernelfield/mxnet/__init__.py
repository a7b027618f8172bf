"""MXNet: the layers `Conv2D` and `Filter2D` for Gluon, and the adapter of arrays and symbols."""

from __future__ import annotations

from kernelfield.mxnet.layers import Conv2D, Filter2D

__all__ = ["Conv2D", "Filter2D"]
