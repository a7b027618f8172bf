"""The kernels of reductions against Pillow, OpenCV, SciPy's splines and the formula of Mitchell's paper."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.interpolate import BSpline

from kernelfield.learning.models.resampling import FAMILIES, line_of, name_reduction

PILLOW = {
    "box (the mean)": "BOX",
    "triangle (bilinear)": "BILINEAR",
    "Hamming": "HAMMING",
    "cubic, a = -0.5 (Catmull-Rom)": "BICUBIC",
    "Lanczos, 3 lobes": "LANCZOS",
}


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("family", PILLOW)
def test_a_line_is_what_pillow_reads_of_an_impulse(family, stride):
    line = line_of(family, stride)
    n = 12 * stride
    read = np.zeros(n)
    for at in range(n):
        row = np.zeros((1, n), np.float32)
        row[0, at] = 1.0
        read[at] = np.asarray(Image.fromarray(row).resize((12, 1), getattr(Image.Resampling, PILLOW[family])))[0, 6]
    expected = np.zeros(n)
    expected[6 * stride + line.first :][: line.weights.size] = line.weights
    np.testing.assert_allclose(read, expected, atol=2e-7)
    assert line.weights[0] != 0.0
    assert line.weights[-1] != 0.0


def test_the_cubic_of_opencv_is_that_of_three_quarters():
    row = np.zeros((1, 9), np.float32)
    row[0, 4] = 1.0
    # Enlarged by 2, pixels lie at odd quarters from it.
    values = cv2.resize(row, None, fx=2, fy=1, interpolation=cv2.INTER_CUBIC)[0, 5:13]
    function, half = FAMILIES["cubic, a = -0.75"]
    assert half == 2.0
    np.testing.assert_allclose(function(np.arange(-7, 8, 2) / 4.0), values, atol=1e-6)


def mitchell(x):
    """Return the filter of B = C = 1/3 as the paper prints it, over 18."""
    x = abs(x)
    if x < 1:
        return (21 * x**3 - 36 * x**2 + 16) / 18
    return (-7 * x**3 + 36 * x**2 - 60 * x + 32) / 18 if x < 2 else 0.0


@pytest.mark.parametrize(
    ("family", "half", "expected"),
    [
        ("cubic of Mitchell", 2.0, mitchell),
        ("cubic B-spline", 2.0, lambda x: float(np.nan_to_num(BSpline.basis_element(np.arange(-2, 3), False)(x)))),
        ("Lanczos, 2 lobes", 2.0, lambda x: float(np.sinc(x) * np.sinc(x / 2)) if abs(x) < 2 else 0.0),
        ("Hamming", 1.0, lambda x: float(np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x))) if abs(x) < 1 else 0.0),
        ("box (the mean)", 0.5, lambda x: float(-0.5 < x <= 0.5)),
    ],
)
def test_functions_are_those_of_the_literature(family, half, expected):
    function, reach = FAMILIES[family]
    assert reach == half
    places = np.arange(-25, 26) / 10.0
    np.testing.assert_allclose(function(places), [expected(x) for x in places], atol=1e-12)


def built(family: str, stride: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    down, right = (line_of(family, n) if n > 1 else None for n in stride)
    lines = [np.ones(1) if one is None else one.weights for one in (down, right)]
    return np.outer(*lines), tuple(0 if one is None else -one.first for one in (down, right))


@pytest.mark.parametrize("stride", [(2, 2), (3, 2), (1, 2), (4, 1)])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_reduction_has_its_name_within_the_tolerance_alone(family, stride):
    kernel, anchor = built(family, stride)
    tolerance = np.full(kernel.shape, 1e-6)
    moved = kernel.copy()
    moved[0, 0] += 0.9e-6
    by = f"{stride[0]}" if stride[0] == stride[1] else f"{stride[0]}×{stride[1]}"
    name, text, distance = name_reduction(moved, anchor, stride, tolerance)
    assert (name, text) == (family, f"reduction by {by}: {family}")
    assert distance == pytest.approx(0.9e-6 / np.abs(kernel).max())
    moved[0, 0] += 0.2e-6
    assert name_reduction(moved, anchor, stride, tolerance) == (None, f"a reduction by {by} of no known kernel", np.inf)


def test_of_two_names_within_the_tolerance_the_nearer_is_taken():
    kernel, anchor = built("cubic, a = -0.75", (2, 2))
    assert name_reduction(kernel, anchor, (2, 2), np.full(kernel.shape, 0.1))[0] == "cubic, a = -0.75"
    kernel, anchor = built("cubic, a = -0.5 (Catmull-Rom)", (2, 2))
    assert name_reduction(kernel, anchor, (2, 2), np.full(kernel.shape, 0.1))[0] == "cubic, a = -0.5 (Catmull-Rom)"


def test_a_wider_canvas_and_one_that_cuts_little():
    kernel, (down, right) = built("Lanczos, 3 lobes", (2, 2))
    tolerance = np.full((kernel.shape[0] + 3, kernel.shape[1] + 1), 1e-9)
    wide = np.pad(kernel, [(1, 2), (0, 1)])
    assert name_reduction(wide, (down + 1, right), (2, 2), tolerance)[0] == "Lanczos, 3 lobes"
    assert name_reduction(wide, (down, right), (2, 2), tolerance)[0] is None
    # The outermost weights hold less than 0.01 of the sum at each side; the next ones more.
    cut = kernel[1:-1, 1:-1]
    assert name_reduction(cut, (down - 1, right - 1), (2, 2), np.full(cut.shape, 1e-9))[0] == "Lanczos, 3 lobes"
    cut = kernel[2:-2, 2:-2]
    assert name_reduction(cut, (down - 2, right - 2), (2, 2), np.full(cut.shape, 1e-9))[0] is None


def test_one_pixel_of_each_block():
    kernel = np.zeros((3, 4))
    kernel[2, 1] = 1.0 + 0.9e-3
    tolerance = np.full(kernel.shape, 1e-3)
    name, text, distance = name_reduction(kernel, (1, 1), (2, 3), tolerance)
    assert (name, distance) == ("every pixel", 0.0)
    assert text == "reduction by 2×3 that takes the pixel in row 1, column 0 of each 2×3 block"
    for weight in (1.0 + 1.1e-3, 1.0 - 1.1e-3, -1.0):
        kernel[2, 1] = weight
        assert name_reduction(kernel, (1, 1), (2, 3), tolerance)[0] is None
