"""The functions of `kernelfield.dropin` beside those that they stand for: whole calls that make their own results.

python -m benchmarks.dropin
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
import scipy.ndimage

from benchmarks.timing import interleaved, machine, show, write
from kernelfield.dropin import cv2 as our_cv2
from kernelfield.dropin import ndimage as our_ndimage
from kernelfield.engine.threads import threads

SIZES = (64, 512, 2048)
Call = Callable[[], object]


def main() -> None:
    cv2.setNumThreads(threads())
    rows, figures = [], []
    for size in SIZES:
        for name, ours, theirs in calls(size):
            times = interleaved({"ours": ours, "theirs": theirs}, rounds=21, seconds=3.0, shortest=2e-3)
            ratio = times["theirs"] / times["ours"]
            figures.append({"size": size, "call": name, "median_seconds": times, "ratio": ratio})
            rows.append([f"{size}²", name, *(f"{1e3 * times[who]:.3g}" for who in ("ours", "theirs")), f"{ratio:.2f}"])
    header = ["image", "call", "ours ms", "theirs ms", "theirs / ours"]
    show("drop-in functions beside OpenCV's and SciPy's, medians of interleaved runs", header, rows)
    packages = ("opencv-python-headless", "scipy")
    write("dropin", {"machine": machine(packages), "threads": threads(), "figures": figures})


def calls(size: int) -> Iterator[tuple[str, Call, Call]]:
    """Yield names, our calls and theirs, for images of a size."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3)).astype(np.float32)
    single, double = rng.random((size, size), dtype=np.float32), rng.random((size, size))
    byte, colour = (rng.integers(0, 256, shape, np.uint8) for shape in ((size, size), (size, size, 3)))
    for module, ours, functions in (
        (cv2, our_cv2, {
            "filter2D float32 3×3": lambda m: m.filter2D(single, -1, kernel),
            "filter2D uint8 3×3": lambda m: m.filter2D(byte, -1, kernel),
            "sepFilter2D float32 3×3": lambda m: m.sepFilter2D(single, -1, kernel[0], kernel[1]),
            "GaussianBlur uint8 7×7": lambda m: m.GaussianBlur(byte, (7, 7), 1.5),
            "GaussianBlur RGB uint8 7×7": lambda m: m.GaussianBlur(colour, (7, 7), 1.5),
            "blur uint8 5×5": lambda m: m.blur(byte, (5, 5)),
            "Sobel uint8 to float32": lambda m: m.Sobel(byte, cv2.CV_32F, 1, 0),
        }),
        (scipy.ndimage, our_ndimage, {
            "correlate float64 3×3": lambda m: m.correlate(double, kernel),
            "gaussian_filter float64 σ=2": lambda m: m.gaussian_filter(double, 2),
            "gaussian_filter uint8 σ=2": lambda m: m.gaussian_filter(byte, 2),
            "sobel float32": lambda m: m.sobel(single),
            "uniform_filter float32 5×5": lambda m: m.uniform_filter(single, 5),
        }),
    ):  # fmt: skip
        for name, function in functions.items():
            yield name, lambda f=function, m=ours: f(m), lambda f=function, m=module: f(m)


if __name__ == "__main__":
    main()
