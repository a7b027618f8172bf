"""Images that no machine holds: filtered tile by tile, from and into stores of Zarr and files, and learned from.

It needs the extra ``kernelfield[scale]``.
"""

from __future__ import annotations

from kernelfield.errors import MissingDependencyError

try:
    import threadpoolctl as _threadpoolctl  # noqa: F401
    import xxhash as _xxhash  # noqa: F401
    import zarr as _zarr  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        f"kernelfield.scale: expected zarr, xxhash and threadpoolctl; {error.name} is not installed; "
        "pip install kernelfield[scale]"
    ) from error

from kernelfield.scale.applying import Progress, Report, apply
from kernelfield.scale.learner import learn
from kernelfield.scale.sources import Source, open_source
from kernelfield.scale.tiles import Grid
from kernelfield.scale.verifying import Verified, verify

__all__ = ["Grid", "Progress", "Report", "Source", "Verified", "apply", "learn", "open_source", "verify"]
