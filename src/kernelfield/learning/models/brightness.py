"""One kernel for all channels, learned from the brightness, where the colours were coded coarsely.

JPEG and other codecs keep colours for squares of pixels, often four together (ITU-T T.871): what that leaves follows no
kernel, and looks as if channels mixed. Of squares of many pixels they keep the mean, and the brightness is not touched.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernelfield.correlation import correlate
from kernelfield.learning import jpeg
from kernelfield.learning.fit import Fit
from kernelfield.learning.learner import learned
from kernelfield.learning.models.encoded import support_of
from kernelfield.learning.models.model import Asked
from kernelfield.learning.pair import Pair, prepare
from kernelfield.learning.residual import residual_maps

# Side of the squares of which the mean colour is kept, and the fewest that tell.
_SQUARE, _FEWEST = 16, 12
# The largest entry, beside 1 or 0, of the matrix from foreseen mean colours to those of the after, and standard errors.
_MATRIX, _ERRORS = 0.03, 4.0
# The largest share of the residual of the brightness that colours may explain: 0.006 at most was seen after coding, and
# 0.14 and more where one colour alone was filtered; pixels for that, at most and at least.
_COLOURED, _SOME, _FEW = 0.03, 1 << 15, 100
# The share of what coding leaves of the colours that detail of the brightness explains beside the colours themselves,
# and the square of it in standard errors, from which on channels differ. Over 84 pairs of one kernel for all (nine
# filters, seven photographs, JPEG at 75 to 95, WebP) one of a photograph that is mostly calm exceeded both, by far;
# over 30 with channels that differ 28 did, and of the other two the coding had left no detail of the colours. The
# limits were chosen on these; of pairs kept apart 0 of 25 and 17 of 20 exceeded both.
_DETAILED, _CERTAIN = 0.025, 20.0


def fit_brightness(pair: Pair, asked: Asked, coded: bool) -> Fit | None:
    """Return one kernel for all channels, learned from the brightness; None where that does not give the after.

    `coded` is whether the after has to be a JPEG whose quantisation explains what is left; otherwise the mean colours
    of squares are to be those foreseen, and the brightness not to depend on the colours.
    """
    if len(pair.planes) != 3 or {plane.before.dtype for plane in pair.planes} != {np.dtype(np.uint8)}:
        return None
    if pair.planes[0].after.dtype != np.uint8 or (coded and not jpeg.is_compressed(pair)):
        return None
    before, after = (jpeg.brightness([getattr(plane, which) for plane in pair.planes]) for which in ("before", "after"))
    # Decoding clips colours, which changes the brightness.
    bad = np.zeros(after.shape, bool)
    for plane in pair.planes:
        for mask in (plane.clipped, plane.bad_after):
            if mask is not None:
                bad |= mask
    if bad.all():
        return None
    grey = prepare(before, np.ma.array(after, mask=bad), asked.mask, asked.clip, None)
    fit = learned(grey, asked.size, asked.max_size, asked.noise)
    if fit.verdict not in ("exact", "approximate"):
        return None
    support, offset = support_of(fit, pair), float(np.ravel(fit.offset)[0])
    maps = residual_maps(pair, fit.kernel.weights, (offset,) * 3, support)
    foreseen = jpeg.coded(*(np.clip(part.predicted, 0.0, 255.0) for part in maps))
    seen = jpeg.coded(*(part.predicted + part.residual for part in maps))
    positions = support.positions(*pair.shapes)
    good = ~bad[positions]
    if _is_coloured(seen[0] - foreseen[0], foreseen[1:], good) or _is_detailed(
        foreseen, seen, jpeg.coded(*(plane.before[positions] for plane in pair.planes))[1:], good
    ):
        return None
    how = "the colours were coded coarsely, as JPEG does"
    if not jpeg.explains(pair, support, maps):
        if coded or not _same_means(foreseen, seen):
            return None
        # Of colours at the ends of the range nothing is known, but the brightness of a JPEG has to be explained.
        if jpeg.is_compressed(pair) and not jpeg.explains(pair, support, maps, colours=False):
            return None
        how = "the colours were coded coarsely, or blurred"
    text = fit.explanation if fit.verdict == "approximate" else "the filter explains all but the rounding of colours"
    return replace(
        fit,
        verdict="approximate",
        explanation=f"{how}: learned from the brightness, of which {text}",
        channels=("0", "1", "2"),
        offset=(offset,) * 3,
        integers=None,
        divisor=None,
        gain=1.0,
        rounding=None,
    )


def _same_means(foreseen: list[np.ndarray], seen: list[np.ndarray]) -> bool:
    """Return whether the mean colours of squares are those foreseen: the matrix between them is that of no change."""
    before, after = (np.stack([_means(image) for image in images]) for images in (foreseen, seen))
    if before.shape[1] < _FEWEST:
        return False
    terms = np.vstack([before - before.mean(axis=1, keepdims=True), np.ones(before.shape[1])])
    inverse = np.linalg.pinv(terms @ terms.T)
    matrix = after @ terms.T @ inverse
    left = ((after - matrix @ terms) ** 2).sum(axis=1) / max(1, terms.shape[1] - 4)
    error = np.sqrt(np.outer(left, np.diag(inverse)))[:, :3]
    return bool((np.abs(matrix[:, :3] - np.eye(3)) <= np.maximum(_MATRIX, _ERRORS * error)).all())


def _is_coloured(residual: np.ndarray, colours: list[np.ndarray], good: np.ndarray) -> bool:
    """Return whether the residual of the brightness depends on the colours, as it does where these were filtered apart.

    `good` are the positions without a colour at an end of the range.
    """
    keep = _some(good)
    if keep.size < _FEW:
        return True
    x = _centred([_box(image, side) for image in colours for side in (1, 3, 9)], keep)
    y = _centred([residual], keep)[0]
    found = np.linalg.lstsq(x @ x.T, x @ y, rcond=1e-10)[0]
    return bool(found @ (x @ y) > _COLOURED * (y @ y))


def _is_detailed(
    foreseen: list[np.ndarray], seen: list[np.ndarray], unfiltered: list[np.ndarray], good: np.ndarray
) -> bool:
    """Return whether colours depend on detail of the brightness: coding takes detail of colours by itself alone.

    One channel that was blurred leaves its detail in the differences of the others from it. `unfiltered` are the
    colours of the before: where the brightness alone was filtered they are those of the after.
    """
    keep = _some(good)
    if keep.size < _FEW:
        return True
    rows, columns = np.divmod(keep, good.shape[1])
    squares = np.unique(rows // _SQUARE * good.shape[1] + columns // _SQUARE, return_inverse=True)[1]
    known = [_box(image, side) for image in foreseen[1:] for side in (1, 3, 5, 9, 17)]
    colours = _centred(known + [_box(image, side) for image in unfiltered for side in (1, 3)], keep)
    near, far = (_box(foreseen[0], side) for side in (3, 9))
    inverse = np.linalg.pinv(colours @ colours.T, hermitian=True)
    found = _centred([foreseen[0] - near, near - far, seen[1] - foreseen[1], seen[2] - foreseen[2]], keep)
    found -= (found @ colours.T @ inverse) @ colours
    detail, products = found[:2], np.linalg.pinv(found[:2] @ found[:2].T, hermitian=True)
    for residual in found[2:]:
        weights = products @ (detail @ residual)
        share = float(weights @ (detail @ residual)) / max(float(residual @ residual), 1e-300)
        # Residuals of one square are coded together: their sums are independent.
        left = residual - weights @ detail
        scores = np.stack([np.bincount(squares, line * left) for line in detail])
        spread = products @ (scores @ scores.T) @ products
        if share > _DETAILED and weights @ np.linalg.pinv(spread, hermitian=True) @ weights > _CERTAIN:
            return True
    return False


def _some(good: np.ndarray) -> np.ndarray:
    """Return the numbers of some of the positions that are good, spread over the picture."""
    every = max(1, good.size // _SOME) | 1
    kept = np.arange(0, good.size, every)
    chosen: np.ndarray = kept[good.ravel()[kept]]
    return chosen


def _centred(images: list[np.ndarray], keep: np.ndarray) -> np.ndarray:
    """Return some pixels of images, less their means, a row for each image."""
    values = np.stack([image.ravel()[keep] for image in images])
    values -= values.mean(axis=1, keepdims=True)
    return values


def _box(image: np.ndarray, side: int) -> np.ndarray:
    """Return the means of the squares about each pixel."""
    if side == 1:
        return image
    return np.asarray(correlate(image, np.full((side, side), 1.0 / side**2), boundary="reflect"))


def _means(image: np.ndarray) -> np.ndarray:
    """Return the means of the squares of an image."""
    rows, columns = (n // _SQUARE for n in image.shape)
    whole = image[: rows * _SQUARE, : columns * _SQUARE].reshape(rows, _SQUARE, columns, _SQUARE)
    means: np.ndarray = whole.mean(axis=(1, 3)).ravel()
    return means
