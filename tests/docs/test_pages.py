"""The code in the pages and in README.md runs as printed, and prints what they show; commands are commands."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from helpers import pages

from kernelfield.cli.main import app
from kernelfield.cli.messages import STREAM

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if not path.is_relative_to(ROOT / "docs" / "_drawn")),
]
WITH_CODE = [path for path in PAGES if pages.blocks(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_runs_as_printed(path, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    faults, left_out = pages.run(path)
    assert "\n".join(faults) == ""
    assert left_out == 0


@pytest.mark.parametrize("page", ["x = 1\nprint(x)", "print(2)"])
def test_a_page_that_prints_something_else_is_found(page, tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"# A page\n\n```python\n{page}\n```\n\n```text\n3\n```\n", encoding="utf-8")
    (fault,), _ = pages.run(path)
    assert "page.md:4" in fault
    path.write_text("```python\nraise ValueError(5)\n```\n", encoding="utf-8")
    (fault,), _ = pages.run(path)
    assert "ValueError: 5" in fault


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_a_page_are_commands(path):
    for line in re.findall(r"^(?:    |\$ )(?:\$ )?(kernelfield .*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
        words = shlex.split(re.split(r" [<>|] ", line)[0], comments=True)[1:]
        words = [STREAM if word == "-" else word for word in words]
        if words and words[0].isalpha() and words[0].islower():
            app.parse_args(words, exit_on_error=False, print_error=False)
