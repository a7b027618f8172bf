"""Identity, shift and smoothing kernels; their weights sum to one."""

from collections.abc import Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels.arguments import (
    extent,
    inaccurate,
    kernel_family,
    number,
    offset,
    one_of,
    pair,
    several,
    whole,
    window,
)
from kernelfield.kernels.gaussians import METHODS, acting_variance, fixed_point
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.resampling import INTERPOLATIONS, shifted_by

Size = int | Sequence[int]
Sigma = float | Sequence[float]

_GAUSSIAN = {
    "sampled": "sampled normal density, divided by its sum (as scipy.ndimage.gaussian_filter)",
    "integrated": "normal density integrated over pixels, divided by its sum",
    "discrete": "T. Lindeberg, IEEE PAMI 12 (1990), 234-254, divided by its sum",
}


_INTERPOLATED = {
    "linear": "linear interpolation",
    "cubic": "R. G. Keys, IEEE Trans. ASSP 29 (1981), 1153-1160",
    "mitchell": "D. P. Mitchell and A. N. Netravali, Computer Graphics 22 (1988), 221-228",
    "lanczos": "C. E. Duchon, J. Applied Meteorology 18 (1979), 1016-1022",
    "spline": "M. Unser, IEEE Signal Processing Magazine 16 (1999), 22-38",
}
# Share of sigma by which that of the weights may differ before a warning.
_WRONG = 0.1

# A square of binomial coefficients has about as many weights as a kernel may have.
_LONGEST_ROW = 4097


@kernel_family
def identity() -> Kernel:
    """Return the identity: the kernel that leaves the image unchanged.

    Examples
    --------
    >>> identity()
    Kernel identity(), 1×1
      1
    """
    return Kernel([[1.0]], "identity", {}, "by definition")


@kernel_family
def shift(rows: float, columns: float, method: str = "cubic") -> Kernel:
    """Return the kernel that moves the image content down by `rows` and right by `columns`, in pixels or fractions.

    By whole pixels ``output[p] = image[p - (rows, columns)]``, with one weight, away from its anchor. By fractions the
    image is interpolated between its pixels, along both axes, with weights of sum one.

    Parameters
    ----------
    rows, columns : float
        Distance in pixels; negative numbers move the content up and left.
    method : {"cubic", "linear", "mitchell", "lanczos", "spline"}
        Interpolation of fractions: Keys' cubic with a = -1/2, linear, Mitchell and Netravali's cubic (which blurs),
        Lanczos of three lobes, or the cubic spline of ``scipy.ndimage.shift`` (25 weights an axis: what is left out is
        below 1e-6).

    Raises
    ------
    ArgumentError
        If a distance is not finite, or the method is another.

    References
    ----------
    R. G. Keys, IEEE Trans. ASSP 29 (1981), 1153-1160 (cubic); D. P. Mitchell and A. N. Netravali, Computer Graphics 22
    (1988), 221-228; C. E. Duchon, J. Applied Meteorology 18 (1979), 1016-1022 (Lanczos); M. Unser, IEEE Signal
    Processing Magazine 16 (1999), 22-38 (the cardinal spline).

    Examples
    --------
    >>> shift(2, -3)
    Kernel shift(rows=2, columns=-3), 1×1, anchor (2, -3)
      1
    >>> shift(0, 0.5)
    Kernel shift(rows=0, columns=0.5, method='cubic'), 1×4, 1/16 ×
      -1  9  9 -1
    """
    method = one_of("method", method, tuple(INTERPOLATIONS))
    distances = [number(name, value) for name, value in (("rows", rows), ("columns", columns))]
    if all(value == int(value) for value in distances):
        kernel = identity().shifted(*map(int, distances))
        parameters = {"rows": kernel.anchor[0], "columns": kernel.anchor[1]}
        return Kernel(kernel.weights, "shift", parameters, "by definition", kernel.anchor)
    offset("shift", [int(value) for value in distances])
    (column, above), (row, left) = (shifted_by(value, method) for value in distances)
    whole_numbers = [int(value) if value == int(value) else value for value in distances]
    named = {"rows": whole_numbers[0], "columns": whole_numbers[1], "method": method}
    return Kernel(np.outer(column, row), "shift", named, _INTERPOLATED[method], (above, left))


@kernel_family
def box(size: Size = 3) -> Kernel:
    """Return the mean over a rectangle of pixels.

    Parameters
    ----------
    size : int or (int, int)
        Rows and columns of the rectangle; one number for a square.

    Examples
    --------
    >>> box((1, 3))
    Kernel box(size=(1, 3)), 1×3, 1/3 ×
      1 1 1
    """
    shape = window("size", size)
    return Kernel(np.full(shape, 1 / (shape[0] * shape[1])), "box", {"size": shape}, "arithmetic mean")


@kernel_family
def binomial(size: Size = 3) -> Kernel:
    """Return the binomial smoothing kernel: the outer product of two normalised rows of Pascal's triangle.

    Parameters
    ----------
    size : int or (int, int)
        Rows and columns of the kernel; one number for a square.

    References
    ----------
    R. A. Haddad and A. N. Akansu, A class of fast Gaussian binomial filters for speech and image
    processing, IEEE Trans. Signal Processing 39 (1991), 723-727.

    Examples
    --------
    >>> binomial((1, 5))
    Kernel binomial(size=(1, 5)), 1×5, 1/16 ×
      1 4 6 4 1
    """
    shape = window("size", size)
    column, row = (binomial_row(n) for n in shape)
    source = "R. A. Haddad and A. N. Akansu, IEEE Trans. Signal Processing 39 (1991), 723-727"
    return Kernel(np.outer(column, row), "binomial", {"size": shape}, source)


@kernel_family
def gaussian(
    sigma: Sigma = 1.0,
    size: Size | None = None,
    truncate: float = 4.0,
    bits: int | None = None,
    method: str = "sampled",
) -> Kernel:
    """Return a Gaussian blur, its weights divided by their sum.

    The sampled kernel has the weights of ``scipy.ndimage.gaussian_filter``; with `size`, those of ``cv2.GaussianBlur``.

    Parameters
    ----------
    sigma : float or pair of float
        Standard deviation in pixels (of rows and columns); 0 does not blur along that axis.
    size : int or pair of int, optional
        Number of weights; ``2 * int(truncate * sigma + 0.5) + 1`` if not given.
    truncate : float
        Distance from the middle at which the kernel ends, in standard deviations, if `size` is not given.
    bits : int, optional
        Round the weights of each axis to this many binary places, carrying the error inwards, as OpenCV does for 8-bit
        images with 8 bits.
    method : {"sampled", "integrated", "discrete"}
        Weights from the density: its values at the centres of pixels; its integrals over pixels, as measured by a
        sensor of square elements, which has the variance ``sigma**2 + 1/12``; or Lindeberg's discrete analogue
        ``exp(-t) I_n(t)`` with ``t = sigma**2``, of odd size. Composing two discrete analogues gives another one, with
        the sum of both ``sigma**2``, as for continuous Gaussians; samples of sigma 1 and more do so nearly.

    Warns
    -----
    AccuracyWarning
        If the standard deviation of the weights is more than 10 % from sigma: the size cuts the Gaussian off, or its
        samples are too coarse (sigma below 0.5; the other methods keep it).

    Raises
    ------
    ArgumentError
        If sigma is negative, or a size is less than 1 or not allowed by the method.

    References
    ----------
    T. Lindeberg, Scale-space for discrete signals, IEEE PAMI 12 (1990), 234-254 (the discrete analogue).

    Examples
    --------
    >>> gaussian(1.1, size=(1, 5), bits=8)
    Kernel gaussian(sigma=(0.0, 1.1), size=(1, 5), bits=8), 1×5, 1/256 ×
      18 63 94 63 18
    """
    sigmas = [number("sigma", value, least=0) for value in pair("sigma", sigma)]
    if not any(sigmas):
        raise ArgumentError(
            f"sigma: expected more than 0 along an axis, received {received(sigma)}; use identity() for no blur"
        )
    if size is None:
        truncate = number("truncate", truncate, above=0)
        shape = window("size", [extent("sigma", truncate * s + 0.5) for s in sigmas])
    else:
        shape = window("size", size)
    if max(shape) > 1:
        sigmas = [0.0 if n == 1 else s for n, s in zip(shape, sigmas, strict=True)]
    if any(s == 0 and n % 2 == 0 for s, n in zip(sigmas, shape, strict=True)):
        raise ArgumentError(
            f"sigma: expected more than 0 for an even size, received {received(sigma)}; take an odd size"
        )
    parameters: dict[str, object] = {
        "sigma": sigmas[0] if sigmas[0] == sigmas[1] else tuple(sigmas),
        "size": shape,
    }
    method = one_of("method", method, tuple(METHODS))
    if method == "discrete" and any(n % 2 == 0 for n in shape):
        raise ArgumentError(f"size: expected odd numbers for method 'discrete', received {shape}; take one more")
    factors = [METHODS[method](s, n) for s, n in zip(sigmas, shape, strict=True)]
    _check_spread(sigmas, factors, method)
    if bits is not None:
        bits = whole("bits", bits, 1, 52)
        parameters["bits"] = bits
        factors = [fixed_point(factor, bits) for factor in factors]
    if method != "sampled":
        parameters["method"] = method
    return Kernel(np.outer(*factors), "gaussian", parameters, _GAUSSIAN[method])


@kernel_family
def smooth(centre: float = 5.0, neighbours: int = 8) -> Kernel:
    """Return the weighted mean of a pixel and its nearest neighbours, which have weight 1.

    Parameters
    ----------
    centre : float
        Weight of the pixel itself, at least 0.
    neighbours : {4, 8}
        Number of neighbours: 4 without the diagonal ones, 8 with them.

    References
    ----------
    R. C. Gonzalez and R. E. Woods, Digital Image Processing, section 3.5.1, weighted averages. With
    centre 5 it is Pillow's SMOOTH.

    Examples
    --------
    >>> smooth(5)
    Kernel smooth(centre=5, neighbours=8), 3×3, 1/13 ×
      1 1 1
      1 5 1
      1 1 1
    """
    centre = number("centre", centre, least=0)
    neighbours = one_of("neighbours", neighbours, (4, 8))
    weights = neighbourhood(neighbours)
    weights[1, 1] = centre
    parameters = {"centre": centre, "neighbours": neighbours}
    source = "R. C. Gonzalez and R. E. Woods, Digital Image Processing, section 3.5.1"
    return Kernel(weights / (neighbours + centre), "smooth", parameters, source)


@kernel_family
def rings(weights: Sequence[float] = (0, 0, 1)) -> Kernel:
    """Return a weighted mean over concentric square rings of pixels.

    Parameters
    ----------
    weights : sequence of float
        One weight for the centre, then one for each ring outwards; none is negative.

    References
    ----------
    Pillow, ``PIL.ImageFilter``: BLUR is (0, 0, 1), SMOOTH_MORE is (44, 5, 1).

    Examples
    --------
    >>> rings((44, 5, 1))
    Kernel rings(weights=(44.0, 5.0, 1.0)), 5×5, 1/100 ×
       1  1  1  1  1
       1  5  5  5  1
       1  5 44  5  1
       1  5  5  5  1
       1  1  1  1  1
    """
    # The command line gives a single weight as a number.
    given = several("weights", weights if hasattr(weights, "__len__") else (weights,))
    values = tuple(number("weights", value, least=0) for value in given)
    if not any(values):
        raise ArgumentError(f"weights: expected at least one above 0, received {received(weights)}")
    array = np.array(values)[ring_numbers(len(values) - 1)]
    return Kernel(array / array.sum(), "rings", {"weights": values}, "Pillow, PIL.ImageFilter")


def _check_spread(sigmas: Sequence[float], factors: Sequence[Weights], method: str) -> None:
    """Warn if the weights along an axis have quite another standard deviation than sigma."""
    for sigma, weights in zip(sigmas, factors):
        wanted = sigma**2 + 1 / 12 if method == "integrated" else sigma**2
        if sigma and abs(acting_variance(weights, 0) - wanted) > ((1 + _WRONG) ** 2 - 1) * wanted:
            acting = max(acting_variance(weights, 0) - (wanted - sigma**2), 0.0) ** 0.5
            remedy = "method='discrete' keeps it" if len(weights) > 6 * sigma else "take a larger size"
            inaccurate(f"gaussian: sigma {sigma:g} with {len(weights)} weights acts as sigma {acting:.2g}; {remedy}")
            return


def pascal(size: int) -> list[int]:
    """Return the row of Pascal's triangle with `size` entries, at most 4,097: they have as many bits."""
    if size > _LONGEST_ROW:
        raise ArgumentError(
            f"size: expected at most {_LONGEST_ROW:,} binomial coefficients along an axis, received {received(size)}; "
            "take a gaussian of variance (size - 1) / 4"
        )
    return [comb(size - 1, k) for k in range(size)]


def binomial_row(size: int) -> Weights:
    """Return the row of Pascal's triangle with `size` entries, divided by its sum."""
    return np.array([entry / 2 ** (size - 1) for entry in pascal(size)])


def neighbourhood(neighbours: int) -> Weights:
    """Return a 3×3 array: 1 at the 4 or 8 neighbours, 0 elsewhere."""
    distance = np.abs(np.arange(-1, 2))
    steps = np.add.outer(distance, distance)
    return np.asarray((steps > 0) & (steps <= neighbours // 4), dtype=np.float64)


def ring_numbers(radius: int) -> NDArray[np.int64]:
    """Return the number of the square ring around the centre for each element of a square."""
    distance = np.abs(np.arange(-radius, radius + 1))
    return np.asarray(np.maximum.outer(distance, distance))
