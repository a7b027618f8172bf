"""PyTorch modules as graphs, traced by torch.export; weights are neither needed nor read."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any, Literal

import torch

from kernelfield.errors import ArgumentError
from kernelfield.receptive.frontends.torch.image_shape import candidates
from kernelfield.receptive.frontends.torch.walk import walk
from kernelfield.receptive.graph import Graph

# Letters of the text of an error of PyTorch or of the model.
_LONGEST = 200
# Loggers of PyTorch that may not exist before it exports for the first time.
_LOGGERS = ("torch.export._trace", "torch._export.non_strict_utils", "torch._dynamo.convert_frame")


def graph(
    model: Any,
    input_size: int | Sequence[int] | None = None,
    *,
    unknown: Literal["error", "global"] = "error",
    channels: int | None = None,
    spatial_axes: Sequence[int] | None = None,
    arguments: Sequence[Any] = (),
    keywords: Mapping[str, Any] | None = None,
) -> Graph:
    """Return the graph of a PyTorch module in evaluation mode.

    Parameters
    ----------
    model : torch.nn.Module, torch.jit.ScriptModule or torch.export.ExportedProgram
        On any device, the meta device included. A script is followed by its graph.
    input_size : int or sequence of int, optional
        Spatial extents, ``(H, W)``, ``(L,)`` or ``(D, H, W)``, or one number for all of them; the shape with channels,
        ``(3, H, W)``, or of the whole tensor: ``(N, C, H, W)``, a wave ``(N, L)``, a spectrogram ``(N, F, T)``. By
        default the size that timm or transformers keep with the model. For an exported program it must be that of the
        export.
    unknown : {"error", "global"}
    channels : int, optional
        Of the image; by default derived from the model.
    spatial_axes : sequence of int, optional
        The spatial axes of the input; by default those behind the channels, and those of a wave or a spectrogram.
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
        return walk(model, unknown, input_size, spatial_axes)
    # Trace the module inside a torch.compile wrapper.
    model = getattr(model, "_orig_mod", model)
    shapes = candidates(model, input_size, channels)
    failures: list[tuple[tuple[int, ...], Exception]] = []
    with _evaluating(model):
        for shape in shapes:
            try:
                with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                    program = _exported(model, shape, arguments, keywords or {})
            except Exception as error:  # whatever the model's own code raises
                failures.append((shape, error))
            else:
                return walk(program, unknown, spatial=spatial_axes)
    tried, failure = failures[0]
    reason = (str(failure).strip() or type(failure).__name__).splitlines()[0][:_LONGEST]
    raise ArgumentError(
        f"model: expected a module that torch.export traces for an image of {tried}; received {type(failure).__name__}"
        f" ({reason}); give channels=, arguments= or the whole shape, or trace it yourself and pass the ExportedProgram"
    ) from None


def _exported(model: Any, shape: tuple[int, ...], arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    first = next((p for p in (*model.parameters(), *model.buffers()) if p.is_floating_point()), None)
    image = torch.empty(
        shape,
        dtype=torch.get_default_dtype() if first is None else first.dtype,
        device="cpu" if first is None else first.device,
    )
    if isinstance(model, torch.jit.ScriptModule):
        return _scripted(model, (image, *arguments), dict(keywords))
    try:
        return torch.export.export(model, (image, *arguments), dict(keywords), strict=False)
    except Exception as first_error:
        # The strict mode analyses the bytecode, and traces some models that the other cannot.
        try:
            return torch.export.export(model, (image, *arguments), dict(keywords), strict=True)
        except Exception:
            raise first_error from None


def _scripted(model: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Return the program of a TorchScript module, by its graph."""
    from torch._export.converter import TS2EPConverter

    converted = TS2EPConverter(model, arguments, keywords or None).convert()
    # The converter leaves the extents open.
    return torch.export.export(converted.module(), arguments, keywords, strict=False)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Put a model into evaluation mode, and restore its modes at the end."""
    modes = {module: module.training for module in model.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    # What goes wrong is told by the error; PyTorch would log it too, and print the whole program.
    names = [name for name in list(logging.root.manager.loggerDict) if name.startswith("torch.")]
    loggers = [logging.getLogger(name) for name in dict.fromkeys([*_LOGGERS, *names])]
    silent = [log.disabled for log in loggers]
    for log in loggers:
        log.disabled = True
    try:
        model.eval()
        # The fused attention is a single operation, whose parts cannot be seen.
        torch.backends.mha.set_fastpath_enabled(False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, was in zip(loggers, silent, strict=True):
            log.disabled = was
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, training in modes.items():
            module.training = training
