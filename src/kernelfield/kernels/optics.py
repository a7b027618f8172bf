"""Point-spread functions of optics: the Airy pattern, Moffat's function and the pattern of a pinhole.

Each is round, and its weights sum to one. They are samples at the centres of pixels, or integrals over them, as a
sensor measures.
"""

import math
from collections.abc import Callable

import numpy as np

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import inaccurate, kernel_family, number, odd_window, one_of, window
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.smoothing import Size

# First zero of the Bessel function J1.
FIRST_ZERO = 3.8317059702075125
# Gauss-Legendre nodes along each axis of a pixel.
_NODES = 5
# Share of the light that may be left out before a warning.
_LOST = 0.1


@kernel_family
def airy(radius: float = 3.0, size: Size | None = None, method: str = "sampled") -> Kernel:
    """Return the Airy pattern: the image of a point by a lens in focus, with a round aperture.

    ``(2 J1(v) / v)²`` with ``v = 3.8317 r / radius``: 0 at the first dark ring.

    Parameters
    ----------
    radius : float
        Of the first dark ring in pixels, above 0: 1.22 λ N / p, with the wavelength λ, the f-number N and the pitch p.
    size : int or (int, int), optional
        Odd numbers; the box of three and a half radii on each side if not given, which holds 95 % of the light.
    method : {"sampled", "integrated"}
        Values at the centres of pixels, as ``astropy.convolution.AiryDisk2DKernel``, or integrals over pixels.

    Raises
    ------
    ArgumentError
        If the radius is not above 0, the size even, or the method another.

    Warns
    -----
    AccuracyWarning
        If the size leaves out more than 10 % of the light, or samples miss it by as much (radius below 1).

    References
    ----------
    M. Born and E. Wolf, Principles of Optics, 7th edition, section 8.5.2, equation 14.

    Examples
    --------
    >>> airy(2).weights[7, 7:12].round(4)
    array([0.3043, 0.1118, 0.    , 0.0037, 0.0006])
    """
    radius = number("radius", radius, above=0)
    shape = _shape(size, "radius", 3.5 * radius)
    method = one_of("method", method, ("sampled", "integrated"))
    weights = _weights(airy_pattern(radius), shape, method, "airy")
    parameters = {"radius": radius, "size": shape, **_method(method)}
    source = "M. Born and E. Wolf, Principles of Optics, section 8.5.2"
    return Kernel(weights, "airy", parameters, source)


@kernel_family
def moffat(fwhm: float = 3.0, beta: float = 2.5, size: Size | None = None, method: str = "sampled") -> Kernel:
    """Return Moffat's function: the image of a star through the atmosphere, with wings wider than a Gaussian's.

    ``(1 + (r / α)²)**(-beta)`` with ``α = fwhm / (2 sqrt(2**(1/beta) - 1))``.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum in pixels, above 0.
    beta : float
        Exponent, above 1: 2.5 is that of photographs, 4.765 that of turbulence; a Gaussian as it grows.
    size : int or (int, int), optional
        Odd numbers; the box of four widths on each side if not given.
    method : {"sampled", "integrated"}
        Values at the centres of pixels, as ``astropy.convolution.Moffat2DKernel``, or integrals over pixels.

    Raises
    ------
    ArgumentError
        If the width is not above 0, `beta` not above 1, the size even, or the method another.

    Warns
    -----
    AccuracyWarning
        If the size leaves out more than 10 % of the light, or samples miss it by as much.

    References
    ----------
    A. F. J. Moffat, A theoretical investigation of focal stellar images, Astronomy and Astrophysics 3 (1969), 455-461;
    I. Trujillo et al., MNRAS 328 (2001), 977-985 (the width, equation 2, and 4.765).

    Examples
    --------
    >>> moffat(2, 3, size=(1, 5)).weights.round(4)
    array([[0.0527, 0.2236, 0.4473, 0.2236, 0.0527]])

    array([[0.0527, 0.2236, 0.4473, 0.2236, 0.0527]])
    """
    fwhm, beta = number("fwhm", fwhm, above=0), number("beta", beta, above=1)
    shape = _shape(size, "fwhm", 4 * fwhm)
    method = one_of("method", method, ("sampled", "integrated"))
    weights = _weights(moffat_pattern(fwhm, beta), shape, method, "moffat")
    parameters = {"fwhm": fwhm, "beta": beta, "size": shape, **_method(method)}
    source = "A. F. J. Moffat, Astronomy and Astrophysics 3 (1969), 455-461"
    return Kernel(weights, "moffat", parameters, source)


@kernel_family
def pinhole(radius: float = 3.0, fresnel: float = 1.0, size: Size | None = None, method: str = "sampled") -> Kernel:
    """Return the image of a far point by a pinhole: between its round shadow and the Airy pattern.

    ``|∫ J0(2π N s t) exp(iπ N t²) t dt|²`` over t from 0 to 1, with ``s = r / radius`` and N the Fresnel number. For
    small N it is an Airy pattern with its first dark ring at 0.61 radius/N, for large N it nears the disk. The sharpest
    pinhole has N about 0.9.

    Parameters
    ----------
    radius : float
        Of the hole in pixels, above 0.
    fresnel : float
        The Fresnel number ``a² / (λ z)`` of a hole of radius a at the distance z, from 0.05 to 50.
    size : int or (int, int), optional
        Odd numbers; the box of ``radius (1 + 1.5 / fresnel)`` on each side if not given.
    method : {"sampled", "integrated"}
        Values at the centres of pixels, or integrals over pixels.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.

    Warns
    -----
    AccuracyWarning
        If the size leaves out more than 10 % of the light, or samples miss it by as much.

    References
    ----------
    M. Born and E. Wolf, Principles of Optics, 7th edition, section 8.8.1, equation 7 (Fresnel diffraction at a circular
    aperture); M. Young, Pinhole optics, Applied Optics 10 (1971), 2763-2767.

    Examples
    --------
    >>> pinhole(2, 1).weights[5, 5:9].round(4)
    array([0.3289, 0.0608, 0.0125, 0.0029])

    array([[0.0527, 0.2236, 0.4473, 0.2236, 0.0527]])

    array([0.3289, 0.0608, 0.0125, 0.0029])
    """
    radius, fresnel = number("radius", radius, above=0), number("fresnel", fresnel, least=0.05)
    if fresnel > 50:
        raise ArgumentError(f"fresnel: expected at most 50, received {received(fresnel)}; take disk(radius)")
    shape = _shape(size, "radius", radius * (1 + 1.5 / fresnel))
    method = one_of("method", method, ("sampled", "integrated"))
    weights = _weights(pinhole_pattern(radius, fresnel), shape, method, "pinhole")
    parameters = {"radius": radius, "fresnel": fresnel, "size": shape, **_method(method)}
    source = "M. Born and E. Wolf, Principles of Optics, section 8.8.1"
    return Kernel(weights, "pinhole", parameters, source)


#: The intensity at distances from the middle, and its integral over the plane.
Pattern = tuple[Callable[[Weights], Weights], float]


def airy_pattern(radius: float) -> Pattern:
    """Return the Airy pattern with 1 in the middle."""
    from scipy.special import j1

    def intensity(r: Weights) -> Weights:
        v = np.maximum(FIRST_ZERO / radius * r, 1e-9)
        return np.asarray((2 * j1(v) / v) ** 2)

    return intensity, 4 * math.pi * (radius / FIRST_ZERO) ** 2


def moffat_pattern(fwhm: float, beta: float) -> Pattern:
    """Return Moffat's function with 1 in the middle."""
    square = fwhm**2 / (4 * math.expm1(math.log(2) / beta))
    return lambda r: np.asarray((1 + r**2 / square) ** -beta), math.pi * square / (beta - 1)


def pinhole_pattern(radius: float, fresnel: float) -> Pattern:
    """Return the intensity behind a pinhole, and its integral by Parseval's theorem."""
    from scipy.special import j0

    def intensity(r: Weights) -> Weights:
        # Pixels of the same distance have the same value.
        distances, places = np.unique(r.round(12), return_inverse=True)
        # The integrand turns by 2π N s + π N: so many nodes resolve it to rounding error.
        nodes, shares = np.polynomial.legendre.leggauss(24 + math.ceil(5 * fresnel * (1 + distances[-1] / radius)))
        t = (nodes + 1) / 2
        lens = shares / 2 * t * np.exp(1j * math.pi * fresnel * t**2)
        field = j0(2 * math.pi * fresnel / radius * np.outer(distances, t)) @ lens
        return np.asarray((np.abs(field) ** 2)[places.ravel()].reshape(r.shape))

    return intensity, math.pi * (radius / (2 * math.pi * fresnel)) ** 2


def pixels(intensity: Callable[[Weights], Weights], down: Weights, right: Weights, method: str) -> Weights:
    """Return the values of a round function at pixels, or its integrals over them; `down` and `right` broadcast."""
    if method == "sampled":
        return intensity(np.hypot(down, right))
    nodes, shares = np.polynomial.legendre.leggauss(_NODES)
    # The nodes are on the last two axes. Those of one sign stand for the other: sums round the same way on all sides.
    rows = np.abs(down)[..., None, None] + nodes[:, None] / 2
    columns = np.abs(right)[..., None, None] + nodes / 2
    return np.asarray(np.einsum("...ab,a,b->...", intensity(np.hypot(rows, columns)), shares / 2, shares / 2))


def _weights(pattern: Pattern, shape: tuple[int, int], method: str, name: str) -> Weights:
    """Return the weights, of sum one; warn if their sum is quite another than the integral over the plane."""
    intensity, total = pattern
    down, right = (np.arange(n, dtype=np.float64) - n // 2 for n in shape)
    weights = pixels(intensity, down[:, None], right, method)
    held = float(weights.sum()) / total
    if held < 1 - _LOST and min(shape) > 1:
        inaccurate(f"{name}: {shape[0]}×{shape[1]} weights hold {held:.0%} of the light; take a larger size")
    elif held > 1 + _LOST:
        inaccurate(f"{name}: its samples sum to {held:.0%} of the light, pixels are too coarse; method='integrated'")
    return np.asarray(weights / weights.sum())


def _shape(size: Size | None, name: str, reach: float) -> tuple[int, int]:
    return odd_window("size", size) if size is not None else window(name, 2 * max(1, math.ceil(min(reach, 1e6))) + 1)


def _method(method: str) -> dict[str, str]:
    return {} if method == "sampled" else {"method": method}
