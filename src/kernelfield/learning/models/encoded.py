"""The residual and the verdict, in stored numbers, of a fit that was made in others: of light, or before a curve."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kernelfield.learning.alternatives import measure_signs
from kernelfield.learning.filtering import apply
from kernelfield.learning.models.model import Asked
from kernelfield.learning.pair import Pair, as_image, channels, prepare
from kernelfield.learning.residual import Map, contrast
from kernelfield.learning.support import Support
from kernelfield.learning.verdict import Evidence, explain, judge

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit

# Standard deviation of the residual over that of rounding of a curve whose every pixel is within a step.
_SLACK = 0.01


@dataclass(frozen=True)
class Stored:
    """The residual of a fit in stored numbers.

    Attributes
    ----------
    maps : list of Map
        One for each channel, over the positions with their windows inside.
    sd, r2, largest : float
        Root mean square, share of the variance that is explained, and largest residual.
    count : int
        Pixels that count.
    pair : Pair
        Of stored numbers.
    """

    maps: list[Map]
    sd: float
    r2: float
    largest: float
    count: int
    pair: Pair


def stored_residual(fit: Fit, asked: Asked) -> Stored:
    """Return the residual of a fit that is applied to the before as it was given."""
    pair = prepare(asked.before, asked.after, asked.mask, asked.clip, asked.channel_axis, mixed=True)
    before, _ = as_image(asked.before, "before")
    image = np.stack([plane.astype(np.float64) for plane in channels(before, "before", asked.channel_axis)], axis=2)
    result = apply(fit, image if image.shape[2] > 1 else image[..., 0], dtype=np.float64).pixels
    values = [result] if result.ndim == 2 else list(np.moveaxis(result, 2, 0))
    support = support_of(fit, pair)
    rows, columns = support.positions(*pair.shapes)
    down, right = support.top + fit.anchor[0], support.left + fit.anchor[1]
    maps, square, total, largest, count = [], 0.0, 0.0, 0.0, 0
    for plane, value in zip(pair.planes, values):
        after = plane.after[rows, columns].astype(np.float64) * pair.after_unit.scale + pair.after_unit.centre
        predicted = value[down:, right:][rows, columns]
        bad = np.zeros(after.shape, bool) | ~np.isfinite(predicted)
        for mask in (plane.excluded(support), None if plane.clipped is None else plane.clipped[rows, columns]):
            bad = bad if mask is None else bad | mask
        residual = np.where(bad, 0.0, after - np.where(bad, 0.0, predicted))
        good = ~bad
        square += float((residual**2).sum())
        total += float(((after[good] - after[good].mean()) ** 2).sum()) if good.any() else 0.0
        largest, count = max(largest, float(np.abs(residual).max())), count + int(good.sum())
        windows = plane.before[support.windows((rows, columns))]
        maps.append(Map(predicted, residual, contrast(windows, after.shape, support), bad if bad.any() else None))
    r2 = 1.0 if total == 0.0 else float(np.clip(1.0 - square / total, 0.0, 1.0))
    return Stored(maps, float(np.sqrt(square / max(1, count))), r2, largest, count, pair)


def support_of(fit: Fit, pair: Pair) -> Support:
    """Return the offsets from pixels of the after to those of the before that a fit reads."""
    row, column = fit.anchor
    if pair.same_size or fit.stride != (1, 1):
        return Support(-row, -column, *fit.size)
    # A smaller after is a crop, or lies over the pixels whose windows are inside the before.
    down, right = fit.frame or fit.anchor
    return Support(down - row, right - column, *fit.size)


def judged(fit: Fit, stored: Stored, parameters: int) -> Fit:
    """Return a fit with verdict, explanation and residual in stored numbers; `parameters` are its free numbers."""
    pair = stored.pair
    step = pair.step * pair.after_unit.scale
    exact = fit.verdict == "exact" if step == 0.0 else stored.largest <= (0.5 + _SLACK) * step
    signs = None if exact else measure_signs(_plain(pair), stored.maps, _neighbours(stored.maps))
    complete = fit.verdict != "undetermined"
    evidence = Evidence(exact, complete, stored.sd, step, stored.r2, parameters, stored.count, 0, signs)
    verdict = judge(evidence)
    return replace(
        fit,
        verdict=verdict,
        explanation=explain(verdict, evidence),
        residual_sd=stored.sd,
        r2=stored.r2,
        rounding="nearest" if exact and step > 0.0 else None,
        errors_note="" if exact else fit.errors_note,
    )


def _plain(pair: Pair) -> Pair:
    """Return the pair in the units of the images, in which the residual is."""
    return replace(pair, step=pair.step * pair.after_unit.scale)


def _neighbours(maps: list[Map]) -> float:
    """Return the correlation of neighbouring residuals, the larger of the two directions."""
    along = down = square = 0.0
    for part in maps:
        along += float((part.residual[:, 1:] * part.residual[:, :-1]).sum())
        down += float((part.residual[1:] * part.residual[:-1]).sum())
        square += float((part.residual**2).sum())
    return max(along, down, key=abs) / square if square > 0.0 else 0.0
