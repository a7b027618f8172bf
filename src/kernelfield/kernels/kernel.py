"""The Kernel class: frozen cross-correlation weights with their anchor, name and source."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from kernelfield.errors import ArgumentError
from kernelfield.kernels.arguments import frequencies, frozen_weights, offset, whole
from kernelfield.kernels.arithmetic import ULPS, common_grid, composed, factors, over_divisor, response
from kernelfield.kernels.properties import Properties, properties_of
from kernelfield.kernels.text import kernel_text

Weights = NDArray[np.float64]


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
        Paper and equation of the weights.
    anchor : (int, int), optional
        Row and column of the element over the output pixel; ``(kh // 2, kw // 2)`` if not given. It may lie
        outside the weights, as for a filter that shifts the image by more than its size.

    Notes
    -----
    Two kernels are equal if their weights and anchors are equal, whatever their names.

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

    # NumPy scalars and arrays defer `scalar * kernel` to this class.
    __array_priority__ = 1000

    def __init__(
        self,
        weights: ArrayLike,
        name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        source: str | None = None,
        anchor: tuple[int, int] | None = None,
    ) -> None:
        frozen = frozen_weights(weights)
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

    @property
    def properties(self) -> Properties:
        """The properties of the weights, computed from them: sum, derivative taken, error, gain.

        Examples
        --------
        >>> print(Kernel([[0.25, 0.5, 0.25]]).properties)
        sums to 1, moves the content by 0 down, 0 right
        standard deviation 0 down, 0.7071 right
        error 1/4 ∂xx
        a constant: 100.000% of the largest response
        largest response 1 at 0, 0 cycles per pixel (down, right)
        noise of 1: 0.6124
        """
        return properties_of(self.weights, self.anchor)

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
        """Return the kernel with its output shifted by `rows` down and `columns` to the right.

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
        """Return the weights as integers and their smallest common divisor, or None if they are not rational.

        Parameters
        ----------
        max_divisor : int
            The largest divisor to consider.

        Returns
        -------
        (ndarray of int64, int) or None
            Integers and divisor whose quotient equals the weights up to rounding; None if there are none.

        Examples
        --------
        >>> Kernel([[0.25, 0.5, 0.25]]).integers()
        (array([[1, 2, 1]]), 4)
        """
        return over_divisor(self.weights, whole("max_divisor", max_divisor, 1))

    def rank(self, tolerance: float | None = None) -> int:
        """Return the rank: the least number of separable kernels whose sum is this one.

        Parameters
        ----------
        tolerance : float, optional
            Singular values up to this fraction of the largest count as zero; the rounding error if not given.

        Examples
        --------
        >>> Kernel([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).rank()
        2
        """
        values = np.linalg.svd(self.weights, compute_uv=False)
        if tolerance is None:
            tolerance = max(self.shape) * ULPS
        return int(np.count_nonzero(values > tolerance * values[0]))

    def separable(self) -> tuple[Weights, Weights] | None:
        """Return a column and a row whose outer product is the kernel, or None if there are none.

        The column has integers where the weights are integers over a divisor; otherwise column and row have the same
        largest magnitude.

        Examples
        --------
        >>> Kernel([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]).separable()
        (array([1., 2., 1.]), array([-1.,  0.,  1.]))
        """
        if self.rank() != 1:
            return None
        return factors(self.weights, self.integers())

    def compose(self, other: "Kernel") -> "Kernel":
        """Return the kernel equivalent to applying this one and then `other`.

        ``correlate(correlate(image, a), b)`` equals ``correlate(image, a.compose(b))`` away from the border, in
        either order. The size is the sum of the sizes minus one on each axis.

        Parameters
        ----------
        other : Kernel
            The second kernel.

        Raises
        ------
        ArgumentError
            If `other` is not a kernel.

        Examples
        --------
        >>> Kernel([[1, 1]]).compose(Kernel([[1, 1]]))
        Kernel 1×3, anchor (0, 2)
          1 2 1
        """
        if not isinstance(other, Kernel):
            raise ArgumentError(f"other: expected a Kernel, received {type(other).__name__}; wrap it in Kernel(...)")
        anchor = (self.anchor[0] + other.anchor[0], self.anchor[1] + other.anchor[1])
        return Kernel(composed(self.weights, other.weights), anchor=anchor)

    def frequency_response(
        self, rows: int | ArrayLike = 64, columns: int | ArrayLike | None = None
    ) -> tuple[Weights, Weights, NDArray[np.complex128]]:
        """Return the frequency response: the factors by which cross-correlation multiplies complex waves.

        Cross-correlating ``exp(2πi (f·p))`` at the pixels ``p`` gives the same wave times
        ``H(f) = sum over u of weights[u] * exp(2πi f·(u - anchor))``. A kernel that is symmetric about its anchor has
        a real H, an antisymmetric one an imaginary H. The response of convolution is that of `flipped`.

        Parameters
        ----------
        rows, columns : int or array_like, optional
            Frequencies down the rows and along the columns, in cycles per pixel; or their number, evenly spaced from
            -1/2 up to but not including 1/2. Columns are the same as rows if not given.

        Returns
        -------
        rows : numpy.ndarray of float64, shape (n,)
            The frequencies down the rows.
        columns : numpy.ndarray of float64, shape (m,)
            The frequencies along the columns.
        response : numpy.ndarray of complex128, shape (n, m)
            H at each pair of frequencies.

        Raises
        ------
        ArgumentError
            If a number of frequencies is less than 1, or frequencies are not finite numbers on one axis.

        References
        ----------
        A. V. Oppenheim and R. W. Schafer, Discrete-Time Signal Processing, frequency response of
        linear time-invariant systems.

        Examples
        --------
        >>> Kernel([[0.25, 0.5, 0.25]]).frequency_response([0], [0, 0.25, 0.5])[2].real
        array([[1. , 0.5, 0. ]])
        """
        down = frequencies("rows", rows)
        right = down if columns is None else frequencies("columns", columns)
        return down, right, response(self.weights, self.anchor, down, right)

    def plot(self, *, response: bool = True) -> Any:
        """Return a matplotlib figure of the weights, with the frequency response beside them; zero is white.

        Parameters
        ----------
        response : bool
            Whether to draw the frequency response.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from kernelfield.kernels.plot import plot

        return plot(self, response=response)

    def __add__(self, other: object) -> "Kernel":
        if not isinstance(other, Kernel):
            return NotImplemented
        (mine, theirs), anchor = common_grid((self.weights, self.anchor), (other.weights, other.anchor))
        return Kernel(mine + theirs, anchor=anchor)

    def __radd__(self, other: object) -> "Kernel":
        # sum() of kernels starts with 0.
        return self if isinstance(other, int) and other == 0 else NotImplemented

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
        # A mapping proxy cannot be pickled; pass the constructor's arguments instead.
        return Kernel, (self.weights, self.name, dict(self.parameters), self.source, self.anchor)

    def __repr__(self) -> str:
        return kernel_text(self)

    def _repr_html_(self) -> str:
        from kernelfield.kernels.html import kernel_html

        return kernel_html(self)
