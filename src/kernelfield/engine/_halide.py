"""What the Halide pipelines of the engine share: how they are defined, compiled and kept, and what fits a buffer.

Halide is imported by the first compilation, not with this module: ``import kernelfield`` stays fast.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from kernelfield.engine import threads
from kernelfield.errors import ArgumentError, KernelfieldError

#: Types that a pipeline reads.
INPUT_TYPES = ("uint8", "uint16", "int16", "int32", "float32", "float64")

_STRIDE_LIMIT = 2**31  # a Halide stride is an int32, counted in elements
_MACS_PER_TASK = 500_000  # some ten microseconds: well over what handing a task to a thread costs

_TASKS = 8 * (os.cpu_count() or 1)

_lock = threading.RLock()
_compiled: dict[Hashable, Pipeline] = {}


class Pipeline(Protocol):
    """Compiled code."""

    width: int

    def run(self, *arguments: Any) -> None:
        """Call it with arrays and numbers; arrays must be `addressable`, with unit stride on the last axis."""


class Definition(NamedTuple):
    """A pipeline, scheduled but not compiled.

    Attributes
    ----------
    out : halide.Func
        The result, of one value.
    arguments : list of halide.ImageParam and halide.Param
        What it takes, in this order; the result comes last.
    width : int
        Kept with the compiled code for the caller.
    """

    out: Any
    arguments: Sequence[Any]
    width: int = 0

    def signature(self) -> list[tuple[str, int]]:
        """Return NumPy's name of the type and the number of axes, 0 for a number, of arguments and result."""
        found = []
        for argument in self.arguments:
            axes = argument.dimensions() if hasattr(argument, "dimensions") else 0
            found.append((_numpy_name(argument.type()), axes))
        return [*found, (_numpy_name(self.out.type()), self.out.dimensions())]


def compiled(build: Callable[..., Definition], *key: Hashable) -> Pipeline:
    """Return the pipeline that ``build(*key)`` defines, and keep it for the life of the process.

    On Linux its code is kept on disk too, by `_objects`.

    Parameters
    ----------
    build : callable
        Called under a lock, and only if the code is not there yet. It depends on nothing but `key` and its module.
    *key : hashable
        Its arguments; ``str`` tells them apart.

    Returns
    -------
    Pipeline
        Ready to run.

    Raises
    ------
    KernelfieldError
        If the system does not let compiled code be loaded.
    """
    found = _compiled.get((build, *key))
    if found is None:
        with _lock:
            found = _compiled.get((build, *key))
            if found is None:
                found = _compiled[(build, *key)] = _load(build, key)
    return found


def _load(build: Callable[..., Definition], key: tuple[Hashable, ...]) -> Pipeline:
    if sys.platform != "linux":
        return _InProcess(build(*key))
    _watch_forks()
    from kernelfield.engine import _objects

    try:
        return _objects.pipeline(build, key)
    except OSError as error:
        raise KernelfieldError(f"engine: {error}; set KERNELFIELD_ENGINE=portable") from error


def runtime() -> Any:
    """Return the runtime that all compiled code of this process shares, from disk or compiled; on Linux only."""
    with _lock:
        _watch_forks()
        from kernelfield.engine import _objects

        return _objects.runtime()


class _InProcess:
    """A pipeline compiled by Halide for this process alone, where `_objects` cannot link it."""

    def __init__(self, definition: Definition) -> None:
        os.environ["HL_NUM_THREADS"] = str(threads.threads())  # read at the first parallel call
        self.width = definition.width
        self._callable = definition.out.compile_to_callable(list(definition.arguments), target())

    def run(self, *arguments: Any) -> None:
        self._callable(*(_buffer(a) if isinstance(a, np.ndarray) else a for a in arguments))


def target() -> Any:
    """Return the Halide target of this machine, with 64-bit offsets: images exceed 2**31 bytes."""
    import halide as hl

    try:
        wish = hl.get_jit_target_from_environment()
    except hl.HalideError as error:
        raise ArgumentError(
            f"HL_JIT_TARGET: expected what Halide can make for this machine, like host or x86-64-linux-avx2-fma; "
            f"received {os.environ.get('HL_JIT_TARGET')!r} ({' '.join(str(error).split())}); unset it"
        ) from None
    return wish.with_feature(hl.TargetFeature.LargeBuffers)


def halide_type(dtype: DTypeLike) -> Any:
    """Return Halide's name of a NumPy number type."""
    import halide as hl

    dtype = np.dtype(dtype)
    make = {"u": hl.UInt, "i": hl.Int, "f": hl.Float}[dtype.kind]
    return make(8 * dtype.itemsize)


def _numpy_name(number: Any) -> str:
    """Return NumPy's name of a Halide number type."""
    kind = "float" if number.is_float() else "uint" if number.is_uint() else "int"
    return f"{kind}{number.bits()}"


def lanes(dtype: DTypeLike) -> int:
    """Return how many numbers of a type one vector register of this machine holds."""
    return int(target().natural_vector_size(halide_type(dtype)))


def addressable(array: NDArray[Any]) -> bool:
    """Tell whether the strides of an array fit a Halide buffer."""
    limit = _STRIDE_LIMIT * array.itemsize
    return max(array.strides) < limit or all(n == 1 or s < limit for n, s in zip(array.shape, array.strides))


def _buffer(array: NDArray[Any]) -> Any:
    """Return a ``halide.Buffer`` on the memory of an array, which the caller keeps alive."""
    import halide as hl

    strides = array.strides
    if array.flags.writeable and strides[-1] == array.itemsize and max(strides) < _STRIDE_LIMIT:
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


_watched = False


def _watch_forks() -> None:
    """Let no fork fall into a compilation, and let every forked child begin with threads of its own."""
    global _watched
    if not _watched:
        _watched = True
        os.register_at_fork(
            before=lambda: _lock.acquire(), after_in_parent=lambda: _lock.release(), after_in_child=_child
        )


def _child() -> None:
    global _lock
    from kernelfield.engine import _objects

    _lock = threading.RLock()
    _objects.restart()
