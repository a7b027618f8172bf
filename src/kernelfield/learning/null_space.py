"""The kernels that a pair cannot tell from nothing, chosen to be seen: each about one weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# A weight of which less is unknown counts as determined.
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class NullSpace:
    """What a pair does not tell of a kernel.

    Attributes
    ----------
    share : numpy.ndarray, shape (kh, kw)
        For each weight the share of it that is not determined: 0 where the pair tells it, 1 where it tells nothing.
    kernels : numpy.ndarray, shape (n, kh, kw)
        Kernels that change nothing in the pair, the first about the weight of which least is known: the projection of
        that weight alone, its largest weight 1. Each of the others is one of what the ones before it leave.
    count : int
        Directions that are not determined.
    """

    share: np.ndarray
    kernels: np.ndarray
    count: int


def null_space(directions: np.ndarray, most: int) -> NullSpace:
    """Return what orthonormal kernels that change nothing say, shape (n, kh, kw), with at most `most` kernels.

    The directions themselves are any of infinitely many choices; a projection on them is not.

    Examples
    --------
    >>> found = null_space(np.array([[[0.0, 1.0, -1.0]]]) / np.sqrt(2.0), 3)
    >>> found.share
    array([[0. , 0.5, 0.5]])
    >>> found.kernels
    array([[[ 0.,  1., -1.]]])
    """
    count, *shape = directions.shape
    rows = directions.reshape(count, int(np.prod(shape)))
    share = (rows**2).sum(axis=0)
    kernels: list[np.ndarray] = []
    left = rows
    while len(kernels) < min(most, count):
        own = (left**2).sum(axis=0)
        # Of equal shares the first weight, whatever was lost in rounding.
        weight = int(np.flatnonzero(own >= own.max() - _LEAST)[0])
        if own[weight] < _LEAST:
            break
        kernel = left[:, weight] @ left
        kernels.append(kernel / kernel[weight])
        unit = kernel / np.linalg.norm(kernel)
        # What is orthogonal to it, among the same directions.
        left = left - np.outer(left @ unit, unit)
    table = np.array(kernels).reshape(len(kernels), *shape)
    table[np.abs(table) < _LEAST] = 0.0
    return NullSpace(share.reshape(shape), table, count)
