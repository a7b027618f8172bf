"""``kernelfield code`` on photographs, and on images that cannot be coded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import kernelfield as kf


def test_text(run, pictures):
    result = run("code", pictures / "grey.png")
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "6 channels of 200×240 pixels"
    assert lines[3].split()[:4] == ["12.5", "px", "0°", "19×23"]
    assert "falls as frequency to the power -" in result.out


def test_json_and_luminance(run, pictures, pixels):
    result = run("code", pictures / "flower.png", "--json", "--wavelength", 8, "--channels", 8, "--bandwidth", 1.5)
    assert result.status == 0
    assert "note: " in result.err
    assert "luminance, 0.299 R + 0.587 G + 0.114 B" in result.err
    record = json.loads(result.out)
    code = kf.coding.code(
        kf.coding.luminance(pixels(pictures / "flower.png")), kf.coding.bank(8, wavelength=8, bandwidth=1.5)
    )
    assert record["shape"] == [180, 220]
    assert record["samples"] == code.samples
    assert record["reconstruction_error"] == pytest.approx(code.error)
    assert [channel["kurtosis"] for channel in record["channels"]] == pytest.approx(code.kurtosis(), abs=1e-6)
    assert record["channels"][1]["orientation"] == 45
    assert record["channels"][7]["grid"] == list(code.responses[7].shape)


def test_files(run, pictures, pixels, tmp_path):
    figure, again = tmp_path / "coding.png", tmp_path / "again.png"
    result = run("code", pictures / "grey.png", "--wavelength", 4, "--plot", figure, "--reconstruction", again)
    assert result.status == 0
    assert pixels(figure).shape[1] > 1000
    result, before = pixels(again).astype(float), pixels(pictures / "grey.png").astype(float)
    assert result.shape == before.shape
    error = kf.coding.code(before, kf.coding.bank(wavelength=4)).error
    assert np.sqrt(np.mean((result - before) ** 2)) / before.std() == pytest.approx(error, rel=0.05)
    assert error < 0.2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.png", "coding.png"]


def test_a_small_image_has_no_spectrum(run, tmp_path):
    np.save(tmp_path / "small.npy", np.random.default_rng(0).random((20, 31)))
    assert json.loads(run("code", tmp_path / "small.npy", "--json").out)["amplitude_spectrum"] is None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--channels", "0"), "channels: expected an integer of at least 1, received 0"),
        (("--channels", "7"), "channels: expected a multiple of the 2 scales"),
        (("--scales", "0"), "scales: expected"),
        (("--bandwidth", "0"), "bandwidth: expected a finite number greater than 0"),
        (("--bandwidth", "-1"), "bandwidth: expected a finite number greater than 0"),
        (("--aspect", "0"), "aspect: expected"),
        (("--wavelength", "1"), "wavelength: expected a finite number greater than 2"),
        (("--wavelength", "150"), "image: expected sides of at least 300 pixels"),
        (("--sampling", "nan"), "sampling: expected"),
        (("--iterations", "0"), "iterations: expected"),
        (("--max-pixels", "10"), "--max-pixels"),
        (("--plot", "nowhere/coding.png"), "choose another place"),
        (("--reconstruction", "."), "is a folder"),
    ],
)
def test_options_that_cannot_be(refused, pictures, options, says):
    assert says in refused(1, "code", pictures / "grey.png", *options)


def test_pictures_that_cannot_be(refused, tmp_path):
    Image.new("L", (50, 50), 7).save(tmp_path / "flat.png")
    assert "image: expected contrast" in refused(1, "code", tmp_path / "flat.png")
    Image.new("L", (6, 6), 7).save(tmp_path / "tiny.png")
    refused(1, "code", tmp_path / "tiny.png")
    assert "no such file" in refused(1, "code", tmp_path / "none.png")
    np.save(tmp_path / "five.npy", np.zeros((9, 9, 5)))
    assert "expected a grey or an RGB picture; received 5 channels" in refused(1, "code", tmp_path / "five.npy")


def test_usage(refused, pictures):
    assert "--plot: expected a name that ends in" in refused(2, "code", pictures / "grey.png", "--plot", "a.gif")
    assert "--channels" in refused(2, "code", pictures / "grey.png", "--channels", "many")
