"""The look of figures, whatever style the user has set."""

import matplotlib as mpl
import numpy as np
import pytest
from cases import photograph
from legibility import faults
from matplotlib.backends.backend_agg import FigureCanvasAgg

import kernelfield as kf
from kernelfield.figures import heading

#: A style that turns images over, draws lines through them and makes text large.
HOSTILE = {
    "image.origin": "lower",
    "image.aspect": "auto",
    "image.cmap": "jet",
    "axes.grid": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 20,
    "font.size": 20,
    "figure.autolayout": True,
    "figure.constrained_layout.use": True,
}
IMAGE = photograph("camera")[:96, :128]


def figures():
    network = kf.receptive_field(kf.receptive.plan(31, 128).graph())
    sharpened = kf.correlate(IMAGE, kf.kernels.sharpen())
    gabors = np.stack([kf.kernels.gabor(4, angle, size=9).weights for angle in range(0, 180, 20)])
    return {
        "kernel": kf.kernels.sobel().plot,
        "fit": lambda: kf.learn(IMAGE, sharpened).plot(IMAGE, sharpened),
        "code": kf.coding.code(IMAGE).plot,
        "matches": kf.coding.match(gabors).plot,
        "unit": network.draw,
        "unit on a photograph": lambda: network.draw(image=IMAGE, nested=3),
        "network": network.draw_network,
    }


FIGURES = figures()


def pixels(figure):
    """Return the drawn figure, coarse."""
    figure.set_dpi(50)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_legible_and_the_same_in_any_style_of_the_user(name):
    assert faults(FIGURES[name]()) == []
    usual = FIGURES[name]()
    backend = mpl.get_backend()
    with mpl.rc_context(HOSTILE):
        other = FIGURES[name]()
    assert mpl.get_backend() == backend
    np.testing.assert_array_equal(pixels(other), pixels(usual))


def test_headings_are_broken_at_their_width_and_drawn_literally():
    wide, narrow = (heading(letter * 30 + " " + letter * 30, 4.0) for letter in "Wi")
    assert len(wide.splitlines()) > len(narrow.splitlines())
    assert heading("$a$", 4.0) == r"\$a\$"
