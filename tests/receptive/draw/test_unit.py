"""The figure of a unit's field: outlines, masks, photographs, and what is refused."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import skimage.data
from receptive.draw.networks import network

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.figures import encode
from kernelfield.receptive import Edge, Graph, Link, Node
from kernelfield.receptive.effective_field import EffectiveField

PHOTOGRAPH = skimage.data.astronaut()
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


def test_no_window_and_no_state_of_the_caller():
    code = (
        "import sys, kernelfield as kf\n"
        "import kernelfield.receptive.draw.unit, kernelfield.receptive.draw.network\n"
        "fields = kf.receptive_field(kf.receptive.plan(9, 16).graph())\n"
        "assert 'matplotlib' not in sys.modules\n"
        "fields.draw(); fields.draw_network()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert not {'torch', 'tensorflow', 'jax', 'keras', 'onnx'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
