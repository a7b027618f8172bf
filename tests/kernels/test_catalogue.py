"""Kernels by name and from text."""

import pytest

from kernelfield import kernels as k
from kernelfield.errors import ArgumentError


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("sobel", k.sobel()),
        ("gaussian:sigma=2", k.gaussian(2)),
        (" gaussian : sigma = 2 , size = 3x5 ", k.gaussian(2, (3, 5))),
        ("sobel:axis=0,scale=1/8", k.sobel(0, scale=1 / 8)),
        ("edge:direction=1,-1,size=5", k.edge((1, -1), 5)),
        ("edge:size=7,direction=0.5,-2", k.edge((0.5, -2), 7)),
        ("shift:rows=-2,columns=3", k.shift(-2, 3)),
        ("rings:weights=44,5,1", k.rings((44, 5, 1))),
        ("derivative:scheme=forward,accuracy=1", k.derivative(scheme="forward", accuracy=1)),
        ("derivative:order=2,offsets=-1,0,2", k.derivative(2, offsets=(-1, 0, 2))),
        ("gabor:wavelength=6,orientation=45,sigma=none", k.gabor(6, 45)),
        ("unsharp:blur=box,size=5,sigma=None", k.unsharp(size=5, blur="box")),
        ("gaussian:sigma=1e0,method=discrete", k.gaussian(1, method="discrete")),
        ("gaussian:", k.gaussian()),
    ],
)
def test_text_gives_the_kernel(text, kernel):
    assert k.parse(text) == kernel
    assert dict(k.parse(text).parameters) == dict(kernel.parameters)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gausian:sigma=2", "did you mean gaussian"),
        ("Log-Gabor", "did you mean log_gabor"),
        ("", "CATALOGUE has the names"),
        ("zzz", "CATALOGUE has the names"),
        ("gaussian:2", "gaussian:sigma=…"),
        ("gaussian:sgma=2", r"\(sigma, size, truncate, bits, method\), received 'sgma'"),
        ("identity:size=3", r"\(none\), received 'size'"),
        ("gaussian:sigma=2,sigma=3", "sigma twice"),
        ("gaussian:sigma=", "sigma: expected"),
        ("gaussian:sigma=0", "sigma: expected more than 0"),
        ("gaussian:sigma=nan", "sigma: expected"),
        ("gaussian:sigma=1/0", "sigma: expected"),
        ("shift:rows=2", "expected columns"),
        ("derivative:order=0", "order: expected"),
        ("derivative:accuracy=3", "even"),
        ("derivative:order=99", "at most 64"),
        ("derivative:axis=x", "axis: expected"),
        ("edge:direction=0", "direction: expected"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(text, says):
    with pytest.raises(ArgumentError, match=rf"^[^\n]*{says}[^\n]*$"):
        k.parse(text)


@pytest.mark.parametrize("name", sorted(set(k.CATALOGUE) - {"shift"}))
def test_every_name_designs_itself(name):
    assert k.design(name) == k.CATALOGUE[name]()
    assert k.parse(name).name == name
