"""Cross-correlation with a boundary rule: the interior on the caller's memory, the border frames apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from kernelfield.geometry import Boundary, Window, positions_read

Method = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
Span = tuple[int, int]

# Pixels.
_SMALL = 128 * 128


def is_small(shape: tuple[int, ...]) -> bool:
    """Return whether an image (H, W) is extended whole: that costs less than calls for its frames."""
    return shape[0] * shape[1] <= _SMALL


def correlate(
    method: Method,
    image: np.ndarray,
    kernel: np.ndarray,
    out: np.ndarray,
    windows: tuple[Window, Window],
    boundary: Boundary,
    cval: float,
) -> None:
    """Write the cross-correlation over `windows` by `method`, which writes it where windows fit.

    Images are (N, H, W), or (N, H, W, C) with interleaved channels; `out` is as `method` takes it: rows and columns are
    axes 1 and 2 of it where the image has channels, else the last ones.
    """
    for part, rows, columns in _parts(image, windows, boundary, cval):
        method(part, kernel, out[:, rows, columns] if image.ndim == 4 else out[..., rows, columns])


def pieces(
    image: np.ndarray, windows: tuple[Window, Window], boundary: Boundary, cval: float
) -> Iterator[tuple[np.ndarray, slice, slice]]:
    """Yield parts of an extended image (N, C, H, W), and the rows and columns of outputs that each gives.

    The interior is a view of the image; the frames around it are copies, as is the whole where it is small.
    """
    if not any(w.before or w.after for w in windows):
        rows, columns = (slice(0, w.output_size(n)) for w, n in zip(windows, image.shape[2:]))
        yield image, rows, columns
        return
    planes = image.reshape(image.shape[0] * image.shape[1], *image.shape[2:])
    for part, rows, columns in _parts(planes, windows, boundary, cval):
        yield part.reshape(*image.shape[:2], *part.shape[1:]), rows, columns


def _parts(
    image: np.ndarray, windows: tuple[Window, Window], boundary: Boundary, cval: float
) -> Iterator[tuple[np.ndarray, slice, slice]]:
    """Do what `pieces` does for images whose rows and columns are axes 1 and 2."""
    shape = image.shape[1:3]
    sizes = [(0, w.output_size(n)) for w, n in zip(windows, shape)]
    if not any(w.before or w.after for w in windows):
        yield image, slice(*sizes[0]), slice(*sizes[1])
        return
    inside = [w.interior(n) for w, n in zip(windows, shape)]
    rectangles = frames(shape, windows)
    if is_small(shape):
        rectangles = [(sizes[0], sizes[1])]
    elif all(start < stop for start, stop in inside):
        # The first output of the interior reads from here on.
        rows, columns = (slice(i[0] * w.stride - w.before, None) for i, w in zip(inside, windows))
        yield image[:, rows, columns], slice(*inside[0]), slice(*inside[1])
    for across, along in rectangles:
        yield extended(image, windows, boundary, cval, across, along), slice(*across), slice(*along)


def frames(shape: tuple[int, ...], windows: tuple[Window, Window]) -> list[tuple[Span, Span]]:
    """Return the rectangles (rows, columns) of outputs whose window leaves an image of `shape`, as start and stop."""
    rows, columns = (w.output_size(n) for w, n in zip(windows, shape))
    (top, bottom), (left, right) = (w.interior(n) for w, n in zip(windows, shape))
    if top == bottom or left == right:
        return [((0, rows), (0, columns))]
    candidates = [
        ((0, top), (0, columns)),
        ((bottom, rows), (0, columns)),
        ((top, bottom), (0, left)),
        ((top, bottom), (right, columns)),
    ]
    return [frame for frame in candidates if all(start < stop for start, stop in frame)]


def extended(
    image: np.ndarray,
    windows: tuple[Window, Window],
    boundary: Boundary,
    cval: float,
    rows: Span | None = None,
    columns: Span | None = None,
) -> np.ndarray:
    """Return the part of the extended image that the outputs `rows` × `columns` read (all of them by default)."""
    across, along = (
        _read(n, window, boundary, outputs) for n, window, outputs in zip(image.shape[1:], windows, (rows, columns))
    )
    if isinstance(across, slice):
        part = _columns(image[:, across], along)
    elif isinstance(along, slice) or len(across) <= len(along):
        part = image[:, across][:, :, along]
    else:
        part = image[:, :, along][:, across]
    if boundary == "constant":
        if not holds(part.dtype, cval):
            part = part.astype(np.float64)
        for index, place in ((across, (slice(None),)), (along, (slice(None), slice(None)))):
            if not isinstance(index, slice):
                part[(*place, index < 0)] = cval
    return np.ascontiguousarray(part)


def _columns(image: np.ndarray, along: np.ndarray | slice) -> np.ndarray:
    """Return columns of an image; those that lie together come to the cache together."""
    if isinstance(along, slice):
        return image[:, :, along]
    inside = along[along >= 0]
    if not inside.size or np.ptp(inside) >= 4 * len(along):
        return image[:, :, along]
    first, last = int(inside.min()), int(inside.max()) + 1
    near = np.ascontiguousarray(image[:, :, first:last])
    part: np.ndarray = near.take(np.maximum(along - first, 0), axis=2)
    return part


def _read(n: int, window: Window, boundary: Boundary, outputs: Span | None) -> np.ndarray | slice:
    """Return the elements of an axis of `n` that outputs read; -1 for the constant."""
    start, stop = -window.before, n + window.after
    if outputs is not None:
        start += outputs[0] * window.stride
        stop = (outputs[1] - 1) * window.stride + window.span - window.before
    if start >= 0 and stop <= n:
        return slice(start, stop)
    return positions_read(np.arange(start, stop), n, boundary)


def holds(dtype: np.dtype, value: float) -> bool:
    """Return whether an image of `dtype` can hold `value` as it is."""
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max
