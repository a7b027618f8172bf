"""Interleaved timing: every candidate in turn, again and again, so that a noisy machine is noisy for all alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from random import Random
from typing import Any

from kernelfield.engine.tuning import processor

# Median of fewer says little.
_LEAST = 3
# Of the shortest sample: calls longer than so many do not notice how they begin.
_MUCH = 20


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int,
    seconds: float = 20.0,
    *,
    shortest: float = 0.0,
    warm: bool = True,
) -> dict[str, float]:
    """Return the median seconds of one call of each candidate.

    Parameters
    ----------
    candidates : mapping of str to callable
        Each is called once a round, in an order that changes with the round: none always follows the same other.
    rounds : int
        How often.
    seconds : float
        A candidate that had so much of the machine drops out of further rounds, after three.
    shortest : float
        A sample is the mean of calls in a row that take so many seconds together, one at least. Before calls that
        are not much longer than this comes one that does not count: what follows another candidate finds caches and
        threads cold, which would be all that is seen of a call of microseconds.
    warm : bool
        Call each once before, which does not count.

    Examples
    --------
    >>> sorted(interleaved({"one": lambda: 1, "two": lambda: 2}, rounds=3))
    ['one', 'two']
    """
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    spent = dict.fromkeys(candidates, 0.0)
    if warm:
        for call in candidates.values():
            call()
    order, shuffle = list(candidates), Random(0).shuffle
    for _ in range(rounds):
        for name in order:
            if len(samples[name]) >= _LEAST and spent[name] > seconds:
                continue
            call, calls, elapsed = candidates[name], 0, 0.0
            if shortest and (not samples[name] or samples[name][-1] < _MUCH * shortest):
                call()
            start = time.perf_counter()
            while calls == 0 or elapsed < shortest:
                call()
                calls += 1
                elapsed = time.perf_counter() - start
            samples[name].append(elapsed / calls)
            spent[name] += elapsed
        shuffle(order)
    return {name: statistics.median(times) for name, times in samples.items()}


def machine(packages: Iterable[str]) -> dict[str, Any]:
    """Return what figures were measured on: processor, Python, and versions of kernelfield, NumPy and `packages`."""
    versions = {}
    for package in ("kernelfield", "numpy", *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }
