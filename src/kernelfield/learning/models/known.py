"""One kernel of which something is known: weighted residuals, a penalty, or restrictions that are met exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.arrays import as_numbers
from kernelfield.errors import ArgumentError, DataError
from kernelfield.learning.estimate import LARGEST_GRAM, Estimate
from kernelfield.learning.field_basis import Basis
from kernelfield.learning.fit import Fit
from kernelfield.learning.learner import check_noise, chi_square, described, searched
from kernelfield.learning.least_squares import Moments, Solution
from kernelfield.learning.models.field_moments import Design, Normal, products
from kernelfield.learning.models.regularise import Regularise
from kernelfield.learning.models.restricted import Restricted, solve_restricted
from kernelfield.learning.models.restriction import Restriction
from kernelfield.learning.pair import Pair
from kernelfield.learning.residual import measure
from kernelfield.learning.statistics import Statistics
from kernelfield.learning.support import Support, centred
from kernelfield.learning.support_search import Found, check_size
from kernelfield.learning.uncertainty import widened

# A sum of weights, in units of the pair, whose square float64 holds with that of any residual.
_LARGEST_SUM = 1e60

_NAMES = {
    None: "no symmetry",
    "radial": "equal weights at equal distances from the middle",
    "square": "mirrored in both directions and at the diagonals",
    "hv": "mirrored in both directions",
    "point": "the same turned by 180°",
    "h": "mirrored left to right",
    "v": "mirrored top to bottom",
}


def check_weights(weights: ArrayLike | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return checked weights of squared residuals, their mean 1 where they are not 0."""
    if weights is None:
        return None
    table = as_numbers(weights, "weights")
    if table.shape != tuple(shape):
        raise ArgumentError(f"weights: expected the shape of after {tuple(shape)}; received {table.shape}")
    table = table.astype(np.float64)
    if not np.isfinite(table).all() or table.min() < 0.0 or not table.max() > 0.0:
        raise ArgumentError(
            "weights: expected finite numbers of at least 0, some above; received others; set weights of pixels that "
            "do not count to 0"
        )
    result: np.ndarray = table / table.max()
    result /= result[result > 0.0].mean()
    return result


def fit_known(
    pair: Pair,
    size: Any,
    max_size: int,
    restriction: Restriction,
    regularise: Regularise | None,
    weights: np.ndarray | None,
    noise: tuple[float, float] | None = None,
) -> Fit:
    """Return the fit of one kernel under what is known of it; arguments as of `kernelfield.learn`, checked."""
    level = check_noise(noise)
    if size is None and restriction.support is not None:
        size = restriction.support.shape
    found = _found(pair, size, max_size, regularise)
    support = found.support
    p = support.rows * support.columns
    if p > LARGEST_GRAM:
        raise ArgumentError(
            f"size: expected at most {LARGEST_GRAM} weights with restrictions, a penalty or weights; received "
            f"{support.rows}×{support.columns}; give a smaller size"
        )
    # Raised before any sum is made.
    if restriction.symmetric != "auto":
        restriction.basis(support.size, restriction.symmetric)
    used = found.pair
    gain = pair.weight_unit
    if restriction.sum_to is not None:
        if abs(restriction.sum_to) > _LARGEST_SUM * gain:
            raise ArgumentError(
                f"sum_to: expected a number near the scale of after over that of before, {gain:.3g}; received "
                f"{restriction.sum_to:.3g}; scale one of the images"
            )
        restriction = replace(restriction, sum_to=restriction.sum_to / gain)
    statistics = used.statistics(support)
    moments = sum((Moments.of(s) for s in statistics[1:]), start=Moments.of(statistics[0]))
    own, normal = moments, None
    if weights is not None:
        normal = _weighted(used, support, weights)
        own = normal.moments()
    if own.count < p + own.offsets and regularise is None:
        raise DataError(
            f"before, after: expected at least {p + own.offsets} usable pixels for {support.rows}×{support.columns} "
            f"coefficients and an offset; received {own.count}; take a smaller size, or regularise='auto'"
        )
    # Noise in the before adds its variance, for each position that counts, to the diagonal of the Gram matrix.
    shaken = 0.0 if level is None else (level[0] / pair.before_unit.scale) ** 2
    added = shaken * (normal.total if normal else own.count)
    seen = replace(own, gram=_without(own.gram, added)) if added else own
    solution = solve_restricted(seen, support.size, restriction, regularise)
    kernel = solution.kernel.reshape(support.size)
    left = own.unexplained(kernel)
    if (
        weights is None
        and not added
        and pair.step == 0.0
        and left <= own.count * pair.exact_variance(own.square, own.count)
    ):
        kernel, square = _refined(used, statistics, support, solution, restriction, not solution.kind)
        left = square * own.count
    variance = solution.variance(left, own.count - own.offsets)
    covariance = solution.inverse * variance
    if added:
        # Fuller, Measurement Error Models, 1987, theorem 2.2.1, for noise of a normal distribution.
        scores = own.gram * variance + np.outer(kernel, kernel) * (added**2 / max(1, own.count))
        covariance = solution.inverse @ scores @ solution.inverse
    stderr = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    stderr = np.hypot(stderr, pair.epsilon * np.abs(kernel).max() / np.sqrt(3.0))
    if solution.undetermined.size:
        stderr[(solution.undetermined**2).sum(axis=0) > 1e-9] = np.inf
    offsets = _offsets(used, normal, statistics, kernel)
    rank = p - len(solution.undetermined)
    estimate = Estimate(
        support,
        statistics,
        replace(moments, offsets=own.offsets),
        Solution(kernel.ravel(), solution.inverse, rank, solution.undetermined),
        kernel,
        stderr.reshape(support.size),
        offsets,
        variance,
    )
    if weights is None or added:
        # Of weights given the errors are those that they state; noise in the before makes neighbouring residuals alike.
        estimate = replace(estimate, stderr=widened(used, estimate, shaken))
    # Of a penalty that decides some directions nothing is exact.
    sure = not solution.kind or (solution.seen == p and own.count > 2 * p)
    sure = sure and not added
    fit = described(pair, found, estimate, lambda other: sure and _holds(other, kernel, restriction))
    notes = _notes(solution, restriction)
    if level is not None:
        fit = replace(fit, chi_square=chi_square(fit, level, pair.step * pair.after_unit.scale))
    return replace(fit, degrees_of_freedom=solution.freedom, notes=(*notes, *fit.notes))


def _without(gram: np.ndarray, added: float) -> np.ndarray:
    """Return a Gram matrix without the noise on its diagonal; directions of nothing but noise are not amplified."""
    values, vectors = np.linalg.eigh(gram)
    result: np.ndarray = (vectors * np.maximum(values - added, 0.05 * added)) @ vectors.T
    return result


def _refined(
    pair: Pair,
    statistics: list[Statistics],
    support: Support,
    solution: Restricted,
    restriction: Restriction,
    steps: bool,
) -> tuple[np.ndarray, float]:
    """Return the kernel corrected by its residual where sums are not enough, and the residual's mean square."""
    kernel = solution.kernel.reshape(support.size)
    residual = measure(pair, kernel, tuple(s.offset(kernel) for s in statistics), support, gradient=True)
    for _ in range(2 if steps else 0):
        other = kernel + (solution.inverse @ residual.gradient).reshape(support.size)
        if restriction.nonnegative and other.min() < 0.0:
            break
        kernel = other
        residual = measure(pair, kernel, tuple(s.offset(kernel) for s in statistics), support, gradient=True)
    return kernel, residual.sd**2


def _found(pair: Pair, size: Any, max_size: int, regularise: Regularise | None) -> Found:
    """Return the support; with a penalty also of a size for which there are too few pixels without."""
    if regularise is not None and size is not None and pair.same_size:
        support = centred(check_size(size))
        if min(p.stop - p.start for p in support.positions(*pair.shapes)) < 1:
            raise DataError(
                f"size: expected a window of {support.rows}×{support.columns} inside the image; received an image of "
                f"{pair.shapes[0][0]}×{pair.shapes[0][1]}; take a smaller size"
            )
        return Found(support, pair.without_clipped())
    found = searched(pair, size, max_size)
    return replace(found, support=replace(found.support, separable=False))


def _weighted(pair: Pair, support: Support, weights: np.ndarray) -> Normal:
    """Return the normal equations of weighted residuals."""
    shape = pair.shapes[1]
    constant = Basis(0, shape)
    found = [
        products(plane, Design(support, constant, constant, plane.before_shift, plane.after_shift), weights)
        for plane in pair.planes
    ]
    return Normal([total for total, _ in found], support.rows * support.columns, sum(count for _, count in found))


def _offsets(pair: Pair, normal: Normal | None, statistics: list[Statistics], kernel: np.ndarray) -> tuple[float, ...]:
    """Return the offset of each plane."""
    if normal is None:
        return tuple(s.offset(kernel) for s in statistics)
    total = float(kernel.sum())
    return tuple(
        float(plane.after_shift + background[0] - plane.before_shift * total)
        for plane, background in zip(pair.planes, normal.backgrounds(kernel))
    )


def _holds(other: np.ndarray, kernel: np.ndarray, restriction: Restriction) -> bool:
    """Return whether another kernel, near one that meets the restriction, meets it too."""
    near = 1e-12 * float(np.abs(kernel).max())
    signed = not restriction.nonnegative or float(other.min()) >= 0.0
    summed = restriction.sum_to is None or abs(float(other.sum()) - restriction.sum_to) <= near * other.size
    inside = restriction.support is None or not other[~restriction.support].any()
    labels = np.unique(np.round(kernel / max(near, 1e-300) / 16.0), return_inverse=True)[1].ravel()
    alike = restriction.symmetric is None or all(
        np.ptp(other.ravel()[labels == label]) <= near for label in set(labels)
    )
    return signed and summed and inside and alike


def _notes(solution: Restricted, restriction: Restriction) -> tuple[str, ...]:
    """Return the remarks for the user."""
    notes = []
    if solution.kind:
        what = "squared weights" if solution.kind == "ridge" else "squared second differences of the weights"
        notes.append(
            f"regularised by a penalty on {what}, strength {solution.strength:.3g}: "
            f"{solution.freedom:.4g} of {solution.kernel.size} parameters are in use"
        )
        if solution.seen < solution.rank:
            notes.append(
                f"the pair alone determines {solution.seen} of {solution.rank} directions; the penalty, the others"
            )
    if restriction.symmetric is not None:
        notes.append(f"symmetry: {_NAMES[solution.symmetric]}")
    return tuple(notes)
