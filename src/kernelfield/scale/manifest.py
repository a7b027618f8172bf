"""The records beside an array that is written tile by tile: what it will be, which tiles are there, whether all are.

An array that kernelfield writes says so in its attributes. It is complete when ``.kernelfield/complete.json`` stands in
its folder, which is written after everything else; without it every reader here refuses the array. ``job.json`` holds
the parameters, ``tiles/`` a record for each tile that is on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from kernelfield.errors import FileError, received
from kernelfield.scale.stores import RECORDS, Place
from kernelfield.scale.tiles import Grid

#: The name of the attribute, of the parameters, of the folder of tiles and of the marker.
ATTRIBUTE = "kernelfield"
JOB, TILES, COMPLETE = f"{RECORDS}/job.json", f"{RECORDS}/tiles", f"{RECORDS}/complete.json"


@dataclass(frozen=True)
class Manifest:
    """The records of one array.

    Attributes
    ----------
    place : Place
        Of the array.
    parameters : str
        The digest of all parameters of the job.
    grid : Grid
    """

    place: Place
    parameters: str
    grid: Grid

    def begin(self, record: dict[str, Any]) -> None:
        """Write the parameters."""
        self.place.put(JOB, _text({"parameters": self.parameters, **record}))

    def put(self, index: int, digest: str) -> None:
        """Record that a tile is written."""
        self.place.put(self._name(index), _text({"parameters": self.parameters, "hash": digest}))

    def get(self, index: int) -> str | None:
        """Return the hash of a tile; None if it is not recorded, or of another job."""
        found = _parsed(self.place.get(self._name(index)))
        if found is None or found.get("parameters") != self.parameters or not isinstance(found.get("hash"), str):
            return None
        digest: str = found["hash"]
        return digest

    def missing(self) -> list[int]:
        """Return the tiles that are not recorded."""
        return [index for index in range(len(self.grid)) if self.get(index) is None]

    def finish(self) -> str:
        """Write the marker if all tiles are recorded, and return the hash of the whole."""
        hashes = []
        for index in range(len(self.grid)):
            digest = self.get(index)
            if digest is None:
                raise FileError(
                    f"{received(self.place.name)}: tile {self.grid.name(index)} is missing; expected all "
                    f"{len(self.grid)}; resume the job"
                )
            hashes.append(digest)
        whole = combined(hashes)
        self.place.put(COMPLETE, _text({"parameters": self.parameters, "tiles": len(self.grid), "hash": whole}))
        return whole

    def _name(self, index: int) -> str:
        return f"{TILES}/{self.grid.name(index)}.json"


def hash_of(pixels: np.ndarray) -> str:
    """Return the hash of pixels: XXH3 of 128 bits, of their shape and dtype and of the bytes in C order, little-endian.

    It finds damage, not forgery.

    Examples
    --------
    >>> hash_of(np.zeros((2, 3), np.uint8))
    'a973f43a7ddcb57ee08451a88c9d2a08'
    """
    state = xxhash.xxh3_128(f"{pixels.dtype.name} {pixels.shape}".encode())
    plain = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<"))
    state.update(plain.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def combined(hashes: Iterable[str]) -> str:
    """Return the hash of an array from those of its tiles, in order."""
    state = xxhash.xxh3_128()
    for one in hashes:
        state.update(one.encode())
    return state.hexdigest()


def digest_of(record: dict[str, Any]) -> str:
    """Return the digest of the parameters of a job."""
    return xxhash.xxh3_128(json.dumps(record, sort_keys=True).encode()).hexdigest()


def check_complete(place: Place) -> None:
    """Raise for an array that kernelfield began to write, and that has no marker of its completion."""
    said = place.attributes().get(ATTRIBUTE)
    if said is None:
        return
    marker, expected = marker_of(place), said.get("parameters") if isinstance(said, dict) else None
    if marker is None or marker.get("parameters") != expected:
        raise FileError(
            f"{received(place.name)}: not complete: it has no marker, or that of another job; expected an array that "
            "was written to its end; resume it by --resume, or write it again"
        )


def marker_of(place: Place) -> dict[str, Any] | None:
    """Return the content of the marker of completion; None if there is none that can be read."""
    return _parsed(place.get(COMPLETE))


def job_of(place: Place) -> dict[str, Any] | None:
    """Return the parameters of the job that writes, or wrote, an array; None if there are none that can be read."""
    return _parsed(place.get(JOB))


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> Sequence[str]:
    """Return the names of parameters that are not the same in two jobs."""
    return [name for name in sorted({*ours, *theirs} - {"parameters"}) if ours.get(name) != theirs.get(name)]


def _text(record: dict[str, Any]) -> bytes:
    return json.dumps(record, indent=1).encode()


def _parsed(data: bytes | None) -> dict[str, Any] | None:
    try:
        found = None if data is None else json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
