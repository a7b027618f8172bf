"""Sensors: the transfer function measured on the Fourier transform of the kernels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.coding import Sensor
from kernelfield.errors import ArgumentError


def amplitude(weights, size=1024):
    """Return the amplitude spectrum of a kernel, with the frequencies of both axes."""
    line = np.fft.fftfreq(size)
    return line[:, None], line, np.abs(np.fft.fft2(weights, (size, size)))


def width_at_half(line, values):
    """Return where values, with one peak, cross half its height, by linear interpolation."""
    peak = int(np.argmax(values))
    left = np.interp(values[peak] / 2, values[: peak + 1], line[: peak + 1])
    right = np.interp(-values[peak] / 2, -values[peak:], line[peak:])
    return left, right


@pytest.mark.parametrize("bandwidth", [0.6, 1.0, 1.5])
@pytest.mark.parametrize("phase", ["even", "odd"])
def test_frequency_and_bandwidth(bandwidth, phase):
    sensor = Sensor(12.0, 0.0, bandwidth)
    _, line, spectrum = amplitude(getattr(sensor, phase).weights)
    along = spectrum[0, : len(line) // 2]
    low, high = width_at_half(line[: len(along)], along)
    assert np.log2(high / low) == pytest.approx(bandwidth, abs=0.03)
    assert np.sqrt(low * high) == pytest.approx(1 / 12, rel=0.01)


@pytest.mark.parametrize("aspect", [0.5, 1.0])
def test_orientation_bandwidth(aspect):
    sensor = Sensor(12.0, 0.0, 1.0, aspect)
    rows, line, spectrum = amplitude(sensor.even.weights)
    ring = np.hypot(rows, line)
    near = np.abs(ring * 12 - 1) < 0.02
    angle, values = np.degrees(np.arctan2(rows, line))[near], spectrum[near]
    beyond = np.abs(angle) < 85
    half = values[beyond] > values[beyond].max() / 2
    assert 2 * np.abs(angle[beyond][half]).max() == pytest.approx(sensor.orientation_bandwidth, abs=2)
    # A Gabor function's spectrum: width along over width across is the aspect, by the tangent of half the angle.
    assert np.tan(np.radians(sensor.orientation_bandwidth / 2)) == pytest.approx(aspect / 3)


@settings(max_examples=15)
@given(st.floats(9, 15), st.floats(0, 180), st.floats(0.7, 2.0), st.floats(0.5, 1.2))
def test_even_and_odd_are_a_pair(wavelength, orientation, bandwidth, aspect):
    sensor = Sensor(wavelength, orientation, bandwidth, aspect)
    even, odd = sensor.even.weights, sensor.odd.weights
    np.testing.assert_allclose(even, even[::-1, ::-1], atol=1e-12)
    np.testing.assert_allclose(odd, -odd[::-1, ::-1], atol=1e-12)
    assert (even**2).sum() == pytest.approx(1, abs=0.02)
    assert (odd**2).sum() == pytest.approx(1, abs=0.02)
    assert abs(even.sum()) < 0.02 * np.abs(even).sum()


def test_the_wave_runs_along_the_orientation():
    y, x = np.mgrid[-40:41, -40:41]
    for orientation in (0, 30, 90, 150):
        angle = np.radians(orientation)
        ramp = x * np.cos(angle) + y * np.sin(angle)
        wave, across = np.cos(2 * np.pi * ramp / 8), np.cos(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / 8)
        sensor = Sensor(8.0, float(orientation))
        at = slice(30, 51)
        answers = [np.abs(kf.correlate(image, sensor.even)[at, at]).max() for image in (wave, across)]
        assert answers[0] > 50 * answers[1]
        # The odd one answers where it brightens in the direction.
        assert kf.correlate(np.tanh(ramp), sensor.odd)[40, 40] > 0


def test_the_bank():
    bank = kf.coding.bank(12, scales=3, wavelength=5, ratio=1.5, bandwidth=1.2, aspect=0.8, sampling=2)
    assert len(bank) == 12
    assert [sensor.wavelength for sensor in bank][::4] == [5, 7.5, 11.25]
    assert [sensor.orientation for sensor in bank][:4] == [0, 45, 90, 135]
    assert {(sensor.bandwidth, sensor.aspect) for sensor in bank} == {(1.2, 0.8)}
    assert bank[5] is bank.sensors[5]
    assert [s.orientation for s in kf.coding.bank(6, orientations=(-45, 0, 45))] == [-45, 0, 45] * 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (dict(channels=0), "channels: expected an integer of at least 1, received 0"),
        (dict(channels=2.5), "channels: expected an integer"),
        (dict(channels=7), "channels: expected a multiple of the 2 scales, received 7"),
        (dict(scales=0), "scales: expected an integer of at least 1"),
        (dict(bandwidth=0), "bandwidth: expected a finite number greater than 0"),
        (dict(bandwidth=np.nan), "bandwidth: expected a finite number"),
        (dict(aspect=-1), "aspect: expected"),
        (dict(wavelength=2), "wavelength: expected a finite number greater than 2"),
        (dict(ratio=1), "ratio: expected"),
        (dict(sampling=0), "sampling: expected"),
        (dict(orientations=(1, 2)), "orientations: expected 3, for 6 channels of 2 scales; received 2"),
    ],
)
def test_what_makes_no_bank(options, says):
    with pytest.raises(ArgumentError, match=says):
        kf.coding.bank(**options)
