"""A fit as HTML for notebooks: its kernel, and the lines of its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelfield.kernels.html import card, picture
from kernelfield.learning.report import facts, table

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit


def fit_html(fit: Fit) -> str:
    """Return the kernel, unless the pair is not linear, beside the verdict and the other lines of the report."""
    shown = fit.verdict != "not linear"
    svg = picture(fit.kernel, [table(fit)]) if shown else ""
    heading = f"{fit.description[:1].upper()}{fit.description[1:]}" if shown else "No kernel: the pair is not linear"
    return card(svg, heading, facts(fit))
