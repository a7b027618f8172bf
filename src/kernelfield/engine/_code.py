"""Machine code in memory: linked images from `_elf`, brought to addresses of their own and made executable.

Pages are writable or executable, never both at once. They are given back only where it is asked for: threads may still
stand in the code.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import struct
from collections.abc import Callable

from kernelfield.engine._elf import Image

_FAILED = ctypes.c_void_p(-1).value
_EXECUTE = 4  # PROT_EXEC

_libc = ctypes.CDLL(None, use_errno=True)
_map = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    use_errno=True,
)(("mmap", _libc))  # fmt: skip
_protect = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, use_errno=True)(
    ("mprotect", _libc)
)
_unmap = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, use_errno=True)(("munmap", _libc))


class Code:
    """An image in memory.

    Parameters
    ----------
    image : Image
        What to load.
    resolve : callable
        Name of an imported function -> its address.

    Raises
    ------
    OSError
        If the system gives no memory, or none that may be executed.
    """

    def __init__(self, image: Image, resolve: Callable[[str], int]) -> None:
        content = bytearray(image.content)
        access = mmap.PROT_READ | mmap.PROT_WRITE
        base = _map(None, len(content), access, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        if base in (None, _FAILED):
            raise OSError(ctypes.get_errno(), "no memory for compiled code")
        for place in image.relative:
            struct.pack_into("<Q", content, place, struct.unpack_from("<Q", content, place)[0] + base)
        for place, name in image.imports.items():
            struct.pack_into("<Q", content, place, resolve(name))
        ctypes.memmove(base, bytes(content), len(content))
        code, constants, _ = image.parts
        for start, size, rights in ((0, code, mmap.PROT_READ | _EXECUTE), (code, constants, mmap.PROT_READ)):
            if size and _protect(base + start, size, rights):
                raise OSError(ctypes.get_errno(), "the system does not let memory be executed")
        self._data = base + code + constants, bytes(content[code + constants :])
        self._base: int = base
        self._size = len(content)
        self._exports = image.exports

    def address(self, name: str) -> int:
        """Return the address of a function."""
        return self._base + self._exports[name]

    def give_back(self) -> None:
        """Give the memory back to the system: no thread may stand in the code, or come to it again."""
        _unmap(self._base, self._size)

    def reset_data(self) -> None:
        """Make all variables what they were when the code was loaded."""
        ctypes.memmove(*self._data, len(self._data[1]))


def system_function(name: str) -> int:
    """Return the address of a function of the system's libraries that the process has loaded.

    Raises
    ------
    OSError
        If there is none.
    """
    try:
        function = getattr(_libc, name)
    except AttributeError:
        raise OSError(errno.ENOEXEC, f"the system has no function {name}") from None
    address: int = ctypes.cast(function, ctypes.c_void_p).value or 0
    return address
