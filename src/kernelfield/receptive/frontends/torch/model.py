"""PyTorch modules as graphs, traced by torch.export; weights are neither needed nor read."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch

from kernelfield.errors import ArgumentError
from kernelfield.receptive.frontends.torch.image_shape import candidates
from kernelfield.receptive.frontends.torch.walk import walk
from kernelfield.receptive.graph import Graph


def graph(
    model: Any,
    input_size: int | Sequence[int],
    *,
    unknown: Literal["error", "global"] = "error",
    channels: int | None = None,
    arguments: Sequence[Any] = (),
    keywords: Mapping[str, Any] | None = None,
) -> Graph:
    """Return the graph of a PyTorch module in evaluation mode.

    Parameters
    ----------
    model : torch.nn.Module or torch.export.ExportedProgram
        On any device, the meta device included.
    input_size : sequence of int
        Spatial extents, ``(H, W)``, ``(W,)`` or ``(D, H, W)``, or the shape of the whole tensor. For an exported
        program it must be the size of the export.
    unknown : {"error", "global"}
    channels : int, optional
        Of the image; by default derived from the model.
    arguments, keywords : sequence, mapping
        Arguments of the model besides the image, which is the first.

    Raises
    ------
    ArgumentError
        If the model cannot be traced at this size.
    UnsupportedOperation
        If it holds an operation that is not known.
    """
    if isinstance(model, torch.export.ExportedProgram):
        return walk(model, unknown, input_size)
    # Trace the module inside a torch.compile wrapper.
    model = getattr(model, "_orig_mod", model)
    shapes = candidates(model, input_size, channels)
    failures: list[tuple[tuple[int, ...], Exception]] = []
    with _evaluating(model):
        for shape in shapes:
            try:
                program = _exported(model, shape, arguments, keywords or {})
            except Exception as error:  # whatever the model's own code raises
                failures.append((shape, error))
            else:
                return walk(program, unknown)
    tried, failure = failures[0]
    reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
    raise ArgumentError(
        f"model: expected a module that torch.export traces for an image of {tried}; received {type(failure).__name__}"
        f" ({reason}); give channels=, arguments= or the whole shape, or trace it yourself and pass the ExportedProgram"
    ) from failure


def _exported(model: Any, shape: tuple[int, ...], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    first = next((p for p in (*model.parameters(), *model.buffers()) if p.is_floating_point()), None)
    image = torch.empty(
        shape,
        dtype=torch.get_default_dtype() if first is None else first.dtype,
        device="cpu" if first is None else first.device,
    )
    try:
        return torch.export.export(model, (image, *arguments), dict(keywords), strict=False)
    except Exception as first_error:
        # The strict mode analyses the bytecode, and traces some models that the other cannot.
        try:
            return torch.export.export(model, (image, *arguments), dict(keywords), strict=True)
        except Exception:
            raise first_error from None


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Put a model into evaluation mode, and restore its modes at the end."""
    modes = {module: module.training for module in model.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    # A wrong channel count is reported in the error; torch.export would log it to stderr too.
    log = logging.getLogger("torch.export._trace")
    silent, log.disabled = log.disabled, True
    try:
        model.eval()
        # The fused attention is a single operation, whose parts cannot be seen.
        torch.backends.mha.set_fastpath_enabled(False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = silent
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, training in modes.items():
            module.training = training
