"""Filters in JSON files: one for all channels, or one for each channel by name."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from kernelfield.errors import DataError, KernelfieldError
from kernelfield.kernels import Kernel
from kernelfield.kernels.descriptions import describe
from kernelfield.learning import Fit
from kernelfield.learning.fit import designed
from kernelfield.learning.record import FORMAT, build, to_record

Filters = Fit | dict[str, Fit]

_MAX_BYTES = 64 << 20


def as_fit(kernel: Kernel) -> Fit:
    """Return a designed kernel as a filter that can be saved and applied."""
    return designed(kernel, describe(kernel))


def dump_filters(filters: Filters) -> str:
    """Return the JSON that docs/filter-json.md describes, ending in a line break."""
    if isinstance(filters, Fit):
        record = to_record(filters)
    else:
        record = {"format": FORMAT, "channels": {name: to_record(fit) for name, fit in filters.items()}}
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def load_filters(path: Path) -> Filters:
    """Return the filters of a file that `dump_filters` made."""
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
        problem = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path}: expected a filter as learn --json writes it; {problem}; learn it again") from None


def _channels(path: Path) -> dict[str, Any] | None:
    """Return the records of a file with one for each channel; None for any other file, which `Fit.load` judges."""
    record = None
    with suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= _MAX_BYTES:
            record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict) or not isinstance(record.get("channels"), dict):
        return None
    return dict(record["channels"])
