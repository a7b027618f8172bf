"""The code of `sliding` and `passes` in memory, and Halide's threads that run it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

from kernelfield.engine import _halide
from kernelfield.engine._arguments import check_layout
from kernelfield.engine._code import Code, system_function
from kernelfield.engine._elf import PAGE, Image
from kernelfield.engine.x86.converted import Converted
from kernelfield.engine.x86.passes import Passes
from kernelfield.engine.x86.sliding import Sliding
from kernelfield.engine.x86.tile import Shape

_Task = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_ParallelFor = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p
)


class Function:
    """Code in memory: ``task(context, index, fields)``."""

    def __init__(self, written: Sliding | Passes) -> None:
        check_layout()
        size = -(-len(written.code) // PAGE) * PAGE
        content = written.code + bytes(size - len(written.code))
        self.shape = written.shape
        self._code = Code(Image(content, (size, 0, 0), (), {}, {"task": 0}), system_function)
        self.address = self._code.address("task")
        self.task = _Task(self.address)
        self.scratch = written.scratch
        self.table = written.table if isinstance(written, Converted) else 0
        self.zero = written.zero if isinstance(written, Passes) else 0

    def __del__(self, ends: Callable[[], bool] = sys.is_finalizing) -> None:
        # Whoever runs the code holds this object meanwhile. Sizes without end must not fill the memory.
        code = getattr(self, "_code", None)
        if code is not None and not ends():
            code.give_back()


@lru_cache(maxsize=512)
def function(writer: type[Sliding] | type[Passes], shape: Shape) -> Function:
    return Function(writer(shape))


@cache
def parallel_for() -> Any:
    """Return the function of Halide's runtime that hands tasks to its threads."""
    return _ParallelFor(_halide.runtime().address("halide_do_par_for"))
