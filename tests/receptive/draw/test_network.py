"""The figure of a network."""

from __future__ import annotations

from receptive.draw.networks import network, reads

import kernelfield as kf
from kernelfield.receptive import AxisMap, Graph, Node
from kernelfield.receptive.draw.network import condensed


def test_the_network():
    nodes, edges = condensed(network())
    assert [node.name for node in nodes] == ["image", "first", "second", "gate", "sum", "all"]
    assert edges == {
        ("image", "first"): False,
        ("first", "second"): False,
        ("second", "gate"): False,
        ("second", "sum"): False,
        ("first", "sum"): False,
        ("gate", "sum"): True,
        ("sum", "all"): False,
    }
    figure = kf.receptive_field(network()).draw_network()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts[::2] == [node.name for node in nodes]
    assert texts[3] == "3×3 · sees 3×3"
    assert texts[-1] == "global · sees all"


def test_long_networks_go_on_in_the_next_column():
    window = AxisMap.window(3, before=1)
    nodes = [Node("image", "input", (9, 9))]
    for i in range(60):
        nodes.append(Node(f"layer{i}", "convolution", (9, 9), (reads(nodes[-1].name, window, window),)))
    figure = kf.receptive_field(Graph(tuple(nodes))).draw_network()
    across = {round(text.get_position()[0], 3) for text in figure.axes[0].texts}
    assert len(across) == 3
    for i in range(200):
        nodes.append(Node(f"more{i}", "convolution", (9, 9), (reads(nodes[-1].name, window, window),)))
    assert not kf.receptive_field(Graph(tuple(nodes))).draw_network().axes[0].texts
