from __future__ import annotations

import subprocess
import sys

import numpy as np
from cases import photograph

import kernelfield as kf

IMAGE = photograph("camera")[:128, :160]


def drawn(figure):
    """Return the array of every picture in a figure, by column of its axes."""
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


def test_the_figure_of_a_code():
    code = kf.coding.code(IMAGE)
    figure = code.plot()
    pictures = drawn(figure)
    assert len(pictures) == 6 + 6 + 1
    np.testing.assert_array_equal(pictures[-1], IMAGE)
    # The large sensors come first, then their responses.
    np.testing.assert_array_equal(pictures[1], code.filtered(3).real)
    kernel = code.bank[3].even.weights
    middle = pictures[0].shape[0] // 2
    assert pictures[0][middle, middle] == kernel.max()
    for axes in figure.axes:
        if axes.images[0].get_cmap().name != "gray":
            low, high = axes.images[0].get_clim()
            assert low == -high
    dots = [axes.collections[0].get_offsets() for axes in figure.axes if axes.collections]
    assert [len(part) for part in dots] == [code.responses[i].size for i in (3, 4, 5, 0, 1, 2)]
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["16 px", "16 px", "8 px", "8 px", "Image"]


def test_dots_that_would_cover_the_picture_are_left_out():
    figure = kf.coding.code(IMAGE, kf.coding.bank(3, scales=1, wavelength=3)).plot()
    assert not any(axes.collections for axes in figure.axes)


def test_sensors_larger_than_kernels_may_be_are_drawn_smaller():
    image = np.repeat(np.repeat(IMAGE, 8, axis=0), 8, axis=1)
    figure = kf.coding.code(image, kf.coding.bank(2, wavelength=400)).plot()
    picture = drawn(figure)[0]
    assert picture.shape == (501, 501)
    assert np.abs(picture[:, 0]).max() < 0.02 * picture.max()
    assert picture.argmax() == 250 * 501 + 250


def test_the_figure_of_matches():
    kernels = np.stack([kf.kernels.gabor(4, angle, size=9).weights for angle in range(0, 180, 2)])
    figure = kf.coding.match(kernels).plot()
    assert [axes.get_title() for axes in figure.axes[:2]] == [
        "Kernels, the first 64 of 90",
        "Gabor functions fitted to them, the first 64 of 90",
    ]
    montage = figure.axes[0].images[0].get_array()
    assert montage.shape == (81, 81)
    np.testing.assert_array_equal(montage[1:10, 11:20], kernels[1] / np.abs(kernels[1]).max())
    assert len(figure.axes[2].collections[0].get_offsets()) == 180
    assert figure.axes[4].get_title() == "Goodness of fit: 90 of 90 good"


def test_coding_loads_neither_matplotlib_nor_scikit_learn():
    code = (
        "import sys, numpy as np, kernelfield as kf\n"
        "kf.coding.code(np.eye(40))\n"
        "assert not {'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "kf.coding.code(np.eye(40)).plot()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
