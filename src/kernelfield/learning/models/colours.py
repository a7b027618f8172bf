"""Changes of colours that no matrix gives: pixels of one colour become pixels of one other, wherever they lie.

Hue and saturation in HSV, lightness in Lab, curves and tables of colours are such. A filter that reads neighbours gives
pixels of one colour different results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from kernelfield.learning.dependence import bends
from kernelfield.learning.models.bank import part_of_task
from kernelfield.learning.models.joint import Task

# Pixels that are compared, the fewest of them with a colour that comes again, and the share of the variance a matrix
# leaves that may be left between pixels of one colour. Changes of single pixels leave none. Of 25 filters, each of nine
# pictures, all left 0.057 or more, but blurs of sigma 0.6 and less that a change of colours followed: 0 to 0.027.
# And the share of the variance a matrix leaves of all pixels that it leaves of them at least: 0.15 with those filters.
_PART, _FEWEST, _SAME, _THERE = 1 << 18, 200, 0.05, 0.1
# Colours of a palette at most, and how many times as many the before has.
_PALETTE, _RICHER = 256, 4
_COLOURS = (
    "a change of each pixel's colour by itself that no matrix gives: hue or saturation as of HSV, lightness as of Lab, "
    "curves, or a table of colours"
)


@dataclass(frozen=True)
class Change:
    """A change of single pixels.

    Attributes
    ----------
    kind : {"matrix", "curve", "curves", "colours"}
        A matrix, which is a kernel of one pixel; one curve for all channels, one each, or another change of colours.
    phrase : str
    """

    kind: Literal["matrix", "curve", "curves", "colours"]
    phrase: str


def looks_like(task: Task) -> Change | None:
    """Return the change of single pixels that explains the pair, where one does."""
    part = part_of_task(task, _PART)
    good = np.ones(part.sources[0].shape, bool)
    for plane in part.targets:
        for mask in (plane.bad_before, plane.bad_after, plane.clipped):
            if mask is not None and not mask.all():
                good &= ~mask
    before = np.stack([one[good] for one in part.sources], axis=1)
    after = np.stack([plane.after[good] for plane in part.targets], axis=1).astype(np.float64)
    if len(before) < _FEWEST:
        return None
    design = np.c_[before.astype(np.float64) - before.mean(axis=0), np.ones(len(before))]
    left = after - design @ np.linalg.lstsq(design, after, rcond=None)[0]
    if not bends(before, left, max(part.pair.step**2 / 12.0, 1e-12 * after.var())):
        return Change("matrix", "a matrix of channels") if _alike(before, after, left) else None
    colours = len(np.unique(after, axis=0))
    grey = bool((np.ptp(after - after[:, :1], axis=0) == 0.0).all())
    if not grey and colours <= _PALETTE and len(np.unique(before, axis=0)) > _RICHER * colours:
        return Change("colours", f"a palette (the after has {colours} colours)")
    same = before.shape[1] == after.shape[1]
    columns = [slice(i, i + 1) for i in range(after.shape[1])]
    if same and all(_alike(before[:, one], after[:, one], left[:, one]) for one in columns):
        if _alike(*(values.reshape(-1, 1) for values in (before, after, left))):
            return Change("curve", "a tone curve (learn with curve='auto')")
        return Change("curves", "a tone curve of its own in each channel (learn each with curve='auto')")
    if _alike(before, after, left):
        return Change("colours", _COLOURS)
    return None


def _alike(before: np.ndarray, after: np.ndarray, left: np.ndarray) -> bool:
    """Return whether pixels that are the same before are the same after, beside what a matrix leaves of them."""
    order = np.lexsort(before.T)
    same = (np.diff(before[order], axis=0) == 0).all(axis=1)
    if np.count_nonzero(same) < _FEWEST:
        return False
    pairs = order[:-1][same], order[1:][same]
    apart = (np.diff([after[one] for one in pairs], axis=0)[0] ** 2).mean() / 2.0
    near = float(np.mean([(left[one] ** 2).mean() for one in pairs]))
    # Colours that come again in calm parts alone tell nothing: a blur changes little there.
    return bool(apart < _SAME * near and near > _THERE * (left**2).mean())
