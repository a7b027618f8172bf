from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def filters(pictures, tmp_path_factory):
    """Filters learned from one photograph each."""
    from kernelfield.cli.main import main

    folder = tmp_path_factory.mktemp("filters")
    for name, pair, options in (
        ("grey", ("grey", "grey-sharpen"), []),
        ("colour", ("flower", "flower-emboss"), []),
        ("each", ("flower", "flower-sharpen"), ["--per-channel"]),
        ("median", ("grey", "grey-median"), ["--size", "5"]),
    ):
        files = [str(pictures / f"{stem}.png") for stem in pair]
        assert main(["learn", *files, "--save", str(folder / f"{name}.json"), *options]) == 0
    return folder


@pytest.mark.parametrize(
    ("name", "photograph", "filtered"),
    [
        ("grey", "coins", "coins-sharpen"),
        ("grey", "china", "china-sharpen"),
        ("colour", "china", "china-emboss"),
        ("each", "china", "china-sharpen"),
    ],
)
def test_another_photograph_comes_out_as_the_producer_makes_it(
    run, filters, pictures, pixels, tmp_path, name, photograph, filtered
):
    """Every pixel, the border that Pillow copies included."""
    result = run("apply", filters / f"{name}.json", pictures / f"{photograph}.png", tmp_path / "result.png")
    assert (result.status, result.out, result.err) == (0, "", "")
    np.testing.assert_array_equal(pixels(tmp_path / "result.png"), pixels(pictures / f"{filtered}.png"))


def test_boundary(run, filters, pictures, pixels, tmp_path):
    arguments = "apply", filters / "grey.json", pictures / "coins.png", tmp_path / "result.png"
    assert run(*arguments, "--boundary", "reflect").status == 0
    result, copied = pixels(tmp_path / "result.png"), pixels(pictures / "coins-sharpen.png")
    np.testing.assert_array_equal(result[1:-1, 1:-1], copied[1:-1, 1:-1])
    assert (result[0] != copied[0]).any()


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64", "int32"])
def test_dtype_is_kept(run, filters, tmp_path, dtype):
    image = (np.random.default_rng(1).random((20, 30)) * 1000).astype(dtype)
    np.save(tmp_path / "image.npy", image)
    assert run("apply", filters / "grey.json", tmp_path / "image.npy", tmp_path / "result.npy").status == 0
    result = np.load(tmp_path / "result.npy")
    assert result.dtype == image.dtype
    expected = 2.0 * image[1:-1, 1:-1]
    for a, b in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)):
        expected -= image[a : a + 18, b : b + 28] / 8
    if dtype == "uint16":
        expected = np.clip(expected, 0, 65535)
    tolerance = 1e-3 if dtype.startswith("float") else 0.51
    np.testing.assert_allclose(result[1:-1, 1:-1], expected, atol=tolerance)


def test_alpha_is_left_out(run, filters, pictures, pixels, tmp_path):
    rgb = pixels(pictures / "china.png")
    Image.fromarray(np.concatenate([rgb, rgb[..., :1]], axis=2)).save(tmp_path / "image.png")
    result = run("apply", filters / "colour.json", tmp_path / "image.png", tmp_path / "result.png")
    assert result.err.endswith("alpha channel left out\n")
    np.testing.assert_array_equal(pixels(tmp_path / "result.png"), pixels(pictures / "china-emboss.png"))


def test_what_to_expect_is_said(run, filters, pictures, tmp_path):
    result = run("apply", filters / "median.json", pictures / "coins.png", tmp_path / "result.png")
    assert result.status == 0
    assert "learned as not linear" in result.err
    record = json.loads((filters / "grey.json").read_text()) | {"boundary": None}
    (tmp_path / "filter.json").write_text(json.dumps(record))
    arguments = "apply", tmp_path / "filter.json", pictures / "coins.png", tmp_path / "result.png"
    assert "reflect is used" in run(*arguments).err
    assert run(*arguments, "--boundary", "wrap").err == ""


@pytest.mark.parametrize(
    ("name", "photograph", "says"),
    [
        ("colour", "coins", "expected 3 channels"),
        ("each", "coins", "expected the channels R, G, B"),
        ("grey", "nothing", "no such file"),
        ("nothing", "coins", "cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused(refused, filters, pictures, tmp_path, name, photograph, says):
    line = refused(1, "apply", filters / f"{name}.json", pictures / f"{photograph}.png", tmp_path / "result.png")
    assert says in line
    assert list(tmp_path.iterdir()) == []


def break_record(record):
    """Yield records that are wrong in one way each."""
    for key in ("kernel", "anchor", "verdict", "offset", "stderr", "format"):
        yield {k: v for k, v in record.items() if k != key}
    for change in (
        {"format": 2},
        {"kernel": []},
        {"kernel": [[1, "a"]]},
        {"kernel": [[1, 2], [3]]},
        {"kernel": 5},
        {"kernel": [[10**400]]},
        {"anchor": []},
        {"anchor": [9, 9]},
        {"anchor": "x"},
        {"stderr": [[0]]},
        {"stderr": None},
        {"boundary": "sideways"},
        {"boundary": []},
        {"verdict": "fine"},
        {"offset": []},
        {"offset": "x"},
        {"offset": None},
        {"integers": [[1]]},
        {"divisor": 0},
        {"divisor": None},
        {"undetermined": [[1]]},
        {"parameters": 3},
        {"notes": 3},
    ):
        yield record | change


def test_a_corrupt_filter_is_refused(refused, filters, pictures, tmp_path):
    record = json.loads((filters / "grey.json").read_text())
    broken = list(break_record(record))
    texts = [json.dumps(wrong) for wrong in broken]
    texts += [json.dumps({"format": 1, "channels": {"grey": wrong}}) for wrong in broken]
    texts += ["", "{", "[]", "3", "null", '"text"', "[" * 100_000, json.dumps({"format": 1, "channels": {}})]
    path = tmp_path / "filter.json"
    for text in texts:
        path.write_text(text)
        line = refused(1, "apply", path, pictures / "coins.png", tmp_path / "result.png")
        assert "filter.json" in line
    path.write_bytes((pictures / "coins.png").read_bytes())
    assert "binary" in refused(1, "apply", path, pictures / "coins.png", tmp_path / "result.png")
    assert [p.name for p in tmp_path.iterdir()] == ["filter.json"]


@pytest.mark.parametrize("name", ["nowhere/result.png", "result.xyz", "result", "."])
def test_a_place_that_cannot_be_written(refused, filters, pictures, tmp_path, name):
    refused(1, "apply", filters / "grey.json", pictures / "coins.png", tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_format_that_cannot_hold_it(refused, filters, tmp_path):
    np.save(tmp_path / "image.npy", np.random.default_rng(0).random((9, 9)))
    line = refused(1, "apply", filters / "grey.json", tmp_path / "image.npy", tmp_path / "result.png")
    assert "float64" in line
    assert not (tmp_path / "result.png").exists()


def test_json_says_what_was_written(run, filters, pictures, tmp_path):
    target = tmp_path / "result.png"
    result = run("apply", filters / "grey.json", pictures / "coins.png", target, "--json")
    assert json.loads(result.out) == {"written": str(target), "shape": [303, 384], "dtype": "uint8"}
