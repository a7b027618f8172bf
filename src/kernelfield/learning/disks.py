"""Means over disks, tried in place of many weights that the pair does not determine to the last place.

Of a disk over a thousand pixels 8 bits show no single weight, but its radius to a thousandth: with that the whole
kernel is tried on every pixel. The weights of a disk are its exact areas in the pixels, or those of all pixels with
their middle in it are equal.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kernelfield.correlation import correlate
from kernelfield.kernels import blurs
from kernelfield.learning.estimate import Estimate, of_weights
from kernelfield.learning.pair import Pair
from kernelfield.learning.support import Support
from kernelfield.learning.views import View

# Weights from which on a kernel is compared with disks, the largest radius, and positions of the part that tells it.
_MANY, _LARGEST, _POSITIONS = 300, 120.0, 1 << 16
# Variances of rounding that the weights, and a disk near them, may leave; steps that refine a radius, and the distance
# of the radii that give its slope; standard errors within which a radius of few digits is meant.
_NEAR, _ROUGH, _STEPS, _APART, _ERRORS = 4.0, 40.0, 8, 0.05, 5.0


def known_disks(pair: Pair, estimate: Estimate) -> Iterator[Estimate]:
    """Yield the disks nearest to an estimate of many weights, where rounding explains the residual of that."""
    rounding = pair.step**2 / 12.0
    if estimate.kernel.size < _MANY or not 0.0 < estimate.variance <= _NEAR * rounding:
        return
    start = _start(estimate)
    if start is None:
        return
    middle, radius = start
    trial = _Trial(pair, middle)
    found = trial.refined(radius)
    if found is None:
        return
    radius, error, left = found
    if left > _ROUGH * rounding:
        return
    rounded = (round(radius, digits) for digits in range(4))
    radii = [*dict.fromkeys(one for one in rounded if abs(one - radius) < _ERRORS * error + 1e-9), radius]
    areas = [blurs.disk(one).weights for one in radii]
    flat, least = min(((one, trial.left(one)) for one in _flat_disks(radius)), key=lambda one: one[1])
    # A weight at the edge grows by a pixel's share of the area with the radius.
    edge = pair.gain * error / (np.pi * radius**2)
    for weights in (flat, *areas) if least < left else (*areas, flat):
        yield of_weights(pair, trial.support(weights), weights * pair.gain, edge)


def _start(estimate: Estimate) -> tuple[tuple[int, int], float] | None:
    """Return the middle pixel of weights, as an offset, and the radius of a disk of their second moment."""
    kernel, support = estimate.kernel, estimate.support
    total = float(kernel.sum())
    if not total > 0.0:
        return None
    places = [first + np.arange(n) for first, n in ((support.top, support.rows), (support.left, support.columns))]
    means = [float(kernel.sum(axis=1 - axis) @ place) / total for axis, place in enumerate(places)]
    spread = sum(
        float(kernel.sum(axis=1 - axis) @ (place - mean) ** 2) / total
        for axis, (place, mean) in enumerate(zip(places, means))
    )
    # Over a disk of radius r the mean squared distance from the middle is r²/2.
    radius = float(np.sqrt(2.0 * spread)) if spread > 0.0 else 0.0
    return ((round(means[0]), round(means[1])), radius) if 1.0 < radius < _LARGEST else None


def _flat_disks(radius: float) -> list[np.ndarray]:
    """Return the disks of equal weights, pixels with their middle within a radius, of radii within a pixel."""
    reach = int(radius + 1.0)
    places = np.arange(-reach, reach + 1) ** 2
    squares = places[:, None] + places
    near = np.unique(squares[np.abs(np.sqrt(squares) - radius) < 1.0])
    disks = []
    for square in near.tolist():
        held = (squares <= square).astype(np.float64)
        ends = np.flatnonzero(held.any(axis=1))
        held = held[ends[0] : ends[-1] + 1, ends[0] : ends[-1] + 1]
        disks.append(held / held.sum())
    return disks


class _Trial:
    """The residual of kernels about a middle pixel, on a part of a pair."""

    def __init__(self, pair: Pair, middle: tuple[int, int]) -> None:
        self.pair, self.middle = pair, middle

    def support(self, weights: np.ndarray) -> Support:
        """Return the support of weights about the middle."""
        rows, columns = weights.shape
        return Support(self.middle[0] - rows // 2, self.middle[1] - columns // 2, rows, columns)

    def left(self, weights: np.ndarray) -> float:
        """Return the variance that weights leave."""
        parts = [values - image for values, image in self._images([weights])]
        return float(np.var(np.concatenate([part - part.mean() for part in parts])))

    def refined(self, radius: float) -> tuple[float, float, float] | None:
        """Return the radius of least squares near one, its standard error, and the variance that is left."""
        for _ in range(_STEPS):
            least, most = max(radius - _APART, 0.6), radius + _APART
            slope = right = square = 0.0
            count = 0
            for values, image, lower, upper in self._images([blurs.disk(r).weights for r in (radius, least, most)]):
                slopes = (upper - lower) / (most - least)
                slopes -= slopes.mean()
                residual = values - image
                residual -= residual.mean()
                slope += float(slopes @ slopes)
                right += float(slopes @ residual)
                square += float(residual @ residual)
                count += residual.size
            if not slope > 0.0:
                return None
            step = float(np.clip(right / slope, -0.2 * radius, 0.2 * radius))
            radius += step
            if not 1.0 < radius < _LARGEST:
                return None
            if abs(step) < 1e-5 * radius:
                break
        return radius, float(np.sqrt(square / max(1, count) / slope)), square / max(1, count)

    def _images(self, kernels: list[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield for each plane the values that count, and the images by some kernels there."""
        size = max(len(kernel) for kernel in kernels)
        padded = [np.pad(kernel, (size - len(kernel)) // 2) for kernel in kernels]
        for plane in self.pair.planes:
            view = View.of(plane, self.support(padded[0]), _POSITIONS)
            good = np.ones(view.y.shape, bool) if view.good is None else view.good
            images = [correlate(view.x, kernel * self.pair.gain, mode="valid", dtype=np.float64) for kernel in padded]
            yield (view.y[good].astype(np.float64), *(image[good] for image in images))
