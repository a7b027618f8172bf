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
    """Base of the frameworks under test: the calls that are the same for all."""

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

    #: The framework's own layer, as module:name, and the words of its settings, which are PyTorch's unless named here.
    own: str
    words: dict[str, str] = {}  # noqa: RUF012
    #: Values of the arguments of its layer, in its own words.
    grid: dict[str, tuple[Any, ...]]
    #: Combinations of them that are tried.
    tried = 100
    #: Settings that its own layer does not have, and the same in the words of `layer_operation`.
    extensions: tuple[tuple[dict[str, Any], dict[str, Any]], ...]

    def layers(self) -> tuple[type, type]:
        """Return the classes of our layer and of the framework's own, which has the same name."""
        module, name = self.own.split(":")
        ours = importlib.import_module(f"kernelfield.{self.package or self.name}")
        return getattr(ours, name), getattr(importlib.import_module(module), name)

    def build(self, kind: type, inputs: int, **options: Any) -> Any:
        """Return a layer of a class for images of `inputs` channels, with weights; the options are in its own words."""
        raise NotImplementedError

    def layer(self, inputs: int = 4, **options: Any) -> Any:
        """Return our layer, with weights, from settings in PyTorch's words."""
        return self.build(self.layers()[0], inputs, **{self.words.get(k, k): v for k, v in options.items()})

    def filter(self, *args: Any, **options: Any) -> Any:
        """Return our layer of a fixed kernel, ready to be called."""
        name = {"torch": "Filter2d", "jax": "Filter"}.get(self.name, "Filter2D")
        return getattr(importlib.import_module(f"kernelfield.{self.package or self.name}"), name)(*args, **options)

    def state(self, layer: Any) -> dict[str, np.ndarray]:
        """Return a copy of the state of a layer, by the names that the framework gives."""
        raise NotImplementedError

    def load(self, layer: Any, state: dict[str, np.ndarray]) -> None:
        """Set the state of a layer, as the framework does it."""
        raise NotImplementedError

    def traced(self, layer: Any) -> Callable[[Any], Any]:
        """Return the layer as the framework compiles it."""
        raise NotImplementedError

    def trainable(self, layer: Any) -> list[Any]:
        """Return the trainable parameters of a layer."""
        raise NotImplementedError

    def call(self, layer: Any, image: np.ndarray) -> np.ndarray:
        """Return the output of a layer for an image (N, C, H, W), in that layout."""
        return self._out(self.numpy(layer(self.image(image))))

    def image(self, image: np.ndarray) -> Any:
        """Return (N, C, H, W) as a tensor in the layout of the framework's layers."""
        return self.tensor(self._in(image))

    def layer_pullback(self, layer: Any, image: np.ndarray, cotangent: np.ndarray) -> list[np.ndarray]:
        """Return the gradients with respect to the image (N, C, H, W) and to the parameters."""
        raise NotImplementedError

    def _in(self, array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1)) if self.channels_last else array

    def _out(self, array: np.ndarray) -> np.ndarray:
        return array.transpose(0, 3, 1, 2) if self.channels_last else array


class Torch(Framework):
    name = "torch"
    own = "torch.nn:Conv2d"
    grid = dict(  # noqa: RUF012
        kernel_size=(3, (2, 4)),
        stride=(1, (2, 1)),
        padding=(0, (1, 2), "same", "valid", 9),
        dilation=(1, (1, 2)),
        groups=(1, 2, 3),
        bias=(True, False),
        padding_mode=("zeros", "reflect", "replicate", "circular"),
    )
    extensions = ((dict(padding=(2, 1), padding_mode="symmetric"),) * 2,)

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

    def build(self, kind: type, inputs: int, **options: Any) -> Any:
        return kind(inputs, **options)

    def state(self, layer: Any) -> dict[str, np.ndarray]:
        return {name: value.detach().numpy().copy() for name, value in layer.state_dict().items()}

    def load(self, layer: Any, state: dict[str, np.ndarray]) -> None:
        layer.load_state_dict({name: self.tensor(value) for name, value in state.items()})

    def traced(self, layer: Any) -> Callable[[Any], Any]:
        import torch

        torch.compiler.reset()
        return torch.compile(layer, fullgraph=True, backend="aot_eager")

    def trainable(self, layer: Any) -> list[Any]:
        return list(layer.parameters())

    def layer_pullback(self, layer: Any, image: np.ndarray, cotangent: np.ndarray) -> list[np.ndarray]:
        pixels = self.tensor(image).requires_grad_()
        layer(pixels).backward(self.tensor(cotangent))
        return [leaf.grad.numpy() for leaf in (pixels, *layer.parameters())]


class TensorFlow(Framework):
    name = "tensorflow"
    package = "keras"
    channels_last = True
    own = "keras.layers:Conv2D"
    tried = 20  # Keras compiles its own layer for each number of groups
    words = dict(out_channels="filters", stride="strides", dilation="dilation_rate", bias="use_bias")  # noqa: RUF012
    grid = dict(  # noqa: RUF012
        kernel_size=(3, (2, 4)),
        strides=(1, (2, 2)),
        padding=("valid", "same"),
        dilation_rate=(1, (1, 2)),
        groups=(1, 2, 3),
        activation=(None, "relu"),
        use_bias=(True, False),
    )
    extensions = tuple(
        (dict(padding="same", padding_mode=mode),) * 2 for mode in ("reflect", "replicate", "circular", "symmetric")
    )

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

    def build(self, kind: type, inputs: int, **options: Any) -> Any:
        layer = kind(**options)
        first = options.get("data_format") == "channels_first"
        layer.build((None, inputs, None, None) if first else (None, None, None, inputs))
        return layer

    def state(self, layer: Any) -> dict[str, np.ndarray]:
        return {v.path.split("/")[-1]: v.numpy() for v in layer.variables}

    def load(self, layer: Any, state: dict[str, np.ndarray]) -> None:
        layer.set_weights(list(state.values()))

    def traced(self, layer: Any) -> Callable[[Any], Any]:
        import tensorflow as tf

        return tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 4])])

    def trainable(self, layer: Any) -> list[Any]:
        return layer.trainable_variables

    def layer_pullback(self, layer: Any, image: np.ndarray, cotangent: np.ndarray) -> list[np.ndarray]:
        import tensorflow as tf

        pixels = self.tensor(self._in(image))
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            result = layer(pixels)
        leaves = [pixels, *layer.trainable_variables]
        found = tape.gradient(result, leaves, output_gradients=self.tensor(self._in(cotangent)))
        to_image, *others = (gradient.numpy() for gradient in found)
        return [self._out(to_image), *others]


class Jax(Framework):
    name = "jax"
    channels_last = True
    own = "flax.nnx:Conv"
    tried = 10
    words = dict(  # noqa: RUF012
        out_channels="out_features",
        stride="strides",
        dilation="kernel_dilation",
        groups="feature_group_count",
        bias="use_bias",
    )
    grid = dict(  # noqa: RUF012
        kernel_size=((3, 3), (2, 4)),
        strides=(1, (2, 1), None),
        padding=("SAME", "VALID", "CIRCULAR", "REFLECT", 1, [(1, 2), (0, 3)], [1, 2], "FULL"),
        input_dilation=(1, (2, 1)),
        kernel_dilation=(1, (1, 2)),
        feature_group_count=(1, 2),
        use_bias=(True, False),
    )
    extensions = (
        (dict(padding="REPLICATE"), dict(padding="same", padding_mode="replicate")),
        (dict(padding="SYMMETRIC"), dict(padding="same", padding_mode="symmetric")),
    )

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

    def layer(self, inputs: int = 4, **options: Any) -> Any:
        return super().layer(inputs, **{"padding": "VALID", **options})

    def build(self, kind: type, inputs: int, **options: Any) -> Any:
        from flax import nnx

        size = options.pop("kernel_size")
        size = (size, size) if isinstance(size, int) else size
        return kind(inputs, options.pop("out_features"), size, **options, rngs=nnx.Rngs(0))

    def state(self, layer: Any) -> dict[str, np.ndarray]:
        from flax import nnx

        return {name: np.array(value) for name, value in nnx.to_pure_dict(nnx.state(layer)).items()}

    def load(self, layer: Any, state: dict[str, np.ndarray]) -> None:
        from flax import nnx

        found = nnx.state(layer)
        nnx.replace_by_pure_dict(found, {name: self.tensor(value) for name, value in state.items()})
        nnx.update(layer, found)

    def traced(self, layer: Any) -> Callable[[Any], Any]:
        from flax import nnx

        return lambda image: nnx.jit(lambda model, x: model(x))(layer, image)

    def trainable(self, layer: Any) -> list[Any]:
        import jax
        from flax import nnx

        return jax.tree.leaves(nnx.state(layer, nnx.Param))

    def layer_pullback(self, layer: Any, image: np.ndarray, cotangent: np.ndarray) -> list[np.ndarray]:
        from flax import nnx

        pixels, slope = self.tensor(self._in(image)), self.tensor(self._in(cotangent))
        loss = lambda model, x: (model(x) * slope).sum()  # noqa: E731
        to_layer, to_image = nnx.grad(loss, argnums=(0, 1))(layer, pixels)
        found = nnx.to_pure_dict(to_layer)
        return [self._out(np.asarray(to_image)), *(np.asarray(found[name]) for name in sorted(found))]


class MXNet(Framework):
    name = "mxnet"
    half = None
    own = "mxnet.gluon.nn:Conv2D"
    words = dict(out_channels="channels", stride="strides", bias="use_bias")  # noqa: RUF012
    grid = dict(  # noqa: RUF012
        kernel_size=(3, (2, 4)),
        strides=(1, (2, 1)),
        padding=(0, (1, 2)),
        dilation=(1, (1, 2)),
        groups=(1, 2, 3),
        activation=(None, "relu"),
        use_bias=(True, False),
    )
    extensions = tuple(
        (dict(padding=(2, 1), padding_mode=mode),) * 2 for mode in ("reflect", "replicate", "circular", "symmetric")
    )

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

    def build(self, kind: type, inputs: int, **options: Any) -> Any:
        import mxnet as mx

        layer = kind(in_channels=inputs, **options)
        layer.initialize(mx.init.Normal(1))
        return layer

    def filter(self, *args: Any, **options: Any) -> Any:
        layer = super().filter(*args, **options)
        layer.initialize()
        return layer

    def state(self, layer: Any) -> dict[str, np.ndarray]:
        return {name: value.data().asnumpy() for name, value in layer._collect_params_with_prefix().items()}

    def load(self, layer: Any, state: dict[str, np.ndarray]) -> None:
        for name, value in layer._collect_params_with_prefix().items():
            value.set_data(self.tensor(state[name]).as_nd_ndarray())

    def image(self, image: np.ndarray) -> Any:
        return super().image(image).as_nd_ndarray()  # Gluon's own layer takes no arrays of the NumPy interface

    def traced(self, layer: Any) -> Callable[[Any], Any]:
        layer.hybridize()
        return layer

    def trainable(self, layer: Any) -> list[Any]:
        return [p for p in layer.collect_params().values() if p.grad_req != "null"]

    def layer_pullback(self, layer: Any, image: np.ndarray, cotangent: np.ndarray) -> list[np.ndarray]:
        from mxnet import autograd

        pixels = self.image(image)
        pixels.attach_grad()
        with autograd.record():
            result = layer(pixels)
        result.backward(self.image(cotangent))
        return [pixels.grad.asnumpy(), *(p.grad().asnumpy() for p in self.trainable(layer))]


KNOWN: dict[str, type[Framework]] = {kind.name: kind for kind in (Torch, TensorFlow, Jax, MXNet)}
