"""Smoothing kernels: weights that sum to one, and the identity and the shift they start from."""

from collections.abc import Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import number, one_of, pair, whole, window
from kernelfield.kernels.kernel import Kernel, Weights

Size = int | Sequence[int]
Sigma = float | Sequence[float]


def identity() -> Kernel:
    """Return the kernel that changes nothing.

    Examples
    --------
    >>> identity()
    Kernel identity(), 1×1
      1
    """
    return Kernel([[1.0]], "identity", {}, "by definition")


def shift(rows: int, columns: int) -> Kernel:
    """Return the kernel that moves the image content down by `rows` and right by `columns`.

    ``output[p] = image[p - (rows, columns)]``; negative numbers move it up and left. It is one weight
    whose anchor lies apart from it.

    Examples
    --------
    >>> shift(2, -3)
    Kernel shift(rows=2, columns=-3), 1×1, anchor (2, -3)
      1
    """
    kernel = identity().shifted(rows, columns)
    parameters = {"rows": kernel.anchor[0], "columns": kernel.anchor[1]}
    return Kernel(kernel.weights, "shift", parameters, "by definition", kernel.anchor)


def box(size: Size = 3) -> Kernel:
    """Return the mean over a rectangle of `size` pixels (one number, or rows and columns).

    Examples
    --------
    >>> box((1, 3))
    Kernel box(size=(1, 3)), 1×3, 1/3 ×
      1 1 1
    """
    shape = window("size", size)
    return Kernel(np.full(shape, 1 / (shape[0] * shape[1])), "box", {"size": shape}, "arithmetic mean")


def binomial(size: Size = 3) -> Kernel:
    """Return the binomial smoothing kernel: rows of Pascal's triangle, over their sum.

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
    column, row = (np.array(pascal(n)) / 2.0 ** (n - 1) for n in shape)
    source = "R. A. Haddad and A. N. Akansu, IEEE Trans. Signal Processing 39 (1991), 723-727"
    return Kernel(np.outer(column, row), "binomial", {"size": shape}, source)


def gaussian(sigma: Sigma = 1.0, size: Size | None = None, truncate: float = 4.0, bits: int | None = None) -> Kernel:
    """Return a Gaussian sampled at the pixels and divided by its sum.

    The same weights as ``scipy.ndimage.gaussian_filter``, or with `size` as ``cv2.GaussianBlur``.

    Parameters
    ----------
    sigma : float or pair of float
        Standard deviation in pixels (of rows and columns); 0 leaves that axis alone.
    size : int or pair of int, optional
        Number of weights; ``2 * int(truncate * sigma + 0.5) + 1`` if not given.
    truncate : float
        Where to end, in standard deviations, if `size` is not given.
    bits : int, optional
        Round the weights of each axis to this many binary places, carrying the error inwards: what
        OpenCV does to 8-bit images, with 8 bits.

    Examples
    --------
    >>> gaussian(1.1, size=(1, 5), bits=8)
    Kernel gaussian(sigma=(0.0, 1.1), size=(1, 5), bits=8), 1×5, 1/256 ×
      18 63 94 63 18
    """
    sigmas = [number("sigma", value, least=0) for value in pair("sigma", sigma)]
    if size is None:
        truncate = number("truncate", truncate, above=0)
        shape = window("size", [2 * int(truncate * s + 0.5) + 1 for s in sigmas])
    else:
        shape = window("size", size)
    sigmas = [0.0 if n == 1 else s for n, s in zip(shape, sigmas, strict=True)]
    if any(s == 0 and n % 2 == 0 for s, n in zip(sigmas, shape, strict=True)):
        raise ArgumentError(f"sigma: expected more than 0 for an even size, received {sigma!r}; take an odd size")
    parameters: dict[str, object] = {
        "sigma": sigmas[0] if sigmas[0] == sigmas[1] else tuple(sigmas),
        "size": shape,
    }
    factors = [sampled_gaussian(s, n) for s, n in zip(sigmas, shape, strict=True)]
    if bits is not None:
        bits = whole("bits", bits, 1)
        parameters["bits"] = bits
        factors = [fixed_point(factor, bits) for factor in factors]
    source = "sampled normal density, divided by its sum (as scipy.ndimage.gaussian_filter)"
    return Kernel(np.outer(*factors), "gaussian", parameters, source)


def smooth(centre: float = 5.0, neighbours: int = 8) -> Kernel:
    """Return the weighted mean of a pixel and its nearest neighbours, each of those of weight 1.

    Parameters
    ----------
    centre : float
        Weight of the pixel itself, at least 0.
    neighbours : {4, 8}
        Which neighbours count: those beside it, or the diagonal ones too.

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


def rings(weights: Sequence[float] = (0, 0, 1)) -> Kernel:
    """Return a weighted mean over square rings, given from the centre outwards.

    Parameters
    ----------
    weights : sequence of float
        One weight for the centre and one for each ring; none is negative.

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
    values = tuple(number("weights", value, least=0) for value in weights)
    if not any(values):
        raise ArgumentError(f"weights: expected at least one above 0, received {weights!r}")
    array = np.array(values)[ring_numbers(len(values) - 1)]
    return Kernel(array / array.sum(), "rings", {"weights": values}, "Pillow, PIL.ImageFilter")


def pascal(size: int) -> list[int]:
    """Return the row of Pascal's triangle that has `size` entries."""
    return [comb(size - 1, k) for k in range(size)]


def sampled_gaussian(sigma: float, size: int) -> Weights:
    """Return `size` samples of a centred normal density, divided by their sum."""
    if sigma == 0:
        return np.eye(1, size, size // 2, dtype=np.float64).ravel()
    x = np.arange(size) - (size - 1) / 2
    samples: Weights = np.exp(-0.5 * ((x**2 - x[size // 2] ** 2) / sigma) / sigma)
    return np.asarray(samples / samples.sum())


def fixed_point(factor: Weights, bits: int) -> Weights:
    """Return symmetric weights in binary fixed point: error diffused inwards, the centre takes the rest.

    OpenCV, modules/imgproc/src/smooth.dispatch.cpp, getGaussianKernelFixedPoint_ED.
    """
    one = 2**bits
    result = np.zeros(len(factor))
    error = 0.0
    for i in range(len(factor) // 2):
        wanted = float(factor[i]) * one + error
        result[i] = result[-1 - i] = round(wanted)
        error = wanted - result[i]
    if len(factor) % 2:
        result[len(factor) // 2] = one - result.sum()
    return np.asarray(result / one)


def neighbourhood(neighbours: int) -> Weights:
    """Return a 3×3 array: 1 at the 4 or 8 neighbours, 0 elsewhere."""
    distance = np.abs(np.arange(-1, 2))
    steps = np.add.outer(distance, distance)
    return np.asarray((steps > 0) & (steps <= neighbours // 4), dtype=np.float64)


def ring_numbers(radius: int) -> NDArray[np.int64]:
    """Return for each element of a square which square ring around the centre it lies on."""
    distance = np.abs(np.arange(-radius, radius + 1))
    return np.asarray(np.maximum.outer(distance, distance))
