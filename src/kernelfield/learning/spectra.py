"""Spectra of real images. SciPy's transforms of large arrays are the faster ones, and take a moment to load."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def rfft2(image: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the spectrum of an image with zeros up to a shape, as `scipy.fft.rfft2`."""
    from scipy import fft

    spectrum: np.ndarray = fft.rfft2(image, shape)
    return spectrum


def irfft2(spectrum: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return the image of a shape that has a spectrum, as `scipy.fft.irfft2`."""
    from scipy import fft

    image: np.ndarray = fft.irfft2(spectrum, shape)
    return image


def fast_length(n: int) -> int:
    """Return the least length of at least `n` without prime factors beyond 5.

    Examples
    --------
    >>> [fast_length(n) for n in (1, 7, 511, 517)]
    [1, 8, 512, 540]
    """
    best = 1 << (n - 1).bit_length()
    fives = 1
    while fives < best:
        threes = fives
        while threes < best:
            best = min(best, threes << max(0, (-(-n // threes) - 1).bit_length()))
            threes *= 3
        fives *= 5
    return best
