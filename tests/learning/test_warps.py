"""Maps between pictures: what they say, and that they are found."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

from kernelfield.learning.warps import Warp, _corners, find_warp, reduced

pytestmark = pytest.mark.core
SCENE = ndi.gaussian_filter(np.random.default_rng(0).normal(size=(90, 100)), 2.0)
SCENE = 50.0 + 100.0 * SCENE / SCENE.std()


def turn(degrees: float, zoom: float = 1.0) -> np.ndarray:
    """Return the matrix of a picture turned counter-clockwise, rows pointing down, and enlarged."""
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / zoom


def moved(matrix: np.ndarray, shift=(0.0, 0.0)) -> np.ndarray:
    middle = (np.array(SCENE.shape) - 1) / 2.0
    return ndi.affine_transform(SCENE, matrix, middle - matrix @ middle + shift, order=3, mode="reflect")


@pytest.mark.parametrize("degrees", [3.0, -5.0, 12.0])
@pytest.mark.parametrize("zoom", [1.0, 1.07])
def test_turned_and_enlarged_pictures(degrees, zoom):
    found = find_warp(SCENE, 0.5 * moved(turn(degrees, zoom)) + 20.0)
    assert found.rotation == pytest.approx(degrees, abs=0.1)
    assert found.zoom == pytest.approx(zoom, abs=2e-3)
    assert found.stretch == pytest.approx(1.0, abs=4e-3)
    assert found.left < 0.02
    assert found.reach == pytest.approx(np.hypot(44.5, 49.5))
    way = "counter-clockwise" if degrees > 0 else "clockwise"
    assert f"° {way}" in found.describe()
    assert ("resized" in found.describe()) == (zoom != 1.0)


def test_a_shift_is_no_map_and_noise_has_none():
    assert find_warp(SCENE, moved(np.eye(2), (2.5, -1.0))) is None
    found = find_warp(SCENE, moved(turn(4.0), (2.5, -1.0)))
    np.testing.assert_allclose(found.shift, (2.5, -1.0), atol=0.1)
    assert find_warp(SCENE[:15], SCENE[:15]) is None
    other = find_warp(SCENE, np.random.default_rng(5).normal(size=SCENE.shape))
    assert other is None or other.left > 0.5


def test_pixels_that_do_not_count_change_nothing():
    after, good = moved(turn(4.0)), np.ones(SCENE.shape, bool)
    good[20:30, 30:60] = False
    found = find_warp(SCENE, np.where(good, after, after[good].mean()), good)
    assert found.rotation == pytest.approx(4.0, abs=0.3)


def test_large_pictures_are_compared_reduced():
    scene = ndi.gaussian_filter(np.random.default_rng(0).normal(size=(200, 210)), 5.0)
    after = ndi.rotate(scene, 4.0, reshape=False, order=3, mode="reflect")
    found = find_warp(scene, after)
    assert found.rotation == pytest.approx(4.0, abs=0.1)
    assert found.reach == pytest.approx(2.0 * np.hypot(49.5, 52.0))
    # With a pixel of each square left out nothing counts.
    good = np.ones(scene.shape, bool)
    good[::2, ::2] = False
    assert find_warp(scene, after, good) is None


@pytest.mark.parametrize("reach", [50.0, 200.0])
def test_the_phrase_names_what_moves_the_corners(reach):
    least = 0.3 / reach

    def said(matrix: np.ndarray) -> str:
        return Warp(matrix, np.zeros(2), 0.0, reach).describe()

    assert said(np.eye(2)) == "the picture shifted"
    assert said(turn(np.degrees(1.05 * least))).startswith("the picture rotated by")
    assert said(turn(np.degrees(0.95 * least))) == "the picture shifted"
    assert said(turn(0.0, 1.0 + 1.05 * least)).startswith("the picture resized by a factor of 1.00")
    assert said(turn(0.0, 1.0 + 0.95 * least)) == "the picture shifted"
    assert "stretched" in said(np.diag([1.0 + 1.05 * least, 1.0 - 1.05 * least]))
    assert "stretched" not in said(np.diag([1.0 + 0.95 * least, 1.0 - 0.95 * least]))
    assert said(turn(3.0, 1.25)) == "the picture rotated by 3° counter-clockwise and resized by a factor of 1.25"
    assert said(turn(-3.0)) == "the picture rotated by 3° clockwise"
    assert Warp(np.diag([0.5, 0.25]), np.zeros(2), 0.0, 1.0).stretch == pytest.approx(2.0)


def test_corners_and_means_over_squares():
    middle = np.array([30.0, 40.0])
    assert _corners(0.1 * np.eye(2), middle) == pytest.approx(5.0)
    # A shear moves the corners by more on one diagonal.
    assert _corners(np.array([[0.1, 0.1], [0.0, 0.0]]), middle) == pytest.approx(7.0)
    image = np.arange(56.0).reshape(7, 8)
    expected = [[image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in range(4)] for i in range(3)]
    np.testing.assert_allclose(reduced(image, 2), expected)
