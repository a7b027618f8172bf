"""Candidates among masks without parameters to fit: the published ones, of which only the scale is free.

Those of one size are compared with the weights at once: the cosines of their angles to them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain, product

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.kernels import edges, polynomials
from kernelfield.kernels import masks as catalogue
from kernelfield.kernels.differences import mixed_derivative
from kernelfield.kernels.fitting import parity, refine, scaled, simplest, unexplained
from kernelfield.kernels.gaussians import sampled_gaussian
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.target import Target

Builder = Callable[..., Kernel]

# Cosine of the angle to the weights from which a mask is a candidate, and the most that are.
_NEAR, _MOST = 0.99, 3
# Weights along one axis from which on two sigmas and a scale do not give any that are even and sum to zero.
_FREE = 9
# Side of the largest Savitzky-Golay kernel that is tried.
_LARGEST = 31


def masks(target: Target) -> Iterator[Kernel]:
    """Yield the masks of the size of the weights that are nearly a multiple of them, the nearest first."""
    rows, columns = target.bounds()
    size = rows.stop - rows.start, columns.stop - columns.start
    if not all(size) or not 3 <= max(size) <= _LARGEST:
        return
    patch = target.weights[rows, columns]
    norm = float(np.linalg.norm(patch))
    # The cosine of the angle to equal weights: none that sum to zero is nearer than its sine.
    level = float(patch.sum()) / (norm * math.sqrt(patch.size))
    directions, builders = _table(size, level**2 < 1 - _NEAR**2)
    if not builders:
        return
    cosines = np.abs(directions @ patch.ravel()) / norm
    for i in np.argsort(-cosines, kind="stable")[:_MOST]:
        if cosines[i] > _NEAR:
            yield from scaled(target, builders[i])


@lru_cache(maxsize=64)
def _table(size: tuple[int, int], balanced: bool) -> tuple[Weights, list[Builder]]:
    """Return the masks of a size as unit vectors, and the functions that build them with a scale.

    Those that sum to zero are among them where `balanced` says so.
    """
    directions: list[Weights] = []
    builders: list[Builder] = []
    for build in chain(_balanced(size) if balanced else (), _means(size)):
        kernel = build(scale=1.0)
        if kernel.shape != size:
            continue
        unit = kernel.weights.ravel() / np.linalg.norm(kernel.weights)
        # Of two names for the same weights the first is kept.
        if all(abs(abs(float(unit @ other)) - 1) > 1e-9 for other in directions):
            directions.append(unit)
            builders.append(build)
    return np.array(directions).reshape(len(directions), size[0] * size[1]), builders


def _balanced(size: tuple[int, int]) -> Iterator[Builder]:
    """Yield the masks of a size that sum to zero."""
    if size == (3, 3):
        for weighting in ("patra_karttunen", "oono_puri"):
            yield partial(edges.isotropic_laplacian, weighting)
    if min(size) >= 3:
        for orders in product(range(1, 5), repeat=2):
            for accuracy in (2, 4):
                yield partial(mixed_derivative, orders, accuracy)
    if size[0] == size[1] and size[0] in (5, 7):
        for order, taps, axis in product((1, 2), ("first", "second"), (1, 0)):
            yield partial(edges.farid, axis, size[0], order, taps=taps)
    if size == (3, 3):
        yield from (partial(catalogue.kirsch, angle) for angle in range(0, 360, 45))
        yield from (partial(catalogue.robinson, angle, levels) for angle in range(0, 360, 45) for levels in (5, 3))
        yield from (partial(catalogue.frei_chen, mask) for mask in range(1, 9))
    if size in ((3, 3), (5, 5)):
        # Levels both ways are a binomial kernel with a gain, and are called that.
        pairs = (pair for pair in catalogue.PAIRS if pair[1] == str(size[0]) and (pair[0], pair[2]) != ("L", "L"))
        yield from (partial(catalogue.laws, pair) for pair in pairs)
    yield from _savitzky_golay(size, ((0, 1), (1, 0), (0, 2), (2, 0), (1, 1)))


def _means(size: tuple[int, int]) -> Iterator[Builder]:
    """Yield the masks of a size that do not sum to zero."""
    yield from _savitzky_golay(size, ((0, 0),))


def _savitzky_golay(size: tuple[int, int], orders: Sequence[tuple[int, int]]) -> Iterator[Builder]:
    """Yield the kernels of a size and some orders: those of degree 0 and 1 without a derivative are boxes."""
    if not (size[0] % 2 and size[1] % 2):
        return
    for (down, right), degree in product(orders, range(1, min(6, max(size) - 1) + 1)):
        if degree >= max(down + right, 2 * (down + right == 0)) and down < size[0] and right < size[1]:
            yield partial(polynomials.savitzky_golay, size, degree, (down, right))


def gaussian_differences(target: Target) -> Iterator[Kernel]:
    """Yield differences of two Gaussians."""
    if max(target.extent()) < 5 or not target.sums_to_zero:
        return
    for size in target.sizes():
        patch = target.patch(size)
        if any(n % 2 == 0 for n in size) or parity(patch, 0) != 1 or parity(patch, 1) != 1:
            continue
        if min(size) == 1 and max(size) < _FREE:
            continue
        if size[0] == size[1] and unexplained(patch, patch.T) > 1e-3:
            continue

        def parts(values: Weights, size: tuple[int, int] = size) -> Sequence[Weights]:
            inner, ratio = float(np.exp(values[0])), 1 + float(np.exp(values[1]))
            narrow, wide = (np.outer(*(sampled_gaussian(s, n) for n in size)) for s in (inner, inner * ratio))
            return (narrow - wide,)

        starts = [(np.log(i), np.log(r)) for i in np.geomspace(0.4, max(size) / 4, 8) for r in (0.3, 0.6, 2.0)]
        costs = [unexplained(patch, parts(np.array(start))[0]) for start in starts]
        best = starts[int(np.argmin(costs))]
        box = ((np.log(0.2), np.log(max(size))), (np.log(0.02), np.log(20.0)))
        values, found, left = refine(parts, best, box, patch, 0.3)
        if left < 1e-2:
            inner = float(np.exp(values[0]))
            outer = inner * (1 + float(np.exp(values[1])))
            yield simplest(target, partial(_dog, size), [inner, outer, float(found[0])])


def _dog(size: tuple[int, int], inner: float, outer: float, scale: float) -> Kernel:
    if not inner < outer:
        raise ArgumentError(f"outer: expected more than {inner}, received {outer}")
    return edges.dog(inner, outer, size, scale=scale)
