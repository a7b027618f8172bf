"""The affine map between two pictures, rotation, zoom, stretch and shift, found from coarse to fine.

Gauss-Newton steps on the squared difference, with gain and offset free (Lucas and Kanade, *IJCAI* 1981, pages 674 to
679; Baker and Matthews, *International Journal of Computer Vision* 56, 221, 2004, section 2). Blurs are left to the
fit: pictures are compared after both were smoothed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

# The longest side of the pictures compared, and the standard deviations of the blurs, coarse to fine.
SIDE, _BLURS, _STEPS = 192, (8.0, 4.0, 2.0, 1.0), 12
# Degrees to begin with, one after the other, until the share of the variance that is left is small.
_STARTS, _FOUND = (0.0, 8.0, -8.0), 0.02
# Displacements of the corners, in pixels, below which the map is a shift.
_STILL = 0.3


@dataclass(frozen=True)
class Warp:
    """An affine map from pixels of the after to those of the before, relative to the middle of the picture.

    Attributes
    ----------
    matrix : numpy.ndarray, shape (2, 2)
        ``after[p] = before[matrix @ p + shift]``.
    shift : numpy.ndarray, shape (2,)
    left : float
        Share of the variance of the after that is left.
    """

    matrix: np.ndarray
    shift: np.ndarray
    left: float

    @property
    def rotation(self) -> float:
        """Degrees by which the picture was turned, counter-clockwise as it is seen."""
        (a, b), (c, d) = self.matrix
        return float(np.degrees(np.arctan2(b - c, a + d)))

    @property
    def zoom(self) -> float:
        """Factor by which the picture was enlarged."""
        return float(abs(np.linalg.det(self.matrix)) ** -0.5)

    @property
    def stretch(self) -> float:
        """Ratio of the largest to the smallest factor."""
        values = np.linalg.svd(self.matrix, compute_uv=False)
        return float(values[0] / max(float(values[1]), 1e-300))

    def describe(self) -> str:
        """Return the map as a phrase."""
        parts = []
        if abs(self.rotation) >= 0.05:
            way = "counter-clockwise" if self.rotation > 0 else "clockwise"
            parts.append(f"rotated by {abs(self.rotation):.2g}° {way}")
        if abs(self.zoom - 1.0) >= 5e-4:
            parts.append(f"resized by a factor of {self.zoom:.4g}")
        if self.stretch - 1.0 >= 2e-3:
            parts.append(f"stretched or sheared by {100.0 * (self.stretch - 1.0):.2g} %")
        return f"the picture {' and '.join(parts)}" if parts else "the picture shifted"


def find_warp(before: np.ndarray, after: np.ndarray, good: np.ndarray | None = None) -> Warp | None:
    """Return the map that takes the before to the after, of one shape; None if there is none or it is a shift.

    `good` is where pixels of the after count.
    """
    every = max(1, -(-max(after.shape) // SIDE))
    x, y = (reduced(image, every) for image in (before, after))
    counts = np.ones(y.shape, bool) if good is None else reduced(good, every) > 0.999
    if min(y.shape) < 16:
        return None
    found: Warp | None = None
    for degrees in _STARTS:
        angle = np.radians(degrees)
        start = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        one = _descended(x, y, counts, start)
        if one is not None and (found is None or one.left < found.left):
            found = one
        if found is not None and found.left < _FOUND:
            break
    middle = np.array([(n - 1) / 2.0 for n in y.shape])
    if found is None or _corners(found.matrix - np.eye(2), middle) < _STILL:
        return None
    return replace(found, shift=found.shift * every)


def _descended(x: np.ndarray, y: np.ndarray, counts: np.ndarray, matrix: np.ndarray) -> Warp | None:
    """Return the map that is reached from a matrix."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    middle = np.array([(n - 1) / 2.0 for n in y.shape])
    places = np.stack(np.meshgrid(*(np.arange(n) - m for n, m in zip(y.shape, middle)), indexing="ij"))
    shift, left = np.zeros(2), 1.0
    most = np.array(y.shape)[:, None, None] - 2
    for blur in _BLURS:
        smooth, target = gaussian_filter(x, blur), gaussian_filter(y, blur)
        slopes = np.gradient(smooth)
        for _ in range(_STEPS):
            where = np.einsum("ij,jrc->irc", matrix, places) + (shift + middle)[:, None, None]
            inside = counts & ((where >= 1) & (where <= most)).all(axis=0)
            if inside.sum() < max(0.3 * counts.sum(), 200):
                return None
            moved, down, right = (
                map_coordinates(image, where, order=1, mode="nearest")[inside] for image in (smooth, *slopes)
            )
            values, (rows, columns) = target[inside], places[:, inside]
            basis = np.stack([moved, np.ones_like(moved)], axis=1)
            gain = np.linalg.lstsq(basis, values, rcond=None)[0]
            residual = values - basis @ gain
            left = float(np.var(residual) / max(float(np.var(values)), 1e-300))
            slopes_of = np.stack([down * rows, down * columns, right * rows, right * columns, down, right], axis=1)
            step = np.linalg.lstsq(np.concatenate([gain[0] * slopes_of, basis], axis=1), residual, rcond=None)[0]
            matrix = matrix + step[:4].reshape(2, 2)
            shift = shift + step[4:6]
            if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix) - 1.0) > 0.7:
                return None
            if _corners(step[:4].reshape(2, 2), middle) + float(np.abs(step[4:6]).max()) < 0.003:
                break
    return Warp(matrix, shift, left)


def _corners(matrix: np.ndarray, middle: np.ndarray) -> float:
    """Return how far a matrix moves the corners of the picture."""
    corners = middle[:, None] * np.array([[1.0, 1.0], [1.0, -1.0]])
    return float(np.sqrt(((matrix @ corners) ** 2).sum(axis=0)).max())


def smoothed(image: np.ndarray) -> np.ndarray:
    """Return a reduced image with the blur of the last comparison."""
    from scipy.ndimage import gaussian_filter

    result: np.ndarray = gaussian_filter(image, _BLURS[-1])
    return result


def reduced(image: np.ndarray, every: int) -> np.ndarray:
    """Return the means over squares of pixels."""
    rows, columns = (n // every * every for n in image.shape)
    part = image[:rows, :columns].astype(np.float64)
    reduced: np.ndarray = part.reshape(rows // every, every, columns // every, every).mean(axis=(1, 3))
    return reduced
