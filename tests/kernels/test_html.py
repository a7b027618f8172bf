"""Kernels, fits and plans in notebooks: HTML that parses, escapes and stays small."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from cases import photograph
from PIL import Image
from scipy import ndimage

import kernelfield as kf
from kernelfield import kernels as k
from kernelfield.kernels.html import colours_of
from kernelfield.learning.fit import designed

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '"><script>alert(1)</script>&amp;\x00\x1b<b>'


def parsed(html: str) -> ET.Element:
    """Return the tree: what a notebook shows is well-formed XML too."""
    return ET.fromstring(html)


def said(tree: ET.Element) -> str:
    return " ".join(" ".join(tree.itertext()).split())


KERNELS = [
    k.sobel(),
    k.gaussian(1.0),
    k.gaussian(2.0),
    k.Kernel([[1e300, -1e300]]),
    k.Kernel(np.zeros((2, 3))),
    k.Kernel(np.random.default_rng(0).normal(size=(255, 255)), anchor=(-1, 400)),
    k.box((1, 255)),
    k.Kernel([[1.0, -1.0]], name=EVIL * 1000, parameters={EVIL: EVIL}, source=EVIL * 1000),
]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.name}"[:10])
def test_html_parses_escapes_and_is_small(kernel):
    html = kernel._repr_html_()
    tree = parsed(html)
    assert len(html) < 50_000
    assert {node.tag.removeprefix(SVG) for node in tree.iter()} <= {
        *("div", "svg", "title", "g", "rect", "text", "image", "strong", "table", "tr", "td"),
    }
    assert "×".join(map(str, kernel.shape)) in said(tree)


def test_a_small_kernel_shows_its_numbers_and_its_anchor():
    tree = parsed(k.sobel()._repr_html_())
    assert [node.text for node in tree.iter(f"{SVG}text")] == ["−1", "0", "1", "−2", "0", "2", "−1", "0", "1"]
    groups = list(tree.iter(f"{SVG}g"))
    cells = [(float(box.get("x")), float(box.get("y")), box.get("fill")) for box in groups[0]]
    assert cells[5] == (cells[4][0] * 2, cells[4][1], "#b2182b")
    frames = [box for box in tree.iter(f"{SVG}rect") if box.get("fill") == "none"]
    assert float(frames[0].get("x")) == pytest.approx(cells[4][0] + 1)


def test_a_large_kernel_is_a_bitmap_of_its_colours():
    kernel = k.log(5.0)
    (image,) = parsed(kernel._repr_html_()).iter(f"{SVG}image")
    data = base64.b64decode(image.get("href").removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), colours_of(kernel.weights))


def test_the_colours_are_those_of_figures():
    kernel = k.log(2.0)
    image = kernel.plot().axes[0].images[0]
    drawn = image.to_rgba(image.get_array(), bytes=True)[..., :3]
    assert np.abs(colours_of(kernel.weights).astype(int) - drawn).max() <= 3


def test_the_page_keeps_its_colours():
    """Text takes the colour of the page, light or dark; only cells have colours of their own."""
    html = k.sobel()._repr_html_()
    outside = re.sub(r"<svg.*</svg>", "", html)
    assert set(re.findall(r"(?<![-\w])color:([^;\"]+)", outside)) == {"inherit"}
    assert set(re.findall(r"background:([^;\"]+)", outside)) == {"none"}


def test_a_fit_shows_its_kernel_and_report():
    image = np.random.default_rng(0).random((30, 30))
    fit = kf.learn(image, kf.correlate(image, k.sobel()))
    tree = parsed(fit._repr_html_())
    assert len(list(tree.iter(f"{SVG}text"))) == 9
    assert said(tree).startswith("kernel of 3 by 3 weights")
    assert "verdict exact" in said(tree)
    assert len(repr(fit)) < 200
    assert repr(fit).startswith("<Fit, exact: Sobel")
    assert "  -1  0  1" in str(fit)


def test_a_fit_that_is_not_linear_shows_no_kernel():
    image = photograph("camera")[100:200, 200:340]
    fit = kf.learn(image, ndimage.median_filter(image, 5), size=3)
    assert fit.verdict == "not linear"
    tree = parsed(fit._repr_html_())
    assert not list(tree.iter(f"{SVG}svg"))
    assert said(tree).startswith("No kernel: the pair is not linear verdict not linear")


def test_a_large_fit_prints_short():
    fit = designed(k.gaussian(30, size=255), EVIL * 1000)
    assert len(str(fit).split("kernel, as", 1)[1].splitlines()) <= 17
    assert len(repr(fit)) < 200
    assert len(fit._repr_html_()) < 50_000
    assert "<script" not in fit._repr_html_()


def test_a_plan_shows_its_method_and_kernel():
    planned = kf.plan((480, 640), k.gaussian(1.0), dtype=np.uint8, mode="valid")
    tree = parsed(planned._repr_html_())
    text = said(tree)
    assert f"Cross-correlation, {planned.method}" in text
    for part in ("480×640 uint8", "472×632 float32", "9×9", f"{planned.cost:,}", planned.reason):
        assert part in text
    assert not [box for box in tree.iter(f"{SVG}rect") if box.get("stroke") == "black"]
