"""Gradients of Keras 3 models, by the backend that Keras runs on."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.gradients.pullback import Call, Prepared, Pullback


def prepare(model: Any, calls: Sequence[Call]) -> Prepared:
    """Return the function from an image to the pullback of the first layer of `calls` that exists, or of the result.

    A copy with weights in float64 is evaluated; the model does not change.
    """
    import keras

    backend = keras.backend.backend()
    way = importlib.import_module(f"kernelfield.receptive.gradients.{backend}")
    with _doubles(backend):
        twin = _twin(model)
        if calls:
            twin = keras.Model(twin.inputs, _output(twin, calls))
    device = {"device": next(iter(twin.parameters())).device} if backend == "torch" and twin.weights else {}
    last = all(getattr(layer, "data_format", "channels_last") == "channels_last" for layer in twin.layers)

    def pullback(image: np.ndarray) -> Pullback:
        with _doubles(backend):
            found = way.of_function(lambda x: twin(x, training=False), image, **device)
        return Pullback(found.shape, found.dtype, found.back, channels_last=last)

    return pullback


def _doubles(backend: str) -> AbstractContextManager[Any]:
    """Return the context manager in which a backend computes in float64."""
    if backend != "jax":
        return nullcontext()
    import jax

    return jax.enable_x64(True)  # type: ignore[no-any-return]


def _twin(model: Any) -> Any:
    """Return a copy of a functional or sequential model that computes in float64."""
    import keras

    def double(layer: Any) -> Any:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float64"})

    try:
        twin = keras.models.clone_model(model, clone_function=double, recursive=True)
        twin.set_weights(model.get_weights())
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ArgumentError(
            f"model: expected a functional or sequential model of Keras, which can be copied in float64; received "
            f"{type(model).__name__} ({error}); call it on a keras.Input to make it functional"
        ) from error
    return twin


def _output(model: Any, calls: Sequence[Call]) -> Any:
    """Return the symbolic output of the first name that is a layer of the model."""
    known = {layer.name: layer for layer in model.layers}
    for name, call in calls:
        if name in known and call < 2:
            with suppress(AttributeError):
                # Layers that are called several times have no single output.
                return known[name].output
    raise ArgumentError(
        f"layer: expected the name of a layer that the model calls once; received {calls[0][0]!r}; those inside nested "
        "models have no output here: analyse the nested model"
    )
