"""The errors that kernelfield raises on purpose.

::

    KernelfieldError
    ├── ArgumentError (ValueError)    an argument has a wrong value, shape or size
    ├── DtypeError (TypeError)        an argument has a type that is not supported
    ├── DataError (ValueError)        the numbers given cannot answer the question
    ├── FileError (OSError)           a file cannot be read or written
    ├── MissingDependencyError (ImportError)  an optional package is needed
    └── UnsupportedOperation (NotImplementedError)  a network holds an operation that is not known

Every message is one line: the argument, what was expected, what was received, the remedy. What goes on all the same
but should be known is a `KernelfieldWarning`.
"""

from typing import TYPE_CHECKING


class KernelfieldError(Exception):
    """Base of every error raised on purpose."""

    if not TYPE_CHECKING:
        # TensorFlow's AutoGraph raises an error again as its own class only where this is the constructor.
        __init__ = Exception.__init__


class ArgumentError(KernelfieldError, ValueError):
    """An argument has a wrong value, shape or size."""


class DtypeError(KernelfieldError, TypeError):
    """An argument has a type that is not supported."""


class DataError(KernelfieldError, ValueError):
    """The numbers given cannot answer the question."""


class FileError(KernelfieldError, OSError):
    """A file cannot be read or written."""


class MissingDependencyError(KernelfieldError, ImportError):
    """An optional package is needed."""


class UnsupportedOperation(KernelfieldError, NotImplementedError):
    """A network holds an operation of which it is not known what it reads."""


class KernelfieldWarning(UserWarning):
    """Something is passed over that the user meant to count."""
