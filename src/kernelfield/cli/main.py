"""The program ``kernelfield``: its commands, and the exit status and message of an error."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from cyclopts import App, CycloptsError, Parameter

import kernelfield
from kernelfield.cli.apply import apply
from kernelfield.cli.bench import bench
from kernelfield.cli.code import code
from kernelfield.cli.compare import DIFFERENT, compare
from kernelfield.cli.confined import OPTION, run_confined
from kernelfield.cli.design import design
from kernelfield.cli.doctor import doctor
from kernelfield.cli.export import export
from kernelfield.cli.field import field
from kernelfield.cli.lab import lab
from kernelfield.cli.learn import learn
from kernelfield.cli.match_psf import match_psf
from kernelfield.cli.messages import STREAM, UsageError, fail, note, why_failed, words
from kernelfield.cli.stores import verify
from kernelfield.errors import KernelfieldWarning, bounded

app = App(
    name="kernelfield",
    help="The convolution kernels that act on images: learn them from a before and an after, and apply them.",
    version=kernelfield.__version__,
    # Markdown would import a parser that takes longer to load than everything else.
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
)
# These modules import NumPy, and modules that need it, inside functions: --help does not wait for them.
for command in (learn, match_psf, apply, verify, compare, export, design, field, code, lab, bench, doctor):
    app.command(command)
app["apply"].usage = "Usage: kernelfield apply [OPTIONS] FILTER PICTURES... RESULT"
app.register_install_completion_command(
    help="Complete commands and options by Tab in this user's bash, zsh, fish or PowerShell."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``kernelfield``; by default those of this process.

    Returns
    -------
    int
        0; 1 for input that cannot be used, 2 for a command that cannot be understood, 130 after Ctrl-C, 141 if the
        reader of the output went away. Of compare, as of diff, 1 for filters that differ and 2 for trouble.
    """
    app.suppress_keyboard_interrupt = False
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that has no × shows a question mark.
        sys.stdout.reconfigure(errors="replace")
    tokens = [STREAM if token == "-" else token for token in (sys.argv[1:] if arguments is None else arguments)]
    words[:] = ["-" if token == STREAM else token for token in tokens]
    interrupts: list[int] = []
    try:
        with _warnings_as_notes(), _recorded(interrupts):
            if OPTION in tokens and tokens[0] in ("apply", "learn") and "--help" not in tokens:
                plain = ["-" if token == STREAM else token for token in tokens if token != OPTION]
                return run_confined(plain)
            answer = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _discard_stdout()
        return 141
    except Exception as error:
        # A compiled module that is interrupted while it is imported raises an ImportError.
        return 130 if interrupts else _report(error, tokens)
    return 1 if answer is DIFFERENT else 0


def _report(error: Exception, tokens: list[str]) -> int:
    """Print the one line that says why a command failed, and return the exit status."""
    if os.environ.get("KERNELFIELD_TRACEBACK"):
        traceback.print_exception(error)
    if isinstance(error, CycloptsError | UsageError):
        command = tokens[0] if tokens and tokens[0] in app else ""
        return fail(f"{bounded(str(error))} See: {' '.join(filter(None, ('kernelfield', command, '--help')))}", 2)
    if isinstance(error, OSError):
        _discard_stdout()
    return fail(why_failed(error), 2 if tokens[:1] == ["compare"] else 1)


@contextmanager
def _recorded(interrupts: list[int]) -> Iterator[None]:
    """Append to `interrupts` for each Ctrl-C, which also raises KeyboardInterrupt as usual."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Print warnings as notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", KernelfieldWarning)

        def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            origin = "" if issubclass(category, KernelfieldWarning) else f"{category.__name__}: "
            note(f"{origin}{message}")

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _discard_stdout() -> None:
    """Send the rest of stdout's buffer nowhere; Python would otherwise report an error when it exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
