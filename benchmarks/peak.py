"""Share of the processor's multiply-adds that sliding products and lag products reach: float32, one channel.

The peak is the rate of a loop in registers that only multiplies and adds, on one thread; the share of two threads is of
twice that. Every instruction set of the processor is measured. Products of 8-bit integers are given as a share of the
same peak, which they may exceed: one instruction does several of them.

python -m benchmarks.peak
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from benchmarks import RESULTS
from kernelfield import _core
from kernelfield.cli.harness.series import show, write
from kernelfield.cli.harness.timing import interleaved
from kernelfield.engine import threads

KERNELS = (3, 5, 7, 9, 11, 15, 21, 31)
#: Threads and the side of the image.
RUNS = ((1, 512), (2, 2048))
#: Rows and columns of lags: those of a 15×15 kernel.
LAGS = (15, 29)

Work = tuple[str, Callable[[], object], int]


def correlations(size: int) -> Iterator[Work]:
    """Yield sliding products with a dense kernel: name, call and multiply-adds."""
    rng = np.random.default_rng(0)
    image = rng.random((size, size), dtype=np.float32)
    for k in KERNELS:
        out = np.empty((size - k + 1, size - k + 1), np.float32)
        call = partial(_core.Correlation(rng.normal(size=(k, k))), image, out)
        yield f"{k}×{k}", call, out.size * k * k


def lag_products(size: int) -> Iterator[Work]:
    """Yield lag products of an image with itself: of integers, exact, and of float32 with float64 sums."""
    rng = np.random.default_rng(0)
    rows, columns = size - LAGS[0] + 1, size - LAGS[1] + 1
    byte = rng.integers(0, 256, (size, size), np.uint8)
    for image, shift in ((byte, 128.0), (byte.astype(np.float32), 127.5)):
        call = partial(_core.lag_products, image[:rows, :columns], image, LAGS, max(16, -(-rows // 64)), shift, shift)
        yield f"lags {LAGS[0]}×{LAGS[1]}, {image.dtype}", call, rows * columns * LAGS[0] * LAGS[1]


def measure() -> Iterator[dict[str, Any]]:
    """Yield the time, the rate and the share of the peak for every instruction set, number of threads and work."""
    for name in _core.instruction_sets():
        for count, size in RUNS:
            with engine(name, count):
                for work, call, multiply_adds in (*correlations(size), *lag_products(size)):
                    peaks: list[float] = []
                    calls = {"ours": call, "peak": partial(_append_peak, peaks)}
                    seconds = interleaved(calls, rounds=21, seconds=1.5, shortest=5e-3)["ours"]
                    rate, peak = multiply_adds / seconds, count * float(np.median(peaks))
                    yield {
                        "instruction_set": name,
                        "threads": count,
                        "size": size,
                        "work": work,
                        "median_seconds": seconds,
                        "multiply_adds_per_second": rate,
                        "peak": peak,
                        "share": rate / peak,
                    }


@contextmanager
def engine(name: str, count: int) -> Iterator[None]:
    """Run with an instruction set and a number of threads."""
    usual = _core.instruction_set()
    _core.use(name)
    threads.set_threads(count)
    try:
        yield
    finally:
        threads.set_threads(None)
        _core.use(usual)


def _append_peak(peaks: list[float]) -> None:
    """Measure the peak beside each sample, for the clock of the processor may change."""
    peaks.append(_core.peak(5e-3))


def main() -> None:
    figures = list(measure())
    rows = [
        [
            figure["instruction_set"],
            str(figure["threads"]),
            f"{figure['size']}²",
            figure["work"],
            f"{1e3 * figure['median_seconds']:.3f}",
            *(f"{figure[key] / 1e9:.1f}" for key in ("multiply_adds_per_second", "peak")),
            f"{100 * figure['share']:.0f} %",
        ]
        for figure in figures
    ]
    header = ["instructions", "threads", "image", "kernel", "ms", "10⁹ multiply-adds/s", "peak", "share"]
    show("share of the peak of float32 multiply-adds; medians of interleaved calls", header, rows)
    write(RESULTS / "peak.json", (), figures=figures)


if __name__ == "__main__":
    main()
