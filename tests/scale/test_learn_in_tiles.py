"""`kf.scale.learn`: from stores and files, by threads and by processes, with one result."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

import kernelfield as kf
from kernelfield.cli.main import main
from kernelfield.errors import ArgumentError, DtypeError
from kernelfield.learning import Fit

zarr = pytest.importorskip("zarr")

BEFORE = data.camera()[:300, :260]
KERNEL = np.outer([1, 2, 1], [1, 2, 1])
AFTER = ((ndimage.correlate(BEFORE.astype(np.int64), KERNEL, mode="nearest") + 8) // 16).astype(np.uint8)
FLOATS = (BEFORE / 255).astype(np.float32)
NOISY = (
    ndimage.correlate(FLOATS, KERNEL / 16) + np.random.default_rng(0).normal(size=BEFORE.shape).astype(np.float32) / 50
)


def bits(fit: Fit) -> dict[str, Any]:
    """Return all of a fit as values that compare to the bit."""
    found = {one.name: getattr(fit, one.name) for one in fields(Fit)}
    found["kernel"] = found["kernel"].weights
    return {name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in found.items()}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut pictures of this size into tiles too."""
    monkeypatch.setattr("kernelfield.learning.tiled.TILE", 64)


def stored(folder: Path, name: str, pixels: np.ndarray, **options: Any) -> Path:
    """Write a store."""
    array = zarr.create_array(folder / name, shape=pixels.shape, dtype=pixels.dtype, **options)
    array[...] = pixels
    return folder / name


def test_the_bits_do_not_hang_on_storage_or_threads(tmp_path: Path) -> None:
    expected = bits(kf.scale.learn(FLOATS, NOISY, threads=1))
    np.save(tmp_path / "before.npy", FLOATS)
    sources = [
        (tmp_path / "before.npy", stored(tmp_path, "sharded.zarr", NOISY, chunks=(30, 50), shards=(150, 100))),
        (stored(tmp_path, "v2.zarr", FLOATS, chunks=(97, 260), zarr_format=2), NOISY),
        (FLOATS, stored(tmp_path, "one.zarr", NOISY, chunks=(300, 260))),
    ]
    for before, after in sources:
        assert bits(kf.scale.learn(before, after, threads=3)) == expected


def test_integers_are_learned_as_in_memory_to_the_bit(tmp_path: Path) -> None:
    fit = kf.scale.learn(stored(tmp_path, "b.zarr", BEFORE, chunks=(100, 100)), AFTER)
    whole = kf.learn(BEFORE, AFTER)
    assert fit.kernel.weights.tobytes() == whole.kernel.weights.tobytes()
    for name in ("offset", "boundary", "integers", "divisor", "name", "verdict", "samples", "rank", "rounding"):
        assert np.array_equal(getattr(fit, name), getattr(whole, name)), name
    assert (fit.verdict, fit.description, fit.boundary) == ("exact", "binomial 3×3", "reflect")


def test_channels_lie_on_any_axis(tmp_path: Path) -> None:
    colour = data.astronaut()[:100, :120]
    after = np.stack([((ndimage.correlate(colour[..., i].astype(int), KERNEL) + 8) // 16) for i in range(3)], 2)
    first = np.moveaxis(colour, 2, 0), np.moveaxis(after.astype(np.uint8), 2, 0)
    fit = kf.scale.learn(*first, channel_axis=0)
    assert fit.channels == ("0", "1", "2")
    assert bits(fit) == bits(kf.scale.learn(colour, after.astype(np.uint8)))


def test_arrays_of_dask_and_xarray() -> None:
    da, xarray = pytest.importorskip("dask.array"), pytest.importorskip("xarray")
    lazy = da.from_array(BEFORE, chunks=(77, 90))
    labelled = xarray.DataArray(AFTER, dims=("y", "x"))
    assert bits(kf.scale.learn(lazy, labelled)) == bits(kf.scale.learn(BEFORE, AFTER))


def test_a_mask_leaves_out_pixels() -> None:
    spoilt, mask = AFTER.copy(), np.ones(AFTER.shape, bool)
    spoilt[50:90, 50:90], mask[50:90, 50:90] = 255, False
    fit = kf.scale.learn(BEFORE, spoilt, mask=mask)
    assert (fit.verdict, fit.excluded) == ("exact", 42 * 42)


MARKED = [(-9999.0, "float64"), (1e20, "float32"), (-32768, "int16"), (65535, "uint16")]


@pytest.mark.parametrize(("marker", "dtype"), MARKED, ids=[dtype for _, dtype in MARKED])
@pytest.mark.parametrize("which", ["before", "after", "both"])
def test_markers_of_missing_pixels_are_left_out_as_in_memory(which: str, marker: float, dtype: str) -> None:
    # The patches lie in some tiles only.
    before = BEFORE[:140, :190].astype(dtype)
    after = kf.correlate(before, [[0.0, 0.5, 0.0], [0.25, 0.0, 0.25], [0.0, 0.0, 0.0]], dtype=dtype)
    if which != "after":
        before[5:15, 5:20] = marker
    if which != "before":
        after[70:80, 100:150] = marker
    fit, whole = kf.scale.learn(before, after), kf.learn(before, after)
    assert fit.kernel.weights.tobytes() == whole.kernel.weights.tobytes()
    for name in ("offset", "boundary", "integers", "divisor", "verdict", "samples", "excluded", "notes"):
        assert np.array_equal(getattr(fit, name), getattr(whole, name)), name
    assert fit.verdict == "exact"
    assert any(f"pixels of {marker:.6g} in the" in note for note in fit.notes)


def test_a_mask_over_marked_pixels_leaves_no_marker() -> None:
    before, mask = BEFORE.astype(np.float64), np.ones(BEFORE.shape, bool)
    after = kf.correlate(before, KERNEL / 16)
    before[5:15, 5:20], mask[5:15, 5:20] = -9999.0, False
    for fit in (kf.scale.learn(before, after, mask=mask), kf.learn(before, after, mask=mask)):
        assert fit.verdict == "exact"
        assert not any("taken for missing" in note for note in fit.notes)


def test_values_that_are_no_markers_count_as_in_memory() -> None:
    # Four pixels are too few for a marker, 300 of the after are enough.
    before, after = BEFORE.astype(np.float64), kf.correlate(BEFORE.astype(np.float64), KERNEL / 16)
    before.ravel()[:4] = -9999.0
    after[100:110, 100:130] = 1e6
    fit, whole = kf.scale.learn(before, after, size=3), kf.learn(before, after, size=3)
    assert (fit.samples, fit.excluded, fit.notes) == (whole.samples, whole.excluded, whole.notes)
    assert [note for note in fit.notes if "taken for" in note] == [
        "pixels of 1e+06 in the after are taken for missing ones: give mask= otherwise"
    ]


def test_pixels_at_odd_addresses() -> None:
    # As a worker receives them, behind what else is in a message.
    odd = []
    for pixels in (FLOATS, NOISY):
        odd.append(np.frombuffer(b"-" + pixels.tobytes(), pixels.dtype, offset=1).reshape(pixels.shape))
        assert not odd[-1].flags.aligned
    assert bits(kf.scale.learn(*odd)) == bits(kf.scale.learn(FLOATS, NOISY))
    assert kf.learn(*odd).kernel.weights.tobytes() == kf.learn(FLOATS, NOISY).kernel.weights.tobytes()


def test_what_cannot_be_learned_is_refused() -> None:
    with pytest.raises(ArgumentError, match="threads: expected a positive integer; received 0"):
        kf.scale.learn(BEFORE, AFTER, threads=0)
    with pytest.raises(DtypeError, match="after: expected integers or floats; received complex"):
        kf.scale.learn(BEFORE, AFTER.astype(complex))
    with pytest.raises(ArgumentError, match="expected rows, columns and up to"):
        kf.scale.learn(np.zeros((9, 64, 64)), np.zeros((9, 64, 64)))
    with pytest.raises(ArgumentError, match="scheduler: expected an address"):
        kf.scale.learn(BEFORE, AFTER, scheduler=0)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored(tmp_path, "before.zarr", BEFORE, chunks=(64, 64))
    after = stored(tmp_path, "after.zarr", AFTER, chunks=(64, 64))
    assert main(["learn", str(before), str(after), "--json", "--save", str(tmp_path / "fit.json")]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["name"] == "binomial"
    assert (tmp_path / "fit.json").read_text() == printed
    assert main(["learn", str(before), str(after), "--plot", str(tmp_path / "fit.png")]) == 2
    assert "--plot: expected none with pictures that are learned tile by tile" in capsys.readouterr().err
    assert main(["learn", str(before), str(after), "--local", "2", "--scheduler", "tcp://x:1"]) == 2
    assert "--scheduler, --local: expected one of them; received both" in capsys.readouterr().err
