"""JAX: the layers `Conv`, `LinenConv` and `Filter` for Flax, and the adapter of arrays for `kernelfield.correlate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfield.jax.layers import Conv, Filter, LinenConv

__all__ = ["Conv", "Filter", "LinenConv"]


def __getattr__(name: str) -> Any:
    # Loaded at first use: the adapter, which is in this package too, does not need Flax.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kernelfield.jax import layers

    return getattr(layers, name)
