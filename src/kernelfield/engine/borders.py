"""Parts of an image extended by its boundary rule, for windows that reach outside."""

from __future__ import annotations

import numpy as np

from kernelfield.geometry import Boundary, Window, positions_read

Span = tuple[int, int]


def extended(
    image: np.ndarray,
    windows: tuple[Window, Window],
    boundary: Boundary,
    cval: float,
    rows: Span | None = None,
    columns: Span | None = None,
) -> np.ndarray:
    """Return a copy of the part of the extended image (..., H, W) read by the outputs `rows` × `columns`, default all.

    Its dtype is the image's, or float64 if that cannot hold `cval`.

    Examples
    --------
    >>> image = np.array([[1, 2, 3]])
    >>> extended(image, (Window(1), Window(3, 1, 1)), "wrap", 0.0).tolist()
    [[3, 1, 2, 3, 1]]
    >>> extended(image, (Window(1), Window(3, 1, 1)), "constant", 0.5, columns=(0, 1)).tolist()
    [[0.5, 1.0, 2.0]]
    """
    part, reads = image, []
    for axis, window, outputs in zip((-2, -1), windows, (rows, columns)):
        n = image.shape[axis]
        first, last = outputs or (0, window.output_size(n))
        start, stop = first * window.stride - window.before, (last - 1) * window.stride + window.span - window.before
        read = positions_read(np.arange(start, stop), n, boundary)
        reads.append(read)
        # Slice first: gathering takes long.
        inside = read[read >= 0]
        low, high = (int(inside.min()), int(inside.max()) + 1) if inside.size else (0, 1)
        near = part[..., low:high, :] if axis == -2 else part[..., low:high]
        part = near if (start, stop) == (low, high) else near.take(np.maximum(read - low, 0), axis=axis)
    if boundary != "constant":
        return np.ascontiguousarray(part)
    part = np.array(part, dtype=image.dtype if _holds(image.dtype, cval) else np.float64)
    part[..., reads[0] < 0, :] = cval
    part[..., reads[1] < 0] = cval
    return part


def _holds(dtype: np.dtype, value: float) -> bool:
    """Return whether `dtype` represents `value` exactly, or is a float."""
    if dtype.kind not in "iu":
        return dtype.kind == "f"
    limits = np.iinfo(dtype)
    return float(value).is_integer() and limits.min <= value <= limits.max
