"""Exports of kernels that vary give the pixels of the fit where they are run: NumPy, SciPy, OpenCV, PyTorch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import kernelfield as kf
from kernelfield.errors import ArgumentError
from kernelfield.learning.field_basis import Basis
from kernelfield.learning.fit import Fit, designed
from kernelfield.learning.varying import Varying

SHAPE = (23, 31)
BORDERS = ("constant", "nearest", "reflect", "mirror", "wrap", "copy", "renormalised")


def fit_of(order, boundary: str, channels: int = 1, background: int = 1) -> Fit:
    """Return a fit with random kernels, of positive sums."""
    rng = np.random.default_rng(0)
    bank = rng.normal(size=(Basis(order, SHAPE).count, 3, 4)) / 20.0
    bank[0] += 1.0 / 12.0
    behind = rng.normal(size=(channels, Basis(background, SHAPE).count)) * 9.0
    varying = Varying(order, SHAPE, bank, 0 * bank, background, behind, 0 * behind)
    names = tuple(map(str, range(channels))) if channels > 1 else ("grey",)
    plain = designed(kf.kernels.Kernel(varying.mean, anchor=(1, 2)), "a test")
    return dataclasses.replace(
        plain,
        varying=varying,
        boundary=boundary,
        cval=5.0 if boundary == "constant" else 0.0,
        channels=names,
        integers=None,
        divisor=None,
        name=None,
    )


def ran(fit: Fit, target: str, image: np.ndarray) -> np.ndarray:
    names: dict = {}
    exec(compile(fit.export(target), target, "exec"), names)
    if target != "pytorch":
        return names["apply"](image)
    torch = pytest.importorskip("torch")
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, 2, 0)
    found = names["Filter"]()(torch.tensor(np.ascontiguousarray(planes))[None])[0].numpy()
    return found[0] if image.ndim == 2 else np.moveaxis(found, 0, 2)


@pytest.mark.torch
@pytest.mark.parametrize("target", ["numpy", "scipy", "opencv", "pytorch"])
@pytest.mark.parametrize("boundary", BORDERS)
def test_a_program_gives_the_same_pixels(target, boundary):
    if target == "opencv":
        pytest.importorskip("cv2")
    image = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    for order in (2, (3, 2)):
        fit = fit_of(order, boundary)
        np.testing.assert_array_equal(ran(fit, target, image), fit.apply(image))
        np.testing.assert_allclose(ran(fit, target, image / 7), fit.apply(image / 7), rtol=1e-11, atol=1e-10)


@pytest.mark.torch
@pytest.mark.parametrize("target", ["numpy", "pytorch"])
def test_each_channel_has_its_background(target):
    image = np.random.default_rng(1).integers(0, 256, (*SHAPE, 3), np.uint8)
    fit = fit_of(1, "mirror", channels=3, background=2)
    np.testing.assert_array_equal(ran(fit, target, image), fit.apply(image))


def test_what_has_no_program_is_refused():
    fit = fit_of(1, "mirror")
    for target in ("onnx", "c", "imagemagick", "ffmpeg"):
        with pytest.raises(ArgumentError, match="numpy, scipy, opencv, pytorch for a kernel that varies"):
            fit.export(target)
    assert "that of row 0" in str(fit.at(0, 0).export("c", dtype="uint8"))
    names: dict = {}
    exec(compile(fit.export("numpy"), "numpy", "exec"), names)
    with pytest.raises(ValueError, match="image: expected"):
        names["apply"](np.zeros((5, 5)))
