"""Gradients of PyTorch modules and functions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from kernelfield.errors import ArgumentError
from kernelfield.receptive.gradients.pullback import Call, Prepared, Pullback


def prepare(model: Any, calls: Sequence[Call]) -> Prepared:
    """Return the function from an image to the pullback of the first module of `calls` that exists, or of the result.

    A copy in float64 and in evaluation mode is used; the model does not change.
    """
    twin = copy.deepcopy(model).to(torch.float64).eval().requires_grad_(False)
    device = next((p.device for p in twin.parameters()), torch.device("cpu"))
    if not calls:
        return lambda image: of_function(twin, image, device)
    kept: list[torch.Tensor] = []
    module, (name, call) = _module(twin, calls)

    def keep(_: object, inputs: object, output: Any) -> Any:
        kept.append(_tensor(output, name))
        # The following layers may work in place: they get a copy.
        return output.clone() if isinstance(output, torch.Tensor) else output

    def choose(_: object) -> torch.Tensor:
        found, kept[:] = list(kept), []
        if len(found) < max(1, call):
            raise ArgumentError(f"layer: expected a module that is called; {name!r} is called {len(found)} times")
        return found[call - 1]

    module.register_forward_hook(keep)
    return lambda image: of_function(twin, image, device, choose)


def of_function(
    function: Callable[[Any], Any],
    image: np.ndarray,
    device: Any = "cpu",
    choose: Callable[[Any], torch.Tensor] | None = None,
) -> Pullback:
    """Return the pullback of a function's result, or of the tensor that `choose` takes from it."""
    leaf = torch.tensor(image, dtype=torch.float64, device=device, requires_grad=True)
    with torch.enable_grad():
        # PyTorch refuses operations in place on a view of the leaf.
        output = function(leaf.clone())
        y = (choose or _tensor)(output)

    def back(seed: np.ndarray) -> np.ndarray:
        weights = torch.tensor(seed, dtype=y.dtype, device=y.device)
        (found,) = torch.autograd.grad(y, [leaf], weights, retain_graph=True, allow_unused=True)
        return np.zeros(image.shape) if found is None else found.detach().cpu().double().numpy()

    if not y.requires_grad:
        raise ArgumentError(
            "layer: expected an output that depends on the image by a gradient; received one that does not"
        )
    return Pullback(tuple(y.shape), str(y.dtype).removeprefix("torch."), back, channels_last=False)


def _module(model: torch.nn.Module, calls: Sequence[Call]) -> tuple[torch.nn.Module, Call]:
    """Return the first of the named modules that the model has, and its call."""
    modules = dict(model.named_modules())
    for name, call in calls:
        if name in modules:
            return modules[name], (name, call)
    raise ArgumentError(
        f"layer: expected the name of a module, for whose output there is a gradient; received {calls[0][0]!r}; "
        "see named_modules()"
    )


def _tensor(output: Any, what: str = "") -> torch.Tensor:
    """Return the only tensor of floats in an output."""
    found = list(_tensors(output))
    if len(found) != 1:
        raise ArgumentError(
            f"layer: expected one tensor of floats {f'from {what!r}' if what else 'as the result'}; received "
            f"{len(found)}; name a layer that gives one"
        )
    return found[0]


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        if output.is_floating_point():
            yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
