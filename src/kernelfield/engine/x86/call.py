"""A correlation of images of one shape, ready for arrays: once, again and again, or with a kernel that changes."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine import _halide, threads
from kernelfield.engine._arguments import address_of
from kernelfield.engine.x86.ends import Border, Ends
from kernelfield.engine.x86.function import Function, parallel_for
from kernelfield.engine.x86.layout import FIELDS
from kernelfield.engine.x86.words import ALIGNED, Words
from kernelfield.geometry import positions_read

# Bytes of scratch memory that are kept for the next call.
_KEPT = 1 << 20
# Bytes of scratch memory of all tasks, for converted rows, and tasks that there must be to keep all threads at work.
_MOST, _FEWEST = 1 << 24, 4 * (os.cpu_count() or 1)


def weights_before(products: int) -> int:
    """Return how many numbers in float32 come before the weights in float64, where sums are taken again.

    They are weights, a bias, how far from an integer sums are certain, and what makes them even.
    """
    return products + 2 + products % 2


class Call:
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
        self._filled = np.dtype(written.sums) if function.table else self._dtype
        products = kh * kw if terms == 0 else terms * (kh + kw)
        lines = -(-height // rows)
        strip = _halide.items_per_task(lines, rows * width * products * kernels)
        self._scratch = max(terms, 1) * function.scratch
        if function.table:
            self._scratch = function.table + (rows + kh - 1) * ends.fields["pitch"]
            # Fewer tasks need less memory.
            fitting = _MOST // (count * self._scratch)
            if fitting >= _FEWEST:
                strip = max(strip, -(-lines // fitting))
        strip *= rows
        self._tasks = count * -(-height // strip)
        positions = np.arange(-border.before[0], height + kh - 1 - border.before[0])
        self._reads = positions_read(positions, size[0], border.boundary)
        self._shift = border.before[1] * written.step * self._dtype.itemsize
        limits = np.iinfo(written.out) if "int" in written.out else None
        numbers = (scale, 0, 0) if limits is None else (scale, int(limits.min), int(limits.max))
        words = np.zeros((3, 2), np.float32) if written.sums == "float32" else np.zeros((3, 1))
        words[:, 0] = numbers
        scale_word, low, high = words.view(np.int64).ravel().tolist()
        again = np.array(numbers[1:], np.float64).view(np.int64).tolist() if written.sure else (0, 0)
        self._memory = ends.memory
        known = {
            "kernels": kernels, "terms": terms, "rows": height, "last_row": height - rows,
            "strips": -(-height // strip), "strip_rows": strip, "scratch_task": self._scratch,
            "scale": scale_word, "low": low, "high": high, "low_again": again[0], "high_again": again[1],
            "weights_again": 4 * weights_before(products), **ends.fields,
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
            scratch[: scratch.size & -8].view(self._filled)[...] = self._border.cval
        return scratch

    @property
    def is_modest(self) -> bool:
        """Whether all tasks together need little memory to work in."""
        return self._tasks * self._scratch <= _MOST

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


class Bound:
    """What `sliding` or `passes` has done, ready to be done again.

    Parameters
    ----------
    call : Call
    image, weights, out : ndarray
        Only the weights are kept, in the layout that the call takes them in. Of the others the layout counts: later
        ones must have the same dtype and strides, and as many elements.
    """

    def __init__(self, call: Call, image: NDArray[Any], weights: NDArray[Any], out: NDArray[Any]) -> None:
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


class Ready:
    """Memory of one call of `sliding` after the other, with a kernel that may change."""

    def __init__(
        self,
        call: Call,
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
