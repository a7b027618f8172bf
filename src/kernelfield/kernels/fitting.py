"""Fits of a family's parameters to estimated weights: scale factors, one width, or several parameters at once."""

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.target import Target

# The points of a first scan; steps that narrow a bracket, the share of it that is near enough, the golden section, and
# costs that are the same.
_SCAN, _STEPS, _NEAR, _GOLDEN, _ROUNDING = 25, 45, 1e-8, (3 - math.sqrt(5)) / 2, 1e-15

Basis = Callable[[NDArray[np.float64]], Sequence[Weights]]


def centred(weights: Weights, shape: tuple[int, ...]) -> Weights:
    """Return the weights cropped or zero-padded about the middle to `shape`."""
    out = np.zeros(shape)
    # Elements to crop (over) or to pad (under) on either side.
    over = [max(0, (n - m) // 2) for n, m in zip(weights.shape, shape)]
    under = [max(0, (m - n) // 2) for n, m in zip(weights.shape, shape)]
    # An odd size has no middle in an even one: the last row or column is lost.
    inner = weights[over[0] : over[0] + shape[0], over[1] : over[1] + shape[1]]
    out[under[0] : under[0] + inner.shape[0], under[1] : under[1] + inner.shape[1]] = inner
    return out


def scaled(target: Target, family: Callable[..., Kernel]) -> Iterator[Kernel]:
    """Yield the family's member with the best-fitting scale, first rounded to a simple fraction."""
    unit = target.place(family(scale=1.0))
    if unit is None:
        return
    scale, error = target.strength(unit)
    for value in dict.fromkeys([tidy(scale, error), scale]):
        if value:
            yield family(scale=value)


def tidy(value: float, error: float) -> float:
    """Return a simple fraction within `error` of `value`, or `value` if none is significant.

    A random number has a fraction with a denominator up to d within `error` with probability about
    ``error * d**2``: the search ends where that reaches a tenth.
    """
    error = max(error, 1e-9 * abs(value), 1e-12)
    if error > 0.3:
        return value
    largest = max(1, min(1024, int(math.sqrt(0.1 / error))))
    for denominator in range(1, largest + 1):
        nearest = Fraction(round(value * denominator), denominator)
        if nearest and abs(float(nearest) - value) <= error:
            return float(nearest)
    return value


def minimise(cost: Callable[[float], float], low: float, high: float) -> float:
    """Return the minimiser of `cost` between the positive numbers `low` and `high`.

    A coarse logarithmic scan brackets the minimum; steps to the lowest points of parabolas, of the golden section
    where these lead nowhere, refine it (R. P. Brent, Algorithms for Minimization without Derivatives, 1973, chapter 5).

    Examples
    --------
    >>> round(minimise(lambda x: (x - 2) ** 2, 0.1, 10), 6)
    2.0
    """
    scan: list[float] = np.geomspace(low, high, _SCAN).tolist()
    costs = [cost(x) for x in scan]
    lowest = int(np.argmin(costs))
    left, right = scan[max(lowest - 1, 0)], scan[min(lowest + 1, _SCAN - 1)]
    near = _NEAR * (right - left)
    # The three lowest points so far.
    best, second, third = ((costs[lowest], scan[lowest]),) * 3
    step = previous = 0.0
    for _ in range(_STEPS):
        x, middle = best[1], (left + right) / 2
        if abs(x - middle) <= 2 * near - (right - left) / 2:
            break
        a = (x - second[1]) * (best[0] - third[0])
        b = (x - third[1]) * (best[0] - second[0])
        above, below_ = (x - third[1]) * b - (x - second[1]) * a, 2 * (b - a)
        move = -above / below_ if below_ else math.inf
        # A parabola's lowest point inside the bracket, by less than half of the last step but one.
        if abs(move) < abs(previous) / 2 and left + near < x + move < right - near:
            previous, step = step, move
        else:
            previous = (right if x < middle else left) - x
            step = _GOLDEN * previous
        at = x + (step if abs(step) >= near else math.copysign(near, step))
        here = (cost(at), at)
        if here[0] <= best[0]:
            left, right = (x, right) if at >= x else (left, x)
            best, second, third = here, best, second
        else:
            left, right = (at, right) if at < x else (left, at)
            if here[0] <= second[0] or second[1] == x:
                second, third = here, second
            elif here[0] <= third[0] or third[1] in (x, second[1]):
                third = here
        # All that is left is rounding.
        if third[1] not in (best[1], second[1]) and third[0] - best[0] <= _ROUNDING * best[0]:
            break
    return best[1]


def refine(
    basis: Basis,
    start: Sequence[float],
    box: Sequence[tuple[float, float]],
    wanted: Weights,
    enough: float,
    steps: int = 25,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the parameters of the best-fitting basis, its coefficients, and the unexplained share of the energy.

    The coefficients are solved for in every step (variable projection: G. H. Golub and V. Pereyra, SIAM J. Numer. Anal.
    10 (1973), 413-432); the parameters by Levenberg-Marquardt iterations, each within its `box`. No step is taken if
    more than `enough` of the energy is unexplained at the start; the share is 1 if a parameter ends at its limit.
    """
    flat = wanted.ravel()
    total = float(flat @ flat)

    def rest(trial: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        parts = [part.ravel() for part in basis(trial)]
        norm = float(parts[0] @ parts[0])
        if len(parts) == 1 and norm > 0:
            found = np.array([float(parts[0] @ flat) / norm])
            left = flat - found[0] * parts[0]
        else:
            columns = np.stack(parts, axis=1)
            found = np.asarray(np.linalg.lstsq(columns, flat, rcond=None)[0], dtype=np.float64)
            left = flat - columns @ found
        return found, left, float(left @ left)

    low, high = (np.array(ends, dtype=np.float64) for ends in zip(*box))
    at = np.clip(np.array(start, dtype=np.float64), low, high)
    found, left, cost = rest(at)
    damping = 1e-3
    for _ in range(steps if cost <= enough * total else 0):
        widths = 1e-6 * np.maximum(np.abs(at), 0.1)
        slopes = np.stack([(rest(at + step)[1] - left) / step.max() for step in np.diag(widths)], axis=1)
        normal, slope = slopes.T @ slopes, slopes.T @ left
        better = False
        while not better and damping < 1e6:
            move = np.linalg.lstsq(normal + damping * np.diag(np.diag(normal)), -slope, rcond=None)[0]
            move = np.clip(at + move, low, high) - at
            trial = rest(at + move)
            better = trial[2] < cost
            damping *= 0.1 if better else 10.0
        if not better:
            break
        at = at + move
        done = trial[2] > 0.99 * cost or float(np.abs(move / np.maximum(np.abs(at), 0.1)).max()) < 1e-11
        found, left, cost = trial
        if done:
            break
    inside = bool(((at > low) & (at < high)).all())
    return at, found, cost / total if inside else 1.0


def unexplained(wanted: Weights, part: Weights) -> float:
    """Return the share of the energy of `wanted` that no multiple of `part` explains.

    Examples
    --------
    >>> unexplained(np.array([3.0, 4.0]), np.array([6.0, 8.0]))
    0.0
    """
    norm, total = float((part**2).sum()), float((wanted**2).sum())
    if not norm or not total:
        return 1.0
    return max(0.0, 1 - float((wanted * part).sum()) ** 2 / (norm * total))


def parity(patch: Weights, axis: int) -> int:
    """Return 1 if weights are even along an axis, -1 if they are odd, 0 if neither, to within a tenth of their norm."""
    even = float((patch * np.flip(patch, axis)).sum()) / float((patch**2).sum())
    return round(even) if abs(abs(even) - 1) < 0.01 else 0


def below(angle: float, end: float) -> float:
    """Return an angle reduced to 0 up to `end`; values within 1e-6 of `end` become 0."""
    turned = float(angle) % end
    return 0.0 if end - turned < 1e-6 else turned


def simplest(target: Target, build: Callable[..., Kernel], values: Sequence[float]) -> Kernel:
    """Return ``build(*values)``, each value rounded to the fewest decimals that the tolerance allows."""
    exact = build(*values)
    allowed = max(target.spread / 2, 1e-6 * float(np.abs(exact.weights).max()))
    kept = list(values)
    kernel = exact
    for i, value in enumerate(values):
        for decimals in (0, 1, 2, 3, 4, 6):
            # Adding zero turns -0.0 into 0.0.
            kept[i] = round(value, decimals) + 0.0
            trial = _built(build, kept)
            same = trial is not None and trial.shape == exact.shape
            if trial is not None and same and np.abs(trial.weights - exact.weights).max() <= allowed:
                kernel = trial
                break
        else:
            kept[i] = value
    return kernel


def _built(build: Callable[..., Kernel], values: Sequence[float]) -> Kernel | None:
    # Rounding may leave the valid range: a width of 0.3 becomes 0.
    try:
        return build(*values)
    except ValueError:
        return None
