"""Images of more than 2**31 bytes, and how much memory a call takes beside its result."""

import subprocess
import sys

import numpy as np
import pytest

import kernelfield as kf

SIDE = 46_400


@pytest.mark.skipif(sys.platform != "linux", reason="takes memory for what is not touched")
@pytest.mark.parametrize("name", ["", "halide"])
def test_images_of_more_than_two_gigabytes(name, monkeypatch):
    monkeypatch.setenv("KERNELFIELD_ENGINE", name)
    image = np.zeros((SIDE, SIDE), np.uint8)
    assert image.nbytes > 2**31
    kernel = np.arange(9.0).reshape(3, 3)
    image[-2, -3], image[5, 7] = 3, 2
    result = kf.correlate(image, kernel, dtype="uint8")
    for row, column, value in ((SIDE - 2, SIDE - 3, 3), (5, 7, 2)):
        window = result[row - 1 : row + 2, column - 1 : column + 2]
        np.testing.assert_array_equal(window, value * kernel[::-1, ::-1])
        window[...] = 0
    assert not result.any()


_PEAK = """
import sys, numpy as np, kernelfield as kf
rng = np.random.default_rng(0)
work, shape, dtype, out_type = sys.argv[1:5]
image = np.empty(tuple(map(int, shape.split(","))), dtype)
for line in image:
    line[...] = rng.random(line.shape) * 200
kernel = {
    "dense": lambda: rng.normal(size=(7, 7)),
    "rank1": lambda: np.outer(*rng.normal(size=(2, 15))),
    "large": lambda: rng.normal(size=(41, 41)),
    "ninth": lambda: np.full((3, 3), 1 / 9) + rng.normal(size=(3, 3)) / 99,
}[work]()
planes = image.transpose(2, 0, 1) if image.ndim == 3 else image
kf.correlate(planes[..., :200, :200], kernel, dtype=out_type)

def memory(name):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * int(lines[name].split()[0])

open("/proc/self/clear_refs", "w").write("5")  # the peak begins here
before = memory("VmRSS")
result = kf.correlate(planes, kernel, dtype=out_type)
print(memory("VmHWM") - before - result.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux does")
@pytest.mark.parametrize(
    ("works", "shape", "dtype"),
    [
        (("dense", "rank1", "large", "ninth"), "4096,4096", "float32"),
        (("dense", "rank1", "ninth"), "4096,4096", "uint8"),
        (("dense", "rank1", "ninth"), "2500,3000,3", "uint8"),
    ],
)
def test_memory_is_the_result_and_little_more(works, shape, dtype):
    for work in works:
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, work, shape, dtype, dtype], capture_output=True, text=True, check=True
        )
        assert -1e6 < int(done.stdout) < 32e6, (work, done.stdout)
