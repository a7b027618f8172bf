"""Filters that act on light: learned between decoded pictures, judged by the stored numbers.

A pixel of the after that was rounded says between which two values the light of the prediction lies; weights are exact
where they satisfy every pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from kernelfield.errors import ArgumentError, DataError, received
from kernelfield.kernels import Kernel
from kernelfield.learning.exactness import satisfied
from kernelfield.learning.fit import Fit
from kernelfield.learning.least_squares import solve
from kernelfield.learning.light import Light
from kernelfield.learning.models.bank import find_support, part_of_task
from kernelfield.learning.models.encoded import Stored, judged, stored_residual, support_of
from kernelfield.learning.models.joint import Task, gather_joint, predicted, rows_of
from kernelfield.learning.models.mixed import task_of
from kernelfield.learning.models.model import Asked
from kernelfield.learning.naming import name_kernel
from kernelfield.learning.pair import as_image, prepare
from kernelfield.learning.support import Support
from kernelfield.learning.verdict import Verdict

# Pixels of the part on which transfer functions are compared, the exponents that are tried, the halvings of the
# interval, and the share of the variance that a transfer function must leave no more than.
_PART, _POWERS, _HALVINGS, _BETTER = 1 << 16, (1.2, 3.2), 12, 0.7
# The largest kernel that transfer functions are compared with.
_TRIED = 15
# The largest kernel that is tried with a row and a column more at each side.
_WIDENED = 25
# sRGB and powers of one decimal are preferred to a power that leaves nearly as much. Up to the second factor, as the
# part and the support of the comparison are not those of the fit, the fits decide, by residuals that differ by more
# than the third.
_ALIKE, _LIKELY, _SAME = 1.05, 4.0, 1.01
# From the best to the worst.
_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
# Standard deviation of the residual over that of rounding up to which exact weights are looked for, rounds, pixels that
# are constraints at once, and the distance from the bounds that moved weights keep, in steps.
_ROUNDED, _ROUNDS, _MOST, _INSIDE, _SLACK = 2.0, 10, 3000, 1e-3, 0.01
# Numbers of which float64 holds the squares and their sums.
_LEAST, _GREATEST = 1e-100, 1e100


def check_light(light: Any) -> str | float | None:
    """Return the transfer function that was asked for."""
    if light is None or (isinstance(light, str) and light in ("auto", "sRGB")):
        return light
    numbers = (int, float, np.integer, np.floating)
    if isinstance(light, numbers) and not isinstance(light, bool) and 0.05 <= light <= 20.0:
        return float(light)
    raise ArgumentError(
        f'light: expected "auto", "sRGB", an exponent from 0.05 to 20 or None; received {received(light)}'
    )


def fit_in_light(transfer: str | float, asked: Asked, inner: Callable[[Asked], Fit]) -> Fit:
    """Return the fit that `inner` makes of the decoded pair, or of the pair itself where no transfer is found."""
    if asked.noise is not None:
        raise ArgumentError("noise: expected none with light, in which noise grows with brightness; leave it out")
    whites = whites_of(asked)
    if transfer != "auto":
        return _fitted(Light(transfer, *whites), asked, inner, "as given")
    best: Fit | None = None
    for light in _found(asked, whites):
        fit = _fitted(light, asked, inner, "found by itself")
        if fit.verdict == "exact":
            return fit
        if best is None or (_VERDICTS.index(fit.verdict), fit.residual_sd) < (
            _VERDICTS.index(best.verdict),
            best.residual_sd / _SAME,
        ):
            best = fit
    return inner(asked) if best is None else best


def _fitted(light: Light, asked: Asked, inner: Callable[[Asked], Fit], found: str) -> Fit:
    """Return the fit that `inner` makes of the pair decoded by a transfer function, judged by the stored numbers."""
    other = decoded(asked, light)
    fit = _in(light, inner(other))
    stored = stored_residual(fit, asked)
    step = stored.pair.step * stored.pair.after_unit.scale
    if step > 0.0 and fit.bank is None and fit.stride == (1, 1) and stored.sd < _ROUNDED * step / np.sqrt(12.0):
        moved = _exact(fit, stored, light)
        if moved is None and asked.size is None and max(fit.size) <= _WIDENED:
            # The small outer weights of a blur are lost in the search.
            rows, columns = (2 * max(a, n - 1 - a) + 3 for a, n in zip(fit.anchor, fit.size))
            wider = _in(light, inner(replace(other, size=(rows, columns))))
            moved = _exact(wider, stored_residual(wider, asked), light)
        if moved is not None:
            fit, stored = moved, stored_residual(moved, asked)
    fit = judged(fit, stored, fit.kernel.weights.size)
    if fit.verdict == "approximate":
        doubt = "noise of the stored numbers is uneven in light, and shifts it: approximate"
        fit = replace(fit, errors_note="; ".join(one for one in (fit.errors_note, doubt) if one))
    if fit.bank is None:
        fit = _named(fit)
    return replace(fit, notes=(*fit.notes, f"the filter acts on light, decoded by {light} ({found})"))


def _in(light: Light, fit: Fit) -> Fit:
    """Return a fit of light without what holds for its own numbers alone."""
    return replace(fit, light=light, integers=None, divisor=None, gain=1.0, rounding=None)


def decoded(asked: Asked, light: Light) -> Asked:
    """Return the pair in shares of the light of white."""
    images = []
    for value, name, white in ((asked.before, "before", light.before_white), (asked.after, "after", light.after_white)):
        image, good = as_image(value, name)
        dtype = image.dtype if image.dtype.kind == "f" else np.dtype(np.float64)
        values = light.decode(image, white).astype(dtype)
        images.append(values if good is None else np.ma.array(values, mask=~good))
    clip = asked.clip
    after, _ = as_image(asked.after, "after")
    if isinstance(clip, str) and after.dtype.kind in "iu":
        clip = (0.0, 1.0)
    elif isinstance(clip, tuple):
        low, high = (float(light.decode(np.array(float(end)), light.after_white)) for end in clip)
        clip = low, high
    return replace(asked, before=images[0], after=images[1], clip=clip)


def whites_of(asked: Asked) -> tuple[float, float]:
    """Return the numbers of white in before and after: of integers the largest, of floats 1, 255 or the largest."""
    found = []
    for value, name in ((asked.before, "before"), (asked.after, "after")):
        image, _ = as_image(value, name)
        if image.dtype.kind in "iu":
            found.append(float(np.iinfo(image.dtype).max))
            continue
        finite = image[np.isfinite(image)]
        if not finite.size:
            raise DataError(f"{name}: expected usable pixels; received only NaN or infinite ones")
        top = float(finite.max())
        if not _LEAST < float(np.abs(finite).max()) < _GREATEST and finite.any():
            raise DataError(
                f"{name}: expected numbers whose squares float64 holds, of {_LEAST:g} to {_GREATEST:g}; received "
                "others; scale them"
            )
        found.append(1.0 if top <= 1.5 else 255.0 if top <= 300.0 else top)
    return found[0], found[1]


def _found(asked: Asked, whites: tuple[float, float]) -> list[Light]:
    """Return the transfer functions in which a filter leaves least of the stored numbers, the likeliest first.

    There are none where it leaves as little of the numbers themselves.
    """
    trial = _Trial.of(asked, whites)
    if trial is None:
        return []
    plain = trial.left(None)
    srgb = trial.left(Light("sRGB", *whites))
    low, high = np.log(_POWERS)
    golden = (np.sqrt(5.0) - 1.0) / 2.0
    a, b = high - golden * (high - low), low + golden * (high - low)
    at = {value: trial.left(Light(float(np.exp(value)), *whites)) for value in (a, b)}
    for _ in range(_HALVINGS):
        if at[a] < at[b]:
            high, b, a = b, a, b - golden * (b - low)
        else:
            low, a, b = a, b, a + golden * (high - a)
        for value in (a, b):
            if value not in at:
                at[value] = trial.left(Light(float(np.exp(value)), *whites))
    best = min(at, key=lambda value: at[value])
    least = min(srgb, at[best])
    if not least < _BETTER * plain:
        return []
    power = float(np.exp(best))
    simple = round(power, 1)
    # What is simple goes first where it leaves nearly as much.
    tried: list[tuple[float, str | float]] = [
        (srgb / _ALIKE, "sRGB"),
        (trial.left(Light(simple, *whites)) / _ALIKE, simple),
        (at[best], power),
    ]
    return [
        Light(transfer, *whites) for left, transfer in sorted(tried, key=lambda one: one[0]) if left <= _LIKELY * least
    ]


def part_in_white(asked: Asked, whites: tuple[float, float]) -> Task | None:
    """Return the middle of one channel of a pair in shares of white, a smaller after in the middle of the before.

    None where the sizes differ by more than a kernel that is tried, or the numbers lie far from 0.
    """
    pair = prepare(asked.before, asked.after, asked.mask, asked.clip, asked.channel_axis, mixed=True)
    less = max(before - after for before, after in zip(*pair.shapes))
    if less >= _TRIED or pair.before_unit.centre or pair.after_unit.centre:
        return None
    plane = pair.planes[min(1, len(pair.planes) - 1)]
    white = whites[0] / pair.before_unit.scale, whites[1] / pair.after_unit.scale
    scaled = replace(
        plane,
        before=plane.before.astype(np.float64) / white[0],
        after=plane.after.astype(np.float64) / white[1],
        before_shift=plane.before_shift / white[0],
        after_shift=plane.after_shift / white[1],
    )
    whole = task_of(replace(pair, planes=(scaled,), step=pair.step / white[1], ends=None), 1, 1)
    return part_of_task(whole.without([target.clipped for target in whole.targets]), _PART)


@dataclass(frozen=True)
class _Trial:
    """A part of a pair, in shares of white, and the support of a filter to try transfer functions with."""

    task: Task
    support: Support

    @classmethod
    def of(cls, asked: Asked, whites: tuple[float, float]) -> _Trial | None:
        """Return the middle of a pair; None where too few pixels count, and as `part_in_white`."""
        task = part_in_white(asked, whites)
        if task is None:
            return None
        support = find_support(_decoded_task(task, Light("sRGB")), min(asked.max_size, _TRIED))
        rows, columns = task.positions(support)
        if (rows.stop - rows.start) * (columns.stop - columns.start) < 4 * support.rows * support.columns + 100:
            return None
        return cls(task, support)

    def left(self, light: Light | None) -> float:
        """Return the mean square of what a filter in some light leaves of the stored numbers."""
        task = self.task if light is None else _decoded_task(self.task, Light(light.transfer))
        joint = gather_joint(task, self.support)[0]
        kernel = solve(joint.moments()).kernel
        windows = task.windows(self.support)
        values = predicted(windows, kernel.reshape(1, *self.support.size), np.dtype(np.float64)) + joint.offset(kernel)
        if light is not None:
            values = Light(light.transfer).encode(values)
        rows, columns = task.positions(self.support)
        miss = self.task.targets[0].after[rows, columns] - values
        bad = task.targets[0].excluded(self.support)
        return float(np.mean((miss if bad is None else miss[~bad]) ** 2))


def _decoded_task(task: Task, light: Light) -> Task:
    """Return a task in shares of white as one in light, whose after lies on no grid."""
    plane = task.targets[0]
    target = replace(
        plane, after=light.decode(plane.after), after_shift=float(light.decode(np.array(plane.after_shift)))
    )
    shifts = tuple(float(light.decode(np.array(shift))) for shift in task.shifts)
    sources = tuple(light.decode(source) for source in task.sources)
    return Task(sources, shifts, (target,), replace(task.pair, step=0.0))


def _exact(fit: Fit, stored: Stored, light: Light) -> Fit | None:
    """Return the fit with weights moved until rounding reproduces every stored pixel, or None."""
    pair = stored.pair
    support = support_of(fit, pair)
    rows, columns = support.positions(*pair.shapes)
    half = pair.step * pair.after_unit.scale / 2.0
    kernel = fit.kernel.weights
    offsets = np.atleast_1d(np.asarray(fit.offset, np.float64))
    p, count = kernel.size, len(pair.planes)
    ends = pair.ends
    parts = []
    for plane in pair.planes:
        after = plane.after[rows, columns].astype(np.float64) * pair.after_unit.scale + pair.after_unit.centre
        read = plane.before[support.windows((rows, columns))].astype(np.float64)
        read = light.decode(read * pair.before_unit.scale + pair.before_unit.centre, light.before_white)
        low, high = (light.decode(after + side * half * (1.0 - _INSIDE), light.after_white) for side in (-1.0, 1.0))
        if ends is not None and plane.clipped is not None:
            seen = plane.after[rows, columns]
            low, high = np.where(seen <= ends.low, -np.inf, low), np.where(seen >= ends.high, np.inf, high)
        bad = plane.excluded(support)
        parts.append((read, low, high, bad))
    means = [float(np.mean(read)) for read, *_ in parts]
    # Windows about their means are nearly independent of the offsets.
    at = np.append(kernel.ravel(), [o + m * kernel.sum() for o, m in zip(np.broadcast_to(offsets, count), means)])
    held, bounds = np.zeros((0, at.size)), np.zeros((0, 2))
    gram = np.eye(at.size)
    previous, stuck = np.inf, 0
    for _ in range(_ROUNDS):
        table = at[:p].reshape(kernel.shape)
        worst, found_rows, found_bounds = -np.inf, [], []
        for which, (read, low, high, bad) in enumerate(parts):
            value = predicted([read], table[None], np.dtype(np.float64)) + (at[p + which] - means[which] * table.sum())
            width = np.maximum(np.where(np.isfinite(high), high, value) - np.where(np.isfinite(low), low, value), 1e-12)
            # In steps of the stored numbers, so that bright and dark pixels count alike.
            excess = np.maximum(low - value, value - high) / width
            if bad is not None:
                excess[bad] = -1.0
            worst = max(worst, float(excess.max()))
            most = min(excess.size - 1, _MOST // count)
            flat = np.argpartition(-excess, most, axis=None)[:most]
            windows = rows_of([read], support.size, value.shape[1], flat) - means[which]
            unit = np.zeros((flat.size, count))
            unit[:, which] = 1.0
            scale = 1.0 / width.ravel()[flat][:, None]
            found_rows.append(np.hstack([windows, unit]) * scale)
            found_bounds.append(np.stack([low.ravel()[flat], high.ravel()[flat]], axis=1) * scale)
        if worst <= _SLACK:
            own = tuple(float(at[p + i] - means[i] * table.sum()) for i in range(count))
            error = np.hypot(fit.stderr, np.abs(table - kernel) / 2.0)
            moved = Kernel(table, anchor=fit.anchor)
            return replace(fit, kernel=moved, stderr=error, offset=own if count > 1 else own[0])
        stuck = stuck + 1 if worst > 0.8 * previous else 0
        if stuck == 3:
            return None
        previous = worst
        held = np.vstack([held, *found_rows])[-2 * _MOST :]
        bounds = np.vstack([bounds, *found_bounds])[-2 * _MOST :]
        at = satisfied(at, held, bounds, gram, 1.0)
    return None


def _named(fit: Fit) -> Fit:
    """Return the fit with the name of its kernel."""
    sure = fit.verdict in ("exact", "approximate")
    if not sure:
        return replace(fit, name=None, parameters={}, description=fit.description)
    name = name_kernel(fit.kernel.weights, fit.anchor, fit.stderr, 0.0, fit.verdict == "exact", True)
    kernel = Kernel(fit.kernel.weights, name.name, dict(name.parameters), None, fit.anchor)
    text = f"{name.description}, of light"
    return replace(
        fit, kernel=kernel, name=name.name, parameters=dict(name.parameters), description=text, scale=name.scale
    )
