"""Wrong arguments of the families: one line that begins with the argument's name."""

import inspect

import numpy as np
import pytest
from junk import JUNK, outcome

from kernelfield import kernels as k
from kernelfield.errors import ArgumentError

CALLS = [
    lambda: k.shift("1", 0),
    lambda: k.shift(0.5, 0, "nearest"),
    lambda: k.box(0),
    lambda: k.box((1, 2, 3)),
    lambda: k.box("33"),
    lambda: k.gaussian(-1),
    lambda: k.gaussian(0),
    lambda: k.gaussian("1"),
    lambda: k.gaussian(1, truncate=0),
    lambda: k.gaussian(0, size=4),
    lambda: k.gaussian(1, bits=0),
    lambda: k.smooth(-1),
    lambda: k.smooth(1, neighbours=6),
    lambda: k.rings((0, 0)),
    lambda: k.rings(()),
    lambda: k.sobel(size=4),
    lambda: k.sobel(order=3),
    lambda: k.sobel(axis="x"),
    lambda: k.roberts("up"),
    lambda: k.emboss((0, 0)),
    lambda: k.emboss((2, 0)),
    lambda: k.laplacian(True),
    lambda: k.log(0),
    lambda: k.gaussian_derivative(1, (0, -1)),
    lambda: k.sharpen(float("inf")),
    lambda: k.unsharp(1, blur="box", size=3),
    lambda: k.unsharp(blur="binomial"),
    lambda: k.binomial((100_000, 3)),
    lambda: k.unsharp(1, size=4),
    lambda: k.sobel().integers(max_divisor=0),
    lambda: k.disk(0),
    lambda: k.disk(1e6),
    lambda: k.motion(0),
    lambda: k.motion(1e6, 45),
    lambda: k.motion(3, np.nan),
    lambda: k.edge((0, 0)),
    lambda: k.edge((1, 2, 3)),
    lambda: k.edge((np.inf, 1)),
    lambda: k.edge(("a", 1)),
    lambda: k.edge((1, 1), size=4),
    lambda: k.edge((1, 1), size=1),
    lambda: k.diagonal((0, 1)),
    lambda: k.diagonal((1, 1), "roberts"),
    lambda: k.line(30),
    lambda: k.corner((2, 1)),
    lambda: k.corner(scale=np.inf),
    lambda: k.gabor(1.9),
    lambda: k.gabor(sigma=0),
    lambda: k.gabor(sigma=2, bandwidth=1),
    lambda: k.gabor(bandwidth=0),
    lambda: k.gabor(aspect=0),
    lambda: k.gabor(size=4),
    lambda: k.gabor(wavelength=1e6),
    lambda: k.gabor(phase="even"),
    lambda: k.gabor(truncate=0),
    lambda: k.log_gabor(1),
    lambda: k.log_gabor(bandwidth=0),
    lambda: k.log_gabor(angular_bandwidth=180),
    lambda: k.log_gabor(size=(3, 6)),
    lambda: k.log_gabor(size=(1, 1025)),
    lambda: k.log_gabor(1000),
    lambda: k.steerable(0),
    lambda: k.steerable(sigma=0),
    lambda: k.steerable(5, size=5),
    lambda: k.steerable(2, size=4),
    lambda: k.steerable(orientation=np.inf),
    lambda: k.steerable_basis(0),
    lambda: k.steering(0, 0),
    lambda: k.gaussian_derivative(1, (0, 2), size=2),
    lambda: k.gaussian(method="exact"),
    lambda: k.gaussian(method="discrete", size=4),
    lambda: k.gaussian(sigma=0),
    lambda: k.gaussian(sigma=(0, 0)),
    lambda: k.gaussian(sigma=1e9),
    lambda: k.lanczos(0.5),
    lambda: k.lanczos(2, 0),
    lambda: k.cubic(2, offset=2),
    lambda: k.mitchell(b=np.nan),
    lambda: k.bspline(0),
    lambda: k.sinc(0.5),
    lambda: k.sinc(size=4),
    lambda: k.sinc(window="box"),
    lambda: k.annulus(2, 2),
    lambda: k.oriented_gaussian(size=4),
    lambda: k.airy(0),
    lambda: k.airy(method="exact"),
    lambda: k.moffat(beta=1),
    lambda: k.pinhole(fresnel=0.01),
    lambda: k.pinhole(fresnel=99),
    lambda: k.farid(size=3),
    lambda: k.farid(order=3),
    lambda: k.isotropic_laplacian("five"),
    lambda: k.dog(2, 1),
    lambda: k.dog(size=4),
    lambda: k.kirsch(30),
    lambda: k.robinson(0, 4),
    lambda: k.frei_chen(10),
    lambda: k.laws("L5E3"),
    lambda: k.quadrature(11),
    lambda: k.quadrature(size=4),
    lambda: k.savitzky_golay(4),
    lambda: k.savitzky_golay(5, 5),
    lambda: k.savitzky_golay(5, 1, (1, 1)),
    lambda: k.mixed_derivative((0, 1)),
    lambda: k.mixed_derivative(accuracy=3),
    lambda: k.sobel(scale="one"),
    lambda: k.log(normalise="yes"),
    lambda: k.gabor(2, phase=90),
]


@pytest.mark.parametrize("call", CALLS)
def test_one_line_names_the_argument(call):
    with pytest.raises(ArgumentError, match=r"^[\w, ]+: [^\n]+$"):
        call()


FAMILIES = sorted({*k.CATALOGUE, "steering", "stencil", "minimum_size", "design", "parse"})
#: Large numbers that make a kernel of millions of weights, which takes its time.
SLOW = {2**31, 2**40, 1e308}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of weights that overflow, which are then refused
@pytest.mark.parametrize("name", FAMILIES)
def test_any_value_of_one_argument_works_or_is_refused(name):
    function = getattr(k, name)
    parameters = inspect.signature(function).parameters.values()
    needed = {p.name: 1 for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    for parameter in parameters:
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        for value in JUNK:
            plain = type(value) in (int, float, np.float32, np.float64)
            if (name == "log_gabor" and plain) or (name.startswith("steer") and plain and value in SLOW):
                continue
            outcome(lambda: function(**{**needed, parameter.name: value}))  # noqa: B023
