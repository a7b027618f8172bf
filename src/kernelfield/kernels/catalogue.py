"""The catalogue: every designed kernel by name, and the name, if any, of weights that were found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kernelfield.errors import ArgumentError
from kernelfield.kernels import blurs, differences, directional, edges, gabor, sharpening, smoothing, steerable
from kernelfield.kernels.kernel import Kernel
from kernelfield.kernels.phrases import alias, describe
from kernelfield.kernels.proposals import PROPOSALS
from kernelfield.kernels.target import NEGLIGIBLE, Target

CATALOGUE: Mapping[str, Callable[..., Kernel]] = MappingProxyType(
    {
        "identity": smoothing.identity,
        "shift": smoothing.shift,
        "box": smoothing.box,
        "binomial": smoothing.binomial,
        "gaussian": smoothing.gaussian,
        "smooth": smoothing.smooth,
        "rings": smoothing.rings,
        "disk": blurs.disk,
        "motion": blurs.motion,
        "difference": differences.difference,
        "derivative": differences.derivative,
        "sobel": edges.sobel,
        "scharr": edges.scharr,
        "prewitt": edges.prewitt,
        "roberts": edges.roberts,
        "laplacian": edges.laplacian,
        "sobel_laplacian": edges.sobel_laplacian,
        "gaussian_derivative": edges.gaussian_derivative,
        "log": edges.log,
        "emboss": edges.emboss,
        "edge": directional.edge,
        "diagonal": directional.diagonal,
        "line": directional.line,
        "corner": directional.corner,
        "steerable": steerable.steerable,
        "gabor": gabor.gabor,
        "log_gabor": gabor.log_gabor,
        "sharpen": sharpening.sharpen,
        "unsharp": sharpening.unsharp,
    }
)

# How far weights may be from a family beyond their tolerance, as a fraction of its largest weight.
# Programs keep Gaussians in fixed point; whole numbers they keep as they are.
_SLACK = {"gaussian": 0.01, "unsharp": 0.01, "log": 0.01, "gaussian_derivative": 0.01}

# Wider than this fraction of the largest weight, a tolerance lets anything pass.
_WIDEST = 0.05

# Excess that is rounding: one member of a family that has no more goes before one that has.
_EXACT = 1e-6

# Two names for weights that differ by more than this fraction of the largest are two answers.
_DIFFERENT = 0.02


@dataclass(frozen=True)
class Match:
    """The catalogue's name for weights.

    Attributes
    ----------
    kernel : Kernel
        The exact kernel of that name, moved to where the weights are.
    deviation : float
        Largest difference between the weights and `kernel`.
    description : str
        Name and parameters in words.
    alias : str or None
        What Pillow calls it, such as ``"Pillow BLUR"``.
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
        """The arguments of that function; and ``shift``, if the kernel lies elsewhere than it puts it.

        ``shift`` is (rows, columns): how far down and right the image content moves.
        """
        return self.kernel.parameters


@dataclass(frozen=True)
class _Candidate:
    kernel: Kernel
    deviation: float
    # By how much the worst weight exceeds its tolerance, as a fraction of the kernel's reach.
    excess: float
    order: int
    # Whether the tolerance leaves the reach in sight; where it does not, this is a rival and no answer.
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
    """Name estimated cross-correlation weights, or return None: no name is forced on them.

    Parameters
    ----------
    weights : array_like, shape (kh, kw)
        The estimate, as it slides (not flipped). Rows and columns of about 0 around it do no harm.
    anchor : (int, int), optional
        Row and column over the output pixel; ``(kh // 2, kw // 2)`` if not given.
    tolerance : array_like
        How far off each weight may be (a few standard errors): a number or an array like `weights`.
    offset : float, optional
        What was added to the output, in grey levels; it tells Pillow's CONTOUR from FIND_EDGES.

    Returns
    -------
    Match or None

    Notes
    -----
    A kernel of the catalogue fits if it differs from no weight by more than its tolerance plus 0.2 % of
    the kernel's largest weight (1 % for Gaussians and what is made of them, since programs round those).
    For sharpening the fraction is of the largest weight beside the centre. Scale and sign of
    derivatives are free; smoothing kernels sum to one.

    Of those that fit within 0.2 %, one that lies where it belongs goes before a shifted one, and then
    the simplest wins: identity, shift, box, binomial, differences, edges, sharpening, rings, Gaussian.
    There is no answer if the tolerance exceeds 5 % of the largest weight, nor if kernels of different
    names fit that differ from each other by more than 2 % of it: the weights cannot tell.

    Examples
    --------
    >>> match([[-0.125, 0, 0.125], [-0.25, 0, 0.25], [-0.125, 0, 0.125]]).description
    'Sobel, horizontal derivative, scale 1/8'
    >>> match([[0.1, 0.7], [-0.4, 0.2]]) is None
    True
    """
    kernel = Kernel(weights, anchor=anchor)
    spread = np.asarray(tolerance, dtype=np.float64)
    if spread.ndim and spread.shape != kernel.shape:
        raise ArgumentError(
            f"tolerance: expected a number or an array of shape {kernel.shape}, received shape {spread.shape}"
        )
    if (spread < 0).any():
        raise ArgumentError(f"tolerance: expected no negative number, received {spread.min()}")
    target = Target(kernel.weights, kernel.anchor, np.broadcast_to(spread, kernel.shape))
    if target.peak == 0 or not target.spread <= _WIDEST * target.peak:
        return None
    best = _best(target)
    if best is None:
        return None
    also = None
    if "shift" not in best.kernel.parameters:
        also = alias(lambda known: target.deviation(known)[1] <= 1e-4 * target.peak, offset)
    return Match(best.kernel, best.deviation, describe(best.kernel, also), also)


def _best(target: Target) -> _Candidate | None:
    candidates: list[_Candidate] = []
    best = None
    for order, proposal in enumerate(PROPOSALS):
        judged = (_judged(target, guess, order) for guess in proposal(target))
        candidates += [candidate for candidate in judged if candidate is not None]
        visible = [candidate for candidate in candidates if candidate.visible]
        best = min(visible, key=_Candidate.preference, default=None)
        if best is not None and best.preference() < (False, True):
            # With a tolerance this small no two names can fit and differ: the first one is the answer.
            reach = _reach(best.kernel)
            if 2 * (target.spread + NEGLIGIBLE * reach) < _DIFFERENT * reach:
                return best
    if best is None:
        return None
    for other in candidates:
        if other.excess <= NEGLIGIBLE and _kind(other.kernel) != _kind(best.kernel):
            gap = float(np.abs((other.kernel - best.kernel).weights).max())
            reach = _reach(best.kernel)
            if gap > _DIFFERENT * (min(reach, _reach(other.kernel)) if other.visible else reach):
                return None
    return best


def _judged(target: Target, guess: Kernel, order: int) -> _Candidate | None:
    kernel = target.place(guess)
    if kernel is None:
        return None
    reach = _reach(kernel)
    deviation, excess = target.deviation(kernel)
    relative = max(excess, 0.0) / reach
    if relative > _SLACK.get(kernel.name or "", NEGLIGIBLE):
        return None
    return _Candidate(kernel, deviation, relative, order, target.spread <= _WIDEST * reach)


def _reach(kernel: Kernel) -> float:
    """Return the largest weight that tells the kernel from others: beside the centre when sharpening."""
    magnitudes = np.abs(kernel.weights)
    if kernel.name in ("sharpen", "unsharp"):
        magnitudes = np.delete(magnitudes.ravel(), int(magnitudes.argmax()))
    return float(magnitudes.max())


def _kind(kernel: Kernel) -> tuple[object, ...]:
    """Return the name and the parameters that are choices, not measures."""
    choices = ("blur", "neighbours", "axis", "order", "scheme", "diagonal", "direction", "method", "weighting")
    return kernel.name, *(kernel.parameters.get(choice) for choice in choices)
