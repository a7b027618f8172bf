"""Kernels with a stride: the after has one pixel for every few rows and columns of the before, as reduced pictures.

``after[p] = sum over u of kernel[u] * before[stride * p + u] + offset``. The before is split into its phases; the
kernel is then a bank of kernels of stride 1 over as many planes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels import Kernel
from kernelfield.learning.boundary import find_boundary
from kernelfield.learning.estimate import LARGEST_GRAM
from kernelfield.learning.fit import Fit
from kernelfield.learning.least_squares import Moments, solve
from kernelfield.learning.models.bank import (
    Bank,
    Nested,
    find_support,
    outside,
    part_of_task,
    smaller_supports,
    solve_bank,
)
from kernelfield.learning.models.joint import Task, gather_joint
from kernelfield.learning.models.mixed import describe_bank
from kernelfield.learning.models.model import Asked
from kernelfield.learning.models.phases import covering, interleaved, phases_of
from kernelfield.learning.models.resampling import by, kept, name_reduction
from kernelfield.learning.models.separate import APART, exceeds, joined
from kernelfield.learning.naming import Name, name_kernel
from kernelfield.learning.pair import Pair, Plane, prepare
from kernelfield.learning.support import Support
from kernelfield.learning.support_search import check_size

# The largest stride that is found by itself, standard deviations that an outer row or column of weights has to exceed,
# and the tolerance of names as standard errors and as shares of the largest weight.
_LARGEST, _SIGNIFICANT, _ERRORS, _LEAST, _ROUGH = 8, 5.0, 5.0, 1e-6, 0.01
# Pixels of the part on which channels are compared, multiply-adds of explicit windows there, and how far from the grid
# of the after differences of offsets may lie, in steps.
_PART, _COST, _NEAR_GRID = 1 << 16, 300_000_000, 0.02


def check_stride(stride: Any) -> tuple[int, int]:
    """Return a stride that was given as rows and columns."""
    values = stride if isinstance(stride, (tuple, list)) else (stride, stride)
    known = all(not isinstance(v, bool) and isinstance(v, Integral) and 1 <= int(v) <= 64 for v in values)
    if len(values) != 2 or not known:
        raise ArgumentError(
            f"stride: expected one or two integers from 1 to 64; received {received(stride)}; pictures resized by "
            "other factors have no one kernel"
        )
    return int(values[0]), int(values[1])


def found_stride(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, int]:
    """Return the stride that the sizes of a pair speak for; (1, 1) where none does."""
    values = []
    for n, m in zip(before, after):
        ratio = max(1, round(n / m)) if m else 1
        if ratio > _LARGEST or not n // ratio <= m <= -(-n // ratio):
            return 1, 1
        values.append(ratio)
    return values[0], values[1]


def fit_strided(asked: Asked, stride: tuple[int, int], channels: str = "shared") -> Fit:
    """Return the fit of a kernel with a stride; of several channels one for all, or one each.

    Parameters
    ----------
    asked : Asked
    stride : (int, int)
    channels : {"shared", "separate", "auto"}
        ``"auto"`` decides by the evidence. Channels that share the kernel share the offset too, unless it is found that
        offsets differ.
    """
    if asked.noise is not None:
        raise ArgumentError("noise: expected none with a stride; received both; leave it out")
    pair = prepare(asked.before, asked.after, asked.mask, asked.clip, asked.channel_axis)
    before, after = pair.shapes
    if any(not n // s <= m <= -(-n // s) for n, m, s in zip(before, after, stride)):
        sizes = "×".join(str(n // s) for n, s in zip(before, stride))
        raise ArgumentError(
            f"stride: expected an after of {sizes} for a before of {before[0]}×{before[1]} and stride {stride}; "
            f"received {after[0]}×{after[1]}; give the stride that made it"
        )
    if len(pair.planes) == 1:
        return _fitted(pair, asked, stride)
    apart = _apart(pair, asked, stride)
    if channels == "separate" or (channels == "auto" and apart.kernels):
        return joined([_fitted(replace(pair, planes=(plane,)), asked, stride) for plane in pair.planes])
    return _fitted(pair, asked, stride, apart.offsets)


def _fitted(pair: Pair, asked: Asked, stride: tuple[int, int], offsets: tuple[float, ...] | None = None) -> Fit:
    """Return the fit of one kernel for all planes; `offsets` are those of the planes less their mean, None for one."""
    if offsets is None:
        offsets = (0.0,) * len(pair.planes)
    else:
        # The ends of the range lie elsewhere in each.
        pair = replace(pair.without_clipped(), ends=None)
        moved = [_moved(plane, offset) for plane, offset in zip(pair.planes, offsets)]
        pair = replace(pair, planes=tuple(replace(plane, clipped=None) for plane in moved))
    task = phases_of(pair, stride)
    free = None
    if asked.size is None:
        support = find_support(task, max(1, asked.max_size // max(stride)))
    else:
        given = _placed(task, check_size(asked.size), stride)
        support = covering(given, stride)
        numbers, whole = interleaved(support, stride)
        free = np.setdiff1d(numbers, numbers.ravel()[outside(whole, given, 1)])
    bank = solve_bank(task, support, free=free)
    fit = describe_bank(bank, task)
    least = 0.0 if not bank.complete else _LEAST if pair.step == 0.0 else 1e-9
    woven = _trimmed(_woven(bank, fit, task, stride), least)
    table, errors, anchor = woven.table, woven.errors, woven.anchor
    sure, exact = fit.verdict in ("exact", "approximate"), fit.verdict == "exact"
    named = _named(woven, stride, exact, pair.weight_unit) if sure else Name(None, f"a reduction by {by(stride)}")
    rule = find_boundary(
        pair,
        table,
        Support(-anchor[0], -anchor[1], *table.shape),
        bank.offsets * len(pair.planes),
        (fit.residual_sd / pair.after_unit.scale) ** 2,
        float((errors**2).sum()) if np.isfinite(errors).all() else 0.0,
        stride=stride,
    )
    gain = pair.weight_unit
    integers, divisor = _whole(bank, table) if gain == 1.0 else (None, None)
    offset = float(np.ravel(fit.offset)[0])
    own = tuple(offset + more * pair.after_unit.scale for more in offsets)
    count, p = len(pair.planes), table.size
    undetermined = woven.undetermined if not bank.complete else np.zeros((0, *table.shape))
    after = pair.shapes[1]
    return replace(
        fit,
        kernel=Kernel(table * gain, anchor=anchor),
        stderr=errors * gain,
        covariance=None if woven.covariance is None else woven.covariance * gain**2,
        offset=own if count > 1 else own[0],
        boundary=rule.name,
        cval=rule.cval * pair.before_unit.scale + pair.before_unit.centre if rule.name == "constant" else 0.0,
        boundary_candidates=rule.candidates,
        boundary_reason=rule.reason,
        name=named.name,
        description=named.description,
        parameters=dict(named.parameters),
        scale=named.scale,
        integers=integers,
        divisor=divisor,
        rank=p if bank.complete else min(bank.rank, p),
        undetermined=undetermined,
        excluded=after[0] * after[1] * count - fit.samples,
        channels=tuple(str(i) for i in range(count)) if count > 1 else ("grey",),
        frame=None,
        model="shared",
        bank=None,
        bank_stderr=None,
        stride=stride,
    )


def _placed(task: Task, size: tuple[int, int], stride: tuple[int, int]) -> Support:
    """Return the support of a size where it explains the after best, its middle over the block of `stride` * p.

    Of places that explain it as well that which is nearest to the middle of the weights.
    """
    tops, lefts = ([first - n // 2 for first in range(s + (n + 1) % 2)] for n, s in zip(size, stride))
    middle = Support(-((size[0] - stride[0]) // 2), -((size[1] - stride[1]) // 2), *size)
    rows, columns = tops[-1] - tops[0] + size[0], lefts[-1] - lefts[0] + size[1]
    support = covering(Support(tops[0], lefts[0], rows, columns), stride)
    part = part_of_task(task.without([plane.clipped for plane in task.targets]), 1 << 18)
    moments = gather_joint(part, support, _COST)[0].moments()
    if moments.count < 2 * moments.cross.size:
        return middle
    numbers, whole = interleaved(support, stride)
    nested = Nested(moments.ridge_kernel, moments.ridge_inverse, moments.unexplained(moments.ridge_kernel))
    floor = task.pair.exact_variance(moments.square, moments.count)
    tried = []
    for top in tops:
        for left in lefts:
            one = Support(top, left, *size)
            tried.append((nested.more(numbers.ravel()[outside(whole, one, 1)]), one))
    alike = _SIGNIFICANT**2 * max(nested.left / moments.freedom, floor)
    least = min(more for more, _ in tried)
    share = np.abs(moments.ridge_kernel[numbers])
    share /= max(float(share.sum()), 1e-300)
    down, across = (np.arange(n) + first for n, first in zip(share.shape, (whole.top, whole.left)))
    centre = float(share.sum(axis=1) @ down), float(share.sum(axis=0) @ across)

    def away(one: Support) -> tuple[float, int]:
        far = np.hypot(one.top + (size[0] - 1) / 2 - centre[0], one.left + (size[1] - 1) / 2 - centre[1])
        return round(float(far), 2), abs(one.top) + abs(one.left)

    return min((one for more, one in tried if more <= least + alike), key=away)


def _moved(plane: Plane, offset: float) -> Plane:
    """Return a plane whose after is less by an offset."""
    if offset == 0.0:
        return plane
    return replace(
        plane,
        after=plane.after.astype(np.float64) - offset,
        after_shift=plane.after_shift - offset,
        memory=None,
    )


@dataclass(frozen=True)
class _Apart:
    """Whether the channels of a pair have kernels of their own, and their offsets less the mean where these differ."""

    kernels: bool
    offsets: tuple[float, ...] | None


def _apart(pair: Pair, asked: Asked, stride: tuple[int, int]) -> _Apart:
    """Return what the channels do not share, by F tests of nested models on a part of each."""
    tasks = [phases_of(replace(pair, planes=(plane,)), stride) for plane in pair.planes]
    tasks = [part_of_task(task, _PART) for task in tasks]
    tasks = [task.without([plane.clipped for plane in task.targets]) for task in tasks]
    most = max(1, asked.max_size // max(stride))
    found = [find_support(task, most) for task in tasks]
    top, left = min(one.top for one in found), min(one.left for one in found)
    bottom, right = max(one.top + one.rows for one in found), max(one.left + one.columns for one in found)
    support = Support(top, left, bottom - top, right - left)
    joints = [gather_joint(task, support, _COST)[0] for task in tasks]
    moments = [joint.moments() for joint in joints]
    counts = np.array([float(joint.count) for joint in joints])
    p, n = moments[0].cross.size, float(counts.sum())
    if counts.min() < 2 * p:
        return _Apart(False, None)
    together = sum(moments[1:], start=moments[0])
    kernel = solve(together).kernel
    own = np.array([joint.offset(kernel) for joint in joints])
    # About the mean of all: the means of each add what lies between them.
    means = np.array([joint.means() for joint in joints])
    values = np.array([joint.after_shift + joint.after_total / max(1, joint.count) for joint in joints])
    x, y = means - counts @ means / n, values - float(counts @ values) / n
    gram = together.gram + x.T @ (counts[:, None] * x)
    one = Moments(gram, together.cross + x.T @ (counts * y), together.square + float(counts @ y**2), together.count)
    floor = sum(max(pair.exact_variance(m.square, m.count), 1e-12 * m.square) * m.count for m in moments)
    same, shared, each = (
        max(left, floor)
        for left in (
            one.unexplained(solve(one).kernel),
            together.unexplained(kernel),
            sum(m.unexplained(solve(m).kernel) for m in moments),
        )
    )
    freedom, channels = max(1.0, n - len(moments) * (p + 1)), len(moments)
    kernels = exceeds(shared, each, (channels - 1) * p, freedom) and shared > APART * each
    if not exceeds(same, shared, channels - 1, freedom):
        return _Apart(kernels, None)
    differences = own - own.mean()
    if pair.step > 0.0:
        # On the grid, where they lie near it: rounding then still explains the rest.
        near = np.rint((own - own[0]) / pair.step) * pair.step
        if np.abs(own - own[0] - near).max() < _NEAR_GRID * pair.step:
            differences = near
    return _Apart(kernels, tuple(differences.tolist()))


def _whole(bank: Bank, table: np.ndarray) -> tuple[np.ndarray, int] | tuple[None, None]:
    """Return the weights as integers over a divisor, where rounding found them."""
    whole = bank.whole[0]
    if whole is None or whole.divisor is None:
        return None, None
    return np.rint(table * whole.divisor).astype(np.int64), whole.divisor


def _named(woven: _Woven, stride: tuple[int, int], exact: bool, unit: float) -> Name:
    """Return the name of a reduction, or that of a kernel of which every few pixels were kept."""
    table, anchor = woven.table, woven.anchor
    peak = float(np.abs(table).max())
    tolerance = np.maximum(_ERRORS * woven.errors, (_LEAST if exact else _ROUGH) * peak)
    family, text, distance = name_reduction(table, anchor, stride, tolerance)
    if family is not None:
        return Name(None, text if exact or distance <= 1e-3 else f"{text} (within {100.0 * distance:.1g} %)")
    # Where the first pixel that is kept lies beside the kernel's reach, zeros lie between.
    held = np.abs(table) > _LEAST * peak
    lines = [np.flatnonzero(held.any(axis=axis)) for axis in (1, 0)]
    spans = slice(lines[0][0], lines[0][-1] + 1), slice(lines[1][0], lines[1][-1] + 1)
    own, errors = table[spans], woven.errors[spans]
    middle = own.shape[0] // 2, own.shape[1] // 2
    named = name_kernel(own, middle, errors, 0.0, exact, bool(np.isfinite(errors).all()), unit=unit)
    place = middle[0] + spans[0].start - anchor[0], middle[1] + spans[1].start - anchor[1]
    first = "" if place == (0, 0) else f", from row {place[0]}, column {place[1]}"
    if named.description.startswith("no known filter"):
        return Name(None, f"{text}{named.description.removeprefix('no known filter')}")
    return replace(named, description=f"{named.description}, of which {kept(stride)} is kept{first}")


@dataclass(frozen=True)
class _Woven:
    """The kernel over the before, made of those of the phases.

    Attributes
    ----------
    table, errors : numpy.ndarray, shape (kh, kw)
    covariance : numpy.ndarray, shape (kh * kw, kh * kw), or None
        Its diagonal is that of `errors` squared; None where it is not known.
    undetermined : numpy.ndarray, shape (n, kh, kw)
        Kernels that change nothing in the pair.
    anchor : (int, int)
    """

    table: np.ndarray
    errors: np.ndarray
    covariance: np.ndarray | None
    undetermined: np.ndarray
    anchor: tuple[int, int]


def _woven(bank: Bank, fit: Fit, task: Task, stride: tuple[int, int]) -> _Woven:
    """Return the kernel of the before from those of the phases, with the errors of their fit."""
    support, solution = bank.support, bank.solutions[0]
    assert fit.bank_stderr is not None
    kernel, error = bank.kernels[0].ravel(), fit.bank_stderr[0].ravel() / task.pair.weight_unit
    inverse = solution.inverse
    if bank.complete and not bank.exact and bank.free is None:
        # What the residual says of errors beyond independent pixels holds for the weights that are left too.
        wider = error / np.maximum(bank.stderr[0].ravel(), 1e-300)
        kernel, error, inverse = _restricted(bank, task, stride)
        error = error * np.maximum(wider, 1.0)
    order, place = interleaved(support, stride)
    covariance = None
    if bank.complete and kernel.size <= LARGEST_GRAM:
        flat = order.ravel()
        sd = np.sqrt(np.maximum(np.diag(inverse), 1e-300))
        correlation = inverse / np.outer(sd, sd)
        covariance = (correlation * np.outer(error, error))[np.ix_(flat, flat)]
    directions = solution.undetermined.reshape(-1, kernel.size)[:, order.ravel()]
    return _Woven(kernel[order], error[order], covariance, directions.reshape(-1, *order.shape), place.anchor)


def _restricted(bank: Bank, task: Task, stride: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the kernel with zeros in outer rows and columns of no matter.

    The others are those of least squares without the weights that are zeros. Also their errors, and the inverse of the
    Gram matrix, by phase.
    """
    support, joint = bank.support, bank.joints[0]
    moments = joint.moments()
    nested = Nested(bank.solutions[0].kernel, bank.solutions[0].inverse, moments.unexplained(bank.solutions[0].kernel))
    floor = task.pair.exact_variance(moments.square, moments.count) * moments.count
    numbers, current = interleaved(support, stride)
    left = np.arange(numbers.size)
    while True:
        tried = []
        for one in smaller_supports(current):
            places = outside(current, one, 1)
            inner = numbers[current.top - support.top * stride[0] :, current.left - support.left * stride[1] :][
                : current.rows, : current.columns
            ]
            gone = np.searchsorted(left, np.sort(inner.ravel()[places]))
            more = nested.more(gone)
            statistic = more / max(nested.left, 1e-300) * moments.freedom / gone.size
            if statistic < 1.0 + _SIGNIFICANT * np.sqrt(2.0 / gone.size) or nested.left + more <= floor:
                tried.append((statistic, one, gone))
        if not tried:
            break
        _, current, gone = min(tried, key=lambda one: one[0])
        nested, left = nested.without(gone), np.delete(left, gone)
    kernel, error, inverse = np.zeros(numbers.size), np.zeros(numbers.size), np.zeros((numbers.size,) * 2)
    kernel[left] = nested.kernel
    error[left] = np.sqrt(np.maximum(np.diag(nested.inverse), 0.0) * nested.left / moments.freedom)
    inverse[np.ix_(left, left)] = nested.inverse
    return kernel, error, inverse


def _trimmed(woven: _Woven, least: float) -> _Woven:
    """Return the kernel without outer rows and columns of zeros; the anchor stays inside.

    Weights of less than `least` of the largest are zeros.
    """
    table = woven.table
    held = np.abs(table) > least * float(np.abs(table).max())
    held[woven.undetermined.any(axis=0)] = True
    spans, anchor = [], []
    for axis, first in ((1, woven.anchor[0]), (0, woven.anchor[1])):
        lines = np.append(np.flatnonzero(held.any(axis=axis)), np.clip(first, 0, table.shape[1 - axis] - 1))
        start, stop = int(lines.min()), int(lines.max()) + 1
        spans.append(slice(start, stop))
        anchor.append(first - start)
    place = spans[0], spans[1]
    kept = np.arange(table.size).reshape(table.shape)[place].ravel()
    covariance = None if woven.covariance is None else woven.covariance[np.ix_(kept, kept)]
    undetermined = woven.undetermined[:, place[0], place[1]]
    return _Woven(table[place], woven.errors[place], covariance, undetermined, (anchor[0], anchor[1]))
