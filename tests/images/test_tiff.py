"""Reading every kind of TIFF, against tifffile's writer and libtiff's."""

import io
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kernelfield.errors import FileError
from kernelfield.images import read
from kernelfield.images.tiff import Tiled

pytestmark = pytest.mark.core

GREY, RGB = ("grey",), ("R", "G", "B")


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", ["grey", "rgb", "planar"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (16, 32)},
        {"compression": "zlib", "rowsperstrip": 7},
        {"bigtiff": True},
        {"compression": "lzma"},
    ],
    ids=str,
)
def test_tiff(store, dtype, byteorder, layout, options, make):
    pixels = make.ramp((37, 41) if layout == "grey" else (37, 41, 3), dtype)
    kind = {"photometric": "minisblack"} if layout == "grey" else {"photometric": "rgb", "planarconfig": "contig"}
    given = pixels
    if layout == "planar":
        kind["planarconfig"], given = "separate", np.moveaxis(pixels, 2, 0)
    if "compression" in options and np.dtype(dtype).kind in "iu":
        options = {**options, "predictor": True} if options["compression"] == "zlib" else options
    data = make.tiff(given, byteorder=byteorder, **kind, **options)
    picture = read(store(data, "a.tif"))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.pixels.dtype == np.dtype(dtype)
    assert picture.pixels.flags.c_contiguous
    assert picture.channels == (GREY if layout == "grey" else RGB)
    assert picture.notes == ()


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "packbits", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["1", "L", "I;16", "RGB", "RGBA", "P", "CMYK", "F"])
def test_tiff_by_libtiff(store, compression, mode, make):
    source = make.ramp((70, 45, 3), "u1")
    image = Image.fromarray(make.ramp((70, 45), "u2")) if mode == "I;16" else Image.fromarray(source).convert(mode)
    file = io.BytesIO()
    image.save(file, "TIFF", compression=compression)
    picture = read(store(file.getvalue(), "a.tif"))
    shown = {"1": "L", "P": "RGB", "CMYK": "RGB"}.get(mode, mode)
    np.testing.assert_allclose(picture.pixels.astype(float), np.asarray(image.convert(shown)), atol=mode == "CMYK")


def test_tiff_lzw_with_predictor_of_16_bit_colour(store, make):
    """Differences are undone after LZW: put a strip that libtiff packed into a file of tifffile's."""
    pixels = make.ramp((12, 20, 3), "u2")
    delta = pixels.copy()
    delta[:, 1:] -= pixels[:, :-1]
    file = io.BytesIO()
    Image.frombytes("L", (12 * 20 * 6, 1), delta.tobytes()).save(file, "TIFF", compression="tiff_lzw")
    libtiff = file.getvalue()
    with tifffile.TiffFile(io.BytesIO(libtiff)) as tiff:
        page = tiff.pages[0]
        packed = libtiff[page.dataoffsets[0] : page.dataoffsets[0] + page.databytecounts[0]]
    plain = bytearray(make.tiff(pixels, photometric="rgb", compression="zlib", predictor=2))
    with tifffile.TiffFile(io.BytesIO(plain)) as tiff:
        tags = tiff.pages[0].tags
        for code, value, form in ((259, 5, "<H"), (273, len(plain), "<I"), (279, len(packed), "<I")):
            assert tags[code].count == 1
            struct.pack_into(form, plain, tags[code].valueoffset, value)
    np.testing.assert_array_equal(read(store(bytes(plain) + packed, "a.tif")).pixels, pixels)


def test_tiff_alpha_and_unnamed_channels(store, make):
    five = make.ramp((8, 9, 5), "f4")
    picture = read(store(make.tiff(five, photometric="minisblack", planarconfig="contig"), "c.tif"))
    np.testing.assert_array_equal(picture.pixels, five)
    assert picture.channels == ("0", "1", "2", "3", "4")

    four = make.ramp((8, 9, 4), "u2")
    picture = read(store(make.tiff(four, photometric="rgb", extrasamples=["unassalpha"]), "d.tif"))
    np.testing.assert_array_equal(picture.pixels, four)
    assert picture.channels == (*RGB, "alpha")
    assert picture.notes == ()
    picture = read(store(make.tiff(four, photometric="rgb", extrasamples=["unspecified"]), "e.tif"))
    assert picture.channels == ("0", "1", "2", "3")
    picture = read(store(make.tiff(five, photometric="rgb", extrasamples=["unspecified", "unassalpha"]), "f.tif"))
    assert picture.channels == ("0", "1", "2", "3", "alpha")


NESTED = ["jpeg", "jpeg2000", "jpegxl", "webp", "zstd", "lerc", "lzma", "packbits", "lzw"]


@pytest.mark.parametrize("compression", NESTED)
@pytest.mark.parametrize("options", [{}, {"tile": (32, 16)}, {"rowsperstrip": 8}], ids=str)
def test_tiff_of_every_compression_as_tifffile_reads_it(store, make, compression, options):
    pixels = make.ramp((50, 45, 3), "u1")
    data = make.tiff(pixels, photometric="rgb", compression=compression, **options)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        expected = file.asarray()
    np.testing.assert_array_equal(read(store(data, "a.tif")).pixels, expected)
    if compression not in ("jpeg", "jpegxl", "webp", "jpeg2000"):
        np.testing.assert_array_equal(expected, pixels)


def test_tiff_that_is_not_read_says_so(store, make):
    pixels = make.ramp((16, 16, 3), "u1")
    with pytest.raises(FileError, match=r"compression [0-9]+; expected none, LZW"):
        read(store(make.tiff(pixels, photometric="rgb", compression="jpegxr"), "a.tif"))
    with pytest.raises(FileError, match="photometric interpretation 8 with 3 channels"):
        read(store(make.tiff(pixels, photometric="cielab"), "b.tif"))
    with pytest.raises(FileError, match="expected integers or floats"):
        read(store(make.tiff(np.ones((4, 4), complex), photometric="minisblack"), "c.tif"))
    with pytest.raises(FileError, match="is a volume"):
        read(store(make.tiff(np.ones((32, 32, 32), "u1"), volumetric=True, tile=(16, 16, 16)), "d.tif"))


def test_a_sparse_tiff(store, make):
    """GDAL leaves out tiles that are all zero."""
    pixels = make.ramp((32, 32), "u1")
    data = bytearray(make.tiff(pixels, photometric="minisblack", tile=(16, 16), compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages[0].tags[325]
        assert tag.count == 4
        struct.pack_into("<H" if tag.dtype == 3 else "<I", data, tag.valueoffset, 0)
    expected = pixels.copy()
    expected[:16, :16] = 0
    np.testing.assert_array_equal(read(store(bytes(data), "a.tif")).pixels, expected)


def test_tiff_white_is_zero(store, make):
    pixels = make.ramp((8, 9), "u2")
    picture = read(store(make.tiff(pixels, photometric="miniswhite"), "a.tif"))
    np.testing.assert_array_equal(picture.pixels, 65535 - pixels)
    assert picture.notes == ("white is zero in the file: inverted",)


def test_tiff_damage_is_not_logged_but_the_users_own_use_of_tifffile_is(store, caplog, samples):
    data = bytearray(samples["plain.tif"])
    struct.pack_into("<H", data, struct.unpack_from("<I", data, 4)[0] + 2 + 2, 99)  # a dtype that does not exist
    path = store(bytes(data), "a.tif")
    with pytest.raises(FileError):
        read(path)
    assert not caplog.records
    with suppress(ValueError):
        tifffile.imread(path)
    assert caplog.records


@given(
    st.tuples(st.integers(1, 70), st.integers(1, 90)),
    st.sampled_from([(16, 16), (16, 32), (48, 16)]),
    st.sampled_from(["u1", "<u2", ">u2", ">f4", "<f8"]),
    st.sampled_from([None, "contig", "separate"]),
    st.sampled_from([None, None, "zlib", "shuffled"]),
    st.data(),
)
def test_boxes_of_tiles_are_those_of_the_picture(shape, tile, dtype, planes, kind, data):
    rng = np.random.default_rng(shape)
    picture = rng.integers(0, 200, shape if planes is None else (*shape, 3)).astype(dtype)
    how = {"photometric": "minisblack" if planes is None else "rgb", "planarconfig": planes, "tile": tile}
    how |= {"byteorder": ">" if dtype[0] == ">" else "<", "compression": "zlib" if kind == "zlib" else None}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "a.tif"))
        tifffile.imwrite(path, np.moveaxis(picture, 2, 0) if planes == "separate" else picture, **how)
        if kind == "shuffled":
            _swap_last_tiles(path)
        tiled = Tiled(path)
        ends = [st.lists(st.integers(0, n), min_size=2, max_size=2, unique=True) for n in shape]
        for _ in range(3):
            box = tuple(slice(*sorted(data.draw(each))) for each in ends)
            found = tiled.read(*box)
            assert found.dtype == picture.dtype.newbyteorder("=")
            np.testing.assert_array_equal(found, picture[box].reshape(found.shape))


def _swap_last_tiles(path):
    """Let the last two tiles change places, as where a program writes tiles when they are ready."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        offsets, handle = list(file.pages[0].dataoffsets), file.filehandle
        contents = []
        for offset, count in list(zip(offsets, file.pages[0].databytecounts))[-2:]:
            handle.seek(offset)
            contents.append(handle.read(count))
        for offset, content in zip(offsets[-2:], reversed(contents)):
            handle.seek(offset)
            handle.write(content)
        if len(offsets) > 1:
            file.pages[0].tags[324].overwrite(offsets[:-2] + offsets[:-3:-1])


def test_tiles_beyond_the_end_of_a_file_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(16, 16))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(FileError, match=r"a\.tif"):
        Tiled(str(path)).read(slice(0, 64), slice(0, 64))
