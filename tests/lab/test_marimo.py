"""`kf.Lab` in marimo, in Chromium: in a shadow root, and the cells that use its values run again."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.notebooks import free_port, program
from playwright.sync_api import expect

# Its programs need the machine.
pytestmark = pytest.mark.threads
EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = f"""\
import marimo

app = marimo.App()


@app.cell
def _():
    import kernelfield as kf
    import marimo as mo

    lab = mo.ui.anywidget(kf.Lab({str(EXAMPLES / "before.png")!r}, {str(EXAMPLES / "after.png")!r}))
    lab
    return lab, mo


@app.cell
def _(lab, mo):
    lab.value
    fit = lab.widget.fit
    mo.md("nothing learned" if fit is None else f"learned {{fit.verdict}} {{fit.kernel.shape}}")
    return


if __name__ == "__main__":
    app.run()
"""


def test_the_lab_in_marimo(watched, tmp_path):
    (tmp_path / "notebook.py").write_text(NOTEBOOK)
    port = free_port()
    arguments = [
        "marimo",
        "--yes",
        "run",
        "notebook.py",
        "--headless",
        "--no-token",
        f"--port={port}",
    ]
    with program(arguments, f"http://127.0.0.1:{port}/", tmp_path):
        page = watched(viewport={"width": 1280, "height": 1000})
        page.goto(f"http://127.0.0.1:{port}/")
        lab = page.locator(".kernelfield-lab")
        expect(page.get_by_text("nothing learned")).to_be_visible()
        lab.locator("[data-learn]").click()
        expect(page.get_by_text("learned exact (")).to_be_visible()
        expect(lab.locator(".verdict strong")).to_have_text("exact")
        page.screenshot(path=tmp_path / "marimo.png")
