"""Round trips of pages, alpha, profiles, EXIF, OME and ImageJ metadata, compared by Pillow, tifffile and libvips."""

import io
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from kernelfield.errors import ArgumentError, KernelfieldWarning
from kernelfield.images import Pages, read, write

pytestmark = pytest.mark.core

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKE, ISO, EXIF_IFD, ORIENTATION = 0x010F, 0x8827, 0x8769, 0x0112
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'


def exif(orientation=1):
    block = Image.Exif()
    block[MAKE] = "Maker"
    block[ORIENTATION] = orientation
    block[EXIF_IFD] = {ISO: 400}
    loaded = Image.Exif()
    loaded.load(block.tobytes())
    return loaded


@pytest.fixture(scope="module")
def colour(make):
    return make.ramp((24, 31, 3), "u1")


@pytest.fixture
def vips():
    """libvips, where it is installed, as a second opinion."""
    try:
        import pyvips
    except ImportError:
        return None
    return pyvips


def rewritten(source, name, tmp_path):
    """Read a file, write its pages under another name, and return the path of that."""
    picture = read(source)
    write(tmp_path / name, picture.pages if len(picture.pages) > 1 else picture.pixels, like=picture)
    return tmp_path / name


@pytest.mark.parametrize("orientation", [1, 6, 3])
@pytest.mark.parametrize("source", ["in.png", "in.jpg", "in.webp", "in.avif", "in.tif"])
@pytest.mark.parametrize("target", ["out.png", "out.jpg", "out.tif", "out.webp", "out.avif"])
def test_profile_exif_and_resolution(tmp_path, colour, source, target, orientation, vips):
    options = {"icc_profile": ICC, "exif": exif(orientation), "dpi": (300, 150)}
    if source in ("in.webp", "in.avif"):
        options.pop("dpi")
    Image.fromarray(colour).save(tmp_path / source, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KernelfieldWarning)
        path = rewritten(tmp_path / source, target, tmp_path)
    with Image.open(tmp_path / source) as before, Image.open(path) as after:
        turned = ImageOps.exif_transpose(before)
        assert after.size == turned.size
        difference = np.asarray(after).astype(int) - np.asarray(turned)
        assert abs(difference).max() <= (0 if target in ("out.png", "out.tif", "out.webp") else 40)
        assert after.info.get("icc_profile") == ICC
        kept = after.getexif()
        assert kept[MAKE] == "Maker"
        assert kept.get_ifd(EXIF_IFD)[ISO] == 400
        assert kept.get(ORIENTATION, 1) == 1
        if "dpi" in options and target in ("out.png", "out.jpg", "out.tif"):
            expected = (150, 300) if orientation == 6 else (300, 150)
            assert tuple(round(float(value)) for value in after.info["dpi"]) == expected
    if vips is None:
        return
    image = vips.Image.new_from_file(str(path))
    assert (image.width, image.height, image.bands) == (*turned.size, 3)
    assert bytes(image.get("icc-profile-data")) == ICC
    if "orientation" in image.get_fields():
        assert image.get("orientation") == 1


def test_what_a_format_does_not_hold_is_told(tmp_path, colour):
    Image.fromarray(colour).save(tmp_path / "in.png", icc_profile=ICC)
    with pytest.warns(KernelfieldWarning, match=r"\.bmp does not hold the colour profile"):
        rewritten(tmp_path / "in.png", "out.bmp", tmp_path)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("source", ["in.png", "in.tif"])
@pytest.mark.parametrize("target", ["out.png", "out.tif", "out.webp", "out.avif", "out.jxl", "out.jp2", "out.npy"])
def test_alpha(tmp_path, make, source, target, channels, dtype, vips):
    pixels = make.ramp((24, 31, channels), dtype)
    if source == "in.png":
        write(tmp_path / source, pixels)
    else:
        kind = {"photometric": "rgb" if channels == 4 else "minisblack", "extrasamples": ["unassalpha"]}
        (tmp_path / source).write_bytes(make.tiff(pixels, planarconfig="contig", **kind))
    picture = read(tmp_path / source)
    assert picture.channels == (("R", "G", "B", "alpha") if channels == 4 else ("grey", "alpha"))
    assert picture.alpha == channels - 1
    np.testing.assert_array_equal(picture.pixels, pixels)
    if target in ("out.webp", "out.avif") and (dtype == "u2" or channels == 2):
        return
    path = rewritten(tmp_path / source, target, tmp_path)
    again = read(path)
    if target == "out.avif":
        assert abs(again.pixels.astype(int) - pixels).max() < 40
    else:
        np.testing.assert_array_equal(again.pixels, pixels)
    if target != "out.npy":
        assert again.channels == picture.channels
    if vips is not None and target in ("out.png", "out.tif"):
        image = vips.Image.new_from_file(str(path))
        assert image.hasalpha()
        np.testing.assert_array_equal(np.squeeze(image.numpy()), pixels)
    if target == "out.tif":
        with tifffile.TiffFile(path) as file:
            assert file.pages[0].extrasamples == (2,)


def test_premultiplied_alpha_stays_so(tmp_path, make):
    pixels = make.ramp((24, 31, 4), "u1")
    (tmp_path / "in.tif").write_bytes(make.tiff(pixels, photometric="rgb", extrasamples=["assocalpha"]))
    with tifffile.TiffFile(rewritten(tmp_path / "in.tif", "out.tif", tmp_path)) as file:
        assert file.pages[0].extrasamples == (1,)


PAGES = {
    "plain": {},
    "tiles": {"tile": (16, 16), "compression": "zlib"},
    "bigtiff": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "planar": {"planarconfig": "separate", "photometric": "rgb"},
}


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("kind", PAGES)
def test_pages(tmp_path, make, kind, dtype, vips):
    shape = (3 * 40, 50) if kind != "planar" else (3 * 3 * 40, 50)
    stack = make.ramp(shape, dtype).reshape((3, 40, 50) if kind != "planar" else (3, 3, 40, 50))
    options = {
        "photometric": "minisblack",
        "resolution": (300, 200),
        "resolutionunit": "INCH",
        "software": "maker",
    } | PAGES[kind]
    with tifffile.TiffWriter(
        tmp_path / "in.tif", **{k: options.pop(k) for k in ("bigtiff", "byteorder") if k in options}
    ) as file:
        for index, page in enumerate(stack):
            tags = [(65000, "s", 0, f"own {index}", False), (33550, "d", 3, (1.0, 2.0, float(index)), False)]
            file.write(page, metadata=None, description=f"page {index}", extratags=tags, iccprofile=ICC, **options)
    picture = read(tmp_path / "in.tif")
    assert len(picture.pages) == 3
    expected = stack if kind != "planar" else np.moveaxis(stack, 1, -1)
    for index in (2, 0, 1):
        np.testing.assert_array_equal(picture.pages[index], expected[index])
        np.testing.assert_array_equal(read(tmp_path / "in.tif", page=index).pixels, expected[index])
    path = rewritten(tmp_path / "in.tif", "out.tif", tmp_path)
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) == 3
        assert file.is_bigtiff == (kind == "bigtiff")
        assert file.byteorder == (">" if kind == "big-endian" else "<")
        for index, page in enumerate(file.pages):
            np.testing.assert_array_equal(page.asarray(), expected[index])
            assert page.description == f"page {index}"
            assert page.tags[65000].value == f"own {index}"
            assert page.tags[33550].value == (1.0, 2.0, float(index))
            assert page.tags[34675].value == ICC
            assert page.tags[282].value == (300, 1)
            assert page.tags[305].value == "maker"
            assert page.is_tiled == (kind == "tiles")
    for index in range(3 if vips is not None else 0):
        image = vips.Image.new_from_file(str(path), page=index)
        np.testing.assert_array_equal(np.squeeze(image.numpy()), expected[index])
        assert image.get("n-pages") == 3
    if dtype != "f4":
        with Image.open(path) as image:
            assert image.n_frames == 3


def test_a_single_page_keeps_its_own_tags(tmp_path, make):
    stack = make.ramp((3 * 8, 9), "u1").reshape(3, 8, 9)
    with tifffile.TiffWriter(tmp_path / "in.tif") as file:
        for index, page in enumerate(stack):
            file.write(page, metadata=None, description=f"page {index}")
    picture = read(tmp_path / "in.tif", page=2)
    write(tmp_path / "out.tif", picture.pixels, like=picture)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert [page.description for page in file.pages] == ["page 2"]
        np.testing.assert_array_equal(file.asarray(), stack[2])


def test_three_channels_that_are_no_colours(tmp_path, make):
    pixels = make.ramp((8, 9, 3), "u1")
    (tmp_path / "in.tif").write_bytes(make.tiff(pixels, photometric="minisblack", planarconfig="contig"))
    assert read(tmp_path / "in.tif").channels == ("0", "1", "2")
    assert read(rewritten(tmp_path / "in.tif", "out.tif", tmp_path)).channels == ("0", "1", "2")


@pytest.mark.parametrize("name", ["in.jpg", "in.tif"])
def test_inks_with_a_profile_as_libvips_shows_them(tmp_path, make, name, vips):
    if vips is None:
        pytest.skip("needs libvips")
    profile = bytes(vips.Operation.call("profile_load", "cmyk"))
    Image.fromarray(make.ramp((16, 16, 4), "u1"), "CMYK").save(tmp_path / name, icc_profile=profile)
    picture = read(tmp_path / name)
    image = vips.Image.new_from_file(str(tmp_path / name))
    shown = image.icc_transform("srgb", embedded=True, intent="perceptual").numpy()
    assert abs(picture.pixels.astype(int) - shown).max() <= 1
    assert picture.notes == ("CMYK converted to sRGB by its colour profile",)
    assert picture.metadata.icc == b""


@pytest.mark.parametrize("name", ["in.jpg", "in.tif"])
def test_inks_with_a_profile_that_is_damaged(tmp_path, make, name):
    image = Image.fromarray(make.ramp((16, 16, 4), "u1"), "CMYK")
    image.save(tmp_path / name, icc_profile=b"no profile" * 20)
    picture = read(tmp_path / name)
    assert picture.notes == ("CMYK converted to RGB without a colour profile",)
    assert picture.metadata.icc == b""


def test_pages_are_decoded_when_they_are_used(tmp_path, make):
    asked = []

    def load(index):
        asked.append(index)
        return read(tmp_path / "in.tif").pages.page(index)

    stack = make.ramp((3 * 8, 9), "u1").reshape(3, 8, 9)
    (tmp_path / "in.tif").write_bytes(make.tiff(stack, photometric="minisblack"))
    pages = Pages(3, load)
    assert asked == []
    write(tmp_path / "out.tif", pages)
    assert asked == [0, 1, 2]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), stack)
    assert len(pages[1:]) == 2
    np.testing.assert_array_equal(pages[-1], stack[2])
    with pytest.raises(IndexError):
        pages[3]
    with pytest.raises(ArgumentError, match="expected one of 0 to 2"):
        read(tmp_path / "in.tif", page=3)
    for target in ("out.png", "out.npy"):
        with pytest.raises(ArgumentError, match="holds one page; received 3"):
            write(tmp_path / target, list(stack))
        assert not (tmp_path / target).exists()


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_ome(tmp_path, make, dtype):
    stack = make.ramp((6 * 20, 30), "u2").reshape(2, 3, 20, 30)
    metadata = {"axes": "ZCYX", "PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "µm", "Channel": {"Name": ["a", "b", "ä"]}}
    tifffile.imwrite(tmp_path / "in.ome.tif", stack, ome=True, metadata=metadata, photometric="minisblack")
    picture = read(tmp_path / "in.ome.tif")
    assert len(picture.pages) == 6
    write(tmp_path / "out.ome.tif", [page.astype(dtype) for page in picture.pages], like=picture)
    with tifffile.TiffFile(tmp_path / "in.ome.tif") as before, tifffile.TiffFile(tmp_path / "out.ome.tif") as after:
        assert after.is_ome
        assert after.series[0].shape == (2, 3, 20, 30)
        assert after.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(after.asarray(), stack.astype(dtype))
        kept, old = after.ome_metadata, before.ome_metadata
        assert kept == old if dtype == "u2" else kept.replace("uint8" if dtype == "u1" else "float", "uint16") == old
        assert 'Name="ä"' in kept
    with pytest.warns(KernelfieldWarning, match="description of pages by OME or ImageJ is left out"):
        write(tmp_path / "one.tif", picture.pages[2], like=picture)
    with tifffile.TiffFile(tmp_path / "one.tif") as file:
        assert not file.is_ome


@pytest.mark.parametrize("truncated", [False, True])
def test_imagej(tmp_path, make, truncated):
    stack = make.ramp((6 * 20, 30), "u2").reshape(2, 3, 20, 30)
    info = {"axes": "ZCYX", "unit": "um", "spacing": 0.5, "Info": "taken by hand", "Labels": list("abcdef")}
    if truncated:
        info = {key: value for key, value in info.items() if key not in ("Info", "Labels")}
    options = {"metadata": info, "resolution": (3.5, 3.5)}
    # ImageJ writes one directory for all pictures of a large stack.
    tifffile.imwrite(tmp_path / "in.tif", stack, imagej=True, truncate=truncated, **options)
    picture = read(tmp_path / "in.tif")
    assert len(picture.pages) == 6
    path = rewritten(tmp_path / "in.tif", "out.tif", tmp_path)
    with tifffile.TiffFile(tmp_path / "in.tif") as before, tifffile.TiffFile(path) as after:
        assert after.is_imagej
        assert after.imagej_metadata == before.imagej_metadata
        assert after.series[0].shape == (2, 3, 20, 30)
        np.testing.assert_array_equal(after.asarray(), stack)


def test_previews_and_masks_are_no_pages(tmp_path, make):
    pixels = make.ramp((40, 50), "u1")
    with tifffile.TiffWriter(tmp_path / "in.tif") as file:
        file.write(pixels[::2, ::2], metadata=None, subfiletype=1)
        file.write(pixels, metadata=None)
        file.write(pixels[::4, ::4], metadata=None, subfiletype=1)
    picture = read(tmp_path / "in.tif")
    assert len(picture.pages) == 1
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.notes == ("2 previews or masks left out",)


def test_png_keeps_how_it_is_shown(tmp_path, colour):
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Author", "someone")
    texts.add_itxt("Title", "Bäume", zip=True)
    texts.add(b"gAMA", (45455).to_bytes(4, "big"))
    Image.fromarray(colour).save(tmp_path / "in.png", pnginfo=texts)
    with Image.open(rewritten(tmp_path / "in.png", "out.png", tmp_path)) as after:
        after.load()
        assert after.text == {"Author": "someone", "Title": "Bäume"}
        assert after.info["gamma"] == 0.45455


@pytest.mark.parametrize("name", ["in.png", "in.jpg", "in.webp", "in.tif"])
def test_xmp_is_kept_and_says_that_nothing_is_to_be_turned(tmp_path, colour, name):
    options = {"exif": exif(6), "xmp": XMP}
    if name == "in.png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"exif": exif(6), "pnginfo": info}
    if name == "in.tif":
        options = {"exif": exif(6), "tiffinfo": {700: XMP}}
    Image.fromarray(colour).save(tmp_path / name, **options)
    with Image.open(rewritten(tmp_path / name, f"out{name[2:]}", tmp_path)) as after:
        found = after.info.get("xmp", after.info.get("XML:com.adobe.xmp"))
        found = found.encode() if isinstance(found, str) else found
        assert found == XMP.replace(b">6<", b">1<")
        assert ImageOps.exif_transpose(after).size == (24, 31)


def test_npz_names(tmp_path, make):
    pages = {"first": make.ramp((8, 9), "u1"), "second": make.ramp((5, 6, 3), "f4")}
    np.savez(tmp_path / "in.npz", **pages)
    picture = read(tmp_path / "in.npz")
    assert len(picture.pages) == 2
    path = rewritten(tmp_path / "in.npz", "out.npz", tmp_path)
    with np.load(path) as kept:
        assert list(kept) == list(pages)
        for name, page in pages.items():
            np.testing.assert_array_equal(kept[name], page)


def test_fits(tmp_path, make):
    fits = pytest.importorskip("astropy.io.fits")
    pixels = make.ramp((24, 31), "i2")
    header = fits.Header({"OBJECT": "M31", "CRVAL1": 10.5, "BLANK": -1})
    stored = pixels.copy()
    stored[3, 4] = -1
    unit = fits.PrimaryHDU(stored, header)
    fits.HDUList([unit, fits.ImageHDU(make.ramp((2 * 8, 9), "f4").reshape(2, 8, 9))]).writeto(tmp_path / "in.fits")
    data = bytearray((tmp_path / "in.fits").read_bytes())
    data[data.index(b"EXTEND") : data.index(b"EXTEND") + 80] = b"BSCALE  =                  2.0".ljust(80)
    (tmp_path / "scaled.fits").write_bytes(data)
    picture = read(tmp_path / "scaled.fits")
    expected = stored * 2.0
    expected[3, 4] = np.nan
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.pixels.dtype.isnative
    assert np.isnan(read(tmp_path / "in.fits").pixels[3, 4])
    picture = read(tmp_path / "in.fits")
    assert len(picture.pages) == 3
    np.testing.assert_array_equal(picture.pages[2], make.ramp((2 * 8, 9), "f4").reshape(2, 8, 9)[1])
    write(tmp_path / "out.fits", picture.pixels, like=picture)
    with fits.open(tmp_path / "out.fits") as after:
        np.testing.assert_array_equal(after[0].data, picture.pixels)
        assert after[0].header["OBJECT"] == "M31"
        assert after[0].header["CRVAL1"] == 10.5
        assert "BLANK" not in after[0].header


def test_streams(make):
    class Pipe(io.RawIOBase):
        """As stdin: no seeking."""

        def __init__(self, data):
            self.data = io.BytesIO(data)

        def readable(self):
            return True

        def readinto(self, buffer):
            return self.data.readinto(buffer)

    pixels = make.ramp((24, 31, 3), "u2")
    for form in ("png", "tif", "npy", "ppm", "npz"):
        target = io.BytesIO()
        write(target, pixels, format=form)
        np.testing.assert_array_equal(read(io.BufferedReader(Pipe(target.getvalue()))).pixels, pixels)
    with pytest.raises(ArgumentError, match="name the format"):
        write(io.BytesIO(), pixels)
    with pytest.raises(ArgumentError, match="expected a file of bytes"):
        read(io.StringIO("text"))


@pytest.mark.parametrize("target", ["a.png", "a.bmp", "a.jpg", "a.tif"])
def test_a_resolution_that_no_format_holds_is_left_out(tmp_path, target):
    pixels = np.zeros((8, 8), np.uint8)
    tifffile.imwrite(tmp_path / "high.tif", pixels, resolution=((4_000_000_000, 1), (4_000_000_000, 1)))
    picture = read(tmp_path / "high.tif")
    assert picture.metadata.resolution is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KernelfieldWarning)
        write(tmp_path / target, picture.pixels, like=picture)
    assert read(tmp_path / target).pixels.shape == (8, 8)


def test_collections_of_pages_are_pages(tmp_path):
    pages = {"a": np.zeros((4, 5)), "b": np.ones((4, 5))}
    write(tmp_path / "pages.npz", pages.values())
    assert len(read(tmp_path / "pages.npz").pages) == 2
