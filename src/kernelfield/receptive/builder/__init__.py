"""The graph builder that all frontends share: operations on tensors of which some axes are spatial.

A frontend walks through the operations of its framework in order and calls one method of `Builder` for each. Shapes,
paddings and index maps are computed here, once; a frontend only translates names and attributes. Each operation is a
plain function of `Core`, the graph being built, in the module of its kind.
"""

from __future__ import annotations

from collections.abc import Iterable

from kernelfield.errors import ArgumentError
from kernelfield.receptive.builder import arithmetic, axes, folding, indexing, products, windows
from kernelfield.receptive.builder.core import Core
from kernelfield.receptive.builder.custom import custom, unknown
from kernelfield.receptive.builder.value import Value
from kernelfield.receptive.builder.windows import Pooling
from kernelfield.receptive.graph import Graph
from kernelfield.receptive.resampling import Coordinates, Method, Rounding

__all__ = ["Builder", "Coordinates", "Method", "Pooling", "Rounding", "Value"]


class Builder(Core):
    """A graph under construction.

    Parameters
    ----------
    unknown : {"error", "global"}
        Treatment of an operation that is not known: an error that names it, or a node that reads all of its inputs
        and is marked as an upper bound.

    Examples
    --------
    >>> builder = Builder()
    >>> x = builder.image("image", (1, 1, 8, 8), spatial=(2, 3))
    >>> for name in ("first", "second"):
    ...     x = builder.convolution(name, x, kernel=(2, 2), stride=(1, 1), dilation=(1, 1), before=(0, 0),
    ...                             after=(0, 0), channels_out=1, channel_axis=1, spatial_axes=(2, 3))
    >>> [(node.name, node.shape) for node in builder.graph(x)]
    [('image', (8, 8)), ('first', (7, 7)), ('second', (6, 6))]
    """

    convolution = windows.convolution
    transposed_convolution = windows.transposed_convolution
    pooling = windows.pooling
    adaptive_pooling = windows.adaptive_pooling
    resize = windows.resize
    sampled = windows.sampled
    unpooling = windows.unpooling
    unfold = folding.unfold
    fold = folding.fold
    pad = indexing.pad
    slice = indexing.strided_slice
    take = indexing.take
    pick = indexing.pick
    roll = indexing.roll
    concatenate = indexing.concatenate
    transpose = axes.transpose
    reshape = axes.reshape
    expand = axes.expand
    depth_to_space = axes.depth_to_space
    space_to_depth = axes.space_to_depth
    elementwise = arithmetic.elementwise
    normalisation = arithmetic.normalisation
    softmax = arithmetic.softmax
    reduce = arithmetic.reduce
    cumulative = arithmetic.cumulative
    matmul = products.matmul
    einsum = products.einsum
    attention = products.attention
    custom = custom
    unknown = unknown

    def graph(self, *outputs: Value, keep: Iterable[str] = ()) -> Graph:
        """Return the graph of all nodes that some outputs depend on.

        Parameters
        ----------
        *outputs : Value
            The last of them is the last node of the graph, unless another node reads it.
        keep : iterable of str
            Names of further nodes to keep, with all that they depend on.
        """
        wanted = {value.node for value in outputs if value.node is not None} | set(keep)
        if not wanted:
            raise ArgumentError("model: expected outputs that depend on the image; received constants")
        image = next(iter(self.nodes))
        kept, pending = {image}, list(wanted)
        while pending:
            name = pending.pop()
            if name not in kept:
                kept.add(name)
                pending += (edge.source for edge in self.nodes[name].edges)
        order = [node for name, node in self.nodes.items() if name in kept]
        last = outputs[-1].node if outputs else None
        if last is not None and not any(edge.source == last for node in order for edge in node.edges):
            order.sort(key=lambda node: node.name == last)
        aliases = {alias: name for alias, name in self.aliases.items() if name in kept}
        return Graph(tuple(order), aliases=aliases)
