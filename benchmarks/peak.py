"""How much of the processor's multiply-adds sliding products use: float32, one channel, valid outputs.

The peak is what the engine's own loop over registers gives one thread, that multiplies and adds and takes nothing from
memory; on two threads, twice that.

python -m benchmarks.peak
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.timing import interleaved, machine, show, write
from kernelfield import _core
from kernelfield.engine import threads

SIZES = (1024, 2048)
KERNELS = (3, 5, 7, 9, 11, 15, 21, 31)


def main() -> None:
    count = threads.threads()
    rng = np.random.default_rng(0)
    rows, figures = [], []
    for size in SIZES:
        image = rng.random((size, size), dtype=np.float32)
        for k in KERNELS:
            out = np.empty((size - k + 1, size - k + 1), np.float32)
            call = partial(_core.Correlation(rng.normal(size=(k, k))), image, out)
            peaks: list[float] = []
            times = interleaved({"ours": call, "peak": partial(_peak, peaks)}, rounds=31, seconds=2.0, shortest=5e-3)
            rates = {
                "ours": 2 * out.size * k * k / times["ours"] / 1e9,
                "peak": 2 * count * float(np.median(peaks)) / 1e9,
            }
            share = rates["ours"] / rates["peak"]
            figures.append({"size": size, "k": k, "gflops": rates, "share": share})
            numbers = (f"{rates['ours']:.0f}", f"{rates['peak']:.0f}", f"{share:.2f}")
            rows.append([f"{size}²", f"{k}×{k}", f"{1e3 * times['ours']:.2f}", *numbers])
    header = ["image", "kernel", "ms", "GFLOP/s", "peak", "share"]
    show("sliding products beside the peak of multiply-adds, medians of interleaved runs", header, rows)
    about = {"machine": machine(()), "instruction_set": _core.instruction_set(), "threads": count}
    write("peak", {**about, "figures": figures})


def _peak(found: list[float]) -> None:
    """Note the multiply-adds a second that one thread does now."""
    found.append(_core.peak(5e-3))


if __name__ == "__main__":
    main()
