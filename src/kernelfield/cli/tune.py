"""``kernelfield bench --tune``: the cost of each method on this machine, measured and kept for later plans."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np

from kernelfield import _core
from kernelfield.cli.console import output, status
from kernelfield.cli.harness.timing import interleaved
from kernelfield.cli.messages import note
from kernelfield.engine import spectral, threads, tuning
from kernelfield.engine.low_rank import factors

_SIDE = 1024
_DIRECT, _SEPARABLE = (3, 5, 9, 15), (3, 9, 31, 63)
_ROUNDS = 15


def tune(*, as_json: bool) -> None:
    """Measure the costs, keep them, and print them."""
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
        sys.stdout.write(dumps(record) + "\n")
    else:
        _show(before, found, path)


def measure() -> tuning.Tuning:
    """Return the costs on this machine."""
    rng = np.random.default_rng(0)
    image = rng.random((_SIDE, _SIDE), dtype=np.float32)
    with status("measuring direct"):
        direct = {k: _call(image, rng.normal(size=(k, k))) for k in _DIRECT}
        direct_cost = _linear_cost(direct, lambda k: k * k)
    with status("measuring separable"):
        products = {k: np.outer(*rng.normal(size=(2, k))) for k in _SEPARABLE}
        separable = {k: _call(image, kernel, separable=True) for k, kernel in products.items()}
        separable_cost = _linear_cost(separable, lambda k: 2 * k)
    with status("measuring spectral"):
        spectral_costs = _spectral_costs(rng, sorted(tuning.current().spectral))
    return tuning.Tuning(direct_cost, separable_cost, spectral_costs)


def _call(image: np.ndarray, kernel: np.ndarray, separable: bool = False) -> Callable[[], object]:
    """Return a call of one method."""
    out = np.empty(tuple(n - k + 1 for n, k in zip(image.shape, kernel.shape)), np.float32)
    found = factors(kernel, 1) if separable else None
    correlation = _core.Correlation(kernel, factors=None if found is None else (found.columns, found.rows))
    return partial(correlation, image, out)


def _linear_cost(calls: dict[int, Callable[[], object]], multiply_adds: Callable[[int], int]) -> tuple[float, float]:
    """Return the ns of one thread for an output and for each multiply-add of it, with the least relative errors."""
    named = {str(k): call for k, call in calls.items()}
    times = interleaved(named, _ROUNDS, shortest=2e-3)
    per_output = np.array([threads.threads() * 1e9 * times[str(k)] / (_SIDE - k + 1) ** 2 for k in calls])
    terms = np.array([[1.0, multiply_adds(k)] for k in calls]) / per_output[:, None]
    fixed, slope = np.linalg.lstsq(terms, np.ones(len(per_output)), rcond=None)[0].tolist()
    return round(max(fixed, 0.0), 4), round(max(slope, 1e-4), 5)


def _spectral_costs(rng: np.random.Generator, sizes: list[int]) -> dict[int, float]:
    """Return the ns of one thread for a pixel of tiles of each size, transformed forwards and back over an image."""
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
            tiles = [
                np.s_[y : y + shape[0], x : x + shape[1]]
                for y in range(0, len(image) - shape[0] + 1, shape[0])
                for x in range(0, len(image) - shape[1] + 1, shape[1])
            ]

            def transform(tile: Any, shape: tuple[int, int] = shape, spectrum: np.ndarray = spectrum) -> None:
                out[tile] = spectral.circular(image[tile], spectrum, shape)

            calls[str(size)] = partial(lambda transform, tiles: list(pool.map(transform, tiles)), transform, tiles)
            pixels[str(size)] = len(tiles) * shape[0] * shape[1] / count
        times = interleaved(calls, _ROUNDS, shortest=2e-3)
    return {int(size): round(1e9 * times[size] / pixels[size], 2) for size in times}


def _show(before: tuning.Tuning, found: tuning.Tuning, path: Path | None) -> None:
    """Print the costs, with those of before."""
    console = output()
    low, high = min(found.spectral.values()), max(found.spectral.values())
    rows = [
        ("direct", f"{found.direct[0]:.3g} + {found.direct[1]:.3g} × weights", before.direct),
        ("separable", f"{found.separable[0]:.3g} + {found.separable[1]:.3g} × (rows + columns)", before.separable),
        ("spectral", f"{low:.3g} to {high:.3g} a pixel of a tile", None),
    ]
    for name, text, old in rows:
        console.print(f"{name:10} {text} ns" + (f" (before: {old[0]:.3g}, {old[1]:.3g})" if old else ""))
    if path is not None:
        console.print(f"kept in {path}; delete the file to go back")
