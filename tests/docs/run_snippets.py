"""Run the tutorial's snippets of one framework, each in a namespace of its own, and print what they print as JSON.

    python tests/docs/run_snippets.py torch

A process for each framework: MXNet's `npx.set_np` holds for a whole process.
"""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import sys
import traceback
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "tutorial" / "snippets"


def run(path: Path) -> str:
    """Return what a snippet prints; if it fails, with its traceback."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except Exception:
            traceback.print_exc(file=printed)
    return printed.getvalue()


if __name__ == "__main__":
    outputs = {path.stem: run(path) for path in sorted((FOLDER / sys.argv[1]).glob("*.py"))}
    print(json.dumps(outputs))
