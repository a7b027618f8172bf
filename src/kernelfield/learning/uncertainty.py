"""Standard errors that hold where residuals are correlated, unequal or follow the picture, and noise in the before.

The covariance is that of scores summed over tiles (the sandwich of Huber and White, clustered: Cameron and Miller,
*Journal of Human Resources* 50, 317, 2015), which sees correlation within tiles and unequal variances. Noise in the
before and compression bias the weights, most where the picture is calm: the scores of the calm half of the tiles then
do not sum to zero. By how much they miss says how far the weights may be off.

Noise in the before of variance s² adds n s² to the diagonal of the Gram matrix; where s is known, or measured
from how the scores of calm and busy tiles differ, it is subtracted (Fuller, *Measurement Error Models*, 1987, section
3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kernelfield._core import lag_products
from kernelfield.correlation import correlate
from kernelfield.errors import ArgumentError
from kernelfield.learning import jpeg
from kernelfield.learning.estimate import LARGEST_GRAM, Estimate, estimate_kernel
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.residual import Map, residual_maps
from kernelfield.learning.separable import tile_scores
from kernelfield.learning.sums import Sums
from kernelfield.learning.support import Support

# Tiles along each axis, and their smallest side.
_TILES, _SIDE = 12, 10
# Root mean square of the difference between calm and busy tiles, in standard errors, from which on they disagree.
DISAGREE = 2.0
# Coefficients up to which the noise of the before is measured from the pair, the fewest tiles for it, and its standard
# errors from 0 from which on it is corrected for.
# With neighbouring residuals that are alike as the filter makes noise alike, fewer do.
_MOST, _FEWEST, _SIGNIFICANT, _AGREED, _HINT = 225, 20, 4.0, 2.0, 1.0
# Steps of the before's grid below which noise in it is not told from rounding.
_OWN = 0.75
# Lags up to which residuals are compared, and standard deviations of chance from which on they are alike.
_REACH, _ECHO = 4, 6.0
# Excess of differences across the edges of blocks of eight over other differences.
_BLOCKY = 1.12


@dataclass(frozen=True)
class Uncertainty:
    """A kernel, corrected for noise in the before, with errors that hold.

    Attributes
    ----------
    kernel, stderr : numpy.ndarray, shape (kh, kw)
    offsets : tuple of float
    disagreement : float
        Root mean square difference between calm and busy tiles in standard errors; about 1 if the model holds.
    blocky : bool
        Whether the residual jumps at the edges of blocks of eight, or the after is quantised as JPEG does.
    noise : float
        Standard deviation of the noise in the before that was corrected for; 0 for none.
    measured : bool
        Whether that was measured rather than given.
    suspected : float
        Standard deviation of noise in the before that the residual hints at, and that is not corrected for.
    correlation : float
        Of neighbouring residuals.
    recoded : bool
        Whether the kernel is corrected for the coding of the after.
    """

    kernel: np.ndarray
    stderr: np.ndarray
    offsets: tuple[float, ...]
    disagreement: float
    blocky: bool
    noise: float
    measured: bool
    suspected: float
    correlation: float
    recoded: bool = False


def applied(errors: Uncertainty, estimate: Estimate) -> Uncertainty:
    """Return the errors of a part of a pair with the kernel of an estimate from all of it, corrected as in the part.

    What is corrected for coding is that of the part.
    """
    if errors.recoded:
        return errors
    if not estimate.whole:
        return replace(errors, kernel=estimate.kernel, offsets=estimate.offsets)
    solved = _Solved.of(estimate, errors.noise**2)
    return replace(errors, kernel=solved.kernel, offsets=solved.offsets)


def widened(pair: Pair, estimate: Estimate, before_variance: float = 0.0) -> np.ndarray:
    """Return the standard errors of an estimate under restrictions or a penalty, for residuals alike or unequal.

    They are multiplied by what the scores summed over tiles are more than those of independent pixels.
    `before_variance` is that of noise in the before, for which the kernel is corrected.
    """
    inverse, moments = estimate.solution.inverse, estimate.moments
    tiles = _tiles(pair, estimate, _Solved(estimate.kernel, estimate.offsets, inverse, before_variance))
    scores = tiles.scores + np.outer(tiles.counts * before_variance, estimate.kernel.ravel())
    count = len(scores)
    plain = np.sqrt(np.maximum(np.einsum("ui,ij,uj->u", inverse, moments.gram, inverse), 0.0))
    plain *= np.sqrt(tiles.square / max(1, moments.count - moments.offsets))
    # Weights that a restriction holds have no errors.
    known = plain > 1e-12 * max(float(plain.max()), 1e-300)
    if count < 12 or not known.any() or not tiles.square:
        return estimate.stderr
    clustered = np.sqrt(((scores @ inverse) ** 2).sum(axis=0) * count / (count - 1.0))
    ratios = np.divide(clustered, plain, out=np.ones_like(plain), where=known)
    if np.sqrt(np.mean(ratios[known] ** 2)) <= 1.0 + 1.5 * np.sqrt(1.0 / (2.0 * count)):
        return estimate.stderr
    wider: np.ndarray = estimate.stderr * np.maximum(ratios, 1.0).reshape(estimate.stderr.shape)
    return wider


@dataclass(frozen=True)
class _Tiles:
    """Scores of tiles: per tile the sum of residual times centred windows, pixels that count, and contrast.

    `square` is the sum of the squared residuals of all tiles.
    """

    scores: np.ndarray
    counts: np.ndarray
    contrast: np.ndarray
    square: float


def measure_errors(
    pair: Pair, estimate: Estimate, noise: tuple[float, float] | None, maps: list[Map] | None = None
) -> Uncertainty:
    """Return the kernel with its errors; `noise` is that of before and after, where known.

    `maps` are those of the estimate over the sample of the pair, if they are there already.
    """
    level = 0.0 if noise is None else noise[0] / pair.before_unit.scale
    if not estimate.whole:
        return _of_wide(pair.sample, estimate, level, maps)
    solved = _Solved.of(estimate, level**2)
    if maps is None or level:
        maps = residual_maps(pair.sample, solved.kernel, solved.offsets, estimate.support)
    tiles = _tiles(pair, estimate, solved, maps)
    correlation, blocky = _neighbours(maps), _blocks(pair, estimate, maps)
    stderr, disagreement, miss = _errors(estimate, solved, tiles)
    measured, suspected = False, 0.0
    if noise is None and not blocky and estimate.kernel.size <= _MOST and len(tiles.counts) >= _FEWEST:
        if pair.sample is pair:
            found = _measured_noise(pair, estimate, maps, tiles)
        else:
            sampled = estimate_kernel(pair.sample, estimate.support)
            own = residual_maps(pair.sample, sampled.kernel, sampled.offsets, sampled.support)
            scores = _tiles(pair.sample, sampled, _Solved.of(sampled, 0.0), own)
            found = _measured_noise(pair.sample, sampled, own, scores)
        echo, certain = _echo(maps, solved.kernel)
        if found is not None and found[0] < (_OWN * pair.before_step) ** 2:
            # No more than rounding to the before's own grid, as between the passes of a program.
            found, certain = None, False
        agreed = found is not None and certain and 0.5 < found[0] / max(echo, 1e-300) < 2.0
        # Quantisation leaves in calm and busy parts what noise in the before would.
        blocky = (found is not None or certain or disagreement > DISAGREE) and jpeg.is_compressed(pair.sample)
        if blocky:
            found, certain = None, False
        if found is not None and found[2] > (_AGREED if agreed else _SIGNIFICANT):
            variance, error, _ = found
            other = _Solved.of(estimate, variance)
            better = _errors(estimate, other, _tiles(pair, estimate, other))
            slope = (other.inverse @ (estimate.moments.count * other.kernel.ravel())).reshape(other.kernel.shape)
            solved, level, measured = other, float(np.sqrt(variance)), True
            stderr, disagreement, miss = better
            stderr = np.hypot(stderr, slope * error)
        elif certain:
            bias = (solved.inverse @ (estimate.moments.count * echo * solved.kernel.ravel())).reshape(stderr.shape)
            if float(np.sqrt(np.mean((bias / stderr) ** 2))) > 1.0:
                stderr = np.hypot(stderr, np.maximum(np.abs(bias), np.sqrt(np.mean(bias**2))))
                suspected = float(np.sqrt(echo))
    if disagreement > DISAGREE:
        stderr = np.sqrt(stderr**2 + np.maximum(miss**2, np.mean(miss**2)))
    return Uncertainty(
        solved.kernel, stderr, solved.offsets, disagreement, blocky, level, measured, suspected, correlation
    )


def _of_wide(pair: Pair, estimate: Estimate, level: float, maps: list[Map] | None) -> Uncertainty:
    """Return the errors of a kernel without Gram matrix, which are those of its own fit or of the scores of tiles."""
    if level:
        size = "{}×{}".format(*estimate.support.size)
        raise ArgumentError(
            f"noise: expected noise in the before only with kernels of up to {LARGEST_GRAM} weights; received one "
            f"of {size}; leave noise= out, or give a smaller size="
        )
    if maps is None:
        maps = residual_maps(pair, estimate.kernel, estimate.offsets, estimate.support)
    correlation, blocky = _neighbours(maps), _blocks(pair, estimate, maps)
    stderr = estimate.stderr
    if estimate.lines is not None:
        shape = maps[0].residual.shape
        rows, columns = (_cut(n, k) for n, k in zip(shape, estimate.support.size))
        if len(rows) * len(columns) >= 12:
            scores = tile_scores(pair, estimate.lines, [_zeroed(part) for part in maps], rows, columns)
            clustered = estimate.lines.stderr(scores.T @ scores)
            ratio = float(np.sqrt(np.mean((clustered / np.maximum(stderr, 1e-300)) ** 2)))
            if ratio > 1.0 + 1.5 * np.sqrt(1.0 / (2.0 * len(scores))):
                stderr = np.maximum(stderr, clustered)
    return Uncertainty(estimate.kernel, stderr, estimate.offsets, 1.0, blocky, 0.0, False, 0.0, correlation)


def _zeroed(part: Map) -> np.ndarray:
    """Return the residual with zeros where it does not count."""
    return part.residual if part.bad is None else np.where(part.bad, np.zeros((), part.residual.dtype), part.residual)


@dataclass(frozen=True)
class _Solved:
    kernel: np.ndarray
    offsets: tuple[float, ...]
    inverse: np.ndarray
    before_variance: float

    @classmethod
    def of(cls, estimate: Estimate, before_variance: float) -> _Solved:
        """Return the solution with the noise of the before taken from the Gram matrix."""
        if before_variance == 0.0:
            return cls(estimate.kernel, estimate.offsets, estimate.solution.inverse, 0.0)
        moments = estimate.moments
        gram = moments.gram - moments.count * before_variance * np.eye(moments.cross.size)
        values, vectors = np.linalg.eigh(gram)
        # As in any inverse problem: directions with less signal than noise are not amplified.
        values = np.maximum(values, 0.05 * moments.count * before_variance)
        inverse = (vectors / values) @ vectors.T
        kernel = (inverse @ moments.cross).reshape(estimate.kernel.shape)
        offsets = tuple(s.offset(kernel) for s in estimate.statistics)
        return cls(kernel, offsets, inverse, before_variance)


def _tiles(pair: Pair, estimate: Estimate, solved: _Solved, maps: list[Map] | None = None) -> _Tiles:
    """Return the scores of the tiles of all planes together; the channels of a tile may share their noise.

    `maps` are the residuals, where the picture is in memory and they are known.
    """
    support = estimate.support
    whole = support.positions(*pair.shapes)
    means = [sums.total / max(1, sums.count) for sums in estimate.statistics]
    known = maps if pair.sample is pair else None
    found = pair.total(_scores, support, solved.kernel, solved.offsets, means, whole, known)
    scores, counts, contrast, sizes, square = found.added
    flat = scores.reshape(-1, estimate.kernel.size)
    return _Tiles(flat, counts.ravel(), (contrast / np.maximum(sizes, 1.0)).ravel(), float(square))


def _scores(
    pair: Pair,
    support: Support,
    kernel: np.ndarray,
    offsets: tuple[float, ...],
    means: list[np.ndarray],
    whole: tuple[slice, slice],
    maps: list[Map] | None,
) -> Sums:
    """Return the scores, counts, contrasts and sizes of the tiles, as far as a part of the picture has them."""
    grid = [_cut(one.stop - one.start, n) for one, n in zip(whole, support.size)]
    scores = np.zeros((len(grid[0]), len(grid[1]), kernel.size))
    counts, contrast, sizes, square = *(np.zeros(scores.shape[:2]) for _ in range(3)), 0.0
    support = pair.local(support)
    for number, (plane, mean) in enumerate(zip(pair.planes, means)):
        part = maps[number] if maps is not None else _map_of(pair, number, kernel, offsets[number], support)
        residual = _zeroed(part)
        flat = residual.ravel()
        square += float(np.square(flat, dtype=np.float64).sum())
        positions = support.positions(plane.before.shape, plane.after.shape)
        around = plane.before[support.windows(positions)]
        # Rows and columns of the tiles as those of this part.
        first = [own.start + at - one.start for own, at, one in zip(positions, pair.at, whole)]
        bands, strips = (_inside(cuts, start, n) for cuts, start, n in zip(grid, first, residual.shape))
        for j, strip in strips:
            inner = np.ascontiguousarray(residual[:, strip])
            windows = around[:, strip.start : strip.stop + support.columns - 1]
            totals = inner.sum(axis=1, dtype=np.float64)
            for i, band in bands:
                rows = windows[band.start : band.stop + support.rows - 1]
                height = band.stop - band.start
                products = lag_products(inner[band], rows, support.size, height, 0.0, plane.before_shift)
                scores[i, j] += products[0].ravel() - totals[band].sum() * mean
                piece = part.contrast[band, strip]
                contrast[i, j] += float(np.square(piece, dtype=np.float64).sum())
                sizes[i, j] += piece.size / len(pair.planes)
                counts[i, j] += piece.size - (0 if part.bad is None else int(part.bad[band, strip].sum()))
    return Sums.of(scores, counts, contrast, sizes, square)


def _map_of(pair: Pair, number: int, kernel: np.ndarray, offset: float, support: Support) -> Map:
    """Return the map of one plane."""
    return residual_maps(replace(pair, planes=pair.planes[number : number + 1]), kernel, (offset,), support)[0]


def _inside(cuts: list[slice], first: int, n: int) -> list[tuple[int, slice]]:
    """Return which of the cuts of an axis a part of `n` that begins at `first` has, and where they lie in it."""
    spans = [(which, max(0, cut.start - first), min(n, cut.stop - first)) for which, cut in enumerate(cuts)]
    return [(which, slice(start, stop)) for which, start, stop in spans if start < stop]


def _cut(n: int, size: int) -> list[slice]:
    """Return a length cut into equal parts; the last takes what is left."""
    count = int(np.clip(n // max(_SIDE, size), 1, _TILES))
    width = -(-n // count)
    return [slice(start, min(n, start + width)) for start in range(0, n, width)]


def _errors(estimate: Estimate, solved: _Solved, tiles: _Tiles) -> tuple[np.ndarray, float, np.ndarray]:
    """Return standard errors, the disagreement, and its size."""
    moments = estimate.moments
    scores = tiles.scores
    if solved.before_variance:
        scores = scores + np.outer(tiles.counts * solved.before_variance, solved.kernel.ravel())
    influence = scores @ solved.inverse
    count = len(influence)
    variance = tiles.square / moments.freedom
    plain = estimate.stderr.ravel()
    if solved.before_variance:
        plain = np.sqrt(np.maximum(np.diag(solved.inverse @ moments.gram @ solved.inverse), 0.0) * variance)
    plain = np.maximum(plain, 1e-12 * max(float(np.abs(solved.kernel).max()), 1e-100))
    shape = solved.kernel.shape
    if count < 12 or not np.isfinite(plain).all():
        return plain.reshape(shape), 1.0, np.zeros(shape)
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
    disagreement = float(np.sqrt(np.mean((miss / np.maximum(null, 1e-6 * plain)) ** 2)))
    off = np.abs(miss) / max(0.5 - share, 0.1)
    return stderr.reshape(shape), disagreement, off.reshape(shape)


def _neighbours(maps: list[Map]) -> float:
    """Return the correlation of neighbouring residuals, the larger of the two directions."""
    along, down, square = 0.0, 0.0, 0.0
    for part in maps:
        residual = np.ascontiguousarray(_zeroed(part), np.float64)
        flat = residual.ravel()
        down += float(residual[1:].ravel() @ residual[:-1].ravel())
        # Of the products of neighbours in memory, those of the end of a row and the beginning of the next do not count.
        along += float(flat[1:] @ flat[:-1]) - float(residual[1:, 0] @ residual[:-1, -1])
        square += float(flat @ flat)
    return max(along, down, key=abs) / square if square > 0.0 else 0.0


def _blocks(pair: Pair, estimate: Estimate, maps: list[Map]) -> bool:
    """Return whether the residual of values on a grid has JPEG's blocks."""
    rows, columns = estimate.support.positions(*pair.shapes)
    return pair.step > 0.0 and is_blocky(pair.sample, maps, (rows.start, columns.start))


def is_blocky(pair: Pair, maps: list[Map], first: tuple[int, int]) -> bool:
    """Return whether the residual jumps at the edges of the blocks of eight pixels that JPEG codes.

    `first` is the row and column of the after at which the maps begin. In a crop the blocks begin elsewhere.
    """
    edges = [_edges(maps, axis) for axis in (0, 1)]
    if _jumps(edges, first):
        return True
    # A corner is looked for where the residual jumps at any lines that are eight pixels apart.
    if not any(_jumps(edges, place) for place in np.ndindex(8, 8)):
        return False
    corner = jpeg.corner(pair)
    return corner != (0, 0) and _jumps(edges, (first[0] - corner[0], first[1] - corner[1]))


def _edges(maps: list[Map], axis: int) -> np.ndarray | None:
    """Return how much more residuals differ across lines eight pixels apart than across others.

    As a ratio and in standard errors, of the lines in front of rows or columns 0, 1, ... 7 of each eight, shape (8, 2);
    None if there are too few.
    """
    means: list[list[float]] = [[] for _ in range(8)]
    for part in maps:
        steps = np.abs(np.diff(part.residual, axis=axis))
        good = np.isfinite(steps)
        if part.bad is not None:
            later: list[slice] = [slice(None)] * 2
            earlier = list(later)
            later[axis], earlier[axis] = slice(1, None), slice(None, -1)
            good &= ~(part.bad[tuple(later)] | part.bad[tuple(earlier)])
        usable = np.count_nonzero(good, axis=1 - axis)
        profile = np.sum(steps, axis=1 - axis, dtype=np.float64, where=good) / np.maximum(usable, 1)
        for line in np.flatnonzero(usable).tolist():
            means[(line + 1) % 8].append(float(profile[line]))
    if min(map(len, means)) < 3:
        return None
    found = []
    for phase in range(8):
        # Lines of one phase beside their neighbours: what changes over the picture cancels.
        edges, others = np.array(means[phase]), np.concatenate(means[:phase] + means[phase + 1 :])
        scatter = np.sqrt(edges.var(ddof=1) / edges.size + others.var(ddof=1) / others.size)
        ratio = edges.mean() / max(others.mean(), 1e-300)
        found.append((ratio, (edges.mean() - others.mean()) / max(scatter, 1e-300)))
    return np.array(found)


def _jumps(edges: list[np.ndarray | None], first: tuple[int, int]) -> bool:
    """Return whether residuals jump at the edges of blocks, if row and column -`first` of them begin one."""
    told = [one[-at % 8] for one, at in zip(edges, first) if one is not None]
    if len(told) < 2:
        return False
    ratios, scores = np.transpose(told)
    return bool(ratios.mean() > _BLOCKY or (scores.sum() > 5.0 and ratios.min() > 1.02))


def _measured_noise(
    pair: Pair, estimate: Estimate, maps: list[Map], tiles: _Tiles
) -> tuple[float, float, float] | None:
    """Return the variance of noise in the before, its standard error, and how many of these it is from 0.

    Noise of variance v changes the scores of a tile of n pixels by ``-n v k``, and the fit answers to it in all tiles:
    the sum over the tiles of the scores along the change that is left is zero without noise, whatever the residuals.
    The variance is that with which it is zero. `maps` and `tiles` are those without noise.
    """
    count = estimate.moments.count
    least = float(np.linalg.eigvalsh(estimate.moments.gram / count)[0])
    variance, error = 0.0, 0.0
    for round_ in range(6):
        solved = _Solved.of(estimate, variance)
        if round_:
            maps = residual_maps(pair, solved.kernel, solved.offsets, estimate.support)
            tiles = _tiles(pair, estimate, solved, maps)
        scores = tiles.scores + np.outer(tiles.counts * variance, solved.kernel.ravel())
        answer = (solved.inverse @ (count * solved.kernel.ravel())).reshape(solved.kernel.shape)
        fitted = [
            replace(part, residual=correlate(_windows(plane, estimate), answer, mode="valid", dtype=np.float64))
            for plane, part in zip(pair.planes, maps)
        ]
        means = [s.before_shift + s.total / max(1, s.count) for s in estimate.statistics]
        for part, mean in zip(fitted, means):
            part.residual[...] -= float(mean @ answer.ravel())
        change = _tiles(pair, estimate, solved, fitted).scores - np.outer(
            tiles.counts, solved.kernel.ravel() + variance * answer.ravel()
        )
        along = change @ solved.inverse
        products = (along * scores).sum(axis=1)
        steep = float((along * change).sum())
        if not steep > 0.0:
            return None
        error = float(np.sqrt((products**2).sum())) / steep
        step = float(products.sum()) / steep
        if round_ == 0 and step < _HINT * error:
            return None
        variance = float(np.clip(variance + step, 0.0, 0.98 * least))
        if abs(step) < 0.02 * error:
            break
    return (variance, error, variance / max(error, 1e-300)) if 0.0 < variance < 0.98 * least else None


def _echo(maps: list[Map], kernel: np.ndarray) -> tuple[float, bool]:
    """Return the variance of noise in the before that makes neighbouring residuals alike as they are, if certain.

    Noise of the before passes the kernel: it gives residuals the kernel's own autocorrelation.
    """
    own = correlate(kernel, kernel, mode="full", boundary="constant", dtype=np.float64)
    down, right = (min(n - 1, _REACH) for n in kernel.shape)
    middle = [n - 1 for n in kernel.shape]
    # Lags of which no other one is the opposite.
    expected = own[middle[0] : middle[0] + down + 1, middle[1] - right : middle[1] + right + 1].copy()
    expected[0, : right + 1] = 0.0
    product, square, count = 0.0, 0.0, 0
    for part in maps:
        # All pixels of a channel may be outliers of the kernel of the others.
        if part.bad is not None and part.bad.all():
            continue
        residual = part.residual.astype(np.float64)
        residual -= residual.mean() if part.bad is None else residual[~part.bad].mean()
        if part.bad is not None:
            residual[part.bad] = 0.0
        count += residual.size if part.bad is None else int((~part.bad).sum())
        square += float(residual.ravel() @ residual.ravel())
        around = np.pad(residual, ((0, down), (right, right)))
        lags = lag_products(residual, around, (down + 1, 2 * right + 1), len(residual))[0]
        product += float((expected * lags).sum())
    norm = float((expected**2).sum())
    if not norm > 0.0 or not square > 0.0:
        return 0.0, False
    chance = square / np.sqrt(count) * np.sqrt(norm)
    return max(product, 0.0) / (norm * count), product > _ECHO * chance


def _windows(plane: Plane, estimate: Estimate) -> np.ndarray:
    """Return the part of the before that the windows of all positions read."""
    return plane.before[estimate.support.windows(estimate.support.positions(plane.before.shape, plane.after.shape))]
