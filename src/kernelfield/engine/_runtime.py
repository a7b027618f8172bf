"""What all compiled pipelines of a process share: one Halide runtime, with one pool of threads.

Nothing in it aborts the process: errors come back as exceptions. A forked child has the runtime's variables as they
were when it was loaded, so it starts a pool of its own at its first call, whatever the parent's threads were doing.
"""

from __future__ import annotations

import ctypes
import sys

from kernelfield.engine import threads
from kernelfield.engine._code import Code
from kernelfield.errors import KernelfieldError

_OUT_OF_MEMORY = -11  # halide_error_code_out_of_memory

_Handler = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)
_SetHandler = ctypes.CFUNCTYPE(ctypes.c_void_p, _Handler)
_SetThreads = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)

_messages: dict[int, str] = {}


class Runtime:
    """A loaded Halide runtime.

    Parameters
    ----------
    code : Code
        Of ``compile_standalone_runtime``, for a target with user contexts.
    """

    def __init__(self, code: Code) -> None:
        self._code = code
        self._set_handlers = [
            (_SetHandler(code.address("halide_set_error_handler")), _Handler(_keep)),
            (_SetHandler(code.address("halide_set_custom_print")), _Handler(_print)),
        ]
        self._set_threads = _SetThreads(code.address("halide_set_num_threads"))
        self._configure()
        threads.on_change(self._set_threads)

    def address(self, name: str) -> int:
        """Return the address of a function; KeyError if there is none of this name."""
        return self._code.address(name)

    def restart(self) -> None:
        """Begin anew in a forked child, where no thread but this one is left."""
        self._code.reset_data()
        _messages.clear()
        self._configure()

    def _configure(self) -> None:
        for set_handler, handler in self._set_handlers:
            set_handler(handler)
        self._set_threads(threads.threads())


def error_of(code: int, context: int) -> Exception:
    """Return the exception for what a pipeline returned and, before that, said."""
    message = _messages.pop(context, f"error {code}")
    if code == _OUT_OF_MEMORY:
        return MemoryError(message)
    return KernelfieldError(
        f"engine: compiled code refused its arguments ({message}); set KERNELFIELD_ENGINE=portable to go on, and "
        "report it"
    )


def _keep(context: int, text: bytes) -> None:
    # Several threads may fail in one call; the first says why.
    _messages.setdefault(context or 0, " ".join(text.decode(errors="replace").split()))


def _print(context: int, text: bytes) -> None:
    sys.stderr.write(text.decode(errors="replace"))
