"""Gabor and log-Gabor filters: an oriented wave in a window.

Angles are in degrees from the columns' axis towards the rows' axis (clockwise on the screen), as in OpenCV and
scikit-image; the orientation is the direction of the wave, at right angles to its stripes.
"""

import math

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import kernel_family, number, odd_window, unit, window
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.smoothing import Size

_DAUGMAN = "J. G. Daugman, J. Opt. Soc. Am. A 2 (1985), 1160-1169"
# The Fourier transform takes four times as many rows and columns.
_LARGEST = 1023
_LENGTHS = [3**a * 5**b for a in range(13) for b in range(8)]
_FIELD = "D. J. Field, J. Opt. Soc. Am. A 4 (1987), 2379-2394"


@kernel_family
def gabor(
    wavelength: float = 8.0,
    orientation: float = 0.0,
    sigma: float | None = None,
    bandwidth: float | None = None,
    aspect: float = 1.0,
    phase: float = 0.0,
    size: Size | None = None,
    truncate: float = 3.0,
    scale: float = 1.0,
) -> Kernel:
    """Return a Gabor filter: a cosine wave in a Gaussian window.

    ``weights[p] = scale · exp(-(x² + aspect² y²) / (2 sigma²)) / (2π sigma²/aspect) · cos(2π x/wavelength + phase)``
    with x the coordinate along `orientation` and y across it. The window integrates to one; the response to the
    matching wave of amplitude 1 is about 1/2.

    Parameters
    ----------
    wavelength : float
        Of the wave in pixels, at least 2.
    orientation : float
        Of the wave, in degrees.
    sigma : float, optional
        Standard deviation of the window along the wave, in pixels; from `bandwidth` if not given.
    bandwidth : float, optional
        In octaves, between the frequencies at half the peak: sigma is
        ``wavelength/π · sqrt(ln 2 / 2) · (2**b + 1) / (2**b - 1)``. 1 if neither is given.
    aspect : float
        Standard deviation along the wave divided by that across it; below 1 the stripes are long.
    phase : float
        In degrees: 0 is even, 90 and -90 are odd.
    size : int or (int, int), optional
        Odd numbers of rows and columns; by default the box around the ellipse of `truncate` standard deviations.
    truncate : float
        Distance from the middle at which the kernel ends, in standard deviations, if `size` is not given.
    scale : float
        Factor on all weights.

    Raises
    ------
    ArgumentError
        If the wavelength is below 2, sigma, bandwidth or aspect not above 0, the size even, or if both sigma and
        bandwidth are given.

    Notes
    -----
    ``skimage.filters.gabor_kernel(1 / wavelength, theta, sigma_x=sigma, sigma_y=sigma / aspect, offset=phase).real``
    has these weights (angles in radians); scikit-image convolves with them. ``cv2.getGaborKernel(size, sigma, theta,
    wavelength, aspect, psi)`` has these weights times ``2π sigma²/aspect``, with phase -psi: it stores them flipped.

    References
    ----------
    J. G. Daugman, Uncertainty relation for resolution in space, spatial frequency, and orientation optimized by
    two-dimensional visual cortical filters, J. Opt. Soc. Am. A 2 (1985), 1160-1169.

    Examples
    --------
    >>> gabor(4, sigma=2, size=(1, 5)).weights.round(4)
    array([[-0.0241,  0.    ,  0.0398,  0.    , -0.0241]])
    """
    wavelength = number("wavelength", wavelength, least=2)
    orientation = number("orientation", orientation)
    if sigma is not None and bandwidth is not None:
        raise ArgumentError(f"sigma, bandwidth: expected one of them, received {received(sigma)} and {bandwidth!r}")
    if sigma is None:
        sigma = spread_of(wavelength, number("bandwidth", 1.0 if bandwidth is None else bandwidth, above=0))
    sigma = number("sigma", sigma, above=0)
    aspect = number("aspect", aspect, above=0)
    phase = number("phase", phase)
    scale = number("scale", scale)
    shape = _shape(size, truncate, orientation, sigma, sigma / aspect)
    parameters = {
        "wavelength": wavelength,
        "orientation": orientation,
        "sigma": sigma,
        "aspect": aspect,
        "phase": phase,
        "size": shape,
        "scale": scale,
    }
    envelope, turns = gabor_parts(shape, unit(orientation), wavelength, sigma, aspect)
    turn = unit(phase)
    return Kernel(scale * envelope * (turn[1] * np.cos(turns) - turn[0] * np.sin(turns)), "gabor", parameters, _DAUGMAN)


@kernel_family
def log_gabor(
    wavelength: float = 8.0,
    orientation: float = 0.0,
    bandwidth: float = 1.0,
    angular_bandwidth: float = 45.0,
    phase: float = 0.0,
    size: Size | None = None,
    truncate: float = 3.0,
    scale: float = 1.0,
) -> Kernel:
    """Return a log-Gabor filter: Gaussian over the logarithm of frequency, an efficient code for natural images.

    Its transfer function is ``exp(-ln(f wavelength)² / (2 s²)) · exp(-a² / (2 t²))`` at the frequency f and the angle a
    from `orientation`, on one side of the frequency plane. It is zero at f = 0: the mean has no response, whatever the
    bandwidth. The weights are the inverse Fourier transform, with the wave shifted by `phase`, cropped to `size`.

    Parameters
    ----------
    wavelength : float
        Reciprocal of the preferred frequency, in pixels, at least 2.
    orientation : float
        Of the wave, in degrees.
    bandwidth : float
        In octaves, between the frequencies at half the peak; ``s = bandwidth · sqrt(ln 2 / 8)``. 1 if not given.
    angular_bandwidth : float
        In degrees, between the orientations at half the peak; ``t = angular_bandwidth / sqrt(8 ln 2)``. Below 180.
    phase : float
        In degrees: 0 is even, 90 and -90 are odd.
    size : int or (int, int), optional
        Odd numbers of rows and columns; by default those of the Gabor filter of the same bandwidths and `truncate`.
        The tails are longer than a Gaussian's.
    truncate : float
        Distance from the middle at which the kernel ends, if `size` is not given.
    scale : float
        Factor on all weights. With 1 the response to the matching wave of amplitude 1 is 1/2, as of `gabor`.

    Raises
    ------
    ArgumentError
        If the wavelength is below 2, a bandwidth not above 0 or the angular one not below 180, or the size even.

    References
    ----------
    D. J. Field, Relations between the statistics of natural images and the response properties of cortical cells,
    J. Opt. Soc. Am. A 4 (1987), 2379-2394 (the log-Gabor function).

    Examples
    --------
    >>> even = log_gabor(6)
    >>> bool(abs(even.weights.sum()) < 0.01 * abs(even.weights).sum())
    True
    """
    wavelength = number("wavelength", wavelength, least=2)
    orientation = number("orientation", orientation)
    bandwidth = number("bandwidth", bandwidth, above=0)
    angular_bandwidth = number("angular_bandwidth", angular_bandwidth, above=0)
    if angular_bandwidth >= 180:
        raise ArgumentError(f"angular_bandwidth: expected less than 180 degrees, received {angular_bandwidth}")
    phase = number("phase", phase)
    scale = number("scale", scale)
    across = math.sqrt(2 * math.log(2)) / (2 * math.pi * math.tan(math.radians(angular_bandwidth / 2)))
    shape = _shape(size, truncate, orientation, spread_of(wavelength, bandwidth), wavelength * across)
    if max(shape) > _LARGEST:
        raise ArgumentError(f"size: expected at most {_LARGEST} rows and columns, received {shape[0]}×{shape[1]}")
    parameters = {
        "wavelength": wavelength,
        "orientation": orientation,
        "bandwidth": bandwidth,
        "angular_bandwidth": angular_bandwidth,
        "phase": phase,
        "size": shape,
        "scale": scale,
    }
    wave = log_gabor_wave(shape, unit(orientation), wavelength, bandwidth, angular_bandwidth)
    turn = unit(phase)
    return Kernel(scale * (turn[1] * wave.real - turn[0] * wave.imag), "log_gabor", parameters, _FIELD)


def spread_of(wavelength: float, bandwidth: float) -> float:
    """Return the sigma of a Gabor window with a bandwidth given in octaves."""
    ratio = (2**bandwidth + 1) / (2**bandwidth - 1)
    return wavelength / math.pi * math.sqrt(math.log(2) / 2) * ratio


def gabor_parts(
    shape: tuple[int, int], direction: tuple[float, float], wavelength: float, sigma: float, aspect: float
) -> tuple[Weights, Weights]:
    """Return the window and the phase of the wave, in radians, at each weight."""
    down, right = (np.arange(n) - n // 2 for n in shape)
    along = np.add.outer(direction[0] * down, direction[1] * right)
    across = np.add.outer(direction[1] * down, -direction[0] * right)
    envelope = np.exp(-(along**2 + (aspect * across) ** 2) / (2 * sigma**2)) * (aspect / (2 * math.pi * sigma**2))
    return envelope, 2 * math.pi / wavelength * along


def log_gabor_wave(
    shape: tuple[int, int], direction: tuple[float, float], wavelength: float, bandwidth: float, angle: float
) -> NDArray[np.complex128]:
    """Return the complex filter: its real part is even, its imaginary part odd.

    The Fourier transform is taken on a grid of four times the size, which leaves only far tails to wrap around.
    """
    # Odd: every frequency has its negative. Of small factors: the transform is fast.
    n = min(length for length in _LENGTHS if length > 4 * max(shape))
    frequencies = np.fft.fftfreq(n)
    along = np.add.outer(direction[0] * frequencies, direction[1] * frequencies)
    across = np.add.outer(direction[1] * frequencies, -direction[0] * frequencies)
    radius = np.hypot(along, across)
    radius[0, 0] = 1
    octaves = np.log2(radius * wavelength) / bandwidth
    turns = np.degrees(np.arctan2(across, along)) / angle
    # Half the peak at octaves = 1/2 or turns = 1/2.
    transfer = np.exp(-4 * math.log(2) * (octaves**2 + turns**2))
    transfer[0, 0] = 0
    wave = np.fft.ifft2(transfer)
    down, right = (np.arange(m) - m // 2 for m in shape)
    return np.asarray(wave[np.ix_(down, right)])


def _shape(size: Size | None, truncate: float, orientation: float, along: float, across: float) -> tuple[int, int]:
    """Return `size`, or the box around the ellipse of `truncate` standard deviations of the window."""
    if size is not None:
        return odd_window("size", size)
    truncate = number("truncate", truncate, above=0)
    down, right = (abs(part) for part in unit(orientation))
    rows = max(math.hypot(along * down, across * right), 1 / truncate)
    columns = max(math.hypot(along * right, across * down), 1 / truncate)
    return window("size", [2 * math.ceil(truncate * n - 1e-9) + 1 for n in (rows, columns)])
