"""The codecs of Zarr that are read: a list of those that run no code of a file, each bounded by what its chunk holds.

A chunk may decode to far more than its array says. Every decoder here gets the number of bytes that the chunk has at
most: where the header of the data tells a size, it is compared before anything is allocated, else decoding stops there.
"""

from __future__ import annotations

import asyncio
import bz2
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zarr.abc.codec import BytesBytesCodec, Codec
from zarr.codecs import ShardingCodec

from kernelfield.errors import FileError, received

#: Codecs of Zarr v3 between arrays, from arrays to bytes, and between bytes.
ARRAY_CODECS = frozenset(("transpose",))
BYTES_CODECS = frozenset(("bytes", "sharding_indexed"))
#: Filters of Zarr v2, which keep the number of elements.
FILTERS = frozenset(("shuffle", "delta"))


def _refuse(size: int | str, most: int) -> FileError:
    return FileError(
        f"a chunk decodes to {size} bytes; expected at most {most}, as the array says; it is damaged or a "
        "decompression bomb: copy the store again"
    )


def _check(size: int, most: int) -> None:
    if size > most:
        raise _refuse(size, most)


def _zlib(data: bytes, most: int) -> bytes:
    """Return the bytes of zlib or gzip streams, one after the other."""
    found = b""
    while data:
        stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
        found += stream.decompress(data, most - len(found) + 1)
        _check(len(found), most)
        if not stream.eof:
            raise FileError("a chunk is cut short; expected a whole one; copy the store again")
        data = stream.unused_data
    return found


def _bz2(data: bytes, most: int) -> bytes:
    stream = bz2.BZ2Decompressor()
    found = stream.decompress(data, most + 1)
    _check(len(found), most)
    return found


def _zstd(data: bytes, most: int) -> bytes:
    import imagecodecs

    size = _zstd_size(data)
    if size is not None:
        _check(size, most)
    try:
        return bytes(imagecodecs.zstd_decode(data, out=most if size is None else max(1, size)))
    except imagecodecs.ZstdError as error:
        raise (
            _refuse("more", most)
            if "small" in str(error)
            else FileError(f"a chunk is no zstd data ({error}); expected a whole store; copy it again")
        ) from error


def _zstd_size(data: bytes) -> int | None:
    """Return the size in the header of a zstd frame (RFC 8878, section 3.1.1.1); None if it does not tell."""
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 6:
        raise FileError("a chunk is no zstd data; expected a whole store; copy it again")
    flags = data[4]
    single = flags >> 5 & 1
    size_bytes = (single, 2, 4, 8)[flags >> 6]
    if not size_bytes:
        return None
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    size = int.from_bytes(data[start : start + size_bytes], "little")
    return size + 256 if size_bytes == 2 else size


def _blosc(data: bytes, most: int) -> bytes:
    """Return the bytes of a chunk of Blosc 1, whose header has the decoded size at 4 and the stored one at 12."""
    import numcodecs.blosc

    size, stored = (int.from_bytes(data[at : at + 4], "little") for at in (4, 12))
    _check(size, most)
    if len(data) < 16 or stored != len(data):
        raise FileError("a chunk is no Blosc data; expected a whole store; copy it again")
    found: bytes = numcodecs.blosc.decompress(data)
    return found


def _lz4(data: bytes, most: int) -> bytes:
    """Return the bytes of LZ4 as numcodecs writes it: four bytes of size first."""
    import numcodecs.lz4

    _check(int.from_bytes(data[:4], "little"), most)
    found: bytes = numcodecs.lz4.decompress(data)
    return found


#: Decoders by the name in the metadata, without the prefix ``numcodecs.``.
DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "zlib": _zlib,
    "gzip": _zlib,
    "bz2": _bz2,
    "zstd": _zstd,
    "blosc": _blosc,
    "lz4": _lz4,
}
NAMES = ", ".join((*DECODERS, "crc32c"))


def decode(name: str, data: bytes, most: int) -> bytes:
    """Return the decoded bytes of a chunk; raise if they are damaged or more than `most`.

    Examples
    --------
    >>> decode("zlib", zlib.compress(b"pixels"), 6)
    b'pixels'
    >>> decode("zlib", zlib.compress(bytes(1000)), 6)
    Traceback (most recent call last):
    kernelfield.errors.FileError: a chunk decodes to 7 bytes; expected at most 6, as the array says; ...
    """
    try:
        return DECODERS[name](data, most)
    except (FileError, MemoryError):
        raise
    except Exception as error:  # each library has its own
        raise FileError(f"a chunk is no {name} data ({error}); expected a whole store; copy it again") from error


def allowed(name: str) -> bool:
    """Return whether a codec between bytes is read."""
    return name == "crc32c" or name.removeprefix("numcodecs.") in DECODERS


def check_codecs(codecs: Any) -> None:
    """Raise unless the codecs in the metadata of an array of Zarr v3 are on the list; no class is loaded before."""
    names = codecs if isinstance(codecs, list) else [None]
    for one in names:
        name = one.get("name") if isinstance(one, dict) else one
        if not isinstance(name, str) or not (name in ARRAY_CODECS or name in BYTES_CODECS or allowed(name)):
            raise FileError(
                f"the array has codec {received(name)}; expected transpose, bytes, sharding_indexed, {NAMES}; write it "
                "again with one of these"
            )
        inner = one.get("configuration") if isinstance(one, dict) else None
        if name == "sharding_indexed" and isinstance(inner, dict):
            check_codecs(inner.get("codecs"))
            check_codecs(inner.get("index_codecs"))


def check_compressor(metadata: dict[str, Any]) -> None:
    """Raise unless compressor and filters in the metadata of an array of Zarr v2 are on the list."""
    compressor, filters = metadata.get("compressor"), metadata.get("filters") or []
    names = [(compressor or {}).get("id", "zlib")] if isinstance(compressor, dict | None) else [None]
    if any(not isinstance(name, str) or name not in DECODERS for name in names):
        raise FileError(
            f"the array has compressor {received(names[0])}; expected {', '.join(DECODERS)}; write it again with one"
        )
    for one in filters if isinstance(filters, list) else [None]:
        name = one.get("id") if isinstance(one, dict) else None
        if not isinstance(name, str) or name not in FILTERS:
            raise FileError(
                f"the array has filter {received(name)}; expected {', '.join(sorted(FILTERS))}; write it again without"
            )


@dataclass(frozen=True)
class Bounded(BytesBytesCodec):
    """A codec between bytes of Zarr v3, decoded by `decode`."""

    inner: BytesBytesCodec
    name: str

    is_fixed_size = False

    def to_dict(self) -> dict[str, Any]:
        """Return the codec as its own metadata."""
        return self.inner.to_dict()

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
        """Return the answer of the codec itself."""
        return self.inner.compute_encoded_size(input_byte_length, chunk_spec)

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        size = math.prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize
        data = await asyncio.to_thread(decode, self.name, chunk_bytes.to_bytes(), largest(size))
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _encode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return await self.inner._encode_single(chunk_bytes, chunk_spec)


def largest(size: int) -> int:
    """Return the most bytes that a chunk of some size has before another codec: what does not compress grows a little.

    Zstandard adds a 256th (ZSTD_COMPRESSBOUND), Blosc 16 bytes and LZ4 a 255th.
    """
    return size + size // 128 + 1024


class BoundedCompressor:
    """The compressor of an array of Zarr v2, which decodes by `decode`."""

    def __init__(self, inner: Any, size: int) -> None:
        self._inner, self._size = inner, size

    def decode(self, data: Any, out: Any = None) -> bytes:
        """Return the decoded bytes."""
        return decode(self._inner.codec_id, bytes(data), largest(self._size))


def bounded(codecs: tuple[Codec, ...]) -> tuple[Codec, ...]:
    """Return codecs of Zarr v3 with those between bytes bounded, within shards too."""
    found: list[Codec] = []
    for codec in codecs:
        name = str(codec.to_dict()["name"]).removeprefix("numcodecs.")
        if isinstance(codec, ShardingCodec):
            codec = ShardingCodec(
                chunk_shape=codec.chunk_shape,
                codecs=bounded(codec.codecs),
                index_codecs=codec.index_codecs,
                index_location=codec.index_location,
            )
        elif isinstance(codec, BytesBytesCodec) and name in DECODERS:
            codec = Bounded(codec, name)
        found.append(codec)
    return tuple(found)
