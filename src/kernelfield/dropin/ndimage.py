"""The linear filters of scipy.ndimage, with its signatures, on kernelfield's engine; all else is SciPy's own.

``from kernelfield.dropin import ndimage`` replaces ``from scipy import ndimage``. What the parameters mean is said in
SciPy's documentation. What the engine does not cover, such as complex numbers, weights that extend along three axes or
more, integers beyond 2**53 and arguments that are wrong, is handed to SciPy: results and errors are SciPy's.

What differs:

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
from numpy.typing import NDArray

from kernelfield.dropin.filtering import Pass, run
from kernelfield.dropin.handing import (
    Handed,
    axes_of,
    axis_of,
    boundary_of,
    drop_in,
    each,
    image_of,
    origin_of,
    output_of,
    real,
    weights_of,
    whole,
)

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

Array = NDArray[Any]

# Sizes from which SciPy's running sum is faster than sums of products.
_LONG = 256


def __getattr__(name: str) -> Any:
    import scipy.ndimage

    return getattr(scipy.ndimage, name)


def __dir__() -> list[str]:
    import scipy.ndimage

    return sorted({*__all__, *dir(scipy.ndimage)})


@drop_in
def correlate(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Return the cross-correlation with weights of as many axes: ``scipy.ndimage.correlate``.

    Examples
    --------
    >>> correlate([[1, 2], [3, 4]], [[0, 0, 0], [0, 0, 1], [0, 0, 0]], mode="wrap")
    array([[2, 1],
           [4, 3]])
    """
    return _over_axes(input, weights, output, mode, cval, origin, axes, flip=False)


@drop_in
def convolve(
    input: Any,
    weights: Any,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
    """Return the convolution with weights of as many axes: ``scipy.ndimage.convolve``.

    Examples
    --------
    >>> convolve([[1, 2], [3, 4]], [[0, 0, 0], [0, 0, 1], [0, 0, 0]], mode="nearest")
    array([[1, 1],
           [3, 3]])
    """
    return _over_axes(input, weights, output, mode, cval, origin, axes, flip=True)


@drop_in
def correlate1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array:
    """Return the cross-correlation along one axis: ``scipy.ndimage.correlate1d``.

    Examples
    --------
    >>> correlate1d([1.0, 2.0, 4.0], [-1, 1])
    array([0., 1., 2.])
    """
    return _along(input, weights, axis, output, mode, cval, origin, flip=False)


@drop_in
def convolve1d(
    input: Any,
    weights: Any,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array:
    """Return the convolution along one axis: ``scipy.ndimage.convolve1d``.

    Examples
    --------
    >>> convolve1d([1.0, 2.0, 4.0], [-1, 1])
    array([-1., -2.,  0.])
    """
    return _along(input, weights, axis, output, mode, cval, origin, flip=True)


@drop_in
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
) -> Array:
    """Blur, or differentiate a blur, along one axis: ``scipy.ndimage.gaussian_filter1d``.

    Examples
    --------
    >>> gaussian_filter1d([0.0, 0.0, 1.0, 0.0, 0.0], 0.5).round(3)
    array([0.   , 0.106, 0.787, 0.106, 0.   ])
    """
    weights = _gaussian_weights(sigma, order, truncate, radius)
    return _along(input, weights, axis, output, mode, cval, 0, flip=False)


@drop_in
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
) -> Array:
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
    options = [each(value, len(filtered)) for value in (sigma, order, mode, radius)]
    steps = []
    for axis, width, degree, rule, reach in zip(filtered, *options):
        if real(width) > 1e-15:
            weights = _gaussian_weights(width, degree, truncate, reach)
            steps.append((weights, axis, boundary_of(rule), 0, 1))
    return _chain(image, steps, output, cval)


@drop_in
def uniform_filter1d(
    input: Any,
    size: int,
    axis: int = -1,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    origin: int = 0,
) -> Array:
    """Return means of `size` pixels along one axis: ``scipy.ndimage.uniform_filter1d``.

    Examples
    --------
    >>> uniform_filter1d([2, 8, 0, 4, 1, 9, 9, 0], size=3)
    array([4, 3, 4, 1, 4, 6, 6, 3])
    """
    image = image_of(input)
    step = _mean(axis_of(axis, image.ndim), size, boundary_of(mode), origin)
    return _chain(image, [step], output, cval)


@drop_in
def uniform_filter(
    input: Any,
    size: Any = 3,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    origin: Any = 0,
    *,
    axes: Any = None,
) -> Array:
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
    options = [each(value, len(filtered)) for value in (size, mode, origin)]
    steps = [_mean(axis, n, boundary_of(rule), o) for axis, n, rule, o in zip(filtered, *options) if whole(n) > 1]
    return _chain(image, steps, output, cval)


@drop_in
def prewitt(input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Array:
    """Return Prewitt's difference along an axis: ``scipy.ndimage.prewitt``.

    Examples
    --------
    >>> prewitt([[0, 0, 1], [0, 0, 1]])
    array([[0, 3, 3],
           [0, 3, 3]])
    """
    return _difference(input, [1.0, 1.0, 1.0], axis, output, mode, cval)


@drop_in
def sobel(input: Any, axis: int = -1, output: Any = None, mode: Any = "reflect", cval: float = 0.0) -> Array:
    """Return Sobel's difference along an axis: ``scipy.ndimage.sobel``.

    Examples
    --------
    >>> sobel([[0, 0, 1], [0, 0, 1]])
    array([[0, 4, 4],
           [0, 4, 4]])
    """
    return _difference(input, [1.0, 2.0, 1.0], axis, output, mode, cval)


@drop_in
def laplace(input: Any, output: Any = None, mode: Any = "reflect", cval: float = 0.0, *, axes: Any = None) -> Array:
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
    rules = [boundary_of(rule) for rule in each(mode, len(filtered))]
    target = _apart(output, image)
    parts = [[(np.array([1.0, -2.0, 1.0]), axis, rule, 0, 1)] for axis, rule in zip(filtered, rules)]
    return _total(image, parts, target, cval, magnitude=False)


@drop_in
def gaussian_laplace(
    input: Any,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Array:
    """Return the sum of second derivatives of a Gaussian: ``scipy.ndimage.gaussian_laplace``.

    Examples
    --------
    >>> gaussian_laplace([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], 1.0).round(2)
    array([[ 0.1 , -0.03,  0.1 ],
           [-0.03, -0.27, -0.03],
           [ 0.1 , -0.03,  0.1 ]])
    """
    return _of_gaussian(input, sigma, 2, output, mode, cval, axes, kwargs)


@drop_in
def gaussian_gradient_magnitude(
    input: Any,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Array:
    """Return the length of the gradient of a Gaussian blur: ``scipy.ndimage.gaussian_gradient_magnitude``.

    Examples
    --------
    >>> gaussian_gradient_magnitude([[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]], 0.5).round(3)
    array([[0.428, 0.856, 0.428],
           [0.428, 0.856, 0.428]])
    """
    return _of_gaussian(input, sigma, 1, output, mode, cval, axes, kwargs)


Step = tuple[NDArray[np.float64], int, str, int, int]


def _over_axes(
    input: Any, weights: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any, *, flip: bool
) -> Array:
    """Return what `correlate` or `convolve` does."""
    image, kernel = image_of(input), weights_of(weights)
    filtered = axes_of(axes, image.ndim)
    if kernel.ndim != len(filtered) or filtered != sorted(filtered):
        raise Handed
    origins = [origin_of(o, n) for o, n in zip(each(origin, kernel.ndim), kernel.shape)]
    if flip:
        kernel = np.flip(kernel)
        origins = [-o - (n % 2 == 0) for o, n in zip(origins, kernel.shape)]
        origins = [origin_of(o, n) for o, n in zip(origins, kernel.shape)]
    extended = [i for i, n in enumerate(kernel.shape) if n > 1]
    if len(extended) > 2:
        raise Handed
    places = tuple(filtered[i] for i in extended)
    line = kernel.reshape([kernel.shape[i] for i in extended])
    step = Pass(places, line, tuple(origins[i] for i in extended), boundary_of(mode), real(cval))
    return run(image, step, output_of(output, image))


def _along(input: Any, weights: Any, axis: Any, output: Any, mode: Any, cval: Any, origin: Any, *, flip: bool) -> Array:
    """Return what `correlate1d` or `convolve1d` does."""
    image, line = image_of(input), weights_of(weights)
    if line.ndim != 1:
        raise Handed
    moved = origin_of(origin, len(line))
    if flip:
        line, moved = line[::-1], origin_of(-moved - (len(line) % 2 == 0), len(line))
    step = (line, axis_of(axis, image.ndim), boundary_of(mode), moved, 1)
    return _chain(image, [step], output, cval)


def _difference(input: Any, across: list[float], axis: Any, output: Any, mode: Any, cval: Any) -> Array:
    """Return a central difference along `axis`, weighted along all others."""
    image = image_of(input)
    own = axis_of(axis, image.ndim)
    rules = [boundary_of(rule) for rule in each(mode, image.ndim)]
    order = [own, *(i for i in range(image.ndim) if i != own)]
    steps = [(np.array([-1.0, 0.0, 1.0] if i == own else across), i, rules[i], 0, 1) for i in order]
    return _chain(image, steps, output, cval)


def _of_gaussian(
    input: Any, sigma: Any, degree: int, output: Any, mode: Any, cval: Any, axes: Any, options: dict[str, Any]
) -> Array:
    """Return derivatives of a Gaussian along each axis, added or as a length."""
    if axes is not None or not set(options) <= {"truncate", "radius"}:
        raise Handed
    image = image_of(input)
    count = image.ndim
    rules = [boundary_of(rule) for rule in each(mode, count)]
    widths, reaches = each(sigma, count), each(options.get("radius"), count)
    target = _apart(output, image)
    parts = []
    for along in range(count):
        steps = []
        for axis, (width, reach) in enumerate(zip(widths, reaches)):
            if real(width) > 1e-15:
                order = degree if axis == along else 0
                weights = _gaussian_weights(width, order, options.get("truncate", 4.0), reach)
                steps.append((weights, axis, rules[along], 0, 1))
        parts.append(steps)
    return _total(image, parts, target, cval, magnitude=degree == 1)


def _gaussian_weights(sigma: Any, order: Any, truncate: Any, radius: Any) -> NDArray[np.float64]:
    """Return SciPy's weights to the last bit: what it makes of a single one among zeros."""
    import scipy.ndimage

    degree, width = whole(order), real(sigma)
    reach = int(real(truncate) * width + 0.5) if radius is None else whole(radius)
    if reach < 0 or degree < 0 or not width > 0:
        raise Handed
    impulse = np.zeros(2 * reach + 1)
    impulse[reach] = 1.0
    options = {} if radius is None else {"radius": reach}
    response = scipy.ndimage.gaussian_filter1d(
        impulse, sigma, order=degree, mode="constant", truncate=truncate, **options
    )
    return weights_of(response[::-1])


def _mean(axis: int, size: Any, boundary: str, origin: Any) -> Step:
    """Return the step that takes means."""
    count = whole(size)
    if not 1 <= count < _LONG:
        raise Handed
    return np.ones(count), axis, boundary, origin_of(origin, count), count


def _chain(image: Array, steps: list[Step], output: Any, cval: Any) -> Array:
    """Return the passes one after the other, each stored in the dtype of the result."""
    constant, target = real(cval), output_of(output, image)
    if not steps:
        target[...] = image
        return target
    # SciPy must find the image as it was, if a later pass turns out to be its own.
    room = np.empty_like(target) if len(steps) > 1 and np.may_share_memory(image, target) else target
    source = image
    for weights, axis, boundary, origin, divisor in steps:
        step = Pass((axis,), weights, (origin,), boundary, constant, folded=True, divisor=divisor)
        source = run(source, step, room)
    if room is not target:
        target[...] = room
    return target


def _apart(output: Any, image: Array) -> Array:
    """Return the array of the result, which the image must not share."""
    target = output_of(output, image)
    if np.may_share_memory(image, target):
        raise Handed
    return target


def _total(image: Array, parts: list[list[Step]], target: Array, cval: Any, *, magnitude: bool) -> Array:
    """Return the sum of chains of passes, or the root of the sum of their squares, in the dtype of the result."""
    if not parts:
        target[...] = image
        return target
    for i, steps in enumerate(parts):
        part = _chain(image, steps, target if i == 0 else target.dtype, cval)
        if magnitude:
            np.multiply(part, part, out=part)
        if i:
            target += part
    if magnitude:
        np.sqrt(target, out=target, casting="unsafe")
    return target
