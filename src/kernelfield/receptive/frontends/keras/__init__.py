"""Frontend for Keras 3 models, on any backend."""

from kernelfield.receptive.frontends.keras.model import graph

__all__ = ["graph"]
