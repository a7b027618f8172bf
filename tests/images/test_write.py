"""Writing: exact round trips, rejected arrays, and no partial files after a failure."""

import os
import stat
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from kernelfield.errors import ArgumentError, DtypeError, FileError
from kernelfield.images import formats, read, write
from kernelfield.images.formats import FORMATS, of_name

EVERY = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"]
HOLDS = {
    ".png": EVERY[:2],
    ".tif": EVERY,
    ".npy": [*EVERY, "float16", "int64", "bool"],
    ".npz": ["uint8", "float64"],
    ".jxl": ["uint8", "uint16", "float16", "float32"],
    ".jp2": EVERY[:2],
    ".ppm": EVERY[:2],
    ".bmp": ["uint8"],
    ".webp": ["uint8"],
    ".gif": ["uint8"],
    ".fits": ["uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"],
}
SHAPES = [(1, 1), (33, 1), (1, 33), (40, 29), (40, 29, 3), (40, 29, 1), (40, 29, 4)]


def held(suffix, shape):
    """Whether a format holds the channels of a shape; grey WebP becomes RGB."""
    count = shape[2] if len(shape) == 3 else 1
    form = of_name(f"a{suffix}")
    return (not form.channels or count in form.channels) and (suffix, count) != (".webp", 1)


CASES = [
    (suffix, dtype, shape)
    for suffix, dtypes in HOLDS.items()
    for dtype in dtypes
    for shape in SHAPES
    if held(suffix, shape)
]


@pytest.mark.parametrize(("suffix", "dtype", "shape"), CASES)
@pytest.mark.parametrize("layout", ["plain", "big-endian", "strided"])
def test_roundtrip(tmp_path, suffix, dtype, shape, layout, make):
    pixels = make.ramp(shape, dtype) if dtype != "bool" else make.ramp(shape, "u1") > 99
    if layout == "big-endian":
        pixels = pixels.astype(pixels.dtype.newbyteorder(">"))
    if layout == "strided":
        pixels = np.repeat(pixels, 2, axis=1)[::-1, ::-2]
    pixels.flags.writeable = False
    if suffix == ".fits":
        pytest.importorskip("astropy")
    write(tmp_path / f"a{suffix}", pixels)
    picture = read(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(picture.pixels, pixels.squeeze(2) if shape[2:] == (1,) else pixels)
    assert picture.pixels.dtype == np.dtype(dtype)
    assert picture.notes == ()
    assert os.listdir(tmp_path) == [f"a{suffix}"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", [(700, 500), (700, 500, 3)])
def test_png_of_several_blocks_is_read_alike_by_others(tmp_path, dtype, shape, make):
    pixels = make.ramp(shape, dtype)
    path = tmp_path / "a.png"
    write(path, pixels)
    other = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(other[..., ::-1] if other.ndim == 3 else other, pixels)
    np.testing.assert_array_equal(read(path).pixels, pixels)
    with Image.open(path) as image:
        image.load()
    assert path.stat().st_size < pixels.nbytes


def test_jpeg_is_close(tmp_path):
    rows, columns = np.mgrid[:64, :64]
    smooth = np.stack([rows, columns, rows + columns], axis=2).astype(np.uint8)
    for suffix in (".jpg", ".jpeg", ".JPG"):
        write(tmp_path / f"a{suffix}", smooth)
        assert abs(read(tmp_path / f"a{suffix}").pixels.astype(int) - smooth).max() < 8
    write(tmp_path / "b.jpg", smooth[..., 0])
    assert read(tmp_path / "b.jpg").channels == ("grey",)


def test_grey_webp_and_avif_become_colour(tmp_path, make):
    pixels = make.ramp((24, 31), "u1")
    for name in ("a.webp", "a.avif"):
        write(tmp_path / name, pixels)
        again = read(tmp_path / name).pixels
        assert again.shape == (24, 31, 3)
        assert abs(again.astype(int) - pixels[..., None]).max() <= (0 if name == "a.webp" else 12)


def test_what_a_format_cannot_hold(tmp_path, make):
    floats, bytes_ = make.ramp((4, 5), "f4"), make.ramp((4, 5), "u1")
    for name, pixels, kind, words in [
        ("a.png", floats, DtypeError, r"\.png holds uint8, uint16; received float32; write \.tif or \.jxl or"),
        ("a.jpg", make.ramp((4, 5), "u2"), DtypeError, r"received uint16; write \.png or"),
        ("a.tif", floats.astype("f2"), DtypeError, r"received float16; write \.jxl or \.npy"),
        ("a.npy", floats.astype(complex), DtypeError, "expected real numbers; received complex"),
        ("a.npy", np.array([["a"]]), DtypeError, "expected real numbers"),
        ("a.png", np.zeros((4, 5, 5), "u1"), ArgumentError, r"write \.tif or \.npy"),
        ("a.jpg", np.zeros((4, 5, 4), "u1"), ArgumentError, r"holds 1, 3 channels"),
        ("a.png", np.zeros((4, 0), "u1"), ArgumentError, "not empty"),
        ("a.npy", np.zeros(4), ArgumentError, r"expected \(H, W\)"),
        ("a.jpg", np.zeros((1, 65_501), "u1"), ArgumentError, "at most 65500"),
        ("a.xyz", bytes_, ArgumentError, r"expected one of \.png, \.jpg, \.tif, .*\.fits"),
        ("a", bytes_, ArgumentError, "'no suffix'"),
        ("no/such/a.png", bytes_, FileError, "lies in no folder|cannot be written"),
        ("", bytes_, ArgumentError, "expected"),
    ]:
        with pytest.raises(kind, match=words) as caught:
            write(tmp_path / name, pixels)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
    for path in ("", 3, "a\0.png"):
        with pytest.raises(ArgumentError, match="path: expected the name"):
            write(path, bytes_)
    with pytest.raises(ArgumentError, match="format: expected one of"):
        write(tmp_path / "a.png", bytes_, format="xyz")
    with pytest.raises(ArgumentError, match="received 0"):
        write(tmp_path / "a.tif", [])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "stop"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, form, error, make):
    path = tmp_path / f"a{form.suffixes[0]}"
    path.write_bytes(b"old")

    def fail(file, *_):
        file.write(b"half")
        raise error

    failing = tuple(replace(other, write=fail) if other is form else other for other in FORMATS)
    monkeypatch.setattr(formats, "FORMATS", failing)
    with pytest.raises(FileError if isinstance(error, OSError) else KeyboardInterrupt):
        write(path, make.ramp((4, 5), "u1"))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


def test_a_page_that_cannot_be_written_leaves_the_old_file(tmp_path, make):
    path = tmp_path / "a.tif"
    path.write_bytes(b"old")
    with pytest.raises(DtypeError):
        write(path, [make.ramp((4, 5), "u1"), make.ramp((4, 5), "f2")])
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.tif"]


def test_links_modes_folders_and_devices(tmp_path, make):
    pixels = make.ramp((4, 5), "u1")
    real, link = tmp_path / "real.png", tmp_path / "link.png"
    write(real, pixels)
    real.chmod(0o640)
    link.symlink_to(real)
    write(link, pixels[::-1])
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    np.testing.assert_array_equal(read(real).pixels, pixels[::-1])

    (tmp_path / "folder.png").mkdir()
    with pytest.raises(FileError, match="is a folder"):
        write(tmp_path / "folder.png", pixels)
    (tmp_path / "null.png").symlink_to("/dev/null")
    write(tmp_path / "null.png", pixels)
    assert not stat.S_ISREG(os.stat("/dev/null").st_mode)
