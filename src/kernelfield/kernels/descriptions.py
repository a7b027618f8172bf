"""Kernels in words: name and parameters as a phrase."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from kernelfield.errors import shortened

if TYPE_CHECKING:
    from kernelfield.kernels.kernel import Kernel

_DIRECTION = ("vertical", "horizontal")
_ORDINAL = ("", "first", "second", "third", "fourth", "fifth", "sixth")


def describe(kernel: Kernel, also: str | None = None) -> str:
    """Return a kernel's name and parameters as a phrase, with Pillow's name `also` where there is one."""
    given = kernel.parameters
    text = _PHRASES[kernel.name or ""](given)
    if "shift" in given:
        text += f", shifted {_moved(*given['shift'])}"
    return f"{text} (Pillow's {also.removeprefix('Pillow ')})" if also else text


def title(kernel: Kernel) -> str:
    """Return the phrase of a kernel as the title of a picture; a name that is not of the catalogue is its own title."""
    try:
        text = describe(kernel)
    except (LookupError, TypeError, ValueError):
        # A name or parameters that the user gave: no phrase is made of them.
        text = kernel.name or ""
    return shortened(f"{text[:1].upper()}{text[1:]}", 160)


def _number(value: float) -> str:
    fraction = Fraction(value).limit_denominator(1024)
    simple = abs(float(fraction) - value) <= 1e-9 * abs(value) and abs(fraction.numerator) < 1000
    return (str(fraction) if simple else f"{value:.4g}").replace("-", "−")


def _amount(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if value >= 0.01 else f"{value:.3g}"


def _scale(given: Mapping[str, Any]) -> str:
    return "" if given["scale"] == 1 else f", scale {_number(given['scale'])}"


def _times(given: Mapping[str, Any]) -> str:
    return "" if given["scale"] == 1 else f" × {_number(given['scale'])}"


def _size(given: Mapping[str, Any]) -> str:
    return "{}×{}".format(*given["size"])


def _sigma(given: Mapping[str, Any]) -> str:
    sigma = given["sigma"]
    if isinstance(sigma, tuple):
        return f"sigma {sigma[0]:.2f} down and {sigma[1]:.2f} across"
    return f"sigma {sigma:.2f}"


def _moved(rows: float, columns: float) -> str:
    parts = []
    for count, unit, forth, back in ((rows, "row", "down", "up"), (columns, "column", "right", "left")):
        if count:
            parts.append(f"{abs(count):.4g} {unit}{'s' * (abs(count) != 1)} {forth if count > 0 else back}")
    return ", ".join(parts) or "by nothing"


def _ordinal(order: int) -> str:
    return _ORDINAL[order] if order < len(_ORDINAL) else f"{order}th"


def _nth(order: int) -> str:
    return f"{_ordinal(order)} derivative"


def _sampled(given: Mapping[str, Any]) -> str:
    """Return whether the weights are samples, not corrected to have exact moments."""
    return "" if given.get("normalise", True) else ", samples"


def _angle(value: float) -> str:
    return f"{_number(round(value, 2) + 0.0)}°"


def _derivative(given: Mapping[str, Any]) -> str:
    text = f"{_nth(given['order'])}, {_DIRECTION[given['axis']]}, "
    if "offsets" in given:
        text += f"from the pixels at {', '.join(map(_number, given['offsets']))}"
    else:
        text += f"{given['scheme']} difference of accuracy {given['accuracy']}"
    return text + ("" if given["spacing"] == 1 else f", spacing {given['spacing']:g}") + _scale(given)


def _sobel(given: Mapping[str, Any]) -> str:
    size = "" if given["size"] == 3 else f" {given['size']}×{given['size']}"
    order = "derivative" if given["order"] == 1 else _nth(given["order"])
    return f"Sobel{size}, {_DIRECTION[given['axis']]} {order}" + _scale(given)


def _simple(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda given: f"{name}, {_DIRECTION[given['axis']]} derivative" + _scale(given)


def _emboss(given: Mapping[str, Any]) -> str:
    down, right = given["direction"]
    where = " ".join(word for word in (("", "lower", "upper")[down], ("", "right", "left")[right]) if word)
    return f"emboss, minus the neighbour at the {where}"


def _difference(given: Mapping[str, Any]) -> str:
    return f"difference [1, −1], {_DIRECTION[given['axis']]}"


def _edge(given: Mapping[str, Any]) -> str:
    down, right = (f"{part:.4g}".replace("-", "−") for part in given["direction"])
    return f"edge along {down} down, {right} right ({given['size']}×{given['size']})" + _scale(given)


def _quadrant(given: Mapping[str, Any]) -> str:
    down, right = given["direction"]
    return f"{'upper' if down < 0 else 'lower'} {'left' if right < 0 else 'right'}"


def _steerable(given: Mapping[str, Any]) -> str:
    where = f"at {_angle(given['orientation'])}, {_sigma(given)} ({_size(given)})"
    return f"{_nth(given['order'])} of a Gaussian {where}{_sampled(given)}" + _scale(given)


def _gabor(given: Mapping[str, Any]) -> str:
    text = f"Gabor, wavelength {given['wavelength']:.2f}, orientation {_angle(given['orientation'])}, {_sigma(given)}"
    aspect = "" if given["aspect"] == 1 else f", aspect {given['aspect']:.2f}"
    zero = ", of sum zero" if given.get("normalise") else ""
    return text + f"{aspect}, phase {_angle(given['phase'])} ({_size(given)}){zero}" + _scale(given)


def _log_gabor(given: Mapping[str, Any]) -> str:
    text = f"log-Gabor, wavelength {given['wavelength']:.2f}, orientation {_angle(given['orientation'])}"
    text += f", {given['bandwidth']:.2f} octaves, {_angle(given['angular_bandwidth'])} wide"
    return text + f", phase {_angle(given['phase'])} ({_size(given)}){_sampled(given)}" + _scale(given)


def _unsharp(given: Mapping[str, Any]) -> str:
    blur = f"Gaussian {_sigma(given)}" if given["blur"] == "gaussian" else given["blur"]
    return f"unsharp mask, amount {_amount(given['amount'])}, {blur} ({_size(given)})"


def _gaussian(given: Mapping[str, Any]) -> str:
    method = {"integrated": ", integrated over pixels", "discrete": ", discrete analogue"}.get(
        given.get("method", ""), ""
    )
    bits = f", in {given['bits']}-bit fixed point" if "bits" in given else ""
    return f"Gaussian blur, {_sigma(given)} ({_size(given)}){method}{bits}"


def _gaussian_derivative(given: Mapping[str, Any]) -> str:
    orders = _order(given)
    what = f"{orders} derivative of a Gaussian" if orders else "Gaussian, no derivative"
    return f"{what}, {_sigma(given)} ({_size(given)}){_sampled(given)}" + _scale(given)


def _shift(given: Mapping[str, Any]) -> str:
    between = f", {_METHODS[given['method']]} interpolation" if "method" in given else ""
    return f"shift by {_moved(given['rows'], given['columns'])}{between}"


def _spline(given: Mapping[str, Any]) -> str:
    """Return a B-spline; one of degree 1 and a whole width is the blur of two boxes in a row, as stack blur."""
    degree, factor = given["degree"], given["factor"]
    widths = factor if isinstance(factor, tuple) else (factor, factor)
    if degree == 1 and given["offset"] == 0 and all(abs(n - round(n)) < 1e-6 for n in widths) and max(widths) > 1.5:
        sides = "×".join(f"{2 * n - 1:g}" for n in widths)
        return f"triangle {sides}, two boxes of {widths[0]:g}×{widths[1]:g} in a row"
    return f"{'triangle, the ' if degree == 1 else ''}B-spline of degree {degree}{_factor(given)}"


def _factor(given: Mapping[str, Any]) -> str:
    """Return how many times a kernel of resampling is widened, and its place between pixels."""
    factor, place = given["factor"], given["offset"]
    by = " and ".join(f"{value:.4g}" for value in (factor if isinstance(factor, tuple) else (factor,)))
    text = "" if factor == 1 else f", widened {by} times" + " (down, across)" * isinstance(factor, tuple)
    if place == 0:
        return text
    down, right = place if isinstance(place, tuple) else (place, place)
    return text + f", {_moved(-down, -right)}"


def _order(given: Mapping[str, Any]) -> str:
    """Return the orders of a derivative along both axes as an adjective."""
    return " and ".join(f"{_ordinal(n)} {_DIRECTION[axis]}" for axis, n in enumerate(given["order"]) if n)


def _savitzky_golay(given: Mapping[str, Any]) -> str:
    orders = _order(given)
    what = f"{orders} derivative, " if orders else ""
    return f"Savitzky–Golay, {what}degree {given['degree']} ({_size(given)})" + _scale(given)


def _sinc(given: Mapping[str, Any]) -> str:
    window = f"Kaiser's window, beta {given['beta']:.3g}" if given["window"] == "kaiser" else "Hann's window"
    return f"windowed sinc, cutoff {given['cutoff']:.3g} cycles a pixel, {window} ({_size(given)})"


def _optics(given: Mapping[str, Any]) -> str:
    """Return the size of a point-spread function, and whether it is integrated over pixels."""
    return f" ({_size(given)})" + (", integrated over pixels" if "method" in given else "")


_METHODS = {"linear": "linear", "cubic": "cubic", "mitchell": "Mitchell's", "lanczos": "Lanczos", "spline": "spline"}

_PHRASES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "identity": lambda given: "identity",
    "shift": _shift,
    "box": lambda given: f"box {_size(given)}",
    "binomial": lambda given: f"binomial {_size(given)}",
    "gaussian": _gaussian,
    "smooth": lambda given: f"weighted mean, centre {_amount(given['centre'])}, {given['neighbours']} neighbours of 1",
    "rings": lambda given: "weighted mean of square rings " + ":".join(f"{w:g}" for w in given["weights"]),
    "disk": lambda given: f"disk of radius {given['radius']:.2f}",
    "motion": lambda given: f"motion blur, length {given['length']:.2f} at {_angle(given['angle'])}",
    "derivative": _derivative,
    "difference": _difference,
    "sobel": _sobel,
    "scharr": _simple("Scharr"),
    "prewitt": _simple("Prewitt"),
    "roberts": lambda given: f"Roberts cross, {given['diagonal']} diagonal" + _scale(given),
    "laplacian": lambda given: f"{given['neighbours']}-neighbour Laplacian" + _times(given),
    "sobel_laplacian": lambda given: f"Sobel Laplacian {given['size']}×{given['size']}" + _times(given),
    "emboss": _emboss,
    "edge": _edge,
    "diagonal": lambda given: f"diagonal edge ({given['weighting']}), towards the {_quadrant(given)}" + _scale(given),
    "line": lambda given: f"line detector at {given['angle']}°" + _scale(given),
    "corner": lambda given: f"corner of a bright area at the {_quadrant(given)}" + _scale(given),
    "steerable": _steerable,
    "gabor": _gabor,
    "log_gabor": _log_gabor,
    "gaussian_derivative": _gaussian_derivative,
    "log": lambda given: f"Laplacian of a Gaussian, {_sigma(given)} ({_size(given)}){_sampled(given)}" + _times(given),
    "sharpen": lambda given: f"sharpen, amount {_amount(given['amount'])}, {given['neighbours']} neighbours",
    "unsharp": _unsharp,
    "savitzky_golay": _savitzky_golay,
    "bspline": _spline,
    "cubic": lambda given: f"cubic kernel, a {_number(given['a'])}{_factor(given)}",
    "mitchell": lambda given: f"Mitchell's cubic, b {_number(given['b'])}, c {_number(given['c'])}{_factor(given)}",
    "lanczos": lambda given: f"Lanczos kernel of {given['lobes']} lobes{_factor(given)}",
    "sinc": _sinc,
    "annulus": lambda given: f"annulus of radii {given['inner']:.2f} and {given['outer']:.2f}",
    "oriented_gaussian": lambda given: (
        f"Gaussian blur, sigma {given['along']:.2f} along {_angle(given['orientation'])} "
        f"and {given['across']:.2f} across ({_size(given)})"
    ),
    "airy": lambda given: f"Airy pattern, first dark ring at {given['radius']:.2f}{_optics(given)}",
    "moffat": lambda given: f"Moffat, full width {given['fwhm']:.2f}, beta {given['beta']:.3g}{_optics(given)}",
    "pinhole": lambda given: (
        f"pinhole of radius {given['radius']:.2f}, Fresnel number {given['fresnel']:.3g}{_optics(given)}"
    ),
    "mixed_derivative": lambda given: (
        f"{_order(given)} derivative, central differences of accuracy {given['accuracy']}"
        + ("" if given["spacing"] == 1 else f", spacing {given['spacing']:g}")
        + _scale(given)
    ),
    "farid": lambda given: (
        f"Farid–Simoncelli {given['size']}×{given['size']}, {_DIRECTION[given['axis']]} "
        f"{'derivative' if given['order'] == 1 else _nth(given['order'])}"
        + (", of both orders" if (given["size"], given["order"], given["taps"]) == (5, 1, "second") else "")
        + _scale(given)
    ),
    "isotropic_laplacian": lambda given: (
        f"isotropic Laplacian ({given['weighting'].replace('_', '–').title()})" + _times(given)
    ),
    "dog": lambda given: (
        f"difference of Gaussians, sigma {given['inner']:.2f} less {given['outer']:.2f} ({_size(given)})"
        + _times(given)
    ),
    "kirsch": lambda given: f"Kirsch compass mask at {given['angle']}°" + _scale(given),
    "robinson": lambda given: f"Robinson compass mask at {given['angle']}°, {given['levels']} levels" + _scale(given),
    "frei_chen": lambda given: f"Frei–Chen mask {given['mask']}" + _scale(given),
    "laws": lambda given: f"Laws' texture mask {given['vectors']}" + _scale(given),
    "quadrature": lambda given: (
        f"quadrature partner of the {_nth(given['order'])} of a Gaussian "
        f"at {_angle(given['orientation'])}, {_sigma(given)} ({_size(given)})" + _scale(given)
    ),
}
