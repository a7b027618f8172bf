"""Tiles made by the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kernelfield.errors import MissingDependencyError
from kernelfield.scale.job import Job, Tile


def run(job: Job, indices: Iterable[int], progress: Callable[[Tile], None], scheduler: Any) -> None:
    """Make some tiles of a job on the workers of a scheduler; the arguments are those of `kernelfield.scale.local.run`.

    Parameters
    ----------
    scheduler : str or distributed.Client
        An address, or a client.
    """
    raise MissingDependencyError("scheduler: expected None; a cluster cannot be used yet; leave it out")
