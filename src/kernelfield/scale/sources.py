"""Sources that are read box by box: stores of Zarr and OME-Zarr, tiled TIFF, NPY, arrays of NumPy, Dask and xarray."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from zarr.codecs import Crc32cCodec
from zarr.core.buffer.cpu import NDBuffer

from kernelfield.arrays import as_array, channel_axis_of, is_dask, is_xarray
from kernelfield.correlation.labelled import planes_of
from kernelfield.errors import ArgumentError, FileError, received
from kernelfield.images.arrays import memory_map
from kernelfield.images.tiff import Tiled
from kernelfield.scale import ome
from kernelfield.scale.manifest import check_complete
from kernelfield.scale.stores import Place, is_store, open_array
from kernelfield.scale.tiles import Region


@dataclass(frozen=True, eq=False)
class Source:
    """An image that is read box by box, by several threads at a time; it can be sent to other processes.

    Attributes
    ----------
    name : str
        For messages and records.
    shape : tuple of int
    dtype : numpy.dtype
    axes : (int, int)
        The axes of rows and columns.
    chunks : tuple of int
        The boxes in which it is stored.
    dims : tuple of str, optional
        Names of the axes.
    identity : dict
        What tells that it is the same source later: for files size and time of change.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: tuple[int, int]
    chunks: tuple[int, ...]
    dims: tuple[str, ...] | None = None
    identity: dict[str, Any] = field(default_factory=dict)

    def read(self, region: Region) -> np.ndarray:
        """Return the pixels of a box, in native byte order; it may be a view."""
        raise NotImplementedError

    def read_again(self, region: Region) -> np.ndarray:
        """Return the pixels of a box, perhaps in memory that the next call in this thread writes over."""
        return self.read(region)


@dataclass(frozen=True, eq=False)
class ArraySource(Source):
    """An array in memory, or one of Dask or xarray."""

    array: Any = None

    def read(self, region: Region) -> np.ndarray:
        """Return the pixels of a box."""
        part = self.array[region]
        if is_dask(part):
            part = part.compute(scheduler="synchronous")
        return _native(np.asarray(part))


@dataclass(frozen=True, eq=False)
class _Opened(Source):
    """A source that is opened in each process, when first read."""

    _kept: threading.local = field(default_factory=threading.local, init=False, repr=False)

    def _open(self) -> Any:
        raise NotImplementedError

    def opened(self) -> Any:
        """Return the files open in this thread."""
        found = getattr(self._kept, "value", None)
        if found is None:
            found = self._kept.value = self._open()
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_kept"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _kept=threading.local())


@dataclass(frozen=True, eq=False)
class ZarrSource(_Opened):
    """An array of a Zarr store, complete if kernelfield wrote it.

    Attributes
    ----------
    place : Place
        Of the array.
    multiscale : Multiscale or None
        The description of an OME-Zarr image, where it is the level of one.
    compressed : bool
        Whether its chunks are.
    """

    place: Place = None  # type: ignore[assignment]
    multiscale: ome.Multiscale | None = None
    compressed: bool = True

    def _open(self) -> Any:
        return open_array(self.place)

    def read(self, region: Region) -> np.ndarray:
        """Return the pixels of a box."""
        shape = tuple(one.stop - one.start for one in region)
        return self._into(region, np.empty(shape, self.dtype))

    def read_again(self, region: Region) -> np.ndarray:
        """Return the pixels of a box, in memory that the next call in this thread writes over."""
        # Fresh memory for each tile costs as much as reading it.
        shape = tuple(one.stop - one.start for one in region)
        size = math.prod(shape)
        kept = getattr(self._kept, "buffer", None)
        if kept is None or kept.size < size:
            kept = self._kept.buffer = np.empty(size, self.dtype)
        return self._into(region, kept[:size].reshape(shape))

    def _into(self, region: Region, pixels: np.ndarray) -> np.ndarray:
        """Return the pixels of a box, read into an array."""
        try:
            self.opened().get_basic_selection(region, out=NDBuffer.from_numpy_array(pixels))
            return _native(pixels)
        except FileError as error:
            raise FileError(f"{received(self.name)}: {error}") from error
        except (OSError, ValueError, RuntimeError, TypeError, KeyError) as error:
            raise FileError(
                f"{received(self.name)}: a chunk cannot be read ({error}); expected a whole store; copy it again"
            ) from error


@dataclass(frozen=True, eq=False)
class NpySource(_Opened):
    """An NPY file, through a memory map."""

    path: str = ""

    def _open(self) -> Any:
        return memory_map(self.path)

    def read(self, region: Region) -> np.ndarray:
        """Return the pixels of a box."""
        return _native(self.opened()[region])


@dataclass(frozen=True, eq=False)
class TiffSource(_Opened):
    """A page of a TIFF file, read tile by tile or strip by strip."""

    path: str = ""
    page: int = 0

    def _open(self) -> Any:
        return Tiled(self.path, self.page)

    def read(self, region: Region) -> np.ndarray:
        """Return the pixels of a box."""
        found: np.ndarray = self.opened().read(region[0], region[1])
        return found[..., 0] if len(region) == 2 else found[..., region[2]]


def open_source(value: Any, *, channel_axis: int | str | None = "auto", level: int = 0, page: int = 0) -> Source:
    """Return an image to read box by box.

    Parameters
    ----------
    value : str, path-like, zarr store, zarr.Array, numpy.ndarray, dask.array.Array or xarray.DataArray
        Names end in ``.npy`` or ``.tif``; others name a Zarr store, on disk or at an address of fsspec.
    channel_axis : "auto", int or None
        As `kernelfield.correlate` has it: the axis beside rows and columns, which are the last two others. Not used
        where the axes have names.
    level : int
        Level of an OME-Zarr image, 0 for the finest.
    page : int
        Page of a TIFF file.

    Raises
    ------
    ArgumentError
        For something else, or axes that may be read in two ways.
    FileError
        For a file that is missing, damaged, incomplete or not of these formats.
    """
    if isinstance(value, Source):
        return value
    if is_xarray(value):
        rows, columns, _ = planes_of(value, channel_axis)
        dims = tuple(map(str, value.dims))
        axes = dims.index(rows), dims.index(columns)
        data = value.data
        chunks = data.chunksize if is_dask(data) else data.shape
        return ArraySource("an xarray.DataArray", value.shape, value.dtype, axes, chunks, dims, array=data)
    if is_dask(value):
        if not all(n == n for n in value.shape):
            raise ArgumentError("source: expected chunks of known sizes; call source.compute_chunk_sizes() first")
        axes = _axes(value.shape, channel_axis)
        return ArraySource("a Dask array", value.shape, value.dtype, axes, value.chunksize, array=value)
    if is_store(value):
        return _zarr(Place.of(value), channel_axis, level)
    if isinstance(value, str | os.PathLike):
        return _file(os.fspath(value), channel_axis, page)
    array = as_array(value, "source")
    return ArraySource("an array", array.shape, array.dtype, _axes(array.shape, channel_axis), array.shape, array=array)


def _zarr(place: Place, channel_axis: int | str | None, level: int) -> Source:
    """Return an array of a store, or a level of an OME-Zarr image."""
    multiscale = ome.read(place)
    dims = None
    if multiscale is not None:
        if not 0 <= level < len(multiscale.paths):
            raise ArgumentError(
                f"level: expected 0 to {len(multiscale.paths) - 1} for {received(place.name)}; received "
                f"{received(level)}"
            )
        place, dims = place.node(multiscale.paths[level]), multiscale.axes
    elif level:
        raise ArgumentError(
            f"level: expected 0 for {received(place.name)}, which is no OME-Zarr image; received {level}"
        )
    else:
        place = _only_array(place)
    check_complete(place)
    array = open_array(place)
    dims = dims or getattr(array.metadata, "dimension_names", None)
    if dims is not None and len(dims) == array.ndim and "y" in dims and "x" in dims:
        axes = dims.index("y"), dims.index("x")
    else:
        dims, axes = None, _axes(array.shape, channel_axis)
    chunks = array.chunks
    compressed = any(type(codec) is not Crc32cCodec for codec in array.compressors)
    return ZarrSource(
        place.name,
        array.shape,
        array.dtype,
        axes,
        chunks,
        dims,
        _dated(place),
        place=place,
        multiscale=multiscale,
        compressed=compressed,
    )


def _only_array(place: Place) -> Place:
    """Return the place of the array, or of the one image among the arrays of a group that xarray wrote."""
    found = place.metadata()
    if found is None or found[0] == ".zarray" or found[1].get("node_type") == "array":
        return place
    named = place.attributes().get("kernelfield_array")
    if isinstance(named, str) and "/" not in named:
        return place.node(named)
    raise FileError(
        f"{received(place.name)}: a group without OME-Zarr's description; expected an array; name one of its arrays"
    )


def _file(path: str, channel_axis: int | str | None, page: int) -> Source:
    """Return an NPY or TIFF file."""
    try:
        with open(path, "rb") as file:
            head, about = file.read(8), os.fstat(file.fileno())
    except OSError as error:
        raise FileError(f"{received(path)}: cannot be read ({error.strerror or error}); check the name") from error
    identity = {"bytes": about.st_size, "changed": about.st_mtime_ns}
    if head[:6] == b"\x93NUMPY":
        array = memory_map(path)
        axes = _axes(array.shape, channel_axis)
        return NpySource(path, array.shape, array.dtype, axes, array.shape, None, identity, path=path)
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        tiled = Tiled(path, page)
        return TiffSource(path, tiled.shape, tiled.dtype, (0, 1), tiled.chunks, None, identity, path=path, page=page)
    raise FileError(
        f"{received(path)}: the content is neither NPY nor TIFF; expected one of them, or a Zarr store; other formats "
        "are decoded whole: kernelfield.correlate"
    )


def _axes(shape: tuple[int, ...], channel_axis: int | str | None) -> tuple[int, int]:
    """Return the axes of rows and columns."""
    if len(shape) < 2:
        raise ArgumentError(f"source: expected at least two axes; received shape {shape}")
    channel = channel_axis_of(shape, channel_axis)
    rest = [axis for axis in range(len(shape)) if axis != channel]
    return rest[-2], rest[-1]


def _native(array: np.ndarray) -> np.ndarray:
    """Return an array in native byte order."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _dated(place: Place) -> dict[str, Any]:
    """Return the size and time of the metadata of an array on disk."""
    folder = place.folder
    for name in ("zarr.json", ".zarray") if folder is not None else ():
        path = Path(str(folder)) / name
        if path.exists():
            return {"changed": path.stat().st_mtime_ns}
    return {}
