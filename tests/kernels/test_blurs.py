"""Disks and lines against counts of many points in each pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfield import kernels as k


@pytest.mark.parametrize("radius", [0.3, 0.5, 0.6, 0.8, 1, 1.5, 2.7, 4.49, 4.5, 4.51])
def test_disks_cover_what_they_cover(radius):
    kernel = k.disk(radius)
    n, fine = kernel.shape[0], 200
    places = (np.arange(n * fine) + 0.5) / fine - n / 2
    inside = np.add.outer(places**2, places**2) <= radius**2
    share = inside.reshape(n, fine, n, fine).mean(axis=(1, 3))
    np.testing.assert_allclose(kernel.weights, share / share.sum(), atol=2e-4 / max(1, radius))
    assert kernel.weights[0].max() > 0
    assert n == 1 or n / 2 - 1 < radius <= n / 2


@given(st.floats(1e-3, 40))
def test_disks_are_means_and_symmetric(radius):
    weights = k.disk(radius).weights
    assert np.isfinite(weights).all()
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    for twin in (weights.T, weights[::-1], weights[:, ::-1]):
        np.testing.assert_allclose(weights, twin, atol=1e-14)
    # Pixels that lie inside altogether hold one over the area.
    middle = len(weights) // 2
    if radius > 0.75:
        assert weights[middle, middle] == pytest.approx(1 / (np.pi * radius**2))


@given(st.floats(0.05, 30), st.floats(-400, 400))
def test_lines_cover_what_they_cover(length, angle):
    kernel = k.motion(length, angle)
    points = (np.arange(20000) + 0.5) / 20000 - 0.5
    along = np.outer((np.sin(np.radians(angle)), np.cos(np.radians(angle))), points * length)
    # Points on the border of two pixels belong to either.
    places = np.rint(along + 1e-9 * np.sign(along)).astype(int) + np.array(kernel.shape)[:, None] // 2
    inside = ((places >= 0) & (places < np.array(kernel.shape)[:, None])).all(axis=0)
    assert inside.mean() > 0.999
    share = np.zeros(kernel.shape)
    np.add.at(share, tuple(places[:, inside]), 1 / 20000)
    np.testing.assert_allclose(kernel.weights, share, atol=5e-4)
    assert kernel.weights.sum() == pytest.approx(1)
    assert kernel.flipped() == kernel


def test_lines_along_the_axes_are_boxes():
    np.testing.assert_allclose(k.motion(7, 0).weights, k.box((1, 7)).weights, atol=1e-16)
    np.testing.assert_allclose(k.motion(7, 90).weights, k.box((7, 1)).weights, atol=1e-16)
    np.testing.assert_allclose(k.motion(5, 135).weights, k.motion(5, 45).weights[::-1], atol=1e-16)
    np.testing.assert_allclose(k.motion(4, 0).weights, [[0.125, 0.25, 0.25, 0.25, 0.125]])
    # Down and to the right: clockwise on the screen.
    assert k.motion(9, 30).weights[-1, -1] > 0
