"""The tutorial's snippets run in every framework, and print what the tutorial shows.

``KERNELFIELD_CAPTURE=1 pytest tests/docs/test_snippets.py`` writes the outputs anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from conformance.frameworks import NAMES

pytestmark = pytest.mark.core

RUNNER = Path(__file__).parent / "run_snippets.py"
FOLDER = Path(__file__).parents[2] / "docs" / "tutorial" / "snippets"
ALL = ("numpy", "torch", "tensorflow", "jax", "mxnet")
STEPS = sorted(path.stem for path in (FOLDER / "numpy").glob("*.py"))
HERE = [name for name in ALL if name in NAMES or (name == "numpy" and "torch" in NAMES)]


@cache
def outputs(framework: str) -> dict[str, str]:
    """Return what the snippets of a framework print."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, str(RUNNER), framework]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **quiet}, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_step_is_there_in_every_framework():
    assert STEPS
    for name in ALL:
        assert sorted(path.stem for path in (FOLDER / name).glob("*.py")) == STEPS
        assert sorted(path.stem for path in (FOLDER / name).glob("*.txt")) == STEPS


@pytest.mark.parametrize("framework", HERE)
@pytest.mark.parametrize("step", STEPS)
def test_a_snippet_prints_what_the_tutorial_shows(framework, step):
    printed = outputs(framework)[step]
    shown = FOLDER / framework / f"{step}.txt"
    if os.environ.get("KERNELFIELD_CAPTURE"):
        shown.write_text(printed, encoding="utf-8")
    assert "Traceback" not in printed
    assert printed == shown.read_text(encoding="utf-8")
