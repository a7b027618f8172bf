"""Sparseness of known distributions; spectra and bandwidths of images made for the test."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from cases import photograph

import kernelfield as kf
from kernelfield.errors import ArgumentError, DataError

rng = np.random.default_rng(0)
GAUSSIAN, LAPLACIAN = rng.normal(size=400_000), rng.laplace(size=400_000)


def test_kurtosis():
    assert kf.coding.kurtosis(GAUSSIAN) == pytest.approx(0, abs=0.05)
    assert kf.coding.kurtosis(LAPLACIAN) == pytest.approx(3, abs=0.15)
    assert kf.coding.kurtosis(rng.uniform(size=400_000)) == pytest.approx(-1.2, abs=0.02)
    few = rng.normal(size=(7, 5)) ** 3
    assert kf.coding.kurtosis(few * 1e-200) == pytest.approx(scipy.stats.kurtosis(few.ravel()))


def test_relative_response():
    # Of the half normal: the mean beyond its 90 % point; of the exponential: 1 + ln 10.
    point = scipy.stats.norm.ppf(0.95)
    expected = scipy.stats.norm.pdf(point) / 0.05 / np.sqrt(2 / np.pi)
    assert kf.coding.relative_response(GAUSSIAN) == pytest.approx(expected, rel=0.01)
    assert kf.coding.relative_response(LAPLACIAN) == pytest.approx(1 + np.log(10), rel=0.01)
    assert kf.coding.relative_response(LAPLACIAN, 1.0) == pytest.approx(1)


def test_sparseness():
    n = np.sqrt(400_000)
    expected = (n - n * np.sqrt(2 / np.pi)) / (n - 1)
    assert kf.coding.sparseness(GAUSSIAN) == pytest.approx(expected, abs=1e-3)


def test_statistics_of_nothing():
    for measure in (kf.coding.kurtosis, kf.coding.relative_response, kf.coding.sparseness):
        with pytest.raises(DataError, match="give an image with contrast"):
            measure(np.zeros(5))
        with pytest.raises(ArgumentError, match="responses: expected at least two real numbers"):
            measure([1.0])
        with pytest.raises(ArgumentError, match="responses: expected at least two real numbers"):
            measure(np.ones(4, complex))
        with pytest.raises(DataError, match="responses: expected finite numbers"):
            measure([1.0, np.inf])
    for fraction in (0, 1.5):
        with pytest.raises(ArgumentError, match="fraction: expected"):
            kf.coding.relative_response([1, 2], fraction)


def noise(slope, shape=(256, 320), seed=0):
    """Return noise whose amplitude is the frequency to the power `slope`."""
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1]))
    radius[0, 0] = 1
    white = np.fft.fft2(np.random.default_rng(seed).normal(size=shape))
    return np.fft.ifft2(white * radius**slope).real


@pytest.mark.parametrize("slope", [0.0, -0.5, -1.0, -1.5])
@pytest.mark.parametrize("shape", [(96, 96), (64, 200)])
def test_the_slope_of_noise_and_its_error(slope, shape):
    found = [kf.coding.amplitude_spectrum(noise(slope, shape, seed) + 40) for seed in range(150)]
    slopes, errors = np.array([(one.slope, one.slope_error) for one in found]).T
    assert slopes.mean() == pytest.approx(slope, abs=0.02)
    # 150 give the standard deviation to 6 %.
    assert 0.84 < np.std((slopes - slope) / errors) < 1.16
    assert 0.9 < np.mean(np.abs(slopes - slope) < 1.96 * errors) < 0.99


def test_values_off_the_line_widen_the_error():
    bent = noise(-1.0) + 3 * noise(-1.0, seed=1)[::-1, ::-1] * np.cos(np.arange(320) * 0.9)
    plain, found = (kf.coding.amplitude_spectrum(image) for image in (noise(-1.0), bent))
    left = np.log(found.amplitude) - found.intercept - found.slope * np.log(found.frequency)
    assert np.abs(left).max() > 0.3
    assert found.slope_error > 1.5 * plain.slope_error


def test_amplitudes_are_in_the_units_of_the_image():
    found = kf.coding.amplitude_spectrum(rng.normal(scale=7, size=(300, 300)))
    # Of white noise the amplitude is Rayleigh distributed, its mean sqrt(pi)/2 of the root mean square.
    assert found.amplitude[-6:].mean() == pytest.approx(7 * np.sqrt(np.pi) / 2, rel=0.03)
    assert (np.diff(found.frequency) > 0).all()
    line = np.exp(found.intercept) * found.frequency**found.slope
    assert np.abs(np.log(line / found.amplitude)).max() < 0.5


@pytest.mark.parametrize("name", ["china", "flower", "astronaut", "camera"])
def test_photographs_are_near_one_over_f(name):
    # Tolhurst, Tadmor and Chao (1992): -0.8 to -1.5.
    assert -1.5 < kf.coding.amplitude_spectrum(photograph(name)).slope < -0.8


def test_an_image_too_small_for_a_spectrum():
    with pytest.raises(ArgumentError, match="image: expected at least 32 pixels a side; received 31×40"):
        kf.coding.amplitude_spectrum(rng.normal(size=(31, 40)))


def test_about_an_octave_is_best_for_photographs_and_nothing_for_noise():
    images = [photograph(name)[:300, :300] for name in ("china", "astronaut", "camera")]
    found = kf.coding.by_bandwidth(images, [0.25, 0.5, 1.0, 1.5, 4.0])
    for measure in (found.kurtosis, found.relative_response, found.sparseness):
        assert int(np.argmax(measure)) in (2, 3)
        assert measure[1] > measure[0]
        assert measure[3] > measure[4]
    flat = kf.coding.by_bandwidth(noise(-1.0), [0.5, 1.0, 2.0])
    assert np.abs(flat.kurtosis).max() < 0.5


def test_what_cannot_be_compared():
    with pytest.raises(ArgumentError, match="images, bandwidths: expected at least one of each"):
        kf.coding.by_bandwidth([], [1])
    with pytest.raises(ArgumentError, match="bandwidth: expected a finite number greater than 0"):
        kf.coding.by_bandwidth(noise(0), [0])
    with pytest.raises(ArgumentError, match="orientations: expected an integer"):
        kf.coding.by_bandwidth(noise(0), [1], orientations=0)
