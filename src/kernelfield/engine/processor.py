"""The processor, as Linux describes it."""

from __future__ import annotations

import os
import re
from functools import cache

_FIELDS = ("vendor_id", "cpu family", "model", "flags")


@cache
def identity() -> list[str] | None:
    """Return make and features of the processor; None where they cannot be told."""
    try:
        descriptor = os.open("/proc/cpuinfo", os.O_RDONLY)
        try:
            text = os.read(descriptor, 1 << 14).decode(errors="replace")
        finally:
            os.close(descriptor)
    except OSError:
        return None
    first = text.partition("\n\n")[0]
    lines = [re.search(rf"^{name}\s*: (.*)$", first, re.M) for name in _FIELDS]
    return [line[1] for line in lines if line] if all(lines) else None


def features() -> frozenset[str]:
    """Return the features of the processor that the system lets programs use, by Linux's names; empty elsewhere."""
    found = identity()
    return frozenset(found[-1].split()) if found else frozenset()
