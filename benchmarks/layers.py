"""The layers beside each framework's own: forward, in the layout that its users have.

python -m benchmarks.layers
"""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import jax
import jax.numpy as jnp
import keras
import numpy as np
import tensorflow as tf
import torch
from flax import nnx

from benchmarks.timing import interleaved, machine, show, write
from kernelfield.layers import jax as flax_layers
from kernelfield.layers import tensorflow as keras_layers
from kernelfield.layers import torch as torch_layers

#: Name, image (N, C, H, W), output channels, kernel size, rounds.
WORK = (
    ("1080p, 1 to 1, 7×7", (1, 1, 1080, 1920), 1, 7, 15),
    ("1080p, 3 to 3, 3×3", (1, 3, 1080, 1920), 3, 3, 15),
    ("1080p, 3 to 3, 7×7", (1, 3, 1080, 1920), 3, 7, 15),
    ("56², 64 to 64, 3×3", (1, 64, 56, 56), 64, 3, 301),
)
Call = Callable[[], object]


def in_torch(image: np.ndarray, filters: int, size: int) -> dict[str, Call]:
    x = torch.from_numpy(image)
    ours = torch_layers.Conv2d(filters, size, padding=size // 2)
    theirs = torch.nn.Conv2d(image.shape[1], filters, size, padding=size // 2)
    ours(x)
    ours.set_oihw(theirs.weight.detach().numpy(), theirs.bias.detach().numpy())

    def without_gradients(layer: torch.nn.Module) -> Call:
        def call() -> torch.Tensor:
            with torch.no_grad():
                return layer(x)

        return call

    return {"ours": without_gradients(ours), "theirs": without_gradients(theirs)}


def in_tensorflow(image: np.ndarray, filters: int, size: int) -> dict[str, Call]:
    x = tf.constant(image.transpose(0, 2, 3, 1).copy())
    ours = keras_layers.Conv2d(filters, size, padding=size // 2)
    theirs = keras.layers.Conv2D(filters, size, padding="same")
    ours(x), theirs(x)
    weight, bias = theirs.get_weights()
    ours.set_oihw(weight.transpose(3, 2, 0, 1), bias)
    return {"ours": lambda: ours(x).numpy(), "theirs": lambda: theirs(x).numpy()}


def in_jax(image: np.ndarray, filters: int, size: int) -> dict[str, Call]:
    x = jnp.asarray(image.transpose(0, 2, 3, 1))
    ours = flax_layers.Conv2d(filters, size, padding=size // 2, in_channels=image.shape[1], rngs=nnx.Rngs(0))
    theirs = nnx.Conv(image.shape[1], filters, (size, size), rngs=nnx.Rngs(0))
    ours.set_oihw(np.asarray(theirs.kernel[...]).transpose(3, 2, 0, 1), np.asarray(theirs.bias[...]))
    return {
        "ours": lambda: jax.block_until_ready(ours(x)),
        "theirs": lambda: jax.block_until_ready(theirs(x)),
    }


def main() -> None:
    rng = np.random.default_rng(0)
    rows, figures = [], []
    for name, shape, filters, size, rounds in WORK:
        image = rng.random(shape, dtype=np.float32)
        for framework, make in (("torch", in_torch), ("tensorflow", in_tensorflow), ("jax", in_jax)):
            calls = make(image, filters, size)
            np.testing.assert_allclose(np.asarray(calls["ours"]()), np.asarray(calls["theirs"]()), atol=1e-3)
            times = interleaved(calls, rounds, seconds=4.0)
            figures.append({"work": name, "framework": framework, "median_seconds": times})
            cells = [f"{1e3 * times[key]:.3g}" for key in calls]
            rows.append([name, framework, *cells, f"{times['theirs'] / times['ours']:.2f}"])
    show("layers, medians of interleaved runs", ["", "", "ours ms", "theirs ms", "theirs / ours"], rows)
    write("layers", {"machine": machine(("torch", "tensorflow-cpu", "jax", "flax", "keras")), "figures": figures})


if __name__ == "__main__":
    main()
