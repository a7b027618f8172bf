"""The files that commands read and write: pictures with their notes, filters, reports."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from kernelfield.apps.messages import note
from kernelfield.errors import DataError, FileError, KernelfieldError
from kernelfield.images import DEFAULT_MAX_PIXELS, Picture, read
from kernelfield.learning import Fit
from kernelfield.learning.record import FORMAT, build, to_record

#: One filter for all channels, or one for each by name.
Filters = Fit | dict[str, Fit]

_LARGEST_FILTER = 64 << 20


def read_picture(path: Path, max_pixels: int | None) -> Picture:
    """Return a picture, its notes said on stderr."""
    picture = read(path, max_pixels=DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels)
    for text in picture.notes:
        note(f"{path}: {text}")
    return picture


def dump_filters(filters: Filters) -> str:
    """Return the JSON that docs/filter-json.md describes, ending in a line break."""
    if isinstance(filters, Fit):
        record = to_record(filters)
    else:
        record = {"format": FORMAT, "channels": {name: to_record(fit) for name, fit in filters.items()}}
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def load_filters(path: Path) -> Filters:
    """Return what `dump_filters` wrote."""
    channels = _channels(path)
    try:
        if channels is None:
            return Fit.load(path)
        if not channels:
            raise ValueError("it has no channels")
        return {name: build(Fit, record) for name, record in channels.items()}
    except (KernelfieldError, MemoryError):
        raise
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path}: expected a filter as learn --json writes it; {what}; learn it again") from None


def _channels(path: Path) -> dict[str, Any] | None:
    """Return the records of a file with one a channel; None for any other file, which `Fit.load` judges."""
    record = None
    with suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= _LARGEST_FILTER:
            record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict) or not isinstance(record.get("channels"), dict):
        return None
    return dict(record["channels"])


def check_target(path: Path) -> None:
    """Raise if `path` cannot be written, before any work is done for it."""
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        what = "is a folder" if path.is_dir() else "lies in no folder that can be written"
        raise FileError(f"{str(path)!r}: {what}; expected the name of a file to make; choose another place")


def write_file(path: Path, data: bytes) -> None:
    """Write `data` so that the file appears whole or not at all."""
    temporary = path.parent / f".kernelfield-{secrets.token_hex(8)}.part"
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        raise FileError(
            f"{str(path)!r}: cannot be written ({error.strerror or error}); expected a folder that exists, with "
            "space and permission; choose another place"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
