"""Compiled pipelines as functions of NumPy arrays and numbers.

Halide's functions take an array of pointers: to numbers, and to a ``halide_buffer_t`` for each array (HalideRuntime.h
describes it). All of it lies in one block of memory, which the next call uses again: with arrays of the same shapes and
strides only their addresses are written. The interpreter lock is free while the function runs.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernelfield.errors import ArgumentError, KernelfieldError

# NumPy's letter for a kind of numbers -> Halide's number for it.
_KINDS = {"i": 0, "u": 1, "f": 2}

# Words of 64 bits. A block begins with the pointer that errors come with. A buffer has no device (two words), the
# address, no flags, the type and the number of axes (one word), the address of the axes, no padding; each axis begins
# at 0 and has an extent and a stride (one word, unaligned: two halves) and no flags.
_CONTEXT, _HEAD, _AXIS = 1, 7, 2
_ADDRESS, _TYPE, _AXES = 2, 4, 5

_Function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_pointer_at = ctypes.c_void_p.from_address

# PyArray_DATA of NumPy's C interface, the first field of an array's own. Asking in Python costs a microsecond.
_DATA = object.__basicsize__
_probe = np.empty(1)
_IS_THERE = _pointer_at(id(_probe) + _DATA).value == _probe.__array_interface__["data"][0]


def check_layout() -> None:
    """Raise where `address_of` does not find what it looks for."""
    if not _IS_THERE:
        raise KernelfieldError(
            "engine: this build of Python or NumPy lays arrays out in another way; set KERNELFIELD_ENGINE=portable"
        )


def address_of(array: NDArray[Any]) -> int:
    """Return where the first element of an array is."""
    return _pointer_at(id(array) + _DATA).value or 0


class Pipeline:
    """One compiled pipeline.

    Parameters
    ----------
    address : int
        Of its ``_argv`` entry.
    arguments : sequence of (str, int)
        NumPy's name of the type, and the number of axes: 0 for a number.
    width : int
        Kept for the caller.
    error_of : callable
        Return code and context (a number) -> the exception to raise.
    """

    def __init__(
        self,
        address: int,
        arguments: Sequence[tuple[str, int]],
        width: int,
        error_of: Callable[[int, int], Exception],
    ) -> None:
        check_layout()
        self.width = width
        self._function = _Function(address)
        self._arguments = [(np.dtype(name), axes) for name, axes in arguments]
        self._error_of = error_of
        self._free: list[_Block] = []

    def run(self, *arguments: Any) -> None:
        """Call the pipeline.

        Parameters
        ----------
        *arguments : ndarray or number
            As compiled: arrays of exactly these types and numbers of axes, whose strides are not negative and, in
            elements, below 2**31. What is only read may be read-only.

        Raises
        ------
        ArgumentError
            For an array of another type, and for extents and numbers out of range.
        KernelfieldError
            If the pipeline refuses the arguments.
        MemoryError
            If it gets no memory.
        """
        try:
            block = self._free.pop()  # one step of the interpreter: safe between threads
        except IndexError:
            block = _Block(self._arguments)
        try:
            for slot, value in zip(block.slots, arguments, strict=True):
                slot.set(value)
        except ArgumentError:
            raise
        except ValueError as error:
            raise ArgumentError(
                f"arguments: expected {len(self._arguments)} whose extents and numbers fit 32 bits; received others "
                f"({error}); cut the arrays"
            ) from None
        code = self._function(block.pointers)
        if code:
            raise self._error_of(code, block.context)
        self._free.append(block)


class _Block:
    """Memory for the arguments of one call: the context, what the arguments are, and the pointers to them."""

    def __init__(self, arguments: Sequence[tuple[np.dtype[Any], int]]) -> None:
        sizes = [_HEAD + _AXIS * axes if axes else 1 for _, axes in arguments]
        end = _CONTEXT + sum(sizes)
        memory = memoryview(ctypes.create_string_buffer(8 * (end + 1 + len(sizes)))).cast("B")
        self._memory = words = memory.cast("Q")
        self.context = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        self.pointers = self.context + 8 * end
        self.slots: list[_Array | _Number] = []
        words[0] = words[end] = self.context
        at = _CONTEXT
        for i, ((dtype, axes), size) in enumerate(zip(arguments, sizes)):
            words[end + 1 + i] = self.context + 8 * at
            self.slots.append(_Array(memory, at, dtype, axes, self.context) if axes else _Number(memory, at, dtype))
            at += size


class _Number:
    """Where a number goes."""

    def __init__(self, memory: memoryview, at: int, dtype: np.dtype[Any]) -> None:
        letter: Any = {"i2": "h", "i4": "i", "f4": "f", "f8": "d"}[dtype.str[1:]]
        self._view: Any = memory.cast(letter)
        self._at = 8 * at // dtype.itemsize

    def set(self, value: float) -> None:
        """Write it."""
        self._view[self._at] = value


class _Array:
    """Where an array goes."""

    def __init__(self, memory: memoryview, at: int, dtype: np.dtype[Any], axes: int, block: int) -> None:
        self._words: Any = memory.cast("Q")
        self._halves: Any = memory.cast("i")
        self._address = at + _ADDRESS
        self._axes = 2 * (at + _HEAD)
        self._dtype = dtype
        self._shape: tuple[int, ...] = (-1,) * axes
        self._strides = self._shape
        kind = struct.pack("<BBHi", _KINDS[dtype.kind], 8 * dtype.itemsize, 1, axes)
        self._words[at + _TYPE] = int.from_bytes(kind, "little")
        self._words[at + _AXES] = block + 8 * (at + _HEAD)

    def set(self, array: NDArray[Any]) -> None:
        """Write its address, and its shape if that is new."""
        if array.shape != self._shape or array.strides != self._strides:
            self._describe(array)
        if array.dtype is not self._dtype and array.dtype != self._dtype:
            raise ArgumentError(f"array: expected {self._dtype}; received {array.dtype}")
        self._words[self._address] = _pointer_at(id(array) + _DATA).value

    def _describe(self, array: NDArray[Any]) -> None:
        if array.ndim != len(self._shape):
            raise ArgumentError(f"array: expected {len(self._shape)} axes; received shape {array.shape}")
        self._shape = (-1,) * array.ndim  # until all is written
        at = self._axes
        for n, stride in zip(array.shape[::-1], array.strides[::-1]):
            self._halves[at + 1] = n
            self._halves[at + 2] = 1 if n == 1 else stride // array.itemsize  # one element: the stride is anything
            at += 2 * _AXIS
        self._shape, self._strides = array.shape, array.strides
