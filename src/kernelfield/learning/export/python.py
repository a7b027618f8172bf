"""A fit as a program in Python: NumPy, SciPy, OpenCV, PyTorch."""

from __future__ import annotations

from kernelfield.kernels.programs import correlation, listed
from kernelfield.learning.export.recipe import Recipe

# The rules of kernelfield.learning.rounding.RULES as text, of `values`.
_ROUNDED = {
    "nearest": "{np}.floor(values + (0.5 + 1e-6))",
    "nearest even": "{np}.{rint}(values)",
    "nearest away": "{np}.sign(values) * {np}.floor({np}.abs(values) + (0.5 + 1e-6))",
    "nearest down": "{np}.ceil(values - (0.5 + 1e-6))",
    "to zero": "{np}.sign(values) * {np}.floor({np}.abs(values) + 1e-6)",
    "truncated": "{np}.floor(values + (0.5 + 1e-6))",
    "up": "{np}.ceil(values - (0.5 + 1e-6))",
}
_APPLY = '''

def apply(image, dtype=None):
    """Filter an image (H, W) or (H, W, C); integers are rounded and saturated, by default to the image's type."""
    image = np.asarray(image)
    planes = [image] if image.ndim == 2 else list(np.moveaxis(image, 2, 0))
    offsets = {offsets}{spread}
    dtype = np.dtype(dtype or image.dtype)
    results = [filtered(plane, offset, dtype) for plane, offset in zip(planes, offsets, strict=True)]
    return results[0] if image.ndim == 2 else np.stack(results, axis=2)


def filtered(plane, offset, dtype):
    """Filter one channel."""
    sums = correlate(plane){every}
{between}    values = sums / {divisor!r} + offset
    if dtype.kind in "iu":
{rounding}        values = np.clip(values, np.iinfo(dtype).min, np.iinfo(dtype).max)
{result}'''
_COPIED = """    result = plane.astype(dtype)
    rows, columns = (slice(a, n - b) for a, b, n in zip(({top}, {left}), ({bottom}, {right}), plane.shape))
    result[rows, columns] = values[rows, columns].astype(dtype)
    return result
"""


def numpy(steps: Recipe) -> str:
    """Return a program for NumPy alone."""
    return _program(steps, "numpy")


def scipy(steps: Recipe) -> str:
    """Return a program for SciPy's `ndimage`."""
    return _program(steps, "scipy")


def opencv(steps: Recipe) -> str:
    """Return a program for OpenCV's `filter2D`."""
    return _program(steps, "opencv")


def _program(steps: Recipe, target: str) -> str:
    """Return a program that correlates in a library, and divides, rounds and saturates in NumPy."""
    head = correlation(steps.kernel, target, f"{steps.heading}, by kernelfield", steps.inner, steps.outside)
    top, bottom, left, right = steps.margins
    between = ""
    if steps.whole:
        # Fourier transforms and fused sums leave what is less than rounding.
        between += '    if plane.dtype.kind in "iu":\n        sums = np.rint(sums)\n'
    if steps.boundary == "renormalised":
        between += "    sums = sums * (kernel.sum() / correlate(np.ones(plane.shape)){every})\n"
    copied = _COPIED.format(top=top, bottom=bottom, left=left, right=right)
    fields = {
        "{offsets}": _tuple(steps.offsets),
        "{spread}": " * len(planes)" if len(steps.offsets) == 1 else "",
        "{between}": between,
        "{every}": "" if steps.stride == (1, 1) else "[::{}, ::{}]".format(*steps.stride),
        "{divisor!r}": repr(steps.divisor),
        "{rounding}": rounding(steps, " " * 8, "np", "rint"),
        "{result}": copied if steps.boundary == "copy" else "    return values.astype(dtype)\n",
    }
    text = head + _APPLY
    for field, value in fields.items():
        text = text.replace(field, value)
    return text


def _tuple(values: tuple[float, ...]) -> str:
    """Return numbers as a tuple of Python."""
    return f"({', '.join(map(repr, values))}{',' if len(values) == 1 else ''})"


def rounding(steps: Recipe, indent: str, library: str, even: str) -> str:
    """Return the lines that round `values`, about the whole offset where the rule depends on it."""
    rule = _ROUNDED[steps.rounding].replace("{np}", library).replace("{rint}", even)
    if not any(steps.about):
        return f"{indent}values = {rule}\n"
    about = {"np": "np.rint(offset)", "torch": "torch.round(self.offset)"}[library]
    return f"{indent}about = {about}\n{indent}values = values - about\n{indent}values = {rule} + about\n"


_MODULE = '''# {name}, by kernelfield
import torch
import torch.nn.functional as F


class Filter(torch.nn.Module):
    """Filters images (N, C, H, W); integers are rounded and saturated. In float64: ``.float()`` is faster."""

    def __init__(self):
        super().__init__()
        kernel = {weights}
        self.register_buffer("kernel", torch.tensor(kernel, dtype=torch.float64))
        self.register_buffer("offset", torch.tensor({offsets}, dtype=torch.float64)[:, None, None])

    def forward(self, image):
        pixels = image.to(self.kernel.dtype)
        sums = self.sums(pixels)
{between}        values = sums / {divisor} + self.offset
        if not image.dtype.is_floating_point:
{rounding}            limits = torch.iinfo(image.dtype)
            values = values.clamp(limits.min, limits.max)
        values = values.to(image.dtype)
{result}
    def sums(self, pixels):
        """Return the sums of weights and pixels, {of}."""
        n, c, h, w = pixels.shape
        padded = {padded}
        sums = F.conv2d(padded.reshape(n * c, 1, *padded.shape[2:]), self.kernel[None, None]{every})
        return sums.reshape(n, c, *sums.shape[2:])
{places}'''
PLACES = '''
    def places(self, n, before, after):
        """Return the pixels of an axis that stand for those outside: the border {mode!r}."""
        i = torch.arange(-before, n + after, device=self.kernel.device)
        return {formula}
'''
#: Where a border takes its pixels, of `i` and `n` as PyTorch writes it.
FORMULAS = {
    "nearest": "i.clamp(0, n - 1)",
    "wrap": "i.remainder(n)",
    "reflect": "torch.minimum(i.remainder(2 * n), 2 * n - 1 - i.remainder(2 * n))",
    "mirror": "torch.minimum(i.remainder(max(2 * n - 2, 1)), 2 * n - 2 - i.remainder(max(2 * n - 2, 1)))",
}


def pytorch(steps: Recipe) -> str:
    """Return a program with a module of PyTorch."""
    top, bottom, left, right = steps.margins
    mode = steps.inner
    between = ""
    if steps.whole:
        between += "        if not image.dtype.is_floating_point:\n            sums = sums.round()\n"
    if steps.boundary == "renormalised":
        between += "        sums = sums * (self.kernel.sum() / self.sums(torch.ones_like(pixels)))\n"
    if mode == "constant":
        padded = f"F.pad(pixels, ({left}, {right}, {top}, {bottom}), value={steps.outside!r})"
    else:
        padded = f"pixels[..., self.places(h, {top}, {bottom}), :][..., self.places(w, {left}, {right})]"
    result = "        return values\n"
    if steps.boundary == "copy":
        inside = f"[..., {top} : image.shape[2] - {bottom}, {left} : image.shape[3] - {right}]"
        result = f"        result = image.clone()\n        result{inside} = values{inside}\n        return result\n"
    fields = {
        "{name}": steps.heading,
        "{weights}": listed(steps.kernel.weights).replace("\n", "\n        "),
        "{offsets}": _tuple(steps.offsets),
        "{between}": between,
        "{of}": "of the shape of the pixels" if steps.stride == (1, 1) else "for every few rows and columns",
        "{every}": "" if steps.stride == (1, 1) else f", stride={steps.stride}",
        "{divisor}": repr(steps.divisor),
        "{rounding}": rounding(steps, " " * 12, "torch", "round"),
        "{result}": result,
        "{padded}": padded,
        "{places}": "" if mode == "constant" else PLACES,
        "{mode!r}": repr(mode),
        "{formula}": FORMULAS.get(mode, ""),
    }
    text = _MODULE
    for field, value in fields.items():
        text = text.replace(field, value)
    return text
