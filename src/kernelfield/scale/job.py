"""A job: one source, one chain of filters, one target, and a task for each tile, which may run anywhere and twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import kernelfield
from kernelfield.errors import FileError, received
from kernelfield.scale.chain import Chain
from kernelfield.scale.manifest import ATTRIBUTE, Manifest, check_complete, differences, digest_of, hash_of, job_of
from kernelfield.scale.sources import Source, open_source
from kernelfield.scale.target import TIFF_TILE, Layout, Target
from kernelfield.scale.tiles import Grid


@dataclass(frozen=True)
class Tile:
    """A tile that was written: its number, its hash, its pixels and the seconds that it took."""

    index: int
    hash: str
    pixels: int
    seconds: float


@dataclass(frozen=True)
class Job:
    """All that a worker needs to make any tile of a result; it can be sent to other processes.

    Attributes
    ----------
    source : Source
    chain : Chain
    target : Target
    layout : Layout
    parameters : str
        The digest of `record`.
    record : dict
        What must be the same when the job is resumed.
    """

    source: Source
    chain: Chain
    target: Target
    layout: Layout
    parameters: str
    record: dict[str, Any]

    @classmethod
    def of(cls, source: Source, chain: Chain, target: Target, layout: Layout) -> Job:
        """Return the job, with the record of its parameters."""
        record = {
            "version": kernelfield.__version__,
            "source": {"name": source.name, "shape": list(source.shape), "dtype": source.dtype.name, **source.identity},
            "filters": chain.record(),
            "result": {
                "shape": list(layout.shape),
                "dtype": layout.dtype,
                "chunks": list(layout.chunks),
                "tiles": list(layout.shards),
                "compression": layout.compression,
            },
        }
        return cls(source, chain, target, layout, digest_of(record), record)

    @property
    def grid(self) -> Grid:
        """The tiles."""
        return self.layout.grid

    @property
    def manifest(self) -> Manifest:
        """The records of the tiles."""
        return Manifest(self.target.place, self.parameters, self.grid)

    def begin(self, attributes: dict[str, Any], resume: bool) -> None:
        """Make the array, or check that the one that is there is of this job.

        Raises
        ------
        FileError
            If an array is there that was not asked to be resumed, or one of other parameters.
        """
        there = job_of(self.target.place)
        if there is not None and resume:
            if there.get("parameters") != self.parameters:
                changed = ", ".join(differences(self.record, there)) or "the parameters"
                raise FileError(
                    f"{received(self.target.name)}: the unfinished result is of another job; expected the same "
                    f"parameters; received other {changed}; give those of that job, or --overwrite to begin anew"
                )
            return
        if there is not None:
            raise FileError(
                f"{received(self.target.name)}: an unfinished result is there; expected none; --resume goes on with "
                "it, --overwrite begins anew"
            )
        # What a process that was killed left before the parameters were written.
        self.target.remove()
        self.target.begin(self.layout, {**attributes, ATTRIBUTE: {"parameters": self.parameters}})
        self.manifest.begin(self.record)

    def missing(self) -> list[int]:
        """Return the tiles that are not written yet."""
        return self.manifest.missing()

    def run(self, index: int) -> Tile:
        """Read, compute, write and record one tile."""
        started = time.perf_counter()
        region = self.grid.region(index)
        pixels = self.chain.compute(self.source.read_again, region)
        digest = hash_of(pixels)
        self.target.write(region, pixels, self.target.key(index, self.grid))
        self.manifest.put(index, digest)
        return Tile(index, digest, pixels.size, time.perf_counter() - started)

    def finish(self) -> str:
        """Write the marker, once all tiles are recorded, and return the hash of the whole."""
        return self.manifest.finish()

    def written(self) -> Source:
        """Return the complete array as a source."""
        check_complete(self.target.place)
        return open_source(self.target.place)

    def strips(self) -> Iterator[Any]:
        """Yield the pixels in the order of a file: rows of tiles."""
        source = self.written()
        for region in Grid(self.layout.shape, (self.layout.shards[0], *self.layout.shape[1:])):
            yield region, source.read(region)

    def squares(self, side: int = TIFF_TILE) -> Iterator[Any]:
        """Yield squares of rows and columns, in the order of a tiled file."""
        source = self.written()
        rows, columns, *more = self.layout.shape
        for strip in Grid((rows, columns, *more), (side, columns, *more)):
            pixels = source.read(strip)
            for region in Grid((columns,), (side,)):
                yield (strip[0], *region, *strip[2:]), np.ascontiguousarray(pixels[:, region[0]])
