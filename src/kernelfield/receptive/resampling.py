"""Index maps of resampling along one axis: pooling to a given size, and resizing."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor, gcd
from typing import Literal

from kernelfield.errors import ArgumentError
from kernelfield.receptive.graph import AxisMap

Method = Literal["nearest", "linear", "cubic", "area"]
Coordinates = Literal["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn"]
Rounding = Literal["round_prefer_floor", "floor", "ceil", "round_prefer_ceil"]

METHODS = ("nearest", "linear", "cubic", "area")
COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_half_pixel_for_nn")
_HALF = Fraction(1, 2)
# Rounding to an integer, by ONNX's names.
_ROUND = {
    "round_prefer_floor": lambda x: ceil(x - _HALF),
    "floor": floor,
    "ceil": ceil,
    "round_prefer_ceil": lambda x: floor(x + _HALF),
}
_REACH = {"linear": 1, "cubic": 2}


def adaptive(size: int, output: int) -> AxisMap:
    """Return the map of pooling an axis of `size` elements to `output` ones.

    Output ``i`` reads from ``floor(i * size / output)`` up to, and not including, ``ceil((i + 1) * size / output)``, as
    in PyTorch's adaptive pooling.

    Examples
    --------
    >>> adaptive(5, 2).taps
    ((0, 1, 2), (2, 3, 4))
    >>> adaptive(6, 3)
    AxisMap(period=1, step=2, taps=((0, 1),), outside='constant')
    """
    common = gcd(size, output)
    size, output = size // common, output // common
    taps = tuple(tuple(range(i * size // output, -(-(i + 1) * size // output))) for i in range(output))
    return AxisMap(output, size, taps)


def resize(
    size: int,
    output: int,
    method: Method,
    coordinates: Coordinates,
    *,
    scale: float | Fraction | None = None,
    rounding: Rounding = "round_prefer_floor",
    antialias: bool = False,
) -> AxisMap:
    """Return the map of resizing an axis, by its exact support: elements of weight 0 are not read.

    Parameters
    ----------
    size, output : int
        Elements before and after.
    method, coordinates, rounding : str
        By ONNX's names; ``"area"`` averages like `adaptive`.
    scale : float or Fraction, optional
        Output over input, where the framework uses it instead of the ratio of the sizes.
    antialias : bool
        Whether the interpolation kernel is widened for a smaller output.

    Examples
    --------
    >>> resize(4, 8, "linear", "half_pixel").taps
    ((-1, 0), (0, 1))
    >>> resize(3, 9, "linear", "half_pixel").taps
    ((-1, 0), (0,), (0, 1))
    """
    if method not in METHODS:
        raise ArgumentError(f"method: expected one of {', '.join(METHODS)}; received {method!r}")
    if coordinates not in COORDINATES:
        raise ArgumentError(f"coordinates: expected one of {', '.join(COORDINATES)}; received {coordinates!r}")
    if rounding not in _ROUND:
        raise ArgumentError(f"nearest_mode: expected one of {', '.join(_ROUND)}; received {rounding!r}")
    if method == "area":
        return adaptive(size, output)
    step, first = _positions(size, output, coordinates, scale)
    # A period that the output does not hold twice has no advantage over a table.
    period = step.denominator if step.denominator < output else output
    taps = tuple(_taps(first + i * step, step, method, rounding, antialias) for i in range(period))
    moved = step * period
    return AxisMap(period, int(moved) if moved.denominator == 1 else 0, taps, "constant" if antialias else "nearest")


def _positions(
    size: int, output: int, coordinates: Coordinates, scale: float | Fraction | None
) -> tuple[Fraction, Fraction]:
    """Return the spacing of the outputs on the input's axis, and the position of the first."""
    if coordinates == "align_corners":
        return (Fraction(size - 1, output - 1) if output > 1 else Fraction(0)), Fraction(0)
    step = Fraction(size, output) if scale is None else _inverse(scale)
    if coordinates == "asymmetric" or (coordinates == "pytorch_half_pixel" and output == 1):
        return step, Fraction(0)
    if coordinates == "tf_half_pixel_for_nn":
        return step, step / 2
    return step, step / 2 - _HALF


def _inverse(scale: float | Fraction) -> Fraction:
    if scale <= 0:
        raise ArgumentError(f"scale: expected a factor above 0; received {scale}")
    if isinstance(scale, Fraction):
        return 1 / scale
    # 0.333 as a float is not a third: take a simple ratio where it agrees within the precision of float32.
    exact = 1.0 / float(scale)
    simple = Fraction(exact).limit_denominator(1024)
    return simple if abs(float(simple) - exact) <= 1e-7 * exact else Fraction(exact)


def _taps(position: Fraction, step: Fraction, method: str, rounding: str, antialias: bool) -> tuple[int, ...]:
    if method == "nearest":
        return (_ROUND[rounding](position),)
    widened = max(step, Fraction(1)) if antialias else Fraction(1)
    reach = _REACH[method] * widened
    # Open at both ends: the weight is 0 there, and that of the cubic also at whole steps from its centre.
    taps = range(floor(position - reach) + 1, ceil(position + reach))
    if method == "cubic":
        return tuple(tap for tap in taps if abs(tap - position) != widened)
    return tuple(taps)
