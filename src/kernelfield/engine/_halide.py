"""What the Halide pipelines of the engine share: a cache of compiled code, and buffers on NumPy memory.

Halide is imported at the first compilation, not with this module: ``import kernelfield`` stays fast.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Types that a pipeline reads.
INPUT_TYPES = ("uint8", "uint16", "int16", "int32", "float32", "float64")

_STRIDE_LIMIT = 2**31  # a Halide stride is an int32, counted in elements
_MACS_PER_TASK = 500_000  # some ten microseconds: well over what handing a task to a thread costs

_TASKS = 8 * (os.cpu_count() or 1)

_lock = threading.Lock()
_compiled: dict[Hashable, Any] = {}


def compiled(build: Callable[..., Any], *key: Hashable) -> Any:
    """Return ``build(*key)``, which compiles a pipeline, and keep it for the life of the process.

    Parameters
    ----------
    build : callable
        Builds and compiles; called under a lock, once for each distinct `key`.
    *key : hashable
        Its arguments.

    Returns
    -------
    object
        What `build` returned.
    """
    found = _compiled.get((build, *key))
    if found is None:
        with _lock:
            found = _compiled.get((build, *key))
            if found is None:
                found = _compiled[(build, *key)] = build(*key)
    return found


def target() -> Any:
    """Return the Halide target of this machine, with 64-bit offsets: images exceed 2**31 bytes."""
    import halide as hl

    return hl.get_jit_target_from_environment().with_feature(hl.TargetFeature.LargeBuffers)


def halide_type(dtype: DTypeLike) -> Any:
    """Return Halide's name of a NumPy number type."""
    import halide as hl

    dtype = np.dtype(dtype)
    make = {"u": hl.UInt, "i": hl.Int, "f": hl.Float}[dtype.kind]
    return make(8 * dtype.itemsize)


def lanes(dtype: DTypeLike) -> int:
    """Return how many numbers of a type one vector register of this machine holds."""
    return int(target().natural_vector_size(halide_type(dtype)))


def addressable(array: NDArray[Any]) -> bool:
    """Tell whether the strides of an array fit a Halide buffer."""
    limit = _STRIDE_LIMIT * array.itemsize
    return max(array.strides) < limit or all(n == 1 or s < limit for n, s in zip(array.shape, array.strides))


def buffer(array: NDArray[Any]) -> Any:
    """Return a ``halide.Buffer`` on the memory of an array, without a copy.

    The buffer holds a bare address: the caller keeps the array alive while the buffer is in use.
    Read-only memory is accepted, and is safe for what a pipeline only reads.

    Parameters
    ----------
    array : ndarray
        Not empty, `addressable`, with a unit stride on the last axis (or one element there).

    Returns
    -------
    halide.Buffer
        Axes in Halide's order: the last axis of the array comes first.
    """
    import halide as hl

    strides = array.strides
    size = array.itemsize
    if array.flags.writeable and strides[-1] == size and max(strides) < _STRIDE_LIMIT:
        return hl.Buffer(array)
    return hl.Buffer(np.asarray(_Memory(array)))


class _Memory:
    """The memory of an array, marked writable, the stride of every axis of one element made harmless."""

    def __init__(self, array: NDArray[Any]) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        interface["strides"] = tuple(
            array.itemsize if n == 1 else stride for n, stride in zip(array.shape, array.strides)
        )
        self.__array_interface__ = interface


def items_per_task(items: int, macs_per_item: int) -> int:
    """Return how many items of work to give to one parallel task.

    Parameters
    ----------
    items : int
        How many there are.
    macs_per_item : int
        Multiply-adds that one costs.

    Returns
    -------
    int
        At least 1, enough to pay for handing the task out, and few enough for eight tasks a processor.
    """
    worth = -(-_MACS_PER_TASK // max(macs_per_item, 1))
    return min(items, max(worth, -(-items // _TASKS)))
