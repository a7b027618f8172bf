"""Keras: the layers `Conv2D` and `Filter2D`, and the adapter of TensorFlow's tensors for `kernelfield.correlate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfield.keras.layers import Conv2D, Filter2D

__all__ = ["Conv2D", "Filter2D"]


def __getattr__(name: str) -> Any:
    # Loaded at first use: the adapter, which is in this package too, does not need Keras.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kernelfield.keras import layers

    return getattr(layers, name)
