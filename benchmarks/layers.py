"""The layers beside each framework's own: forward in its users' layout; in PyTorch with both gradients too.

python -m benchmarks.layers
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from flax import nnx

import kernelfield.jax
import kernelfield.keras
import kernelfield.torch
from benchmarks import RESULTS
from kernelfield.cli.harness.compare import Candidate
from kernelfield.cli.harness.peers import library
from kernelfield.cli.harness.series import Line, run, write

tf, torch, jax = (library(name) for name in ("TensorFlow", "PyTorch", "JAX"))

#: Name, image (N, C, H, W), output channels, kernel size, rounds.
WORK = (
    ("1080p, 1 to 1, 7×7", (1, 1, 1080, 1920), 1, 7, 15),
    ("1080p, 3 to 3, 3×3", (1, 3, 1080, 1920), 3, 3, 15),
    ("1080p, 3 to 3, 7×7", (1, 3, 1080, 1920), 3, 7, 15),
    ("56², 64 to 64, 3×3", (1, 64, 56, 56), 64, 3, 301),
)
#: The same, in PyTorch alone: forward, and forward with the gradients of image and weights.
GRADIENT_WORK = (
    ("2048², 1 to 1, 3×3", (1, 1, 2048, 2048), 1, 3, 9),
    ("2048², 1 to 1, 7×7", (1, 1, 2048, 2048), 1, 7, 9),
    ("2048², 1 to 1, 15×15", (1, 1, 2048, 2048), 1, 15, 7),
    ("1080p, 3 to 3, 3×3", (1, 3, 1080, 1920), 3, 3, 9),
)

Pair = dict[str, Candidate]


def torch_layers(image: np.ndarray, filters: int, size: int) -> dict[str, torch.nn.Module]:
    """Return our layer and PyTorch's, with the same weights."""
    ours, theirs = (
        kind(image.shape[1], filters, size, padding=size // 2) for kind in (kernelfield.torch.Conv2d, torch.nn.Conv2d)
    )
    ours.load_state_dict(theirs.state_dict())
    return {"kernelfield": ours, "framework": theirs}


def in_torch(image: np.ndarray, filters: int, size: int) -> Pair:
    x = torch.from_numpy(image)

    def forward(layer: torch.nn.Module) -> Callable[[], object]:
        def call() -> object:
            with torch.no_grad():
                return layer(x)

        return call

    return {name: Candidate(forward(layer)) for name, layer in torch_layers(image, filters, size).items()}


def in_torch_with_gradients(image: np.ndarray, filters: int, size: int) -> Pair:
    x = torch.from_numpy(image).requires_grad_()

    def both(layer: torch.nn.Module) -> Callable[[], object]:
        return lambda: torch.autograd.grad(layer(x).sum(), (x, layer.weight))

    layers = torch_layers(image, filters, size)
    return {name: Candidate(both(layer), lambda value: np.asarray(value[1])) for name, layer in layers.items()}


def in_tensorflow(image: np.ndarray, filters: int, size: int) -> Pair:
    x = tf.constant(image.transpose(0, 2, 3, 1).copy())
    ours, theirs = (kind(filters, size, padding="same") for kind in (kernelfield.keras.Conv2D, keras.layers.Conv2D))
    ours(x), theirs(x)
    ours.set_weights(theirs.get_weights())
    return {"kernelfield": Candidate(lambda: ours(x).numpy()), "framework": Candidate(lambda: theirs(x).numpy())}


def in_jax(image: np.ndarray, filters: int, size: int) -> Pair:
    x = jax.numpy.asarray(image.transpose(0, 2, 3, 1))
    ours, theirs = (
        kind(image.shape[1], filters, (size, size), rngs=nnx.Rngs(0)) for kind in (kernelfield.jax.Conv, nnx.Conv)
    )
    return {
        "kernelfield": Candidate(lambda: jax.block_until_ready(ours(x))),
        "framework": Candidate(lambda: jax.block_until_ready(theirs(x))),
    }


def lines() -> Iterator[Line]:
    rng = np.random.default_rng(0)
    for name, shape, filters, size, rounds in WORK:
        image = rng.random(shape, dtype=np.float32)
        for framework, make in (("torch", in_torch), ("tensorflow", in_tensorflow), ("jax", in_jax)):
            labels = {"work": name, "framework": framework, "pass": "forward"}
            yield Line(labels, make(image, filters, size), 1e-3, rounds)
    for name, shape, filters, size, rounds in GRADIENT_WORK:
        image = rng.random(shape, dtype=np.float32)
        for step, make in (("forward", in_torch), ("forward and gradients", in_torch_with_gradients)):
            labels = {"work": name, "framework": "torch", "pass": step}
            yield Line(labels, make(image, filters, size), 1e-3, rounds)


def main() -> None:
    figures = run("layers", lines())
    write(RESULTS / "layers.json", ("torch", "tensorflow-cpu", "jax", "flax", "keras"), figures=figures)


if __name__ == "__main__":
    main()
