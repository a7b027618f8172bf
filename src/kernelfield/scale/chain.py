"""One filter, or several in a row, computed for any box of outputs from the pixels that it depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernelfield.correlation import correlate
from kernelfield.correlation.arguments import (
    check_image,
    check_operation,
    check_pixels,
    check_precision,
    result_dtype,
    weights_and_origin,
)
from kernelfield.correlation.filter import FixedFilter
from kernelfield.correlation.lazy import holds
from kernelfield.engine import plan as planner
from kernelfield.errors import ArgumentError
from kernelfield.geometry import Operation, Window, positions_read
from kernelfield.learning import Fit
from kernelfield.learning.filtering import check_plain, exact_kernel, finished, in_dtype, renormalised, result_type
from kernelfield.scale.tiles import Region

#: Reads a box of the source.
Read = Callable[[Region], np.ndarray]
_USUAL: dict[str, Any] = {
    "mode": "same", "boundary": None, "cval": 0.0, "origin": None, "padding": None, "stride": 1, "dilation": 1,
    "dtype": None, "precision": None, "method": None, "missing": "propagate",
}  # fmt: skip
# Most pixels that a window spans, or by which it reaches outside.
_LARGEST_REACH = 2**26


@dataclass(frozen=True)
class Step:
    """One filter of a chain, checked for the images that it gets.

    Attributes
    ----------
    weights : numpy.ndarray, shape (kh, kw)
    operation : Operation
    extent : (int, int)
        Rows and columns of the images that it gets.
    pixel, dtype : str
        Dtypes of the images that it gets, and of its results.
    options : dict
        Precision, method and missing of `correlate`.
    fit : Fit or None
        The learned filter, whose offset and rounding follow the sums.
    rule : str
        The boundary, or ``"copy"`` or ``"renormalised"`` of a learned filter.
    first : (int, int)
        The row and column of the pixel below the anchor of the first output; negative outside the image.
    """

    weights: np.ndarray
    operation: Operation
    extent: tuple[int, int]
    pixel: str
    dtype: str
    options: dict[str, Any]
    fit: Fit | None
    rule: str
    first: tuple[int, int]

    @property
    def output_extent(self) -> tuple[int, int]:
        """Rows and columns of the results."""
        rows, columns = (w.output_size(n) for w, n in zip(self.operation.windows, self.extent))
        return rows, columns

    def needs(self, outputs: np.ndarray, axis: int) -> np.ndarray:
        """Return the rows (axis 0) or columns (axis 1) that some outputs depend on, in order.

        Parameters
        ----------
        outputs : numpy.ndarray of int
            Numbers of outputs, in order.
        """
        positions = np.unique(np.concatenate([_positions(self.operation.windows[axis], run) for run in _runs(outputs)]))
        read = positions_read(positions, self.extent[axis], self.operation.boundary)
        found = np.unique(read[read >= 0])
        # Windows that lie outside altogether read the constant alone.
        return found if len(found) else np.zeros(1, np.int64)

    def compute(self, pixels: np.ndarray, held: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> np.ndarray:
        """Return some outputs.

        Parameters
        ----------
        pixels : numpy.ndarray, shape (..., h, w)
            The image at the rows and columns `held`.
        held, wanted : (numpy.ndarray, numpy.ndarray)
            Rows and columns, in order: those of the pixels, and the numbers of the outputs.
        """
        rows, columns = (list(_runs(numbers)) for numbers in wanted)
        if len(rows) == len(columns) == 1:
            return self._box(pixels, held, (rows[0], columns[0]))
        parts = [np.concatenate([self._box(pixels, held, (r, c)) for c in columns], -1) for r in rows]
        return np.concatenate(parts, -2)

    def _box(self, pixels: np.ndarray, held: Sequence[np.ndarray], wanted: tuple[range, range]) -> np.ndarray:
        """Return a box of outputs."""
        places, inside = [], []
        for axis, (window, run) in enumerate(zip(self.operation.windows, wanted)):
            read = positions_read(_positions(window, run), self.extent[axis], self.operation.boundary)
            places.append(np.where(read < 0, -1, np.searchsorted(held[axis], read)))
            inside.append(read >= 0)
        outside = any((place < 0).any() for place in places)
        if outside and not holds(pixels.dtype, self.operation.cval, np.dtype(self.dtype)):
            pixels = check_pixels(pixels, "image").astype(np.float64)
        pixels = _extended(pixels, places[0], places[1], self.operation.cval)
        if self.fit is None:
            return self._sums(pixels, np.dtype(self.dtype))
        return self._learned(self.fit, pixels, inside, wanted)

    def _sums(self, block: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Return the outputs whose windows lie inside a block."""
        steps: dict[str, Any] = {"stride": self.operation.stride, "dilation": self.operation.dilation}
        found: np.ndarray = correlate(
            block, self.weights, mode="valid", dtype=dtype, channel_axis=None, **steps, **self.options
        )
        return found

    def _learned(
        self, fit: Fit, block: np.ndarray, inside: list[np.ndarray], wanted: tuple[range, range]
    ) -> np.ndarray:
        """Return the outputs of a learned filter, as `Fit.apply` does."""
        sums = self._sums(block, np.dtype(np.float64))
        if self.rule == "renormalised":
            ones = np.outer(*inside).astype(np.float64)
            kept = self._sums(ones, np.dtype(np.float64))
            sums = renormalised(sums, kept, float(self.weights.sum()))
        result = finished(fit, sums, float(np.atleast_1d(fit.offset)[0]), np.dtype(self.dtype)).pixels
        if self.rule == "copy":
            # Outputs whose window reaches outside are the pixels themselves.
            (top, bottom), (left, right) = (w.interior(n) for w, n in zip(self.operation.windows, self.extent))
            reach = [w.before for w in self.operation.windows]
            same = block[..., reach[0] : reach[0] + len(wanted[0]), reach[1] : reach[1] + len(wanted[1])]
            rows = (np.array(wanted[0]) >= top) & (np.array(wanted[0]) < bottom)
            columns = (np.array(wanted[1]) >= left) & (np.array(wanted[1]) < right)
            dtype = np.dtype(self.dtype)
            kept = same if same.dtype == dtype else in_dtype(same.astype(float), dtype, None).pixels
            result = np.where(np.outer(rows, columns), result, kept)
        return result


@dataclass(frozen=True)
class Chain:
    """Filters in a row, computed as one: each box of outputs from the pixels of the source that it depends on.

    The result is that of the filters applied one after the other to the whole image, at the borders too.

    Attributes
    ----------
    steps : tuple of Step
    shape : tuple of int
        Of the source.
    axes : (int, int)
        The axes of rows and columns.
    """

    steps: tuple[Step, ...]
    shape: tuple[int, ...]
    axes: tuple[int, int]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the result, axes in the order of the source."""
        found = list(self.shape)
        for axis, size in zip(self.axes, self.steps[-1].output_extent):
            found[axis] = size
        return tuple(found)

    @property
    def dtype(self) -> str:
        """Dtype of the result."""
        return self.steps[-1].dtype

    @property
    def steps_and_start(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Pixels of the source from one output to the next, and the place of the first, along rows and columns."""
        steps, start = [1, 1], [0, 0]
        for step in self.steps:
            for axis in (0, 1):
                start[axis] += steps[axis] * step.first[axis]
                steps[axis] *= step.operation.stride[axis]
        return (steps[0], steps[1]), (start[0], start[1])

    def compute(self, read: Read, region: Region) -> np.ndarray:
        """Return a box of the result, axes in the order of the source."""
        wanted = [np.arange(region[axis].start, region[axis].stop) for axis in self.axes]
        numbers = [wanted]
        for step in reversed(self.steps):
            numbers.append([step.needs(outputs, axis) for axis, outputs in enumerate(numbers[-1])])
        numbers.reverse()
        pixels = _moved(self._read(read, region, numbers[0]), self.axes, (-2, -1))
        for step, held, outputs in zip(self.steps, numbers, numbers[1:]):
            pixels = step.compute(pixels, held, outputs)
        return _moved(pixels, (-2, -1), self.axes)

    def _read(self, read: Read, region: Region, numbers: list[np.ndarray]) -> np.ndarray:
        """Return the pixels of the source at some rows and columns, as an array of its axes."""
        lines = []
        runs = [list(_runs(one)) for one in numbers]
        whole = len(runs[0]) == len(runs[1]) == 1
        for rows in runs[0]:
            parts = []
            for columns in runs[1]:
                box = list(region)
                box[self.axes[0]], box[self.axes[1]] = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
                part = read(tuple(box))
                # The next box may be read into the same memory.
                parts.append(part if whole else part.copy())
            lines.append(parts[0] if len(parts) == 1 else np.concatenate(parts, self.axes[1]))
        return lines[0] if len(lines) == 1 else np.concatenate(lines, self.axes[0])

    def record(self) -> list[dict[str, Any]]:
        """Return the steps as values that JSON holds: weights by their digest, and all arguments."""
        return [
            {
                "weights": hashlib.sha256(repr(step.weights.shape).encode() + step.weights.tobytes()).hexdigest(),
                "operation": [list(map(str, step.operation.numbers()[0])), step.rule, repr(step.operation.cval)],
                "dtype": step.dtype,
                "options": {name: value for name, value in step.options.items() if name != "method"},
                "finish": None if step.fit is None else [repr(step.fit.offset), step.fit.divisor, step.fit.rounding],
            }
            for step in self.steps
        ]


def chain(
    kernels: Sequence[Any], shape: tuple[int, ...], dtype: np.dtype, axes: tuple[int, int], options: dict[str, Any]
) -> Chain:
    """Return the chain of some filters for a source.

    Parameters
    ----------
    kernels : sequence of array_like, Kernel, FixedFilter or Fit
        In the order of their application.
    shape, dtype
        Of the source.
    axes : (int, int)
        Of rows and columns.
    options : dict
        Arguments of `kernelfield.correlate`: mode, boundary (None for that of a learned filter, or ``"reflect"``),
        cval, origin, padding, stride, dilation, dtype (of the last result), precision, method, missing.
    """
    if not kernels:
        raise ArgumentError("kernel: expected at least one filter; received none")
    axes = axes[0] % len(shape), axes[1] % len(shape)
    extent, pixel = (shape[axes[0]], shape[axes[1]]), np.dtype(dtype)
    steps = []
    for number, kernel in enumerate(kernels):
        wanted = options.get("dtype") if number == len(kernels) - 1 else None
        step = _step(kernel, extent, pixel, {**options, "dtype": wanted}, axes)
        steps.append(step)
        extent, pixel = step.output_extent, np.dtype(step.dtype)
    return Chain(tuple(steps), tuple(shape), axes)


def _step(kernel: Any, extent: tuple[int, int], pixel: np.dtype, options: dict[str, Any], axes: Any) -> Step:
    """Return one filter, checked for images of some extent and dtype."""
    options = {**_USUAL, **options}
    windows = {name: options[name] for name in ("mode", "cval", "origin", "padding", "stride", "dilation")}
    rest = {name: options[name] for name in ("precision", "method", "missing")}
    rule, fit, boundary = None, None, options["boundary"]
    if isinstance(kernel, Fit):
        fit, rule = kernel, boundary or kernel.boundary or "reflect"
        usual = {"mode": "same", "origin": None, "padding": None, "stride": 1, "dilation": 1}
        changed = [name for name, value in usual.items() if options[name] != value]
        changed += [name for name in rest if rest[name] not in (None, "propagate")]
        if changed:
            raise ArgumentError(
                f"{changed[0]}: expected none with a learned filter; received one; give its kernel, fit.kernel"
            )
        check_plain(fit, "kernel")
        if np.size(fit.offset) > 1:
            raise ArgumentError(
                f"kernel: expected one offset for all channels; received {np.size(fit.offset)}; filter channel by "
                "channel"
            )
        kernel, _ = exact_kernel(fit)
        windows["cval"] = fit.cval
        boundary = {"copy": "reflect", "renormalised": "constant"}.get(rule, rule)
        if rule == "renormalised":
            windows["cval"] = 0.0
    elif isinstance(kernel, FixedFilter):
        windows = {name: value for name, value in kernel.options.items() if name != "boundary"}
        boundary, kernel = kernel.options["boundary"], kernel.weights
    weights, own_origin = weights_and_origin(kernel)
    if weights.ndim != 2:
        raise ArgumentError(
            f"kernel: expected two axes (kh, kw) for stored images; received shape {weights.shape}; apply a bank "
            "kernel by kernel"
        )
    weights.flags.writeable = False
    operation = check_operation(
        extent, weights.shape, own_origin=own_origin, boundary=boundary or "reflect", groups=1, **windows
    )
    checked = check_pixels(np.zeros((1, 1), pixel), "source").dtype
    if fit is None:
        dtype = sums = result_dtype(checked, options["dtype"], None)
    else:
        dtype = check_image(np.zeros((1, 1), pixel), "source").dtype
        dtype = dtype if options["dtype"] is None else result_type(options["dtype"])
        sums = np.dtype(np.float64)
    check_precision(rest["precision"], rest["method"], operation.plain)
    if operation.plain and rest["precision"] is None and rest["missing"] == "propagate":
        # One method for all tiles: the bits do not depend on them.
        rest["method"] = planner.plan(operation, extent, checked, weights, sums, method=rest["method"]).method
    centred = windows["mode"] == "same" and windows["padding"] is None
    over = [w.before if centred else w.dilation * (w.size // 2 + o) for w, o in zip(operation.windows, own_origin)]
    first = over[0] - operation.before[0], over[1] - operation.before[1]
    if any(max(w.before + w.after, w.span) > _LARGEST_REACH for w in operation.windows):
        raise ArgumentError(
            "padding, dilation: expected windows of at most 2**26 pixels; received larger; give smaller ones"
        )
    return Step(weights, operation, extent, pixel.name, dtype.name, rest, fit, rule or operation.boundary, first)


def _positions(window: Window, outputs: range) -> np.ndarray:
    """Return the positions, outside the image too, from the first to the last that a run of outputs reads."""
    first = outputs.start * window.stride - window.before
    return np.arange(first, (outputs.stop - 1) * window.stride - window.before + window.span)


def _runs(numbers: np.ndarray) -> Iterator[range]:
    """Yield the runs of neighbours in whole numbers in order."""
    if not len(numbers):
        return
    breaks = np.flatnonzero(np.diff(numbers) != 1) + 1
    for start, stop in zip([0, *breaks], [*breaks, len(numbers)]):
        yield range(int(numbers[start]), int(numbers[stop - 1]) + 1)


def _extended(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray, outside: float) -> np.ndarray:
    """Return pixels (..., h, w) at some rows and columns: a view where these follow; a constant where they are -1."""
    (top, bottom), (left, right) = _longest_run(rows), _longest_run(columns)
    inner = pixels[..., rows[top] : rows[top] + bottom - top, columns[left] : columns[left] + right - left]
    if bottom - top == len(rows) and right - left == len(columns):
        return inner
    # The inside, which is most of it, is copied at once; the borders line by line.
    found = np.empty((*pixels.shape[:-2], len(rows), len(columns)), pixels.dtype)
    found[..., top:bottom, left:right] = inner
    for side in (slice(0, left), slice(right, len(columns))):
        part = pixels[..., rows[top] : rows[top] + bottom - top, :]
        found[..., top:bottom, side] = _lines(part, columns[side], -1, outside)
    for side in (slice(0, top), slice(bottom, len(rows))):
        lines = _lines(pixels, rows[side], -2, outside)
        found[..., side, left:right] = lines[..., columns[left] : columns[left] + right - left]
        for end in (slice(0, left), slice(right, len(columns))):
            found[..., side, end] = _lines(lines, columns[end], -1, outside)
    return found


def _longest_run(places: np.ndarray) -> tuple[int, int]:
    """Return start and stop of the longest run of neighbours that lie inside; equal where none does."""
    breaks = np.flatnonzero((np.diff(places) != 1) | (places[:-1] < 0)) + 1
    edges = np.array([0, *breaks, len(places)])
    lengths = np.diff(edges) * (places[edges[:-1]] >= 0)
    longest = int(np.argmax(lengths))
    return int(edges[longest]), int(edges[longest] + lengths[longest])


def _lines(pixels: np.ndarray, places: np.ndarray, axis: int, outside: float) -> np.ndarray:
    """Return lines along an axis; a constant where the place is -1."""
    found: np.ndarray = np.take(pixels, np.maximum(places, 0), axis)
    if (places < 0).any():
        at: tuple[Any, ...] = (..., places < 0) if axis == -1 else (..., places < 0, slice(None))
        found[at] = outside
    return found


def _moved(array: np.ndarray, source: tuple[int, int], target: tuple[int, int]) -> np.ndarray:
    """Return a view of an array with two axes at other places."""
    moved: np.ndarray = np.moveaxis(array, source, target)
    return moved
