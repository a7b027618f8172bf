"""`learn` beside one application of the kernel, PyTorch's forward pass, and least squares on an im2col matrix.

python -m benchmarks.learn
"""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np

import kernelfield as kf
from benchmarks import RESULTS
from kernelfield.cli.harness.peers import library
from kernelfield.cli.harness.series import show, write
from kernelfield.cli.harness.timing import interleaved

K = 7
KERNEL = np.random.default_rng(1).normal(size=(K, K)) / K


def noisy_pair(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a float32 pair: a picture with detail, and the same filtered, with noise of 1e-3."""
    rng = np.random.default_rng(0)
    before = kf.correlate(rng.random((size, size), dtype=np.float32), np.ones((3, 3)) / 9)
    noise = rng.normal(scale=1e-3, size=before.shape).astype(np.float32)
    return before, kf.correlate(before, KERNEL) + noise


def lstsq(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the kernel by NumPy's lstsq on the matrix of all windows."""
    windows = np.lib.stride_tricks.sliding_window_view(before, (K, K)).reshape(-1, K * K)
    design = np.c_[windows, np.ones(len(windows))]
    target = after[K // 2 : -(K // 2), K // 2 : -(K // 2)].ravel().astype(np.float64)
    return np.linalg.lstsq(design, target, rcond=None)[0][:-1].reshape(K, K)


def given_size() -> dict[str, Any]:
    """Return times and memory for a kernel of known size, beside an application of it."""
    torch = library("PyTorch")
    before, after = noisy_pair(4096)
    weight, tensor = torch.from_numpy(KERNEL.astype(np.float32))[None, None], torch.from_numpy(before)[None, None]
    out = np.empty((4096 - K + 1, 4096 - K + 1), np.float32)
    calls = {
        "learn": lambda: kf.learn(before, after, size=K),
        "correlate": lambda: kf.correlate(before, KERNEL, mode="valid", out=out),
        "torch forward": lambda: torch.nn.functional.conv2d(tensor, weight),
    }
    times = interleaved(calls, rounds=11)
    tracemalloc.start()
    kf.learn(before, after, size=K)
    memory = tracemalloc.get_traced_memory()[1] / (before.nbytes + after.nbytes)
    tracemalloc.stop()
    rows = [[name, f"{1e3 * value:.1f}", f"{value / times['correlate']:.2f}"] for name, value in times.items()]
    show("learn 7×7, 4096² float32, size given", ["", "ms", "over one correlate"], rows)
    print(f"peak extra memory of learn: {memory:.2f} times the pair")
    return {"median_seconds": times, "peak_memory_over_input": memory}


def beside_lstsq() -> dict[str, Any]:
    """Return times and errors beside least squares on explicit windows."""
    before, after = noisy_pair(1024)
    calls = {"learn": lambda: kf.learn(before, after, size=K), "im2col + lstsq": lambda: lstsq(before, after)}
    times = interleaved(calls, rounds=5)
    kernels = {"learn": kf.learn(before, after, size=K).kernel.weights, "im2col + lstsq": lstsq(before, after)}
    errors = {name: float(np.abs(kernel - KERNEL).max()) for name, kernel in kernels.items()}
    rows = [[name, f"{1e3 * value:.1f}", f"{value / times['learn']:.1f}"] for name, value in times.items()]
    show("learn 7×7, 1024² float32, noise 1e-3", ["", "ms", "over learn"], rows)
    print(f"largest error: {', '.join(f'{name} {error:.2e}' for name, error in errors.items())}")
    return {"median_seconds": times, "largest_error": errors}


def size_unknown() -> dict[str, Any]:
    """Return times and the sizes found where the size has to be searched for."""
    picture = np.random.default_rng(2).random((2048, 2048))
    before = kf.correlate(picture, np.ones((5, 5)) * 10.2, dtype="uint8")
    blurred = kf.correlate(before, kf.kernels.gaussian(1.0, 5), dtype="uint8")
    dense = np.random.default_rng(3).normal(size=(13, 13)) / 40
    noisy = kf.correlate(before, dense, dtype="float64") + 128
    noisy += np.random.default_rng(4).normal(scale=2.0, size=before.shape)
    pairs = {
        "5×5 blur, exact": blurred,
        "13×13 random, noise": np.clip(np.rint(noisy), 0, 255).astype(np.uint8),
    }
    calls = {name: lambda after=after: kf.learn(before, after, max_size=15) for name, after in pairs.items()}
    times = interleaved(calls, rounds=5)
    sizes = {name: "×".join(map(str, call().size)) for name, call in calls.items()}
    rows = [[name, f"{value:.2f}", sizes[name]] for name, value in times.items()]
    show("learn, 2048² uint8, size unknown up to 15×15", ["", "s", "found"], rows)
    return {"median_seconds": times, "found": sizes}


def main() -> None:
    figures = {
        "given size, 4096² float32": given_size(),
        "1024² float32": beside_lstsq(),
        "size unknown, 2048² uint8": size_unknown(),
    }
    write(RESULTS / "learn.json", ("torch",), figures=figures)


if __name__ == "__main__":
    main()
