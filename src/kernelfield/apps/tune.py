"""``kernelfield bench --tune``: what each method costs on this machine, measured and kept for the plans to go by."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from kernelfield import _core
from kernelfield.apps.bench_timing import interleaved
from kernelfield.apps.console import output, status
from kernelfield.apps.messages import UsageError, note
from kernelfield.engine import spectral, threads, tuning
from kernelfield.engine.low_rank import factors

_SIDE = 1024
_DIRECT, _SEPARABLE = (3, 5, 9, 15), (3, 9, 31, 63)
_ROUNDS = 15


def run(*, as_json: bool, others: bool) -> None:
    """Measure, keep the figures, and say what they are."""
    if others:
        raise UsageError("--tune: expected nothing else but --json; received other options.")
    before = tuning.current()
    found = measure()
    path = tuning.save(found)
    if path is None:
        note("the figures are not kept: there is no cache folder that can be written")
    record = {
        "written": None if path is None else str(path),
        "instruction_set": _core.instruction_set(),
        **asdict(found),
    }
    if as_json:
        sys.stdout.write(json.dumps(record) + "\n")
    else:
        _show(before, found, path)


def measure() -> tuning.Tuning:
    """Return the figures of this machine."""
    rng = np.random.default_rng(0)
    image = rng.random((_SIDE, _SIDE), dtype=np.float32)
    with status("sliding products"):
        costs = _fitted({k: _call(image, rng.normal(size=(k, k))) for k in _DIRECT}, lambda k: k * k)
    with status("passes"):
        low = {k: np.outer(*rng.normal(size=(2, k))) for k in _SEPARABLE}
        apart = _fitted({k: _call(image, kernel, separately=True) for k, kernel in low.items()}, lambda k: 2 * k)
    with status("transforms"):
        transforms = _transforms(rng, sorted(tuning.current().spectral))
    return tuning.Tuning(costs, apart, transforms)


def _call(image: np.ndarray, kernel: np.ndarray, separately: bool = False) -> Callable[[], object]:
    out = np.empty(tuple(n - k + 1 for n, k in zip(image.shape, kernel.shape)), np.float32)
    found = factors(kernel, 1) if separately else None
    correlation = _core.Correlation(kernel, factors=None if found is None else (found.columns, found.rows))
    return partial(correlation, image, out)


def _fitted(calls: dict[int, Callable[[], object]], products: Callable[[int], int]) -> tuple[float, float]:
    """Return ns of one thread for an output and for a multiply-add of it: relative errors are the least."""
    named = {str(k): call for k, call in calls.items()}
    times = interleaved(named, _ROUNDS, shortest=2e-3)
    each = np.array([threads.threads() * 1e9 * times[str(k)] / (_SIDE - k + 1) ** 2 for k in calls])
    terms = np.array([[1.0, products(k)] for k in calls]) / each[:, None]
    fixed, slope = np.linalg.lstsq(terms, np.ones(len(each)), rcond=None)[0].tolist()
    return round(max(fixed, 0.0), 4), round(max(slope, 1e-4), 5)


def _transforms(rng: np.random.Generator, sizes: list[int]) -> dict[int, float]:
    """Return ns of one thread for a pixel of tiles of so many, there and back, tile after tile of an image."""
    count = threads.threads()
    extent = max(2 * _SIDE, math.isqrt(2 * max(sizes)))
    image = rng.random((extent, extent))
    out = np.empty_like(image)
    calls: dict[str, Callable[[], object]] = {}
    pixels = {}
    with ThreadPoolExecutor(count) as pool:
        for size in sizes:
            side = 1 << (size.bit_length() // 2)
            shape = (size // side, side)
            spectrum = np.conj(np.fft.rfft2(rng.random((9, 9)), shape))
            places = [
                np.s_[y : y + shape[0], x : x + shape[1]]
                for y in range(0, len(image) - shape[0] + 1, shape[0])
                for x in range(0, len(image) - shape[1] + 1, shape[1])
            ]

            def tile(place: Any, shape: tuple[int, int] = shape, spectrum: np.ndarray = spectrum) -> None:
                out[place] = spectral.circular(image[place], spectrum, shape)

            calls[str(size)] = partial(lambda tile, places: list(pool.map(tile, places)), tile, places)
            pixels[str(size)] = len(places) * shape[0] * shape[1] / count
        times = interleaved(calls, _ROUNDS, shortest=2e-3)
    return {int(size): round(1e9 * times[size] / pixels[size], 2) for size in times}


def _show(before: tuning.Tuning, found: tuning.Tuning, path: Any) -> None:
    """Print the figures for a person."""
    console = output()
    rows = [
        ("direct", f"{found.direct[0]:.3g} + {found.direct[1]:.3g} × weights", before.direct),
        ("separable", f"{found.separable[0]:.3g} + {found.separable[1]:.3g} × (rows + columns)", before.separable),
        (
            "spectral",
            f"{min(found.spectral.values()):.3g} to {max(found.spectral.values()):.3g} a pixel of a tile",
            None,
        ),
    ]
    for name, text, old in rows:
        console.print(f"{name:10} {text} ns" + (f" (before: {old[0]:.3g}, {old[1]:.3g})" if old else ""))
    if path is not None:
        console.print(f"kept in {path}; delete the file to go back")
