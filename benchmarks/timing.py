"""Figures of the benchmarks: timed as `kernelfield bench` times, shown as a table, written as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from kernelfield.apps.bench_timing import interleaved, machine

__all__ = ["interleaved", "machine", "show", "write"]

RESULTS = Path(__file__).parent / "results"


def show(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table."""
    print(f"\n{title}")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))


def write(name: str, record: dict[str, object]) -> None:
    """Write the figures as JSON under results/."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"\nwritten: benchmarks/results/{path.name}")
