"""The amplitude spectrum of an image, averaged over orientations, and its slope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import hyp2f1

from kernelfield.coding.encoding import check_luminance
from kernelfield.correlation import correlate
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
        Geometric mean of each ring of frequencies, in cycles per pixel, four to an octave.
    amplitude : numpy.ndarray
        Mean amplitude in the ring, in the image's units.
    slope, slope_error : float
        Slope of the line fitted to ``log amplitude`` over ``log frequency``, and its standard error: that of Gaussian
        noise of this spectrum, and more where the values scatter more about the line; the slope is about -1 for
        natural images (Field 1987).
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
    ring = np.digitize(radius, edges)
    counts = np.bincount(ring.ravel(), minlength=len(edges) + 1)[1:-1]
    means = np.bincount(ring.ravel(), amplitude.ravel(), minlength=len(edges) + 1)[1:-1] / np.maximum(counts, 1)
    used = (counts > 0) & (means > 0)
    covariance = _covariance(np.fft.fftshift(ring), counts)[np.ix_(used, used)]
    # The grid has few of the lowest frequencies: the middle of a ring need not be that of its waves.
    logs = np.bincount(ring.ravel(), np.log(np.maximum(radius, slowest / 2)).ravel(), minlength=len(edges) + 1)[1:-1]
    frequency, means = np.exp(logs[used] / counts[used]), means[used]
    slope, error, intercept = _line(np.log(frequency), np.log(means), covariance)
    return AmplitudeSpectrum(frequency, means, slope, error, intercept)


def _hann(n: int) -> NDArray[np.float64]:
    return np.asarray(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2)


def _covariance(ring: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the covariance of the logarithms of the means of the rings, for Gaussian noise of a smooth spectrum.

    The amplitude of one wave is Rayleigh distributed: its standard deviation is sqrt(4/pi - 1) of its mean. The window
    spreads every wave over its neighbours, by the coherence 2/3 one frequency apart and 1/6 two apart on each axis
    (transform of the squared Hann window); the correlation of amplitudes follows from it (D. Middleton, An Introduction
    to Statistical Communication Theory, 1960, section 9.1). Opposite frequencies hold the same wave.

    Parameters
    ----------
    ring : numpy.ndarray of int, shape (H, W)
        The ring of each frequency, from 1, with frequency 0 in the middle; others are outside all rings.
    counts : numpy.ndarray of int, shape (n,)
        Frequencies in each ring.
    """
    axis = np.array([1 / 6, 2 / 3, 1.0, 2 / 3, 1 / 6]) ** 2
    alike = np.pi / (4 - np.pi) * (hyp2f1(-0.5, -0.5, 1.0, np.outer(axis, axis)) - 1)
    n = len(counts)
    covariance = np.zeros((n, n))
    for one in np.flatnonzero(counts):
        inside = ring == one + 1
        rows, columns = (np.flatnonzero(inside.any(axis=other)) for other in (1, 0))
        # With two frequencies around, all that the window reaches.
        box = slice(max(0, rows[0] - 2), rows[-1] + 3), slice(max(0, columns[0] - 2), columns[-1] + 3)
        reached = correlate(inside[box].astype(np.float64), alike, boundary="constant")
        covariance[one] = np.bincount(ring[box].ravel(), reached.ravel(), minlength=n + 2)[1:-1]
    return np.asarray(2 * (4 / np.pi - 1) * covariance / np.outer(np.maximum(counts, 1), np.maximum(counts, 1)))


def _line(
    x: NDArray[np.float64], y: NDArray[np.float64], covariance: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return slope, its standard error and intercept of the least-squares line.

    The error is that of values with this covariance and, where they scatter more about the line than it explains, of
    an independent deviation of each from the line.
    """
    apart = x - x.mean()
    spread = float((apart**2).sum())
    slope = float((apart * y).sum()) / spread
    intercept = float(y.mean() - slope * x.mean())
    left = y - intercept - slope * x
    design = np.stack([np.ones_like(x) / np.sqrt(len(x)), apart / np.sqrt(spread)])
    explained = float(np.trace(covariance) - np.einsum("ai,ij,aj->", design, covariance, design))
    more = max(0.0, float(left @ left) - explained) / max(1, len(x) - 2)
    return slope, float(np.sqrt(apart @ covariance @ apart + more * spread)) / spread, intercept
