"""JPEG in the after: its quantisation, read from the pixels, and whether a filter and this quantisation explain it.

A decoded JPEG has, in blocks of 8 × 8 pixels, cosine coefficients that are whole multiples of the steps of its table
(ITU-T T.81, A.3.3 and A.3.4), up to the rounding of pixels. Compression moves each coefficient by half a step at
most: a filter that was applied before predicts all coefficients within that, and another does not.
"""

from __future__ import annotations

import numpy as np

from kernelfield.learning.pair import Pair
from kernelfield.learning.residual import Map
from kernelfield.learning.support import Support

_SIDE = 8
# Standard deviation of a coefficient by the rounding of pixels to whole numbers.
_ROUNDING = 1.0 / np.sqrt(12.0)
# Blocks that are looked at, the fewest that tell, and the fewest coefficients other than 0 at one frequency.
_MOST, _FEWEST, _SEEN = 2048, 64, 24
# Frequencies whose step has to be found, and the share of those with enough coefficients. Steps of 1 are not seen.
_STEPS, _SHARE = 6, 0.6
# Cosine of the phase of the coefficients on the lattice, as a share of the expected one, and in standard deviations of
# what chance gives: some thousand steps and frequencies are tried.
_ON_LATTICE, _CHANCE = 0.75, 5.0
# The largest coefficients of a frequency that are tried first, and the share of the phase that they have to show.
_FIRST, _HINT = 32, 0.5
# Standard deviations of rounding beyond half a step, and the share of the coefficients that may lie there.
_BEYOND, _OFF = 3.0, 0.03
# Weights of red, green and blue in the luminance that is coded, and the factors of blue and red less that (ITU-T
# T.871).
_LUMA, _CHROMA = np.array([0.299, 0.587, 0.114]), ((2, 0.564), (0, 0.713))
# The colours are coded for squares of 16 pixels; levels by which the mean of such a square may be off. The step of it
# is 17 eighths of a level at quality 50, and the error half of that.
_SQUARE, _COLOUR_OFF = 16, 1.5


def explains(pair: Pair, support: Support, maps: list[Map]) -> bool:
    """Return whether the after is a decoded JPEG that the filter predicts within its quantisation.

    Parameters
    ----------
    pair : Pair
        Its after begins at the corner of a block. Blocks with excluded pixels are not looked at: only those without a
        value are to be excluded, not outliers, which subsampled colours seem to be.
    support : Support
    maps : list of Map
        Residuals and predictions over the positions of `support`.
    """
    unit = pair.after_unit
    share = _shares(pair)
    if share is None:
        return False
    foreseen = [np.clip(m.predicted * unit.scale + unit.centre, 0.0, 255.0) for m in maps]
    seen = [(m.predicted + m.residual) * unit.scale + unit.centre for m in maps]
    predicted, after = (sum(s * image for s, image in zip(share, images)) for images in (foreseen, seen))
    if after.min() < -0.5 or after.max() > 255.5:
        return False
    rows, columns = support.positions(*pair.shapes)
    inside = tuple(slice(-first % _SIDE, None) for first in (rows.start, columns.start))
    ended = [None if mask is None else mask[rows, columns] for mask in _ended(pair)]
    chosen = _usable([*(plane.excluded(support) for plane in pair.planes), *ended], after.shape, inside)
    if chosen.size < _FEWEST:
        return False
    for which, factor in _CHROMA if len(maps) == 3 else ():
        error = factor * ((seen[which] - after) - (foreseen[which] - predicted))
        means = _blocks(error[inside], _SQUARE).mean(axis=(1, 2))
        if np.mean(np.abs(means) > _COLOUR_OFF) > _OFF:
            return False
    coded = _cosines(_blocks(after[inside])[chosen])
    table = _table(coded)
    if table is None:
        return False
    miss = np.abs(_cosines(_blocks(predicted[inside])[chosen]) - coded)
    # Coefficients that were coded as 0 by a step that is not known say nothing.
    tested = np.isfinite(table) & (np.abs(coded) > np.where(np.isfinite(table), table, 0.0) / 2.0)
    allowed = table / 2.0 + _BEYOND * _ROUNDING * np.sqrt(2.0)
    return bool(tested.sum() >= _FEWEST and (miss > allowed)[tested].mean() < _OFF)


def is_compressed(pair: Pair) -> bool:
    """Return whether the after is a decoded JPEG, from its pixels alone; arguments as in `explains`."""
    share = _shares(pair)
    if share is None:
        return False
    unit = pair.after_unit
    after = sum(s * (plane.after * unit.scale + unit.centre) for s, plane in zip(share, pair.planes))
    if after.min() < -0.5 or after.max() > 255.5:
        return False
    masks = [*(plane.bad_after for plane in pair.planes), *_ended(pair)]
    chosen = _usable(masks, after.shape, (slice(None), slice(None)))
    if chosen.size < _FEWEST:
        return False
    return _table(_cosines(_blocks(after)[chosen])) is not None


def _shares(pair: Pair) -> np.ndarray | None:
    """Return the share of each channel in the luminance; None for pictures that no JPEG of 8 bits gives."""
    if len(pair.planes) not in (1, 3) or abs(pair.step * pair.after_unit.scale - 1.0) > 1e-6:
        return None
    return _LUMA if len(pair.planes) == 3 else np.ones(1)


def _ended(pair: Pair) -> list[np.ndarray | None]:
    """Return the masks of colours at the ends of the range, which decoding clips: it changes the luminance."""
    return [plane.clipped for plane in pair.planes] if len(pair.planes) == 3 else []


def _usable(masks: list[np.ndarray | None], shape: tuple[int, ...], inside: tuple[slice, ...]) -> np.ndarray:
    """Return the numbers of blocks without an excluded pixel, at most `_MOST` of them, spread over the picture."""
    bad = np.zeros(shape, bool)
    for mask in masks:
        if mask is not None:
            bad |= mask
    chosen = np.flatnonzero(~_blocks(bad[inside]).any(axis=(1, 2)))
    return chosen[:: max(1, -(-chosen.size // _MOST))]


def _blocks(image: np.ndarray, side: int = _SIDE) -> np.ndarray:
    """Return the whole blocks of an image, shape (n, side, side)."""
    rows, columns = (n // side for n in image.shape)
    whole = image[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return whole.transpose(0, 2, 1, 3).reshape(-1, side, side)


def _cosines(blocks: np.ndarray) -> np.ndarray:
    """Return the coefficients of blocks of pixels from 0 to 255 (ITU-T T.81, A.3.3)."""
    places, orders = np.arange(_SIDE) + 0.5, np.arange(_SIDE)[:, None]
    basis = np.cos(np.pi * orders * places / _SIDE) * np.sqrt(np.where(orders > 0, 2.0, 1.0) / _SIDE)
    coefficients: np.ndarray = basis @ (blocks - 128.0) @ basis.T
    return coefficients


def _table(coded: np.ndarray) -> np.ndarray | None:
    """Return the steps by frequency, NaN where they are not seen; None where the coefficients lie on no lattice."""
    table = np.full((_SIDE, _SIDE), np.nan)
    steps = np.arange(2, 128)
    # The phase of a coefficient on the lattice is that of its rounding error.
    expected = np.exp(-2.0 * (np.pi * _ROUNDING / steps) ** 2)
    looked = 0
    for u, v in np.ndindex(table.shape):
        values = coded[:, u, v]
        # Those nearer to 0 than half a step say nothing of it.
        if np.count_nonzero(np.abs(values) > 1.5) < _SEEN:
            continue
        looked += 1
        first = values[np.argpartition(np.abs(values), -_FIRST)[-_FIRST:]] if values.size > _FIRST else values
        likely = np.flatnonzero(_phases(first, steps)[0] > _HINT * _ON_LATTICE * expected)
        phase, count = _phases(values, steps[likely])
        least = np.maximum(_ON_LATTICE * expected[likely], _CHANCE / np.sqrt(2.0 * np.maximum(count, 1)))
        found = likely[(phase > least) & (count >= _SEEN)]
        if found.size:
            table[u, v] = steps[found[-1]]
    known = int(np.isfinite(table).sum())
    return table if known >= max(_STEPS, _SHARE * looked) else None


def _phases(values: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cosine of the phase that values have on lattices of some steps, and how many are far from 0."""
    far = np.abs(values)[:, None] > np.maximum(1.5, steps / 2.0)
    count = far.sum(axis=0)
    return (np.cos(2.0 * np.pi * values[:, None] / steps) * far).sum(axis=0) / np.maximum(count, 1), count
