"""Gradients of TensorFlow functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kernelfield.errors import ArgumentError
from kernelfield.receptive.gradients.pullback import Call, Prepared, Pullback


def prepare(model: Any, calls: Sequence[Call]) -> Prepared:
    """Return the function from an image to the pullback of a function's result, in float64 where it accepts that."""
    if calls:
        raise ArgumentError(
            f"layer: expected none, for a function of TensorFlow has one result; received {calls[0][0]!r}; give a "
            "function that ends there"
        )
    if not callable(model):
        raise ArgumentError(
            f"model: expected a function of TensorFlow, which has a gradient; received a {type(model).__name__}; give "
            "the function it was made from"
        )

    def pullback(image: np.ndarray) -> Pullback:
        try:
            return of_function(model, image)
        except (TypeError, ValueError, tf.errors.InvalidArgumentError):
            # A fixed signature, or weights of float32.
            return of_function(model, image.astype(np.float32))

    return pullback


def of_function(function: Callable[[Any], Any], image: np.ndarray) -> Pullback:
    """Return the pullback of a function of one tensor."""
    leaf = tf.constant(image)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(leaf)
        leaves = [t for t in tf.nest.flatten(function(leaf)) if getattr(t, "dtype", tf.bool).is_floating]
    if len(leaves) != 1:
        raise ArgumentError(f"model: expected one tensor of floats as the result; received {len(leaves)}; choose one")
    y = leaves[0]

    def back(seed: np.ndarray) -> np.ndarray:
        found = tape.gradient(y, leaf, output_gradients=tf.constant(seed, y.dtype))
        return np.zeros(image.shape) if found is None else np.asarray(found.numpy(), np.float64)

    return Pullback(tuple(y.shape), y.dtype.name, back, channels_last=True)
