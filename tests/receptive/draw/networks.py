"""A small network with a dilated layer, a shortcut and a gate, for the tests of figures."""

from __future__ import annotations

from kernelfield.receptive import AxisMap, Edge, Graph, Link, Node


def reads(source: str, *maps: AxisMap, gate: bool = False) -> Edge:
    return Edge(source, tuple(Link((axis,), map_) for axis, map_ in enumerate(maps)), gate)


def network(size: tuple[int, int] = (48, 64), name: str = "second") -> Graph:
    """Two convolutions of which the second is dilated, a shortcut, a gate, and a pooling over all."""
    window, wide = AxisMap.window(3, before=1), AxisMap.window(3, dilation=8, before=8)
    return Graph(
        (
            Node("image", "input", size),
            Node("first", "convolution", size, (reads("image", window, window),), "3×3"),
            Node("relu", "relu", size, (Edge("first", (Link((0,)), Link((1,)))),)),
            Node(name, "convolution", size, (reads("relu", wide, wide),), "3×3, dilation 8"),
            Node("gate", "pooling", (), (Edge(name, (Link((), None), Link((), None))),), "global"),
            Node(
                "sum",
                "add",
                size,
                (
                    Edge(name, (Link((0,)), Link((1,)))),
                    Edge("relu", (Link((0,)), Link((1,)))),
                    Edge("gate", (), gate=True),
                ),
            ),
            Node("all", "pooling", (), (Edge("sum", (Link((), None), Link((), None))),), "global"),
        )
    )
