"""The bank of kernels between several planes: its support, its weights with errors, and the exact ones by rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from kernelfield._core import lag_products
from kernelfield.errors import DataError
from kernelfield.learning.alternatives import Signs, measure_signs
from kernelfield.learning.dependence import share_by_colour
from kernelfield.learning.least_squares import Solution, solve
from kernelfield.learning.models.joint import Joint, Task, bands, gather_joint, map_of, predicted, working_dtype
from kernelfield.learning.models.matrices import likely
from kernelfield.learning.models.whole import Whole, find_row
from kernelfield.learning.residual import Map
from kernelfield.learning.support import Support, centred

# Pixels of the part on which the support is searched for and errors are judged, and the weights of all sources in the
# largest support that is searched.
_PART, _MOST = 1 << 18, 1100
# Multiply-adds of explicit windows in the search.
_SEARCH = 300_000_000
# Tiles along each axis, for errors that see residuals which are alike.
_TILES = 10
# Standard deviations of an F statistic that a row or column of weights has to exceed.
_SIGNIFICANT = 5.0
# Variance of the residual over that of rounding up to which exact weights are looked for.
_ROUNDED = 4.0
# Standard deviations within which of an end a prediction is censored; those from an end beyond which a value has no
# such prediction, unless its residual is one of eight; the side of the tiles that are looked at for others.
_MARGIN, _FAR, _TILE = 4.0, 12.0, 128


@dataclass(frozen=True)
class Bank:
    """The kernels between planes.

    Attributes
    ----------
    support : Support
    kernels, stderr : numpy.ndarray, shape (O, C, kh, kw)
    offsets : tuple of float
    joints : list of Joint
    solutions : list of Solution
    variances : numpy.ndarray, shape (O,)
        Of the residuals of least squares.
    whole : tuple of Whole or None
        The weights that reproduce each plane by rounding.
    at_floor : bool
        Whether nothing but the rounding of floating point is left.
    task : Task
        Without the pixels that least squares left out.
    noise : float
        Variance of the noise in the before that was taken from the Gram matrix.
    free : numpy.ndarray or None
        The indices of the weights of one plane that were solved for, where the others are zeros.
    """

    support: Support
    kernels: np.ndarray
    stderr: np.ndarray
    offsets: tuple[float, ...]
    joints: list[Joint]
    solutions: list[Solution]
    variances: np.ndarray
    whole: tuple[Whole | None, ...]
    at_floor: bool
    task: Task
    noise: float = 0.0
    free: np.ndarray | None = None

    @property
    def exact(self) -> bool:
        """Whether rounding reproduces every pixel that counts."""
        return self.at_floor or all(one is not None for one in self.whole)

    @property
    def rank(self) -> int:
        """Number of directions of the kernels of one plane of the after that the pair determines."""
        return min(one.rank for one in self.solutions)

    @property
    def parameters(self) -> int:
        """Number of weights of one plane of the after that may differ from zero."""
        return self.kernels[0].size if self.free is None else self.free.size

    @property
    def complete(self) -> bool:
        """Whether every weight is determined."""
        return self.rank == self.parameters


def part_of_task(task: Task, pixels: int = _PART) -> Task:
    """Return the middle of a task, of about so many pixels, with befores and afters of one size."""
    height, width = task.targets[0].after.shape
    if height * width <= pixels:
        return task.cut(slice(0, height), slice(0, width))
    tall = min(height, max(64, int(np.sqrt(pixels * height / width))))
    wide = min(width, max(64, pixels // tall))
    top, left = (height - tall) // 2, (width - wide) // 2
    return task.cut(slice(top, top + tall), slice(left, left + wide))


def find_support(task: Task, max_size: int) -> Support:
    """Return the smallest rectangle of offsets beyond which no weight matters, at most `max_size` along each axis."""
    part = part_of_task(_clear(task))
    most = min(max_size, int(np.sqrt(_MOST / len(task.sources))), (min(part.sources[0].shape) - 8) // 2)
    best, size = Support(0, 0, 1, 1), min(5, most)
    while size > 0:
        largest = centred((size - 1 + size % 2,) * 2)
        if not _determined(part, largest):
            break
        best = _shrunk(part, largest)
        ends = best.top == largest.top or best.left == largest.left
        ends |= best.top + best.rows == largest.top + largest.rows
        ends |= best.left + best.columns == largest.left + largest.columns
        if not ends or size >= most:
            break
        size = min(most, 2 * size + 1)
    return best


def _clear(task: Task) -> Task:
    """Return the task without the values at the ends of the range."""
    return task.without([plane.clipped for plane in task.targets])


def _determined(task: Task, support: Support) -> bool:
    rows, columns = task.positions(support)
    count = (rows.stop - rows.start) * (columns.stop - columns.start)
    return bool(count > 2 * support.rows * support.columns * len(task.sources))


@dataclass
class Nested:
    """The weights of one plane over a support, from which rows and columns are taken one after another.

    Without the weights ``S`` least squares leaves ``k_S' V_SS^-1 k_S`` more, for the inverse ``V`` of the Gram matrix.
    """

    kernel: np.ndarray
    inverse: np.ndarray
    left: float

    def more(self, out: np.ndarray) -> float:
        """Return how much more is left without some weights."""
        own = self.kernel[out]
        return max(0.0, float(own @ np.linalg.solve(self.inverse[np.ix_(out, out)], own)))

    def without(self, out: np.ndarray) -> Nested:
        """Return the weights without some."""
        kept = np.setdiff1d(np.arange(self.kernel.size), out)
        share = np.linalg.solve(self.inverse[np.ix_(out, out)], self.inverse[np.ix_(out, kept)])
        kernel = self.kernel[kept] - share.T @ self.kernel[out]
        inverse = self.inverse[np.ix_(kept, kept)] - self.inverse[np.ix_(kept, out)] @ share
        return Nested(kernel, inverse, self.left + self.more(out))


def _shrunk(task: Task, support: Support) -> Support:
    """Return the support without outer rows and columns whose weights do not matter; it holds the output pixel."""
    planes, pair = len(task.sources), task.pair
    moments = [joint.moments() for joint in gather_joint(task, support, _SEARCH)]
    nested, floors = [], []
    for one in moments:
        kernel, inverse = one.ridge_kernel, one.ridge_inverse
        floor = max(pair.exact_variance(one.square, one.count) * one.count, 1e-12 * one.square, 1e-300)
        nested.append(Nested(kernel, inverse, one.unexplained(kernel)))
        floors.append(floor)
    current = support
    while True:
        tried = []
        size = current.rows * current.columns
        freedom = max(1, min(one.count for one in moments) - size * planes)
        for smaller in smaller_supports(current):
            out = outside(current, smaller, planes)
            gains = [one.more(out) for one in nested]
            # What rounding explains is no gain.
            gains = [gain if one.left + gain > floor else 0.0 for gain, one, floor in zip(gains, nested, floors)]
            left = [max(one.left, floor) for one, floor in zip(nested, floors)]
            statistic = max(gain / one for gain, one in zip(gains, left)) * freedom / out.size
            if statistic < 1.0 + _SIGNIFICANT * np.sqrt(2.0 / out.size):
                tried.append((statistic, smaller, out))
        if not tried:
            return current
        _, smaller, out = min(tried, key=lambda one: one[0])
        nested, current = [one.without(out) for one in nested], smaller


def outside(support: Support, smaller: Support, planes: int) -> np.ndarray:
    """Return the indices of the weights of all sources that lie in a support, and not in a smaller one."""
    places = np.ones(support.size, bool)
    top, left = smaller.top - support.top, smaller.left - support.left
    places[top : top + smaller.rows, left : left + smaller.columns] = False
    return np.flatnonzero(np.tile(places.ravel(), planes))


def smaller_supports(support: Support) -> list[Support]:
    """Return the supports with one outer row or column less that hold the output pixel."""
    top, left, rows, columns = support.top, support.left, support.rows, support.columns
    found = []
    if top < 0:
        found.append(Support(top + 1, left, rows - 1, columns))
    if top + rows - 1 > 0:
        found.append(Support(top, left, rows - 1, columns))
    if left < 0:
        found.append(Support(top, left + 1, rows, columns - 1))
    if left + columns - 1 > 0:
        found.append(Support(top, left, rows, columns - 1))
    return found


def solve_bank(task: Task, support: Support, noise: float = 0.0, free: np.ndarray | None = None) -> Bank:
    """Return the bank over a support.

    Parameters
    ----------
    noise : float
        Variance of the noise in the before, which is taken from the Gram matrix.
    free : numpy.ndarray, optional
        The indices of the weights of one plane of the after that may differ from zero.

    Raises
    ------
    DataError
        If there are fewer usable pixels than weights and offsets.
    """
    used = _clear(task)
    bank = _solved(used, support, noise, free)
    pair = task.pair
    exact: list[Whole | None] = [None] * len(task.targets)
    if pair.step == 0.0 or not bank.complete:
        return bank
    if (bank.variances <= _ROUNDED * pair.step**2 / 12.0).all():
        known = likely(bank.kernels[:, :, 0, 0]) if support.size == (1, 1) else []
        for number, joint in enumerate(bank.joints):
            rows = [matrix[number][:, None, None] for matrix in known]
            found = find_row(task, support, number, bank.kernels[number], bank.stderr[number], joint, rows)
            if found is not None and (free is None or not np.delete(found.kernels.ravel(), free).any()):
                exact[number] = found
    if any(one is not None for one in exact):
        kernels = [own if one is None else one.kernels for own, one in zip(bank.kernels, exact)]
        offsets = [own if one is None else one.offset for own, one in zip(bank.offsets, exact)]
        return replace(
            bank, kernels=np.stack(kernels), offsets=tuple(offsets), whole=tuple(exact), at_floor=False, task=task
        )
    if any(plane.clipped is not None for plane in task.targets) and pair.ends is not None:
        # Whether a pixel is clipped is judged by its prediction: by its value it would bend the fit.
        try:
            return _solved(task.without(_censored(task, bank)), support, noise, free)
        except DataError:
            # A fit that leaves much tells of no pixel that it lies inside.
            return bank
    return bank


def _censored(task: Task, bank: Bank) -> list[np.ndarray | None]:
    """Return where the prediction of each plane lies at or beyond an end of the range, nearly or quite."""
    masks: list[np.ndarray | None] = []
    ends = task.pair.ends
    assert ends is not None
    origin, dtype = Support(0, 0, *bank.support.size), working_dtype(task)
    windows = task.windows(bank.support)
    rows, columns = task.positions(bank.support)
    for number, plane in enumerate(task.targets):
        if plane.clipped is None:
            masks.append(None)
            continue
        mask = np.zeros(plane.after.shape, bool)
        sd = float(np.sqrt(bank.variances[number]))
        low, high = ends.low + _MARGIN * sd, ends.high - _MARGIN * sd
        inner, after = mask[rows, columns], plane.after[rows, columns]
        for part in _near(after, ends.low + _FAR * sd, ends.high - _FAR * sd):
            read = [window[origin.windows(part)] for window in windows]
            value = predicted(read, bank.kernels[number], dtype) + dtype.type(bank.offsets[number])
            np.logical_or(value < low, value > high, out=inner[part])
        masks.append(mask)
    return masks


def _near(after: np.ndarray, low: float, high: float) -> Iterator[tuple[slice, slice]]:
    """Yield the tiles with a value outside a range, neighbours in a row of tiles as one."""
    for top in range(0, after.shape[0], _TILE):
        rows = slice(top, min(top + _TILE, after.shape[0]))
        starts = np.arange(0, after.shape[1], _TILE)
        ends = (
            np.minimum.reduceat(after[rows].min(axis=0), starts),
            np.maximum.reduceat(after[rows].max(axis=0), starts),
        )
        edges = np.flatnonzero(np.diff((ends[0] < low) | (ends[1] > high), prepend=False, append=False))
        for first, last in edges.reshape(-1, 2):
            yield rows, slice(int(first) * _TILE, min(int(last) * _TILE, after.shape[1]))


def _solved(task: Task, support: Support, noise: float, free: np.ndarray | None) -> Bank:
    """Return the least-squares bank with its errors."""
    joints = gather_joint(task, support)
    pair, planes, p = task.pair, len(task.sources), support.rows * support.columns
    weights = planes * p if free is None else free.size
    kernels, errors, variances, solutions, at_floor = [], [], [], [], pair.step == 0.0
    previous: tuple[np.ndarray, Solution] | None = None
    for number, joint in enumerate(joints):
        if joint.count < weights + 1:
            raise DataError(
                f"before, after: expected at least {weights + 1} usable pixels for {planes} kernels of "
                f"{support.rows}×{support.columns} and an offset; received {joint.count}; take a smaller size, a "
                "larger image, or exclude less"
            )
        seen = joint.moments()
        if free is not None:
            seen = replace(seen, gram=seen.gram[np.ix_(free, free)], cross=seen.cross[free])
        moments = replace(seen, gram=seen.gram - seen.count * noise * np.eye(weights)) if noise else seen
        if previous is not None and previous[0] is joint.gram:
            inverse = previous[1].inverse
            solution = Solution(inverse @ moments.cross, inverse, previous[1].rank, previous[1].undetermined)
        else:
            solution = solve(moments)
        previous = joint.gram, solution
        kernel = solution.kernel
        variance = seen.unexplained(kernel) / moments.freedom
        energy = float((kernel**2).sum())
        # What noise in the before leaves is not to be refined away: it follows the kernel.
        if not noise and pair.step == 0.0 and variance <= pair.exact_variance(moments.square, moments.count, energy):
            whole, inverse = _spread(kernel, free, planes * p), _spread_solution(solution, free, planes * p).inverse
            for _ in range(2):
                whole, variance = _refined(task, support, number, whole, joint, inverse, moments.freedom)
            kernel = whole if free is None else whole[free]
        at_floor &= variance <= max(pair.floor(moments.square, moments.count, energy), 1e-26 * moments.square)
        spread = solution.inverse * variance
        if noise:
            # Fuller, Measurement Error Models, 1987, theorem 2.2.1, for noise of a normal distribution.
            scores = seen.gram * variance + np.outer(kernel, kernel) * (seen.count * noise**2)
            spread = solution.inverse @ scores @ solution.inverse
        error = np.sqrt(np.maximum(np.diag(spread), 0.0))
        error = np.hypot(error, pair.epsilon * np.abs(kernel).max() / np.sqrt(3.0))
        if solution.undetermined.size:
            error[(solution.undetermined**2).sum(axis=0) > 1e-9] = np.inf
        kernels.append(_spread(kernel, free, planes * p))
        errors.append(_spread(error, free, planes * p))
        variances.append(variance)
        solutions.append(_spread_solution(solution, free, planes * p))
    shape = len(joints), planes, *support.size
    offsets = tuple(joint.offset(kernel) for joint, kernel in zip(joints, kernels))
    return Bank(
        support,
        np.reshape(kernels, shape),
        np.reshape(errors, shape),
        offsets,
        joints,
        solutions,
        np.array(variances),
        (None,) * len(joints),
        bool(at_floor) and not noise and all(one.rank == weights for one in solutions),
        task,
        noise,
        free,
    )


def _spread(values: np.ndarray, free: np.ndarray | None, count: int) -> np.ndarray:
    """Return values of the free weights as those of `count` weights, the last axis; the others are zeros."""
    if free is None:
        return values
    every = np.zeros((*values.shape[:-1], count))
    every[..., free] = values
    return every


def _spread_solution(solution: Solution, free: np.ndarray | None, count: int) -> Solution:
    inverse = _spread(_spread(solution.inverse, free, count).T, free, count)
    kernel, undetermined = (_spread(one, free, count) for one in (solution.kernel, solution.undetermined))
    return Solution(kernel, inverse, solution.rank, undetermined)


def _refined(
    task: Task,
    support: Support,
    number: int,
    kernel: np.ndarray,
    joint: Joint,
    inverse: np.ndarray,
    freedom: int,
) -> tuple[np.ndarray, float]:
    """Return the weights after a step along the gradient of the residual, and its variance before."""
    windows, shape = task.windows(support), (len(task.sources), *support.size)
    gradient, square = np.zeros(kernel.size), 0.0
    for band in bands(task, support, number, kernel.reshape(shape), joint.offset(kernel), np.dtype(np.float64)):
        residual = band.residual
        if band.bad is not None:
            residual[band.bad] = 0.0
        square += float((residual**2).sum())
        gradient += _products(windows, band.start, residual, task.shifts, support.size)
    return kernel + inverse @ gradient, square / freedom


def _products(
    windows: list[np.ndarray], start: int, residual: np.ndarray, shifts: tuple[float, ...], size: tuple[int, int]
) -> np.ndarray:
    """Return the sums of a residual times the windows of all sources."""
    rows = len(residual)
    parts = [
        lag_products(residual, window[start : start + rows + size[0] - 1], size, rows, 0.0, shift)[0].ravel()
        for window, shift in zip(windows, shifts)
    ]
    return np.concatenate(parts)


def clustered(bank: Bank) -> np.ndarray:
    """Return standard errors that hold for residuals which are alike or unequal, from scores summed over tiles.

    The covariance is the sandwich of `kernelfield.learning.uncertainty`. Its ratio to that of independent residuals is
    measured on a part of a large picture.
    """
    part = part_of_task(bank.task, 1 << 20)
    support, size = bank.support, bank.support.size
    rows, columns = part.positions(support)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    cuts = [np.linspace(0, n, int(np.clip(n // 16, 1, _TILES)) + 1).astype(int) for n in (height, width)]
    count = (cuts[0].size - 1) * (cuts[1].size - 1)
    if count < 20 or not bank.complete:
        return bank.stderr
    windows, stderr, dtype = part.windows(support), bank.stderr.copy(), working_dtype(part)
    for number, joint in enumerate(bank.joints):
        target = part.targets[number]
        after, bad = target.after[rows, columns], target.excluded(support)
        offset = bank.offsets[number]
        residual = np.subtract(after, predicted(windows, bank.kernels[number], dtype) + dtype.type(offset), dtype=float)
        if bad is not None:
            residual[bad] = 0.0
        means = joint.means()
        scores, square = [], 0.0
        for top, bottom in zip(cuts[0][:-1], cuts[0][1:]):
            for left, right in zip(cuts[1][:-1], cuts[1][1:]):
                tile = np.ascontiguousarray(residual[top:bottom, left:right])
                read = [window[:, left : right + size[1] - 1] for window in windows]
                products = _products(read, top, tile, tuple(0.0 for _ in read), size)
                counted = tile.size - (0 if bad is None else int(bad[top:bottom, left:right].sum()))
                scores.append(products - tile.sum() * means + counted * bank.noise * bank.kernels[number].ravel())
                square += float((tile**2).sum())
        used = residual.size - (0 if bad is None else int(bad.sum()))
        # The inverse of the whole picture, as that of the part.
        influence = np.stack(scores) @ (bank.solutions[number].inverse * (joint.count / max(1, used)))
        seen = np.sqrt((influence**2).sum(axis=0) * count / (count - 1.0))
        if bank.noise:
            own = np.sqrt(used / max(1, joint.count)) * seen.reshape(stderr[number].shape)
            stderr[number] = np.maximum(stderr[number], own)
            continue
        diagonal = np.maximum(np.diag(bank.solutions[number].inverse), 0.0)
        plain = np.sqrt(diagonal * joint.count * square) / max(1, used)
        own = seen / np.maximum(plain, 1e-300)
        ratio = float(np.sqrt(np.mean((own if bank.free is None else own.ravel()[bank.free]) ** 2)))
        if ratio > 1.0 + 1.5 * np.sqrt(1.0 / (2.0 * count)):
            own = np.maximum(own, 1.0)
            stderr[number] *= own.reshape(stderr[number].shape)
    return stderr


def signs_of(bank: Bank) -> Signs:
    """Return the signs of nonlinearity in the residual of a part of the picture."""
    part = part_of_task(bank.task, 1 << 19)
    maps = [map_of(part, bank.support, i, own, bank.offsets[i]) for i, own in enumerate(bank.kernels)]
    along = down = square = 0.0
    for one in maps:
        residual = one.residual.astype(np.float64)
        if one.bad is not None:
            residual[one.bad] = 0.0
        along += float((residual[:, 1:] * residual[:, :-1]).sum())
        down += float((residual[1:] * residual[:-1]).sum())
        square += float((residual**2).sum())
    alike = max(along, down, key=abs) / square if square > 0.0 else 0.0
    return replace(measure_signs(bank.task.pair, maps, alike), colour=_share_by_colour(part, bank.support, maps))


def _share_by_colour(part: Task, support: Support, maps: list[Map]) -> float:
    """Return the share of a residual that functions of the colours below it explain; of more than three not known."""
    if not 1 < len(part.sources) <= 3:
        return 0.0
    rows, columns = part.positions(support)
    bad = [one.bad for one in maps if one.bad is not None]
    good = ~np.logical_or.reduce(bad) if bad else np.ones(maps[0].residual.shape, bool)
    if not good.any():
        return 0.0
    colours = np.stack([source[rows, columns][good] for source in part.sources], axis=1)
    return share_by_colour(colours, np.stack([one.residual[good] for one in maps], axis=1).astype(np.float64))
