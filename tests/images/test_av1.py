"""Sizes of AV1 frames in AVIF files, against the sizes that were written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kernelfield.errors import FileError
from kernelfield.images.av1 import frame_sizes


@pytest.mark.parametrize("shape", [(24, 31, 3), (64, 64, 4), (1, 1, 3), (300, 20, 3), (17, 640, 4)])
def test_pictures(make, shape):
    sizes = list(frame_sizes(make.pillow(make.ramp(shape, "u1"), "AVIF")))
    assert sizes == [shape[:2]] * (2 if shape[2] == 4 else 1)  # alpha has frames of its own


def test_animations(make):
    pixels = make.ramp((40, 30, 3), "u1")
    data = make.pillow(pixels, "AVIF", save_all=True, append_images=[Image.fromarray(pixels[::-1])])
    assert set(frame_sizes(data)) == {(40, 30)}


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_end(head, tail):
    for name in (b"iloc", b"stco", b"co64"):
        try:
            sizes = list(frame_sizes(head + name + tail))
        except FileError:
            sizes = []
        assert all(height > 0 and width > 0 for height, width in sizes)
