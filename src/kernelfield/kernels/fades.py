"""Guesses from families that fade away and have a width to fit: Gaussians and what is made of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product

import numpy as np

from kernelfield.kernels import blurs, edges, sharpening, smoothing
from kernelfield.kernels.gaussians import fixed_point, sampled_gaussian
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.refine import refine, simplest
from kernelfield.kernels.target import NEGLIGIBLE, Target, centred, minimise, scaled, tidy


def gaussians(target: Target) -> Iterator[Kernel]:
    """Gaussians of one width."""
    for size, marginals, _ in _gaussian_sizes(target):
        if min(size) > 1:
            sigma = minimise(partial(_misfit, marginals), 0.15, 2.0 * max(size))
            yield (sampled := _rounded(target, size, sigma))
            if _exact(target, sampled):
                return
            yield from _other_methods(target, sampled, (sigma, sigma))


def elliptic_gaussians(target: Target) -> Iterator[Kernel]:
    """Gaussians of two widths, and those along one axis only."""
    for size, _, sigmas in _gaussian_sizes(target):
        yield (sampled := _rounded(target, size, *sigmas))
        if _exact(target, sampled):
            return
        yield from _other_methods(target, sampled, sigmas)


def fixed_point_gaussians(target: Target) -> Iterator[Kernel]:
    """Gaussians as OpenCV rounds them for 8-bit images."""
    # Rounding may leave nothing of the outermost weights, so a larger size is tried too.
    for (rows, columns), marginals, sigmas in _gaussian_sizes(target):
        for more in (0, 2):
            size = (rows + more * (rows > 1), columns + more * (columns > 1))
            wider = [np.pad(m, more // 2) if len(m) > 1 else m for m in marginals]
            fits = [_fixed_sigmas(m, sigma) for m, sigma in zip(wider, sigmas)]
            if not (fits[0] and fits[1]):
                continue
            yield smoothing.gaussian([_shortest(fits[0]), _shortest(fits[1])], size, bits=8)
            common = fits[0] & fits[1]
            if common:
                yield smoothing.gaussian(_shortest(common), size, bits=8)


def disks(target: Target) -> Iterator[Kernel]:
    """Disks: the largest weight says the area, up to the tolerance."""
    rows, columns = target.extent()
    if rows != columns or rows % 2 == 0 or rows < 3 or not _sums_to_one(target):
        return
    for size in {rows, max(target.sizes()[0])}:
        patch = target.patch((size, size))

        def cover(values: Weights, patch: Weights = patch) -> Sequence[Weights]:
            return (centred(blurs.disk(float(values[0])).weights, patch.shape),)

        start = min(max(1 / math.sqrt(math.pi * target.peak), (rows - 2.0) / 2 + 0.01), rows / 2)
        (radius,), _, left = refine(cover, (start,), [(0.51, size)], patch, 0.2)
        if left < 1e-2:
            yield simplest(target, blurs.disk, [float(radius)])


def unsharp_masks(target: Target) -> Iterator[Kernel]:
    """The identity and what a box, binomial or Gaussian blur takes away."""
    centre = target.place(smoothing.identity())
    if centre is None or min(target.extent()) < 3 or not _sums_to_one(target):
        return
    for size in target.sizes():
        if any(n % 2 == 0 for n in size):
            continue
        for blur, family in (("box", smoothing.box), ("binomial", smoothing.binomial)):
            placed = target.place(family(size))
            if placed is not None:
                amount, error = target.strength(centre - placed, centre)
                for value in dict.fromkeys([tidy(amount, error), amount]):
                    if value > 0:
                        yield sharpening.unsharp(None, value, size, blur)  # type: ignore[arg-type]
        rest = target.patch(size) - _impulse(size)

        def mask(sigma: float, size: tuple[int, int] = size) -> Weights:
            return _impulse(size) - np.outer(*(sampled_gaussian(sigma, n) for n in size))

        def misfit(sigma: float, rest: Weights = rest, mask: Callable[[float], Weights] = mask) -> float:
            return _rest(rest, mask(sigma))

        sigma = minimise(misfit, 0.3, 2.0 * max(size))
        amount = _factor(rest, mask(sigma))
        if amount > 0:
            error = target.spread / float(np.abs(mask(sigma)).max())
            yield sharpening.unsharp(round(sigma, 2), tidy(amount, error), size)
            yield sharpening.unsharp(sigma, amount, size)


def gaussian_derivatives(target: Target) -> Iterator[Kernel]:
    """Derivatives of a Gaussian and its Laplacian, of five weights and more."""
    total = np.abs(target.weights).sum()
    if max(target.extent()) < 5 or abs(target.weights.sum()) > 0.1 * total:
        return
    families: list[tuple[Callable[..., Kernel], tuple[int, int]]] = [(edges.log, (0, 0))]
    for order in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0)):
        families.append((partial(edges.gaussian_derivative, order=order), order))
    for size, (family, orders) in product(target.sizes(), families):
        if any(n <= max(1, d) for n, d in zip(size, orders)):
            continue
        patch = target.patch(size)

        def misfit(sigma: float, family: Callable[..., Kernel] = family, patch: Weights = patch) -> float:
            return _rest(patch, family(sigma, size=patch.shape).weights)

        rough = min(np.geomspace(0.3, max(size), 12).tolist(), key=misfit)
        # A family that leaves that much of the energy at its best is not the one.
        if misfit(rough) < 0.3 * float((patch**2).sum()):
            sigma = minimise(misfit, rough / 1.5, rough * 1.5)
            for value in dict.fromkeys([round(sigma, 2), sigma]):
                yield from scaled(target, partial(family, value, size=size))


def _exact(target: Target, kernel: Kernel) -> bool:
    placed = target.place(kernel)
    return placed is not None and target.deviation(placed)[1] <= 1e-6 * target.peak


def _other_methods(target: Target, sampled: Kernel, sigmas: Sequence[float]) -> Iterator[Kernel]:
    """Propose the integrated and the discrete Gaussian of that size, if it is exactly one of these and not sampled."""
    size = sampled.shape
    placed = target.place(sampled)
    if placed is None or any(n % 2 == 0 for n in size):
        return
    # The three differ by less than a tenth of the largest weight.
    if target.deviation(placed)[1] > 0.1 * target.peak:
        return
    patch = target.patch(size)
    for method, spread in (("integrated", 1 / 12), ("discrete", 0.0)):
        build = partial(_gaussian, size, method)

        def blur(values: Weights, build: Callable[..., Kernel] = build) -> Sequence[Weights]:
            return (build(*values.tolist()).weights,)

        start = [math.sqrt(max(s**2 - spread, 0.01)) for s in sigmas]
        values, _, left = refine(blur, start, [(0.05, 2.0 * max(size))] * 2, patch, 0.1)
        if left < 1e-2:
            alike = abs(values[0] - values[1]) < 1e-4 * values[0]
            kernel = simplest(target, build, [float(values.mean())] * 2 if alike else values.tolist())
            if _exact(target, kernel):
                yield kernel


def _gaussian(size: tuple[int, int], method: str, down: float, right: float) -> Kernel:
    return smoothing.gaussian((down, right), size, method=method)


def _impulse(size: tuple[int, int]) -> Weights:
    """Return zeros with a one in the middle."""
    impulse = np.zeros(size)
    impulse[size[0] // 2, size[1] // 2] = 1
    return impulse


def _sums_to_one(target: Target) -> bool:
    return abs(float(target.weights.sum()) - 1) <= NEGLIGIBLE + float(target.tolerance.sum())


def _factor(rest: Weights, step: Weights) -> float:
    norm = float((step**2).sum())
    return float((rest * step).sum()) / norm if norm else 0.0


def _rest(rest: Weights, step: Weights) -> float:
    return float(((rest - _factor(rest, step) * step) ** 2).sum())


def _misfit(marginals: Sequence[Weights], sigma: float) -> float:
    return sum(float(((m - sampled_gaussian(sigma, len(m))) ** 2).sum()) for m in marginals)


def _rounded(target: Target, size: tuple[int, int], *sigmas: float) -> Kernel:
    """Return the Gaussian with as few decimals as the tolerance lets pass."""
    exact = smoothing.gaussian(sigmas if len(sigmas) == 2 else sigmas[0], size)
    allowed = max(target.spread / 2, 1e-6 * target.peak)
    for decimals in (1, 2, 3, 4):
        few = [max(round(sigma, decimals), 0.1) for sigma in sigmas]
        kernel = smoothing.gaussian(few if len(few) == 2 else few[0], size)
        if np.abs(kernel.weights - exact.weights).max() <= allowed:
            return kernel
    return exact


def _gaussian_sizes(target: Target) -> Iterator[tuple[tuple[int, int], list[Weights], list[float]]]:
    """Yield each size to try, the sums over columns and over rows, and the sigma that fits each best."""
    if _sums_to_one(target) and max(target.extent()) > 2:
        for size in target.sizes():
            patch = target.patch(size)
            marginals = [patch.sum(axis=1), patch.sum(axis=0)]
            sigmas = [minimise(partial(_misfit, [m]), 0.15, 2.0 * len(m)) if len(m) > 1 else 0.0 for m in marginals]
            yield size, marginals, sigmas


def _fixed_sigmas(marginal: Weights, sigma: float) -> set[float]:
    """Return what sigmas near this one 8-bit fixed point turns into just these weights."""
    if len(marginal) == 1:
        return {0.0}
    wanted = np.rint(marginal * 256)
    if len(marginal) % 2 == 0 or np.abs(wanted - marginal * 256).max() > 0.25:
        return set()
    trials = {round(sigma * factor, 3) for factor in np.linspace(0.9, 1.1, 401).tolist()}
    trials |= {round(trial, decimals) for trial in trials for decimals in (1, 2)}
    return {
        trial
        for trial in trials
        if trial > 0 and np.array_equal(fixed_point(sampled_gaussian(trial, len(marginal)), 8) * 256, wanted)
    }


def _shortest(values: set[float]) -> float:
    """Return the value of fewest decimals, of those the one nearest to their mean."""
    mean = sum(values) / len(values)
    return min(values, key=lambda value: (len(f"{value:g}".partition(".")[2]), abs(value - mean)))
