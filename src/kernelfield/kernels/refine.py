"""Fits of kernels with several continuous parameters: damped least squares, and the fewest digits that say it."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kernelfield.kernels.kernel import Kernel, Weights
from kernelfield.kernels.target import Target

Basis = Callable[[NDArray[np.float64]], Sequence[Weights]]


def refine(
    basis: Basis,
    start: Sequence[float],
    box: Sequence[tuple[float, float]],
    wanted: Weights,
    enough: float,
    steps: int = 25,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the parameters whose basis comes closest to `wanted`, its coefficients, and the energy left, as a share.

    The coefficients of the basis are solved for at every trial (G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10
    (1973), 413-432); the parameters by K. Levenberg's and D. Marquardt's damping, each within its `box`. Where at the
    start more than `enough` of the energy is left, no step is taken; all is left where a parameter ends at its limit.
    """
    flat = wanted.ravel()
    total = float(flat @ flat)

    def rest(trial: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        columns = np.stack([part.ravel() for part in basis(trial)], axis=1)
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


def simplest(target: Target, build: Callable[..., Kernel], values: Sequence[float]) -> Kernel:
    """Return ``build(*values)``, each value with as few decimals as the tolerance lets pass."""
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
    # Rounding may leave the range: a width of 0.3 becomes 0.
    try:
        return build(*values)
    except ValueError:
        return None
