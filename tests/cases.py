"""Inputs that many tests share: dtypes, memory layouts, kernels, photographs."""

from __future__ import annotations

from functools import cache

import numpy as np

DTYPES = ("uint8", "uint16", "int16", "int32", "float32", "float64")
BOUNDARIES = ("constant", "nearest", "reflect", "mirror", "wrap")
MODES = ("valid", "same", "full")
LAYOUTS = ("contiguous", "fortran", "strided", "reversed", "read-only", "big-endian", "unaligned")


def image(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return an image of random values that use the range of its dtype."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """Return the same values in another memory layout."""
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "strided":
        wide = np.zeros((*array.shape[:-2], 2 * array.shape[-2], 3 * array.shape[-1]), array.dtype)
        wide[..., ::2, ::3] = array
        return wide[..., ::2, ::3]
    if layout == "reversed":
        return array[..., ::-1, ::-1].copy()[..., ::-1, ::-1]
    if layout == "read-only":
        copy = array.copy()
        copy.flags.writeable = False
        return copy
    if layout == "big-endian":
        return array.astype(array.dtype.newbyteorder(">"))
    if layout == "unaligned":
        raw = np.zeros(array.nbytes + 1, np.uint8)
        view = raw[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    return array


def sums_of_products(
    pixels: np.ndarray, kernel: np.ndarray, dtype: type[np.number] = np.float64
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums over the kernel where it lies inside images (..., H, W), and those of the terms' magnitudes."""
    rows, columns = (n - k + 1 for n, k in zip(pixels.shape[-2:], kernel.shape))
    total, size = np.zeros((2, *pixels.shape[:-2], rows, columns), dtype)
    for a, b in np.argwhere(kernel):
        term = dtype(kernel[a, b]) * pixels[..., a : a + rows, b : b + columns].astype(dtype)
        total += term
        size += abs(term)
    return total, size


@cache
def photograph(name: str) -> np.ndarray:
    """Return a grey photograph of 8 bits that scikit-learn or scikit-image ships."""
    import skimage.data
    from PIL import Image
    from sklearn.datasets import load_sample_images

    colour = {
        "china": lambda: load_sample_images().images[0],
        "flower": lambda: load_sample_images().images[1],
        "astronaut": skimage.data.astronaut,
        "camera": skimage.data.camera,
    }[name]()
    grey = np.asarray(Image.fromarray(colour).convert("L"))
    grey.flags.writeable = False
    return grey


@cache
def colour_photograph(name: str) -> np.ndarray:
    """Return a colour photograph of 8 bits, shape (H, W, 3)."""
    from sklearn.datasets import load_sample_images

    picture = load_sample_images().images[{"china": 0, "flower": 1}[name]]
    picture = np.array(picture)
    picture.flags.writeable = False
    return picture
