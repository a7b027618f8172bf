"""Whose differentiation a model takes: that of the framework whose frontend reads it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from kernelfield.errors import ArgumentError
from kernelfield.receptive.frontends.select import select
from kernelfield.receptive.gradients.base import Call, Prepared

_FRAMEWORKS = ("keras", "torch", "jax", "mxnet", "tensorflow")


def prepare(model: Any, calls: Sequence[Call]) -> Prepared:
    """Return what gives the way back from a layer of a model, or from its result where `calls` is empty.

    Parameters
    ----------
    model : object
        What was given to `kernelfield.receptive_field`.
    calls : sequence of (str, int)
        Names of the layer: a framework may know it by any of them.

    Raises
    ------
    ArgumentError
        If the model has no gradient, or the layer none of its own.
    """
    framework = "" if model is None else cast(Any, select(model)).__name__.rpartition(".")[2]
    if framework not in _FRAMEWORKS:
        raise ArgumentError(
            "model: expected one of PyTorch, Keras, JAX, TensorFlow or MXNet with its weights, which has gradients; "
            f"received {framework.upper() or 'a graph alone'}; load the model in its framework"
        )
    return cast(Prepared, import_module(f"kernelfield.receptive.gradients.{framework}").prepare(model, calls))
