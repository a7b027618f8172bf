"""Frontend for MXNet symbols and Gluon blocks."""

from kernelfield.receptive.frontends.mxnet.model import graph

__all__ = ["graph"]
