"""Gradients of JAX functions and Flax modules."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.receptive.gradients.pullback import Call, Prepared, Pullback


def prepare(model: Any, calls: Sequence[Call]) -> Prepared:
    """Return the function from an image to the pullback of the model's result.

    Weights of a module, or bound by `functools.partial`, are cast to float64; a function that holds other weights is
    evaluated in float32.
    """
    if calls:
        raise ArgumentError(
            f"layer: expected none, for a function of JAX has one result; received {calls[0][0]!r}; give a function "
            "that ends there"
        )
    with jax.enable_x64(True):
        twin = _double(model)

    def pullback(image: np.ndarray) -> Pullback:
        with jax.enable_x64(True):
            try:
                return of_function(twin, image)
            except TypeError:
                # Convolutions refuse to mix dtypes.
                return of_function(model, image.astype(np.float32))

    return pullback


def of_function(function: Callable[[Any], Any], image: np.ndarray) -> Pullback:
    """Return the pullback of a function of one array."""
    result, vjp = jax.vjp(function, jax.numpy.asarray(image))
    leaves = [leaf for leaf in jax.tree.leaves(result) if jax.numpy.issubdtype(leaf.dtype, jax.numpy.floating)]
    if len(leaves) != 1:
        raise ArgumentError(f"model: expected one array of floats as the result; received {len(leaves)}; choose one")
    y = leaves[0]

    def back(seed: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            seeds = [
                jax.numpy.asarray(seed, y.dtype) if leaf is y else _nothing(leaf) for leaf in jax.tree.leaves(result)
            ]
            (found,) = vjp(jax.tree.unflatten(jax.tree.structure(result), seeds))
            return np.asarray(found, np.float64)

    return Pullback(tuple(y.shape), str(y.dtype), back, channels_last=True)


def _nothing(leaf: Any) -> Any:
    """Return the zero cotangent of a result for `jax.vjp`, of dtype float0 for integers."""
    if jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact):
        return jax.numpy.zeros_like(leaf)
    return np.zeros(leaf.shape, jax.dtypes.float0)


def _double(model: Any) -> Any:
    """Return the model as a function of the image in inference mode, with its weights in float64."""
    nnx = sys.modules.get("flax.nnx")
    if nnx is not None and isinstance(model, nnx.Module):
        definition, state = nnx.split(model)
        twin = nnx.merge(definition, _cast(state))
        twin.eval()
        for _, part in nnx.iter_modules(twin):
            # Layers would cast to the dtype they were created with.
            if getattr(part, "dtype", None) is not None:
                part.dtype = None
        return twin
    linen = sys.modules.get("flax.linen")
    if linen is not None and isinstance(model, linen.Module):
        if model.scope is None:
            raise ArgumentError(
                "model: expected a Linen module with its variables; received it alone; give "
                "functools.partial(model.apply, variables) to receptive_field"
            )
        return lambda x: model.clone().apply(_cast(model.variables), x)
    if isinstance(model, functools.partial):
        return functools.partial(model.func, *_cast(model.args), **_cast(model.keywords))
    return model


def _cast(tree: Any) -> Any:
    def double(leaf: Any) -> Any:
        dtype = getattr(leaf, "dtype", None)
        floats = dtype is not None and jax.numpy.issubdtype(dtype, jax.numpy.floating)
        return leaf.astype(np.float64) if floats else leaf

    return jax.tree.map(double, tree)
