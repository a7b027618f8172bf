"""Possible shapes of the input tensor of a PyTorch module, and which of its axes are spatial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from kernelfield.errors import ArgumentError, received
from kernelfield.receptive.frontends.image_size import checked_size


def candidates(model: Any, input_size: int | Sequence[int] | None, channels: int | None) -> list[tuple[int, ...]]:
    """Return shapes of the input tensor, the most probable first.

    `input_size` holds the spatial extents, or the shape with channels, or the whole shape; a number stands for all
    spatial extents. The rank of the convolutions decides which (a module without any counts as one for images). Where
    the module takes no channels, for raw waves (N, L) and spectrograms (N, F, T), the shape without them comes last.

    Parameters
    ----------
    model : torch.nn.Module
    input_size : int or sequence of int, optional
        If not given, the size that timm's or transformers' configuration of the model says.
    channels : int, optional
    """
    given: Any = stated(model) if input_size is None else input_size
    if given is None:
        raise ArgumentError(
            "input_size: expected spatial extents, such as (224, 224), or the shape of the tensor; received None, and "
            "the model's configuration says none"
        )
    sizes, alone = checked_size(given)
    if sizes is None or len(sizes) > 5:
        raise ArgumentError(
            "input_size: expected spatial extents, such as (224, 224), or the shape of the tensor; "
            f"received {received(input_size)}"
        )
    counts = list(dict.fromkeys([*_channels(model), 3, 1]))
    if alone:
        ranks = _ranks(model) or [2]
        sizes *= ranks[0]
    else:
        ranks = _ranks(model) or [len(sizes) if len(sizes) < 4 else len(sizes) - 2]
    for rank in ranks:
        if len(sizes) == rank + 2:
            return [sizes]
        if len(sizes) == rank:
            wanted = counts if channels is None else [channels]
            return [*((1, count, *sizes) for count in wanted), (1, *sizes)]
        if len(sizes) == rank + 1:
            known = [(1, *sizes)] if sizes[0] in (counts if channels is None else [channels]) else []
            without = [sizes] if sizes[0] == 1 else []
            if known or without:
                return [*known, *without]
    raise ArgumentError(
        f"input_size: expected {ranks[0]} spatial extents, {ranks[0] + 1} with the channels or {ranks[0] + 2} of the "
        f"whole tensor; received {sizes}"
    )


def stated(model: Any) -> tuple[int, ...] | int | None:
    """Return the size of the image that the configuration of a model of timm or transformers says."""
    for name in ("pretrained_cfg", "default_cfg"):
        found = getattr(model, name, None)
        size = found.get("input_size") if isinstance(found, dict) else None
        if isinstance(size, (tuple, list)):
            return tuple(size)
    config = getattr(model, "config", None)
    for part in (config, *(getattr(config, name, None) for name in ("vision_config", "backbone_config"))):
        size = getattr(part, "image_size", None)
        if isinstance(size, dict):
            size = (size.get("height"), size.get("width"))
        if isinstance(size, int) or (isinstance(size, (tuple, list)) and all(isinstance(n, int) for n in size)):
            return size if isinstance(size, int) else tuple(size)
    return None


def spatial_axes(node: fx.Node) -> tuple[int, ...]:
    """Return the spatial axes of the input of a program: all behind the channels, which some inputs lack.

    A tensor of two axes is a wave (N, L). One of three is (N, F, T) where its first convolution has two spatial axes,
    (N, T, C) where it is turned before one of a single axis, and (N, C, L) otherwise.
    """
    ndim = len(node.meta["val"].shape)
    if ndim == 2:
        return (1,)
    if ndim != 3:
        return tuple(range(2, ndim))
    pending, seen = [node], {node}
    turned = False
    while pending:
        reader = pending.pop(0)
        for user in reader.users:
            name = str(user.target)
            weight = user.args[1] if "conv" in name and len(user.args) > 1 else None
            if isinstance(weight, fx.Node) and isinstance(weight.meta.get("val"), torch.Tensor):
                if weight.meta["val"].ndim == 4:
                    return (1, 2)
                return (1,) if turned else (2,)
            turned = turned or (reader is node and ("transpose" in name or "permute" in name))
            if user not in seen:
                seen.add(user)
                pending.append(user)
    return (2,)


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
