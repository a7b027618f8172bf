"""The public function that filters images larger than memory: `kernelfield.scale.apply`."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from kernelfield.arrays import is_xarray
from kernelfield.correlation.filter import FixedFilter
from kernelfield.correlation.labelled import moved_coordinates
from kernelfield.engine.threads import threads
from kernelfield.errors import ArgumentError, received
from kernelfield.kernels import Kernel
from kernelfield.learning import Fit
from kernelfield.scale import local
from kernelfield.scale.chain import chain
from kernelfield.scale.job import Job, Tile
from kernelfield.scale.manifest import job_of, marker_of
from kernelfield.scale.sources import Source, ZarrSource, open_source
from kernelfield.scale.stores import Place
from kernelfield.scale.target import Target, lay_out

#: Bytes that tiles in work may take together.
MEMORY = 512 << 20
#: Most levels of a pyramid beside the first; the last one fits a chunk.
_MOST_LEVELS = 32


@dataclass(frozen=True)
class Progress:
    """The progress of a job: tiles of `total` written, some of them before this run, and its pixels and seconds."""

    tiles: int
    total: int
    resumed: int
    pixels: int
    seconds: float

    @property
    def rate(self) -> float:
        """Pixels per second."""
        return self.pixels / max(self.seconds, 1e-9)

    @property
    def left(self) -> float:
        """Seconds left, at the pace of this run."""
        now = self.tiles - self.resumed
        return math.inf if not now else (self.total - self.tiles) * self.seconds / now


@dataclass(frozen=True)
class Report:
    """The result of `apply`.

    Attributes
    ----------
    target : str
        The path or address.
    shape : tuple of int
    dtype : str
    tiles, resumed : int
        Tiles of the result, and those that were there before this run.
    hash : str
        Of all pixels, tile by tile; the same for the same tiles, whatever was interrupted.
    seconds : float
    """

    target: str
    shape: tuple[int, ...]
    dtype: str
    tiles: int
    resumed: int
    hash: str
    seconds: float


def apply(
    source: Any,
    kernel: Any,
    target: Any,
    *,
    mode: str = "same",
    boundary: str | None = None,
    cval: float = 0.0,
    origin: int | tuple[int, int] | None = None,
    padding: Any = None,
    stride: int | tuple[int, int] = 1,
    dilation: int | tuple[int, int] = 1,
    dtype: DTypeLike | None = None,
    precision: str | None = None,
    method: str | None = None,
    missing: str = "propagate",
    channel_axis: int | str | None = "auto",
    level: int = 0,
    page: int = 0,
    tile: tuple[int, int] | None = None,
    compression: str | None = None,
    pyramid: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    scheduler: Any = None,
    memory: int = MEMORY,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Filter an image that may be larger than memory, tile by tile, into a store or file.

    The numbers are those of `kernelfield.correlate`, or of `Fit.apply` for a learned filter, on the whole image, at the
    borders and between the tiles too; with ``method="spectral"`` they are so up to rounding.

    Parameters
    ----------
    source : str, path-like, zarr store, zarr.Array, numpy.ndarray, dask.array.Array or xarray.DataArray
        A Zarr store (v2, v3, OME-Zarr) on disk or at an address of fsspec, an NPY or TIFF file, or an array.
    kernel : array_like, Kernel, FixedFilter or Fit, or a list of these
        A kernel has two axes (kh, kw). Several are applied one after the other, without a result between them that is
        stored; a `kernelfield.correlation.FixedFilter` has arguments of its own.
    target : str, path-like or zarr store
        The result: a name that ends in ``.zarr``, an address, ``.npy`` or ``.tif``. It is staged under the name with
        ``.part`` behind, and renamed when complete. Zarr is written in version 3.
    mode, boundary, cval, origin, padding, stride, dilation, dtype, precision, method, missing
        As in `kernelfield.correlate`. The boundary is by default that of a learned filter, else ``"reflect"``; the
        dtype, of the last result, by default that of the image for a learned filter.
    channel_axis : "auto", int or None
        As in `kernelfield.correlate`; of arrays whose axes have names, rows are ``"y"`` and columns ``"x"``.
    level, page : int
        The level of an OME-Zarr image, the page of a TIFF file.
    tile : (int, int), optional
        Rows and columns of a tile, which is the shard of the result. By default about 16 MiB.
    compression : {"none", "zstd"}, optional
        Of the chunks. By default that of a Zarr source, "zstd" for others. All chunks end in a checksum (crc32c).
    pyramid : bool
        Whether to add levels to an OME-Zarr image, each of the means of two by two pixels of the one before, until one
        fits a chunk.
    resume : bool
        Whether to go on with a result that was interrupted; its parameters must be the same.
    overwrite : bool
        Whether a result that is there already, or was begun, is replaced.
    scheduler : str, int or distributed.Client, optional
        The address of a Dask scheduler or a client of one, whose workers make the tiles, or a number of processes to
        start here. By default threads of this process make them.
    memory : int
        Bytes that the tiles in work may take together, on this machine.
    progress : callable, optional
        Called with a `Progress` after each tile.

    Returns
    -------
    Report

    Raises
    ------
    ArgumentError, DtypeError
        For arguments that `kernelfield.correlate` refuses, and names of other formats.
    FileError
        For a source that cannot be read, a target that cannot be written or is there already, and a job to resume of
        other parameters.
    ClusterError
        If the workers or the scheduler are lost for too long; `resume` goes on.

    Examples
    --------
    >>> import kernelfield as kf, numpy as np, zarr
    >>> source, target = np.arange(20.0).reshape(4, 5), zarr.storage.MemoryStore()
    >>> kf.scale.apply(source, [[0.5, 0.5]], target).shape
    (4, 5)
    >>> zarr.open_array(target)[0]
    array([0. , 0.5, 1.5, 2.5, 3.5])
    """
    started = time.perf_counter()
    opened = open_source(source, channel_axis=channel_axis, level=level, page=page)
    options = {
        "mode": mode, "boundary": boundary, "cval": cval, "origin": origin, "padding": padding, "stride": stride,
        "dilation": dilation, "dtype": dtype, "precision": precision, "method": method, "missing": missing,
    }  # fmt: skip
    filters = chain(_kernels(kernel), opened.shape, opened.dtype, opened.axes, options)
    layout = lay_out(
        filters.output_shape,
        filters.dtype,
        filters.axes,
        opened.chunks,
        compression or _compression(opened),
        opened.dims,
        tile,
    )
    multiscale = opened.multiscale if isinstance(opened, ZarrSource) else None
    if pyramid and multiscale is None:
        raise ArgumentError("pyramid: expected an OME-Zarr image; received another; leave it out")
    labelled = source if is_xarray(source) else None
    name = (
        (str(source.name) if isinstance(source.name, str) and source.name else "image") if labelled is not None else ""
    )
    result = Target.of(target, "0" if multiscale is not None else name)
    if result.suffix and len(layout.shape) > 2 + (result.suffix != ".npy"):
        raise ArgumentError(f"target: expected .zarr for an image of shape {layout.shape}; received {result.name}")
    _check_apart(source, result)
    job = Job.of(opened, filters, result, layout)
    run = _runner(scheduler, memory)
    if scheduler is not None:
        _check_shared(opened, result)
    if overwrite:
        result.clear()
    elif resume and (finished := _finished(job)):
        return Report(result.name, layout.shape, layout.dtype, len(job.grid), len(job.grid), finished, 0.0)
    if not (resume and job_of(result.place) is not None):
        result.check(overwrite)
    job.begin({}, resume)
    resumed = _run(job, run, progress, started)
    whole = job.finish()
    _dress(job, multiscale, level, labelled, pyramid, run)
    if result.suffix == ".npy":
        result.finish(job.strips(), layout)
    elif result.suffix:
        result.finish(job.squares(), layout)
    else:
        result.finish(None, layout)
    return Report(result.name, layout.shape, layout.dtype, len(job.grid), resumed, whole, time.perf_counter() - started)


Run = Callable[[Job, Sequence[int], Callable[[Tile], None]], None]


def _runner(scheduler: Any, memory: int) -> Run:
    """Return the maker of tiles: threads here, or the workers of a cluster."""
    if isinstance(memory, bool) or not isinstance(memory, int) or memory < 1:
        raise ArgumentError(f"memory: expected a number of bytes; received {received(memory)}")
    if scheduler is None:
        return lambda job, indices, tell: local.run(job, indices, tell, _workers(job, memory))
    from kernelfield.scale import cluster

    return lambda job, indices, tell: cluster.run(job, indices, tell, scheduler)


def _workers(job: Job, memory: int) -> int:
    """Return how many tiles may be in work at a time."""
    pixels = math.prod(job.layout.shards)
    # The pixels read and their copy, sums in float64, the result and what is written of it.
    each = (
        2 * job.source.dtype.itemsize * math.prod(job.chain.steps_and_start[0])
        + 8
        + 2 * np.dtype(job.layout.dtype).itemsize
    )
    return max(1, min(threads(), memory // (pixels * each)))


def _run(job: Job, run: Run, progress: Callable[[Progress], None] | None, started: float) -> int:
    """Make the tiles that are missing, and return how many were there."""
    indices = job.missing()
    total = len(job.grid)
    resumed, pixels, count = total - len(indices), 0, total - len(indices)

    def tell(tile: Tile) -> None:
        nonlocal pixels, count
        pixels, count = pixels + tile.pixels, count + 1
        if progress is not None:
            progress(Progress(count, total, resumed, pixels, time.perf_counter() - started))

    if indices:
        run(job, indices, tell)
    return resumed


def _dress(job: Job, multiscale: Any, level: int, labelled: Any, pyramid: bool, run: Run) -> None:
    """Write what surrounds the array: the description of an OME-Zarr image and its levels, or coordinates."""
    import zarr

    target = job.target
    if multiscale is not None:
        steps, start = job.chain.steps_and_start
        factors, shifts = [1.0] * len(job.layout.shape), [0.0] * len(job.layout.shape)
        for axis, step, first in zip(job.chain.axes, steps, start):
            factors[axis], shifts[axis] = float(step), float(first)
        described = multiscale.moved(level, tuple(factors), tuple(shifts))
        levels = _levels(job, run) if pyramid else 0
        described = described.with_levels(levels, job.chain.axes)
        zarr.open_group(target.staging.store, mode="r+").update_attributes(described.attributes())
    elif labelled is not None:
        steps, start = job.chain.steps_and_start
        dims = [labelled.dims[axis] for axis in job.chain.axes]
        places = {
            dim: np.arange(job.layout.shape[axis]) * step + first
            for dim, axis, step, first in zip(dims, job.chain.axes, steps, start)
        }
        coords = moved_coordinates(labelled, places)
        xarray = sys.modules["xarray"]
        attributes = {"kernelfield_array": target.path}
        xarray.Dataset(coords=coords, attrs=attributes).to_zarr(target.staging.store, mode="a", consolidated=False)


def _levels(job: Job, run: Run) -> int:
    """Write the coarser levels of a pyramid, each from the one before, and return how many."""
    half = FixedFilter.of(np.full((2, 2), 0.25), mode="valid", stride=2)
    count = 0
    while count < _MOST_LEVELS:
        shape, rows, columns = job.layout.shape, *job.chain.axes
        if min(shape[rows], shape[columns]) < 2 or max(shape[rows], shape[columns]) <= max(job.layout.chunks):
            break
        count += 1
        source = open_source(job.target.place)
        options = {"dtype": job.layout.dtype, "precision": None, "method": None, "missing": "propagate"}
        filters = chain([half], source.shape, source.dtype, job.chain.axes, options)
        shape = filters.output_shape
        layout = lay_out(
            shape, filters.dtype, job.chain.axes, job.layout.chunks, job.layout.compression, job.layout.dims, None
        )
        job = Job.of(source, filters, job.target.at(str(count)), layout)
        job.begin({}, resume=True)
        _run(job, run, None, 0.0)
        job.finish()
    return count


def _finished(job: Job) -> str | None:
    """Return the hash of a result that is complete, of the same parameters; None if there is none."""
    if job.target.suffix:
        return None
    final = Place.of(job.target.final).node(job.target.path)
    marker = marker_of(final) if final.metadata() is not None else None
    if marker is None or marker.get("parameters") != job.parameters:
        return None
    return str(marker["hash"])


def _kernels(kernel: Any) -> list[Any]:
    """Return the filters of a chain."""
    if isinstance(kernel, list | tuple) and any(
        isinstance(one, Kernel | Fit | FixedFilter) or np.ndim(one) == 2 for one in kernel
    ):
        return list(kernel)
    return [kernel]


def _compression(source: Source) -> str:
    """Return the compression of a Zarr source, "zstd" for others."""
    if not isinstance(source, ZarrSource):
        return "zstd"
    return "zstd" if source.compressed else "none"


def _check_shared(source: Source, target: Target) -> None:
    """Raise for stores in the memory of this process, which the workers of a cluster cannot reach."""
    import zarr

    for name, place in (("source", getattr(source, "place", None)), ("target", target.place)):
        store = getattr(place, "store", None)
        if isinstance(store, zarr.storage.MemoryStore) or str(getattr(place, "name", "")).startswith("memory:"):
            raise ArgumentError(
                f"{name}: expected a place that workers reach, with scheduler=; received a store in the memory of this "
                "process; give a folder or an address that all machines share"
            )


def _check_apart(source: Any, target: Target) -> None:
    """Raise for a target that is the source itself."""
    if isinstance(source, str | os.PathLike) and os.path.exists(target.name):
        name = os.fspath(source)
        if os.path.exists(name) and os.path.samefile(name, target.name):
            raise ArgumentError(f"target: expected another place than the source; received {received(target.name)}")
