"""Every family of the catalogue, applied to a photograph by SciPy, is recognised by `learn`."""

import numpy as np
import pytest
from cases import photograph
from scipy import ndimage

import kernelfield as kf
from kernelfield import kernels as k

# The name that is given, and kernels that have it, with the widths kept small: the kernel has to be learned. Where two
# families give the same weights the simpler name is the answer.
ENTRIES = {
    "identity": [k.identity(), k.mitchell(1, 0, 0)],
    "shift": [
        k.shift(1, -2),
        k.shift(0.3, -1.7),
        k.shift(0.25, 0.5, "linear"),
        k.shift(0.3, 0, "mitchell"),
        k.shift(-0.4, 0.2, "lanczos"),
        k.shift(0.3, 0.6, "spline"),
    ],
    "box": [k.box(), k.box((2, 5)), k.motion(5, 90), k.frei_chen(9, scale=1 / 3)],
    "binomial": [k.binomial(), k.binomial(5), k.laws("L5L5", 1 / 256)],
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
    "savitzky_golay": [k.savitzky_golay(), k.savitzky_golay(5, 1, (0, 1)), k.savitzky_golay((1, 7), 2)],
    "bspline": [k.bspline(), k.bspline(3, 2), k.bspline(2, 1.5)],
    "cubic": [k.cubic(2), k.cubic(3, -0.75), k.cubic((1, 2), offset=(0, 0.5))],
    "mitchell": [k.mitchell(2), k.mitchell(2.5, 0.2, 0.4)],
    "lanczos": [k.lanczos(2), k.lanczos(2, 2, 0.5)],
    "sinc": [k.sinc(size=11, beta=3), k.sinc(0.2, 11, "hann")],
    "disk": [k.disk(3), k.disk(1.7), k.disk(0.8)],
    "annulus": [k.annulus(4, 2), k.annulus(3.3, 1.2)],
    "motion": [k.motion(7, 30), k.motion(9, 135), k.motion(7.3, 170), k.motion(6, 0)],
    "oriented_gaussian": [k.oriented_gaussian(2, 1, 30), k.oriented_gaussian(2.2, 0.8, 100, 13)],
    "airy": [k.airy(2), k.airy(1.5, method="integrated")],
    "moffat": [k.moffat(2, 3, 11), k.moffat(1.8, 2.5, 13, "integrated")],
    "pinhole": [k.pinhole(2, 1), k.pinhole(1.5, 0.7)],
    "difference": [k.difference(), k.difference(0, "backward")],
    "derivative": [k.derivative(), k.derivative(2, 4, 0), k.derivative(3, 2, spacing=2.0)],
    "mixed_derivative": [k.mixed_derivative(), k.mixed_derivative((2, 1), 4), k.laws("E3S3"), k.frei_chen(6)],
    "sobel": [
        k.sobel(),
        k.sobel(0, 5, 2, 1 / 16),
        k.edge((0, 1), 5),
        k.edge((-2, 0), 3),
        k.robinson(0),
        k.laws("E5L5", 1 / 8),
    ],
    "scharr": [k.scharr()],
    "prewitt": [k.prewitt(0), k.robinson(90, 3)],
    "farid": [k.farid(), k.farid(0, 7, 2, 0.5), k.farid(taps="second"), k.farid(1, 5, 2)],
    "roberts": [k.roberts("anti", 0.5)],
    "laplacian": [k.laplacian(), k.laplacian(8)],
    "isotropic_laplacian": [k.isotropic_laplacian(), k.isotropic_laplacian("oono_puri", 0.5)],
    "sobel_laplacian": [k.sobel_laplacian(5)],
    "gaussian_derivative": [
        k.gaussian_derivative(),
        k.gaussian_derivative(1.2, (2, 0)),
        k.gaussian_derivative(1.2, (1, 2)),
        k.gaussian_derivative((1.1, 1.3), (0, 4)),
        k.gaussian_derivative(0.7, (0, 2), normalise=False),
        k.steerable(2, 90, 1.2),
        k.steerable(3, 0, 1.2),
    ],
    "log": [k.log(1.2), k.log(0.8, normalise=False)],
    "dog": [k.dog(0.8, 1.3), k.dog(0.8, 2, 11)],
    "emboss": [k.emboss((-1, 1))],
    "edge": [k.edge(), k.edge((1, 2), 3), k.edge((-3, 1), 7, 0.5), k.edge((0.3, 0.71), 5)],
    "diagonal": [k.diagonal(), k.diagonal((1, -1), "prewitt", 1 / 6), k.robinson(45)],
    "line": [k.line(angle) for angle in (0, 45, 90, 135)],
    "corner": [k.corner(), k.corner((-1, 1), 0.05)],
    "kirsch": [k.kirsch(angle, 1 / 15) for angle in range(0, 360, 45)],
    "frei_chen": [k.frei_chen(mask) for mask in (1, 2, 3, 4, 8)],
    "laws": [k.laws("E5E5", 1 / 8), k.laws("S5E5"), k.laws("R5S5", 1 / 8), k.laws("W5S5")],
    "steerable": [
        k.steerable(sigma=1.2, orientation=30),
        k.steerable(1, 20, 1),
        k.steerable(3, 10, 1.2),
        k.steerable(4, 100, 1.5),
        k.steerable(3, 50, 1.1, normalise=False),
        k.quadrature(1, 30, 1.2),
    ],
    "quadrature": [k.quadrature(2, 20, 1.2), k.quadrature(3, 70, 1.3)],
    "gabor": [
        k.gabor(4),
        k.gabor(4, 45, 2, aspect=1.4, phase=90),
        k.gabor(5, 110, 1.9, phase=30, scale=2),
        k.gabor(5, 30, bandwidth=1.5, normalise=True),
    ],
    "log_gabor": [
        k.log_gabor(4),
        k.log_gabor(5, 30, 1.5, 70, 90),
        k.log_gabor(4, 120, 1.2, 60, -45),
        k.log_gabor(4, 120, 1.2, 60, -45, normalise=False),
    ],
    "sharpen": [k.sharpen(), k.sharpen(1 / 8, 8)],
    "unsharp": [k.unsharp(), k.unsharp(amount=0.5, size=5, blur="box")],
}
CASES = [(name, kernel) for name, kernels in ENTRIES.items() for kernel in kernels]


# Families with numbers that are fitted: they have to be those of the kernel.
FITTED = {
    *("shift", "bspline", "cubic", "mitchell", "lanczos", "sinc", "disk", "annulus", "motion", "oriented_gaussian"),
    *("airy", "moffat", "pinhole", "farid", "gaussian_derivative", "log", "dog", "edge", "steerable", "quadrature"),
    *("gabor", "log_gabor"),
}


def test_no_entry_is_left_out():
    assert {kernel.name for _, kernel in CASES} == set(k.CATALOGUE)


@pytest.mark.parametrize("seed", range(8))
def test_two_numbers_that_give_any_round_kernel_of_3_by_3_are_no_name(seed):
    corner, side, centre = np.sort(np.random.default_rng(seed).uniform(0.05, 1.0, 3))
    weights = np.array([[corner, side, corner], [side, centre, side], [corner, side, corner]])
    found = k.match(weights / weights.sum(), tolerance=1e-12)
    assert found is None or found.name not in ("moffat", "pinhole")


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
    if fit.name == kernel.name and fit.name in FITTED:
        for key, value in kernel.parameters.items():
            if key not in ("direction", "size"):
                same = value if isinstance(value, str) else pytest.approx(value, rel=1e-4, abs=1e-6)
                assert parameters[key] == same, key


def in_8_bits(kernel):
    """Return a part of the photograph and its result in 8 bits, around 128 where the weights sum to zero."""
    image, result = filtered(kernel, 440, 420)
    if abs(kernel.weights.sum()) < 0.5:
        gain = 120 / np.abs(result).max() if "scale" in kernel.parameters else 1
        result = 128 + gain * result
    return image, np.clip(np.floor(result + 0.5), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "kernel"), CASES, ids=lambda value: value.name if isinstance(value, k.Kernel) else value
)
def test_learned_from_a_photograph_of_8_bits(name, kernel):
    image, result = in_8_bits(kernel)
    size = 9 if kernel.anchor != (kernel.shape[0] // 2, kernel.shape[1] // 2) else kernel.shape
    fit = kf.learn(image, result, size=size)
    assert fit.name == name, fit.description
