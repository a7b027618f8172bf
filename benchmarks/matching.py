"""Kernels that vary, and kernels between point-spread functions, beside astronomers' programs that match images.

KERNELFIELD_PEERS=PYTHON python -m benchmarks.matching [varying | psf] [SIDE] [--without PROGRAM]

PYTHON is the Python of an environment with sfft 1.7 (its package sfftcore is enough), ois, photutils and pypher;
without it only kernelfield is shown. Each runs twice in a process of its own, and the second run counts: sfft is
compiled in the first. Times are those of the processors, of all threads.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIZE, DEGREE, BACKGROUND = 11, 2, 1


def star_pair(side: int) -> dict[str, np.ndarray]:
    """Return a field of stars, the same through a kernel of 11×11 and a background that vary, and that without noise.

    The kernel wraps around, as sfft takes it; the others leave the border out.
    """
    import scipy.ndimage

    rng = np.random.default_rng(0)
    stars = np.zeros((side, side))
    stars[tuple(rng.integers(0, side, (2, side * side // 400)))] = 50.0 * rng.pareto(1.5, side * side // 400)
    sharp = scipy.ndimage.gaussian_filter(stars, 1.2, mode="wrap") + 100.0 + rng.normal(size=stars.shape)
    rows, columns = np.meshgrid(*2 * [np.linspace(-1, 1, side)], indexing="ij")
    fields = [1 + 0 * rows, rows, columns, rows**2, rows * columns, columns**2]
    u, v = np.mgrid[-5:6, -5:6]
    shape = np.exp(-(u**2 + v**2) / (2 * 1.4**2))
    shape /= shape.sum()
    kernels = [shape, 0.1 * u * shape, 0.1 * v * shape, 0.05 * (u**2 - 2) * shape, 0.05 * u * v * shape, 0.03 * shape]
    true = sum(f * scipy.ndimage.correlate(sharp, k, mode="wrap") for f, k in zip(fields, kernels))
    true = true + 10.0 + 5.0 * rows - 3.0 * columns
    return {"before": sharp, "true": true, "after": true + rng.normal(size=true.shape)}


def by_kernelfield(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the before, filtered by the varying kernel."""
    import kernelfield as kf

    return kf.learn(before, after, size=SIZE, varying=DEGREE, background=BACKGROUND, clip=None).apply(before)


def by_sfft(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the same by sfft on the processor, its photometric ratio free to vary."""
    from sfft.sfftcore.SFFTConfigure import SingleSFFTConfigure
    from sfft.sfftcore.SFFTSubtract import GeneralSFFTSubtract

    threads = os.cpu_count() or 1
    backend = {"BACKEND_4SUBTRACT": "Numpy", "NUM_CPU_THREADS_4SUBTRACT": threads, "VERBOSE_LEVEL": 0}
    configuration = _CONFIGURED.get("sfft") or SingleSFFTConfigure.SSC(
        *before.shape, SIZE // 2, KerPolyOrder=DEGREE, BGPolyOrder=BACKGROUND, ConstPhotRatio=False, **backend
    )
    _CONFIGURED["sfft"] = configuration
    difference = GeneralSFFTSubtract.GSS(before, after, before, after, configuration, **backend)[1]
    return after - difference


def by_ois(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the same by ois, whose kernel of a weight a pixel varies as polynomials."""
    import ois

    found = ois.optimal_system(
        after, before, kernelshape=(SIZE, SIZE), bkgdegree=BACKGROUND, method="AdaptiveBramich", poly_degree=DEGREE
    )
    return np.asarray(found[1])


_CONFIGURED: dict[str, Any] = {}
PROGRAMS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "kernelfield": by_kernelfield,
    "sfft": by_sfft,
    "ois": by_ois,
}


def gaussian(sigma: float, side: int = 51) -> np.ndarray:
    """Return a Gaussian of sum 1."""
    r = np.hypot(*np.mgrid[:side, :side] - side // 2)
    values = np.exp(-((r / sigma) ** 2) / 2)
    return values / values.sum()


def moffat(width: float, side: int = 51) -> np.ndarray:
    """Return a Moffat function of sum 1, exponent 3.5."""
    r = np.hypot(*np.mgrid[:side, :side] - side // 2)
    values = (1 + (r / (width / 2 / np.sqrt(2 ** (1 / 3.5) - 1))) ** 2) ** -3.5
    return values / values.sum()


#: Sharp and wide functions, and the noise in both, over the peak of the wide one.
PSFS = {
    "Gaussians": (gaussian(1.5), gaussian(2.5), 0.0),
    "Moffats": (moffat(3.0), moffat(4.5), 0.0),
    "Moffats, noise 1e-4": (moffat(3.0), moffat(4.5), 1e-4),
    "Moffats, noise 1e-3": (moffat(3.0), moffat(4.5), 1e-3),
}


def psf_by_kernelfield(sharp: np.ndarray, wide: np.ndarray) -> list[np.ndarray]:
    """Return the convolution kernel between two point-spread functions."""
    import kernelfield as kf

    return [kf.match_psf(sharp, wide).kernel.weights[::-1, ::-1]]


def psf_by_photutils(sharp: np.ndarray, wide: np.ndarray) -> list[np.ndarray]:
    """Return it by photutils, with the window of its documentation, another and none."""
    from photutils import psf_matching

    windows = [psf_matching.SplitCosineBellWindow(0.7, 0.3), psf_matching.TopHatWindow(0.4), None]
    return [psf_matching.make_kernel(sharp, wide, window=window) for window in windows]


def psf_by_pypher(sharp: np.ndarray, wide: np.ndarray) -> list[np.ndarray]:
    """Return it by pypher, with the regularisation that it takes by default and eleven others."""
    from pypher.pypher import homogenization_kernel

    return [homogenization_kernel(wide, sharp, reg_fact=10.0**power)[0] for power in (-4, *range(-14, -4), -3)]


def psf_error(kernel: np.ndarray, sharp: np.ndarray, wide: np.ndarray) -> float:
    """Return the largest error of the wide function that the kernel makes of the sharp one, over its peak."""
    import scipy.signal

    full = scipy.signal.fftconvolve(sharp, kernel, mode="full")
    corner = [(k - 1) // 2 for k in kernel.shape]
    made = full[corner[0] : corner[0] + sharp.shape[0], corner[1] : corner[1] + sharp.shape[1]]
    return float(np.abs(made - wide).max() / wide.max())


MATCHERS: dict[str, Callable[[np.ndarray, np.ndarray], list[np.ndarray]]] = {
    "kernelfield": psf_by_kernelfield,
    "photutils": psf_by_photutils,
    "pypher": psf_by_pypher,
}


def measured(call: Callable[..., Any], *arguments: np.ndarray) -> dict[str, Any]:
    """Return the times of the second of two calls and the memory of the process, in MB."""
    call(*arguments)
    wall, cpu = time.perf_counter(), time.process_time()
    result = call(*arguments)
    return {
        "result": result,
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def worker(program: str, path: str) -> None:
    """Print, as JSON, what a program achieves on a pair in a file, or on the point-spread functions."""
    if path == "psf":
        found = {}
        rng = np.random.default_rng(0)
        for name, (sharp, wide, noise) in PSFS.items():
            seen = [each + noise * wide.max() * rng.normal(size=each.shape) for each in (sharp, wide)]
            one = measured(MATCHERS[program], *seen)
            kernels = one.pop("result")
            errors = [psf_error(kernel, sharp, wide) for kernel in kernels]
            found[name] = {"first_error": errors[0], "error": min(errors), **one}
        print(json.dumps(found))
        return
    pair = np.load(path)
    before, after, true = (np.ascontiguousarray(pair[name]) for name in ("before", "after", "true"))
    found = measured(PROGRAMS[program], before, after)
    inside = (slice(SIZE, -SIZE),) * 2
    left = (found.pop("result") - true)[inside]
    print(json.dumps({"rms_error": float(np.sqrt(np.mean(left**2))), **found}))


def run(program: str, path: str) -> dict[str, Any] | None:
    """Return time, memory and error of a program in a process of its own; None where it is not installed."""
    python = sys.executable if program == "kernelfield" else os.environ.get("KERNELFIELD_PEERS", "")
    if not python:
        return None
    command = [python, str(Path(__file__)), "--worker", program, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{program}: {done.stderr.strip().splitlines()[-1]}")
        return None
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main(arguments: list[str]) -> None:
    """Measure, print the tables and write the results."""
    from benchmarks import RESULTS
    from kernelfield.cli.harness.series import show, write

    side = int(next((word for word in arguments if word.isdigit()), 2048))
    left_out = arguments[arguments.index("--without") + 1 :] if "--without" in arguments else []
    results: dict[str, Any] = {}
    if "psf" not in arguments:
        with tempfile.TemporaryDirectory() as folder:
            pair = f"{folder}/pair.npz"
            np.savez(pair, **star_pair(side))
            found = {program: one for program in PROGRAMS if program not in left_out and (one := run(program, pair))}
        first = found["kernelfield"]["cpu_seconds"]
        rows = [
            [name, f"{one['cpu_seconds']:.2f}", f"{one['cpu_seconds'] / first:.1f}", f"{one['wall_seconds']:.2f}"]
            + [f"{one['peak_megabytes']:.0f}", f"{one['rms_error']:.2g}"]
            for name, one in found.items()
        ]
        headings = ["", "CPU s", "ratio", "s", "MB", "rms error"]
        show(f"a kernel of 11×11 of degree 2, background of degree 1, {side}²", headings, rows)
        results[f"varying {side}"] = found
    if "varying" not in arguments:
        matched = {program: one for program in MATCHERS if (one := run(program, "psf"))}
        rows = [
            [program, name, f"{one['cpu_seconds']:.2f}", f"{one['first_error']:.2g}", f"{one['error']:.2g}"]
            for program, each in matched.items()
            for name, one in each.items()
        ]
        show(
            "the kernel between two point-spread functions",
            ["", "", "CPU s", "error over peak", "by the best setting"],
            rows,
        )
        results["psf"] = matched
    path = RESULTS / "matching.json"
    earlier = json.loads(path.read_text(encoding="utf-8")).get("figures", {}) if path.exists() else {}
    write(path, ("numpy", "scipy"), figures=earlier | results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:4])
    else:
        main(sys.argv[1:])
