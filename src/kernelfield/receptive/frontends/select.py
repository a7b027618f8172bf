"""Recognising the framework of a model without importing any, and loading that framework's frontend alone."""

from __future__ import annotations

import os
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, Protocol, cast

from kernelfield.errors import ArgumentError, KernelfieldError, reason
from kernelfield.receptive.graph import Graph


class Frontend(Protocol):
    """The package that reads the models of one framework."""

    def graph(self, model: Any, input_size: Any, *, unknown: Any = "error", **options: Any) -> Graph:
        """Return the graph of a model for one size of the image."""


def framework_of(model: Any) -> str:
    """Return the name of the framework of a model: that of its folder among the frontends.

    Raises
    ------
    ArgumentError
        If the model belongs to none of the frameworks.
    """
    for name, recognises in _RECOGNISERS.items():
        if recognises(model):
            return name
    raise ArgumentError(
        "model: expected a module or function of PyTorch, Keras, Flax, JAX, TensorFlow or MXNet, or an ONNX model "
        f"or its path; received {type(model).__module__}.{type(model).__qualname__}"
    )


def graph(model: Any, input_size: Any, **options: Any) -> Graph:
    """Return the graph of a model for one size of the image, by the frontend of its framework."""
    name = framework_of(model)
    frontend = cast(Frontend, import_module(f"kernelfield.receptive.frontends.{name}"))
    try:
        return frontend.graph(model, input_size, **options)
    except (KernelfieldError, ImportError):
        raise
    except Exception as error:
        # The model's own code, or the framework's, where no single node is to blame.
        raise ArgumentError(
            f"model: expected one that its framework ({name}) traces for an image of {input_size}; received "
            f"{type(error).__name__} ({reason(error)}); give the whole shape, or the options of its frontend"
        ) from error


def flax_kind(model: object) -> str:
    """Return ``"nnx"`` or ``"linen"`` for a module of Flax, and nothing for other models."""
    for name, kind in (("flax.nnx", "nnx"), ("flax.linen", "linen")):
        module = sys.modules.get(name)
        if module is not None and isinstance(model, module.Module):
            return kind
    return ""


def _is_keras(model: object) -> bool:
    keras = sys.modules.get("keras")
    # Keras 2 has no KerasTensor at its top level.
    return keras is not None and hasattr(keras, "KerasTensor") and isinstance(model, keras.Layer)


def _is_torch(model: object) -> bool:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return False
    program = getattr(sys.modules.get("torch.export"), "ExportedProgram", ())
    return isinstance(model, (torch.nn.Module, program))


def _is_jax(model: object) -> bool:
    if "jax" not in sys.modules:
        return False
    function = model.func if isinstance(model, partial) else model
    jitted = callable(function) and hasattr(function, "lower") and hasattr(function, "trace")
    return bool(flax_kind(model)) or isinstance(function, FunctionType | MethodType) or jitted


def _is_mxnet(model: object) -> bool:
    mxnet = sys.modules.get("mxnet")
    return mxnet is not None and isinstance(model, (mxnet.sym.Symbol, mxnet.gluon.Block))


def _is_tensorflow(model: object) -> bool:
    if isinstance(model, str | Path):
        return (Path(model) / "saved_model.pb").is_file()
    tf = sys.modules.get("tensorflow")
    if tf is None or type(model).__module__.startswith("keras."):
        return False
    function = hasattr(model, "get_concrete_function") or hasattr(model, "structured_input_signature")
    return function or isinstance(model, tf.compat.v1.GraphDef | tf.Graph | tf.Module)


def _is_onnx(model: object) -> bool:
    if isinstance(model, (str, bytes, bytearray, memoryview, os.PathLike)):
        return True
    onnx = sys.modules.get("onnx")
    return onnx is not None and isinstance(model, onnx.ModelProto)


# Order matters: a Keras model may be a PyTorch module too, a TensorFlow module a Keras one, a path a SavedModel.
_RECOGNISERS = {
    "keras": _is_keras,
    "torch": _is_torch,
    "jax": _is_jax,
    "mxnet": _is_mxnet,
    "tensorflow": _is_tensorflow,
    "onnx": _is_onnx,
}
