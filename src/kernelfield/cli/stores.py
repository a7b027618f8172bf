"""``kernelfield apply`` for stores and for files larger than memory: tile by tile, with progress, and resumed."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from json import dumps
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from kernelfield.cli.console import output
from kernelfield.cli.messages import STREAM, UsageError, note
from kernelfield.errors import ArgumentError, FileError, KernelfieldError

if TYPE_CHECKING:
    from kernelfield.learning import Fit
    from kernelfield.scale import Progress

_METADATA = ("zarr.json", ".zarray", ".zgroup")
#: Files of more bytes than this, decoded, are filtered tile by tile.
_LARGE = 1 << 30
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_store(name: str) -> bool:
    """Return whether a name is that of a Zarr store, or an address."""
    if "://" in name or PurePath(name).suffix.lower() == ".zarr":
        return True
    return os.path.isdir(name) and any(os.path.exists(os.path.join(name, one)) for one in _METADATA)


def is_for_tiles(source: str, target: str) -> bool:
    """Return whether a picture is filtered tile by tile: it is a store, becomes one, or is a large NPY or TIFF file."""
    if STREAM in (source, target):
        return False
    if is_store(source) or is_store(target):
        return True
    if PurePath(target).suffix.lower() not in (".npy", ".tif", ".tiff", ".btf"):
        return False
    return _decoded_bytes(source) > _LARGE


def _decoded_bytes(path: str) -> int:
    """Return the bytes of the pixels of an NPY or TIFF file; 0 for others, and where they cannot be told."""
    # A FIFO can be read only once.
    with suppress(OSError, KernelfieldError):
        if not stat.S_ISREG(os.stat(path).st_mode):
            return 0
        with open(path, "rb") as file:
            head, size = file.read(6), os.fstat(file.fileno()).st_size
        if head == b"\x93NUMPY":
            return size
        if head[:4] in _TIFF:
            from kernelfield.images.tiff import Tiled

            page, pixels = Tiled(path), 1
            for n in page.shape:
                pixels *= n
            return pixels * int(page.dtype.itemsize)
    return 0


def one_scheduler(address: str | None, local: int | None) -> str | int | None:
    """Return the address of a scheduler or the number of processes to start here, of which one may be given."""
    if address is not None and local is not None:
        raise UsageError("--scheduler, --local: expected one of them; received both.")
    if local is not None and local < 1:
        raise UsageError(f"--local: expected a number of processes, at least 1; received {local}.")
    return local if address is None else address


def filter_store(filters: Sequence[Fit], source: str, target: str, json: bool, **options: Any) -> None:
    """Filter a store or a large file, and print what was written."""
    from kernelfield import scale

    latest: list[Progress] = []
    try:
        with _progress("filtering") as show:

            def tell(now: Progress) -> None:
                latest[:] = [now]
                show(now.tiles, now.total, f"{_rate(now.rate)} {_left(now.left)}")

            done = scale.apply(source, list(filters), target, progress=tell, **options)
    except KeyboardInterrupt:
        if latest:
            note(f"stopped after {latest[0].tiles} of {latest[0].total} tiles; the same command with --resume goes on")
        raise
    if json:
        sys.stdout.write(dumps(asdict(done)) + "\n")
        return
    shape = "×".join(map(str, done.shape))
    there = f", {done.resumed} of them there before" if done.resumed else ""
    output().print(
        f"{done.target}: {shape} {done.dtype}, {done.tiles} tiles{there}, hash {done.hash}",
        markup=False,
        soft_wrap=True,
    )


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yield a function that shows tiles done, tiles in all and a remark, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn(what),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} tiles"),
        TextColumn("{task.fields[rest]}"),
    )
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task(what, total=None, rest="")
        yield lambda done, total, rest: bar.update(task, completed=done, total=total, rest=rest)


def _rate(rate: float) -> str:
    """Return pixels per second.

    Examples
    --------
    >>> _rate(123_456_789.0)
    '123 Mpixel/s'
    """
    return f"{rate / 1e6:.3g} Mpixel/s"


def _left(seconds: float) -> str:
    """Return the time left.

    Examples
    --------
    >>> _left(3725.0), _left(59.0), _left(float("inf"))
    ('1:02:05 left', '0:59 left', '')
    """
    if seconds == float("inf"):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"


def verify(store: str, /, *, json: bool = False) -> None:
    """Check that a Zarr store which apply wrote is complete and unchanged.

    All pixels are read again and compared with the hash of each tile.

    Parameters
    ----------
    store
        The store, a folder or an address.
    json
        Print what was found as JSON, and nothing else.
    """
    if "://" not in store and not os.path.lexists(store):
        raise FileError(f"{store!r}: no such store; expected one that apply wrote; check the name")
    if os.path.isfile(store):
        raise ArgumentError(
            f"{store!r}: a file; expected a Zarr store that apply wrote; NPY and TIFF files keep no hashes"
        )
    from kernelfield import scale

    with _progress("verifying") as show:
        found = scale.verify(store, progress=lambda done, total: show(done, total, ""))
    if json:
        sys.stdout.write(dumps(asdict(found)) + "\n")
        return
    arrays = f"{found.arrays} arrays, " if found.arrays > 1 else ""
    output().print(
        f"{found.name}: complete; {arrays}{found.tiles} tiles as they were written, hash {found.hash}",
        markup=False,
        soft_wrap=True,
    )
