"""JPEG in the after: its quantisation, read from the pixels, and whether a filter and this quantisation explain it.

A decoded JPEG has, in blocks of 8 × 8 pixels, cosine coefficients that are whole multiples of the steps of its table
(ITU-T T.81, A.3.3 and A.3.4), up to the rounding of pixels. Compression moves each coefficient by half a step at
most: a filter that was applied before predicts all coefficients within that, and another does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kernelfield.learning.pair import Pair, Unit
from kernelfield.learning.residual import Map
from kernelfield.learning.support import Support

#: Rows and columns of a block.
SIDE = 8
# Standard deviation of a coefficient by the rounding of pixels to whole numbers.
_ROUNDING = 1.0 / np.sqrt(12.0)
# Blocks that are looked at, the fewest that tell, and the fewest coefficients other than 0 at one frequency.
_MOST, _FEWEST, _SEEN = 2048, 64, 24
# Frequencies whose step has to be found, and the share of those with enough coefficients. Steps of 1 are not seen.
_STEPS, _SHARE = 6, 0.6
# Cosine of the phase of the coefficients on the lattice, as a share of the expected one, and in standard deviations of
# what chance gives: some thousand steps and frequencies are tried.
_ON_LATTICE, _CHANCE = 0.75, 5.0
# Steps above this share of another are no part of it.
_PART_OF = 0.7
# The largest coefficients of a frequency that are tried first, and the share of the phase that they have to show.
_FIRST, _HINT = 32, 0.5
# Standard deviations of rounding beyond half a step, and the share of the coefficients that may lie there.
_BEYOND, _OFF = 3.0, 0.03
# Side of the middle part of a large picture that is looked at for its table.
_PART = 2048
# Places that show where blocks begin, and the size of a coefficient that was coded as 0.
_SHOW, _ZERO = 128, 1.0
# Weights of red, green and blue in the luminance that is coded, and the factors of blue and red less that (ITU-T
# T.871).
_LUMA, _CHROMA = np.array([0.299, 0.587, 0.114]), ((2, 0.564), (0, 0.713))
# The colours are coded for squares of 16 pixels; levels by which the mean of such a square may be off. The step of it
# is 17 eighths of a level at quality 50, and the error half of that.
_SQUARE, _COLOUR_OFF = 16, 1.5
# The fewest squares that tell: those without a colour at an end of the range.
_SQUARES = 8
# The table of luminance at quality 50 (ITU-T T.81, table K.1), from which libjpeg makes those of other qualities.
_FIFTY = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
# Share of the steps that are seen from which on a table is the usual one: some are seen as a half or a double. A
# coefficient larger than rounding of pixels leaves, the share of those that tell a step larger than 1, and a step
# larger than all coefficients.
_ALIKE, _NONZERO, _RARE, _LARGEST = 0.6, 1.5, 0.05, 4096.0


def explains(pair: Pair, support: Support, maps: list[Map], colours: bool = True) -> bool:
    """Return whether the after is a decoded JPEG that the filter predicts within its quantisation.

    Parameters
    ----------
    pair : Pair
        Its after may be a crop. Blocks with excluded pixels are not looked at: only those without a value are to be
        excluded, not outliers, which subsampled colours seem to be.
    support : Support
    maps : list of Map
        Residuals and predictions over the positions of `support`.
    colours : bool
        Whether the colours are to be explained too, and not the brightness alone.
    """
    coding = coding_of(pair)
    if coding is None:
        return False
    unit, share = pair.after_unit, coding.share
    foreseen = [np.clip(m.predicted * unit.scale + unit.centre, 0.0, 255.0) for m in maps]
    seen = [(m.predicted + m.residual) * unit.scale + unit.centre for m in maps]
    predicted, after = (sum(s * image for s, image in zip(share, images)) for images in (foreseen, seen))
    rows, columns = support.positions(*pair.shapes)
    inside = tuple(slice((at - first) % SIDE, None) for at, first in zip(coding.corner, (rows.start, columns.start)))
    ended = [None if mask is None else mask[rows, columns] for mask in _ended(pair)]
    chosen = _usable([*(plane.excluded(support) for plane in pair.planes), *ended], after.shape, inside)
    if chosen.size < _FEWEST:
        return False
    if colours and len(maps) == 3:
        whole = _usable(ended, after.shape, inside, _SQUARE)
        if whole.size < _SQUARES:
            return False
        for which, factor in _CHROMA:
            error = factor * ((seen[which] - after) - (foreseen[which] - predicted))
            means = _blocks(error[inside], whole, _SQUARE).mean(axis=(1, 2))
            if np.mean(np.abs(means) > _COLOUR_OFF) > _OFF:
                return False
    coded, table = _cosines(_blocks(after[inside], chosen)), coding.table
    miss = np.abs(_cosines(_blocks(predicted[inside], chosen)) - coded)
    # Coefficients that were coded as 0 by a step that is not known say nothing.
    tested = np.isfinite(table) & (np.abs(coded) > np.where(np.isfinite(table), table, 0.0) / 2.0)
    allowed = table / 2.0 + _BEYOND * _ROUNDING * np.sqrt(2.0)
    return bool(tested.sum() >= _FEWEST and (miss > allowed)[tested].mean() < _OFF)


def is_compressed(pair: Pair) -> bool:
    """Return whether the after is a decoded JPEG, or a crop of one, from its pixels alone."""
    return coding_of(pair) is not None


def corner(pair: Pair) -> tuple[int, int]:
    """Return where the first block of an after begins that is a JPEG or a crop of one; (0, 0) of others."""
    coding = coding_of(pair)
    return (0, 0) if coding is None else coding.corner


def coded(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> list[np.ndarray]:
    """Return what a JPEG codes of red, green and blue: the luminance, and blue and red less that (ITU-T T.871)."""
    colours = red, green, blue
    luma: np.ndarray = sum(s * image for s, image in zip(_LUMA, colours))
    return [luma, *(factor * (colours[which] - luma) for which, factor in _CHROMA)]


def brightness(planes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the luminance that a JPEG codes of red, green and blue of 8 bits, as it is rounded."""
    values: np.ndarray = np.rint(sum(s * plane for s, plane in zip(_LUMA, planes))).astype(np.uint8)
    return values


@dataclass(frozen=True)
class Coding:
    """How an after was coded.

    Attributes
    ----------
    share : numpy.ndarray
        Of each channel in the luminance.
    corner : (int, int)
        Row and column of the first pixel of the first whole block.
    table : numpy.ndarray, shape (8, 8)
        Steps by frequency, NaN where they are not seen.
    """

    share: np.ndarray
    corner: tuple[int, int]
    table: np.ndarray

    def completed(self, seen: np.ndarray) -> Coding:
        """Return the coding with a step for each frequency, from blocks of the luminance, shape (n, 64).

        Steps that are not seen are those of the usual table of the quality that most of the others have. Of other
        tables few coefficients other than 0 show the size of the step, and many show a step of 1.
        """
        known = np.isfinite(self.table)
        usual = [_usual(quality) for quality in range(1, 101)]
        alike = [float(np.mean(one[known] == self.table[known])) if known.any() else 0.0 for one in usual]
        cosines = _cosines(seen.reshape(-1, SIDE, SIDE))
        sizes = np.abs(cosines)
        if max(alike) > _ALIKE:
            # Of several the one with the coefficients on its lattice.
            best = [table for table, share in zip(usual, alike) if share == max(alike)]
            phases = [float((np.cos(2.0 * np.pi * cosines / one) * (sizes > _NONZERO)).sum()) for one in best]
            return replace(self, table=best[int(np.argmax(phases))])
        table = np.where(known, self.table, 1.0)
        for place in np.argwhere(~known).tolist():
            own = sizes[:, place[0], place[1]]
            some = own[own > _NONZERO]
            if some.size < _RARE * own.size:
                table[tuple(place)] = np.median(some) if some.size else _LARGEST
        return replace(self, table=table)

    def code(self, blocks: np.ndarray) -> np.ndarray:
        """Return blocks of the luminance, shape (n, 64), as they are decoded; every step is known."""
        steps = self.table.ravel()
        cosines = np.rint((blocks - 128.0) @ _BASIS.T / steps) * steps
        decoded: np.ndarray = np.clip(np.rint(cosines @ _BASIS + 128.0), 0.0, 255.0)
        return decoded


def coding_of(pair: Pair) -> Coding | None:
    """Return how the after was coded; None where it is no decoded JPEG."""
    share, unit = _shares(pair), pair.after_unit
    if share is None:
        return None
    part = tuple(slice(start := max(0, (n - _PART) // 2) // SIDE * SIDE, start + _PART) for n in pair.shapes[1])
    images = [plane.after[part] for plane in pair.planes]
    ends = [(float(image.min()), float(image.max())) for image in images if image.dtype != np.uint8]
    if any(low * unit.scale + unit.centre < -0.5 or high * unit.scale + unit.centre > 255.5 for low, high in ends):
        return None
    masks = [None if mask is None else mask[part] for mask in (*(p.bad_after for p in pair.planes), *_ended(pair))]
    seen = _Seen(images, share, unit, _spoilt(masks, images[0].shape, SIDE))
    corner = 0, 0
    table = _table_at(corner, seen)
    if table is None:
        corner = _likely_corner(seen)
        table = None if corner == (0, 0) else _table_at(corner, seen)
    return None if table is None else Coding(share, corner, table)


@dataclass(frozen=True)
class _Seen:
    """The luminance of an after, of which only the blocks that are looked at are computed.

    Attributes
    ----------
    images : list of numpy.ndarray
        The channels.
    share : numpy.ndarray
        Of each in the luminance.
    unit : Unit
    spoilt : numpy.ndarray of bool
        Where blocks begin that have an excluded pixel.
    """

    images: list[np.ndarray]
    share: np.ndarray
    unit: Unit
    spoilt: np.ndarray

    def blocks(self, corner: tuple[int, int], most: int) -> np.ndarray:
        """Return at most so many blocks without an excluded pixel, the first of which may begin at a corner."""
        inside = slice(corner[0], None), slice(corner[1], None)
        chosen = _chosen(self.spoilt, inside, SIDE)
        chosen = chosen[:: max(1, -(-chosen.size // most))]
        return self._of([_blocks(image[inside], chosen) for image in self.images])

    def spots(self, most: int) -> np.ndarray:
        """Return at most so many squares of 15 pixels a side without an excluded one, each with 64 blocks, float32."""
        rows, columns = (max(0, n - 2 * SIDE + 2) for n in self.spoilt.shape)
        last = SIDE - 1
        spoilt = np.zeros((-(-rows // SIDE), -(-columns // SIDE)), bool)
        for down, right in ((0, 0), (0, last), (last, 0), (last, last)):
            spoilt |= self.spoilt[down : down + rows : SIDE, right : right + columns : SIDE]
        tops, lefts = (SIDE * places for places in np.nonzero(~spoilt))
        some = slice(None, None, max(1, -(-tops.size // most)))
        size = 2 * SIDE - 1
        if not tops.size:
            return np.zeros((0, size, size), np.float32)
        views = (np.lib.stride_tricks.sliding_window_view(image, (size, size)) for image in self.images)
        return self._of([view[tops[some], lefts[some]] for view in views]).astype(np.float32)

    def _of(self, parts: list[np.ndarray]) -> np.ndarray:
        """Return the luminance of parts of the channels."""
        scaled = (part * self.unit.scale + self.unit.centre for part in parts)
        luminance: np.ndarray = sum(s * part for s, part in zip(self.share, scaled))
        return luminance


def _table_at(corner: tuple[int, int], seen: _Seen) -> np.ndarray | None:
    """Return the table of an after with the first corner of a block at a place; None if there is none."""
    blocks = seen.blocks(corner, _MOST)
    return None if len(blocks) < _FEWEST else _table(_cosines(blocks))


def _likely_corner(seen: _Seen) -> tuple[int, int]:
    """Return where blocks begin if there are some: there most coefficients are 0 but for the rounding of pixels."""
    spots = seen.spots(_SHOW)
    if not len(spots):
        return 0, 0
    windows = np.lib.stride_tricks.sliding_window_view(spots, (SIDE, SIDE), axis=(1, 2))
    zeros = np.abs(_cosines(windows.reshape(-1, SIDE, SIDE))) < _ZERO
    counts = np.count_nonzero(zeros.reshape(len(spots), SIDE**2, SIDE**2), axis=(0, 2))
    row, column = divmod(int(counts.argmax()), SIDE)
    return row, column


def _shares(pair: Pair) -> np.ndarray | None:
    """Return the share of each channel in the luminance; None for pictures that no JPEG of 8 bits gives."""
    if len(pair.planes) not in (1, 3) or abs(pair.step * pair.after_unit.scale - 1.0) > 1e-6:
        return None
    return _LUMA if len(pair.planes) == 3 else np.ones(1)


def _ended(pair: Pair) -> list[np.ndarray | None]:
    """Return the masks of colours at the ends of the range, which decoding clips: it changes the luminance."""
    return [plane.clipped for plane in pair.planes] if len(pair.planes) == 3 else []


def _usable(
    masks: list[np.ndarray | None], shape: tuple[int, ...], inside: tuple[slice, ...], side: int = SIDE
) -> np.ndarray:
    """Return the numbers of blocks without an excluded pixel, at most `_MOST` of them, spread over the picture."""
    return _chosen(_spoilt(masks, shape, side), inside, side)


def _spoilt(masks: list[np.ndarray | None], shape: tuple[int, ...], side: int) -> np.ndarray:
    """Return where a block of a side, a power of two, begins that has an excluded pixel."""
    bad = np.zeros(shape, bool)
    for mask in masks:
        if mask is not None:
            bad |= mask
    reach = 1
    while reach < side and bad.any():
        # From the pixels of so many rows and columns those of twice as many.
        bad[:-reach] |= bad[reach:]
        bad[:, :-reach] |= bad[:, reach:]
        reach *= 2
    return bad


def _chosen(spoilt: np.ndarray, inside: tuple[slice, ...], side: int) -> np.ndarray:
    """Return the numbers of blocks that are not spoilt, at most `_MOST` of them, spread over the picture."""
    starts = tuple(slice(0, n // side * side, side) for n in spoilt[inside].shape)
    chosen = np.flatnonzero(~spoilt[inside][starts])
    return chosen[:: max(1, -(-chosen.size // _MOST))]


def _blocks(image: np.ndarray, chosen: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Return blocks of an image by their numbers, row by row, shape (n, side, side)."""
    if not chosen.size:
        return np.zeros((0, side, side))
    rows, columns = np.divmod(chosen, image.shape[1] // side)
    windows = np.lib.stride_tricks.sliding_window_view(image, (side, side))
    blocks: np.ndarray = windows[rows * side, columns * side]
    return blocks


def _usual(quality: int) -> np.ndarray:
    """Return the table of luminance of libjpeg at a quality from 1 to 100."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    table: np.ndarray = np.clip((_FIFTY * scale + 50) // 100, 1, 255).astype(np.float64)
    return table


def _basis() -> np.ndarray:
    """Return the matrix from the pixels of a block to its coefficients (ITU-T T.81, A.3.3)."""
    places, orders = np.arange(SIDE) + 0.5, np.arange(SIDE)[:, None]
    line = np.cos(np.pi * orders * places / SIDE) * np.sqrt(np.where(orders > 0, 2.0, 1.0) / SIDE)
    return np.kron(line, line)


_BASIS = _basis()


def _cosines(blocks: np.ndarray) -> np.ndarray:
    """Return the coefficients of blocks of pixels from 0 to 255 (ITU-T T.81, A.3.3)."""
    flat: np.ndarray = (blocks.reshape(-1, SIDE * SIDE) - blocks.dtype.type(128)) @ _BASIS.T.astype(blocks.dtype)
    return flat.reshape(blocks.shape)


def _table(coded: np.ndarray) -> np.ndarray | None:
    """Return the steps by frequency, NaN where they are not seen; None where the coefficients lie on no lattice."""
    table = np.full((SIDE, SIDE), np.nan)
    steps = np.arange(2, 128)
    # The phase of a coefficient on the lattice is that of its rounding error.
    expected = np.exp(-2.0 * (np.pi * _ROUNDING / steps) ** 2)
    # Those nearer to 0 than half a step say nothing of it.
    looked = np.argwhere(np.count_nonzero(np.abs(coded) > 1.5, axis=0) >= _SEEN).tolist()
    missing = len(looked) - max(_STEPS, _SHARE * len(looked))
    for u, v in looked:
        if missing < 0:
            return None
        values = coded[:, u, v]
        first = values[np.argpartition(np.abs(values), -_FIRST)[-_FIRST:]] if values.size > _FIRST else values
        likely = np.flatnonzero(_phases(first, steps)[0] > _HINT * _ON_LATTICE * expected)
        phase, count = _phases(values, steps[likely])
        least = np.maximum(_ON_LATTICE * expected[likely], _CHANCE / np.sqrt(2.0 * np.maximum(count, 1)))
        found = likely[(phase > least) & (count >= _SEEN)]
        if found.size:
            # The largest, of which the others are parts; near it the one with the coefficients on its lattice.
            near = (phase > least) & (count >= _SEEN) & (steps[likely] > _PART_OF * steps[found[-1]])
            table[u, v] = steps[likely[near][np.argmax(phase[near])]]
        else:
            missing -= 1
    return table if missing >= 0 else None


def _phases(values: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cosine of the phase that values have on lattices of some steps, and how many are far from 0."""
    far = np.abs(values)[:, None] > np.maximum(1.5, steps / 2.0)
    count = far.sum(axis=0)
    return (np.cos(2.0 * np.pi * values[:, None] / steps) * far).sum(axis=0) / np.maximum(count, 1), count
