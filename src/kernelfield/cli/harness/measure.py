"""The measurement of ``kernelfield bench``: each case checked against the definition, compared, and timed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kernelfield import _core
from kernelfield.cli.console import status
from kernelfield.cli.harness.compare import Candidate, largest_difference
from kernelfield.cli.harness.peers import PEERS, Peer
from kernelfield.cli.harness.timing import interleaved, machine
from kernelfield.cli.harness.work import Case, Task
from kernelfield.cli.messages import note, one_line
from kernelfield.engine import ENVIRONMENT_VARIABLE, threads
from kernelfield.errors import DataError

FORMAT = "kernelfield-bench/1"
OURS, COPY = "kernelfield", "copy"

# Seconds of calls in a row that make a sample.
_SAMPLE = 2e-3
# From this many multiply-adds on, a library is first timed on an image with sides of _PROBE.
_MANY, _PROBE = 10**9, 256


@dataclass(frozen=True, slots=True)
class Effort:
    """Limits: rounds, seconds of one candidate in one case, and the expected seconds of a call."""

    rounds: int
    seconds: float
    longest: float


FULL, QUICK = Effort(31, 0.4, 0.8), Effort(9, 0.1, 0.25)


def measure(work: list[Case], quick: bool) -> dict[str, Any]:
    """Return the figures of every case and the facts about the machine, in JSON's types."""
    count = threads.threads()
    with status("importing the libraries that are installed"):
        peers, absent = _peers(count)
    rates: dict[str, float] = {}
    figures = []
    for number, case in enumerate(work, 1):
        with status(f"{number} of {len(work)}: {_title(case)}"):
            figures.append(_figure(case, peers, rates, QUICK if quick else FULL, count))
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
    """Return the times of one case, without libraries that are too slow or have another result."""
    task = case.task()
    ours = task.ours()
    expected = ours().copy()
    error = task.error(expected)
    if not error <= task.tolerance:
        raise DataError(
            f"{_title(case)}: kernelfield is wrong by {error:.3g}, expected at most {task.tolerance:.3g}; set "
            f"{ENVIRONMENT_VARIABLE}=baseline to go on, and report it"
        )
    calls, left_out, differences = {OURS: ours, COPY: task.copy(count)}, {}, {}
    for peer in peers:
        if not peer.always and peer.name not in rates and case.multiply_adds > _MANY:
            rates[peer.name] = _rate(peer, case)
        seconds = rates.get(peer.name, 0.0) * _growth(peer, task)
        if seconds > effort.longest and not peer.always:
            left_out[peer.name] = f"a call would take about {seconds:.1f} s"
            continue
        try:
            candidate = peer.candidate(task)
            if candidate is None:
                left_out[peer.name] = "cannot do it"
                continue
            difference = difference_from_ours(candidate, peer, task, expected)
        except Exception as failure:  # another library may raise anything; the rest can still be timed
            left_out[peer.name] = _reason("failed", failure)
        else:
            if difference <= peer.tolerance(task):
                calls[peer.name], differences[peer.name] = candidate.call, difference
                continue
            left_out[peer.name] = f"its result differs by {difference:.3g}"
        note(f"{_title(case)}: {peer.name} is left out, {left_out[peer.name]}")
    # The comparison has called every candidate already.
    times = interleaved(calls, effort.rounds, effort.seconds, shortest=_SAMPLE, warm=False)
    for peer in peers:
        if peer.name in times and case.work != "small":
            rates[peer.name] = times[peer.name] / _growth(peer, task)
    return {
        "work": case.work,
        "image": list(case.shape),
        "dtype": case.dtype.name,
        "kernel": list(case.kernel),
        "planned": case.planned,
        "multiply_adds": case.multiply_adds,
        "median_seconds": {name: float(f"{seconds:.4g}") for name, seconds in times.items()},
        "ratios": {name: round(seconds / times[OURS], 3) for name, seconds in times.items() if name != OURS},
        "error": error,
        "differences": differences,
        "left_out": left_out,
    }


def difference_from_ours(candidate: Candidate, peer: Peer, task: Task, expected: np.ndarray) -> float:
    """Return the largest difference from our result, without a margin if the border rules differ."""
    margins = [0] * expected.ndim
    if not peer.mirrors:
        first = 0 if task.image.ndim == 3 else expected.ndim - 2
        margins[first : first + 2] = [k // 2 for k in task.case.kernel]
    return largest_difference(candidate.result(), expected, tuple(margins))


def _rate(peer: Peer, case: Case) -> float:
    """Return the seconds of a library for each pixel or multiply-add, measured on a small part of the image."""
    task = replace(case, shape=(_PROBE, _PROBE, *case.shape[2:])).task()
    try:
        candidate = peer.candidate(task)
        if candidate is None:
            return 0.0
        return interleaved({"": candidate.call}, rounds=1)[""] / _growth(peer, task)
    except Exception:  # it will fail on the image too, with a note
        return 0.0


def _growth(peer: Peer, task: Task) -> int:
    """Return the number that a library's time is proportional to: pixels if it works by FFT, else multiply-adds."""
    return task.out.size if peer.spectral else task.case.multiply_adds


def _peers(count: int) -> tuple[list[Peer], dict[str, str]]:
    """Return the installed libraries, set to `count` threads, and the reasons for which others are left out."""
    peers: list[Peer] = []
    absent = {}
    for kind in PEERS:
        if not kind.installed():
            absent[kind.name] = "not installed"
            continue
        try:
            peers.append(kind(count))
        except Exception as error:  # a broken installation may raise anything
            absent[kind.name] = _reason("cannot be imported", error)
    if absent:
        note("left out: " + ", ".join(f"{name} ({reason})" for name, reason in absent.items()))
    return peers, absent


def _title(case: Case) -> str:
    """Return the name of a case in messages."""
    return f"{case.work}, {' × '.join(map(str, case.shape))}, {case.kernel[0]} × {case.kernel[1]}"


def _reason(text: str, error: Exception) -> str:
    """Return a text and the beginning of the error, on one line."""
    return f"{text} ({one_line(f'{type(error).__name__}: {error}')[:200]})"
