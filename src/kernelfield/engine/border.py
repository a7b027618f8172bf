"""Cross-correlation with a boundary rule: the interior on the caller's memory, the border frames apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from kernelfield.geometry import Boundary, Window, boundary_index

Method = Callable[[np.ndarray, np.ndarray, np.ndarray], None]

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
    """Write the cross-correlation of `image` (N, H, W) over `windows` into `out` (N, OH, OW) by `method`."""
    for part, rows, columns in pieces(image[:, None], windows, boundary, cval):
        method(part[:, 0], kernel, out[:, rows, columns])


def pieces(
    image: np.ndarray, windows: tuple[Window, Window], boundary: Boundary, cval: float
) -> Iterator[tuple[np.ndarray, slice, slice]]:
    """Yield parts of an extended image (N, C, H, W), and the rows and columns of outputs that each gives.

    The interior is a view of the image; the frames around it are copies, as is the whole where it is small.
    """
    shape = image.shape[2:]
    sizes = [(0, w.output_size(n)) for w, n in zip(windows, shape)]
    if not any(w.before or w.after for w in windows):
        yield image, slice(*sizes[0]), slice(*sizes[1])
        return
    planes = image.reshape(image.shape[0] * image.shape[1], *shape)
    inside = [w.interior(n) for w, n in zip(windows, shape)]
    rectangles = frames(shape, windows)
    if is_small(shape):
        rectangles = [(sizes[0], sizes[1])]
    elif all(start < stop for start, stop in inside):
        # The first output of the interior reads from here on.
        rows, columns = (slice(i[0] * w.stride - w.before, None) for i, w in zip(inside, windows))
        yield image[:, :, rows, columns], slice(*inside[0]), slice(*inside[1])
    for across, along in rectangles:
        part = extended(planes, windows, boundary, cval, across, along)
        yield part.reshape(*image.shape[:2], *part.shape[1:]), slice(*across), slice(*along)


def frames(shape: tuple[int, ...], windows: tuple[Window, Window]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
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
    rows: tuple[int, int] | None = None,
    columns: tuple[int, int] | None = None,
) -> np.ndarray:
    """Return the part of the extended image that the outputs `rows` × `columns` read (all of them by default)."""
    indices = []
    for axis, (window, outputs) in enumerate(zip(windows, (rows, columns)), start=1):
        index = boundary_index(image.shape[axis], window.before, window.after, boundary)
        if outputs is not None:
            index = index[outputs[0] * window.stride : (outputs[1] - 1) * window.stride + window.span]
        indices.append(index)
    if len(indices[0]) <= len(indices[1]):
        part = image[:, indices[0]][:, :, indices[1]]
    else:
        part = image[:, :, indices[1]][:, indices[0]]
    if boundary == "constant":
        if not _holds(part.dtype, cval):
            part = part.astype(np.float64)
        part[:, indices[0] < 0] = cval
        part[:, :, indices[1] < 0] = cval
    return np.ascontiguousarray(part)


def _holds(dtype: np.dtype, value: float) -> bool:
    """Return whether an image of `dtype` can hold `value` as it is."""
    if dtype.kind == "f":
        return True
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max
