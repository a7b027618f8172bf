"""The linear filters of scipy.ndimage, with its signatures, on kernelfield's engine; all else is SciPy's own.

``from kernelfield.dropin import ndimage`` replaces ``from scipy import ndimage``; SciPy's documentation describes
the parameters. Calls that the engine does not cover, such as complex numbers, weights that extend along three axes or
more, integers beyond 2**53 and wrong arguments, fall back to SciPy: results and errors are SciPy's.

Differences:

- float32 images with float32 output (and 8- and 16-bit images with it) are summed in float32, where SciPy sums in
  float64: results differ by a few units in the last place of the largest term. float64 results agree to rounding.
- Integer results are SciPy's, truncated and wrapped, in every pixel.
- No weight is dropped; SciPy's `correlate` leaves out those of magnitude below 2**-52.
- NaN and infinities reach the outputs whose window holds them; SciPy's running sum in `uniform_filter` carries them on.

Examples
--------
>>> from kernelfield.dropin import ndimage
>>> ndimage.correlate1d([2, 8, 0, 4, 1, 9, 9, 0], weights=[1, 3])
array([ 8, 26,  8, 12,  7, 28, 36,  9])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernelfield.dropin.ndimage_filters import (
    Line,
    chain,
    correlate_axes,
    correlate_line,
    difference,
    mean,
    output_apart,
    total,
)
from kernelfield.dropin.ndimage_gaussian import (
    gaussian_filter,
    gaussian_filter1d,
    gaussian_gradient_magnitude,
    gaussian_laplace,
)
from kernelfield.dropin.scipy_arguments import axes_of, axis_of, boundary_of, image_of, integer, per_axis
from kernelfield.dropin.scipy_fallback import Filtered, drop_in

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "laplace",
    "prewitt",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]


def __getattr__(name: str) -> Any:
    import scipy.ndimage

    return getattr(scipy.ndimage, name)


def __dir__() -> list[str]:
    import scipy.ndimage

    return sorted({*__all__, *dir(scipy.ndimage)})


@drop_in("scipy.ndimage")
def correlate(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Filtered:
    """Return the cross-correlation with weights of as many axes: ``scipy.ndimage.correlate``.

    Examples
    --------
    >>> correlate([[1, 2], [3, 4]], [[0, 0, 0], [0, 0, 1], [0, 0, 0]], mode="wrap")
    array([[2, 1],
           [4, 3]])
    """
    return correlate_axes(input, weights, output, mode, cval, origin, axes, flip=False)


@drop_in("scipy.ndimage")
def convolve(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Filtered:
    """Return the convolution with weights of as many axes: ``scipy.ndimage.convolve``.

    Examples
    --------
    >>> convolve([[1, 2], [3, 4]], [[0, 0, 0], [0, 0, 1], [0, 0, 0]], mode="nearest")
    array([[1, 1],
           [3, 3]])
    """
    return correlate_axes(input, weights, output, mode, cval, origin, axes, flip=True)


@drop_in("scipy.ndimage")
def correlate1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Filtered:
    """Return the cross-correlation along one axis: ``scipy.ndimage.correlate1d``.

    Examples
    --------
    >>> correlate1d([1.0, 2.0, 4.0], [-1, 1])
    array([0., 1., 2.])
    """
    return correlate_line(input, weights, axis, output, mode, cval, origin, flip=False)


@drop_in("scipy.ndimage")
def convolve1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Filtered:
    """Return the convolution along one axis: ``scipy.ndimage.convolve1d``.

    Examples
    --------
    >>> convolve1d([1.0, 2.0, 4.0], [-1, 1])
    array([-1., -2.,  0.])
    """
    return correlate_line(input, weights, axis, output, mode, cval, origin, flip=True)


@drop_in("scipy.ndimage")
def uniform_filter1d(
    input: Any,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Filtered:
    """Return means of `size` pixels along one axis: ``scipy.ndimage.uniform_filter1d``.

    Examples
    --------
    >>> uniform_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([4, 3, 4, 1, 4, 6, 6, 3])
    """
    image = image_of(input)
    line = mean(axis_of(axis, image.ndim), size, boundary_of(mode), origin)
    return chain(image, [line], output, cval)


@drop_in("scipy.ndimage")
def uniform_filter(
    input: Any,
    size: Any = 3,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Filtered:
    """Return means over boxes: ``scipy.ndimage.uniform_filter``.

    Examples
    --------
    >>> uniform_filter([[0.0, 0.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 0.0]])
    array([[1., 1., 1.],
           [1., 1., 1.],
           [1., 1., 1.]])
    """
    image = image_of(input)
    filtered = axes_of(axes, image.ndim)
    options = [per_axis(value, len(filtered)) for value in (size, mode, origin)]
    lines = [mean(axis, n, boundary_of(rule), o) for axis, n, rule, o in zip(filtered, *options) if integer(n) > 1]
    return chain(image, lines, output, cval)


@drop_in("scipy.ndimage")
def prewitt(input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Filtered:
    """Return Prewitt's difference along an axis: ``scipy.ndimage.prewitt``.

    Examples
    --------
    >>> prewitt([[0, 0, 1], [0, 0, 1]])
    array([[0, 3, 3],
           [0, 3, 3]])
    """
    return difference(input, [1.0, 1.0, 1.0], axis, output, mode, cval)


@drop_in("scipy.ndimage")
def sobel(input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Filtered:
    """Return Sobel's difference along an axis: ``scipy.ndimage.sobel``.

    Examples
    --------
    >>> sobel([[0, 0, 1], [0, 0, 1]])
    array([[0, 4, 4],
           [0, 4, 4]])
    """
    return difference(input, [1.0, 2.0, 1.0], axis, output, mode, cval)


@drop_in("scipy.ndimage")
def laplace(input: Any, output: Any = None, mode: Any = "reflect", cval: float = 0.0, *, axes: Any = None) -> Filtered:
    """Return the sum of second differences: ``scipy.ndimage.laplace``.

    Examples
    --------
    >>> laplace([[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    array([[ 0,  1,  0],
           [ 1, -4,  1],
           [ 0,  1,  0]])
    """
    image = image_of(input)
    filtered = axes_of(axes, image.ndim)
    boundaries = [boundary_of(rule) for rule in per_axis(mode, len(filtered))]
    target = output_apart(output, image)
    chains = [[Line(np.array([1.0, -2.0, 1.0]), axis, boundary)] for axis, boundary in zip(filtered, boundaries)]
    return total(image, chains, target, cval, magnitude=False)
