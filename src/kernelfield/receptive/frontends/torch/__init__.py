"""Frontend for PyTorch modules and exported programs."""

from kernelfield.receptive.frontends.torch.model import graph

__all__ = ["graph"]
