"""The positions of a plane that a fit without Gram matrix uses, and the first guess at a kernel from spectra."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kernelfield.learning.pair import Plane
from kernelfield.learning.spectra import fast_length, irfft2, rfft2
from kernelfield.learning.support import Support

# Pixels of a block of rows; share of the mean power of the before that regularises the quotient of spectra.
_BLOCK, _DAMPED = 1 << 18, 1e-4


@dataclass(frozen=True)
class View:
    """The positions of a plane that are used: pixels that their windows read, values, and those that count."""

    x: np.ndarray
    y: np.ndarray
    good: np.ndarray | None
    before_shift: float
    after_shift: float

    @classmethod
    def of(cls, plane: Plane, support: Support, most: int | None) -> View:
        """Return the positions of a support, at most about `most`, in the middle."""
        rows, columns = support.positions(plane.before.shape, plane.after.shape)
        excluded = plane.excluded(support)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if most is not None and height * width > most:
            # Nearly square: every window costs its own border once.
            tall = min(height, max(most // width, int(np.sqrt(most))))
            wide = min(width, most // tall)
            top, left = (height - tall) // 2, (width - wide) // 2
            rows = slice(rows.start + top, rows.start + top + tall)
            columns = slice(columns.start + left, columns.start + left + wide)
            excluded = None if excluded is None else excluded[top : top + tall, left : left + wide]
        x, y = plane.before[support.windows((rows, columns))], plane.after[rows, columns]
        return cls(x, y, None if excluded is None else ~excluded, plane.before_shift, plane.after_shift)

    @property
    def count(self) -> int:
        """Number of positions that count."""
        return self.y.size if self.good is None else int(np.count_nonzero(self.good))

    def blocks(self, rows: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Yield blocks of rows: what `rows` of windows read about the shift, values about theirs, and what counts."""
        step = max(rows, _BLOCK // max(1, self.y.shape[1]))
        for start in range(0, self.y.shape[0], step):
            stop = min(self.y.shape[0], start + step)
            x = self.x[start : stop + rows - 1].astype(np.float64) - self.before_shift
            y = self.y[start:stop].astype(np.float64) - self.after_shift
            yield x, y, None if self.good is None else self.good[start:stop]


def quotient(view: View, support: Support) -> np.ndarray:
    """Return the kernel that the quotient of the spectra gives: rough, since images do not wrap around."""
    shape = [fast_length(n) for n in view.x.shape]
    middle = support.rows // 2, support.columns // 2
    x = view.x.astype(np.float64)
    y = np.full(view.x.shape, np.nan)
    inner = view.y.astype(np.float64)
    if view.good is not None:
        inner[~view.good] = np.nan
    y[middle[0] : middle[0] + inner.shape[0], middle[1] : middle[1] + inner.shape[1]] = inner
    known = np.isfinite(y)
    fade = np.zeros(view.x.shape)
    taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in inner.shape))
    fade[middle[0] : middle[0] + inner.shape[0], middle[1] : middle[1] + inner.shape[1]] = taper
    spectra = []
    for image in (x, y):
        image = np.where(known, image - image[known].mean(), 0.0) * fade
        spectra.append(rfft2(image, shape))
    power = np.abs(spectra[0]) ** 2
    ratio = spectra[0] * np.conj(spectra[1]) / (power + _DAMPED * float(power.mean()) + 1e-300)
    kernel: np.ndarray = np.roll(irfft2(ratio, shape), middle, (0, 1))[: support.rows, : support.columns]
    return kernel
