"""A stack of layers, with the receptive field and the cost of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from kernelfield.receptive.graph import AxisMap, Edge, Graph, Link, Node

_HEAD = ("", "layer", "map", "channels", "field", "stride", "multiply-adds", "weights")


@dataclass(frozen=True)
class Layer:
    """A layer of a stack, the same along every axis of the image.

    Parameters
    ----------
    operation : {"convolution", "pooling"}
    kernel, stride, dilation : int
    padding : tuple of int
        Elements before and after, so that an input of `size` elements gives ``ceil(size / stride)``.
    shape : tuple of int
        Extents of its feature map.
    channels_in, channels_out : int
    field : int
        Image elements that one of its units sees along an axis, in an image without borders.
    total_stride : int
        Shift of the field, in image elements, from one unit to the next.
    """

    operation: Literal["convolution", "pooling"]
    kernel: int
    stride: int
    dilation: int
    padding: tuple[int, int]
    shape: tuple[int, ...]
    channels_in: int
    channels_out: int
    field: int
    total_stride: int

    @property
    def weights(self) -> int:
        """Number of weights; biases are not counted."""
        if self.operation == "pooling":
            return 0
        return math.prod(self.kernel for _ in self.shape) * self.channels_in * self.channels_out

    @property
    def multiply_adds(self) -> int:
        """Multiplications with an addition each, for one image; pooling counts one for each element of its windows."""
        places = math.prod(self.shape)
        if self.operation == "pooling":
            return places * math.prod(self.kernel for _ in self.shape) * self.channels_out
        return places * self.weights

    @property
    def detail(self) -> str:
        """Short description of the layer.

        Examples
        --------
        >>> Layer("convolution", 3, 1, 2, (2, 2), (8, 8), 3, 64, 5, 1).detail
        '3×3, dilation 2'
        """
        window = "×".join([str(self.kernel)] * len(self.shape))
        step = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{window}{step}{f', dilation {self.dilation}' if self.dilation > 1 else ''}"


@dataclass(frozen=True)
class Stack:
    """The stack of layers that `plan` found; prints as a table.

    Parameters
    ----------
    layers : tuple of Layer
        In order from the image.
    input_size : tuple of int
        Extents of the image.
    target : int
        Image elements to be seen along an axis.
    objective : str
        The quantity that was minimised.
    assumptions : tuple of str
        Assumptions behind the costs and the choice.
    """

    layers: tuple[Layer, ...]
    input_size: tuple[int, ...]
    target: int
    objective: str
    assumptions: tuple[str, ...] = ()

    @property
    def field(self) -> int:
        """Image elements that a unit of the last layer sees along an axis, in an image without borders."""
        return self.layers[-1].field

    @property
    def stride(self) -> int:
        """Shift of the field, in image elements, from one unit of the last layer to the next."""
        return self.layers[-1].total_stride

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all layers, for one image."""
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def weights(self) -> int:
        """Number of weights of all layers; biases are not counted."""
        return sum(layer.weights for layer in self.layers)

    def graph(self) -> Graph:
        """Return the stack as a graph for `kernelfield.receptive_field`."""
        nodes = [Node("image", "input", self.input_size)]
        for number, layer in enumerate(self.layers, 1):
            window = AxisMap.window(layer.kernel, layer.stride, layer.dilation, layer.padding[0])
            links = tuple(Link((axis,), window) for axis in range(len(layer.shape)))
            name = f"{layer.operation}{number}"
            nodes.append(Node(name, layer.operation, layer.shape, (Edge(nodes[-1].name, links),), layer.detail))
        return Graph(tuple(nodes))

    def record(self) -> dict[str, Any]:
        """Return the stack as plain lists, numbers and strings, for JSON."""
        names = ("operation", "kernel", "stride", "dilation", "padding", "shape", "channels_in", "channels_out")
        more = ("field", "total_stride", "multiply_adds", "weights")
        layers = [{name: getattr(layer, name) for name in names + more} for layer in self.layers]
        own = ("target", "objective", "input_size", "field", "stride", "depth", "multiply_adds", "weights")
        return {**{name: getattr(self, name) for name in own}, "assumptions": self.assumptions, "layers": layers}

    def __str__(self) -> str:
        rows = [_HEAD]
        for number, layer in enumerate(self.layers, 1):
            extent = "×".join(map(str, layer.shape))
            channels = f"{layer.channels_in} → {layer.channels_out}"
            sees = str(layer.field), str(layer.total_stride)
            name = f"{layer.operation} {layer.detail}"
            rows.append((str(number), name, extent, channels, *sees, f"{layer.multiply_adds:,}", f"{layer.weights:,}"))
        rows.append(("", "together", "", "", "", "", f"{self.multiply_adds:,}", f"{self.weights:,}"))
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = [
            "  ".join(cell.ljust(w) if i == 1 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths)))
            for row in rows
        ]
        image = "×".join(map(str, self.input_size))
        layers = f"{self.depth} layer{'s' if self.depth > 1 else ''}"
        field = f"a field of {self.field} (target {self.target})"
        beyond = self.field > min(self.input_size)
        notes = ["The field is larger than the image: units see padding too."] if beyond else []
        head = f"{layers}, least {self.objective}: {field} in an image of {image}"
        return "\n".join([head, *(line.rstrip() for line in lines), *notes, *self.assumptions])
