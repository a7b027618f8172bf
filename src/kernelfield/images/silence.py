"""Libraries made to keep to themselves what they warn and log of about damaged files."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_quiet: ContextVar[bool] = ContextVar("_quiet", default=False)
# The filters of warnings belong to the whole process: two threads that put them back in the wrong order would lose
# them.
_lock = threading.RLock()


def _not_quiet(_: logging.LogRecord) -> bool:
    return not _quiet.get()


@contextmanager
def unlogged(name: str) -> Iterator[None]:
    """Suppress the log messages of a library inside this context, in this thread only."""
    logging.getLogger(name).addFilter(_not_quiet)
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


@contextmanager
def unwarned() -> Iterator[None]:
    """Suppress warnings inside this context, of one thread at a time: for what is quick, such as reading a header."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
