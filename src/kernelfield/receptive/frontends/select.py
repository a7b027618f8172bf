"""Which frontend reads a model; the frameworks that a model is not of are not imported."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol, cast

from kernelfield.errors import ArgumentError
from kernelfield.receptive.graph import Graph

#: In the order they are asked: a Keras model may be a PyTorch module too, a TensorFlow module a Keras one.
FRONTENDS = ("keras", "torch", "jax", "mxnet", "tensorflow", "onnx")


class Frontend(Protocol):
    """What reads the models of one framework."""

    def accepts(self, model: Any) -> bool:
        """Return whether the model is one of this framework, without importing it."""

    def graph(self, model: Any, input_size: Any, *, unknown: Any = "error", **options: Any) -> Graph:
        """Return the model's graph at a size of the image."""


def select(model: Any) -> Frontend:
    """Return the frontend of a model.

    Raises
    ------
    ArgumentError
        If the model is of none of the frameworks.
    """
    for name in FRONTENDS:
        frontend = cast(Frontend, import_module(f"kernelfield.receptive.frontends.{name}"))
        if frontend.accepts(model):
            return frontend
    raise ArgumentError(
        "model: expected a module or function of PyTorch, Keras, Flax, JAX, TensorFlow or MXNet, or an ONNX model "
        f"or its path; received {type(model).__module__}.{type(model).__qualname__}"
    )


def graph(model: Any, input_size: Any, **options: Any) -> Graph:
    """Return a model's graph at a size of the image, by the frontend of its framework."""
    return select(model).graph(model, input_size, **options)
