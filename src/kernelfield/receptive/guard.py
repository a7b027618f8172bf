"""The errors that a frontend raises on purpose, whatever happens inside: an unexpected one names the node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kernelfield.errors import KernelfieldError, UnsupportedOperation, reason


@contextmanager
def guarded(operation: str, name: str) -> Iterator[None]:
    """Turn any error but those raised on purpose into an `UnsupportedOperation` that names the node.

    Parameters
    ----------
    operation, name : str
        Of the node.

    Examples
    --------
    >>> with guarded("mylib::warp", "stem.warp"):
    ...     raise IndexError("tuple index out of range")
    Traceback (most recent call last):
    kernelfield.errors.UnsupportedOperation: model: expected arguments that the rule of an operation covers; received \
'mylib::warp' in 'stem.warp' (IndexError: tuple index out of range); pass unknown='global' for an upper bound, or add \
a rule with kernelfield.receptive.register
    """
    try:
        yield
    except KernelfieldError:
        raise
    except Exception as error:
        raise UnsupportedOperation(
            f"model: expected arguments that the rule of an operation covers; received {operation!r} in {name!r} "
            f"({type(error).__name__}: {reason(error)}); pass unknown='global' for an upper bound, or add a rule with "
            "kernelfield.receptive.register"
        ) from error
