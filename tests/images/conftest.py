"""Sample pictures and files for the tests of this folder."""

import io
from pathlib import Path
from types import SimpleNamespace

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
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def tiff_bytes(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def npy_bytes(pixels):
    file = io.BytesIO()
    np.save(file, pixels)
    return file.getvalue()


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions above (test files cannot import a conftest)."""
    return SimpleNamespace(ramp=ramp, pillow=pillow_bytes, tiff=tiff_bytes, npy=npy_bytes, exif=exif)


@pytest.fixture(scope="session")
def samples() -> dict[str, bytes]:
    """One small whole file of each kind, to cut and to damage."""
    grey, colour = ramp((24, 31), "u1"), ramp((24, 31, 3), "u1")
    return {
        "grey.png": pillow_bytes(grey, "PNG"),
        "colour.jpg": pillow_bytes(colour, "JPEG", exif=exif(6)),
        "progressive.jpg": pillow_bytes(colour, "JPEG", progressive=True),
        "plain.tif": tiff_bytes(ramp((24, 31, 3), "u2"), photometric="rgb"),
        "deflate.tif": tiff_bytes(ramp((40, 40), "f4"), photometric="minisblack", tile=(16, 16), compression="zlib"),
        "lzw.tif": pillow_bytes(colour, "TIFF", compression="tiff_lzw"),
        "packbits.tif": pillow_bytes(grey, "TIFF", compression="packbits"),
        "float.npy": npy_bytes(ramp((24, 31), "f4")),
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
