"""Imports go down only, and importing the package brings in nothing that is slow to load."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "kernelfield"

RANKS = [
    ("_core", "errors"),
    ("geometry",),
    ("engine", "kernels", "images"),
    ("arrays",),
    ("correlation", "receptive"),
    ("matrix",),
    ("learning", "layers", "coding", "dropin"),
    ("apps",),
]
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
# Chooser above the methods: within a folder these may import their neighbours, and not the other way round.
METHODS = {
    "arrays": ({"torch", "tensorflow", "jax", "mxnet", "base"}, {"select"}),
    "engine": ({"reference", "spectral", "exactness", "low_rank", "frames", "threads"}, {"plan", "layers"}),
    "correlation": ({"arguments", "tensors"}, {"api"}),
    "kernels": ({"differences", "edges", "smoothing", "sharpening"}, {"catalogue"}),
}
FREE = {"__init__", "__main__"}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path):
    """Yield the kernelfield modules that a file imports, those under TYPE_CHECKING left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            if node.module == "kernelfield":
                yield from (f"kernelfield.{alias.name}" for alias in node.names)
            elif node.module and node.module.startswith("kernelfield."):
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("kernelfield."))


FILES = sorted(p for p in SOURCE.rglob("*.py") if room_of(p) not in FREE)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_down(path):
    here = room_of(path)
    assert here in RANK, f"{here}: give it a rank in the design and in this test"
    for module in imports(path):
        there = module.split(".")[1]
        if there == "__version__":
            continue
        if there == here:
            methods, choosers = METHODS.get(here, (set(), set()))
            if path.stem in methods:
                assert module.split(".")[-1] not in choosers, f"{path.name} imports the chooser {module}"
        else:
            assert RANK[there] < RANK[here], f"{path} imports {module}, not below it"


def loaded_by(statement: str) -> list[str]:
    code = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_importing_the_package_loads_no_framework_and_nothing_heavy():
    heavy = {"torch", "tensorflow", "jax", "mxnet", "keras", "onnx", "dask", "scipy", "numpy"}
    heavy |= {"matplotlib", "PIL", "rich", "cyclopts", "tifffile"}
    assert not heavy & set(loaded_by("import kernelfield"))


def test_correlating_loads_no_framework():
    loaded = set(loaded_by("import kernelfield as kf; kf.corr2d([[1.0, 2.0]], [[1.0, -1.0]])"))
    assert not {"torch", "tensorflow", "jax", "mxnet", "matplotlib", "PIL", "rich"} & loaded


def test_exports_are_what_is_defined():
    package = importlib.import_module("kernelfield")
    assert sorted(package.__all__) == dir(package)
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        package.missing  # noqa: B018
