"""Names of colour matrices: what a mix of channels does to each pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Brightness as a sum of red, green and blue: Rec. ITU-R BT.601, section 2.5.1; BT.709, item 3.2; W3C Filter Effects 1,
# feColorMatrix, which rounds BT.709; and the integers over 65,536 of Pillow's conversion to L.
LUMA = {
    "Rec. 601": (0.299, 0.587, 0.114),
    "Rec. 709": (0.2126, 0.7152, 0.0722),
    "W3C Filter Effects": (0.213, 0.715, 0.072),
    "Rec. 601, as Pillow's integers": (19595 / 65536, 38470 / 65536, 7471 / 65536),
    "equal parts": (1 / 3, 1 / 3, 1 / 3),
}
# W3C Filter Effects 1, the sepia filter.
SEPIA = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))
# ITU-T T.871 (JFIF), section 7: Y, Cb and Cr of R, G and B.
JFIF = ((0.299, 0.587, 0.114), (-0.168735892, -0.331264108, 0.5), (0.5, -0.418687589, -0.081312411))
# W3C Filter Effects 1, hueRotate: brightness, and the parts that turn with cosine and sine.
_HUE_COSINE = ((0.787, -0.715, -0.072), (-0.213, 0.285, -0.072), (-0.213, -0.715, 0.928))
_HUE_SINE = ((-0.213, -0.715, 0.928), (0.143, 0.140, -0.283), (-0.787, 0.715, 0.072))

# The distance of weights from those of a known matrix up to which that is tried.
_LIKELY = 0.01


@dataclass(frozen=True)
class Mix:
    """The name of a matrix of channels, its parameters, and the phrase for the report."""

    name: str
    description: str
    parameters: dict[str, Any] = field(default_factory=dict)


def likely(matrix: np.ndarray) -> list[np.ndarray]:
    """Return matrices of known kinds with simple parameters that lie within 0.01 of a matrix, shape (C_out, C_in)."""
    outputs, inputs = matrix.shape
    if inputs != 3:
        return []
    found = [np.tile(luma, (outputs, 1)) for luma in LUMA.values()]
    if outputs == 3:
        found += [np.array(SEPIA), np.array(JFIF)]
        for weights in LUMA.values():
            grey = np.tile(weights, (3, 1))
            s = _share(matrix - grey, np.eye(3) - grey)
            found += [grey + round(s, digits) * (np.eye(3) - grey) for digits in (1, 2, 3)]
        found += [_turned(round(_degrees(matrix), digits)) for digits in (0, 1)]
    return [one for one in found if np.abs(one - matrix).max() < _LIKELY]


def name_matrix(matrix: np.ndarray, tolerance: np.ndarray) -> Mix | None:
    """Return the name of a matrix, shape (C_out, C_in), that agrees with it to within the tolerance; else None."""
    outputs, inputs = matrix.shape

    def agrees(other: Any) -> bool:
        return bool((np.abs(matrix - np.asarray(other)) <= tolerance).all())

    if outputs == inputs and agrees(np.eye(inputs)):
        return Mix("identity", "the channels as they are")
    if agrees(np.rint(matrix)) and _is_permutation(np.rint(matrix)):
        order = np.argmax(np.rint(matrix), axis=1)
        text = ", ".join(str(int(channel)) for channel in order)
        return Mix("channel order", f"the channels in the order {text}", {"order": tuple(int(c) for c in order)})
    if inputs != 3:
        if inputs == 1 and agrees(np.ones((outputs, 1))):
            return Mix("grey", f"the one channel, {outputs} times")
        return None
    for label, luma in LUMA.items():
        if agrees(np.tile(luma, (outputs, 1))):
            times = "" if outputs == 1 else f" in each of {outputs} channels"
            return Mix("luma", f"brightness by {label}{times}", {"weights": label})
    if outputs != 3:
        return None
    if agrees(SEPIA):
        return Mix("sepia", "sepia (W3C Filter Effects)")
    if agrees(JFIF):
        return Mix("YCbCr", "RGB to YCbCr (JFIF)")
    return _saturation(matrix, tolerance) or _hue(matrix, tolerance)


def _is_permutation(matrix: np.ndarray) -> bool:
    return bool(
        ((matrix == 0) | (matrix == 1)).all() and (matrix.sum(axis=1) == 1).all() and (matrix.sum(axis=0) <= 1).all()
    )


def _saturation(matrix: np.ndarray, tolerance: np.ndarray) -> Mix | None:
    """Return that the matrix is ``s`` times the identity and ``1 - s`` times the brightness in each channel."""
    for label, weights in LUMA.items():
        grey = np.tile(weights, (3, 1))
        direction = np.eye(3) - grey
        s = _share(matrix - grey, direction)
        if (np.abs(matrix - grey - s * direction) <= tolerance).all():
            text = f"saturation times {s:.4g} (brightness by {label})"
            return Mix("saturation", text, {"saturation": s, "weights": label})
    return None


def _hue(matrix: np.ndarray, tolerance: np.ndarray) -> Mix | None:
    """Return that the matrix turns the hue, as W3C Filter Effects does."""
    degrees = _degrees(matrix)
    if (np.abs(matrix - _turned(degrees)) > tolerance).any():
        return None
    return Mix("hue rotation", f"hue turned by {degrees:.4g}°", {"degrees": degrees})


def _share(matrix: np.ndarray, direction: np.ndarray) -> float:
    """Return the multiple of a direction that is nearest to a matrix."""
    return float((matrix * direction).sum() / (direction**2).sum())


def _degrees(matrix: np.ndarray) -> float:
    """Return the angle of the nearest turn of the hue."""
    basis = np.stack([np.ravel(_HUE_COSINE), np.ravel(_HUE_SINE)], axis=1)
    grey = np.tile(LUMA["W3C Filter Effects"], (3, 1))
    cosine, sine = np.linalg.lstsq(basis, (matrix - grey).ravel(), rcond=None)[0]
    return float(np.degrees(np.arctan2(sine, cosine)))


def _turned(degrees: float) -> np.ndarray:
    """Return the matrix that turns the hue by an angle."""
    angle, grey = np.radians(degrees), np.tile(LUMA["W3C Filter Effects"], (3, 1))
    turned: np.ndarray = grey + np.cos(angle) * np.array(_HUE_COSINE) + np.sin(angle) * np.array(_HUE_SINE)
    return turned
