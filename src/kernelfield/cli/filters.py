"""Filters in files: as JSON, one for all channels or one for each channel by name; or the bare weights of a kernel."""

from __future__ import annotations

import json
import os
from difflib import get_close_matches
from typing import Any

import kernelfield as kf
from kernelfield.cli.kernel_files import NPY, read_array, read_list, read_text
from kernelfield.cli.messages import STREAM, UsageError
from kernelfield.cli.pictures import shown, standard_data
from kernelfield.errors import ArgumentError, DataError, FileError
from kernelfield.kernels import Kernel
from kernelfield.kernels.descriptions import describe
from kernelfield.learning import Fit
from kernelfield.learning.fields import received
from kernelfield.learning.fit import designed
from kernelfield.learning.record import FORMAT, build, parse, to_record

Filters = Fit | dict[str, Fit]

_MAX_BYTES = 64 << 20


def as_fit(kernel: Kernel, description: str = "") -> Fit:
    """Return a designed kernel as a filter that can be saved and applied."""
    return designed(kernel, description or describe(kernel))


def dump_filters(filters: Filters) -> str:
    """Return the JSON that docs/reference/filter-json.md describes, ending in a line break."""
    if isinstance(filters, Fit):
        record = to_record(filters)
    else:
        record = {"format": FORMAT, "channels": {name: to_record(fit) for name, fit in filters.items()}}
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def filters_of(text: str) -> Filters:
    """Return the filters of a file, of stdin for ``-``, or the kernel that a text such as gaussian:sigma=2 describes.

    A file goes before a name of the catalogue.
    """
    name, colon, _ = text.partition(":")
    if (
        text != STREAM
        and not os.path.lexists(text)
        and (name in kf.kernels.CATALOGUE or (colon and name.isidentifier()))
    ):
        return as_fit(kf.kernels.parse(text))
    data = _data(text)
    where = shown(text)
    if data.startswith(NPY):
        return as_fit(read_array(data, where), f"kernel of {where}")
    if not text.lower().endswith(".json") and data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        return as_fit(read_text(data, where), f"kernel of {where}")
    record = parse(data, where)
    if isinstance(record, list):
        return as_fit(read_list(record, where), f"kernel of {where}")
    return _built(record, where)


def one_of(filters: Filters, channel: str | None) -> Fit:
    """Return the filter of a file: the only one, or that of the channel."""
    if isinstance(filters, Fit):
        if channel is not None:
            raise UsageError("--channel: expected none with one filter for all channels; leave it out.")
        return filters
    names = ", ".join(filters)
    if channel is None:
        raise UsageError(f"--channel: expected one of {names}, each of which has its filter; received none.")
    if channel not in filters:
        raise ArgumentError(f"--channel: expected one of {names}; received {channel!r}")
    return filters[channel]


def _data(text: str) -> bytes:
    """Return the data of a file or of stdin; too much is left for the parser to refuse."""
    if text == STREAM:
        return standard_data(_MAX_BYTES)
    try:
        with open(text, "rb") as file:
            return file.read(_MAX_BYTES + 1)
    except OSError as error:
        near = get_close_matches(text.lower(), kf.kernels.CATALOGUE, 1, 0.7)
        hint = f"did you mean {near[0]}?" if near else "design --list shows the names"
        raise FileError(
            f"{text!r}: cannot be read ({error.strerror or error}); expected a filter file, or a kernel as "
            f"gaussian:sigma=2; {hint}"
        ) from None


def _built(record: Any, name: str) -> Filters:
    """Return the filters of a record that `dump_filters` made."""
    channels = record.get("channels") if isinstance(record, dict) else None
    if not isinstance(channels, dict):
        return build(Fit, record, name)
    expected = f"{name}: expected a filter for each channel as learn --per-channel --json writes them"
    if record.get("format") != FORMAT or isinstance(record["format"], bool):
        raise DataError(f"{expected}, format {FORMAT}; received format {received(record.get('format'))}")
    if not channels or set(record) != {"format", "channels"}:
        raise DataError(f"{expected}; received {', '.join(record)} with {len(channels)} channels; learn it again")
    return {channel: build(Fit, each, f"{name}: channel {received(channel)}") for channel, each in channels.items()}
