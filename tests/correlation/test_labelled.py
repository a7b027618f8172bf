"""Arrays of xarray: coordinates of every output, axes by name, and everything else that they carry."""

import numpy as np
import pytest
from cases import image

import kernelfield as kf
from kernelfield.errors import ArgumentError

xr = pytest.importorskip("xarray")

PIXELS = image("float64", (20, 30))
KERNEL = np.random.default_rng(0).normal(size=(3, 5))


def labelled(pixels=PIXELS, dims=("y", "x"), **more):
    sizes = dict(zip(dims, pixels.shape))
    coords = {"y": 5.0 + 2.0 * np.arange(sizes["y"]), "x": 100 - np.arange(sizes["x"]), **more}
    return xr.DataArray(pixels, coords, dims, "depth", {"units": "m"})


@pytest.mark.parametrize("function", [kf.correlate, kf.convolve])
@pytest.mark.parametrize("how", [{}, {"boundary": "wrap", "dtype": "int16"}, {"mode": "valid"}, {"stride": (2, 3)}])
def test_values_are_those_of_the_array(function, how):
    found = function(labelled(), KERNEL, **how)
    assert (found.dims, found.name, found.attrs) == (("y", "x"), "depth", {"units": "m"})
    np.testing.assert_array_equal(found.values, function(PIXELS, KERNEL, **how))


@pytest.mark.parametrize("size", [(3, 3), (2, 4), (5, 1)])
@pytest.mark.parametrize("mode", ["same", "valid", "full"])
@pytest.mark.parametrize("steps", [{}, {"stride": (2, 3)}, {"dilation": 2}, {"stride": 3, "dilation": (1, 2)}])
@pytest.mark.parametrize("function", [kf.correlate, kf.convolve])
def test_an_output_has_the_coordinates_of_the_pixel_below_the_anchor(function, steps, mode, size):
    """A kernel that picks this pixel, from images of the coordinates themselves, extended by their own rule."""
    centre = np.zeros(size)
    centre[size[0] // 2, size[1] // 2] = 1
    image_ = labelled()
    found = function(image_, centre, mode=mode, **steps)
    for dim, axis in (("y", 0), ("x", 1)):
        line = image_[dim].values
        # Beyond the ends the coordinates go on.
        reach = 40
        long = line[0] + (line[1] - line[0]) * np.arange(-reach, line.size + reach)
        grid = np.broadcast_to(long[:, None] if axis == 0 else long, (20, long.size) if axis else (long.size, 30))
        padding = [(0, 0), (0, 0)]
        spread = [d * (k - 1) for d, k in zip(np.broadcast_to(steps.get("dilation", 1), 2), size)]
        before = {"valid": 0, "full": spread[axis]}.get(mode)
        if before is None:
            expected = line[:: np.broadcast_to(steps.get("stride", 1), 2)[axis]]
        else:
            start = reach - before
            inner = np.take(grid, range(start, start + line.size + 2 * before), axis)
            picked = function(inner, centre, mode="valid" if padding else mode, padding=None, **steps)
            expected = picked[0] if axis else picked[:, 0]
        np.testing.assert_allclose(found[dim].values, expected)


def test_coordinates_of_two_axes_scalars_and_uneven_ones():
    latitude = np.add.outer(np.arange(20.0), np.arange(30.0))
    uneven = np.arange(20.0) ** 2
    site = "x", [f"site {i}" for i in range(30)]
    image_ = labelled(lat=(("y", "x"), latitude), time=7, row=("y", uneven), site=site)
    same = kf.correlate(image_, KERNEL, stride=2)
    np.testing.assert_array_equal(same.lat.values, latitude[::2, ::2])
    np.testing.assert_array_equal(same.row.values, uneven[::2])
    assert (int(same.time), str(same.site.values[1])) == (7, "site 2")
    inner = kf.correlate(image_, KERNEL, mode="valid")
    np.testing.assert_array_equal(inner.lat.values, latitude[1:-1, 2:-2])
    wider = kf.correlate(image_, KERNEL, mode="full")
    assert set(wider.coords) == {"y", "x", "time"}
    dates = labelled().assign_coords(y=np.datetime64("2026-01-01") + np.arange(20))
    assert kf.correlate(dates, KERNEL, mode="full").y.values[0] == np.datetime64("2025-12-31")


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint32"])
def test_whole_coordinates_that_descend_are_continued(dtype):
    labelled = xr.DataArray(np.ones((6, 4)), dims=("y", "x"), coords={"y": np.arange(6, 0, -1).astype(dtype)})
    found = kf.correlate(labelled, np.ones((3, 3)), mode="full")
    assert found.y.values.tolist() == [7, 6, 5, 4, 3, 2, 1, 0]


def test_rows_and_columns_are_found_by_name():
    for dims in (("x", "y"), ("y", "x", "time"), ("time", "y", "x"), ("y", "time", "x")):
        shape = [{"y": 20, "x": 30, "time": 3}[dim] for dim in dims]
        values = image("float64", tuple(shape))
        image_ = xr.DataArray(values, dims=dims)
        found = kf.correlate(image_, KERNEL)
        assert found.dims == dims
        pairs = [(found, image_)]
        if "time" in dims:
            pairs = list(zip(found.transpose("time", ...), image_.transpose("time", ...)))
        for part, whole in pairs:
            expected = kf.correlate(np.ascontiguousarray(whole.transpose("y", "x").values), KERNEL)
            np.testing.assert_array_equal(part.transpose("y", "x").values, expected)
    climate = xr.DataArray(image("float64", (20, 30, 4)), dims=("lat", "lon", "time"))
    expected = kf.correlate(climate.values, KERNEL, channel_axis=-1)
    np.testing.assert_array_equal(kf.correlate(climate, KERNEL).values, expected)


def test_channels_have_names():
    values = image("float64", (4, 20, 30))
    bands = xr.DataArray(values, {"band": list("rgbn")}, ("band", "u", "v"))
    np.testing.assert_array_equal(kf.correlate(bands, KERNEL).values, kf.correlate(values, KERNEL))
    weights = np.random.default_rng(0).normal(size=(6, 4, 3, 3))
    expected = kf.correlate(values, weights)
    found = kf.correlate(bands, weights)
    assert found.dims == ("band", "u", "v")
    assert "band" not in found.coords
    np.testing.assert_array_equal(found.values, expected)
    last = bands.rename(band="spectrum").transpose("u", "v", "spectrum")
    found = kf.correlate(last, weights, channel_axis="spectrum")
    assert found.dims == ("u", "v", "spectrum")
    np.testing.assert_array_equal(found.values, np.moveaxis(expected, 0, -1))
    photo = xr.DataArray(image("uint8", (20, 30, 3)))
    np.testing.assert_array_equal(kf.correlate(photo, KERNEL).values, kf.correlate(photo.values, KERNEL))
    for axis in ("spectre", 7):
        with pytest.raises(ArgumentError, match="channel_axis: expected"):
            kf.correlate(last, KERNEL, channel_axis=axis)
    with pytest.raises(ArgumentError, match="image: expected at least two dimensions"):
        kf.correlate(xr.DataArray(np.zeros(4)), KERNEL)


def test_a_bank_is_a_dimension():
    bank = np.stack([KERNEL, 2 * KERNEL])
    found = kf.correlate(labelled(), bank)
    assert found.dims == ("kernel", "y", "x")
    np.testing.assert_array_equal(found.values, kf.correlate(PIXELS, bank))
    stack = xr.DataArray(image("float64", (3, 20, 30)), dims=("time", "y", "x"))
    with pytest.raises(ArgumentError, match="bank=True"):
        kf.correlate(stack, bank)
    assert kf.correlate(stack, bank, bank=True).dims == ("time", "kernel", "y", "x")


def test_lazy_ones_stay_lazy():
    pytest.importorskip("dask.array")
    image_ = labelled().chunk({"y": 7, "x": 11})
    found = kf.correlate(image_, KERNEL, missing="renormalise")
    assert found.chunks == image_.chunks
    np.testing.assert_allclose(found.compute(scheduler="synchronous").values, kf.correlate(PIXELS, KERNEL), atol=1e-13)


def test_out_is_refused():
    with pytest.raises(ArgumentError, match="out: expected none with DataArray"):
        kf.correlate(labelled(), KERNEL, out=np.zeros((20, 30)))
