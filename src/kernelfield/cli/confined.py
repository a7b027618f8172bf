"""Commands on files that may be hostile: run in a process of their own, with less memory and time."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

from kernelfield.cli.messages import UsageError, fail

OPTION = "--untrusted"
#: Bytes of address space, and seconds.
MEMORY, SECONDS = 4 << 30, 600


def run_confined(tokens: Sequence[str], memory: int = MEMORY, seconds: float = SECONDS) -> int:
    """Run the words of a command in a child process, and return its exit status.

    A decoder that takes too much memory or time, or that crashes, ends with the child, and with one line; results are
    written as always, whole or not at all. The child may do what the user may: it is no sandbox.
    """
    try:
        import resource
    except ImportError:
        raise UsageError(
            f"{OPTION}: expected a system that limits processes, as Linux or macOS; leave it out."
        ) from None

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    child = subprocess.Popen([sys.executable, "-m", "kernelfield", *tokens], preexec_fn=limit)
    try:
        status = child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return fail(
            f"{OPTION}: the files took longer than {seconds:g} seconds; expected less; leave the option out if they "
            "are trusted",
            1,
        )
    except KeyboardInterrupt:
        # The child got the signal too, and stops within a tile.
        child.wait()
        raise
    if status >= 0:
        return status
    name = signal.Signals(-status).name
    return fail(
        f"{OPTION}: the files ended the process that read them ({name}); expected sound ones; do not use them", 1
    )
