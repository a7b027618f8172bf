"""The table of ``kernelfield bench``."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from kernelfield.cli.console import entry
from kernelfield.cli.harness.measure import COPY, OURS

TITLES = {
    "dense": "dense",
    "rank1": "rank 1",
    "uint8": "dense uint8",
    "blur": "blur uint8",
    "rgb": "RGB",
    "bank": "16 kernels",
    "small": "small",
}


def title(figure: dict[str, Any]) -> str:
    """Return the name of the work in the table.

    Examples
    --------
    >>> title({"work": "rgb", "dtype": "uint8", "planned": False})
    'RGB uint8'
    """
    if figure["work"] == "rgb":
        return f"RGB {figure['dtype']}"
    return TITLES[figure["work"]] + (", planned" if figure["planned"] else "")


def side(image: list[int]) -> str:
    """Return the size of an image.

    Examples
    --------
    >>> side([2048, 2048]), side([3000, 4000, 3])
    ('2048²', '3000×4000')
    """
    return f"{image[0]}²" if image[0] == image[1] else f"{image[0]}×{image[1]}"


def duration(seconds: float) -> str:
    """Return a time with three digits.

    Examples
    --------
    >>> duration(1.234e-5), duration(0.01234), duration(0.5)
    ('12.3 µs', '12.3 ms', '500 ms')
    """
    number, unit = (seconds * 1e6, "µs") if seconds < 1e-3 else (seconds * 1e3, "ms")
    return f"{number:.{2 if number < 10 else 1 if number < 100 else 0}f} {unit}"


def best_peer(figure: dict[str, Any]) -> str | None:
    """Return the name of the fastest library besides ours; None if there is no other."""
    ratios = {name: ratio for name, ratio in figure["ratios"].items() if name != COPY}
    return min(ratios, key=ratios.__getitem__) if ratios else None


def show(console: Console, record: dict[str, Any]) -> None:
    """Print the table, and below it the machine, the threads and the versions."""
    figures = record["figures"]
    peers = [name for name in record["threads"] if name != OURS]
    peers = [name for name in peers if any(name in figure["ratios"] for figure in figures)]
    rows = []
    for figure in figures:
        cells = [title(figure), side(figure["image"]), "{}×{}".format(*figure["kernel"])]
        cells += [duration(figure["median_seconds"][name]) for name in (OURS, COPY)]
        rows.append(cells + [_ratio(figure["ratios"].get(name)) for name in peers])
    header = ["work", "image", "kernel", OURS, COPY, *peers]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    console.print(Text(_line(header, widths), "cyan"), soft_wrap=True)
    previous = None
    for figure, row in zip(figures, rows):
        group = figure["work"], figure["image"], figure["dtype"]
        if previous not in (None, group):
            console.print()
        previous = group
        console.print(_coloured(_line(row[:5], widths), figure, peers, widths[5:]), soft_wrap=True)
    console.print()
    for label, text in _facts(record).items():
        console.print(entry(label, text, console.width, indent=11))


def _coloured(start: str, figure: dict[str, Any], peers: list[str], widths: list[int]) -> Text:
    """Return a line with the fastest library in bold: red if it is faster than ours, else green."""
    line = Text(start)
    best = best_peer(figure)
    for name, width in zip(peers, widths):
        ratio = figure["ratios"].get(name)
        style = "" if name != best or ratio is None else "bold green" if ratio >= 1 else "bold red"
        line.append("  " + _ratio(ratio).rjust(width), style)
    return line


def _line(cells: list[str], widths: list[int]) -> str:
    return "  ".join(
        cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(cells, widths))
    )


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return "-"
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}×"


def _facts(record: dict[str, Any]) -> dict[str, str]:
    """Return the facts printed below the table."""
    machine = record["machine"]
    installed = [f"{name} {version}" for name, version in machine["versions"].items() if version != "not installed"]
    counts = record["threads"]
    others = [f"{name}: {count}" for name, count in counts.items() if count != counts[OURS]]
    facts = {
        "figures": "medians of interleaved calls; other libraries: their time over kernelfield's, above 1× they are "
        "slower; copy: the image copied by as many threads; float32 unless the line says uint8",
        "processor": f"{machine['cpu']}, {machine['cores']} cores",
        "threads": f"{counts[OURS]}" + (f"; {', '.join(others)}" if others else ""),
        "versions": ", ".join(installed) + f"; Python {machine['python']}",
    }
    slow = sorted({name for figure in record["figures"] for name in figure["left_out"]})
    if slow:
        facts["-"] = f"not timed ({', '.join(slow)}): too slow, another result, or cannot do it; --json has the reasons"
    if record["left_out"]:
        facts["left out"] = ", ".join(f"{name} ({why})" for name, why in record["left_out"].items())
    return facts
