"""`correlate` beside OpenCV's filter2D and PyTorch's conv2d, and on large images beside a copy: float32, one channel.

python -m benchmarks.apply
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

import kernelfield as kf
from benchmarks import RESULTS
from kernelfield.cli.harness.compare import Candidate
from kernelfield.cli.harness.peers import library
from kernelfield.cli.harness.series import Line, run, write

SIZE, KERNELS = 2048, (3, 5, 7, 9, 11, 15)
LARGE = (4096, 8192)


def lines() -> Iterator[Line]:
    """Yield kernels of all sizes on one image; only outputs whose window lies inside the image are compared."""
    cv2, torch = library("OpenCV"), library("PyTorch")
    rng = np.random.default_rng(0)
    image = rng.random((SIZE, SIZE), dtype=np.float32)
    tensor = torch.from_numpy(image)[None, None]
    whole = np.empty_like(image)
    for k in KERNELS:
        kernel = rng.normal(size=(k, k)).astype(np.float32)
        weight = torch.from_numpy(kernel)[None, None]
        inside = np.s_[k // 2 : SIZE - k // 2, k // 2 : SIZE - k // 2]
        out = np.empty((SIZE - k + 1, SIZE - k + 1), np.float32)
        candidates = {
            "kernelfield": Candidate(partial(kf.correlate, image, kernel, mode="valid", out=out)),
            "OpenCV": Candidate(partial(cv2.filter2D, image, -1, kernel, dst=whole), lambda a, part=inside: a[part]),
            "PyTorch": Candidate(partial(torch.nn.functional.conv2d, tensor, weight), lambda t: t[0, 0].numpy()),
        }
        yield Line({"kernel": f"{k}×{k}"}, candidates, tolerance=1e-5, rounds=31)


def large_lines() -> Iterator[Line]:
    """Yield 3×3 on images that no cache holds, beside a copy of the image."""
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3))
    for size in LARGE:
        image = rng.random((size, size), dtype=np.float32)
        out, copy = np.empty_like(image), np.empty_like(image)
        candidates = {
            "kernelfield": Candidate(partial(kf.correlate, image, kernel, out=out)),
            "np.copyto": Candidate(partial(np.copyto, copy, image)),
        }
        yield Line({"image": f"{size}²"}, candidates, tolerance=np.inf)


def main() -> None:
    valid = run(f"correlate, {SIZE}² float32, valid", lines())
    large = run("correlate, 3×3 float32, same size", large_lines())
    write(RESULTS / "apply.json", ("opencv-python-headless", "torch"), size=SIZE, figures=valid, large=large)


if __name__ == "__main__":
    main()
