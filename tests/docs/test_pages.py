"""The code in the pages and in README.md runs as printed, and prints what they show; commands are commands."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from helpers import pages

import kernelfield
from kernelfield.cli.main import app
from kernelfield.cli.messages import STREAM

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if not path.is_relative_to(ROOT / "docs" / "_drawn")),
]
WITH_CODE = [path for path in PAGES if pages.blocks(path.read_text(encoding="utf-8"))]


@pytest.fixture
def compiler(tmp_path_factory, monkeypatch):
    """Have a C compiler on the path: the machine's, or ziglang's."""
    if not shutil.which("cc"):
        cc = tmp_path_factory.mktemp("bin") / "cc"
        cc.write_text(f'#!/bin/sh\nexec {sys.executable} -m ziglang cc "$@"\n', encoding="utf-8")
        cc.chmod(0o755)
        monkeypatch.setenv("PATH", f"{cc.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: str(path.relative_to(ROOT)))
@pytest.mark.usefixtures("compiler")
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
def test_code_in_a_page_is_code_that_runs(path):
    languages = re.findall(r"^```(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(languages) <= {"python", "console", "c", "text"}


def links(text: str) -> list[str]:
    """Return the targets of a text's links and pictures that lie in its own folder."""
    return re.findall(r"\]\((?!\w+:|#)([^)#]+)[^)]*\)", text)


def test_the_links_of_the_readme_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        assert [link for link in links((ROOT / name).read_text("utf-8")) if not (ROOT / link).exists()] == []


def test_the_description_in_an_index_has_no_link_into_the_repository():
    specification = importlib.util.spec_from_file_location("build_backend", ROOT / "cmake" / "build_backend.py")
    backend = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(backend)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert links(readme)
    made = backend.description(readme)
    assert links(made) == []
    assert [block.text for block in pages.blocks(made)] == [block.text for block in pages.blocks(readme)]
    assert backend.description("[a](b.md), [c](http://d), [e.md](e.md)") == "a (`b.md`), [c](http://d), e.md"
    assert (ROOT / "build" / "description.md").read_text("utf-8") == made


def test_one_version_is_named_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == kernelfield.__version__
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)[1] == project["version"]
    assert f"dist/kernelfield-{project['version']}-*.whl" in (ROOT / "docs" / "start.md").read_text("utf-8")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_a_page_are_commands(path):
    for line in re.findall(r"^(?:    |\$ )(?:\$ )?(kernelfield .*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
        words = shlex.split(re.split(r" [<>|] ", line)[0], comments=True)[1:]
        words = [STREAM if word == "-" else word for word in words]
        if words and words[0].isalpha() and words[0].islower():
            app.parse_args(words, exit_on_error=False, print_error=False)
