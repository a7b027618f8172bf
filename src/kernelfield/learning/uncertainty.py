"""Standard errors that hold where residuals are correlated, unequal or follow the picture, and noise in the before.

The covariance is that of scores summed over tiles (the sandwich of Huber and White, clustered: Cameron and Miller,
*Journal of Human Resources* 50, 317, 2015), which sees correlation within tiles and unequal variances. Noise in the
before and compression bias the weights, most where the picture is calm: the scores of the calm half of the tiles then
do not sum to zero. By how much they miss says how far the weights may be off.

Noise in the before of variance s² adds n s² to the diagonal of the Gram matrix; where s is known, or is what makes the
calm and the busy half agree, it is subtracted (Fuller, *Measurement Error Models*, 1987, section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from kernelfield._core import lag_products
from kernelfield.learning.estimate import Estimate
from kernelfield.learning.least_squares import Moments
from kernelfield.learning.pair import Pair
from kernelfield.learning.residual import Map, residual_maps
from kernelfield.learning.statistics import gather

# Tiles along each axis, and their smallest side.
_TILES, _SIDE = 12, 10
# Root mean square of the difference between calm and busy tiles, in standard errors, from which on they disagree.
DISAGREE = 2.0
# Coefficients up to which the noise of the before is measured from the pair, and tiles of each half for it.
_MOST, _SAMPLED = 121, 40
# Excess of differences across the edges of blocks of eight over other differences.
_BLOCKY = 1.12


@dataclass(frozen=True)
class Uncertainty:
    """A kernel, corrected for noise in the before, with errors that hold.

    Attributes
    ----------
    kernel, stderr : numpy.ndarray, shape (kh, kw)
    offsets : tuple of float
    widened : float
        Factor of the errors over those of independent, equal residuals.
    disagreement : float
        Root mean square difference between calm and busy tiles in standard errors; about 1 if the model holds.
    blocky : bool
        Whether the residual jumps at the edges of blocks of eight, as after JPEG.
    noise : float
        Standard deviation of the noise in the before that was corrected for; 0 for none.
    measured : bool
        Whether that was measured rather than given.
    correlation : float
        Of neighbouring residuals.
    """

    kernel: np.ndarray
    stderr: np.ndarray
    offsets: tuple[float, ...]
    widened: float
    disagreement: float
    blocky: bool
    noise: float
    measured: bool
    correlation: float


@dataclass(frozen=True)
class _Tiles:
    """Scores of tiles: per tile the sum of residual times centred windows, pixels that count, and contrast."""

    scores: np.ndarray
    counts: np.ndarray
    contrast: np.ndarray
    rows: list[slice]
    columns: list[slice]


def measure_errors(pair: Pair, estimate: Estimate, noise: tuple[float, float] | None) -> Uncertainty:
    """Return the kernel with its errors; `noise` is that of before and after, where known."""
    level = 0.0 if noise is None else noise[0] / pair.before_unit.scale
    solved = _Solved.of(pair, estimate, level**2)
    maps = residual_maps(pair, solved.kernel, solved.offsets, estimate.support)
    tiles = _tiles(pair, estimate, maps)
    correlation, blocky = _neighbours(maps), _is_blocky(pair, estimate, maps)
    stderr, widened, disagreement, miss = _errors(estimate, solved, tiles, maps)
    measured = False
    if noise is None and disagreement > DISAGREE and not blocky and estimate.kernel.size <= _MOST:
        found = _measured_noise(pair, estimate, tiles)
        if found is not None:
            variance, error = found
            other = _Solved.of(pair, estimate, variance)
            other_maps = residual_maps(pair, other.kernel, other.offsets, estimate.support)
            other_tiles = _tiles(pair, estimate, other_maps)
            better = _errors(estimate, other, other_tiles, other_maps)
            if better[2] < max(DISAGREE, 0.5 * disagreement):
                slope = (other.inverse @ (estimate.moments.count * other.kernel.ravel())).reshape(other.kernel.shape)
                solved, level, measured = other, float(np.sqrt(variance)), True
                stderr, widened, disagreement, miss = better
                stderr = np.hypot(stderr, slope * error)
    if disagreement > DISAGREE:
        wider = np.sqrt(stderr**2 + np.maximum(miss**2, np.mean(miss**2)))
        widened *= float(np.sqrt(np.mean((wider / stderr) ** 2)))
        stderr = wider
    return Uncertainty(
        solved.kernel, stderr, solved.offsets, widened, disagreement, blocky, level, measured, correlation
    )


@dataclass(frozen=True)
class _Solved:
    kernel: np.ndarray
    offsets: tuple[float, ...]
    inverse: np.ndarray
    before_variance: float

    @classmethod
    def of(cls, pair: Pair, estimate: Estimate, before_variance: float) -> _Solved:
        """Return the solution with the noise of the before taken from the Gram matrix."""
        if before_variance == 0.0:
            return cls(estimate.kernel, estimate.offsets, estimate.solution.inverse, 0.0)
        moments = estimate.moments
        gram = moments.gram - moments.count * before_variance * np.eye(moments.cross.size)
        values, vectors = scipy.linalg.eigh(gram)
        # As in any inverse problem: directions with less signal than noise are not amplified.
        values = np.maximum(values, 0.05 * moments.count * before_variance)
        inverse = (vectors / values) @ vectors.T
        kernel = (inverse @ moments.cross).reshape(estimate.kernel.shape)
        offsets = tuple(s.offset(kernel) for s in estimate.statistics)
        return cls(kernel, offsets, inverse, before_variance)


def _tiles(pair: Pair, estimate: Estimate, maps: list[Map]) -> _Tiles:
    """Return the scores of the tiles of all planes together; the channels of a tile may share their noise."""
    support = estimate.support
    shape = maps[0].residual.shape
    rows, columns = (_cut(n, k) for n, k in zip(shape, support.size))
    scores = np.zeros((len(rows), len(columns), estimate.kernel.size))
    counts, contrast = np.zeros(scores.shape[:2]), np.zeros(scores.shape[:2])
    height = rows[0].stop - rows[0].start
    for plane, part, sums in zip(pair.planes, maps, estimate.statistics):
        residual = part.residual
        if part.bad is not None:
            residual = np.where(part.bad, np.zeros((), residual.dtype), residual)
        around = plane.before[support.windows(support.positions(plane.before.shape, plane.after.shape))]
        mean = sums.total / max(1, sums.count)
        for j, strip in enumerate(columns):
            inner = np.ascontiguousarray(residual[:, strip])
            windows = around[:, strip.start : strip.stop + support.columns - 1]
            products = lag_products(inner, windows, support.size, height, 0.0, plane.before_shift)
            totals = np.add.reduceat(inner.sum(axis=1, dtype=np.float64), [r.start for r in rows])
            products = products.reshape(len(products), -1)
            scores[:, j] += _merged(products, len(rows)) - np.outer(totals, mean)
            for i, band in enumerate(rows):
                piece = part.contrast[band, strip]
                contrast[i, j] += float(np.mean(np.square(piece, dtype=np.float64)))
                bad = 0 if part.bad is None else int(part.bad[band, strip].sum())
                counts[i, j] += piece.size - bad
    flat = scores.reshape(-1, estimate.kernel.size)
    return _Tiles(flat, counts.ravel(), contrast.ravel(), rows, columns)


def _cut(n: int, size: int) -> list[slice]:
    """Return a length cut into equal parts; the last takes what is left."""
    count = int(np.clip(n // max(_SIDE, size), 1, _TILES))
    width = -(-n // count)
    return [slice(start, min(n, start + width)) for start in range(0, n, width)]


def _merged(products: np.ndarray, count: int) -> np.ndarray:
    """Return the products of blocks of rows as those of `count` bands."""
    return products[:count]


def _errors(
    estimate: Estimate, solved: _Solved, tiles: _Tiles, maps: list[Map]
) -> tuple[np.ndarray, float, float, np.ndarray]:
    """Return standard errors, their factor over those of independent residuals, the disagreement, and its size."""
    moments = estimate.moments
    scores = tiles.scores
    if solved.before_variance:
        scores = scores + np.outer(tiles.counts * solved.before_variance, solved.kernel.ravel())
    influence = scores @ solved.inverse
    count = len(influence)
    square = sum(float(np.square(_counting(part), dtype=np.float64).sum()) for part in maps)
    variance = square / moments.freedom
    plain = estimate.stderr.ravel()
    if solved.before_variance:
        plain = np.sqrt(np.maximum(np.diag(solved.inverse @ moments.gram @ solved.inverse), 0.0) * variance)
    plain = np.maximum(plain, 1e-300)
    shape = solved.kernel.shape
    if count < 12 or not np.isfinite(plain).all():
        return plain.reshape(shape), 1.0, 1.0, np.zeros(shape)
    clustered = np.sqrt((influence**2).sum(axis=0) * count / (count - 1.0))
    ratio = float(np.sqrt(np.mean((clustered / plain) ** 2)))
    noise = np.sqrt(1.0 / (2.0 * count))
    stderr = np.maximum(plain, clustered) if ratio > 1.0 + 1.5 * noise else plain
    calm = tiles.contrast <= np.median(tiles.contrast)
    weight = tiles.contrast * tiles.counts
    share = float(weight[calm].sum() / max(weight.sum(), 1e-300))
    miss = influence[calm].sum(axis=0)
    null = np.sqrt(
        (1.0 - share) ** 2 * (influence[calm] ** 2).sum(axis=0) + share**2 * (influence[~calm] ** 2).sum(axis=0)
    )
    disagreement = float(np.sqrt(np.mean((miss / np.maximum(null, 1e-300)) ** 2)))
    off = np.abs(miss) / max(0.5 - share, 0.1)
    return stderr.reshape(shape), float(np.sqrt(np.mean((stderr / plain) ** 2))), disagreement, off.reshape(shape)


def _counting(part: Map) -> np.ndarray:
    return part.residual if part.bad is None else part.residual[~part.bad]


def _neighbours(maps: list[Map]) -> float:
    """Return the correlation of neighbouring residuals, the larger of the two directions."""
    along, down, square = 0.0, 0.0, 0.0
    for part in maps:
        residual = part.residual.astype(np.float64)
        if part.bad is not None:
            residual[part.bad] = 0.0
        along += float((residual[:, 1:] * residual[:, :-1]).sum())
        down += float((residual[1:] * residual[:-1]).sum())
        square += float((residual**2).sum())
    return max(along, down, key=abs) / square if square > 0.0 else 0.0


def _is_blocky(pair: Pair, estimate: Estimate, maps: list[Map]) -> bool:
    """Return whether the residual jumps at the edges of the blocks of eight pixels that JPEG codes."""
    if pair.step == 0.0:
        return False
    places = estimate.support.positions(*pair.shapes)
    ratios = []
    for axis in (0, 1):
        sums, counts = np.zeros(8), np.zeros(8)
        for part in maps:
            steps = np.abs(np.diff(part.residual, axis=axis))
            if part.bad is not None:
                lines = [slice(None)] * 2
                first, second = list(lines), list(lines)
                first[axis], second[axis] = slice(1, None), slice(None, -1)
                steps = np.where(part.bad[tuple(first)] | part.bad[tuple(second)], 0.0, steps)
            profile = steps.sum(axis=1 - axis, dtype=np.float64)
            phase = (places[axis].start + 1 + np.arange(profile.size)) % 8
            np.add.at(sums, phase, profile)
            np.add.at(counts, phase, 1.0)
        if counts.min() >= 2:
            means = sums / counts
            ratios.append(means[0] / max(float(means[1:].mean()), 1e-300))
    return len(ratios) == 2 and sum(ratios) / 2.0 > _BLOCKY


def _measured_noise(pair: Pair, estimate: Estimate, tiles: _Tiles) -> tuple[float, float] | None:
    """Return the variance of noise in the before that makes calm and busy tiles agree, and its standard error."""
    halves = _halves(pair, estimate, tiles)
    if halves is None:
        return None
    whole = estimate.moments
    least = float(scipy.linalg.eigh(whole.gram / whole.count, eigvals_only=True)[0])
    limit = 0.9 * min(least, *(float(scipy.linalg.eigh(h.gram / h.count, eigvals_only=True)[0]) for h in halves))
    if not limit > 0.0:
        return None

    def apart(variance: float) -> float:
        found = []
        for half in halves:
            gram = half.gram - half.count * variance * np.eye(half.cross.size)
            inverse = np.linalg.inv(gram)
            kernel = inverse @ half.cross
            left = half.unexplained(kernel) / half.freedom
            found.append((kernel, np.diag(inverse @ half.gram @ inverse) * left))
        (a, va), (b, vb) = found
        return float(((a - b) ** 2 / np.maximum(va + vb, 1e-300)).sum())

    trials = np.linspace(0.0, limit, 60)
    costs = np.array([apart(float(trial)) for trial in trials])
    best = int(np.argmin(costs))
    if best in (0, len(trials) - 1) or costs[best] > 0.5 * costs[0]:
        return None
    fine = np.linspace(trials[best - 1], trials[best + 1], 21)
    finer = np.array([apart(float(trial)) for trial in fine])
    at = int(np.argmin(finer))
    scale = max(1.0, finer[at] / max(1, whole.cross.size))
    curve = (costs[best - 1] + costs[best + 1] - 2.0 * costs[best]) / (trials[1] - trials[0]) ** 2 / 2.0
    return float(fine[at]), float(np.sqrt(scale / max(curve, 1e-300)))


def _halves(pair: Pair, estimate: Estimate, tiles: _Tiles) -> tuple[Moments, Moments] | None:
    """Return the moments of calm and of busy tiles."""
    order = np.argsort(tiles.contrast)
    half = len(order) // 2
    if half < 6:
        return None
    support = estimate.support
    where = support.positions(*pair.shapes)
    found: list[Moments] = []
    for chosen in (order[:half], order[half:]):
        sums: Moments | None = None
        for index in chosen[:: max(1, len(chosen) // _SAMPLED)]:
            band, strip = tiles.rows[index // len(tiles.columns)], tiles.columns[index % len(tiles.columns)]
            part = (
                slice(where[0].start + band.start, where[0].start + band.stop),
                slice(where[1].start + strip.start, where[1].start + strip.stop),
            )
            for plane in pair.planes:
                excluded = plane.excluded(support)
                statistics = gather(
                    plane.before[support.windows(part)],
                    plane.after[part],
                    support.size,
                    plane.before_shift,
                    plane.after_shift,
                    None if excluded is None else excluded[band, strip],
                )
                if statistics.count <= 8:
                    continue
                own = Moments.of(statistics)
                sums = own if sums is None else sums + own
        if sums is None or sums.count < 4 * sums.cross.size:
            return None
        found.append(sums)
    return found[0], found[1]
