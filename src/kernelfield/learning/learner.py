"""The filter of a prepared pair: one kernel for all channels, estimated, named and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.kernels import Kernel
from kernelfield.learning import jpeg
from kernelfield.learning.alternatives import Signs, examine
from kernelfield.learning.boundary import find_boundary
from kernelfield.learning.counting import Rule, count_out, count_outliers
from kernelfield.learning.estimate import Estimate, estimate_kernel
from kernelfield.learning.exactness import (
    LARGEST_SD,
    Exact,
    centred_on_offset,
    confirm,
    corrected,
    find_whole,
    outwards,
    reproduce,
    rounded_by,
)
from kernelfield.learning.fit import Fit
from kernelfield.learning.forms import known_forms
from kernelfield.learning.held_out import holds_elsewhere
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.naming import Name, name_kernel
from kernelfield.learning.pair import Pair, few_moments, number_of
from kernelfield.learning.part import part_of
from kernelfield.learning.periods import distinct, folded, repeats
from kernelfield.learning.progress import begin
from kernelfield.learning.rational import as_integers
from kernelfield.learning.recoding import Recoded, best_recoded, recode
from kernelfield.learning.residual import Residual, measure, residual_maps
from kernelfield.learning.shrinking import core_of
from kernelfield.learning.support import Support
from kernelfield.learning.support_search import Found, choose_support, grown, reduced, widened
from kernelfield.learning.uncertainty import DISAGREE, Uncertainty, applied, measure_errors
from kernelfield.learning.verdict import Evidence, explain, is_noise, judge

# Variance of the residual over that of uniform rounding errors, up to which weights that are no fractions are tried.
_ROUNDED = 1.06
# Standard deviation of the residual over that of rounding from which on something else has happened.
_ABOVE = 1.2
# Weights up to which windows of a few positions take less time than the sums over all.
_FEW_TELL = 300
# Variances of the residual that the middle of a kernel may leave after JPEG, over that of all weights: boxes of 3×3 of
# camera and coins of skimage.data at qualities 75 to 95 left 1.04 to 1.22 in 3×3, a Gaussian of sigma 1 left 2.2 to 6.6
# there and 1.00 to 1.03 in 5×5. And the distance within which known kernels are the same there.
_CORE, _SAME = 1.25, 0.06
# R² of a part below which the whole pair is looked at, and variances of the residual of the whole over that of a part
# from which on, and below the inverse of which, the part is not like the rest.
_UNLIKE, _MORE, _LESS = 0.75, 3.0, 9.0


def learned(
    pair: Pair,
    size: int | tuple[int, int] | None = None,
    max_size: int = 255,
    noise: tuple[float, float] | None = None,
    apart: bool = True,
) -> Fit:
    """Return the fit of a prepared pair; other arguments as in `kernelfield.learn`.

    `apart` is whether one kernel a channel is compared with the one for all.
    """
    level = check_noise(noise)
    sample = pair.sample
    part = part_of(pair) if sample is pair else None if sample.shapes == pair.shapes else sample
    answer = None if part is None else _by_part(pair, part, size, max_size, level, apart)
    answer = answer or _judged(_answered(pair, size, max_size), level, apart)
    begin("finding name and border")
    fit = _describe(answer)
    return fit if level is None else replace(fit, chi_square=chi_square(fit, level, pair.step * pair.after_unit.scale))


def chi_square(fit: Fit, noise: tuple[float, float], step: float) -> float | None:
    """Return χ² of the residual per degree of freedom; None without noise."""
    before, after = noise
    expected = after**2 + before**2 * float((fit.kernel.weights**2).sum()) + step**2 / 12.0
    if not before and not after:
        return None
    freedom = max(1, fit.samples - fit.kernel.weights.size - len(fit.channels))
    return fit.residual_sd**2 * fit.samples / freedom / expected


def described(pair: Pair, found: Found, estimate: Estimate, keeps: Callable[[np.ndarray], bool]) -> Fit:
    """Return the fit of an estimate that was made otherwise, as with restrictions, judged as any other.

    `keeps` says of a kernel near it, which reproduces every pixel, whether it may take its place.
    """
    used = found.pair
    answer = _exactly_so(pair, used, estimate)
    if answer is not None and keeps(answer.kernel):
        return _describe(replace(answer, found=found))
    maps = residual_maps(used.sample, estimate.kernel, estimate.offsets, estimate.support)
    signs = examine(used.sample, estimate, maps, 0.0)
    none = (None,) * len(pair.planes)
    return _describe(_Answer(pair, used, found, estimate, None, False, none, signs=signs))


@dataclass(frozen=True)
class _Answer:
    """The fit of a pair: its support, the estimate from the pixels that count, and the exact kernel if there is one.

    Errors and signs are those of a part of the pair where that was judged; `apart` is the R² of a kernel for each
    channel, where these explain significantly more than one for all, else 0. With `refused` no filter explains a part
    of the pair, and its weights are those of the part.
    """

    pair: Pair
    used: Pair
    found: Found
    estimate: Estimate
    exact: Exact | None
    at_floor: bool
    outliers: tuple[np.ndarray | None, ...]
    errors: Uncertainty | None = None
    signs: Signs | None = None
    rule: Rule | None = None
    apart: float = 0.0
    refused: bool = False

    @cached_property
    def outlying(self) -> int:
        """Number of outliers."""
        if self.pair.sample is self.pair or self.rule is None:
            return number_of(self.outliers)
        return count_outliers(self.pair, self.rule) if self.rule.outliers else 0

    @cached_property
    def residual(self) -> Residual:
        """The residual over the pixels that count."""
        return measure(self.used, self.kernel, self.offsets, self.estimate.support)

    @property
    def is_exact(self) -> bool:
        """Whether rounding reproduces every pixel that counts."""
        return self.exact is not None or self.at_floor

    @property
    def complete(self) -> bool:
        """Whether every direction of the kernel is determined."""
        return self.estimate.solution.rank == self.estimate.kernel.size

    @property
    def kernel(self) -> np.ndarray:
        """The kernel: exact, corrected for noise in the before, or of least squares."""
        return (self.exact or self.errors or self.estimate).kernel

    @property
    def offsets(self) -> tuple[float, ...]:
        """The offsets that belong to it."""
        return (self.exact or self.errors or self.estimate).offsets

    @property
    def looks_like(self) -> str | None:
        """The alternative to a linear filter that explains the pair better."""
        return None if self.signs is None else self.signs.looks_like


def check_noise(noise: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the noise as two numbers."""
    if noise is None:
        return None
    try:
        before, after = (float(value) for value in noise)
    except (TypeError, ValueError):
        before = after = -1.0
    if not (0.0 <= before < 1e150 and 0.0 <= after < 1e150):
        raise ArgumentError(
            f"noise: expected the standard deviations of before and after, as (2.0, 0.5); received {received(noise)}"
        )
    return before, after


def _answered(pair: Pair, size: Any, max_size: int) -> _Answer:
    """Return the answer for a pair, over the support that is given or found."""
    found = searched(pair, size, max_size)
    estimate = estimate_kernel(found.pair, found.support)
    while found.noise is not None and estimate.variance > 1.05 * found.noise + 0.1 * pair.exact_variance(0.0, 1):
        # Border pixels bias the fit: the producer's kernel is larger than the bounding box of its nonzero weights.
        wider = widened(found.support, pair, max_size)
        if wider == found.support or not pair.same_size or found.sampled or not estimate.whole:
            break
        other = _estimated(found.pair, wider)
        if other is None or other.variance > 0.99 * estimate.variance:
            break
        found, estimate = replace(found, support=wider), other
    return _solved(pair, found, estimate, size, max_size)


def _estimated(pair: Pair, support: Support, near: Estimate | None = None) -> Estimate | None:
    """Return the estimate over a support that is tried; None where too few pixels determine it."""
    try:
        return estimate_kernel(pair, support, near)
    except DataError:
        return None


def searched(pair: Pair, size: Any, max_size: int) -> Found:
    """Return the support, found in the sample of the pair."""
    begin("searching the size")
    sample = pair.sample
    found = choose_support(sample, size, max_size)
    if sample is pair:
        return found
    used = pair if found.pair is sample else pair.without_clipped()
    count = 0 if sample.shapes == pair.shapes else sum(plane.after.size for plane in sample.planes)
    return replace(found, pair=used, sampled=found.sampled or (count if found.noise is not None else 0))


def _by_part(
    pair: Pair, part: Pair, size: Any, max_size: int, level: tuple[float, float] | None, apart: bool
) -> _Answer | None:
    """Return the answer of a part, with the kernel from all pixels of the pair; None where the part is not like them.

    The part is judged in every way; what it says of all pixels is then tested by all of them.
    """
    try:
        known = _judged(_answered(part, size, max_size), level, apart)
    except DataError:
        return None
    evidence, estimate = _evidence(known), known.estimate
    # Of an undetermined kernel and of a picture that was turned or moved far the whole may tell more.
    if not known.complete or (not known.is_exact and evidence.r2 < _UNLIKE and not known.looks_like):
        return None
    begin("comparing all pixels")
    found = replace(known.found, pair=pair, sampled=estimate.moments.count)
    if known.exact is not None:
        exact = confirm(pair, known.exact, estimate.support)
        if exact is not None:
            used = pair if known.used is part else pair.without_clipped()
            summed = estimate_kernel(used, estimate.support, estimate)
            return _Answer(pair, used, found, summed, exact, False, (None,) * len(pair.planes))
        estimate = replace(estimate, kernel=known.exact.kernel, offsets=known.exact.offsets)
    if known.looks_like and not known.is_exact:
        return _refused(pair, part, replace(known, found=found))
    counted = count_out(pair, estimate, settled=True)
    if known.is_exact:
        cleaned = pair.without(counted.outliers, counted.rule)
        best = _exactly(cleaned, counted.pair, counted.estimate)
        if best is None:
            return None
        return replace(best, pair=pair, found=found, outliers=counted.outliers, rule=counted.rule)
    if not 1.0 / _LESS < counted.estimate.variance / max(estimate.variance, 1e-300) < _MORE:
        return None
    answer = _Answer(pair, counted.pair, found, counted.estimate, None, False, counted.outliers, signs=known.signs)
    if apart:
        answer = replace(answer, apart=_apart(pair.sample, counted.estimate) if counted.estimate.whole else known.apart)
    errors = known.errors
    if errors is not None and pair.sample is pair:
        errors = applied(errors, counted.estimate)
    elif errors is not None and not errors.recoded:
        # The picture may be far larger than its sample, and the errors smaller.
        errors = measure_errors(counted.pair, counted.estimate, level)
    return replace(answer, errors=errors, rule=counted.rule)


def _refused(pair: Pair, part: Pair, known: _Answer) -> _Answer | None:
    """Return the answer of a part that no filter explains, with the residual of all pixels; None where that differs.

    Sums over all pixels would make weights that explain nothing more precise.
    """
    used = pair if known.used is part else pair.without_clipped()
    estimate, whole = known.estimate, used.moments(Support(0, 0, 1, 1))
    # The spread of the after is that of all pixels, as the residual is.
    square = whole.square * estimate.moments.count / max(1, whole.count)
    estimate = replace(estimate, moments=replace(estimate.moments, square=square))
    none = (None,) * len(pair.planes)
    answer = replace(known, pair=pair, used=used, estimate=estimate, outliers=none, rule=None, refused=True)
    ratio = (answer.residual.sd / max(known.residual.sd, 1e-300)) ** 2
    return answer if 1.0 / _LESS < ratio < _MORE else None


def _judged(answer: _Answer, level: tuple[float, float] | None, apart: bool) -> _Answer:
    """Return the answer with its errors and the signs of other filters, where more than rounding is left."""
    if answer.is_exact:
        return answer
    begin("estimating errors")
    seen, estimate = answer.used.sample, answer.estimate
    maps = residual_maps(seen, answer.kernel, answer.offsets, estimate.support)
    errors = measure_errors(answer.used, estimate, level, maps) if answer.complete else None
    judged = replace(answer, errors=errors, apart=_apart(seen, estimate) if apart else 0.0)
    if errors is not None and errors.blocky and estimate.whole and not errors.noise:
        judged = _recoded(judged)
        estimate = judged.estimate
    if judged.errors is not None and (judged.errors.noise or judged.errors.recoded):
        maps = residual_maps(seen, judged.kernel, judged.offsets, estimate.support)
    if judged.apart > 0.0 and jpeg.explains(answer.pair.sample, estimate.support, maps):
        # JPEG codes colours coarser than the brightness: that is no kernel of a channel's own.
        judged = replace(judged, apart=0.0)
    if judged.apart > 0.0:
        # Which pixels are predicted beyond the range was decided by the kernel of all: here by their values.
        seen = answer.pair.sample.without_clipped()
        channels = [replace(seen, planes=(plane,)) for plane in seen.planes]
        own = [estimate_kernel(channel, estimate.support) for channel in channels]
        maps = [residual_maps(channel, one.kernel, one.offsets, one.support)[0] for channel, one in zip(channels, own)]
        # A curve is sought in the channel in the middle.
        estimate = own[len(own) // 2]
    begin("trying other explanations")
    signs = examine(seen, estimate, maps, errors.correlation if errors else 0.0, answer.pair.sample)
    return replace(judged, signs=signs)


def _recoded(answer: _Answer) -> _Answer:
    """Return an answer with weights corrected for the coding of the after; with those in the middle where they do."""
    errors, estimate = answer.errors, answer.estimate
    assert errors is not None
    support, used = estimate.support, answer.used.sample
    found: Recoded | None
    if answer.found.noise is None:
        found = recode(used, support, errors.kernel, errors.offsets)
    else:
        core = core_of(estimate.moments, support, _CORE)
        best = best_recoded(used, support, None if core is None else core[0], errors.kernel, errors.offsets)
        support, found = best or (support, None)
    if found is None:
        return answer
    if support != estimate.support:
        estimate = estimate_kernel(answer.used, support)
    errors = replace(errors, kernel=found.kernel, stderr=found.stderr, offsets=found.offsets, recoded=True)
    return replace(answer, estimate=estimate, errors=errors)


def _solved(pair: Pair, found: Found, estimate: Estimate, size: object, max_size: int) -> _Answer:
    """Return the answer: exact with all pixels, exact without a few, or the best approximation."""
    begin("solving")
    none = (None,) * len(pair.planes)
    first = _exactly(pair, found.pair, estimate)
    if first is None and size is None:
        first = _exactly_wider(pair, found.pair, estimate, max_size)
    if first is not None:
        # A form that is exact is complete, wherever the search for its size ended.
        return replace(first, found=replace(found, limit=0))
    if estimate.solution.undetermined.size:
        everything = estimate_kernel(pair, found.support) if found.pair is not pair else estimate
        # The remaining pixels do not determine the kernel; the ends of the range may be true values, as in a drawing.
        if everything.solution.rank > estimate.solution.rank:
            whole = _exactly(pair, pair, everything)
            if whole is not None:
                return replace(whole, found=found)
            return _Answer(pair, pair, found, everything, None, False, none)
        return _Answer(pair, found.pair, found, estimate, None, False, none)
    for _ in range(3):
        counted = count_out(pair, estimate)
        if not counted.outlying or size is not None or not pair.same_size:
            break
        cleared = pair.without(counted.outliers, counted.rule)
        again = searched(cleared, None, max_size)
        if again.support == found.support:
            break
        found, estimate = again, estimate_kernel(again.pair, again.support)
    estimate = counted.estimate
    complete = estimate.solution.rank == estimate.kernel.size
    if size is None and counted.censoring and pair.same_size and estimate.whole and complete:
        # The search left out values near an end by what was observed, which bends the fit and leaves weights outside.
        support = reduced(counted.pair.sample, estimate.support, estimate.moments, estimate.kernel, estimate.variance)
        if support != estimate.support:
            # A smaller support has more positions, near the border, of which nothing is known yet.
            counted = count_out(pair, estimate_kernel(counted.pair, support))
            estimate = counted.estimate
    if size is None:
        estimate = _grown(counted.pair, estimate, max_size)
    cleaned = pair.without(counted.outliers, counted.rule)
    best = _exactly(cleaned, counted.pair, estimate)
    if best is None and size is None and (counted.outlying or counted.censoring):
        best = _exactly_wider(cleaned, counted.pair, estimate, max_size)
    if best is not None:
        return replace(best, pair=pair, found=found, outliers=counted.outliers, rule=counted.rule)
    return _Answer(pair, counted.pair, found, estimate, None, False, counted.outliers, rule=counted.rule)


def _grown(used: Pair, estimate: Estimate, max_size: int) -> Estimate:
    """Return the estimate over a support with what lies beside it, where the residual depends on that."""
    for _ in range(3 if estimate.whole else 0):
        support = grown(used.sample, estimate.support, estimate.kernel, estimate.variance, max_size)
        if support == estimate.support:
            break
        other = _estimated(used, support)
        if other is None:
            break
        extra = other.kernel.size - estimate.kernel.size
        gain = (estimate.variance / max(other.variance, 1e-300) - 1.0) * other.moments.freedom
        if gain < extra + 3.0 * np.sqrt(2.0 * extra) + 4.0:
            break
        estimate = other
    return estimate


def _exactly_wider(pair: Pair, used: Pair, estimate: Estimate, max_size: int) -> _Answer | None:
    """Return the exact answer of a support a little larger, where the residual is nearly that of rounding.

    The small outer weights of a blur are lost in the search and missed here and there by the pixels.
    """
    if not 0.0 < estimate.variance < 3.0 * pair.step**2 / 12.0 or estimate.solution.undetermined.size:
        return None
    if not estimate.whole and estimate.lines is None:
        return None
    support = estimate.support
    energy = estimate.kernel**2 / float((estimate.kernel**2).sum())
    ends = []
    for first, n, marginal in (
        (support.top, support.rows, energy.sum(axis=1)),
        (support.left, support.columns, energy.sum(axis=0)),
    ):
        middle = first + round(float(marginal @ np.arange(n)))
        ends.append((middle, max(middle - first, first + n - 1 - middle)))
    tried: dict[int, Estimate | None] = {}
    # The largest first: where even that leaves more than rounding, none is exact.
    for more in (3, 0, 1, 2, 3):
        (row, tall), (column, wide) = ends
        tall, wide = tall + more, wide + more
        size = 2 * tall + 1, 2 * wide + 1
        if support.columns == 1 and more < 2:
            size, wide = (size[0], 1), 0
        if support.rows == 1 and more < 2:
            size, tall = (1, size[1]), 0
        other = Support(row - tall, column - wide, *size, support.separable)
        room = [places.stop - places.start for places in other.positions(*pair.shapes)]
        if max(size) > max_size or other == support or min(room) <= 0:
            continue
        if more in tried:
            wider = tried[more]
        else:
            if more == 3 and _is_above(used.sample, other, _ROUNDED * pair.step**2 / 12.0):
                return None
            wider = tried[more] = _estimated(used, other, estimate)
            if more == 3:
                if wider is not None and wider.variance > _ROUNDED * pair.step**2 / 12.0:
                    return None
                continue
        if wider is None:
            continue
        answer = _exactly(pair, used, wider)
        if answer is not None:
            return answer
    return None


def _is_above(pair: Pair, support: Support, variance: float) -> bool:
    """Return whether few positions show that a support leaves more than a variance; False where they might not."""
    p = support.parameters
    if support.separable or p > _FEW_TELL:
        return False
    few = few_moments(pair, support, 8 * p)
    if few.count < 4 * p:
        return False
    left = few.unexplained(few.ridge_kernel) / few.freedom
    return left > variance * (1.0 + 6.0 * float(np.sqrt(2.0 / few.freedom)))


def _exactly(pair: Pair, used: Pair, estimate: Estimate) -> _Answer | None:
    """Return the answer if rounding reproduces every pixel of `pair`; the estimate is that of `used`."""
    # Of many weights simple forms come first: they are tried in a moment.
    for one in chain(known_forms(used.sample, estimate), (estimate,)):
        answer = _exactly_so(pair, used, one)
        if answer is not None:
            return answer
    return None


def _exactly_so(pair: Pair, used: Pair, estimate: Estimate) -> _Answer | None:
    """Return the answer if rounding reproduces every pixel of `pair` with weights near the estimate."""
    none = (None,) * len(pair.planes)
    moments, p = estimate.moments, estimate.kernel.size
    if estimate.solution.rank < p:
        return None
    answer = _Answer(pair, used, Found(estimate.support, used), estimate, None, True, none)
    energy = float((estimate.kernel**2).sum())
    if pair.step == 0.0:
        floor = pair.floor(moments.square, moments.count, energy)
        if estimate.variance > max(floor, 1e-26 * moments.square / max(1, moments.count)):
            return None
        residual = measure(used, estimate.kernel, estimate.offsets, estimate.support)
        return answer if residual.largest <= 30.0 * np.sqrt(max(floor, estimate.variance)) else None
    if estimate.variance > (LARGEST_SD * pair.step) ** 2 or moments.count < 2 * estimate.support.parameters:
        return None
    # Few levels can be given by a threshold: then rounding says little, and the residual has to vanish.
    r2 = 1.0 - estimate.variance * moments.count / moments.square if moments.square > 0.0 else 1.0
    if r2 < (0.75 if pair.levels > 3 else 0.999):
        return None
    exact = _rounded(pair, used, estimate)
    return None if exact is None else replace(answer, exact=exact)


def _rounded(pair: Pair, used: Pair, estimate: Estimate) -> Exact | None:
    """Return a kernel that reproduces every pixel of `pair` by rounding: integers over a divisor if there are some."""
    support = estimate.support
    exact = find_whole(pair, estimate.kernel, estimate.stderr, support)
    if not estimate.whole:
        return exact or rounded_by(pair, estimate.kernel, support)
    if exact is None and estimate.variance <= _ROUNDED * pair.step**2 / 12.0:
        inverse = estimate.solution.inverse
        better = corrected(used, estimate.kernel, estimate.statistics, inverse, support)
        error = np.hypot(estimate.stderr, np.abs(better - estimate.kernel) / 2.0)
        exact = find_whole(pair, better, error, support)
        if exact is None:
            exact = reproduce(pair, better, estimate.statistics, estimate.moments.gram, support)
            if exact is not None and not holds_elsewhere(used.sample, support):
                return None
    if exact is None:
        about, counted = (centred_on_offset(each, estimate.offsets) for each in (pair, used))
        other = None if about is None or counted is None else _estimated(outwards(counted), support)
        if about is not None and other is not None:
            exact = find_whole(about, other.kernel, other.stderr, support, to_zero=True)
            if exact is not None:
                zeros = (float(np.rint(offset / pair.step)) * pair.step for offset in estimate.offsets)
                exact = replace(exact, offsets=tuple(a + b for a, b in zip(exact.offsets, zeros)))
    return exact


def _evidence(answer: _Answer) -> Evidence:
    """Return the evidence for the verdict on an answer."""
    pair, moments = answer.pair, answer.estimate.moments
    first = pair.sample.planes[0]
    sd = answer.residual.sd
    r2 = 1.0 if moments.square == 0.0 else min(1.0, max(0.0, 1.0 - sd**2 * moments.count / moments.square))
    energy = float((answer.kernel**2).sum())
    fitted = not answer.complete and sd**2 <= pair.exact_variance(moments.square, moments.count, energy)
    return Evidence(
        answer.is_exact,
        answer.complete,
        sd * pair.after_unit.scale,
        pair.step * pair.after_unit.scale,
        r2,
        answer.estimate.support.parameters,
        moments.count,
        answer.outlying,
        None if fitted else answer.signs,
        0.0 if answer.is_exact else answer.apart,
        answer.found.limit,
        moments.square == 0.0,
        "" if answer.is_exact else repeats(first.before, first.after),
        0 if answer.is_exact else distinct(first.before),
    )


def _describe(answer: _Answer) -> Fit:
    """Return the answer as a fit, with name, boundary and verdict."""
    pair, used, estimate, exact = answer.pair, answer.used, answer.estimate, answer.exact
    moments, solution, support = estimate.moments, estimate.solution, estimate.support
    kernel, stderr, offsets, errors, signs = answer.kernel, estimate.stderr, answer.offsets, answer.errors, answer.signs
    whole: tuple[np.ndarray, int] | None = None
    if exact is not None:
        stderr = np.hypot(stderr, np.abs(kernel - estimate.kernel) / 2.0)
        if exact.integers is not None and exact.divisor is not None:
            whole = exact.integers, exact.divisor
    elif errors is not None:
        stderr = errors.stderr
    evidence = _evidence(answer)
    if evidence.blank:
        stderr = np.full_like(stderr, np.inf)
    sd = evidence.sd / pair.after_unit.scale
    above = sd / pair.step * np.sqrt(12.0) if pair.step > 0.0 else 0.0
    found_limit = answer.found.limit
    doubt = _errors_note(errors, found_limit, signs, above, pair.before_unit.scale)
    verdict = judge(evidence)
    sure = verdict in ("exact", "approximate") and not evidence.channels and not found_limit
    least = 1e-9 * max(float(np.abs(kernel).max()), 1e-300)
    if sure and verdict == "exact" and whole is None and pair.step == 0.0:
        whole = as_integers(kernel / pair.gain, stderr / pair.gain, least / pair.gain)
    unit = pair.gain
    if whole is not None:
        integers, divisor, unit = _folded(*whole, unit)
        whole = integers, divisor
    named = Name(None, "no known filter")
    if sure:
        total = offsets[0] * pair.after_unit.scale + pair.after_unit.centre
        sized = stderr if whole is None else np.zeros_like(stderr)
        middle = support.anchor if pair.same_size else (support.rows // 2, support.columns // 2)
        named = name_kernel(kernel, middle, sized, total, verdict == "exact", not doubt, unit=pair.weight_unit)
        if errors is not None and errors.blocky and estimate.whole and pair.same_size:
            # JPEG puts weights around a kernel: its nearest relative is sought without them.
            known = None if errors.recoded else core_of(moments, support, _CORE)
            core, weights = known or (support, kernel)
            errors_of = _part(sized, support, core)
            named = name_kernel(weights, core.anchor, errors_of, total, False, False, _SAME, pair.weight_unit)
    if whole is not None and answer.found.noise is not None:
        kernel, stderr, whole, support = _without_ring(kernel, stderr, whole, support)
    narrow = support
    kernel, stderr, support, extra = _including_origin(kernel, stderr, support, pair)
    if whole is not None:
        whole = _including_origin(whole[0], whole[0], narrow, pair)[0].astype(np.int64), whole[1]
    anchor, frame = _placed(support, answer)
    wrong = float((stderr**2).sum()) if np.isfinite(stderr).all() else 0.0
    rule = find_boundary(used.frame, kernel, support, offsets, sd**2, wrong)
    part, inner = _trimmed(kernel, support)
    if rule.name is None and pair.same_size and inner != support:
        # A kernel of the producer's may be smaller than the size that was given.
        narrower = find_boundary(used.frame, part, inner, offsets, sd**2, wrong)
        rule = narrower if narrower.name is not None else rule
    gain = pair.weight_unit
    absolute = tuple(
        o * pair.after_unit.scale + pair.after_unit.centre - gain * pair.before_unit.centre * float(kernel.sum())
        for o in offsets
    )
    positions = [places.stop - places.start for places in estimate.support.positions(*pair.shapes)]
    return Fit(
        kernel=Kernel(kernel * gain, named.name, dict(named.parameters), None, anchor),
        stderr=stderr * gain,
        offset=absolute if len(absolute) > 1 else absolute[0],
        boundary=rule.name,
        cval=rule.cval * pair.before_unit.scale + pair.before_unit.centre if rule.name == "constant" else 0.0,
        boundary_candidates=rule.candidates,
        boundary_reason=rule.reason,
        name=named.name,
        description=_description(verdict, named, signs),
        integers=whole[0] if whole else None,
        divisor=whole[1] if whole else None,
        rank=0 if evidence.blank else kernel.size if answer.complete else solution.rank + extra,
        undetermined=_directions(answer, support, evidence.blank),
        r2=evidence.r2,
        residual_sd=evidence.sd,
        samples=moments.count,
        excluded=positions[0] * positions[1] * len(pair.planes) - answer.residual.count,
        rounding=exact.rounding if exact is not None else None,
        verdict=verdict,
        explanation=explain(verdict, evidence) + ("; weights may be off, see errors" if sure and doubt else ""),
        parameters=dict(named.parameters),
        scale=named.scale,
        notes=_notes(answer, errors if sure else None, frame),
        channels=tuple(str(i) for i in range(len(pair.planes))) if len(pair.planes) > 1 else ("grey",),
        outliers=evidence.outliers,
        left_out=_map(answer.outliers) if pair.sample is pair else None,
        errors_note=doubt,
        gain=unit * gain if whole else 1.0,
        frame=frame,
        covariance=estimate.covariance(stderr * gain, support),
    )


def _part(table: np.ndarray, support: Support, part: Support) -> np.ndarray:
    """Return the part of a table over a support."""
    top, left = part.top - support.top, part.left - support.left
    return table[top : top + part.rows, left : left + part.columns]


def _folded(integers: np.ndarray, divisor: int, gain: float) -> tuple[np.ndarray, int, float]:
    """Return integers and divisor with the gain in them, where it is a simple fraction, and the gain that is left."""
    simple = Fraction(gain).limit_denominator(256)
    if abs(float(simple) - gain) > 1e-12 * gain or simple == 1 or simple.denominator > 1 < simple.numerator:
        return integers, divisor, gain
    whole = integers * simple.numerator
    divisor = divisor * simple.denominator
    common = int(np.gcd.reduce(np.append(whole.ravel(), divisor)))
    return whole // common, divisor // common, 1.0


def _without_ring(
    kernel: np.ndarray, stderr: np.ndarray, whole: tuple[np.ndarray, int], support: Support
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, int], Support]:
    """Return kernel, errors, integers and support without rings of exact zeros, which a search may leave."""
    integers, divisor = whole
    inner = slice(1, -1), slice(1, -1)
    while min(integers.shape) > 2 and not np.delete(integers, slice(1, -1), axis=0).any():
        if np.delete(integers, slice(1, -1), axis=1).any():
            break
        integers, kernel, stderr = integers[inner], kernel[inner], stderr[inner]
        support = Support(support.top + 1, support.left + 1, *integers.shape)
    return kernel, stderr, (integers, divisor), support


def _including_origin(
    kernel: np.ndarray, stderr: np.ndarray, support: Support, pair: Pair
) -> tuple[np.ndarray, np.ndarray, Support, int]:
    """Return kernel, errors and support with zeros up to the output pixel, and the number of these zeros."""
    if not pair.same_size:
        return kernel, stderr, support, 0
    margins = [(max(0, first), max(0, -(first + n - 1))) for first, n in zip((support.top, support.left), support.size)]
    if not any(map(any, margins)):
        return kernel, stderr, support, 0
    wide = np.pad(kernel, margins)
    place = Support(support.top - margins[0][0], support.left - margins[1][0], *wide.shape)
    return wide, np.pad(stderr, margins), place, wide.size - kernel.size


def _trimmed(kernel: np.ndarray, support: Support) -> tuple[np.ndarray, Support]:
    """Return kernel and support without outer rows and columns of zeros, but with the output pixel."""
    held = np.abs(kernel) > 1e-7 * np.abs(kernel).max()
    spans = []
    for axis, first in ((1, support.top), (0, support.left)):
        lines = np.append(np.flatnonzero(held.any(axis=axis)), np.clip(-first, 0, held.shape[1 - axis] - 1))
        spans.append(slice(int(lines.min()), int(lines.max()) + 1))
    part = kernel[spans[0], spans[1]]
    return part, Support(support.top + spans[0].start, support.left + spans[1].start, *part.shape)


def _directions(answer: _Answer, wider: Support, blank: bool) -> np.ndarray:
    """Return the undetermined directions on the support with its zeros: all of them where nothing tells a filter."""
    estimate, support = answer.estimate, answer.estimate.support
    directions = estimate.solution.undetermined
    if blank and estimate.whole:
        p = wider.rows * wider.columns
        return np.eye(p).reshape(p, *wider.size)
    if not directions.size:
        return np.zeros((0, *wider.size))
    tables = directions.reshape(-1, *support.size)
    if support == wider:
        return tables
    top, left = support.top - wider.top, support.left - wider.left
    ends = [(top, wider.rows - support.rows - top), (left, wider.columns - support.columns - left)]
    return np.pad(tables, [(0, 0), *ends])


def _placed(support: Support, answer: _Answer) -> tuple[tuple[int, int], tuple[int, int] | None]:
    """Return the anchor, and for a crop the pixel of the before below the after's first pixel."""
    if answer.pair.same_size:
        return support.anchor, None
    middle = support.rows // 2, support.columns // 2
    before, after = answer.pair.shapes
    implied = before[0] - after[0] + 1, before[1] - after[1] + 1
    if support == Support(0, 0, *implied):
        return middle, None
    return middle, (support.top + middle[0], support.left + middle[1])


def _map(masks: tuple[np.ndarray | None, ...]) -> np.ndarray | None:
    """Return where a pixel of any channel was left out as an outlier, None if nowhere."""
    seen = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(seen) if seen else None


def _description(verdict: str, named: Name, signs: Signs | None) -> str:
    """Return the first line of the report."""
    if verdict == "not linear":
        return f"no linear filter; like {signs.looks_like}" if signs and signs.looks_like else "no linear filter"
    return named.description


def _errors_note(errors: Uncertainty | None, limit: int, signs: Signs | None, above: float, scale: float) -> str:
    """Return the reasons for which the errors are wider or only approximate, as text; "" if there are none.

    `above` is the residual over that of rounding, 0 for an after without a grid; `scale` the unit of the before.
    """
    if errors is None:
        return ""
    parts = []
    if errors.noise and errors.measured:
        parts.append("corrected for noise in the before, whose level is measured: approximate")
    if limit:
        parts.append("weights may be off: those beyond the limit of the size are missing")
    if errors.suspected:
        parts.append(
            f"neighbouring residuals are alike, as noise in the before of about {errors.suspected * scale:.2g} leaves "
            "them: weights may be off by what it would change (give noise=)"
        )
    if errors.recoded:
        parts.append("corrected for what JPEG's quantisation took: approximate")
    elif errors.blocky:
        parts.append("the residual has JPEG's blocks: weights may be off by more than their errors")
    elif signs is not None and ((above > _ABOVE and not _like_noise(signs)) or (above == 0.0 and not is_noise(signs))):
        parts.append(
            "the residual follows the picture, as after compression or rounding between passes: weights may be off by "
            "more than their errors"
        )
    elif errors.disagreement > DISAGREE:
        cause = "noise in the before (give noise=), or a kernel that varies over the picture (try varying='auto')"
        parts.append(f"calm and busy parts disagree: weights may be off, by {cause}")
    return "; ".join(parts)


def _like_noise(signs: Signs) -> bool:
    """Return whether the residual is the same everywhere and its neighbours independent."""
    return 1 / 1.15 < signs.texture < 1.15 and abs(signs.correlation) < 0.03 and signs.curve < 0.01


def _notes(answer: _Answer, errors: Uncertainty | None, frame: tuple[int, int] | None) -> tuple[str, ...]:
    """Return the remarks for the user."""
    notes = []
    estimate, found, pair = answer.estimate, answer.found, answer.pair
    if estimate.solution.undetermined.size:
        p, rank = estimate.kernel.size, estimate.solution.rank
        notes.append(
            f"{p - rank} of {p} directions of the kernel change nothing in this pair; an image with more detail, "
            "or a smaller size if you know it, would determine them"
        )
    if outlying := answer.outlying:
        many = "1 pixel" if outlying == 1 else f"{outlying:,} pixels"
        notes.append(f"{many} cannot come from the filter and are left out; fit.left_out is their map")
    for which, marker in zip(("before", "after"), pair.markers):
        if marker is not None:
            notes.append(f"pixels of {marker:.6g} in the {which} are taken for missing ones: give mask= otherwise")
    repeated = folded(answer.pair.planes[0].before, answer.estimate.support.size)
    if repeated:
        notes.append(repeated)
    if frame is not None:
        notes.append(f"the after is a crop: its first pixel lies over row {frame[0]}, column {frame[1]} of the before")
    if answer.refused:
        notes.append(f"kernel and size are those of {estimate.moments.count:,} pixels; the residual is that of all")
    elif found.sampled:
        notes.append(f"the size was searched for on {found.sampled:,} pixels of the picture")
    if errors is not None and errors.noise:
        how = "measured" if errors.measured else "given"
        notes.append(
            f"noise in the before of standard deviation {errors.noise * pair.before_unit.scale:.3g} ({how}) is "
            "corrected for"
        )
    return tuple(notes)


def _apart(pair: Pair, estimate: Estimate) -> float:
    """Return the R² of one kernel per channel where they explain significantly more than the shared one, else 0."""
    if len(pair.planes) < 2:
        return 0.0
    p, square = estimate.support.parameters, estimate.moments.square
    if estimate.whole:
        each = [Moments.of(statistics) for statistics in estimate.statistics]
        apart = sum(moments.unexplained(solve(moments).kernel) for moments in each)
        freedom = sum(moments.freedom for moments in each)
        shared = estimate.moments.unexplained(estimate.kernel)
    else:
        channels = (_estimated(replace(pair, planes=(plane,)), estimate.support, estimate) for plane in pair.planes)
        own = [one for one in channels if one is not None]
        if len(own) < len(pair.planes):
            return 0.0
        freedom = sum(one.moments.count - p - 1 for one in own)
        apart = sum(one.variance * (one.moments.count - p - 1) for one in own)
        shared = estimate.variance * (estimate.moments.count - p - len(own))
    extra = p * (len(pair.planes) - 1)
    gain = (shared - apart) / extra / max(apart / max(1, freedom), 1e-300)
    # The F statistic is near 1 if one kernel fits all channels; below 3 % of the residual a difference is irrelevant.
    differ = gain > 1.0 + 6.0 * np.sqrt(2.0 / extra) and shared > 1.03 * apart
    return 1.0 - apart / max(square, 1e-300) if differ else 0.0
