"""`learn`: the filter between two images, estimated, named and judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.kernels import Kernel, match
from kernelfield.learning.boundary import find_boundary
from kernelfield.learning.estimate import Estimate, estimate_kernel, polish
from kernelfield.learning.fit import Fit
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.linearity import examine
from kernelfield.learning.pair import Pair, prepare
from kernelfield.learning.rational import as_integers
from kernelfield.learning.residual import measure, unclipped_share
from kernelfield.learning.support_search import choose_support, widened
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
    pair = prepare(before, after, mask, clip, channel_axis)
    support, censor, noise = choose_support(pair, size, max_size)
    estimate = estimate_kernel(pair, support, censor)
    while noise is not None and estimate.variance > 1.05 * noise + 0.1 * pair.exact_variance(0.0, 1):
        # Border pixels bias the fit: the producer's kernel is larger than the bounding box of its nonzero weights.
        wider = widened(support, pair, max_size)
        if wider == support:
            break
        support = wider
        estimate = estimate_kernel(pair, support, censor)
    if not censor and pair.clipped and _few_clipped_bias(pair, estimate):
        estimate, censor = estimate_kernel(pair, support, True), True
    if censor and estimate.solution.undetermined.size:
        # The remaining pixels do not determine the kernel; the ends of the range may be true values, as in a drawing.
        everything = estimate_kernel(pair, support, False)
        if everything.solution.rank > estimate.solution.rank:
            estimate, censor = everything, False
    return _describe(pair, estimate)


def _few_clipped_bias(pair: Pair, estimate: Estimate) -> bool:
    """Return whether a few clipped values leave residuals in a fit that is otherwise exact up to rounding."""
    if estimate.variance > pair.exact_variance(0.0, 1, float((estimate.kernel**2).sum())):
        return False
    residual = measure(pair, estimate.kernel, estimate.offsets, estimate.support, False)
    return residual.largest > 0.6 * pair.step


def _describe(pair: Pair, estimate: Estimate) -> Fit:
    """Return the estimate as a fit, with name, boundary and verdict."""
    support, moments, solution = estimate.support, estimate.moments, estimate.solution
    complete = solution.rank == estimate.kernel.size
    evidence = _evidence(pair, estimate, complete)
    if complete and pair.step > 0.0 and evidence.sd_at_rounding:
        polished = polish(pair, estimate)
        # Integers over a divisor leave every used pixel within half a step.
        near = replace(evidence, largest=pair.step / 2.0)
        better = near if polished.whole else _evidence(pair, polished, complete)
        if better.at_rounding:
            estimate, evidence = polished, better
    verdict = judge(evidence)
    kernel, stderr, whole = estimate.kernel, estimate.stderr, estimate.whole
    least = 1e-9 * max(float(np.abs(kernel).max()), 1e-300)
    if complete and whole is None and not (verdict == "exact" and pair.step > 0.0):
        whole = as_integers(kernel, stderr, least)
    anchor = support.anchor if pair.same_size else (support.rows // 2, support.columns // 2)
    known = match(kernel, anchor, 5.0 * np.maximum(stderr, least), estimate.offsets[0]) if complete else None
    parameters = dict(known.parameters) if known else {}
    rule = find_boundary(pair, kernel, estimate.offsets, support, evidence.sd**2, estimate.censor)
    rows, columns = (p.stop - p.start for p in support.positions(*pair.shapes))
    return Fit(
        kernel=Kernel(kernel, known.name if known else None, parameters, None, anchor),
        stderr=stderr,
        offset=estimate.offsets if len(estimate.offsets) > 1 else estimate.offsets[0],
        boundary=rule.name,
        cval=rule.cval,
        boundary_candidates=rule.candidates,
        boundary_reason=rule.reason,
        name=known.name if known else None,
        description=known.description if known else "no known filter",
        integers=whole[0] if whole else None,
        divisor=whole[1] if whole else None,
        rank=solution.rank,
        undetermined=solution.undetermined.reshape(-1, *support.size),
        r2=evidence.r2,
        residual_sd=evidence.sd,
        samples=moments.count,
        excluded=rows * columns * len(pair.planes) - moments.count,
        rounding=estimate.rounding if verdict == "exact" else None,
        verdict=verdict,
        explanation=explain(verdict, evidence),
        parameters=parameters,
        notes=_notes(pair, estimate),
        channels=tuple(str(i) for i in range(len(pair.planes))) if len(pair.planes) > 1 else ("grey",),
    )


def _evidence(pair: Pair, estimate: Estimate, complete: bool) -> Evidence:
    """Return the evidence for the verdict; signs of nonlinearity only if the residual exceeds rounding."""
    kernel, moments, support = estimate.kernel, estimate.moments, estimate.support
    allowed = pair.exact_variance(moments.square, moments.count, float((kernel**2).sum()))
    sd, largest = float(np.sqrt(estimate.variance)), float("inf")
    if estimate.variance <= 1.1 * allowed:
        residual = measure(pair, kernel, estimate.offsets, support, estimate.censor)
        sd, largest = residual.sd, residual.largest
    unclipped = unclipped_share(pair, kernel, estimate.offsets, support) if estimate.censor else 0.0
    r2 = 1.0 if moments.square == 0.0 else max(0.0, 1.0 - sd**2 * moments.count / moments.square)
    evidence = Evidence(sd, largest, pair.step, float(np.sqrt(allowed)), r2, complete, unclipped, None)
    if evidence.at_rounding:
        return evidence
    return replace(evidence, linearity=examine(pair, kernel, estimate.offsets, support, estimate.censor))


def _notes(pair: Pair, estimate: Estimate) -> tuple[str, ...]:
    """Return the remarks for the user."""
    notes = []
    if estimate.solution.undetermined.size:
        p, rank = estimate.kernel.size, estimate.solution.rank
        notes.append(
            f"{p - rank} of {p} directions of the kernel change nothing in this pair; an image with more detail, "
            "or a smaller size if you know it, would determine them"
        )
    if len(pair.planes) > 1:
        notes += _disagreement(estimate)
    return tuple(notes)


def _disagreement(estimate: Estimate) -> list[str]:
    """Return a note if one kernel per channel explains the pair significantly better than the shared one."""
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
    if gain > 1.0 + 6.0 * np.sqrt(2.0 / extra) and shared > 1.01 * apart:
        return ["the channels disagree: each has a kernel of its own; learn them one by one"]
    return []
