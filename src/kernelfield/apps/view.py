"""A fit for a person at a terminal: what it is, how sure that is, the kernel, the facts."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

from kernelfield.apps.files import Filters
from kernelfield.apps.kernel_table import kernel_lines
from kernelfield.learning import Fit
from kernelfield.learning.report import facts, table

_COLOURS = {"exact": "green", "approximate": "yellow", "undetermined": "magenta", "not linear": "red"}


def show(console: Console, filters: Filters) -> None:
    """Print one filter, or one after the other under the names of their channels."""
    if isinstance(filters, Fit):
        _show(console, filters, "")
        return
    for i, (name, fit) in enumerate(filters.items()):
        if i:
            console.print()
        _show(console, fit, f"{name}: ")


def _show(console: Console, fit: Fit, prefix: str) -> None:
    colour = _COLOURS[fit.verdict]
    title, verdict = (
        textwrap.fill(text, console.width)
        for text in (f"{prefix}{_upper(fit.description)}", f"{fit.verdict}: {fit.explanation}")
    )
    console.print(Text(title, "bold"))
    console.print(Text.assemble((verdict[: len(fit.verdict)], f"bold {colour}"), verdict[len(fit.verdict) :]))
    console.print()
    cells = table(fit)
    for line in kernel_lines(fit.kernel.weights, cells, fit.anchor, console.width):
        if console.color_system is None:
            line.rstrip()
        console.print(line, soft_wrap=True)
    console.print()
    console.print(Text(textwrap.fill(_reading(fit, cells), console.width), style="dim"))
    console.print()
    for label, text in facts(fit):
        if label not in ("verdict", "filter"):
            console.print(entry(label, text, console.width, "yellow" if label == "note" else ""))


def entry(label: str, text: str, width: int, style: str = "", indent: int = 10) -> Text:
    """Return a label and its text, wrapped under itself."""
    lines = textwrap.wrap(text, max(20, width - indent)) or [""]
    body = ("\n" + " " * indent).join(lines)
    return Text.assemble((label.ljust(indent), "cyan"), (body, style))


def _upper(text: str) -> str:
    """Return `text` with a capital at its start."""
    return text[:1].upper() + text[1:]


def _reading(fit: Fit, cells: list[list[str]]) -> str:
    """Return how the numbers are meant."""
    over = f"each over {fit.divisor}; " if fit.divisor not in (None, 1) else ""
    rows, columns = fit.size
    centred = fit.anchor == (rows // 2, columns // 2) and rows % 2 == columns % 2 == 1
    if centred and cells == [row[::-1] for row in cells[::-1]]:
        other = "for convolution they are the same"
    else:
        other = "flip both axes for convolution"
    return f"Cross-correlation weights, {over}{other}."
