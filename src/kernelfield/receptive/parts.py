"""What a node reads of a value, and the parts that the channels of a value fall into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernelfield.receptive.graph import Edge, Link
from kernelfield.receptive.value import Value

#: The label of channels that depend on nothing (zeros that extend the channels of a shortcut).
NOTHING = 0


@dataclass(frozen=True)
class Read:
    """What a new node reads of one value.

    Parameters
    ----------
    value : Value
    links : tuple of Link
        One for each axis of the value's grid.
    gate : bool
        See `Edge`.
    labels : numpy.ndarray, optional
        For each channel of the new node the part of the value that it reads, in a shape that broadcasts to that of the
        new tensor; None where each reads all of it.
    """

    value: Value
    links: tuple[Link, ...]
    gate: bool = False
    labels: np.ndarray | None = None


@dataclass(frozen=True)
class Part:
    """Some channels of a node: their own edges, each to a part of the source."""

    node: str
    reads: tuple[tuple[Edge, int], ...]


def identity(rank: int) -> tuple[Link, ...]:
    """Return the links that read the same place.

    >>> identity(1)
    (Link(axes=(0,), map=AxisMap(period=1, step=1, taps=((0,),), outside='constant')),)
    """
    return tuple(Link((axis,)) for axis in range(rank))
