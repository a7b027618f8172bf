"""Channels that mix: every channel of the after is a sum of kernels over all channels of the before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.kernels import Kernel
from kernelfield.learning.boundary import BoundaryRule, find_boundary
from kernelfield.learning.fit import Fit
from kernelfield.learning.models.bank import Bank, clustered, find_support, signs_of, solve_bank
from kernelfield.learning.models.colours import Change, looks_like
from kernelfield.learning.models.joint import Task
from kernelfield.learning.models.matrices import LUMA, Mix, name_matrix
from kernelfield.learning.models.model import Asked
from kernelfield.learning.naming import name_kernel
from kernelfield.learning.pair import Pair, as_image, prepare, views
from kernelfield.learning.support import Support, centred
from kernelfield.learning.support_search import check_size
from kernelfield.learning.verdict import Evidence, explain, judge

# Standard errors within which weights agree with known ones, and the smallest tolerance as a share of the largest.
_ERRORS, _LEAST = 5.0, 1e-9
# The share of the largest weight within which brightness and colours are told to be filtered apart: programs round both
# to 8 bits between.
_ALIKE = 0.01


def fit_mixed(asked: Asked) -> Fit:
    """Return the fit with one kernel for each channel of the after and each of the before."""
    return describe_bank(*solved_mixed(asked))


def solved_mixed(asked: Asked) -> tuple[Bank, Task, Change | None]:
    """Return the bank, the task, and the change of colours that explains the pair where no bank does."""
    pair, inputs, outputs = prepared(asked)
    task = task_of(pair, inputs, outputs)
    other = looks_like(task) if pair.same_size and inputs > 1 else None
    support = centred((1, 1)) if other and asked.size is None else _support(task, asked)
    noise = 0.0 if asked.noise is None else float(asked.noise[0]) / pair.before_unit.scale
    return solve_bank(task, support, noise**2), task, None if other and other.kind == "matrix" else other


def sizes(asked: Asked) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return rows and columns of the before and of the after."""
    found = []
    for value, name in ((asked.before, "before"), (asked.after, "after")):
        image, _ = as_image(value, name)
        found.append(views(image, name, asked.channel_axis).shape[1:])
    return found[0], found[1]


def prepared(asked: Asked) -> tuple[Pair, int, int]:
    """Return the pair with as many planes as the after or the before has, and the channels of before and after."""
    counts = []
    for value, name in ((asked.before, "before"), (asked.after, "after")):
        image, _ = as_image(value, name)
        counts.append(len(views(image, name, asked.channel_axis)))
    pair = prepare(asked.before, asked.after, asked.mask, asked.clip, asked.channel_axis, mixed=True)
    return pair, counts[0], counts[1]


def task_of(pair: Pair, inputs: int, outputs: int) -> Task:
    """Return the planes of a pair as sources and targets of one size; a smaller after lies in the middle."""
    masks = [plane.bad_before for plane in pair.planes[:inputs] if plane.bad_before is not None]
    bad = np.logical_or.reduce(masks) if masks else None
    sources = tuple(plane.before for plane in pair.planes[:inputs])
    targets = tuple(replace(plane, bad_before=bad) for plane in pair.planes[:outputs])
    if not pair.same_size:
        before, after = pair.shapes
        margins = [((a - b) // 2 + (a - b) % 2, (a - b) // 2) for a, b in zip(before, after)]
        outside = np.pad(np.zeros(after, bool), margins, constant_values=True)
        framed = []
        for plane in targets:
            inner = outside if plane.bad_after is None else outside | np.pad(plane.bad_after, margins)
            clipped = None if plane.clipped is None else np.pad(plane.clipped, margins)
            values = np.pad(plane.after, margins, constant_values=int(plane.after_shift))
            framed.append(replace(plane, after=values, bad_after=inner, clipped=clipped))
        targets = tuple(framed)
    return Task(sources, tuple(plane.before_shift for plane in pair.planes[:inputs]), targets, pair)


def _support(task: Task, asked: Asked) -> Support:
    """Return the support that is given, implied by the sizes of the pair, or found."""
    size = None if asked.size is None else check_size(asked.size)
    before, after = task.pair.shapes
    implied = before[0] - after[0] + 1, before[1] - after[1] + 1
    if size is None and implied != (1, 1):
        size = implied
    if size is not None:
        if implied != (1, 1) and (size[0] > implied[0] or size[1] > implied[1]):
            raise ArgumentError(f"size: expected at most {implied[0]}×{implied[1]} for this after; received {size}")
        return centred(size)
    return find_support(task, asked.max_size)


def describe_bank(bank: Bank, task: Task, other: Change | None = None) -> Fit:
    """Return a bank as a fit, with name, boundary and verdict; `other` is what explains the pair where it does not."""
    pair, support = task.pair, bank.support
    rows, columns = task.positions(support)
    stderr = bank.stderr if bank.exact else clustered(bank)
    count = sum(joint.count for joint in bank.joints)
    moments = [joint.moments() for joint in bank.joints]
    left = float(sum(v * max(1, m.count - bank.parameters - 1) for v, m in zip(bank.variances, moments)))
    total = sum(one.square for one in moments)
    sd = float(np.sqrt(left / max(1, count)))
    r2 = 1.0 if total == 0.0 else float(np.clip(1.0 - left / total, 0.0, 1.0))
    signs = None if bank.exact else replace(signs_of(bank), looks_like=other.phrase if other else None)
    evidence = Evidence(
        bank.exact,
        bank.complete,
        sd * pair.after_unit.scale,
        pair.step * pair.after_unit.scale,
        r2,
        bank.parameters,
        count // len(moments),
        0,
        signs,
        blank=total == 0.0,
    )
    verdict = judge(evidence)
    if any(one is not None for one in bank.whole):
        solved = np.stack([one.kernel.reshape(bank.kernels.shape[1:]) for one in bank.solutions])
        stderr = np.hypot(stderr, np.abs(bank.kernels - solved) / 2.0)
    sure = verdict in ("exact", "approximate")
    text, mix = _named(bank, stderr, sure, verdict == "exact", pair)
    if verdict == "not linear":
        text = "no linear filter" + (f"; like {other.phrase}" if other else "")
    rule = _boundary(bank, task, sd)
    gain = pair.weight_unit
    offsets = tuple(
        offset * pair.after_unit.scale + pair.after_unit.centre - gain * pair.before_unit.centre * float(kernels.sum())
        for offset, kernels in zip(bank.offsets, bank.kernels)
    )
    outputs = len(bank.kernels)
    p = support.rows * support.columns
    roundings = {one.rounding for one in bank.whole if one is not None}
    divisors = {one.divisor for one in bank.whole if one is not None and one.divisor}
    notes = []
    if len(divisors) == 1 and all(one is not None and one.divisor for one in bank.whole) and divisors != {1}:
        notes.append(f"all weights are whole numbers over {divisors.pop()}")
    if not bank.complete:
        notes.append(
            f"{bank.parameters - bank.rank} of {bank.parameters} directions of the kernels change nothing in "
            "this pair, as where channels are equal; the kernels of least norm are given"
        )
    frame = None
    if not pair.same_size:
        implied = tuple(before - after + 1 for before, after in zip(*pair.shapes))
        frame = None if support.size == implied else (-(-(implied[0] - 1) // 2), -(-(implied[1] - 1) // 2))
    everywhere = (rows.stop - rows.start) * (columns.stop - columns.start) * outputs
    return Fit(
        kernel=Kernel(bank.kernels.sum(axis=1).mean(axis=0) * gain, anchor=support.anchor),
        stderr=_grey_error(bank, stderr) * gain,
        offset=offsets if outputs > 1 else offsets[0],
        boundary=rule.name,
        cval=rule.cval * pair.before_unit.scale + pair.before_unit.centre if rule.name == "constant" else 0.0,
        boundary_candidates=rule.candidates,
        boundary_reason=rule.reason,
        name=None if mix is None else mix.name,
        description=text,
        integers=None,
        divisor=None,
        rank=0 if evidence.blank else min(bank.rank, p),
        undetermined=np.zeros((0, *support.size)),
        r2=r2,
        residual_sd=evidence.sd,
        samples=count,
        excluded=everywhere - count,
        rounding=roundings.pop() if len(roundings) == 1 and pair.step > 0.0 else None,
        verdict=verdict,
        explanation=explain(verdict, evidence),
        parameters={} if mix is None else mix.parameters,
        notes=tuple(notes),
        channels=tuple(str(i) for i in range(outputs)) if outputs > 1 else ("grey",),
        frame=frame,
        model="mixed",
        bank=bank.kernels * gain,
        bank_stderr=stderr * gain,
    )


def _grey_error(bank: Bank, stderr: np.ndarray) -> np.ndarray:
    """Return standard errors of the mean over the after of the kernel of a grey picture, not less than they are.

    Weights of one place in several channels are not independent: their covariance is in the inverse.
    """
    outputs, inputs, rows, columns = bank.kernels.shape
    p, found = rows * columns, np.zeros((rows, columns))
    for number, solution in enumerate(bank.solutions):
        blocks = solution.inverse.reshape(inputs, p, inputs, p)
        plain = np.sqrt(np.maximum(np.einsum("aiai->i", blocks), 1e-300))
        together = np.sqrt(np.maximum(np.einsum("aibi->i", blocks), 0.0))
        size = np.sqrt((stderr[number] ** 2).sum(axis=0))
        # A weight that is not determined has an infinite error whatever its share.
        unknown = np.full(size.shape, np.inf)
        found += np.multiply((together / plain).reshape(size.shape), size, out=unknown, where=np.isfinite(size))
    mean: np.ndarray = found / outputs
    return mean


def _named(bank: Bank, stderr: np.ndarray, sure: bool, certain: bool, pair: Pair) -> tuple[str, Mix | None]:
    """Return the phrase for a bank, and the name of its matrix where it is nothing else."""
    outputs, inputs = bank.kernels.shape[:2]
    general = f"a mix of channels, {inputs} to {outputs}"
    if not sure:
        return general, None
    tolerance = _ERRORS * np.maximum(stderr, _LEAST * float(np.abs(bank.kernels).max()))
    if bank.support.size == (1, 1):
        mix = name_matrix(bank.kernels[:, :, 0, 0], tolerance[:, :, 0, 0])
        return (general + " of each pixel" if mix is None else mix.description), mix
    factors = _factors(bank.kernels, tolerance)
    if factors is None:
        return _apart(bank.kernels, stderr, bank.support.anchor, certain) or general, None
    matrix, kernel = factors
    weight = np.abs(matrix).max()
    mix = name_matrix(matrix, tolerance.max(axis=(2, 3)) / max(float(np.abs(kernel).max()), 1e-300) + 1e-9 * weight)
    errors = (stderr / np.maximum(np.abs(matrix)[:, :, None, None], 0.05 * weight)).min(axis=(0, 1))
    name = name_kernel(kernel, bank.support.anchor, errors, 0.0, certain, True)
    return f"{general if mix is None else mix.description}; the kernel of each: {name.description}", None


def _apart(kernels: np.ndarray, stderr: np.ndarray, anchor: tuple[int, int], certain: bool) -> str | None:
    """Return the phrase for a bank that filters the brightness and the differences of the channels from it apart.

    With the weights ``l`` of brightness it is ``C`` between a channel and itself, and ``l[c] * (Y - C)`` from channel c
    to any: ``Y`` acts on the brightness and ``C`` on the differences.
    """
    if kernels.shape[:2] != (3, 3):
        return None
    own = np.eye(3)
    size = _ALIKE * float(np.abs(kernels).max())
    allowed = np.maximum(_ERRORS * stderr, size)
    for label, weights in LUMA.items():
        grey = np.tile(weights, (3, 1))
        design = np.stack([own.ravel(), grey.ravel()], axis=1)
        colour, more = np.linalg.lstsq(design, kernels.reshape(9, -1), rcond=None)[0].reshape(2, *kernels.shape[2:])
        made = own[:, :, None, None] * colour + grey[:, :, None, None] * more
        if (np.abs(kernels - made) > allowed).any():
            continue
        errors = np.maximum(stderr.max(axis=(0, 1)), size / _ERRORS)
        parts = [name_kernel(one, anchor, errors, 0.0, certain, True) for one in (colour + more, colour)]
        return f"brightness ({label}): {parts[0].description}; colours beside it: {parts[1].description}"
    return None


def _factors(kernels: np.ndarray, tolerance: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the matrix and the one kernel whose products the kernels are, or None."""
    outputs, inputs, rows, columns = kernels.shape
    left, values, right = np.linalg.svd(kernels.reshape(outputs * inputs, -1), full_matrices=False)
    kernel, matrix = right[0].reshape(rows, columns), (left[:, 0] * values[0]).reshape(outputs, inputs)
    if (np.abs(kernels - matrix[:, :, None, None] * kernel) > tolerance).any():
        return None
    total = float(kernel.sum())
    scale = total if abs(total) > 0.2 * float(np.abs(kernel).sum()) else float(kernel.ravel()[np.abs(kernel).argmax()])
    return matrix * scale, kernel / scale


def _boundary(bank: Bank, task: Task, sd: float) -> BoundaryRule:
    """Return the boundary rule of the producer."""
    pair = task.pair
    seen = replace(pair, planes=tuple(replace(p, before=task.sources[0]) for p in task.targets))
    if not pair.same_size:
        return BoundaryRule(None, 0.0, (), "not needed: the windows of all pixels of the after lie inside the before")
    parts = [list(zip(task.sources, kernels)) for kernels in bank.kernels]
    wrong = float((bank.stderr**2).sum()) / len(parts) if np.isfinite(bank.stderr).all() else 0.0
    return find_boundary(seen, bank.kernels[0, 0], bank.support, bank.offsets, sd**2, wrong, parts)
