"""`correlate` beside OpenCV's filter2D and PyTorch's conv2d: float32, one channel, valid outputs.

python -m benchmarks.apply
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

import kernelfield as kf
from benchmarks.timing import interleaved, machine, show, write

SIZE = 2048


def main() -> None:
    rng = np.random.default_rng(0)
    image = rng.random((SIZE, SIZE), dtype=np.float32)
    tensor = torch.from_numpy(image)[None, None]
    rows, figures = [], []
    for k in (3, 5, 7, 9, 11, 15):
        kernel = rng.normal(size=(k, k)).astype(np.float32)
        weight = torch.from_numpy(kernel)[None, None]
        valid = np.empty((SIZE - k + 1, SIZE - k + 1), np.float32)
        whole = np.empty_like(image)
        candidates = {
            "kernelfield": lambda kernel=kernel, out=valid: kf.correlate(image, kernel, mode="valid", out=out),
            "opencv": lambda kernel=kernel, out=whole: cv2.filter2D(image, -1, kernel, dst=out),
            "torch": lambda weight=weight: torch.nn.functional.conv2d(tensor, weight),
        }
        ours, theirs = candidates["kernelfield"](), candidates["torch"]()[0, 0].numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
        margin = k // 2
        inside = candidates["opencv"]()[margin : SIZE - margin, margin : SIZE - margin]
        np.testing.assert_allclose(ours, inside, atol=1e-4)
        times = interleaved(candidates, rounds=31)
        figures.append({"k": k, "median_seconds": times})
        rows.append(
            [
                f"{k}×{k}",
                *(f"{1e3 * times[name]:.2f}" for name in candidates),
                f"{times['opencv'] / times['kernelfield']:.2f}",
                f"{times['torch'] / times['kernelfield']:.1f}",
            ]
        )
    header = ["kernel", "kernelfield ms", "OpenCV ms", "PyTorch ms", "OpenCV / ours", "PyTorch / ours"]
    show(f"correlate, {SIZE}² float32, valid, medians of interleaved runs", header, rows)
    threads = {"opencv": cv2.getNumThreads(), "torch": torch.get_num_threads()}
    packages = ("opencv-python-headless", "torch")
    write("apply", {"machine": machine(packages), "threads": threads, "size": SIZE, "figures": figures})


if __name__ == "__main__":
    main()
