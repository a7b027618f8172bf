"""Adapter of JAX: the engine for arrays in the CPU's memory, JAX's own convolution inside jit and elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from kernelfield.errors import ArgumentError, MissingDependencyError
from kernelfield.geometry import Operation
from kernelfield.jax.convolution import convolution
from kernelfield.jax.gradients import correlation, from_numpy, in_memory, is_variable, untransformed
from kernelfield.tensors.adapter import Adapter

_dtype_name = cache(lambda dtype: str(dtype.name))


class JaxAdapter(Adapter):
    """Arrays of JAX."""

    name = "jax"

    def recognises(self, value: Any) -> bool:
        return isinstance(value, jax.Array) or is_variable(value)

    def shape(self, tensor: Any) -> tuple[int, ...]:
        shape = tuple(tensor.shape)
        if isinstance(tensor, Tracer) and not all(isinstance(n, int) for n in shape):
            if not all(isinstance(n, int) for n in shape[-2:]):
                raise ArgumentError(f"image, kernel: expected known rows and columns; received shape {shape}")
            return tuple(n if isinstance(n, int) else -1 for n in shape)
        return shape

    def dtype(self, tensor: Any) -> str:
        return _dtype_name(tensor.dtype)

    def tensor(self, value: Any, dtype: str, like: Any) -> Any:
        if isinstance(value, jax.Array) and _dtype_name(value.dtype) == dtype:
            return value
        return jnp.asarray(value, dtype=dtype)

    def is_concrete(self, *tensors: Any) -> bool:
        return all(in_memory(untransformed(tensor)) for tensor in tensors)

    def to_numpy(self, tensor: Any) -> np.ndarray:
        return np.asarray(tensor)

    def from_numpy(self, array: np.ndarray, like: Any) -> Any:
        return from_numpy(array, like)

    def transpose(self, tensor: Any, axes: tuple[int, ...]) -> Any:
        return jnp.transpose(tensor, axes)

    def reshape(self, tensor: Any, shape: tuple[int, ...]) -> Any:
        return jnp.reshape(tensor, shape)

    def flip(self, tensor: Any) -> Any:
        return jax.lax.rev(jnp.asarray(tensor), (tensor.ndim - 2, tensor.ndim - 1))

    def is_differentiated(self, *tensors: Any) -> bool:
        return any(isinstance(tensor, Tracer) or is_variable(tensor) for tensor in tensors)

    def differentiable(self, operation: Operation, image: Any, kernel: Any) -> Any:
        return correlation.bind(image, kernel, operation=operation, channels_last=False)

    def differentiable_channels_last(self, operation: Operation, image: Any, kernel: Any) -> Any:
        # The primitive transposes by a view; a transpose by JAX outside of jit is a copy and a dispatch.
        return correlation.bind(image, kernel, operation=operation, channels_last=True)

    def native(self, operation: Operation, image: Any, kernel: Any, channels_last: bool = False) -> Any:
        return convolution(image, kernel, operation, channels_last)

    def descend(
        self,
        operations: Sequence[Operation],
        image: np.ndarray,
        target: np.ndarray,
        kernels: Sequence[np.ndarray],
        optimiser: str,
        lr: float,
        momentum: float,
    ) -> Iterator[tuple[float, list[np.ndarray]]]:
        try:
            import optax
        except ImportError as error:
            raise MissingDependencyError("optimiser: optax is not installed; pip install optax (or flax)") from error

        method = optax.adam(lr) if optimiser == "adam" else optax.sgd(lr, momentum=momentum or None)
        pixels, expected = jnp.asarray(image), jnp.asarray(target)

        def squared_error(weights: list[Any]) -> Any:
            result = pixels
            for operation, kernel in zip(operations, weights):
                result = self.correlate(operation, result, kernel)
            return jnp.sum((result - expected) ** 2)

        @jax.jit
        def step(gradients: list[Any], state: Any, weights: list[Any]) -> tuple[list[Any], Any]:
            updates, state = method.update(gradients, state, weights)
            return optax.apply_updates(weights, updates), state

        loss_and_gradients = jax.value_and_grad(squared_error)
        weights = [jnp.asarray(kernel, pixels.dtype) for kernel in kernels]
        state = method.init(weights)
        while True:
            loss, gradients = loss_and_gradients(weights)
            weights, state = step(gradients, state, weights)
            yield float(loss), [np.asarray(kernel) for kernel in weights]


ADAPTER = JaxAdapter()
