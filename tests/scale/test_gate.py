"""The gate of Zarr stores: what claims too much, or would run code, is refused before anything is decoded."""

import json
import resource
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.errors import FileError, KernelfieldError
from kernelfield.scale import codecs
from kernelfield.scale.stores import check

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")
imagecodecs = pytest.importorskip("imagecodecs")

MEGABYTE = 1 << 20
ZEROS = bytes(300 * MEGABYTE)


def packed(name, data):
    """Return data as the codec itself writes them, in pieces that take little memory where it can."""
    if name in ("zlib", "gzip"):
        stream = zlib.compressobj(9, wbits=31 if name == "gzip" else 15)
        return stream.compress(data) + stream.flush()
    return bytes(numcodecs.get_codec({"id": name}).encode(data))


def bytes_used():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("name", codecs.DECODERS)
def test_a_chunk_that_decodes_to_more_than_it_says(name):
    data = np.random.default_rng(0).integers(0, 4, 5000, np.uint8).tobytes()
    assert codecs.decode(name, packed(name, data), len(data)) == data
    bomb = packed(name, ZEROS)
    before = bytes_used()
    with pytest.raises(FileError, match=r"^a chunk decodes to [^\n]+ bytes; expected at most 65536[^\n]+$"):
        codecs.decode(name, bomb, 1 << 16)
    assert bytes_used() - before < 50 * MEGABYTE


def test_zstd_without_a_size_in_its_header_is_cut_at_the_size_of_the_chunk():
    data = bytes(1000)
    # A frame of one block of 1000 repeated bytes (RFC 8878, section 3.1.1): no size, a window of 1 KiB.
    frame = b"\x28\xb5\x2f\xfd" + b"\x00\x00" + struct.pack("<I", 1 | 1 << 1 | 1000 << 3)[:3] + b"\x00"
    assert codecs.decode("zstd", frame, 1000) == data
    with pytest.raises(FileError, match="expected at most 999"):
        codecs.decode("zstd", frame, 999)


@settings(max_examples=150)
@given(st.sampled_from(list(codecs.DECODERS)), st.data())
def test_damaged_chunks_give_one_line_or_bytes_within_the_limit(name, data):
    packet = bytearray(packed(name, bytes(range(256)) * 20))
    for place in data.draw(st.lists(st.integers(0, len(packet) - 1), max_size=6)):
        packet[place] = data.draw(st.integers(0, 255))
    packet = bytes(packet[: data.draw(st.integers(0, len(packet)))])
    message = ""
    try:
        assert len(codecs.decode(name, packet, 6000)) <= 6000
    except FileError as error:
        message = str(error)
    assert "\n" not in message


def array_metadata(**changed):
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [100, 100],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [50, 50]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {},
        **changed,
    }


def grid(*shape):
    return {"name": "regular", "configuration": {"chunk_shape": list(shape)}}


def shards(inner, *more):
    configuration = {
        "chunk_shape": inner,
        "codecs": [{"name": "bytes"}, *more],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }
    return [{"name": "sharding_indexed", "configuration": configuration}]


REFUSED = {
    "a huge chunk": {"chunk_grid": grid(2**30, 2**30), "shape": [2**40, 2**40]},
    "more chunks in a shard than its index may have": {"chunk_grid": grid(2**20, 2**20), "codecs": shards([1, 1])},
    "a pickle": {"codecs": [{"name": "numcodecs.pickle"}]},
    "objects": {"data_type": "object"},
    "text": {"data_type": "string", "codecs": [{"name": "vlen-utf8"}]},
    "dates": {"data_type": "numpy.datetime64"},
    "structures": {"data_type": [["a", "u1"]]},
    "a codec that nobody knows": {"codecs": [{"name": "bytes"}, {"name": "acme.run"}]},
    "a codec inside a shard": {"codecs": shards([10, 10], {"name": "numcodecs.json2"})},
    "no codecs": {"codecs": None},
    "negative sizes": {"shape": [-1, 100]},
    "sizes that are no numbers": {"shape": ["100", True]},
    "chunks of other axes": {"chunk_grid": grid(50)},
    "empty chunks": {"chunk_grid": grid(0, 50)},
    "another grid": {"chunk_grid": {"name": "rectilinear"}},
}


def written(folder, name, metadata):
    folder.mkdir()
    (folder / name).write_text(metadata if isinstance(metadata, str) else json.dumps(metadata))
    return folder


@pytest.mark.parametrize("name", REFUSED)
def test_metadata_of_version_3_are_checked_first(name, tmp_path):
    place = written(tmp_path / "in.zarr", "zarr.json", array_metadata(**REFUSED[name]))
    with pytest.raises(FileError, match=r"^[^\n]*in\.zarr[^\n]+expected[^\n]+$"):
        kf.scale.open_source(place)


SECOND = {
    "a pickle": {"filters": [{"id": "pickle"}]},
    "a compressor that is a pickle": {"compressor": {"id": "pickle"}},
    "objects": {"dtype": "|O", "filters": [{"id": "json2"}]},
    "structures": {"dtype": [["a", "<f4"]]},
    "a huge chunk": {"chunks": [2**20, 2**20]},
    "a compressor that is a list": {"compressor": [1]},
}


@pytest.mark.parametrize("name", SECOND)
def test_metadata_of_version_2_are_checked_first(name, tmp_path):
    metadata = {"zarr_format": 2, "shape": [9, 9], "chunks": [9, 9], "dtype": "<f4", "order": "C", "fill_value": 0}
    metadata |= {"compressor": None, "filters": None, **SECOND[name]}
    place = written(tmp_path / "in.zarr", ".zarray", metadata)
    with pytest.raises(FileError, match=r"^[^\n]*in\.zarr[^\n]+expected[^\n]+$"):
        kf.scale.open_source(place)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"node_type": "array"}', "[" * 100_000])
def test_metadata_that_are_damaged(text, tmp_path):
    place = written(tmp_path / "in.zarr", "zarr.json", text)
    with pytest.raises(FileError, match=r"^[^\n]+in\.zarr[^\n]+$"):
        kf.scale.open_source(place)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(list(array_metadata())), json_values, min_size=1, max_size=3))
def test_any_metadata_are_read_or_refused_in_one_line(changed):
    store = zarr.storage.MemoryStore()
    data = json.dumps(array_metadata(**changed)).encode()
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    sync(store.set("zarr.json", default_buffer_prototype().buffer.from_bytes(data)))
    message = ""
    try:
        source = kf.scale.open_source(store)
        source.read(tuple(slice(0, min(n, 2)) for n in source.shape))
    except KernelfieldError as error:
        message = str(error)
    assert "\n" not in message


def test_a_bomb_in_a_store_takes_little_memory(tmp_path):
    zarr.create_array(
        str(tmp_path / "in.zarr"), data=np.zeros((64, 64), np.uint8), chunks=(64, 64),
        compressors=zarr.codecs.GzipCodec(),
        config={"write_empty_chunks": True},
    )  # fmt: skip
    (tmp_path / "in.zarr/c/0/0").write_bytes(packed("gzip", ZEROS))
    source, before = kf.scale.open_source(tmp_path / "in.zarr"), bytes_used()
    with pytest.raises(FileError, match=r"in\.zarr.*a chunk decodes to 5153 bytes; expected at most"):
        source.read((slice(0, 9), slice(0, 9)))
    assert bytes_used() - before < 50 * MEGABYTE


def test_good_metadata_pass():
    check(array_metadata(), False)
    check(array_metadata(codecs=shards([10, 10], {"name": "zstd", "configuration": {}})), False)


def test_paths_of_levels_stay_in_the_store(tmp_path):
    axes = [{"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    datasets = [{"path": "../../other", "coordinateTransformations": [{"type": "scale", "scale": [1, 1]}]}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    place = written(
        tmp_path / "in.zarr", "zarr.json", {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    )
    with pytest.raises(FileError, match="the description of the OME-Zarr image is damaged"):
        kf.scale.open_source(place)
