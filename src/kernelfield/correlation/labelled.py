"""Cross-correlation of xarray's arrays: axes by the names of dimensions, coordinates kept, moved and thinned out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from kernelfield.arrays import channel_axis_of
from kernelfield.correlation.arguments import WINDOWS, check_operation, weights_and_origin
from kernelfield.errors import ArgumentError, received

# Names of the dimensions of rows and columns, and of channels, in lower case.
_PLANES = (
    ("y", "x"),
    ("row", "column"),
    ("rows", "columns"),
    ("lat", "lon"),
    ("latitude", "longitude"),
    ("northing", "easting"),
)
_CHANNELS = frozenset(("c", "channel", "channels", "band", "bands", "color", "colour", "rgb", "rgba"))


def correlate_labelled(compute: Callable[..., Any], image: Any, given: dict[str, Any], flipped: bool) -> Any:
    """Return `correlate` of a `xarray.DataArray` as one, lazy where it is.

    Rows and columns are the dimensions of such names ("y" and "x", "lat" and "lon" and the like), else the last two.
    Coordinates of an output are those of the pixel below the anchor. Where that lies outside the image, evenly spaced
    coordinates are continued and others dropped.

    Parameters
    ----------
    compute : callable
        `correlate`.
    image : xarray.DataArray
    given : dict
        The other arguments of `correlate`; `channel_axis` may be the name of a dimension.
    flipped : bool
        Whether the kernel was flipped, for a convolution.
    """
    weights, own_origin = weights_and_origin(given["kernel"])
    dims = list(image.dims)
    rows, columns, channel = planes_of(image, given["channel_axis"], weights.ndim)
    leading = [dim for dim in dims if dim not in (rows, columns, channel)]
    turned = image.transpose(*leading, *([] if channel is None else [channel]), rows, columns)
    options = {name: value for name, value in given.items() if name != "channel_axis"}
    result = compute(turned.data, options.pop("kernel"), channel_axis=None, **options)

    windows = {name: given[name] for name in WINDOWS}
    operation = check_operation(turned.shape, weights.shape, own_origin=own_origin, **windows)
    places = {}
    for dim, window, origin in zip((rows, columns), operation.windows, own_origin):
        centre = window.size // 2 + origin if not flipped else (window.size - 1) // 2
        over = window.before if given["mode"] == "same" and given["padding"] is None else window.dilation * centre
        places[dim] = np.arange(window.output_size(image.sizes[dim])) * window.stride - window.before + over
    order, names = list(turned.dims), dims
    if weights.ndim == 3:
        bank = next(name for name in ("kernel", "kernel_", "kernel__") if name not in dims)
        order.insert(-2, bank)
        names = [*dims]
        names.insert(dims.index(rows), bank)
    lost = channel if weights.ndim == 4 else None
    coords = moved_coordinates(image, places, lost)
    found = sys.modules["xarray"].DataArray(result, coords, order, image.name, image.attrs)
    return found.transpose(*names)


def moved_coordinates(image: Any, places: dict[Any, np.ndarray], lost: Any = None) -> dict[Any, Any]:
    """Return the coordinates of an image at other places along some dimensions.

    Parameters
    ----------
    image : xarray.DataArray
    places : dict
        Of a dimension, the elements of the image, outside it too, at which the outputs stand.
    lost : hashable, optional
        A dimension that outputs do not have: its coordinates are left out.
    """
    coords = {}
    for name, coordinate in image.coords.items():
        if lost is not None and lost in coordinate.dims:
            continue
        moved = coordinate.variable
        for dim, place in places.items():
            moved = None if moved is None else _at(moved, dim, place)
        if moved is not None:
            coords[name] = moved
    return coords


def planes_of(image: Any, channel_axis: Any, kernel_axes: int = 2) -> tuple[Any, Any, Any]:
    """Return the dimensions of rows, columns and channels, None if there is none."""
    dims = list(image.dims)
    if len(dims) < 2:
        raise ArgumentError(f"image: expected at least two dimensions; received {received(image.dims)}")
    lower = {str(dim).lower(): dim for dim in dims}
    named = next(((lower[y], lower[x]) for y, x in _PLANES if y in lower and x in lower), None)
    channel = None
    if isinstance(channel_axis, str) and channel_axis != "auto":
        if channel_axis not in dims:
            raise ArgumentError(
                f"channel_axis: expected one of {received(image.dims)}; received {received(channel_axis)}"
            )
        channel = channel_axis
    elif channel_axis is not None and not isinstance(channel_axis, str):
        channel = dims[channel_axis_of(image.shape, channel_axis) or 0]
    elif channel_axis == "auto" and len(dims) > 2:
        channel = next((dim for name, dim in lower.items() if name in _CHANNELS), None)
        if channel is None and named is None and kernel_axes != 4:
            place = channel_axis_of(image.shape, "auto")
            channel = None if place is None else dims[place]
    if named is not None and channel in named:
        raise ArgumentError(
            f"channel_axis: expected another dimension than {received(named)}; received {received(channel)}"
        )
    others = [dim for dim in dims if dim != channel]
    rows, columns = named or (others[-2], others[-1])
    if kernel_axes == 4 and channel is None and len(dims) > 2:
        channel = [dim for dim in dims if dim not in (rows, columns)][-1]
    return rows, columns, channel


def _at(coordinate: Any, dim: Any, places: np.ndarray) -> Any:
    """Return a coordinate at places along a dimension; None if it cannot be continued to those outside."""
    if dim not in coordinate.dims:
        return coordinate
    n = coordinate.sizes[dim]
    if not places.size or (places.min() >= 0 and places.max() < n):
        return coordinate.isel({dim: places})
    values = np.asarray(coordinate.values)
    if values.ndim != 1 or n < 2 or values.dtype.kind not in "iufM":
        return None
    if values.dtype.kind in "iu":
        # Differences of unsigned coordinates that descend are negative.
        values = values.astype(np.int64)
    steps = np.diff(values)
    step = steps[0]
    even = (
        (steps == step).all() if values.dtype.kind in "iuM" else np.allclose(steps, (values[-1] - values[0]) / (n - 1))
    )
    if not even:
        return None
    if values.dtype.kind == "f":
        step = (values[-1] - values[0]) / (n - 1)
    kind = sys.modules["xarray"].Variable
    return kind(coordinate.dims, values[0] + places * step, coordinate.attrs)
