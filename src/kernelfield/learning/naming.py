"""The name of a learned kernel: exact within its errors, or the nearest known ones; gain and shift stand apart.

A name is claimed where a kernel of the catalogue agrees with the weights within their errors and no other kind does.
Smoothing kernels are compared after division by their sum: a gain is no other filter. Otherwise the two nearest
kernels are named with their distances, as nearest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernelfield.kernels import Kernel, match
from kernelfield.kernels.descriptions import describe
from kernelfield.kernels.matching import Match, Near, nearest

# Distances, as shares of the norm of the weights, up to which a known kernel is near: of exact weights and of others.
_NEAR = (0.1, 0.25)
# A fitted number has to bring a kernel nearer by this factor; by default distances below the second are the same.
_NUMBER, _SAME = 1.25, 0.01
# A sum of weights that is this share of the sum of their magnitudes is a gain.
_GAIN, _SHARPER = 0.2, 0.02
# Standard errors within which weights agree, and the smallest tolerance, as a share of the largest weight.
_ERRORS, _LEAST = 5.0, 2e-3
# Steps towards the nearest Gaussian.
_STEPS = 60


@dataclass(frozen=True)
class Name:
    """A name of the catalogue, or None, with its parameters, the gain, and the phrase for the report."""

    name: str | None
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    scale: float = 1.0


def name_kernel(
    kernel: np.ndarray,
    anchor: tuple[int, int],
    stderr: np.ndarray,
    offset: float,
    certain: bool,
    claims: bool,
    same: float = _SAME,
    unit: float = 1.0,
) -> Name:
    """Return the name of a kernel.

    Parameters
    ----------
    kernel, stderr : numpy.ndarray, shape (kh, kw)
    anchor : (int, int)
    offset : float
        In grey levels: it distinguishes Pillow's CONTOUR from FIND_EDGES.
    certain : bool
        Whether the weights reproduce the after exactly.
    claims : bool
        Whether the errors hold: else nothing but the nearest is named.
    same : float
        Distance within which known kernels are as near: of those the simplest comes first.
    unit : float
        Factor from these weights to those of the images, which scale and gain are of.
    """
    peak = float(np.abs(kernel).max())
    if peak == 0.0:
        return Name(None, "nothing: all weights are 0")
    tolerance = _ERRORS * np.maximum(stderr, 1e-9 * peak)
    total, size = float(kernel.sum()), float(np.abs(kernel).sum())
    gain = total if abs(total) > _GAIN * size else 1.0
    if claims:
        known = match(kernel, anchor, tolerance, offset)
        if known is not None and known.name == "gaussian" and abs(total - 1.0) < 0.01 and min(kernel.shape) > 2:
            boxes = _three_boxes(kernel)
            gap = np.linalg.norm((known.kernel - Kernel(kernel, anchor=anchor)).weights)
            if boxes is not None and np.linalg.norm(boxes[1] - kernel) < 0.6 * gap:
                return Name(None, _boxes_text(boxes[0]) + _times(unit), scale=unit)
        if known is not None and (certain or not _has_rival(known, kernel, anchor, stderr)):
            return _of_match(known, 1.0, unit)
        # Of sharpening the sum is small beside the weights.
        sum_ = total if abs(total) > _SHARPER * size else 1.0
        if known is None and abs(sum_ - 1.0) > 1e-3:
            known = match(kernel / sum_, anchor, tolerance / abs(sum_), None)
            if known is not None and (certain or not _has_rival(known, kernel / sum_, anchor, stderr / abs(sum_))):
                return _of_match(known, sum_, unit)
    special = _special(kernel / gain, anchor, tolerance / abs(gain)) if abs(total) > _GAIN * size else None
    if special is not None and (special.name is None or claims):
        factor = (gain if abs(gain - 1.0) > 1e-3 else 1.0) * unit
        return Name(special.name, special.description + _times(factor, 4), special.parameters, factor)
    near = _nearest(kernel / gain, anchor, tolerance / abs(gain), gain * unit, _NEAR[not certain], same)
    return Name(None, f"no known filter; nearest: {near}" if near else "no known filter")


def _times(factor: float, digits: int = 6) -> str:
    """Return a factor as the end of a description; "" for one."""
    return f", times {factor:.{digits}g}" if abs(factor - 1.0) > 1e-3 else ""


def _of_match(known: Match, sum_: float, unit: float) -> Name:
    """Return the name of a match with what it was divided by; a scale of its own takes the unit in."""
    parameters = dict(known.parameters)
    if unit != 1.0 and sum_ == 1.0 and "scale" in parameters:
        parameters["scale"] *= unit
        whole = Kernel(known.kernel.weights * unit, known.name, parameters, None, known.kernel.anchor)
        return Name(known.name, describe(whole, None), parameters)
    return Name(known.name, known.description + _times(sum_ * unit), parameters, sum_ * unit)


def _has_rival(known: Match, kernel: np.ndarray, anchor: tuple[int, int], stderr: np.ndarray) -> bool:
    """Return whether a Gaussian of another shape than the binomial kernel known fits as well within the errors."""
    if known.name != "binomial" or min(kernel.shape) < 3 or not np.isfinite(stderr).all():
        return False
    error = np.maximum(stderr, 1e-9 * float(np.abs(kernel).max()))
    found = _gaussian(kernel, anchor)
    if found is None:
        return False
    (mine, theirs) = kernel, known.kernel.weights
    if mine.shape != theirs.shape:
        return True
    left = float((((mine - theirs) / error) ** 2).sum())
    other = float((((mine - found[1]) / error) ** 2).sum())
    return other < left + 9.0 and float(np.abs(found[1] - theirs).max()) > 1e-3 * float(np.abs(theirs).max())


def _gaussian(kernel: np.ndarray, anchor: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return sigma down and right and place down and right of the nearest Gaussian, and its weights."""
    rows, columns = (np.arange(n) - a for n, a in zip(kernel.shape, anchor))
    weights = np.maximum(kernel, 0.0)
    total = float(weights.sum())
    if not total > 0.0:
        return None
    centre = [float(weights.sum(axis=1) @ rows) / total, float(weights.sum(axis=0) @ columns) / total]
    spread = [
        max(float(weights.sum(axis=1) @ (rows - centre[0]) ** 2) / total, 0.05),
        max(float(weights.sum(axis=0) @ (columns - centre[1]) ** 2) / total, 0.05),
    ]

    low = [0.15, 0.15, float(rows[0]) - 1.0, float(columns[0]) - 1.0]
    high = [4.0 * len(rows) + 1.0, 4.0 * len(columns) + 1.0, float(rows[-1]) + 1.0, float(columns[-1]) + 1.0]
    values = np.clip([np.sqrt(spread[0]), np.sqrt(spread[1]), *centre], low, high)
    surface, tangents = _gaussian_at(values, rows, columns)
    damping = 1e-3
    # Levenberg and Marquardt's steps.
    for _ in range(_STEPS):
        left = (kernel - surface).ravel()
        normal = tangents @ tangents.T
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-300), tangents @ left)
        trial = np.clip(values + step, low, high)
        other, slopes = _gaussian_at(trial, rows, columns)
        if ((kernel - other) ** 2).sum() > left @ left:
            damping *= 10.0
            if damping > 1e12:
                break
            continue
        moved = float(np.abs(trial - values).max())
        values, surface, tangents, damping = trial, other, slopes, 0.1 * damping
        if moved < 1e-10:
            break
    return values, surface


def _gaussian_at(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a Gaussian of sum 1, of two sigmas and two places, and its derivatives by them, one a row."""
    lines: list[np.ndarray] = []
    by_sigma: list[np.ndarray] = []
    by_place: list[np.ndarray] = []
    for places, sigma, middle in ((rows, values[0], values[2]), (columns, values[1], values[3])):
        away = places - middle
        squares = away**2 / (2.0 * sigma**2)
        line = np.exp(squares.min() - squares)
        line /= line.sum()
        lines.append(line)
        for slopes, slope in ((by_sigma, 2.0 * squares / sigma), (by_place, away / sigma**2)):
            slopes.append(line * (slope - line @ slope))
    (down, right) = lines
    surface: np.ndarray = np.outer(down, right)
    tangents = [np.outer(slopes[0], right) for slopes in (by_sigma, by_place)]
    others = [np.outer(down, slopes[1]) for slopes in (by_sigma, by_place)]
    ordered = tangents[0], others[0], tangents[1], others[1]
    return surface, np.stack([one.ravel() for one in ordered])


def _special(kernel: np.ndarray, anchor: tuple[int, int], tolerance: np.ndarray) -> Name | None:
    """Return a flat disk, three boxes in a row, or a Gaussian between pixels, if one agrees within the tolerance."""
    if min(kernel.shape) < 3 or min(kernel.min(), 0.0) < -tolerance.max() - _LEAST:
        return None
    peak = float(np.abs(kernel).max())
    allowed = np.maximum(tolerance, _LEAST * peak)
    if tolerance.max() > 0.05 * peak:
        return None
    disk = _flat_disk(kernel, anchor, allowed)
    if disk is not None:
        return Name(None, disk)
    boxes = _three_boxes(kernel)
    if boxes is not None and (np.abs(kernel - boxes[1]) <= allowed).all():
        return Name(None, _boxes_text(boxes[0]))
    found = _gaussian(kernel, anchor)
    if found is None or not (np.abs(kernel - found[1]) <= allowed).all():
        return None
    down, right, row, column = (float(value) for value in found[0])
    if max(abs(row - round(row)), abs(column - round(column))) < 0.02:
        return None
    same = abs(down - right) < 0.01 * max(down, right)
    sigma_text = f"{(down + right) / 2.0:.3g}" if same else f"{down:.3g} down, {right:.3g} across"
    # The content moves the other way than the weights lie.
    moves = []
    for value, ways in ((-row, ("up", "down")), (-column, ("left", "right"))):
        if abs(value) >= 0.005:
            moves.append(f"{abs(value):.2f} pixels {ways[value > 0]}")
    text = f"Gaussian blur, sigma {sigma_text}, shifted {' and '.join(moves)}"
    return Name("gaussian", text, {"sigma": (down, right), "shift": (-row, -column)})


def _flat_disk(kernel: np.ndarray, anchor: tuple[int, int], allowed: np.ndarray) -> str | None:
    """Return the text for equal weights of all pixels with their middle within a radius of the anchor, or None."""
    rows, columns = (np.arange(n) - a for n, a in zip(kernel.shape, anchor))
    squares = rows[:, None] ** 2 + columns**2
    held = kernel > float(kernel.max()) / 2.0
    square = int(squares[held].max())
    count = int(np.count_nonzero(held))
    # All 3×3 and all 5×5 pixels are within a radius too, and a box.
    if square < 2 or count == (2 * int(np.sqrt(square)) + 1) ** 2 or not np.array_equal(held, squares <= square):
        return None
    if not (np.abs(kernel - held / count) <= allowed).all():
        return None
    return f"flat disk of radius {np.sqrt(square):.4g}, the mean of {count:,} pixels"


def _boxes_text(radius: float) -> str:
    whole = int(radius)
    places = np.arange(-whole - 1, whole + 2)
    box = np.where(np.abs(places) > whole, radius - whole, 1.0)
    sigma = float(np.sqrt(3.0 * (box @ places**2) / box.sum()))
    return f"three boxes in a row, as Pillow's GaussianBlur({sigma:.3g})"


def _three_boxes(kernel: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Return the radius and weights of three boxes in a row, with fractional ends as in Pillow, of this size."""
    marginals = [kernel.sum(axis=1), kernel.sum(axis=0)]
    variances = [
        float(m @ (np.arange(len(m)) - float(m @ np.arange(len(m))) / m.sum()) ** 2) / m.sum() for m in marginals
    ]
    variance = max(float(np.mean(variances)), 0.0)
    if variance < 0.3:
        return None
    middles = [float(m @ np.arange(len(m))) / m.sum() for m in marginals]
    if max(abs(middle - round(middle)) for middle in middles) > 0.1:
        return None

    def lines_of(radius: float) -> list[np.ndarray]:
        whole = int(radius)
        box = np.ones(2 * whole + 3)
        box[0] = box[-1] = radius - whole
        line = np.convolve(np.convolve(box, box), box) / box.sum() ** 3
        lines = []
        for n, middle in zip(kernel.shape, middles):
            places = np.arange(n) - round(middle) + len(line) // 2
            inside = (places >= 0) & (places < len(line))
            lines.append(np.where(inside, line[np.clip(places, 0, len(line) - 1)], 0.0))
        return lines

    def misfit(radius: float) -> float:
        # The squared distance to a product of lines, but for the energy of the kernel.
        down, right = lines_of(radius)
        return float((down @ down) * (right @ right) - 2.0 * (down @ kernel @ right))

    # The extended box of radius r has about the variance ((2 r + 1)^2 - 1) / 12.
    start = (np.sqrt(4.0 * variance + 1.0) - 1.0) / 2.0
    trials = np.linspace(0.85 * start, 1.15 * start, 121).tolist()
    # Every tenth shows between which the best lies.
    rough = min(range(0, 121, 10), key=lambda i: misfit(trials[i]))
    best = min(trials[max(0, rough - 9) : rough + 10], key=misfit)
    return best, np.outer(*lines_of(best))


def _nearest(
    kernel: np.ndarray, anchor: tuple[int, int], tolerance: np.ndarray, gain: float, most: float, same: float
) -> str | None:
    """Return the two nearest kernels of the catalogue with their distances, as a phrase."""
    allowed = np.minimum(tolerance, 0.3 * float(np.abs(kernel).max()))
    found: list[Near] = []

    def rank(one: Near) -> float:
        return float(max(one.distance, same) * _NUMBER ** _numbers(one.kernel))

    for one in sorted(nearest(kernel, anchor, allowed), key=rank):
        # A box of one pixel is the identity: the same weights are said once.
        known = any(np.allclose((one.kernel - other.kernel).weights, 0.0, atol=1e-9) for other in found)
        if one.distance < most and not known:
            found.append(one)
    if not found:
        return None
    text = f"{found[0].description}{_times(gain, 4)} ({100.0 * found[0].distance:.2g} % away"
    if len(found) > 1:
        text += f"; then {found[1].description}, {100.0 * found[1].distance:.2g} %"
    return text + ")"


def _numbers(kernel: Kernel) -> int:
    """Return how many numbers, of those that are no counts, were fitted to weights."""
    values = (one for value in kernel.parameters.values() for one in (value if isinstance(value, tuple) else (value,)))
    return len({round(one, 6) for one in values if isinstance(one, float)})
