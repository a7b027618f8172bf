from __future__ import annotations

import numpy as np
import pytest
from rich.console import Console

from kernelfield.cli.kernel_table import kernel_lines


def cells(weights, digits):
    return [[f"{value:.{digits}f}" for value in row] for row in weights]


@pytest.mark.parametrize("width", [20, 40, 80, 100])
@pytest.mark.parametrize("size", [1, 3, 9, 15, 31, 63])
def test_a_kernel_never_exceeds_the_terminal(size, width):
    rows = np.hypot(*np.mgrid[:size, :size] - size // 2)
    weights = np.cos(rows) * np.exp(-rows / 3)
    lines = [line.plain for line in kernel_lines(weights, cells(weights, 6), (size // 2, size // 2), width)]
    if size + 2 <= width:
        assert max(map(len, lines[:size])) <= width
        assert len(lines) >= size
    else:
        assert "wider than this terminal" in lines[0]


def test_a_heat_map_shows_signs_and_the_anchor():
    weights = np.zeros((2, 31))
    weights[0, 0], weights[1, 30] = 2.0, -1.0
    two = [line.plain for line in kernel_lines(weights, cells(weights, 6), (1, 30), 80)]
    assert two[0] == " " * 63 + "v"
    assert two[1].startswith("   9 ·")
    assert two[2].startswith("> ")
    assert two[2].endswith("-4")
    one = [line.plain for line in kernel_lines(weights, cells(weights, 6), (1, 30), 40)]
    assert one[1] == "  9" + "·" * 30
    assert one[2] == "> " + "·" * 30 + "d"


def test_digits_are_given_up_before_the_numbers_are():
    weights = np.array([[0.123456, -0.00000001, 0.9]])
    full = kernel_lines(weights, cells(weights, 6), (0, 1), 80)[0].plain
    short = kernel_lines(weights, cells(weights, 6), (0, 1), 22)[0].plain
    assert full == "    0.123456 [-0.000000]  0.900000 "
    assert short == "   .123 [.000] .900 "


def test_red_is_positive_blue_is_negative():
    line = kernel_lines(np.array([[-1.0, 0.0, 1.0]]), [["-1", "0", "1"]], (0, 1), 80)[0]
    styles = [Console().get_style(str(span.style)) for span in line.spans]
    negative, zero, positive = (style.bgcolor.triplet for style in styles)
    assert negative.blue > negative.red
    assert positive.red > positive.blue
    assert min(zero) > 240
