"""Sufficient statistics of a pair of images for least squares; statistics of two blocks add.

Excluded positions are removed exactly, by subtracting their windows from the sums over all positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kernelfield._core import lag_products, window_products
from kernelfield.learning.gram import block_rows, gram_matrix, window_totals

# Up to this many values explicit windows are cheaper than lag products with border strips.
_SMALL = 1 << 18


@dataclass(frozen=True)
class Statistics:
    """Sums over the positions of a pair, sufficient for least squares with an offset.

    Attributes
    ----------
    size : (int, int)
        Rows and columns of the support; there are ``p = rows * columns`` coefficients, row-major.
    count : int
        Number of positions.
    gram : numpy.ndarray, shape (p, p)
        ``sum of (x[p + u] - before_shift) * (x[p + v] - before_shift)``.
    cross : numpy.ndarray, shape (p,)
        ``sum of (x[p + u] - before_shift) * (y[p] - after_shift)``.
    total : numpy.ndarray, shape (p,)
        ``sum of x[p + u] - before_shift``.
    after_total, after_square : float
        Sums of ``y[p] - after_shift`` and of its square.
    before_shift, after_shift : float
        Constants near the means, subtracted before any product to avoid cancellation.
    """

    size: tuple[int, int]
    count: int
    gram: np.ndarray
    cross: np.ndarray
    total: np.ndarray
    after_total: float
    after_square: float
    before_shift: float
    after_shift: float

    def __add__(self, other: Statistics) -> Statistics:
        """Return the statistics of both sets of positions, of one support.

        Where their shifts differ both are brought to shifts near the means of all.
        """
        mine, theirs = (self.before_shift, self.after_shift), (other.before_shift, other.after_shift)
        if mine == theirs or self.size != other.size:
            return self._combined(other, 1)
        shifts = _near_both(self, other)
        return self.shifted(*shifts)._combined(other.shifted(*shifts), 1)

    def __sub__(self, other: Statistics) -> Statistics:
        """Return the statistics with the positions of `other` removed."""
        return self._combined(other, -1)

    def _combined(self, other: Statistics, sign: int) -> Statistics:
        same = (self.size, self.before_shift, self.after_shift)
        if same != (other.size, other.before_shift, other.after_shift):
            raise ValueError("statistics: expected the same size and shifts in both")
        return replace(
            self,
            count=self.count + sign * other.count,
            gram=self.gram + sign * other.gram,
            cross=self.cross + sign * other.cross,
            total=self.total + sign * other.total,
            after_total=self.after_total + sign * other.after_total,
            after_square=self.after_square + sign * other.after_square,
        )

    def shifted(self, before_shift: float, after_shift: float) -> Statistics:
        """Return the same sums about other shifts: exact for integers, else to the rounding of float64.

        With ``x - b = (x - a) + d``, where ``d = a - b``, every sum of products is one about the old shifts and terms
        in `d` (Chan, Golub and LeVeque, *The American Statistician* 37, 242, 1983, equation 2.1).
        """
        d, e = self.before_shift - before_shift, self.after_shift - after_shift
        n, total = self.count, self.total
        return replace(
            self,
            gram=self.gram + d * (total[:, None] + total[None, :]) + n * d * d,
            cross=self.cross + d * self.after_total + e * total + n * d * e,
            total=total + n * d,
            after_total=self.after_total + n * e,
            after_square=self.after_square + 2.0 * e * self.after_total + n * e * e,
            before_shift=before_shift,
            after_shift=after_shift,
        )

    def centred(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Return the Gram matrix, right-hand side and sum of squares about the means: the offset is eliminated."""
        n = max(1, self.count)
        gram = self.gram - np.outer(self.total, self.total) / n
        cross = self.cross - self.total * (self.after_total / n)
        return gram, cross, max(0.0, self.after_square - self.after_total**2 / n)

    def unexplained(self, kernel: np.ndarray, offset: float) -> float:
        """Return the sum of squares of the residual of a kernel and an offset."""
        k = kernel.ravel()
        c = offset - self.after_shift + self.before_shift * float(k.sum())
        left = self.after_square - 2.0 * float(k @ self.cross) + float(k @ self.gram @ k)
        left += -2.0 * c * (self.after_total - float(k @ self.total)) + self.count * c * c
        return max(0.0, left)

    def offset(self, kernel: np.ndarray) -> float:
        """Return the least-squares offset for the coefficients `kernel`."""
        n = max(1, self.count)
        after = self.after_shift + self.after_total / n
        return float(after - (self.before_shift + self.total / n) @ kernel.ravel())


def _near_both(a: Statistics, b: Statistics) -> tuple[float, float]:
    """Return shifts near the means of both sets of positions, whole where all shifts are."""
    n = max(1, a.count + b.count)
    found = []
    for one, other, own, its in (
        (a.before_shift, b.before_shift, float(a.total.mean()), float(b.total.mean())),
        (a.after_shift, b.after_shift, a.after_total, b.after_total),
    ):
        mean = (a.count * one + own + b.count * other + its) / n
        whole = one.is_integer() and other.is_integer()
        found.append(float(round(mean)) if whole else float(np.float32(mean)))
    return found[0], found[1]


def shift_near_mean(image: np.ndarray, bad: np.ndarray | None = None) -> float:
    """Return a constant near the mean of `image` outside `bad`; an integer for integer images."""
    every = tuple(slice(None, None, max(1, n // 64)) for n in image.shape)
    sample = image[every]
    if bad is not None:
        good = ~bad[every]
        sample = sample[good] if good.any() else image[~bad][:: max(1, image.size // 4096)]
    mean = float(sample.mean(dtype=np.float64))
    if image.dtype.kind in "iu":
        return float(round(mean))
    # The digits of float32, which itself holds no number beyond 3e38.
    digits, exponent = np.frexp(mean)
    return float(np.ldexp(float(np.float32(digits)), exponent))


def gather(
    before: np.ndarray,
    after: np.ndarray,
    size: tuple[int, int],
    before_shift: float,
    after_shift: float,
    excluded: np.ndarray | None = None,
) -> Statistics:
    """Return the statistics of all positions that are not `excluded`.

    Parameters
    ----------
    before : numpy.ndarray, shape (M + kh - 1, N + kw - 1)
        The window of position ``(i, j)`` starts at ``before[i, j]``. Finite.
    after : numpy.ndarray, shape (M, N)
        One value per position. Finite.
    size : (int, int)
        ``(kh, kw)``.
    before_shift, after_shift : float
        See `Statistics`.
    excluded : numpy.ndarray of bool, shape (M, N), optional
        Positions to leave out.
    """
    if excluded is not None and excluded.any():
        bad = int(np.count_nonzero(excluded))
        if 2 * bad > excluded.size:
            return _of_windows(before, after, size, before_shift, after_shift, ~excluded)
        whole = gather(before, after, size, before_shift, after_shift)
        return whole - _of_windows(before, after, size, before_shift, after_shift, excluded)
    return gather_parts([(before, after)], size, before_shift, after_shift)


def gather_parts(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], size: tuple[int, int], before_shift: float, after_shift: float
) -> Statistics:
    """Return the statistics of all positions of several parts of a pair; each before and after as in `gather`."""
    whole = None
    large = []
    for before, after in parts:
        if after.size * size[0] * size[1] > _SMALL and after.shape[0] >= size[0] and after.shape[1] >= size[1]:
            large.append((before, after))
            continue
        part = _of_windows(before, after, size, before_shift, after_shift)
        whole = part if whole is None else whole + part
    if large:
        part = _of_lags(large, size, before_shift, after_shift)
        whole = part if whole is None else whole + part
    assert whole is not None
    return whole


def _of_lags(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], size: tuple[int, int], before_shift: float, after_shift: float
) -> Statistics:
    """Return the statistics from lag products, whose sums over the parts give one Gram matrix."""
    cross, total = np.zeros(size), np.zeros(size)
    after_total = square = 0.0
    for before, after in parts:
        rows, columns = after.shape
        cross += lag_products(after, before, size, block_rows(rows), after_shift, before_shift).sum(axis=0)
        square += float(lag_products(after, after, (1, 1), block_rows(rows), after_shift, after_shift).sum())
        ones = np.broadcast_to(np.ones((1, columns), after.dtype), after.shape)
        after_total += float(lag_products(ones, after, (1, 1), block_rows(rows), 0.0, after_shift).sum())
        total += window_totals(before, size, before_shift)
    return Statistics(
        size=size,
        count=sum(after.size for _, after in parts),
        gram=gram_matrix([before for before, _ in parts], size, before_shift),
        cross=cross.ravel(),
        total=total.ravel(),
        after_total=after_total,
        after_square=square,
        before_shift=before_shift,
        after_shift=after_shift,
    )


def _of_windows(
    before: np.ndarray,
    after: np.ndarray,
    size: tuple[int, int],
    before_shift: float,
    after_shift: float,
    chosen: np.ndarray | None = None,
) -> Statistics:
    """Return the statistics of the `chosen` positions, or of all, from their explicit windows."""
    p = size[0] * size[1]
    mask = np.ones(after.shape, bool) if chosen is None else np.ascontiguousarray(chosen)
    sums = window_products(before, after, mask.view(np.uint8), size, before_shift, after_shift)
    return Statistics(
        size=size,
        count=int(sums[p, p]),
        gram=sums[:p, :p].copy(),
        cross=sums[:p, p + 1].copy(),
        total=sums[:p, p].copy(),
        after_total=float(sums[p, p + 1]),
        after_square=float(sums[p + 1, p + 1]),
        before_shift=before_shift,
        after_shift=after_shift,
    )
