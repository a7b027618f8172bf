"""Zarr stores on disk, at an address of fsspec or in memory: arrays and groups opened through one gate."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.registry import get_pipeline_class
from zarr.storage import FsspecStore, LocalStore

from kernelfield.errors import FileError, KernelfieldError, reason, received
from kernelfield.scale.codecs import BoundedCompressor, bounded, check_codecs, check_compressor

#: Largest metadata of a group or an array, and largest chunk that is decoded at a time.
MOST_METADATA, MOST_CHUNK = 64 << 20, 1 << 30
#: Name of the folder with the records of tiles, inside the folder of an array.
RECORDS = ".kernelfield"
_METADATA = ("zarr.json", ".zarray", ".zgroup")


@dataclass(frozen=True)
class Place:
    """A node of a Zarr store.

    Attributes
    ----------
    root : str or zarr.abc.store.Store
        A folder, an address of fsspec, or a store.
    path : str
        Of the node within the store.
    """

    root: Any
    path: str = ""
    _stores: list[Store] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, value: Any) -> Place:
        """Return the place that a path, an address or a store names."""
        if isinstance(value, cls):
            return value
        if isinstance(value, zarr.Array | zarr.Group):
            return cls(value.store, value.path)
        if isinstance(value, Store):
            return cls(value)
        return cls(os.fspath(value))

    @property
    def folder(self) -> Path | None:
        """The folder of the node; None if it is not on disk."""
        if isinstance(self.root, LocalStore):
            return Path(self.root.root) / self.path
        if isinstance(self.root, str) and "://" not in self.root:
            return Path(self.root) / self.path
        return None

    @property
    def name(self) -> str:
        """The name for messages."""
        root = self.root if isinstance(self.root, str) else type(self.root).__name__
        return f"{root}/{self.path}" if self.path else str(root)

    @property
    def store(self) -> Store:
        """The store, opened once."""
        if isinstance(self.root, Store):
            return self.root
        if not self._stores:
            self._stores.append(FsspecStore.from_url(self.root) if "://" in self.root else LocalStore(self.root))
        return self._stores[0]

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "path": self.path, "_stores": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def node(self, *names: str) -> Place:
        """Return a node below this one."""
        return Place(self.root, "/".join(filter(None, (self.path, *names))))

    def key(self, name: str) -> str:
        """Return the key of an object of the node."""
        return f"{self.path}/{name}" if self.path else name

    def get(self, name: str, most: int = MOST_METADATA) -> bytes | None:
        """Return an object of the node; None if there is none."""
        key = self.key(name)
        try:
            if not sync(self.store.exists(key)):
                return None
            size = sync(self.store.getsize(key))
            if size > most:
                raise FileError(
                    f"{received(self.name)}: {name} has {size} bytes; expected at most {most}; check the store"
                )
            found = sync(self.store.get(key, default_buffer_prototype()))
        except KernelfieldError:
            raise
        except OSError as error:
            raise FileError(f"{received(self.name)}: cannot be read ({reason(error)}); check the place") from error
        return None if found is None else found.to_bytes()

    def put(self, name: str, data: bytes) -> None:
        """Write an object of the node, to the disk where it is on one."""
        sync(self.store.set(self.key(name), default_buffer_prototype().buffer.from_bytes(data)))
        self.flush(name)

    def flush(self, name: str) -> None:
        """Wait until an object of the node, and its name, are on the disk."""
        folder = self.folder
        if folder is None:
            return
        for path in (folder / name, (folder / name).parent):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def metadata(self) -> tuple[str, dict[str, Any]] | None:
        """Return the name and the content of the metadata of the node; None if it is no node."""
        for name in _METADATA:
            data = self.get(name)
            if data is not None:
                return name, self._parsed(name, data)
        return None

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the node."""
        found = self.metadata()
        if found is None:
            return {}
        if found[0] == "zarr.json":
            attributes = found[1].get("attributes", {})
        else:
            data = self.get(".zattrs")
            attributes = {} if data is None else self._parsed(".zattrs", data)
        return attributes if isinstance(attributes, dict) else {}

    def _parsed(self, name: str, data: bytes) -> dict[str, Any]:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FileError(
                f"{received(self.name)}: {name} is no JSON ({reason(error)}); copy the store again"
            ) from error
        if not isinstance(found, dict):
            raise FileError(
                f"{received(self.name)}: {name} is no object of JSON; expected metadata of Zarr; copy it again"
            )
        return found


def is_store(value: Any) -> bool:
    """Return whether a value names a Zarr store: by its type, its ending, its address or its content."""
    if isinstance(value, Store | zarr.Array | zarr.Group | Place):
        return True
    if not isinstance(value, str | os.PathLike):
        return False
    name = os.fspath(value)
    if name.lower().rstrip("/").endswith((".zarr", ".ome.zarr")) or "://" in name:
        return True
    return os.path.isdir(name) and any(os.path.exists(os.path.join(name, one)) for one in _METADATA)


def open_array(place: Place) -> zarr.Array[Any]:
    """Return an array of a store, after a look at its metadata; nothing is decoded yet.

    Raises
    ------
    FileError
        If there is none, or it has a codec, dtype or chunk that is not read.
    """
    found = place.metadata()
    if found is None:
        raise FileError(f"{received(place.name)}: no Zarr array there; expected one; check the place")
    name, metadata = found
    if name == ".zgroup" or (name == "zarr.json" and metadata.get("node_type") != "array"):
        raise FileError(f"{received(place.name)}: a group; expected an array; name one of its arrays")
    try:
        check(metadata, name == ".zarray")
        array = zarr.open_array(place.store, path=place.path, mode="r", zarr_format=2 if name == ".zarray" else 3)
        _bound(array)
    except FileError as error:
        raise FileError(f"{received(place.name)}: {error}") from error
    except KernelfieldError:
        raise
    except Exception as error:  # zarr raises whatever its parsers do
        raise FileError(f"{received(place.name)}: no array that Zarr reads ({reason(error)}); copy it again") from error
    return array


def check(metadata: dict[str, Any], second: bool) -> None:
    """Raise for the metadata of an array whose dtype, chunks or codecs are not read.

    Parameters
    ----------
    metadata : dict
        The content of ``zarr.json``, or of ``.zarray``.
    second : bool
        Whether it is that of Zarr v2.
    """
    shape = _sizes(metadata.get("shape"), "shape", 0)
    dtype = metadata.get("dtype" if second else "data_type")
    try:
        itemsize = np.dtype(dtype).itemsize if isinstance(dtype, str) and np.dtype(dtype).kind in "biuf" else 0
    except TypeError:
        itemsize = 0
    if not itemsize:
        raise FileError(f"the array has dtype {received(dtype)}; expected integers or floats; convert it")
    if second:
        chunks = _sizes(metadata.get("chunks"), "chunks", 1)
        check_compressor(metadata)
    else:
        grid = metadata.get("chunk_grid")
        inner = grid.get("configuration") if isinstance(grid, dict) and grid.get("name") == "regular" else None
        chunks = _sizes(inner.get("chunk_shape") if isinstance(inner, dict) else None, "chunks", 1)
        check_codecs(metadata.get("codecs"))
        chunks = _inner(metadata["codecs"], chunks)
    if len(chunks) != len(shape):
        raise FileError(f"the array has shape {shape} and chunks {chunks}; expected as many axes; copy the store again")
    if math.prod(chunks) * itemsize > MOST_CHUNK:
        raise FileError(
            f"the array has chunks of {math.prod(chunks) * itemsize} bytes; expected at most {MOST_CHUNK}; write it "
            "again with smaller ones"
        )


def _sizes(value: Any, name: str, least: int) -> tuple[int, ...]:
    """Return whole numbers of an array's metadata."""
    if not isinstance(value, list) or not value or len(value) > 32:
        raise FileError(f"the array has {name} {received(value)}; expected whole numbers; copy the store again")
    if not all(isinstance(n, int) and not isinstance(n, bool) and least <= n < 2**53 for n in value):
        raise FileError(f"the array has {name} {received(value)}; expected whole numbers; copy the store again")
    return tuple(value)


def _inner(codecs: list[dict[str, Any]], chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the smallest pieces that are decoded; raise for shards whose index is too large."""
    for codec in codecs:
        if codec["name"] == "sharding_indexed":
            inner = _sizes(codec.get("configuration", {}).get("chunk_shape"), "chunks in shards", 1)
            if len(inner) != len(chunks) or math.prod(-(-n // m) for n, m in zip(chunks, inner)) * 16 > MOST_METADATA:
                raise FileError(
                    f"the array has shards {chunks} of chunks {inner}; expected fewer chunks in each; write it again"
                )
            return _inner(codec["configuration"]["codecs"], inner)
    return chunks


def _bound(array: zarr.Array[Any]) -> None:
    """Bound the decoders of an array."""
    inner, metadata = array.async_array, array.metadata
    if metadata.zarr_format == 3:
        pipeline = get_pipeline_class().from_codecs(bounded(metadata.codecs))
    else:
        from zarr.codecs._v2 import V2Codec

        size = math.prod(metadata.chunks) * metadata.dtype.to_native_dtype().itemsize
        compressor = None if metadata.compressor is None else BoundedCompressor(metadata.compressor, size)
        pipeline = get_pipeline_class().from_codecs(
            [V2Codec(filters=metadata.filters, compressor=cast(Any, compressor))]
        )
    object.__setattr__(inner, "codec_pipeline", pipeline)
