"""Keras: the layer `Conv2d`, and the adapter of TensorFlow's tensors for `kernelfield.correlate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernelfield.keras.layers import Conv2d

__all__ = ["Conv2d"]


def __getattr__(name: str) -> Any:
    # Loaded at first use: the adapter, which is in this package too, does not need Keras.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kernelfield.keras import layers

    return getattr(layers, name)
