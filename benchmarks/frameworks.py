"""Tensors: `kf.correlate` beside each framework's own convolution, forward, and forward with both gradients.

python -m benchmarks.frameworks
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

import kernelfield as kf
from benchmarks import RESULTS
from kernelfield.cli.harness.compare import Candidate
from kernelfield.cli.harness.peers import library
from kernelfield.cli.harness.series import Line, run, write

tf, torch, jax = (library(name) for name in ("TensorFlow", "PyTorch", "JAX"))

#: Name, image (N, C, H, W), weights (C_out, C_in, kh, kw), rounds.
WORK = (
    ("6×8 by 1×2", (1, 1, 6, 8), (1, 1, 1, 2), 201),
    ("2048² by 3×3", (1, 1, 2048, 2048), (1, 1, 3, 3), 7),
    ("2048² by 7×7", (1, 1, 2048, 2048), (1, 1, 7, 7), 7),
    ("2048² by 15×15", (1, 1, 2048, 2048), (1, 1, 15, 15), 5),
    ("1080p, 3 to 3, 3×3", (1, 3, 1080, 1920), (3, 3, 3, 3), 7),
    ("56², 64 to 64, 3×3", (1, 64, 56, 56), (64, 64, 3, 3), 101),
)

Pair = dict[str, Candidate]
Function = Callable[..., object]


def ours(image: object, kernel: object) -> object:
    return kf.correlate(image, kernel, mode="valid")


def weights_gradient(value: object) -> np.ndarray:
    return np.asarray(value[1])


def in_torch(image: np.ndarray, weights: np.ndarray) -> tuple[Pair, Pair]:
    """Return the forward pass, ours and PyTorch's, and the same with both gradients."""
    x, w = torch.from_numpy(image), torch.from_numpy(weights)
    a, b = x.clone().requires_grad_(), w.clone().requires_grad_()

    def gradients(function: Function) -> Candidate:
        return Candidate(lambda: torch.autograd.grad(function(a, b).sum(), (a, b)), weights_gradient)

    functions = {"kernelfield": ours, "framework": torch.nn.functional.conv2d}
    forward = {name: Candidate(lambda f=f: f(x, w)) for name, f in functions.items()}
    return forward, {name: gradients(f) for name, f in functions.items()}


def in_tensorflow(image: np.ndarray, weights: np.ndarray) -> tuple[Pair, Pair]:
    """Return the forward pass, ours and TensorFlow's with channels last, and the same with both gradients."""
    x, w = tf.constant(image), tf.constant(weights)
    x_last, w_last = tf.constant(image.transpose(0, 2, 3, 1).copy()), tf.constant(weights.transpose(2, 3, 1, 0).copy())

    def theirs(image: object, kernel: object) -> object:
        return tf.nn.conv2d(image, kernel, 1, "VALID")

    def gradients(function: Function, a: object, b: object) -> Callable[[], object]:
        def call() -> object:
            with tf.GradientTape() as tape:
                tape.watch((a, b))
                loss = tf.reduce_sum(function(a, b))
            return tape.gradient(loss, (a, b))

        return call

    forward = {
        "kernelfield": Candidate(lambda: ours(x, w)),
        "framework": Candidate(lambda: theirs(x_last, w_last).numpy(), lambda a: a.transpose(0, 3, 1, 2)),
    }
    both = {
        "kernelfield": Candidate(gradients(ours, x, w), weights_gradient),
        "framework": Candidate(
            gradients(theirs, x_last, w_last), lambda value: weights_gradient(value).transpose(3, 2, 0, 1)
        ),
    }
    return forward, both


def in_jax(image: np.ndarray, weights: np.ndarray) -> tuple[Pair, Pair]:
    """Return the forward pass, ours and JAX's compiled one, and the same with both gradients."""
    x, w = jax.numpy.asarray(image), jax.numpy.asarray(weights)
    theirs = jax.jit(lambda image, kernel: jax.lax.conv(image, kernel, (1, 1), "VALID"))
    our_gradients = jax.grad(lambda image, kernel: ours(image, kernel).sum(), (0, 1))
    their_gradients = jax.jit(jax.grad(lambda image, kernel: theirs(image, kernel).sum(), (0, 1)))

    def candidate(function: Function, array: Callable[[object], np.ndarray] = np.asarray) -> Candidate:
        return Candidate(lambda: jax.block_until_ready(function(x, w)), array)

    forward = {"kernelfield": candidate(ours), "framework": candidate(theirs)}
    both = {
        "kernelfield": candidate(our_gradients, weights_gradient),
        "framework": candidate(their_gradients, weights_gradient),
    }
    return forward, both


def lines() -> Iterator[Line]:
    rng = np.random.default_rng(0)
    for name, shape, size, rounds in WORK:
        image = rng.random(shape, dtype=np.float32)
        weights = rng.normal(size=size).astype(np.float32)
        for framework, make in (("torch", in_torch), ("tensorflow", in_tensorflow), ("jax", in_jax)):
            for step, pair in zip(("forward", "forward and gradients"), make(image, weights)):
                yield Line({"work": name, "framework": framework, "pass": step}, pair, 1e-3, rounds)


def main() -> None:
    figures = run("kf.correlate on tensors", lines())
    write(RESULTS / "frameworks.json", ("torch", "tensorflow-cpu", "jax"), figures=figures)


if __name__ == "__main__":
    main()
