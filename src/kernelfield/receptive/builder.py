"""What every frontend builds a graph with: operations on values that know which of their axes lie in space.

A frontend walks its framework's operations in order and calls one method for each. Shapes, paddings and index maps are
worked out here, once; a frontend only translates names and attributes.
"""

from __future__ import annotations

from collections.abc import Iterable

from kernelfield.errors import ArgumentError
from kernelfield.receptive.graph import Graph
from kernelfield.receptive.operations_axes import Axes
from kernelfield.receptive.operations_folds import Folds
from kernelfield.receptive.operations_products import Products
from kernelfield.receptive.resampling import Coordinates, Method, Rounding
from kernelfield.receptive.value import Value

__all__ = ["Builder", "Coordinates", "Method", "Rounding", "Value"]


class Builder(Folds, Axes, Products):
    """A graph in the making.

    Parameters
    ----------
    unknown : {"error", "global"}
        What an operation that is not known becomes: an error that names it, or a node that reads everything and says
        that this is an upper bound.

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

    def graph(self, *outputs: Value, keep: Iterable[str] = ()) -> Graph:
        """Return the graph of what some outputs depend on; the last of them is its last node where that can be.

        Parameters
        ----------
        *outputs : Value
        keep : iterable of str
            Names of further nodes to keep, with what they depend on.
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
