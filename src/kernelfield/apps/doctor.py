"""``kernelfield doctor``: what this installation runs on, and whether it computes what it should."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import kernelfield
from kernelfield.apps.console import output, status
from kernelfield.apps.view import entry
from kernelfield.engine import choice, code_cache, reference, threads
from kernelfield.errors import DataError, KernelfieldError

_FRAMEWORKS = ("torch", "tensorflow", "jax", "mxnet", "keras", "onnx", "dask")
_CPU_FLAGS = ("sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512vl", "asimd", "sve", "sve2")


def run(*, as_json: bool) -> None:
    """Print the findings; a check that fails is an error."""
    with status("checking the engine"):
        found = findings()
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2, allow_nan=False) + "\n")
    else:
        _show(found)
    if found["check"]["error"] is not None:
        raise DataError(
            f"engine {found['engine']}: {found['check']['error']}; set {choice.ENVIRONMENT_VARIABLE}=portable to go "
            "on, and report it"
        )


def findings() -> dict[str, Any]:
    """Return what there is to know, in JSON's types; no framework is imported."""
    engine, reason, _ = choice.engine()
    count, by = threads.threads_and_why()
    check = _check()
    return {
        "version": kernelfield.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": np.__version__,
        "scipy": _version("scipy"),
        "engine": engine,
        "engine_reason": reason,
        "halide": _version("halide"),
        "cpu_features": _cpu_features(),
        "threads": count,
        "threads_by": by,
        "plot": _version("matplotlib"),
        "frameworks": {name: _version(name) for name in _FRAMEWORKS},
        "check": check,
        "code_cache": code_cache.summary() if engine == "direct" and sys.platform == "linux" else None,
    }


def _version(name: str) -> str | None:
    """Return the version of an importable package, "unknown" where it states none; None if it is not there."""
    try:
        if importlib.util.find_spec(name) is None:
            return None
    except (ImportError, ValueError):
        return None
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        # tensorflow also comes as tensorflow-cpu, and so on.
        owners = importlib.metadata.packages_distributions().get(name, ())
        return importlib.metadata.version(owners[0]) if owners else "unknown"


def _cpu_features() -> list[str]:
    """Return the vector instructions of this processor, as the system or else Halide names them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        label, _, flags = line.partition(":")
        if label.strip() in ("flags", "Features"):
            there = set(flags.split())
            return [flag for flag in _CPU_FLAGS if flag in there]
    try:
        import halide

        return str(halide.get_host_target()).split("-")[3:]
    except Exception:
        return []


def _check() -> dict[str, Any]:
    """Return how long a small cross-correlation took and what is wrong with it."""
    image = np.random.default_rng(0).random((24, 70)).astype(np.float32)
    kernel = np.arange(9.0).reshape(3, 3)
    start = time.perf_counter()
    try:
        result = kernelfield.correlate(image, kernel)
        wrong = float(np.abs(result - reference.correlate(image, kernel)).max())
        error = None if wrong < 1e-4 else f"a cross-correlation is wrong by {wrong:.3g}"
    except KernelfieldError:
        raise
    except Exception as failure:
        error = f"a cross-correlation failed ({type(failure).__name__}: {failure})"
    return {"seconds": round(time.perf_counter() - start, 3), "error": error}


def _code(cache: dict[str, Any] | None) -> str:
    """Return where compiled code is kept, and whether this check found it there."""
    if cache is None:
        return ""
    if cache["problem"] is not None or cache["folder"] is None:
        return (
            f"not kept in {cache['folder']}: {cache['problem']}" if cache["folder"] else f"not kept: {cache['problem']}"
        )
    return (
        f"{cache['folder']}: {cache['files']} files, {cache['bytes'] / 1e6:.1f} MB; "
        f"{cache['hits']} found, {cache['misses']} compiled now"
    )


def _show(found: dict[str, Any]) -> None:
    """Print the findings for a person."""
    check = found["check"]
    answer = f"failed: {check['error']}" if check["error"] else f"agrees with the definition ({check['seconds']:.2f} s)"
    there = [f"{name} {version}" for name, version in found["frameworks"].items() if version]
    absent = [name for name, version in found["frameworks"].items() if not version]
    rows = [
        ("kernelfield", found["version"]),
        ("python", f"{found['python']} on {found['platform']}"),
        ("numpy, scipy", f"{found['numpy']}, {found['scipy']}"),
        ("engine", f"{found['engine']} ({found['engine_reason']})"),
        ("halide", found["halide"] or "not installed"),
        ("cpu features", " ".join(found["cpu_features"]) or "unknown"),
        ("threads", f"{found['threads']} (by {found['threads_by']})"),
        ("compiled code", _code(found["code_cache"])),
        ("plots", f"matplotlib {found['plot']}" if found["plot"] else "not installed: pip install 'kernelfield[plot]'"),
        ("frameworks", ", ".join(there) or "none"),
        ("not installed", ", ".join(absent)),
        ("check", answer),
    ]
    console = output()
    for label, text in rows:
        if text:
            console.print(entry(label, text, console.width, "red" if text.startswith("failed") else "", indent=15))
