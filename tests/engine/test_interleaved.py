import numpy as np
import pytest
from cases import needs_halide
from hypothesis import given
from hypothesis import strategies as st

from kernelfield.engine.interleaved import copy

pytestmark = needs_halide


@given(st.data())
def test_a_copy_is_a_copy(data):
    draw = data.draw
    dtype = draw(st.sampled_from(["uint8", "uint16", "int32", "float32", "float64", "float16"]))
    channels = draw(st.integers(1, 5))
    n, rows, columns = draw(st.integers(1, 2)), draw(st.integers(1, 90)), draw(st.integers(1, 200))
    gap = draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    photograph = rng.integers(0, 200, (n, rows + gap, columns + gap, channels)).astype(dtype)[:, gap:, gap:]
    if draw(st.booleans()):
        photograph.flags.writeable = False
    turned = photograph.transpose(0, 3, 1, 2)
    planes = np.full((n, channels, rows, columns + gap), 7, dtype)
    copy(turned, planes[..., :columns])
    assert (planes[..., :columns] == turned).all()
    assert (planes[..., columns:] == 7).all()
    again = np.full((n, rows, columns, channels), 7, dtype)
    copy(planes[..., :columns], again.transpose(0, 3, 1, 2))
    assert (again == photograph).all()


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_large_photographs(channels):
    photograph = np.random.default_rng(0).random((2, 301, 517, channels), dtype=np.float32)
    planes = np.empty((2, channels, 301, 517), np.float32)
    copy(photograph.transpose(0, 3, 1, 2), planes)
    assert (planes == photograph.transpose(0, 3, 1, 2)).all()
    again = np.empty_like(photograph)
    copy(planes, again.transpose(0, 3, 1, 2))
    assert (again == photograph).all()
