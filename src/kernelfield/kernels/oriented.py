"""Guesses from families that have a direction: edges, lines, corners, motion, steerable and Gabor filters."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from kernelfield.kernels import blurs, directional, edges, gabor, steerable
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.refine import refine, simplest
from kernelfield.kernels.target import Target, centred, scaled, tidy

# Wider than this the spectrum is not searched: no filter of the catalogue is as wide by default.
_WIDEST = 129
_ORDERS = 6


def whole_numbers(target: Target) -> Iterator[Kernel]:
    """Lines, corners and diagonal edges of nine weights."""
    if target.extent() != (3, 3) or not _sums_to_zero(target):
        return
    for angle in (0, 90, 45, 135):
        yield from scaled(target, partial(directional.line, angle))
    for direction in product((1, -1), (1, -1)):
        yield from scaled(target, partial(directional.corner, direction))
    for direction, weighting in product(((1, 1), (1, -1)), ("sobel", "prewitt")):
        yield from scaled(target, partial(directional.diagonal, direction, weighting))


def steered_edges(target: Target) -> Iterator[Kernel]:
    """Sums of the two Sobel derivatives of one size."""
    size = max(target.extent())
    if not 3 <= size <= 31 or not _sums_to_zero(target):
        return
    # The corners of large ones are negligible: try two more.
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
    """Mean along a line, whose moments say where it runs."""
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

    # Where the line enters a pixel the slope of a weight jumps; several starts get past.
    box = ((0.5, 2 * max(patch.shape)), (-720, 720))
    fits = [refine(line, (length * factor, turn), box, patch, 0.2, 15) for factor in (1.0, 0.97, 1.03)]
    best = min(fits, key=lambda fit: fit[2])
    if best[2] < 1e-2:
        yield simplest(target, blurs.motion, [float(best[0][0]), _below(best[0][1], 180)])


def steerables(target: Target) -> Iterator[Kernel]:
    """Derivatives of a Gaussian of orders 1 to 6, along any direction."""
    for patch, down, right in _waves(target):
        parity = float((patch * patch[::-1, ::-1]).sum() / (patch**2).sum())
        if abs(parity) < 0.99 or abs(patch.sum()) > 0.1 * np.abs(patch).sum():
            continue
        turn = math.degrees(math.atan2(down, right)) % 180
        if min(patch.shape) < 3 or patch.size < 15:
            continue
        for order in range(1 if parity < 0 else 2, _ORDERS + 1, 2):
            if max(patch.shape) <= order:
                break

            def family(
                values: NDArray[np.float64], order: int = order, shape: tuple[int, ...] = patch.shape
            ) -> Sequence[Weights]:
                return (steerable.steerable(order, float(values[0]), float(values[1]), shape).weights,)

            # The spectrum |f|^n exp(-2 pi^2 sigma^2 f^2) peaks here.
            box = ((-720, 720), (0.2, 2 * max(patch.shape)))
            sigma = math.sqrt(order) / (2 * math.pi * math.hypot(down, right))
            (turned, width), parts, left = refine(family, (turn, sigma), box, patch, 0.3)
            if left < 1e-2:
                # Half a turn changes the sign of odd orders.
                half = -1.0 if order % 2 and round(_below(turned, 360), 6) >= 180 else 1.0
                found = [_below(turned, 180), float(width), half * float(parts[0])]
                yield simplest(target, partial(_steerable, order, patch.shape), found)


def gabors(target: Target) -> Iterator[Kernel]:
    """Gabor filters and, where one of those comes near, log-Gabor filters."""
    for patch, down, right in _waves(target):
        # Fewer weights than these fit too many of six parameters.
        if min(patch.shape) < 3 or patch.size < 25:
            continue
        shape = patch.shape[0], patch.shape[1]
        length = math.hypot(down, right)
        direction = down / length, right / length
        sigma, across = (max(0.4, math.sqrt(2 * spread)) for spread in _spreads(patch, direction))

        def waves(values: NDArray[np.float64], shape: tuple[int, int] = shape) -> Sequence[Weights]:
            frequency = math.hypot(values[0], values[1]) + 1e-12
            window, turns = gabor.gabor_parts(
                shape,
                (values[0] / frequency, values[1] / frequency),
                1 / frequency,
                math.exp(values[2]),
                math.exp(values[3]),
            )
            return window * np.cos(turns), -window * np.sin(turns)

        start = (down, right, math.log(sigma), math.log(sigma / across))
        box = ((-0.5, 0.5), (-0.5, 0.5), (math.log(0.3), math.log(2 * max(shape))), (-3, 3))
        values, parts, left = refine(waves, start, box, patch, 0.5)
        if left < 1e-2 and 1e-3 < math.hypot(values[0], values[1]) <= 0.5:
            wavelength, orientation, phase, scale = _wave(values, parts)
            build = partial(_gabor, shape)
            found = [wavelength, orientation, math.exp(values[2]), math.exp(values[3]), phase, scale]
            yield simplest(target, build, found)
        if left < 0.15:
            yield from _log_gabors(target, patch, values)


def _log_gabors(target: Target, patch: Weights, near: NDArray[np.float64]) -> Iterator[Kernel]:
    """Propose the log-Gabor filter that is closest, from the Gabor filter near by."""
    shape = patch.shape[0], patch.shape[1]
    # From the bandwidths of the Gabor filter.
    frequency, sigma = math.hypot(near[0], near[1]), math.exp(near[2])
    half = math.sqrt(math.log(2) / 2) / (math.pi * sigma)
    half_across = half * math.exp(near[3])
    octaves = math.log2((frequency + half) / max(frequency - half, 0.2 * frequency))
    angle = 2 * math.degrees(math.atan(half_across / frequency))

    def waves(values: NDArray[np.float64]) -> Sequence[Weights]:
        frequency = math.hypot(values[0], values[1]) + 1e-12
        direction = values[0] / frequency, values[1] / frequency
        width, angle = math.exp(values[2]), math.exp(values[3])
        wave = gabor.log_gabor_wave(shape, direction, 1 / frequency, width, angle)
        return wave.real, -wave.imag

    start = near[0], near[1], math.log(octaves), math.log(angle)
    box = ((-0.5, 0.5), (-0.5, 0.5), (math.log(0.1), math.log(5)), (math.log(2), math.log(179)))
    values, parts, left = refine(waves, start, box, patch, 0.2)
    if left < 1e-2 and 1e-3 < math.hypot(values[0], values[1]) <= 0.5:
        wavelength, orientation, phase, scale = _wave(values, parts)
        build = partial(_log_gabor, shape)
        yield simplest(target, build, [wavelength, orientation, math.exp(values[2]), math.exp(values[3]), phase, scale])


def _waves(target: Target) -> Iterator[tuple[Weights, float, float]]:
    """Yield each size to try, odd, as a patch, and where its spectrum is largest: cycles a pixel down and right."""
    if not 3 <= max(target.extent()) <= _WIDEST:
        return
    for size in target.sizes():
        if size[0] % 2 and size[1] % 2 and 3 <= max(size) <= _WIDEST:
            patch = target.patch(size)
            n = max(32, 2 ** math.ceil(math.log2(2 * max(size))))
            spectrum = np.abs(np.fft.rfft2(patch, (n, n)))
            peak = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
            down, right = np.fft.fftfreq(n)[peak[0]], peak[1] / n
            if down or right:
                yield patch, float(down), float(right)


def _spreads(patch: Weights, direction: tuple[float, float]) -> tuple[float, float]:
    """Return the variance of the squared weights along a direction and across it."""
    energy = patch**2 / (patch**2).sum()
    down, right = (np.arange(n) - n // 2 for n in patch.shape)
    along = np.add.outer(direction[0] * down, direction[1] * right)
    across = np.add.outer(direction[1] * down, -direction[0] * right)
    return float((energy * along**2).sum()), float((energy * across**2).sum())


def _wave(values: NDArray[np.float64], parts: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return wavelength, orientation from 0 to below 180, phase and scale of a fitted wave."""
    orientation = math.degrees(math.atan2(values[0], values[1]))
    phase = math.degrees(math.atan2(parts[1], parts[0]))
    # The wave that runs the other way has the opposite phase.
    if round(_below(orientation, 360), 6) >= 180:
        phase = -phase
    orientation = _below(orientation, 180)
    if round(phase, 6) <= -180:
        phase += 360
    return 1 / math.hypot(values[0], values[1]), orientation, phase, math.hypot(parts[0], parts[1])


def _gabor(shape: tuple[int, int], *values: float) -> Kernel:
    wavelength, orientation, sigma, aspect, phase, scale = values
    return gabor.gabor(wavelength, orientation, sigma, None, aspect, phase, shape, scale=scale)


def _log_gabor(shape: tuple[int, int], *values: float) -> Kernel:
    wavelength, orientation, bandwidth, angular_bandwidth, phase, scale = values
    return gabor.log_gabor(wavelength, orientation, bandwidth, angular_bandwidth, phase, shape, scale=scale)


def _steerable(order: int, shape: tuple[int, int], orientation: float, sigma: float, scale: float) -> Kernel:
    return steerable.steerable(order, orientation, sigma, shape, scale=scale)


def _below(angle: float, end: float) -> float:
    """Return an angle from 0 to below `end`; a hair below 0, or below the end, is 0."""
    turned = float(angle) % end
    return 0.0 if end - turned < 1e-6 else turned


def _sums_to_zero(target: Target) -> bool:
    total = float(np.abs(target.weights).sum())
    return abs(float(target.weights.sum())) <= 1e-3 * total + float(target.tolerance.sum())


def _simple(down: float, right: float, error: float) -> tuple[float, float]:
    """Return the smallest whole numbers of that direction, or the unit vector if there are none up to 9."""
    length = math.hypot(down, right)
    for longest in range(1, 10):
        largest = max(abs(down), abs(right)) / longest
        trial = round(down / largest), round(right / largest)
        if abs(trial[0] * right - trial[1] * down) <= (error + 1e-9 * length) * math.hypot(*trial):
            return trial
    return down / length, right / length
