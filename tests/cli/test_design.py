from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import kernelfield as kf
from kernelfield import kernels as k

DESIGNS = [
    (["edge", "--direction", "1,1"], k.edge((1, 1))),
    (["edge", "--direction", "-1,2", "--size", "3"], k.edge((-1, 2), 3)),
    (["gabor", "--orientation", "45", "--wavelength", "8"], k.gabor(8, 45)),
    (["log-gabor", "--angular-bandwidth", "30", "--phase=-90"], k.log_gabor(angular_bandwidth=30, phase=-90)),
    (["gaussian", "--sigma", "1.4"], k.gaussian(1.4)),
    (["sobel", "--scale", "1/8", "--axis", "0"], k.sobel(0, scale=1 / 8)),
    (["derivative", "--order", "2", "--accuracy", "4"], k.derivative(2, 4)),
    (["derivative", "--offsets", "1,2,3"], k.derivative(offsets=(1, 2, 3))),
    (["unsharp", "--blur", "box", "--size", "5"], k.unsharp(blur="box", size=5)),
    (["shift", "--rows", "2", "--columns", "-3"], k.shift(2, -3)),
    (["shift", "--rows", "-2", "--columns", "1"], k.shift(-2, 1)),
    (["difference"], k.difference()),
    (["identity"], k.identity()),
]


def arguments_of(case):
    return " ".join(case) if isinstance(case, list) else ""


@pytest.mark.parametrize(("arguments", "kernel"), DESIGNS, ids=arguments_of)
def test_json_is_a_filter_that_says_the_kernel(run, valid, arguments, kernel):
    arguments = [arguments[0].replace("-", "_"), *arguments[1:]]
    result = run("design", *arguments, "--json")
    assert (result.status, result.err) == (0, "")
    record = valid(result.out)
    found = kf.Kernel(record["kernel"], anchor=record["anchor"])
    # The anchor may lie outside the weights, the record's does not.
    assert np.array_equal((found - kernel).weights, np.zeros_like((found - kernel).weights))
    assert record["name"] == kernel.name
    assert record["notes"] == [f"source: {kernel.source}"]
    assert "designed" in record["explanation"]


@pytest.mark.parametrize(("arguments", "kernel"), DESIGNS, ids=arguments_of)
def test_what_is_saved_can_be_applied(run, tmp_path, arguments, kernel):
    image = np.random.default_rng(0).random((70, 80))
    np.save(tmp_path / "image.npy", image)
    name = arguments[0].replace("-", "_")
    result = run("design", name, *arguments[1:], "--save", tmp_path / "filter.json")
    assert (result.status, result.err) == (0, "")
    assert run("apply", tmp_path / "filter.json", tmp_path / "image.npy", tmp_path / "result.npy").err == ""
    expected = kf.correlate(image, kernel)
    np.testing.assert_allclose(np.load(tmp_path / "result.npy"), expected, atol=1e-12)


def test_print(run):
    result = run("design", "sobel", "--scale", "1/8")
    assert (result.status, result.err) == (0, "")
    lines = [line.rstrip() for line in result.out.splitlines()]
    assert lines[0] == "Sobel, horizontal derivative, scale 1/8"
    assert "   -2 [ 0]  2" in lines
    assert "Cross-correlation weights, each over 8; flip both axes for convolution." in lines
    assert "rank      1, a column times a row" in lines
    assert any(line.startswith("source    I. Sobel") for line in lines)
    assert "they are the same" in run("design", "binomial").out


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plot(run, tmp_path, suffix):
    path = tmp_path / f"edge.{suffix}"
    assert run("design", "edge", "--direction", "1,1", "--plot", path).status == 0
    if suffix == "png":
        assert np.asarray(Image.open(path)).std() > 10
    assert path.stat().st_size > 5000


def test_list(run):
    listed = run("design", "--list").out
    assert all(name in listed for name in k.CATALOGUE)
    parameters = run("design", "gabor", "--list").out
    assert "--wavelength" in parameters
    assert "8 by default" in parameters
    assert "needed" in run("design", "shift", "--list").out


def test_compare(run, tmp_path):
    result = run("design", "--compare", "sobel:axis=0,size=5,scharr,farid:size=7", "--plot", tmp_path / "figure.png")
    assert (result.status, result.err) == (0, "")
    names = [line.split()[0] for line in result.out.splitlines()[2:5]]
    assert names == ["sobel:axis=0,size=5", "scharr", "farid:size=7"]
    assert "0.16°" in result.out
    assert np.asarray(Image.open(tmp_path / "figure.png")).std() > 10


@pytest.mark.parametrize(
    ("status", "arguments", "says"),
    [
        (1, "derivative --order 0", "order: expected an integer of at least 1"),
        (1, "derivative --accuracy 3", "expected an even number for central differences, received 3; take 4"),
        (1, "gaussian --sigma 0", "sigma: expected more than 0"),
        (1, "gaussian --sigma -1", "sigma: expected"),
        (1, "log --sigma 0", "sigma: expected"),
        (1, "steerable --order 5 --size 3", "size: expected at least 7 for order 5"),
        (1, "gaussian_derivative --order 0,2 --size 1", "size: expected at least 3"),
        (1, "sobel --size 3 --order 3", "order: expected less than size 3"),
        (1, "gabor --wavelength abc", "wavelength: expected"),
        (1, "gaussian --sigma 1e12", "at most"),
        (1, "edge --direction 0,0", "not both 0"),
        (1, "edge --save nowhere/edge.json", "lies in no folder"),
        (2, "", "expected a name"),
        (2, "edgy", "did you mean edge"),
        (2, "edgy --list", "did you mean edge"),
        (2, "gabor --colour red", "(wavelength, orientation, sigma, "),
        (2, "gabor --wavelength", "requires an argument"),
        (2, "shift --rows 2", "expected columns"),
        (2, "sobel 3", "Unused"),
        (1, "--compare sobel,sobell", "did you mean sobel"),
        (1, "--compare sobel,sobel", "expected different ones"),
        (2, "edge --compare sobel", "--compare: expected no other name"),
        (2, "--compare sobel --json", "--compare: expected no other name"),
        (2, "edge --plot edge.bmp", "--plot: expected a name that ends in .png"),
    ],
)
def test_bad_arguments(refused, tmp_path, monkeypatch, status, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert says in refused(status, "design", *arguments.split())
    assert list(tmp_path.iterdir()) == []


def test_a_kernel_as_text_is_applied(run, refused, pictures, pixels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("apply", "gaussian:sigma=2", pictures / "coins.png", "blurred.png")
    assert (result.status, result.out, result.err) == (0, "", "")
    expected = ndimage.gaussian_filter(pixels(pictures / "coins.png").astype(float), 2)
    assert np.abs(pixels("blurred.png") - expected).max() < 0.501
    assert "results below 0" in run("apply", "sobel", pictures / "coins.png", "edges.png").err
    np.save("coins.npy", pixels(pictures / "coins.png").astype(np.float32))
    assert run("apply", "sobel:axis=0", "coins.npy", "edges.npy", "--boundary", "nearest", "--json").err == ""
    expected = ndimage.sobel(np.load("coins.npy"), 0, mode="nearest")
    np.testing.assert_allclose(np.load("edges.npy"), expected, atol=1e-3)
    for text, says in (
        ("gausian:sigma=2", "did you mean"),
        ("gaussian:sigma=0", "more than 0"),
        ("sobel.json", "read"),
        ("sobl", "did you mean sobel?"),
    ):
        assert says in refused(1, "apply", text, "coins.npy", "none.npy")


def test_a_file_goes_before_a_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("image.npy", np.random.default_rng(0).random((9, 9)))
    assert run("design", "box", "--save", "sobel").status == 0
    assert json.loads((tmp_path / "sobel").read_text())["name"] == "box"
    assert run("apply", "sobel", "image.npy", "result.npy").status == 0
    np.testing.assert_allclose(np.load("result.npy"), ndimage.uniform_filter(np.load("image.npy"), 3), atol=1e-12)
