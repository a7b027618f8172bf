"""Gradients of MXNet's Gluon blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mxnet as mx
import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.gradients.pullback import Call, Prepared, Pullback


def prepare(model: Any, calls: Sequence[Call]) -> Prepared:
    """Return the function from an image to the pullback of a block's result.

    Its weights are cast to float64 and back, which is exact.
    """
    if calls:
        raise ArgumentError(
            f"layer: expected none, for a block of MXNet has one result; received {calls[0][0]!r}; give the part of it "
            "that ends there"
        )
    if not isinstance(model, mx.gluon.Block):
        raise ArgumentError(
            f"model: expected a Gluon block, which holds its weights; received a {type(model).__name__}; wrap it in "
            "mx.gluon.SymbolBlock"
        )
    return lambda image: _pullback(model, image)


def _pullback(model: Any, image: np.ndarray) -> Pullback:
    dtypes = {name: parameter.dtype for name, parameter in model.collect_params().items()}
    leaf = mx.nd.array(image, dtype="float64")
    leaf.attach_grad()
    model.cast("float64")
    try:
        with mx.autograd.record(train_mode=False):
            y = model(leaf)
    finally:
        model.cast("float32")
        for name, parameter in model.collect_params().items():
            if parameter.dtype != dtypes[name]:
                parameter.cast(dtypes[name])
    if isinstance(y, list | tuple):
        raise ArgumentError(f"model: expected one array as the result; received {len(y)}; give a block with one")

    def back(seed: np.ndarray) -> np.ndarray:
        (found,) = mx.autograd.grad(y, [leaf], [mx.nd.array(seed, dtype=y.dtype)], retain_graph=True, train_mode=False)
        return np.asarray(found.asnumpy(), np.float64)

    return Pullback(tuple(y.shape), np.dtype(y.dtype).name, back, channels_last=False)
