"""``kernelfield compare``: two filters, and by how many standard errors they differ."""

from __future__ import annotations

import math
import sys
from json import dumps
from typing import TYPE_CHECKING, Any

from rich.text import Text

from kernelfield.cli.console import output
from kernelfield.cli.messages import UsageError

if TYPE_CHECKING:
    from kernelfield.learning.comparison import Comparison

#: What the command returns where filters differ: the exit status is then 1, as of diff.
DIFFERENT = "different"


def compare(
    first: str, second: str, /, *, level: float = 0.01, channel: str | None = None, json: bool = False
) -> str | None:
    """Compare two filters: their difference in standard errors, weight by weight and as a whole.

    The exit status is 0 for filters that agree within their errors, 1 for those that differ, 2 for trouble.

    Parameters
    ----------
    first
        The file that learn --save or design --save wrote, or a kernel as gaussian:sigma=2. - is stdin.
    second
        The other one.
    level
        Probability of chance below which filters are called different.
    channel
        Of filters for each channel, the one to compare: R, G or B.
    json
        Print the comparison as JSON, and nothing else.
    """
    from kernelfield.cli.filters import filters_of, one_of
    from kernelfield.cli.pictures import only_one_stream

    if not 0.0 < level < 1.0:
        raise UsageError(f"--level: expected a probability between 0 and 1, as 0.01; received {level}.")
    only_one_stream([first, second])
    fits = [one_of(filters_of(text), channel) for text in (first, second)]
    found = fits[0].compare(fits[1], level)
    if json:
        sys.stdout.write(dumps(_record(found), indent=2, allow_nan=False) + "\n")
    else:
        _show(found)
    return None if found.same else DIFFERENT


def _record(found: Comparison) -> dict[str, Any]:
    """Return a comparison in JSON's types: null for what is infinite or not known."""
    return {
        "same": found.same,
        "chi_square": _finite(found.chi_square),
        "freedom": found.freedom,
        "p_value": found.p_value,
        "level": found.level,
        "correlated": found.correlated,
        "anchor": list(found.anchor),
        "difference": found.difference.tolist(),
        "errors": [[_finite(value) for value in row] for row in found.errors.tolist()],
        "in_errors": [[_finite(value) for value in row] for row in found.in_errors.tolist()],
        "offset": list(found.offset) if isinstance(found.offset, tuple) else found.offset,
        "boundaries": list(found.boundaries),
    }


def _finite(value: float) -> float | None:
    """Return a number, None for an infinite one."""
    return value if math.isfinite(value) else None


def _show(found: Comparison) -> None:
    """Print the answer, and the difference of each weight in errors."""
    import numpy as np

    from kernelfield.cli.kernel_table import kernel_lines

    console = output()
    first, *others = str(found).splitlines()
    word, colon, rest = first.partition(":")
    console.print(Text.assemble((word, "bold green" if found.same else "bold red"), colon + rest), soft_wrap=True)
    console.print()
    cells = [[f"{value:+.1f}" for value in row] for row in found.in_errors.tolist()]
    console.print(Text("difference in standard errors", "cyan"))
    for line in kernel_lines(np.nan_to_num(found.in_errors), cells, found.anchor, console.width):
        console.print(line, soft_wrap=True)
    console.print()
    for text in others:
        console.print(text, soft_wrap=True)
