"""Kernels with a stride: the after has one pixel for every few rows and columns of the before, as reduced pictures.

``after[p] = sum over u of kernel[u] * before[stride * p + u] + offset``. The before is split into its phases, the
pixels ``stride * q + a`` for each ``a``; the kernel is then a bank of kernels of stride 1 over as many planes.
"""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels import Kernel
from kernelfield.learning.boundary import BoundaryRule
from kernelfield.learning.fit import Fit
from kernelfield.learning.models.bank import Bank, Nested, find_support, outside, smaller_supports, solve_bank
from kernelfield.learning.models.joint import Task
from kernelfield.learning.models.mixed import describe_bank
from kernelfield.learning.models.model import Asked
from kernelfield.learning.models.resampling import name_reduction
from kernelfield.learning.pair import Pair, Plane, prepare
from kernelfield.learning.support import Support
from kernelfield.learning.support_search import check_size

# The largest stride that is found by itself, standard deviations that an outer row or column of weights has to exceed,
# and the tolerance of names as standard errors and as shares of the largest weight.
_LARGEST, _SIGNIFICANT, _ERRORS, _LEAST, _ROUGH = 8, 5.0, 5.0, 1e-6, 0.01


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


def fit_strided(asked: Asked, stride: tuple[int, int]) -> Fit:
    """Return the fit of a kernel with a stride."""
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
    task = _phases(pair, stride)
    if asked.size is None:
        support = find_support(task, max(1, asked.max_size // max(stride)))
    else:
        rows, columns = check_size(asked.size)
        support = _covering(-((rows - stride[0]) // 2), rows, -((columns - stride[1]) // 2), columns, stride)
    bank = solve_bank(task, support)
    fit = describe_bank(bank, task)
    table, errors, top, left = _woven(bank, stride)
    if bank.complete and (asked.size is not None or not bank.exact):
        given = None
        if asked.size is not None:
            rows, columns = check_size(asked.size)
            given = Support(-((rows - stride[0]) // 2), -((columns - stride[1]) // 2), rows, columns)
        if not all(one is not None for one in bank.whole):
            table, errors = _restricted(bank, task, stride, given)
    table, errors, anchor = _trimmed(table, errors, top, left, _LEAST if pair.step == 0.0 else 1e-9)
    gain = pair.weight_unit
    peak = float(np.abs(table).max())
    tolerance = np.maximum(_ERRORS * errors, (_LEAST if fit.verdict == "exact" else _ROUGH) * peak)
    sure = fit.verdict in ("exact", "approximate")
    family, text, distance = name_reduction(table, anchor, stride, tolerance)
    if family is not None and fit.verdict != "exact" and distance > 1e-3:
        text += f" (within {100.0 * distance:.1g} %)"
    count = len(pair.planes)
    rule = BoundaryRule(None, 0.0, (), "not examined for a kernel with a stride")
    return replace(
        fit,
        kernel=Kernel(table * gain, anchor=anchor),
        stderr=errors * gain,
        offset=fit.offset if count == 1 else (float(np.ravel(fit.offset)[0]),) * count,
        boundary=rule.name,
        boundary_candidates=rule.candidates,
        boundary_reason=rule.reason,
        name=None,
        description=text if sure else f"a reduction by {stride[0]}×{stride[1]}",
        parameters={},
        rank=table.size if bank.complete else min(bank.rank, table.size),
        undetermined=np.zeros((0, *table.shape)),
        excluded=after[0] * after[1] * count - fit.samples,
        channels=tuple(str(i) for i in range(count)) if count > 1 else ("grey",),
        frame=None,
        model="shared",
        bank=None,
        bank_stderr=None,
        stride=stride,
    )


def _phases(pair: Pair, stride: tuple[int, int]) -> Task:
    """Return the phases of the before as sources; channels lie below each other, apart by a row that does not count."""
    height, width = pair.shapes[1]
    sources, shift = [], pair.planes[0].before_shift
    bad = np.zeros((len(pair.planes) * (height + 1), width), bool)
    for row in range(stride[0]):
        for column in range(stride[1]):
            parts = []
            for number, plane in enumerate(pair.planes):
                phase = plane.before[row :: stride[0], column :: stride[1]][:height, :width]
                margins = [(0, height + 1 - phase.shape[0]), (0, width - phase.shape[1])]
                parts.append(np.pad(phase, margins, constant_values=int(shift)))
                own = bad[number * (height + 1) : (number + 1) * (height + 1)]
                own[phase.shape[0] :] = True
                own[:, phase.shape[1] :] = True
                if plane.bad_before is not None:
                    missing = plane.bad_before[row :: stride[0], column :: stride[1]][:height, :width]
                    own[: missing.shape[0], : missing.shape[1]] |= missing
            sources.append(np.concatenate(parts))
    target = _stacked(pair.planes, sources[0], bad)
    return Task(tuple(sources), (shift,) * len(sources), (target,), pair)


def _stacked(planes: tuple[Plane, ...], source: np.ndarray, bad: np.ndarray) -> Plane:
    """Return the afters of all planes below each other, each with a row that does not count."""
    below = [(0, 1), (0, 0)]
    afters = [np.pad(plane.after, below, constant_values=int(planes[0].after_shift)) for plane in planes]
    masks = []
    for plane in planes:
        mask = np.zeros(plane.after.shape, bool) if plane.bad_after is None else plane.bad_after
        masks.append(np.pad(mask, below, constant_values=True))
    clipped = None
    if any(plane.clipped is not None for plane in planes):
        none = np.zeros(planes[0].after.shape, bool)
        clipped = np.concatenate([np.pad(none if p.clipped is None else p.clipped, below) for p in planes])
    return replace(
        planes[0],
        before=source,
        after=np.concatenate(afters),
        bad_before=bad if bad.any() else None,
        bad_after=np.concatenate(masks),
        clipped=clipped,
    )


def _covering(top: int, rows: int, left: int, columns: int, stride: tuple[int, int]) -> Support:
    """Return the support over the phases that covers offsets of the before."""
    spans = []
    for first, n, s in ((top, rows, stride[0]), (left, columns, stride[1])):
        start = first // s
        spans.append((start, (first + n - 1) // s - start + 1))
    return Support(spans[0][0], spans[1][0], spans[0][1], spans[1][1])


def _woven(bank: Bank, stride: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Return the kernel of the before from those of the phases, its errors, and the first row and column offset."""
    support = bank.support
    tables = [_weave(values[0], stride) for values in (bank.kernels, bank.stderr)]
    return tables[0], tables[1], support.top * stride[0], support.left * stride[1]


def _weave(values: np.ndarray, stride: tuple[int, int]) -> np.ndarray:
    """Return values by phase, row and column as rows and columns of the before."""
    down, right = stride
    rows, columns = values.shape[1:]
    parts = values.reshape(down, right, rows, columns).transpose(2, 0, 3, 1)
    woven: np.ndarray = parts.reshape(rows * down, columns * right)
    return woven


def _restricted(
    bank: Bank, task: Task, stride: tuple[int, int], given: Support | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and its errors with zeros outside the support given, or in outer rows and columns of no matter.

    The others are those of least squares without the weights that are zeros.
    """
    support, joint = bank.support, bank.joints[0]
    moments = joint.moments()
    nested = Nested(bank.solutions[0].kernel, bank.solutions[0].inverse, moments.unexplained(bank.solutions[0].kernel))
    floor = task.pair.exact_variance(moments.square, moments.count) * moments.count
    numbers = _weave(np.arange(bank.kernels[0].size).reshape(bank.kernels[0].shape), stride)
    current = Support(support.top * stride[0], support.left * stride[1], *numbers.shape)
    left = np.arange(numbers.size)
    if given is not None:
        gone = np.sort(numbers.ravel()[outside(current, given, 1)])
        nested, left = nested.without(gone), np.delete(left, gone)
    while given is None:
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
    kernel, error = np.zeros(numbers.size), np.zeros(numbers.size)
    kernel[left] = nested.kernel
    error[left] = np.sqrt(np.maximum(np.diag(nested.inverse), 0.0) * nested.left / moments.freedom)
    return kernel[numbers], error[numbers]


def _trimmed(
    table: np.ndarray, errors: np.ndarray, top: int, left: int, least: float
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Return kernel and errors without outer rows and columns of zeros, and the anchor, which stays inside.

    Weights of less than `least` of the largest are zeros.
    """
    held = np.abs(table) > least * float(np.abs(table).max())
    spans, anchor = [], []
    for axis, first in ((1, top), (0, left)):
        lines = np.append(np.flatnonzero(held.any(axis=axis)), np.clip(-first, 0, table.shape[1 - axis] - 1))
        start, stop = int(lines.min()), int(lines.max()) + 1
        spans.append(slice(start, stop))
        anchor.append(-first - start)
    place = spans[0], spans[1]
    return table[place], errors[place], (anchor[0], anchor[1])
