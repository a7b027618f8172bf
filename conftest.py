"""Markers of the frameworks, and the files that a run does without: see KERNELFIELD_FRAMEWORKS in CONTRIBUTING.md.

A file of tests or of the package belongs to the frameworks whose names are in its path (``tests/frameworks/torch/``,
``test_jax.py``), that it imports at the top, or that ``pytestmark`` names. It is imported only where all of them are
asked for. ``pytest -m mxnet``, or any other framework, imports only its own files and those marked ``core``.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import pytest

FRAMEWORKS = {"torch", "tensorflow", "jax", "mxnet"}
ASKED = set(filter(None, os.environ.get("KERNELFIELD_FRAMEWORKS", "torch,tensorflow,jax").split(",")))
LIBRARIES = {"keras": "tensorflow", "flax": "jax", "transformers": "torch"}
ROOT = Path(__file__).parent
# Virtual environments are not looked into.
FOLDERS = ROOT / "src", ROOT / "tests"


@cache
def frameworks_of(path: Path) -> set[str]:
    """Return the frameworks that a file belongs to by its path and its imports."""
    words = re.split(r"[/\\_.]", str(path.relative_to(ROOT)))
    words += re.findall(r"^(?:import|from) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {LIBRARIES.get(word, word) for word in words} & FRAMEWORKS


@cache
def marks_of(path: Path) -> set[str]:
    """Return the markers of a file, without importing it."""
    return frameworks_of(path) | set(re.findall(r"\bpytest\.mark\.(\w+)", path.read_text(encoding="utf-8")))


def is_left_out(path: Path, wanted: str) -> bool:
    """Return whether a run of ``pytest -m wanted`` imports nothing of a file, or of the files below a folder."""
    if path.is_dir():
        return all(is_left_out(file, wanted) for file in path.rglob("*.py") if file.name != "conftest.py")
    marks = marks_of(path)
    if wanted in FRAMEWORKS and not marks & {wanted, "core"}:
        return True
    return (wanted == "threads" and wanted not in marks) or not marks & FRAMEWORKS <= ASKED


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not any(map(collection_path.is_relative_to, FOLDERS)):
        return None
    if not (collection_path.is_dir() or collection_path.suffix == ".py"):
        return None
    return is_left_out(collection_path, config.option.markexpr.partition(" ")[0]) or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        given = item.callspec.params.get("framework") if hasattr(item, "callspec") else None
        names = {given} if given in FRAMEWORKS else frameworks_of(item.path)
        if item.get_closest_marker("core") and given is None:
            names = names | ASKED
        for name in sorted(names):
            item.add_marker(name)
