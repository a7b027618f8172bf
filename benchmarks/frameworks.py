"""Tensors: `kf.correlate` beside each framework's own convolution, forward, and forward with both gradients.

python -m benchmarks.frameworks
"""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np
import tensorflow as tf
import torch

import kernelfield as kf
from benchmarks.timing import interleaved, machine, show, write

#: Name, image (N, C, H, W), weights (C_out, C_in, kh, kw), rounds.
WORK = (
    ("6×8 by 1×2", (1, 1, 6, 8), (1, 1, 1, 2), 201),
    ("2048² by 3×3", (1, 1, 2048, 2048), (1, 1, 3, 3), 7),
    ("2048² by 7×7", (1, 1, 2048, 2048), (1, 1, 7, 7), 7),
    ("2048² by 15×15", (1, 1, 2048, 2048), (1, 1, 15, 15), 5),
    ("1080p, 3 to 3, 3×3", (1, 3, 1080, 1920), (3, 3, 3, 3), 7),
    ("56², 64 to 64, 3×3", (1, 64, 56, 56), (64, 64, 3, 3), 101),
)

Call = Callable[[], object]


def in_torch(image: np.ndarray, weights: np.ndarray) -> dict[str, Call]:
    x, w = torch.from_numpy(image), torch.from_numpy(weights)
    a, b = x.clone().requires_grad_(), w.clone().requires_grad_()

    def both(function: Callable[..., torch.Tensor]) -> Call:
        return lambda: torch.autograd.grad(function(a, b).sum(), (a, b))

    def ours(image: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return kf.correlate(image, kernel, mode="valid")

    theirs = torch.nn.functional.conv2d
    return {
        "ours": lambda: ours(x, w),
        "theirs": lambda: theirs(x, w),
        "ours, gradients": both(ours),
        "theirs, gradients": both(theirs),
    }


def in_tensorflow(image: np.ndarray, weights: np.ndarray) -> dict[str, Call]:
    x, w = tf.constant(image), tf.constant(weights)
    x_last, w_last = tf.constant(image.transpose(0, 2, 3, 1).copy()), tf.constant(weights.transpose(2, 3, 1, 0).copy())

    def both(function: Callable[..., tf.Tensor], a: tf.Tensor, b: tf.Tensor) -> Call:
        def call() -> object:
            with tf.GradientTape() as tape:
                tape.watch((a, b))
                loss = tf.reduce_sum(function(a, b))
            return tape.gradient(loss, (a, b))

        return call

    def ours(image: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return kf.correlate(image, kernel, mode="valid")

    def theirs(image: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(image, kernel, 1, "VALID")

    return {
        "ours": lambda: ours(x, w),
        "theirs": lambda: theirs(x_last, w_last).numpy(),
        "ours, gradients": both(ours, x, w),
        "theirs, gradients": both(theirs, x_last, w_last),
    }


def in_jax(image: np.ndarray, weights: np.ndarray) -> dict[str, Call]:
    x, w = jnp.asarray(image), jnp.asarray(weights)

    def ours(image: jax.Array, kernel: jax.Array) -> jax.Array:
        return kf.correlate(image, kernel, mode="valid")

    theirs = jax.jit(lambda image, kernel: jax.lax.conv(image, kernel, (1, 1), "VALID"))
    gradients = jax.jit(jax.grad(lambda image, kernel: theirs(image, kernel).sum(), (0, 1)))
    own = jax.grad(lambda image, kernel: ours(image, kernel).sum(), (0, 1))
    return {
        "ours": lambda: jax.block_until_ready(ours(x, w)),
        "theirs": lambda: jax.block_until_ready(theirs(x, w)),
        "ours, gradients": lambda: jax.block_until_ready(own(x, w)),
        "theirs, gradients": lambda: jax.block_until_ready(gradients(x, w)),
    }


def main() -> None:
    rng = np.random.default_rng(0)
    rows, figures = [], []
    for name, shape, size, rounds in WORK:
        image = rng.random(shape, dtype=np.float32)
        weights = rng.normal(size=size).astype(np.float32)
        for framework, make in (("torch", in_torch), ("tensorflow", in_tensorflow), ("jax", in_jax)):
            calls = make(image, weights)
            ours, theirs = np.asarray(calls["ours"]()), np.asarray(calls["theirs"]())
            theirs = theirs.transpose(0, 3, 1, 2) if framework == "tensorflow" else theirs
            np.testing.assert_allclose(ours, theirs, atol=1e-3)
            times = interleaved(calls, rounds, seconds=4.0)
            figures.append({"work": name, "framework": framework, "median_seconds": times})
            cells = [f"{1e3 * times[key]:.3g}" for key in calls]
            ratios = [times["theirs"] / times["ours"], times["theirs, gradients"] / times["ours, gradients"]]
            rows.append([name, framework, *cells, *(f"{ratio:.2f}" for ratio in ratios)])
    header = ["", "", "ours ms", "theirs ms", "ours +gradients", "theirs +gradients", "ratio", "ratio +gradients"]
    show("kf.correlate on tensors, medians of interleaved runs", header, rows)
    write("frameworks", {"machine": machine(("torch", "tensorflow-cpu", "jax")), "figures": figures})


if __name__ == "__main__":
    main()
