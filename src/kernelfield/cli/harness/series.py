"""A series of measurements: lines of labels and candidates, printed as a table and written as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelfield import _core
from kernelfield.cli.harness.compare import Candidate, compare_and_time
from kernelfield.cli.harness.timing import machine
from kernelfield.engine import threads
from kernelfield.files import write_bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table.

    Attributes
    ----------
    labels : mapping of str to str
        Headers of columns, and the text in them.
    candidates : mapping of str to Candidate
        Our call first; the ratios are over its time.
    tolerance : float
        Allowed difference between results, as a share of the largest magnitude; infinite for no comparison.
    rounds : int
        Samples of each candidate.
    """

    labels: Mapping[str, str]
    candidates: Mapping[str, Candidate]
    tolerance: float
    rounds: int = 21


def run(title: str, lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Compare and time the candidates of every line, print the table and return the figures in JSON's types.

    All lines have the labels and the candidates of the first, or fewer.
    """
    figures: list[dict[str, Any]] = []
    for line in lines:
        times = compare_and_time(line.candidates, line.tolerance, rounds=line.rounds)
        ours = next(iter(times.values()))
        ratios = {name: round(seconds / ours, 3) for name, seconds in list(times.items())[1:]}
        figures.append({**line.labels, "median_seconds": times, "ratios": ratios})
    labels = [key for key in figures[0] if key not in ("median_seconds", "ratios")]
    names = list(figures[0]["median_seconds"])
    header = [*labels, *(f"{name} ms" for name in names), *(f"{name} / {names[0]}" for name in names[1:])]
    rows = [
        [
            *(str(figure[label]) for label in labels),
            *(_cell(figure["median_seconds"].get(name), 1e3) for name in names),
            *(_cell(figure["ratios"].get(name)) for name in names[1:]),
        ]
        for figure in figures
    ]
    show(f"{title}; medians of interleaved calls", header, rows)
    return figures


def show(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    print(f"\n{title}")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))


def write(path: Path, packages: Iterable[str], **record: Any) -> None:
    """Write figures as JSON, with the machine, the instruction set, the threads and the versions of `packages`."""
    about = {
        "machine": machine(packages),
        "instruction_set": _core.instruction_set(),
        "threads": threads.threads(),
    }
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, (json.dumps(about | record, indent=2) + "\n").encode())
    print(f"\nwritten: {path}")


def _cell(value: float | None, scale: float = 1.0) -> str:
    return "-" if value is None else f"{value * scale:.3g}"
