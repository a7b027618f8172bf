"""The bodies of the functions of `ndimage`: passes along axes, one after the other or added up."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernelfield import _core
from kernelfield.dropin.ndimage_correlation import Pass, run
from kernelfield.dropin.scipy_arguments import (
    axes_of,
    axis_of,
    boundary_of,
    image_of,
    integer,
    origin_of,
    output_of,
    per_axis,
    real,
    weights_of,
)
from kernelfield.dropin.scipy_fallback import Filtered, NotCovered
from kernelfield.engine.plan import Runner

Array = NDArray[Any]

# Sizes from which SciPy's running sum is faster than sums of products.
_LONG = 256


class Line(NamedTuple):
    """A pass along one axis: weights, divided by `divisor`."""

    weights: NDArray[np.float64]
    axis: int
    boundary: str
    origin: int = 0
    divisor: int = 1


def correlate_axes(
    input: Any, weights: Any, output: Any, mode: Any, cval: Any, origin: Any, axes: Any, *, flip: bool
) -> Filtered:
    """Return the result of `correlate` or `convolve`."""
    image, kernel = image_of(input), weights_of(weights)
    filtered = axes_of(axes, image.ndim)
    if kernel.ndim != len(filtered) or filtered != sorted(filtered):
        raise NotCovered
    origins = [origin_of(o, n) for o, n in zip(per_axis(origin, kernel.ndim), kernel.shape)]
    if flip:
        kernel = np.flip(kernel)
        origins = [-o - (n % 2 == 0) for o, n in zip(origins, kernel.shape)]
        origins = [origin_of(o, n) for o, n in zip(origins, kernel.shape)]
    extended = [i for i, n in enumerate(kernel.shape) if n > 1]
    if len(extended) > 2:
        raise NotCovered
    step = Pass(
        tuple(filtered[i] for i in extended),
        kernel.reshape([kernel.shape[i] for i in extended]),
        tuple(origins[i] for i in extended),
        boundary_of(mode),
        real(cval),
    )
    target = output_of(output, image)
    return Filtered(target, run(image, step, target))


def correlate_line(
    input: Any, weights: Any, axis: Any, output: Any, mode: Any, cval: Any, origin: Any, *, flip: bool
) -> Filtered:
    """Return the result of `correlate1d` or `convolve1d`."""
    image, line = image_of(input), weights_of(weights)
    if line.ndim != 1:
        raise NotCovered
    moved = origin_of(origin, len(line))
    if flip:
        line, moved = line[::-1], origin_of(-moved - (len(line) % 2 == 0), len(line))
    return chain(image, [Line(line, axis_of(axis, image.ndim), boundary_of(mode), moved)], output, cval)


def difference(input: Any, across: list[float], axis: Any, output: Any, mode: Any, cval: Any) -> Filtered:
    """Return a central difference along `axis`, weighted along all others."""
    image = image_of(input)
    own = axis_of(axis, image.ndim)
    boundaries = [boundary_of(rule) for rule in per_axis(mode, image.ndim)]
    order = [own, *(i for i in range(image.ndim) if i != own)]
    lines = [Line(np.array([-1.0, 0.0, 1.0] if i == own else across), i, boundaries[i]) for i in order]
    return chain(image, lines, output, cval)


def gaussian_derivatives(
    input: Any, sigma: Any, degree: int, output: Any, mode: Any, cval: Any, axes: Any, options: dict[str, Any]
) -> Filtered:
    """Return the sum of the second derivatives of a Gaussian blur, or for `degree` 1 the length of its gradient."""
    if axes is not None or not set(options) <= {"truncate", "radius"}:
        raise NotCovered
    image = image_of(input)
    count = image.ndim
    boundaries = [boundary_of(rule) for rule in per_axis(mode, count)]
    sigmas, radii = per_axis(sigma, count), per_axis(options.get("radius"), count)
    target = output_apart(output, image)
    chains = []
    for own in range(count):
        lines = []
        for axis, (width, radius) in enumerate(zip(sigmas, radii)):
            if real(width) > 1e-15:
                order = degree if axis == own else 0
                weights = gaussian_weights(width, order, options.get("truncate", 4.0), radius)
                lines.append(Line(weights, axis, boundaries[own]))
        chains.append(lines)
    return total(image, chains, target, cval, magnitude=degree == 1)


def gaussian_weights(sigma: Any, order: Any, truncate: Any, radius: Any) -> NDArray[np.float64]:
    """Return SciPy's weights."""
    reach = None if radius is None else integer(radius)
    return _scipys_gaussian(real(sigma), integer(order), real(truncate), reach)


@lru_cache(maxsize=64)
def _scipys_gaussian(sigma: float, degree: int, truncate: float, radius: int | None) -> NDArray[np.float64]:
    """Return SciPy's weights to the last bit, read-only: its response to an impulse."""
    import scipy.ndimage

    reach = int(truncate * sigma + 0.5) if radius is None else radius
    if reach < 0 or degree < 0 or not sigma > 0:
        raise NotCovered
    impulse = np.zeros(2 * reach + 1)
    impulse[reach] = 1.0
    options = {} if radius is None else {"radius": reach}
    response = scipy.ndimage.gaussian_filter1d(
        impulse, sigma, order=degree, mode="constant", truncate=truncate, **options
    )
    weights = weights_of(response[::-1])
    weights.flags.writeable = False
    return weights


def mean(axis: int, size: Any, boundary: str, origin: Any) -> Line:
    """Return the pass that computes means."""
    count = integer(size)
    if not 1 <= count < _LONG:
        raise NotCovered
    return Line(np.ones(count), axis, boundary, origin_of(origin, count), count)


def chain(image: Array, lines: list[Line], output: Any, cval: Any) -> Filtered:
    """Return the result of passes one after the other, each stored in the dtype of the result."""
    constant, target = real(cval), output_of(output, image)
    if not lines:
        target[...] = image
        return Filtered(target, None)
    passes = [
        Pass((line.axis,), line.weights, (line.origin,), line.boundary, constant, folded=True, divisor=line.divisor)
        for line in lines
    ]
    # Two buffers, for a pass that writes the array it reads would copy it each time. The image stays unchanged until
    # the last pass: SciPy must find it as it was if a later pass is not covered.
    spare = np.empty_like(target) if len(lines) > 2 and np.may_share_memory(image, target) else target
    buffers = [np.empty_like(target) if len(lines) > 1 else target, spare]
    runners, source = [], image
    for left, step in zip(reversed(range(len(passes))), passes):
        into = buffers[(left - 1) % 2] if left else target
        runners.append(run(source, step, into))
        source = into
    return Filtered(target, _in_sequence([runner for runner in runners if runner is not None], len(passes)))


def _in_sequence(runners: list[Runner], count: int) -> Runner | None:
    """Return the runner of `count` passes one after the other; None if not all of them have one."""
    if len(runners) < count:
        return None
    if count == 1:
        return runners[0]

    def run_all(image: Array, out: Array) -> None:
        # As in `chain`: the last pass but one does not write where the last one does.
        buffers = _core.empty(out.shape, out.dtype), out
        source = image
        for left, runner in zip(reversed(range(count)), runners):
            into = buffers[(left - 1) % 2] if left else out
            runner(source, into)
            source = into

    return run_all


def output_apart(output: Any, image: Array) -> Array:
    """Return the array to write, which must not share memory with the image."""
    target = output_of(output, image)
    if np.may_share_memory(image, target):
        raise NotCovered
    return target


def total(image: Array, chains: list[list[Line]], target: Array, cval: Any, *, magnitude: bool) -> Filtered:
    """Return the sum of chains of passes, or the root of the sum of their squares, in the dtype of the result."""
    if not chains:
        target[...] = image
        return Filtered(target, None)
    runners = []
    for i, lines in enumerate(chains):
        term, runner = chain(image, lines, target if i == 0 else target.dtype, cval)
        runners.append(runner)
        _add(term, target if i else None, magnitude)
    if magnitude:
        np.sqrt(target, out=target, casting="unsafe")
    repeatable = [runner for runner in runners if runner is not None]

    def run_all(image: Array, out: Array) -> None:
        for i, runner in enumerate(repeatable):
            term = _core.empty(out.shape, out.dtype) if i else out
            runner(image, term)
            _add(term, out if i else None, magnitude)
        if magnitude:
            np.sqrt(out, out=out, casting="unsafe")

    return Filtered(target, run_all if len(repeatable) == len(chains) else None)


def _add(term: Array, total: Array | None, magnitude: bool) -> None:
    """Add a term, or its square, to the total; None for the first one, which is the total."""
    if magnitude:
        np.multiply(term, term, out=term)
    if total is not None:
        total += term
