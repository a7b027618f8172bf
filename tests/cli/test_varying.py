"""The options of learn for kernels that vary and for what is known of them, and the command match-psf."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

import kernelfield as kf


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a pair whose kernel varies, weights, a support and two point-spread functions."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 70))
    t = np.linspace(-1, 1, 70)
    y = ndimage.correlate(x, np.ones((3, 3)) / 9) + t * ndimage.correlate(x, np.eye(3) / 9) + 2 * t
    arrays = {"x": x, "y": y + 0.01 * rng.normal(size=x.shape), "weights": np.ones_like(x), "support": np.eye(3)}
    r = np.hypot(*np.mgrid[-10:11, -10:11])
    arrays |= {"sharp": np.exp(-(r**2) / 2), "wide": np.exp(-(r**2) / 8) / 4}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path


def test_a_kernel_that_varies(run, folder, valid):
    pair = folder / "x.npy", folder / "y.npy"
    options = "--varying", "1", "--background", "1", "--size", "3", "--weights", folder / "weights.npy"
    shown = run("learn", *pair, *options, "--save", folder / "fit.json")
    assert shown.status == 0
    assert shown.out.startswith("A kernel that varies over the field, of degree 1")
    assert "photometric ratio" in shown.out
    record = valid((folder / "fit.json").read_text())
    assert record["varying"]["background"][0][2] == pytest.approx(2.0, abs=0.01)
    assert run("apply", folder / "fit.json", folder / "x.npy", folder / "out.npy").status == 0
    left = np.load(folder / "out.npy") - np.load(folder / "y.npy")
    assert left[1:-1, 1:-1].std() == pytest.approx(0.01, rel=0.05)


def test_what_is_known_of_a_kernel(run, folder, valid):
    pair = folder / "x.npy", folder / "y.npy"
    options = "--sum-to", "1", "--symmetric", "h", "--nonnegative", "--regularise", "ridge,0.001", "--size", "5,3"
    weights = np.array(valid(run("learn", *pair, *options, "--json").out)["kernel"])
    assert weights.shape == (5, 3)
    assert weights.sum() == pytest.approx(1.0)
    assert np.array_equal(weights, weights[:, ::-1])
    assert weights.min() >= 0.0
    record = valid(run("learn", *pair, "--support", folder / "support.npy", "--json").out)
    assert not np.array(record["kernel"])[~np.eye(3, dtype=bool)].any()


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        (("--varying", "two"), 2, "--varying: expected a degree as 2, a grid as 3,4, or auto"),
        (("--regularise", "ridge,much"), 2, "--regularise: expected auto"),
        (("--regularise", "lots"), 1, "regularise: expected"),
        (("--varying", "1", "--method", "descent"), 2, "--varying: expected none with --method descent"),
        (("--sum-to", "0", "--local", "2"), 2, "--sum-to: expected none with pictures that are learned tile by tile"),
        (("--varying", "9"), 1, "varying: expected a degree from 0 to 5"),
    ],
)
def test_refusals(refused, folder, options, status, says):
    assert says in refused(status, "learn", folder / "x.npy", folder / "y.npy", *options)


def test_match_psf(run, refused, folder, valid):
    both = folder / "sharp.npy", folder / "wide.npy"
    shown = run("match-psf", *both, "--size", "15", "--save", folder / "fit.json")
    assert shown.status == 0
    assert shown.out.startswith("Gaussian blur, sigma 1.73")
    record = valid((folder / "fit.json").read_text())
    made = kf.correlate(np.load(both[0]), np.array(record["kernel"]), boundary="constant")
    assert made == pytest.approx(np.load(both[1]), abs=1e-3)
    assert valid(run("match-psf", *both, "--size", "5", "--regularise", "none", "--json").out)["size"] == [5, 5]
    np.save(folder / "zero.npy", np.zeros((5, 5)))
    assert "psf_a: expected a pixel that is not 0" in refused(1, "match-psf", folder / "zero.npy", both[1])
