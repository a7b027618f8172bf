"""`learn` beside one application of the kernel, PyTorch's forward pass, and least squares on an im2col matrix.

python -m benchmarks.learn [photographs | files | streamed | mixed], for all or for a part
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage as ndi
import tifffile
from PIL import Image, ImageFilter
from skimage import data

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


def mixed_channels() -> dict[str, Any]:
    """Return times of a mix of colours, 5×5 from each channel to each, beside one correlate of the picture."""
    before = photograph(3000, 4000, 3)
    bank = np.random.default_rng(5).normal(size=(3, 3, 5, 5)) / 32
    noise = np.random.default_rng(6)
    planes = [sum(kf.correlate(before[..., c], own[c], dtype="float32") for c in range(3)) for own in bank]
    after = np.stack(planes, axis=2) + 120 + noise.normal(size=before.shape).astype(np.float32)
    after = np.clip(np.rint(after), 0, 255).astype(np.uint8)
    calls = {
        "learn mixed 5×5": lambda: kf.learn(before, after, channels="mixed", size=5),
        "correlate": lambda: kf.correlate(before, bank[0, 0], channel_axis=2, dtype="uint8"),
    }
    times = interleaved(calls, rounds=3)
    rows = [[name, f"{1e3 * value:.1f}", f"{value / times['correlate']:.2f}"] for name, value in times.items()]
    show("learn RGB to RGB 5×5, 12 megapixels uint8, size given", ["", "ms", "over one correlate"], rows)
    return {"median_seconds": times}


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


def photograph(height: int, width: int, channels: int = 1) -> np.ndarray:
    """Return a photograph of 8 bits with clipped highlights: mirrored pieces side by side, with sensor noise."""
    piece = data.astronaut().astype(np.float32)
    piece = piece.mean(axis=2, keepdims=True) if channels == 1 else piece
    whole = np.pad(piece, ((0, max(0, height - 512)), (0, max(0, width - 512)), (0, 0)), "symmetric")[:height, :width]
    noisy = 1.3 * whole + np.random.default_rng(0).normal(scale=2.0, size=whole.shape).astype(np.float32)
    result = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return result[..., 0] if channels == 1 else result


def processor_seconds(call: Callable[[], object], rounds: int = 3) -> float:
    """Return the median processor time of a call, over all threads."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times)


def real_photographs() -> dict[str, Any]:
    """Return processor times on photographs of unknown size of kernel, beside one application of a kernel of 7×7."""
    figures, rows = {}, []
    for size in (512, 2048):
        before = photograph(size, size)
        after = np.asarray(Image.fromarray(before).filter(ImageFilter.GaussianBlur(2)))
        figures[f"{size}² uint8, highlights clipped, Pillow GaussianBlur(2)"] = (before, after)
    before, after = noisy_pair(1024)
    figures["1024² float32, noise 1e-3"] = (before, after)
    # The first call of all loads parts of SciPy.
    kf.learn(before[:100, :100], after[:100, :100])
    seconds = {}
    for name, (before, after) in figures.items():
        fits: list[kf.learning.Fit] = []
        seconds[name] = processor_seconds(lambda b=before, a=after, fits=fits: fits.append(kf.learn(b, a)))
        once = processor_seconds(lambda b=before: kf.correlate(b, KERNEL), 5)
        fit = fits[-1]
        rows.append(
            [name, f"{seconds[name]:.2f}", f"{seconds[name] / once:.0f}", "×".join(map(str, fit.size)), fit.verdict]
        )
    show("learn, size unknown", ["", "processor s", "over one correlate 7×7", "size", "verdict"], rows)
    return {"processor_seconds": seconds}


def write_pairs(folder: str) -> None:
    """Write a before of 24 megapixels in colour and its afters as PNG files."""
    before = photograph(4000, 6000, 3)
    blurred = np.asarray(Image.fromarray(before).filter(ImageFilter.Kernel((3, 3), [1, 2, 1, 2, 4, 2, 1, 2, 1])))
    noise = np.random.default_rng(1).normal(scale=2.0, size=before.shape).astype(np.float32)
    pictures = {
        "before": before,
        "exact blur": blurred,
        "noisy blur": np.clip(np.rint(blurred + noise), 0, 255).astype(np.uint8),
        "median": ndi.median_filter(before, (3, 3, 1)),
    }
    for name, picture in pictures.items():
        Image.fromarray(picture).save(Path(folder, f"{name}.png"), compress_level=1)


def command_line() -> dict[str, Any]:
    """Return processor times and peak memory of `kernelfield learn` on pairs of 24 megapixels in colour, PNG files."""
    figures, rows = {}, []
    with tempfile.TemporaryDirectory() as folder:
        # By a process of its own: the peak of this one would count as that of the commands it starts.
        write = f"from benchmarks.learn import write_pairs; write_pairs({folder!r})"
        subprocess.run([sys.executable, "-c", write], check=True)
        source = Path(folder, "before.png")
        for name in ("exact blur", "noisy blur", "median"):
            target = Path(folder, f"{name}.png")
            command = [sys.executable, "-m", "kernelfield", "learn", str(source), str(target)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
            figures[name] = {"processor_seconds": seconds, "peak_bytes": memory}
            rows.append([name, f"{seconds:.1f}", f"{memory / 1e9:.2f}", " ".join(said.split()[:8])])
    show("kernelfield learn, 24 megapixels, RGB, PNG", ["", "processor s", "peak GB", "says"], rows)
    return figures


def streamed() -> dict[str, Any]:
    """Return processor times and peak memory of sums from files read in tiles, beside those of arrays in memory."""
    # Clipped highlights would be left out one by one, which takes longer than all else.
    before = photograph(4096, 4096) // 2 + 20
    after = kf.correlate(before, np.full((7, 7), 1 / 49), dtype=np.uint8)
    figures, rows = {}, []
    with tempfile.TemporaryDirectory() as folder:
        names = {kind: [Path(folder, f"{which}.{kind}") for which in "ba"] for kind in ("npy", "tif")}
        for npy, tif, array in zip(names["npy"], names["tif"], (before, after)):
            np.save(npy, array)
            tifffile.imwrite(tif, array, tile=(256, 256))
        sources = {"in memory": (before, after), "NPY": names["npy"], "TIFF in tiles": names["tif"]}
        for size in (3, 7, 11):
            calls = {
                name: lambda pair=pair, size=size: kf.KernelLearner(size).partial_fit(*pair)
                for name, pair in sources.items()
            }
            taken = {name: [processor_seconds(call, 1) for _ in range(7)] for name, call in calls.items()}
            seconds = {name: statistics.median(times) for name, times in taken.items()}
            tracemalloc.start()
            calls["NPY"]()
            peak = tracemalloc.get_traced_memory()[1] / (before.nbytes + after.nbytes)
            tracemalloc.stop()
            figures[f"{size}×{size}"] = {"processor_seconds": seconds, "peak_memory_of_npy_over_input": peak}
            shares = [f"{seconds['in memory'] / value:.0%}" for value in seconds.values()]
            rows.append([f"{size}×{size}", f"{1e3 * seconds['in memory']:.0f}", *shares[1:], f"{peak:.2f}"])
    head = ["", "in memory, processor ms", "throughput of NPY", "of TIFF in tiles", "peak memory of NPY over the pair"]
    show("KernelLearner, 4096² uint8, files in tiles", head, rows)
    return figures


def main() -> None:
    figures = {
        "photographs, size unknown": real_photographs(),
        "24 megapixels, command line": command_line(),
        "given size, 4096² float32": given_size(),
        "1024² float32": beside_lstsq(),
        "size unknown, 2048² uint8": size_unknown(),
        "KernelLearner, 4096² uint8": streamed(),
        "RGB to RGB 5×5, 12 megapixels uint8": mixed_channels(),
    }
    write(RESULTS / "learn.json", ("torch",), figures=figures)


PARTS = {"photographs": real_photographs, "files": command_line, "streamed": streamed, "mixed": mixed_channels}


if __name__ == "__main__":
    PARTS[sys.argv[1]]() if len(sys.argv) > 1 else main()
