"""The conventions of the families that have a direction, measured on their weights: the table of the documentation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.kernels.arguments import unit
from kernelfield.kernels.catalogue import design
from kernelfield.kernels.kernel import Kernel

#: A family -> its parameter of direction, two values of it, and others that make it clear. Angles are in degrees.
DIRECTED: Mapping[str, tuple[str, tuple[Any, Any], Mapping[str, Any]]] = {
    "sobel": ("axis", (0, 1), {}),
    "scharr": ("axis", (0, 1), {}),
    "prewitt": ("axis", (0, 1), {}),
    "farid": ("axis", (0, 1), {}),
    "derivative": ("axis", (0, 1), {}),
    "difference": ("axis", (0, 1), {}),
    "edge": ("direction", ((1, 1), (1, -1)), {}),
    "diagonal": ("direction", ((1, 1), (1, -1)), {}),
    "corner": ("direction", ((1, 1), (1, -1)), {}),
    "emboss": ("direction", ((1, 1), (1, -1)), {}),
    "roberts": ("diagonal", ("main", "anti"), {}),
    "kirsch": ("angle", (45, 135), {}),
    "robinson": ("angle", (45, 135), {}),
    "steerable": ("orientation", (30, 120), {"order": 1}),
    "quadrature": ("orientation", (30, 120), {"order": 2}),
    "gabor": ("orientation", (30, 120), {"phase": 90}),
    "log_gabor": ("orientation", (30, 120), {"phase": 90}),
    "line": ("angle", (0, 45), {}),
    "motion": ("angle", (30, 120), {}),
    "oriented_gaussian": ("orientation", (30, 120), {}),
}
# Diagonals go down; that of the main one also right.
_DIAGONALS = {"main": (1.0, 1.0), "anti": (1.0, -1.0)}


@dataclass(frozen=True)
class Convention:
    """The meaning of a parameter of direction, measured on the weights.

    Attributes
    ----------
    family, parameter : str
    along : bool
        Whether the weights change along the direction; else they extend along it, as a line.
    sign : int
        Of a kernel that is not the same from both sides: 1 if it is positive where the image grows along the direction,
        -1 where it falls; 0 for the others.
    middle : (float, float)
        The point whose value the output is, in pixels down and right of the output pixel: the middle of the weights.
    """

    family: str
    parameter: str
    along: bool
    sign: int
    middle: tuple[float, float]


def convention(family: str, value: Any = None) -> Convention:
    """Return the convention of a family, from its weights at one value of its direction, the first if none is given.

    Examples
    --------
    >>> convention("edge").sign, convention("emboss").sign, convention("line").along
    (1, -1, False)
    """
    parameter, values, others = DIRECTED[family]
    given = values[0] if value is None else value
    kernel = design(family, **{parameter: given}, **others)
    u = _direction(parameter, given)
    down, right = (np.arange(n) - (n - 1) / 2 for n in kernel.shape)
    places = np.add.outer(u[0] * down, u[1] * right), np.add.outer(-u[1] * down, u[0] * right)
    ramp = float((kernel.weights * places[0]).sum())
    scale = float((np.abs(kernel.weights) * np.abs(places[0])).sum())
    sign = 0 if abs(ramp) < 1e-9 * scale else int(math.copysign(1, ramp))
    middle = tuple(float((n - 1) / 2 - a) for n, a in zip(kernel.shape, kernel.anchor))
    return Convention(family, parameter, bool(sign) or not _extends(kernel, u), sign, (middle[0], middle[1]))


def _direction(parameter: str, value: Any) -> tuple[float, float]:
    """Return the unit vector (down, right) of a parameter of direction."""
    if parameter == "axis":
        return (1.0, 0.0) if value == 0 else (0.0, 1.0)
    if parameter == "diagonal":
        value = _DIAGONALS[value]
    if isinstance(value, tuple):
        length = math.hypot(*value)
        return value[0] / length, value[1] / length
    return unit(value)


def _extends(kernel: Kernel, u: tuple[float, float]) -> bool:
    """Return whether the frequencies of the kernel lie across a direction rather than along it: it is a line there."""
    frequencies = np.linspace(0.02, 0.2, 10)
    along, across = (
        sum(float(abs(kernel.frequency_response([f * v[0]], [f * v[1]])[2][0, 0])) ** 2 for f in frequencies.tolist())
        for v in (u, (-u[1], u[0]))
    )
    return along < across


def table() -> str:
    """Return the conventions as a table in Markdown, a line for each family."""
    lines = [
        "| family | parameter | direction of | positive where the image | middle of the weights |",
        "|" + " --- |" * 5,
    ]
    for family in DIRECTED:
        found = convention(family)
        what = "the change: edges and stripes lie across it" if found.along else "the line: the weights lie along it"
        where = {1: "grows along it", -1: "falls along it", 0: "is bright on the line" if not found.along else "–"}
        down, right = (f"{value:g}" for value in found.middle)
        middle = "the output pixel" if found.middle == (0, 0) else f"{down} down, {right} right of the output pixel"
        parameter = f"`{found.parameter}`" + (" (0 down, 1 right)" if found.parameter == "axis" else "")
        lines.append(f"| `{family}` | {parameter} | {what} | {where[found.sign]} | {middle} |")
    return "\n".join(lines) + "\n"
