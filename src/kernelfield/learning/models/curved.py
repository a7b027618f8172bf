"""A pointwise curve before or after a kernel, learned with it.

After the kernel, the curve is undone by the function of the after that correlates best with a filter of the before
(Breiman and Friedman, *Journal of the American Statistical Association* 80, 580, 1985, for one linear side). Before it,
each part of a piecewise linear function of the before is a channel of its own; the bank of these channels is nearly one
kernel times the values of the function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from kernelfield.errors import ArgumentError, received
from kernelfield.learning.curve import Curve
from kernelfield.learning.factors import backward, forward
from kernelfield.learning.fit import Fit
from kernelfield.learning.least_squares import solve
from kernelfield.learning.light import Light
from kernelfield.learning.models.encoded import judged, stored_residual
from kernelfield.learning.models.in_light import part_in_white, whites_of
from kernelfield.learning.models.joint import Task, gather_joint, rows_of
from kernelfield.learning.models.model import Asked
from kernelfield.learning.pair import as_image
from kernelfield.learning.support import Support, centred

# The side of the tiles, every other one of which is held out, and positions that are used at once.
_TILE, _MOST = 16, 24_000
# Knots of the curve after and before the kernel, and the sizes of the kernel with each.
_KNOTS, _SIZES = {"after": 24, "before": 10}, {"after": 7, "before": 5}
# The share of the mean square on held-out tiles that a curve must leave no more than.
_BETTER = 0.5
# The share of the variance from which on a filter with a curve counts as an approximation.
_ENOUGH = 0.99
# Distance from a known curve, as a share of white, within which its name is tried, and the share of the mean square
# within which the known one is preferred.
_NEAR, _ALIKE = 0.02, 1.05
_POINTS = 1025
# Rounds in which a curve after the kernel and the kernel are refined in turn, and the points of the curve.
_ROUNDS, _BINS = 4, 96


def check_curve(curve: str | None) -> str | None:
    """Return the curve that was asked for."""
    if curve is not None and not (isinstance(curve, str) and curve == "auto"):
        raise ArgumentError(f'curve: expected "auto" or None; received {received(curve)}')
    return curve


def fit_with_curve(asked: Asked, inner: Callable[[Asked], Fit]) -> Fit:
    """Return the fit with a curve before or after the kernel, or that of `inner` where no curve explains more."""
    if asked.noise is not None:
        raise ArgumentError("noise: expected none with curve, which changes the size of the noise; leave it out")
    whites = whites_of(asked)
    found = _found(asked, whites)
    if found is None:
        return inner(asked)
    curve = found.scaled(whites)
    fit = inner(_without_curve(asked, curve))
    fit = replace(fit, curve=curve, integers=None, divisor=None, gain=1.0, rounding=None)
    fit = judged(fit, stored_residual(fit, asked), fit.kernel.weights.size + len(found.inputs))
    if fit.verdict == "not linear" and fit.r2 > _ENOUGH:
        # Points of a curve leave a residual that follows the picture; held-out tiles have judged it.
        text = f"the filter with its curve accounts for {100.0 * fit.r2:.6g} % of the variance"
        explanation = f"{text}; the residual has a standard deviation of {fit.residual_sd:.3g}"
        fit = replace(fit, verdict="approximate", explanation=explanation)
    sure = fit.verdict in ("exact", "approximate")
    order = (curve.description, fit.description) if curve.place == "before" else (fit.description, curve.description)
    if fit.name == "identity":
        order = (curve.description, "no other filter")
    note = f"a curve acts {curve.place} the kernel, found on one half of the tiles and tested on the other"
    text = ", then ".join(order) if sure else "a filter and a curve"
    return replace(fit, description=text, notes=(*fit.notes, note))


def _without_curve(asked: Asked, curve: Curve) -> Asked:
    """Return the pair with the curve done to the before, or undone in the after."""
    before = curve.place == "before"
    image, good = as_image(asked.before if before else asked.after, curve.place)
    values = curve(image) if before else curve.undo(image)
    values = values if good is None else np.ma.array(values, mask=~good)
    if before:
        return replace(asked, before=values)
    # Values at the ends of the curve tell nothing.
    low, high = sorted((curve.outputs[0], curve.outputs[-1]))
    mask = (image > low) & (image < high)
    if asked.mask is not None:
        given = np.asarray(asked.mask)
        mask &= given if given.shape == mask.shape else given[..., None]
    return replace(asked, after=np.where(mask, values, np.nan), clip=None)


@dataclass(frozen=True)
class _Shape:
    """A curve in shares of white."""

    place: Literal["before", "after"]
    inputs: np.ndarray
    outputs: np.ndarray
    description: str = ""

    def scaled(self, whites: tuple[float, float]) -> Curve:
        """Return the curve in the numbers of the images."""
        white = whites[self.place == "after"]
        inputs = self.inputs * (white if self.place == "after" else whites[0])
        outputs = self.outputs * white
        return Curve(self.place, tuple(inputs.tolist()), tuple(outputs.tolist()), self.description)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return the outputs."""
        results: np.ndarray = np.interp(values, self.inputs, self.outputs)
        return results


@dataclass(frozen=True)
class _Trial:
    """A part of a pair in shares of white, with the positions that are fitted and those held out."""

    task: Task

    @classmethod
    def of(cls, asked: Asked, whites: tuple[float, float]) -> _Trial | None:
        """Return the middle of a pair; None where it is too small, and as `part_in_white`."""
        task = part_in_white(asked, whites)
        if task is None:
            return None
        return cls(task) if min(task.sources[0].shape) >= 4 * _TILE else None

    def halves(self, support: Support) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of even and of odd tiles that count, of at most so many each."""
        rows, columns = self.task.positions(support)
        shape = rows.stop - rows.start, columns.stop - columns.start
        tile = np.arange(shape[0])[:, None] // _TILE + np.arange(shape[1]) // _TILE
        bad = self.task.targets[0].excluded(support)
        good = np.ones(shape, bool) if bad is None else ~bad
        found = [np.flatnonzero(good & (tile % 2 == side)) for side in (0, 1)]
        first, second = (one[:: max(1, one.size // _MOST)] for one in found)
        return first, second

    def after(self, support: Support) -> np.ndarray:
        """Return the after at every position."""
        rows, columns = self.task.positions(support)
        return self.task.targets[0].after[rows, columns]

    def left(self, shape: _Shape | None, support: Support) -> float:
        """Return the mean square on held-out tiles of a filter that is fitted to the others with a curve."""
        fitted, held = self.halves(support)
        y = self.after(support).ravel()
        source = self.task.sources[0]
        if shape is not None and shape.place == "before":
            source = shape.of(source)
        windows = [source[support.windows(self.task.positions(support))]]
        columns = self.after(support).shape[1]
        goal = y if shape is None or shape.place == "before" else np.interp(y, shape.outputs, shape.inputs)
        x = np.c_[rows_of(windows, support.size, columns, fitted), np.ones(fitted.size)]
        weights = np.linalg.lstsq(x, goal[fitted], rcond=None)[0]
        value = rows_of(windows, support.size, columns, held) @ weights[:-1] + weights[-1]
        if shape is not None and shape.place == "after":
            value = shape.of(value)
        return float(np.mean((y[held] - value) ** 2))


def _found(asked: Asked, whites: tuple[float, float]) -> _Shape | None:
    """Return the curve that leaves least of held-out tiles; None where a filter alone leaves nearly as little."""
    trial = _Trial.of(asked, whites)
    if trial is None:
        return None
    support = centred((_SIZES["after"],) * 2)
    best, least = None, _BETTER * trial.left(None, support)
    for shape in (_after(trial), _before(trial)):
        for one in () if shape is None else (shape, *_known(shape, trial, support)):
            left = trial.left(one, support)
            # A curve that has a name is preferred to points, and one after the kernel to one before it.
            if left * (1.0 if best is None or one.place != best.place else 1.0 / _ALIKE) < least:
                best, least = one, left
    if best is None or best.description:
        return best
    marks = np.linspace(best.inputs[0], best.inputs[-1], 5)
    text = ", ".join(f"{a:.3g} → {b:.3g}" for a, b in zip(marks, best.of(marks)))
    return replace(best, description=f"a tone curve (shares of white: {text})")


def _knots(values: np.ndarray, count: int) -> np.ndarray:
    """Return values that divide a sample into equal parts, apart from each other."""
    found = np.unique(np.quantile(values, np.linspace(0.0, 1.0, count)))
    apart = np.append(True, np.diff(found) > 1e-3)
    spaced: np.ndarray = found[apart]
    return spaced


def _hats(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return the piecewise linear functions that are 1 at one knot and 0 at the others, shape (n, knots)."""
    return np.stack([np.interp(values, knots, row) for row in np.eye(knots.size)], axis=-1)


def _after(trial: _Trial) -> _Shape | None:
    """Return the curve after the kernel."""
    support = centred((_SIZES["after"],) * 2)
    fitted, _ = trial.halves(support)
    after = trial.after(support)
    y = after.ravel()[fitted]
    knots = _knots(y, _KNOTS["after"])
    if knots.size < 4 or fitted.size < 20 * (knots.size + support.rows * support.columns):
        return None
    windows = trial.task.windows(support)
    x = np.c_[rows_of(windows, support.size, after.shape[1], fitted), np.ones(fitted.size)]
    basis = _hats(y, knots)
    orthogonal, _ = np.linalg.qr(x)
    rest = basis - orthogonal @ (orthogonal.T @ basis)
    spread = basis - basis.mean(axis=0)
    total = spread.T @ spread
    total += 1e-9 * np.trace(total) * np.eye(knots.size)
    # The generalised eigenvalues of two forms, in parameters in which the second is the identity.
    lower = np.linalg.cholesky(total)
    half = forward(lower, rest.T @ rest + 1e-12 * np.trace(total) * np.eye(knots.size))
    _, vectors = np.linalg.eigh(forward(lower, half.T))
    # The constant, of no spread, is large in this metric: the smallest is the function that the filter explains best.
    values = backward(lower, vectors[:, 0])
    weights = np.linalg.lstsq(x, basis @ values, rcond=None)[0]
    total_weight = float(weights[:-1].sum())
    scale = total_weight if abs(total_weight) > 0.2 * float(np.abs(weights[:-1]).sum()) else float(np.ptp(values))
    inputs = (values - weights[-1]) / scale
    shape = _monotone("after", inputs, knots)
    if shape is None:
        return None
    for _ in range(_ROUNDS):
        # The means of the after where the filter gives nearly the same are the curve; undone, they give the filter.
        weights = np.linalg.lstsq(x, np.interp(y, shape.outputs, shape.inputs), rcond=None)[0]
        value = x @ weights
        bins = np.array_split(np.argsort(value, kind="stable"), _BINS)
        marks, means = (np.array([one[part].mean() for part in bins]) for one in (value, y))
        rising = np.append(True, (marks[1:] > np.maximum.accumulate(marks)[:-1] + 1e-9))
        rising &= np.append(True, means[1:] > np.maximum.accumulate(means)[:-1])
        if rising.sum() < 4:
            break
        marks, means = marks[rising], means[rising]
        # Straight on to the ends of what was seen.
        ends = [np.interp(y.min(), means, marks), np.interp(y.max(), means, marks)]
        slopes = (marks[1] - marks[0]) / (means[1] - means[0]), (marks[-1] - marks[-2]) / (means[-1] - means[-2])
        first = ends[0] + min(0.0, (y.min() - means[0]) * slopes[0]) - 1e-9
        last = ends[1] + max(0.0, (y.max() - means[-1]) * slopes[1]) + 1e-9
        shape = _Shape("after", np.r_[first, marks, last], np.r_[y.min() - 1e-9, means, y.max() + 1e-9])
    return shape


def _before(trial: _Trial) -> _Shape | None:
    """Return the curve before the kernel."""
    support = centred((_SIZES["before"],) * 2)
    source = trial.task.sources[0]
    knots = _knots(source, _KNOTS["before"])
    if knots.size < 4:
        return None
    # All but one: together they are 1 everywhere.
    hats = np.moveaxis(_hats(source, knots), -1, 0)[1:]
    task = replace(trial.task, sources=tuple(np.ascontiguousarray(one) for one in hats), shifts=(0.0,) * len(hats))
    joint = gather_joint(task, support)[0]
    if joint.count < 10 * joint.cross.size:
        return None
    bank = solve(joint.moments()).kernel.reshape(len(hats), -1)
    left, values, right = np.linalg.svd(bank, full_matrices=False)
    curve, kernel = left[:, 0] * values[0], right[0]
    total = float(kernel.sum())
    scale = total if abs(total) > 0.2 * float(np.abs(kernel).sum()) else float(kernel[np.abs(kernel).argmax()])
    outputs = np.append(0.0, curve * scale)
    # The value at the first knot belongs to the offset: that of the identity there.
    return _monotone("before", knots, outputs - outputs[0] + max(0.0, float(knots[0])))


def _monotone(place: Literal["before", "after"], inputs: np.ndarray, outputs: np.ndarray) -> _Shape | None:
    """Return a curve through points that rise, or nearly do."""
    if inputs[-1] < inputs[0]:
        return None
    rising = np.maximum.accumulate(inputs if place == "after" else outputs)
    span = float(np.ptp(rising))
    if not span > 0.0 or np.abs(rising - (inputs if place == "after" else outputs)).max() > 0.02 * span:
        return None
    if place == "after":
        inputs = rising + 1e-9 * span * np.arange(rising.size)
    else:
        outputs = rising
    return _Shape(place, inputs, outputs)


def _known(shape: _Shape, trial: _Trial, support: Support) -> Sequence[_Shape]:
    """Return known curves near a shape: powers and sRGB. Scale and offset are the kernel's."""
    grid = np.linspace(0.0, 1.0, _POINTS) ** 2
    light, found = Light("sRGB"), []
    for text, done, undone in (
        ("encoded by sRGB", light.encode, light.decode),
        ("decoded by sRGB", light.decode, light.encode),
    ):
        if _miss(shape, done, undone) < _NEAR:
            found.append(_Shape(shape.place, grid, done(grid), text))
    powers = np.geomspace(0.2, 5.0, 81)
    misses = [_miss(shape, partial(_raised, power=g), partial(_raised, power=1.0 / g)) for g in powers]
    best = int(np.argmin(misses))
    if misses[best] < _NEAR:
        found.append(_power(shape.place, _refined(shape.place, float(powers[best]), trial, support)))
    return found


def _raised(values: np.ndarray, power: float) -> np.ndarray:
    """Return magnitudes to a power."""
    raised: np.ndarray = np.abs(values) ** power
    return raised


def _miss(shape: _Shape, done: Callable[[np.ndarray], np.ndarray], undone: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the largest distance of a shape from a known curve with any scale and offset, as a share of its span."""
    if shape.place == "before":
        u, v = done(shape.inputs), shape.outputs
    else:
        u, v = undone(shape.outputs), shape.inputs
    line = np.c_[u, np.ones(u.size)]
    left = v - line @ np.linalg.lstsq(line, v, rcond=None)[0]
    return float(np.abs(left).max() / max(float(np.ptp(v)), 1e-300))


def _power(place: Literal["before", "after"], gamma: float) -> _Shape:
    """Return a power as a curve."""
    grid = np.linspace(0.0, 1.0, _POINTS) ** (2.0 if gamma > 0.5 else 4.0)
    return _Shape(place, grid, grid**gamma, f"brightness to the power {gamma:.4g}")


def _refined(place: Literal["before", "after"], gamma: float, trial: _Trial, support: Support) -> float:
    """Return the exponent near one that leaves least, with as few digits as leave nearly as little."""
    low, high = gamma / 1.4, 1.4 * gamma
    for _ in range(5):
        tried = np.linspace(low, high, 7)
        best = int(np.argmin([trial.left(_power(place, float(one)), support) for one in tried]))
        low, high = float(tried[max(0, best - 1)]), float(tried[min(6, best + 1)])
    found = (low + high) / 2.0
    least = trial.left(_power(place, found), support)
    for simple in (round(found, 1), 1.0 / round(1.0 / found, 1), round(found, 2), round(found, 3)):
        if simple > 0.0 and trial.left(_power(place, simple), support) <= _ALIKE * least:
            return simple
    return found
