"""Candidates among kernels of sum one: shifts by fractions, kernels of resampling, Gaussians and round blurs.

Each search begins with what costs nothing: the sum, whether the weights are a product of two rows, or round.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from kernelfield.kernels import blurs, optics, resampling, smoothing
from kernelfield.kernels.fitting import below, centred, minimise, parity, refine, simplest, unexplained
from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.resampling import cubic_profile, lanczos_profile, samples, spline_profile
from kernelfield.kernels.target import Target

# Share of the energy that may be unexplained: where a search begins, and where it ends with a candidate.
_START, _END = 0.05, 1e-4
# Full width from which a pattern's integrals over pixels and its samples are the same.
_WIDE = 12.0
# Weights of the longest axis on which resampling is looked for, and side of the largest round blur.
_LONGEST, _LARGEST = 64, 129
# Share of the energy in the two largest neighbours of a shift: that of every interpolation is 0.95 and more.
_TOGETHER = 0.9


def shifts(target: Target) -> Iterator[Kernel]:
    """Yield shifts by fractions of a pixel, with each interpolation."""
    lines = _lines(target)
    if lines is None or not target.sums_to_one or min(map(_together, lines)) < _TOGETHER:
        return
    longest = max(target.extent())
    waves = any(line.min() < -1e-3 * line.max() for line in lines)
    for method, (_, reach) in resampling.INTERPOLATIONS.items():
        # All but two have weights below 0 between pixels.
        if longest > 2 * reach + 1 or not (waves or method in ("linear", "mitchell")):
            continue
        found = [_distance(line, anchor, method) for line, anchor in zip(lines, target.anchor)]
        if max(cost for _, cost in found) < _END:
            yield simplest(target, partial(smoothing.shift, method=method), [distance for distance, _ in found])


def _together(line: Weights) -> float:
    """Return the share of the energy in the two neighbours along an axis that have most of it."""
    energy = line**2 / float(line @ line)
    return float((energy[1:] + energy[:-1]).max()) if len(energy) > 1 else 1.0


def _distance(line: Weights, anchor: int, method: str) -> tuple[float, float]:
    """Return the shift along an axis with the closest weights, and the unexplained share."""
    places = np.arange(len(line)) - anchor
    peak = -float(places[int(np.abs(line).argmax())])

    def misfit(distance: float) -> float:
        weights, first = resampling.shifted_by(distance, method)
        return unexplained(line, _laid(weights, first, line, anchor))

    # Exactly whole pixels are tried first: between them the cost is smooth.
    trials = [peak, *(minimise(partial(_from, misfit, low), 1e-3, 1.0) + low for low in (peak - 1, peak))]
    best = min(trials, key=misfit)
    return best, misfit(best)


def _from(cost: Callable[[float], float], low: float, value: float) -> float:
    return cost(low + value)


def reductions(target: Target) -> Iterator[Kernel]:
    """Yield B-splines, cubic kernels and Lanczos kernels, of any width."""
    lines = _lines(target)
    if lines is None or not target.sums_to_one or not 3 <= max(target.extent()) <= _LONGEST:
        return
    line = lines[int(len(lines[1]) >= len(lines[0]))]
    if line.min() > -1e-3 * line.max():
        # Of bells the fourth moment tells the degree: the excess kurtosis of a B-spline is -6 / (5 (degree + 1)).
        places = np.arange(len(line)) - float(line @ np.arange(len(line)))
        variance = float(line @ places**2)
        excess = float(line @ places**4) / variance**2 - 3 if variance > 0 else 0.0
        degree = round(-1.2 / excess - 1) if excess < -0.15 else 0
        if 1 <= degree <= 7:
            found = _both(lines, target.anchor, partial(spline_profile, degree=degree), (degree + 1) / 2)
            if found is not None:
                yield simplest(target, partial(_bspline, degree), found)
        return
    for lobes in (2, 3, 4):
        found = _both(lines, target.anchor, partial(lanczos_profile, lobes=lobes), float(lobes))
        if found is not None:
            yield simplest(target, partial(_lanczos, lobes), found)
    # The cubic profile is linear in b and c: they are solved for on the longer axis, and the width searched.
    longest = int(len(lines[1]) >= len(lines[0]))
    if np.count_nonzero(np.abs(line) > 1e-3 * np.abs(line).max()) < 5:
        return
    for keys in (True, False):
        fit = _cubic(line, target.anchor[longest], keys)
        if fit is None:
            continue
        b, c = fit
        found = _both(lines, target.anchor, partial(cubic_profile, b=b, c=c), 2.0)
        if found is not None:
            yield simplest(target, _keys if keys else _mitchell, [*found, *([-c] if keys else [b, c])])


def _both(
    lines: Sequence[Weights], anchor: tuple[int, int], profile: resampling.Profile, reach: float
) -> list[float] | None:
    """Return the factors down and right, and the offsets, at which a profile fits the weights along both axes."""
    values = []
    for line, place in zip(lines, anchor):
        found = _width(line, place, profile, reach)
        if found is None:
            return None
        values.append(found)
    factors, offsets = [value[0] for value in values], [value[1] for value in values]
    if abs(factors[0] - factors[1]) < 1e-3 * max(factors):
        factors = [sum(factors) / 2] * 2
    return [*factors, *offsets]


def _width(line: Weights, anchor: int, profile: resampling.Profile, reach: float) -> tuple[float, float] | None:
    """Return the factor and the offset at which a profile fits weights along an axis, or None."""
    held = np.flatnonzero(np.abs(line) > 1e-6 * np.abs(line).max())
    if len(held) == 1 and held[0] == anchor:
        return 1.0, 0.0
    middle = float((np.abs(line) @ (np.arange(len(line)) - anchor)) / np.abs(line).sum())
    # The offset is a multiple of a half where pixels are reduced by a whole factor.
    nearest = round(2 * middle) / 2

    def shape(values: Weights) -> Sequence[Weights]:
        weights, first = samples(profile, reach, max(float(values[0]), 1.0), float(values[1]))
        return (_laid(weights, first, line, anchor),)

    span = (len(held) + 1) / (2 * reach)
    trials = [(factor, nearest) for factor in np.linspace(max(1.0, 0.6 * span), max(1.0, 1.3 * span) + 0.5, 15)]
    costs = [unexplained(line, shape(np.array(trial))[0]) for trial in trials]
    if min(costs) > _START:
        return None
    start = trials[int(np.argmin(costs))]
    box = ((0.99, 2.0 * len(line)), (-1.01, 1.01))
    values, _, left = refine(shape, start, box, line, _START)
    factor, offset = float(values[0]), float(values[1])
    # Between two widths with other ends the refinement may stop short.
    fine = minimise(partial(_cost, line, shape, offset), max(1.0, 0.97 * factor), 1.03 * factor)
    if _cost(line, shape, offset, fine) < left:
        factor, left = fine, _cost(line, shape, offset, fine)
    # The refinement may end a little outside the ranges of both.
    return (max(1.0, factor), float(np.clip(offset, -1.0, 1.0))) if left < _END else None


def _cost(line: Weights, shape: Callable[[Weights], Sequence[Weights]], offset: float, factor: float) -> float:
    return unexplained(line, shape(np.array([factor, offset]))[0])


def _cubic(line: Weights, anchor: int, keys: bool) -> tuple[float, float] | None:
    """Return b and c of the cubic profile that fits weights along an axis best, b = 0 for Keys' cubic, or None."""
    places = np.arange(len(line)) - anchor
    middle = round(2 * float((np.abs(line) @ places) / np.abs(line).sum())) / 2

    def parts(factor: float) -> tuple[Weights, Weights]:
        x = np.asarray((places - middle) / factor, dtype=np.float64)
        base, first = cubic_profile(x, 0.0, 0.0), cubic_profile(x, 1.0, 0.0) - cubic_profile(x, 0.0, 0.0)
        second = cubic_profile(x, 0.0, 1.0) - base
        columns = np.stack([base, second] if keys else [base, second, first], axis=1)
        return np.asarray(np.linalg.lstsq(columns, line, rcond=None)[0], dtype=np.float64), columns

    def misfit(factor: float) -> float:
        found, columns = parts(factor)
        return float(((columns @ found - line) ** 2).sum()) / float((line**2).sum())

    span = (len(np.flatnonzero(np.abs(line) > 1e-6 * np.abs(line).max())) + 1) / 4
    if span < 1:
        return None
    rough = min(np.linspace(max(1.0, 0.75 * span), 1.3 * span, 25).tolist(), key=misfit)
    factor = minimise(misfit, max(1.0, 0.96 * rough), 1.04 * rough)
    found, _ = parts(factor)
    if misfit(factor) > _END or not found[0] > 0:
        return None
    b, c = (0.0 if keys else float(found[2] / found[0])), float(found[1] / found[0])
    return (b, c) if abs(b) < 3 and abs(c) < 3 else None


def sincs(target: Target) -> Iterator[Kernel]:
    """Yield sincs in the windows of Kaiser and Hann."""
    if not target.sums_to_one or not 5 <= max(target.extent()) <= _LONGEST:
        return
    # The sinc may be 0 at the ends: also try two more.
    wider = [(rows + 2 * (rows > 1), columns + 2 * (columns > 1)) for rows, columns in target.sizes()]
    for size in dict.fromkeys([*target.sizes(), *wider]):
        patch = target.patch(size)
        if any(n % 2 == 0 for n in size) or parity(patch, 0) != 1 or parity(patch, 1) != 1:
            continue
        lines = patch.sum(axis=1), patch.sum(axis=0)
        if unexplained(patch, np.outer(*lines)) > _END:
            continue
        line = lines[int(size[1] >= size[0])]
        if line.min() > -1e-3 * line.max():
            continue

        def hann(values: Weights, n: int = len(line)) -> Sequence[Weights]:
            return (resampling.sinc(float(values[0]), (1, n), "hann").weights[0],)

        def kaiser(values: Weights, n: int = len(line)) -> Sequence[Weights]:
            return (resampling.sinc(float(values[0]), (1, n), "kaiser", abs(float(values[1]))).weights[0],)

        # The cutoff has half the response.
        waves = np.linspace(0.0, 0.5, 129)
        spectrum = np.cos(2 * np.pi * np.outer(waves, np.arange(len(line)) - len(line) // 2)) @ line
        low = np.flatnonzero(spectrum < 0.5)
        if not len(low) or not low[0]:
            continue
        cutoff = float(waves[low[0]])
        values, _, left = refine(hann, [cutoff], [(0.01, 0.499)], line, _START)
        if left < _END:
            yield simplest(target, partial(_sinc, size, "hann"), [float(values[0])])
        starts = [(cutoff, beta) for beta in (0.5, 3.0, 6.0, 9.0)]
        best = min(starts, key=lambda start: unexplained(line, kaiser(np.array(start))[0]))
        values, _, left = refine(kaiser, best, [(0.01, 0.499), (-0.1, 30.0)], line, _START)
        if left < _END:
            yield simplest(target, partial(_sinc, size, "kaiser"), [float(values[0]), abs(float(values[1]))])


def oriented_gaussians(target: Target) -> Iterator[Kernel]:
    """Yield Gaussians along any direction; the second moments give their axes."""
    weights = target.weights
    if not target.sums_to_one or min(target.extent()) < 3 or weights.min() < -target.spread - 1e-3 * target.peak:
        return
    for size in target.sizes():
        patch = target.patch(size)
        if any(n % 2 == 0 for n in size) or unexplained(patch, patch[::-1, ::-1]) > 1e-3:
            continue
        down, right = (np.arange(n) - n // 2 for n in size)
        total = patch.sum()
        second = np.array(
            [
                [patch.sum(axis=1) @ down**2, down @ patch @ right],
                [down @ patch @ right, patch.sum(axis=0) @ right**2],
            ]
        )
        values, axes = np.linalg.eigh(second / total)
        # Upright ones are those of two sigmas down and right.
        if values[0] <= 0.01 or abs(second[0, 1]) < 1e-3 * total:
            continue
        turn = math.degrees(math.atan2(axes[0, 1], axes[1, 1]))

        def shape(given: Weights, size: tuple[int, int] = size) -> Sequence[Weights]:
            return (blurs.oriented_gaussian(math.exp(given[0]), math.exp(given[1]), given[2], size).weights,)

        start = (math.log(values[1]) / 2, math.log(values[0]) / 2, turn)
        box = ((-2.0, 6.0), (-2.0, 6.0), (-720.0, 720.0))
        found, _, left = refine(shape, start, box, patch, _START)
        if left < _END:
            sigmas = [math.exp(found[0]), math.exp(found[1])]
            angle = float(found[2])
            if sigmas[0] < sigmas[1]:
                sigmas, angle = sigmas[::-1], angle + 90
            yield simplest(target, partial(_oriented, size), [*sigmas, below(angle, 180)])


def round_blurs(target: Target) -> Iterator[Kernel]:
    """Yield annuli, and the patterns of Airy, Moffat and a pinhole."""
    if not target.sums_to_one or not 3 <= max(target.extent()) <= _LARGEST:
        return
    if target.weights.min() < -target.spread - 2e-3 * target.peak:
        return
    for size in target.sizes():
        patch = target.patch(size)
        if size[0] != size[1] or size[0] % 2 == 0 or size[0] > _LARGEST:
            continue
        # What is round and a product of two rows is a Gaussian.
        lines = patch.sum(axis=1), patch.sum(axis=0)
        if max(unexplained(patch, other) for other in (patch.T, patch[::-1])) > 1e-4:
            continue
        if unexplained(patch, np.outer(*lines)) < 1e-4:
            continue
        yield from _annuli(target, patch)
        yield from _patterns(target, patch)


def _patterns(target: Target, patch: Weights) -> Iterator[Kernel]:
    """Yield the patterns of Airy, Moffat and a pinhole that are closest along an axis, a diagonal and between them."""
    size, reach = (patch.shape[0], patch.shape[1]), patch.shape[0] // 2
    steps = np.arange(reach + 1)
    down, right = np.concatenate([0 * steps, steps // 2, steps]), np.tile(steps, 3)
    line = patch[reach + down, reach + right]
    width = _half_width(patch)
    fine = 4.0 * size[0]
    families: list[
        tuple[Callable[..., Kernel], Callable[..., optics.Pattern], list[tuple[float, ...]], list[float]]
    ] = [
        (optics.airy, optics.airy_pattern, [(width * f,) for f in (1.05, 1.19, 1.4)], [0.3, fine]),
        (optics.moffat, optics.moffat_pattern, [(width, b) for b in (1.5, 2.5, 5.0)], [0.3, fine, 1.02, 200.0]),
        (
            optics.pinhole,
            optics.pinhole_pattern,
            [(width * f, n) for n in (0.2, 0.4, 0.7, 1.0, 1.4, 1.8, 2.5, 4.0) for f in (0.4, 0.6, 0.9, 1.2, 1.6, 2.1)],
            [0.3, fine, 0.06, 49.0],
        ),
    ]
    levels = len(set(zip(*np.sort([down, right], axis=0))))
    for family, pattern, starts, limits in families:
        box = list(zip(limits[::2], limits[1::2]))
        # Two numbers give any weights of 3×3 that depend on the distance alone and sum to one.
        if len(box) >= levels - 1:
            continue
        for method in ("sampled", "integrated"):

            def shape(
                values: Weights, pattern: Callable[..., optics.Pattern] = pattern, method: str = method
            ) -> Sequence[Weights]:
                return (optics.pixels(pattern(*map(float, values))[0], down * 1.0, right * 1.0, method),)

            found = _best_of(shape, starts, box, line)
            if found is None:
                break
            values, left = found
            # Pixels matter to narrow patterns only, and then by little.
            if left > 1e-2 or (method == "sampled" and left > _END and width > _WIDE):
                break
            if left < _END:
                named = simplest(target, partial(_sized, family, size, method), values)
                yield named
                placed = target.place(named)
                if placed is not None and target.deviation(placed)[1] <= 1e-6 * target.peak:
                    return
            starts = [tuple(values)]


def _annuli(target: Target, patch: Weights) -> Iterator[Kernel]:
    """Yield annuli: the ring's level gives their area, its edge the outer radius."""
    reach = patch.shape[0] // 2
    peak = float(np.abs(patch).max())
    if patch[reach, reach] > 0.999 * peak or reach < 1:
        return

    def ring(values: Weights) -> Sequence[Weights]:
        outer = max(float(values[0]), 0.3)
        inner = min(max(float(values[1]), 0.05), 0.98 * outer)
        return (centred(blurs.annulus(outer, inner).weights, patch.shape),)

    edge = reach - int(np.flatnonzero(patch[reach] > 1e-3 * peak)[0]) + 0.5
    starts = []
    for outer in np.linspace(max(edge - 1, 0.6), edge + 0.2, 7):
        square = outer**2 - 1 / (math.pi * peak)
        starts.append((float(outer), math.sqrt(max(square, (0.1 * outer) ** 2))))
    box = ((0.4, 2.0 * patch.shape[0]), (0.06, 2.0 * patch.shape[0]))
    found = _best_of(ring, starts, box, patch)
    if found is not None and found[1] < _END and found[0][1] < 0.97 * found[0][0]:
        yield simplest(target, blurs.annulus, found[0])


def _best_of(
    shape: Callable[[Weights], Sequence[Weights]],
    starts: Sequence[tuple[float, ...]],
    box: Sequence[tuple[float, float]],
    patch: Weights,
) -> tuple[list[float], float] | None:
    """Return the best fit from the few most promising starts, and the unexplained share, or None if none is near."""
    costs = np.array([unexplained(patch, shape(np.array(start))[0]) for start in starts])
    best: tuple[list[float], float] | None = None
    for i in np.argsort(costs, kind="stable")[:2]:
        if costs[i] > _START:
            break
        values, _, left = refine(shape, starts[i], box, patch, _START, 15)
        if best is None or left < best[1]:
            best = [float(value) for value in values], left
        if left < 1e-12:
            break
    return best


def _half_width(patch: Weights) -> float:
    """Return the full width at half maximum along the middle row, whose largest weight may lie on a ring."""
    row = patch[patch.shape[0] // 2, patch.shape[1] // 2 :]
    half = row.max() / 2
    at = int(np.flatnonzero(row >= half)[-1])
    if at + 1 == len(row):
        return 2.0 * len(row)
    return 2 * (at + float((row[at] - half) / (row[at] - row[at + 1])))


def _lines(target: Target) -> tuple[Weights, Weights] | None:
    """Return the column and the row whose product the weights are, each of sum one, or None if they are none."""
    lines = target.weights.sum(axis=1), target.weights.sum(axis=0)
    total = float(target.weights.sum())
    if not total or unexplained(target.weights, np.outer(*lines)) > 1e-3:
        return None
    return lines[0] / total, lines[1] / total


def _laid(weights: Weights, first: int, line: Weights, anchor: int) -> Weights:
    """Return weights with their own anchor on the places of a line with another."""
    out = np.zeros(len(line))
    start = anchor - first
    low, high = max(start, 0), min(start + len(weights), len(line))
    if low < high:
        out[low:high] = weights[low - start : high - start]
    return out


def _pair(first: float, second: float) -> float | tuple[float, float]:
    return first if first == second else (first, second)


def _bspline(degree: int, down: float, right: float, *offsets: float) -> Kernel:
    return resampling.bspline(degree, _pair(down, right), _pair(*offsets))


def _lanczos(lobes: int, down: float, right: float, *offsets: float) -> Kernel:
    return resampling.lanczos(_pair(down, right), lobes, _pair(*offsets))


def _keys(down: float, right: float, above: float, left: float, a: float) -> Kernel:
    return resampling.cubic(_pair(down, right), a, _pair(above, left))


def _mitchell(down: float, right: float, above: float, left: float, b: float, c: float) -> Kernel:
    return resampling.mitchell(_pair(down, right), b, c, _pair(above, left))


def _sinc(size: tuple[int, int], window: str, cutoff: float, beta: float = 6.0) -> Kernel:
    return resampling.sinc(cutoff, size, window, beta)


def _oriented(size: tuple[int, int], along: float, across: float, orientation: float) -> Kernel:
    return blurs.oriented_gaussian(along, across, orientation, size)


def _sized(family: Callable[..., Kernel], size: tuple[int, int], method: str, *values: float) -> Kernel:
    return family(*values, size=size, method=method)
