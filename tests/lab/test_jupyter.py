"""`kf.Lab` in JupyterLab, in Chromium: the page is shown, learns in the notebook's kernel, and its values come back."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from helpers.notebooks import free_port, program
from playwright.sync_api import TimeoutError, expect

# Its programs need the machine.
pytestmark = pytest.mark.threads
EXAMPLES = Path(__file__).parents[2] / "examples"
SHOW = f"""\
import kernelfield as kf
lab = kf.Lab({str(EXAMPLES / "before.png")!r}, {str(EXAMPLES / "after.png")!r})
lab"""
TELL = "print('learned', lab.fit.verdict, lab.fit.kernel.shape); print('shown', lab.kernel.weights.tolist())"


def cell(source: str) -> dict:
    return {
        "cell_type": "code",
        "id": str(len(source)),
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }


def test_the_lab_in_jupyterlab(watched, tmp_path):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": kernel},
        "cells": [cell(SHOW), cell(TELL)],
    }
    (tmp_path / "lab.ipynb").write_text(json.dumps(notebook))
    port = free_port()
    arguments = ["jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
    arguments += [
        "--IdentityProvider.token=test",
        f"--ServerApp.root_dir={tmp_path}",
        "--LabApp.extension_manager=readonly",
    ]
    with program(arguments, f"http://127.0.0.1:{port}/api?token=test", tmp_path):
        page = watched(viewport={"width": 1280, "height": 1000})
        page.goto(f"http://127.0.0.1:{port}/lab/tree/lab.ipynb?token=test")
        lab = page.locator(".kernelfield-lab")
        # A cell that is run before the kernel is there is not run at all.
        for _ in range(6):
            page.locator(".jp-CodeCell .cm-content").first.click()
            page.keyboard.press("Control+Enter")
            with suppress(TimeoutError):
                lab.wait_for(timeout=10_000)
                break
        lab.locator("[data-learn]").click()
        expect(lab.locator(".verdict strong")).to_have_text("exact")
        page.screenshot(path=tmp_path / "jupyterlab.png")
        page.locator(".jp-CodeCell .cm-content").nth(1).click()
        page.keyboard.press("Shift+Enter")
        told = page.locator(".jp-OutputArea-output pre", has_text="shown")
        expect(told).to_contain_text("learned exact (")
        page.screenshot(path=tmp_path / "jupyterlab.png")
