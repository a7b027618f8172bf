"""The exercises run as a reader runs them, and each writes its picture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).parents[1] / "examples" / "exercises"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem != "pictures")


def test_every_exercise_is_here():
    names = {path.stem for path in SCRIPTS}
    assert names == {"blur", "diagonal_edges", "edge_direction", "matrix_product", "minimum_size", "second_derivative"}


def test_blobs_answer_most_at_the_radius_that_is_promised(tmp_path):
    command = [sys.executable, str(FOLDER / "second_derivative.py"), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found, promised = map(float, re.search(r"radius ([\d.]+), sqrt\(2\) sigma = ([\d.]+)", said).groups())
    assert found == pytest.approx(promised, abs=0.05)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_exercise_writes_its_picture(script, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"MPLCONFIGDIR": str(tmp_path / "matplotlib")},
    )
    assert (done.returncode, done.stderr) == (0, "")
    picture = tmp_path / f"{script.stem}.png"
    assert done.stdout.splitlines()[-1] == str(picture)
    pixels = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    # Red and blue: responses are drawn with their signs.
    red, blue = ((pixels[:, a].astype(int) - pixels[:, b]).max() for a, b in ((0, 2), (2, 0)))
    assert min(red, blue) > 60
