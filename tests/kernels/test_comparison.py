"""Kernels side by side, against the angles of gradients measured on waves."""

import numpy as np
import pytest
from scipy import ndimage

from kernelfield import kernels as k
from kernelfield.errors import ArgumentError


@pytest.mark.parametrize(("kernel", "frequency"), [(k.sobel(), 1 / 8), (k.scharr(), 1 / 4), (k.farid(size=7), 1 / 5)])
def test_the_error_of_direction_is_that_of_gradients_on_waves(kernel, frequency):
    found = k.compare([kernel])
    y, x = np.mgrid[:64, :64].astype(float)
    worst = 0.0
    for angle in np.radians(np.arange(1, 90)):
        wave = np.sin(2 * np.pi * frequency * (np.cos(angle) * x + np.sin(angle) * y) + 0.3)
        right, down = (ndimage.correlate(wave, w)[8:-8, 8:-8] for w in (kernel.weights, kernel.weights.T))
        measured = np.arctan2(np.sqrt((down**2).sum()), np.sqrt((right**2).sum()))
        worst = max(worst, abs(np.degrees(measured - angle)))
    assert found.at(found.kernels[0].direction, frequency) == pytest.approx(worst, rel=0.05, abs=0.01)


def test_curves_of_known_kernels():
    found = k.compare([k.derivative(), k.laplacian(), k.box((1, 3)), k.sobel(0)])
    f = found.frequencies
    central, laplacian, box, down = found.kernels
    np.testing.assert_allclose(central.response, np.sin(2 * np.pi * f), atol=1e-12)
    np.testing.assert_allclose(laplacian.response, 2 - 2 * np.cos(2 * np.pi * f), atol=1e-12)
    np.testing.assert_allclose(box.response, np.abs(1 + 2 * np.cos(2 * np.pi * f)) / 3, atol=1e-12)
    np.testing.assert_allclose(central.error, np.sinc(2 * f) - 1, atol=1e-12)
    assert laplacian.direction is None
    assert box.direction is None
    np.testing.assert_allclose(down.direction, k.compare([k.sobel()]).kernels[0].direction, atol=1e-9)


def test_the_figure_and_bad_arguments():
    figure = k.compare([k.sobel(), k.farid()]).plot()
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, 2, 3]
    assert len(k.compare([k.laplacian()]).plot().axes) == 2
    for bad in ([], "sobel", [1], [k.sobel()] * 9):
        with pytest.raises(ArgumentError, match="kernels: expected"):
            k.compare(bad)
    with pytest.raises(ArgumentError, match="labels: expected 1 of them"):
        k.compare([k.sobel()], ["a", "b"])
