"""Frontend for JAX functions and Flax modules."""

from kernelfield.receptive.frontends.jax.model import graph

__all__ = ["graph"]
