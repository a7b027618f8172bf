"""``kernelfield bench``: kernelfield and every library installed that does the same, side by side on this machine."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kernelfield import _core
from kernelfield.apps.bench_peers import PEERS, Candidate, Peer
from kernelfield.apps.bench_timing import interleaved, machine
from kernelfield.apps.bench_work import WORK, Case, Task, cases
from kernelfield.apps.console import output, status
from kernelfield.apps.files import check_target, write_file
from kernelfield.apps.messages import UsageError, note, one_line
from kernelfield.apps.options import whole_numbers
from kernelfield.engine import ENVIRONMENT_VARIABLE, threads
from kernelfield.errors import DataError

FORMAT = "kernelfield-bench/1"
OURS, COPY = "kernelfield", "copy"

_FIGURES = (".png", ".svg", ".pdf")
_LARGEST_IMAGE, _LARGEST_KERNEL = 16384, 127
# Seconds of calls in a row that make a sample.
_SAMPLE = 2e-3
# Multiply-adds that any library does in a second or two, and the side of an image to try what there are more of.
_MANY, _PROBE = 10**9, 256


@dataclass(frozen=True, slots=True)
class Effort:
    """Rounds at most, seconds that one candidate gets in one case, and those that a call may be expected to take."""

    rounds: int
    seconds: float
    longest: float


_EFFORT = {False: Effort(31, 0.4, 0.8), True: Effort(9, 0.1, 0.25)}


def run(
    *,
    quick: bool,
    sizes: str | None,
    kernels: str | None,
    work: str | None,
    as_json: bool,
    plot: Path | None,
    save: Path | None,
) -> None:
    """Time, then write the files asked for, then print."""
    names = _work(work)
    sides, widths = _sides(sizes), _widths(kernels)
    if sides and widths and max(widths) >= min(sides):
        raise UsageError(f"--kernels: expected kernels smaller than the images; received {max(widths)}, {min(sides)}.")
    if plot is not None and plot.suffix.lower() not in _FIGURES:
        raise UsageError(f"--plot: expected a name that ends in {', '.join(_FIGURES)}; received {str(plot)!r}.")
    for target in (plot, save):
        if target is not None:
            check_target(target)
    if plot is not None:
        from kernelfield.learning.plot import require

        require()
    record = measure(list(cases(names, sides, widths, quick)), quick)
    text = json.dumps(record, indent=2, allow_nan=False) + "\n"
    if plot is not None:
        from kernelfield.apps.bench_plot import draw
        from kernelfield.learning.plot import encode

        with status("drawing"):
            write_file(plot, encode(draw(record), plot.suffix.lower()[1:]))
    if save is not None:
        write_file(save, text.encode())
    if as_json:
        sys.stdout.write(text)
    else:
        from kernelfield.apps.bench_table import show

        show(output(), record)


def measure(work: list[Case], quick: bool) -> dict[str, Any]:
    """Return the figures of every case, and what they were measured on, in JSON's types."""
    count = threads.threads()
    with status("importing what is installed"):
        peers, absent = _peers(count)
    rates: dict[str, float] = {}
    figures = []
    for number, case in enumerate(work, 1):
        size = " × ".join(map(str, case.shape))
        with status(f"{number} of {len(work)}: {case.work}, {size}, {case.k} × {case.k}"):
            figures.append(_figure(case, peers, rates, _EFFORT[quick], count))
    packages = sorted({"scipy", *(package for peer in peers for package in peer.packages)})
    return {
        "format": FORMAT,
        "machine": machine(packages),
        "instruction_set": _core.instruction_set(),
        "threads": {OURS: count, **{peer.name: peer.works_on for peer in peers}},
        "quick": quick,
        "left_out": absent,
        "figures": figures,
    }


def _figure(case: Case, peers: list[Peer], rates: dict[str, float], effort: Effort, count: int) -> dict[str, Any]:
    """Return the times of one case; what gives another result is left out, and so is what would take too long."""
    task = case.task()
    ours = task.ours()
    expected = ours().copy()
    error = task.error(expected)
    if not error <= task.tolerance:
        raise DataError(
            f"{case.work}, {case.shape}, {case.k} × {case.k}: kernelfield is wrong by {error:.3g}, expected at most "
            f"{task.tolerance:.3g}; set {ENVIRONMENT_VARIABLE}=baseline to go on, and report it"
        )
    calls, left_out, differences = {OURS: ours, COPY: task.copy(count)}, {}, {}
    for peer in peers:
        if not peer.always and peer.name not in rates and case.multiply_adds > _MANY:
            rates[peer.name] = _rate(peer, case)
        expects = rates.get(peer.name, 0.0) * _growth(peer, task)
        if expects > effort.longest and not peer.always:
            left_out[peer.name] = f"a call would take about {expects:.1f} s"
            continue
        try:
            candidate = peer.candidate(task)
            if candidate is None:
                left_out[peer.name] = "cannot do it"
                continue
            difference = _difference(candidate, task, expected, peer.mirrors)
        except Exception as failure:  # whatever another library raises, the rest can be timed
            left_out[peer.name] = _why("failed", failure)
            note(f"{case.work}, {case.k} × {case.k}: {peer.name} is left out, {left_out[peer.name]}")
            continue
        if not difference <= peer.tolerance(task):
            left_out[peer.name] = f"its result differs by {difference:.3g}"
            note(f"{case.work}, {case.k} × {case.k}: {peer.name} is left out, {left_out[peer.name]}")
            continue
        calls[peer.name], differences[peer.name] = candidate.call, difference
    # Comparing them has called them all before.
    times = interleaved(calls, effort.rounds, effort.seconds, shortest=_SAMPLE, warm=False)
    for peer in peers:
        if peer.name in times and case.work != "small":
            rates[peer.name] = times[peer.name] / _growth(peer, task)
    return {
        "work": case.work,
        "image": list(case.shape),
        "dtype": case.dtype.name,
        "kernel": [case.k, case.k],
        "planned": case.planned,
        "multiply_adds": case.multiply_adds,
        "median_seconds": {name: float(f"{seconds:.4g}") for name, seconds in times.items()},
        "ratios": {name: round(seconds / times[OURS], 3) for name, seconds in times.items() if name != OURS},
        "error": error,
        "differences": differences,
        "left_out": left_out,
    }


def _rate(peer: Peer, case: Case) -> float:
    """Return about how long a library takes for what its time grows with, seen on a small part of the image."""
    task = replace(case, shape=(_PROBE, _PROBE, *case.shape[2:])).task()
    try:
        candidate = peer.candidate(task)
        if candidate is None:
            return 0.0
        return interleaved({"": candidate.call}, rounds=1)[""] / _growth(peer, task)
    except Exception:  # the image itself will tell
        return 0.0


def _growth(peer: Peer, task: Task) -> int:
    """Return what the time of a library grows with: pixels where it works by FFT, else multiply-adds."""
    return task.out.size if peer.spectral else task.case.multiply_adds


def _difference(candidate: Candidate, task: Task, expected: np.ndarray, mirrors: bool) -> float:
    """Return how far the result of a library is from ours, where they extend the image alike."""
    result = candidate.array(candidate.call())
    margin = 0 if mirrors else task.case.k // 2
    rows = 0 if task.image.ndim == 3 else expected.ndim - 2
    inside = tuple(
        slice(margin, n - margin) if rows <= axis < rows + 2 else slice(None) for axis, n in enumerate(expected.shape)
    )
    difference = result[inside].astype(np.float32)
    difference -= expected[inside]
    return float(np.abs(difference, out=difference).max(initial=0.0))


def _peers(count: int) -> tuple[list[Peer], dict[str, str]]:
    """Return the libraries that are there, set to `count` threads, and why others are left out."""
    peers: list[Peer] = []
    absent = {}
    for kind in PEERS:
        if not kind.installed():
            absent[kind.name] = "not installed"
            continue
        try:
            peers.append(kind(count))
        except Exception as error:  # a broken installation may raise anything
            absent[kind.name] = _why("cannot be imported", error)
    if absent:
        note("left out: " + ", ".join(f"{name} ({why})" for name, why in absent.items()))
    return peers, absent


def _why(what: str, error: Exception) -> str:
    """Return what happened and the beginning of the error, on one line."""
    return f"{what} ({one_line(f'{type(error).__name__}: {error}')[:200]})"


def _work(text: str | None) -> tuple[str, ...]:
    """Return the kinds of work that were typed, in the order of `WORK`."""
    if text is None:
        return tuple(WORK)
    asked = [part.strip() for part in text.split(",")]
    if unknown := [name for name in asked if name not in WORK]:
        raise UsageError(f"--work: expected some of {', '.join(WORK)}; received {unknown[0]!r}.")
    return tuple(name for name in WORK if name in asked)


def _sides(text: str | None) -> tuple[int, ...] | None:
    """Return the sides of images that were typed."""
    sides = whole_numbers(text, "--sizes", 16)
    if sides and max(sides) > _LARGEST_IMAGE:
        raise UsageError(f"--sizes: expected at most {_LARGEST_IMAGE}; received {max(sides)}.")
    return sides


def _widths(text: str | None) -> tuple[int, ...] | None:
    """Return the sizes of kernels that were typed."""
    widths = whole_numbers(text, "--kernels", 1)
    if widths and (wrong := [k for k in widths if k % 2 == 0 or k > _LARGEST_KERNEL]):
        raise UsageError(f"--kernels: expected odd sizes of at most {_LARGEST_KERNEL}; received {wrong[0]}.")
    return widths
