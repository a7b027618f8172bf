"""What the tasks of one call are told, in memory that later calls use again."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.engine._arguments import address_of
from kernelfield.engine.x86.ends import Border
from kernelfield.engine.x86.layout import FIELDS

#: Scratch memory of tasks begins at a multiple of so many bytes: there must be as many more.
ALIGNED = 64

_IMAGE, _TABLE, _OUT, _WEIGHTS, _SCRATCH = (
    FIELDS.index(name) for name in ("image", "table", "out", "weights", "scratch")
)


class Words:
    """The words of a task.

    Parameters
    ----------
    known : list of int
        All of `FIELDS`, 0 where it is not known yet.
    reads : ndarray of int
        The row of the image that each row of the extended one is; -1 for the constant.
    shift : int
        Bytes from where rows of the extended image begin to where those of the image do.
    columns : int
        Elements of a row of the image.
    border : Border
    dtype : dtype
        Of the image.

    Attributes
    ----------
    address : int
        Where they are.
    """

    def __init__(
        self,
        known: list[int],
        reads: NDArray[Any],
        shift: int,
        columns: int,
        border: Border,
        dtype: np.dtype[Any],
    ) -> None:
        self._memory = ctypes.create_string_buffer(8 * len(known))
        self._words: Any = memoryview(self._memory).cast("B").cast("q")
        self.address = ctypes.addressof(self._memory)
        for i, value in enumerate(known):
            self._words[i] = value
        self._reads, self._shift, self._columns = reads, shift, columns
        self._cval, self._dtype = border.cval, dtype
        self._outside = reads < 0
        self._constant = bool(self._outside.any())
        self._line: NDArray[Any] | None = None
        self._table = np.zeros(len(reads), np.int64)
        self._words[_TABLE] = address_of(self._table)
        self._steps: tuple[Any, ...] = ()

    def set(self, image: NDArray[Any], weights: NDArray[Any], out: NDArray[Any]) -> None:
        """Write where the arrays are, and their steps if those are new."""
        if (image.strides, out.strides) != self._steps:
            self.settle(image.strides, out.strides, weights)
        self._words[_WEIGHTS] = address_of(weights)
        self.aim(address_of(image), address_of(out))

    def settle(self, image: tuple[int, ...], out: tuple[int, ...], weights: NDArray[Any]) -> None:
        """Write the strides of images and results, and where the weights are."""
        words = self._words
        np.multiply(self._reads, image[1], out=self._table)
        words[_IMAGE + 1] = image[0]
        words[_OUT + 1], words[_OUT + 2], words[_OUT + 3] = out[2], out[0], out[1]
        words[_WEIGHTS], words[_WEIGHTS + 1] = address_of(weights), weights.strides[0]
        self._steps = image, out

    def lend(self, scratch: NDArray[Any]) -> None:
        """Write where the scratch memory is, which whoever lends it holds."""
        self._words[_SCRATCH] = address_of(scratch) + ALIGNED - 1 & -ALIGNED

    def aim(self, image: int, out: int) -> None:
        """Write where the pixels are, and the results."""
        words = self._words
        words[_IMAGE], words[_OUT] = image - self._shift, out
        if self._constant:
            if self._line is None:
                self._line = np.full(self._columns, self._cval, self._dtype)
            self._table[self._outside] = address_of(self._line) - image
