"""Identification of the boundary rule that the producer used, from the border pixels of the after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.correlation import correlate
from kernelfield.engine.borders import extended
from kernelfield.geometry import BOUNDARIES, Boundary, Window, border_rectangles, boundary_index
from kernelfield.learning.pair import Pair
from kernelfield.learning.support import Support

#: An image and the kernel that acts on it.
Part = tuple[np.ndarray, np.ndarray]

# Maximum number of border pixels used along one side, one corner included.
_LONGEST = 1024
# Of rules that give the same numbers the first is reported: reflect is the default of `correlate`.
_ORDER: tuple[Boundary, ...] = ("reflect", "nearest", "mirror", "wrap", "constant")
# Rules that no mode of scipy.ndimage has.
_OTHERS = ("renormalised", "copy")


@dataclass(frozen=True)
class OverField:
    """What a kernel that varies does besides sums: functions of the place, of rows and columns of the after.

    Attributes
    ----------
    share : callable
        What a part, by its number, is multiplied by.
    added : callable
        What is added to a plane, by its number, besides its offset.
    """

    share: Callable[[int, tuple[slice, slice]], np.ndarray]
    added: Callable[[int, tuple[slice, slice]], np.ndarray]


@dataclass(frozen=True)
class BoundaryRule:
    """The boundary rule found, and the rules that explain the border equally well.

    Attributes
    ----------
    name : str or None
        A mode of scipy.ndimage; ``"copy"`` if the border pixels are those of the before, unfiltered (as Pillow's
        kernels leave them); ``"renormalised"`` if weights outside the image are left out and the others rescaled to the
        same sum; None if it is ambiguous or no known rule fits.
    cval : float
        Value outside the image, for ``"constant"``.
    candidates : tuple of str
        All rules that explain the border pixels; several if the pair cannot tell them apart.
    reason : str
        The explanation, as a phrase.
    """

    name: str | None
    cval: float
    candidates: tuple[str, ...]
    reason: str


def find_boundary(
    pair: Pair,
    kernel: np.ndarray,
    support: Support,
    offsets: tuple[float, ...],
    variance: float,
    error: float = 0.0,
    parts: Sequence[Sequence[Part]] | None = None,
    stride: tuple[int, int] = (1, 1),
    over: OverField | None = None,
) -> BoundaryRule:
    """Return the rule that predicts the border pixels to within the residual `variance`.

    `error` is the sum of the squared standard errors of the weights, which a constant far from 0 multiplies. `parts`
    are the images and kernels that each plane of the after is the sum of; by default its before and the kernel. Of a
    `stride` the pixels of the after are those over every few rows and columns of the before; a kernel that varies is a
    sum of parts weighted `over` the field.
    """
    if not pair.same_size and stride == (1, 1):
        return BoundaryRule(None, 0.0, (), "not needed: the windows of all pixels of the after lie inside the before")
    if support.size == (1, 1):
        return BoundaryRule(None, 0.0, BOUNDARIES, "unknown: the kernel does not reach beyond the image")
    windows = [Window(n, a, n - 1 - a) for n, a in zip(support.size, support.anchor)]
    parts = parts or [[(plane.before, kernel)] for plane in pair.planes]
    squares, count, cval = _squares(pair, parts, offsets, (windows[0], windows[1]), stride, over)
    # How far the last window reaches outside.
    beyond = [(m - 1) * s + w.after - (n - 1) for n, m, s, w in zip(*pair.shapes, stride, windows)]
    if stride != (1, 1) and max(*beyond, *(w.before for w in windows)) <= 0:
        return BoundaryRule(None, 0.0, (), "not needed: the windows of all pixels of the after lie inside the before")
    if not count:
        return BoundaryRule(None, 0.0, (), "unknown: no border pixel is used")
    floor = max(variance, pair.exact_variance(0.0, 1))
    about = max(plane.before_square for plane in pair.planes)
    more = {rule: error * (cval**2 if rule == "constant" else about) for rule in squares}
    fitting = {
        rule: square
        for rule, square in squares.items()
        if square <= (floor + more[rule]) * (2.0 * count + 12.0 * np.sqrt(count))
    }
    if not fitting:
        return BoundaryRule(None, 0.0, (), "no known rule explains the border pixels")
    best = min(fitting.values())
    alike = [rule for rule, square in fitting.items() if square - best <= 25.0 * floor + 0.02 * best]
    candidates = tuple(rule for rule in (*_ORDER, *_OTHERS) if rule in alike)
    shape = pair.shapes[0]
    first = candidates[0]
    windows = [Window(w.before + 1 + max(0, b), w.before, max(0, b)) for w, b in zip(windows, beyond)]
    if all(_same_rule(first, rule, shape, (windows[0], windows[1])) for rule in candidates):
        if len(candidates) == 1:
            return BoundaryRule(first, cval if first == "constant" else 0.0, candidates, "from the border pixels")
        others = " and ".join(candidates[1:])
        return BoundaryRule(first, 0.0, candidates, f"from the border pixels; the same result with {others}")
    return BoundaryRule(None, 0.0, candidates, f"unknown: {', '.join(candidates)} explain the border equally well")


def _same_rule(a: str, b: str, shape: tuple[int, ...], windows: tuple[Window, Window]) -> bool:
    """Return whether two rules read the same pixels with these windows."""
    if a == b:
        return True
    if {a, b} & {"copy", "constant", "renormalised"}:
        return False
    return all(
        np.array_equal(*(boundary_index(n, w.before, w.after, rule) for rule in (a, b)))  # type: ignore[arg-type]
        for n, w in zip(shape, windows)
    )


def _squares(
    pair: Pair,
    parts: Sequence[Sequence[Part]],
    offsets: tuple[float, ...],
    windows: tuple[Window, Window],
    stride: tuple[int, int],
    over: OverField | None,
) -> tuple[dict[str, float], int, float]:
    """Return the squared residual of the border pixels under each rule, their number, and the best constant.

    Predictions beyond the ends of the range are taken to them; the constant is found from pixels inside.
    """
    shape, every = pair.shapes[0], (slice(None, None, stride[0]), slice(None, None, stride[1]))
    low, high = (-np.inf, np.inf) if pair.ends is None else (pair.ends.low, pair.ends.high)
    predictions: dict[str, list[np.ndarray]] = {rule: [] for rule in (*BOUNDARIES, *_OTHERS)}
    if stride != (1, 1):
        # Half a picture is no copy of it.
        del predictions["copy"]
    slopes, afters, insides = [], [], []
    for number, (plane, own_parts, offset) in enumerate(zip(pair.planes, parts, offsets)):
        sums = [float(kernel.sum()) for _, kernel in own_parts]
        magnitude = sum(float(np.abs(kernel).sum()) for _, kernel in own_parts)
        for frame in border_rectangles(shape, windows):
            rows, columns = (_strided(*each) for each in zip(_part(frame), stride, pair.shapes[1]))
            if rows.after.start >= rows.after.stop or columns.after.start >= columns.after.stop:
                continue
            place, where = (rows.before, columns.before), (rows.after, columns.after)
            keep = np.ones(plane.after[where].shape, bool)
            if plane.bad_after is not None:
                keep &= ~plane.bad_after[where]
            if plane.bad_before is not None:
                keep &= ~_touched(plane.bad_before, own_parts[0][1].shape, windows, place)[every]
            inside = np.ones(keep.shape, bool) if plane.clipped is None else ~plane.clipped[where]
            afters.append(plane.after[where].astype(np.float64)[keep])
            insides.append(inside[keep])
            shares: list[np.ndarray] | None = None
            total: Any = sum(sums)
            added: Any = offset
            if over is not None:
                shares = [over.share(i, where) for i in range(len(own_parts))]
                total = np.tensordot(sums, np.stack(shares), 1)[keep]
                added = offset + over.added(number, where)[keep]
            own = {rule: _predicted(own_parts, windows, place, rule, 0.0, shares)[every][keep] for rule in BOUNDARIES}
            slope = _predicted(own_parts, windows, place, "constant", 1.0, shares)[every][keep] - own["constant"]
            slopes.append(slope)
            for rule in BOUNDARIES:
                predictions[rule].append(own[rule] + added)
            held = total - slope
            usable = np.abs(held) > 1e-3 * magnitude
            scaled = own["constant"] * np.where(usable, total / np.where(usable, held, 1.0), np.nan)
            predictions["renormalised"].append(scaled + added)
            if "copy" in predictions:
                predictions["copy"].append(plane.before[where].astype(np.float64)[keep])
    if not slopes:
        return {}, 0, 0.0
    joined = {rule: np.concatenate(parts) for rule, parts in predictions.items()}
    slope, after, free = np.concatenate(slopes), np.concatenate(afters), np.concatenate(insides)
    if not np.isfinite(joined["renormalised"]).all():
        del joined["renormalised"]
    left = (after - joined["constant"])[free]
    steepness = float(slope[free] @ slope[free])
    cval = float(slope[free] @ left) / steepness if steepness > 1e-12 * max(1, slope.size) else 0.0
    cval = _tidy(cval, pair, left, slope[free])
    joined["constant"] = joined["constant"] + cval * slope
    squares: dict[str, float] = {}
    for name, predicted in joined.items():
        miss = after - (predicted if name == "copy" else np.clip(predicted, low, high))
        squares[name] = float(miss @ miss)
    return squares, slope.size, cval


@dataclass(frozen=True)
class _Along:
    """Rows or columns of the before from one that a pixel of the after lies over, and these pixels."""

    before: tuple[int, int]
    after: slice


def _strided(span: tuple[int, int], stride: int, count: int) -> _Along:
    """Return a span of the before as that over `count` pixels of the after, the first over 0."""
    first, last = -(-span[0] // stride), min(-(-span[1] // stride), count)
    return _Along((first * stride, max(first, last - 1) * stride + 1), slice(first, last))


def _part(frame: tuple[tuple[int, int], tuple[int, int]]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the part of a frame used to identify the rule."""
    (top, bottom), (left, right) = frame
    return (top, min(bottom, top + _LONGEST)), (left, min(right, left + _LONGEST))


def _predicted(
    parts: Sequence[Part],
    windows: tuple[Window, Window],
    place: tuple[tuple[int, int], tuple[int, int]],
    rule: Boundary,
    cval: float = 0.0,
    shares: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """Return the filtered pixels at `place` under a rule, each part times its share if given."""
    result: np.ndarray | None = None
    for number, (image, kernel) in enumerate(parts):
        strip = extended(image[None], windows, rule, cval, *place)[0]
        own = correlate(strip, kernel, mode="valid", dtype=np.float64)
        if shares is not None:
            own *= shares[number]
        result = own if result is None else result + own
    assert result is not None
    return result


def _touched(
    bad: np.ndarray,
    size: tuple[int, ...],
    windows: tuple[Window, Window],
    place: tuple[tuple[int, int], tuple[int, int]],
) -> np.ndarray:
    """Return the outputs at `place` that read a bad pixel under any rule."""
    image = bad[None].astype(np.uint8)
    hits = [
        correlate(extended(image, windows, rule, 0.0, *place)[0], np.ones(size), mode="valid") for rule in BOUNDARIES
    ]
    touched: np.ndarray = np.logical_or.reduce([hit > 0.5 for hit in hits])
    return touched


def _tidy(cval: float, pair: Pair, residual: np.ndarray, slope: np.ndarray) -> float:
    """Return 0 or the nearest multiple of the step if it explains the border as well as `cval`, else `cval`."""
    step = pair.step or 1.0
    left = residual - cval * slope
    slack = float(left @ left) + 25.0 * pair.exact_variance(0.0, 1)
    for candidate in (0.0, round(cval / step) * step):
        left = residual - candidate * slope
        if float(left @ left) <= slack * 1.01:
            return float(candidate)
    return cval
