"""The figure of a kernel: weights and frequency response."""

import io

import numpy as np
import pytest
from legibility import faults
from matplotlib.colors import to_rgb

from kernelfield import kernels as k


def drawn(axes):
    return np.asarray(axes.images[0].get_array())


@pytest.mark.parametrize("name", sorted(set(k.CATALOGUE) - {"shift"}))
def test_every_kernel_of_the_catalogue_is_drawn(name):
    kernel = k.CATALOGUE[name]()
    figure = kernel.plot()
    weights, response = figure.axes[:2]
    np.testing.assert_array_equal(drawn(weights), kernel.weights)
    low, high = weights.images[0].get_clim()
    assert low == -high < 0
    assert np.isfinite(drawn(response)).all()
    figure.savefig(io.BytesIO(), format="png", dpi=40)


@pytest.mark.parametrize(
    ("kernel", "title", "part"),
    [
        (k.gaussian(1.0), "(real)", np.real),
        (k.sobel(), "(imaginary part)", np.imag),
        (k.difference(), "Magnitude", np.abs),
    ],
)
def test_the_response_is_signed_where_its_sign_means_something(kernel, title, part):
    axes = kernel.plot().axes[1]
    assert title in axes.get_title()
    frequencies = np.linspace(-0.5, 0.5, 129)
    expected = part(kernel.frequency_response(frequencies)[2])
    np.testing.assert_allclose(drawn(axes), expected, atol=1e-12)
    left, right, bottom, top = axes.images[0].get_extent()
    # Pixels are centred on their frequencies, and rows go down.
    assert left + right == bottom + top == 0
    assert bottom > 0.5 > -0.5 > top


def test_weights_alone_and_kernels_without_a_name():
    figure = (k.sobel() + k.sobel(0)).shifted(5, 5).plot(response=False)
    assert len(figure.axes) == 1
    assert figure.get_suptitle() == ""


LONG = "a name of a kernel that nobody would give, with $dollars$ and an_underscore, " * 3


@pytest.mark.parametrize(
    "kernel",
    [
        *(k.CATALOGUE[name]() for name in ("sobel", "gaussian", "laplacian", "gabor", "difference", "motion")),
        k.Kernel(np.random.default_rng(0).normal(size=(9, 9)) * 1e-7),
        k.Kernel([[1e300, -1e300]]),
        k.Kernel(np.zeros((3, 3))),
        k.Kernel(np.arange(31.0)[:, None]),
        k.box((1, 63)),
        k.binomial(9),
        k.gaussian(30, size=255),
        k.Kernel([[1, -1]], name=LONG),
        k.Kernel([[1, -1]], name="gaussian"),
    ],
    ids=lambda kernel: f"{kernel.name}"[:20],
)
def test_no_text_overlaps_or_is_cut_off_or_small(kernel):
    assert faults(kernel.plot()) == []
    assert faults(kernel.plot(response=False)) == []


def contrast(first, second):
    """Return the contrast ratio of two colours, by the formula of WCAG 2.2."""
    bright = []
    for colour in (first, second):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in map(float, colour)]
        bright.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(bright) + 0.05) / (min(bright) + 0.05)


@pytest.mark.parametrize("kernel", [k.sobel(), k.gaussian(1.0), k.binomial(5), k.laplacian(8)])
def test_numbers_contrast_with_their_cells(kernel):
    axes = kernel.plot().axes[0]
    image = axes.images[0]
    assert len(axes.texts) == kernel.weights.size
    for text, colour in zip(axes.texts, image.to_rgba(image.get_array()).reshape(-1, 4)):
        # The least that accessibility guidelines ask of text.
        assert contrast(to_rgb(text.get_color()), colour[:3]) >= 4.5


def test_the_colour_bar_covers_the_weights_and_no_more():
    for kernel, share in ((k.gaussian(2.0), 0.0), (k.log(2.0), -1.0)):
        (bar,) = kernel.plot().axes[0].child_axes
        peak = np.abs(kernel.weights).max()
        assert bar.get_ylim() == pytest.approx((share * peak, peak))


def test_titles_are_in_line():
    figure = k.box((1, 9)).plot()
    assert faults(figure) == []
    weights, response = figure.axes[:2]
    assert weights.title.get_window_extent().y0 == pytest.approx(response.title.get_window_extent().y0)
