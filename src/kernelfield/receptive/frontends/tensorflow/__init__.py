"""Frontend for TensorFlow functions, graphs, modules and SavedModels."""

from kernelfield.receptive.frontends.tensorflow.model import graph

__all__ = ["graph"]
