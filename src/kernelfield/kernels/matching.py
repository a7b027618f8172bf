"""Names for estimated weights: the kernel of the catalogue that agrees with them, if any."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.arrays import as_numbers
from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import trying
from kernelfield.kernels.candidates import GENERATORS
from kernelfield.kernels.descriptions import describe
from kernelfield.kernels.kernel import Kernel
from kernelfield.kernels.pillow import pillow_name
from kernelfield.kernels.target import NEGLIGIBLE, Target

# Allowed deviation from a family beyond the tolerance, as a fraction of the family's largest weight: image programs
# round Gaussians to fixed point, but keep integers exact.
_SLACK = {"gaussian": 0.01, "unsharp": 0.01, "log": 0.01, "gaussian_derivative": 0.01}

# With a tolerance above this fraction of the largest weight anything would match.
_WIDEST = 0.05

# Excess up to this is rounding: such a member of a family is preferred to one with more.
_EXACT = 1e-6

# The tolerance of a search for the nearest, as a fraction of the largest weight.
_NOTHING = 1e-3

# Two kernels that differ by more than this fraction of the largest weight are two different answers.
_DIFFERENT = 0.02


@dataclass(frozen=True)
class Match:
    """The kernel of the catalogue that agrees with estimated weights.

    Attributes
    ----------
    kernel : Kernel
        The exact kernel of that name, shifted to the position of the weights.
    deviation : float
        Largest difference between the weights and `kernel`.
    description : str
        Name and parameters in words.
    alias : str or None
        Pillow's name for it, such as ``"Pillow BLUR"``.
    """

    kernel: Kernel
    deviation: float
    description: str
    alias: str | None = None

    @property
    def name(self) -> str:
        """Key in CATALOGUE."""
        return self.kernel.name or ""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The arguments of that family, and ``shift`` where the kernel lies elsewhere than the family puts it.

        ``shift`` is (rows, columns): the distance down and right that the image content moves.
        """
        return self.kernel.parameters


@dataclass(frozen=True)
class _Candidate:
    kernel: Kernel
    deviation: float
    # Largest excess of a weight over its tolerance, as a fraction of the kernel's characteristic weight.
    excess: float
    order: int
    # Whether the characteristic weight stands out from the tolerance; if not, the candidate can only rule others out.
    visible: bool

    def preference(self) -> tuple[bool, bool, int, bool]:
        shifted = "shift" in self.kernel.parameters
        return self.excess > NEGLIGIBLE, shifted, self.order, self.excess > _EXACT


def match(
    weights: ArrayLike,
    anchor: tuple[int, int] | None = None,
    tolerance: ArrayLike = 0.0,
    offset: float | None = None,
) -> Match | None:
    """Return the kernel of the catalogue that agrees with estimated cross-correlation weights, or None if none does.

    Parameters
    ----------
    weights : array_like, shape (kh, kw)
        The estimate, for sliding as it is (not flipped). Surrounding rows and columns of about 0 do no harm.
    anchor : (int, int), optional
        Row and column over the output pixel; ``(kh // 2, kw // 2)`` if not given.
    tolerance : array_like
        Allowed error of each weight (a few standard errors): a number or an array like `weights`.
    offset : float, optional
        Constant added to the output, in grey levels; it distinguishes Pillow's CONTOUR from FIND_EDGES.

    Returns
    -------
    Match or None

    Notes
    -----
    A kernel of the catalogue fits if each weight agrees within its tolerance plus 0.2 % of the kernel's largest weight
    (1 % for families made of Gaussians, which image programs round). For sharpening the fraction is of the largest
    weight other than the centre. Scale and sign of derivatives are free; smoothing kernels sum to one.

    Of those that fit within 0.2 %, an unshifted kernel is preferred to a shifted one, then the simplest: identity,
    shift, box, binomial, differences, edges, sharpening, rings, Gaussian. The answer is None if the tolerance exceeds
    5 % of the largest weight, or if kernels of different names fit that differ by more than 2 % of it: the weights
    cannot tell them apart.

    Examples
    --------
    >>> match([[-0.125, 0, 0.125], [-0.25, 0, 0.25], [-0.125, 0, 0.125]]).description
    'Sobel, horizontal derivative, scale 1/8'
    >>> match([[0.1, 0.7], [-0.4, 0.2]]) is None
    True
    """
    kernel = Kernel(weights, anchor=anchor)
    spread = as_numbers(tolerance, "tolerance").astype(np.float64)
    if spread.ndim and spread.shape != kernel.shape:
        raise ArgumentError(
            f"tolerance: expected a number or an array of shape {kernel.shape}, received shape {spread.shape}"
        )
    if (spread < 0).any():
        raise ArgumentError(f"tolerance: expected no negative number, received {spread.min()}")
    target = Target(kernel.weights, kernel.anchor, np.broadcast_to(spread, kernel.shape))
    if target.peak == 0 or not target.spread <= _WIDEST * target.peak:
        return None
    with trying():
        best = _best(target)
    if best is None:
        return None
    also = None
    if "shift" not in best.kernel.parameters:
        also = pillow_name(lambda known: target.deviation(known)[1] <= 1e-4 * target.peak, offset)
    return Match(best.kernel, best.deviation, describe(best.kernel, also), also)


@dataclass(frozen=True)
class Near:
    """A kernel of the catalogue near estimated weights.

    Attributes
    ----------
    kernel : Kernel
    distance : float
        Norm of the difference over that of the weights.
    description : str
    """

    kernel: Kernel
    distance: float
    description: str


def nearest(weights: ArrayLike, anchor: tuple[int, int] | None = None, tolerance: ArrayLike = 0.0) -> list[Near]:
    """Return the nearest kernel of each name, the nearest first, whatever their distance.

    Parameters
    ----------
    weights : array_like, shape (kh, kw)
    anchor : (int, int), optional
        As in `match`.
    tolerance : array_like
        Error of each weight: outer weights that are smaller do not count for the size.

    Examples
    --------
    >>> near = nearest([[0.1, 0.11, 0.1], [0.11, 0.15, 0.11], [0.1, 0.11, 0.1]])
    >>> near[0].kernel.name, round(near[0].distance, 2)
    ('smooth', 0.04)
    """
    kernel = Kernel(weights, anchor=anchor)
    least = _NOTHING * np.abs(kernel.weights).max()
    target = Target(kernel.weights, kernel.anchor, np.maximum(np.broadcast_to(tolerance, kernel.shape), least))
    norm = float(np.linalg.norm(kernel.weights))
    found: dict[str, Near] = {}
    if norm == 0.0:
        return []
    with trying():
        tried = [candidate for generator in GENERATORS for candidate in generator(target)]
    for candidate in tried:
        placed = target.place(candidate)
        if placed is None:
            continue
        mine, theirs, _ = target.against(placed)
        distance = float(np.linalg.norm(mine - theirs)) / norm
        name = placed.name or ""
        if name not in found or distance < found[name].distance:
            found[name] = Near(placed, distance, describe(placed, None))
    return sorted(found.values(), key=lambda near: near.distance)


def _best(target: Target) -> _Candidate | None:
    candidates: list[_Candidate] = []
    best = None
    for order, generator in enumerate(GENERATORS):
        judged = (_judged(target, kernel, order) for kernel in generator(target))
        candidates += [candidate for candidate in judged if candidate is not None]
        visible = [candidate for candidate in candidates if candidate.visible]
        best = min(visible, key=_Candidate.preference, default=None)
        if best is not None and best.preference() < (False, True):
            # With a tolerance this small two names can only fit if their kernels are the same: stop at the first.
            scale = _characteristic(best.kernel)
            if 2 * (target.spread + NEGLIGIBLE * scale) < _DIFFERENT * scale:
                return best
    if best is None:
        return None
    for other in candidates:
        if other.excess <= NEGLIGIBLE and _kind(other.kernel) != _kind(best.kernel):
            gap = float(np.abs((other.kernel - best.kernel).weights).max())
            scale = _characteristic(best.kernel)
            if gap > _DIFFERENT * (min(scale, _characteristic(other.kernel)) if other.visible else scale):
                return None
    return best


def _judged(target: Target, unplaced: Kernel, order: int) -> _Candidate | None:
    kernel = target.place(unplaced)
    if kernel is None:
        return None
    scale = _characteristic(kernel)
    deviation, excess = target.deviation(kernel)
    relative = max(excess, 0.0) / scale
    if relative > _SLACK.get(kernel.name or "", NEGLIGIBLE):
        return None
    return _Candidate(kernel, deviation, relative, order, target.spread <= _WIDEST * scale)


def _characteristic(kernel: Kernel) -> float:
    """Return the weight that characterises a kernel: the largest, for sharpening the largest besides the centre."""
    magnitudes = np.abs(kernel.weights)
    if kernel.name in ("sharpen", "unsharp"):
        magnitudes = np.delete(magnitudes.ravel(), int(magnitudes.argmax()))
    return float(magnitudes.max())


def _kind(kernel: Kernel) -> tuple[object, ...]:
    """Return the name and the discrete parameters of a kernel; two kernels of different kinds are different answers."""
    choices = ("blur", "neighbours", "axis", "order", "scheme", "diagonal", "direction", "method", "weighting")
    return kernel.name, *(kernel.parameters.get(choice) for choice in choices)
