"""What the functions of ``ndimage`` are made of: passes along axes, one after the other or added up."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core
from kernelfield.dropin.filtering import Pass, run
from kernelfield.dropin.handing import (
    Filtered,
    Handed,
    axes_of,
    axis_of,
    boundary_of,
    each,
    image_of,
    origin_of,
    output_of,
    real,
    weights_of,
    whole,
)
from kernelfield.engine.plan import Runner

Array = NDArray[Any]

# Sizes from which SciPy's running sum is faster than sums of products.
_LONG = 256

Step = tuple[NDArray[np.float64], int, str, int, int]


def over_axes(
    input: Any, weights: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any, *, flip: bool
) -> Filtered:
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
    target = output_of(output, image)
    return Filtered(target, run(image, step, target))


def along(
    input: Any, weights: Any, axis: Any, output: Any, mode: Any, cval: Any, origin: Any, *, flip: bool
) -> Filtered:
    """Return what `correlate1d` or `convolve1d` does."""
    image, line = image_of(input), weights_of(weights)
    if line.ndim != 1:
        raise Handed
    moved = origin_of(origin, len(line))
    if flip:
        line, moved = line[::-1], origin_of(-moved - (len(line) % 2 == 0), len(line))
    step = (line, axis_of(axis, image.ndim), boundary_of(mode), moved, 1)
    return chain(image, [step], output, cval)


def difference(input: Any, across: list[float], axis: Any, output: Any, mode: Any, cval: Any) -> Filtered:
    """Return a central difference along `axis`, weighted along all others."""
    image = image_of(input)
    own = axis_of(axis, image.ndim)
    rules = [boundary_of(rule) for rule in each(mode, image.ndim)]
    order = [own, *(i for i in range(image.ndim) if i != own)]
    steps = [(np.array([-1.0, 0.0, 1.0] if i == own else across), i, rules[i], 0, 1) for i in order]
    return chain(image, steps, output, cval)


def of_gaussian(
    input: Any, sigma: Any, degree: int, output: Any, mode: Any, cval: Any, axes: Any, options: dict[str, Any]
) -> Filtered:
    """Return derivatives of a Gaussian along each axis, added or as a length."""
    if axes is not None or not set(options) <= {"truncate", "radius"}:
        raise Handed
    image = image_of(input)
    count = image.ndim
    rules = [boundary_of(rule) for rule in each(mode, count)]
    widths, reaches = each(sigma, count), each(options.get("radius"), count)
    target = apart(output, image)
    parts = []
    for own in range(count):
        steps = []
        for axis, (width, reach) in enumerate(zip(widths, reaches)):
            if real(width) > 1e-15:
                order = degree if axis == own else 0
                weights = gaussian_weights(width, order, options.get("truncate", 4.0), reach)
                steps.append((weights, axis, rules[own], 0, 1))
        parts.append(steps)
    return total(image, parts, target, cval, magnitude=degree == 1)


def gaussian_weights(sigma: Any, order: Any, truncate: Any, radius: Any) -> NDArray[np.float64]:
    """Return SciPy's weights."""
    reach = None if radius is None else whole(radius)
    return _scipys_gaussian(real(sigma), whole(order), real(truncate), reach)


@lru_cache(maxsize=64)
def _scipys_gaussian(sigma: float, degree: int, truncate: float, radius: int | None) -> NDArray[np.float64]:
    """Return SciPy's weights to the last bit, read-only: what it makes of a single one among zeros."""
    import scipy.ndimage

    reach = int(truncate * sigma + 0.5) if radius is None else radius
    if reach < 0 or degree < 0 or not sigma > 0:
        raise Handed
    impulse = np.zeros(2 * reach + 1)
    impulse[reach] = 1.0
    options = {} if radius is None else {"radius": reach}
    response = scipy.ndimage.gaussian_filter1d(
        impulse, sigma, order=degree, mode="constant", truncate=truncate, **options
    )
    weights = weights_of(response[::-1])
    weights.flags.writeable = False
    return weights


def mean(axis: int, size: Any, boundary: str, origin: Any) -> Step:
    """Return the step that takes means."""
    count = whole(size)
    if not 1 <= count < _LONG:
        raise Handed
    return np.ones(count), axis, boundary, origin_of(origin, count), count


def chain(image: Array, steps: list[Step], output: Any, cval: Any) -> Filtered:
    """Return the passes one after the other, each stored in the dtype of the result."""
    constant, target = real(cval), output_of(output, image)
    if not steps:
        target[...] = image
        return Filtered(target, None)
    passes = [
        Pass((axis,), weights, (origin,), boundary, constant, folded=True, divisor=divisor)
        for weights, axis, boundary, origin, divisor in steps
    ]
    # No pass reads what it writes: that would take memory each time. SciPy must find the image as it was, if a later
    # pass turns out to be its own.
    spare = np.empty_like(target) if len(steps) > 2 and np.may_share_memory(image, target) else target
    rooms = [np.empty_like(target) if len(steps) > 1 else target, spare]
    runners, source = [], image
    for left, step in zip(reversed(range(len(passes))), passes):
        into = rooms[(left - 1) % 2] if left else target
        runners.append(run(source, step, into))
        source = into
    return Filtered(target, _in_a_row([runner for runner in runners if runner is not None], len(passes)))


def _in_a_row(runners: list[Runner], count: int) -> Runner | None:
    """Return what does `count` passes one after the other; None if not all of them can be done again."""
    if len(runners) < count:
        return None
    if count == 1:
        return runners[0]

    def again(image: Array, out: Array) -> None:
        # As in `chain`: the last pass but one does not write where the last one does.
        rooms = _core.empty(out.shape, out.dtype), out
        source = image
        for left, runner in zip(reversed(range(count)), runners):
            into = rooms[(left - 1) % 2] if left else out
            runner(source, into)
            source = into

    return again


def apart(output: Any, image: Array) -> Array:
    """Return the array of the result, which the image must not share."""
    target = output_of(output, image)
    if np.may_share_memory(image, target):
        raise Handed
    return target


def total(image: Array, parts: list[list[Step]], target: Array, cval: Any, *, magnitude: bool) -> Filtered:
    """Return the sum of chains of passes, or the root of the sum of their squares, in the dtype of the result."""
    if not parts:
        target[...] = image
        return Filtered(target, None)
    runners = []
    for i, steps in enumerate(parts):
        part, runner = chain(image, steps, target if i == 0 else target.dtype, cval)
        runners.append(runner)
        _add(part, target if i else None, magnitude)
    if magnitude:
        np.sqrt(target, out=target, casting="unsafe")
    known = [runner for runner in runners if runner is not None]

    def again(image: Array, out: Array) -> None:
        for i, runner in enumerate(known):
            part = _core.empty(out.shape, out.dtype) if i else out
            runner(image, part)
            _add(part, out if i else None, magnitude)
        if magnitude:
            np.sqrt(out, out=out, casting="unsafe")

    return Filtered(target, again if len(known) == len(parts) else None)


def _add(part: Array, total: Array | None, magnitude: bool) -> None:
    """Add a part, or its square, to the total, if there is one yet."""
    if magnitude:
        np.multiply(part, part, out=part)
    if total is not None:
        total += part
