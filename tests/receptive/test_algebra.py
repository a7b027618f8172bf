"""Closed forms and exact sets against sets from the definition, element by element."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kernelfield.errors import ArgumentError
from kernelfield.receptive.algebra import spans
from kernelfield.receptive.graph import IDENTITY, AxisMap, Edge, Graph, Link, Node
from kernelfield.receptive.relations import elements_read, reached, relation, seen


def outside_of(index, extent, rule):
    """Return the element that an index outside an axis stands for, step by step; None for the constant."""
    if rule == "constant":
        return index if 0 <= index < extent else None
    if rule == "nearest":
        return min(max(index, 0), extent - 1)
    if rule == "wrap":
        return index % extent
    step = 1 if rule == "reflect" else 0
    while not 0 <= index < extent:
        if extent == 1:
            return 0
        index = -index - step if index < 0 else 2 * (extent - 1) + step - index
    return index


def read_by(edge, node, source, unit, virtual):
    """Yield the positions of a source that a unit reads along an edge: all of them, or those inside the source."""
    along = []
    for link, extent in zip(edge.links, source.shape):
        if link.map is None:
            along.append(range(extent))
            continue
        index = 0
        for axis in link.axes:
            index = index * node.shape[axis] + unit[axis]
        taps = [index // link.map.period * link.map.step + tap for tap in link.map.taps[index % link.map.period]]
        if not virtual:
            taps = [outside_of(tap, extent, link.map.outside) for tap in taps]
        along.append([tap for tap in taps if tap is not None])
    return product(*along)


def field_of(graph, name, virtual):
    """Return a function from a unit to the set of image elements that it sees."""

    @cache
    def sees(name, unit):
        node = graph.by_name[name]
        if node is graph.image:
            return frozenset([unit])
        return frozenset().union(
            *(
                sees(edge.source, place)
                for edge in node.edges
                for place in read_by(edge, node, graph.by_name[edge.source], unit, virtual)
            )
        )

    return lambda unit: sees(name, unit)


windows = st.builds(
    AxisMap.window, st.integers(1, 3), st.integers(1, 3), dilation=st.integers(1, 3), before=st.integers(-2, 3)
)
transposed = st.builds(
    AxisMap.transposed, st.integers(1, 4), st.integers(1, 3), dilation=st.integers(1, 2), before=st.integers(-1, 2)
)


@st.composite
def odd_maps(draw):
    period = draw(st.integers(1, 3))
    taps = st.lists(st.integers(-3, 4), max_size=3, unique=True).map(lambda t: tuple(sorted(t)))
    return AxisMap(period, draw(st.integers(-2, 3)), tuple(draw(taps) for _ in range(period)))


maps = st.one_of(windows, windows, transposed, odd_maps(), st.just(IDENTITY))


@st.composite
def graphs(draw, merging):
    """Return a graph of a few nodes; with `merging` its links may combine axes or share them."""
    rank = draw(st.integers(1, 2))
    extent = st.integers(1, 7)
    nodes = [Node("image", "input", tuple(draw(extent) for _ in range(rank)))]
    for number in range(draw(st.integers(1, 5))):
        ndim = draw(st.integers(0, 3)) if merging else rank
        shape = tuple(draw(extent) for _ in range(ndim))
        edges = []
        for source in draw(st.lists(st.sampled_from(nodes[-3:]), min_size=1, max_size=3, unique_by=id)):
            free = draw(st.permutations(range(ndim)))
            links = []
            for axis in range(len(source.shape)):
                if draw(st.integers(0, 9)) == 0:
                    links.append(Link((), None))
                    continue
                if merging:
                    chosen = tuple(draw(st.lists(st.integers(0, ndim - 1), max_size=2, unique=True))) if ndim else ()
                else:
                    chosen = (free[axis],)
                map = draw(maps)
                if draw(st.integers(0, 4)) == 0:
                    outside = draw(st.sampled_from(["nearest", "reflect", "mirror", "wrap"]))
                    map = AxisMap(map.period, map.step, map.taps, outside)
                links.append(Link(chosen, map))
            edges.append(Edge(source.name, tuple(links)))
        nodes.append(Node(f"n{number}", "any", shape, tuple(edges)))
    return Graph(tuple(nodes))


def as_mask(places, shape):
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def units_of(node):
    return list(product(*map(range, node.shape)))


@given(graphs(merging=True))
def test_the_exact_set_of_every_unit_is_that_of_walking_back(graph):
    node = graph.nodes[-1]
    sees = field_of(graph, node.name, virtual=False)
    for unit in units_of(node)[:: max(1, prod(node.shape) // 12)]:
        expected = as_mask(sees(unit), graph.image.shape)
        assert np.array_equal(seen(graph, node.name, as_mask([unit], node.shape)), expected)


@given(graphs(merging=True), st.data())
def test_the_units_that_an_element_reaches_are_those_that_see_it(graph, data):
    node = graph.nodes[-1]
    sees = field_of(graph, node.name, virtual=False)
    elements = data.draw(st.lists(st.sampled_from(units_of(graph.image)), min_size=1, max_size=3, unique=True))
    expected = as_mask([unit for unit in units_of(node) if sees(unit) & set(elements)], node.shape)
    assert np.array_equal(reached(graph, as_mask(elements, graph.image.shape), node.name), expected)


@given(graphs(merging=True), st.data())
def test_sets_of_units_see_the_union_of_what_each_sees(graph, data):
    node = graph.nodes[-1]
    units = data.draw(st.lists(st.sampled_from(units_of(node)), max_size=4, unique=True))
    sees = [seen(graph, node.name, as_mask([unit], node.shape)) for unit in units]
    together = np.logical_or.reduce([np.zeros(graph.image.shape, bool), *sees])
    assert np.array_equal(seen(graph, node.name, as_mask(units, node.shape)), together)


def ends(places):
    return [(min(along), max(along)) for along in zip(*places)] if places else None


@given(graphs(merging=False))
def test_intervals_give_the_ends_of_what_is_seen_as_if_no_border_cut_it(graph):
    # A list with an index for each unit has no form that holds for all units.
    maps = [link.map for node in graph for edge in node.edges for link in edge.links if link.map is not None]
    assume(not any(map.step == 0 and map.period > 1 for map in maps))
    for node in graph:
        found = spans(graph)[node.name]
        assert all(span.intervals is not None for span in found)
        sees = field_of(graph, node.name, virtual=True)
        widest = [0] * len(found)
        for unit in units_of(node):
            places = sees(unit)
            expected = ends(places)
            assert [span.at(unit) for span in found] == ([None] * len(found) if expected is None else expected)
            widest = [max(w, high - low + 1) for w, (low, high) in zip(widest, expected or [(0, -1)] * len(found))]
        if max(node.shape) >= 7:
            continue
        # Every phase occurs in a grid that is long enough; in a short one, those that do.
        assert [span.sizes(node.shape)[1] for span in found] == widest


@given(graphs(merging=True))
def test_where_nothing_outside_is_read_intervals_give_the_ends_of_the_exact_set(graph):
    for node in graph:
        inside = field_of(graph, node.name, virtual=False)
        for span_axis, span in enumerate(spans(graph)[node.name]):
            if span.intervals is None:
                continue
            for unit in units_of(node):
                if stays_inside(graph, node.name, unit):
                    expected = ends(inside(unit))
                    assert span.at(unit) == (None if expected is None else expected[span_axis])


def stays_inside(graph, name, unit):
    """Return whether no unit on any path to a unit reads outside a grid."""
    node = graph.by_name[name]
    for edge in node.edges:
        source = graph.by_name[edge.source]
        for place in read_by(edge, node, source, unit, virtual=True):
            if not all(0 <= i < n for i, n in zip(place, source.shape)):
                return False
            if not stays_inside(graph, edge.source, place):
                return False
    return True


def chain(*maps, extent=64):
    nodes = [Node("image", "input", (extent,))]
    for number, map in enumerate(maps):
        nodes.append(Node(f"n{number}", "any", (extent,), (Edge(nodes[-1].name, (Link((0,), map),)),)))
    return Graph(tuple(nodes))


@given(st.lists(windows, min_size=1, max_size=6))
def test_a_single_path_has_the_published_closed_form(maps):
    """Araujo, Norris and Sim (2019), equations 2 to 4: r0 = Σ (k_l − 1) Π_{i<l} s_i + 1, and so on."""
    graph = chain(*maps)
    (span,) = spans(graph)[graph.nodes[-1].name]
    size, stride, padding = 1, 1, 0
    for map in maps:
        (taps,) = map.taps
        size += (taps[-1] - taps[0]) * stride
        padding += -taps[0] * stride
        stride *= map.step
    assert (span.sizes((64,))[1], span.stride(), span.at((0,))) == (size, stride, (-padding, size - padding - 1))
    assert span.aligned


def test_upsampling_makes_the_width_depend_on_the_phase():
    bilinear = AxisMap(2, 1, ((-1, 0), (0, 1)), "nearest")
    graph = chain(AxisMap.window(3, before=1), bilinear, AxisMap.window(2))
    (span,) = spans(graph)["n2"]
    assert [span.at((i,)) for i in range(4)] == [(-2, 2), (-1, 2), (-1, 3), (0, 3)]
    assert span.sizes((64,))[1] == 5
    assert span.stride() == Fraction(1, 2)


def branches(one, other, extent=32):
    links = [Edge("image", (Link((0,), map),)) for map in (one, other)]
    return Graph((Node("image", "input", (extent,)), Node("sum", "add", (extent,), tuple(links))))


@pytest.mark.parametrize(
    ("one", "other", "aligned", "stride"),
    [
        (AxisMap.window(3, 2, before=1), AxisMap.window(1, 2), True, 2),
        (AxisMap.window(3, 2, before=1), AxisMap.window(7, 2, before=3), True, 2),
        (AxisMap.window(3, 2, before=1), AxisMap.window(1, 2, before=1), False, 2),
        (AxisMap.window(3, 2, before=1), AxisMap.window(2, 2), False, 2),
        (AxisMap.window(3, 2, before=1), AxisMap.window(3, 1, before=1), False, None),
    ],
)
def test_paths_are_aligned_where_stride_and_middle_agree(one, other, aligned, stride):
    (span,) = spans(branches(one, other))["sum"]
    assert span.aligned is aligned
    assert span.stride() == stride
    expected = [one.taps[0][0] + 5 * one.step, other.taps[0][0] + 5 * other.step]
    assert span.at((5,))[0] == min(expected)


def test_misalignment_is_inherited_and_ends_where_everything_is_read():
    graph = branches(AxisMap.window(3, 2, before=1), AxisMap.window(2, 2))
    after = Node("after", "any", (32,), (Edge("sum", (Link((0,), AxisMap.window(3)),)),))
    pooled = Node("pooled", "any", (), (Edge("after", (Link((), None),)),))
    found = spans(Graph((*graph.nodes, after, pooled)))
    assert not found["after"][0].aligned
    assert found["pooled"][0].aligned
    assert found["pooled"][0].whole


def test_upsampling_by_halves_is_aligned_with_what_was_pooled():
    pool, up = AxisMap.window(2, 2), AxisMap.transposed(2, 2)
    nodes = (
        Node("image", "input", (8,)),
        Node("pool", "pooling", (4,), (Edge("image", (Link((0,), pool),)),)),
        Node("both", "add", (8,), (Edge("pool", (Link((0,), up),)), Edge("image", (Link((0,), IDENTITY),)))),
    )
    (span,) = spans(Graph(nodes))["both"]
    assert span.aligned
    assert [span.at((i,)) for i in range(3)] == [(0, 1), (0, 1), (2, 3)]
    shifted = Graph(
        (
            *nodes[:2],
            Node("both", "add", (8,), (Edge("pool", (Link((0,), AxisMap.transposed(3, 2)),)), nodes[2].edges[1])),
        )
    )
    assert not spans(shifted)["both"][0].aligned


def test_tokens_and_back_are_the_rows_and_columns_they_were():
    rows = AxisMap(5, 1, ((0,),) * 5)
    columns = AxisMap(5, 0, tuple((i,) for i in range(5)))
    window = AxisMap.window(3, before=1)
    graph = Graph(
        (
            Node("image", "input", (12, 20)),
            Node(
                "patch",
                "convolution",
                (3, 5),
                (Edge("image", (Link((0,), AxisMap.window(4, 4)), Link((1,), AxisMap.window(4, 4)))),),
            ),
            Node("tokens", "reshape", (15,), (Edge("patch", (Link((0,), rows), Link((0,), columns))),)),
            Node("back", "reshape", (3, 5), (Edge("tokens", (Link((0, 1), IDENTITY),)),)),
            Node("mixed", "convolution", (3, 5), (Edge("back", (Link((0,), window), Link((1,), window))),)),
            Node(
                "sum", "add", (3, 5), (Edge("mixed", (Link((0,)), Link((1,)))), Edge("patch", (Link((0,)), Link((1,)))))
            ),
        )
    )
    found = spans(graph)
    assert [span.at((7,)) for span in found["tokens"]] == [(4, 7), (8, 11)]
    assert [span.at((0, 0)) for span in found["sum"]] == [(-4, 7), (-4, 7)]
    assert [span.stride() for span in found["sum"]] == [4, 4]
    assert all(span.aligned for span in found["sum"])


def test_paths_of_one_stride_and_other_periods_unite():
    nodes = [Node("image", "input", (12,))]
    for factor in (2, 3):
        pool, up = AxisMap.window(factor, factor), AxisMap.transposed(factor, factor)
        nodes.append(Node(f"pool{factor}", "pooling", (12 // factor,), (Edge("image", (Link((0,), pool),)),)))
        nodes.append(Node(f"up{factor}", "resize", (12,), (Edge(f"pool{factor}", (Link((0,), up),)),)))
    nodes.append(Node("sum", "add", (12,), tuple(Edge(f"up{factor}", (Link((0,)),)) for factor in (2, 3))))
    (span,) = spans(Graph(tuple(nodes)))["sum"]
    assert [span.at((i,)) for i in range(7)] == [(0, 2), (0, 2), (0, 3), (2, 5), (3, 5), (3, 5), (6, 8)]
    assert span.stride() == 1
    assert span.sizes((12,))[1] == 4


def test_windows_of_attention_move_by_windows():
    window, part = AxisMap(4, 1, ((0,),) * 4), AxisMap(4, 0, ((0,), (1,), (2,), (3,)))
    graph = Graph(
        (
            Node("image", "input", (16,)),
            Node("windows", "reshape", (4, 4), (Edge("image", (Link((0, 1), IDENTITY),)),)),
            Node("attention", "attention", (4, 4), (Edge("windows", (Link((0,), IDENTITY), Link((), None))),)),
            Node("back", "reshape", (16,), (Edge("attention", (Link((0,), window), Link((0,), part))),)),
        )
    )
    (span,) = spans(graph)["back"]
    assert [span.at((i,)) for i in (0, 3, 4, 15)] == [(0, 3), (0, 3), (4, 7), (12, 15)]
    assert not span.whole
    assert span.aligned


def test_a_table_that_would_be_too_long_is_not_kept():
    graph = chain(*(AxisMap(p, p - 1, tuple((i,) for i in range(p))) for p in (251, 257, 263)), extent=8)
    (span,) = spans(graph)["n2"]
    assert span.intervals is None
    assert span.stride() is None


def test_maps_of_one_axis():
    assert AxisMap.transposed(3, 2, before=1).taps == ((0,), (0, 1))
    assert AxisMap.fixed(3, 1).taps == ((1, 3),)
    assert elements_read(AxisMap.window(3, before=2), 2, 4).tolist() == [[-1, -1, 0], [-1, 0, 1]]
    assert elements_read(AxisMap(1, 1, ((-1, 0),), "wrap"), 2, 4).tolist() == [[3, 0], [0, 1]]
    assert elements_read(AxisMap(1, 1, ((),)), 2, 4).size == 0
    assert relation(AxisMap.transposed(1, 2), 4, 2).toarray().tolist() == [[1, 0], [0, 0], [0, 1], [0, 0]]


def test_graphs_that_do_not_hold_together_are_refused():
    image = Node("image", "input", (4, 4))
    with pytest.raises(ArgumentError, match="phases"):
        AxisMap(2, 1, ((0,),))
    with pytest.raises(ArgumentError, match="links"):
        Graph((image, Node("a", "any", (4,), (Edge("image", (Link((0,)),)),))))
    with pytest.raises(ArgumentError, match="axes"):
        Graph((image, Node("a", "any", (4,), (Edge("image", (Link((0,)), Link((1,)))),))))
    with pytest.raises(ArgumentError, match="after its sources"):
        Graph((image, Node("a", "any", (4,), (Edge("b", (Link((0,)),)),))))
    with pytest.raises(ArgumentError, match="twice"):
        Graph((image, image))
    with pytest.raises(ArgumentError, match="aliases"):
        Graph((image,), {"module": "missing"})
    with pytest.raises(ArgumentError, match="first node"):
        Graph((Node("a", "any", ()),))
