"""Names of colour matrices, at and beyond the tolerance; the numbers are written out here from the standards."""

from __future__ import annotations

import numpy as np
import pytest

from kernelfield.learning.models.matrices import likely, name_matrix

LUMA = {
    "Rec. 601": [0.299, 0.587, 0.114],
    "Rec. 709": [0.2126, 0.7152, 0.0722],
    "W3C Filter Effects": [0.213, 0.715, 0.072],
    "Rec. 601, as Pillow's integers": [19595 / 65536, 38470 / 65536, 7471 / 65536],
    "equal parts": [1 / 3, 1 / 3, 1 / 3],
}
SEPIA = [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]]
#: R = Y + 1.402 Cr, G = Y - 0.344136286 Cb - 0.714136286 Cr, B = Y + 1.772 Cb, of which it is the inverse.
FROM_JFIF = [[1, 0, 1.402], [1, -0.344136286, -0.714136286], [1, 1.772, 0]]
NAMED = {
    "sepia": SEPIA,
    "YCbCr": np.linalg.inv(FROM_JFIF),
    "identity": np.eye(3),
}


def turned(degrees: float) -> np.ndarray:
    """Return the matrix that the standard prints for hueRotate."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array(
        [
            [0.213 + c * 0.787 - s * 0.213, 0.715 - c * 0.715 - s * 0.715, 0.072 - c * 0.072 + s * 0.928],
            [0.213 - c * 0.213 + s * 0.143, 0.715 + c * 0.285 + s * 0.140, 0.072 - c * 0.072 - s * 0.283],
            [0.213 - c * 0.213 - s * 0.787, 0.715 - c * 0.715 + s * 0.715, 0.072 + c * 0.928 + s * 0.072],
        ]
    )


def saturated(s: float, weights: list[float]) -> np.ndarray:
    return s * np.eye(3) + (1 - s) * np.tile(weights, (3, 1))


def moved(matrix: np.ndarray, by: float) -> np.ndarray:
    """Return a matrix of which one element, the last, is moved."""
    result = np.array(matrix, np.float64)
    result[-1, -1] += by
    return result


@pytest.mark.parametrize("name", NAMED)
def test_a_known_matrix_has_its_name_within_the_tolerance_alone(name):
    matrix, tolerance = np.array(NAMED[name]), np.full((3, 3), 1e-5)
    assert name_matrix(moved(matrix, 0.9e-5), tolerance).name == name
    other = name_matrix(moved(matrix, 1.2e-5), tolerance)
    assert other is None or other.name not in (name, "channel order")


@pytest.mark.parametrize("outputs", [1, 2, 3, 4])
@pytest.mark.parametrize("label", LUMA)
def test_brightness(label, outputs):
    matrix, tolerance = np.tile(LUMA[label], (outputs, 1)), np.full((outputs, 3), 1e-7)
    found = name_matrix(moved(matrix, 0.9e-7), tolerance)
    times = "" if outputs == 1 else f" in each of {outputs} channels"
    assert (found.name, found.description) == ("luma", f"brightness by {label}{times}")
    assert found.parameters == {"weights": label}
    other = name_matrix(moved(matrix, 1.2e-7), tolerance)
    assert other is None or other.name != "luma"
    assert any(np.array_equal(one, matrix) for one in likely(moved(matrix, 0.0099)))
    assert not any(np.array_equal(one, matrix) for one in likely(moved(matrix, 0.0101)))


@pytest.mark.parametrize(
    ("matrix", "order"),
    [
        ([[0, 0, 1], [0, 1, 0], [1, 0, 0]], (2, 1, 0)),
        ([[0, 1], [1, 0]], (1, 0)),
        ([[0, 0, 1, 0], [1, 0, 0, 0]], (2, 0)),
        ([[0, 1, 0]], (1,)),
        ([[1, 0], [1, 0]], None),
        ([[1, 1], [0, 0]], None),
        ([[2, -1], [-1, 2]], None),
        ([[0, 0], [0, 1]], None),
        ([[1, 1]], None),
        ([[0.5, 0.5], [0.5, 0.5]], None),
    ],
)
def test_an_order_of_channels(matrix, order):
    tolerance = np.full(np.shape(matrix), 1e-3)
    found = name_matrix(moved(matrix, 0.9e-3), tolerance)
    if order is None:
        assert found is None
        return
    assert (found.name, found.parameters) == ("channel order", {"order": order})
    assert found.description == f"the channels in the order {', '.join(map(str, order))}"
    assert name_matrix(moved(matrix, 1.1e-3), tolerance) is None


def test_one_channel_several_times():
    tolerance = np.full((4, 1), 1e-3)
    found = name_matrix(np.full((4, 1), 1.0009), tolerance)
    assert (found.name, found.description) == ("grey", "the one channel, 4 times")
    assert name_matrix(np.full((4, 1), 1.0011), tolerance) is None
    assert name_matrix(np.ones((4, 2)), np.full((4, 2), 1e-3)) is None
    assert name_matrix(np.ones((1, 1)), np.full((1, 1), 1e-3)).name == "identity"


@pytest.mark.parametrize("s", [0.0, 0.5, 1.37, 0.125, -0.2, 2.0])
@pytest.mark.parametrize("label", LUMA)
def test_saturation(label, s):
    matrix, tolerance = saturated(s, LUMA[label]), np.full((3, 3), 1e-7)
    found = name_matrix(moved(matrix, 0.5e-7), tolerance)
    if s:
        assert (found.name, found.parameters["weights"]) == ("saturation", label)
        assert found.parameters["saturation"] == pytest.approx(s, abs=1e-7)
        assert found.description == f"saturation times {s:.4g} (brightness by {label})"
        assert name_matrix(moved(matrix, 2e-7), tolerance) is None
    assert any(np.allclose(one, matrix, rtol=0, atol=1e-12) for one in likely(matrix + 1e-5))
    # Up to three digits of it are meant.
    assert any(np.allclose(one, matrix, rtol=0, atol=1e-12) for one in likely(saturated(s + 3e-4, LUMA[label])))


@pytest.mark.parametrize("degrees", [30.0, 90.0, 12.5, -77.3, 179.0])
def test_hue(degrees):
    matrix, tolerance = turned(degrees), np.full((3, 3), 1e-6)
    found = name_matrix(moved(matrix, 0.5e-6), tolerance)
    assert found.name == "hue rotation"
    assert found.parameters["degrees"] == pytest.approx(degrees, abs=1e-4)
    assert found.description == f"hue turned by {degrees:.4g}°"
    assert name_matrix(moved(matrix, 3e-6), tolerance) is None
    # A turn of no length, and one of another.
    grey = np.tile(LUMA["W3C Filter Effects"], (3, 1))
    assert name_matrix(grey + 1.1 * (matrix - grey), tolerance) is None
    assert any(np.allclose(one, matrix, rtol=0, atol=1e-12) for one in likely(matrix + 1e-5))


@pytest.mark.parametrize("name", ["sepia", "YCbCr"])
def test_likely_matrices_are_those_nearby(name):
    matrix = np.array(NAMED[name])
    for near in likely(moved(matrix, 0.009)):
        assert np.abs(near - moved(matrix, 0.009)).max() < 0.01
    assert any(np.allclose(one, matrix, atol=1e-8) for one in likely(moved(matrix, 0.009)))
    assert likely(np.eye(2)) == []
    assert likely(moved(np.full((3, 3), 5.0), 0.0)) == []
