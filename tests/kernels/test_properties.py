"""Properties from the weights: against sums over polynomials and waves, and those that define the families."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelfield import kernels as k
from kernelfield.errors import AccuracyWarning

sigmas = st.floats(0.5, 3)
sizes = st.integers(3, 12).map(lambda n: 2 * n + 1)


def on(kernel, function):
    """Return the response at the output pixel to an image given as a function of the offsets down and right."""
    down, right = (np.arange(n) - a for n, a in zip(kernel.shape, kernel.anchor))
    return float((kernel.weights * function(down[:, None].astype(float), right[None].astype(float))).sum())


def size_of(kernel, i, j):
    down, right = (np.arange(n) - a for n, a in zip(kernel.shape, kernel.anchor))
    return float((np.abs(kernel.weights) * np.abs(down[:, None]) ** i * np.abs(right[None]) ** j).sum())


@given(st.integers(0, 2**32 - 1), st.tuples(st.integers(1, 5), st.integers(1, 5)), st.tuples(*[st.integers(-3, 6)] * 2))
def test_of_any_kernel(seed, shape, anchor):
    kernel = k.Kernel(np.random.default_rng(seed).integers(-4, 5, shape) + 0.5, anchor=anchor)
    found = kernel.properties
    assert found.sum == pytest.approx(on(kernel, lambda r, c: np.ones(np.broadcast_shapes(r.shape, c.shape))))
    terms = {**found.leading, **found.error}
    for (i, j), factor in terms.items():
        response = on(kernel, lambda r, c, i=i, j=j: r**i * c**j)
        assert factor == pytest.approx(response / (math.factorial(i) * math.factorial(j)))
    waves = np.linspace(-0.5, 0.5, 21)
    assert np.abs(kernel.frequency_response(waves)[2]).max() <= 1.02 * found.gain
    at = kernel.frequency_response([found.frequency[0]], [found.frequency[1]])[2]
    assert abs(at[0, 0]) == pytest.approx(found.gain)
    noise = np.random.default_rng(0).normal(size=(2000, *shape))
    assert found.noise == pytest.approx((noise * kernel.weights).sum(axis=(1, 2)).std(), rel=0.1)


@pytest.mark.parametrize(
    ("kernel", "order", "leading", "accuracy"),
    [
        (k.sobel(), 1, {(0, 1): 8}, 2),
        (k.scharr(0, "unit"), 1, {(1, 0): 1}, 2),
        (k.laplacian(8), 2, {(0, 2): 3, (2, 0): 3}, 2),
        (k.derivative(2, 4), 2, {(0, 2): 1}, 4),
        (k.derivative(scheme="forward", accuracy=1), 1, {(0, 1): 1}, 1),
        (k.mixed_derivative((2, 1)), 3, {(2, 1): 1}, 2),
        (k.box(), 0, {(0, 0): 1}, 2),
        (k.shift(2, -1), 0, {(0, 0): 1}, 1),
        (k.cubic(), 0, {(0, 0): 1}, 4),
    ],
)
def test_the_derivative_taken(kernel, order, leading, accuracy):
    found = kernel.properties
    assert (found.order, found.accuracy) == (order, accuracy)
    assert dict(found.leading) == pytest.approx(leading)


def test_of_blurs():
    found = k.gaussian((1.5, 2.0), method="discrete", truncate=10).properties
    assert found.sigma == pytest.approx((1.5, 2.0), rel=1e-6)
    assert (found.centre, found.mean) == (pytest.approx((0, 0), abs=1e-15), 1)
    assert k.shift(0.25, -1.5, "linear").properties.centre == pytest.approx((-0.25, 1.5))
    assert k.sobel().properties.centre is None
    assert k.Kernel(np.zeros((3, 3))).properties.order is None
    assert str(k.Kernel(np.zeros((3, 3))).properties)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([[1, 2, 1]], "standard deviation 0 down, 0.7071 right\n"),
        ([[-1, 3, -1]], "standard deviation 0 down\n"),
        ([[-1], [3], [-1]], "standard deviation 0 right\n"),
        ([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], ""),
    ],
)
def test_a_variance_below_0_is_no_spread(weights, said):
    text = str(k.Kernel(np.array(weights, float)).properties)
    assert "nan" not in text
    assert ("standard deviation" in text) == bool(said)
    assert said in text


@given(sigmas, st.integers(1, 6), st.floats(-180, 180), sizes)
def test_steerable_gives_every_polynomial_up_to_its_order_its_derivative(sigma, order, angle, size):
    kernel = k.steerable(order, angle, sigma, max(size, 2 * order + 1))
    u = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    for i in range(order + 1):
        for j in range(order + 1 - i):
            wanted = math.factorial(order) * u[0] ** i * u[1] ** j if i + j == order else 0.0
            assert on(kernel, lambda r, c, i=i, j=j: r**i * c**j) == pytest.approx(
                wanted, abs=1e-9 * (1 + size_of(kernel, i, j))
            )


@given(sigmas, st.integers(0, 5), st.integers(0, 5), sizes)
def test_gaussian_derivatives_have_exact_moments(sigma, down, right, size):
    kernel = k.gaussian_derivative(sigma, (down, right), size)
    for i in range(down + 1):
        for j in range(right + 1):
            wanted = math.factorial(i) * math.factorial(j) if (i, j) == (down, right) else 0.0
            found = on(kernel, lambda r, c, i=i, j=j: r**i * c**j)
            assert found == pytest.approx(wanted, abs=1e-9 * (1 + size_of(kernel, i, j)))


@given(sigmas, sizes)
def test_the_laplacian_of_a_gaussian(sigma, size):
    kernel = k.log(sigma, size)
    assert abs(kernel.weights.sum()) < 1e-12 * np.abs(kernel.weights).sum()
    assert on(kernel, lambda r, c: r**2 + c**2) == pytest.approx(4)


def test_a_wide_gaussian_has_the_hermite_polynomials():
    for order in range(5):
        corrected, sampled = (k.gaussian_derivative(3, (0, order), normalise=one, truncate=8) for one in (True, False))
        np.testing.assert_allclose(corrected.weights, sampled.weights, atol=1e-8)


@given(st.floats(3, 12), st.floats(-180, 180), st.floats(0.6, 2.5), st.floats(20, 90), st.floats(-180, 180))
def test_waves_of_sum_zero(wavelength, orientation, bandwidth, angle, phase):
    for kernel in (
        k.log_gabor(wavelength, orientation, bandwidth, angle, phase),
        k.gabor(wavelength, orientation, bandwidth=bandwidth, phase=phase, normalise=True),
    ):
        assert abs(kernel.weights.sum()) < 1e-12 * np.abs(kernel.weights).sum()


@given(st.floats(0.5, 2), st.floats(1.05, 4), sizes)
def test_differences_of_gaussians_sum_to_zero(inner, ratio, size):
    kernel = k.dog(inner, inner * ratio, size)
    assert abs(kernel.weights.sum()) < 1e-12
    assert kernel.weights[size // 2, size // 2] > 0


UNITS = [
    *(k.sobel(axis, size, order, "unit") for axis in (0, 1) for size in (3, 5, 7) for order in (1, 2)),
    *(family(axis, "unit") for axis in (0, 1) for family in (k.scharr, k.prewitt)),
    *(k.farid(axis, size, order, "unit") for axis in (0, 1) for size in (5, 7) for order in (1, 2)),
    k.laplacian(4, "unit"),
    k.laplacian(8, "unit"),
    k.sobel_laplacian(3, "unit"),
    k.sobel_laplacian(7, "unit"),
    k.gaussian_derivative(scale="unit"),
]


@pytest.mark.parametrize("kernel", UNITS, ids=lambda kernel: f"{kernel.name}{kernel.shape}")
def test_unit_scale_is_the_derivative_per_pixel(kernel):
    assert list(kernel.properties.leading.values()) == pytest.approx([1] * len(kernel.properties.leading))


def test_the_numbers_of_the_audit():
    assert k.laplacian(8).properties.leading[0, 2] * 4 == 12
    assert 100 * k.log(0.5, normalise=False).weights.sum() == pytest.approx(-112, abs=1)
    assert 200 * k.log_gabor(8, bandwidth=2, normalise=False).weights.sum() == pytest.approx(-6.9, abs=0.1)
    with pytest.warns(AccuracyWarning, match="9.7% of their response to the wave; normalise=True takes it away"):
        k.gabor(8, bandwidth=1.5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: k.gaussian(0.3), "sigma 0.3 with 3 weights acts as sigma 0.088; method='discrete' keeps it"),
        (lambda: k.gaussian(5, 3), "sigma 5 with 3 weights acts as sigma 0.81; take a larger size"),
        (lambda: k.gaussian_derivative(0.3, size=(1, 9)), "acts as sigma 0.58 by its first error term"),
        (lambda: k.log(0.3), "acts as sigma"),
        (lambda: k.steerable(6, 0, 0.8), "at order 6 as sigma"),
        (lambda: k.dog(1, 3, 7), "sigma 3 with 7 weights"),
        (lambda: k.gabor(8, size=5), "answer to a constant"),
        (lambda: k.gabor(2), "not 1/2"),
        (lambda: k.log_gabor(8, bandwidth=2), "which is taken away"),
        (lambda: k.airy(5, 7), "of the light; take a larger size"),
        (lambda: k.airy(0.5), "pixels are too coarse; method='integrated'"),
        (lambda: k.moffat(3, 1.2), "of the light"),
    ],
)
def test_too_small_a_sigma_or_size_warns_with_the_error(call, says):
    with pytest.warns(AccuracyWarning, match=says) as caught:
        call()
    assert [warning.filename for warning in caught] == [__file__]


def test_defaults_and_searches_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, family in k.CATALOGUE.items():
            kernel = family(1, 2) if name == "shift" else family()
            assert kernel.properties.noise > 0
        assert k.match(k.Kernel(np.outer([1, 3, 1], [1, 3, 1])).weights / 25) is not None
