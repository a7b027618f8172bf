"""Choice of the framework that differentiates a model: the one whose frontend reads it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

from kernelfield.errors import ArgumentError
from kernelfield.receptive.frontends.select import framework_of
from kernelfield.receptive.gradients.pullback import Call, Prepared

_FRAMEWORKS = ("keras", "torch", "jax", "mxnet", "tensorflow")


def prepare(model: Any, calls: Sequence[Call]) -> Prepared:
    """Return the function from an image to the pullback of a layer of a model, or of its result if `calls` is empty.

    Parameters
    ----------
    model : object
        The model given to `kernelfield.receptive_field`.
    calls : sequence of (str, int)
        Names of the layer; the framework may find it by any of them.

    Raises
    ------
    ArgumentError
        If the model has no gradients, or none for this layer.
    """
    framework = "" if model is None else framework_of(model)
    if framework not in _FRAMEWORKS:
        raise ArgumentError(
            "model: expected one of PyTorch, Keras, JAX, TensorFlow or MXNet with its weights, which has gradients; "
            f"received {framework.upper() or 'a graph alone'}; load the model in its framework"
        )
    return cast(Prepared, import_module(f"kernelfield.receptive.gradients.{framework}").prepare(model, calls))
