"""The methods of the engine beside each other, and what the plan chose: float32, one channel, valid outputs.

python -m benchmarks.methods
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.timing import interleaved, machine, show, write
from kernelfield.engine import plan
from kernelfield.geometry import Window

SIZES = (256, 1024, 2048)
KERNELS = (3, 5, 7, 9, 11, 15, 19, 23, 31, 63)
# What takes ten times as long as another method need not be known better.
HOPELESS = 10.0


def main() -> None:
    rng = np.random.default_rng(0)
    rows, figures = [], []
    for size in SIZES:
        image = rng.random((1, size, size), dtype=np.float32)
        for k in KERNELS:
            for rank in (1, 2, k):
                kernel = rng.normal(size=(k, rank)) @ rng.normal(size=(rank, k))
                windows = Window.of(k, "valid"), Window.of(k, "valid")
                out = np.empty((1, size - k + 1, size - k + 1), np.float32)
                shapes = image.shape, kernel, image.dtype, out.dtype, windows
                chosen = plan.plan(*shapes)
                plans = {name: plan.plan(*shapes, name) for name in plan.METHODS}
                least = min(one.milliseconds for one in plans.values())
                work = image, kernel, out, windows, "reflect", 0.0
                candidates = {
                    name: partial(plan.run, one, *work)
                    for name, one in plans.items()
                    if one.milliseconds < HOPELESS * least or name == chosen.method
                }
                times = interleaved(candidates, rounds=9, seconds=0.5)
                best = min(times, key=times.__getitem__)
                ratio = times[chosen.method] / times[best]
                figures.append({"size": size, "k": k, "rank": rank, "chosen": chosen.method, "median_seconds": times})
                cells = [f"{1e3 * times[name]:.3g}" if name in times else "-" for name in plan.METHODS]
                rows.append([f"{size}²", f"{k}×{k}", str(rank), *cells, chosen.method, f"{ratio:.2f}"])
    header = ["image", "kernel", "rank", *(f"{name} ms" for name in plan.METHODS), "chosen", "chosen / best"]
    show("methods, medians of interleaved runs", header, rows)
    write("methods", {"machine": machine(()), "figures": figures})


if __name__ == "__main__":
    main()
