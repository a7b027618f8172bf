"""Alternatives to a linear filter: order statistics, tone curves, geometry and others, each compared with its fit.

Each alternative predicts the after of a part of the picture; it is taken where it leaves less than a quarter of the
variance that the linear filter leaves. The signs in the residual, dependence on brightness and on local contrast, speak
where no alternative of the battery does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from kernelfield.correlation import correlate
from kernelfield.learning import jpeg
from kernelfield.learning.dependence import bends
from kernelfield.learning.estimate import Estimate
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.ordering import bin_means, bin_starts, order_of
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.residual import Map, sampled
from kernelfield.learning.statistics import gather, shift_near_mean
from kernelfield.learning.support import Support
from kernelfield.learning.surroundings import adapts
from kernelfield.learning.warps import SIDE, find_warp, reduced, smoothed

_BINS = 32
# Residuals that are sorted, the fewest that tell anything, and the side of the part that alternatives are tried on.
_SORTED, _FEWEST, _SIDE = 1 << 16, 400, 256
# An alternative leaves less than this share of what the linear filter leaves.
_BETTER = 0.25
# One that leaves this many times as much of a fourth of the pixels is not tried on the others.
_HOPELESS = 2.0
# The share of a channel's residual that the other channels must leave no more than, for the channels to be mixed.
_MIXED = 0.5
# Correlation with the mirrored or turned picture from which on it is that.
_ALIKE = 0.9
# Shares of the variance that a filter leaves of a picture turned far, and of the residual that small turns explain.
_LARGE, _MOVED = 0.1, 0.1
# Correlation of neighbours, and contrast of busy and calm parts over the size at each brightness, of noise.
_APART, _LEVEL = 0.1, 1.4
# Below these a residual does not depend on the brightness, on the contrast, and on its neighbours.
_NO_CURVE, _NO_TEXTURE, _NO_LIKENESS = 0.01, 1.15, 0.03
# Share of a residual that follows the brightness from which on curves are tried too; the share of the variance that a
# filter leaves at most of a picture that something varies over; and how much more a background may leave than a gain.
_BENT, _RELATED, _SIMPLER = 0.15, 0.75, 1.1
# What varies over the picture explains a residual where it leaves no more than such a share, with neighbours no more
# alike: the kernel has taken a part of it. Of pairs with R² above 0.9 in `NOT_LINEAR` of the tests' simulator, rank
# filters left 0.71 with a correlation of 0.7, a gamma 0.38 with 0.40, and others 0.64 to 1.
_SHARES = ((_BETTER, 1.0), (0.5, 0.35), (0.8, 0.1))
# The order of the polynomial of a background; rounds of fitting a curve and the filter before it in turn.
_ORDER, _ROUNDS = 4, 4
# Side of the tiles that may move differently, and the share of the residual that their moves explain of a distortion:
# swirls and lenses were seen to reach 0.6, medians 0.2, bilateral filters and JPEG 0.05.
_TILE, _DISTORTED = 12, 0.4
# Pixels a level from which on a tone curve is taken level by level.
_REPEATED = 8
# Pixels to each side of the largest window whose values are ordered.
_REACH = 3
# Rows and columns of a kernel that are tried together with a curve.
_MIDDLE = 19


@dataclass(frozen=True)
class Signs:
    """Signs of a nonlinear filter.

    Attributes
    ----------
    curve : float
        Share of the residual variance explained by a function of the predicted value, such as a tone curve or gamma.
    texture : float
        Root mean square of the residual in the quarter of the image with most contrast, divided by that in the quarter
        with least: about 1 for noise, large for a filter that adapts to its neighbourhood.
    correlation : float
        Of neighbouring residuals.
    looks_like : str or None
        The alternative that explains the pair better, as a phrase.
    every : bool
        Whether it gives every pixel.
    grows : bool
        Whether the residual is noise whose size depends on the brightness alone, as shot noise and speckle.
    compressed : bool
        Whether the after is a decoded JPEG that the filter predicts within its quantisation.
    colour : float
        Share of the residual variance explained by functions of the colour of the before, by `share_by_colour`.
    """

    curve: float
    texture: float
    correlation: float
    looks_like: str | None
    every: bool = False
    grows: bool = False
    compressed: bool = False
    colour: float = 0.0


def examine(pair: Pair, estimate: Estimate, maps: list[Map], correlation: float, whole: Pair | None = None) -> Signs:
    """Return the signs of nonlinearity in the residual, and the alternative that explains the pair better.

    `whole` is the pair with the pixels that were left out as outliers or clipped.
    """
    signs = measure_signs(pair, maps, correlation)
    if _columns(maps)[1].size < _FEWEST:
        return signs
    # The residual of movement, backgrounds and gamma is nowhere alike.
    even = 1.0 / _NO_TEXTURE < signs.texture < _NO_TEXTURE
    noise = signs.curve < _NO_CURVE and even and abs(correlation) < _NO_LIKENESS
    # Grey pictures are asked only where no alternative speaks.
    coded = len(maps) > 1 and not noise and jpeg.explains(whole or pair, estimate.support, maps)
    looks_like, every = _looks_like(pair, estimate, maps, noise, signs.curve, coded)
    compressed = looks_like is None and not noise and (coded or jpeg.explains(whole or pair, estimate.support, maps))
    grows = signs.grows and looks_like is None
    return replace(signs, looks_like=looks_like, every=every, grows=grows, compressed=compressed)


def measure_signs(pair: Pair, maps: list[Map], correlation: float) -> Signs:
    """Return the signs of nonlinearity in the residual alone."""
    predicted, residual, contrast = _columns(maps)
    if residual.size < _FEWEST:
        return Signs(0.0, 1.0, correlation, None)
    total = float(((residual - residual.mean()) ** 2).sum())
    rising = order_of(predicted)
    # Of few colours chance gives a function of the prediction much: pixels that are predicted the same are one.
    values = 1 + int(np.count_nonzero(np.diff(predicted[rising])))
    between = _between(residual[rising]) - total * (_BINS - 1) / max(values, _BINS)
    order = order_of(contrast)
    quarter = residual.size // 4
    calm, busy = (float(np.sqrt(np.mean(residual[part] ** 2))) for part in (order[:quarter], order[-quarter:]))
    floor = np.sqrt(pair.exact_variance(0.0, 1))
    curve = max(0.0, between / total) if total > 0.0 else 0.0
    texture = busy / max(calm, floor, 1e-300)
    grows = abs(correlation) < _APART and _grows(predicted, residual, rising, order)
    return Signs(curve, texture, correlation, None, grows=grows)


def _grows(predicted: np.ndarray, residual: np.ndarray, rising: np.ndarray, order: np.ndarray) -> bool:
    """Return whether the residual, over its size at this brightness, is the same in calm and busy parts.

    `rising` sorts by the predicted value, `order` by contrast.
    """
    starts = bin_starts(rising.size, _BINS)
    sizes = np.sqrt(bin_means(residual[rising] ** 2, starts))
    if not sizes.min() > 0.0:
        return False
    even = residual / np.interp(predicted, bin_means(predicted[rising], starts), sizes)
    quarter = residual.size // 4
    calm, busy = (float(np.sqrt(np.mean(even[part] ** 2))) for part in (order[:quarter], order[-quarter:]))
    return 1 / _LEVEL < busy / max(calm, 1e-300) < _LEVEL


def _columns(maps: list[Map]) -> list[np.ndarray]:
    """Return predicted values, residuals and contrasts of a sample of the pixels that count."""
    every = max(1, sum(part.residual.size for part in maps) // _SORTED) | 1
    parts = [sampled(every, part.bad, part.predicted, part.residual, part.contrast) for part in maps]
    return [np.concatenate(column).astype(np.float64) for column in zip(*parts)]


def _between(residual: np.ndarray) -> float:
    """Return the between-bin sum of squares of residuals in the order of predicted values, in bins of as many each."""
    starts = bin_starts(residual.size, _BINS)
    counts = np.diff(starts, append=residual.size)
    return float(counts @ (bin_means(residual, starts) - residual.mean()) ** 2)


def _looks_like(
    pair: Pair, estimate: Estimate, maps: list[Map], noise: bool, curve: float, coded: bool
) -> tuple[str | None, bool]:
    """Return the first alternative that leaves much less than the linear filter, and whether it gives every pixel.

    `noise` is whether the residual is the same everywhere, `curve` the share of it that depends on the prediction,
    `coded` whether JPEG explains it, which loses detail of the colours.
    """
    plane, part = pair.planes[len(pair.planes) // 2], maps[len(maps) // 2]
    support = estimate.support
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    if min(part.residual.shape) < 16:
        return None, False
    cut = []
    for where, n, whole in zip((rows, columns), part.residual.shape, plane.before.shape):
        # The windows of order statistics lie inside, unless little would be left.
        first, last = max(0, _REACH - where.start), min(n, whole - _REACH - where.start)
        first, last = (first, last) if last - first >= 16 else (0, n)
        start = max(first, (n - _SIDE) // 2)
        cut.append(slice(start, min(last, start + _SIDE)))
    residual = part.residual[cut[0], cut[1]].astype(np.float64)
    bad = np.zeros(residual.shape, bool) if part.bad is None else part.bad[cut[0], cut[1]]
    good = ~bad
    if good.sum() < _FEWEST:
        return None, False
    left = float(np.mean((residual[good] - residual[good].mean()) ** 2))
    above, aside = rows.start + cut[0].start, columns.start + cut[1].start
    after = plane.after[above : above + residual.shape[0], aside : aside + residual.shape[1]].astype(np.float64)
    levels = np.unique(after[good])
    if levels.size == 2 and np.unique(plane.before[:: max(1, plane.before.shape[0] // 64)]).size > 2:
        return "a threshold (the after has two values)", False
    blocks = _pixelated(plane)
    if blocks is not None:
        return blocks, False
    if pair.same_size and not noise:
        turned = _turned(plane.before, plane.after, float(np.var(after[good])), left)
        turned = turned or _warped(plane, part, support)
        if turned is not None:
            return turned, False
    limit = max(_BETTER * left, pair.exact_variance(0.0, 1))
    limit = min(limit, 0.7 * left)
    best: tuple[float, str, bool] | None = None
    for phrase, predicted in _predictions(pair, plane.before, after, good, (above, aside), limit):
        miss = after[good] - predicted[good]
        variance = float(np.mean((miss - miss.mean()) ** 2))
        if variance < limit:
            best = variance, phrase, bool(np.abs(miss).max() <= 0.51 * pair.step)
            limit = variance
            if best[2]:
                break
    if best is not None:
        return best[1:]
    mixed = None if coded else _mixed(pair, support, maps)
    if mixed is not None:
        return mixed, False
    if noise:
        return None, False
    related = left < _RELATED * float(np.var(after[good]))
    uneven = (_uneven(maps) or _varies(pair, support, maps)) if related else None
    if uneven is not None and curve <= _BENT:
        return uneven, False
    # Of a picture whose brightness rises to one side a curve leaves what looks like a background.
    found = _linear_light(pair, estimate, limit) or _curve_after(pair, estimate, limit, curve) or uneven
    # Edges blurred in light lie elsewhere too, as if they had moved; and what rounding twice leaves may look like it.
    more = pair.same_size and left > 4.0 * pair.step**2 / 12.0
    return found or adapts(plane, part, support) or (_distorted(part) if more else None), False


def _pixelated(plane: Plane) -> str | None:
    """Return that an after consists of blocks of one value each, where the before does not."""
    sides = []
    for image in (plane.after, plane.before):
        steps = []
        for axis in (0, 1):
            lines = np.moveaxis(image, axis, 0)
            changes = np.flatnonzero((lines[1:] != lines[:-1]).any(axis=1))
            # Two changes tell no distance from chance.
            steps.append(int(np.gcd.reduce(np.diff(changes))) if changes.size > 3 else 1)
        sides.append(steps)
    (down, right), before = sides
    if min(down, right) < 2 or max(before) > 1:
        return None
    return f"blocks of {down}×{right} pixels of one value each (pixelated, or enlarged without interpolation)"


def _predictions(
    pair: Pair, before: np.ndarray, after: np.ndarray, good: np.ndarray, corner: tuple[int, int], limit: float
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield alternatives as phrases with their predictions of the after; those that miss it by far are left out."""
    top, left = corner
    height, width = after.shape
    if top + height > before.shape[0] or left + width > before.shape[1]:
        return
    under = before[top : top + height, left : left + width].astype(np.float64)
    order = order_of(under[good])
    starts = bin_starts(order.size, min(64, max(4, order.size // 50)))
    x, y = (bin_means(image[good][order], starts) for image in (under, after))
    x, where = np.unique(x, return_index=True)
    if x.size > 3:
        phrase, points = _curve(x, y[where], pair), (x, y[where])
        levels, which, counts = np.unique(under[good], return_inverse=True, return_counts=True)
        if _REPEATED * levels.size <= which.size and _is_bent(under[good], after[good], pair):
            # Of each level by itself a curve leaves nothing, whatever little it is that a filter leaves.
            points = levels, np.bincount(which.ravel(), after[good]) / counts
        yield phrase, np.interp(under, *points)
    for size in (3, 5, 2, 7):
        reach = size // 2
        rows, columns = (
            slice(top - reach, top - reach + height + size - 1),
            slice(left - reach, left - reach + width + size - 1),
        )
        if rows.start < 0 or columns.start < 0 or rows.stop > before.shape[0] or columns.stop > before.shape[1]:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(before[rows, columns], (size, size))
        down, right = np.nonzero(good)
        every = max(1, down.size // 4096)
        some = down[::every], right[::every]
        for shape, held in _footprints(size):
            count = int(held.sum())
            misses = np.sort(windows[some][:, held], axis=1).astype(np.float64) - after[some][:, None]
            best = int((misses**2).mean(axis=0).argmin())
            if float(misses[:, best].var()) > 1.5 * limit:
                continue
            ranked = np.partition(windows[:, :, held], best, axis=2)
            name = {0: "the minimum", count // 2: "the median", count - 1: "the maximum"}.get(
                best, f"value {best + 1} of {count} in order"
            )
            yield f"{name} of {shape} pixels (an order statistic)", ranked[..., best].astype(np.float64)


def _is_bent(before: np.ndarray, after: np.ndarray, pair: Pair) -> bool:
    """Return whether a straight line leaves more of an after than rounding, between steps too."""
    x = before - before.mean()
    left = after - after.mean() - x * float(x @ after / max(float(x @ x), 1e-300))
    return bends(before[:, None], left[:, None], max(pair.step**2 / 12.0, 1e-12 * float(after.var())))


def _footprints(size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield sets of pixels in a square that programs order, with what they are called."""
    yield f"{size}×{size}", np.ones((size, size), bool)
    if size % 2 == 0:
        return
    reach = size // 2
    down, right = np.abs(np.mgrid[-reach : reach + 1, -reach : reach + 1])
    yield f"a cross of {size}×{size}", (down == 0) | (right == 0)
    if size > 3:
        yield f"a diamond of {size}×{size}", down + right <= reach
        for radius in (reach, reach + 0.5):
            yield f"a disk of {size}×{size}", down**2 + right**2 <= radius**2


def _curve(x: np.ndarray, y: np.ndarray, pair: Pair) -> str:
    """Return a tone curve as a phrase, with its exponent where it is a power."""
    inputs, outputs = (v * u.scale + u.centre for v, u in ((x, pair.before_unit), (y, pair.after_unit)))
    top = 255.0 if max(inputs.max(), outputs.max()) > 1.5 else 1.0
    inside = (inputs > 0.02 * top) & (outputs > 0.02 * top) & (inputs < 0.98 * top) & (outputs < 0.98 * top)
    if inside.sum() > 4:
        u, v = np.log(inputs[inside] / top), np.log(outputs[inside] / top)
        gamma = float(u @ v / (u @ u))
        if np.abs(v - gamma * u).max() < 0.08 and abs(gamma - 1.0) > 0.02:
            return f"a tone curve (brightness to the power {gamma:.2g})"
    points = np.interp(np.linspace(inputs[0], inputs[-1], 5), inputs, outputs)
    marks = ", ".join(f"{a:.3g} → {b:.3g}" for a, b in zip(np.linspace(inputs[0], inputs[-1], 5), points))
    return f"a tone curve ({marks})"


def _turned(before: np.ndarray, after: np.ndarray, variance: float, left: float) -> str | None:
    """Return the mirror or turn of the before that the after resembles."""
    best = max(0.0, 1.0 - left / variance) ** 0.5 if variance > 0.0 else 1.0
    every = max(1, max(after.shape) // _SIDE)
    y = after[::every, ::every].astype(np.float64)
    y = y - y.mean()
    ways = {
        "the picture upside down": before[::-1],
        "the picture mirrored left to right": before[:, ::-1],
        "the picture turned by 180°": before[::-1, ::-1],
    }
    if before.shape[0] == before.shape[1]:
        ways["the picture turned by 90°"] = np.rot90(before)
        ways["the picture turned by 270°"] = np.rot90(before, 3)
        ways["the picture with rows and columns exchanged"] = before.T
    for phrase, way in ways.items():
        x = way[::every, ::every].astype(np.float64)
        x = x - x.mean()
        norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
        if norm > 0.0 and float((x * y).sum()) / norm > max(_ALIKE, best + 0.05):
            return phrase
    return None


def _warped(plane: Plane, part: Map, support: Support) -> str | None:
    """Return the affine map of the before that the after resembles, where the filter leaves four times as much."""
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    after = plane.after[rows, columns]
    good = None if part.bad is None else ~part.bad
    residual = part.residual if good is None else np.where(good, part.residual, 0.0)
    if not _moves(part.predicted, residual, float(np.var(after if good is None else after[good]))):
        return None
    warp = find_warp(plane.before[rows, columns], after, good)
    if warp is None:
        return None
    every = max(1, -(-max(after.shape) // SIDE))
    held = np.ones(after.shape) if good is None else good
    counts = reduced(held, every) > 0.999
    weight = np.maximum(smoothed(reduced(held, every)), 1e-3)
    left, whole = (smoothed(reduced(image * held, every)) / weight for image in (residual, after))
    return warp.describe() if warp.left * np.var(whole[counts]) < _BETTER * np.mean(left[counts] ** 2) else None


def _distorted(part: Map) -> str | None:
    """Return that the parts of the picture moved differently, where small shifts of tiles explain the residual."""
    rows, columns = ((n - 2) // _TILE for n in part.residual.shape)
    if min(rows, columns) < 3:
        return None
    inner = slice(1, 1 + rows * _TILE), slice(1, 1 + columns * _TILE)
    counts = np.ones(part.residual.shape) if part.bad is None else 1.0 - part.bad
    counts = counts[inner]
    residual = part.residual[inner] * counts
    down = (part.predicted[2:, 1:-1] - part.predicted[:-2, 1:-1])[: counts.shape[0], : counts.shape[1]] * counts
    right = (part.predicted[1:-1, 2:] - part.predicted[1:-1, :-2])[: counts.shape[0], : counts.shape[1]] * counts

    def over_tiles(image: np.ndarray) -> np.ndarray:
        sums: np.ndarray = image.reshape(rows, _TILE, columns, _TILE).sum(axis=(1, 3), dtype=np.float64)
        return sums

    a, b, c = over_tiles(down * down), over_tiles(down * right), over_tiles(right * right)
    d, e = over_tiles(down * residual), over_tiles(right * residual)
    size = a * c - b * b
    steady = size > 1e-6 * (a + c) ** 2
    size = np.where(steady, size, 1.0)
    gained = np.where(steady, (c * d * d - 2.0 * b * d * e + a * e * e) / size, 0.0)
    if float(gained.sum()) > _DISTORTED * float((residual**2).sum()):
        return "the picture distorted: its parts moved differently"
    return None


def _moves(predicted: np.ndarray, residual: np.ndarray, variance: float) -> bool:
    """Return whether the residual is large, or what small rotations and zooms of the prediction leave."""
    every = max(1, max(residual.shape) // _SIDE)
    part = residual[1:-1, 1:-1][::every, ::every].astype(np.float64)
    left = float(np.mean(part**2))
    if left > _LARGE * variance:
        return True
    slopes = (predicted[2:, 1:-1] - predicted[:-2, 1:-1], predicted[1:-1, 2:] - predicted[1:-1, :-2])
    places = np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in part.shape), indexing="ij")
    terms = np.stack([(s[::every, ::every] * p).ravel() for s in slopes for p in places])
    return _misfit(terms, part.ravel()) / part.size < (1.0 - _MOVED) * left


def _uneven(maps: list[Map]) -> str | None:
    """Return that the background or the brightness varies over the picture, where that is most of the residual."""
    added, scaled = _Share(), _Share()
    for part in maps:
        every = max(1, 2 * max(part.residual.shape) // _SIDE)
        if min(part.residual.shape) < 3:
            return None
        grid = slice(1, -1, every), slice(1, -1, every)
        keep = np.ones(part.residual[grid].shape, bool) if part.bad is None else ~part.bad[grid]
        residual = part.residual[grid][keep].astype(np.float64)
        if residual.size < _FEWEST:
            return None
        down, right = (np.vander(np.linspace(-1.0, 1.0, n), _ORDER + 1, increasing=True).T for n in keep.shape)
        terms = [np.outer(down[i], right[j])[keep] for i in range(_ORDER + 1) for j in range(_ORDER + 1 - i)]
        surfaces = np.stack(terms)
        # The kernel, which least squares bends to what varies, is free to bend back: that alone is no sign.
        height, width = part.predicted.shape
        around = [
            part.predicted[i : height - 2 + i : every, j : width - 2 + j : every][keep].astype(np.float64)
            for i in range(3)
            for j in range(3)
        ]
        predicted = around[4]
        residual = _remainder(np.stack([*around, surfaces[0]]), residual)
        added.add(np.concatenate([surfaces, around]), residual, keep)
        scaled.add(np.concatenate([surfaces * predicted, surfaces[:1], around[:4], around[5:]]), residual, keep)
    if not added.explains and not scaled.explains:
        return None
    if added.left <= _SIMPLER * scaled.left:
        return "a filter and a background that varies over the picture (learn with background=4)"
    return "a filter and a brightness that varies over the picture, as vignetting (learn with varying='auto')"


def _varies(pair: Pair, support: Support, maps: list[Map]) -> str | None:
    """Return that the kernel varies over the picture, where weights that rise to one side explain its residual."""
    plane, part = pair.planes[len(pair.planes) // 2], maps[len(maps) // 2]
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    if not pair.same_size or min(part.residual.shape) < _SIDE // 8:
        return None
    cut = tuple(slice(max(0, (n - _SIDE) // 2), max(0, (n - _SIDE) // 2) + _SIDE) for n in part.residual.shape)
    residual = part.residual[cut].astype(np.float64)
    keep = np.ones(residual.shape, bool) if part.bad is None else ~part.bad[cut]
    first = rows.start + cut[0].start, columns.start + cut[1].start
    reach = min(1, *first, *(n - f - m for n, f, m in zip(plane.before.shape, first, residual.shape)))
    if keep.sum() < _FEWEST or reach < 0:
        return None
    # A channel that rounding explains tells nothing.
    if not float(np.mean(residual[keep] ** 2)) > pair.exact_variance(0.0, 1):
        return None
    before = plane.before.astype(np.float64) - plane.before_mean
    down, right = np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in residual.shape), indexing="ij")
    shifted = [
        before[first[0] + i : first[0] + i + len(residual), first[1] + j : first[1] + j + residual.shape[1]]
        for i in range(-reach, reach + 1)
        for j in range(-reach, reach + 1)
    ]
    share = _Share()
    share.add(np.stack([(one * place)[keep] for one in shifted for place in (down, right)]), residual[keep], keep)
    return "a filter whose kernel varies over the picture (learn with varying='auto')" if share.explains else None


@dataclass
class _Share:
    """How much of a residual some terms explain: sums of squares, and of products of neighbours that are left."""

    total: float = 0.0
    left: float = 0.0
    neighbours: float = 0.0

    def add(self, terms: np.ndarray, residual: np.ndarray, keep: np.ndarray) -> None:
        """Add a residual, of the pixels that `keep` marks, and its terms, one a row."""
        self.total += float(((residual - residual.mean()) ** 2).sum())
        rest = np.zeros(keep.shape)
        rest[keep] = _remainder(terms, residual)
        self.left += float((rest**2).sum())
        along, down = (rest[:, 1:] * rest[:, :-1]).sum(), (rest[1:] * rest[:-1]).sum()
        self.neighbours += float(max(along, down, key=abs))

    @property
    def explains(self) -> bool:
        """Whether nearly all is explained, or much and what is left are neighbours that are not alike, as noise."""
        alike = abs(self.neighbours) / max(self.left, 1e-300)
        return any(self.left <= share * self.total and alike < most for share, most in _SHARES)


def _remainder(terms: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return what the best sum of some terms, one a row, leaves of values."""
    gram = terms @ terms.T
    # Rows are scaled alike, so that no unit makes one of them seem to depend on the others.
    scale = 1.0 / np.sqrt(np.maximum(np.diag(gram), 1e-300))
    found = np.linalg.lstsq(gram * np.outer(scale, scale), scale * (terms @ values), rcond=1e-10)[0] * scale
    left: np.ndarray = values - found @ terms
    return left


def _misfit(terms: np.ndarray, values: np.ndarray) -> float:
    """Return the sum of squares that the best sum of some terms, one a row, leaves of values."""
    return float((_remainder(terms, values) ** 2).sum())


def _mixed(pair: Pair, support: Support, maps: list[Map]) -> str | None:
    """Return that the channels are mixed, where the other channels explain much of the residual of one.

    The residual of each channel is compared with the pixels, and their means over neighbours, of the other channels
    and of itself: only the gain by the others counts.
    """
    planes = pair.planes
    if len(planes) == 1 or not pair.same_size:
        return None
    # The pixels in the middle of the windows.
    ends = ((support.top, support.rows), (support.left, support.columns))
    middles = [first + n // 2 for first, n in ends]
    places = support.positions(*pair.shapes)
    rows, columns = (slice(place.start + at, place.stop + at) for place, at in zip(places, middles))
    every = max(1, maps[0].residual.size // _SORTED) | 1
    features = []
    for plane in planes:
        image = plane.before.astype(np.float32)
        for box in (1, 3, 9):
            picture = correlate(image, np.full((box, box), 1.0 / box**2)) if box > 1 else image
            features.append(picture[rows, columns].ravel()[::every].astype(np.float64))
    for which, part in enumerate(maps):
        keep = slice(None) if part.bad is None else ~part.bad.ravel()[::every]
        left = sampled(every, part.bad, part.residual)[0].astype(np.float64)
        if left.size < _FEWEST:
            return None
        own = [features[3 * which + i][keep] for i in range(3)]
        variances = []
        for chosen in (own, [feature[keep] for feature in features]):
            x = np.stack(chosen)
            variances.append(_misfit(x - x.mean(axis=1, keepdims=True), left - left.mean()))
        if variances[1] < _MIXED * variances[0]:
            return "channels that are mixed (each of the after takes from several: learn with channels='mixed')"
    return None


def _curve_after(pair: Pair, estimate: Estimate, limit: float, curve: float) -> str | None:
    """Return that a tone curve follows the filter, where undoing it in the after leaves less to the filter."""
    part = _middle_part(pair, estimate)
    before, after, bad, kernel = part.before, part.after, part.bad, part.kernel
    if (~bad).sum() < _FEWEST or curve < _NO_CURVE:
        return None
    predicted = correlate(before, kernel, mode="valid", dtype=np.float64)
    for _ in range(_ROUNDS):
        inside, values = predicted[~bad], after[~bad]
        order = order_of(inside)
        starts = bin_starts(order.size, 2 * _BINS)
        x, y = (bin_means(image[order], starts) for image in (inside, values))
        # Where the mean does not rise, the curve cannot be undone.
        rising = np.append(True, y[1:] > np.maximum.accumulate(y)[:-1])
        x, y = x[rising], y[rising]
        if x.size < _BINS:
            return None
        if float(np.var(values - np.interp(inside, x, y))) < limit:
            return "a filter and then a tone curve or gamma (learn with curve='auto')"
        predicted = _refitted(before, np.interp(after, y, x), bad, kernel.shape)
    return None


def _linear_light(pair: Pair, estimate: Estimate, limit: float) -> str | None:
    """Return that the filter acts on linear light, where it leaves less after a power of 2.2."""
    part = _middle_part(pair, estimate)
    before, after, bad, kernel = part.before, part.after, part.bad, part.kernel
    if (~bad).sum() < _FEWEST:
        return None
    top = max(float(before.max()), float(after.max()))
    if pair.before_unit.centre or min(float(before.min()), float(after.min())) < 0.0 or not top > 0.0:
        return None
    # A fourth of the part shows whether the rest is worth the trouble.
    for some, most in ((slice(0, _SIDE), _HOPELESS * limit), (slice(None), limit)):
        wanted, out = after[some, some], bad[some, some]
        read = before[tuple(slice(0, n + k - 1) for n, k in zip(wanted.shape, kernel.shape))]
        if (~out).sum() < max(_FEWEST, 4 * kernel.size):
            continue
        predicted = _refitted((read / top) ** 2.2, (wanted / top) ** 2.2, out, kernel.shape)
        if not float(np.var((wanted - top * np.maximum(predicted, 0.0) ** (1 / 2.2))[~out])) < most:
            return None
    return "a linear filter of light (brightness to the power 2.2: learn with light='auto')"


@dataclass(frozen=True)
class _Part:
    """A part of the before, the after below it, where that does not count, and the middle of the kernel."""

    before: np.ndarray
    after: np.ndarray
    bad: np.ndarray
    kernel: np.ndarray


def _middle_part(pair: Pair, estimate: Estimate) -> _Part:
    """Return a part of the pair that is to be tried with a curve."""
    plane, support = pair.planes[len(pair.planes) // 2], estimate.support
    # A search that tries to follow what is not linear ends at a small or a large kernel: its weights say where it lies.
    spans = []
    for axis, (first, n) in enumerate(((support.top, support.rows), (support.left, support.columns))):
        energy = (estimate.kernel**2).sum(axis=1 - axis)
        centre = round(float(energy @ np.arange(n)) / max(float(energy.sum()), 1e-300))
        reach = int(np.clip(n // 2, _MIDDLE // 3, _MIDDLE // 2))
        reach = min(reach, min(plane.before.shape[axis], plane.after.shape[axis]) // 8)
        spans.append((first + centre - reach, centre - reach, 2 * reach + 1))
    (top, above, tall), (left, aside, broad) = spans
    middle = Support(top, left, tall, broad)
    padded = np.pad(estimate.kernel, _MIDDLE)
    kernel = padded[_MIDDLE + above : _MIDDLE + above + tall, _MIDDLE + aside : _MIDDLE + aside + broad]
    places = middle.positions(plane.before.shape, plane.after.shape)
    rows, columns = (slice(p.start, min(p.stop, p.start + 2 * _SIDE)) for p in places)
    before = plane.before[middle.windows((rows, columns))].astype(np.float64)
    excluded = plane.excluded(middle)
    after = plane.after[rows, columns].astype(np.float64)
    bad = np.zeros(after.shape, bool) if excluded is None else excluded[: after.shape[0], : after.shape[1]]
    return _Part(before, after, bad, kernel)


def _refitted(before: np.ndarray, after: np.ndarray, bad: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the prediction of the filter of a part that was changed."""
    shifts = shift_near_mean(before), shift_near_mean(after)
    statistics = gather(before, after, (size[0], size[1]), *shifts, bad if bad.any() else None)
    kernel = solve(Moments.of(statistics)).kernel.reshape(size)
    predicted: np.ndarray = correlate(before, kernel, mode="valid", dtype=np.float64)
    return predicted + statistics.offset(kernel)
