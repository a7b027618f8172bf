"""Gabor and log-Gabor filters: an oriented wave in a window.

Angles are in degrees from the columns' axis towards the rows' axis (clockwise on the screen), as in OpenCV and
scikit-image; the orientation is the direction of the wave, at right angles to its stripes. A phase of 90 is minus the
sine: the wave moved against its direction by a quarter of its length.
"""

import math

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import ellipse, flag, inaccurate, kernel_family, number, unit
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.smoothing import Size

_DAUGMAN = "J. G. Daugman, J. Opt. Soc. Am. A 2 (1985), 1160-1169"
# A response to a constant is mentioned from this share of that to the own wave on, and an error of the latter.
_MEAN, _WRONG = 0.05, 0.1
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
    normalise: bool | None = None,
) -> Kernel:
    """Return a Gabor filter: a cosine wave in a Gaussian window.

    ``weights[p] = scale · exp(-(x² + aspect² y²) / (2 sigma²)) / (2π sigma²/aspect) · cos(2π x/wavelength + phase)``
    with x the coordinate along `orientation` and y across it. The window integrates to one; the response to the
    matching wave of amplitude 1 is about 1/2. A constant image has a response too, at phase 0 with 0.2 % of that at a
    bandwidth of one octave, with 10 % at 1.5 and with 29 % at 2: `normalise` takes it away.

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
    normalise : bool, optional
        True: a constant is taken from the wave, so that the weights sum to zero. None and False: they are as above;
        with None a response to a constant is warned of.

    Warns
    -----
    AccuracyWarning
        If a constant has a response of more than 5 % of that to the wave; or if that is more than 10 % from 1/2: the
        window ends too early, or the wave is nearly as short as two pixels, where it and its negative are one.

    Raises
    ------
    ArgumentError
        If all weights are 0, as those of a wave of two pixels at phase 90; if the wavelength is below 2, sigma,
        bandwidth or aspect not above 0, the size even, or if both sigma and bandwidth are given.

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
    shape = ellipse(size, truncate, orientation, sigma, sigma / aspect)
    parameters = {
        "wavelength": wavelength,
        "orientation": orientation,
        "sigma": sigma,
        "aspect": aspect,
        "phase": phase,
        "size": shape,
        "scale": scale,
    }
    if normalise is not None and flag("normalise", normalise):
        parameters["normalise"] = True
    envelope, turns = gabor_parts(shape, unit(orientation), wavelength, sigma, aspect)
    even, odd = np.cos(turns), np.sin(turns)
    if normalise:
        even = even - (envelope * even).sum() / envelope.sum()
    turn = unit(phase)
    weights = envelope * (turn[1] * even - turn[0] * odd)
    if np.abs(weights).max() <= 1e-9 * envelope.max():
        raise ArgumentError(
            f"phase: expected a wave that is not 0 at all pixels, received wavelength {wavelength:g} "
            f"at {orientation:g} degrees and phase {phase:g}; take a longer wavelength"
        )
    _check_waves("gabor", weights, turns, warn_of_mean=normalise is None)
    return Kernel(scale * weights, "gabor", parameters, _DAUGMAN)


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
    normalise: bool = True,
) -> Kernel:
    """Return a log-Gabor filter: Gaussian over the logarithm of frequency, an efficient code for natural images.

    Its transfer function is ``exp(-ln(f wavelength)² / (2 s²)) · exp(-a² / (2 t²))`` at the frequency f and the angle a
    from `orientation`, on one side of the frequency plane. The weights are the inverse Fourier transform, with the wave
    shifted by `phase`, cropped to `size`; a part in proportion to their amplitude is then taken away, so that they sum
    to zero as the whole does: a constant image has no response, whatever the bandwidth.

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
    normalise : bool
        False: the cropped weights as they are, which answer to a constant: those of two octaves at a wavelength of 8
        with -7 to a constant 200.

    Warns
    -----
    AccuracyWarning
        If what is taken away is more than 5 % of the response to the wave, or that is more than 10 % from 1/2: the
        window ends too early.

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
    >>> bool(abs(log_gabor(6).weights.sum()) < 1e-15)
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
    shape = ellipse(size, truncate, orientation, spread_of(wavelength, bandwidth), wavelength * across)
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
    if not flag("normalise", normalise):
        parameters["normalise"] = False
    wave = log_gabor_wave(shape, unit(orientation), wavelength, bandwidth, angular_bandwidth)
    down, right = (np.arange(n) - n // 2 for n in shape)
    turns = 2 * math.pi / wavelength * np.add.outer(unit(orientation)[0] * down, unit(orientation)[1] * right)
    turn = unit(phase)
    if normalise:
        weights = turn[1] * wave.real - turn[0] * wave.imag
        _check_waves("log_gabor", weights, turns, warn_of_mean=True)
        wave = zero_sum(wave)
    weights = turn[1] * wave.real - turn[0] * wave.imag
    return Kernel(scale * weights, "log_gabor", parameters, _FIELD)


def zero_sum(wave: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return a wave less its amplitude times a number, so that it sums to zero."""
    amplitude = np.abs(wave)
    return np.asarray(wave - amplitude * (wave.sum() / amplitude.sum()))


def _check_waves(name: str, weights: Weights, turns: Weights, warn_of_mean: bool) -> None:
    """Warn of a response to a constant, or of one to the own wave that is not 1/2."""
    own = abs(complex((weights * np.exp(1j * turns)).sum()))
    mean = abs(float(weights.sum())) / own if own else 0.0
    shape = f"{turns.shape[0]}×{turns.shape[1]}"
    if warn_of_mean and mean > _MEAN:
        remedy = "which is taken away; take a larger size, or a smaller bandwidth"
        if name == "gabor":
            remedy = "normalise=True takes it away"
        inaccurate(
            f"{name}: {shape} weights answer to a constant with {mean:.1%} of their response to the wave; {remedy}"
        )
    elif abs(own - 0.5) > _WRONG / 2:
        remedy = "take a larger size, or a longer wave"
        inaccurate(f"{name}: {shape} weights answer to the wave of amplitude 1 with {own:.2g}, not 1/2; {remedy}")


def spread_of(wavelength: float, bandwidth: float) -> float:
    """Return the sigma of a Gabor window with a bandwidth given in octaves."""
    power = 2 ** min(bandwidth, 1000)
    ratio = (power + 1) / (power - 1)
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
