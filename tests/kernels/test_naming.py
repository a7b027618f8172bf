"""Every family of the catalogue, applied to a photograph by SciPy, is recognised by `learn`."""

import numpy as np
import pytest
from cases import photograph
from scipy import ndimage

import kernelfield as kf
from kernelfield import kernels as k

# By family, with the widths kept small: the kernel has to be learned. Where two names give the same weights the
# simpler one is the answer.
ENTRIES = {
    "identity": [k.identity()],
    "shift": [k.shift(1, -2)],
    "box": [k.box(), k.box((2, 5)), k.motion(5, 90)],
    "binomial": [k.binomial(), k.binomial(5)],
    "gaussian": [
        k.gaussian(),
        k.gaussian((0.7, 1.2)),
        k.gaussian(1.1, 5, bits=8),
        k.gaussian(0.8, method="integrated"),
        k.gaussian((0.7, 1.1), method="integrated"),
        k.gaussian(0.9, method="discrete"),
        k.gaussian((1, 0.6), method="discrete"),
    ],
    "smooth": [k.smooth()],
    "rings": [k.rings()],
    "disk": [k.disk(3), k.disk(1.7), k.disk(0.8)],
    "motion": [k.motion(7, 30), k.motion(9, 135), k.motion(7.3, 170), k.motion(6, 0)],
    "difference": [k.difference(), k.difference(0, "backward")],
    "derivative": [k.derivative(), k.derivative(2, 4, 0), k.derivative(3, 2, spacing=2.0)],
    "sobel": [k.sobel(), k.sobel(0, 5, 2, 1 / 16), k.edge((0, 1), 5), k.edge((-2, 0), 3)],
    "scharr": [k.scharr()],
    "prewitt": [k.prewitt(0)],
    "roberts": [k.roberts("anti", 0.5)],
    "laplacian": [k.laplacian(), k.laplacian(8)],
    "sobel_laplacian": [k.sobel_laplacian(5)],
    "gaussian_derivative": [k.gaussian_derivative(), k.gaussian_derivative(1.2, (2, 0)), k.steerable(2, 90, 1.2)],
    "log": [k.log(1.2)],
    "emboss": [k.emboss((-1, 1))],
    "edge": [k.edge(), k.edge((1, 2), 3), k.edge((-3, 1), 7, 0.5), k.edge((0.3, 0.71), 5)],
    "diagonal": [k.diagonal(), k.diagonal((1, -1), "prewitt", 1 / 6)],
    "line": [k.line(angle) for angle in (0, 45, 90, 135)],
    "corner": [k.corner(), k.corner((-1, 1), 0.05)],
    "steerable": [
        k.steerable(sigma=1.2, orientation=30),
        k.steerable(1, 20, 1),
        k.steerable(3, 0, 1.2),
        k.steerable(4, 100, 1.5),
    ],
    "gabor": [k.gabor(4), k.gabor(4, 45, 2, aspect=1.4, phase=90), k.gabor(5, 110, 1.9, phase=30, scale=2)],
    "log_gabor": [k.log_gabor(4), k.log_gabor(5, 30, 1.5, 70, 90), k.log_gabor(4, 120, 1.2, 60, -45)],
    "sharpen": [k.sharpen(), k.sharpen(1 / 8, 8)],
    "unsharp": [k.unsharp(), k.unsharp(amount=0.5, size=5, blur="box")],
}
CASES = [(name, kernel) for name, kernels in ENTRIES.items() for kernel in kernels]


def test_no_entry_is_left_out():
    assert set(ENTRIES) == set(k.CATALOGUE)


def filtered(kernel, rows=128, columns=160):
    """Return a part of the photograph, and the same filtered with the kernel by SciPy."""
    image = photograph("camera")[60 : 60 + rows, 80 : 80 + columns]
    (down, right), weights = kernel.anchor, kernel.weights
    reach = max(down, right, weights.shape[0] - down, weights.shape[1] - right)
    square = np.zeros((2 * reach + 1, 2 * reach + 1))
    top, left = reach - down, reach - right
    square[top : top + weights.shape[0], left : left + weights.shape[1]] = weights
    return image, ndimage.correlate(image.astype(float), square, mode="nearest")


@pytest.mark.parametrize(
    ("name", "kernel"), CASES, ids=lambda value: value.name if isinstance(value, k.Kernel) else value
)
def test_learned_from_a_photograph_in_floating_point(name, kernel):
    image, result = filtered(kernel)
    size = 9 if kernel.anchor != (kernel.shape[0] // 2, kernel.shape[1] // 2) else kernel.shape
    fit = kf.learn(image, result, size=size)
    assert fit.name == name, fit.description
    parameters = {key: value for key, value in fit.parameters.items() if key != "shift"}
    named = k.design(fit.name, **parameters)
    named = named.shifted(*fit.parameters["shift"]) if "shift" in fit.parameters else named
    gap = np.abs((named - kernel).weights).max()
    assert gap < 2e-3 * np.abs(kernel.weights).max()
    if fit.name in ("disk", "motion", "edge", "steerable", "gabor", "log_gabor"):
        for key, value in kernel.parameters.items():
            if key != "direction":
                assert parameters[key] == pytest.approx(value, rel=1e-6), key


BLURS = [(name, kernel) for name, kernel in CASES if abs(kernel.weights.sum() - 1) < 1e-6]


@pytest.mark.parametrize(
    ("name", "kernel"), BLURS, ids=lambda value: value.name if isinstance(value, k.Kernel) else value
)
def test_learned_from_a_photograph_of_8_bits(name, kernel):
    image, result = filtered(kernel, 440, 420)
    size = 9 if kernel.anchor != (kernel.shape[0] // 2, kernel.shape[1] // 2) else kernel.shape
    fit = kf.learn(image, np.clip(np.floor(result + 0.5), 0, 255).astype(np.uint8), size=size)
    assert fit.name == name, fit.description
