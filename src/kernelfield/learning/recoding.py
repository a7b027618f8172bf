"""Weights from an after that was coded as JPEG: those whose own coded prediction would give what the after gives.

Quantisation takes detail from the after, most where a filter leaves little: least squares then finds a smoother kernel.
The prediction is coded with the steps of the after, and the weights are moved until what is left is uncorrelated with
the before (indirect inference: Gouriéroux, Monfort and Renault, *Journal of Applied Econometrics* 8, S85, 1993). How
much of a change of the weights survives the coding is measured; where nothing does they stay those of least squares,
and their errors say so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelfield.correlation import correlate
from kernelfield.learning import jpeg
from kernelfield.learning.pair import Pair
from kernelfield.learning.support import Support

# The most weights, and the blocks in the middle of the pair that are coded: at most, to measure what survives, and at
# least.
_WEIGHTS, _BLOCKS, _FOR_CHANGES, _FEWEST = 121, 1600, 400, 64
# Steps, and those of them before which is measured what survives; levels by which a prediction is changed for that.
_STEPS, _MEASURED, _CHANGE = 6, (0, 2, 4), 2.0
# Standard deviation of the correction of a weight of which the coding tells nothing, over the largest weight: the root
# mean square of it was 0.004 to 0.24 over 90 sharpenings, blurs, reliefs and unsharp masks at qualities 75 to 95.
_PRIOR = 0.15
# The residual may grow by this factor with a step: it is that of rounded numbers. And that of a smaller
# support; rings that are added to one at most.
_STILL, _SAME, _RINGS = 1.0005, 1.02, 3


@dataclass(frozen=True)
class Recoded:
    """Weights corrected for the coding of the after.

    Attributes
    ----------
    kernel, stderr : numpy.ndarray, shape (kh, kw)
    offsets : tuple of float
    left : float
        Standard deviation of what the coded prediction leaves of the brightness.
    """

    kernel: np.ndarray
    stderr: np.ndarray
    offsets: tuple[float, ...]
    left: float


def recode(pair: Pair, support: Support, kernel: np.ndarray, offsets: tuple[float, ...]) -> Recoded | None:
    """Return the weights of a pair, corrected for the coding of its after.

    None where the after is no JPEG, or too few blocks or too many weights are known of it.

    Parameters
    ----------
    pair : Pair
        Without the pixels that do not count; before and after have one size.
    support : Support
    kernel, offsets : numpy.ndarray, tuple of float
        Of least squares, offsets by channel.
    """
    if kernel.size > _WEIGHTS or not pair.same_size or pair.weight_unit <= 0.0:
        return None
    blocks = _Blocks.of(pair, support)
    if blocks is None:
        return None
    gain, before, after = pair.weight_unit, pair.before_unit, pair.after_unit
    first = kernel.ravel() * gain
    shift = before.centre * float(first.sum())
    values, levels = first, np.array([o * after.scale + after.centre - shift for o in offsets])
    prior = np.eye(first.size) / (_PRIOR * float(np.abs(first).max())) ** 2
    state = _State.of(blocks, values, levels)
    survives = np.eye(first.size)
    for step in range(_STEPS):
        if step in _MEASURED:
            survives = blocks.survives(state.predicted)
        known = survives.T @ state.precision
        change = np.linalg.solve(known @ survives + prior, known @ state.change - prior @ (values - first))
        for share in (1.0, 0.5, 0.25):
            moved = values + share * change
            moved_levels = levels + state.mean - share * float(change @ blocks.mean)
            other = _State.of(blocks, moved, moved_levels)
            if other.sd < _STILL * state.sd:
                break
        else:
            break
        values, levels, state = moved, moved_levels, other
    spread = np.linalg.inv(survives.T @ state.precision @ survives + prior)
    shift = before.centre * float(values.sum())
    return Recoded(
        (values / gain).reshape(support.size),
        np.sqrt(np.diag(spread)).reshape(support.size) / gain,
        tuple(float((level + shift - after.centre) / after.scale) for level in levels),
        state.sd,
    )


@dataclass(frozen=True)
class _Blocks:
    """Whole blocks of the after that count, with the pixels of the before below each of their windows.

    Attributes
    ----------
    windows : numpy.ndarray, shape (n, 64, p)
        Of the luminance of the before, less their means.
    mean : numpy.ndarray, shape (p,)
    inverse : numpy.ndarray, shape (p, p)
        Of the products of the windows.
    seen : numpy.ndarray, shape (n, 64)
        The luminance of the after.
    colours : list of numpy.ndarray
        The before of each channel, with the halo of the support.
    chosen : numpy.ndarray of bool
        The blocks that count, of all in the rectangle.
    shape : (int, int)
        Blocks down and across of the rectangle.
    size : (int, int)
        Of the kernel.
    coding : jpeg.Coding
    """

    windows: np.ndarray
    mean: np.ndarray
    inverse: np.ndarray
    seen: np.ndarray
    colours: list[np.ndarray]
    chosen: np.ndarray
    shape: tuple[int, int]
    size: tuple[int, int]
    coding: jpeg.Coding

    @classmethod
    def of(cls, pair: Pair, support: Support) -> _Blocks | None:
        """Return the blocks in the middle of a pair; None if they are few, or no blocks of a JPEG."""
        coding = jpeg.coding_of(pair)
        if coding is None:
            return None
        spans, most = [], int(np.sqrt(_BLOCKS))
        places = support.positions(*pair.shapes)
        for span, first in zip(places, coding.corner):
            start = span.start + (first - span.start) % jpeg.SIDE
            count = (span.stop - start) // jpeg.SIDE
            start += jpeg.SIDE * max(0, (count - most) // 2)
            spans.append((start, min(count, most)))
        (top, down), (left, across) = spans
        if min(down, across) < 1:
            return None
        rows, columns = slice(top, top + jpeg.SIDE * down), slice(left, left + jpeg.SIDE * across)
        bad = np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
        inside = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip((rows, columns), places))
        for plane in pair.planes:
            excluded = plane.excluded(support)
            if excluded is not None:
                bad |= excluded[inside]
            if plane.clipped is not None and len(pair.planes) > 1:
                # Decoded colours that are clipped change the luminance.
                bad |= plane.clipped[rows, columns]
        chosen = np.logical_not(_split(bad, (down, across)).any(axis=1))
        if np.count_nonzero(chosen) < _FEWEST:
            return None
        before, after = pair.before_unit, pair.after_unit
        colours = [
            plane.before[support.windows((rows, columns))] * before.scale + before.centre for plane in pair.planes
        ]
        afters = (plane.after[rows, columns] * after.scale + after.centre for plane in pair.planes)
        seen = _split(sum(s * image for s, image in zip(coding.share, afters)), (down, across))[chosen]
        luma = np.asarray(sum(s * image for s, image in zip(coding.share, colours)))
        views = np.lib.stride_tricks.sliding_window_view(luma, bad.shape)
        windows = np.stack([_split(view, (down, across))[chosen] for view in views.reshape(-1, *bad.shape)], axis=2)
        mean = windows.reshape(-1, windows.shape[2]).mean(axis=0)
        windows -= mean
        flat = windows.reshape(-1, windows.shape[2])
        try:
            inverse = np.linalg.inv(flat.T @ flat)
        except np.linalg.LinAlgError:
            return None
        return cls(windows, mean, inverse, seen, colours, chosen, (down, across), support.size, coding.completed(seen))

    def predicted(self, values: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """Return the luminance that weights and offsets predict, from colours rounded and clipped to 8 bits."""
        total = 0.0
        for share, image, level in zip(self.coding.share, self.colours, levels):
            one = correlate(image, values.reshape(self.size), mode="valid", dtype=np.float64) + level
            total = total + share * np.clip(np.rint(one), 0.0, 255.0)
        parts: np.ndarray = _split(np.asarray(total), self.shape)[self.chosen]
        return parts

    def survives(self, predicted: np.ndarray) -> np.ndarray:
        """Return the matrix from changes of the weights to those that least squares finds after coding."""
        some = slice(None, None, max(1, -(-len(predicted) // _FOR_CHANGES)))
        windows, image = self.windows[some], predicted[some]
        flat = windows.reshape(-1, windows.shape[2])
        gram = flat.T @ flat + 1e-9 * np.trace(self.inverse) ** -1 * np.eye(flat.shape[1])
        products = np.empty_like(gram)
        for number, sd in enumerate(np.sqrt(np.maximum(np.diag(gram) / len(flat), 1e-12))):
            change = windows[:, :, number] * (_CHANGE / sd)
            coded = (self.coding.code(image + change) - self.coding.code(image - change)) * (sd / _CHANGE / 2.0)
            products[:, number] = flat.T @ (coded - coded.mean()).ravel()
        matrix: np.ndarray = np.linalg.solve(gram, products)
        return matrix


def _split(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the blocks of an image, row by row, shape (n, 64)."""
    side = jpeg.SIDE
    parts = image.reshape(shape[0], side, shape[1], side).swapaxes(1, 2)
    return parts.reshape(-1, side * side)


@dataclass(frozen=True)
class _State:
    """What is left of the after by some weights.

    Attributes
    ----------
    predicted : numpy.ndarray, shape (n, 64)
        Before coding.
    mean, sd : float
        Of the after less the coded prediction.
    change : numpy.ndarray, shape (p,)
        The weights that least squares finds in that.
    precision : numpy.ndarray, shape (p, p)
        The inverse of their covariance, from scores summed over blocks.
    """

    predicted: np.ndarray
    mean: float
    sd: float
    change: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, blocks: _Blocks, values: np.ndarray, levels: np.ndarray) -> _State:
        """Return the state of weights and offsets by channel."""
        predicted = blocks.predicted(values, levels)
        left = blocks.seen - blocks.coding.code(predicted)
        mean = float(left.mean())
        left = left - mean
        scores = np.matmul(left[:, None, :], blocks.windows)[:, 0]
        covariance = blocks.inverse @ (scores.T @ scores) @ blocks.inverse
        floor = 1e-9 * max(float(np.trace(covariance)) / len(covariance), 1e-24) * np.eye(len(covariance))
        precision = np.linalg.inv(covariance + floor)
        return cls(predicted, mean, float(left.std()), blocks.inverse @ scores.sum(axis=0), precision)


def best_recoded(
    pair: Pair, support: Support, core: Support | None, kernel: np.ndarray, offsets: tuple[float, ...]
) -> tuple[Support, Recoded] | None:
    """Return the support whose coded prediction leaves least, and its weights; None where coding is not known.

    What was learned without coding may have weights around the kernel that coding made, or lack those that it took.

    Parameters
    ----------
    core : Support or None
        The middle of `support` that may be all of it.
    kernel, offsets : numpy.ndarray, tuple of float
        Of least squares.
    """
    found = recode(pair, support, kernel, offsets)
    if found is None:
        return None
    if core is not None and core != support:
        top, left = core.top - support.top, core.left - support.left
        part = found.kernel[top : top + core.rows, left : left + core.columns]
        other = recode(pair, core, part, found.offsets)
        if other is not None and other.left < _SAME * found.left:
            return core, other
    for _ in range(_RINGS):
        wider = Support(support.top - 1, support.left - 1, support.rows + 2, support.columns + 2)
        other = recode(pair, wider, np.pad(found.kernel, 1), found.offsets)
        if other is None or other.left * _SAME > found.left:
            break
        support, found = wider, other
    return support, found
