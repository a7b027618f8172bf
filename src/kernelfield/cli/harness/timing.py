"""Interleaved timing: rounds of one sample per candidate, so that noise on the machine affects all of them equally."""

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

#: What is measured: ``KERNELFIELD_CLOCK=cpu`` counts processor time, for machines that have other work to do. Compare
#: single threads by it: threads that wait for each other spend it too.
CLOCK = "cpu" if os.environ.get("KERNELFIELD_CLOCK") == "cpu" else "wall"
# A median of fewer samples says little.
_MIN_SAMPLES = 3
# Cold caches and threads do not show in calls that are this many times longer than the shortest sample.
_LONG = 20


def _seconds() -> float:
    """Return the time on the clock that is asked for."""
    if CLOCK == "wall":
        return time.perf_counter()
    import resource  # Windows has none

    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


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
        Each gives one sample a round, in an order that changes with the round: none always follows the same other.
    rounds : int
        Number of rounds.
    seconds : float
        A candidate drops out of further rounds when its samples have taken this long, but not before the third.
    shortest : float
        Seconds that a sample takes at least: it is the mean of as many calls in a row. A call that is not much longer
        than this is preceded by one that does not count, because another candidate has left caches and threads cold.
    warm : bool
        Call each candidate once before the first round; this call does not count.

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
            if len(samples[name]) >= _MIN_SAMPLES and spent[name] > seconds:
                continue
            call, calls, elapsed = candidates[name], 0, 0.0
            if shortest and (not samples[name] or samples[name][-1] < _LONG * shortest):
                call()
            start = _seconds()
            while calls == 0 or elapsed < shortest:
                # The clock is read after 1, 2, 4... calls: processor time takes a microsecond to read.
                for _ in range(max(calls, 1)):
                    call()
                calls += max(calls, 1)
                elapsed = _seconds() - start
            samples[name].append(elapsed / calls)
            spent[name] += elapsed
        shuffle(order)
    return {name: statistics.median(times) for name, times in samples.items()}


def machine(packages: Iterable[str]) -> dict[str, Any]:
    """Return the processor, the system, and the versions of Python, kernelfield, NumPy and `packages`."""
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
        "clock": CLOCK,
        "versions": versions,
    }
