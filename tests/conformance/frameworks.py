"""The little that tests need to know of each framework: make a tensor, read it, differentiate, build a layer."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kernelfield.tensors import registry
from kernelfield.tensors.adapter import Adapter

#: The frameworks that this run must find; one that is missing fails.
NAMES = tuple(os.environ.get("KERNELFIELD_FRAMEWORKS", "torch,tensorflow,jax").split(","))


class Framework:
    """What is the same for all; the subclasses add the rest."""

    name: str
    #: The package of its layers, if that is not called after it.
    package: str | None = None
    #: Whether layers take (N, H, W, C).
    channels_last = False
    #: A dtype of 16 bits that the framework can convolve on a CPU, or None.
    half: str | None = "float16"
    #: Whether `Adapter.to_numpy` sees the tensor's own memory.
    views = True
    #: Optimisers' epsilon does not matter this close.
    adam_tolerance = 1e-3

    @property
    def adapter(self) -> Adapter:
        return registry.adapter(self.name)

    def precision(self, dtype: str) -> contextlib.AbstractContextManager[Any]:
        """Return a context in which tensors of `dtype` exist."""
        return contextlib.nullcontext()

    def tensor(self, array: Any) -> Any:
        """Return an array as a tensor of its dtype."""
        raise NotImplementedError

    def numpy(self, tensor: Any) -> np.ndarray:
        """Return a tensor, also one that takes part in differentiation, as an array."""
        raise NotImplementedError

    def pullback(
        self, function: Callable[..., Any], arrays: Sequence[np.ndarray], cotangent: np.ndarray
    ) -> list[np.ndarray]:
        """Return the gradients of ``(cotangent * function(*tensors)).sum()`` with respect to the arrays."""
        raise NotImplementedError

    def layer(self, *args: Any, **options: Any) -> Any:
        """Return the framework's `Conv2d`, ready to be called."""
        return importlib.import_module(f"kernelfield.{self.package or self.name}").Conv2d(*args, **options)

    def call(self, layer: Any, image: np.ndarray) -> np.ndarray:
        """Return what a layer makes of (N, C, H, W), in that layout."""
        return self._out(self.numpy(layer(self.tensor(self._in(image)))))

    def layer_pullback(self, layer: Any, image: np.ndarray, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients with respect to weight (OIHW) and bias."""
        raise NotImplementedError

    def _in(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if self.channels_last else array

    def _out(self, array: np.ndarray) -> np.ndarray:
        return array.transpose(0, 3, 1, 2) if self.channels_last else array


class Torch(Framework):
    name = "torch"

    def tensor(self, array: Any) -> Any:
        import torch

        return torch.tensor(np.array(array))

    def numpy(self, tensor: Any) -> np.ndarray:
        return tensor.detach().cpu().numpy()

    def pullback(
        self, function: Callable[..., Any], arrays: Sequence[np.ndarray], cotangent: np.ndarray
    ) -> list[np.ndarray]:
        leaves = [self.tensor(array).requires_grad_() for array in arrays]
        function(*leaves).backward(self.tensor(cotangent))
        return [leaf.grad.numpy() for leaf in leaves]

    def layer_pullback(self, layer: Any, image: np.ndarray, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        layer(self.tensor(image)).backward(self.tensor(cotangent))
        return layer.weight.grad.numpy(), layer.bias.grad.numpy()


class TensorFlow(Framework):
    name = "tensorflow"
    package = "keras"
    channels_last = True

    def tensor(self, array: Any) -> Any:
        import tensorflow as tf

        return tf.constant(np.array(array))

    def numpy(self, tensor: Any) -> np.ndarray:
        return tensor.numpy()

    def pullback(
        self, function: Callable[..., Any], arrays: Sequence[np.ndarray], cotangent: np.ndarray
    ) -> list[np.ndarray]:
        import tensorflow as tf

        leaves = [self.tensor(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(leaves)
            result = function(*leaves)
        return [g.numpy() for g in tape.gradient(result, leaves, output_gradients=self.tensor(cotangent))]

    def layer_pullback(self, layer: Any, image: np.ndarray, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        import tensorflow as tf

        pixels = self.tensor(self._in(image))
        layer(pixels)
        with tf.GradientTape() as tape:
            result = layer(pixels)
        weight, bias = tape.gradient(
            result, layer.trainable_variables, output_gradients=self.tensor(self._in(cotangent))
        )
        return weight.numpy().transpose(3, 2, 0, 1), bias.numpy()


class Jax(Framework):
    name = "jax"
    channels_last = True

    @contextlib.contextmanager
    def precision(self, dtype: str) -> Iterator[None]:
        import jax

        with jax.enable_x64(dtype == "float64"):
            yield

    def tensor(self, array: Any) -> Any:
        import jax.numpy as jnp

        return jnp.asarray(np.array(array))

    def numpy(self, tensor: Any) -> np.ndarray:
        return np.asarray(tensor)

    def pullback(
        self, function: Callable[..., Any], arrays: Sequence[np.ndarray], cotangent: np.ndarray
    ) -> list[np.ndarray]:
        import jax

        _, transposed = jax.vjp(function, *(self.tensor(array) for array in arrays))
        return [np.asarray(g) for g in transposed(self.tensor(cotangent))]

    def layer_pullback(self, layer: Any, image: np.ndarray, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from flax import nnx

        pixels, slope = self.tensor(self._in(image)), self.tensor(self._in(cotangent))
        layer(pixels)
        found = nnx.grad(lambda model: (model(pixels) * slope).sum())(layer)
        return np.asarray(found["kernel"][...]).transpose(3, 2, 0, 1), np.asarray(found["bias"][...])


class MXNet(Framework):
    name = "mxnet"
    half = None

    def tensor(self, array: Any) -> Any:
        import mxnet as mx

        values = np.array(array)
        return mx.np.array(values, dtype=values.dtype)

    def numpy(self, tensor: Any) -> np.ndarray:
        return tensor.asnumpy()

    def pullback(
        self, function: Callable[..., Any], arrays: Sequence[np.ndarray], cotangent: np.ndarray
    ) -> list[np.ndarray]:
        from mxnet import autograd

        leaves = [self.tensor(array) for array in arrays]
        for leaf in leaves:
            leaf.attach_grad()
        with autograd.record():
            result = function(*leaves)
        result.backward(self.tensor(cotangent))
        return [leaf.grad.asnumpy() for leaf in leaves]

    def layer(self, *args: Any, **options: Any) -> Any:
        layer = super().layer(*args, **options)
        layer.initialize()
        return layer

    def layer_pullback(self, layer: Any, image: np.ndarray, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from mxnet import autograd

        pixels = self.tensor(image)
        layer(pixels)
        with autograd.record():
            result = layer(pixels)
        result.backward(self.tensor(cotangent))
        return layer.weight.grad().asnumpy(), layer.bias.grad().asnumpy()


KNOWN: dict[str, type[Framework]] = {kind.name: kind for kind in (Torch, TensorFlow, Jax, MXNet)}
