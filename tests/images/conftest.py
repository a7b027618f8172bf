"""Sample pictures and files for the tests of this folder."""

import io
from pathlib import Path
from types import SimpleNamespace

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image


def ramp(shape, dtype):
    """Smooth, with noise, over the whole range of the dtype: every filter of PNG gets used."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    values = (rows / shape[0] + columns / shape[1]) / 2
    values = values[..., None] * np.ones(shape[2:] or 1) + rng.normal(0, 0.02, (*shape[:2], *(shape[2:] or (1,))))
    values = np.clip(values, 0, 1).reshape(shape)
    if dtype.kind == "f":
        return values.astype(dtype)
    info = np.iinfo(dtype)
    return (info.min + values * (float(info.max) - info.min)).clip(info.min, info.max - 1).astype(dtype)


def pillow_bytes(pixels, form, **options):
    file = io.BytesIO()
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    image.save(file, form, **options)
    return file.getvalue()


def tiff_bytes(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def npy_bytes(pixels):
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


def stack_bytes(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def npz_bytes(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def fits_bytes(kind, pixels):
    """Nothing where astropy is not installed: the file is then refused as empty."""
    try:
        from astropy.io import fits
    except ImportError:
        return b""
    file = io.BytesIO()
    units = [getattr(fits, kind)(pixels)]
    fits.HDUList(units if kind == "PrimaryHDU" else [fits.PrimaryHDU(), *units]).writeto(file)
    return file.getvalue()


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions above (test files cannot import a conftest)."""
    return SimpleNamespace(ramp=ramp, pillow=pillow_bytes, tiff=tiff_bytes, npy=npy_bytes, exif=exif)


@pytest.fixture(scope="session")
def samples() -> dict[str, bytes]:
    """One small whole file of each kind, to cut and to damage."""
    grey, colour = ramp((24, 31), "u1"), ramp((24, 31, 3), "u1")
    stack = ramp((3 * 24, 31), "u1").reshape(3, 24, 31)
    palette = np.asarray(Image.fromarray(colour).quantize(16).convert("RGB"))
    return {
        "grey.png": pillow_bytes(grey, "PNG"),
        "palette.png": pillow_bytes(Image.fromarray(palette).quantize(16), "PNG", transparency=3),
        "colour16.png": imagecodecs.png_encode(ramp((24, 31, 3), "u2")),
        "colour.jpg": pillow_bytes(colour, "JPEG", exif=exif(6)),
        "progressive.jpg": pillow_bytes(colour, "JPEG", progressive=True),
        "plain.tif": tiff_bytes(ramp((24, 31, 3), "u2"), photometric="rgb"),
        "big.tif": tiff_bytes(colour, photometric="rgb", bigtiff=True),
        "deflate.tif": tiff_bytes(ramp((40, 40), "f4"), photometric="minisblack", tile=(16, 16), compression="zlib"),
        "lzw.tif": pillow_bytes(colour, "TIFF", compression="tiff_lzw"),
        "packbits.tif": pillow_bytes(grey, "TIFF", compression="packbits"),
        **{
            f"{name}.tif": tiff_bytes(colour, photometric="rgb", compression=name)
            for name in ("zstd", "jpeg", "jpeg2000", "jpegxl", "webp")
        },
        "pages.tif": tiff_bytes(stack, photometric="minisblack"),
        "imagej.tif": stack_bytes(stack, imagej=True),
        "ome.tif": stack_bytes(stack, ome=True, photometric="minisblack"),
        "colour.webp": pillow_bytes(colour, "WEBP", lossless=True, exif=exif(6)),
        "animated.webp": pillow_bytes(colour, "WEBP", save_all=True, append_images=[Image.fromarray(colour[::-1])]),
        "grey.bmp": pillow_bytes(grey, "BMP"),
        "grey.gif": pillow_bytes(grey, "GIF"),
        "animated.gif": pillow_bytes(grey, "GIF", save_all=True, append_images=[Image.fromarray(grey[::-1])]),
        "grey.pgm": pillow_bytes(grey, "PPM"),
        "colour16.ppm": b"P6 31 24 65535\n" + ramp((24, 31, 3), ">u2").tobytes(),
        "colour.avif": pillow_bytes(colour, "AVIF"),
        "colour.jxl": imagecodecs.jpegxl_encode(colour, lossless=True),
        "colour.jp2": imagecodecs.jpeg2k_encode(colour, codecformat="jp2"),
        "float.npy": npy_bytes(ramp((24, 31), "f4")),
        "two.npz": npz_bytes(first=grey, second=colour),
        "grey.fits": fits_bytes("PrimaryHDU", grey),
        "packed.fits": fits_bytes("CompImageHDU", grey),
    }


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


@pytest.fixture
def store(tmp_path: Path):
    """Write bytes to a new file and return its path."""

    def put(data: bytes, name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return put
