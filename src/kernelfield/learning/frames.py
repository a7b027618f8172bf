"""The offset between the frames of a pair, by phase correlation.

The phase of the cross-spectrum of two images of one scene is that of a shift, and its inverse transform a peak there
(Kuglin and Hines, *The phase correlation image alignment method*, Proc. Int. Conf. on Cybernetics and Society, 1975).
A filter widens the peak; to about its size the place is found all the same. Of a small crop the phase is lost in that
of all the rest: it is laid over every place of the before, and their details are correlated there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelfield.learning.pair import Pair
from kernelfield.learning.spectra import fast_length

# The largest part of the images that is compared; the height of a peak over the deviation of the rest, and over the
# highest of the rest beyond so many pixels, that chance does not give: of a million values of a normal distribution the
# largest is 5, hardly more than the next.
_LARGEST, _PEAK, _NEXT, _AROUND = 1024, 7.0, 1.5, 16
# Pixels of the largest before over which a crop is laid.
_MOST = 1 << 24


@dataclass(frozen=True)
class Frames:
    """The place of the after in the before.

    Attributes
    ----------
    rows, columns : int
        ``after[p]`` shows what ``before[p + (rows, columns)]`` does.
    peak, following : float
        Heights of the peak, and of the highest of the rest, in standard deviations.
    """

    rows: int
    columns: int
    peak: float
    following: float = 0.0

    @property
    def found(self) -> bool:
        """Whether the peak stands out."""
        return self.peak > max(_PEAK, _NEXT * self.following)


def compare_frames(pair: Pair) -> Frames:
    """Return the place of the after in the before, from the middle of the two images; of a crop from all places."""
    frames = _by_phase(pair)
    if frames.found or pair.same_size or pair.planes[0].before.size > _MOST:
        return frames
    laid = _laid_over(pair)
    return laid if laid.found else frames


def _by_phase(pair: Pair) -> Frames:
    """Return the place of the after in the before by their phases."""
    shape = pair.shapes
    largest = [min(n, _LARGEST) for n in shape[0]]
    size = [fast_length(n) for n in largest]
    # Of colours the second, green in most orders, is the brightness.
    plane = pair.planes[min(1, len(pair.planes) - 1)]
    corners = [[max(0, (n - most) // 2) for n, most in zip(own, largest)] for own in shape]
    spectra = [
        _spectrum(plane.before, plane.bad_before, corners[0], largest, size),
        _spectrum(plane.after, plane.bad_after, corners[1], largest, size),
    ]
    product = spectra[0] * np.conj(spectra[1])
    magnitude = np.abs(product)
    if not float(magnitude.max()) > 1e-100:
        return Frames(0, 0, 0.0)
    surface = np.fft.irfft2(product / np.maximum(magnitude, 1e-9 * float(magnitude.max())), size)
    peak = np.unravel_index(int(np.abs(surface).argmax()), surface.shape)
    deviation = float(surface.std())
    height = float(np.abs(surface[peak])) / deviation if deviation > 0 else 0.0
    far = [np.minimum((np.arange(n) - p) % n, (p - np.arange(n)) % n) > _AROUND for p, n in zip(peak, size)]
    rest = np.abs(surface)[far[0][:, None] | far[1]]
    following = float(rest.max()) / deviation if rest.size and deviation > 0 else 0.0
    offset = [int(p) - (n if p > n // 2 else 0) for p, n in zip(peak, size)]
    return Frames(
        offset[0] + corners[0][0] - corners[1][0], offset[1] + corners[0][1] - corners[1][1], height, following
    )


def _laid_over(pair: Pair) -> Frames:
    """Return the place at which the detail of a smaller after is most like that of the before below it, of either sign.

    The correlation of Laplacians over the size of both (Lewis, *Fast normalized cross-correlation*, 1995).
    """
    plane = pair.planes[min(1, len(pair.planes) - 1)]
    below, above = _detail(plane.before, plane.bad_before), _detail(plane.after, plane.bad_after)
    above -= above.mean()
    size = [fast_length(n) for n in below.shape]
    room = tuple(slice(0, a - b + 1) for a, b in zip(below.shape, above.shape))

    def summed(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
        product = np.fft.rfft2(image, size) * np.conj(np.fft.rfft2(weights, size))
        sums: np.ndarray = np.fft.irfft2(product, size)[room]
        return sums

    squares = summed(below**2, np.ones(above.shape)) * float((above**2).sum())
    if not float(squares.max()) > 0.0:
        return Frames(0, 0, 0.0)
    alike = summed(below, above) / np.sqrt(np.maximum(squares, 1e-9 * float(squares.max())))
    peak = np.unravel_index(int(np.abs(alike).argmax()), alike.shape)
    near = tuple(slice(max(0, int(p) - _AROUND), int(p) + _AROUND + 1) for p in peak)
    height, deviation = float(np.abs(alike[peak])), float(alike.std())
    alike[near] = 0.0
    following = float(np.abs(alike).max())
    return Frames(int(peak[0]), int(peak[1]), height / max(deviation, 1e-300), following / max(deviation, 1e-300))


def _detail(image: np.ndarray, bad: np.ndarray | None) -> np.ndarray:
    """Return the Laplacian of an image, 0 beside pixels without a value; shorter by 2."""
    x = image.astype(np.float64)
    x /= max(float(np.abs(x).max()), 1e-300)
    found: np.ndarray = 4.0 * x[1:-1, 1:-1] - x[:-2, 1:-1] - x[2:, 1:-1] - x[1:-1, :-2] - x[1:-1, 2:]
    if bad is not None:
        beside = bad[1:-1, 1:-1] | bad[:-2, 1:-1] | bad[2:, 1:-1] | bad[1:-1, :-2] | bad[1:-1, 2:]
        found[beside] = 0.0
    return found


def _spectrum(
    image: np.ndarray, bad: np.ndarray | None, corner: list[int], largest: list[int], size: list[int]
) -> np.ndarray:
    """Return the spectrum of a part of an image about its mean, faded out towards its sides."""
    where = tuple(slice(start, start + most) for start, most in zip(corner, largest))
    part = image[where].astype(np.float64)
    if bad is not None and not bad[where].all():
        part -= part[~bad[where]].mean()
        part[bad[where]] = 0.0
    else:
        part -= part.mean()
    part *= np.hanning(part.shape[0] + 2)[1:-1, None] * np.hanning(part.shape[1] + 2)[1:-1]
    spectrum: np.ndarray = np.fft.rfft2(part, size)
    return spectrum
