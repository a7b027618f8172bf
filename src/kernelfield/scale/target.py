"""The array that tiles are written into: laid out, staged, and put in its place when it is complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from kernelfield.errors import ArgumentError, FileError, reason, received
from kernelfield.files import check_writable, writing
from kernelfield.scale.stores import Place, is_store
from kernelfield.scale.tiles import Grid, Region

#: Endings of files that are put together from the tiles when all are there.
FILES = (".npy", ".tif", ".tiff", ".btf")
#: Added to the name of the target while it is written.
PART = ".part"
#: How the chunks are compressed.
COMPRESSIONS = ("none", "zstd")
# Bytes of a tile: of this size the time for files and records is small beside the work, and several fit in memory.
# Sums of learned filters are float64: pixels are bounded too.
_TILE_BYTES, _TILE_SIDE = 16 << 20, 2048
_CHUNK = 512
#: Rows and columns of the tiles of a TIFF file.
TIFF_TILE = 512


@dataclass(frozen=True)
class Layout:
    """The form in which an array is stored.

    Attributes
    ----------
    shape, chunks, shards : tuple of int
    dtype : str
    compression : str
        One of `COMPRESSIONS`.
    dims : tuple of str, optional
        Names of the axes.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...]
    dtype: str
    compression: str
    dims: tuple[str, ...] | None

    @property
    def grid(self) -> Grid:
        """The tiles: a task each, the shards of the array, so that no two tasks write one file."""
        return Grid(self.shape, self.shards)


def lay_out(
    shape: tuple[int, ...],
    dtype: str,
    axes: tuple[int, int],
    like: tuple[int, ...],
    compression: str,
    dims: tuple[str, ...] | None,
    tile: tuple[int, int] | None,
) -> Layout:
    """Return the layout of an array.

    Parameters
    ----------
    axes : (int, int)
        Of rows and columns; of other axes a tile has one element, or all of up to 4.
    like : tuple of int
        The chunks of the source, which are taken over where they have 64 to 2048 rows and columns.
    tile : (int, int), optional
        Rows and columns of a tile. By default up to 2048, as many chunks as make 16 MiB.
    """
    if compression not in COMPRESSIONS:
        raise ArgumentError(f"compression: expected one of {', '.join(COMPRESSIONS)}; received {received(compression)}")
    chunks = [n if n <= 4 and axis == len(shape) - 1 else 1 for axis, n in enumerate(shape)]
    planes = int(np.prod(chunks)) * np.dtype(dtype).itemsize
    for axis in axes:
        chunks[axis] = min(shape[axis], like[axis] if 64 <= like[axis] <= 2048 else _CHUNK)
    shards = list(chunks)
    side = min(_TILE_SIDE, int((_TILE_BYTES / planes) ** 0.5))
    for axis, asked in zip(axes, tile or (side, side)):
        if isinstance(asked, bool) or not isinstance(asked, int | np.integer) or asked < 1:
            raise ArgumentError(f"tile: expected two whole numbers above 0; received {received(tile)}")
        if tile is not None:
            chunks[axis] = min(chunks[axis], int(asked))
        most = -(-shape[axis] // chunks[axis])
        shards[axis] = chunks[axis] * max(1, min(most, int(asked) // chunks[axis]))
    return Layout(shape, tuple(chunks), tuple(shards), dtype, compression, dims)


@dataclass(frozen=True)
class Target:
    """The place of a result, and the one where it is staged until it is complete.

    A store on disk is staged in a folder of its name with ``.part`` behind, and renamed. At an address of an object
    store, and in memory, nothing can be renamed: arrays are written in place, and have no marker until they are
    complete. NPY and TIFF files are put together from such a staged store: neither is written in pieces.

    Attributes
    ----------
    name : str
        The path or address.
    staging : Place
        The root of the store that is written.
    path : str
        Of the array within it.
    suffix : str
        Of the file to put together; empty for a store.
    """

    name: str
    staging: Place
    path: str
    suffix: str = ""
    _opened: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, value: Any, path: str = "") -> Target:
        """Return the target that a path, an address or a store names."""
        if not isinstance(value, str | os.PathLike):
            if not is_store(value):
                raise ArgumentError(
                    f"target: expected a path, an address or a Zarr store; received {received(value)}; name one"
                )
            place = Place.of(value)
            return cls(place.name, place, path)
        name = os.fspath(value).rstrip("/") or os.fspath(value)
        suffix = PurePath(name).suffix.lower()
        if "://" in name:
            return cls(name, Place(name), path)
        if suffix in FILES:
            return cls(name, Place(name + PART), path, suffix)
        if not is_store(name):
            raise ArgumentError(
                f"target: expected a name that ends in .zarr, {', '.join(FILES)}; received {received(name)}; rename it"
            )
        return cls(name, Place(name + PART), path)

    @property
    def place(self) -> Place:
        """The array that is written."""
        return self.staging.node(self.path)

    @property
    def final(self) -> Place:
        """The array when it is complete."""
        return self.staging if self.in_place else Place(self.name)

    @property
    def in_place(self) -> bool:
        """Whether the array is written where it stays."""
        return self.staging.folder is None or self.staging.name == self.name

    def at(self, path: str) -> Target:
        """Return the target of another array of the same store."""
        return replace(self, path=path)

    def check(self, overwrite: bool) -> None:
        """Raise, before any work, for a place that cannot be written or is taken."""
        if self.in_place:
            if self.place.metadata() is not None or self.staging.metadata() is not None:
                raise FileError(
                    f"{received(self.name)}: is there already; expected a new place; name another, or delete it"
                )
            return
        if self.suffix:
            check_writable(self.name)
            return
        if os.path.lexists(self.name) and not overwrite:
            raise FileError(f"{received(self.name)}: is there already; expected a new name; --overwrite replaces it")
        folder = os.path.dirname(os.path.abspath(self.name))
        if not os.path.isdir(folder):
            raise FileError(f"{received(self.name)}: lies in no folder; expected one that exists; make it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise FileError(f"{received(self.name)}: cannot be written (no permission); choose another place")
        if os.path.lexists(self.name) and not os.path.isdir(self.name):
            raise FileError(f"{received(self.name)}: is a file; expected a folder, or a new name; name another")

    def begin(self, layout: Layout, attributes: dict[str, Any]) -> None:
        """Make the array, without pixels."""
        compressors: list[Any] = [] if layout.compression == "none" else [ZstdCodec(level=1)]
        sharded = layout.shards != layout.chunks
        with failures(self.name):
            zarr.create_array(
                self.staging.store,
                name=self.path or None,
                shape=layout.shape,
                dtype=layout.dtype,
                chunks=layout.chunks,
                shards=layout.shards if sharded else None,
                compressors=[*compressors, Crc32cCodec()],
                fill_value=0,
                dimension_names=layout.dims,
                attributes=attributes,
                overwrite=False,
            )

    def write(self, region: Region, pixels: np.ndarray, name: str) -> None:
        """Write a tile, to the disk where it is on one; `name` is that of its object."""
        with failures(self.name):
            self._array()[region] = pixels
            self.place.flush(name)

    def key(self, index: int, grid: Grid) -> str:
        """Return the name of the object of a tile within the folder of the array."""
        return "/".join(("c", *map(str, grid.place(index))))

    def clear(self) -> None:
        """Remove all that is staged."""
        self._remove(self.staging)

    def remove(self) -> None:
        """Remove what is staged of the array."""
        self._remove(self.place)

    def _remove(self, place: Place) -> None:
        folder = place.folder
        if not self.in_place and folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def finish(self, tiles: Iterator[tuple[Region, np.ndarray]] | None, layout: Layout) -> None:
        """Put the complete array in its place."""
        folder = self.staging.folder
        if self.in_place or folder is None:
            return
        with failures(self.name):
            if self.suffix:
                assert tiles is not None
                _put_together(self.name, self.suffix, tiles, layout)
                shutil.rmtree(folder)
                return
            _flush_folders(folder)
            old = Path(f"{self.name}.old")
            if os.path.lexists(self.name):
                if old.exists():
                    shutil.rmtree(old)
                os.rename(self.name, old)
            try:
                os.rename(folder, self.name)
            except OSError:
                if old.exists():
                    os.rename(old, self.name)
                raise
            _flush(Path(self.name).absolute().parent)
            if old.exists():
                shutil.rmtree(old)

    def _array(self) -> Any:
        if not self._opened:
            place = self.place
            array = zarr.open_array(place.store, path=place.path, mode="r+", zarr_format=3)
            # Chunks of zeros are written too: one that is lost shows.
            self._opened.append(array.with_config({"write_empty_chunks": True}))
        return self._opened[0]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class failures:
    """A context that makes one line of what the system raises about the place of a result."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, FileError):
            raise FileError(
                f"{received(self._name)}: cannot be written ({reason(error)}); expected a place with space and "
                "permission; make room, then --resume goes on"
            ) from error


def _put_together(name: str, suffix: str, tiles: Iterator[tuple[Region, np.ndarray]], layout: Layout) -> None:
    """Write an NPY or TIFF file from strips of tiles, in order."""
    if suffix == ".npy":
        with writing(name) as file:
            header = {"descr": np.dtype(layout.dtype).str, "fortran_order": False, "shape": layout.shape}
            np.lib.format.write_array_header_2_0(file, header)
            for _, pixels in tiles:
                file.write(np.ascontiguousarray(pixels).reshape(-1).view(np.uint8).data)
            file.flush()
            os.fsync(file.fileno())
        return
    from tifffile import TiffWriter

    with writing(name) as file:
        size = int(np.prod(layout.shape)) * np.dtype(layout.dtype).itemsize
        samples = layout.shape[2] if len(layout.shape) == 3 else 1
        with TiffWriter(file, bigtiff=size > 2**31) as tiff:
            tiff.write(
                (pixels for _, pixels in tiles),
                shape=layout.shape,
                dtype=layout.dtype,
                tile=(TIFF_TILE, TIFF_TILE),
                photometric="rgb" if samples in (3, 4) else "minisblack",
                compression="zlib" if layout.compression != "none" else None,
                metadata=None,
            )
        file.flush()
        os.fsync(file.fileno())


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _flush_folders(folder: Path) -> None:
    """Wait until the names of all files are on the disk."""
    for root, _, _ in os.walk(folder):
        _flush(Path(root))
