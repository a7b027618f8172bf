"""`learn` beside one application of the kernel, PyTorch's forward pass, and least squares on an im2col matrix.

python -m benchmarks.learn
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import torch

import kernelfield as kf
from benchmarks.timing import interleaved, machine, show, write


def noisy_pair(size: int, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a float32 pair: a picture with detail, and the same filtered, with noise of 1e-3."""
    rng = np.random.default_rng(0)
    before = kf.correlate(rng.random((size, size), dtype=np.float32), np.ones((3, 3)) / 9)
    noise = rng.normal(scale=1e-3, size=before.shape).astype(np.float32)
    return before, kf.correlate(before, kernel) + noise


def lstsq(before: np.ndarray, after: np.ndarray, k: int) -> np.ndarray:
    """Return the kernel by NumPy's lstsq on the matrix of all windows."""
    windows = np.lib.stride_tricks.sliding_window_view(before, (k, k)).reshape(-1, k * k)
    design = np.c_[windows, np.ones(len(windows))]
    target = after[k // 2 : -(k // 2), k // 2 : -(k // 2)].ravel().astype(np.float64)
    return np.linalg.lstsq(design, target, rcond=None)[0][:-1].reshape(k, k)


def main() -> None:
    k = 7
    kernel = np.random.default_rng(1).normal(size=(k, k)) / k
    record: dict[str, object] = {"machine": machine(("torch",))}

    before, after = noisy_pair(4096, kernel)
    weight, tensor = torch.from_numpy(kernel.astype(np.float32))[None, None], torch.from_numpy(before)[None, None]
    out = np.empty((4096 - k + 1, 4096 - k + 1), np.float32)
    times = interleaved(
        {
            "learn": lambda: kf.learn(before, after, size=k),
            "correlate": lambda: kf.correlate(before, kernel, mode="valid", out=out),
            "torch forward": lambda: torch.nn.functional.conv2d(tensor, weight),
        },
        rounds=11,
    )
    tracemalloc.start()
    kf.learn(before, after, size=k)
    peak = tracemalloc.get_traced_memory()[1] / (before.nbytes + after.nbytes)
    tracemalloc.stop()
    record["given size, 4096² float32"] = {"median_seconds": times, "peak_memory_over_input": peak}
    rows = [[name, f"{1e3 * value:.1f}", f"{value / times['correlate']:.2f}"] for name, value in times.items()]
    show("learn 7×7, 4096² float32, size given", ["", "ms", "over one correlate"], rows)
    print(f"peak extra memory of learn: {peak:.2f} times the pair")

    before, after = noisy_pair(1024, kernel)
    times = interleaved(
        {"learn": lambda: kf.learn(before, after, size=k), "im2col + lstsq": lambda: lstsq(before, after, k)}, rounds=5
    )
    ours = np.abs(kf.learn(before, after, size=k).kernel.weights - kernel).max()
    theirs = np.abs(lstsq(before, after, k) - kernel).max()
    record["1024² float32"] = {"median_seconds": times, "largest_error": {"learn": ours, "im2col + lstsq": theirs}}
    rows = [[name, f"{1e3 * value:.1f}", f"{value / times['learn']:.1f}"] for name, value in times.items()]
    show("learn 7×7, 1024² float32, noise 1e-3", ["", "ms", "over learn"], rows)
    print(f"largest error: learn {ours:.2e}, im2col + lstsq {theirs:.2e}")

    picture = np.random.default_rng(2).random((2048, 2048))
    before = kf.correlate(picture, np.ones((5, 5)) * 10.2, dtype="uint8")
    pairs = {
        "5×5 blur, exact": kf.correlate(before, kf.kernels.gaussian(1.0, 5), dtype="uint8"),
        "13×13 random, noise": kf.correlate(
            before, np.random.default_rng(3).normal(size=(13, 13)) / 40, dtype="float64"
        ),
    }
    pairs["13×13 random, noise"] += np.random.default_rng(4).normal(scale=2.0, size=before.shape) + 128
    pairs["13×13 random, noise"] = np.clip(np.rint(pairs["13×13 random, noise"]), 0, 255).astype(np.uint8)
    calls = {name: lambda after=after: kf.learn(before, after, max_size=15) for name, after in pairs.items()}
    times = interleaved(calls, rounds=5)
    sizes = {name: "×".join(map(str, call().size)) for name, call in calls.items()}
    record["size unknown, 2048² uint8"] = {"median_seconds": times, "found": sizes}
    rows = [[name, f"{value:.2f}", sizes[name]] for name, value in times.items()]
    show("learn, 2048² uint8, size unknown up to 15×15", ["", "s", "found"], rows)
    write("learn", record)


if __name__ == "__main__":
    main()
