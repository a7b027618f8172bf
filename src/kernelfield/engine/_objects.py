"""Pipelines as object files: compiled by Halide once, kept on disk, linked and called without Halide.

Halide is imported only where nothing is found on disk: it takes longer to load than the code does to run.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pkgutil
import re
import tempfile
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import kernelfield
from kernelfield.engine import code_cache, processor
from kernelfield.engine._arguments import Pipeline
from kernelfield.engine._code import Code, system_function
from kernelfield.engine._elf import Image, link
from kernelfield.engine._runtime import Runtime, error_of
from kernelfield.errors import KernelfieldError

_ENTRY = "kernelfield_pipeline"

_runtime: Runtime | None = None


def pipeline(build: Callable[..., Any], key: tuple[Hashable, ...]) -> Pipeline:
    """Return the pipeline that ``build(*key)`` defines, from disk or compiled."""
    module, name = build.__module__, build.__qualname__
    identity = _identity([f"{module}.{name}", *map(str, key)], module.rpartition(".")[2])

    def compile_to(path: str) -> dict[str, Any]:
        import halide as hl

        definition = build(*key)
        target = object_target().with_feature(hl.TargetFeature.NoRuntime)
        definition.out.compile_to_object(path, definition.arguments, _ENTRY, target)
        return {"arguments": definition.signature(), "width": definition.width}

    notes, image = _image(identity, compile_to)
    code = Code(image, _resolve)
    arguments = [(dtype, axes) for dtype, axes in notes["arguments"]]
    return Pipeline(code.address(f"{_ENTRY}_argv"), arguments, notes["width"], error_of)


def runtime() -> Runtime:
    """Return the runtime of this process; it is loaded by the first call."""
    global _runtime
    if _runtime is None:

        def compile_to(path: str) -> dict[str, Any]:
            import halide as hl

            hl.compile_standalone_runtime(path, object_target())
            return {}

        _, image = _image(_identity(["runtime"]), compile_to)
        _runtime = Runtime(Code(image, system_function))
    return _runtime


def restart() -> None:
    """Begin anew in a forked child."""
    if _runtime is not None:
        _runtime.restart()


def object_target() -> Any:
    """Return the Halide target of object files: this machine, or what ``HL_JIT_TARGET`` says."""
    import halide as hl

    from kernelfield.engine._halide import target

    return target().without_feature(hl.TargetFeature.JIT).with_feature(hl.TargetFeature.UserContext)


def _resolve(name: str) -> int:
    """Return the address of a function that a pipeline calls."""
    try:
        return runtime().address(name)
    except KeyError:
        return system_function(name)


def _image(
    identity: dict[str, Any] | None, compile_to: Callable[[str], dict[str, Any]]
) -> tuple[dict[str, Any], Image]:
    """Return notes and image from disk, or what `compile_to` wrote to a file and returned, which is then kept."""
    found = None if identity is None else code_cache.load(identity)
    if found is not None:
        notes, content = found
        parts, relative, imports, exports = notes["image"]
        first, second, third = parts
        places = {int(place): name for place, name in imports.items()}
        return notes, Image(content, (first, second, third), tuple(relative), places, exports)
    with tempfile.TemporaryDirectory(prefix="kernelfield-") as folder:
        path = Path(folder, "code.o")
        notes = compile_to(str(path))
        try:
            image = link(path.read_bytes())
        except ValueError as error:
            raise KernelfieldError(
                f"engine: Halide made {error}; set KERNELFIELD_ENGINE=portable to go on, and report it"
            ) from error
    if identity is not None:
        notes["image"] = image[1:]
        code_cache.store(identity, notes, image.content)
    return notes, image


def _identity(parts: list[str], *modules: str) -> dict[str, Any] | None:
    """Return all that compiled code depends on; None where the processor cannot be told."""
    found = processor.identity()
    if found is None:
        return None
    return {
        "pipeline": parts,
        "kernelfield": kernelfield.__version__,
        "source": _source_digest("code_cache", "_elf", "_halide", "_objects", *modules),
        "halide": _halide_version(),
        "processor": found,  # other machines share a home folder
        "environment": {name: os.environ.get(name, "") for name in ("HL_JIT_TARGET", "HL_LLVM_ARGS")},
    }


@cache
def _halide_version() -> str:
    """Return the version of Halide by the name of its metadata, which spares importing importlib.metadata."""
    spec = importlib.util.find_spec("halide")
    if spec is not None and spec.origin is not None:
        folders = [
            f.name for f in os.scandir(Path(spec.origin).parents[1]) if re.match(r"halide-.*\.dist-info$", f.name)
        ]
        if len(folders) == 1:
            return folders[0][len("halide-") : -len(".dist-info")]
    return importlib.metadata.version("halide")


@cache
def _source_digest(*modules: str) -> str:
    """Return a digest of the files that define pipelines and how they are compiled."""
    digest = hashlib.sha256()
    for module in modules:
        with suppress(OSError):  # installed without sources: the version must do
            digest.update(pkgutil.get_data("kernelfield.engine", f"{module}.py") or b"")
    return digest.hexdigest()
