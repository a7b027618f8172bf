"""A kernel: frozen weights that know where they lie, what they are called and who published them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import offset, whole

Weights = NDArray[np.float64]

# Rounding that a few sums and one division leave, relative to the largest weight.
_ULPS = 8 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Kernel:
    """Weights to be slid over an image *as they are* (cross-correlation).

    ``output[p] = sum over (i, j) of weights[i, j] * image[p + (i, j) - anchor]``. The convolution
    kernel of the same operation is `flipped`.

    Parameters
    ----------
    weights : array_like, shape (kh, kw)
        Finite numbers; they are copied and can no longer be changed.
    name : str, optional
        Name in the catalogue, such as ``"sobel"``.
    parameters : mapping, optional
        The arguments that give this kernel, by name.
    source : str, optional
        Paper and equation that the weights come from.
    anchor : (int, int), optional
        Row and column of the element over the output pixel; ``(kh // 2, kw // 2)`` if not given. It
        may lie outside the weights: a filter that shifts the image far has its weights far away.

    Notes
    -----
    Two kernels are equal if they do the same: equal weights and equal anchor, whatever their names.

    Examples
    --------
    >>> kernel = Kernel([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    >>> kernel
    Kernel 3×3, 1/16 ×
      1 2 1
      2 4 2
      1 2 1
    >>> kernel.separable()[1]
    array([0.0625, 0.125 , 0.0625])
    """

    weights: Weights
    name: str | None
    parameters: Mapping[str, Any]
    source: str | None
    anchor: tuple[int, int]

    # NumPy's scalars and arrays leave `scalar * kernel` to this class.
    __array_priority__ = 1000

    def __init__(
        self,
        weights: ArrayLike,
        name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        source: str | None = None,
        anchor: tuple[int, int] | None = None,
    ) -> None:
        frozen = _frozen(weights)
        if anchor is None:
            anchor = (frozen.shape[0] // 2, frozen.shape[1] // 2)
        fields = {
            "weights": frozen,
            "name": name,
            "parameters": MappingProxyType(dict(parameters or {})),
            "source": source,
            "anchor": offset("anchor", anchor),
        }
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the weights."""
        rows, columns = self.weights.shape
        return rows, columns

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        wanted = np.dtype(np.float64 if dtype is None else dtype)
        if wanted == self.weights.dtype and not copy:
            return self.weights
        if copy is False:
            raise ValueError(f"dtype: a kernel's weights are float64, {wanted} needs a copy; allow one")
        return self.weights.astype(wanted)

    def flipped(self) -> "Kernel":
        """Return the kernel flipped on both axes: the convolution kernel of the same operation.

        Examples
        --------
        >>> Kernel([[1, 2, 3]]).flipped()
        Kernel 1×3
          3 2 1
        """
        rows, columns = self.shape
        anchor = (rows - 1 - self.anchor[0], columns - 1 - self.anchor[1])
        flipped = Kernel(self.weights[::-1, ::-1], None, None, self.source, anchor)
        return self if flipped == self else flipped

    def shifted(self, rows: int, columns: int) -> "Kernel":
        """Return the kernel whose output lies `rows` further down and `columns` further right.

        Examples
        --------
        >>> Kernel([[1]]).shifted(2, 3).anchor
        (2, 3)
        """
        down, right = offset("shift", (rows, columns))
        before = self.parameters.get("shift", (0, 0))
        total = (before[0] + down, before[1] + right)
        parameters = {key: value for key, value in self.parameters.items() if key != "shift"}
        if total != (0, 0):
            parameters["shift"] = total
        anchor = (self.anchor[0] + down, self.anchor[1] + right)
        return Kernel(self.weights, self.name, parameters, self.source, anchor)

    def integers(self, max_divisor: int = 65536) -> tuple[NDArray[np.int64], int] | None:
        """Return the weights as integers over their smallest common divisor, if they are that.

        Parameters
        ----------
        max_divisor : int
            The largest divisor to consider.

        Returns
        -------
        (ndarray of int64, int) or None
            Integers and divisor, equal to the weights but for rounding; None if there are none.

        Examples
        --------
        >>> Kernel([[0.25, 0.5, 0.25]]).integers()
        (array([[1, 2, 1]]), 4)
        """
        max_divisor = whole("max_divisor", max_divisor, 1)
        divisor = 1
        slack = _ULPS * float(np.abs(self.weights).max())
        for weight in np.unique(np.abs(self.weights)).tolist():
            # Fractions this coarse are far apart, so the nearest one is the only one in reach.
            nearest = Fraction(weight).limit_denominator(max_divisor)
            if abs(float(nearest) - weight) > slack or (nearest == 0) != (weight == 0):
                return None
            divisor = math.lcm(divisor, nearest.denominator)
            if divisor > max_divisor:
                return None
        scaled = np.rint(self.weights * divisor)
        if np.abs(scaled).max() > 2**53:
            return None
        return scaled.astype(np.int64), divisor

    def rank(self, tolerance: float | None = None) -> int:
        """Return the number of separable kernels it takes to make this one.

        Parameters
        ----------
        tolerance : float, optional
            Singular values up to this fraction of the largest count as zero; rounding if not given.

        Examples
        --------
        >>> Kernel([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).rank()
        2
        """
        values = np.linalg.svd(self.weights, compute_uv=False)
        if tolerance is None:
            tolerance = max(self.shape) * _ULPS
        return int(np.count_nonzero(values > tolerance * values[0]))

    def separable(self) -> tuple[Weights, Weights] | None:
        """Return a column and a row whose outer product is the kernel, or None if there are none.

        The column is of integers where the kernel is of integers over a divisor; otherwise column
        and row have the same largest magnitude.

        Examples
        --------
        >>> Kernel([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]).separable()
        (array([1., 2., 1.]), array([-1.,  0.,  1.]))
        """
        if self.rank() != 1:
            return None
        i, j = np.unravel_index(int(np.abs(self.weights).argmax()), self.shape)
        peak = float(self.weights[i, j])
        integral = self.integers()
        if integral is not None:
            unit = float(np.gcd.reduce(integral[0][:, j])) / integral[1] * math.copysign(1, peak)
        else:
            unit = math.copysign(math.sqrt(abs(peak)), peak)
        column = self.weights[:, j] / unit
        return (np.rint(column) if integral is not None else column), self.weights[i] * (unit / peak)

    def __add__(self, other: object) -> "Kernel":
        if not isinstance(other, Kernel):
            return NotImplemented
        (mine, theirs), anchor = common_grid((self.weights, self.anchor), (other.weights, other.anchor))
        return Kernel(mine + theirs, anchor=anchor)

    def __sub__(self, other: object) -> "Kernel":
        if not isinstance(other, Kernel):
            return NotImplemented
        return self + -other

    def __mul__(self, scalar: object) -> "Kernel":
        if not isinstance(scalar, Real):
            return NotImplemented
        return Kernel(self.weights * float(scalar), anchor=self.anchor)

    __rmul__ = __mul__

    def __truediv__(self, scalar: object) -> "Kernel":
        if not isinstance(scalar, Real):
            return NotImplemented
        if scalar == 0:
            raise ArgumentError("divisor of a kernel: expected a number other than 0, received 0")
        return Kernel(self.weights / float(scalar), anchor=self.anchor)

    def __neg__(self) -> "Kernel":
        return self * -1.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Kernel):
            return NotImplemented
        return self.anchor == other.anchor and np.array_equal(self.weights, other.weights)

    def __hash__(self) -> int:
        return hash((self.shape, self.weights.tobytes(), self.anchor))

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled; the constructor makes a new one.
        return Kernel, (self.weights, self.name, dict(self.parameters), self.source, self.anchor)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={_brief(value)}" for key, value in self.parameters.items())
        label = f"{self.name}({arguments}), " if self.name else ""
        head = f"Kernel {label}{self.shape[0]}×{self.shape[1]}"
        if self.anchor != (self.shape[0] // 2, self.shape[1] // 2):
            head += f", anchor {self.anchor}"
        integral = self.integers()
        if integral is not None and integral[1] > 1:
            head += f", 1/{integral[1]} ×"
        return "\n".join([head, *_rows(self.weights if integral is None else integral[0])])


def common_grid(*parts: tuple[Weights, tuple[int, int]]) -> tuple[list[Weights], tuple[int, int]]:
    """Return arrays of one shape with their anchors on the same element, zero where a part has none."""
    above, left = (max(anchor[axis] for _, anchor in parts) for axis in (0, 1))
    below, right = (max(w.shape[axis] - anchor[axis] for w, anchor in parts) for axis in (0, 1))
    grids = []
    for weights, anchor in parts:
        top, start = above - anchor[0], left - anchor[1]
        grid = np.zeros((above + below, left + right))
        grid[top : top + weights.shape[0], start : start + weights.shape[1]] = weights
        grids.append(grid)
    return grids, (above, left)


def _frozen(weights: ArrayLike) -> Weights:
    try:
        array = np.asarray(weights)
        if np.iscomplexobj(array):
            raise TypeError
        array = np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError("weights: expected a 2-D array of real numbers, received something else") from None
    if array.ndim != 2 or array.size == 0:
        raise ArgumentError(f"weights: expected a 2-D array that is not empty, received shape {array.shape}")
    if not np.isfinite(array).all():
        raise ArgumentError("weights: expected finite numbers, received NaN or infinity; replace them")
    # Adding zero turns -0.0 into 0.0; memory of bytes can never be made writable again.
    return np.frombuffer((array + 0.0).tobytes(), dtype=np.float64).reshape(array.shape)


def _brief(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


def _rows(numbers: NDArray[Any]) -> list[str]:
    digits: Any = {"float_kind": lambda value: f"{value:.6g}"}
    text = np.array2string(numbers, formatter=None if numbers.dtype.kind == "i" else digits, max_line_width=100)
    cells = [line.strip(" []").split() for line in text.splitlines()]
    if numbers.size > 1000 or len({len(row) for row in cells}) > 1:
        return ["  " + line for line in text.splitlines()]
    widths = [max(len(row[j]) for row in cells) for j in range(len(cells[0]))]
    return ["  " + " ".join(cell.rjust(max(widths)) for cell in row) for row in cells]
