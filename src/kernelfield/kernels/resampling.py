"""Kernels of resampling: Lanczos, cubic, Mitchell, B-spline and windowed sinc, as low-pass filters and as shifts.

A kernel of reduction is the continuous function, widened by the factor and sampled at the pixels, divided by its sum on
each axis: constants stay as they are. `shift` of the catalogue samples the same functions at a fraction of a pixel.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import extent, kernel_family, number, odd_window, one_of, pair, whole, window
from kernelfield.kernels.kernel import Kernel, Weights

Numbers = float | Sequence[float]
Profile = Callable[[Weights], Weights]

_DUCHON = "C. E. Duchon, J. Applied Meteorology 18 (1979), 1016-1022"
_KEYS = "R. G. Keys, IEEE Trans. ASSP 29 (1981), 1153-1160"
_MITCHELL = "D. P. Mitchell and A. N. Netravali, Computer Graphics 22 (1988), 221-228, equation 8"
_UNSER = "M. Unser, IEEE Signal Processing Magazine 16 (1999), 22-38"
_KAISER = "J. F. Kaiser, Proc. IEEE Int. Symp. Circuits and Systems (1974), 20-23; A. V. Oppenheim and R. W. Schafer"

# The cardinal spline falls by this factor a pixel; it is cut where less than 1e-7 is left.
_POLE = math.sqrt(3) - 2
_REACH = 12.0


def lanczos_profile(x: Weights, lobes: int = 3) -> Weights:
    """Return ``sinc(x) sinc(x / lobes)`` up to `lobes`, beyond it 0."""
    return np.asarray(np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0))


def cubic_profile(x: Weights, b: float, c: float) -> Weights:
    """Return the piecewise cubic of Mitchell and Netravali, equation 8; with b = 0 it is Keys' with a = -c."""
    x = np.abs(x)
    near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)
    far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)
    return np.asarray(np.where(x < 1, near, np.where(x < 2, far, 0.0)) / 6)


def spline_profile(x: Weights, degree: int = 3) -> Weights:
    """Return the centred B-spline of a degree: the box, convolved with itself so many times."""
    total = np.zeros_like(x)
    # The spline is even: on the left half few powers are added, and none cancels.
    left = -np.abs(x) + (degree + 1) / 2
    for k in range((degree + 1) // 2 + 1):
        total += (-1) ** k * math.comb(degree + 1, k) * np.where(left > k, left - k, 0.0) ** degree
    return np.asarray(total / math.factorial(degree))


def cardinal_profile(x: Weights) -> Weights:
    """Return the cardinal cubic spline, which is 1 at 0 and 0 at the other pixels: what splines interpolate with.

    The cubic B-spline convolved with the inverse of its samples ``[1, 4, 1] / 6``, which is ``√3 z**|k|`` with
    ``z = √3 - 2`` (Unser 1999).
    """
    x = np.asarray(x, dtype=np.float64)
    # Four splines reach each place.
    places = np.floor(x) + np.arange(-1, 3).reshape(-1, *([1] * x.ndim))
    return np.asarray((math.sqrt(3) * _POLE ** np.abs(places) * spline_profile(x - places)).sum(axis=0))


#: The interpolations of `shift`: the function, and how far it reaches.
INTERPOLATIONS: Mapping[str, tuple[Profile, float]] = {
    "linear": (lambda x: spline_profile(x, 1), 1.0),
    "cubic": (lambda x: cubic_profile(x, 0.0, 0.5), 2.0),
    "mitchell": (lambda x: cubic_profile(x, 1 / 3, 1 / 3), 2.0),
    "lanczos": (lanczos_profile, 3.0),
    "spline": (cardinal_profile, _REACH),
}


def samples(profile: Profile, reach: float, factor: float, offset: float) -> tuple[Weights, int]:
    """Return a profile widened by `factor` about `offset`, at the pixels, of sum one, and the index of the output."""
    first = math.floor(offset - reach * factor) + 1
    last = math.ceil(offset + reach * factor) - 1
    if last < first:
        first = last = round(offset)
    weights = profile(np.asarray((np.arange(first, last + 1) - offset) / factor, dtype=np.float64))
    # Rounded zeros of the function are zeros, and those at the ends are left out.
    weights = np.where(np.abs(weights) > 1e-14, weights, 0.0)
    held = np.flatnonzero(weights)
    first, weights = first + int(held[0]), weights[held[0] : held[-1] + 1]
    return np.asarray(weights / weights.sum()), -first


@kernel_family
def lanczos(factor: Numbers = 2.0, lobes: int = 3, offset: Numbers = 0.0) -> Kernel:
    """Return the Lanczos kernel, the low-pass filter before an image is reduced: a sinc in the window of a wider sinc.

    Parameters
    ----------
    factor : float or (float, float)
        Reduction, at least 1, along rows and columns: the frequencies of more than 1/(2 factor) cycles per pixel are
        taken out.
    lobes : int
        Zeros on either side up to the end, at least 1: 3 is Pillow's.
    offset : float or (float, float)
        Place of the middle down and right of the output pixel. Every n-th pixel, n even, has its centre between
        pixels: 0.5.

    Raises
    ------
    ArgumentError
        If the factor or the number of lobes is below 1.

    References
    ----------
    C. E. Duchon, Lanczos filtering in one and two dimensions, J. Applied Meteorology 18 (1979), 1016-1022.

    Examples
    --------
    >>> lanczos(1)
    Kernel lanczos(factor=1, lobes=3, offset=0), 1×1
      1
    >>> lanczos((1, 2), 2).weights.round(3)
    array([[-0.032,  0.   ,  0.284,  0.495,  0.284,  0.   , -0.032]])
    """
    lobes = whole("lobes", lobes, 1, 64)
    return _reduction(
        "lanczos", lambda x: lanczos_profile(x, lobes), float(lobes), factor, offset, {"lobes": lobes}, _DUCHON
    )


@kernel_family
def cubic(factor: Numbers = 2.0, a: float = -0.5, offset: Numbers = 0.0) -> Kernel:
    """Return Keys' cubic kernel, the low-pass filter before an image is reduced by bicubic interpolation.

    Parameters
    ----------
    factor, offset
        As in `lanczos`.
    a : float
        Slope at 1: -1/2 (Keys, Pillow, MATLAB) reproduces quadratic polynomials; -3/4 is OpenCV's.

    References
    ----------
    R. G. Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29 (1981), 1153-1160,
    equation 15 (with a for -1/2).

    Examples
    --------
    >>> cubic((1, 2))
    Kernel cubic(factor=(1.0, 2.0), a=-0.5, offset=0), 1×7, 1/32 ×
      -1  0  9 16  9  0 -1
    """
    a = number("a", a)
    return _reduction("cubic", lambda x: cubic_profile(x, 0.0, -a), 2.0, factor, offset, {"a": a}, _KEYS)


@kernel_family
def mitchell(factor: Numbers = 2.0, b: float = 1 / 3, c: float = 1 / 3, offset: Numbers = 0.0) -> Kernel:
    """Return the cubic kernel of Mitchell and Netravali, with their compromise between blur, ringing and blocks.

    Parameters
    ----------
    factor, offset
        As in `lanczos`.
    b, c : float
        (1/3, 1/3) is theirs; (1, 0) is the cubic B-spline, (0, 1/2) Catmull-Rom's, which is Keys' with a = -1/2. On the
        line b + 2c = 1 ramps are reproduced better than elsewhere.

    References
    ----------
    D. P. Mitchell and A. N. Netravali, Reconstruction filters in computer graphics, Computer Graphics 22 (1988),
    221-228, equation 8.

    Examples
    --------
    >>> mitchell((1, 2), 1, 0) == bspline(3, (1, 2))
    True
    """
    b, c = number("b", b), number("c", c)
    return _reduction("mitchell", lambda x: cubic_profile(x, b, c), 2.0, factor, offset, {"b": b, "c": c}, _MITCHELL)


@kernel_family
def bspline(degree: int = 3, factor: Numbers = 1.0, offset: Numbers = 0.0) -> Kernel:
    """Return the B-spline of a degree: a smooth bell of variance (degree + 1)/12, times the square of the factor.

    Parameters
    ----------
    degree : int
        From 1 to 9: 1 is a triangle, 3 the cubic B-spline.
    factor, offset
        As in `lanczos`; a factor of 1 smooths by [1, 4, 1]/6 at degree 3.

    References
    ----------
    M. Unser, Splines: a perfect fit for signal and image processing, IEEE Signal Processing Magazine 16 (1999), 22-38.

    Examples
    --------
    >>> bspline()
    Kernel bspline(degree=3, factor=1, offset=0), 3×3, 1/36 ×
       1  4  1
       4 16  4
       1  4  1
    """
    degree = whole("degree", degree, 1, 9)
    parameters: dict[str, object] = {"degree": degree}
    return _reduction(
        "bspline", lambda x: spline_profile(x, degree), (degree + 1) / 2, factor, offset, parameters, _UNSER
    )


@kernel_family
def sinc(cutoff: float = 0.25, size: int | Sequence[int] = 21, window: str = "kaiser", beta: float = 6.0) -> Kernel:
    """Return a windowed sinc: the ideal low-pass filter along each axis, ended by a window.

    Parameters
    ----------
    cutoff : float
        Frequency of half the response, in cycles per pixel, between 0 and 1/2.
    size : int or (int, int)
        Odd numbers of rows and columns; 1 leaves that axis alone.
    window : {"kaiser", "hann"}
        The window; it is not 0 at the first and the last weight.
    beta : float
        Of Kaiser's window, at least 0: 6 lets through less than 1e-3 of the frequencies that are to be stopped; not
        used by the other.

    Raises
    ------
    ArgumentError
        If the cutoff is not between 0 and 1/2, the size even, or the window another.

    References
    ----------
    J. F. Kaiser, Nonrecursive digital filter design using the I0-sinh window function, Proc. IEEE Int. Symp. Circuits
    and Systems (1974), 20-23; A. V. Oppenheim and R. W. Schafer, Discrete-Time Signal Processing, section 7.5.
    ``scipy.signal.firwin`` has the same weights (for Hann's window, of two more taps, which are 0).

    Examples
    --------
    >>> sinc(0.25, (1, 7), "hann").weights.round(3)
    array([[-0.015,  0.   ,  0.268,  0.494,  0.268,  0.   , -0.015]])
    """
    cutoff = number("cutoff", cutoff, above=0)
    if cutoff >= 0.5:
        raise ArgumentError(f"cutoff: expected less than 1/2 cycle per pixel, received {received(cutoff)}")
    shape = odd_window("size", size)
    chosen = one_of("window", window, ("kaiser", "hann"))
    beta = number("beta", beta, least=0)
    factors = []
    for n in shape:
        x = np.arange(n) - n // 2
        ends = np.kaiser(n, beta) if chosen == "kaiser" else np.cos(np.pi * x / (n + 1)) ** 2
        weights = np.sinc(2 * cutoff * x) * (ends if n > 1 else 1.0)
        factors.append(weights / weights.sum())
    parameters: dict[str, object] = {"cutoff": cutoff, "size": shape, "window": chosen}
    if chosen == "kaiser":
        parameters["beta"] = beta
    return Kernel(np.outer(*factors), "sinc", parameters, _KAISER)


def _reduction(
    name: str,
    profile: Profile,
    reach: float,
    factor: Numbers,
    offset: Numbers,
    parameters: dict[str, object],
    source: str,
) -> Kernel:
    factors = [number("factor", value, least=1) for value in pair("factor", factor)]
    offsets = [number("offset", value) for value in pair("offset", offset)]
    if max(map(abs, offsets)) > 1:
        raise ArgumentError(f"offset: expected from -1 to 1, received {received(offset)}; shift() moves further")
    window("factor", [extent("factor", reach * value) for value in factors])
    (column, above), (row, left) = (
        samples(profile, reach, f, place) for f, place in zip(factors, offsets, strict=True)
    )
    last = {"factor": _same(factors), **parameters} if name != "bspline" else {**parameters, "factor": _same(factors)}
    anchor = (above, left)
    return Kernel(np.outer(column, row), name, {**last, "offset": _same(offsets)}, source, anchor)


def _same(values: Sequence[float]) -> float | tuple[float, ...]:
    return values[0] if values[0] == values[1] else tuple(values)


def shifted_by(distance: float, method: str) -> tuple[NDArray[np.float64], int]:
    """Return the weights along one axis that move the content by `distance`, and the index over the output pixel."""
    profile, reach = INTERPOLATIONS[method]
    return samples(profile, reach, 1.0, -distance)
