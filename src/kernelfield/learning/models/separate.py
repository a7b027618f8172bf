"""Channels with a kernel each, and the choice between one for all, one each, and channels that mix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, get_args

import numpy as np

from kernelfield.errors import DataError
from kernelfield.kernels import Kernel
from kernelfield.learning import jpeg
from kernelfield.learning.fit import Fit
from kernelfield.learning.learner import learned
from kernelfield.learning.least_squares import Moments
from kernelfield.learning.models.bank import Bank, find_support, part_of_task, signs_of
from kernelfield.learning.models.brightness import fit_brightness
from kernelfield.learning.models.colours import Change
from kernelfield.learning.models.joint import Joint, Task, gather_joint
from kernelfield.learning.models.mixed import describe_bank, fit_mixed, prepared, solved_mixed, task_of
from kernelfield.learning.models.model import Asked
from kernelfield.learning.pair import Pair, prepare
from kernelfield.learning.support import Support, centred
from kernelfield.learning.support_search import check_size
from kernelfield.learning.verdict import Verdict, is_noise

# From the best to the worst.
_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
# Standard deviations that an F statistic has to exceed its mean by, and variances of the residual of one kernel for all
# over that of one each, and of those over that of kernels that mix: a smaller gain matters to nobody.
_SIGNIFICANT, APART, _MIXED = 6.0, 1.03, 1.1
# The same for kernels that mix and leave a residual that is not like noise: a bilateral filter of colours gains 1.2.
_CLEAR = 2.0
# Variance over that of rounding from which on colours may have been coded coarsely.
_ABOVE = 2.0
# The same up to which no more than rounding in YCbCr happened: that of OpenCV left 4.0.
_TWICE = 5.0
# Pixels of the part on which the models are compared, the largest kernels there, and multiply-adds of explicit windows.
_PART, _REACH, _COST = 1 << 16, 11, 300_000_000


def fit_separate(asked: Asked) -> Fit:
    """Return the fit with a kernel for each channel, each searched for and judged by itself."""
    pair = prepare(asked.before, asked.after, asked.mask, asked.clip, asked.channel_axis)
    if len(pair.planes) == 1:
        return learned(pair, asked.size, asked.max_size, asked.noise)
    return joined(_each(pair, asked))


def _each(pair: Pair, asked: Asked) -> list[Fit]:
    """Return the fit of each channel."""
    planes = [replace(pair, planes=(plane,)) for plane in pair.planes]
    return [learned(plane, asked.size, asked.max_size, asked.noise) for plane in planes]


def joined(fits: Sequence[Fit]) -> Fit:
    """Return the fits of single channels as one, their kernels on a common canvas about their anchors."""
    above, left = (max(fit.anchor[axis] for fit in fits) for axis in (0, 1))
    below, right = (max(fit.size[axis] - fit.anchor[axis] for fit in fits) for axis in (0, 1))

    def placed(table: np.ndarray, fit: Fit) -> np.ndarray:
        row, column = fit.anchor
        rows, columns = fit.size
        return np.pad(table, [(above - row, below - rows + row), (left - column, right - columns + column)])

    bank = np.stack([placed(fit.kernel.weights, fit) for fit in fits])
    errors = np.stack([placed(fit.stderr, fit) for fit in fits])
    worst = max(fits, key=lambda fit: _VERDICTS.index(fit.verdict))
    which = "" if all(fit.verdict == worst.verdict for fit in fits) else f"channel {fits.index(worst)}: "
    descriptions = list(dict.fromkeys(fit.description for fit in fits))
    text = "; ".join(f"channel {i}: {fit.description}" for i, fit in enumerate(fits))
    candidates = [rule for rule in fits[0].boundary_candidates if all(rule in fit.boundary_candidates for fit in fits)]
    rules = [fit for fit in fits if fit.boundary in candidates]
    rule = rules[0] if len({(fit.boundary, fit.cval) for fit in rules}) == 1 else None
    names = {(fit.name, tuple(sorted(fit.parameters.items(), key=str))) for fit in fits}
    roundings = {fit.rounding for fit in fits}
    count = sum(fit.samples for fit in fits)
    left_out = [fit.left_out for fit in fits if fit.left_out is not None]
    return replace(
        fits[0],
        kernel=Kernel(bank.mean(axis=0), anchor=(above, left)),
        stderr=np.sqrt((errors**2).sum(axis=0)) / len(fits),
        offset=tuple(float(np.ravel(fit.offset)[0]) for fit in fits),
        boundary=None if rule is None else rule.boundary,
        cval=0.0 if rule is None else rule.cval,
        boundary_candidates=tuple(candidates),
        boundary_reason="the channels do not agree" if rule is None else rule.boundary_reason,
        name=None,
        description=text if len(descriptions) > 1 else f"for each channel, {descriptions[0]}",
        integers=None,
        divisor=None,
        rank=min(fit.rank for fit in fits) if len(names) == 1 else bank[0].size - _lost(fits),
        undetermined=np.zeros((0, *bank.shape[1:])),
        r2=1.0 - sum((1.0 - fit.r2) * fit.samples for fit in fits) / max(1, count),
        residual_sd=float(np.sqrt(sum(fit.residual_sd**2 * fit.samples for fit in fits) / max(1, count))),
        samples=count,
        excluded=sum(fit.excluded for fit in fits),
        rounding=roundings.pop() if len(roundings) == 1 else None,
        verdict=worst.verdict,
        explanation=f"{which}{worst.explanation}",
        parameters={},
        notes=tuple(dict.fromkeys(note for fit in fits for note in fit.notes)),
        channels=tuple(str(i) for i in range(len(fits))),
        gain=1.0,
        scale=1.0,
        outliers=sum(fit.outliers for fit in fits),
        errors_note="; ".join(dict.fromkeys(fit.errors_note for fit in fits if fit.errors_note)),
        frame=fits[0].frame if len({fit.frame for fit in fits}) == 1 else None,
        left_out=np.logical_or.reduce(left_out) if left_out else None,
        model="separate",
        bank=bank[:, None],
        bank_stderr=errors[:, None],
        covariance=None,
        chi_square=sum(ratios) / len(ratios) if (ratios := [f.chi_square for f in fits if f.chi_square]) else None,
    )


def _lost(fits: Sequence[Fit]) -> int:
    """Return the most directions that the pair does not determine in a channel."""
    return max(fit.kernel.weights.size - fit.rank for fit in fits)


def fit_auto(asked: Asked) -> Fit:
    """Return the fit of the channels as the pair shows them: one kernel for all, one each, or channels that mix."""
    pair, inputs, outputs = prepared(asked)
    if inputs != outputs:
        return fit_mixed(asked)
    if inputs == 1 or not pair.same_size:
        return learned(pair, asked.size, asked.max_size, asked.noise)
    choice = chosen(pair, asked.size, asked.max_size)
    if choice.kind == "shared":
        shared = _shared(pair, asked)
        return shared if shared.verdict == "exact" else fit_brightness(pair, asked, True) or _doubted(shared, pair)
    twice = choice.kind == "mixed" and choice.above < _TWICE and not jpeg.is_compressed(pair)
    solved = solved_mixed(asked) if twice else None
    mixed = None if solved is None else describe_bank(*solved)
    # Colours that were filtered beside the brightness are told from colours that were coded coarsely.
    if mixed is not None and _is_sure(mixed) and "colours beside it" in mixed.description:
        return mixed
    coarse = fit_brightness(pair, asked, choice.above < _ABOVE)
    if coarse is not None:
        return coarse
    return _doubted(_compared(pair, asked, choice, solved, mixed), pair)


def _doubted(fit: Fit, pair: Pair) -> Fit:
    """Return a fit with a doubt where the after is a JPEG: one kernel of the brightness did not explain it.

    Coding keeps differences of the channels coarsely: of what one channel takes it leaves a part in the others.
    """
    if fit.verdict != "approximate" or len(pair.planes) == 1 or not jpeg.is_compressed(pair):
        return fit
    doubt = "JPEG codes differences of the channels coarsely: what each takes, and all weights, may be off"
    return replace(
        fit,
        explanation=f"{doubt}; {fit.explanation}",
        errors_note="; ".join(dict.fromkeys(note for note in (doubt, fit.errors_note) if note)),
    )


def _compared(
    pair: Pair, asked: Asked, choice: Choice, solved: tuple[Bank, Task, Change | None] | None, mixed: Fit | None
) -> Fit:
    """Return the best fit of those that the evidence of a part supports; of `mixed` what is known of it already."""
    fits = []
    if choice.kind == "mixed":
        bank, task, other = solved or solved_mixed(asked)
        mixed = mixed or describe_bank(bank, task, other)
        if other and other.kind == "colours":
            return mixed
        if other:
            return _shared(pair, asked) if other.kind == "curve" else joined(_each(pair, asked))
        right = _is_sure(mixed) and (choice.gain > _CLEAR or bank.exact or is_noise(signs_of(bank)))
        if choice.sure and right and not _is_less(mixed):
            return mixed
        fits = [mixed] if right or not _is_sure(mixed) else []
    separate = joined(_each(pair, asked))
    if choice.kind == "separate" and choice.sure and _is_sure(separate) and not _is_less(separate):
        return separate
    fits += [separate, _shared(pair, asked)]
    return reduce(lambda richer, simple: simple if _goes_before(simple, richer) else richer, fits)


def _shared(pair: Pair, asked: Asked) -> Fit:
    """Return the fit of one kernel for all channels, which have been compared."""
    return learned(pair, asked.size, asked.max_size, asked.noise, apart=False)


def _is_sure(fit: Fit) -> bool:
    """Return whether a fit says that it explains the pair."""
    return fit.verdict in ("exact", "approximate")


def _goes_before(simple: Fit, richer: Fit) -> bool:
    """Return whether a simpler fit explains the pair as well as a richer one, or says better what it is like."""
    if simple.verdict == "exact":
        return True
    if not _is_sure(richer) and (_says_what(richer) or not _is_sure(simple)):
        near = simple.residual_sd**2 < _CLEAR * richer.residual_sd**2
        return _says_what(simple) and not _is_sure(simple) and (near or not _says_what(richer))
    places = [_VERDICTS.index(fit.verdict) for fit in (simple, richer)]
    return simple.residual_sd**2 < APART * richer.residual_sd**2 or places[0] < places[1]


def _says_what(fit: Fit) -> bool:
    """Return whether a fit that explains nothing says what the pair is like, other than a mix of channels."""
    return "no linear filter; like" in fit.description and "mixed" not in fit.description


def _is_less(fit: Fit) -> bool:
    """Return whether a fit is one of a simpler model: one kernel in all channels, or channels that do not mix."""
    assert fit.bank is not None
    bank, least = fit.bank, 1e-3 * float(np.abs(fit.bank).max())
    if fit.model == "separate":
        return bool(np.abs(bank - bank[:1]).max() <= least)
    across = bank[~np.eye(len(bank), dtype=bool)]
    return bool(np.abs(across).max() <= least)


@dataclass(frozen=True)
class Choice:
    """A model of the channels.

    Attributes
    ----------
    kind : {"shared", "separate", "mixed"}
    sure : bool
        Whether the kernels are not larger than those that were compared.
    gain : float
        Variance of the residual of one kernel a channel over that of kernels that mix.
    above : float
        Variance of the residual over that of rounding.
    """

    kind: str
    sure: bool
    gain: float = 1.0
    above: float = 1.0


def chosen(pair: Pair, size: Any, max_size: int) -> Choice:
    """Return the model of the channels that the evidence of a part of a pair supports, by F tests of nested models."""
    task = part_of_task(task_of(pair, len(pair.planes), len(pair.planes)), _PART)
    task = task.without([plane.clipped for plane in task.targets])
    planes, sure = len(task.sources), True
    if size is None:
        # No larger than the picture lets `find_support` search.
        largest = min(max_size, _REACH, (min(task.sources[0].shape) - 8) // 2)
        support = find_support(task, largest)
        sure = max(support.size) < largest - 1
    else:
        support = centred(check_size(size))
    try:
        joints = gather_joint(task, support, _COST)
    except DataError:
        return Choice("shared", False)
    own = [_own(joint, number, support) for number, joint in enumerate(joints)]
    everything = [joint.moments() for joint in joints]
    p, count = support.rows * support.columns, sum(one.count for one in own)
    if min(one.count for one in own) < 2 * p * planes:
        return Choice("shared", False)
    together = sum(own[1:], start=own[0])
    floor = sum(max(pair.exact_variance(one.square, one.count), 1e-12 * one.square) * one.count for one in own)
    if all(joint.gram is joints[0].gram for joint in joints):
        mixes = everything[0].ridge_solution(np.stack([one.cross for one in everything], axis=1)).T
    else:
        mixes = np.stack([one.ridge_kernel for one in everything])
    left = [
        together.unexplained(together.ridge_kernel),
        sum(one.unexplained(one.ridge_kernel) for one in own),
        sum(one.unexplained(kernel) for one, kernel in zip(everything, mixes)),
    ]
    left = [max(one, floor) for one in left]

    def gains(less: int, more: int, extra: int, least: float) -> bool:
        freedom = max(1, count - planes * planes * p)
        return exceeds(left[less], left[more], extra, freedom) and left[less] > least * left[more]

    if gains(1, 2, planes * (planes - 1) * p, _MIXED) and gains(0, 2, (planes * planes - 1) * p, _MIXED):
        return Choice("mixed", sure, left[1] / left[2], left[2] / floor)
    kind = "separate" if gains(0, 1, (planes - 1) * p, APART) else "shared"
    return Choice(kind, sure, above=left[1] / floor)


def exceeds(less: float, more: float, extra: int, freedom: float) -> bool:
    """Return whether a sum of squares is more than chance gives above that with `extra` parameters more: an F test."""
    return (less / more - 1.0) * freedom / extra > 1.0 + _SIGNIFICANT * float(np.sqrt(2.0 / extra))


def _own(joint: Joint, number: int, support: Support) -> Moments:
    """Return the moments of a channel with itself alone."""
    p, moments = support.rows * support.columns, joint.moments()
    place = slice(number * p, (number + 1) * p)
    return Moments(moments.gram[place, place], moments.cross[place], moments.square, moments.count)
