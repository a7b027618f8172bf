"""Stores and files of every kind, filtered tile by tile: the numbers and the surroundings of the whole image."""

import pickle

import numpy as np
import pytest
import tifffile
from cases import image

import kernelfield as kf
from kernelfield.errors import ArgumentError, FileError
from kernelfield.scale.chain import chain
from kernelfield.scale.job import Job
from kernelfield.scale.target import Target, lay_out

dask = pytest.importorskip("dask.array")
xarray = pytest.importorskip("xarray")
zarr = pytest.importorskip("zarr")

KERNEL = np.random.default_rng(5).normal(size=(5, 4))
PIXELS = image("float32", (150, 170))


def store(path, pixels, **options):
    """Write a Zarr array as other programs do."""
    options = {"chunks": (64,) * pixels.ndim, **options}
    return zarr.create_array(str(path), data=pixels, **options)


def read(path):
    return zarr.open_array(path)[...]


SOURCES = {
    "sharded": lambda path: store(path, PIXELS, shards=(128, 128)),
    "chunks": lambda path: store(path, PIXELS),
    "version 2": lambda path: store(path, PIXELS, zarr_format=2),
    "uncompressed": lambda path: store(path, PIXELS, compressors=None),
    "gzip": lambda path: store(path, PIXELS, compressors=zarr.codecs.GzipCodec()),
    "blosc": lambda path: store(path, PIXELS, compressors=zarr.codecs.BloscCodec()),
    "blosc, version 2": lambda path: store(path, PIXELS, zarr_format=2, compressors=numcodecs_blosc()),
    "transposed": lambda path: store(path, PIXELS, filters=zarr.codecs.TransposeCodec(order=(1, 0))),
    "big-endian": lambda path: store(path, PIXELS, serializer=zarr.codecs.BytesCodec(endian="big")),
}


def numcodecs_blosc():
    import numcodecs

    return numcodecs.Blosc()


@pytest.mark.parametrize("name", SOURCES)
def test_zarr_of_every_kind(name, tmp_path):
    SOURCES[name](tmp_path / "in.zarr")
    done = kf.scale.apply(tmp_path / "in.zarr", KERNEL, tmp_path / "out.zarr", tile=(70, 50))
    np.testing.assert_array_equal(read(tmp_path / "out.zarr"), kf.correlate(PIXELS, KERNEL))
    assert done.shape == PIXELS.shape
    assert kf.scale.verify(tmp_path / "out.zarr").hash == done.hash
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.zarr", "out.zarr"]


TIFFS = {
    "tiles": {"tile": (32, 48)},
    "strips": {"rowsperstrip": 7, "compression": "zlib"},
    "one strip": {},
    "BigTIFF": {"bigtiff": True, "tile": (64, 64), "compression": "lzw", "predictor": True},
    "big-endian": {"byteorder": ">", "tile": (64, 64)},
}


@pytest.mark.parametrize("name", TIFFS)
def test_tiff_of_every_kind(name, tmp_path):
    pixels = image("uint16", (150, 170))
    tifffile.imwrite(tmp_path / "in.tif", pixels, photometric="minisblack", **TIFFS[name])
    kf.scale.apply(tmp_path / "in.tif", KERNEL, tmp_path / "out.tif", tile=(70, 50))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), kf.correlate(pixels, KERNEL))
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.pages[0].is_tiled


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_the_channels_of_a_tiff_file(planar, tmp_path):
    pixels = image("uint8", (90, 70, 3))
    stored = pixels if planar == "contig" else np.moveaxis(pixels, -1, 0)
    tifffile.imwrite(tmp_path / "in.tif", stored, photometric="rgb", planarconfig=planar, tile=(32, 32))
    kf.scale.apply(tmp_path / "in.tif", KERNEL, tmp_path / "out.tif", dtype="uint8", tile=(33, 32))
    expected = kf.correlate(pixels, KERNEL, dtype="uint8")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), expected)


@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_files(order, tmp_path):
    np.save(tmp_path / "in.npy", np.asarray(PIXELS.astype(">f4"), order=order))
    kf.scale.apply(tmp_path / "in.npy", KERNEL, tmp_path / "out.npy", tile=(70, 50))
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), kf.correlate(PIXELS, KERNEL))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npy", "out.npy"]


def test_an_address_of_fsspec():
    fsspec = pytest.importorskip("fsspec")
    kf.scale.apply(PIXELS, KERNEL, "memory://there/out.zarr", tile=(70, 50))
    again = kf.scale.apply("memory://there/out.zarr", [[1.0]], "memory://there/again.zarr")
    source = kf.scale.open_source("memory://there/again.zarr")
    np.testing.assert_array_equal(source.read((slice(0, 150), slice(0, 170))), kf.correlate(PIXELS, KERNEL))
    assert kf.scale.verify("memory://there/again.zarr").hash == again.hash
    with pytest.raises(FileError, match="is there already"):
        kf.scale.apply(PIXELS, KERNEL, "memory://there/out.zarr")
    fsspec.filesystem("memory").rm("/there", recursive=True)


def test_an_array_of_dask(tmp_path):
    lazy = dask.from_array(PIXELS, chunks=(40, 60)) * 2
    kf.scale.apply(lazy, KERNEL, tmp_path / "out.zarr", tile=(70, 50))
    np.testing.assert_array_equal(read(tmp_path / "out.zarr"), kf.correlate(PIXELS * 2, KERNEL))


@pytest.mark.parametrize("how", [{}, {"mode": "valid"}, {"stride": (2, 3)}, {"mode": "full", "stride": 2}])
def test_an_array_of_xarray_keeps_its_coordinates(how, tmp_path):
    cube = np.stack([PIXELS, PIXELS + 1])
    places = {"y": np.linspace(10, 20, 150), "x": 3.0 * np.arange(170), "band": [450, 650]}
    array = xarray.DataArray(cube, places, ("band", "y", "x"), "reflectance")
    kf.scale.apply(array, KERNEL, tmp_path / "out.zarr", tile=(70, 50), **how)
    expected = kf.correlate(array, KERNEL, **how)
    with xarray.open_zarr(tmp_path / "out.zarr", consolidated=False) as found:
        xarray.testing.assert_allclose(found.reflectance.drop_attrs(), expected)
        np.testing.assert_array_equal(found.reflectance, expected)
    assert kf.scale.verify(tmp_path / "out.zarr").tiles == 2 * 12 if not how else True


def ome(path, version, pixels):
    """Write an OME-Zarr image as ome-zarr does."""
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.writer import write_multiscale

    form = FormatV04() if version == "0.4" else FormatV05()
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    axes = [{"name": n, "type": "channel" if n == "c" else "space"} for n in "cyx"]
    axes[1]["unit"] = axes[2]["unit"] = "micrometer"
    transformations = [
        [{"type": "scale", "scale": [1.0, 0.5 * f, 0.25 * f]}, {"type": "translation", "translation": [0.0, 7.0, f]}]
        for f in (1.0, 2.0)
    ]
    levels = [pixels, pixels[:, ::2, ::2]]
    write_multiscale(levels, group, fmt=form, axes=axes, coordinate_transformations=transformations, name="cells")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("level", [0, 1])
def test_an_image_of_ome_zarr(version, level, tmp_path):
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    pixels = image("uint16", (2, 150, 170))
    ome(tmp_path / "in.zarr", version, pixels)
    how = {"mode": "valid", "stride": 2}
    done = kf.scale.apply(
        tmp_path / "in.zarr", KERNEL, tmp_path / "out.zarr", level=level, pyramid=True, tile=(64, 64), **how
    )
    expected = kf.correlate(pixels[:, :: 2**level, :: 2**level], KERNEL, channel_axis=None, **how)
    node = next(iter(Reader(parse_url(tmp_path / "out.zarr"))()))
    np.testing.assert_array_equal(node.data[0], expected)
    assert [axis["name"] for axis in node.metadata["axes"]] == ["c", "y", "x"]
    scale, translation = (one[one["type"]] for one in node.metadata["coordinateTransformations"][0])
    size = 2.0**level
    np.testing.assert_allclose(scale, [1, 0.5 * size * 2, 0.25 * size * 2])
    np.testing.assert_allclose(translation, [0, 7.0 + 2 * 0.5 * size, size + 2 * 0.25 * size])
    found = kf.scale.verify(tmp_path / "out.zarr")
    assert found.hash == done.hash
    assert found.arrays == len(node.data) == 2 - level
    if level:
        return  # it fits a chunk
    # A pixel of the next level is the mean of four.
    rows, columns = (n // 2 * 2 for n in expected.shape[1:])
    means = expected[:, :rows, :columns].reshape(2, rows // 2, 2, columns // 2, 2).mean((2, 4))
    np.testing.assert_allclose(node.data[1], means, rtol=1e-6)
    finer, coarser = (node.metadata["coordinateTransformations"][n] for n in (0, 1))
    half = np.array([0, 0.5, 0.5]) * finer[0]["scale"]
    np.testing.assert_allclose(coarser[1]["translation"], np.array(finer[1]["translation"]) + half)


def test_channels_are_filtered_one_by_one(tmp_path):
    pixels = image("uint8", (60, 70, 3))
    store(tmp_path / "in.zarr", pixels, chunks=(32, 32, 3))
    kf.scale.apply(tmp_path / "in.zarr", KERNEL, tmp_path / "out.zarr", tile=(32, 32))
    np.testing.assert_array_equal(read(tmp_path / "out.zarr"), kf.correlate(pixels, KERNEL))


def test_chunks_hold_a_checksum_and_zeros_are_stored(tmp_path):
    kf.scale.apply(np.zeros((100, 100), np.float32), KERNEL, tmp_path / "out.zarr", tile=(50, 50), compression="none")
    (codec,) = [c for c in zarr.open_array(tmp_path / "out.zarr").metadata.codecs if "crc" in type(c).__name__.lower()]
    assert codec is not None
    path = tmp_path / "out.zarr" / "c" / "1" / "1"
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    with pytest.raises(FileError, match="a chunk cannot be read"):
        kf.scale.verify(tmp_path / "out.zarr")


def test_a_job_can_be_sent_to_another_process(tmp_path):
    store(tmp_path / "in.zarr", PIXELS)
    source = kf.scale.open_source(tmp_path / "in.zarr")
    filters = chain([KERNEL], source.shape, source.dtype, source.axes, {})
    layout = lay_out(source.shape, "float32", source.axes, source.chunks, "none", None, (64, 64))
    job = Job.of(source, filters, Target.of(tmp_path / "out.zarr"), layout)
    job.begin({}, resume=False)
    source.read((slice(0, 1), slice(0, 1)))
    there = pickle.loads(pickle.dumps(job))
    tiles = [there.run(index) for index in job.missing()]
    assert job.missing() == []
    assert sum(tile.pixels for tile in tiles) == PIXELS.size


def test_progress_counts_tiles_and_pixels(tmp_path):
    told = []
    kf.scale.apply(PIXELS, KERNEL, tmp_path / "out.zarr", tile=(75, 170), progress=told.append)
    assert [(now.tiles, now.total, now.pixels) for now in told] == [(1, 2, 75 * 170), (2, 2, 150 * 170)]
    assert told[0].left > 0
    assert told[1].left == 0


@pytest.mark.parametrize(
    ("source", "target", "options", "problem"),
    [
        ("in.zarr", "in.zarr", {"overwrite": True}, "expected another place than the source"),
        ("in.zarr", "taken.zarr", {}, "is there already"),
        ("in.zarr", "out.png", {}, "a name that ends in .zarr"),
        ("in.zarr", "no/out.zarr", {}, "lies in no folder"),
        ("in.zarr", "no/out.npy", {}, "lies in no folder"),
        ("in.zarr", "out.zarr", {"level": 1}, "which is no OME-Zarr image"),
        ("in.zarr", "out.zarr", {"pyramid": True}, "expected an OME-Zarr image"),
        ("in.zarr", "out.zarr", {"tile": (0, 5)}, "whole numbers above 0"),
        ("in.zarr", "out.zarr", {"compression": "best"}, "expected one of none, zstd"),
        ("in.zarr", "out.zarr", {"memory": 0}, "a number of bytes"),
        ("none.zarr", "out.zarr", {}, "no Zarr array there"),
        ("none.tif", "out.zarr", {}, "cannot be read"),
        ("text.tif", "out.zarr", {}, "neither NPY nor TIFF"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(source, target, options, problem, tmp_path):
    store(tmp_path / "in.zarr", PIXELS)
    store(tmp_path / "taken.zarr", PIXELS)
    (tmp_path / "text.tif").write_text("no picture, but text")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises((ArgumentError, FileError), match=rf"^[^\n]*{problem}[^\n]*$"):
        kf.scale.apply(tmp_path / source, KERNEL, tmp_path / target, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
