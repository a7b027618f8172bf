"""The program before its commands are imported and after they have run: Ctrl-C, and streams that are closed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import kernelfield

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and streams of POSIX")

INTERRUPTED = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"


def run(*arguments: object, path: Path | None = None, command: str = '"$@"') -> subprocess.CompletedProcess:
    """Run the program by a shell, with modules of `path` before all others."""
    source = Path(kernelfield.__file__).parents[1]
    places = [str(place) for place in (path, source) if place is not None]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(places)}
    words = ["sh", "-c", f"exec {command}", "sh", sys.executable, "-m", "kernelfield", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize("module", ["cyclopts", "rich", "numpy", "kernelfield.cli.main"])
def test_ctrl_c_while_modules_are_imported(tmp_path, module):
    """The signal comes in the middle of an import, however fast the machine is."""
    hook = f"""
import sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            {INTERRUPTED}
sys.meta_path.insert(0, Interrupt())
"""
    (tmp_path / "usercustomize.py").write_text(hook)
    (tmp_path / "sitecustomize.py").write_text(hook)
    done = run("doctor", path=tmp_path)
    assert (done.stdout, done.stderr) == ("", "")
    assert done.returncode in (130, -signal.SIGINT)


def test_ctrl_c_that_a_library_turns_into_an_error_of_its_own(tmp_path):
    (tmp_path / "numpy.py").write_text(f"""
try:
    {INTERRUPTED}
except KeyboardInterrupt:
    raise ImportError("an extension that was not initialised") from None
""")
    done = run("doctor", path=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 130)


def test_ctrl_c_while_the_interpreter_exits(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(f"import atexit\n@atexit.register\ndef late():\n    {INTERRUPTED}\n")
    done = run("--version", path=tmp_path)
    assert (done.stdout, done.stderr) == (f"{kernelfield.__version__}\n", "")


def test_ctrl_c_that_the_shell_ignores_stays_ignored(tmp_path):
    (tmp_path / "rich.py").write_text(INTERRUPTED)
    done = run("--version", path=tmp_path, command='sh -c \'trap "" INT; exec "$@"\' sh "$@"')
    assert done.returncode != -signal.SIGINT
    assert done.returncode != 130


@pytest.mark.parametrize(
    ("closed", "arguments", "status"),
    [("2>&-", ("learn", "none.png", "none.png"), 1), (">&-", ("design", "box"), 0), ("<&-", ("design", "box"), 0)],
)
def test_closed_streams(closed, arguments, status):
    done = run(*arguments, command=f'"$@" {closed}')
    assert done.returncode == status
    # Messages go nowhere, and not into the results.
    assert done.stdout == ("" if closed != "<&-" else run(*arguments).stdout)
    assert "Traceback" not in done.stderr
