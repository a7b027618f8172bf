"""One-dimensional Gaussian weights: sampled, integrated over pixels, the discrete analogue, fixed point, derivatives.

All but the derivatives are divided by their sum.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float64]


def sampled_gaussian(sigma: float, size: int) -> Weights:
    """Return `size` samples of a centred normal density, divided by their sum."""
    if sigma == 0:
        return np.eye(1, size, size // 2, dtype=np.float64).ravel()
    x = np.arange(size) - (size - 1) / 2
    samples: Weights = np.exp(-0.5 * ((x**2 - x[size // 2] ** 2) / sigma) / sigma)
    return np.asarray(samples / samples.sum())


def integrated_gaussian(sigma: float, size: int) -> Weights:
    """Return the normal density integrated over each of `size` pixels, divided by the sum."""
    if sigma == 0:
        return sampled_gaussian(0, size)
    # Differences of the complementary error function keep their digits far from the centre.
    edges = (np.arange(size // 2 + 1 + size % 2) - size % 2 / 2) / (math.sqrt(2) * sigma)
    tails = np.array([math.erfc(edge) for edge in edges.tolist()])
    outer = tails[:-1] - tails[1:]
    weights = np.concatenate([outer[::-1], outer[size % 2 :]])
    return np.asarray(weights / weights.sum())


def discrete_gaussian(sigma: float, size: int) -> Weights:
    """Return the discrete analogue of the Gaussian, ``exp(-t) I_n(t)`` with ``t = sigma**2``, divided by its sum.

    I_n is the modified Bessel function of integer order (T. Lindeberg, Scale-space for discrete signals, IEEE PAMI 12
    (1990), 234-254). Its transfer function is ``exp(t (cos ω - 1))``; the trapezoidal rule inverts it to rounding
    error once the samples reach beyond the tails.
    """
    if sigma == 0:
        return sampled_gaussian(0, size)
    reach = size + 40 + math.ceil(16 * sigma)
    waves = 2 * np.pi * np.arange(reach + 1) / (2 * reach)
    half = np.fft.irfft(np.exp(sigma**2 * (np.cos(waves) - 1)), 2 * reach)[: size // 2 + 1]
    weights = np.abs(np.concatenate([half[:0:-1], half]))
    return np.asarray(weights / weights.sum())


def fixed_point(factor: Weights, bits: int) -> Weights:
    """Return symmetric weights in binary fixed point: rounding errors carried inwards, the remainder in the centre.

    OpenCV, modules/imgproc/src/smooth.dispatch.cpp, getGaussianKernelFixedPoint_ED.
    """
    one = 2**bits
    result = np.zeros(len(factor))
    error = 0.0
    for i in range(len(factor) // 2):
        wanted = float(factor[i]) * one + error
        result[i] = result[-1 - i] = round(wanted)
        error = wanted - result[i]
    if len(factor) % 2:
        result[len(factor) // 2] = one - result.sum()
    return np.asarray(result / one)


METHODS: Mapping[str, Callable[[float, int], Weights]] = {
    "sampled": sampled_gaussian,
    "integrated": integrated_gaussian,
    "discrete": discrete_gaussian,
}


def derivative_of_gaussian(sigma: float, size: int, order: int, normalise: bool = True) -> Weights:
    """Return `size` cross-correlation weights of the derivative of a Gaussian.

    The weights are ``n! π_n(x) g(x) / Σ π_n² g``, with g the sampled Gaussian of sum one and π_n the monic polynomial
    orthogonal under g to all of lower degree: the Hermite polynomial of the samples. Hence the responses to ``x**m``
    are exact for all m up to the order: n! for m = n, else 0. For a wide Gaussian π_n is He_n. With `normalise` False
    He_n itself is sampled, as `scipy.ndimage.gaussian_filter` does; the responses then have an error of truncation.

    References
    ----------
    W. Gautschi, Orthogonal Polynomials: Computation and Approximation (2004), section 2.1 (discrete measures: the
    recurrence with coefficients from inner products).
    """
    x = (np.arange(size) - (size - 1) / 2) / sigma
    weights = sampled_gaussian(sigma, size)
    if order == 0:
        return weights
    before, here = np.zeros(size), np.ones(size)
    norm = float(weights.sum())
    for n in range(order):
        if normalise:
            # Under symmetric weights the middle coefficient of the recurrence is 0.
            last, norm = norm, float((here**2 * weights).sum())
            before, here = here, x * here - (norm / last if n else 0.0) * before
        else:
            before, here = here, x * here - n * before
    factor = math.factorial(order) / float((here**2 * weights).sum()) if normalise else 1.0
    return here * weights * (factor / sigma**order)


def acting_variance(weights: Weights, order: int) -> float:
    """Return the variance of the Gaussian whose derivative these weights take, by their first error term.

    The Gaussian of variance t turns the n-th derivative of ``x**(n + 2) / (n + 2)!`` at 0 from 0 into ``t / 2``.
    """
    x = np.arange(len(weights)) - (len(weights) - 1) / 2
    return float(2 * (weights * x ** (order + 2)).sum()) / math.factorial(order + 2)
