"""A fit by itself: what a designed one says, what counts as one kernel, and what its methods pass on."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from helpers.fits import least_squares
from scipy import ndimage

import kernelfield as kf
from kernelfield.errors import ArgumentError, FileError
from kernelfield.kernels import Kernel
from kernelfield.learning.curve import Curve
from kernelfield.learning.fit import designed
from kernelfield.learning.light import Light

pytestmark = pytest.mark.core
IMAGE = np.random.default_rng(0).normal(size=(24, 27))


@pytest.mark.parametrize(
    ("anchor", "shape", "corner", "inside"),
    [
        ((0, 1), (1, 2), (0, 0), (0, 1)),
        ((-1, 3), (2, 4), (1, 0), (0, 3)),
        ((2, -2), (3, 4), (0, 2), (2, 0)),
        ((1, 2), (2, 3), (0, 0), (1, 2)),
    ],
)
def test_a_designed_kernel_holds_its_anchor(anchor, shape, corner, inside):
    fit = designed(Kernel([[2.0, 3.0]], anchor=anchor), "two")
    expected = np.zeros(shape)
    expected[corner[0], corner[1] : corner[1] + 2] = 2.0, 3.0
    np.testing.assert_array_equal(fit.kernel.weights, expected)
    assert (fit.size, fit.anchor, fit.rank) == (shape, inside, expected.size)
    assert (fit.integers.tolist(), fit.divisor) == (expected.tolist(), 1)
    assert fit.stderr.tolist() == np.zeros(shape).tolist()
    assert fit.undetermined.shape == (0, *shape)
    # The pixel over the anchor is the output's.
    down, right = -anchor[0], -anchor[1]
    centre = 10, 12
    found = fit.apply(IMAGE)[centre]
    left = IMAGE[centre[0] + down, centre[1] + right], IMAGE[centre[0] + down, centre[1] + right + 1]
    assert found == pytest.approx(2.0 * left[0] + 3.0 * left[1])


def test_what_a_designed_fit_says():
    fit = designed(kf.kernels.gaussian(1.1), "a blur")
    assert (fit.offset, fit.cval, fit.r2, fit.residual_sd, fit.samples, fit.excluded) == (0.0, 0.0, 1.0, 0.0, 0, 0)
    assert (fit.boundary, fit.boundary_candidates, fit.rounding, fit.verdict) == ("reflect", (), None, "exact")
    assert (fit.name, dict(fit.parameters)["sigma"], fit.integers, fit.divisor) == ("gaussian", 1.1, None, None)
    assert (fit.gain, fit.scale, fit.outliers, fit.stride, fit.model) == (1.0, 1.0, 0, (1, 1), "shared")
    assert fit.notes == (f"source: {kf.kernels.gaussian(1.1).source}",)
    assert designed(Kernel([[1.0]]), "one").notes == ()
    assert repr(fit) == "<Fit, exact: a blur, kernel 9×9, R² 1.000000>"
    np.testing.assert_allclose(
        fit.apply(IMAGE), ndimage.correlate(IMAGE, fit.kernel.weights, mode="reflect"), atol=1e-12
    )


@pytest.mark.parametrize(
    ("changes", "one", "plain"),
    [
        ({}, True, True),
        ({"offset": (1.0, 2.0)}, True, True),
        ({"stride": (2, 1)}, True, False),
        ({"stride": (1, 2)}, True, False),
        ({"bank": np.ones((1, 1, 3, 3))}, False, False),
        ({"light": Light("sRGB")}, False, False),
        ({"curve": Curve("after", (0.0, 1.0), (0.0, 2.0), "")}, False, False),
        ({"varying": 1}, False, False),
    ],
)
def test_which_fits_are_one_kernel(changes, one, plain):
    fit = dataclasses.replace(designed(kf.kernels.box(3), "box"), **changes)
    assert (fit.one_kernel, fit.plain) == (one, plain)


def test_methods_refuse_what_they_do_not_take(tmp_path):
    fit = designed(kf.kernels.box(3), "box")
    with pytest.raises(ArgumentError, match=r"other: expected a Fit, as kernelfield\.learn returns; received 3"):
        fit.compare(3)
    with pytest.raises(ArgumentError, match="command: expected text; received 3"):
        fit.report(tmp_path / "a.html", IMAGE, IMAGE, command=3)
    for pair in ((IMAGE, None), (None, IMAGE)):
        with pytest.raises(ArgumentError, match="before, after: expected both or none; received one"):
            fit.plot(*pair)
    assert fit.plot().axes
    # Before any work: the pair is none of the fit's.
    with pytest.raises(FileError):
        fit.report(tmp_path / "none" / "a.html", IMAGE, IMAGE[:3])
    with pytest.raises(ArgumentError):
        fit.report(tmp_path / "a.html", IMAGE, IMAGE[:3])
    assert not list(tmp_path.iterdir())


def test_a_file_is_indented_and_ends_with_a_line(tmp_path):
    fit = designed(kf.kernels.box(3), "box 3×3")
    fit.save(tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text("ascii")
    assert text.startswith('{\n  "format": 1,\n')
    assert text.endswith("\n}\n")
    assert json.loads(text)["description"] == "box 3×3"
    assert kf.Fit.load(str(tmp_path / "a.json")).description == "box 3×3"


def test_methods_pass_on_what_they_are_given():
    fit = designed(kf.kernels.box(3), "box")
    np.testing.assert_allclose(fit.apply(IMAGE, boundary="wrap"), ndimage.uniform_filter(IMAGE, 3, mode="wrap"))
    whole = np.round(IMAGE * 30.0 + 100.0).astype(np.uint8)
    assert fit.apply(whole, dtype="float64").dtype == np.float64
    assert fit.apply(whole).dtype == np.uint8
    assert "exact" in str(fit)
    assert "box" in fit._repr_html_()
    assert fit.mtf().angle == 0.0
    assert fit.mtf(30.0, [0.1, 0.2]).frequencies.tolist() == [0.1, 0.2]
    assert (fit.compare(fit).level, fit.compare(fit, 0.2).level) == (0.01, 0.2)
    assert "box" in fit.export("numpy")
    assert isinstance(fit.export("c", dtype="uint8"), str)


def test_methods_of_a_learned_fit():
    rng = np.random.default_rng(1)
    before = rng.normal(size=(40, 44))
    after = ndimage.correlate(before, np.array([[0.2, 0.5, 0.1]])) + 0.3 * rng.normal(size=before.shape)
    fit = least_squares(before, after, (1, 3))
    ellipse = fit.confidence_ellipse((0, 0), (0, 2))
    assert ellipse.level == 0.95
    assert fit.confidence_ellipse((0, 0), (0, 2), 0.5).level == 0.5
    assert ellipse.centre == (fit.kernel.weights[0, 0], fit.kernel.weights[0, 2])
    assert fit.held_out_r2(before, after) == fit.held_out_r2(before, after, folds=4)
    assert fit.held_out_r2(before, after) != fit.held_out_r2(before, after, folds=3)
    assert 0.5 < fit.held_out_r2(before, after) < 0.9
