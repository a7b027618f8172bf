"""Messages on stderr: one line each, free of control characters, of bounded length."""

from __future__ import annotations

import sys
from contextlib import suppress

from kernelfield.errors import KernelfieldError, bounded

#: Stands for the word ``-`` of the command line, which is stdin or stdout; the parser takes the word for an option.
STREAM = "\N{HYPHEN}"

#: The words of the command that runs, after the program's name.
words: list[str] = []


class UsageError(Exception):
    """A command that cannot be understood; the message is one line."""


def note(text: str) -> None:
    """Print a remark about the input or the result."""
    progress(f"note: {text}")


def progress(text: str) -> None:
    """Print a line of progress."""
    # The result does not depend on whether anyone can read the messages.
    with suppress(OSError, ValueError):
        print(one_line(bounded(text.replace(STREAM, "-"))), file=sys.stderr, flush=True)


def fail(message: str, status: int) -> int:
    """Print an error and return the exit status."""
    progress(f"kernelfield: error: {message}")
    return status


def why_failed(error: Exception) -> str:
    """Return the line that says why a command, or its work on one file, failed."""
    if isinstance(error, KernelfieldError | UsageError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; expected a smaller picture; cut it or scale it down"
    if isinstance(error, OSError) and error.strerror:
        where = "the output" if error.filename is None else repr(error.filename)
        return f"{where}: cannot be read or written ({error.strerror}); make room or choose another place"
    return (
        f"unexpected {type(error).__name__}: {bounded(str(error))}; this is a defect of kernelfield: report it, with "
        "the traceback that KERNELFIELD_TRACEBACK=1 shows"
    )


def one_line(text: str) -> str:
    r"""Return `text` with line breaks and control characters escaped.

    Examples
    --------
    >>> print(one_line("no file 'a\nb'"))
    no file 'a\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
