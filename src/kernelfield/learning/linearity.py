"""Signs of a nonlinear filter in the residual: dependence on brightness and on local contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelfield.learning.pair import Pair
from kernelfield.learning.residual import Block, blocks
from kernelfield.learning.support import Support

_BINS = 32
# Number of pixels with a computed residual, in blocks spread over the image, and of those that are sorted.
_SAMPLE, _SORTED = 1 << 18, 1 << 16
_FEWEST = 400


@dataclass(frozen=True)
class Linearity:
    """Signs of a nonlinear filter, from a sample of the residual.

    Attributes
    ----------
    curve : float
        Share of the residual variance explained by a function of the predicted value, such as a tone curve or gamma.
    texture : float
        Root mean square of the residual in the quarter of the image with most contrast, divided by that in the quarter
        with least: about 1 for noise, large for a filter that adapts to its neighbourhood.
    """

    curve: float
    texture: float


def examine(pair: Pair, kernel: np.ndarray, offsets: tuple[float, ...], support: Support, censor: bool) -> Linearity:
    """Return the signs of nonlinearity, from blocks of rows spread over the image."""
    every = max(1, pair.planes[0].after.size * len(pair.planes) // _SAMPLE)
    parts = [
        _columns(block, support)
        for plane, offset in zip(pair.planes, offsets)
        for block in blocks(plane, kernel, offset, support, censor, every)
    ]
    columns = [np.concatenate(part) for part in zip(*parts)]
    predicted, residual, contrast = (column[:: max(1, column.size // _SORTED)] for column in columns)
    if residual.size < _FEWEST:
        return Linearity(0.0, 1.0)
    total = float(((residual - residual.mean()) ** 2).sum())
    between = _between(predicted, residual) - total * (_BINS - 1) / residual.size
    order = np.argsort(contrast)
    quarter = residual.size // 4
    calm, busy = (float(np.sqrt(np.mean(residual[part] ** 2))) for part in (order[:quarter], order[-quarter:]))
    floor = np.sqrt(pair.exact_variance(0.0, 1))
    return Linearity(max(0.0, between / total) if total > 0 else 0.0, busy / max(calm, floor, 1e-300))


def _columns(block: Block, support: Support) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return predicted value, residual and local contrast at the used positions of a block."""
    keep = slice(None) if block.bad is None else ~block.bad
    rows, columns = (min(max(a, 0), n - 1) for a, n in zip(support.anchor, support.size))
    shape = block.after.shape
    under = block.windows[rows : rows + shape[0], columns : columns + shape[1]].astype(np.float64)
    contrast = np.zeros(shape)
    for axis in (0, 1):
        if shape[axis] > 1:
            contrast += np.abs(np.gradient(under, axis=axis))
    residual = block.residual.astype(np.float64)
    return (block.after - residual)[keep].ravel(), residual[keep].ravel(), contrast[keep].ravel()


def _between(predicted: np.ndarray, residual: np.ndarray) -> float:
    """Return the between-bin sum of squares, for bins with equal numbers of predicted values."""
    order = np.argsort(predicted)
    mean = residual.mean()
    return float(sum(part.size * (part.mean() - mean) ** 2 for part in np.array_split(residual[order], _BINS)))
