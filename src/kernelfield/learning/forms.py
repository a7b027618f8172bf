"""Kernels of a known form, tried in place of weights that the pair does not determine to the last place.

The outer weights of a wide Gaussian are below what 8 bits show, and lost from an estimate weight by weight. Its sigmas
are known far better than any weight: with them the whole kernel is tried on every pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kernelfield.correlation import correlate
from kernelfield.learning.disks import known_disks
from kernelfield.learning.estimate import Estimate, of_lines
from kernelfield.learning.pair import Pair
from kernelfield.learning.separable import Lines, fit_lines, leading, lines_at
from kernelfield.learning.support import Support
from kernelfield.learning.views import View

# Variances of rounding, and shares of the after's variance, up to which a form may explain what is left; sigmas at
# which programs end a Gaussian; steps that refine it; standard errors within which a number of few digits is meant.
_NEAR, _SMALL, _ENDS, _STEPS, _ERRORS = 4.0, 1e-4, (4.0, 3.0), 4, 5.0
# The widest kernel that is tried; weights from which on a kernel is compared with separable ones.
_WIDEST, _MANY = 255, 300


def known_forms(pair: Pair, estimate: Estimate) -> Iterator[Estimate]:
    """Yield estimates of known form near one of many weights: a column and a row, boxes, Gaussians and disks."""
    lines = estimate.lines
    if lines is None:
        lines = _as_lines(pair, estimate)
        if lines is None:
            yield from known_disks(pair, estimate)
            return
        yield of_lines(pair, lines)
    rounding = _NEAR * pair.step**2 / 12.0
    if lines.variance > max(rounding, _SMALL * lines.square / max(1, lines.count) if pair.step == 0.0 else 0.0):
        return
    total = float(lines.column.sum() * lines.row.sum())
    if abs(total) < 0.2 * float(np.abs(lines.kernel).sum()):
        return
    yield from _boxes(pair, lines, total)
    shapes = [_Shape.of(lines.column, lines.support.top), _Shape.of(lines.row, lines.support.left)]
    if any(shape is None for shape in shapes):
        return
    seen = set()
    for end in _ENDS:
        radii = [int(end * shape.sigma + 0.5) for shape in shapes if shape is not None]
        middles = [shape.middle for shape in shapes if shape is not None]
        support = Support(
            middles[0] - radii[0], middles[1] - radii[1], 2 * radii[0] + 1, 2 * radii[1] + 1, separable=True
        )
        room = [p.stop - p.start for p in support.positions(*pair.shapes)]
        if support in seen or max(support.size) > _WIDEST or min(room) < 8:
            continue
        seen.add(support)
        sigmas = [shape.sigma for shape in shapes if shape is not None]
        yield from _gaussians(pair, support, np.array([*sigmas, total]))


def _as_lines(pair: Pair, estimate: Estimate) -> Lines | None:
    """Return the separable kernel nearest to many weights, where rounding explains what it leaves."""
    if estimate.kernel.size < _MANY or min(estimate.kernel.shape) < 2:
        return None
    left = np.linalg.svd(estimate.kernel, compute_uv=False)
    # Noise of n by n weights has singular values of up to twice the root of n.
    if left[1] > 3.0 * np.sqrt(max(estimate.kernel.shape)) * float(np.median(estimate.stderr)) + 1e-6 * left[0]:
        return None
    lines = fit_lines(pair, replace(estimate.support, separable=True), leading(estimate.kernel))
    if lines is None:
        return None
    energy = float((lines.kernel**2).sum())
    return lines if lines.variance <= pair.exact_variance(lines.square, lines.count, energy) else None


def _boxes(pair: Pair, lines: Lines, total: float) -> Iterator[Estimate]:
    """Yield the box over the weights that are level."""
    spans = []
    for line, first in ((lines.column, lines.support.top), (lines.row, lines.support.left)):
        line = line / line.sum()
        # Half of the plateau is where it ends; single weights scatter about it.
        inside = np.flatnonzero(line > 0.5 * np.median(line[line > 0.25 * line.max()]))
        span = int(inside[0]), int(inside[-1]) + 1
        if inside.size < 0.9 * (span[1] - span[0]):
            return
        plateau = 1.0 / (span[1] - span[0])
        if abs(float(line[inside].mean()) / plateau - 1.0) > 0.1:
            return
        spans.append((first + span[0], span[1] - span[0]))
    (top, rows), (left, columns) = spans
    gain = pair.gain if abs(total / pair.gain - 1.0) < 0.01 else total
    column, row = np.full(rows, gain / rows), np.full(columns, 1.0 / columns)
    yield _of_form(pair, Support(top, left, rows, columns, True), column, row, np.zeros((rows, columns)))


class _Shape:
    """The spread and the middle pixel of a line of weights that falls off from it to both sides."""

    def __init__(self, sigma: float, middle: int) -> None:
        self.sigma, self.middle = sigma, middle

    @classmethod
    def of(cls, line: np.ndarray, first: int) -> _Shape | None:
        """Return the shape of weights of which the first lies at an offset; None if they are no bell."""
        line = line / line.sum()
        if line.size < 9 or line.min() < -0.1 * line.max():
            return None
        places = np.arange(line.size)
        # The slope of the logarithm against the squared distance, by weights: the lost ends do not bias it.
        held = line > 0.1 * line.max()
        middle = float(line[held] @ places[held] / line[held].sum())
        design = np.stack([np.ones(held.sum()), (places[held] - middle) ** 2], axis=1) * line[held, None]
        found = np.linalg.lstsq(design, np.log(line[held]) * line[held], rcond=None)[0]
        if not found[1] < 0.0 or abs(middle - round(middle)) > 0.2:
            return None
        return cls(float(np.sqrt(-0.5 / found[1])), first + round(middle))


def _line(size: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a Gaussian of sum 1, and its derivative with respect to sigma."""
    squares = (np.arange(size) - size // 2) ** 2.0
    line = np.exp(-squares / (2.0 * sigma**2))
    line /= line.sum()
    slope = line * squares / sigma**3
    return line, slope - line * slope.sum()


def _gaussians(pair: Pair, support: Support, values: np.ndarray) -> Iterator[Estimate]:
    """Yield the Gaussian of least squares over a support, its numbers tidied first."""
    views = [View.of(plane, support, None) for plane in pair.planes]
    for _ in range(_STEPS):
        system, right, left, count = np.zeros((3, 3)), np.zeros(3), 0.0, 0
        for view in views:
            lines = [_line(n, sigma) for n, sigma in zip(support.size, values)]
            images = []
            for column, row in ((lines[0][1], lines[1][0]), (lines[0][0], lines[1][1]), (lines[0][0], lines[1][0])):
                across = correlate(view.x, row[None], mode="valid", dtype=np.float64)
                image = correlate(across, column[:, None], mode="valid", dtype=np.float64)
                images.append(image if view.good is None else image[view.good])
            y = view.y.astype(np.float64) if view.good is None else view.y[view.good].astype(np.float64)
            tangents = np.stack([image.ravel() - image.mean() for image in images])
            residual = y.ravel() - y.mean() - values[2] * tangents[2]
            tangents[:2] *= values[2]
            system += tangents @ tangents.T
            right += tangents @ residual
            left += float(residual @ residual)
            count += residual.size
        change = np.linalg.solve(system, right)
        values = values + change
        if not (np.abs(change[:2]) < 0.5 * values[:2]).all() or values[:2].min() < 0.3:
            return
    covariance = np.linalg.inv(system) * (left / max(1, count - 3 - len(views)))
    errors = np.sqrt(np.diag(covariance))
    tidied = _tidied(values, errors, pair.gain)
    for chosen in (tidied, values) if not np.array_equal(tidied, values) else (values,):
        yield _of_gaussian(pair, support, chosen, covariance)


def _tidied(values: np.ndarray, errors: np.ndarray, gain: float) -> np.ndarray:
    """Return the numbers with few digits where those are meant: one sigma for both, a total of one."""
    result = values.copy()
    if abs(values[0] - values[1]) < _ERRORS * np.hypot(errors[0], errors[1]) + 1e-9:
        result[:2] = result[:2].mean()
    for i in range(2):
        for digits in range(1, 5):
            rounded = round(float(result[i]), digits)
            if abs(rounded - result[i]) < _ERRORS * errors[i] + 1e-9:
                result[i] = rounded
                break
    if abs(values[2] - gain) < _ERRORS * errors[2] + 1e-9 * gain:
        result[2] = gain
    return result


def _of_gaussian(pair: Pair, support: Support, values: np.ndarray, covariance: np.ndarray) -> Estimate:
    """Return the estimate with the Gaussian of these values."""
    (column, down), (row, across) = (_line(n, sigma) for n, sigma in zip(support.size, values))
    tangents = np.stack([values[2] * np.outer(down, row), values[2] * np.outer(column, across), np.outer(column, row)])
    stderr = np.sqrt(np.maximum(np.einsum("imn,ij,jmn->mn", tangents, covariance, tangents), 0.0))
    return _of_form(pair, support, values[2] * column, row, stderr)


def _of_form(pair: Pair, support: Support, column: np.ndarray, row: np.ndarray, stderr: np.ndarray) -> Estimate:
    """Return the estimate with these weights."""
    lines = lines_at(pair, support, column, row)
    return replace(of_lines(pair, lines), stderr=np.hypot(stderr, pair.epsilon * np.abs(lines.kernel).max()))
