"""Sensor responses against correlate with the sensors' kernels, and reconstructions."""

from __future__ import annotations

import numpy as np
import pytest
from cases import photograph

import kernelfield as kf
from kernelfield.coding import transform
from kernelfield.errors import ArgumentError, DataError

IMAGE = photograph("camera")[100:260, 150:350].astype(np.float64)


@pytest.fixture(scope="module")
def code():
    return kf.coding.code(IMAGE)


@pytest.mark.parametrize("channel", [0, 1, 5])
def test_responses_are_those_of_the_kernels(code, channel):
    filtered = code.filtered(channel)
    sensor = code.bank[channel]
    for part, kernel in ((filtered.real, sensor.even), (filtered.imag, sensor.odd)):
        # The kernels end after five standard deviations.
        expected = kf.correlate(IMAGE, kernel) - kernel.weights.sum() * IMAGE.mean()
        assert np.abs(part - expected).max() < 0.01 * np.abs(expected).max()


def test_sampled_responses_lie_on_the_filtered_image():
    # 160×200 divides into distances of 8 pixels, half of them before the first sensor.
    sensor = kf.coding.bank(1, scales=1).sensors[0]
    code = kf.coding.code(IMAGE, kf.coding.Bank((sensor,), 8.0 / sensor.size))
    (rows, columns), filtered = code.positions(0), code.filtered(0)
    np.testing.assert_allclose(rows, 3.5 + 8 * np.arange(20))
    np.testing.assert_allclose(columns, 3.5 + 8 * np.arange(25))
    # Between four pixels a wave of 8 pixels is their mean over cos(pi/8)**2 at the most, and its own at the least.
    dense = np.fft.fft2(np.block([[filtered, filtered[:, ::-1]], [filtered[::-1], filtered[::-1, ::-1]]]))
    assert dense.shape == (320, 400)
    four = (filtered[3::8, 3::8] + filtered[4::8, 3::8] + filtered[3::8, 4::8] + filtered[4::8, 4::8]) / 4
    correlation = np.corrcoef(np.abs(four).ravel(), np.abs(code.responses[0]).ravel())[0, 1]
    assert correlation > 0.99


def test_distance_is_proportional_to_size(code):
    for i, sensor in enumerate(code.bank):
        rows, columns = code.positions(i)
        assert code.responses[i].shape == (len(rows), len(columns))
        for line, n in ((rows, 160), (columns, 200)):
            assert np.diff(line) == pytest.approx(n / len(line))
            assert n / len(line) == pytest.approx(1.5 * sensor.size, rel=0.1)
            assert line[0] + line[-1] == pytest.approx(n - 1)


@pytest.mark.parametrize("shape", [(17, 24), (32, 9), (1, 40)])
@pytest.mark.parametrize("grid", [(5, 6), (1, 1), (40, 50)])
@pytest.mark.parametrize("orientation", [0.0, 50.0, 90.0, 200.0])
def test_the_adjoint_is_exact(shape, grid, orientation):
    rng = np.random.default_rng(0)
    for sensor in (kf.coding.Sensor(5.0, orientation), kf.coding.bank(1, scales=1).remainder):
        channel = transform.channel_of(sensor, shape, grid)
        waves, other = rng.normal(size=shape), rng.normal(size=grid) + 1j * rng.normal(size=grid)
        forward, backward = channel.responses(waves), channel.adjoint(other)
        np.testing.assert_allclose((forward * other.conj()).real.sum(), (waves * backward).sum(), rtol=1e-9, atol=1e-9)


def test_what_the_sensors_see_comes_back():
    # Waves near those of the sensors, which are dense and cover all orientations there.
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :72] + 0.5
    image = np.full((64, 72), 3.0)
    for _ in range(8):
        p, q = rng.integers(10, 16, 2)
        image += rng.normal() * np.cos(np.pi * p * y / 64) * np.cos(np.pi * q * x / 72)
    bank = kf.coding.bank(8, scales=1, wavelength=7, bandwidth=1.5, sampling=0.7, lowpass=False)
    code = kf.coding.code(image, bank)
    assert code.remainder is None
    assert np.std(image - code.reconstruct(iterations=60)) < 1e-4 * image.std()
    assert code.reconstruct().mean() == pytest.approx(image.mean())


def test_more_channels_tell_more(code):
    image = IMAGE[:100, :90]
    errors = [
        kf.coding.code(image, kf.coding.bank(n, scales=s, wavelength=w, lowpass=low)).error
        for n, s, w, low in ((6, 2, 8, False), (6, 2, 8, True), (12, 3, 4, True), (24, 4, 3, True))
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 0.6
    assert errors[-1] < 0.05
    assert 0 < code.error < 0.5


def test_samples_and_statistics(code):
    assert code.samples == 2 * sum(part.size for part in code.responses) + code.remainder.size
    assert repr(code) == f"Code of 160×200 pixels: 6 channels, {code.samples} samples"
    both = np.concatenate([code.responses[2].real.ravel(), code.responses[2].imag.ravel()])
    assert code.kurtosis()[2] == kf.coding.kurtosis(both)
    assert code.relative_response(0.2)[2] == kf.coding.relative_response(both, 0.2)
    assert code.sparseness()[2] == kf.coding.sparseness(both)
    assert (code.kurtosis() > 0).all()


def test_luminance():
    colours = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    from PIL import Image

    expected = np.asarray(Image.fromarray(colours).convert("L"))
    assert np.abs(kf.coding.luminance(colours) - expected).max() < 1
    assert kf.coding.luminance(colours[..., 0]).dtype == np.float64
    with pytest.raises(ArgumentError, match=r"image: expected \(H, W\) or \(H, W, 3\)"):
        kf.coding.luminance(np.ones((4, 4, 2)))


@pytest.mark.parametrize(
    ("image", "error", "says"),
    [
        (np.ones((40, 40)), DataError, "image: expected contrast; received a constant image"),
        (np.full((40, 40), np.nan), DataError, "image: expected finite pixels"),
        (np.eye(15), ArgumentError, "image: expected sides of at least 16 pixels, .* received 15×15"),
        (np.ones((40, 40, 3)), ArgumentError, "use coding.luminance for colour images"),
        (np.ones(4), ArgumentError, "image: expected at least two axes"),
    ],
)
def test_images_that_cannot_be_coded(image, error, says):
    with pytest.raises(error, match=says):
        kf.coding.code(image)


def test_other_arguments(code):
    with pytest.raises(ArgumentError, match=r"bank: expected what coding\.bank returns; received int"):
        kf.coding.code(IMAGE, 6)
    with pytest.raises(ArgumentError, match="iterations: expected an integer of at least 1"):
        code.reconstruct(0)
