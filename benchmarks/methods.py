"""The methods of the engine beside each other, and the one that the plan chose: float32, one channel, valid outputs.

python -m benchmarks.methods
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks import RESULTS
from kernelfield.cli.harness.series import show, write
from kernelfield.cli.harness.timing import interleaved
from kernelfield.engine import plan
from kernelfield.geometry import Operation, Window

SIZES = (256, 1024, 2048)
KERNELS = (3, 5, 7, 9, 11, 15, 19, 23, 31, 63)
# A method that is expected to take this many times as long as another is not timed.
MAX_RATIO = 10.0


def measure() -> Iterator[dict[str, Any]]:
    """Yield the median seconds of each method for every size of image and kernel, for ranks 1, 2 and full."""
    rng = np.random.default_rng(0)
    single = np.dtype(np.float32)
    for size in SIZES:
        image = rng.random((size, size), dtype=np.float32)
        for k in KERNELS:
            operation = Operation((Window.of(k, "valid"), Window.of(k, "valid")), "reflect", 0.0)
            out = np.empty((size - k + 1, size - k + 1), np.float32)
            for rank in (1, 2, k):
                kernel = rng.normal(size=(k, rank)) @ rng.normal(size=(rank, k))
                arguments = operation, image.shape, single, kernel, single
                chosen = plan.plan(*arguments)
                plans = {name: plan.plan(*arguments, method=name) for name in plan.METHODS}
                least = min(one.milliseconds for one in plans.values())
                candidates = {
                    name: partial(plan.runner(one, operation, kernel), image, out)
                    for name, one in plans.items()
                    if one.milliseconds < MAX_RATIO * least or name == chosen.method
                }
                times = interleaved(candidates, rounds=9, seconds=0.5)
                yield {"size": size, "k": k, "rank": rank, "chosen": chosen.method, "median_seconds": times}


def main() -> None:
    rows, figures, good = [], [], 0
    for figure in measure():
        times = figure["median_seconds"]
        ratio = times[figure["chosen"]] / min(times.values())
        good += ratio <= 1.1
        figures.append(figure)
        cells = [f"{1e3 * times[name]:.3g}" if name in times else "-" for name in plan.METHODS]
        labels = [f"{figure['size']}²", f"{figure['k']}×{figure['k']}", str(figure["rank"])]
        rows.append([*labels, *cells, figure["chosen"], f"{ratio:.2f}"])
    header = ["image", "kernel", "rank", *(f"{name} ms" for name in plan.METHODS), "chosen", "chosen / best"]
    show("methods; medians of interleaved calls", header, rows)
    print(f"the plan chose the fastest, within 10 %, in {good} of {len(figures)}")
    write(RESULTS / "methods.json", (), figures=figures)


if __name__ == "__main__":
    main()
