"""CMYK to RGB, against the formula rounded to nearest."""

import numpy as np
import pytest

from kernelfield.images import read


@pytest.mark.parametrize(("dtype", "top"), [("u1", 255), ("u2", 65535)])
def test_cmyk_is_rounded_to_nearest(store, make, dtype, top):
    levels = np.unique(np.linspace(0, top, 256).astype(dtype))
    ink, black = np.meshgrid(levels, levels)
    pixels = np.stack([ink, ink[::-1], np.zeros_like(ink), black], axis=2)
    picture = read(store(make.tiff(pixels, photometric="separated"), "a.tif"))
    # The maximum is odd: (1 - C)(1 - K) is never half way between two levels.
    expected = np.rint((top - pixels[..., :3].astype(float)) * (top - black[..., None].astype(float)) / top)
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.pixels.dtype == np.dtype(dtype)
    assert picture.channels == ("R", "G", "B")
