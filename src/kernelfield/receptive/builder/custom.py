"""Operations without a rule of their own: those with index maps that a caller gives, and those that are not known."""

from __future__ import annotations

from collections.abc import Sequence

from kernelfield.errors import ArgumentError, UnsupportedOperation
from kernelfield.receptive.builder.core import Core, Read
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.graph import Edge, Link


def custom(
    builder: Core,
    name: str,
    operation: str,
    xs: Sequence[Value],
    edges: Sequence[Edge | Sequence[Link]],
    shape: Sequence[int],
    axes: Sequence[int | None],
) -> Value:
    """Return the output of an operation with given index maps, for registered rules.

    Parameters
    ----------
    name, operation : str
    xs : sequence of Value
        The inputs.
    edges : sequence of Edge or of sequences of Link
        One for each of `xs`: a link for each axis of its grid.
    shape : sequence of int
        Of the new tensor.
    axes : sequence of (int or None)
        For each of its axes the axis of the new grid.
    """
    grid = [axis is not None for axis in axes]
    if [axis for axis in axes if axis is not None] != list(range(sum(grid))) or len(axes) != len(shape):
        raise ArgumentError(f"{name}: expected axes of the grid in order, one or None a tensor axis; received {axes}")
    reads = []
    for x, edge in zip(xs, edges, strict=True):
        links = edge.links if isinstance(edge, Edge) else tuple(edge)
        if len(links) != len(x.grid):
            raise ArgumentError(f"{name}: expected {len(x.grid)} links to {x.node!r}; received {len(links)}")
        reads.append(Read(x, links, edge.gate if isinstance(edge, Edge) else False))
    return builder.add(name, operation, shape, grid, reads)


def unknown(builder: Core, name: str, operation: str, xs: Sequence[Value], shape: Sequence[int]) -> Value:
    """Return the output of an operation that is not known: an error, or a node that reads all of its inputs.

    Raises
    ------
    UnsupportedOperation
        If the builder was made with ``unknown="error"`` and the operation reads the image.
    """
    read = [x for x in xs if x.node is not None]
    if not read:
        return builder.constant(shape)
    if builder.on_unknown == "error":
        raise UnsupportedOperation(
            f"model: expected operations that are known; received {operation!r} in {name!r}; pass unknown='global' "
            "for an upper bound, or add a rule with kernelfield.receptive.register"
        )
    like = next((x for x in read if x.ndim == len(shape)), None)
    grid = [like is not None and like.axes[t] is not None and n > 1 for t, n in enumerate(shape)]
    reads = [Read(x, (Link((), None),) * len(x.grid)) for x in read]
    return builder.add(name, operation, shape, grid, reads, bound=f"upper bound: {operation} is not known")
