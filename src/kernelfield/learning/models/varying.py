"""A kernel and a background that vary over the field: polynomials of the place, or bilinear between nodes of a grid.

Alard and Lupton (*Astrophys. J.* 503, 1998) let the kernel of difference imaging vary in this way, Bramich (*Mon. Not.
R. Astron. Soc.* 386, 2008) took a weight a pixel for the kernel, as is done here. The sum of the kernel is the
photometric ratio of the two exposures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernelfield._core import lag_products
from kernelfield.correlation import correlate
from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.kernels import Kernel
from kernelfield.learning.boundary import BoundaryRule, OverField, find_boundary
from kernelfield.learning.field_basis import LARGEST_DEGREE, Basis
from kernelfield.learning.fit import Fit
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.models.field_moments import Design, Normal, designs_of, products
from kernelfield.learning.models.regularise import Regularise
from kernelfield.learning.models.restricted import Restricted, solve_restricted
from kernelfield.learning.models.restriction import Restriction
from kernelfield.learning.pair import Pair, Plane
from kernelfield.learning.part import cut
from kernelfield.learning.support import Support
from kernelfield.learning.support_search import choose_support
from kernelfield.learning.varying import Varying
from kernelfield.learning.verdict import Verdict

# Weights of all kernels: the Gram matrix then takes half a gigabyte. Tiles along an axis for errors; R² below which a
# filter explains nothing; an F statistic over its expectation that chance does not give, in standard deviations.
_MOST, _TILES, _HALF, _CHANCE = 8000, 10, 0.5, 8.0
# Rows and columns of the parts in which the support is searched.
_PART = 128
#: Degrees among which "auto" chooses.
_DEGREES = (0, 1, 2)


def check_degree(name: str, degree: Any) -> int:
    """Return a checked degree of polynomials over the field."""
    if isinstance(degree, bool) or not isinstance(degree, (int, np.integer)) or not 0 <= degree <= LARGEST_DEGREE:
        raise ArgumentError(f"{name}: expected a degree from 0 to {LARGEST_DEGREE}; received {received(degree)}")
    return int(degree)


def check_order(name: str, order: Any) -> int | tuple[int, int] | str:
    """Return a checked order of variation: a degree, the nodes of a grid, or "auto"."""
    if isinstance(order, str) and order == "auto":
        return order
    if isinstance(order, (tuple, list)) and len(order) == 2:
        if all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1 for n in order):
            return int(order[0]), int(order[1])
    elif isinstance(order, (int, np.integer)):
        return check_degree(name, order)
    raise ArgumentError(
        f'{name}: expected a degree from 0 to {LARGEST_DEGREE}, the nodes of a grid as (3, 4), or "auto"; received '
        f"{received(order)}"
    )


@dataclass(frozen=True)
class Solved:
    """The kernels and backgrounds that least squares gives, in the units of the design.

    Attributes
    ----------
    kernels : numpy.ndarray, shape (n, kh, kw)
    backgrounds : list of numpy.ndarray
        One a plane.
    """

    kernels: np.ndarray
    backgrounds: list[np.ndarray]


def fit_varying(
    pair: Pair,
    size: Any,
    max_size: int,
    order: int | tuple[int, int] | str,
    background: int,
    restriction: Restriction,
    regularise: Regularise | None,
    weights: np.ndarray | None = None,
) -> Fit | None:
    """Return the fit of a kernel that varies; None where "auto" finds that neither it nor the background does.

    Parameters
    ----------
    pair : Pair
    size, max_size
        As of `kernelfield.learn`.
    order, background
        See `Varying`.
    restriction : Restriction
        `sum_to` is the sum of the kernel everywhere; `nonnegative` is not for kernels that vary.
    regularise : Regularise or None
    weights : numpy.ndarray, shape (H, W), optional
        Weight of each squared residual.
    """
    if restriction.nonnegative:
        raise ArgumentError("nonnegative, varying: expected one of them; received both; leave one out")
    support = _support(pair, size, max_size)
    used = pair.without_clipped()
    shape = pair.shapes[1]
    highest = max(_DEGREES) if isinstance(order, str) else order
    functions = Basis(highest, shape)
    p = support.rows * support.columns
    if functions.count * p > _MOST:
        raise ArgumentError(
            f"varying, size: expected at most {_MOST:,} weights; received {functions.count} kernels of "
            f"{support.rows}×{support.columns}; take a lower degree, fewer nodes, or a smaller size"
        )
    others = Basis(background, shape)
    designs = designs_of(used, support, highest, background)
    found = [products(plane, design, weights) for plane, design in zip(used.planes, designs)]
    normal = Normal([total for total, _ in found], designs[0].weights, sum(count for _, count in found))
    needed = functions.count * p + others.count * len(used.planes)
    if normal.count <= needed and regularise is None:
        raise DataError(
            f"before, after: expected more than {needed} usable pixels for as many coefficients; received "
            f"{normal.count}; take a lower degree, a smaller size or a larger image, or regularise"
        )
    chosen, evidence = _evidence(normal, functions, p)
    if order == "auto":
        if chosen == 0 and background == 0:
            return None
        if chosen != highest:
            return fit_varying(pair, support.size, max_size, chosen, background, restriction, regularise, weights)
    moments = normal.moments()
    scale = pair.weight_unit
    if restriction.sum_to is not None:
        restriction = replace(restriction, sum_to=restriction.sum_to / scale)
    solution = solve_restricted(moments, support.size, restriction, regularise, functions.constant(1.0))
    plain = restriction.none and regularise is None
    return _described(used, designs, normal, moments, solution, plain, weights, evidence, scale)


def _support(pair: Pair, size: Any, max_size: int) -> Support:
    """Return the support: given, or large enough for all that are found in parts of the field."""
    if size is not None or not pair.same_size:
        return replace(choose_support(pair.sample, size, max_size).support, separable=False)
    found = []
    for rows in _parts(pair.shapes[0][0]):
        for columns in _parts(pair.shapes[0][1]):
            try:
                part = replace(pair, planes=tuple(cut(plane, (rows, columns)) for plane in pair.planes))
                found.append(choose_support(part, None, max_size).support)
            except DataError:
                continue
    if not found:
        return replace(choose_support(pair.sample, None, max_size).support, separable=False)
    top, left = min(each.top for each in found), min(each.left for each in found)
    bottom, right = max(each.top + each.rows for each in found), max(each.left + each.columns for each in found)
    return Support(top, left, bottom - top, right - left)


def _parts(n: int) -> list[slice]:
    """Return the ends and the middle of an axis, each as long as the search of a support needs."""
    width = min(n, max(_PART, n // 8))
    starts = sorted({0, (n - width) // 2, n - width}) if n >= 2 * width else [(n - width) // 2]
    return [slice(start, start + width) for start in starts]


def _evidence(normal: Normal, functions: Basis, p: int) -> tuple[int, tuple[float, float] | None]:
    """Return the degree of lowest Bayesian information criterion, and how far that of a fixed kernel lies above.

    The second is a pair: the F statistic of the variation, and the criterion of the fixed kernel less that of all. For
    a grid the fixed kernel is the sum of all.
    """
    n = normal.count
    whole = normal.moments()
    results = []
    if isinstance(functions.order, int):
        for degree in range(functions.order + 1):
            kept = np.arange(Basis(degree, functions.shape).count * p)
            results.append(_criterion(normal.moments(kept), n))
    else:
        same = np.kron(np.ones(functions.count), np.eye(p))
        reduced = Moments(same @ whole.gram @ same.T, same @ whole.cross, whole.square, n, whole.offsets)
        results = [_criterion(reduced, n), _criterion(whole, n)]
    best = int(np.argmin([criterion for criterion, _, _ in results]))
    if len(results) == 1:
        return 0, None
    (fixed, left, few), (all_, least, many) = results[0], results[-1]
    free = max(1, n - many - whole.offsets)
    statistic = (left - least) / max(1, many - few) / max(least / free, 1e-300)
    return best, (statistic, fixed - all_)


def _criterion(moments: Moments, n: int) -> tuple[float, float, int]:
    """Return the Bayesian information criterion, the sum of squares that is left, and the parameters."""
    solution = solve(moments)
    left = max(moments.unexplained(solution.kernel), 1e-300)
    return n * float(np.log(left / n)) + solution.rank * float(np.log(n)), left, solution.rank


def _described(
    pair: Pair,
    designs: list[Design],
    normal: Normal,
    moments: Moments,
    solution: Restricted,
    plain: bool,
    weights: np.ndarray | None,
    evidence: tuple[float, float] | None,
    gain: float,
) -> Fit:
    """Return the fit of solved equations."""
    support, functions, others = designs[0].support, designs[0].kernel, designs[0].background
    m, size = functions.count, support.size
    kernels = solution.kernel
    for _ in range(2):
        solved = Solved(kernels.reshape(m, *size), normal.backgrounds(kernels))
        left = _residual(pair, designs, solved, weights)
        # One step against the residual itself takes away what was lost in the sums.
        step = _step(normal, left.scores.sum(axis=0), solution) if plain else np.zeros_like(kernels)
        kernels = kernels + step
        if np.abs(step).max() <= 1e-9 * np.abs(kernels).max():
            break
    solved = Solved(kernels.reshape(m, *size), normal.backgrounds(kernels))
    freedom = max(1.0, moments.count - moments.offsets - solution.freedom)
    variance = left.weighted / freedom
    stderr = _errors(normal, solution, left.scores, variance, plain)
    if solution.undetermined.size:
        stderr[(solution.undetermined**2).sum(axis=0) > 1e-9] = np.inf
    epsilon = pair.epsilon * float(np.abs(kernels).max()) / np.sqrt(3.0)
    stderr = np.hypot(stderr, epsilon).reshape(m, *size)
    # Constants that were taken from the pixels go back into the background.
    backgrounds, behind = [], []
    for values, design in zip(solved.backgrounds, designs):
        absolute = pair.before_unit.centre / pair.before_unit.scale + design.before_shift
        sums = np.zeros((others.count, solution.kernel.size))
        if absolute:
            sums[:m] = absolute * np.kron(np.eye(m), np.ones(size[0] * size[1]))
        own = pair.after_unit.scale * (values - sums @ kernels + others.constant(design.after_shift))
        backgrounds.append(own + others.constant(pair.after_unit.centre))
        behind.append(sums)
    errors = [
        np.sqrt(np.maximum(each, 0.0) * variance) * pair.after_unit.scale
        for each in normal.background_errors(solution.inverse, behind)
    ]
    varying = Varying(
        functions.order,
        functions.shape,
        solved.kernels * gain,
        stderr * gain,
        int(others.order) if isinstance(others.order, int) else 0,
        np.array(backgrounds),
        np.array(errors),
        _covariances(solution.inverse, stderr) * gain**2,
    )
    fit = _fit(pair, designs[0], moments, solution, varying, left, evidence)
    rule = _boundary(pair, designs, solved, stderr, left.square / max(1, moments.count))
    return replace(
        fit,
        boundary=rule.name,
        cval=rule.cval * pair.before_unit.scale + pair.before_unit.centre if rule.name == "constant" else 0.0,
        boundary_candidates=rule.candidates,
        boundary_reason=rule.reason,
    )


def _covariances(inverse: np.ndarray, stderr: np.ndarray) -> np.ndarray:
    """Return the covariance of each weight between the fixed kernels, shape (kh, kw, n, n), with these errors."""
    m, rows, columns = stderr.shape
    blocks = np.einsum("iuju->uij", inverse.reshape(m, rows * columns, m, rows * columns))
    sd = np.sqrt(np.maximum(np.einsum("uii->ui", blocks), 1e-300))
    errors = np.where(np.isfinite(stderr), stderr, 0.0).reshape(m, -1).T
    found: np.ndarray = blocks / (sd[:, :, None] * sd[:, None]) * (errors[:, :, None] * errors[:, None])
    return found.reshape(rows, columns, m, m)


def _boundary(pair: Pair, designs: list[Design], solved: Solved, stderr: np.ndarray, variance: float) -> BoundaryRule:
    """Return the border rule of the producer, from the border pixels of all planes."""
    design = designs[0]

    def share(part: int, where: tuple[slice, slice]) -> np.ndarray:
        rows, columns = (design.kernel.along(axis, np.arange(s.start, s.stop)) for axis, s in enumerate(where))
        a, b = design.kernel.terms[part]
        product: np.ndarray = np.outer(rows[a], columns[b])
        return product

    def added(number: int, where: tuple[slice, slice]) -> np.ndarray:
        own = designs[number]
        rows, columns = (own.background.along(axis, np.arange(s.start, s.stop)) for axis, s in enumerate(where))
        total = np.full((rows.shape[1], columns.shape[1]), float(own.after_shift))
        for (a, b), value in zip(own.background.terms, solved.backgrounds[number]):
            total += value * np.outer(rows[a], columns[b])
        for part, kernel in enumerate(solved.kernels):
            total -= own.before_shift * float(kernel.sum()) * share(part, where)
        return total

    return find_boundary(
        pair,
        solved.kernels[0],
        design.support,
        (0.0,) * len(pair.planes),
        variance,
        float((stderr**2).sum()) if np.isfinite(stderr).all() else 0.0,
        [[(plane.before, kernel) for kernel in solved.kernels] for plane in pair.planes],
        over=OverField(share, added),
    )


def _fit(
    pair: Pair,
    design: Design,
    moments: Moments,
    solution: Restricted,
    varying: Varying,
    left: Left,
    evidence: tuple[float, float] | None,
) -> Fit:
    """Return the fit with its verdict and its remarks."""
    support, functions = design.support, design.kernel
    variance = solution.variance(left.weighted, moments.count - moments.offsets)
    sd = float(np.sqrt(left.square / max(1, moments.count)))
    total = sum(_variation(plane, support) for plane in pair.planes)
    r2 = 1.0 if total == 0.0 else float(np.clip(1.0 - left.square / total, 0.0, 1.0))
    means = functions.means()
    p = support.rows * support.columns
    mixing = np.kron(means, np.eye(p))
    mean_error = np.sqrt(np.maximum(np.einsum("iu,uv,iv->i", mixing, solution.inverse, mixing) * variance, 0.0))
    # What widened the errors of the single weights widens those of their mean.
    first = np.sqrt(np.maximum(np.diag(solution.inverse)[:p] * variance, 1e-300)) * pair.weight_unit
    widened = np.maximum(varying.stderr[0] / first.reshape(support.size), 1.0)
    own = mean_error.reshape(support.size) * pair.weight_unit
    mean_error = np.multiply(own, widened, out=np.full(own.shape, np.inf), where=np.isfinite(widened))
    complete = not solution.undetermined.size
    energy = float(((varying.bank / pair.weight_unit) ** 2).sum())
    exact = sd**2 <= pair.exact_variance(moments.square, moments.count, energy) and complete
    # Rounding leaves half a step, and the errors of the weights a share of the noise.
    known = np.sqrt(variance * solution.freedom / max(1, moments.count))
    exact = exact and (pair.step == 0.0 or left.largest <= 0.5 * pair.step + 8.0 * known)
    free = max(1.0, moments.count - solution.freedom)
    statistic = r2 / max(1.0 - r2, 1e-300) * free / max(1.0, solution.freedom)
    related = exact or statistic > 1.0 + _CHANCE * np.sqrt(2.0 / max(1.0, solution.freedom))
    share, amount = f"{100.0 * r2:.6g} % of the variance", sd * pair.after_unit.scale
    residual = f"the residual has a standard deviation of {amount:.3g}"
    verdict: Verdict
    if total == 0.0:
        verdict, explanation = "undetermined", "the after has a single value, of which nothing tells a filter"
    elif exact:
        verdict, explanation = "exact", "the varying filter explains the picture; only rounding is left"
    elif not related or r2 < _HALF:
        verdict = "not linear"
        explanation = f"the varying filter does not explain the picture: it accounts for {share}; {residual}"
    elif not complete:
        verdict = "undetermined"
        explanation = "the pair does not determine the kernels: others give the same picture; these are of least norm"
    else:
        verdict, explanation = "approximate", f"the varying filter accounts for {share}; {residual}"
    offsets = tuple(float(Basis(varying.background_order, varying.shape).means() @ row) for row in varying.background)
    middle = support.anchor if pair.same_size else (support.rows // 2, support.columns // 2)
    implied = tuple(before - after + 1 for before, after in zip(*pair.shapes))
    crop = not pair.same_size and (support.top, support.left, *support.size) != (0, 0, *implied)
    positions = support.positions(*pair.shapes)
    places = (positions[0].stop - positions[0].start) * (positions[1].stop - positions[1].start)
    return Fit(
        kernel=Kernel(varying.mean, None, {}, None, middle),
        stderr=mean_error,
        offset=offsets if len(offsets) > 1 else offsets[0],
        boundary=None,
        cval=0.0,
        boundary_candidates=(),
        boundary_reason="",
        name=None,
        description=_description(functions),
        integers=None,
        divisor=None,
        rank=min(p, solution.rank),
        undetermined=np.zeros((0, *support.size)),
        r2=r2,
        residual_sd=amount,
        samples=moments.count,
        excluded=places * len(pair.planes) - moments.count,
        rounding="nearest" if exact and pair.step > 0.0 else None,
        verdict=verdict,
        explanation=explanation,
        notes=_notes(varying, evidence, solution),
        channels=tuple(str(i) for i in range(len(pair.planes))) if len(pair.planes) > 1 else ("grey",),
        frame=(support.top + middle[0], support.left + middle[1]) if crop else None,
        varying=varying,
        degrees_of_freedom=solution.freedom,
    )


def _description(functions: Basis) -> str:
    """Return the varying parts as a phrase."""
    if isinstance(functions.order, tuple):
        return f"a kernel that varies over the field, on a grid of {functions.order[0]}×{functions.order[1]} nodes"
    return f"a kernel that varies over the field, of degree {functions.order}"


def _notes(varying: Varying, evidence: tuple[float, float] | None, solution: Restricted) -> tuple[str, ...]:
    """Return the remarks for the user."""
    ratios = varying.ratio_map()
    low, high = float(ratios.min()), float(ratios.max())
    notes = [f"the kernel's sum (photometric ratio) is {float(ratios.mean()):.6g}, from {low:.6g} to {high:.6g}"]
    for channel in range(len(varying.background)):
        behind = varying.background_map(channel)
        which = "" if len(varying.background) == 1 else f" of channel {channel}"
        low, high = float(behind.min()), float(behind.max())
        notes.append(f"the background{which} is {float(behind.mean()):.6g}, from {low:.6g} to {high:.6g}")
    if evidence is not None:
        statistic, gain = evidence
        if gain > 0.0:
            notes.append(f"the kernel does vary: F = {statistic:.4g} against a fixed one, BIC lower by {gain:.4g}")
        else:
            notes.append(
                f"a fixed kernel explains the pair as well (F = {statistic:.3g}, BIC lower by {-gain:.4g}): leave "
                "varying out"
            )
    if solution.undetermined.size:
        notes.append(f"{len(solution.undetermined)} directions of the kernels change nothing in this pair")
    return tuple(notes)


def _variation(plane: Plane, support: Support) -> float:
    """Return the sum of squares of the after about its mean over the positions that count."""
    positions = support.positions(plane.before.shape, plane.after.shape)
    values = plane.after[positions]
    bad = plane.excluded(support)
    values = values.ravel() if bad is None else values[~bad]
    return float(values.astype(np.float64).var() * values.size)


@dataclass(frozen=True)
class Left:
    """The residual in sums.

    Attributes
    ----------
    scores : numpy.ndarray, shape (tiles, parameters)
        Sums over the positions of each tile of the residual times what the parameters are multiplied by.
    weighted, square : float
        Sums of squares, with the weights and without.
    largest : float
        Largest magnitude.
    """

    scores: np.ndarray
    weighted: float
    square: float
    largest: float


def _residual(pair: Pair, designs: list[Design], solved: Solved, weights: np.ndarray | None) -> Left:
    """Return the residual of all planes, tile by tile."""
    scores = []
    weighted_square = square = largest = 0.0
    m = designs[0].kernel.count
    for plane, design, background in zip(pair.planes, designs, solved.backgrounds):
        support = design.support
        positions = support.positions(plane.before.shape, plane.after.shape)
        bad = plane.excluded(support)
        for down in _cut(positions[0], support.rows):
            rows = design.kernel.along(0, np.arange(down.start, down.stop))
            for across in _cut(positions[1], support.columns):
                part = down, across
                columns = design.kernel.along(1, np.arange(across.start, across.stop))
                windows = plane.before[support.windows(part)].astype(np.float64) - design.before_shift
                residual = plane.after[part].astype(np.float64) - design.after_shift
                fields = [np.outer(rows[a], columns[b]) for a, b in design.kernel.terms]
                for field, kernel in zip(fields, solved.kernels):
                    if field.any():
                        residual -= field * correlate(windows, kernel, mode="valid", dtype=np.float64)
                own = [design.background.along(axis, np.arange(s.start, s.stop)) for axis, s in enumerate(part)]
                for (a, b), value in zip(design.background.terms, background):
                    residual -= value * np.outer(own[0][a], own[1][b])
                good = np.ones(residual.shape, bool)
                if bad is not None:
                    good = ~bad[
                        down.start - positions[0].start : down.stop - positions[0].start,
                        across.start - positions[1].start : across.stop - positions[1].start,
                    ]
                if weights is not None:
                    good = good & (weights[part] > 0.0)
                residual[~good] = 0.0
                square += float((residual * residual).sum())
                largest = max(largest, float(np.abs(residual).max()))
                weighted = residual if weights is None else residual * weights[part]
                weighted_square += float((residual * weighted).sum())
                score = np.zeros((m, *support.size))
                for i, field in enumerate(fields):
                    if field.any():
                        score[i] = lag_products(weighted * field, windows, support.size, len(weighted)).sum(axis=0)
                # The background's own scores, and none of the other planes'.
                behind = [
                    [float(own[0][a] @ weighted @ own[1][b]) for a, b in design.background.terms]
                    if other is design
                    else [0.0] * design.background.count
                    for other in designs
                ]
                scores.append(np.r_[score.ravel(), np.ravel(behind)])
    return Left(np.array(scores), weighted_square, square, largest)


def _cut(part: slice, size: int) -> list[slice]:
    """Return a range cut into equal parts for tiles."""
    n = part.stop - part.start
    count = int(np.clip(n // max(32, 2 * size), 1, _TILES))
    edges = np.linspace(part.start, part.stop, count + 1).astype(int)
    return [slice(a, b) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist())]


def _reduced_scores(normal: Normal, scores: np.ndarray) -> np.ndarray:
    """Return the scores of the kernels with the backgrounds eliminated."""
    n = normal.weights
    result = scores[:, :n].copy()
    first = n
    for total in normal.totals:
        inner = total[n:-1, n:-1]
        result -= scores[:, first : first + len(inner)] @ np.linalg.solve(inner, total[n:-1, :n])
        first += len(inner)
    return result


def _step(normal: Normal, gradient: np.ndarray, solution: Restricted) -> np.ndarray:
    """Return the step of the kernels that takes the gradient of the residual away."""
    step: np.ndarray = solution.inverse @ _reduced_scores(normal, gradient[None])[0]
    return step


def _errors(normal: Normal, solution: Restricted, scores: np.ndarray, variance: float, plain: bool) -> np.ndarray:
    """Return the standard errors of the weights.

    Errors from the scores of tiles hold for residuals that are correlated or differ over the picture.
    """
    usual: np.ndarray = np.sqrt(np.maximum(np.diag(solution.inverse), 0.0) * variance)
    count = len(scores)
    if not plain or count < 12:
        return usual
    influence = _reduced_scores(normal, scores) @ solution.inverse
    clustered: np.ndarray = np.sqrt((influence**2).sum(axis=0) * count / (count - 1.0))
    ratio = float(np.sqrt(np.mean((clustered / np.maximum(usual, 1e-300)) ** 2)))
    if ratio > 1.0 + 1.5 * np.sqrt(1.0 / (2.0 * count)):
        usual = np.maximum(usual, clustered)
    return usual
