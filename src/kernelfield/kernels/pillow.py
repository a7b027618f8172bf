"""Pillow's named filters, and Pillow's name for given weights."""

from collections.abc import Callable

from kernelfield.kernels import edges, sharpening, smoothing
from kernelfield.kernels.kernel import Kernel

# Pillow 12, PIL/ImageFilter.py: name, weights, offset in grey levels.
PILLOW: tuple[tuple[str, Kernel, float], ...] = (
    ("BLUR", smoothing.rings((0, 0, 1)), 0),
    ("DETAIL", sharpening.sharpen(1 / 6, 4), 0),
    ("EDGE_ENHANCE", sharpening.sharpen(1 / 2, 8), 0),
    ("EDGE_ENHANCE_MORE", sharpening.sharpen(1, 8), 0),
    ("EMBOSS", edges.emboss((1, -1)), 128),
    ("FIND_EDGES", edges.laplacian(8, -1), 0),
    ("CONTOUR", edges.laplacian(8, -1), 255),
    ("SHARPEN", sharpening.sharpen(1 / 8, 8), 0),
    ("SMOOTH", smoothing.smooth(5), 0),
    ("SMOOTH_MORE", smoothing.rings((44, 5, 1)), 0),
)


def pillow_name(fits: Callable[[Kernel], bool], offset: float | None = None) -> str | None:
    """Return Pillow's name for the weights that `fits` accepts; an offset distinguishes CONTOUR from FIND_EDGES."""
    found = [(name, usual) for name, kernel, usual in PILLOW if fits(kernel)]
    if offset is not None:
        found = [(name, usual) for name, usual in found if abs(offset - usual) < 2]
    return f"Pillow {found[0][0]}" if found else None
