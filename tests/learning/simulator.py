"""Seeded pairs with a known truth, and a scorer of what `learn` says of them. NumPy and SciPy alone make the pairs.

``python -m learning.simulator 5000`` in tests/ prints a table by stratum: `make calibrate`.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import scipy.ndimage as ndi
from cases import colour_photograph, photograph
from helpers.compression import jpeg

PAD = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "mirror": "reflect", "wrap": "wrap"}
ROUNDINGS = ("half up", "half even", "half away", "down", "to zero")
GRADES = ("right", "nearly", "honest", "wrong")


@dataclass(frozen=True)
class Truth:
    """The producer of an after: its filter, border and noise, as the scorer compares them with a fit.

    Attributes
    ----------
    weights : numpy.ndarray or None
        Cross-correlation weights; None where no linear filter made it.
    anchor : (int, int) or None
        None where the after is a crop: only the weights count.
    names : tuple of str
        Names that are right; none where the kernel has no name.
    border : str or None
        None where no rule is a right answer.
    exact : bool or None
        Whether rounding alone is left; None if either verdict is right.
    outliers : int
        Pixels of the after that the filter did not make.
    sharing : {"shared", "differ", "mixed"}
        How the channels of a colour image relate.
    bars : bool
        Whether the intervals are to cover at their nominal rate: false where the model does not hold.
    """

    weights: np.ndarray | None
    anchor: tuple[int, int] | None = None
    names: tuple[str, ...] = ()
    border: str | None = None
    exact: bool | None = False
    outliers: int = 0
    sharing: str = "shared"
    bars: bool = True


@dataclass(frozen=True)
class Problem:
    """A pair with its truth, the name of its stratum, and the arguments for `learn`."""

    stratum: str
    seed: int
    before: np.ndarray = field(repr=False)
    after: np.ndarray = field(repr=False)
    truth: Truth = field(repr=False)
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """The grade of an answer.

    Attributes
    ----------
    grade : {"right", "nearly", "honest", "wrong"}
        ``"wrong"`` is wrong and confident, ``"honest"`` is wrong and says so.
    why : str
    covered : numpy.ndarray of bool
        For each weight with a standard error: whether its 95 % interval holds the true weight.
    wrong_name, falsely_exact : bool
    """

    grade: str
    why: str
    covered: np.ndarray = field(repr=False)
    wrong_name: bool = False
    falsely_exact: bool = False


# Kernels: (weights, names). Formulas of this file, none of kernelfield's.


def _sampled(n: int) -> np.ndarray:
    return np.arange(n) - n // 2


def _gaussian(rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    sigma = rng.uniform(0.7, 1.6)
    line = np.exp(-(_sampled(2 * int(4 * sigma + 0.5) + 1) ** 2) / (2 * sigma**2))
    line /= line.sum()
    return np.outer(line, line), ("gaussian",)


def _box(rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    size = tuple(rng.integers(2, 6, 2))
    return np.full(size, 1.0 / (size[0] * size[1])), ("box", "binomial", "shift") if max(size) == 2 else ("box",)


def _integral(weights: list[list[int]], divisor: int, *names: str) -> Callable[..., tuple[np.ndarray, tuple[str, ...]]]:
    def kernel(rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
        return np.array(weights) / divisor, names

    return kernel


def _random(rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    weights = rng.normal(size=tuple(rng.integers(2, 6, 2)))
    return weights / np.abs(weights).sum(), ()


def _random_blur(rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    weights = rng.random(tuple(rng.integers(2, 6, 2))) ** 2 + 0.02
    return weights / weights.sum(), ()


KERNELS: dict[str, Callable[[np.random.Generator], tuple[np.ndarray, tuple[str, ...]]]] = {
    "gaussian": _gaussian,
    "box": _box,
    "binomial": _integral([[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16, "binomial", "gaussian"),
    "sobel": _integral([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], 8, "sobel"),
    "laplacian": _integral([[0, 1, 0], [1, -4, 1], [0, 1, 0]], 4, "laplacian"),
    "sharpen": _integral([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], 1, "sharpen", "unsharp"),
    "random": _random,
    "random blur": _random_blur,
}
INTEGRAL = {
    "box": ([[1] * 3] * 3, 9, ("box",)),
    "binomial": ([[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16, ("binomial", "gaussian")),
    "binomial 5": (np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).tolist(), 256, ("binomial", "gaussian")),
    "sobel/4": ([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], 4, ("sobel",)),
    "mean of two": ([[1, 1]], 2, ("box", "binomial", "shift")),
    "mean of four": ([[1, 1], [1, 1]], 4, ("box", "binomial", "shift")),
    "sharpen": ([[-2, -2, -2], [-2, 32, -2], [-2, -2, -2]], 16, ("sharpen", "unsharp")),
    "own": ([[3, 0, -1, 2], [1, 7, 5, 0], [0, -2, 4, 1]], 20, ()),
}


def scene(rng: np.random.Generator, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Return a grey scene of float64 values from 0 to 255: a piece of a photograph, or shapes over coloured noise."""
    height, width = shape or tuple(int(n) for n in rng.integers(72, 120, 2))
    if rng.random() < 0.7:
        image = photograph(("china", "flower", "camera", "astronaut")[rng.integers(4)])
        for _ in range(20):
            row, column = (int(rng.integers(0, n - m)) for n, m in zip(image.shape, (height, width)))
            piece = image[row : row + height, column : column + width].astype(np.float64)
            if piece.std() > 15 and np.mean((piece < 4) | (piece > 251)) < 0.05:
                break
        return piece
    spectrum = np.hypot(*np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")) + 0.5 / width
    field_ = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / spectrum, s=(height, width))
    image = 128 + 30 * field_ / field_.std() + rng.normal(scale=2, size=(height, width))
    for _ in range(8):
        top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
        image[top : top + rng.integers(3, 30), left : left + rng.integers(3, 30)] += rng.uniform(-60, 60)
    return np.rint(np.clip(image, 2, 253))


def levels(image: np.ndarray) -> np.ndarray:
    """Return the nearest values of 8 bits."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def filtered(
    image: np.ndarray, weights: np.ndarray, anchor: tuple[int, int], border: str, cval: float = 0
) -> np.ndarray:
    """Return ``sum over u of weights[u] * image[p + u - anchor]``, of the size of `image`; exact for integers."""
    inner = "reflect" if border == "copy" else border
    margins = [(a, n - 1 - a) for a, n in zip(anchor, weights.shape)]
    extra = {"constant_values": cval} if inner == "constant" else {}
    wide = np.pad(image, margins, PAD[inner], **extra)
    result = np.zeros(image.shape, np.result_type(image, weights))
    for (a, b), weight in np.ndenumerate(weights):
        if weight:
            result += weight * wide[a : a + image.shape[0], b : b + image.shape[1]]
    return result


def rounded(total: np.ndarray, divisor: int, rule: str) -> np.ndarray:
    """Return ``total / divisor`` rounded by a rule, in integer arithmetic."""
    if rule == "down":
        return total // divisor
    if rule == "to zero":
        return np.sign(total) * (np.abs(total) // divisor)
    if rule == "half up":
        return (2 * total + divisor) // (2 * divisor)
    if rule == "half away":
        return np.sign(total) * ((2 * np.abs(total) + divisor) // (2 * divisor))
    up, left = total // divisor, total % divisor
    return up + ((2 * left > divisor) | ((2 * left == divisor) & (up % 2 == 1)))


def kernel(rng: np.random.Generator, *kinds: str) -> tuple[np.ndarray, tuple[int, int], tuple[str, ...]]:
    """Return weights, anchor and names; one in four is anchored off its centre."""
    kinds = kinds or tuple(KERNELS)
    weights, names = KERNELS[kinds[rng.integers(len(kinds))]](rng)
    anchor = weights.shape[0] // 2, weights.shape[1] // 2
    if rng.random() < 0.25:
        anchor = int(rng.integers(weights.shape[0])), int(rng.integers(weights.shape[1]))
    return weights, anchor, names


def border(rng: np.random.Generator) -> str:
    """Return a border rule."""
    return (*PAD, "copy")[rng.integers(len(PAD))] if rng.random() < 0.9 else "copy"


def _made(rng: np.random.Generator, *kinds: str) -> tuple[np.ndarray, np.ndarray, Truth]:
    """Return a scene of 8-bit values, the same filtered in float64, and the truth."""
    before = scene(rng)
    weights, anchor, names = kernel(rng, *kinds)
    rule = border(rng)
    after = filtered(before, weights, anchor, rule)
    if rule == "copy":
        after = _copied(before, after, weights.shape, anchor)
    return before, after, Truth(weights, anchor, names, rule)


def _copied(before: np.ndarray, after: np.ndarray, size: tuple[int, ...], anchor: tuple[int, int]) -> np.ndarray:
    """Return the after with border pixels of the before."""
    inside = tuple(slice(a, n - (k - 1 - a)) for a, k, n in zip(anchor, size, before.shape))
    result = before.astype(after.dtype)
    result[inside] = after[inside]
    return result


def _size(rng: np.random.Generator, truth: Truth, known: float = 0.5) -> dict[str, Any]:
    """Return the size as an argument where it is given: of kernels anchored at their centre."""
    centred = truth.anchor == tuple(n // 2 for n in truth.weights.shape)
    if centred and rng.random() < known:
        return {"size": truth.weights.shape}
    return {"max_size": 15}


# Strata: each returns before, after, truth, arguments.

Drawn = tuple[np.ndarray, np.ndarray, Truth, dict[str, Any]]


def exact_float(rng: np.random.Generator) -> Drawn:
    before, after, truth = _made(rng)
    dtype = (np.float32, np.float64)[rng.integers(2)]
    weights = truth.weights
    before = (before / 255 + rng.normal(scale=1e-3, size=before.shape)).astype(dtype)
    after = filtered(before.astype(np.float64), weights, truth.anchor, truth.border).astype(dtype)
    if truth.border == "copy":
        after = _copied(before, after, weights.shape, truth.anchor)
    return before, after, replace(truth, exact=True), _size(rng, truth, 0.3)


def rounding(rng: np.random.Generator) -> Drawn:
    """Integer weights, every rounding rule; offsets keep the values in range."""
    table, divisor, names = INTEGRAL[tuple(INTEGRAL)[rng.integers(len(INTEGRAL))]]
    weights = np.array(table)
    if rng.random() < 0.3:
        divisor *= 2
    anchor = weights.shape[0] // 2, weights.shape[1] // 2
    rule = border(rng)
    before = scene(rng).astype(np.int64)
    offset = 128 if weights.sum() <= 0 else 0
    total = filtered(before, weights, anchor, rule)
    after = rounded(total, divisor, ROUNDINGS[rng.integers(len(ROUNDINGS))]) + offset
    signed = rng.random() < 0.25
    if rule == "copy":
        after = _copied(before, after, weights.shape, anchor)
    after = (after - offset).astype(np.int16) if signed else np.clip(after, 0, 255).astype(np.uint8)
    truth = Truth(weights / divisor, anchor, names, rule, exact=True)
    return before.astype(np.uint8), after, truth, _size(rng, truth, 0.3)


def eight_bits(rng: np.random.Generator) -> Drawn:
    """Float weights, rounded to 8 bits."""
    before, after, truth = _made(rng, "gaussian", "random blur", "box", "sharpen", "binomial")
    return before.astype(np.uint8), levels(after), replace(truth, exact=True), _size(rng, truth, 0.3)


def clipped_exact(rng: np.random.Generator) -> Drawn:
    """8 bits whose ends hold up to a third of the pixels."""
    before, after, truth = _made(rng, "random", "random blur", "gaussian", "sharpen")
    gain = rng.uniform(1.2, 1.8)
    after = (after - after.mean()) * gain + rng.uniform(60, 200)
    if truth.border == "copy":
        truth = replace(truth, border=None)
    truth = replace(truth, weights=truth.weights * gain, exact=True)
    return before.astype(np.uint8), levels(after), truth, _size(rng, truth)


def clipped_noise(rng: np.random.Generator) -> Drawn:
    before, after, truth = _made(rng, "random", "random blur", "gaussian")
    gain = rng.uniform(1.2, 1.8)
    after = (after - after.mean()) * gain + rng.uniform(80, 220)
    after = np.clip(after, 0, 255) + rng.normal(scale=rng.uniform(1, 4), size=after.shape)
    truth = replace(truth, weights=truth.weights * gain, border=None)
    if rng.random() < 0.5:
        return before, after, truth, {"size": truth.weights.shape} | _centred(truth)
    return before, np.clip(after, 0, 255), truth, {"size": truth.weights.shape} | _centred(truth)


def _centred(truth: Truth) -> dict[str, Any]:
    """Return an empty size where the kernel lies off its centre."""
    centred = truth.anchor == tuple(n // 2 for n in truth.weights.shape)
    return {} if centred else {"size": None, "max_size": 9}


def _noisy(rng: np.random.Generator, known: bool) -> Drawn:
    before, after, truth = _made(rng)
    after = after + rng.normal(scale=np.exp(rng.uniform(np.log(0.3), np.log(8))), size=after.shape)
    if truth.border == "copy":
        truth = replace(truth, border=None)
    return before, after, truth, ({"size": truth.weights.shape} | _centred(truth)) if known else {"max_size": 13}


def white_noise(rng: np.random.Generator) -> Drawn:
    return _noisy(rng, True)


def white_noise_size_unknown(rng: np.random.Generator) -> Drawn:
    return _noisy(rng, False)


def poisson(rng: np.random.Generator) -> Drawn:
    before, after, truth = _made(rng, "gaussian", "box", "binomial", "random blur")
    photons = rng.uniform(0.5, 20)
    after = rng.poisson(np.maximum(after, 0) * photons) / photons
    return before, after, replace(truth, border=None), {"size": truth.weights.shape} | _centred(truth)


def correlated_noise(rng: np.random.Generator) -> Drawn:
    before, after, truth = _made(rng)
    noise = ndi.gaussian_filter(rng.normal(size=after.shape), rng.uniform(0.5, 1.5))
    after = after + rng.uniform(0.5, 4) * noise / noise.std()
    return before, after, replace(truth, border=None), {"size": truth.weights.shape} | _centred(truth)


def noisy_before(rng: np.random.Generator) -> Drawn:
    clean, after, truth = _made(rng, "gaussian", "box", "random blur", "binomial")
    sd = np.exp(rng.uniform(np.log(1), np.log(15)))
    before = clean + rng.normal(scale=sd, size=clean.shape)
    after = after + rng.normal(scale=rng.uniform(0.3, 2), size=after.shape)
    given = {"size": truth.weights.shape} | _centred(truth)
    return before, after, replace(truth, border=None, bars=False), given


def compressed(rng: np.random.Generator) -> Drawn:
    before, after, truth = _made(rng, "gaussian", "box", "random blur", "binomial", "sharpen")
    after = jpeg(levels(after), int(rng.integers(60, 96)))
    truth = replace(truth, border=None, bars=False)
    return before.astype(np.uint8), after, truth, _size(rng, truth)


def outliers_exact(rng: np.random.Generator) -> Drawn:
    before, after, truth, arguments = eight_bits(rng)
    after, count = _spoiled(rng, after.copy(), 255)
    return before, after, replace(truth, outliers=count, border=None), arguments


def outliers_noise(rng: np.random.Generator) -> Drawn:
    before, after, truth, arguments = white_noise(rng)
    after, count = _spoiled(rng, after.copy(), rng.choice([255.0, 400.0, -9999.0]))
    return before, after, replace(truth, outliers=count, border=None), arguments


def _spoiled(rng: np.random.Generator, after: np.ndarray, value: float) -> tuple[np.ndarray, int]:
    """Return the after with hot pixels, one changed pixel, or a pasted label, and the number of changed pixels."""
    old = after.copy()
    kind = rng.integers(3)
    height, width = after.shape
    if kind == 0:
        row, column = rng.integers(20, height - 20), rng.integers(20, width - 20)
        after[row, column] = after[row, column] - 50 if after[row, column] > 128 else after[row, column] + 50
    elif kind == 1:
        rows, columns = rng.integers(0, height, 12), rng.integers(0, width, 12)
        after[rows, columns] = value
    else:
        row, column = rng.integers(8, height - 24), rng.integers(8, width - 32)
        after[row : row + 9, column : column + 21] = value
    return after, int(np.count_nonzero(np.abs(after.astype(float) - old) > 20))


def gain_and_offset(rng: np.random.Generator) -> Drawn:
    """8 bits before, floats of another scale after."""
    before, after, truth = _made(rng, "gaussian", "box", "binomial", "random blur")
    gain, offset = float(rng.choice([1 / 255, 0.8, 1.25, 2.0, 257.0, 1e-3])), float(rng.choice([0, 10, -3.25, 1e4]))
    after = after * gain + offset
    noise = rng.random() < 0.5
    if noise:
        after = after + gain * rng.normal(scale=1.0, size=after.shape)
    truth = replace(truth, weights=truth.weights * gain, border=None, exact=not noise)
    return before.astype(np.uint8), after, truth, _size(rng, truth)


def scaled(rng: np.random.Generator) -> Drawn:
    """Added constants and units from 1e-200 to 1e200."""
    before, after, truth = _made(rng)
    noise = rng.random() < 0.6
    if noise:
        after = after + rng.normal(scale=1.0, size=after.shape)
    constant, scale = 0.0, 1.0
    if rng.random() < 0.5:
        constant = float(rng.choice([1e4, 1e6, 2.45e6, -1e5]))
        after = after + constant * truth.weights.sum()
    else:
        scale = float(rng.choice([1e-200, 1e-40, 1e-12, 1e12, 1e39, 1e200]))
    both = rng.random() < 0.5
    if not both:
        truth = replace(truth, weights=truth.weights / scale)
    before, after = (before + constant) * scale, after * (scale if both else 1.0)
    truth = replace(truth, border=None, exact=not noise)
    return before, after, truth, {"size": truth.weights.shape} | _centred(truth)


def sixteen_bits(rng: np.random.Generator) -> Drawn:
    before, after, truth = _made(rng, "gaussian", "box", "binomial", "random blur")
    scale = int(rng.choice([1, 16, 257]))
    before = np.rint(before * 257 + rng.normal(scale=64, size=before.shape)).clip(0, 65535)
    before = before // scale * scale
    after = filtered(before, truth.weights, truth.anchor, truth.border)
    if truth.border == "copy":
        after = _copied(before, after, truth.weights.shape, truth.anchor)
    after = np.rint(after).clip(0, 65535).astype(np.uint16)
    return before.astype(np.uint16), after, replace(truth, exact=True), _size(rng, truth)


def smaller_after(rng: np.random.Generator) -> Drawn:
    """The valid part, or a crop of the filtered image, a little off its centre."""
    before, after, truth = _made(rng, "gaussian", "random", "random blur", "sobel")
    (top, left), (rows, columns) = truth.anchor, truth.weights.shape
    inside = after[top : top + after.shape[0] - rows + 1, left : left + after.shape[1] - columns + 1]
    if rng.random() < 0.5:
        inside = inside[int(rng.integers(0, 4)) :, : inside.shape[1] - int(rng.integers(0, 4))]
    noise = rng.random() < 0.5
    after = inside + (rng.normal(scale=0.5, size=inside.shape) if noise else 0)
    return before, after, replace(truth, anchor=None, border=None, exact=not noise), {}


def moved(rng: np.random.Generator) -> Drawn:
    """Shifts larger than the kernel."""
    before, after, truth = _made(rng, "gaussian", "box", "random blur", "binomial")
    rows, columns = (int(n) for n in rng.integers(-14, 15, 2))
    after = np.roll(after, (rows, columns), (0, 1)) + rng.normal(scale=0.5, size=after.shape)
    anchor = truth.anchor[0] + rows, truth.anchor[1] + columns
    return before, after, replace(truth, anchor=anchor, border=None), {"max_size": 15}


def colour_shared(rng: np.random.Generator) -> Drawn:
    before, weights, anchor, names, rule = _colour(rng)
    after = np.stack([filtered(before[..., c].astype(float), weights, anchor, rule) for c in range(3)], 2)
    return before, levels(after), Truth(weights, anchor, names, rule, exact=True), {"max_size": 11}


def colour_differ(rng: np.random.Generator) -> Drawn:
    """Blur of chroma only, or a kernel of its own for one channel."""
    before, weights, anchor, _, rule = _colour(rng)
    after = before.astype(float)
    for c in (0, 2) if rng.random() < 0.5 else (int(rng.integers(3)),):
        after[..., c] = filtered(after[..., c], weights, anchor, rule)
    return before, levels(after), Truth(None, sharing="differ"), {"max_size": 11}


def colour_mixed(rng: np.random.Generator) -> Drawn:
    """Saturation, sepia, hue: each channel of the after from all of the before."""
    before = _colour(rng)[0]
    grey = np.array([0.299, 0.587, 0.114])
    matrix = rng.uniform(0.2, 0.7) * np.eye(3)
    matrix = matrix + (1 - matrix[0, 0]) * grey if rng.random() < 0.6 else np.roll(np.eye(3), 1, 0) * 0.7 + 0.1
    return before, levels(before @ matrix.T), Truth(None, sharing="mixed"), {"max_size": 11}


def _colour(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, tuple[int, int], tuple[str, ...], str]:
    weights, _, names = kernel(rng, "gaussian", "box", "random blur")
    image = colour_photograph(("china", "flower")[rng.integers(2)])
    while True:
        row, column = (int(rng.integers(0, n - 90)) for n in image.shape[:2])
        piece = image[row : row + 81, column : column + 90]
        if min(piece.reshape(-1, 3).std(axis=0)) > 15 and abs(np.diff(piece.astype(float), axis=2)).mean() > 8:
            break
    return piece, weights, (weights.shape[0] // 2, weights.shape[1] // 2), names, ("reflect", "mirror")[rng.integers(2)]


def _sigma_filter(image: np.ndarray) -> np.ndarray:
    """Return the mean of the neighbours that differ by less than 20 levels: it keeps edges."""
    shifted = [np.roll(image, (a, b), (0, 1)) for a in range(-2, 3) for b in range(-2, 3)]
    near = [np.abs(s - image) < 20 for s in shifted]
    return sum(s * n for s, n in zip(shifted, near)) / sum(near)


NOT_LINEAR: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "median": lambda a, rng: ndi.median_filter(a, int(rng.choice([3, 4, 5]))),
    "maximum": lambda a, rng: ndi.maximum_filter(a, int(rng.choice([2, 3]))),
    "rank": lambda a, rng: ndi.percentile_filter(a, int(rng.choice([25, 80])), 3),
    "edge-preserving": lambda a, rng: np.rint(_sigma_filter(a)),
    "gamma": lambda a, rng: np.rint(255 * (a / 255) ** float(rng.choice([0.45, 0.6, 1.6, 2.2]))),
    "threshold": lambda a, rng: np.where(a > np.median(a), 255.0, 0.0),
    "magnitude": lambda a, rng: np.clip(np.rint(np.hypot(ndi.sobel(a, 0), ndi.sobel(a, 1)) / 4), 0, 255),
    "equalised": lambda a, rng: np.rint(255 * np.searchsorted(np.sort(a.ravel()), a) / a.size),
    "another scene": lambda a, rng: np.rint(ndi.zoom(scene(rng, (60, 60)), [n / 60 for n in a.shape], order=1)),
    "shuffled": lambda a, rng: rng.permutation(a.ravel()).reshape(a.shape),
    "mirrored": lambda a, rng: a[:, ::-1] if rng.random() < 0.5 else a[::-1],
    "rotated": lambda a, rng: ndi.rotate(a, float(rng.uniform(10, 60)), reshape=False, order=1, mode="reflect"),
    "noise": lambda a, rng: rng.normal(128, 30, a.shape),
    "wrapped around": lambda a, rng: np.rint(ndi.laplace(a) * float(rng.choice([1, 2]))) % 256,
    "one half blurred": lambda a, rng: np.where(np.arange(a.shape[1]) < 40, a, np.rint(ndi.gaussian_filter(a, 2))),
    "every other row blurred": lambda a, rng: np.where(np.arange(len(a))[:, None] % 2, a, ndi.uniform_filter(a, 5)),
    "halves moved apart": lambda a, rng: np.hstack([np.roll(a[:, :40], 2, 0), np.roll(a[:, 40:], -3, 0)]),
    "blurred where bright": lambda a, rng: np.rint(np.where(a > 120, ndi.uniform_filter(a, 3), a)),
    "sharpened within the neighbours": lambda a, rng: np.clip(
        2.5 * a - 1.5 * ndi.gaussian_filter(a, 1.5), ndi.minimum_filter(a, 3), ndi.maximum_filter(a, 3)
    ),
    "resized": lambda a, rng: ndi.affine_transform(a, [0.93, 0.95], order=1, mode="nearest"),
    "gentle curve": lambda a, rng: np.rint(255 * (a / 255) ** float(rng.choice([0.93, 1.08]))),
    "curve after blur": lambda a, rng: np.rint(255 * (ndi.gaussian_filter(a, 1) / 255) ** 0.6),
    "linear light": lambda a, rng: 255 * ndi.gaussian_filter((a / 255) ** 2.2, 1.5) ** (1 / 2.2),
}


def not_linear(rng: np.random.Generator) -> Drawn:
    before = scene(rng)
    after = NOT_LINEAR[tuple(NOT_LINEAR)[rng.integers(len(NOT_LINEAR))]](before, rng)
    if rng.random() < 0.7:
        return before.astype(np.uint8), levels(after), Truth(None), {"max_size": 11}
    return before, after, Truth(None), {"max_size": 11}


def not_linear_two_levels(rng: np.random.Generator) -> Drawn:
    """Morphology of a mask."""
    mask = ndi.gaussian_filter(scene(rng), 2)
    mask = mask > np.median(mask)
    function = (ndi.binary_dilation, ndi.binary_erosion, ndi.binary_opening)[rng.integers(3)]
    value = (1, 255)[rng.integers(2)]
    return mask * np.uint8(value), function(mask, np.ones((3, 3))) * np.uint8(value), Truth(None), {"max_size": 7}


# The share of each stratum, in 100 problems.
STRATA: dict[str, tuple[Callable[[np.random.Generator], Drawn], int]] = {
    "exact float": (exact_float, 5),
    "rounding rules": (rounding, 9),
    "8 bits": (eight_bits, 5),
    "16 bits": (sixteen_bits, 3),
    "clipped": (clipped_exact, 5),
    "clipped, then noise": (clipped_noise, 4),
    "white noise, size given": (white_noise, 6),
    "white noise, size unknown": (white_noise_size_unknown, 7),
    "Poisson": (poisson, 4),
    "correlated noise": (correlated_noise, 4),
    "noise in the before": (noisy_before, 4),
    "JPEG": (compressed, 6),
    "outliers": (outliers_exact, 5),
    "outliers, noise": (outliers_noise, 4),
    "gain and offset": (gain_and_offset, 4),
    "constants and units": (scaled, 5),
    "smaller after": (smaller_after, 3),
    "shifted": (moved, 2),
    "colour, shared": (colour_shared, 2),
    "colour, differ": (colour_differ, 1),
    "colour, mixed": (colour_mixed, 1),
    "not linear": (not_linear, 10),
    "mask, not linear": (not_linear_two_levels, 1),
}


@cache
def _order() -> tuple[str, ...]:
    """Return the strata of 100 problems in a row, spread evenly."""
    every = [((i + 0.5) / share, name) for name, (_, share) in STRATA.items() for i in range(share)]
    assert len(every) == 100
    return tuple(name for _, name in sorted(every))


def problem(seed: int) -> Problem:
    """Return the problem of a seed."""
    return problem_of(_order()[seed % 100], seed)


def problem_of(stratum: str, seed: int) -> Problem:
    """Return a problem of a stratum."""
    before, after, truth, arguments = STRATA[stratum][0](np.random.default_rng([seed, 20261129]))
    return Problem(stratum, seed, before, after, truth, {k: v for k, v in arguments.items() if v is not None})


def _on_canvas(arrays: list[tuple[np.ndarray, tuple[int, int], float]]) -> list[np.ndarray]:
    """Return arrays with their anchors on one another, filled up with a value."""
    before = [max(anchor[axis] for _, anchor, _ in arrays) for axis in (0, 1)]
    after = [max(a.shape[axis] - anchor[axis] for a, anchor, _ in arrays) for axis in (0, 1)]
    return [
        np.pad(
            a,
            [(before[i] - anchor[i], after[i] - (a.shape[i] - anchor[i])) for i in (0, 1)],
            constant_values=fill,
        )
        for a, anchor, fill in arrays
    ]


def compared(fit: Any, truth: Truth) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the errors of the weights, their standard errors (0 outside the fit), and the true weights, together."""
    weights, stderr = np.asarray(fit.kernel.weights), np.asarray(fit.stderr)
    places = [truth.anchor] if truth.anchor else _alignments(weights, truth.weights, fit.anchor)
    best = None
    for place in places:
        learned, errors, true = _on_canvas(
            [(weights, fit.anchor, 0.0), (stderr, fit.anchor, 0.0), (truth.weights, place, 0.0)]
        )
        # Tiny and huge units overflow a square.
        error = learned - true
        if best is None or np.abs(error).max() < np.abs(best[0]).max():
            best = error, errors, true
    return best


def _alignments(weights: np.ndarray, true: np.ndarray, anchor: tuple[int, int]) -> list[tuple[int, int]]:
    return [(anchor[0] + a, anchor[1] + b) for a in range(-8, 9) for b in range(-8, 9)]


def bars_declared_approximate(fit: Any) -> bool:
    """Return whether the report says that the standard errors hold only approximately."""
    lines = [line for line in str(fit).splitlines() if line.startswith("errors")]
    return any(re.search(r"may be off|approximate|up to .* times|at least", line) for line in lines)


def _alike(rule: str, truth: Truth) -> bool:
    """Return whether a border rule reads the same pixels as the true one: a pixel beyond the image several do."""
    size, anchor = truth.weights.shape, truth.anchor
    reach = max(max(a, n - 1 - a) for a, n in zip(anchor, size)) if anchor else 99
    return rule == truth.border or ({rule, truth.border} == {"reflect", "nearest"} and reach <= 1)


def score(fit: Any, truth: Truth) -> Score:
    """Return the grade of a fit.

    Right: the weights are within 5 % (of their norm), or within 25 % where the standard errors say so, with the
    verdict that the truth has. Nearly: the weights are within 5 % with wrong errors, within 25 % with errors that are
    said to be rough, or an exact pair is called approximate. Wrong and confident: verdict exact or approximate, and
    weights, name, integers or border are others.
    """
    confident = fit.verdict in ("exact", "approximate")
    none = np.zeros(0, bool)
    if truth.weights is None:
        return _score_nonlinear(fit, truth, confident)
    error, stderr, true = compared(fit, truth)
    scale = np.abs(true).max()
    error, stderr, true = error / scale, stderr / scale, true / scale
    relative = float(np.sqrt((error**2).sum() / (true**2).sum()))
    inside = (stderr > 0) & np.isfinite(stderr)
    covered = none
    if confident and fit.integers is None and inside.any():
        covered = (np.abs(error) <= 1.959964 * stderr + 1e-15)[inside]
    if not confident:
        if fit.name is not None or fit.integers is not None:
            return Score("wrong", f"{fit.verdict} with a name or integers", none, fit.name not in truth.names)
        return Score("honest", f"{fit.verdict} of a linear filter", none)
    wrong_name = fit.name is not None and fit.name not in truth.names
    if wrong_name:
        return Score("wrong", f"name {fit.name!r}, truly {truth.names}", covered, True)
    if fit.verdict == "exact" and truth.exact is False:
        return Score("wrong", "exact of a pair that is not", covered, falsely_exact=True)
    if fit.verdict == "exact" and truth.outliers and not fit.excluded:
        return Score("wrong", f"exact, and {truth.outliers} outliers not counted", covered, falsely_exact=True)
    if fit.integers is not None and relative > 3e-3:
        return Score("wrong", f"integers over {fit.divisor} that are others, by {relative:.2g}", covered)
    z = float((np.abs(error[inside]) / stderr[inside]).max()) if inside.any() else 0.0
    if relative > 0.05:
        honest = z <= 5 or bars_declared_approximate(fit)
        if not honest:
            return Score("wrong", f"weights off by {relative:.2g}, {z:.3g} standard errors", covered)
        rough = relative > 0.25 or bars_declared_approximate(fit)
        if rough or z > 4.5:
            return Score("nearly" if relative <= 0.25 else "honest", f"weights off by {relative:.2g}", covered)
    if fit.boundary is not None and truth.border is not None and not _alike(fit.boundary, truth):
        return Score("wrong", f"border {fit.boundary}, truly {truth.border}", covered)
    if relative > 2e-3 and z > 5 and not bars_declared_approximate(fit):
        return Score("nearly", f"weights off by {relative:.2g}, {z:.3g} standard errors", covered)
    if truth.exact and fit.verdict != "exact" and not truth.outliers:
        return Score("nearly", "an exact pair called approximate", covered)
    return Score("right", "", covered)


def _score_nonlinear(fit: Any, truth: Truth, confident: bool) -> Score:
    """Return the grade of a fit of a pair that no kernel, or no shared kernel, made."""
    none = np.zeros(0, bool)
    named = fit.name is not None and fit.name != "identity"
    if truth.sharing != "shared" and fit.model == {"differ": "separate", "mixed": "mixed"}[truth.sharing]:
        return Score("right", "", none)
    if fit.verdict == "exact":
        return Score("wrong", "exact of a pair that is not", none, named, True)
    if truth.sharing != "shared":
        if "channel" not in str(fit).replace("channels share", "") or (confident and named):
            return Score("wrong", f"{fit.verdict}, and no word that the channels are {truth.sharing}", none, named)
        return Score("right", "", none)
    if named or fit.integers is not None:
        what = f"name {fit.name!r}" if named else f"integers over {fit.divisor}"
        return Score("wrong", f"{fit.verdict} with {what}", none, named)
    if fit.verdict == "not linear":
        return Score("right", "", none)
    if confident and fit.r2 < 0.5:
        return Score("wrong", f"approximate with R² {fit.r2:.3f}", none)
    return Score("honest", f"{fit.verdict} of a filter that is not linear", none)


@dataclass
class Tally:
    """Counts of one stratum."""

    grades: list[str] = field(default_factory=list)
    coverage: list[float] = field(default_factory=list)
    approximate: int = 0
    names: int = 0
    exact: int = 0
    seconds: float = 0.0

    def interval(self) -> tuple[float, float]:
        """Return the mean coverage over problems and its standard error: weights of one problem are not independent."""
        values = np.array(self.coverage)
        return float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size))


def run(problems: list[Problem], learn: Callable[..., Any]) -> tuple[dict[str, Tally], list[tuple[Problem, Score]]]:
    """Return the tally of each stratum, and the problems that were not answered rightly."""
    tallies: dict[str, Tally] = {name: Tally() for name in STRATA}
    failures = []
    for each in problems:
        tally, start = tallies[each.stratum], time.process_time()
        try:
            fit = learn(each.before, each.after, **each.arguments)
            result = score(fit, each.truth)
            approximate = bars_declared_approximate(fit)
        except Exception as error:
            result, approximate = Score("wrong", f"{type(error).__name__}: {error}"[:160], np.zeros(0, bool)), False
        tally.seconds += time.process_time() - start
        tally.grades.append(result.grade)
        tally.names += result.wrong_name
        tally.exact += result.falsely_exact
        tally.approximate += approximate
        if result.covered.size and not approximate:
            tally.coverage.append(float(result.covered.mean()))
        if result.grade != "right":
            failures.append((each, result))
    return tallies, failures


def table(tallies: dict[str, Tally]) -> str:
    """Return the counts as a table in Markdown."""
    lines = [
        "| stratum | problems | right | nearly | wrong, says so | wrong and confident | wrong name | "
        "falsely exact | 95 % intervals cover | errors said to be approximate | CPU ms each |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    whole = Tally()
    for name, tally in tallies.items():
        if tally.grades:
            lines.append(_row(name, tally))
        whole.grades += tally.grades
        whole.names += tally.names
        whole.exact += tally.exact
        whole.approximate += tally.approximate
        whole.seconds += tally.seconds
    return "\n".join([*lines, _row("all", whole)])


def _row(name: str, tally: Tally) -> str:
    counts = [tally.grades.count(grade) for grade in GRADES]
    cover = ""
    if len(tally.coverage) > 1:
        mean, error = tally.interval()
        cover = f"{100 * mean:.1f} ± {100 * error:.1f} % of {len(tally.coverage)}"
    n = len(tally.grades)
    cells = [name, n, *counts, tally.names, tally.exact, cover, tally.approximate, f"{1e3 * tally.seconds / n:.0f}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Print the table, and on stderr what was wrong and confident."""
    import kernelfield as kf

    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    count, first = [*numbers, *(500, 0)[len(numbers) :]]
    tallies, failures = run([problem(seed) for seed in range(first, first + count)], kf.learn)
    for each, result in failures:
        if result.grade == "wrong" or "--all" in sys.argv:
            print(f"{result.grade}: {each.stratum}, seed {each.seed}: {result.why}", file=sys.stderr)
    print(table(tallies))


if __name__ == "__main__":
    main()
