"""MXNet: the layer `Conv2d` for Gluon, and the adapter of arrays and symbols for `kernelfield.correlate`."""

from __future__ import annotations

from kernelfield.mxnet.layers import Conv2d

__all__ = ["Conv2d"]
