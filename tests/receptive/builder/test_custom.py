"""Operations that are not known, and those with index maps of the caller."""

from __future__ import annotations

import pytest

from kernelfield.errors import ArgumentError, UnsupportedOperation
from kernelfield.receptive.builder import Builder
from kernelfield.receptive.graph import AxisMap, Link

pytestmark = pytest.mark.torch


def test_what_is_not_known():
    b = Builder()
    x = b.image("image", (1, 1, 4, 4), (2, 3))
    with pytest.raises(UnsupportedOperation, match=r"'warp' in 'block\.warp'.*unknown='global'.*register"):
        b.unknown("block.warp", "warp", [x], (1, 1, 4, 4))
    b = Builder(unknown="global")
    node = b.graph(b.unknown("w", "warp", [b.image("image", (1, 1, 4, 4), (2, 3))], (1, 1, 4, 6))).nodes[-1]
    assert node.shape == (4, 6)
    assert node.bound == "upper bound: warp is not known"
    assert b.unknown("v", "warp", [b.constant((3,))], (3,)).node is None
    with pytest.raises(ArgumentError, match="unknown: expected 'error' or 'global'"):
        Builder(unknown="whole")


def test_a_custom_operation():
    b = Builder()
    x = b.image("image", (1, 1, 4, 6), (2, 3))
    y = b.custom("swap", "swap", [x], [(Link((1,)), Link((0,), AxisMap.window(2)))], (1, 1, 5, 4), (None, None, 0, 1))
    assert b.graph(y).by_name["swap"].shape == (5, 4)
    with pytest.raises(ArgumentError, match="expected 2 links"):
        b.custom("swap", "swap", [x], [(Link((1,)),)], (1, 1, 5, 4), (None, None, 0, 1))
    with pytest.raises(ArgumentError, match="axes of the grid in order"):
        b.custom("swap", "swap", [x], [(Link((1,)), Link((0,)))], (1, 1, 5, 4), (None, None, 1, 0))
