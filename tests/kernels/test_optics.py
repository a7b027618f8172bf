"""Point-spread functions against astropy, SciPy's quadrature and known limits; rings and turned Gaussians."""

import numpy as np
import pytest
from astropy.convolution import AiryDisk2DKernel, Moffat2DKernel
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special

from kernelfield import kernels as k


@pytest.mark.parametrize("radius", [1.7, 3.0, 4.5])
def test_airy_is_astropys(radius):
    expected = AiryDisk2DKernel(radius, x_size=31, y_size=31, mode="center").array
    np.testing.assert_allclose(k.airy(radius, 31).weights, expected / expected.sum(), atol=1e-9)


@pytest.mark.parametrize(("fwhm", "beta"), [(2.0, 2.5), (3.3, 4.765)])
def test_moffat_is_astropys(fwhm, beta):
    gamma = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    expected = Moffat2DKernel(gamma, beta, x_size=25, y_size=25, mode="center").array
    np.testing.assert_allclose(k.moffat(fwhm, beta, 25).weights, expected / expected.sum(), atol=1e-12)


def test_moffats_width_and_limit():
    row = k.moffat(4, 3, (1, 33)).weights[0]
    assert row[18] / row[16] == pytest.approx(0.5)
    sigma = 3 / (2 * np.sqrt(2 * np.log(2)))
    np.testing.assert_allclose(k.moffat(3, 1e6, 13).weights, k.gaussian(sigma, 13).weights, atol=1e-6)


def intensity(radius, fresnel, r):
    """The integral of Born and Wolf by SciPy's quadrature."""
    parts = [
        integrate.quad(
            lambda t, wave=wave: special.j0(2 * np.pi * fresnel * t * r / radius) * wave(np.pi * fresnel * t**2) * t,
            0,
            1,
        )[0]
        for wave in (np.cos, np.sin)
    ]
    return parts[0] ** 2 + parts[1] ** 2


@pytest.mark.parametrize(("radius", "fresnel"), [(2.0, 0.5), (3.0, 1.0), (4.0, 3.3), (6.0, 12.0)])
def test_the_pinhole_is_the_integral(radius, fresnel):
    weights = k.pinhole(radius, fresnel, 13).weights
    expected = np.array([intensity(radius, fresnel, r) for r in range(7)])
    # At even Fresnel numbers the middle is dark.
    np.testing.assert_allclose(weights[6, 6:] / weights[6].max(), expected / expected.max(), atol=1e-9)


def test_a_far_pinhole_is_an_airy_pattern_and_a_near_one_a_disk():
    far = k.pinhole(1.0, 0.05, 41).weights
    airy = k.airy(3.8317059702 / (2 * np.pi * 0.05), 41).weights
    np.testing.assert_allclose(far, airy, atol=3e-3 * airy.max())
    near = k.pinhole(8, 40, 33, "integrated").weights
    inside = np.hypot(*np.mgrid[-16:17, -16:17]) < 6
    assert near[inside].mean() == pytest.approx(1 / (np.pi * 64), rel=0.03)
    assert near[np.hypot(*np.mgrid[-16:17, -16:17]) > 10].sum() < 0.02


ROUND = [
    *(lambda method=method: k.airy(1.6, method=method) for method in ("sampled", "integrated")),
    *(lambda method=method: k.moffat(2, 3, method=method) for method in ("sampled", "integrated")),
    *(lambda method=method: k.pinhole(2, 1, method=method) for method in ("sampled", "integrated")),
    lambda: k.annulus(3.4, 1.7),
]


@pytest.mark.parametrize("build", ROUND)
def test_all_are_round_and_sum_to_one(build):
    weights = build().weights
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0
    for turned in (weights.T, weights[::-1], weights[:, ::-1]):
        np.testing.assert_allclose(turned, weights, rtol=1e-12, atol=1e-17)


def test_integrals_over_pixels():
    def inside(y, x):
        v = 3.8317059702 / 1.6 * np.hypot(x, y)
        return (2 * special.j1(v) / v) ** 2

    weights = k.airy(1.6, 13, "integrated").weights
    expected = [integrate.dblquad(inside, j - 0.5, j + 0.5, i - 0.5, i + 0.5)[0] for i, j in ((1, 0), (2, 1), (0, 3))]
    found = [weights[6 + i, 6 + j] for i, j in ((1, 0), (2, 1), (0, 3))]
    np.testing.assert_allclose(np.array(found) / found[0], np.array(expected) / expected[0], rtol=1e-4)


@given(st.floats(0.6, 6), st.floats(0.05, 0.95))
def test_a_ring_is_a_disk_less_a_smaller_one(outer, share):
    inner = outer * share
    ring = k.annulus(outer, inner)
    big, small = k.disk(outer), k.disk(inner)
    expected = (outer**2 * big - inner**2 * small) / (outer**2 - inner**2)
    np.testing.assert_allclose((ring - expected).weights, 0, atol=1e-10)


@given(st.floats(1.2, 3), st.floats(0.8, 3), st.floats(-180, 180))
def test_turned_gaussians_have_their_variances(along, across, orientation):
    kernel = k.oriented_gaussian(along, across, orientation, truncate=6)
    down, right = (np.arange(n) - n // 2 for n in kernel.shape)
    angle = np.radians(orientation)
    first = np.add.outer(np.sin(angle) * down, np.cos(angle) * right)
    second = np.add.outer(np.cos(angle) * down, -np.sin(angle) * right)
    assert (kernel.weights * first**2).sum() == pytest.approx(along**2, rel=1e-3)
    assert (kernel.weights * second**2).sum() == pytest.approx(across**2, rel=1e-3)
    assert (kernel.weights * first * second).sum() == pytest.approx(0, abs=1e-3)


def test_upright_ones_are_gaussians():
    np.testing.assert_allclose(
        k.oriented_gaussian(2, 1, 90, 13).weights, k.gaussian((2, 1), 13).weights, rtol=1e-12, atol=1e-18
    )
