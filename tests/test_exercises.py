"""The exercises run as a reader runs them, and each writes a picture in which nothing overlaps."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from legibility import faults
from PIL import Image

FOLDER = Path(__file__).parents[1] / "examples" / "exercises"
SHOWN = Path(__file__).parents[1] / "docs" / "tutorial" / "outputs"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem != "pictures")


def test_every_exercise_is_here():
    names = {path.stem for path in SCRIPTS}
    assert names == {"blur", "diagonal_edges", "edge_direction", "matrix_product", "minimum_size", "second_derivative"}


def test_blobs_answer_most_at_the_radius_that_is_promised(tmp_path):
    command = [sys.executable, "-W", "error", str(FOLDER / "second_derivative.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == str(tmp_path / "second_derivative.png")
    found, promised = map(float, re.search(r"radius ([\d.]+), sqrt\(2\) sigma = ([\d.]+)", done.stdout).groups())
    assert found == pytest.approx(promised, abs=0.05)


@pytest.fixture
def draw(monkeypatch, tmp_path):
    """Return a function that runs an exercise here, and returns its figure, its variables and its picture."""
    monkeypatch.syspath_prepend(FOLDER)
    import pictures

    drawn = []
    write = pictures.write
    monkeypatch.setattr(pictures, "write", lambda made, name: drawn.append((made, write(made, name))))

    def run(name):
        monkeypatch.setattr(sys, "argv", [name, str(tmp_path)])
        variables = runpy.run_path(str(FOLDER / f"{name}.py"))
        ((figure, picture),) = drawn
        return figure, variables, picture

    return run


@pytest.mark.parametrize("name", [path.stem for path in SCRIPTS])
def test_an_exercise_writes_its_picture_and_nothing_in_it_overlaps(name, draw, tmp_path, capsys):
    figure, _, picture = draw(name)
    shown = SHOWN / f"{name}.txt"
    if shown.exists():  # the tutorial shows what is printed, but not the name of the picture
        assert capsys.readouterr().out.splitlines()[:-1] == shown.read_text(encoding="utf-8").splitlines()
    assert picture == tmp_path / f"{name}.png"
    pixels = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    # Red and blue: responses are drawn with their signs.
    red, blue = ((pixels[:, a].astype(int) - pixels[:, b]).max() for a, b in ((0, 2), (2, 0)))
    assert min(red, blue) > 60
    assert faults(figure) == []


def test_diagonal_edges_shows_the_transposed_image_and_all_panels_in_line(draw):
    figure, variables, _ = draw("diagonal_edges")
    panels = {axes.get_title(): axes for axes in figure.axes}
    for name, image in (("X", variables["X"]), ("Z", variables["steep"])):
        np.testing.assert_array_equal(panels[f"{name}ᵀ"].images[0].get_array(), image.T)
    for row in (figure.axes[:5], figure.axes[5:]):
        assert np.ptp([(axes.bbox.y0, axes.bbox.y1) for axes in row], axis=0) == pytest.approx(0)


def test_the_smallest_kernels_have_as_many_weights_as_the_title_says(draw):
    figure, _, _ = draw("minimum_size")
    assert "d + 1 weights" in figure.get_suptitle()
    for order, axes in enumerate(figure.axes[:4], 1):
        assert axes.get_title() == f"order {order}: {order + 1} weights"
        assert len(axes.patches) == order + 1
