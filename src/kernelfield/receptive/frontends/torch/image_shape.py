"""Possible shapes of the image tensor of a PyTorch module."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from kernelfield.errors import ArgumentError


def candidates(model: Any, input_size: int | Sequence[int], channels: int | None) -> list[tuple[int, ...]]:
    """Return shapes of the image tensor, the most probable first.

    `input_size` holds the spatial extents, or is the whole shape; the rank of the convolutions decides which (a module
    without any counts as one for images).
    """
    try:
        sizes = tuple(operator.index(n) for n in (input_size if isinstance(input_size, Sequence) else (input_size,)))
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 1 or len(sizes) > 5:
        raise ArgumentError(
            "input_size: expected spatial extents, such as (224, 224), or the shape of the tensor; "
            f"received {input_size!r}"
        )
    ranks = _ranks(model) or [len(sizes) if len(sizes) < 4 else len(sizes) - 2]
    rank = next((rank for rank in ranks if len(sizes) in (rank, rank + 2)), None)
    if rank is None:
        raise ArgumentError(
            f"input_size: expected {ranks[0]} spatial extents or {ranks[0] + 2} of the whole tensor; received {sizes}"
        )
    if len(sizes) == rank + 2:
        return [sizes]
    counts = [channels] if channels is not None else list(dict.fromkeys([*_channels(model), 3, 1]))
    return [(1, count, *sizes) for count in counts]


def _convolutions(model: Any) -> list[Any]:
    from torch.nn.modules.conv import _ConvNd

    return [module for module in model.modules() if isinstance(module, _ConvNd)]


def _ranks(model: Any) -> list[int]:
    """Return the numbers of spatial axes of a module's convolutions, that of the first one first."""
    return list(dict.fromkeys(len(module.kernel_size) for module in _convolutions(model)))


def _channels(model: Any) -> list[int]:
    """Return possible numbers of channels of the image."""
    said = getattr(getattr(model, "config", None), "num_channels", None)
    convolutions = _convolutions(model)
    first = [module.in_channels for module in convolutions[:1]]
    others = sorted({module.in_channels for module in convolutions if module.in_channels <= 4})
    return [n for n in ([said] if isinstance(said, int) else []) + first + others if n > 0]
