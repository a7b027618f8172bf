"""The errors that kernelfield raises on purpose.

::

    KernelfieldError
    ├── ArgumentError (ValueError)    an argument has a wrong value, shape or size
    ├── DtypeError (TypeError)        an argument has a type that is not supported
    ├── DataError (ValueError)        the numbers given cannot answer the question
    ├── FileError (OSError)           a file cannot be read or written
    ├── ClusterError (RuntimeError)   the workers or the scheduler of a cluster are lost
    ├── MissingDependencyError (ImportError)  an optional package is needed
    └── UnsupportedOperation (NotImplementedError)  a network has an operation that no rule covers

Every message is one line: the argument, the expected value, the received one, the remedy. A `KernelfieldWarning` tells
of something that the user should know and that stops nothing. Values from the user are part of messages: a message
of more than 600 characters is cut in its middle.
"""

import reprlib

# The name makes type checkers take the branch; the typing module would slow the start of the command line.
TYPE_CHECKING = False

_LONGEST = 600
_END = 200


def bounded(text: str) -> str:
    """Return `text` on one line, without its middle if it is longer than 600 characters: the remedy is at the end.

    Examples
    --------
    >>> text = bounded("kernel: received " + 270_000 * "9" + "; make it smaller")
    >>> len(text), text[:20], text[-18:]
    (600, 'kernel: received 999', '9; make it smaller')
    """
    if "\n" in text or "\r" in text:
        text = " ".join(text.split())
    if len(text) <= _LONGEST:
        return text
    left_out = " [...] "
    return f"{text[: _LONGEST - _END - len(left_out)]}{left_out}{text[-_END:]}"


class KernelfieldError(Exception):
    """Base of every error raised on purpose."""

    if not TYPE_CHECKING:
        # TensorFlow's AutoGraph re-raises an error with its own class only if it has this constructor.
        __init__ = Exception.__init__

    def __str__(self) -> str:
        return bounded(super().__str__())


class ArgumentError(KernelfieldError, ValueError):
    """An argument has a wrong value, shape or size."""


class DtypeError(KernelfieldError, TypeError):
    """An argument has a type that is not supported."""


class DataError(KernelfieldError, ValueError):
    """The numbers given cannot answer the question."""


class FileError(KernelfieldError, OSError):
    """A file cannot be read or written."""


class ClusterError(KernelfieldError, RuntimeError):
    """The workers or the scheduler of a cluster are lost, or do not answer."""


class MissingDependencyError(KernelfieldError, ImportError):
    """An optional package is needed."""


class UnsupportedOperation(KernelfieldError, NotImplementedError):
    """A network has an operation that no rule covers: the elements it reads are not known."""


class KernelfieldWarning(UserWarning):
    """Something that the user should know, and that stops nothing."""

    def __str__(self) -> str:
        return bounded(super().__str__())


class AccuracyWarning(KernelfieldWarning):
    """The weights of a designed kernel miss the property that its parameters ask for, by the error stated."""


def shortened(text: str, longest: int) -> str:
    """Return a text on one line of at most `longest` characters, its end left out if need be; "?" for controls.

    Examples
    --------
    >>> shortened("a name that does not fit", 12)
    'a name that…'
    """
    line = "".join(c if c.isprintable() else "?" for c in " ".join(text[: 4 * longest].split()))
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def received(value: object, longest: int = 160) -> str:
    """Return a value as messages show it: on one line, of at most `longest` characters, its middle left out if need be.

    Examples
    --------
    >>> received("junk"), received(range(3)), received("x" * 1000, 30)
    ("'junk'", 'range(0, 3)', "'xxxxxxxxxxxx...xxxxxxxxxxxxx'")
    """
    shape = getattr(value, "shape", None)
    if type(shape) is tuple and shape:
        return shortened(f"{type(value).__name__} of shape {shape}", longest)
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = longest
    try:
        text = brief.repr(value)
    except Exception:  # whatever the class raises
        text = type(value).__name__
    return shortened(text, longest)


def reason(error: BaseException) -> str:
    """Return the message of another library's error for one of ours: on one line, of at most 160 characters."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return shortened(text, 160)
