"""The Gaussian filters of `kernelfield.dropin.ndimage`."""

from __future__ import annotations

from typing import Any

from kernelfield.dropin.ndimage_filters import Line, chain, correlate_line, gaussian_derivatives, gaussian_weights
from kernelfield.dropin.scipy_arguments import axes_of, boundary_of, image_of, per_axis, real
from kernelfield.dropin.scipy_fallback import Filtered, drop_in


@drop_in("scipy.ndimage")
def gaussian_filter1d(
    input: Any,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Filtered:
    """Blur, or differentiate a blur, along one axis: ``scipy.ndimage.gaussian_filter1d``.

    Examples
    --------
    >>> gaussian_filter1d([0.0, 0.0, 1.0, 0.0, 0.0], 0.5).round(3)
    array([0.   , 0.106, 0.787, 0.106, 0.   ])
    """
    weights = gaussian_weights(sigma, order, truncate, radius)
    return correlate_line(input, weights, axis, output, mode, cval, 0, flip=False)


@drop_in("scipy.ndimage")
def gaussian_filter(
    input: Any,
    sigma: Any,
    order: Any = 0,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: Any = None,
    axes: Any = None,
) -> Filtered:
    """Blur, or differentiate a blur, along all axes or some: ``scipy.ndimage.gaussian_filter``.

    Examples
    --------
    >>> gaussian_filter([[0, 0, 0], [0, 100, 0], [0, 0, 0]], 0.5)
    array([[ 1,  7,  1],
           [ 8, 61,  8],
           [ 1,  7,  1]])
    """
    image = image_of(input)
    filtered = axes_of(axes, image.ndim)
    options = [per_axis(value, len(filtered)) for value in (sigma, order, mode, radius)]
    lines = []
    for axis, width, degree, rule, reach in zip(filtered, *options):
        if real(width) > 1e-15:
            lines.append(Line(gaussian_weights(width, degree, truncate, reach), axis, boundary_of(rule)))
    return chain(image, lines, output, cval)


@drop_in("scipy.ndimage")
def gaussian_laplace(
    input: Any,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Filtered:
    """Return the sum of second derivatives of a Gaussian: ``scipy.ndimage.gaussian_laplace``.

    Examples
    --------
    >>> gaussian_laplace([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], 1.0).round(2)
    array([[ 0.1 , -0.03,  0.1 ],
           [-0.03, -0.27, -0.03],
           [ 0.1 , -0.03,  0.1 ]])
    """
    return gaussian_derivatives(input, sigma, 2, output, mode, cval, axes, kwargs)


@drop_in("scipy.ndimage")
def gaussian_gradient_magnitude(
    input: Any,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Filtered:
    """Return the length of the gradient of a Gaussian blur: ``scipy.ndimage.gaussian_gradient_magnitude``.

    Examples
    --------
    >>> gaussian_gradient_magnitude([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], 0.5).round(3)
    array([[0.428, 0.856, 0.428],
           [0.428, 0.856, 0.428]])
    """
    return gaussian_derivatives(input, sigma, 1, output, mode, cval, axes, kwargs)
