"""Images of more than 2**31 bytes, and how much memory a call takes beside its result."""

import subprocess
import sys

import numpy as np
import pytest

import kernelfield as kf

SIDE = 46_400


@pytest.mark.skipif(sys.platform != "linux", reason="takes memory for what is not touched")
def test_images_of_more_than_two_gigabytes():
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


def test_rows_and_columns_that_reach_over_two_gigabytes():
    """Strides, and a row, of more than 2**31 bytes; what is not touched takes no memory."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (40, 90)).astype(np.uint8)
    kernel = np.arange(15.0).reshape(3, 5)
    expected = kf.correlate(small, kernel, dtype="uint16")
    for axis in (0, 1):
        shape, strides = list(small.shape), [1, 1]
        strides[axis] = 1 << 26
        strides[1 - axis] = 3
        memory = np.zeros((shape[axis] - 1) * strides[axis] + 3 * shape[1 - axis], np.uint8)
        assert memory.nbytes > 2**31
        image = np.lib.stride_tricks.as_strided(memory, shape, strides)
        image[...] = small
        np.testing.assert_array_equal(kf.correlate(image, kernel, dtype="uint16"), expected)
    row = np.zeros((1, 2**31 + 100), np.uint8)
    row[0, -3], row[0, 2**31 - 1] = 5, 7
    result = kf.correlate(row, [[1.0, 2.0, 3.0]], dtype="uint8")
    assert result[0, -4:].tolist() == [15, 10, 5, 0]
    assert result[0, 2**31 - 2 : 2**31 + 1].tolist() == [21, 14, 7]
    assert np.count_nonzero(result) == 6


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
# What is imported and started once.
kf.correlate(planes[..., :200, :200], kernel, dtype=out_type, method="spectral" if work == "large" else None)

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
