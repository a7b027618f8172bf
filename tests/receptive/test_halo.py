"""Networks run on tiles in PyTorch, against the same networks run on the whole image: equal, not close."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

from kernelfield.errors import ArgumentError
from kernelfield.receptive import AxisMap, Builder, Edge, Graph, Link, Node, receptive_field

pytestmark = pytest.mark.torch

PADS = {"constant": "constant", "nearest": "replicate", "mirror": "reflect"}


@dataclass(frozen=True)
class Layer:
    """One layer of a network that works alike at every size; numbers are for rows and columns."""

    kind: str
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    mode: str = "constant"
    inner: tuple[Layer, ...] = ()


def whole_weights(kernel):
    """Whole numbers, so that sums are exact in any order."""
    return torch.from_numpy(np.random.default_rng(sum(kernel)).integers(1, 3, (1, 1, *kernel)).astype(np.float64))


def run(layers, x):
    """Return the output of the layers for a tensor."""
    for layer in layers:
        padding = [*(n for pair in reversed(list(zip(layer.before, layer.after))) for n in pair)]
        if layer.kind == "conv":
            x = F.conv2d(F.pad(x, padding), whole_weights(layer.kernel), stride=layer.stride, dilation=layer.dilation)
        elif layer.kind == "pool":
            x = F.max_pool2d(x, layer.kernel, layer.stride, layer.before)
        elif layer.kind == "up":
            x = F.interpolate(x, scale_factor=tuple(map(float, layer.stride)), mode="nearest")
        elif layer.kind == "transposed":
            x = F.conv_transpose2d(x, whole_weights(layer.kernel), stride=layer.stride, padding=layer.before)
        elif layer.kind == "pad":
            x = F.pad(x, padding, mode=PADS[layer.mode])
        else:
            x = x + run(layer.inner, x)
    return x


def build(layers, builder, x, prefix=""):
    """Return the output of the layers for a value of a builder."""
    for number, layer in enumerate(layers):
        name = f"{prefix}{number}"
        window = {"kernel": layer.kernel, "stride": layer.stride, "dilation": layer.dilation, "spatial_axes": (2, 3)}
        window |= {"before": layer.before, "after": layer.after}
        if layer.kind == "conv":
            x = builder.convolution(name, x, **window, channels_out=1, channel_axis=1)
        elif layer.kind == "pool":
            x = builder.pooling(name, x, kind="max", **window)
        elif layer.kind == "up":
            output = tuple(n * f for n, f in zip(x.shape[2:], layer.stride))
            method = {"method": "nearest", "coordinates": "asymmetric", "nearest_mode": "floor"}
            x = builder.resize(name, x, output=output, spatial_axes=(2, 3), scale=layer.stride, **method)
        elif layer.kind == "transposed":
            x = builder.transposed_convolution(name, x, **window, output_padding=(0, 0), channels_out=1, channel_axis=1)
        elif layer.kind == "pad":
            x = builder.pad(name, x, before=(0, 0, *layer.before), after=(0, 0, *layer.after), mode=layer.mode)
        else:
            x = builder.elementwise(name, "add", x, build(layer.inner, builder, x, f"{name}."))
    return x


def graph_of(layers, extents):
    builder = Builder()
    return builder.graph(build(layers, builder, builder.image("image", (1, 1, *extents), (2, 3))))


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def keeping(draw):
    """Return layers that together keep the size: a stride is undone by later layers."""
    if draw(st.booleans()):
        kernel, dilation = draw(pairs(1, 3)), draw(pairs(1, 2))
        reach = [d * (k - 1) for k, d in zip(kernel, dilation)]
        before = tuple(draw(st.integers(0, r)) for r in reach)
        after = tuple(r - b for r, b in zip(reach, before))
        return (Layer("conv", kernel, dilation=dilation, before=before, after=after),)
    factor = draw(pairs(1, 2))
    up = draw(st.sampled_from([Layer("up", stride=factor), Layer("transposed", factor, factor)]))
    return (Layer("pool", factor, factor), *draw(st.one_of(st.just(()), keeping())), up)


@st.composite
def layers(draw):
    kind = draw(st.sampled_from(["conv", "conv", "pool", "up", "transposed", "pad", "residual", "residual"]))
    if kind == "conv":
        settings = [draw(pairs(1, 3)), draw(pairs(1, 2)), draw(pairs(1, 2)), draw(pairs(-2, 3)), draw(pairs(-1, 2))]
        return Layer(kind, *settings)
    if kind == "pool":
        kernel = draw(pairs(1, 3))
        padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
        return Layer(kind, kernel, draw(pairs(1, 3)), before=padding, after=padding)
    if kind == "up":
        return Layer(kind, stride=draw(pairs(1, 2)))
    if kind == "transposed":
        stride = draw(pairs(1, 2))
        more = draw(pairs(0, 2))
        return Layer(kind, tuple(s + m for s, m in zip(stride, more)), stride)
    if kind == "pad":
        return Layer(kind, before=draw(pairs(0, 2)), after=draw(pairs(0, 2)), mode=draw(st.sampled_from(sorted(PADS))))
    return Layer(kind, inner=draw(keeping()))


@pytest.fixture(autouse=True)
def one_thread():
    """Threads only cost time on images this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@given(st.lists(layers(), min_size=1, max_size=4), pairs(16, 32), pairs(4, 12))
def test_tiles_give_what_the_whole_image_gives(net, extents, outputs):
    try:
        graph = graph_of(net, extents)
        expected = run(net, torch.ones(1, 1, *extents, dtype=torch.float64))
    except (ArgumentError, RuntimeError):
        # Halving an odd size and doubling it again gives another: such a network is none.
        assume(False)
    assume(min(expected.shape[2:]) > 0)
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 1, *extents)).astype(np.float64))
    expected = run(net, image)
    try:
        halo = receptive_field(graph).halo()
    except ArgumentError:
        assume(False)
    found = torch.full_like(expected, float("nan"))
    for cut, keep, put in halo.tiles(outputs):
        found[:, :, *put] = run(net, image[:, :, *cut])[:, :, *keep]
    assert torch.equal(found, expected)


U_NET = (
    Layer("conv", (3, 5), before=(1, 2), after=(1, 2)),
    Layer(
        "residual",
        inner=(
            Layer("conv", (3, 3), (2, 2), before=(1, 1), after=(0, 0)),
            Layer(
                "residual",
                inner=(
                    Layer("pool", (2, 2), (2, 2)),
                    Layer("conv", (3, 3), dilation=(2, 1), before=(2, 1), after=(2, 1)),
                    Layer("transposed", (2, 2), (2, 2)),
                ),
            ),
            Layer("up", stride=(2, 2)),
        ),
    ),
)


def test_a_u_net_on_large_tiles_needs_little_of_its_neighbours():
    extents = (96, 128)
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 1, *extents)).astype(np.float64))
    expected = run(U_NET, image)
    halo = receptive_field(graph_of(U_NET, extents)).halo()
    assert halo.alignment == (4, 4)
    assert halo.stride == (1, 1)
    found = torch.zeros_like(expected)
    taken = []
    for cut, keep, put in halo.tiles((32, 32)):
        taken.append(tuple(axis.stop - axis.start for axis in cut))
        found[:, :, *put] = run(U_NET, image[:, :, *cut])[:, :, *keep]
    assert torch.equal(found, expected)
    assert max(max(extent) for extent in taken) < 64


def test_a_small_image_does_not_make_the_halo_small():
    net = [Layer("conv", (3, 3), before=(1, 1), after=(1, 1))] * 10
    small, large = (receptive_field(graph_of(net, extents)).halo() for extents in [(8, 8), (64, 64)])
    assert small.before == small.after == large.before == large.after == (10, 10)


def test_what_a_wide_padding_mirrors_is_in_the_tile():
    net = [
        Layer("conv", (3, 3), before=(1, 1), after=(1, 1)),
        Layer("pad", before=(6, 0), after=(0, 5), mode="mirror"),
        Layer("conv", (1, 3)),
    ]
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 1, 20, 20)).astype(np.float64))
    expected = run(net, image)
    found = torch.full_like(expected, float("nan"))
    for cut, keep, put in receptive_field(graph_of(net, (20, 20))).halo().tiles((2, 1)):
        found[:, :, *put] = run(net, image[:, :, *cut])[:, :, *keep]
    assert torch.equal(found, expected)


def test_less_than_the_halo_is_not_exact():
    extents = (64, 64)
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 1, *extents)).astype(np.float64))
    net = (
        Layer("conv", (3, 5), before=(1, 2), after=(1, 2)),
        Layer("conv", (3, 3), (2, 2), before=(1, 1), after=(1, 1)),
    )
    halo = receptive_field(graph_of(net, extents)).halo()
    assert (halo.before, halo.after, halo.alignment) == ((2, 3), (1, 2), (2, 2))
    whole = run(net, image)[0, 0]
    # Rows 8 to 15 and columns 16 to 23 of the output, cut as the halo says, at even places; then two less.
    cut = run(net, image[:, :, 14:34, 28:50])[0, 0]
    assert torch.equal(cut[1:9, 2:10], whole[8:16, 16:24])
    cut = run(net, image[:, :, 16:34, 28:50])[0, 0]
    assert not torch.equal(cut[0:8, 2:10], whole[8:16, 16:24])
    cut = run(net, image[:, :, 14:34, 30:50])[0, 0]
    assert not torch.equal(cut[1:9, 1:9], whole[8:16, 16:24])


def one_axis(*maps, extent=32):
    nodes = [Node("image", "input", (extent,))]
    for number, map in enumerate(maps):
        nodes.append(Node(f"n{number}", "any", (extent,), (Edge(nodes[-1].name, (Link((0,), map),)),)))
    return Graph(tuple(nodes))


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (one_axis(None), "everywhere"),
        (one_axis(AxisMap(1, -1, ((31,),))), "backwards"),
        (one_axis(AxisMap.fixed(3)), "fixed place"),
        (one_axis(AxisMap(1, 1, ((-1, 0, 1),), "wrap")), "wraps around"),
        (one_axis(AxisMap(31, 15, tuple((i // 2,) for i in range(31))), extent=15), "repeat"),
        (
            Graph(
                (
                    Node("image", "input", (4, 4)),
                    Node("sum", "sum", (4,), (Edge("image", (Link((0,)), Link((), None))),)),
                )
            ),
            "axes",
        ),
        (
            Graph(
                (
                    Node("image", "input", (4, 4)),
                    Node("turned", "transpose", (4, 4), (Edge("image", (Link((1,)), Link((0,)))),)),
                )
            ),
            "follow",
        ),
        (
            Graph(
                (
                    *one_axis(AxisMap.window(1, 2)).nodes,
                    Node("sum", "add", (32,), (Edge("n0", (Link((0,)),)), Edge("image", (Link((0,)),)))),
                )
            ),
            "differ in stride",
        ),
    ],
)
def test_where_no_overlap_is_enough_it_says_why(graph, reason):
    with pytest.raises(ArgumentError, match=reason):
        receptive_field(graph).halo()


def test_an_earlier_layer_can_be_tiled_where_the_last_one_cannot():
    graph = one_axis(AxisMap.window(5, before=2), None)
    halo = receptive_field(graph).halo("n0")
    assert (halo.before, halo.after) == ((2,), (2,))


def test_upsampled_outputs_have_a_stride_of_a_fraction():
    halo = receptive_field(one_axis(AxisMap.window(3, before=1), AxisMap.transposed(2, 2))).halo()
    assert halo.stride == (Fraction(1, 2),)


def test_the_outputs_of_a_tile_are_checked():
    halo = receptive_field(one_axis(AxisMap.window(5, before=2))).halo()
    with pytest.raises(ArgumentError, match="outputs"):
        next(halo.tiles((0,)))
    with pytest.raises(ArgumentError, match="outputs"):
        next(halo.tiles((4, 4)))
