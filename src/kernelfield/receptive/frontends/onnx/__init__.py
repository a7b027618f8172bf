"""Frontend for ONNX models."""

from kernelfield.receptive.frontends.onnx.model import graph

__all__ = ["graph"]
