"""Candidate kernels for estimated weights: one generator a family, which `matching` judges.

Each yields the members of its family that come closest, wherever the weights lie: `Target.place` shifts a candidate to
them. GENERATORS is in order of simplicity; of two names for the same weights the first wins.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError
from kernelfield.kernels import blurs, differences, directional, edges, sharpening, smoothing
from kernelfield.kernels.blur_candidates import oriented_gaussians, reductions, round_blurs, shifts, sincs
from kernelfield.kernels.fitting import (
    below,
    centred,
    minimise,
    parity,
    refine,
    scaled,
    simplest,
    tidy,
    unexplained,
)
from kernelfield.kernels.gabor import gabor, gabor_parts, log_gabor, log_gabor_wave, zero_sum
from kernelfield.kernels.gaussians import METHODS, derivative_of_gaussian, fixed_point, sampled_gaussian
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.mask_candidates import gaussian_differences, masks
from kernelfield.kernels.resampling import bspline
from kernelfield.kernels.smoothing import pascal
from kernelfield.kernels.steerable import quadrature, steerable
from kernelfield.kernels.target import Target

Generator = Callable[[Target], Iterator[Kernel]]

# Beyond this size the spectrum is not searched: no filter of the catalogue is as large by default.
_LARGEST = 129
_ORDERS = 6
# Orders of steerable filters that are fitted, of those that come nearest at the start.
_LIKELY = 3
# Share of the energy below which a fit leaves nothing but rounding.
_SURE = 1e-12
# Weights below which the six parameters of a Gabor filter fit anything.
_WAVE = 13
# Weights along one axis from which on a derivative of a Gaussian has more ratios than sigma and scale fit, and the
# share of the largest weight within which fewer have to agree.
_FREE, _FINE = 7, 1e-7

derivative = lru_cache(maxsize=256)(differences.derivative)


def identity_or_shift(target: Target) -> Iterator[Kernel]:
    """Yield the identity or a shift for the largest weight."""
    place = np.unravel_index(int(np.abs(target.weights).argmax()), target.weights.shape)
    rows, columns = (int(anchor - at) for anchor, at in zip(target.anchor, place))
    yield smoothing.shift(rows, columns) if rows or columns else smoothing.identity()


def boxes(target: Target) -> Iterator[Kernel]:
    """Yield the mean over the bounding rectangle."""
    yield smoothing.box(target.extent())


def binomials(target: Target) -> Iterator[Kernel]:
    """Yield the binomial with the closest marginals."""
    patch = target.patch(target.sizes()[0])
    size = []
    for marginal in (patch.sum(axis=1), patch.sum(axis=0)):
        whole = len(marginal)
        lengths = range(whole, 0, -2)
        padded = [np.pad(np.array(pascal(n)) / 2.0 ** (n - 1), (whole - n) // 2) for n in lengths]
        size.append(lengths[int(np.argmin([np.abs(row - marginal).max() for row in padded]))])
    yield smoothing.binomial(size)


def finite_differences(target: Target) -> Iterator[Kernel]:
    """Yield one-dimensional derivatives of up to nine weights."""
    extent = target.extent()
    if min(extent) != 1:
        return
    axis = int(extent[1] > 1)
    if max(extent) == 2:
        yield differences.difference(axis, "forward")
        yield differences.difference(axis, "backward")
    # The outermost weights of accurate second derivatives are negligible: also try two more.
    for length, order in product({max(extent), min(max(extent) + 2, 9)}, range(1, 5)):
        central = length + 1 - 2 * ((order + 1) // 2)
        if 1 < length <= 9 and central >= 2 and central % 2 == 0:
            yield from scaled(target, partial(derivative, order, central, axis))
        if order < length <= 9:
            for scheme in ("forward", "backward"):
                yield from scaled(target, partial(derivative, order, length - order, axis, 1.0, scheme))


def three_by_three(target: Target) -> Iterator[Kernel]:
    """Yield the classical 3×3 edge detectors."""
    if target.extent() != (3, 3):
        return
    for neighbours in (4, 8):
        yield from scaled(target, partial(edges.laplacian, neighbours))
    for family in (edges.prewitt, edges.scharr):
        for axis in (1, 0):
            yield from scaled(target, partial(family, axis))


def sobels(target: Target) -> Iterator[Kernel]:
    """Yield Sobel derivatives and their Laplacian, 3×3 to 7×7."""
    size = max(target.extent())
    if size not in (3, 5, 7) or min(target.extent()) != size:
        return
    for order, axis in product(range(1, min(size, 5)), (1, 0)):
        yield from scaled(target, partial(edges.sobel, axis, size, order))
    yield from scaled(target, partial(edges.sobel_laplacian, size))


def two_by_two(target: Target) -> Iterator[Kernel]:
    """Yield emboss and Roberts: a pixel minus a diagonal neighbour."""
    if target.extent() == (2, 2):
        for direction in product((1, -1), (-1, 1)):
            yield edges.emboss(direction)
        for diagonal in ("main", "anti"):
            yield from scaled(target, partial(edges.roberts, diagonal))


def sharpen_or_smooth(target: Target) -> Iterator[Kernel]:
    """Yield the identity minus a multiple of a Laplacian: sharpening, or smoothing where the multiple is negative."""
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
    """Yield small integers on concentric square rings."""
    size = max(target.extent())
    if size not in (5, 7):
        return
    patch, numbers = target.patch((size, size)), smoothing.ring_numbers(size // 2)
    means = np.array([patch[numbers == ring].mean() for ring in range(size // 2 + 1)])
    if means[-1] > 0:
        whole = np.rint(means / means[-1]) + 0.0
        if whole.min() >= 0 and whole.max() <= 256:
            yield smoothing.rings(whole.tolist())


def gaussians(target: Target) -> Iterator[Kernel]:
    """Yield Gaussians with the same sigma along both axes, and the smallest B-splines, which are near to some."""
    if target.extent() in ((3, 3), (5, 5)):
        yield from (bspline(degree) for degree in (range(2, 4) if target.extent() == (3, 3) else range(4, 6)))
    for size, marginals, _ in _gaussian_sizes(target):
        if min(size) > 1:
            sigma = minimise(partial(_misfit, marginals), 0.15, 2.0 * max(size))
            yield (sampled := _rounded(target, size, sigma))
            if _exact(target, sampled):
                return
            yield from _other_methods(target, sampled, (sigma, sigma))


def elliptic_gaussians(target: Target) -> Iterator[Kernel]:
    """Yield Gaussians with two sigmas, and those along one axis only."""
    for size, _, sigmas in _gaussian_sizes(target):
        yield (sampled := _rounded(target, size, *sigmas))
        if _exact(target, sampled):
            return
        yield from _other_methods(target, sampled, sigmas)


def fixed_point_gaussians(target: Target) -> Iterator[Kernel]:
    """Yield Gaussians in the fixed point of OpenCV for 8-bit images."""
    # Rounding may turn the outermost weights to 0: also try a larger size.
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
    """Yield disks; the largest weight gives the area to within the tolerance."""
    rows, columns = target.extent()
    if rows != columns or rows % 2 == 0 or rows < 3 or not target.sums_to_one:
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
    """Yield unsharp masks with box, binomial and Gaussian blurs."""
    centre = target.place(smoothing.identity())
    if centre is None or min(target.extent()) < 3 or not target.sums_to_one:
        return
    # Of a blur the centre falls shortest of the identity: no mean of the differences is below it, no amount above 0.
    mine, identity, _ = target.against(centre)
    if (mine - identity).min() == (mine - identity)[identity > 0].min():
        return
    for size in target.sizes():
        if any(n % 2 == 0 for n in size):
            continue
        families: dict[sharpening.Blur, Callable[..., Kernel]] = {"box": smoothing.box, "binomial": smoothing.binomial}
        for blur, family in families.items():
            placed = target.place(family(size))
            if placed is not None:
                amount, error = target.strength(centre - placed, centre)
                for value in dict.fromkeys([tidy(amount, error), amount]):
                    if value > 0:
                        yield sharpening.unsharp(None, value, size, blur)
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
    """Yield derivatives of a Gaussian, of up to sixth order in all, and its Laplacian, of five weights and more."""
    total = np.abs(target.weights).sum()
    if max(target.extent()) < 5 or abs(target.weights.sum()) > 0.1 * total:
        return
    for size in target.sizes():
        patch = target.patch(size)
        signs = parity(patch, 0), parity(patch, 1)
        if not all(signs):
            continue
        peak = np.unravel_index(int(np.abs(patch).argmax()), patch.shape)
        lines = patch[:, peak[1]], patch[peak[0]]
        if unexplained(patch, np.outer(*lines)) < 0.02:
            fits: list[Kernel] = []
            for normalise in (True, False):
                found = [_axis_derivative(line, sign, normalise) for line, sign in zip(lines, signs)]
                if found[0] and found[1]:
                    fits += _derivatives(target, size, found[0], found[1], normalise)
            fits = [one for one in fits if min(size) > 1 or max(size) >= _FREE or _is_meant(target, one)]
            yield from sorted(fits, key=_complexity)
        elif signs == (1, 1) and min(size) > 2:
            yield from sorted(_laplacians(target, patch), key=_complexity)


def _is_meant(target: Target, kernel: Kernel) -> bool:
    """Return whether few weights, which some sigma always gives, are those of a sigma of two decimals.

    Between 0.3 and 5 there are 470 sigmas of two decimals, of two orders, and the ratios of wide ones differ by a
    thousandth and less: one that is known to one in ten million meets one of them in one of a thousand kernels.
    """
    placed = target.place(kernel)
    if placed is None or _complexity(kernel)[1] or target.spread > _FINE * target.peak:
        return False
    return target.deviation(placed)[1] <= _FINE * target.peak


def _complexity(kernel: Kernel) -> tuple[bool, bool]:
    """Return whether the scale is neither whole nor one over a whole number, and whether a sigma has many decimals."""
    scale, sigma = float(kernel.parameters["scale"]), kernel.parameters["sigma"]
    odd = all(abs(value - round(value)) > 1e-6 or not round(value) for value in (scale, 1 / scale))
    return odd, any(round(value, 2) != value for value in (sigma if isinstance(sigma, tuple) else (sigma,)))


def _axis_derivative(line: Weights, sign: int, normalise: bool) -> tuple[int, float] | None:
    """Return the order and sigma of the derivative of a Gaussian that is closest to weights along an axis."""
    if len(line) == 1:
        return 0, 1.0
    best: tuple[float, int, float] = (0.02, 0, 0.0)
    for order in range(0 if sign > 0 else 1, min(_ORDERS, len(line) - 1) + 1, 2):

        def misfit(sigma: float, order: int = order) -> float:
            try:
                return unexplained(line, derivative_of_gaussian(sigma, len(line), order, normalise))
            except ArithmeticError:
                return 1.0

        rough = min(np.geomspace(0.3, len(line), 12).tolist(), key=misfit)
        # A family with this much unexplained energy at its best does not fit.
        if misfit(rough) < 0.3:
            sigma = minimise(misfit, rough / 1.5, rough * 1.5)
            best = min(best, (misfit(sigma), order, sigma))
    return (best[1], best[2]) if best[2] else None


def _derivatives(
    target: Target, size: tuple[int, int], down: tuple[int, float], right: tuple[int, float], normalise: bool
) -> Iterator[Kernel]:
    """Yield derivatives of a Gaussian of these orders, with one sigma where those of both axes agree, or with two."""
    orders = down[0], right[0]
    if not any(orders):
        return
    sigmas = down[1], right[1]
    family = partial(edges.gaussian_derivative, order=orders, size=size, normalise=normalise)
    if min(size) == 1 or abs(sigmas[0] - sigmas[1]) < 0.02 * max(sigmas):
        common = right[1] if size[0] == 1 else down[1] if size[1] == 1 else (sigmas[0] + sigmas[1]) / 2
        for value in dict.fromkeys([round(common, 2), common]):
            yield from scaled(target, partial(family, value))
    for values in dict.fromkeys([(round(sigmas[0], 2), round(sigmas[1], 2)), sigmas]):
        if values[0] != values[1]:
            yield from scaled(target, partial(family, values))


def _laplacians(target: Target, patch: Weights) -> Iterator[Kernel]:
    """Yield Laplacians of a Gaussian."""
    if patch.shape[0] == patch.shape[1] and unexplained(patch, patch.T) > 0.02:
        return
    for normalise in (True, False):

        def misfit(sigma: float, normalise: bool = normalise) -> float:
            try:
                return unexplained(patch, edges.log(sigma, size=patch.shape, normalise=normalise).weights)
            except ArgumentError:
                return 1.0

        rough = min(np.geomspace(0.3, max(patch.shape), 12).tolist(), key=misfit)
        if misfit(rough) < 0.3:
            sigma = minimise(misfit, rough / 1.5, rough * 1.5)
            family = partial(edges.log, size=patch.shape, normalise=normalise)
            for value in dict.fromkeys([round(sigma, 2), sigma]):
                yield from scaled(target, partial(family, value))


def directional_masks(target: Target) -> Iterator[Kernel]:
    """Yield the 3×3 detectors of lines, corners and diagonal edges."""
    if target.extent() != (3, 3) or not target.sums_to_zero:
        return
    for angle in (0, 90, 45, 135):
        yield from scaled(target, partial(directional.line, angle))
    for direction in product((1, -1), (1, -1)):
        yield from scaled(target, partial(directional.corner, direction))
    for direction, weighting in product(((1, 1), (1, -1)), ("sobel", "prewitt")):
        yield from scaled(target, partial(directional.diagonal, direction, weighting))


def steered_edges(target: Target) -> Iterator[Kernel]:
    """Yield weighted sums of the two Sobel derivatives of one size."""
    size = max(target.extent())
    if not 3 <= size <= 31 or not target.sums_to_zero:
        return
    # The corner weights of large ones are negligible: also try two more.
    for n in (size, size + 2):
        if n % 2 == 0:
            continue
        parts = [target.place(edges.sobel(axis, n)) for axis in (0, 1)]
        if parts[0] is None or parts[1] is None:
            continue
        (down, error), (right, _) = (target.strength(part) for part in parts if part is not None)
        length = math.hypot(down, right)
        if not length:
            continue
        unit = directional.edge((0, 1), n).weights[n // 2, n - 1] / edges.sobel(1, n).weights[n // 2, n - 1]
        placed = target.place(directional.edge((down, right), n, length / unit))
        if placed is None or target.deviation(placed)[1] > 0.01 * target.peak:
            continue
        for direction in dict.fromkeys([_simple(down, right, error), (down / length, right / length)]):
            for scale in dict.fromkeys([tidy(length / unit, error / unit), length / unit]):
                yield directional.edge(direction, n, scale)


def motions(target: Target) -> Iterator[Kernel]:
    """Yield motion blurs; moments of the weights give length and angle."""
    weights = target.weights
    rows, columns = target.extent()
    few = np.count_nonzero(np.abs(weights) > target.tolerance + 1e-6 * target.peak)
    if max(rows, columns) < 3 or few > 3 * (rows + columns) or weights.min() < -target.spread - 1e-6 * target.peak:
        return
    if abs(float(weights.sum()) - 1) > 1e-3 + float(target.tolerance.sum()):
        return
    patch = target.patch((rows | 1, columns | 1))
    down, right = (np.arange(n) - n // 2 for n in patch.shape)
    squares = [patch.sum(axis=1) @ down**2, patch.sum(axis=0) @ right**2]
    turn = 0.5 * math.degrees(math.atan2(2 * (down @ patch @ right), squares[1] - squares[0]))
    length = math.sqrt(12 * max(squares[0] + squares[1], 0.0) + 1.5)

    def line(values: NDArray[np.float64]) -> Sequence[Weights]:
        return (centred(blurs.motion(float(values[0]), float(values[1])).weights, patch.shape),)

    # The derivative of a weight jumps where the line enters a pixel: use several starts.
    box = ((0.5, 2 * max(patch.shape)), (-720, 720))
    fits = [refine(line, (length * factor, turn), box, patch, 0.2, 15) for factor in (1.0, 0.97, 1.03)]
    best = min(fits, key=lambda fit: fit[2])
    if best[2] < 1e-2:
        yield simplest(target, blurs.motion, [float(best[0][0]), below(best[0][1], 180)])


def steerables(target: Target) -> Iterator[Kernel]:
    """Yield derivatives of a Gaussian of orders 1 to 6, along any direction, and their quadrature partners."""
    for patch, down, right in _waves(target):
        even = float((patch * patch[::-1, ::-1]).sum() / (patch**2).sum())
        if abs(even) < 0.99 or abs(patch.sum()) > 0.1 * np.abs(patch).sum():
            continue
        turn = math.degrees(math.atan2(down, right)) % 180
        if min(patch.shape) < 3 or patch.size < 15:
            continue
        shape = patch.shape[0], patch.shape[1]
        likely = []
        for order, partner in product(range(1, _ORDERS + 1), (False, True)):
            if (order % 2 == 0) == ((even > 0) == partner) or max(shape) <= order + partner:
                continue
            # Samples are quick to build, and near enough to start from.
            build: Callable[..., Kernel] = partial(_quadrature if partner else _steerable, order, shape, False)
            # The spectrum |f|^n exp(-2 pi^2 sigma^2 f^2) peaks at sqrt(n) / (2 pi sigma).
            sigma = max(math.sqrt(order) / (2 * math.pi * math.hypot(down, right)), 0.2)
            try:
                cost = unexplained(patch, build(turn, sigma, 1.0).weights)
            except ArgumentError:
                continue
            likely.append((cost, order, partner, build, sigma))
        for _, order, partner, build, sigma in sorted(likely, key=lambda one: one[0])[:_LIKELY]:
            turned, width, factor, left = _steered(build, patch, turn, sigma, 0.3)
            fits = []
            # Up to the first order samples and corrected weights differ by a factor.
            if left < 0.05 and not partner and (left > _SURE or order == 1):
                exact = partial(_steerable, order, shape, True)
                fine = _steered(exact, patch, turned, width, 0.05)
                if fine[3] < 1e-2:
                    fits.append(_turned(target, exact, order % 2 == 1, *fine[:3]))
                left = left if fine[3] > _SURE else _SURE
            if left < 1e-2:
                fits.append(_turned(target, build, (order + partner) % 2 == 1, turned, width, factor))
            yield from sorted(fits, key=_complexity)
            if left <= _SURE:
                return


def _steered(
    build: Callable[..., Kernel], patch: Weights, turn: float, sigma: float, enough: float
) -> tuple[float, float, float, float]:
    """Return the angle, sigma and scale of the best fit of a steerable family, and the unexplained share."""

    def family(values: NDArray[np.float64]) -> Sequence[Weights]:
        return (build(float(values[0]), float(values[1]), 1.0).weights,)

    box = ((-720, 720), (0.2, 2 * max(patch.shape)))
    try:
        (turned, width), parts, left = refine(family, (turn, sigma), box, patch, enough)
    except ArgumentError:
        return turn, sigma, 0.0, 1.0
    return float(turned), float(width), float(parts[0]), left


def _turned(
    target: Target, build: Callable[..., Kernel], odd: bool, turned: float, width: float, factor: float
) -> Kernel:
    # A rotation by 180 degrees changes the sign of odd kernels.
    half = -1.0 if odd and round(below(turned, 360), 6) >= 180 else 1.0
    return simplest(target, build, [below(turned, 180), width, half * factor])


def gabors(target: Target) -> Iterator[Kernel]:
    """Yield Gabor filters and, where one comes near, log-Gabor filters."""
    for patch, down, right in _waves(target):
        # Six parameters would fit almost any smaller kernel.
        held = np.count_nonzero(np.abs(patch) > 1e-3 * np.abs(patch).max())
        if min(patch.shape) < 3 or patch.size < 25 or held < _WAVE:
            continue
        shape = patch.shape[0], patch.shape[1]
        length = math.hypot(down, right)
        direction = down / length, right / length
        sigma, across = (max(0.4, math.sqrt(2 * spread)) for spread in _spreads(patch, direction))

        def waves(values: NDArray[np.float64], shape: tuple[int, int] = shape, zero: bool = False) -> Sequence[Weights]:
            frequency = math.hypot(values[0], values[1]) + 1e-12
            window, turns = gabor_parts(
                shape,
                (values[0] / frequency, values[1] / frequency),
                1 / frequency,
                math.exp(values[2]),
                math.exp(values[3]),
            )
            even = np.cos(turns)
            if zero:
                even = even - (window * even).sum() / window.sum()
            return window * even, -window * np.sin(turns)

        start = (down, right, math.log(sigma), math.log(sigma / across))
        box = ((-0.5, 0.5), (-0.5, 0.5), (math.log(0.3), math.log(2 * max(shape))), (-3, 3))
        values, parts, left = refine(waves, start, box, patch, 0.5)
        near = left < 0.15
        for zero in (False, True):
            if zero and near:
                values, parts, left = refine(partial(waves, zero=True), values.tolist(), box, patch, 0.5)
            if left < 1e-2 and 1e-3 < math.hypot(values[0], values[1]) <= 0.5:
                wavelength, orientation, phase, scale = _wave(values, parts)
                build = partial(_gabor, shape, zero or None)
                found = [wavelength, orientation, math.exp(values[2]), math.exp(values[3]), phase, scale]
                yield simplest(target, build, found)
                # Weights that sum to zero are those of the corrected wave.
                if not target.sums_to_zero:
                    break
        if near:
            yield from _log_gabors(target, patch, values)


def _log_gabors(target: Target, patch: Weights, near: NDArray[np.float64]) -> Iterator[Kernel]:
    """Yield the closest log-Gabor filter, starting from a Gabor fit."""
    shape = patch.shape[0], patch.shape[1]
    # Start from the bandwidths of the Gabor filter.
    frequency, sigma = math.hypot(near[0], near[1]), math.exp(near[2])
    half = math.sqrt(math.log(2) / 2) / (math.pi * sigma)
    half_across = half * math.exp(near[3])
    octaves = math.log2((frequency + half) / max(frequency - half, 0.2 * frequency))
    angle = 2 * math.degrees(math.atan(half_across / frequency))

    def waves(values: NDArray[np.float64], zero: bool = True) -> Sequence[Weights]:
        frequency = math.hypot(values[0], values[1]) + 1e-12
        direction = values[0] / frequency, values[1] / frequency
        width, angle = math.exp(values[2]), math.exp(values[3])
        wave = log_gabor_wave(shape, direction, 1 / frequency, width, angle)
        wave = zero_sum(wave) if zero else wave
        return wave.real, -wave.imag

    start = [near[0], near[1], math.log(octaves), math.log(angle)]
    box = ((-0.5, 0.5), (-0.5, 0.5), (math.log(0.1), math.log(5)), (math.log(2), math.log(179)))
    for zero in (True, False):
        values, parts, left = refine(partial(waves, zero=zero), start, box, patch, 0.2)
        if left < 1e-2 and 1e-3 < math.hypot(values[0], values[1]) <= 0.5:
            wavelength, orientation, phase, scale = _wave(values, parts)
            build = partial(_log_gabor, shape, zero)
            bandwidths = math.exp(values[2]), math.exp(values[3])
            yield (found := simplest(target, build, [wavelength, orientation, *bandwidths, phase, scale]))
            if _exact(target, found):
                return
            start = values.tolist()


GENERATORS: tuple[Generator, ...] = (
    identity_or_shift,
    boxes,
    binomials,
    finite_differences,
    three_by_three,
    sobels,
    two_by_two,
    directional_masks,
    shifts,
    masks,
    sharpen_or_smooth,
    square_rings,
    steered_edges,
    gaussians,
    elliptic_gaussians,
    fixed_point_gaussians,
    disks,
    motions,
    oriented_gaussians,
    reductions,
    sincs,
    round_blurs,
    unsharp_masks,
    gaussian_derivatives,
    gaussian_differences,
    steerables,
    gabors,
)


def _exact(target: Target, kernel: Kernel) -> bool:
    placed = target.place(kernel)
    return placed is not None and target.deviation(placed)[1] <= 1e-6 * target.peak


def _other_methods(target: Target, sampled: Kernel, sigmas: Sequence[float]) -> Iterator[Kernel]:
    """Yield the integrated and the discrete Gaussian of that size if it fits exactly, unlike the sampled one."""
    size = sampled.shape
    placed = target.place(sampled)
    if placed is None or any(n % 2 == 0 for n in size):
        return
    # The three methods differ by less than a tenth of the largest weight.
    if target.deviation(placed)[1] > 0.1 * target.peak:
        return
    patch = target.patch(size)
    for method, spread in (("integrated", 1 / 12), ("discrete", 0.0)):
        build = partial(_gaussian, size, method)

        def blur(values: Weights, line: Callable[[float, int], Weights] = METHODS[method]) -> Sequence[Weights]:
            return (np.outer(*map(line, values.tolist(), size)),)

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
    """Return an array with 1 in the middle and 0 elsewhere."""
    impulse = np.zeros(size)
    impulse[size[0] // 2, size[1] // 2] = 1
    return impulse


def _factor(rest: Weights, step: Weights) -> float:
    norm = float((step**2).sum())
    return float((rest * step).sum()) / norm if norm else 0.0


def _rest(rest: Weights, step: Weights) -> float:
    return float(((rest - _factor(rest, step) * step) ** 2).sum())


def _misfit(marginals: Sequence[Weights], sigma: float) -> float:
    return sum(float(((m - sampled_gaussian(sigma, len(m))) ** 2).sum()) for m in marginals)


def _rounded(target: Target, size: tuple[int, int], *sigmas: float) -> Kernel:
    """Return the Gaussian with sigma rounded to the fewest decimals that the tolerance allows."""
    exact = smoothing.gaussian(sigmas if len(sigmas) == 2 else sigmas[0], size)
    allowed = max(target.spread / 2, 1e-6 * target.peak)
    for decimals in (1, 2, 3, 4):
        few = [max(round(sigma, decimals), 0.1) for sigma in sigmas]
        kernel = smoothing.gaussian(few if len(few) == 2 else few[0], size)
        if np.abs(kernel.weights - exact.weights).max() <= allowed:
            return kernel
    return exact


@lru_cache(maxsize=1)
def _gaussian_sizes(target: Target) -> list[tuple[tuple[int, int], list[Weights], list[float]]]:
    """Return each size to try, the marginals along rows and columns, and the best sigma for each."""
    found = []
    if target.sums_to_one and max(target.extent()) > 2:
        for size in target.sizes():
            patch = target.patch(size)
            marginals = [patch.sum(axis=1), patch.sum(axis=0)]
            sigmas = [minimise(partial(_misfit, [m]), 0.15, 2.0 * len(m)) if len(m) > 1 else 0.0 for m in marginals]
            found.append((size, marginals, sigmas))
    return found


def _fixed_sigmas(marginal: Weights, sigma: float) -> set[float]:
    """Return the sigmas near this one whose 8-bit fixed-point weights are these."""
    if len(marginal) == 1:
        return {0.0}
    wanted = np.rint(marginal * 256)
    if len(marginal) % 2 == 0 or np.abs(wanted - marginal * 256).max() > 0.25:
        return set()
    trials = {round(sigma * factor, 3) for factor in np.linspace(0.9, 1.1, 401).tolist()}
    trials |= {round(trial, decimals) for trial in trials for decimals in (1, 2)}
    likely = np.array(sorted(trial for trial in trials if trial > 0))
    places = np.arange(len(marginal)) - len(marginal) // 2
    samples = np.exp(-0.5 * (places / likely[:, None]) ** 2)
    half = slice(0, len(marginal) // 2)
    # Rounding carries its errors inwards: those up to any weight add up to half a unit at most.
    errors = np.cumsum(256 * samples[:, half] / samples.sum(axis=1, keepdims=True) - wanted[half], axis=1)
    return {
        trial
        for trial in likely[(np.abs(errors) < 0.5 + 1e-9).all(axis=1)].tolist()
        if np.array_equal(fixed_point(sampled_gaussian(trial, len(marginal)), 8) * 256, wanted)
    }


def _shortest(values: set[float]) -> float:
    """Return the value with the fewest decimals; of several, the one nearest to the mean."""
    mean = sum(values) / len(values)
    return min(values, key=lambda value: (len(f"{value:g}".partition(".")[2]), abs(value - mean)))


def _waves(target: Target) -> Iterator[tuple[Weights, float, float]]:
    """Yield a patch of each odd size to try, with the peak of its spectrum in cycles per pixel down and right."""
    if not 3 <= max(target.extent()) <= _LARGEST:
        return
    for size in target.sizes():
        if size[0] % 2 and size[1] % 2 and 3 <= max(size) <= _LARGEST:
            patch = target.patch(size)
            n = max(32, 2 ** math.ceil(math.log2(2 * max(size))))
            spectrum = np.abs(np.fft.rfft2(patch, (n, n)))
            peak = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
            down, right = np.fft.fftfreq(n)[peak[0]], peak[1] / n
            if down or right:
                yield patch, float(down), float(right)


def _spreads(patch: Weights, direction: tuple[float, float]) -> tuple[float, float]:
    """Return the variances of the squared weights along a direction and across it."""
    energy = patch**2 / (patch**2).sum()
    down, right = (np.arange(n) - n // 2 for n in patch.shape)
    along = np.add.outer(direction[0] * down, direction[1] * right)
    across = np.add.outer(direction[1] * down, -direction[0] * right)
    return float((energy * along**2).sum()), float((energy * across**2).sum())


def _wave(values: NDArray[np.float64], parts: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return wavelength, orientation from 0 to below 180, phase and scale of a fitted wave."""
    orientation = math.degrees(math.atan2(values[0], values[1]))
    phase = math.degrees(math.atan2(parts[1], parts[0]))
    # The same wave in the opposite direction has the opposite phase.
    if round(below(orientation, 360), 6) >= 180:
        phase = -phase
    orientation = below(orientation, 180)
    if round(phase, 6) <= -180:
        phase += 360
    return 1 / math.hypot(values[0], values[1]), orientation, phase, math.hypot(parts[0], parts[1])


def _gabor(shape: tuple[int, int], normalise: bool | None, *values: float) -> Kernel:
    wavelength, orientation, sigma, aspect, phase, scale = values
    return gabor(wavelength, orientation, sigma, None, aspect, phase, shape, scale=scale, normalise=normalise)


def _log_gabor(shape: tuple[int, int], normalise: bool, *values: float) -> Kernel:
    wavelength, orientation, bandwidth, angular_bandwidth, phase, scale = values
    return log_gabor(
        wavelength, orientation, bandwidth, angular_bandwidth, phase, shape, scale=scale, normalise=normalise
    )


def _steerable(
    order: int, shape: tuple[int, int], normalise: bool, orientation: float, sigma: float, scale: float
) -> Kernel:
    return steerable(order, orientation, sigma, shape, scale=scale, normalise=normalise)


def _quadrature(
    order: int, shape: tuple[int, int], normalise: bool, orientation: float, sigma: float, scale: float
) -> Kernel:
    return quadrature(order, orientation, sigma, shape, scale=scale)


def _simple(down: float, right: float, error: float) -> tuple[float, float]:
    """Return a direction as its smallest integers, or as the unit vector if none up to 9 fit."""
    length = math.hypot(down, right)
    for longest in range(1, 10):
        largest = max(abs(down), abs(right)) / longest
        trial = round(down / largest), round(right / largest)
        if abs(trial[0] * right - trial[1] * down) <= (error + 1e-9 * length) * math.hypot(*trial):
            return trial
    return down / length, right / length
