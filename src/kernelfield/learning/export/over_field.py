"""A kernel that varies as a program of Python: a sum of fixed kernels, weighted over the field."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kernelfield.errors import ArgumentError
from kernelfield.kernels import Kernel
from kernelfield.kernels.programs import correlation, listed
from kernelfield.learning.export.python import FORMULAS, PLACES, rounding
from kernelfield.learning.export.recipe import Recipe, recipe
from kernelfield.learning.field_basis import Basis

if TYPE_CHECKING:
    from kernelfield.learning.fit import Fit
    from kernelfield.learning.varying import Varying

#: The programs that there are.
TARGETS = ("numpy", "scipy", "opencv", "pytorch")

_FUNCTIONS = {
    "degree": '''def functions(order, n):
    """Return the Legendre polynomials along an axis of n pixels, from -1 to 1, up to a degree."""
    places = (np.arange(n) - (n - 1) / 2) / max((n - 1) / 2, 0.5)
    return np.polynomial.legendre.legvander(places, order).T
''',
    "nodes": '''def hats(nodes, n):
    """Return functions along an axis of n pixels that are 1 at one node, 0 at others and linear between them."""
    steps = np.arange(n) * ((nodes - 1) / max(1, n - 1))
    return np.maximum(0.0, 1.0 - np.abs(steps - np.arange(nodes)[:, None])) if nodes > 1 else np.ones((1, n))
''',
}
_FIELD = """
shape = {shape}
# The functions of row and column that each kernel is multiplied by, and the background of each channel.
terms = {terms}
background = np.array({background})
background_terms = {background_terms}


{functions}

rows, columns = {along}
shares = np.array([np.outer(rows[a], columns[b]) for a, b in terms])
rows, columns = functions({degree}, shape[0]), functions({degree}, shape[1])
backgrounds = np.tensordot(background, np.array([np.outer(rows[a], columns[b]) for a, b in background_terms]), 1)
"""
_APPLY = '''

def apply(image, dtype=None):
    """Filter an image (H, W) or (H, W, C) of the field's shape; integers are rounded and saturated."""
    image = np.asarray(image)
    if image.shape[:2] != shape:
        raise ValueError(f"image: expected {{shape}}, the field that was learned; received {{image.shape[:2]}}")
    planes = [image] if image.ndim == 2 else list(np.moveaxis(image, 2, 0))
    dtype = np.dtype(dtype or image.dtype)
    results = [filtered(plane, backgrounds[min(c, len(backgrounds) - 1)], dtype) for c, plane in enumerate(planes)]
    return results[0] if image.ndim == 2 else np.stack(results, axis=2)


def summed(plane):
    """Return the sum of all kernels, each times its function of the place."""
    return sum(share * correlate(plane, kernel) for share, kernel in zip(shares, bank))


def filtered(plane, behind, dtype):
    """Filter one channel."""
    sums = summed(plane)
{between}    values = sums + behind
    if dtype.kind in "iu":
{rounding}        values = np.clip(values, np.iinfo(dtype).min, np.iinfo(dtype).max)
{result}'''
_MODULE = '''# {name}, by kernelfield
import numpy as np
import torch
import torch.nn.functional as F

bank = np.array({bank}, dtype=np.float64)
{field}

class Filter(torch.nn.Module):
    """Filters images (N, C, H, W) of the field's shape; integers are rounded and saturated."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kernels", torch.tensor(bank)[:, None])
        self.register_buffer("shares", torch.tensor(shares))
        self.register_buffer("background", torch.tensor(backgrounds))

    def forward(self, image):
        pixels = image.to(self.kernels.dtype)
        sums = self.sums(pixels)
{between}        values = sums + self.background
        if not image.dtype.is_floating_point:
{rounding}            limits = torch.iinfo(image.dtype)
            values = values.clamp(limits.min, limits.max)
        values = values.to(image.dtype)
{result}
    def sums(self, pixels):
        """Return the sum of all kernels, each times its function of the place."""
        n, c, h, w = pixels.shape
        padded = {padded}
        each = F.conv2d(padded.reshape(n * c, 1, *padded.shape[2:]), self.kernels)
        return (each * self.shares).sum(dim=1).reshape(n, c, h, w)
{places}'''


def over_field(fit: Fit, varying: Varying, target: str, dtype: str | None) -> str:
    """Return a fit whose kernel varies as a program.

    Raises
    ------
    ArgumentError
        For a target that has no such program, and a border that only single kernels have.
    """
    if target not in TARGETS:
        raise ArgumentError(
            f"target: expected one of {', '.join(TARGETS)} for a kernel that varies; received {target!r}; or export a "
            "place, fit.at(row, column)"
        )
    first = Kernel(varying.bank[0], anchor=fit.anchor)
    steps = recipe(replace(fit, varying=None, kernel=first, boundary=_plain_rule(fit)), dtype)
    steps = replace(steps, boundary=fit.boundary or "reflect", about=(0.0,) * len(steps.about))
    field = _field(varying)
    if target == "pytorch":
        return _module(steps, varying, field)
    head = correlation(first, target, f"{steps.heading}, by kernelfield", steps.inner, steps.outside)
    one = f"kernel = np.array({listed(first.weights)}, dtype=np.float64)"
    assert one in head
    head = head.replace(one, f"bank = np.array({_tables(varying.bank)}, dtype=np.float64)\n{field}")
    head = head.replace("def correlate(image):", "def correlate(image, kernel):")
    between = ""
    if fit.boundary == "renormalised":
        between = (
            "    whole = np.tensordot(bank.sum(axis=(1, 2)), shares, 1)\n"
            "    sums = sums * (whole / summed(np.ones(plane.shape)))\n"
        )
    result = "    return values.astype(dtype)\n"
    if fit.boundary == "copy":
        values = "values{inside}.astype(dtype)"
        result = _copied(steps, "    result = plane.astype(dtype)\n", "[{rows}, {columns}]", values)
    fields = {"between": between, "rounding": rounding(steps, " " * 8, "np", "rint"), "result": result}
    return head + _APPLY.format(**fields)


def _plain_rule(fit: Fit) -> str | None:
    """Return a border rule that any kernel has: whether weights cancel is asked of the whole field, not of a part."""
    return "constant" if fit.boundary == "renormalised" else fit.boundary


def _copied(steps: Recipe, begin: str, place: str, values: str) -> str:
    """Return the lines that put results inside a copy of the picture."""
    top, bottom, left, right = steps.margins
    rows = f"{top} : result.shape[-2] - {bottom}"
    columns = f"{left} : result.shape[-1] - {right}"
    inside = place.format(rows=rows, columns=columns)
    indent = begin[: len(begin) - len(begin.lstrip())]
    return f"{begin}{indent}result{inside} = {values.format(inside=inside)}\n{indent}return result\n"


def _tables(bank: np.ndarray) -> str:
    """Return several kernels as nested lists."""
    return "[\n" + "".join(f"{listed(table)},\n" for table in bank) + "]"


def _field(varying: Varying) -> str:
    """Return the lines that make the functions of the place."""
    behind = Basis(varying.background_order, varying.shape)
    functions, order = _FUNCTIONS["degree"], varying.order
    along = f"functions({order}, shape[0]), functions({order}, shape[1])"
    if not isinstance(order, int):
        functions += "\n\n" + _FUNCTIONS["nodes"]
        along = f"hats({order[0]}, shape[0]), hats({order[1]}, shape[1])"
    return _FIELD.format(
        shape=tuple(int(n) for n in varying.shape),
        terms=[tuple(int(n) for n in term) for term in varying.functions.terms],
        background=varying.background.tolist(),
        background_terms=[tuple(int(n) for n in term) for term in behind.terms],
        functions=functions,
        along=along,
        degree=varying.background_order,
    )


def _module(steps: Recipe, varying: Varying, field: str) -> str:
    """Return a program with a module of PyTorch."""
    top, bottom, left, right = steps.margins
    between, indent = "", " " * 8
    if steps.boundary == "renormalised":
        between = (
            f"{indent}whole = torch.tensordot(self.kernels.sum(dim=(1, 2, 3)), self.shares, 1)\n"
            f"{indent}sums = sums * (whole / self.sums(torch.ones_like(pixels)))\n"
        )
    if steps.inner == "constant":
        padded = f"F.pad(pixels, ({left}, {right}, {top}, {bottom}), value={steps.outside!r})"
    else:
        padded = f"pixels[..., self.places(h, {top}, {bottom}), :][..., self.places(w, {left}, {right})]"
    result = f"{indent}return values\n"
    if steps.boundary == "copy":
        result = _copied(steps, f"{indent}result = image.clone()\n", "[..., {rows}, {columns}]", "values{inside}")
    places = PLACES.replace("{mode!r}", repr(steps.inner)).replace("{formula}", FORMULAS.get(steps.inner, ""))
    return _MODULE.format(
        name=steps.heading,
        bank=_tables(varying.bank),
        field=field,
        between=between,
        rounding=rounding(steps, " " * 12, "torch", "round"),
        result=result,
        padded=padded,
        places="" if steps.inner == "constant" else places.replace("self.kernel.device", "self.kernels.device"),
    )
