"""Arrays of Dask beside `dask_image.ndfilters` and `dask.array.map_overlap`: equal to the bit where these are right.

The parameters are those of dask-image's own tests of `convolve` and `correlate`. Pixels and weights are whole numbers,
whose sums float64 holds exactly: there is one right answer, which SciPy gives on the whole image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.ndimage

import kernelfield as kf
from kernelfield.errors import ArgumentError, KernelfieldError

da = pytest.importorskip("dask.array")
ndfilters = pytest.importorskip("dask_image.ndfilters")

PIXELS = np.arange(140.0).reshape(10, 14)
DISC = ((np.mgrid[-2:3, -2:3] ** 2).sum(axis=0) < 2.5**2).astype(np.float64)
RAMP = np.arange(1.0, 7.0).reshape(2, 3)
CASES: list[tuple[np.ndarray, Any]] = [
    (np.ones((1, 1)), 0),
    (np.ones((2, 2)), 0),
    (np.ones((2, 3)), 0),
    (RAMP, (0, 1)),
    (RAMP, (0, -1)),
    (DISC, 0),
    (DISC, (1, 2)),
    (DISC, (-1, -2)),
    (np.ones((5, 5)), 0),
    (np.ones((7, 7)), 0),
    (np.ones((8, 8)), 0),
    (np.ones((10, 10)), 0),
    (np.ones((5, 5)), 2),
    (np.ones((5, 5)), -2),
]
MODES = ["reflect", "nearest", "mirror", "wrap", "constant"]


@pytest.mark.parametrize("name", ["correlate", "convolve"])
@pytest.mark.parametrize("mode", MODES)
def test_dask_image(name: str, mode: str) -> None:
    wrong = []
    lazy = da.from_array(PIXELS, chunks=(5, 7))
    for number, (weights, origin) in enumerate(CASES):
        right = getattr(scipy.ndimage, name)(PIXELS, weights, mode=mode, cval=3.0, origin=origin)
        ours = getattr(kf, name)(lazy, weights, boundary=mode, cval=3.0, origin=origin)
        np.testing.assert_array_equal(ours.compute(scheduler="synchronous"), right)
        theirs = getattr(ndfilters, name)(lazy, weights, mode=mode, cval=3.0, origin=origin)
        try:
            same = np.array_equal(theirs.compute(scheduler="synchronous"), right)
        except ValueError:
            same = False
        if not same:
            wrong.append(number)
    # A halo that wraps around a chunk of its own size is not the image's: of "wrap" they have other answers.
    assert mode == "wrap" or not wrong


@pytest.mark.parametrize("mode", ["reflect", "nearest", "constant"])
def test_map_overlap(mode: str) -> None:
    lazy = da.from_array(PIXELS, chunks=(5, 7))
    for weights in (DISC, np.arange(9.0).reshape(3, 3)):
        boundary = 3.0 if mode == "constant" else mode
        depth = weights.shape[0] // 2
        theirs = da.map_overlap(
            scipy.ndimage.correlate, lazy, depth=depth, boundary=boundary, weights=weights, dtype=lazy.dtype
        )
        ours = kf.correlate(lazy, weights, boundary=mode, cval=3.0)
        np.testing.assert_array_equal(*(one.compute(scheduler="synchronous") for one in (ours, theirs)))


@pytest.mark.parametrize("name", ["correlate", "convolve"])
def test_wrong_weights_and_origins_are_refused_before_anything_is_computed(name: str) -> None:
    lazy = da.from_array(PIXELS, chunks=(5, 7))
    for weights, origin in (
        (np.ones((1,)), 0),
        (np.ones((1, 0)), 0),
        (np.ones((1, 1)), [(0,)]),
        (np.ones((1, 1)), 1),
        (np.ones((1, 1)), 0.0),
        (np.ones((1, 1)), (0.0, 0.0)),
        (np.ones((1, 1)), 1 + 0j),
    ):
        with pytest.raises(KernelfieldError) as told:
            getattr(kf, name)(lazy, weights, origin=origin)
        assert isinstance(told.value, (ArgumentError, TypeError))


def test_results_stack_as_those_of_single_calls() -> None:
    pixels = np.random.default_rng(0).random((3, 12, 14))
    lazy = da.from_array(pixels, chunks=(3, 6, 7))
    parts = [kf.correlate(lazy[i], RAMP) for i in range(3)]
    assert all(type(n) is int for n in parts[0].shape)
    stacked = da.stack(parts).compute(scheduler="synchronous")
    np.testing.assert_array_equal(stacked, [part.compute(scheduler="synchronous") for part in parts])
    np.testing.assert_array_equal(stacked, kf.correlate(pixels, RAMP, channel_axis=None))
