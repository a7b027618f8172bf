"""One thread for NumPy's products of matrices.

OpenBLAS, which NumPy's wheels bring, shares even sums of ten thousand numbers among all processors, and its threads
wait busily for more: the matrices of a kernel took three times the processor time. The bits of their sums depend on
the number of threads, too.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.linalg import _umath_linalg

_lock = threading.Lock()
_within = 0
_before = 1


@dataclass(frozen=True)
class _Library:
    """OpenBLAS: functions that tell and set its number of threads."""

    threads: Callable[[], int]
    set_threads: Callable[[int], None]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let NumPy's OpenBLAS use one thread in the whole process until the last of such contexts ends.

    Other libraries are left as they are.

    Examples
    --------
    >>> with one_thread():
    ...     float(np.ones(100000) @ np.ones(100000))
    100000.0
    """
    global _within, _before
    library = _library()
    if library is None:
        yield
        return
    with _lock:
        if not _within:
            _before = library.threads()
            if _before != 1:
                library.set_threads(1)
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if not _within and _before != 1:
                library.set_threads(_before)


@lru_cache(maxsize=1)
def _library() -> _Library | None:
    """Return NumPy's OpenBLAS; None if it has another library."""
    package = Path(np.__file__).parent
    # What a library is linked to is found through it, but not on Windows; wheels keep it in a folder of theirs.
    files = [Path(_umath_linalg.__file__), *package.parent.glob("numpy.libs/*openblas*")]
    for file in [*files, *package.glob(".dylibs/*openblas*")]:
        try:
            library = ctypes.CDLL(str(file))
        except OSError:
            continue
        for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "openblas_{}_num_threads"):
            told, set_ = (getattr(library, name.format(which), None) for which in ("get", "set"))
            if told is not None and set_ is not None:
                set_.restype = None
                return _Library(told, set_)
    return None
