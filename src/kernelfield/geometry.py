"""Shape arithmetic of sliding windows: pure integers, no pixels.

Output sizes, padding and indices are computed here and nowhere else. `Operation` describes a cross-correlation to the
engine, the frameworks and the matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np

from kernelfield.errors import ArgumentError, received

Mode = Literal["valid", "same", "full"]
Boundary = Literal["constant", "nearest", "reflect", "mirror", "wrap"]

MODES: tuple[Mode, ...] = ("valid", "same", "full")
BOUNDARIES: tuple[Boundary, ...] = ("constant", "nearest", "reflect", "mirror", "wrap")
#: Largest magnitude of strides, dilations, paddings and origins.
LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Window:
    """A window of `size` elements, `dilation` apart, that slides along one axis in steps of `stride`.

    Parameters
    ----------
    size : int
        Elements of the window (the kernel's extent), at least 1.
    before, after : int
        Elements by which the axis is extended in front and behind.
    stride, dilation : int
        At least 1.

    Examples
    --------
    >>> window = Window.of(3, "same")
    >>> window.before, window.after, window.output_size(8), window.interior(8)
    (1, 1, 8, (1, 7))
    >>> Window.of(3, "valid", stride=2, dilation=2).output_size(9)
    3
    """

    size: int
    before: int = 0
    after: int = 0
    stride: int = 1
    dilation: int = 1

    @classmethod
    def of(cls, size: int, mode: Mode, origin: int = 0, stride: int = 1, dilation: int = 1) -> Window:
        """Return the window of a mode; element ``size // 2 + origin`` lies over the output pixel in ``"same"``.

        This is the centre of scipy.ndimage: for even sizes, the element behind the middle. With a stride, every
        `stride`-th output remains, from the first.
        """
        reach = dilation * (size - 1)
        if mode == "valid":
            return cls(size, 0, 0, stride, dilation)
        if mode == "full":
            return cls(size, reach, reach, stride, dilation)
        before = dilation * (size // 2 + origin)
        return cls(size, before, reach - before, stride, dilation)

    @property
    def span(self) -> int:
        """Elements from the first to the last one of the window."""
        return self.dilation * (self.size - 1) + 1

    def output_size(self, n: int) -> int:
        """Return the number of outputs on an axis of `n` elements; 0 if the window does not fit."""
        return max(0, (n + self.before + self.after - self.span) // self.stride + 1)

    def interior(self, n: int) -> tuple[int, int]:
        """Return start and stop of the outputs whose window lies inside the axis; equal where there are none."""
        first = -(-self.before // self.stride)
        last = (n - self.span + self.before) // self.stride
        return first, max(first, last + 1)


def boundary_index(n: int, before: int, after: int, boundary: Boundary) -> np.ndarray:
    """Return the element that each of the positions ``-before .. n - 1 + after`` reads.

    Parameters
    ----------
    n : int
        Elements of the axis, at least 1.
    before, after : int
        Positions in front of the axis and behind it; may exceed `n`.
    boundary : {"constant", "nearest", "reflect", "mirror", "wrap"}
        The rule, with the meaning of scipy.ndimage; -1 marks the positions that read the constant.

    Examples
    --------
    >>> boundary_index(4, 2, 2, "reflect").tolist()
    [1, 0, 0, 1, 2, 3, 3, 2]
    >>> boundary_index(4, 2, 2, "mirror").tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    >>> boundary_index(4, 1, 1, "constant").tolist()
    [-1, 0, 1, 2, 3, -1]
    """
    return positions_read(np.arange(-before, n + after), n, boundary)


def positions_read(position: np.ndarray, n: int, boundary: Boundary) -> np.ndarray:
    """Return the element of an axis of `n` that each position reads, as `boundary_index` does."""
    if boundary == "constant":
        return np.where((position < 0) | (position >= n), -1, position)
    read: np.ndarray
    if boundary == "nearest":
        read = np.clip(position, 0, n - 1)
        return read
    if boundary == "wrap":
        read = position % n
        return read
    if boundary == "reflect":
        phase = position % (2 * n)
        return np.where(phase < n, phase, 2 * n - 1 - phase)
    phase = position % max(1, 2 * (n - 1))
    return np.where(phase < n, phase, 2 * (n - 1) - phase)


@dataclass(frozen=True)
class Operation:
    """A cross-correlation of images with a kernel (kh, kw), a bank (n, kh, kw) or a layer (C_out, C_in/groups, kh, kw).

    Attributes
    ----------
    windows : (Window, Window)
        Along rows and columns.
    boundary : str
        The rule for pixels outside the image, with the meaning of scipy.ndimage.
    cval : float
        The pixels outside for ``"constant"``.
    groups : int
        Groups of channels; only for weights of four axes.

    Examples
    --------
    >>> same = Operation((Window.of(3, "same"), Window.of(5, "same")), "reflect", 0.0)
    >>> same.output_shape((2, 8, 9), (3, 5)), same.output_shape((2, 8, 9), (7, 3, 5))
    ((2, 8, 9), (2, 7, 8, 9))
    """

    windows: tuple[Window, Window]
    boundary: Boundary
    cval: float
    groups: int = 1

    @property
    def plain(self) -> bool:
        """Whether stride and dilation are 1."""
        return all(w.stride == w.dilation == 1 for w in self.windows)

    @property
    def stride(self) -> tuple[int, int]:
        """Along rows and columns."""
        return self.windows[0].stride, self.windows[1].stride

    @property
    def dilation(self) -> tuple[int, int]:
        """Along rows and columns."""
        return self.windows[0].dilation, self.windows[1].dilation

    @property
    def before(self) -> tuple[int, int]:
        """Rows and columns that the first output reads in front of the image."""
        return self.windows[0].before, self.windows[1].before

    @property
    def pads(self) -> bool:
        """Whether any output reads outside the image."""
        return any(w.before or w.after for w in self.windows)

    def indices(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return the row and the column that each element of the extended image reads; -1 for the constant."""
        rows, columns = (boundary_index(n, w.before, w.after, self.boundary) for n, w in zip(shape[-2:], self.windows))
        return rows, columns

    def output_shape(self, image: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the result."""
        rows, columns = (w.output_size(n) for w, n in zip(self.windows, image[-2:]))
        if len(kernel) == 2:
            return (*image[:-2], rows, columns)
        return (*image[: -2 if len(kernel) == 3 else -3], kernel[0], rows, columns)

    def numbers(self) -> tuple[list[int], str, float]:
        """Return the operation as integers, a string and a float, which operators of a framework take."""
        sizes = [n for w in self.windows for n in (w.size, w.before, w.after, w.stride, w.dilation)]
        return [*sizes, self.groups], self.boundary, self.cval

    @classmethod
    def from_numbers(cls, sizes: Sequence[int], boundary: str, cval: float) -> Operation:
        """Return the operation that `numbers` returned these for."""
        return cls((Window(*sizes[:5]), Window(*sizes[5:10])), check_boundary(boundary), cval, sizes[10])


def border_rectangles(
    shape: tuple[int, ...], windows: tuple[Window, Window]
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the rectangles of outputs whose windows reach outside an image: ((start, stop), (start, stop)).

    Examples
    --------
    >>> border_rectangles((9, 9), (Window(3, 1, 1), Window(1)))
    [((0, 1), (0, 9)), ((8, 9), (0, 9))]
    """
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
    return [one for one in candidates if all(start < stop for start, stop in one)]


def check_mode(mode: str) -> Mode:
    """Return `mode` if it is one of ``MODES``."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ArgumentError(f"mode: expected one of {', '.join(MODES)}; received {received(mode)}")
    return mode


def check_boundary(boundary: str) -> Boundary:
    """Return `boundary` if it is one of ``BOUNDARIES``."""
    if not isinstance(boundary, str) or boundary not in BOUNDARIES:
        raise ArgumentError(
            f"boundary: expected one of {', '.join(BOUNDARIES)} (the names of scipy.ndimage); "
            f"received {received(boundary)}"
        )
    return boundary


def check_origin(origin: int, size: int, axis: str) -> int:
    """Return `origin` if it moves the anchor to an element of the window."""
    low, high = -(size // 2), (size - 1) // 2
    if not low <= origin <= high:
        raise ArgumentError(
            f"origin: expected {low} to {high} along the {axis} of a kernel of {size}; received {received(origin)}"
        )
    return origin


def check_number(value: Any, name: str) -> float:
    """Return a real number as a float; NaN and infinities are numbers."""
    if type(value) is float:
        return value
    scalar = (
        type(value) is int
        or isinstance(value, Real)
        or (getattr(value, "shape", None) == () and hasattr(value, "__float__"))
    )
    if scalar and not isinstance(value, (bool, np.bool_)):
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            pass
    raise ArgumentError(f"{name}: expected a number that float64 holds; received {received(value)}")


def pair(value: Any, name: str) -> tuple[int, int]:
    """Return one or two integers below 2**31 in magnitude as (rows, columns)."""
    if type(value) is int and -LARGEST <= value <= LARGEST:
        return value, value
    found = _two_integers(value)
    if found is None:
        raise ArgumentError(
            f"{name}: expected an integer or two (rows, columns), below 2**31; received {received(value)}"
        )
    return found


def positive_pair(value: Any, name: str) -> tuple[int, int]:
    """Return one or two integers as (rows, columns), each at least 1."""
    numbers = pair(value, name)
    if min(numbers) < 1:
        raise ArgumentError(f"{name}: expected at least 1; received {received(value)}")
    return numbers


def check_padding(padding: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return ((top, bottom), (left, right)) from an integer, (rows, columns) or all four."""
    rows, columns = (_two_integers(one) for one in _two(padding) or (None, None))
    if rows is None or columns is None or min(*rows, *columns) < 0:
        raise ArgumentError(
            "padding: expected an integer, (rows, columns) or ((top, bottom), (left, right)), from 0 to 2**31 - 1; "
            f"received {received(padding)}"
        )
    return rows, columns


def _two_integers(value: Any) -> tuple[int, int] | None:
    """Return one integer twice, or two, below 2**31 in magnitude; None for anything else."""
    numbers = _two(value)
    if numbers is None:
        return None
    for number in numbers:
        if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, np.integer)):
            return None
        if not -LARGEST <= number <= LARGEST:
            return None
    return int(numbers[0]), int(numbers[1])


def _two(value: Any) -> tuple[Any, Any] | None:
    """Return the elements of a list, a tuple or a small array of two, anything else twice; None for other lengths."""
    if isinstance(value, np.ndarray) and value.size <= 4:
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return value, value
    return (value[0], value[1]) if len(value) == 2 else None
