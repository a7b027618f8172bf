"""The catalogue: every kernel family by name, and kernels from a name or from text such as ``gaussian:sigma=2``."""

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from kernelfield.errors import ArgumentError, received
from kernelfield.kernels import (
    blurs,
    differences,
    directional,
    edges,
    masks,
    optics,
    polynomials,
    resampling,
    sharpening,
    smoothing,
)
from kernelfield.kernels.gabor import gabor, log_gabor
from kernelfield.kernels.kernel import Kernel
from kernelfield.kernels.steerable import quadrature, steerable

CATALOGUE: Mapping[str, Callable[..., Kernel]] = MappingProxyType(
    {
        "identity": smoothing.identity,
        "shift": smoothing.shift,
        "box": smoothing.box,
        "binomial": smoothing.binomial,
        "gaussian": smoothing.gaussian,
        "smooth": smoothing.smooth,
        "rings": smoothing.rings,
        "savitzky_golay": polynomials.savitzky_golay,
        "bspline": resampling.bspline,
        "cubic": resampling.cubic,
        "mitchell": resampling.mitchell,
        "lanczos": resampling.lanczos,
        "sinc": resampling.sinc,
        "disk": blurs.disk,
        "annulus": blurs.annulus,
        "motion": blurs.motion,
        "oriented_gaussian": blurs.oriented_gaussian,
        "airy": optics.airy,
        "moffat": optics.moffat,
        "pinhole": optics.pinhole,
        "difference": differences.difference,
        "derivative": differences.derivative,
        "mixed_derivative": differences.mixed_derivative,
        "sobel": edges.sobel,
        "scharr": edges.scharr,
        "prewitt": edges.prewitt,
        "farid": edges.farid,
        "roberts": edges.roberts,
        "laplacian": edges.laplacian,
        "isotropic_laplacian": edges.isotropic_laplacian,
        "sobel_laplacian": edges.sobel_laplacian,
        "gaussian_derivative": edges.gaussian_derivative,
        "log": edges.log,
        "dog": edges.dog,
        "emboss": edges.emboss,
        "edge": directional.edge,
        "diagonal": directional.diagonal,
        "line": directional.line,
        "corner": directional.corner,
        "kirsch": masks.kirsch,
        "robinson": masks.robinson,
        "frei_chen": masks.frei_chen,
        "laws": masks.laws,
        "steerable": steerable,
        "quadrature": quadrature,
        "gabor": gabor,
        "log_gabor": log_gabor,
        "sharpen": sharpening.sharpen,
        "unsharp": sharpening.unsharp,
    }
)


def design(name: str, **parameters: Any) -> Kernel:
    """Return a kernel of the catalogue by name.

    Parameters
    ----------
    name : str
        A key of `CATALOGUE`.
    **parameters
        The arguments of that family.

    Raises
    ------
    ArgumentError
        If the name or a parameter is unknown, or a value is invalid.

    Examples
    --------
    >>> design("gaussian", sigma=2.0) == CATALOGUE["gaussian"](2.0)
    True
    """
    return family(name)(**checked(name, parameters))


def parse(text: str) -> Kernel:
    """Return the kernel described by text: a name, then after a colon its parameters, separated by commas.

    Numbers may be fractions; pairs are ``3x5`` or ``1,-1``.

    Parameters
    ----------
    text : str
        Such as ``"sobel"``, ``"gaussian:sigma=2"`` or ``"edge:direction=1,-1,size=5"``.

    Raises
    ------
    ArgumentError
        If the text cannot be parsed, the name or a parameter is unknown, or a value is invalid.

    Examples
    --------
    >>> parse("sobel:axis=0,scale=1/8").name
    'sobel'
    >>> parse("edge:direction=1,-1,size=3").parameters["direction"]
    (1.0, -1.0)
    """
    if not isinstance(text, str):
        raise ArgumentError(f"text: expected a kernel as 'sobel:axis=0', received {received(text)}")
    name, _, rest = (part.strip() for part in text.partition(":"))
    family(name)
    given: dict[str, str] = {}
    last = ""
    for part in filter(None, rest.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if equals:
            if key in given:
                raise ArgumentError(f"{name}: expected each parameter once, received {key} twice")
            given[key], last = value, key
        elif last:
            # A comma inside a value: direction=1,-1.
            given[last] += f",{key}"
        else:
            raise ArgumentError(f"{name}: expected parameters as {_example(name)}, received {received(part)}")
    return design(name, **{key: value_of(word) for key, word in given.items()})


def several_of(text: str) -> dict[str, Kernel]:
    """Return the kernels described by text, as `parse` takes it, separated by commas; by their own text.

    A part between commas begins a kernel if it begins with a name of the catalogue, and else belongs to the one before.

    Raises
    ------
    ArgumentError
        As `parse`, or if two are the same.

    Examples
    --------
    >>> list(several_of("sobel:axis=0,size=5,scharr, edge:direction=0,1"))
    ['sobel:axis=0,size=5', 'scharr', 'edge:direction=0,1']
    """
    texts: list[str] = []
    for part in text.split(","):
        if texts and part.partition(":")[0].strip() not in CATALOGUE and ("=" in part or _number(part) is not None):
            texts[-1] += f",{part.strip()}"
        else:
            texts.append(part.strip())
    if len(set(texts)) < len(texts):
        raise ArgumentError(f"kernels: expected different ones, received {received(text)}")
    return {one: parse(one) for one in texts}


def family(name: str) -> Callable[..., Kernel]:
    """Return the function of a family; the error suggests similar names."""
    if not isinstance(name, str):
        raise ArgumentError(f"name: expected the name of a kernel, received {received(name)}")
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = get_close_matches(name.lower().replace("-", "_"), CATALOGUE, 3, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "kernelfield.kernels.CATALOGUE has the names"
    raise ArgumentError(f"name: expected a kernel of the catalogue, received {received(name)}; {hint}")


def parameters_of(name: str) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a family, by name."""
    return inspect.signature(family(name)).parameters


def checked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return `given` if the family has all of these parameters and requires no others."""
    known = parameters_of(name)
    listed = ", ".join(known) or "none"
    for key in given:
        if key not in known:
            raise ArgumentError(f"{name}: expected its parameters ({listed}), received {received(key)}")
    missing = [key for key, what in known.items() if what.default is what.empty and key not in given]
    if missing:
        raise ArgumentError(f"{name}: expected {' and '.join(missing)}, received none; its parameters are {listed}")
    return dict(given)


def value_of(text: str) -> Any:
    """Return typed text as a number, a tuple of numbers, True or False, None, or the text itself.

    Examples
    --------
    >>> value_of("3"), value_of("0.5"), value_of("1/8"), value_of("3x5"), value_of("1,-1"), value_of("central")
    (3, 0.5, 0.125, (3, 5), (1, -1), 'central')
    """
    for separator in (",", "x", "×"):
        parts = [_number(part) for part in text.strip(" ()[]").split(separator)]
        if len(parts) > 1 and None not in parts:
            return tuple(parts)
    number = _number(text)
    if number is not None:
        return number
    if text.strip().lower() in ("true", "false"):
        return text.strip().lower() == "true"
    return None if text.strip().lower() == "none" else text


def _number(text: str) -> int | float | None:
    top, _, bottom = text.strip().partition("/")
    try:
        return int(text) if not bottom else float(top) / float(bottom)
    except (ValueError, ZeroDivisionError):
        pass
    try:
        return float(text)
    except ValueError:
        return None


def _example(name: str) -> str:
    known = list(parameters_of(name))
    return f"{name}:{known[0]}=…" if known else name
