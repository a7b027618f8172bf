"""The check of a store that kernelfield wrote: complete, and every pixel as it was written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kernelfield.errors import ArgumentError, DataError, FileError, received
from kernelfield.scale import ome
from kernelfield.scale.manifest import ATTRIBUTE, Manifest, check_complete, combined, hash_of, job_of, marker_of
from kernelfield.scale.sources import open_source
from kernelfield.scale.stores import Place, is_store
from kernelfield.scale.tiles import Grid


@dataclass(frozen=True)
class Verified:
    """The result of `verify`: arrays and tiles that are right, and the hash of the first array's pixels."""

    name: str
    arrays: int
    tiles: int
    hash: str


def verify(store: Any, *, progress: Callable[[int, int], None] | None = None) -> Verified:
    """Read all pixels of a result of `apply` again, and compare them with the hashes of its tiles.

    Parameters
    ----------
    store : str, path-like or zarr store
    progress : callable, optional
        Called with the number of tiles read, and of all.

    Raises
    ------
    FileError
        If it is not complete, a tile cannot be read, or was not written by kernelfield.
    DataError
        If tiles have other pixels than those that were written.
    """
    if not is_store(store):
        raise ArgumentError(
            f"store: expected a Zarr store that kernelfield wrote; received {received(store)}; NPY and TIFF files "
            "appear whole, and keep no hashes"
        )
    root = Place.of(store)
    places = _arrays(root)
    done, hashes = 0, []
    total = sum(len(_grid(place)) for place in places)
    for place in places:
        manifest, marker = _manifest(place), marker_of(place) or {}
        source, wrong, found = open_source(place), [], []
        for index, region in enumerate(manifest.grid):
            digest = manifest.get(index)
            if digest is None:
                raise FileError(
                    f"{received(place.name)}: the record of tile {manifest.grid.name(index)} is lost; expected one for "
                    "each tile; write the result again"
                )
            if hash_of(source.read(region)) != digest:
                wrong.append(manifest.grid.name(index))
            found.append(digest)
            done += 1
            if progress is not None:
                progress(done, total)
        if wrong:
            more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise DataError(
                f"{received(place.name)}: {len(wrong)} of {len(manifest.grid)} tiles have other pixels than were "
                f"written: {', '.join(wrong[:3])}{more}; expected none; write the result again"
            )
        if combined(found) != marker.get("hash"):
            raise DataError(f"{received(place.name)}: the records of tiles were changed; write the result again")
        hashes.append(combined(found))
    return Verified(root.name, len(places), total, hashes[0])


def _arrays(root: Place) -> list[Place]:
    """Return the arrays of a store that kernelfield wrote, all of them complete."""
    multiscale = ome.read(root)
    if multiscale is not None:
        found = [root.node(path) for path in multiscale.paths]
    else:
        named = root.attributes().get("kernelfield_array")
        found = [root.node(named)] if isinstance(named, str) else [root]
    for place in found:
        if place.metadata() is None:
            raise FileError(f"{received(place.name)}: no Zarr array there; expected one; check the place")
        if ATTRIBUTE not in place.attributes() or job_of(place) is None:
            raise FileError(
                f"{received(place.name)}: kernelfield did not write it, or its records are lost; expected a result of "
                "apply"
            )
        check_complete(place)
    return found


def _grid(place: Place) -> Grid:
    """Return the tiles of a result."""
    result = (job_of(place) or {}).get("result", {})
    try:
        return Grid(tuple(map(int, result["shape"])), tuple(map(int, result["tiles"])))
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{received(place.name)}: the record of the job is damaged; write the result again") from error


def _manifest(place: Place) -> Manifest:
    return Manifest(place, str((job_of(place) or {}).get("parameters")), _grid(place))
