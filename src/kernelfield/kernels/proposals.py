"""Guesses at what estimated weights may be, one generator a family; `match` judges them.

Each proposes the member of its family that comes closest, wherever the weights lie: `Target.place` moves
a guess to them. PROPOSALS is in order of simplicity; of two names for the same weights the first wins.
Families with a width to fit are in `fades`, those with a direction in `oriented`.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import product

import numpy as np

from kernelfield.kernels import differences, edges, fades, oriented, sharpening, smoothing
from kernelfield.kernels.kernel import Kernel
from kernelfield.kernels.smoothing import pascal
from kernelfield.kernels.target import Target, centroid, scaled, tidy

Proposal = Callable[[Target], Iterator[Kernel]]

derivative = lru_cache(maxsize=256)(differences.derivative)


def identity_or_shift(target: Target) -> Iterator[Kernel]:
    """One weight of 1."""
    if target.extent() == (1, 1):
        rows, columns = (-int(x) for x in np.rint(centroid(target.weights, target.anchor)))
        yield smoothing.shift(rows, columns) if rows or columns else smoothing.identity()


def boxes(target: Target) -> Iterator[Kernel]:
    """A mean over all that is there."""
    yield smoothing.box(target.extent())


def binomials(target: Target) -> Iterator[Kernel]:
    """The binomial whose marginals come closest."""
    patch = target.patch(target.sizes()[0])
    size = []
    for marginal in (patch.sum(axis=1), patch.sum(axis=0)):
        whole = len(marginal)
        lengths = range(whole, 0, -2)
        padded = [np.pad(np.array(pascal(n)) / 2.0 ** (n - 1), (whole - n) // 2) for n in lengths]
        size.append(lengths[int(np.argmin([np.abs(row - marginal).max() for row in padded]))])
    yield smoothing.binomial(size)


def finite_differences(target: Target) -> Iterator[Kernel]:
    """One-dimensional derivatives of up to nine weights."""
    extent = target.extent()
    if min(extent) != 1:
        return
    axis = int(extent[1] > 1)
    if max(extent) == 2:
        yield differences.difference(axis, "forward")
        yield differences.difference(axis, "backward")
    # The outermost weights of accurate second derivatives are negligible: try two more.
    for length, order in product({max(extent), min(max(extent) + 2, 9)}, range(1, 5)):
        central = length + 1 - 2 * ((order + 1) // 2)
        if 1 < length <= 9 and central >= 2 and central % 2 == 0:
            yield from scaled(target, partial(derivative, order, central, axis))
        if order < length <= 9:
            for scheme in ("forward", "backward"):
                yield from scaled(target, partial(derivative, order, length - order, axis, 1.0, scheme))


def three_by_three(target: Target) -> Iterator[Kernel]:
    """The classical edge detectors of nine weights."""
    if target.extent() != (3, 3):
        return
    for neighbours in (4, 8):
        yield from scaled(target, partial(edges.laplacian, neighbours))
    for family in (edges.prewitt, edges.scharr):
        for axis in (1, 0):
            yield from scaled(target, partial(family, axis))


def sobels(target: Target) -> Iterator[Kernel]:
    """Sobel derivatives and their Laplacian, 3×3 to 7×7."""
    size = max(target.extent())
    if size not in (3, 5, 7) or min(target.extent()) != size:
        return
    for order, axis in product(range(1, min(size, 5)), (1, 0)):
        yield from scaled(target, partial(edges.sobel, axis, size, order))
    yield from scaled(target, partial(edges.sobel_laplacian, size))


def two_by_two(target: Target) -> Iterator[Kernel]:
    """Emboss and Roberts: a pixel minus one diagonally beside it."""
    if target.extent() == (2, 2):
        for direction in product((1, -1), (-1, 1)):
            yield edges.emboss(direction)
        for diagonal in ("main", "anti"):
            yield from scaled(target, partial(edges.roberts, diagonal))


def neighbour_means(target: Target) -> Iterator[Kernel]:
    """The identity and a multiple of a Laplacian: sharpening, or smoothing where it is negative."""
    centre = target.place(smoothing.identity())
    if centre is None or target.extent() != (3, 3):
        return
    for neighbours in (4, 8):
        laplacian = target.place(edges.laplacian(neighbours))
        if laplacian is None:
            continue
        amount, error = target.strength(-laplacian, centre)
        if amount > 0:
            for value in dict.fromkeys([tidy(amount, error), amount]):
                yield sharpening.sharpen(value, neighbours)
        elif amount < 0:
            weight, error = -1 / amount - neighbours, error / amount**2
            if abs(weight) <= error:
                yield smoothing.smooth(0, neighbours)
            elif weight > 0:
                for value in dict.fromkeys([tidy(weight, error), weight]):
                    yield smoothing.smooth(value, neighbours)


def square_rings(target: Target) -> Iterator[Kernel]:
    """Small whole numbers on square rings."""
    size = max(target.extent())
    if size not in (5, 7):
        return
    patch, numbers = target.patch((size, size)), smoothing.ring_numbers(size // 2)
    means = np.array([patch[numbers == ring].mean() for ring in range(size // 2 + 1)])
    if means[-1] > 0:
        whole = np.rint(means / means[-1]) + 0.0
        if whole.min() >= 0 and whole.max() <= 256:
            yield smoothing.rings(whole.tolist())


PROPOSALS: tuple[Proposal, ...] = (
    identity_or_shift,
    boxes,
    binomials,
    finite_differences,
    three_by_three,
    sobels,
    two_by_two,
    oriented.whole_numbers,
    neighbour_means,
    square_rings,
    oriented.steered_edges,
    fades.gaussians,
    fades.elliptic_gaussians,
    fades.fixed_point_gaussians,
    fades.disks,
    oriented.motions,
    fades.unsharp_masks,
    fades.gaussian_derivatives,
    oriented.steerables,
    oriented.gabors,
)
