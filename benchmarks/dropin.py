"""The functions of `kernelfield.dropin` beside the functions they replace: whole calls that allocate their results.

python -m benchmarks.dropin
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import scipy.ndimage

from benchmarks import RESULTS
from kernelfield.cli.harness.compare import Candidate
from kernelfield.cli.harness.peers import library
from kernelfield.cli.harness.series import Line, run, write
from kernelfield.dropin import cv2 as our_cv2
from kernelfield.dropin import ndimage as our_ndimage

SIZES = (64, 512, 2048)


def lines() -> Iterator[Line]:
    for size in SIZES:
        for name, candidates in calls(size):
            # One level of 8 bits.
            tolerance = 1 / 128 if candidates["original"].result().dtype == np.uint8 else 1e-5
            yield Line({"image": f"{size}²", "call": name}, candidates, tolerance)


def calls(size: int) -> Iterator[tuple[str, dict[str, Candidate]]]:
    """Yield the name of a call, and our function and the original with the same arguments."""
    cv2 = library("OpenCV")
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3)).astype(np.float32)
    single, double = rng.random((size, size), dtype=np.float32), rng.random((size, size))
    byte, colour = (rng.integers(0, 256, shape, np.uint8) for shape in ((size, size), (size, size, 3)))
    for original, ours, functions in (
        (cv2, our_cv2, {
            "filter2D float32 3×3": lambda m: m.filter2D(single, -1, kernel),
            "filter2D uint8 3×3": lambda m: m.filter2D(byte, -1, kernel),
            "sepFilter2D float32 3×3": lambda m: m.sepFilter2D(single, -1, kernel[0], kernel[1]),
            "GaussianBlur uint8 3×3": lambda m: m.GaussianBlur(byte, (3, 3), 0.8),
            "GaussianBlur uint8 5×5": lambda m: m.GaussianBlur(byte, (5, 5), 1.1),
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
            modules = {"kernelfield": ours, "original": original}
            yield name, {who: Candidate(partial(function, module)) for who, module in modules.items()}


def main() -> None:
    figures = run("drop-in functions beside those of OpenCV and SciPy", lines())
    write(RESULTS / "dropin.json", ("opencv-python-headless", "scipy"), figures=figures)


if __name__ == "__main__":
    main()
