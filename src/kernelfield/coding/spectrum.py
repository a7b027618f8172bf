"""The amplitude spectrum of an image, averaged over orientations, and its slope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernelfield.coding.encoding import check_luminance
from kernelfield.errors import ArgumentError

# Lowest frequency in cycles per image, below which the window and the layout of the scene dominate, and highest in
# cycles per pixel, above which optics, demosaicking and noise do.
_SLOWEST = 4.0
_FASTEST = 0.35
_PER_OCTAVE = 4


@dataclass(frozen=True, eq=False)
class AmplitudeSpectrum:
    """The amplitude of an image by frequency, averaged over orientations.

    Attributes
    ----------
    frequency : numpy.ndarray
        Middle of each ring of frequencies, in cycles per pixel, four to an octave.
    amplitude : numpy.ndarray
        Mean amplitude in the ring, in the image's units.
    slope, slope_error : float
        Slope of the line fitted to ``log amplitude`` over ``log frequency``, and its standard error from the scatter
        about the line; the slope is about -1 for natural images (Field 1987).
    intercept : float
        ``log amplitude`` of the line at 1 cycle per pixel.
    """

    frequency: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    slope: float
    slope_error: float
    intercept: float


def amplitude_spectrum(image: ArrayLike) -> AmplitudeSpectrum:
    """Return the amplitude spectrum of an image and its slope: near ``1/f`` for natural images.

    Field (1987) found ``1/f`` for six natural images; it gives sensors of equal bandwidth in octaves equal responses at
    all scales. Tolhurst, Tadmor and Chao (1992, Ophthalmic and Physiological Optics 12(2), 229-232) found
    slopes from -0.8 to -1.5 in 135 photographs, -1.2 on average.

    The mean is subtracted and a Hann window applied to rows and columns, which suppresses the discontinuity between
    opposite borders. The slope is fitted from 4 cycles per shorter side to 0.35 cycles per pixel; this range, the
    window and the rings are choices made here.

    Parameters
    ----------
    image : array_like, shape (H, W)
        Luminance, of at least 32 pixels a side.

    Returns
    -------
    AmplitudeSpectrum

    Raises
    ------
    ArgumentError
        For an image that is too small.
    DataError
        For an image without contrast, or with NaN or infinity.

    Examples
    --------
    White noise has the same amplitude at all frequencies:

    >>> import kernelfield as kf, numpy as np
    >>> noise = np.random.default_rng(0).normal(size=(256, 256))
    >>> found = kf.coding.amplitude_spectrum(noise)
    >>> abs(found.slope) < 3 * found.slope_error
    True
    """
    pixels = check_luminance(image)
    height, width = pixels.shape
    if min(height, width) < 32:
        raise ArgumentError(f"image: expected at least 32 pixels a side; received {height}×{width}; take a larger one")
    window = np.outer(_hann(height), _hann(width))
    centred = pixels - np.average(pixels, weights=window)
    amplitude = np.abs(np.fft.fft2(centred * window)) / np.sqrt(pixels.size * np.mean(window**2))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    slowest = _SLOWEST / min(height, width)
    edges = np.geomspace(slowest, _FASTEST, 1 + round(_PER_OCTAVE * np.log2(_FASTEST / slowest)))
    ring = np.digitize(radius, edges).ravel()
    counts = np.bincount(ring, minlength=len(edges) + 1)[1:-1]
    means = np.bincount(ring, amplitude.ravel(), minlength=len(edges) + 1)[1:-1] / np.maximum(counts, 1)
    used = (counts > 0) & (means > 0)
    frequency, means = np.sqrt(edges[:-1] * edges[1:])[used], means[used]
    slope, error, intercept = _line(np.log(frequency), np.log(means))
    return AmplitudeSpectrum(frequency, means, slope, error, intercept)


def _hann(n: int) -> NDArray[np.float64]:
    return np.asarray(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return slope, its standard error and intercept of the least-squares line.

    Rings of low frequency contain few waves and scatter more; the error is therefore the heteroscedasticity-consistent
    HC3 of MacKinnon and White 1985, Journal of Econometrics 29(3), 305-325.
    """
    apart = x - x.mean()
    spread = float((apart**2).sum())
    slope = float((apart * y).sum()) / spread
    intercept = float(y.mean() - slope * x.mean())
    left = (y - intercept - slope * x) / (1 - 1 / len(x) - apart**2 / spread)
    return slope, float(np.sqrt(((apart * left) ** 2).sum())) / spread, intercept
