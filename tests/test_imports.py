"""Imports go down only, and importing the package loads nothing slow."""

from __future__ import annotations

import ast
import graphlib
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "kernelfield"

#: The folders and modules of the package, lowest first. Those of one rank do not import each other.
RANKS = (
    ("_core", "errors"),
    ("files",),
    ("geometry", "figures", "images", "arrays"),
    ("engine", "kernels"),
    ("tensors",),
    ("correlation",),
    ("matrix", "learning", "receptive", "coding", "dropin"),
    ("torch", "keras", "jax", "mxnet"),
    ("scale",),
    ("lab",),
    ("cli",),
)
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}

#: Modules that import by a name that they compute, and the modules that they import.
BY_NAME = {
    "kernelfield": "public names, when first used",
    "kernelfield.cli.harness.peers": "the libraries that are compared",
    "kernelfield.dropin": "its modules, when first used",
    "kernelfield.dropin.scipy_fallback": "SciPy",
    "kernelfield.images.raster": "Pillow's reader of a format",
    "kernelfield.receptive": "its public names, when first used",
    "kernelfield.receptive.frontends.select": "the frontend of a model's framework",
    "kernelfield.receptive.gradients.keras": "the gradients of the backend that Keras runs on",
    "kernelfield.receptive.gradients.select": "the gradients of a model's framework",
    "kernelfield.tensors.registry": "the adapter of a framework, when one of its tensors appears",
}
#: Imports inside a function of a view that stands above the data it shows: (module, view).
VIEWS: set[tuple[str, str]] = set()


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def room_of(module: str) -> str:
    """Return the folder or module of the package that a module belongs to; "" for the package itself."""
    return (*module.split("."), "")[1]


def for_types_only(tree: ast.Module) -> set[int]:
    """Return the ids of the nodes below ``if TYPE_CHECKING``."""
    return {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }


def imports(module: str) -> Iterator[str]:
    """Yield the modules of the package that a module imports when it runs, those inside functions included."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    typing = for_types_only(tree)
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            if node.module and node.module.split(".")[0] == "kernelfield":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in MODULES or inner == "kernelfield._core" else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "kernelfield")


def loads_by_name(module: str) -> bool:
    """Return whether a module calls ``import_module`` with anything but the literal name of another package."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            name = node.args[0]
            literal = isinstance(name, ast.Constant) and isinstance(name.value, str)
            if not literal or name.value.split(".")[0] == "kernelfield":
                return True
    return False


GRAPH = {module: set(imports(module)) - {module} for module in MODULES}


@pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) not in ("", "__main__")])
def test_imports_go_down(module):
    here = room_of(module)
    assert here in RANK, f"{here}: give it a rank in this test"
    for other in GRAPH[module]:
        there = room_of(other)
        if there not in ("", here) and (module, other) not in VIEWS:
            assert RANK[there] < RANK[here], f"{module} imports {other}, which is not below it"


def test_there_is_no_circle():
    try:
        graphlib.TopologicalSorter(GRAPH).prepare()
    except graphlib.CycleError as error:
        pytest.fail("modules that import each other: " + " <- ".join(error.args[1]))


def test_modules_that_import_by_name_are_listed():
    assert {module for module in MODULES if loads_by_name(module)} == set(BY_NAME)
    assert {(module, view) for module, view in VIEWS if view in GRAPH.get(module, ())} == VIEWS


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


def test_learning_loads_no_linear_algebra_of_scipy_that_takes_longer_than_the_fit():
    # Noise in the before, and a blur: the search, errors, alternatives and names all run.
    loaded = loaded_by(
        "import numpy as np, kernelfield as kf; before = np.random.default_rng(0).random((64, 64)); "
        "kf.learn(before, kf.correlate(before, np.ones((3, 3)) / 9) + before**2 / 99)"
    )
    assert not {"scipy.linalg", "scipy.stats", "scipy.optimize"} & set(loaded)
