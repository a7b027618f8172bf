"""``kernelfield doctor``: the versions, processor and threads of this installation, and a check of its results."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
import time
from json import dumps
from typing import Any

import kernelfield as kf
from kernelfield.cli.console import entry, output, status
from kernelfield.errors import DataError, KernelfieldError

_FRAMEWORKS = ("torch", "tensorflow", "jax", "mxnet", "keras", "onnx", "dask")


def doctor(*, json: bool = False) -> None:
    """Show the versions, processor and threads of this installation, and check its results.

    Parameters
    ----------
    json
        Print the result as JSON, and nothing else.
    """
    from kernelfield.engine import ENVIRONMENT_VARIABLE

    with status("checking the engine"):
        found = findings()
    if json:
        sys.stdout.write(dumps(found, indent=2, allow_nan=False) + "\n")
    else:
        _show(found)
    if found["check"]["error"] is not None:
        raise DataError(
            f"engine, {found['instruction_set']}: {found['check']['error']}; set {ENVIRONMENT_VARIABLE}=baseline to go "
            "on, and report it"
        )


def findings() -> dict[str, Any]:
    """Return the findings in JSON's types; no framework is imported."""
    import numpy as np

    from kernelfield import _core
    from kernelfield.engine import threads, tuning

    count, by = threads.threads_and_source()
    check = _check()
    return {
        "version": kf.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": np.__version__,
        "scipy": _version("scipy"),
        "processor": tuning.processor(),
        "instruction_set": _core.instruction_set(),
        "instruction_sets": _core.instruction_sets(),
        "fused": _core.fuses(),
        "threads": count,
        "threads_by": by,
        "plot": _version("matplotlib"),
        "frameworks": {name: _version(name) for name in _FRAMEWORKS},
        "check": check,
    }


def _version(name: str) -> str | None:
    """Return the version of an importable package, "unknown" if it states none; None if it is not installed."""
    try:
        if importlib.util.find_spec(name) is None:
            return None
    except (ImportError, ValueError):
        return None
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        # The distribution has another name, as tensorflow-cpu.
        owners = importlib.metadata.packages_distributions().get(name, ())
        return importlib.metadata.version(owners[0]) if owners else "unknown"


def _check() -> dict[str, Any]:
    """Return the duration of a small cross-correlation, and the error of its result, None if it is right."""
    import numpy as np

    from kernelfield.engine import reference

    image = np.random.default_rng(0).random((24, 70)).astype(np.float32)
    kernel = np.arange(9.0).reshape(3, 3)
    start = time.perf_counter()
    try:
        result = kf.correlate(image, kernel)
        difference = float(np.abs(result - reference.correlate(image, kernel)).max())
        error = None if difference < 1e-4 else f"a cross-correlation is wrong by {difference:.3g}"
    except KernelfieldError:
        raise
    except Exception as failure:
        error = f"a cross-correlation failed ({type(failure).__name__}: {failure})"
    return {"seconds": round(time.perf_counter() - start, 3), "error": error}


def _show(found: dict[str, Any]) -> None:
    """Print the findings as a table."""
    check = found["check"]
    result = f"failed: {check['error']}" if check["error"] else f"agrees with the definition ({check['seconds']:.2f} s)"
    installed = [f"{name} {version}" for name, version in found["frameworks"].items() if version]
    absent = [name for name, version in found["frameworks"].items() if not version]
    rows = [
        ("kernelfield", found["version"]),
        ("python", f"{found['python']} on {found['platform']}"),
        ("numpy, scipy", f"{found['numpy']}, {found['scipy']}"),
        ("processor", found["processor"]),
        ("instructions", f"{found['instruction_set']} (of {', '.join(found['instruction_sets'])})"),
        ("multiply-adds", "fused: rounded once" if found["fused"] else "products and sums rounded one by one"),
        ("threads", f"{found['threads']} (by {found['threads_by']})"),
        ("plots", f"matplotlib {found['plot']}"),
        ("frameworks", ", ".join(installed) or "none"),
        ("not installed", ", ".join(absent)),
        ("check", result),
    ]
    console = output()
    for label, text in rows:
        if text:
            console.print(entry(label, text, console.width, "red" if text.startswith("failed") else "", indent=15))
