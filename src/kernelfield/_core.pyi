"""The compiled engine: correlations, lag products, threads and the instruction set in use."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

class Correlation:
    """A cross-correlation ready to run: windows, border, weights, bias and rounding.

    Parameters
    ----------
    weights : ndarray of float64
        Shape (kh, kw), (n, kh, kw) or (C_out, C_in / groups, kh, kw).
    before : (int, int)
        Rows and columns in front of the image that output (0, 0) reads; negative ones begin inside.
    stride, dilation : (int, int)
        Along rows and columns.
    groups : int
        Groups of channels; only for weights of four axes.
    boundary, cval
        The rule for pixels outside the image, with the meaning of scipy.ndimage.
    factors : (ndarray, ndarray), optional
        Columns (terms, kh) and rows (terms, kw) whose outer products add up to weights (kh, kw): the method is then
        ``separable``.
    bias : ndarray of float64, shape (n,) or (C_out,) or (1,), optional
        Added last, in the dtype of the sums.
    scale : float
        By which sums are multiplied before they are rounded to integers.
    up : bool
        Whether halves of integers are rounded up; by default to even.
    sums : {"float32", "float64"}
        Dtype of the sums for float results. Integer results are always those of float64 sums, computed in float32
        where the error bound proves the same integers.
    """

    def __init__(
        self,
        weights: NDArray[np.float64],
        *,
        before: tuple[int, int] = (0, 0),
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        boundary: str = "constant",
        cval: float = 0.0,
        factors: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
        bias: NDArray[np.float64] | None = None,
        scale: float = 1.0,
        up: bool = False,
        sums: str = "float32",
    ) -> None: ...
    def __call__(self, image: NDArray[Any], out: NDArray[Any]) -> None:
        """Write the result; arrays may have any strides that are multiples of their element, but must not overlap.

        For weights (kh, kw) `image` is (..., H, W) and `out` (..., OH, OW); for (n, kh, kw) `out` is
        (..., n, OH, OW); for four axes they are (..., C_in, H, W) and (..., C_out, OH, OW). `out` gives the number of
        outputs. Images: bool, (u)int8, (u)int16, (u)int32, float16, bfloat16 (as an array of uint16
        with `bfloat16` set), float32, float64. Results: float32, float64, (u)int8, (u)int16, (u)int32.
        """

    def certain(self, image: NDArray[Any], out: NDArray[Any]) -> tuple[str, float]:
        """Return the dtype of the sums for arrays of these types, and the bound beyond which they are computed again.

        The number is 0, or the distance from an integer from which a float32 sum is computed again in float64.
        """

class Cache:
    """Cache of recent correlations, keyed by array layout, options and the kernel's bytes."""

    def __init__(self, most: int = 32) -> None: ...
    def run(self, image: Any, kernel: Any, out: Any, options: tuple[Any, ...]) -> NDArray[Any] | None:
        """Return the result of the cached correlation for these, in `out` if it is an array; None if there is none.

        Arrays are compared by type, shape, strides, dtype and alignment, the kernel by its bytes too; options by exact
        type and value (numbers, strings, None, dtypes and types, tuples of them, frozen objects by identity). None
        also where `out` may overlap the image.
        """

    def keep(
        self,
        image: NDArray[Any],
        kernel: NDArray[Any],
        out: NDArray[Any] | None,
        options: tuple[Any, ...],
        call: Any,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        interleaved: bool = False,
    ) -> None:
        """Store ``call(image, out)``, a `Correlation` or any callable, for results of a shape and dtype.

        Without `out` the result is a new array aligned to 64 bytes; if `interleaved`, its channels (..., C, H, W) lie
        side by side in memory.
        """

    def clear(self) -> None: ...
    def __len__(self) -> int: ...

def lag_products(
    a: NDArray[Any] | tuple[NDArray[Any], ...],
    b: NDArray[Any] | tuple[NDArray[Any], ...],
    lags: tuple[int, int],
    block_rows: int,
    a_shift: float | tuple[float, ...] = 0.0,
    b_shift: float | tuple[float, ...] = 0.0,
    single: bool = False,
) -> NDArray[np.float64]:
    """Return ``out[i, r, c] = sum over y, x of (a[y, x] - a_shift) * (b[y + r, x + c] - b_shift)``.

    `a` is (M, N), `b` at least (M + lags[0] - 1, N + lags[1] - 1), of any types and strides that `Correlation` takes;
    rows ``y`` of block ``i`` are ``i * block_rows <= y < (i + 1) * block_rows``. Shape (ceil(M / block_rows), *lags).
    Exact for two uint8 images and whole shifts from 0 to 255; else float64 sums. With `single`, products of two
    float32 images may be summed in float32 over strips of 32 rows, which are added in float64. Of tuples of images of
    one size, with a shift for each or for all, every one of `a` is multiplied by every one of `b`: the result has two
    axes more, behind the first. They are read once, not once for each pair.
    """

def window_products(
    before: NDArray[Any] | tuple[NDArray[Any], ...],
    after: NDArray[Any],
    chosen: NDArray[np.uint8],
    size: tuple[int, int],
    before_shift: float | tuple[float, ...] = 0.0,
    after_shift: float = 0.0,
) -> NDArray[np.float64]:
    """Return the sums of all products of two pixels of a window, over the chosen positions, and of `after` with them.

    With `z` the ``p = size[0] * size[1]`` values ``before[y + a, x + b] - before_shift``, then 1, then
    ``after[y, x] - after_shift``, it is the sum of ``outer(z, z)`` over the positions where `chosen` is 1, of shape
    (p + 2, p + 2). `after` is (M, N), `chosen` too, in C order, and `before` at least (M + size[0] - 1,
    N + size[1] - 1). Exact for two uint8 images and whole shifts from 0 to 255; else float64 sums. Of a tuple of images
    the values of each follow those of the one before, and `p` is so many times larger.
    """

def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Return an uninitialised array, aligned to 64 bytes."""

def instruction_set() -> str:
    """Return the instruction set in use: "avx512", "avx2", "neon" or "baseline"."""

def instruction_sets() -> list[str]:
    """Return the instruction sets of this build that the processor has, the fastest first."""

def use(name: str) -> None:
    """Use an instruction set from now on, the fastest for ""; ValueError if the processor lacks it."""

def fuses() -> bool:
    """Return whether every step of a sum is one fused multiply-add."""

def peak(seconds: float = 0.1) -> float:
    """Return the float32 multiply-adds a second that one thread achieves in registers, measured."""

def threads() -> int:
    """Return the number of threads of the engine."""

def set_threads(n: int) -> None:
    """Let the engine run on n threads, the calling one included."""
