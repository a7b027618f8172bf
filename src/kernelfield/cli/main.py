"""The program ``kernelfield``: its commands, and the exit status and message of an error."""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from cyclopts import App, CycloptsError, Parameter

import kernelfield
from kernelfield.cli.apply import apply
from kernelfield.cli.bench import bench
from kernelfield.cli.code import code
from kernelfield.cli.design import design
from kernelfield.cli.doctor import doctor
from kernelfield.cli.field import field
from kernelfield.cli.learn import learn
from kernelfield.cli.messages import UsageError, fail, note
from kernelfield.errors import KernelfieldError, KernelfieldWarning

app = App(
    name="kernelfield",
    help="The convolution kernels that act on images: learn them from a before and an after, and apply them.",
    version=kernelfield.__version__,
    # Markdown would import a parser that takes longer to load than everything else.
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
)
# These modules import NumPy, and modules that need it, inside functions: --help does not wait for them.
for command in (learn, apply, design, field, code, bench, doctor):
    app.command(command)


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
        reader of the output went away.
    """
    app.suppress_keyboard_interrupt = False
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that has no × shows a question mark.
        sys.stdout.reconfigure(errors="replace")
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _warnings_as_notes():
            app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except (CycloptsError, UsageError) as error:
        command = tokens[0] if tokens and tokens[0] in app else ""
        return fail(f"{error} See: {' '.join(filter(None, ('kernelfield', command, '--help')))}", 2)
    except KernelfieldError as error:
        return fail(str(error), 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _discard_stdout()
        return 141
    except MemoryError:
        return fail("not enough memory for this picture; expected a smaller one; cut it or scale it down", 1)
    except OSError as error:
        _discard_stdout()
        return fail(f"the output cannot be written ({error.strerror or error}); make room or choose another place", 1)
    return 0


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Print the warnings of this package as notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", KernelfieldWarning)
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            if issubclass(category, KernelfieldWarning):
                note(str(message))
            else:
                usual(message, category, *rest)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _discard_stdout() -> None:
    """Send the rest of stdout's buffer nowhere; Python would otherwise report an error when it exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
