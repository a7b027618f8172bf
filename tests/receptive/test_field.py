"""The public functions: published figures, units, tables, records, and both directions through a network."""

from __future__ import annotations

import csv
import io
import json
from fractions import Fraction

import numpy as np
import pytest
from receptive import published

from kernelfield.errors import ArgumentError
from kernelfield.receptive import AxisMap, Builder, Edge, Graph, Link, Node, ReceptiveField, receptive_field


def windows(size, **settings):
    return (Link((0,), AxisMap.window(size, **settings)), Link((1,), AxisMap.window(size, **settings)))


def two_layers(extent):
    return Graph(
        (
            Node("image", "input", (extent, extent)),
            Node("first", "convolution", (extent - 1, extent - 1), (Edge("image", windows(2)),), "2×2"),
            Node("second", "convolution", (extent - 2, extent - 2), (Edge("first", windows(2)),), "2×2"),
        )
    )


def test_two_layers_of_2_by_2_see_nine_elements():
    field = receptive_field(two_layers(3))
    assert field.output.size == (3, 3)
    assert field.output.mask(0, 0).sum() == 9
    assert field["first"].mask(0, 1).astype(int).tolist() == [[0, 1, 1], [0, 1, 1], [0, 0, 0]]
    assert not field.output.larger


def test_a_field_larger_than_the_input_is_said():
    net = published.Slim(2)
    x = net.conv("first", net.image, 2, 1, 1)
    graph = net.builder.graph(net.conv("second", x, 2, 1, 0))
    field = receptive_field(graph)
    assert field.output.size == (3, 3)
    assert field.output.larger
    assert not field["first"].larger
    assert "Fields larger than the input of 2×2: second. Elements outside it are padding." in str(field)
    assert field.output.region(0, 0, clipped=False) == (range(-1, 2), range(-1, 2))
    assert field.output.region(0, 0) == (range(2), range(2))
    assert field.record()["layers"][1]["larger"] is True


# Araujo, Norris and Sim (2019), Distill 4(11), e21, and the tables of github.com/google-research/receptive_field.
PUBLISHED = [
    (published.alexnet_v2, "pool5", 195, 32, 64),
    (published.alexnet_v2, "conv4", 131, 16, 48),
    (lambda: published.vgg((1, 1, 2, 2, 2)), "pool5", 150, 32, 59),
    (lambda: published.vgg((2, 2, 3, 3, 3)), "pool5", 212, 32, 90),
    (lambda: published.vgg((2, 2, 3, 3, 3)), "conv4_2", 76, 8, 34),
    (lambda: published.resnet_v1((3, 4, 6, 3)), "block4", 483, 32, 239),
    (lambda: published.resnet_v1((3, 4, 6, 3), "first"), "block4", 483, 32, 239),
    (lambda: published.resnet_v1((3, 4, 6, 3), "middle"), "block4", 427, 32, 213),
    (lambda: published.resnet_v1((3, 4, 23, 3)), "block4", 1027, 32, 511),
    (lambda: published.resnet_v1((3, 8, 36, 3)), "block4", 1507, 32, 751),
    (lambda: published.resnet_v1((3, 24, 36, 3)), "block4", 1763, 32, 879),
    (published.mobilenet_v1, "Conv2d_13_pointwise", 315, 32, 126),
    (published.inception_v3, "Mixed_7c", 1311, 32, 618),
]


@pytest.mark.parametrize(("build", "layer", "size", "stride", "padding"), PUBLISHED)
def test_published_figures(build, layer, size, stride, padding):
    found = receptive_field(build())[layer]
    assert (found.size, found.stride, found.padding) == ((size,) * 2, (stride,) * 2, (padding,) * 2)
    assert found.aligned


def test_a_box_of_1311_is_not_what_inception_v3_sees():
    found = receptive_field(published.inception_v3(1599)).output
    unit = found.middle
    rows, columns = found.region(*unit)
    assert (rows, columns) == found.region(*unit, clipped=False)
    assert len(rows) == len(columns) == 1311
    box = found.mask(*unit)[rows.start : rows.stop, columns.start : columns.stop]
    # The last 1×3 and 3×1 stand side by side: no path moves outwards by both, and the corners stay unseen.
    corner = np.zeros((1311, 1311), bool)
    corner[:32, :32] = True
    corners = np.logical_or.reduce([corner, corner[::-1], corner[:, ::-1], corner[::-1, ::-1]])
    assert not box[corners].any()
    assert box[:, 655].all()
    assert box[655].all()


def gated():
    """A convolution, its channels scaled by a global pooling, and one more convolution."""
    net = published.Slim(16)
    x = net.conv("conv", net.image, 3)
    squeezed = net.builder.adaptive_pooling("squeeze", x, kind="average", output=(1, 1), spatial_axes=(2, 3))
    x = net.builder.elementwise("scale", "multiply", x, squeezed)
    return net.builder.graph(net.conv("last", x, 3))


def test_gates_are_told_with_and_without():
    field = receptive_field(gated())
    assert field["last"].whole == (True, True)
    assert field["last"].size == (16, 16)
    assert field["last"].stride == (1, 1)
    assert field["last"].padding == (None, None)
    assert field["last"].mask(8, 8).all()
    plain = field.without_gates()
    assert plain["last"].size == (5, 5)
    assert plain["last"].mask(8, 8).sum() == 25
    assert receptive_field(gated(), gates=False)["last"].size == (5, 5)
    lines = str(field).splitlines()
    assert "field  without gates" in lines[1]
    row = next(line for line in lines if line.startswith("last"))
    assert row.split() == ["last", "convolution", "3×3", "16×16", "all", "5×5", "1", "2", "yes", "9.77", "%"]
    assert "input of 16×16, without gates" in str(plain)
    assert "Everything is read" in str(field)
    record = field.record()["layers"][-1]
    assert record["whole"] == [True, True]
    assert record["without_gates"]["size"] == [5, 5]


def test_records_are_plain_values():
    record = receptive_field(published.alexnet_v2()).record()
    assert json.loads(json.dumps(record)) == record
    assert record["input"] == [224, 224]
    assert [layer["name"] for layer in record["layers"]][-1] == "pool5"
    assert record["layers"][-1]["size"] == [195, 195]
    assert record["layers"][-1]["stride"] == [32, 32]
    assert record["layers"][-1]["padding"] == [64, 64]
    assert record["layers"][-1]["share"] == pytest.approx((195 / 224) ** 2, abs=0.2)


def test_upsampling_has_a_stride_of_a_fraction():
    net = published.Slim(8)
    up = net.builder.resize(
        "up",
        net.image,
        output=(24, 16),
        spatial_axes=(2, 3),
        method="nearest",
        coordinates="asymmetric",
        nearest_mode="floor",
    )
    field = receptive_field(net.builder.graph(net.conv("conv", up, 3)))
    assert field.output.stride == (Fraction(1, 3), Fraction(1, 2))
    assert field.output.size == (2, 2)
    assert "1/3×1/2" in str(field)
    assert field.record()["layers"][-1]["stride"] == [pytest.approx(1 / 3), 0.5]


def test_misaligned_branches_are_told():
    net = published.Slim(16)
    graph = net.builder.graph(net.add("sum", net.conv("odd", net.image, 3, 2, 1), net.conv("even", net.image, 2, 2, 0)))
    field = receptive_field(graph)
    assert not field["sum"].aligned
    assert field["odd"].aligned
    assert "Not aligned, as paths differ in stride or in the middle of their fields: sum." in str(field)


def test_units_that_see_nothing_have_empty_regions():
    links = (Link((0,), AxisMap.transposed(1, 2)), Link((1,), AxisMap.transposed(2, 2)))
    graph = Graph((Node("image", "input", (4, 4)), Node("up", "any", (8, 8), (Edge("image", links),))))
    found = receptive_field(graph).output
    assert found.region(1, 2) == (range(0), range(0))
    assert found.region(1, 2, clipped=False) == (range(0), range(0))
    assert found.region(2, 2) == (range(1, 2), range(1, 2))
    assert found.mask(1, 2).sum() == 0


@pytest.mark.parametrize("extents", [(9,), (9, 7), (5, 6, 7)])
def test_images_of_one_two_and_three_axes(extents):
    rank = len(extents)
    builder = Builder()
    axes = tuple(range(2, 2 + rank))
    x = builder.image("image", (1, 1, *extents), axes)
    kernel, stride = (3, 2, 1)[:rank], (1, 2, 3)[:rank]
    x = builder.convolution(
        "conv",
        x,
        kernel=kernel,
        stride=stride,
        dilation=(1,) * rank,
        before=(0,) * rank,
        after=(0,) * rank,
        channels_out=1,
        channel_axis=1,
        spatial_axes=axes,
    )
    field = receptive_field(builder.graph(x))
    assert field.output.size == kernel
    assert field.output.stride == stride
    unit = tuple(n - 1 for n in field.output.shape)
    expected = np.zeros(extents, bool)
    expected[tuple(slice(i * s, i * s + k) for i, s, k in zip(unit, stride, kernel))] = True
    assert np.array_equal(field.output.mask(*unit), expected)
    element = tuple(int(places[0]) for places in np.nonzero(expected))
    assert field.projective(*element)[unit]


def test_tokens_have_no_stride_and_attention_reads_everything():
    builder = Builder()
    x = builder.image("image", (1, 3, 12, 16), (2, 3))
    settings = {"stride": (4, 4), "dilation": (1, 1), "before": (0, 0), "after": (0, 0)}
    x = builder.convolution(
        "patches", x, kernel=(4, 4), **settings, channels_out=8, channel_axis=1, spatial_axes=(2, 3)
    )
    tokens = builder.transpose("tokens", builder.reshape("flat", x, shape=(1, 8, 12)), permutation=(0, 2, 1))
    mixed = builder.attention("attention", tokens, tokens, tokens)
    field = receptive_field(builder.graph(mixed))
    assert field["tokens"].shape == (12,)
    assert field["tokens"].stride == (None, None)
    assert field["tokens"].size == (4, 4)
    assert field["tokens"].region(5) == (range(4, 8), range(4, 8))
    assert field["attention"].whole == (True, True)
    assert field["attention"].mask(0).all()


def test_upper_bounds_are_said_of_all_that_builds_on_them():
    links = (Link((), None), Link((), None))
    image = Node("image", "input", (4, 4))
    odd = Node("odd", "strange", (4, 4), (Edge("image", links),), bound="strange is not known")
    after = Node("after", "any", (3, 3), (Edge("odd", windows(2)),))
    field = receptive_field(Graph((image, odd, after)))
    assert field["after"].bound == "strange is not known"
    assert "≤ all" in str(field)
    assert "At most (≤), strange is not known: odd and 1 more." in str(field)
    assert field.record()["layers"][1]["bound"] == "strange is not known"


def test_without_a_closed_form_every_unit_is_kept_and_the_cause_is_said():
    maps = [AxisMap(p, p - 1, tuple((i, i + 1) for i in range(p))) for p in (251, 257, 263)]
    nodes = [Node("image", "input", (8,))]
    for number, map in enumerate(maps):
        nodes.append(Node(f"n{number}", "resize", (8,), (Edge(nodes[-1].name, (Link((0,), map),)),)))
    field = receptive_field(Graph(tuple(nodes)))
    assert field["n1"].closed
    assert not field["n2"].closed
    assert field["n2"].size == (4,)
    assert field["n2"].stride == (None,)
    assert field["n2"].region(4, clipped=False) == field["n2"].region(4) == (range(4, 8),)
    assert field["n2"].share == 0.5
    assert "No form for all units: n2; the pattern repeats only after many units (n2)." in str(field)


def test_layers_go_by_their_names_and_aliases():
    graph = two_layers(5)
    field = ReceptiveField(Graph(graph.nodes, {"block": "second"}))
    assert field["block"].name == "second"
    assert "block" in field
    assert "third" not in field
    assert len(field) == 2
    assert [layer.name for layer in field] == list(field.layers) == ["first", "second"]
    assert str(field["first"]) == "first: convolution, map 4×4, field 2×2"
    assert repr(field) == "<ReceptiveField: 2 layers, input of 5×5>"
    with pytest.raises(ArgumentError, match=r"layer: expected one of the 4 names \(second.*received 'secnd'"):
        field["secnd"]


def test_pointwise_layers_can_be_left_out():
    net = published.Slim(8)
    x = net.builder.elementwise("relu", "relu", net.conv("conv", net.image, 3))
    field = receptive_field(net.builder.graph(x))
    assert "relu" in field.table()
    short = field.table(pointwise=False)
    assert "\nrelu" not in short
    assert "and 1 element-wise layer" in short


@pytest.mark.parametrize("unit", [(0,), (0, 0, 0), (3, 0), (-1, 0), (0.5, 0)])
def test_units_that_there_are_not_are_refused(unit):
    found = receptive_field(two_layers(5)).output
    for method in (found.mask, found.region):
        with pytest.raises(ArgumentError, match="unit: expected"):
            method(*unit)
    with pytest.raises(ArgumentError, match="element: expected"):
        receptive_field(two_layers(3)).projective(*unit)


def test_a_graph_is_of_one_size():
    graph = two_layers(5)
    assert receptive_field(graph, (5, 5)).shape == (5, 5)
    assert receptive_field(graph, (1, 3, 5, 5)).shape == (5, 5)
    with pytest.raises(ArgumentError, match="input_size: expected"):
        receptive_field(graph, (6, 6))
    with pytest.raises(ArgumentError, match="options"):
        receptive_field(graph, dynamic=True)


def test_both_ways_agree_on_every_pair():
    field = receptive_field(published.alexnet_v2())
    seen = np.stack([field["conv3"].mask(i, j) for i, j in np.ndindex(field["conv3"].shape)])
    for element in [(0, 0), (100, 37), (223, 223)]:
        reached = field.projective(*element, layer="conv3")
        assert np.array_equal(reached.ravel(), seen[:, element[0], element[1]])


def test_tables_are_records_csv_json_and_frames():
    field = receptive_field(gated())
    records = field.table(layout="records")
    assert [row["name"] for row in records] == list(field.layers)
    assert records == field.record()["layers"] == json.loads(field.table(layout="json"))
    assert records[0]["jump"] == records[0]["stride"]
    rows = list(csv.DictReader(io.StringIO(field.table(layout="csv"))))
    assert [row["name"] for row in rows] == list(field.layers)
    assert rows[-1]["size_without_gates_columns"] == "5"
    pandas = pytest.importorskip("pandas")
    frame = field.table(pointwise=False, layout="pandas")
    assert isinstance(frame, pandas.DataFrame)
    assert frame.loc["last", "size_rows"] == 16
    assert frame.loc["conv", "share"] == records[0]["share"]
    for wrong in ({"by": "layer"}, {"layout": "xml"}):
        with pytest.raises(ArgumentError, match=r"expected .*'operation'|expected .*'text'"):
            field.table(**wrong)


def test_start_is_the_middle_of_the_first_field():
    """Dang Ha The Hien's example: two convolutions of 3×3 with padding 1 and stride 2 on 5×5."""
    net = published.Slim(5)
    x = net.conv("first", net.image, 3, 2, 1)
    field = receptive_field(net.builder.graph(net.conv("second", x, 3, 2, 1)))
    assert [(f.shape[0], f.jump[0], f.size[0], f.start[0]) for f in field] == [(3, 2, 3, 0.5), (2, 4, 7, 0.5)]


def test_rows_by_module():
    net = published.Slim(16)
    x = net.conv("stem", net.image, 3)
    for name in ("block.conv", "block.inner.conv"):
        x = net.conv(name, x, 3)
    field = receptive_field(net.builder.graph(net.builder.elementwise("block.relu", "relu", x)))
    assert list(field.modules()) == ["stem", "block.inner", "block"]
    assert field.modules()["block"].name == "block.relu"
    lines = field.table(by="module").splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["stem", "block.inner", "block"]


def test_unused_elements_and_strides_larger_than_the_field_are_warned_of():
    net = published.Slim(8)
    x = net.conv("skips", net.image, 1, 2, 0)
    field = receptive_field(net.builder.graph(net.conv("last", x, 3)))
    assert field.unread == 0.75
    assert field["skips"].sparse
    assert not field["last"].sparse
    assert "Nothing reads 75 % of the input" in str(field)
    assert "Strides larger than the field: skips." in str(field)
    full = receptive_field(two_layers(5))
    assert full.unread == 0
    assert "Nothing" not in str(full)


def test_the_range_of_useful_inputs():
    field = receptive_field(published.vgg((2, 2, 3, 3, 3)))
    # pool5 reads conv5_3, which sees 196 elements, and sees 212 itself.
    assert field.input_range == ((197, 197), (212, 212))
    assert "something new from an input of 197×197 on; the last feature map uses 212×212 at most." in str(field)
    assert receptive_field(gated()).input_range == ((4, 4), (5, 5))
    assert field.record()["smallest_input"] == [197, 197]


def test_notebooks_show_a_picture_and_the_numbers():
    text = receptive_field(gated())._repr_html_()
    assert text.startswith("<img ")
    assert "data:image/png;base64," in text
    assert "5×5" in text
    assert len(text) < 200_000
