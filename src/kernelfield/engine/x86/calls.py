"""Call the code of `sliding` and `passes`: arrays and numbers to the words that a task reads, and tasks to threads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import _halide, threads, tuning
from kernelfield.engine._arguments import address_of
from kernelfield.engine.low_rank import Factors
from kernelfield.engine.x86.ends import Border, Ends, chunks, tiles
from kernelfield.engine.x86.function import Function, function, parallel_for
from kernelfield.engine.x86.passes import TILE as PASSES
from kernelfield.engine.x86.passes import Passes
from kernelfield.engine.x86.sliding import Sliding
from kernelfield.engine.x86.task import FIELDS, Shape
from kernelfield.engine.x86.words import ALIGNED, Words
from kernelfield.geometry import positions_read

# Bytes of scratch memory that are kept for the next call.
_KEPT = 1 << 20
# Pixels of a narrow image that are copied at a time.
_COPIED = 1 << 20


def sliding(
    image: NDArray[Any],
    kernels: NDArray[Any],
    out: NDArray[Any],
    sums: np.dtype[Any],
    bias: NDArray[Any] | None = None,
    scale: float = 1.0,
    step: int = 1,
    border: Border | None = None,
    down: bool = False,
) -> Bound | bool:
    """Write the cross-correlations of images with kernels.

    ``out[n, o, i, j] = (sum over a, b of kernels[o, a, b] * image[n, i + a, j + step * b] + bias[o]) * scale``.

    Parameters
    ----------
    image : ndarray, shape (N, H, W)
        Native, with unit stride on the last axis.
    kernels : ndarray, shape (C_out, kh, kw)
        Cast to `sums`.
    out : ndarray, shape (N, C_out, OH, OW)
        Native, with unit stride on the last axis; integers are rounded and saturated, NaN becomes 0. It must not
        overlap `image`.
    sums : dtype
        float32 or float64.
    bias : ndarray, shape (C_out,), optional
        Cast to `sums`.
    scale : float
        For integers only.
    step : int
        Channels that are interleaved along the last axis of `image` and `out`.
    border : Border, optional
        The image is extended so.
    down : bool
        Integers are rounded down, not to nearest.

    Returns
    -------
    Bound or bool
        What does the same again; True if there is no such thing. False if nothing was done, because the image is too
        small for that border.
    """
    if border is None and out.shape[3] < 32 // sums.itemsize:
        for part, result, wide in _widened(image, out, kernels.shape[1:], 32 // sums.itemsize, step):
            sliding(part, kernels, wide, sums, bias, scale, step, down=down)
            result[...] = wide[..., : out.shape[3]]
        return True
    count, kh, kw = kernels.shape
    size = image.shape[1], image.shape[2]
    call = _call(Sliding, (kh, kw), 0, size, image.dtype, out.shape, out.dtype, sums, scale, step, border, down)
    if call is None or (border is not None and border.boundary == "constant" and len(image) > 1):
        return False
    weights = np.empty((count, kh * kw + 1), sums)
    weights[:, :-1] = kernels.reshape(count, -1)
    weights[:, -1] = 0 if bias is None else bias
    return call(image, weights, out)


def passes(
    image: NDArray[Any],
    factors: Factors,
    out: NDArray[Any],
    sums: np.dtype[Any],
    bias: NDArray[Any] | None = None,
    scale: float = 1.0,
    step: int = 1,
    border: Border | None = None,
    down: bool = False,
) -> Bound | bool:
    """Do what `sliding` does with the sum of the products of columns and rows; `out` is (N, OH, OW)."""
    terms, kh = factors.columns.shape
    kw = factors.rows.shape[1]
    if border is None and out.shape[2] < 32 // sums.itemsize:
        for part, result, wide in _widened(image, out[:, None], (kh, kw), 32 // sums.itemsize, step):
            passes(part, factors, wide[:, 0], sums, bias, scale, step, down=down)
            result[...] = wide[..., : out.shape[2]]
        return True
    into = out[:, None]
    size = image.shape[1], image.shape[2]
    call = _call(Passes, (kh, kw), terms, size, image.dtype, into.shape, out.dtype, sums, scale, step, border, down)
    if call is None or (border is not None and border.boundary == "constant" and (len(image) > 1 or border.cval)):
        return False
    weights = np.empty((1, terms * (kh + kw) + 1), sums)
    weights[0, -1] = 0 if bias is None else bias[0]
    weights[0, : terms * kh] = factors.columns.reshape(-1)
    weights[0, terms * kh : -1] = factors.rows.reshape(-1)
    return call(image, weights, into)


def _widened(
    image: NDArray[Any], out: NDArray[Any], kernel: tuple[int, ...], lanes: int, step: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    """Yield blocks of an image copied to wider rows, where their results go, and arrays for results as wide."""
    reach = (kernel[1] - 1) * step
    rows = max(1, _COPIED // (lanes + reach))
    for n in range(out.shape[0]):
        for y in range(0, out.shape[2], rows):
            result = out[n : n + 1, :, y : y + rows]
            high = result.shape[2] + kernel[0] - 1
            part = np.zeros((1, high, lanes + reach), image.dtype)
            source = image[n : n + 1, y : y + high, : out.shape[3] + reach]
            part[:, :, : source.shape[2]] = source
            yield part, result, np.empty((*result.shape[:3], lanes), out.dtype)


def _tile(writer: Any, out: tuple[int, ...], lanes: int, kernel: tuple[int, int]) -> tuple[int, int]:
    """Return rows and registers of a tile that suits a kernel and wastes little of the last tile of a row."""
    rows, most = PASSES if writer is Passes else tuning.current(True).tile(kernel[0])
    fitting = [v for v in range(1, most + 1) if v * lanes <= out[3]]
    # A tile of fewer registers is loaded with as many weights: it costs more than its share.
    best = min(fitting, default=1, key=lambda v: -(-out[3] // (v * lanes)) * (v + 0.6))
    return min(rows, out[2]), best


class _Call:
    """A correlation of images with results of one shape, ready for arrays.

    Parameters
    ----------
    function : Function
        Written for these.
    size : (int, int)
        Of images.
    shape : tuple of int
        Of results (N, C_out, OH, OW).
    terms : int
        Products of columns and rows, for `Passes`.
    scale : float
        As `sliding` takes it.
    border : Border
    ends : Ends
        What happens where rows end.
    """

    def __init__(
        self,
        function: Function,
        size: tuple[int, int],
        shape: tuple[int, ...],
        terms: int,
        scale: float,
        border: Border,
        ends: Ends,
    ) -> None:
        count, kernels, height, width = shape
        written = function.shape
        rows, (kh, kw) = written.rows, written.kernel
        self._function, self._size, self._border = function, size, border
        self._task = function.task
        self._dtype = np.dtype(written.image)
        products = kh * kw if terms == 0 else terms * (kh + kw)
        strip = rows * _halide.items_per_task(-(-height // rows), rows * width * products * kernels)
        self._tasks = count * -(-height // strip)
        self._scratch = max(terms, 1) * function.scratch
        positions = np.arange(-border.before[0], height + kh - 1 - border.before[0])
        self._reads = positions_read(positions, size[0], border.boundary)
        self._shift = border.before[1] * written.step * self._dtype.itemsize
        limits = np.iinfo(written.out) if "int" in written.out else None
        numbers = (scale, 0, 0) if limits is None else (scale, int(limits.min), int(limits.max))
        words = np.zeros((3, 2), np.float32) if written.sums == "float32" else np.zeros((3, 1))
        words[:, 0] = numbers
        scale_word, low, high = words.view(np.int64).ravel().tolist()
        self._memory = ends.memory
        known = {
            "kernels": kernels, "terms": terms, "rows": height, "last_row": height - rows,
            "strips": -(-height // strip), "strip_rows": strip, "scratch_task": self._scratch,
            "scale": scale_word, "low": low, "high": high, **ends.fields,
        }  # fmt: skip
        self._known = [known.get(name, 0) for name in FIELDS]
        self._free: list[Words] = []

    def __call__(self, image: NDArray[Any], weights: NDArray[Any], out: NDArray[Any]) -> Bound:
        """Do it, and return what does it again with arrays laid out alike."""
        try:
            words = self._free.pop()  # one step of the interpreter: safe between threads
        except IndexError:
            words = self.words()
        scratch = self.scratch(weights)
        words.set(image, weights, out)
        words.lend(scratch)
        self.run(words)
        self._free.append(words)
        return Bound(self, image, weights, out)

    def scratch(self, instead: NDArray[Any]) -> NDArray[Any]:
        """Return memory for tasks to work in; `instead` where they need none."""
        if not self._scratch:
            return instead
        scratch = np.zeros(self._tasks * self._scratch + ALIGNED, np.uint8)
        if self._border.cval:
            scratch[: scratch.size & -8].view(self._dtype)[...] = self._border.cval
        return scratch

    def words(self) -> Words:
        """Return memory for what tasks are told."""
        return Words(self._known, self._reads, self._shift, self._size[1], self._border, self._dtype)

    def run(self, words: Words) -> None:
        """Do what the words say."""
        if self._tasks == 1:
            self._task(None, 0, words.address)
        elif threads.asked() == 1:
            for index in range(self._tasks):
                self._task(None, index, words.address)
        else:
            parallel_for()(None, self._function.address, 0, self._tasks, words.address)


@lru_cache(maxsize=512)
def _call(
    writer: Any,
    kernel: tuple[int, int],
    terms: int,
    size: tuple[int, int],
    image: np.dtype[Any],
    shape: tuple[int, ...],
    out: np.dtype[Any],
    sums: np.dtype[Any],
    scale: float,
    step: int,
    border: Border | None,
    down: bool,
) -> _Call | None:
    """Return the call for these; None where rows are too short for the border."""
    rows, most = _tile(writer, shape, 32 // sums.itemsize, kernel)
    around = border or Border()
    for vectors in range(most, 0, -1):
        row = size[1], shape[3], vectors * 32 // sums.itemsize, (kernel[1] - 1) * step, step
        written = Shape(kernel, step, image.name, sums.name, out.name, rows, vectors, down=down)
        if writer is Passes:
            found = chunks(*row, sums.itemsize, around, function(Passes, written).zero)
        else:
            found = tiles(*row, image.itemsize, around)
        if found is not None:
            code = function(writer, written._replace(edge=found.edge))
            return _Call(code, size, shape, terms, scale, around, found)
    return None


tuning.on_change(_call.cache_clear)


class Bound:
    """What `sliding` or `passes` has done, ready to be done again.

    Parameters
    ----------
    call : _Call
    image, weights, out : ndarray
        Only the weights are kept, in the layout that the call takes them in. Of the others the layout counts: later
        ones must have the same dtype and strides, and as many elements.
    """

    def __init__(self, call: _Call, image: NDArray[Any], weights: NDArray[Any], out: NDArray[Any]) -> None:
        self._call, self._weights = call, weights
        self._steps = image.strides, out.strides
        self._free: list[tuple[Words, NDArray[Any]]] = []

    def __call__(self, image: NDArray[Any], out: NDArray[Any]) -> None:
        """Write the results; views with other axes of what was given at first are the same here."""
        try:
            words, scratch = self._free.pop()
        except IndexError:
            words, scratch = self._call.words(), self._call.scratch(self._weights)
            words.settle(*self._steps, self._weights)
            words.lend(scratch)
        words.aim(address_of(image), address_of(out))
        self._call.run(words)
        if scratch.nbytes <= _KEPT:
            self._free.append((words, scratch))


def ready(
    size: tuple[int, int],
    image: np.dtype[Any],
    kernel: tuple[int, int],
    shape: tuple[int, ...],
    out: np.dtype[Any],
    border: Border | None,
) -> Ready | None:
    """Return what does the work of `sliding` with other kernels again and again; None where that cannot be.

    Parameters
    ----------
    size : (int, int)
        Of images (N, H, W), C-contiguous.
    image, out : dtype
        Of images, and of results and sums.
    kernel : (int, int)
        Rows and columns of it.
    shape : tuple of int
        Of results (N, 1, OH, OW), C-contiguous.
    border : Border, optional
    """
    if border is not None and border.boundary == "constant" and shape[0] > 1:
        return None
    call = _call(Sliding, kernel, 0, size, image, shape, out, out, 1.0, 1, border, False)
    return None if call is None else Ready(call, size, image, kernel, shape, out)


class Ready:
    """Memory of one call of `sliding` after the other, with a kernel that may change."""

    def __init__(
        self,
        call: _Call,
        size: tuple[int, int],
        image: np.dtype[Any],
        kernel: tuple[int, int],
        shape: tuple[int, ...],
        out: np.dtype[Any],
    ) -> None:
        self._call, self._words = call, call.words()
        self._weights = np.zeros((1, math.prod(kernel) + 1), out)
        self._scratch = call.scratch(self._weights)
        #: The kernel, to be written.
        self.kernel = self._weights[0, :-1].reshape(kernel)
        row, line = size[1] * image.itemsize, shape[3] * out.itemsize
        plane = line * shape[2]
        self._words.settle((size[0] * row, row, image.itemsize), (plane, plane, line, out.itemsize), self._weights)
        self._words.lend(self._scratch)

    def __call__(self, image: NDArray[Any], out: NDArray[Any]) -> None:
        """Write the results."""
        self._words.aim(address_of(image), address_of(out))
        self._call.run(self._words)
