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
    if _is_coloured(seen[0] - foreseen[0], foreseen[1:], ~bad[support.positions(*pair.shapes)]):
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
    every = max(1, good.size // _SOME) | 1
    keep = good.ravel()[::every]
    y = residual.ravel()[::every][keep]
    if y.size < _FEW:
        return True
    features = []
    for image in colours:
        for box in (1, 3, 9):
            mean = correlate(image, np.full((box, box), 1.0 / box**2), boundary="reflect") if box > 1 else image
            features.append(mean.ravel()[::every][keep])
    x, y = np.stack([feature - feature.mean() for feature in features]), y - y.mean()
    found = np.linalg.lstsq(x @ x.T, x @ y, rcond=1e-10)[0]
    return bool(found @ (x @ y) > _COLOURED * (y @ y))


def _means(image: np.ndarray) -> np.ndarray:
    """Return the means of the squares of an image."""
    rows, columns = (n // _SQUARE for n in image.shape)
    whole = image[: rows * _SQUARE, : columns * _SQUARE].reshape(rows, _SQUARE, columns, _SQUARE)
    means: np.ndarray = whole.mean(axis=(1, 3)).ravel()
    return means
