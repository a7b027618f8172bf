"""`learn`: the filter between two images, estimated, named and judged."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.errors import ArgumentError
from kernelfield.kernels import Kernel, match
from kernelfield.kernels.matching import Match
from kernelfield.learning.alternatives import Signs, examine
from kernelfield.learning.boundary import find_boundary
from kernelfield.learning.counting import count_out, placed
from kernelfield.learning.estimate import Estimate, estimate_kernel
from kernelfield.learning.exactness import LARGEST_SD, Exact, corrected, find_whole, outwards, reproduce
from kernelfield.learning.fit import Fit
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.pair import Pair, prepare
from kernelfield.learning.rational import as_integers
from kernelfield.learning.residual import measure, residual_maps
from kernelfield.learning.support import Support
from kernelfield.learning.support_search import Found, choose_support, widened
from kernelfield.learning.uncertainty import DISAGREE, Uncertainty, measure_errors
from kernelfield.learning.verdict import Evidence, explain, judge


def learn(
    before: ArrayLike,
    after: ArrayLike,
    *,
    size: int | tuple[int, int] | None = None,
    max_size: int = 31,
    mask: ArrayLike | None = None,
    clip: str | tuple[float, float] | None = "auto",
    channel_axis: int | str | None = "auto",
    noise: tuple[float, float] | None = None,
) -> Fit:
    """Return the filter that made `after` from `before`: its kernel with errors, name, boundary and verdict.

    Exact least squares of ``after[p] = sum over u of kernel[u] * before[p + u] + offset`` over the positions with their
    window inside the image.

    Parameters
    ----------
    before, after : array_like, PIL image, str or path-like
        Shape (H, W) or (H, W, C); a path is read by `kernelfield.images.read`. Of the same size, or the after smaller
        by ``(kh - 1, kw - 1)``, the valid part. NaN, infinite and masked pixels (`numpy.ma`) are excluded. The channels
        of a colour image share one kernel and have an offset each.
    size : int or (int, int), optional
        Of the kernel, centred on the output pixel (element ``size // 2``). If not given, size and centre are searched
        for, up to `max_size`; for a smaller after the image shapes imply the size.
    max_size : int
        Largest size to search, at most 63.
    mask : array_like of bool, optional
        True for pixels to use. Of the shape of `before` (windows that contain a False are excluded) or of `after`.
    clip : "auto", None or (low, high)
        Range of the after; values at or beyond its ends are excluded if they would bias the fit. ``"auto"`` takes the
        range of an integer dtype, or 0 and 1 for floats that are multiples of 1/255 or 1/65535; None excludes none.
    channel_axis : int or "auto"
        The channel axis of a three-dimensional image; ``"auto"`` takes a last axis of up to 4.
    noise : (float, float), optional
        Standard deviation of the noise in the before and in the after, if known: least squares is corrected for that
        in the before, which otherwise draws every kernel towards a blur.

    Returns
    -------
    Fit

    Raises
    ------
    ArgumentError
        If shapes, size, mask or clip are invalid.
    DataError
        If too few pixels remain to determine the kernel.

    Examples
    --------
    >>> import numpy as np
    >>> import kernelfield as kf
    >>> before = np.random.default_rng(0).random((40, 50))
    >>> fit = kf.learn(before, kf.correlate(before, [[1.0, -1.0]], boundary="mirror"))
    >>> fit.verdict, fit.size, fit.anchor, fit.boundary
    ('exact', (1, 2), (0, 1), 'mirror')
    >>> fit.kernel.weights.round(6)
    array([[ 1., -1.]])
    """
    level = _checked_noise(noise)
    pair = prepare(before, after, mask, clip, channel_axis)
    found = choose_support(pair, size, max_size)
    estimate = estimate_kernel(found.pair, found.support)
    while found.noise is not None and estimate.variance > 1.05 * found.noise + 0.1 * pair.exact_variance(0.0, 1):
        # Border pixels bias the fit: the producer's kernel is larger than the bounding box of its nonzero weights.
        wider = widened(found.support, pair, max_size)
        if wider == found.support or not pair.same_size or found.sampled:
            break
        other = estimate_kernel(found.pair, wider)
        if other.variance > 0.99 * estimate.variance:
            break
        found, estimate = replace(found, support=wider), other
    return _describe(_solved(pair, found, estimate, size, max_size), level)


@dataclass(frozen=True)
class _Answer:
    """The fit of a pair: its support, the estimate from the pixels that count, and the exact kernel if there is one."""

    pair: Pair
    used: Pair
    found: Found
    estimate: Estimate
    exact: Exact | None
    at_floor: bool
    outliers: tuple[np.ndarray | None, ...]
    censored: tuple[np.ndarray | None, ...]

    @property
    def outlying(self) -> int:
        return sum(int(mask.sum()) for mask in self.outliers if mask is not None)


def _checked_noise(noise: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the noise as two numbers."""
    if noise is None:
        return None
    try:
        before, after = (float(value) for value in noise)
    except (TypeError, ValueError):
        before = after = -1.0
    if not (0.0 <= before < np.inf and 0.0 <= after < np.inf):
        raise ArgumentError(
            f"noise: expected the standard deviations of before and after, as (2.0, 0.5); received {str(noise)[:80]}"
        )
    return before, after


def _solved(pair: Pair, found: Found, estimate: Estimate, size: object, max_size: int) -> _Answer:
    """Return the answer: exact with all pixels, exact without a few, or the best approximation."""
    none = (None,) * len(pair.planes)
    clipped = tuple(plane.clipped for plane in pair.planes) if found.pair is not pair else none
    first = _exactly(pair, found.pair, estimate)
    if first is not None:
        return replace(first, found=found, censored=clipped)
    if estimate.solution.undetermined.size:
        everything = estimate_kernel(pair, found.support) if found.pair is not pair else estimate
        # The remaining pixels do not determine the kernel; the ends of the range may be true values, as in a drawing.
        if everything.solution.rank > estimate.solution.rank:
            whole = _exactly(pair, pair, everything)
            return whole or _Answer(pair, pair, found, everything, None, False, none, none)
        return _Answer(pair, found.pair, found, estimate, None, False, none, clipped)
    refit = lambda used, last: estimate_kernel(used, last.support)  # noqa: E731
    for _ in range(3):
        counted = count_out(pair, estimate, refit, size is not None or True)
        if not counted.outlying or size is not None or not pair.same_size:
            break
        cleared = pair.without(placed(pair, counted.estimate, counted.outliers))
        again = choose_support(cleared, None, max_size)
        if again.support == found.support:
            break
        found, estimate = again, estimate_kernel(again.pair, again.support)
    estimate = counted.estimate
    cleaned = pair.without(placed(pair, estimate, counted.outliers))
    best = _exactly(cleaned, counted.pair, estimate)
    if best is not None:
        return replace(best, pair=pair, found=found, outliers=counted.outliers, censored=counted.censored)
    return _Answer(pair, counted.pair, found, estimate, None, False, counted.outliers, counted.censored)


def _exactly(pair: Pair, used: Pair, estimate: Estimate) -> _Answer | None:
    """Return the answer if rounding reproduces every pixel of `pair`; the estimate is that of `used`."""
    none = (None,) * len(pair.planes)
    moments, p = estimate.moments, estimate.kernel.size
    if estimate.solution.rank < p:
        return None
    answer = _Answer(pair, used, Found(estimate.support, used), estimate, None, True, none, none)
    energy = float((estimate.kernel**2).sum())
    if pair.step == 0.0:
        floor = pair.floor(moments.square, moments.count, energy)
        if estimate.variance > max(floor, 1e-26 * moments.square / max(1, moments.count)):
            return None
        residual = measure(used, estimate.kernel, estimate.offsets, estimate.support)
        return answer if residual.largest <= 30.0 * np.sqrt(max(floor, estimate.variance)) else None
    if estimate.variance > (LARGEST_SD * pair.step) ** 2 or moments.count < 2 * p:
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
    if exact is None and estimate.variance <= (0.45 * pair.step) ** 2:
        inverse = estimate.solution.inverse
        better = corrected(used, estimate.kernel, estimate.statistics, inverse, support)
        error = np.hypot(estimate.stderr, np.abs(better - estimate.kernel) / 2.0)
        exact = find_whole(pair, better, error, support) or reproduce(
            pair, better, estimate.statistics, inverse, support
        )
    if exact is None:
        moved = outwards(used)
        if moved is not None:
            other = estimate_kernel(moved, support)
            exact = find_whole(pair, other.kernel, other.stderr, support, to_zero=True)
    return exact


def _describe(answer: _Answer, level: tuple[float, float] | None) -> Fit:
    """Return the answer as a fit, with name, boundary and verdict."""
    pair, used, estimate, exact = answer.pair, answer.used, answer.estimate, answer.exact
    moments, solution, support = estimate.moments, estimate.solution, estimate.support
    complete = solution.rank == estimate.kernel.size
    kernel, stderr, offsets = estimate.kernel, estimate.stderr, estimate.offsets
    whole: tuple[np.ndarray, int] | None = None
    errors: Uncertainty | None = None
    signs: Signs | None = None
    if exact is not None:
        stderr = np.hypot(stderr, np.abs(exact.kernel - kernel) / 2.0)
        kernel, offsets = exact.kernel, exact.offsets
        if exact.integers is not None and exact.divisor is not None:
            whole = exact.integers, exact.divisor
    elif not answer.at_floor:
        if complete:
            errors = measure_errors(used, estimate, level)
            kernel, stderr, offsets = errors.kernel, errors.stderr, errors.offsets
        maps = residual_maps(used, kernel, offsets, support)
        signs = examine(used, estimate, maps, errors.correlation if errors else 0.0)
    residual = measure(used, kernel, offsets, support)
    sd = residual.sd
    r2 = 1.0 if moments.square == 0.0 else min(1.0, max(0.0, 1.0 - sd**2 * moments.count / moments.square))
    is_exact = exact is not None or answer.at_floor
    fitted = not complete and sd**2 <= pair.exact_variance(moments.square, moments.count, float((kernel**2).sum()))
    evidence = Evidence(
        is_exact,
        complete,
        sd * pair.after_unit.scale,
        pair.step * pair.after_unit.scale,
        r2,
        kernel.size,
        moments.count,
        answer.outlying,
        None if fitted else signs,
    )
    verdict = judge(evidence)
    sure = verdict in ("exact", "approximate")
    least = 1e-9 * max(float(np.abs(kernel).max()), 1e-300)
    if sure and verdict == "exact" and whole is None and pair.step == 0.0:
        whole = as_integers(kernel / pair.gain, stderr / pair.gain, least / pair.gain)
    kernel, stderr, support, extra = _including_origin(kernel, stderr, support, pair)
    if whole is not None and whole[0].shape != kernel.shape:
        whole = _including_origin(whole[0], whole[0], estimate.support, pair)[0].astype(np.int64), whole[1]
    anchor, frame = _placed(support, answer)
    known = None
    if sure:
        total = offsets[0] * pair.after_unit.scale + pair.after_unit.centre
        known = match(kernel, anchor, 5.0 * np.maximum(stderr, least), total)
    parameters = dict(known.parameters) if known else {}
    rule = find_boundary(used, kernel, offsets, support, sd**2)
    gain = pair.after_unit.scale / pair.before_unit.scale
    absolute = tuple(
        o * pair.after_unit.scale + pair.after_unit.centre - gain * pair.before_unit.centre * float(kernel.sum())
        for o in offsets
    )
    rows, columns = (p.stop - p.start for p in support.positions(*pair.shapes))
    left_out = placed(pair, estimate, answer.outliers)
    return Fit(
        kernel=Kernel(kernel * gain, known.name if known else None, parameters, None, anchor),
        stderr=stderr * gain,
        offset=absolute if len(absolute) > 1 else absolute[0],
        boundary=rule.name,
        cval=rule.cval * pair.before_unit.scale + pair.before_unit.centre if rule.name == "constant" else 0.0,
        boundary_candidates=rule.candidates,
        boundary_reason=rule.reason,
        name=known.name if known else None,
        description=_description(verdict, known, signs),
        integers=whole[0] if whole else None,
        divisor=whole[1] if whole else None,
        rank=solution.rank + extra,
        undetermined=_padded_directions(solution.undetermined, estimate.support, support),
        r2=r2,
        residual_sd=evidence.sd,
        samples=moments.count,
        excluded=rows * columns * len(pair.planes) - moments.count,
        rounding=exact.rounding if exact is not None else None,
        verdict=verdict,
        explanation=explain(verdict, evidence),
        parameters=parameters,
        notes=_notes(answer, errors, verdict, frame),
        channels=tuple(str(i) for i in range(len(pair.planes))) if len(pair.planes) > 1 else ("grey",),
        outliers=answer.outlying,
        left_out=_map(left_out),
        errors_note=_errors_note(errors),
        gain=pair.gain * gain if whole else 1.0,
        frame=frame,
    )


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


def _padded_directions(directions: np.ndarray, support: Support, wider: Support) -> np.ndarray:
    """Return the undetermined directions on the support with its zeros."""
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


def _map(masks: list[np.ndarray | None]) -> np.ndarray | None:
    """Return where a pixel of any channel was left out as an outlier, None if nowhere."""
    seen = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(seen) if seen else None


def _description(verdict: str, known: Match | None, signs: Signs | None) -> str:
    """Return the first line of the report."""
    if verdict == "not linear":
        return f"no linear filter; like {signs.looks_like}" if signs and signs.looks_like else "no linear filter"
    return known.description if known else "no known filter"


def _errors_note(errors: Uncertainty | None) -> str:
    """Return what widened the errors, empty if nothing did."""
    if errors is None:
        return ""
    parts = []
    if errors.noise and errors.measured:
        parts.append("corrected for noise in the before, whose level is measured: approximate")
    if errors.blocky:
        parts.append("the residual has JPEG's blocks: weights may be off by more than their errors")
    elif errors.disagreement > DISAGREE:
        cause = "noise in the before (give noise=), or a kernel that varies over the picture"
        parts.append(f"calm and busy parts disagree: weights may be off, by {cause}")
    return "; ".join(parts)


def _notes(answer: _Answer, errors: Uncertainty | None, verdict: str, frame: tuple[int, int] | None) -> tuple[str, ...]:
    """Return the remarks for the user."""
    notes = []
    estimate, found, pair = answer.estimate, answer.found, answer.pair
    if estimate.solution.undetermined.size:
        p, rank = estimate.kernel.size, estimate.solution.rank
        notes.append(
            f"{p - rank} of {p} directions of the kernel change nothing in this pair; an image with more detail, "
            "or a smaller size if you know it, would determine them"
        )
    if answer.outlying:
        many = "1 pixel" if answer.outlying == 1 else f"{answer.outlying:,} pixels"
        notes.append(f"{many} cannot come from the filter and are left out; fit.left_out is their map")
    if frame is not None:
        notes.append(f"the after is a crop: its first pixel lies over row {frame[0]}, column {frame[1]} of the before")
    if found.limit:
        notes.append(
            f"the search ended at its limit of {found.limit}×{found.limit} and the outermost weights still matter: the "
            "kernel is larger; raise max_size"
        )
    if found.sampled:
        notes.append(f"the size was searched for on {found.sampled:,} pixels of the picture")
    if errors is not None and errors.noise:
        how = "measured" if errors.measured else "given"
        notes.append(
            f"noise in the before of standard deviation {errors.noise * pair.before_unit.scale:.3g} ({how}) is "
            "corrected for"
        )
    if len(pair.planes) > 1:
        notes += _disagreement(answer, verdict)
    return tuple(notes)


def _disagreement(answer: _Answer, verdict: str) -> list[str]:
    """Return a note if one kernel per channel explains the pair significantly better than the shared one."""
    estimate = answer.estimate
    apart, freedom = 0.0, 0
    for statistics in estimate.statistics:
        moments = Moments.of(statistics)
        own = moments.unexplained(solve(moments).kernel)
        apart += own
        freedom += moments.freedom
    p = estimate.kernel.size
    extra = p * (len(estimate.statistics) - 1)
    shared = estimate.moments.unexplained(estimate.kernel)
    gain = (shared - apart) / extra / max(apart / max(1, freedom), 1e-300)
    # The F statistic is near 1 if one kernel fits all channels; below 1 % of the residual a difference is irrelevant.
    if verdict != "exact" and gain > 1.0 + 6.0 * np.sqrt(2.0 / extra) and shared > 1.01 * apart:
        return ["the channels disagree: each has a kernel of its own; learn them one by one"]
    return []
