"""Least squares of several kernels at once: a plane of the after is a sum of kernels over all planes of the before.

``after_o[p] = sum over c and u of bank[o, c, u] * before_c[p + u] + offset_o``. The Gram matrix has a block for any two
planes of the before, which is made of their lag products as that of one plane is; it is the same for all planes of the
after that exclude no other positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from kernelfield._core import lag_products, window_products
from kernelfield.correlation import correlate
from kernelfield.learning.gram import block_rows, joint_gram, window_totals
from kernelfield.learning.least_squares import Moments
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.residual import Map, contrast
from kernelfield.learning.support import Support

# Positions times weights up to which explicit windows are cheaper than lag products; multiply-adds that explicit
# windows may cost.
_SMALL, _EXPLICIT = 1 << 20, 16_000_000_000
# Positions a weight that are summed whatever they cost.
_FEWEST = 12
# Pixels of a block of rows of the residual.
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Task:
    """Planes of a before that kernels read together, and the planes of the after that they give.

    Attributes
    ----------
    sources : tuple of numpy.ndarray, shape (H, W)
        Finite.
    shifts : tuple of float
        Constants near their means.
    targets : tuple of Plane
        The planes of the after; of their befores only the shape and the excluded pixels count.
    pair : Pair
        Grid, precision and range of the after.
    everywhere : dict
        The sums over all positions of the support that was last asked for: they do not depend on what is excluded.
    """

    sources: tuple[np.ndarray, ...]
    shifts: tuple[float, ...]
    targets: tuple[Plane, ...]
    pair: Pair
    everywhere: dict[Support, list[Joint]] = field(default_factory=dict, repr=False, compare=False)

    def positions(self, support: Support) -> tuple[slice, slice]:
        """Return the rows and columns of the after with their windows inside the before."""
        return support.positions(self.sources[0].shape, self.targets[0].after.shape)

    def windows(self, support: Support) -> list[np.ndarray]:
        """Return the part of each source that the windows at all positions read."""
        place = support.windows(self.positions(support))
        return [source[place] for source in self.sources]

    def without(self, masks: list[np.ndarray | None]) -> Task:
        """Return the task with more pixels of each plane of the after excluded."""
        return replace(self, targets=tuple(plane.without(mask) for plane, mask in zip(self.targets, masks)))

    def cut(self, rows: slice, columns: slice) -> Task:
        """Return the part of a task with befores and afters of one size."""
        place = rows, columns

        def part(mask: np.ndarray | None) -> np.ndarray | None:
            return None if mask is None else mask[place]

        targets = tuple(
            replace(
                plane,
                before=plane.before[place],
                after=plane.after[place],
                bad_before=part(plane.bad_before),
                bad_after=part(plane.bad_after),
                clipped=part(plane.clipped),
            )
            for plane in self.targets
        )
        return replace(self, sources=tuple(source[place] for source in self.sources), targets=targets, everywhere={})


@dataclass(frozen=True)
class Joint:
    """Sums over the positions of one plane of the after, about the shifts.

    Attributes
    ----------
    count : int
    gram, cross, total : numpy.ndarray, shapes (P, P), (P,), (P,)
        Of the windows of all sources, source by source; their products with the after; their sums.
    shifts : numpy.ndarray, shape (P,)
        Subtracted from the windows.
    after_total, after_square, after_shift : float
    """

    count: int
    gram: np.ndarray
    cross: np.ndarray
    total: np.ndarray
    shifts: np.ndarray
    after_total: float
    after_square: float
    after_shift: float

    def moments(self) -> Moments:
        """Return the centred sums."""
        n = max(1, self.count)
        gram = self.gram - np.outer(self.total, self.total) / n
        cross = self.cross - self.total * (self.after_total / n)
        return Moments(gram, cross, max(0.0, self.after_square - self.after_total**2 / n), self.count)

    def __add__(self, other: Joint) -> Joint:
        """Return the sums over both; of the same plane, about the same shifts."""
        return replace(
            self,
            count=self.count + other.count,
            gram=self.gram + other.gram,
            cross=self.cross + other.cross,
            total=self.total + other.total,
            after_total=self.after_total + other.after_total,
            after_square=self.after_square + other.after_square,
        )

    def unexplained(self, weights: np.ndarray, offset: float) -> float:
        """Return the sum of squares that weights and an offset leave."""
        constant = offset - self.after_shift + float(self.shifts @ weights)
        left = self.after_square + float(weights @ self.gram @ weights) + self.count * constant**2
        left -= 2.0 * float(weights @ (self.cross - constant * self.total)) + 2.0 * constant * self.after_total
        return max(0.0, left)

    def offset(self, weights: np.ndarray) -> float:
        """Return the least-squares offset for weights, shape (P,)."""
        n = max(1, self.count)
        return float(self.after_shift + self.after_total / n - (self.shifts + self.total / n) @ weights)

    def means(self) -> np.ndarray:
        """Return the mean of each pixel of the windows."""
        means: np.ndarray = self.shifts + self.total / max(1, self.count)
        return means


def gather_joint(task: Task, support: Support, most: int = _EXPLICIT) -> list[Joint]:
    """Return the sums of each plane of the after; those that exclude few positions share a Gram matrix.

    Explicit windows cost at most about `most` multiply-adds; where they would cost more, evenly spread ones are taken.
    """
    rows, columns = task.positions(support)
    windows, size = tuple(task.windows(support)), support.size
    weights = size[0] * size[1] * len(windows)
    count = (rows.stop - rows.start) * (columns.stop - columns.start)
    cost = weights * weights
    result = []
    for number, plane in enumerate(task.targets):
        bad, after = plane.excluded(support), plane.after[rows, columns]
        many = 0 if bad is None else int(np.count_nonzero(bad))
        explicit = count * weights <= _SMALL or after.shape[0] < size[0] or after.shape[1] < size[1]
        if explicit or min(many, count - many) * cost > most or 2 * many > count:
            good = np.ones(after.shape, bool) if bad is None else ~bad
            every = max(1, min(-(-(count - many) * cost // most), (count - many) // (_FEWEST * weights)))
            result.append(_explicit(task, windows, plane, after, _some(good, every), support))
            continue
        whole = _everywhere(task, support)[number]
        if many and bad is not None:
            part = _explicit(task, windows, plane, after, bad, support)
            whole = replace(
                whole,
                count=whole.count - part.count,
                gram=whole.gram - part.gram,
                cross=whole.cross - part.cross,
                total=whole.total - part.total,
                after_total=whole.after_total - part.after_total,
                after_square=whole.after_square - part.after_square,
            )
        result.append(whole)
    return result


def _some(good: np.ndarray, every: int) -> np.ndarray:
    """Return a mask of one in so many of the positions of another."""
    if every == 1:
        return np.ascontiguousarray(good)
    some = np.zeros(good.shape, bool)
    some.ravel()[np.flatnonzero(good)[::every]] = True
    return some


def _everywhere(task: Task, support: Support) -> list[Joint]:
    """Return the sums of each plane of the after over all positions, from lag products."""
    if support not in task.everywhere:
        task.everywhere.clear()
        task.everywhere[support] = _lagged(task, support)
    return task.everywhere[support]


def _lagged(task: Task, support: Support) -> list[Joint]:
    """Return the sums over all positions from lag products of all planes at once."""
    where, size = task.positions(support), support.size
    windows, afters = tuple(task.windows(support)), tuple(plane.after[where] for plane in task.targets)
    block = block_rows(afters[0].shape[0])
    after_shifts = tuple(plane.after_shift for plane in task.targets)
    gram = joint_gram([windows], size, task.shifts)
    total = np.concatenate([window_totals(x, size, shift).ravel() for x, shift in zip(windows, task.shifts)])
    shifts = np.repeat(task.shifts, size[0] * size[1])
    crosses = lag_products(afters, windows, size, block, after_shifts, task.shifts).sum(axis=0)
    found = []
    for after, shift, cross in zip(afters, after_shifts, crosses):
        ones = np.broadcast_to(np.ones((1, after.shape[1]), after.dtype), after.shape)
        both = lag_products((ones, after), after, (1, 1), block, (0.0, shift), shift).sum(axis=0).ravel()
        found.append(Joint(after.size, gram, cross.ravel(), total, shifts, float(both[0]), float(both[1]), shift))
    return found


def _explicit(
    task: Task, windows: tuple[np.ndarray, ...], plane: Plane, after: np.ndarray, chosen: np.ndarray, support: Support
) -> Joint:
    """Return the sums over the positions `chosen`, from their explicit windows."""
    p = support.rows * support.columns * len(windows)
    sums = window_products(windows, after, chosen.view(np.uint8), support.size, task.shifts, plane.after_shift)
    return Joint(
        int(sums[p, p]),
        sums[:p, :p].copy(),
        sums[:p, p + 1].copy(),
        sums[:p, p].copy(),
        np.repeat(task.shifts, support.rows * support.columns),
        float(sums[p, p + 1]),
        float(sums[p + 1, p + 1]),
        plane.after_shift,
    )


def rows_of(windows: list[np.ndarray], size: tuple[int, int], columns: int, flat: np.ndarray) -> np.ndarray:
    """Return the windows of all sources at the positions `flat` of `columns` columns, float64, shape (n, P)."""
    down, right = np.divmod(flat, columns)
    views = [np.lib.stride_tricks.sliding_window_view(x, size)[down, right] for x in windows]
    return np.concatenate([view.reshape(flat.size, -1) for view in views], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Band:
    """Some rows of the residual of a plane of the after: where they begin, the residual, and excluded positions."""

    start: int
    after: np.ndarray
    residual: np.ndarray
    bad: np.ndarray | None


def predicted(windows: list[np.ndarray], kernels: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the sums of kernels, shape (C, kh, kw), with the windows of as many sources."""
    total: np.ndarray | None = None
    for window, kernel in zip(windows, kernels):
        part = correlate(window, kernel, mode="valid", dtype=dtype)
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total


def bands(
    task: Task, support: Support, number: int, kernels: np.ndarray, offset: float, dtype: np.dtype
) -> Iterator[Band]:
    """Yield the residual of one plane of the after, band by band."""
    rows, columns = task.positions(support)
    windows, plane = task.windows(support), task.targets[number]
    after, excluded = plane.after[rows, columns], plane.excluded(support)
    step = max(support.rows, _BLOCK // max(1, after.shape[1]))
    for start in range(0, after.shape[0], step):
        some = after[start : start + step]
        read = [window[start : start + len(some) + support.rows - 1] for window in windows]
        residual = predicted(read, kernels, dtype)
        residual += dtype.type(offset)
        np.subtract(some, residual, out=residual)
        yield Band(start, some, residual, None if excluded is None else excluded[start : start + len(some)])


def working_dtype(task: Task) -> np.dtype:
    """Return a dtype of sufficient precision for the residual."""
    small = all(plane.after.dtype == np.uint8 for plane in task.targets)
    return np.dtype(np.float32 if small and all(x.dtype == np.uint8 for x in task.sources) else np.float64)


def map_of(task: Task, support: Support, number: int, kernels: np.ndarray, offset: float) -> Map:
    """Return the prediction and the residual of one plane of the after at every position."""
    rows, columns = task.positions(support)
    windows, plane = task.windows(support), task.targets[number]
    dtype = working_dtype(task)
    values = predicted(windows, kernels, dtype)
    values += dtype.type(offset)
    residual = np.subtract(plane.after[rows, columns], values, dtype=dtype)
    near = windows[min(number, len(windows) - 1)]
    return Map(values, residual, contrast(near, values.shape, support), plane.excluded(support))
