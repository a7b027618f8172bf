"""The number of threads of the compiled engine.

All calls of a process share one pool of threads, so that concurrent Python threads (of Dask's threaded scheduler, for
example) do not multiply them; each caller also works itself. Processes do multiply: in a pool of processes give each
one thread, by ``set_threads(1)`` in its initializer or ``KERNELFIELD_THREADS=1``. Dask's nanny and joblib set
``OMP_NUM_THREADS`` in their worker processes, which is respected.
"""

from __future__ import annotations

import os
from pathlib import Path

from kernelfield import _core
from kernelfield.errors import ArgumentError

ENVIRONMENT_VARIABLE = "KERNELFIELD_THREADS"
_LIMIT = 256
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container, seen from inside

_asked: int | None = None


def threads() -> int:
    """Return the number of threads that compiled code may use, the calling one included.

    The first of these that is set: `set_threads`; the environment variables ``KERNELFIELD_THREADS`` and
    ``OMP_NUM_THREADS``, read when the engine is loaded; the processors that this process may use, by its
    affinity and by the quota of its container.

    Raises
    ------
    ArgumentError
        If ``KERNELFIELD_THREADS`` is not a number from 1 to 256.

    Examples
    --------
    >>> from kernelfield.engine.threads import set_threads, threads
    >>> set_threads(3)
    >>> threads()
    3
    >>> set_threads(None)
    """
    return threads_and_source()[0]


def set_threads(n: int | None) -> None:
    """Let compiled code use `n` threads, the calling one included, in the whole process from the next call on.

    Results do not depend on it.

    Parameters
    ----------
    n : int or None
        1 to 256. None leaves the choice to the environment, as `threads` says.

    Raises
    ------
    ArgumentError
        If `n` is neither None nor a number from 1 to 256.
    """
    global _asked
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _LIMIT):
        raise ArgumentError(f"n: expected a number of threads from 1 to {_LIMIT}, or None; received {n!r}")
    _asked = n
    _core.set_threads(threads())


def threads_and_source() -> tuple[int, str]:
    """Return `threads` and where the number comes from."""
    if _asked is not None:
        return _asked, "set_threads"
    text = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if text:
        if not text.isdecimal() or not 1 <= int(text) <= _LIMIT:
            raise ArgumentError(
                f"{ENVIRONMENT_VARIABLE}: expected a number of threads from 1 to {_LIMIT}; received {text!r}; unset it"
            )
        return int(text), ENVIRONMENT_VARIABLE
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list, one for each level of nesting
    if first.isdecimal() and int(first) > 0:
        return min(int(first), _LIMIT), "OMP_NUM_THREADS"
    return min(_processors(), _LIMIT), "processors"


def _processors() -> int:
    """Return the number of processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
        return min(allowed, max(1, -(-int(quota) // int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no quota ("max"), or not visible
        return allowed
