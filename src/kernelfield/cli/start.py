"""The entry point of the program: signals and streams are ready before anything slow is imported."""

from __future__ import annotations

import os
import sys

# The module signal imports enum, which takes longer than everything else here.
from _signal import SIG_DFL, SIGINT, default_int_handler, getsignal, signal  # type: ignore[import-not-found]


def start() -> int:
    """Run the command line of this process and return its exit status.

    Until the commands are imported, and again while the interpreter exits, Ctrl-C ends the process by the system's
    default action: Python would print a traceback.
    """
    # A shell may start programs with Ctrl-C ignored.
    interruptible = getsignal(SIGINT) is default_int_handler
    if interruptible:
        signal(SIGINT, SIG_DFL)
    _open_missing_streams()
    from kernelfield.cli.main import main

    try:
        if interruptible:
            signal(SIGINT, default_int_handler)
        return main()
    except KeyboardInterrupt:
        return 130
    finally:
        if interruptible:
            signal(SIGINT, SIG_DFL)


def _open_missing_streams() -> None:
    """Open the null device for standard streams that the caller closed.

    The next file opened would otherwise take the place of the stream, and text for a stderr that is None goes to
    stdout.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # It gets the lowest free number, which is that of the missing stream.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
