from __future__ import annotations

import subprocess
import sys
from itertools import combinations, pairwise

import numpy as np
import pytest
import skimage.data
from hypothesis import given
from hypothesis import strategies as st

import kernelfield as kf
from kernelfield.errors import ArgumentError, MissingDependencyError
from kernelfield.learning.plot import encode
from kernelfield.receptive import AxisMap, Edge, Graph, Link, Node
from kernelfield.receptive.energy import EffectiveField
from kernelfield.receptive.layout import layout
from kernelfield.receptive.network import condensed

PHOTOGRAPH = skimage.data.astronaut()


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


FIELDS = kf.receptive_field(network(), gates=False)


def outlines(axes) -> set[tuple[float, ...]]:
    """Return the rectangles drawn: left, top, width, height."""
    return {(*patch.get_xy(), patch.get_width(), patch.get_height()) for patch in axes.patches}


def outline(region) -> tuple[float, ...]:
    rows, columns = region
    return columns.start - 0.5, rows.start - 0.5, len(columns), len(rows)


def mask_of(name: str, unit: tuple[int, int]) -> np.ndarray:
    return FIELDS[name].mask(*unit)


@pytest.mark.parametrize("unit", [(20, 30), (0, 0), (47, 63), (0, 40)])
def test_what_is_drawn_is_what_is_seen(unit):
    figure = FIELDS.draw("second", unit, image=PHOTOGRAPH)
    boxes, exact = figure.axes
    field = FIELDS["second"]
    for clipped in (True, False):
        assert outline(field.region(*unit, clipped=clipped)) in outlines(boxes)
    below = [box for box in outlines(boxes) if box[2:] == (3, 3)]
    assert len(below) == 1
    left, top = int(below[0][0] + 0.5), int(below[0][1] + 0.5)
    assert mask_of("second", unit)[max(0, top) : top + 3, max(0, left) : left + 3].all()
    veil = exact.images[-1].get_array()
    mask = field.mask(*unit)
    np.testing.assert_array_equal(veil[..., 3] == 0, mask)
    assert f"{mask.sum()} of 3,072 elements" in exact.get_xlabel()
    assert str(unit) in figure.get_suptitle()


def test_the_photograph_fills_the_image_whatever_its_size():
    figure = FIELDS.draw("second", (20, 30), image=PHOTOGRAPH)
    for axes in figure.axes:
        assert axes.images[0].get_extent() == [-0.5, 63.5, 47.5, -0.5]


def test_what_lies_outside_is_in_view():
    boxes, _ = FIELDS.draw("second", (0, 0)).axes
    (left, right), (bottom, top) = boxes.get_xlim(), boxes.get_ylim()
    rows, columns = FIELDS["second"].region(0, 0, clipped=False)
    assert left <= columns.start - 0.5
    assert top <= rows.start - 0.5
    assert right >= 63.5
    assert bottom >= 47.5


def test_few_elements_are_enlarged():
    _, exact = FIELDS.draw("first", (5, 50)).axes
    assert exact.get_title() == "Exact set, enlarged"
    (left, right), (bottom, top) = exact.get_xlim(), exact.get_ylim()
    assert left < 49 < 51 < right < left + 20
    assert top < 4 < 6 < bottom < top + 20


def test_the_last_layer_and_its_middle_by_default():
    figure = FIELDS.draw()
    assert figure.get_suptitle().startswith("The unit of “all”")
    assert "100 % of the image" in figure.axes[1].get_xlabel()


def test_an_upper_bound_is_called_one():
    nodes = network().nodes
    bound = Node("guess", "mystery", (), (Edge("sum", (Link((), None), Link((), None))),), bound="not known")
    figure = kf.receptive_field(Graph((*nodes, bound))).draw("guess")
    assert figure.axes[1].get_title() == "At most this set"


def test_the_effective_field_beside():
    energy = np.zeros((48, 64))
    energy[18:23, 28:33] = 1 / 25
    found = EffectiveField(energy, FIELDS["second"].mask(20, 30), "second", (20, 30), 1, 0, "float64")
    figure = FIELDS.draw("second", (20, 30), image=PHOTOGRAPH, effective=found)
    heat = figure.axes[2]
    np.testing.assert_array_equal(heat.images[0].get_array(), np.sqrt(energy * 25))
    assert [circle.get_center() for circle in heat.patches[:2]] == [(30.0, 20.0)] * 2
    assert [circle.radius for circle in heat.patches[:2]] == [found.radius(0.68), found.radius(0.95)]


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_files_are_the_same_every_time(form):
    for make in (lambda: FIELDS.draw("second", (2, 3), image=PHOTOGRAPH[:64, :64]), FIELDS.draw_network):
        first, second = (encode(make(), form) for _ in range(2))
        assert first == second


@pytest.mark.parametrize("name", ["a$b", "$a^$", "_hidden", "new\nline", "\x1b[31m", "x" * 300, r"a\b$"])
def test_names_are_drawn_letter_by_letter(name):
    fields = kf.receptive_field(network(name=name))
    assert encode(fields.draw(name, (1, 1)), "svg")
    assert encode(fields.draw_network(), "svg")
    texts = [text.get_text() for text in fields.draw(name, (1, 1)).axes[0].get_legend().get_texts()]
    expected = "".join(c if c.isprintable() else "?" for c in name)[-30:]
    assert any(expected in text.replace(r"\$", "$") for text in texts)
    assert all(text.isprintable() for text in texts)


@pytest.mark.parametrize(
    "image",
    [
        PHOTOGRAPH[..., 0],
        PHOTOGRAPH[..., :1],
        PHOTOGRAPH.astype(np.uint16) * 257,
        PHOTOGRAPH / 255.0,
        np.dstack([PHOTOGRAPH, PHOTOGRAPH[..., :1]]),
    ],
)
def test_photographs(image):
    shown = FIELDS.draw("second", (2, 3), image=image).axes[0].images[0].get_array()
    expected = PHOTOGRAPH / 255.0
    np.testing.assert_allclose(shown, expected if shown.ndim == 3 else expected[..., 0], atol=1e-6)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image": np.zeros(5)}, "image: expected"),
        ({"image": np.zeros((5, 5, 2))}, "image: expected"),
        ({"image": np.zeros((0, 5))}, "image: expected"),
        ({"image": np.array([["a"]])}, "image: expected real numbers"),
        ({"unit": (99, 0)}, "unit: expected"),
        ({"layer": "none"}, "layer: expected"),
        ({"nested": -1}, "nested: expected"),
    ],
)
def test_refused(options, says):
    with pytest.raises(ArgumentError, match=says):
        FIELDS.draw(**{"layer": "second", "unit": (1, 1), **options})


def test_other_extents_are_refused():
    small = EffectiveField(np.ones((3, 3)) / 9, np.ones((3, 3), bool), "second", (1, 1), 1, 0, "float64")
    with pytest.raises(ArgumentError, match="effective: expected"):
        FIELDS.draw("second", (1, 1), effective=small)
    right = EffectiveField(np.ones((48, 64)), np.ones((48, 64), bool), "second", (1, 1), 1, 0, "float64")
    for layer, unit in (("second", (1, 2)), ("first", (1, 1))):
        with pytest.raises(ArgumentError, match="effective: expected"):
            FIELDS.draw(layer, unit, effective=right)
    line = kf.receptive_field(kf.receptive.plan(5, (9,)).graph())
    with pytest.raises(ArgumentError, match="two axes"):
        line.draw()
    assert encode(line.draw_network(), "png")


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


@given(st.integers(2, 25), st.data())
def test_layouts(count, data):
    names = [str(i) for i in range(count)]
    pairs = data.draw(st.lists(st.sampled_from(list(combinations(names, 2))), max_size=2 * count, unique=True))
    pairs = [(a, b) for a, b in pairs if int(a) < int(b)]
    found = layout(names, pairs)
    assert set(found.places) == set(names)
    taken: dict[int, list[tuple[float, float]]] = {}
    for rank, across in found.places.values():
        taken.setdefault(rank, []).append((across, 0.5))
    for pair in pairs:
        route = found.routes[pair]
        assert route[0] == found.places[pair[0]]
        assert route[-1] == found.places[pair[1]]
        assert [b[0] - a[0] for a, b in pairwise(route)] == [1] * (len(route) - 1)
        assert len(route) > 1
        for rank, across in route[1:-1]:
            taken[rank].append((across, 0.175))
    for row in taken.values():
        row.sort()
        for (left, half), (right, other) in pairwise(row):
            assert right - left >= half + other - 1e-9


def test_matplotlib_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for make in (FIELDS.draw, FIELDS.draw_network):
        with pytest.raises(MissingDependencyError, match=r"pip install 'kernelfield\[plot\]'"):
            make()


def test_no_window_and_no_state_of_the_caller():
    code = (
        "import sys, kernelfield as kf\n"
        "import kernelfield.receptive.draw, kernelfield.receptive.network\n"
        "fields = kf.receptive_field(kf.receptive.plan(9, 16).graph())\n"
        "assert 'matplotlib' not in sys.modules\n"
        "fields.draw(); fields.draw_network()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert not {'torch', 'tensorflow', 'jax', 'keras', 'onnx'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
