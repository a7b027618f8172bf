"""`swap`: the convolutions of a model of PyTorch that kernelfield's engine computes faster, replaced in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from kernelfield.engine.layers import engine_is_better
from kernelfield.tensors.adapter import ENGINE_DTYPES
from kernelfield.tensors.layer import layer_operation
from kernelfield.torch.adapter import ADAPTER
from kernelfield.torch.layers import Conv2d

Model = TypeVar("Model", bound=torch.nn.Module)


def swap(model: Model, report: Callable[[str], object] | None = print) -> Model:
    """Return the model, with every `torch.nn.Conv2d` that the engine computes faster made a `kernelfield.torch.Conv2d`.

    The modules stay the objects that they are: parameters, hooks, the training mode, shared modules and what an
    optimiser refers to remain. Subclasses of `torch.nn.Conv2d` and layers on another device or in another dtype than
    the engine's are left alone.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place.
    report : callable, optional
        Called with a line for each convolution, which says whether it was replaced and why, and with a line at the
        end; None for silence.

    Returns
    -------
    torch.nn.Module
        `model`.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 5), torch.nn.Conv2d(3, 64, 3))
    >>> swap(model)[0](torch.zeros(1, 1, 16, 16)).shape
    0: Conv2d(1, 3, kernel_size=(5, 5), stride=(1, 1)): replaced, 3 filters over 1 channel
    1: Conv2d(3, 64, kernel_size=(3, 3), stride=(1, 1)): kept, PyTorch is faster with 64 filters over 3 channels
    1 of 2 convolutions replaced
    torch.Size([1, 3, 12, 12])
    """
    say = report or (lambda line: None)
    convolutions = [(name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.Conv2d)]
    replaced = 0
    for name, layer in convolutions:
        text = f"{type(layer).__name__}({layer.extra_repr()})"
        reason = _reason_to_keep(layer)
        if reason is None:
            layer.__class__ = Conv2d
            replaced += 1
        say(f"{name or 'model'}: {text}: {f'kept, {reason}' if reason else f'replaced, {_channels(layer)}'}")
    say(f"{replaced} of {len(convolutions)} convolution{'' if len(convolutions) == 1 else 's'} replaced")
    return model


def _reason_to_keep(layer: torch.nn.Conv2d) -> str | None:
    """Return why a convolution is left to PyTorch; None for one to replace."""
    if isinstance(layer, Conv2d):
        return "kernelfield's already"
    if isinstance(layer, torch.nn.LazyConv2d):
        return "its channels are not known; call the model on an image first"
    if type(layer) is not torch.nn.Conv2d:
        return "a subclass of torch.nn.Conv2d"
    if not layer.weight.is_cpu:
        return f"on {layer.weight.device}"
    if not ADAPTER.is_concrete(layer.weight):
        return f"weights of type {type(layer.weight).__name__}"
    if ADAPTER.dtype(layer.weight) not in ENGINE_DTYPES:
        return f"dtype {ADAPTER.dtype(layer.weight)}"
    operation = layer_operation(tuple(layer.weight.shape[2:]), groups=layer.groups)
    if not engine_is_better(operation, (), tuple(layer.weight.shape)):
        return f"PyTorch is faster with {_channels(layer)}"
    return None


def _channels(layer: torch.nn.Conv2d) -> str:
    filters, inputs = layer.weight.shape[0] // layer.groups, layer.weight.shape[1]
    shape = f"{filters} filter{'s' * (filters > 1)} over {inputs} channel{'s' * (inputs > 1)}"
    return f"{shape}, {layer.groups} groups" if layer.groups > 1 else shape
