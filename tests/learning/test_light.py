"""Transfer functions against the formula of the standard."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.curve import Curve
from kernelfield.learning.light import Light

pytestmark = pytest.mark.core


def srgb(value: float) -> float:
    """Return the light of a stored number (IEC 61966-2-1:1999, section 5.2)."""
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_the_light_of_stored_numbers(white):
    values = np.array([0.0, 0.02, 0.0404, 0.0405, 0.1, 0.5, 1.0, 1.7])
    expected = np.array([srgb(value) for value in values])
    for sign in (1.0, -1.0):
        found = Light("sRGB").decode(sign * values * white, white)
        np.testing.assert_allclose(found, sign * expected, rtol=1e-12)
        np.testing.assert_allclose(Light("sRGB").encode(found, white), sign * values * white, rtol=1e-7)
        power = Light(2.2).decode(sign * values * white, white)
        np.testing.assert_allclose(power, sign * values**2.2, rtol=1e-12)
        np.testing.assert_allclose(Light(2.2).encode(power, white), sign * values * white, rtol=1e-12)
    assert (Light(2.0).before_white, Light(2.0).after_white) == (1.0, 1.0)
    np.testing.assert_allclose(Light(2.0).encode(np.array([0.25])), [0.5])
    np.testing.assert_allclose(Light(2.0).decode(np.array([0.5])), [0.25])
    assert (str(Light("sRGB")), str(Light(2.2))) == ("sRGB", "power 2.2")


def test_curves_are_straight_between_their_points():
    curve = Curve("after", (0.0, 2.0, 4.0), (10.0, 10.0, 30.0), "a curve")
    np.testing.assert_allclose(curve(np.array([-1.0, 1.0, 3.0, 9.0])), [10.0, 10.0, 20.0, 30.0])
    # Of equal outputs the first input.
    np.testing.assert_allclose(curve.undo(np.array([5.0, 10.0, 20.0, 40.0])), [0.0, 0.0, 2.0, 4.0])
    falling = Curve("before", (0.0, 2.0, 4.0), (30.0, 10.0, 0.0), "inverted")
    np.testing.assert_allclose(falling.undo(np.array([30.0, 20.0, 5.0, 0.0])), [0.0, 1.0, 3.0, 4.0])
    level = Curve("before", (0.0, 2.0), (5.0, 5.0), "level")
    np.testing.assert_allclose(level.undo(np.array([5.0])), [0.0])
