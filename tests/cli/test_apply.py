from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from scipy import ndimage


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


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_stays_as_it_is(run, filters, pictures, pixels, tmp_path, mode):
    name = "colour" if mode == "RGBA" else "grey"
    source, expected = ("china", "china-emboss") if mode == "RGBA" else ("coins", "coins-sharpen")
    image = Image.open(pictures / f"{source}.png")
    alpha = np.random.default_rng(2).integers(0, 256, image.size[::-1], dtype=np.uint8)
    image.putalpha(Image.fromarray(alpha))
    image.save(tmp_path / "image.png")
    result = run("apply", filters / f"{name}.json", tmp_path / "image.png", tmp_path / "result.png")
    assert (result.status, result.err) == (0, "")
    written = Image.open(tmp_path / "result.png")
    assert written.mode == mode
    np.testing.assert_array_equal(np.asarray(written)[..., -1], alpha)
    colours = np.asarray(written)[..., :-1].squeeze()
    np.testing.assert_array_equal(colours, pixels(pictures / f"{expected}.png"))


def test_every_page(run, tmp_path):
    """Pages of different sizes and channels, with their descriptions; read back by tifffile."""
    rng = np.random.default_rng(3)
    pages = [rng.integers(0, 60000, shape).astype(np.uint16) for shape in ((30, 40), (20, 25), (22, 31, 3))]
    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        for i, page in enumerate(pages):
            colour = "rgb" if page.ndim == 3 else "minisblack"
            file.write(page, photometric=colour, description=f"page {i}", metadata=None, resolution=(300, 150))
    result = run("apply", "gaussian:sigma=2", tmp_path / "stack.tif", tmp_path / "out.tif", "--json")
    assert json.loads(result.out) == {
        "written": str(tmp_path / "out.tif"),
        "shape": [30, 40],
        "dtype": "uint16",
        "pages": 3,
    }
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert len(file.pages) == 3
        for i, (page, source) in enumerate(zip(file.pages, pages)):
            sigma = (2, 2, 0)[: source.ndim]
            expected = ndimage.gaussian_filter(source.astype(float), sigma)
            assert np.abs(page.asarray() - expected).max() < 0.501
            assert page.description == f"page {i}"
            assert page.resolution == (300, 150)


def test_one_page(run, refused, tmp_path):
    pages = np.random.default_rng(3).integers(0, 255, (4, 20, 30)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    assert run("apply", "box", tmp_path / "stack.tif", tmp_path / "out.png", "--page", "3").status == 0
    expected = ndimage.uniform_filter(pages[3].astype(float), 3)
    assert np.abs(np.asarray(Image.open(tmp_path / "out.png")) - expected).max() < 0.501
    assert "0 to 3" in refused(1, "apply", "box", tmp_path / "stack.tif", tmp_path / "no.png", "--page", "4")
    assert "one page" in refused(1, "apply", "box", tmp_path / "stack.tif", tmp_path / "no.png")
    assert not (tmp_path / "no.png").exists()


def test_profile_exif_and_resolution_are_kept(run, pictures, tmp_path):
    image = Image.open(pictures / "flower.png")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    for suffix in ("png", "jpg", "tif"):
        source, target = tmp_path / f"photo.{suffix}", tmp_path / f"out.{suffix}"
        image.save(source, icc_profile=profile, exif=exif, dpi=(300, 300))
        assert run("apply", "box", source, target).err == ""
        with Image.open(target) as written:
            assert written.info["icc_profile"] == profile, suffix
            assert written.getexif()[0x010F] == "a camera", suffix
            assert tuple(map(round, map(float, written.info["dpi"]))) == (300, 300), suffix


def test_ome_metadata_are_kept(run, tmp_path):
    stack = np.random.default_rng(4).integers(0, 9000, (3, 2, 24, 30)).astype(np.uint16)
    metadata = {"axes": "ZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(tmp_path / "stack.ome.tif", stack, metadata=metadata, ome=True)
    assert run("apply", "gaussian:sigma=1", tmp_path / "stack.ome.tif", tmp_path / "out.ome.tif").status == 0
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as file:
        assert file.is_ome
        assert file.series[0].axes == "ZCYX"
        expected = ndimage.gaussian_filter(stack.astype(float), (0, 0, 1, 1))
        assert np.abs(file.series[0].asarray() - expected).max() < 0.501
        assert 'PhysicalSizeX="0.25"' in file.ome_metadata
        assert 'Name="GFP"' in file.ome_metadata


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32"])
def test_signed_results(run, pictures, pixels, tmp_path, dtype):
    target = tmp_path / "edges.tif"
    result = run("apply", "sobel:axis=1", pictures / "coins.png", target, "--dtype", dtype)
    assert (result.status, result.err) == (0, "")
    expected = ndimage.sobel(pixels(pictures / "coins.png").astype(np.float64), 1)
    written = tifffile.imread(target)
    assert written.dtype == dtype
    np.testing.assert_allclose(written, expected, atol=1e-3)


def test_pixels_that_are_cut_off_are_counted(run, pictures, pixels, tmp_path):
    for name, axes in (("coins", ()), ("china", (2,))):
        image = pixels(pictures / f"{name}.png").astype(float)
        planes = np.moveaxis(np.atleast_3d(image), 2, 0)
        exact = np.stack([ndimage.sobel(plane, 1) for plane in planes], axis=2).reshape(image.shape)
        beyond = (exact < -0.5) | (exact >= 255.5)
        beyond = beyond.any(axis=axes) if axes else beyond
        result = run("apply", "sobel:axis=1", pictures / f"{name}.png", tmp_path / f"{name}.png", "--json")
        count, size = int(beyond.sum()), beyond.size
        assert f"{count:,} of {size:,} pixels ({100 * count / size:.1f} %)" in result.err
        assert "--dtype float32" in result.err
        assert json.loads(result.out)["saturated"] == count


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("kernel.txt", "# a comment\n\n1 0 -1\n2 0 -2  # another\n1 0 -1\n"),
        ("kernel.csv", "1,0,-1\n2,0,-2\r\n1,0,-1\n"),
        ("semicolons.csv", "\ufeff1; 0; -1\n2; 0; -2\n1; 0; -1\n"),
        ("quoted.csv", '"1","0","-1"\n"2","0","-2"\n"1","0","-1"\n'),
        ("tabs.tsv", "1\t0\t-1\n2\t0\t-2\n1\t0\t-1\n"),
        ("fractions.txt", "2/2 0 -1\n4/2 0 -2.0\n1e0 0 -1\n"),
        ("kernel.json", "[[1, 0, -1], [2, 0, -2], [1, 0, -1]]"),
        ("without-ending", " [[1, 0, -1], [2, 0, -2], [1, 0, -1]]"),
        ("kernel.npy", None),
        ("integers.npy", None),
    ],
)
def test_kernels_in_files(run, tmp_path, monkeypatch, name, content):
    monkeypatch.chdir(tmp_path)
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    if content is None:
        np.save(name, kernel if name == "integers.npy" else kernel.astype(">f4"))
    else:
        (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    image = np.random.default_rng(0).random((30, 40))
    np.save("image.npy", image)
    result = run("apply", name, "image.npy", "result.npy")
    assert (result.status, result.err) == (0, "")
    np.testing.assert_allclose(np.load("result.npy"), ndimage.correlate(image, kernel.astype(float)), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", "1 2\n3\n", "line 2: expected 2 numbers, received 1"),
        ("a.txt", "1 2\nx 4\n", "line 2: expected a finite number or a fraction, received 'x'"),
        ("a.txt", "1 2\nnan 4\n", "received 'nan'"),
        ("a.txt", f"1 2\n{'9' * 9999} 4\n", "line 2"),
        ("a.txt", "", "empty"),
        ("a.txt", "# nothing\n", "empty"),
        ("a.csv", "1,,2\n", "received ''"),
        ("a.json", "[1, 2, 1]", "as [[1, 2, 1]"),
        ("a.json", "[[1, 2], [3]]", "rows of one length"),
        ("a.json", "[[1, NaN]]", "finite number"),
        ("a.json", f"[[1, {10**400}]]", "finite number"),
        ("a.json", "[[true]]", "received true"),
        ("a.npy", np.ones(3), "kernel[None]"),
        ("a.npy", np.ones((2, 3, 3)), "received 2×3×3"),
        ("a.npy", np.array([[1j]]), "complex"),
        ("a.npy", np.array([[np.inf]]), "finite"),
        ("a.npy", np.array([[None]]), "NPY"),
        ("a.npy", b"\x93NUMPY\x01\x00", "NPY"),
        ("a.bin", bytes(range(256)), "binary"),
    ],
)
def test_kernels_that_are_none(refused, pictures, tmp_path, name, content, says):
    path = tmp_path / name
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(1, "apply", path, pictures / "coins.png", tmp_path / "result.png")
    assert says in line
    assert name in line
    assert len(line) < 700


def test_a_stack_in_npy(run, refused, tmp_path):
    stack = np.random.default_rng(5).random((6, 20, 30)).astype(np.float32)
    expected = ndimage.gaussian_filter(stack, (0, 1, 1), mode="reflect")
    np.save(tmp_path / "stack.npy", stack)
    arguments = "apply", "gaussian:sigma=1", tmp_path / "stack.npy", tmp_path / "out.npy"
    assert "--channel-axis" in refused(1, *arguments)
    assert run(*arguments, "--channel-axis", "none").status == 0
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-5)
    assert run(*arguments, "--channel-axis", "0").status == 0
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-5)
    assert run(*arguments, "--channel-axis", "none", "--page", "2").status == 0
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected[2], atol=1e-5)
    assert "--page" in refused(1, *arguments, "--channel-axis", "none", "--page", "6")
    assert "--channel-axis: expected" in refused(2, *arguments, "--channel-axis", "7")


def test_nan_has_no_integer(refused, tmp_path):
    image = np.ones((9, 9))
    image[4, 4] = np.nan
    np.save(tmp_path / "image.npy", image)
    line = refused(1, "apply", "box", tmp_path / "image.npy", tmp_path / "out.png", "--dtype", "uint8")
    assert "9 results are NaN" in line
    assert not (tmp_path / "out.png").exists()


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
