"""Alternatives to a linear filter: order statistics, tone curves, geometry and others, each compared with its fit.

Each alternative predicts the after of a part of the picture; it is taken where it leaves less than a quarter of the
variance that the linear filter leaves. The signs in the residual, dependence on brightness and on local contrast, speak
where no alternative of the battery does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kernelfield.learning.estimate import Estimate
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.pair import Pair
from kernelfield.learning.residual import Map
from kernelfield.learning.statistics import gather, shift_near_mean

_BINS = 32
# Residuals that are sorted, the fewest that tell anything, and the side of the part that alternatives are tried on.
_SORTED, _FEWEST, _SIDE = 1 << 16, 400, 256
# An alternative leaves less than this share of what the linear filter leaves.
_BETTER = 0.25
# The share of a channel's residual that the other channels must leave no more than, for the channels to be mixed.
_MIXED = 0.5
_CHANNELS = "channels that are mixed"
# Correlation with the mirrored or turned picture from which on it is that.
_ALIKE = 0.9


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
    """

    curve: float
    texture: float
    correlation: float
    looks_like: str | None
    every: bool = False

    @property
    def mixed(self) -> bool:
        """Whether the channels are mixed."""
        return self.looks_like is not None and self.looks_like.startswith(_CHANNELS)


def examine(pair: Pair, estimate: Estimate, maps: list[Map], correlation: float) -> Signs:
    """Return the signs of nonlinearity in the residual, and the alternative that explains the pair better."""
    predicted, residual, contrast = _columns(maps)
    if residual.size < _FEWEST:
        return Signs(0.0, 1.0, correlation, None)
    total = float(((residual - residual.mean()) ** 2).sum())
    between = _between(predicted, residual) - total * (_BINS - 1) / residual.size
    order = np.argsort(contrast, kind="stable")
    quarter = residual.size // 4
    calm, busy = (float(np.sqrt(np.mean(residual[part] ** 2))) for part in (order[:quarter], order[-quarter:]))
    floor = np.sqrt(pair.exact_variance(0.0, 1))
    curve = max(0.0, between / total) if total > 0.0 else 0.0
    looks_like, every = _looks_like(pair, estimate, maps)
    return Signs(curve, busy / max(calm, floor, 1e-300), correlation, looks_like, every)


def _columns(maps: list[Map]) -> list[np.ndarray]:
    """Return predicted values, residuals and contrasts of a sample of the pixels that count."""
    every = max(1, sum(part.residual.size for part in maps) // _SORTED) | 1
    columns: list[list[np.ndarray]] = [[], [], []]
    for part in maps:
        keep = slice(None) if part.bad is None else ~part.bad.ravel()[::every]
        for column, values in zip(columns, (part.predicted, part.residual, part.contrast)):
            column.append(values.ravel()[::every][keep].astype(np.float64))
    return [np.concatenate(column) for column in columns]


def _between(predicted: np.ndarray, residual: np.ndarray) -> float:
    """Return the between-bin sum of squares, for bins with equal numbers of predicted values."""
    order = np.argsort(predicted)
    mean = residual.mean()
    return float(sum(part.size * (part.mean() - mean) ** 2 for part in np.array_split(residual[order], _BINS)))


def _looks_like(pair: Pair, estimate: Estimate, maps: list[Map]) -> tuple[str | None, bool]:
    """Return the first alternative that leaves much less than the linear filter, and whether it gives every pixel."""
    plane, part = pair.planes[len(pair.planes) // 2], maps[len(maps) // 2]
    support = estimate.support
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    if min(part.residual.shape) < 16:
        return None, False
    cut = [slice(max(0, (n - _SIDE) // 2), max(0, (n - _SIDE) // 2) + min(n, _SIDE)) for n in part.residual.shape]
    residual = part.residual[cut[0], cut[1]].astype(np.float64)
    bad = np.zeros(residual.shape, bool) if part.bad is None else part.bad[cut[0], cut[1]]
    good = ~bad
    if good.sum() < _FEWEST:
        return None, False
    left = float(np.mean((residual[good] - residual[good].mean()) ** 2))
    top, first = rows.start + cut[0].start, columns.start + cut[1].start
    after = plane.after[top : top + residual.shape[0], first : first + residual.shape[1]].astype(np.float64)
    mixed = _mixed(pair, maps)
    if mixed is not None:
        return mixed, False
    levels = np.unique(after[good])
    if levels.size == 2 and np.unique(plane.before[:: max(1, plane.before.shape[0] // 64)]).size > 2:
        return "a threshold (the after has two values)", False
    if pair.same_size:
        turned = _turned(plane.before, plane.after, float(np.var(after[good])), left)
        if turned is not None:
            return turned, False
    limit = max(_BETTER * left, pair.exact_variance(0.0, 1))
    limit = min(limit, 0.7 * left)
    for phrase, predicted in _predictions(pair, plane.before, after, good, (top, first), limit):
        miss = after[good] - predicted[good]
        if float(np.mean((miss - miss.mean()) ** 2)) < limit:
            return phrase, bool(np.abs(miss).max() <= 0.51 * pair.step)
    return _linear_light(pair, estimate, left), False


def _predictions(
    pair: Pair, before: np.ndarray, after: np.ndarray, good: np.ndarray, corner: tuple[int, int], limit: float
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield alternatives as phrases with their predictions of the after; those that miss it by far are left out."""
    top, left = corner
    height, width = after.shape
    if top + height > before.shape[0] or left + width > before.shape[1]:
        return
    under = before[top : top + height, left : left + width].astype(np.float64)
    order = np.argsort(under[good], kind="stable")
    bins = np.array_split(order, min(64, max(4, order.size // 50)))
    x = np.array([under[good][part].mean() for part in bins])
    y = np.array([after[good][part].mean() for part in bins])
    x, where = np.unique(x, return_index=True)
    if x.size > 3:
        yield _curve(x, y[where], pair), np.interp(under, x, y[where])
    for size in (3, 5, 2, 7):
        reach = size // 2
        rows, columns = (
            slice(top - reach, top - reach + height + size - 1),
            slice(left - reach, left - reach + width + size - 1),
        )
        if rows.start < 0 or columns.start < 0 or rows.stop > before.shape[0] or columns.stop > before.shape[1]:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(before[rows, columns], (size, size))
        count = size * size
        where = np.nonzero(good)
        some = tuple(axis[:: max(1, where[0].size // 4096)] for axis in where)
        misses = np.sort(windows[some].reshape(-1, count), axis=1).astype(np.float64) - after[some][:, None]
        best = int((misses**2).mean(axis=0).argmin())
        if float(misses[:, best].var()) > 1.5 * limit:
            continue
        ranked = np.partition(windows.reshape(height, width, count), best, axis=2)
        name = {0: "the minimum", count // 2: "the median", count - 1: "the maximum"}.get(
            best, f"value {best + 1} of {count} in order"
        )
        yield f"{name} of {size}×{size} pixels (an order statistic)", ranked[..., best].astype(np.float64)


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
    every = max(1, max(after.shape) // 512)
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


def _mixed(pair: Pair, maps: list[Map]) -> str | None:
    """Return that the channels are mixed, where the other channels explain much of what the kernel leaves of one.

    The residual of each channel is compared with the pixels, and their means over neighbours, of the other channels
    and of itself: only what the others add counts.
    """
    planes = pair.planes
    if len(planes) == 1 or not pair.same_size:
        return None
    from scipy.ndimage import uniform_filter

    rows, columns = ((a - b) // 2 for a, b in zip(pair.shapes[0], maps[0].residual.shape))
    every = max(1, maps[0].residual.size // _SORTED) | 1
    features = []
    for plane in planes:
        image = plane.before.astype(np.float32)
        for picture in (image, uniform_filter(image, 3), uniform_filter(image, 9)):
            inner = picture[rows : rows + maps[0].residual.shape[0], columns : columns + maps[0].residual.shape[1]]
            features.append(inner.ravel()[::every].astype(np.float64))
    for which, part in enumerate(maps):
        keep = slice(None) if part.bad is None else ~part.bad.ravel()[::every]
        left = part.residual.ravel()[::every][keep].astype(np.float64)
        if left.size < _FEWEST:
            return None
        own = [features[3 * which + i][keep] for i in range(3)]
        variances = []
        for chosen in (own, [feature[keep] for feature in features]):
            x = np.stack(chosen, axis=1)
            x = x - x.mean(axis=0)
            found = np.linalg.lstsq(x, left - left.mean(), rcond=None)[0]
            variances.append(float(np.var(left - left.mean() - x @ found)))
        if variances[1] < _MIXED * variances[0]:
            return f"{_CHANNELS} (each of the after takes from several of the before)"
    return None


def _linear_light(pair: Pair, estimate: Estimate, left: float) -> str | None:
    """Return that the filter acts on linear light, where it explains far more after a power of 2.2."""
    plane = pair.planes[len(pair.planes) // 2]
    if plane.bad_before is not None or plane.bad_after is not None or estimate.kernel.size > 400:
        return None
    top = max(float(plane.before.max()), float(plane.after.max()))
    if pair.before_unit.centre or min(float(plane.before.min()), float(plane.after.min())) < 0.0 or not top > 0.0:
        return None
    support = estimate.support
    rows, columns = support.positions(plane.before.shape, plane.after.shape)
    rows = slice(rows.start, min(rows.stop, rows.start + 2 * _SIDE))
    columns = slice(columns.start, min(columns.stop, columns.start + 2 * _SIDE))
    light = (plane.before[support.windows((rows, columns))] / top) ** 2.2
    after = plane.after[rows, columns] / top
    bright = after**2.2
    statistics = gather(light, bright, support.size, shift_near_mean(light), shift_near_mean(bright))
    moments = Moments.of(statistics)
    kernel = solve(moments).kernel.reshape(support.size)
    windows = np.lib.stride_tricks.sliding_window_view(light, support.size)
    predicted = np.maximum(np.einsum("ijkl,kl->ij", windows, kernel) + statistics.offset(kernel), 0.0) ** (1 / 2.2)
    if float(np.var((after - predicted) * top)) < _BETTER * left:
        return "a linear filter of light (brightness to the power 2.2: undo gamma in both, then learn)"
    return None
