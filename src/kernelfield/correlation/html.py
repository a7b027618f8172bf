"""A planned correlation as HTML for notebooks: its kernel, its method and the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernelfield.kernels import Kernel
from kernelfield.kernels.html import card, picture
from kernelfield.kernels.text import weight_texts

if TYPE_CHECKING:
    from kernelfield.correlation.api import PlannedCorrelation


def plan_html(planned: PlannedCorrelation) -> str:
    """Return the kernel beside the method, its reason, the shapes and the cost."""
    facts = [
        ("reason", planned.reason),
        ("image", f"{_extents(planned.image_shape)} {planned.dtype}"),
        ("kernel", _extents(planned.kernel.shape)),
        ("result", f"{_extents(planned.output_shape)} {planned.output_dtype}"),
        ("cost", f"{planned.cost:,} multiply-adds of the definition"),
    ]
    # The anchor is no part of the plan: no weight is framed.
    kernel = Kernel(planned.kernel, anchor=(-1, -1))
    texts, divisor = weight_texts(kernel)
    return card(picture(kernel, [texts] if divisor == 1 else []), f"Cross-correlation, {planned.method}", facts)


def _extents(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
