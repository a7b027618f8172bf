"""The figure of a kernel: weights and frequency response."""

import io

import numpy as np
import pytest

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
